"""Linearizability of a first-in first-out queue into which no value is put twice, in O(n log n).

Problem: enqueues that overlap may have happened in any order, and what comes out tells which one
only in part.

Idea (Henzinger, Sezgin and Vafeiadis, "Aspect-oriented linearizability proofs", CONCUR 2013; Lee
and Mathur, OOPSLA 2025, arXiv 2410.04581, the section on queues): values leave in the order in
which they came, so there is one order of values, and `v` must be before `w` in it iff

* *back*: `v` must have been enqueued before `w` was, or
* *front*: some peek or dequeue that saw `v` returned before one that saw `w` was called.

Any order of values that respects both is enough: let each operation happen at the earliest moment
that its call and the earlier values allow, first in the order of enqueues, then in that of peeks
and dequeues. So we take values from the front, again and again: one to which nothing that is left
must be before. What must have been enqueued first, and what must have been at the front first, are
the minima of what is left, so that these two (and a second one, for the value that is itself at the
front first) decide whether a value may be next. If none may, each has one of these three before it,
and at most three values go round in a circle. (Without peeks two would do: CONCUR 2013. With them
three may be needed.)

Without an outcome: a value that nobody took stays, and is at the front after everything. Only when
no other value may be next we let it be taken by a pending dequeue, the last one that may be. Of
what is left, `x` that must have been enqueued first is then in the way of a value that came out:
either `x` is taken before that comes out, or nothing explains it. The limit, that the dequeue was
called before the next value at the front was seen there, only grows later on, so a dequeue that is
called before it now will do for all that follow as well, and which we use does not matter. That is
exact unless a value that nobody took was peeked at, or a moment is needed at which the queue is
empty (`concur.histories.polynomial.lost`); if one of these matters, the decider declines.

What found nothing needs a moment at which no value is critical (`...polynomial.lifetimes`). All
values that are before such a moment go first; nothing forbids that, by definition of "critical".

Lengths that were told are added at the end (`concur.histories.polynomial.lengths`).

Cost: O(n log n) for sorting and a heap.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from heapq import heappop, heappush, merge

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.polynomial.base import Decision, came_before, listed
from concur.histories.polynomial.gather import lifetimes
from concur.histories.polynomial.lengths import with_lengths
from concur.histories.polynomial.lifetimes import (
    NOBODY,
    Blocked,
    Lifetime,
    Lifetimes,
    explain_blocked,
)
from concur.histories.polynomial.lost import cut, suppose_all_taken, take
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline
from concur.machines.queue import LENGTH_MAX

ENQUEUES = ("enqueue",)
DEQUEUES = ("dequeue",)
PEEKS = ("peek",)


def queue(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one queue. Does not apply if a value that was seen was enqueued twice, if the queue may
    have been full, if it depends on which values were taken by dequeues without an outcome and
    values were peeked at that stayed, or the queue was found empty, nor if lengths were told that
    do not fit into the order found.
    """
    lengths = [position for position in positions if operations[position].f == "length"]
    if not lengths:
        return _judge(operations, positions, timeline, specification)
    rest = [position for position in positions if operations[position].f != "length"]
    decision = _judge(operations, rest, timeline, specification)
    if decision is None:
        return None
    start = len(getattr(specification, "start", ()))
    return with_lengths(decision, operations, timeline, lengths, start, ENQUEUES, DEQUEUES)


