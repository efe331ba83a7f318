"""A set: add, remove, contains, and a read of all of it, in any order.

What `add` and `remove` give is not recorded by most tools; where it is a boolean, it says whether
the set was changed.
"""

from bisect import bisect_left
from itertools import pairwise
from typing import Any

import msgspec

from concur.histories.history import Event
from concur.histories.models.base import Model, fit, frozen, rank, values_of
from concur.machines.base import MachineCommand


class Add(MachineCommand, frozen=True):
    """-> whether it was not there."""

    value: Any


class Remove(MachineCommand, frozen=True):
    """-> whether it was there."""

    value: Any


class Contains(MachineCommand, frozen=True):
    """-> whether it is there."""

    value: Any


class Read(MachineCommand, frozen=True):
    """-> all values, sorted."""


KINDS = {"add": Add, "remove": Remove, "contains": Contains}


class SetModel(Model):
    """`add`, `remove`, `contains` with the value; `read`. Initially empty, or a list of values."""

    name = "set"
    words = ("read",)
    commands = (Add, Remove, Contains, Read)
    starts = ()
    blind = ("add", "remove")

    def starting(self, initial: Any) -> tuple[Any, ...]:
        values = tuple(sorted(values_of(self, initial), key=rank))
        ranks = list(map(rank, values))
        if any(a == b for a, b in pairwise(ranks)):
            raise self.wrong_initial(initial, "a list of different values")
        return values

    def admit(self, event: Event, asked: Event) -> Event:
        if event.type == "ok" and isinstance(event.value, tuple):
            return msgspec.structs.replace(event, value=tuple(sorted(event.value, key=rank)))
        return event

    def unrecorded(self, f: str, value: Any, result: Any) -> bool:
        return f in self.blind and type(result) is not bool

    def read_only(self, command: Any) -> bool:
        return isinstance(command, Contains | Read)

    def command(self, f: str, key: Any, value: Any) -> Any:
        if f == "read":
            return Read()
        if f not in KINDS:
            raise self.unknown_event(f, key, value)
        if value is None or not fit(value):
            raise self.unknown_event(f, key, value, "no value")
        return KINDS[f](frozen(value))

    def event(self, command: Any) -> tuple[str, Any, Any]:
        if isinstance(command, Read):
            return "read", None, None
        f = next(f for f, kind in KINDS.items() if type(command) is kind)
        return f, None, command.value

    def apply(self, state: tuple[Any, ...], command: Any) -> tuple[tuple[Any, ...], Any]:
        if isinstance(command, Read):
            return state, state
        wanted = rank(command.value)
        at = bisect_left(state, wanted, key=rank)
        there = at < len(state) and rank(state[at]) == wanted
        if isinstance(command, Contains) or there is isinstance(command, Add):
            return state, there and isinstance(command, Contains)
        if isinstance(command, Add):
            return (*state[:at], command.value, *state[at:]), True
        return (*state[:at], *state[at + 1 :]), True
