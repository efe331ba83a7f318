"""Linearizability of a counter of which the totals tell the order, in O(n log n).

Problem: additions commute, so which of them a read has seen is a matter of subset sums, and in
general NP-complete. A fetch-and-add tells the total before it, so if all amounts are positive
its place is known: after everything that made up this total, before everything else.

Idea: let all amounts be positive. The completed fetch-and-adds, sorted by what they returned,
are known changes (two with the same total contradict each other). What is missing between two
of them was added by *anonymous* operations: plain adds, and fetch-and-adds without an outcome. If
these are all of one amount, a gap of so much is so many of them, whichever. So we know the order of
all changes, each by one operation or by any of the anonymous ones, and `sweep` decides. A read, and
a fetch-and-add of nothing, fits into the one phase with its total.

Here: an add of 0 changes nothing and fits anywhere. Not decided here are negative amounts, and
anonymous additions of different amounts. What the totals say about fetch-and-adds alone holds
whatever the anonymous amounts are, and is looked at first.
"""

from collections.abc import Hashable, Sequence
from itertools import pairwise

from concur.histories.explain import describe
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import Decision
from concur.histories.polynomial.sweep import Stuck, sweep
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline
from concur.machines.base import INT_MAX, INT_MIN

ANONYMOUS = -1
"""The pool of those that do not tell where they belong; others have a pool of their own."""


