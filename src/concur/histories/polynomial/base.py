"""What every polynomial algorithm answers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from concur.histories.history import Operation
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline


class Decision(NamedTuple):
    """An object is linearizable, and `order` gives an order of its operations that shows it; or it
    is not, and `anomaly` says why, line by line.

    `order` holds positions: all operations with an outcome, and those without one that took
    effect in it. `core` holds positions that cannot be explained together, whatever became of all
    the others: if these are taken away, or their outcomes forgotten, nothing changes.
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
