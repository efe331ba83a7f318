"""What every check is given: the protocol, how much to try, and walks that are done only once."""

import unittest
from collections.abc import Callable
from typing import NoReturn

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines import machine
from concur.testing.cluster import Violated
from concur.testing.laboratory import Laboratory
from concur.testing.walk import Walk

WALKS = 40
"""Random walks for an effort of 1."""
WATCHED = 8
"""How many of them are looked at step by step."""
WALK_STEPS = 900
REPLICAS_TRIED = (3, 1, 2, 4, 5)


class CheckFailed(AssertionError):
    """A protocol breaks a rule. The message says which, what was seen, and how to fix it."""


class Inapplicable(unittest.SkipTest):
    """A check says nothing about this protocol; the message says why. Test runners skip it."""


class Subject:
    """A protocol under test. `effort` scales how much is tried: 1 takes about 20 seconds."""

    def __init__(self, protocol: Protocol, effort: float = 1.0) -> None:
        if not effort > 0:
            raise BadInput(f"effort: {effort!r}, expected a number above 0")
        self.protocol = protocol
        self.effort = effort
        self._replicas = 0
        self._laboratory: Laboratory | None = None
        self._broken: dict[str, str] = {}

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

    # --- walks ---------------------------------------------------------------------------------

    def laboratory(self) -> Laboratory:
        """What was seen on random walks; the same ones for all checks that ask."""
        if self._laboratory is None:
            self._walk()
        assert self._laboratory is not None
        return self._laboratory

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
            walk = Walk(
                self.protocol,
                seed,
                replicas=self.replicas,
                machine_name=("register", "kv")[seed % 2],
                watchers=(lab.watch,) if watched else (),
            )
            try:
                walk.run(WALK_STEPS)
                walk.finish()
                if self.protocol.tags.log:
                    verdict = walk.judge()
                    if verdict.valid is False:
                        self._note("histories_are_linearizable", verdict.reason, walk)
            except Violated as broken:
                self._note(broken.property, str(broken), walk)

    def _note(self, property: str, why: str, walk: Walk) -> None:
        where = (
            f"random walk, seed {walk.seed}, step {walk.cluster.steps}: "
            f"concur.testing.walk.Walk(protocol, {walk.seed}, replicas={self.replicas}, "
            f'machine_name="{walk.machine.name}").run({WALK_STEPS}) shows it again'
        )
        self._broken.setdefault(property, f"{why}\n  in a {where}")
