"""Mutants: a protocol broken on purpose, and whether the tests notice.

A test suite that passes says little until it has been seen to fail. So break your protocol in one
place, say what must break with it, and see that the conformance suite or a campaign catches it:

    class ForgetsItsVote(Replica):
        voted_for: str = ""  # no longer durable

    class Forgetful(MyProtocol):
        name = "mutant-forgets-its-vote"
        replica = ForgetsItsVote

    MUTANT = Mutant(Forgetful(), breaks=("agreement",), unbroken=MyProtocol())

    hunt(MUTANT)                                  # a campaign, seed after seed, until one catches
    killed_by(MUTANT)                             # which checks of the suite fail
    check_protocol(MyProtocol(), mutants=[MUTANT])    # fails unless something catches it

`concur.testing.unsafe` breaks what nodes cannot break themselves: the order of disk and network.

A campaign is *ordinary* (all faults, as `concur simulate PROTOCOL --faults all` draws them) unless
the mutant names `faults`. A *directed* campaign must not raise alarms on what is right, so the
unbroken protocol runs the same cases too, `unbroken_seeds` of them.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from concur.base import Protocol
from concur.simulate.campaign import campaign
from concur.simulate.case import Case, failures
from concur.simulate.shrink import Shrunk, shrink

RUNS_MAX = 1000
"""Seeds that a hunt tries."""
BATCH = 10
"""Runs between two looks at what a campaign found."""


class Mutant(msgspec.Struct, frozen=True):
    """A broken protocol, and the campaign that is to catch it.

    `breaks`: what must be seen to be violated, any of them; empty accepts anything. `seed`: the
    first with which the campaign catches it, None if none is known. `unbroken`: the protocol that
    it was made from, with the same parameters; None if there is none to compare with.

    The campaign runs cases of `faults`, a kind list such as "amnesia=3,partition=2" or "all", of
    `seconds` of virtual time, with `spares` replicas that are no members at first. The unbroken
    protocol must pass the same cases with `seed` and with `unbroken_seeds`.
    """

    protocol: Protocol
    replicas: int = 3
    breaks: tuple[str, ...] = ()
    seed: int | None = None
    unbroken: Protocol | None = None
    faults: str = "all"
    spares: int = 0
    seconds: float = 10.0
    unbroken_seeds: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.protocol.label

    @property
    def directed(self) -> bool:
        """Whether it is hunted with faults of its own choice."""
        return self.faults != "all"

    def parameters(self) -> dict[str, Any]:
        """The fields of `Case` that it chooses, beyond protocol and seed."""
        chosen: dict[str, Any] = {"replicas": self.replicas, "faults": self.faults}
        chosen["seconds"] = self.seconds
        if self.spares:
            chosen["spares"] = self.spares
        return chosen

    def case(self, seed: int) -> Case:
        """One run of its campaign."""
        return Case(protocol=self.protocol, seed=seed, **self.parameters())

    def unbroken_case(self, seed: int) -> Case:
        """The same run of the protocol that it was made from."""
        assert self.unbroken is not None, f"{self.name} names no unbroken protocol"
        return Case(protocol=self.unbroken, seed=seed, **self.parameters())

    def counts(self, property: str) -> bool:
        """Whether this is one of the properties that it should break."""
        return not self.breaks or property in self.breaks


class Catch(msgspec.Struct, frozen=True):
    """Which seed caught a mutant, after how many runs, and how it showed."""

    seed: int
    runs: int
    property: str
    reason: str
    seconds: float


def hunt(
    mutant: Mutant,
    runs_max: int = RUNS_MAX,
    first: int = 0,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Catch | None:
    """Run seeds from `first` on until one catches the mutant; None if none of `runs_max` does.

    Only what the mutant `breaks` counts as a catch. `jobs` processes share the work; `progress` is
    called with the number of runs so far. Raises BadInput for a case that cannot be.
    """
    begun = time.perf_counter()
    batch = BATCH * max(jobs, 1)
    for start in range(first, first + runs_max, batch):
        seeds = range(start, min(start + batch, first + runs_max))
        found = campaign(mutant.protocol, seeds, jobs=jobs, **mutant.parameters())
        for violation in sorted(found.violations, key=lambda violation: violation.seed):
            if mutant.counts(violation.property):
                return Catch(
                    violation.seed,
                    violation.seed - first + 1,
                    violation.property,
                    violation.reason,
                    time.perf_counter() - begun,
                )
        if progress is not None:
            progress(seeds.stop - first)
    return None


def caught_with(mutant: Mutant, seed: int) -> tuple[tuple[str, str], ...]:
    """What one run of its campaign shows to be broken, of what it should break."""
    return tuple(found for found in failures(mutant.case(seed).run()) if mutant.counts(found[0]))


def alarms(mutant: Mutant, seeds: Iterable[int]) -> tuple[tuple[int, str, str], ...]:
    """What the same campaign holds against the unbroken protocol: (seed, property, reason).

    () if there is no unbroken protocol, or nothing is wrong with it.
    """
    if mutant.unbroken is None:
        return ()
    return tuple(
        (seed, property, reason)
        for seed in seeds
        for property, reason in failures(mutant.unbroken_case(seed).run())
    )


def smallest(mutant: Mutant, catch: Catch) -> Shrunk:
    """The smallest schedule of faults found that still shows it."""
    return shrink(mutant.case(catch.seed))
