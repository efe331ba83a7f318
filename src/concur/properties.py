"""Properties: pure folds over what nodes decide, observe and complete (CORE.md, 22).

A property is a sentence with a state of its own. `after(state, node, effect)` returns the next
state and raises `Broken` when the sentence stops being true. The simulator, the model checker and
the cluster feed the same folds, in the order in which effects become visible.
"""

from typing import Any, ClassVar

import msgspec

from concur.effects import Decide, Observe
from concur.errors import ConcurError
from concur.messages import Command
from concur.values import Map

WINDOW_MAX = 100_000
"""Slots that `Agreement` remembers below the highest: the memory of a long run stays bounded."""


class Broken(ConcurError):
    """A property does not hold; the message says why."""


class Violation(msgspec.Struct, frozen=True):
    """Which property broke, where and when; `time_ns` is virtual time, `step` counts from 1."""

    property: str
    reason: str
    node: str
    time_ns: int
    step: int


class Property:
    """Base of global properties."""

    name: ClassVar[str] = ""
    watches: ClassVar[tuple[type, ...]] = (Decide, Observe)

    def initial(self) -> Any:
        return None

    def after(self, state: Any, node: str, effect: Decide | Observe) -> Any:
        raise NotImplementedError


class Agreement(Property):
    """No two nodes decide differently for one slot, nor one node at two times."""

    name = "agreement"
    watches = (Decide,)

    def initial(self) -> tuple[Map[int, Command], int]:
        return Map(), 0

    def after(self, state: Any, node: str, effect: Decide | Observe) -> Any:
        assert type(effect) is Decide
        chosen, top = state
        slot, command = effect.slot, effect.command
        known = chosen.get(slot)
        if known is not None:
            if known is not command and known != command:
                raise Broken(f"slot {slot}: {node} decided {command}, but {known} was decided")
            return state
        if slot > top:
            if slot > WINDOW_MAX:
                chosen = chosen.without(range(max(1, top - WINDOW_MAX), slot - WINDOW_MAX))
            top = slot
        elif slot < top - WINDOW_MAX:
            return state
        return chosen.put(slot, command), top


class LeaderUniqueness(Property):
    """At most one node leads in a ballot, term or view; `observe("leader", ballot)` tells."""

    name = "at_most_one_leader_per_ballot"
    watches = (Observe,)

    def initial(self) -> Map[Any, str]:
        return Map()

    def after(self, state: Any, node: str, effect: Decide | Observe) -> Any:
        if type(effect) is not Observe or effect.name != "leader":
            return state
        (ballot,) = effect.values
        known = state.get(ballot)
        if known not in (None, node):
            raise Broken(f"{node} and {known} both lead in {ballot}")
        return state.put(ballot, node)


STANDARD: tuple[Property, ...] = (Agreement(), LeaderUniqueness())
"""What every protocol must keep. Validity and integrity are checked by whoever knows the inputs."""
