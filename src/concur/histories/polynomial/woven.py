"""An order of all operations, out of moments at which the operations of each value can happen.

Problem: for a stack or a priority queue we find, value by value, moments for its operations at
which no other value is critical (`concur.histories.polynomial.lifetimes`) among those *not treated
yet*. These moments need not fit together: a value treated later may have its insertion before such
a moment and its removal after it, although it need not.

Idea (the proofs of Lee and Mathur's lemmas on linearizability-preserving values, with moments): an
operation in the order so far *separates* the values that come later, because at its moment none of
them is critical, so that each can be wholly before or wholly after. A value goes wholly before the
first operation in the order whose moment is not before its last call, thus after all earlier ones.
Its own moments are moved into that gap: they stay within its operations, and no value that comes
later into the same gap is critical at the ends of the gap. Hence the operations of a value are
placed with nothing of earlier values between them, and later values nest in the gaps.

Cost: O(n log n), where the insertions into the sorted list of moments are moves of memory.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Layer(NamedTuple):
    """The last call among the operations of a value, and (moment, position) of each operation that
    separates, in the order in which they have to be. `insert` comes before those, if it is to be
    placed but does not separate: others may be critical at its moment."""

    dying: int
    operations: Sequence[tuple[int, int]]
    insert: tuple[int, int] | None = None


def woven(layers: Iterable[Layer], end: int) -> dict[int, deque[int]]:
    """For each moment before `end`, what happens at it, in this order."""
    slots: dict[int, deque[int]] = {end: deque()}
    separating: set[int] = set()
    moments: list[int] = []  # the same, sorted
    for dying, operations, insert in layers:
        at = bisect_left(moments, dying)
        after = moments[at - 1] if at else -1
        before = moments[at] if at < len(moments) else end
        last = []
        for separates, operation in enumerate((insert, *operations)):
            if operation is None:
                continue
            moment = min(max(operation[0], after), before)
            if moment == before:
                last.append(operation[1])
                continue
            if moment not in slots:
                slots[moment] = deque()
            if separates and moment not in separating:
                separating.add(moment)
                insort(moments, moment)
            slots[moment].append(operation[1])
        slots[before].extendleft(reversed(last))
    del slots[end]
    return slots
