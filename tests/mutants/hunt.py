"""Hunting mutants: the ordinary campaign, seed after seed, until one is caught; then shrinking.

    python -m tests.mutants.hunt              all of them
    python -m tests.mutants.hunt mutant-p1    one

A mutant chooses its replicas and parameters and nothing else: the faults are those of
`concur simulate PROTOCOL --faults all`, drawn from the seed.
"""

import sys
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from concur.base import Protocol
from concur.simulate.campaign import campaign
from concur.simulate.case import Case
from concur.simulate.shrink import Shrunk, shrink
from tests.mutants import multi_paxos

RUNS_MAX = 1000
BATCH = 10

ORDINARY: dict[str, Any] = {"faults": "all", "seconds": 10.0}
"""What `concur simulate PROTOCOL --faults all` runs. A mutant may choose its replicas and
parameters; the unbroken protocol runs exactly this too."""


class Mutant(msgspec.Struct, frozen=True):
    """A broken protocol. `breaks`: what must be seen to be violated, any of them. `seed`: the first
    with which the ordinary campaign catches it, None if none is known; `unbroken`: what it was made
    from."""

    protocol: Protocol
    replicas: int
    breaks: tuple[str, ...]
    seed: int | None
    unbroken: Protocol

    @property
    def name(self) -> str:
        return self.protocol.name

    def case(self, seed: int) -> Case:
        return Case(protocol=self.protocol, replicas=self.replicas, seed=seed, **ORDINARY)


class Catch(msgspec.Struct, frozen=True):
    """Which seed caught a mutant, after how many runs, and how it showed."""

    seed: int
    runs: int
    property: str
    reason: str
    seconds: float


PROMISE = ("votes_never_exceed_the_promise",)
"""A local property of acceptors, evaluated after every step, in a real cluster too."""
SAFETY = ("agreement", "linearizability", "linearizable", "at_most_one_leader_per_ballot")
HASTY: dict[str, Any] = {"heartbeat_s": 0.02, "election_timeout_s": (0.03, 0.06), "resend_s": 0.05}
"""Many ballots: some mutants need several of them to be at work at once."""
ALL_VOTE: dict[str, Any] = {"phase1_quorum": 1, "phase2_quorum": 3, **HASTY}
"""A command needs every vote, and a leader only its own: nobody else makes up for a lost vote."""

WHOLE = multi_paxos.MultiPaxos()
VOTING = multi_paxos.MultiPaxos(**ALL_VOTE)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(multi_paxos.P1(), 3, PROMISE + SAFETY, 3, WHOLE),
    Mutant(multi_paxos.P2(), 3, SAFETY, 16, WHOLE),
    Mutant(multi_paxos.P3(), 4, SAFETY, 4, WHOLE),
    Mutant(multi_paxos.P7(), 3, PROMISE + SAFETY, 0, WHOLE),
    Mutant(multi_paxos.WipedVotesAtOnce(), 3, SAFETY, 4, WHOLE),
    Mutant(multi_paxos.SendsBeforeSync(**ALL_VOTE), 3, SAFETY, 41, VOTING),
    Mutant(multi_paxos.PromiseOvertakesSync(**ALL_VOTE), 3, SAFETY, 493, VOTING),
)


def hunt(mutant: Mutant, runs_max: int = RUNS_MAX, first: int = 0) -> Catch | None:
    """Run seeds from `first` on until one catches the mutant; None if none of `runs_max` does."""
    begun = time.perf_counter()
    for start in range(first, first + runs_max, BATCH):
        seeds = range(start, min(start + BATCH, first + runs_max))
        found = campaign(mutant.protocol, seeds, replicas=mutant.replicas, **ORDINARY)
        for violation in sorted(found.violations, key=lambda violation: violation.seed):
            return Catch(
                violation.seed,
                violation.seed - first + 1,
                violation.property,
                violation.reason,
                time.perf_counter() - begun,
            )
    return None


def unbroken(mutant: Mutant, seed: int) -> Case:
    """The same run of the protocol that the mutant was made from."""
    return msgspec.structs.replace(mutant.case(seed), protocol=mutant.unbroken)


def smallest(mutant: Mutant, catch: Catch) -> Shrunk:
    """The smallest schedule found that still shows it."""
    return shrink(mutant.case(catch.seed))


def main(names: Iterable[str]) -> int:
    wanted = set(names)
    missed = 0
    for mutant in MUTANTS:
        if wanted and mutant.name not in wanted:
            continue
        catch = hunt(mutant)
        if catch is None:
            missed += 1
            print(f"{mutant.name}: NOT caught in {RUNS_MAX} runs", flush=True)
            continue
        print(
            f"{mutant.name}: seed {catch.seed}, {catch.runs} runs, {catch.seconds:.0f} s, "
            f"{catch.property}: {catch.reason[:200]}",
            flush=True,
        )
        print(smallest(mutant, catch), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
