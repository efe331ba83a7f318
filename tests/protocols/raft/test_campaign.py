"""A short campaign of fixed seeds and fixed length; `make campaign` runs a thousand."""

from typing import Any

import pytest

from concur.protocols.raft import Raft
from concur.simulate.campaign import REQUIRED_FROM, campaign

FREQUENT: dict[str, Any] = {"heartbeat_s": 0.02, "election_timeout_s": (0.06, 0.12)}


@pytest.mark.parametrize(
    "params", [{"snapshot_every": 100}, {"reads": "lease", **FREQUENT}], ids=["quorum", "lease"]
)
def test_fifty_seeds_with_every_kind_of_fault_break_nothing(params: dict[str, Any]) -> None:
    found = campaign(
        Raft(**params),
        range(REQUIRED_FROM),
        replicas=3,
        faults="all",
        seconds=10.0,
        commands_min=1000,
    )
    assert found.violations == ()
    assert found.too_short == ()
    assert found.unknown == ()
    assert found.missing == ()  # everything that ought to happen in a campaign did
    assert found.exit_status == 0
    assert found.runs == REQUIRED_FROM
