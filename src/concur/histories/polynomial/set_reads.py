"""Linearizability of a set that only grows and is read as a whole, in linear time.

Problem: clients add values, each once, and read everything now and then. (The set test of Jepsen.)
Which adds has a read seen, and do all reads together make sense?

Idea: what a growing set holds is in order by inclusion, so two reads of which neither includes
the other contradict each other. Sort the reads by size and let S_1, S_2 ... be what they hold,
each more than the one before. Then it is known what comes when: reads of what was there at first,
adds of what is new in S_1, reads of S_1, adds of what is new in S_2, and so on; at the end adds
of values that no read has. `contains` of a value with true (or an add of it that tells false)
comes after the value's add, with false before.

Why it is right: these are all the demands that a set which grows can make, since each of them
puts one operation before another and an order of operations that meets them all explains
every outcome. And whether an order exists that extends both them and real time is easily told:
follow the demands and compute for each operation the earliest moment at which it can happen,
which is the latest call among itself and what must be before it. If some operation returned
before that, it and the one that was called then go round in a circle: what was called after it
had returned must come before it. If none did, their order by earliest moments is the one that
we look for.

It takes O(n log n) for n operations and values read. Nothing of it is known with removals, or if
a value was added twice: then this does not apply.
"""

from collections.abc import Sequence
from typing import Any

from concur.histories.admission import unrecorded
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import INITIAL, Decision, listed
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline

PLAIN = frozenset({int, str, bytes})
"""Types of which `identity` changes nothing. Looking at the types is faster than at each value."""


def growing(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one set in O(n log n) for n positions and values read.

    Does not apply if anything may have been removed, if a value was added twice, or if a result
    is not of the kind that it should be.
    """
    says_nothing = unrecorded(specification)
    start = getattr(specification, "start", ())
    adds: dict[Any, int] = {identity(value): INITIAL for value in start}
    reads: list[int] = []
    found: list[tuple[Any, int]] = []  # values that were there, and who says so
    missed: list[tuple[Any, int]] = []  # and that were not
    for position in positions:
        op = operations[position]
        if op.f == "read":
            if type(op.result) is not tuple:
                return None
            reads.append(position)
            continue
        value = identity(op.value)
        silent = op.type == "info" or says_nothing(op)
        if not silent and type(op.result) is not bool:
            return None
        if op.f == "contains":
            (found if op.result else missed).append((value, position))
        elif op.f == "add" and not silent and not op.result:
            found.append((value, position))
        elif op.f == "remove" and not silent and not op.result:
            missed.append((value, position))
        elif op.f == "add" and value not in adds:
            adds[value] = position
        else:
            return None
    return _Growing(operations, timeline, start, adds).decide(reads, found, missed)


class _Growing:
    """`order` meets all demands. `due` is, for each operation in it, the one whose call is the
    earliest moment for it; `after` what must come before it for that reason."""

    def __init__(
        self,
        operations: Sequence[Operation],
        timeline: Timeline,
        start: Sequence[Any],
        adds: dict[Any, int],
    ) -> None:
        self.operations = operations
        self.start = start
        self.calls, self.returns = timeline.calls, timeline.returns
        self.adds = adds
        self.order: list[int] = []
        self.due: dict[int, int] = {}
        self.after: dict[int, int] = {}
        self.finders: dict[Any, list[int]] = {}
        self.missers: dict[Any, int] = {}  # the one that was called last

    def decide(
        self, reads: list[int], found: list[tuple[Any, int]], missed: list[tuple[Any, int]]
    ) -> Decision:
        operations, adds, calls = self.operations, self.adds, self.calls
        # Forgotten, these could be a second add of a value, or a removal.
        self.others = [p for _, p in found + missed if operations[p].f != "contains"]
        for value, position in found:
            if value not in adds:
                return self._orphan(position, operations[position].value)
            self.finders.setdefault(value, []).append(position)
        for value, position in missed:
            if adds.get(value) == INITIAL:
                return self._wrong([position], "but it was there from the beginning")
            self._put(position)
            if calls[position] > calls[self.missers.setdefault(value, position)]:
                self.missers[value] = position

        held = {value for value, made in adds.items() if made == INITIAL}
        for value, finders in self.finders.items():
            for position in finders if value in held else ():
                self._put(position)
        reads.sort(key=lambda p: (len(operations[p].result), calls[p]))
        before: tuple[Any, ...] | None = None
        added = barrier = latest = INITIAL  # the latest add of a group, and read, up to now
        holder = INITIAL  # whose read told what is held
        for position in reads:
            result = operations[position].result
            simple = PLAIN.issuperset(map(type, result))
            if result != before or not simple:
                now = set(result) if simple else set(map(identity, result))
                wrong = self._compare(position, holder, now, held)
                if wrong:
                    return wrong
                if len(now) > len(held):
                    barrier, added = latest, INITIAL
                    for value in sorted(now - held, key=adds.__getitem__):
                        added = self._later(added, self._add(value, barrier))
                before, held, holder = result if simple else None, now, position
            self._put(position, added)
            latest = self._later(latest, position)
        for value, made in adds.items():
            if value not in held and (self.returns[made] < NEVER or value in self.finders):
                self._add(value, latest)

        for position in self.order:
            if self.returns[position] < calls[self.due[position]]:
                return self._circle(position)
        due = self.due
        return Decision(order=lambda: sorted(self.order, key=lambda p: calls[due[p]]))

    def _put(self, position: int, after: int = INITIAL) -> None:
        self.order.append(position)
        self.due[position] = position
        if after != INITIAL and self.calls[self.due[after]] > self.calls[position]:
            self.due[position] = self.due[after]
            self.after[position] = after

    def _add(self, value: Any, after: int) -> int:
        """Put the add of a value, and then who found it."""
        made = self.adds[value]
        self._put(made, self._later(after, self.missers.get(value, INITIAL)))
        for position in self.finders.get(value, ()):
            self._put(position, made)
        return made

    def _later(self, one: int, other: int) -> int:
        """Which of the two can happen only later."""
        if one == INITIAL or other == INITIAL:
            return max(one, other)
        return one if self.calls[self.due[one]] >= self.calls[self.due[other]] else other

    def _compare(
        self, position: int, before: int, now: set[Any], held: set[Any]
    ) -> Decision | None:
        """What is wrong with a read, given one that saw less or as much."""
        result = self.operations[position].result
        if len(now) < len(result):
            return self._wrong([position], "but a set holds nothing twice")
        if not now.issuperset(held):
            values = self.start if before == INITIAL else self.operations[before].result
            lost = next(value for value in values if identity(value) not in now)
            if before == INITIAL:
                text = f"but {phrase(lost)} was there from the beginning"
                return self._wrong([position], text)
            more = next(value for value in result if identity(value) not in held)
            text = f"but the first is without {phrase(more)}, the second without {phrase(lost)}"
            return self._wrong([before, position], text)
        if not self.adds.keys() >= now:
            return self._orphan(position, next(v for v in result if identity(v) not in self.adds))
        return None

    def _orphan(self, position: int, value: Any) -> Decision:
        return self._wrong([position], f"but nothing ever added {phrase(value)}")

    def _circle(self, position: int) -> Decision:
        chain = [position]
        while chain[-1] in self.after and chain[-1] != self.due[position]:
            chain.append(self.after[chain[-1]])
        chain.reverse()
        text = "by what they saw, each of these came before the next; but the last ended first"
        return self._wrong(chain, text)

    def _wrong(self, positions: list[int], text: str) -> Decision:
        lines = listed(positions, lambda p: describe(self.operations[p]))
        return Decision([*lines, "  " + text], sorted({*positions, *self.others}))