def _judge(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """By all but lengths."""
    history = lifetimes(operations, positions, timeline, specification, ENQUEUES, DEQUEUES, PEEKS)
    if not isinstance(history, Lifetimes):
        return history
    if _length_max(history) > LENGTH_MAX:
        return None
    front = _Front(history)
    if front.stuck and not any(v.accesses and v.removed_by == NOBODY for v in history.all):
        return front.explain()
    found = history.moments_of_empty()
    while isinstance(found, Blocked) and cut(history, history.all, [(found.first, found.last)]):
        found = history.moments_of_empty()
        front = _Front(history)
    if not front.stuck and not isinstance(found, Blocked):
        return Decision(order=partial(_order, history, front.order, found))
    if history.pending:
        suppose_all_taken(history)
        found = history.moments_of_empty()
    if isinstance(found, Blocked):
        return explain_blocked(history, found, "a value")
    front = _Front(history, supply=False)
    return front.explain() if front.stuck else None


def _length_max(history: Lifetimes) -> int:
    """More values than there ever were at once."""
    if len(history.all) <= LENGTH_MAX:
        return len(history.all)
    changes = [0] * (history.end + 2)
    for lifetime in history.all:
        changes[lifetime.called] += 1
        if lifetime.removed_by != NOBODY:
            changes[history.last[lifetime.removed_by] + 1] -= 1
    length = most = 0
    for change in changes:
        length += change
        most = max(most, length)
    return most


class _Front:
    """Values in the order in which they were at the front; and whether it got stuck before all were
    taken from the back."""

    def __init__(self, history: Lifetimes, supply: bool = True) -> None:
        self.history = history
        self.order: list[Lifetime] = []
        self.stuck = False
        self.lost: list[tuple[Lifetime, list[Lifetime]]] = []  # had to be taken, because of these
        taken = {lifetime.removed_by for lifetime in history.all}
        self._pending = [p for p in reversed(history.pending) if supply and p not in taken]
        self._usable: list[int] = []  # of these, those called before the limit, which only grows
        self._placed = [False] * len(history.all)
        self._calls = sorted(history.all, key=lambda v: v.called)
        self._called = 0
        self._births = sorted(history.all, key=lambda v: v.born)
        self._first_births = 0
        self._sights = sorted(history.all, key=lambda v: v.seen)
        self._first_sights = self._second_sights = 0
        self._ready: list[tuple[int, int]] = []  # nothing need have been enqueued before
        while len(self.order) < len(history.all) and not self.stuck:
            self._next()

    def _next(self) -> None:
        oldest = self._oldest()
        while self._called < len(self._calls):
            value = self._calls[self._called]
            if value.called > oldest.born:
                break
            heappush(self._ready, (value.dying, value.number))
            self._called += 1
        while self._ready and self._placed[self._ready[0][1]]:
            heappop(self._ready)
        first, limit, second = self._nearest()
        if self._ready and self._ready[0][0] <= limit:
            self._place(self.history.all[heappop(self._ready)[1]])
        elif first.called <= oldest.born and first.dying <= second:
            self._place(first)
        elif not self._lose(oldest, first, second if oldest is first else limit):
            self.stuck = True

    def _place(self, value: Lifetime) -> None:
        self._placed[value.number] = True
        self.order.append(value)

    def _oldest(self) -> Lifetime:
        """That must have been enqueued first of all that are left."""
        while self._placed[self._births[self._first_births].number]:
            self._first_births += 1
        return self._births[self._first_births]

    def _nearest(self) -> tuple[Lifetime, int, int]:
        """That must have been at the front first, by when, and the second such moment."""
        while self._placed[self._sights[self._first_sights].number]:
            self._first_sights += 1
        second = self._after_first()
        first = self._sights[self._first_sights]
        return first, first.seen, self.history.end if second is None else second.seen

    def _after_first(self) -> Lifetime | None:
        self._second_sights = max(self._second_sights, self._first_sights + 1)
        while self._second_sights < len(self._sights):
            second = self._sights[self._second_sights]
            if not self._placed[second.number]:
                return second
            self._second_sights += 1
        return None

    def _lose(self, oldest: Lifetime, first: Lifetime, limit: int) -> bool:
        """Let a pending dequeue have taken `oldest`, which is in the way."""
        history = self.history
        while self._pending and history.first[self._pending[-1]] <= limit:
            self._usable.append(self._pending.pop())
        if not self._usable or oldest.removed_by != NOBODY or oldest.used > limit:
            return False
        self.lost.append((oldest, [v for v in (first, self._after_first()) if v is not None]))
        take(history, oldest, self._usable.pop())
        self._place(oldest)
        return True

    def explain(self) -> Decision:
        """A circle of values, each of which must be before the next."""
        history = self.history
        oldest = self._oldest()
        first, _, _ = self._nearest()
        second = self._after_first()

        def before(value: Lifetime) -> Lifetime:
            if value.called > oldest.born:
                return oldest
            return second if value is first and second is not None else first

        circle = [first]
        while before(circle[-1]) not in circle:
            circle.append(before(circle[-1]))
        circle = circle[circle.index(before(circle[-1])) :]
        lines: list[str] = []
        core: list[int] = []
        for later in circle:
            earlier = before(later)
            lines += self._because(earlier, later)
            core += [p for v in (earlier, later) for p in (v.insert, v.removed_by)]
            if earlier is oldest and later.called > oldest.born:
                core += [earlier.born_by, later.insert]
            else:
                core += [earlier.seen_by, later.dying_by]
                if later.removed_by == NOBODY:
                    core += history.evidence(later, earlier.seen)
        if self.lost and any(value.removed_by == NOBODY for value in circle):
            lines.append(
                "and each dequeue that may have taken a value and left no trace was needed"
            )
            lines += listed(self.lost, lambda lost: f"  for {phrase(lost[0].value)}")
            for value, others in self.lost:
                for other in (value, *others):
                    core += [other.born_by, other.seen_by, other.dying_by, other.used_by]
                    core += other.positions()
        return Decision(lines, sorted({p for p in core if p >= 0}))

    def _because(self, earlier: Lifetime, later: Lifetime) -> list[str]:
        operations = self.history.operations
        if later.called > earlier.born:
            first, second = earlier.born_by, later.insert
            return came_before(operations, earlier.value, first, later.value, second)
        names = f"{phrase(earlier.value)} came before {phrase(later.value)}"
        lines = [f"{names}, which was at the front after"]
        lines.append("  " + describe(operations[earlier.seen_by]))
        if later.dying_by == NOBODY:
            return [*lines, "  since nothing that is known to have happened took it"]
        return [*lines, "  as is seen by", "  " + describe(operations[later.dying_by])]


def _order(history: Lifetimes, values: Sequence[Lifetime], empty: dict[int, int]) -> list[int]:
    """Between moments at which the queue was found empty: what was enqueued there, and what came
    to the front, each as early as may be."""
    pauses = sorted({*empty.values(), history.end})
    groups: list[list[Lifetime]] = [[] for _ in pauses]
    for value in values:
        groups[bisect_left(pauses, value.dying)].append(value)
    found_empty: dict[int, list[int]] = {pause: [] for pause in pauses}
    for position, moment in empty.items():
        found_empty[moment].append(position)
    order: list[int] = []
    start = -1
    for pause, group in zip(pauses, groups, strict=True):
        back, front = [], []
        moment = start
        for number, value in enumerate(group):
            moment = max(moment, value.called)
            back.append((moment, 0, number, value.insert))
        moment = start
        for number, value in enumerate(group):
            peeks = [p for p in value.accesses if p != value.removed_by]
            accesses = sorted((history.interval(value, p)[0], p) for p in peeks)
            if value.removed_by != NOBODY:
                accesses.append((value.dying, value.removed_by))
            for called, position in accesses:
                moment = max(moment, called)
                front.append((moment, 1, number, position))
            if value.removed_by == NOBODY:
                break  # all that follow stay behind it
        order += [p for moment, _, _, p in merge(back, front) if p >= 0 and moment < history.end]
        order += found_empty[pause]
        start = pause
    return order
