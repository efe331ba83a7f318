"""Linearizability of a stack onto which no value is pushed twice, in O(n log n).

Problem: the order in which values lie upon each other is not what they were pushed in, since
pushes overlap, and a pair of values seldom tells who was below. Earlier algorithms had
wrong proofs, or were wrong (Abdulla, Grahn, Jonsson, Krishna and Mishra, "Efficient linearizability
monitoring", PLDI 2025, arXiv 2509.17795, give counterexamples).

Idea (Lee and Mathur, OOPSLA 2025, arXiv 2410.04581, the section on stacks): in any legal order some
value is never above another. When it is pushed, peeked at or popped, nothing else is there: each of
its operations has a moment at which no other value is critical. Conversely, let `v` be any value of
which this is true. If the others are linearizable, so is the whole: at the moments of `v` every
other value can be wholly before or wholly after, so the others fall into independent groups between
these moments (`concur.histories.polynomial.woven`), and within a group everything lies above `v` or
`v` is not there. So we may *take away* such values in any order: taking one away makes fewer values
critical and never spoils another. The history is linearizable iff none remains.

Here: a segment tree over the moments holds how many remaining values are critical, and finds the
moments at which none is, or only one. An operation is *free* once one of its moments is; a value
all of whose operations are free is taken away. Where one value alone is critical only its own
peeks become free, and the rest when that value is gone. The operations wait at the O(log n) nodes
that make up their interval, so that a moment finds all it frees on its path to the root. What
found nothing needs a moment at which no value at all is critical, and separates before all others.

Without an outcome: a value that nobody is known to have popped must be gone before anything comes
out from below it: a deadline for the pops whose outcome is unknown, of which
`concur.histories.polynomial.lost` makes use.

Cost: O(n log n). An explanation of what remains takes O(n k) for k values that contradict each
other, each of which would have to lie upon another of them.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.polynomial.base import SHOWN_MAX, Decision
from concur.histories.polynomial.gather import lifetimes
from concur.histories.polynomial.lifetimes import (
    NOBODY,
    Blocked,
    Lifetime,
    Lifetimes,
    explain_blocked,
)
from concur.histories.polynomial.lost import Earliest, cut, suppose_all_taken, take_in_time
from concur.histories.polynomial.peeling import Peeling, intervals
from concur.histories.polynomial.woven import Layer, woven
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline

PUSHES = ("push",)
POPS = ("pop",)
PEEKS = ("peek",)

MINIMISED_MAX = 64
"""Of so many values that contradict each other we find out which are needed for that."""


def stack(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one stack. Does not apply if a value that was seen was pushed twice, nor if it depends
    on which values were taken by pops without an outcome."""
    history = lifetimes(operations, positions, timeline, specification, PUSHES, POPS, PEEKS)
    if not isinstance(history, Lifetimes):
        return history
    layers: list[Layer] = []
    remaining: list[Lifetime] = history.all
    if history.pending and Peeling(history, history.all).remaining:
        take_in_time(history, _deadlines(history))
    while True:
        peeling = Peeling(history, remaining)
        remaining = peeling.remaining
        layers += peeling.layers()
        if not remaining or not cut(history, remaining, peeling.blocked()):
            break
    empty = history.moments_of_empty()
    while isinstance(empty, Blocked) and cut(history, history.all, [(empty.first, empty.last)]):
        empty = history.moments_of_empty()
        if not isinstance(empty, Blocked):  # once more: they have been removed earlier
            peeling = Peeling(history, history.all)
            remaining, layers = peeling.remaining, list(peeling.layers())
    if not remaining and not isinstance(empty, Blocked):
        found_empty = Layer(0, [(moment, p) for p, moment in empty.items()])
        return Decision(order=partial(_order, history, [found_empty, *layers]))
    if history.pending:
        suppose_all_taken(history)
        empty = history.moments_of_empty()
        remaining = Peeling(history, history.all).remaining
        if not isinstance(empty, Blocked) and not remaining:
            return None
    if isinstance(empty, Blocked):
        return explain_blocked(history, empty, "a value")
    return _explain(history, remaining)


def _deadlines(history: Lifetimes) -> Iterator[tuple[int, int]]:
    """A value that nobody is known to have popped was taken before each value came out that was
    pushed before it and came out after it was pushed."""
    gone = Earliest(history.end)
    for position in history.empty:
        gone.add(history.first[position], history.last[position])
    below = sorted((v for v in history.all if v.removed_by != NOBODY), key=lambda v: v.born)
    stayed = sorted((v for v in history.all if v.removed_by == NOBODY), key=lambda v: v.called)
    pushed = 0
    for upper in stayed:
        while pushed < len(below) and below[pushed].born < upper.called:
            gone.add(below[pushed].dying, history.last[below[pushed].removed_by])
            pushed += 1
        yield gone.after(upper.born), upper.number


def _order(history: Lifetimes, layers: Sequence[Layer]) -> list[int]:
    slots = woven(layers, history.end)
    return [p for moment in sorted(slots) for p in slots[moment] if p >= 0]


def _explain(history: Lifetimes, remaining: Sequence[Lifetime]) -> Decision:
    """Start with one value, and let each be joined by what it would have to lie upon."""
    together = [min(remaining, key=lambda lifetime: lifetime.dying - lifetime.born)]
    for lifetime in together:
        _, chain = _lies_upon(history, lifetime, remaining, together)
        together += [other for other in chain if other not in together]
    if len(together) <= MINIMISED_MAX:
        for lifetime in list(together):
            others = [other for other in together if other is not lifetime]
            left = Peeling(history, others).remaining
            if left:
                together = left
    lines, core = [], []
    for number, lifetime in enumerate(together):
        access, chain = _lies_upon(history, lifetime, together, together)
        names = [phrase(other.value) for other in chain]
        some = names[0] if len(names) == 1 else f"one of {', '.join(names[:SHOWN_MAX])}"
        name = phrase(lifetime.value)
        what = "peeked at"
        if access in (lifetime.insert, lifetime.removed_by):
            what = "pushed" if access == lifetime.insert else "popped"
        if number < SHOWN_MAX:
            lines.append(f"{name} was {what} while {some} was there, so it lay upon {some}:")
            lines.append("  " + describe(history.operations[access]))
        core += [*lifetime.positions(), access]
        core += history.evidence(lifetime, history.end)
    for lifetime in together[:SHOWN_MAX]:
        lines += history.presence(lifetime)
    if len(together) > SHOWN_MAX:
        lines.append(f"and so on, {len(together) - SHOWN_MAX} more values")
    names = [phrase(lifetime.value) for lifetime in together[:SHOWN_MAX]]
    lines.append(f"so none of {', '.join(names)} can have been the lowest")
    return Decision(lines, sorted({p for p in core if p >= 0}))


def _lies_upon(
    history: Lifetimes,
    lifetime: Lifetime,
    lifetimes: Sequence[Lifetime],
    preferred: Sequence[Lifetime],
) -> tuple[int, list[Lifetime]]:
    """An operation on a value that has no moment, and the others that are critical then."""
    found = []
    others = [other for other in lifetimes if other is not lifetime]
    known = [other for other in preferred if other is not lifetime]
    for access, first, last in intervals(history, lifetime):
        for candidates in (known, others):
            chain = history.cover(candidates, first, last)
            if chain:
                found.append((access, chain))
                break
    return min(found, key=lambda f: (sum(other not in preferred for other in f[1]), len(f[1])))