def totals(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one counter in O(n log n).

    Does not apply if an amount is negative, if anonymous additions have different amounts, if a
    result is no integer, or if the total could leave 64 bits, where it is refused.
    """
    start = getattr(specification, "start", 0)
    known: list[int] = []  # fetch-and-adds with a total
    watched: list[int] = []  # reads
    anonymous: list[int] = []
    idle: list[int] = []
    amounts = set()
    most = start
    for position in positions:
        op = operations[position]
        if op.f not in ("read", "add", "fetch-add"):
            return None
        told = op.type == "ok" and op.f != "add"
        if told and type(op.result) is not int:
            return None
        if op.f == "read":
            watched.append(position)
            continue
        amount = op.value
        if type(amount) is not int or amount < 0:
            return None
        if op.f == "add" and identity(op.result) not in (None, amount) and op.type == "ok":
            return None
        most += amount
        if told:
            (known if amount else watched).append(position)
        elif amount:
            anonymous.append(position)
            amounts.add(amount)
        elif op.type == "ok":
            idle.append(position)
    if most > INT_MAX or start < INT_MIN:
        return None
    known.sort(key=lambda p: operations[p].result)
    wrong = _contradiction(operations, known, start)
    wrong = wrong or _out_of_time(operations, timeline, [*watched, *known])
    if wrong:
        return wrong
    if len(amounts) > 1:
        return None
    return _Counter(operations, positions, timeline, start, known, anonymous, amounts).decide(
        watched, idle
    )


def _contradiction(
    operations: Sequence[Operation], known: list[int], start: int
) -> Decision | None:
    """What completed fetch-and-adds, in order of totals, say about each other."""
    if known and operations[known[0]].result < start:
        op = operations[known[0]]
        return Decision([describe(op), f"  but the total was never below {start}"], [known[0]])
    for first, second in pairwise(known):
        one, other = operations[first], operations[second]
        if other.result < one.result + one.value:
            lines = [
                describe(one),
                describe(other),
                f"  but the total went from {one.result} to {one.result + one.value} at once, "
                "and never down",
            ]
            return Decision(lines, sorted((first, second)))
    return None


def _out_of_time(
    operations: Sequence[Operation], timeline: Timeline, telling: list[int]
) -> Decision | None:
    """Two that were told totals in the wrong order, whatever else was added."""

    def place(position: int) -> tuple[int, bool]:
        op = operations[position]
        return op.result, op.f != "read" and op.value > 0

    latest = before = -1  # who of all with less was called last, and of all up to now
    last = None
    for position in sorted(telling, key=place):
        if place(position) != last:
            last, latest = place(position), before
        if latest >= 0 and timeline.returns[position] < timeline.calls[latest]:
            one, other = operations[latest], operations[position]
            lines = [
                describe(other),
                describe(one),
                "  but the total never goes down, and the second was called later",
            ]
            return Decision(lines, sorted((latest, position)))
        if before < 0 or timeline.calls[position] > timeline.calls[before]:
            before = position
    return None


class _Counter:
    """Totals by phase. Between two known changes lie so many anonymous ones, after the last any
    number."""

    def __init__(
        self,
        operations: Sequence[Operation],
        positions: Sequence[int],
        timeline: Timeline,
        start: int,
        known: list[int],
        anonymous: list[int],
        amounts: set[int],
    ) -> None:
        self.operations = operations
        self.positions = positions
        self.timeline = timeline
        self.anonymous = anonymous
        self.amount = max(amounts, default=0)
        self.pools: dict[int, Hashable] = dict.fromkeys(anonymous, ANONYMOUS)
        self.owners: dict[int, int] = {}  # phase -> who made the change out of it
        self.phases: dict[int, int] = {}  # total -> phase
        self.unreachable = -1
        self.phase, self.total = 0, start
        for position in known:
            while self.total < operations[position].result and self._anonymously():
                pass
            if self.total != operations[position].result:
                self.unreachable = position
                break
            self.phases[self.total] = self.phase
            self.owners[self.phase] = position
            self.pools[position] = position
            self.total += operations[position].value
            self.phase += 1
        else:
            while self._anonymously():
                pass
            self.phases[self.total] = self.phase

    def _anonymously(self) -> bool:
        """Go to the next total by an anonymous change, if there can still be one."""
        made = self.phase - len(self.owners)
        if made == len(self.anonymous):
            return False
        self.phases[self.total] = self.phase
        self.total += self.amount
        self.phase += 1
        return True

    def decide(self, watched: list[int], idle: list[int]) -> Decision:
        operations = self.operations
        if self.unreachable >= 0:
            return self._nowhere(self.unreachable)
        for position in watched:
            if operations[position].result not in self.phases:
                return self._nowhere(position)
        targets = {p: self.phases[operations[p].result] for p in watched}
        targets.update((owner, phase) for phase, owner in self.owners.items())
        owners = self.owners

        def pool_of(phase: int) -> int:
            return owners.get(phase, ANONYMOUS)

        def ahead(position: int, phase: int) -> int | None:
            if position in targets:
                target = targets[position]
                return target if target >= phase else None
            while phase in owners:
                phase += 1
            return phase

        done = sweep([*self.pools, *watched], self.timeline, self.pools, pool_of, ahead)
        if isinstance(done, Stuck):
            return self._stuck(done, targets)
        calls = self.timeline.calls
        moments = [*done.moments, *(calls[p] for p in idle)]
        order = [*done.order, *idle]
        return Decision(order=lambda: [order[i] for i in _by(moments)])

    def _nowhere(self, position: int) -> Decision:
        op = self.operations[position]
        lines = [describe(op), "  but no additions give this total"]
        return Decision(lines, sorted(self.positions))

    def _stuck(self, stuck: Stuck, targets: dict[int, int]) -> Decision:
        """Whoever was called later has no part in it, unless its total says where it belongs."""
        operations = self.operations
        total = next(t for t, phase in self.phases.items() if phase == stuck.phase)
        missing = self.owners.get(stuck.phase)
        lines = [describe(operations[stuck.operation])]
        passed = targets.get(stuck.operation, stuck.phase) < stuck.phase
        if passed:
            lines.append(f"  but the total was {total} or more when it was called, after")
        elif missing is None:
            lines.append(f"  but the total can have been {total} at most: no more was added, as in")
        else:
            lines.append(f"  but the total cannot have gone beyond {total} before it returned:")
            lines.append("  " + describe(operations[missing]))
        if stuck.cause != stuck.operation:
            lines.append("  " + describe(operations[stuck.cause]))
        calls = self.timeline.calls
        involved = {p for p in self.positions if calls[p] <= stuck.rank}
        last = max(stuck.phase, targets.get(stuck.operation, 0))
        involved.update(owner for phase, owner in self.owners.items() if phase <= last)
        involved.add(stuck.operation)
        return Decision(lines, sorted(involved))


def _by(moments: list[int]) -> list[int]:
    return sorted(range(len(moments)), key=moments.__getitem__)
