"""From when to when a value must have been in a collection: what queues, stacks and priority queues
have in common.

If no value is inserted twice, whoever removed or peeked at it names its insertion. Between the
first return and the last call among the operations of a value it was certainly there: that is its
*critical interval* (Lee and Mathur, "Efficient decrease-and-conquer linearizability monitoring",
OOPSLA 2025, arXiv 2410.04581; for registers these are the forward zones of Gibbons and Korach). A
value that nobody removed is there to the end, as if all such were removed after everything else.

**Moments.** Real time matters only up to this: sort calls and returns by time and cut wherever a
call follows a return. Each piece, some calls and then some returns, has one *moment* in its middle
at which all operations are open that are open anywhere in it, and no other values critical than
are critical in all of it. So an operation is an interval of moments, one after the other; `a`
precedes `b` iff the last moment of `a` is before the first of `b`; and operations only ever need
to happen at moments. The last moment, `end`, comes after everything.

**What found it empty.** A removal or peek that found nothing needs a moment in it at which no
value is critical. That is also enough, if all the rest is linearizable: at such a moment each value
can be wholly before or wholly after, since it has no return before and call after it, and the
legal orders of these collections stay legal if all operations of some values are left out.

**Without an outcome.** An insertion whose value nobody saw can be left out. A removal may have
taken any one value that nobody else removed, which then is critical only up to its call. That
helps as soon as a moment is needed at which it would be there otherwise. Which value it was is a
matter of choice: `concur.histories.polynomial.lost` and the queue choose.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.polynomial.base import SHOWN_MAX, Decision

NOBODY = -2
"""Stands for the operation that removed a value, if none did."""


class Lifetime:
    """The operations of one value, and the moments between which it was there."""

    __slots__ = (
        "accesses",
        "born",
        "born_by",
        "called",
        "dying",
        "dying_by",
        "insert",
        "number",
        "removed_by",
        "seen",
        "seen_by",
        "used",
        "used_by",
        "value",
    )

    def __init__(self, number: int, value: Any, insert: int, called: int, end: int) -> None:
        self.number = number  # among all lifetimes
        self.value = value
        self.insert = insert  # position, like the next three
        self.removed_by = NOBODY
        self.accesses: list[int] = []  # peeks and removal
        self.called = called  # first moment of the insertion
        self.born = end  # the last moment at which it can have been inserted ...
        self.born_by = insert  # ... and by whose return
        self.seen = end  # the last moment at which it can have been accessed first ...
        self.seen_by = NOBODY
        self.used = called  # the last call of an operation on it ...
        self.used_by = insert  # ... and whose
        self.dying = end  # the first moment at which it can have been removed ...
        self.dying_by = NOBODY

    def covers(self, moment: int) -> bool:
        """Whether it must have been there."""
        return self.born < moment < self.dying

    def positions(self) -> list[int]:
        return [p for p in (self.insert, *self.accesses) if p >= 0]


class Moments:
    """Those at which nothing so far is critical: a forest whose roots they are."""

    def __init__(self, end: int) -> None:
        self._next = list(range(end + 2))

    def free(self, moment: int) -> int:
        """The first of them from `moment` on."""
        after = self._next
        while after[moment] != moment:
            after[moment] = moment = after[after[moment]]
        return moment

    def cover(self, lifetime: Lifetime) -> None:
        moment = self.free(lifetime.born + 1)
        while moment < lifetime.dying:
            self._next[moment] = moment + 1
            moment = self.free(moment + 1)


class Blocked(NamedTuple):
    """An operation without a moment: what it saw, if anything, and what is in the way."""

    position: int
    first: int
    last: int
    saw: Lifetime | None
    others: Sequence[Lifetime]


class Lifetimes:
    """All values of a history, with the operations that found nothing and those pending."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self.all: list[Lifetime] = []
        self.first: dict[int, int] = {}  # moments of each position
        self.last: dict[int, int] = {}
        self.end = 0
        self.empty: list[int] = []  # found nothing
        self.pending: list[int] = []  # removals without an outcome, by their first moment
        self.removals: list[int] = []  # with one
        self.work = 0  # done to find out which value which pending removal took

    def moments_of_empty(self, free: Moments | None = None) -> dict[int, int] | Blocked:
        """When what found nothing can have happened: at moments at which no value is critical.
        `free`, if they are known already."""
        moments: dict[int, int] = {}
        if not self.empty:
            return moments
        if free is None:
            free = Moments(self.end)
            for lifetime in self.all:
                free.cover(lifetime)
        for position in self.empty:
            first, last = self.first[position], self.last[position]
            moments[position] = moment = free.free(first)
            if moment > last:
                return Blocked(position, first, last, None, self.all)
        return moments

    def cover(self, lifetimes: Sequence[Lifetime], moment: int, last: int) -> list[Lifetime]:
        """Few of `lifetimes` that together must have been there from `moment` to `last`; empty if
        there is a moment at which none must."""
        chain = []
        while moment <= last:
            around = [lifetime for lifetime in lifetimes if lifetime.covers(moment)]
            if not around:
                return []
            chain.append(max(around, key=lambda lifetime: lifetime.dying))
            moment = chain[-1].dying
        return chain

    def interval(self, lifetime: Lifetime, access: int) -> tuple[int, int]:
        """When it can have happened, given the insertion and the removal of what it saw."""
        last = self.last[access]
        if lifetime.removed_by != NOBODY:
            last = min(last, self.last[lifetime.removed_by])
        return max(self.first[access], lifetime.called), last

    def presence(self, lifetime: Lifetime) -> list[str]:
        """Why it must have been there."""
        name, operations = phrase(lifetime.value), self.operations
        lines = [f"{name} was there from the beginning"]
        if lifetime.born_by >= 0:
            lines = [f"{name} was there after", "  " + describe(operations[lifetime.born_by])]
        if lifetime.dying_by == NOBODY:
            return [*lines, "  and nothing that is known to have happened removed it"]
        if operations[lifetime.dying_by].type == "info":
            until = "until a removal that may have been its, whose outcome is unknown:"
            return [*lines, "  " + until, "  " + describe(operations[lifetime.dying_by])]
        return [*lines, "  before", "  " + describe(operations[lifetime.dying_by])]

    def evidence(self, lifetime: Lifetime, until: int) -> list[int]:
        """Positions that show that it was there: if nothing removed it, what all those removed
        that could have."""
        found = [lifetime.insert, lifetime.born_by, lifetime.used_by, lifetime.dying_by]
        if lifetime.removed_by == NOBODY or self.operations[lifetime.removed_by].type == "info":
            found += [p for p in self.removals + self.pending if self.first[p] <= until]
        return [p for p in found if p >= 0]


def explain_blocked(history: Lifetimes, blocked: Blocked, what: str) -> Decision:
    """`what` was there all the time."""
    operations = history.operations
    chain = history.cover(blocked.others, blocked.first, blocked.last)
    lines = [
        describe(operations[blocked.position]),
        f"  but at every moment of it {what} must have been there:",
    ]
    core = [blocked.position]
    if blocked.saw is not None:
        core += [p for p in (blocked.saw.insert, blocked.saw.removed_by) if p >= 0]
    for lifetime in chain[:SHOWN_MAX]:
        lines += history.presence(lifetime)
    if len(chain) > SHOWN_MAX:
        lines.append(f"and so on, {len(chain) - SHOWN_MAX} more")
    for lifetime in chain:
        core += history.evidence(lifetime, blocked.last)
    return Decision(lines, sorted(set(core)))
