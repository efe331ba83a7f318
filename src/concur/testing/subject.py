"""What every check is given: the protocol, how much to try, and walks that are done only once."""

import unittest
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines import machine
from concur.testing.cluster import Violated
from concur.testing.laboratory import Laboratory
from concur.testing.reach import Reach
from concur.testing.transcripts import reached_by, transcripts_in
from concur.testing.walk import Walk

WALKS = 40
"""Random walks for an effort of 1."""
WATCHED = 8
"""How many of them are looked at step by step."""
WALK_STEPS = 900
TIGHT_EVERY = 4
"""One walk in so many is done under tight limits."""
TIGHT = 4
TIGHT_BYTES = 64
TIGHT_DELAY_S = 0.001
TIGHT_CLIENTS = 6
"""More clients than fit into a queue of TIGHT."""
CLIENTS = 2
TIGHTER = (1, 2, 4, 16, 64)
"""Limits become so many times TIGHT, the first that the protocol accepts."""
REPLICAS_TRIED = (3, 1, 2, 4, 5)


class CheckFailed(AssertionError):
    """A protocol breaks a rule. The message says which, what was seen, and how to fix it."""


class Inapplicable(unittest.SkipTest):
    """A check says nothing about this protocol; the message says why. Test runners skip it."""


Places = str | Path | Iterable[str | Path]


class Subject:
    """A protocol under test. `effort` scales how much is tried: 1 takes about 20 seconds.

    `transcripts` are the protocol's own; `unreachable` maps handlers to why nothing reaches them.
    """

    def __init__(
        self,
        protocol: Protocol,
        effort: float = 1.0,
        *,
        replicas: int = 0,
        transcripts: Places | None = None,
        unreachable: Mapping[str, str] | None = None,
    ) -> None:
        if not effort > 0:
            raise BadInput(f"effort: {effort!r}, expected a number above 0")
        self.protocol = protocol
        self.effort = effort
        self.transcripts = None if transcripts is None else transcripts_in(transcripts)
        self.unreachable = dict(unreachable or {})
        self._replicas = replicas
        self._laboratory: Laboratory | None = None
        self._broken: dict[str, str] = {}
        self._tight: Protocol | None = None
        self._reach = Reach()

    @property
    def name(self) -> str:
        return self.protocol.label

    @property
    def replicas(self) -> int:
        """How many replicas to run: 3, or what the protocol accepts instead."""
        if not self._replicas:
            wrong = ""
            for count in REPLICAS_TRIED:
                try:
                    self.protocol.validate(count)
                except BadInput as error:
                    wrong = wrong or str(error)
                else:
                    self._replicas = count
                    break
            else:
                raise CheckFailed(
                    f"{self.name}: validate() refuses 1 to 5 replicas: {wrong}. The defaults of "
                    "all parameters together must describe a protocol that runs."
                )
        return self._replicas

    def times(self, count: int) -> int:
        """`count`, scaled by the effort; at least 1."""
        return max(1, round(count * self.effort))

    def fail(self, what: str, fix: str = "") -> NoReturn:
        raise CheckFailed(f"{self.name}: {what}" + (f"\n  -> {fix}" if fix else ""))

    def needs(self, condition: bool, why_not: str) -> None:
        """Raise Inapplicable, which skips the check, unless `condition`."""
        if not condition:
            raise Inapplicable(why_not)

    @property
    def tight(self) -> Protocol:
        """The protocol with its limits near: parameters named ..._max and ..._every are small.

        Then a short walk fills queues, cuts logs and sends snapshots in pieces. A ..._delay_s that
        is off is on.
        """
        if self._tight is None:
            self._tight = tightened(self.protocol, self.replicas)
        return self._tight

    # --- walks ---------------------------------------------------------------------------------

    def laboratory(self) -> Laboratory:
        """What was seen on random walks; the same ones for all checks that ask."""
        if self._laboratory is None:
            self._walk()
        assert self._laboratory is not None
        return self._laboratory

    @property
    def reach(self) -> Reach:
        """Which handlers ran on the walks, and on the other clusters that checks drove so far."""
        self.laboratory()
        return self._reach

    def reached(self) -> Reach:
        """The same, and what the protocol's own transcripts ran."""
        total = Reach()
        total.add(self.reach)
        if self.transcripts is not None:
            total.add(reached_by(type(self.protocol), self.transcripts))
        return total

    def finding(self, check: str) -> None:
        """Fail with what the walks' watchers wrote down for `check`."""
        found = self.laboratory().findings.get(check)
        if found:
            self.fail(found)

    def broken(self, chosen: Callable[[str], bool]) -> str:
        """Why the first property broke whose name is `chosen`, with the walk; "" if none did."""
        self.laboratory()
        return next((why for name, why in self._broken.items() if chosen(name)), "")

    def _walk(self) -> None:
        lab = self._laboratory = Laboratory(machine("register"))
        for seed in range(self.times(WALKS)):
            watched = seed < self.times(WATCHED)
            tight = seed % TIGHT_EVERY == TIGHT_EVERY - 1
            walk = Walk(
                self.tight if tight else self.protocol,
                seed,
                replicas=self.replicas,
                clients=TIGHT_CLIENTS if tight else CLIENTS,
                machine_name=("register", "kv")[seed % 2],
                watchers=(lab.watch,) if watched else (),
                reach=self._reach,
            )
            try:
                walk.run(WALK_STEPS)
                walk.finish(refusals=tight)
                if self.protocol.tags.log:
                    verdict = walk.judge()
                    if verdict.valid is False:
                        self._note("histories_are_linearizable", verdict.reason, walk, tight)
            except Violated as broken:
                self._note(broken.property, str(broken), walk, tight)

    def _note(self, property: str, why: str, walk: Walk, tight: bool) -> None:
        where = f"random walk, seed {walk.seed}, step {walk.cluster.steps}"
        line = replay_line(walk, WALK_STEPS, refusals=tight)
        if property == "histories_are_linearizable":
            line += "; print(walk.judge().reason)"
        self._broken.setdefault(property, f"{why}\n  in a {where}; this shows it again:\n  {line}")


def replay_line(walk: Walk, steps: int, *, refusals: bool = False) -> str:
    """One line of Python that walks the same walk again, for whoever can import the protocol."""
    protocol = walk.cluster.protocol
    kind = type(protocol)
    return (
        f"from {kind.__module__} import {kind.__qualname__}; from concur.testing import Walk; "
        f"walk = Walk({protocol!r}, {walk.seed}, replicas={len(walk.cluster.config.members)}, "
        f"clients={len(walk.cluster.clients)}, machine_name={walk.machine.name!r}); "
        f"walk.run({steps}); "
        f"walk.finish({'refusals=True' if refusals else ''})"
    )


def tightened(protocol: Protocol, replicas: int) -> Protocol:
    """A copy whose limits are as low as it accepts, one parameter after the other."""
    tight = protocol.clone()
    for name, declared in type(protocol).parameters.items():
        value = getattr(protocol, name)
        if name.endswith("_delay_s") and value == 0:
            tight.set_params(**{name: TIGHT_DELAY_S})
        if type(value) is not int or not name.endswith(("_max", "_every")):
            continue
        small = TIGHT_BYTES if "bytes" in name else TIGHT
        for factor in TIGHTER:
            wanted = min(value, max(small * factor, round(declared.at_least or 0)))
            try:
                tight.set_params(**{name: wanted}).validate(replicas)
            except BadInput:
                tight.set_params(**{name: value})
            else:
                break
    return tight
