"""Removals whose outcome nobody heard, each of which may have taken a value that nobody else did.

Which took which is a choice that stacks and priority queues make only where an operation has no
moment otherwise.

* A value has a *deadline* if an operation was called after it was there that needs it to be gone:
  it must be before that operation returns. The values with the earliest deadlines are taken by the
  removals that were called first.
* `cut` then picks, of the moments that an operation without one could have, the first of those at
  which the fewest such values are in the way and nothing else is, and lets each of them be taken by
  the removal that was called last before.

If all ends well, that is a proof. If not, others might have been better: then the history is
invalid only if it would be even if *every* value that stayed could have been taken by the first of
those removals (`suppose_all_taken`); in between we do not know, and the decider declines.

Cost: O(n log n) for deadlines, O(n) for each cut, of which there are at most WORK_MAX / n.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from concur.histories.polynomial.lifetimes import NOBODY, Lifetime, Lifetimes

WORK_MAX = 1_000_000
"""How many values all cuts of a history together may look at."""


class Earliest:
    """The earliest return among intervals that begin after some moment (a Fenwick tree)."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._least = [end] * (end + 2)

    def add(self, first: int, last: int) -> None:
        node, least = self._end - first + 1, self._least
        while node < len(least):
            least[node] = min(least[node], last)
            node += node & -node

    def after(self, moment: int) -> int:
        """`end` if there is none."""
        earliest, node = self._end, self._end - moment
        while node > 0:
            earliest = min(earliest, self._least[node])
            node &= node - 1
        return earliest


def take_in_time(history: Lifetimes, deadlines: Iterable[tuple[int, int]]) -> None:
    """Let values, given by deadline and number, be taken by pending removals."""
    urgent = sorted(found for found in deadlines if found[0] < history.end)
    for removal, (deadline, number) in zip(history.pending, urgent, strict=False):
        if history.first[removal] <= deadline:
            take(history, history.all[number], removal)


def cut(
    history: Lifetimes, lifetimes: Sequence[Lifetime], blocked: Iterable[tuple[int, int]]
) -> bool:
    """Let pending removals take as few of `lifetimes` as give one of the blocked intervals a
    moment at which none of them is critical. False if that is not possible."""
    taken = {lifetime.removed_by for lifetime in history.all}
    left = [p for p in history.pending if p not in taken]
    history.work += len(history.all)
    if not left or history.work > WORK_MAX:
        return False
    first, end = history.first, history.end
    earliest = first[left[0]]
    fixed, movable, wanted = ([0] * (end + 2) for _ in range(3))
    for lifetime in lifetimes:
        begin, stop = lifetime.born + 1, lifetime.dying
        if begin >= stop:
            continue
        middle = stop
        if lifetime.removed_by == NOBODY:
            middle = min(stop, max(begin, lifetime.used, earliest))
        fixed[begin] += 1
        fixed[middle] -= 1
        movable[middle] += 1
        movable[stop] -= 1
    for begin, last in blocked:
        wanted[begin] += 1
        wanted[last + 1] -= 1
    called = [0] * (end + 2)
    for position in left:
        called[first[position]] += 1
    best, fewest = -1, len(left) + 1
    columns = zip(*map(accumulate, (fixed, movable, wanted, called)), strict=True)
    for moment, (stay, move, want, removals) in enumerate(columns):
        if want and not stay and 0 < move <= removals and move < fewest:
            best, fewest = moment, move
    if best < 0:
        return False
    usable = [p for p in left if first[p] <= best]
    for lifetime in lifetimes:
        if lifetime.covers(best):
            take(history, lifetime, usable.pop())
    return True


def take(history: Lifetimes, lifetime: Lifetime, removal: int) -> None:
    """Let the pending `removal` have taken this value."""
    lifetime.removed_by = removal
    lifetime.accesses.append(removal)
    suppose_taken(history, lifetime, removal)


def suppose_all_taken(history: Lifetimes) -> None:
    """As if the first pending removal could have taken each of the values that stayed."""
    pending = set(history.pending)
    for lifetime in history.all:
        if lifetime.removed_by in pending:
            lifetime.accesses.remove(lifetime.removed_by)
            lifetime.removed_by = NOBODY
        if lifetime.removed_by == NOBODY:
            suppose_taken(history, lifetime, history.pending[0])


def suppose_taken(history: Lifetimes, lifetime: Lifetime, removal: int) -> None:
    lifetime.dying, lifetime.dying_by = lifetime.used, lifetime.used_by
    if history.first[removal] > lifetime.used:
        lifetime.dying, lifetime.dying_by = history.first[removal], removal
