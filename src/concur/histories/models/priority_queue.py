"""A priority queue: insert, delete-min, find-min; smallest value first.

Values compare as they do in Python within one type; a pair [priority, value] is ordered by its
priority first. `enqueue`, `dequeue` and `peek` are other names of the three operations. The second
gives null if there is nothing.
"""

from bisect import bisect_left
from typing import Any

from concur.histories.models.base import Model, fit, frozen, rank, values_of
from concur.machines.base import MachineCommand


class Insert(MachineCommand, frozen=True):
    """-> None."""

    value: Any


class DeleteMin(MachineCommand, frozen=True):
    """-> the smallest value, None if there is none."""


class FindMin(MachineCommand, frozen=True):
    """-> the smallest value, which stays; None if there is none."""


class PriorityQueueModel(Model):
    """`insert` with the value; `delete-min`, `find-min`. Initially empty, or a list of values."""

    name = "priority-queue"
    commands = (Insert, DeleteMin, FindMin)
    starts = ()
    blind = ("insert", "enqueue")

    def starting(self, initial: Any) -> tuple[Any, ...]:
        return tuple(sorted(values_of(self, initial), key=rank))

    def read_only(self, command: Any) -> bool:
        return type(command) is FindMin

    def command(self, f: str, key: Any, value: Any) -> Any:
        if f in ("insert", "enqueue") and value is not None and fit(value):
            return Insert(frozen(value))
        if f in ("delete-min", "dequeue"):
            return DeleteMin()
        if f in ("find-min", "peek"):
            return FindMin()
        raise self.unknown_event(f, key, value)

    def event(self, command: Any) -> tuple[str, Any, Any]:
        if isinstance(command, Insert):
            return "insert", None, command.value
        return ("delete-min" if isinstance(command, DeleteMin) else "find-min"), None, None

    def apply(self, state: tuple[Any, ...], command: Any) -> tuple[tuple[Any, ...], Any]:
        if isinstance(command, Insert):
            at = bisect_left(state, rank(command.value), key=rank)
            return (*state[:at], command.value, *state[at:]), None
        if not state:
            return state, None
        return (state[1:] if isinstance(command, DeleteMin) else state), state[0]
