"""Linearizability of a priority queue into which no value is put twice, in O(n log n).

Problem: as for all collections, deciding it is NP-complete as long as equal values are inserted
(Gibbons and Korach 1997, Gibbons, Bruno and Phillips 2002).

Idea (Lee and Mathur, OOPSLA 2025, arXiv 2410.04581, the section on priority queues): a value may be
seen by delete-min or find-min only while nothing smaller is there. So each such operation needs a
moment in it at which no smaller value is critical. That is enough: take the values from the largest
to the smallest. At the moments of a value each smaller one can be wholly before or wholly after, so
the operations of the smaller ones fall into independent groups between these moments
(`concur.histories.polynomial.woven`). An insertion must be in the group of its value and else does
not matter: it happens when it is called, or when the group begins.

Here: go through the values from the smallest to the largest, and keep the moments at which one of
them so far is critical in a forest that finds the next moment that is free (union by skipping).
Operations that found nothing come last: they need a moment that is free of all.

Cost: sorting, and amortised O(log n) for each find; each moment is covered once.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from concur.histories.history import Operation
from concur.histories.models.base import frozen, rank
from concur.histories.polynomial.base import Decision
from concur.histories.polynomial.gather import lifetimes
from concur.histories.polynomial.lifetimes import (
    NOBODY,
    Blocked,
    Lifetime,
    Lifetimes,
    Moments,
    explain_blocked,
)
from concur.histories.polynomial.lost import Earliest, cut, suppose_all_taken, take_in_time
from concur.histories.polynomial.woven import Layer, woven
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline

INSERTS = ("insert", "enqueue")
REMOVALS = ("delete-min", "dequeue")
PEEKS = ("find-min", "peek")


def priority_queue(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one priority queue. Does not apply if a value that was seen was inserted twice, nor if
    it depends on which values were taken by removals without an outcome."""
    history = lifetimes(operations, positions, timeline, specification, INSERTS, REMOVALS, PEEKS)
    if not isinstance(history, Lifetimes):
        return history
    values = sorted(history.all, key=lambda lifetime: rank(frozen(lifetime.value)))
    if history.pending and isinstance(_moments(history, values), Blocked):
        take_in_time(history, _deadlines(history, values))
    while True:
        found = _moments(history, values)
        if not isinstance(found, Blocked):
            return Decision(order=partial(_order, history, values, found))
        if not cut(history, found.others, [(found.first, found.last)]):
            break
    if history.pending:
        suppose_all_taken(history)
        found = _moments(history, values)
        if not isinstance(found, Blocked):
            return None
    what = "a value" if found.saw is None else "a smaller value"
    return explain_blocked(history, found, what)


def _deadlines(history: Lifetimes, values: Sequence[Lifetime]) -> Iterator[tuple[int, int]]:
    """A value that nobody is known to have taken was gone before anything larger was seen by an
    operation that was called after it was there."""
    gone = Earliest(history.end)
    for position in history.empty:
        gone.add(history.first[position], history.last[position])
    for lifetime in reversed(values):
        if lifetime.removed_by == NOBODY:
            yield gone.after(lifetime.born), lifetime.number
        for access in lifetime.accesses:
            gone.add(*history.interval(lifetime, access))


def _moments(history: Lifetimes, values: Sequence[Lifetime]) -> dict[int, int] | Blocked:
    """For each operation that saw something or found nothing, when it can have happened; or of
    those that cannot, the one that had to come first."""
    free = Moments(history.end)
    moments: dict[int, int] = {}
    blocked: tuple[int, int, int, int] | None = None  # last, first moment, position, value
    for number, lifetime in enumerate(values):
        for access in lifetime.accesses:
            first, last = history.interval(lifetime, access)
            moments[access] = moment = free.free(first)
            if moment > last and (blocked is None or last < blocked[0]):
                blocked = last, first, access, number
        free.cover(lifetime)
    if blocked is not None:
        last, first, access, number = blocked
        return Blocked(access, first, last, values[number], values[:number])
    found = history.moments_of_empty(free)
    return found if isinstance(found, Blocked) else moments | found


def _order(history: Lifetimes, values: Sequence[Lifetime], moments: dict[int, int]) -> list[int]:
    def layers() -> Iterator[Layer]:
        yield Layer(0, [(moments[p], p) for p in history.empty])
        for lifetime in reversed(values):
            seen = sorted((moments[p], p) for p in lifetime.accesses if p != lifetime.removed_by)
            if lifetime.removed_by != NOBODY:  # it can be where another is that is later
                latest = max(moments[p] for p in lifetime.accesses)
                seen.append((latest, lifetime.removed_by))
            yield Layer(lifetime.dying, seen, (lifetime.called, lifetime.insert))

    slots = woven(layers(), history.end)
    return [p for moment in sorted(slots) for p in slots[moment] if p >= 0]
