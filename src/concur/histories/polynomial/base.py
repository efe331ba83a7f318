"""What every polynomial algorithm answers, and how it says why."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline

READS = frozenset({"read", "get"})
WRITES = frozenset({"write", "put"})

INITIAL = -1
"""Stands among positions of operations for whoever put there what is there initially: the write of
a register's value, the insertion into a collection, the take of a lock."""

SHOWN_MAX = 8
"""How many operations or values an explanation lists in a row. (A core holds them all.)"""


class Decision(NamedTuple):
    """An object is linearizable, and `order` gives an order of its operations that shows it; or it
    is not, and `anomaly` says why, line by line.

    `order` holds positions: all operations with an outcome, and those without one that took
    effect in it.

    `core` holds positions that cannot be explained together, whatever became of the others: each of
    these may be kept, or taken away, or have its outcome forgotten, so that it takes effect at any
    moment after its call or never. Only a compare-and-set that was refused is to be kept or taken
    away: forgotten, it might have written. And the ranks stay as they are: those of what a process
    did in one instant depend on each other (`timeline`), and may differ in a history made anew.
    """

    anomaly: Sequence[str] = ()
    core: Sequence[int] = ()
    order: Callable[[], list[int]] = list


Decider = Callable[
    [Sequence[Operation], Sequence[int], Timeline, Specification],
    Decision | None,
]
"""Judges one object: the operations at these positions, with these ranks of call and return, of
which those that did not happen and reads without an outcome have been left out. None if the
algorithm does not apply to them; that is found out, never assumed."""


T = TypeVar("T")


def listed(items: Sequence[T], line: Callable[[T], str]) -> list[str]:
    """A line for each; if there are more than SHOWN_MAX, for the first ones and the last."""
    left_out = len(items) - SHOWN_MAX
    if left_out <= 0:
        return [line(item) for item in items]
    shown = [line(item) for item in items[: SHOWN_MAX - 1]]
    return [*shown, f"and so on, {left_out} more, up to", line(items[-1])]


def came_before(
    operations: Sequence[Operation], one: Any, ended: int, other: Any, started: int
) -> list[str]:
    """Value `one` was there first: an operation on it `ended` before one on the other `started`."""
    names = f"{phrase(one)} came before {phrase(other)}"
    if ended == INITIAL:
        return [f"{names}: it was there from the beginning"]
    return [
        f"{names}, since the first of these ended before the second began:",
        "  " + describe(operations[ended]),
        "  " + describe(operations[started]),
    ]
