"""Who inserted, saw and removed which value, as `concur.histories.polynomial.lifetimes` wants it.

Found out on the way: whether all that is certain, and what is wrong with one value alone. A value
that nothing inserted, that was removed twice, or seen before its insertion or after its removal,
needs no further algorithm.
"""

from collections.abc import Sequence
from typing import Any

from concur.histories.admission import unrecorded
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import INITIAL, Decision
from concur.histories.polynomial.lifetimes import NOBODY, Lifetime, Lifetimes
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline


def lifetimes(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
    inserts: tuple[str, ...],
    removals: tuple[str, ...],
    peeks: tuple[str, ...],
) -> Lifetimes | Decision | None:
    """None if a value that was seen was inserted twice, or something else was done. A Decision if
    something is wrong with the operations of one value alone."""
    start: Sequence[Any] = getattr(specification, "start", None) or ()
    history = Lifetimes(operations)
    first, last = history.first, history.last
    _moments(history, positions, timeline, len(start))
    end = history.end
    of: dict[Any, Lifetime | None] = {}  # None: inserted twice
    every: list[Lifetime] = []
    for moment, value in enumerate(start):
        name = identity(value)
        lifetime = Lifetime(0, value, INITIAL, moment, end)
        lifetime.born = moment
        of[name] = None if name in of else lifetime
        every.append(lifetime)
    says_nothing = unrecorded(specification)
    accesses = []
    for position in positions:
        op = operations[position]
        if op.type == "fail":
            return None
        if op.f in inserts:
            name = identity(op.value)
            told = op.type == "ok" and op.result is not None and not says_nothing(op)
            if told and identity(op.result) != name:
                return None
            lifetime = Lifetime(0, op.value, position, first[position], end)
            lifetime.born = last[position]
            of[name] = None if name in of else lifetime
            every.append(lifetime)
        elif op.f not in removals and op.f not in peeks:
            return None
        elif op.type == "info":
            if op.f in removals:
                history.pending.append(position)
        else:
            if op.f in removals:
                history.removals.append(position)
            if op.result is None:
                history.empty.append(position)
            else:
                accesses.append(position)
    wrong: Decision | None = None
    for position in accesses:
        op = operations[position]
        name = identity(op.result)
        if name not in of:
            lines = [describe(op), f"  but nothing ever inserted {phrase(op.result)}"]
            wrong = Decision(lines, [position])
            continue
        found = of[name]
        if found is None:
            return None
        if op.f in removals:
            if found.removed_by != NOBODY:
                wrong = _removed_twice(operations, found, position)
                continue
            found.removed_by = position
        found.accesses.append(position)
    if wrong is not None:
        return wrong
    history.pending.sort(key=first.__getitem__)
    for lifetime in every:
        if not lifetime.accesses and lifetime.born == end:
            continue  # inserted by an operation without an outcome, and never seen
        lifetime.number = len(history.all)
        history.all.append(lifetime)
        wrong = _settle(history, lifetime)
        if wrong is not None:
            return wrong
    return history


def _moments(history: Lifetimes, positions: Sequence[int], timeline: Timeline, moment: int) -> None:
    """Number the moments, from `moment` on."""
    calls, returns = timeline.calls, timeline.returns
    events = [(calls[p], p, True) for p in positions]
    events += [(returns[p], p, False) for p in positions if returns[p] < NEVER]
    events.sort()
    first, last = history.first, history.last
    returned = False
    for _, position, is_call in events:
        if is_call:
            moment += returned
            returned = False
            first[position] = moment
        else:
            returned = True
            last[position] = moment
    history.end = moment + 1
    for position in positions:
        if returns[position] == NEVER:
            last[position] = history.end


def _settle(history: Lifetimes, lifetime: Lifetime) -> Decision | None:
    """Find out when the value was there, or that it was seen too early or too late."""
    operations, first, last = history.operations, history.first, history.last
    for access in lifetime.accesses:
        if last[access] < lifetime.seen:
            lifetime.seen, lifetime.seen_by = last[access], access
        if first[access] > lifetime.used:
            lifetime.used, lifetime.used_by = first[access], access
    name = phrase(lifetime.value)
    if lifetime.seen < lifetime.called:
        lines = [
            describe(operations[lifetime.seen_by]),
            f"  but it returned before the only insertion of {name} was called:",
            describe(operations[lifetime.insert]),
        ]
        return Decision(lines, [lifetime.seen_by, lifetime.insert])
    if lifetime.seen < lifetime.born:
        lifetime.born, lifetime.born_by = lifetime.seen, lifetime.seen_by
    removal = lifetime.removed_by
    if removal != NOBODY:
        if last[removal] < lifetime.used:
            lines = [
                describe(operations[lifetime.used_by]),
                f"  but {name} had been removed before, and was inserted only once:",
                describe(operations[removal]),
            ]
            core = {lifetime.used_by, removal, lifetime.insert}
            return Decision(lines, sorted(p for p in core if p >= 0))
        lifetime.dying, lifetime.dying_by = lifetime.used, lifetime.used_by
    return None


def _removed_twice(operations: Sequence[Operation], found: Lifetime, again: int) -> Decision:
    lines = [
        f"{phrase(found.value)} was removed twice, but inserted only once:",
        "  " + describe(operations[found.removed_by]),
        "  " + describe(operations[again]),
    ]
    return Decision(lines, [p for p in (found.insert, found.removed_by, again) if p >= 0])
