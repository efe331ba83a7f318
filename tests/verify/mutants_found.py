"""Which mutants the model checker finds, each within bounds of its own: one registry for
`benchmarks/verify_mutants.py` and the tests.

A scenario states how much may happen, and never in which order: how many commands, elections and
crashes a bug needs is known from its description; the story is for the search to find. A prologue,
where there is one, elects the first leader. Each `unbroken` protocol is searched within the same
bounds, and nothing may be found there.
"""

from typing import Any, Literal

import msgspec

from concur.base import Protocol
from concur.machines.kv import Get, Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.verify.scenario import Scenario
from tests.mutants import multi_paxos, paxos, raft
from tests.mutants import viewstamped_replication as vr
from tests.verify import benign

Way = Literal["walks", "priorities", "breadth-first"]
DEPTH = 10
"""Of the bugs that walks by priorities are to find."""

PUT = ((Put("x", "a"),),)
PUTS = (*PUT, (Put("x", "b"),))
THREE = (*PUTS, (Put("x", "c"),))
READ = (*PUT, (Get("x"),))
SINGLE: dict[str, Any] = {"batch_max": 1}
CALM: dict[str, Any] = {"pre_vote": False, "check_quorum": False, **SINGLE}
"""Raft without what prevents elections."""
SLOWLY: dict[str, Any] = {"window_max": 1, **CALM}
"""A new leader replicates what it inherited one entry at a time."""
LED = ("r1 timer election", "quiet")
"""r1 has won the first election, and everybody knows."""
ELECTED: dict[str, Any] = {"commands": 0, "timeouts_max": "election=2"}


class Found(msgspec.Struct, frozen=True):
    """A mutant, within which bounds it is looked for, and how.

    `number` is that of the corpus. `is_quick` says that a test may look for it each time, from
    `seed` on.
    """

    number: str
    protocol: Protocol
    unbroken: Protocol
    bounds: dict[str, Any]
    way: Way = "walks"
    is_quick: bool = True
    seed: int = 0

    @property
    def name(self) -> str:
        return self.protocol.label

    def scenario(self) -> Scenario:
        return Scenario(protocol=self.protocol, **self.bounds)

    def unbroken_scenario(self) -> Scenario:
        return Scenario(protocol=self.unbroken, **self.bounds)


def _paxos(number: str, mutant: Protocol, **bounds: Any) -> Found:
    return Found(number, mutant, Paxos(), {"timeouts_max": 0, **bounds})


def _multi(number: str, mutant: type[MultiPaxos], **bounds: Any) -> Found:
    return Found(number, mutant(**SINGLE), MultiPaxos(**SINGLE), {"commands": PUTS, **bounds})


def _raft(number: str, mutant: type[Raft], slow: bool = False, **bounds: Any) -> Found:
    return Found(number, mutant(**CALM), Raft(**CALM), bounds, is_quick=not slow)


def _vr(
    number: str, mutant: type[ViewstampedReplication], slow: bool = True, **bounds: Any
) -> Found:
    unbroken = ViewstampedReplication(**SINGLE)
    return Found(
        number, mutant(**SINGLE), unbroken, {"commands": PUTS, **bounds}, is_quick=not slow
    )


MUTANTS: tuple[Found, ...] = (
    _paxos("P1", paxos.PaxosP1(), clients=3, commands=THREE),
    _paxos("P2", paxos.PaxosP2(), clients=3, commands=THREE),
    _paxos("P2", paxos.PaxosP2Promise(), clients=3, commands=THREE),
    _paxos("P3", paxos.PaxosP3(), replicas=4, commands=PUTS),
    _paxos("P7", paxos.PaxosP7(), commands=PUTS, faults="crash=1"),
    _multi("P1", multi_paxos.P1, timeouts_max="election=3"),
    _multi("P2", multi_paxos.P2, timeouts_max="election@r1=2,election@r2=1"),
    _multi("P3", multi_paxos.P3, timeouts_max="election=2", replicas=4),
    _multi("P7", multi_paxos.P7, timeouts_max="election=2", faults="crash=1"),
    _multi("P7", multi_paxos.WipedVotesAtOnce, timeouts_max="election=2", faults="wipe=1"),
    _raft("R3", raft.R3, **ELECTED, faults="crash=1"),
    _raft("R3", raft.R3Term, **ELECTED, faults="crash=1"),
    _raft("R3", raft.SendsBeforeSync, **ELECTED, faults="crash=1"),
    _raft("R3", raft.WipedKeepsItsName, **ELECTED, faults="wipe=1"),
    _raft("R9", raft.AnyLog, commands=PUTS, timeouts_max="election=2"),
    _raft("R9", raft.StaleTail, commands=PUTS, timeouts_max="election=2,heartbeat=1"),
    _raft("R9", raft.PastTheLog, commands=PUTS, timeouts_max="election=1,heartbeat=1"),
    _raft("R9", raft.NoFirstEntry, commands=READ, timeouts_max="election=1", prologue=LED),
    _raft(
        "R9",
        raft.UnboundedLease,
        commands=READ,
        timeouts_max="election=1,retry@c1=1",
        prologue=LED,
        slow=True,
    ),
    Found(
        "R2",
        raft.R2(**SLOWLY),
        Raft(**SLOWLY),
        {
            "commands": PUTS,
            "timeouts_max": "election@r1=1,election@r3=2",
            "prologue": LED,
        },
        is_quick=False,
    ),
    Found(
        "R1",
        raft.R1(**CALM),
        raft.SingleServer(**CALM),
        {
            "replicas": 4,
            "commands": PUTS,
            "timeouts_max": "election@r1=1,election@r2=1,ask=1,retry@c1=1",
            "orders": ("members=r1,r2,r3", "members=r2,r3,r4"),
            "prologue": LED,
        },
        is_quick=False,
    ),
    _vr("V1", vr.V1, timeouts_max="view@r2=1,view@r3=1"),
    _vr("V1", vr.V1View, timeouts_max="view@r2=1,view@r3=1"),
    _vr("V2", vr.NoRecovery, slow=False, timeouts_max="view=1", faults="crash=1"),
    _vr("V2", vr.V2, timeouts_max="view@r2=1", faults="crash=2"),
    _vr("V3", vr.V3, timeouts_max="view@r2=1,view@r3=1,retry@c2=1"),
)

BENIGN: tuple[tuple[Protocol, dict[str, Any]], ...] = (
    (paxos.PaxosSkipsBallots(), {"clients": 3, "commands": THREE, "timeouts_max": 0}),
    (paxos.PaxosUnanimous(), {"commands": PUTS, "timeouts_max": 0, "faults": "crash=1"}),
    (
        benign.TwoFirstNoOps(**SINGLE),
        {"commands": PUTS, "timeouts_max": "election=3", "faults": "crash=1"},
    ),
    (
        benign.TwoFirstEntries(**SLOWLY),
        {"commands": PUTS, "timeouts_max": "election=3", "faults": "crash=1"},
    ),
    (raft.SingleServer(**CALM), MUTANTS[20].bounds),
    (
        benign.WaitsForAll(**SINGLE),
        {"commands": PUTS, "timeouts_max": "view=2,retry=1", "faults": "crash=1"},
    ),
)
"""Changed, but right: nothing may be found."""
