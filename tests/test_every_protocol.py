"""Every protocol that is installed keeps the contract, and nothing of it goes unseen.

The last check for each protocol is `every_handler_is_reached`: its walks and its transcripts run
every handler and so reach every `paper=` mark. What nothing can reach is listed here, and why.
"""

from pathlib import Path

from concur.base import Protocol
from concur.protocols import all_protocols
from concur.testing import parametrize_with_checks
from concur.testing.check import Check

STORIES = Path(__file__).parent / "protocols"
ALONE = "a single server has nobody to send a snapshot to, or to fetch one from"
UNREACHABLE = {
    "unreplicated": {
        "Server on FetchSnapshot": ALONE,
        "Server on SnapshotChunk": ALONE,
        "Server on timer transfer": ALONE,
        "UnreplicatedClient on NotLeader": "a single server leads for as long as it is up",
        "UnreplicatedClient on Overloaded": "it executes at once, so nothing waits",
    },
    "viewstamped-replication": {
        "Replica on SnapshotSaved": "it has no disk to save a snapshot on; on disk it is reached",
    },
}


@parametrize_with_checks(all_protocols(), transcripts=STORIES, unreachable=UNREACHABLE)
def test_protocol_keeps_the_contract(protocol: Protocol, check: Check) -> None:
    check(protocol)  # type: ignore[arg-type]
