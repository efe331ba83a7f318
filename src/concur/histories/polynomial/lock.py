"""Linearizability of a lock with an owner, in O(n log n).

Problem: processes take a lock and give it back, and are told whether they did. Is that what one
lock would have told them?

Idea: what was taken and given successfully tells who held the lock from when to when, at least:
from the return of the take to the call of the give. Two such holds cannot overlap, so they are in
one known order, and the lock goes through known phases: free, held by this one, free, held by that
one. A take that was refused needs a phase in which the lock is held, by whomever; a give that was
refused one in which its owner does not hold it; `holder` tells of its phase. `sweep` finds out
whether they all fit. (That holds of one owner must be disjoint is all there is to a lock without
refusals.)

Here: an owner's operations must follow one another, as those of a process do; if not, which give
belongs to which take would be open, and this does not apply. A give without an outcome may or may
not have ended its owner's last hold. A take without one may have made a hold, which nobody ended
and which therefore is the last. Only one of those can have been. It does not matter which, except
to `holder`: so of all pending takes we try the one that was called first, and each whose owner
`holder` saw later on. Locks with fencing tokens are for `concur.histories.polynomial.lock_tokens`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import INITIAL, Decision
from concur.histories.polynomial.lock_tokens import tokens
from concur.histories.polynomial.sweep import Stuck, sweep
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline

LAST_MAX = 8
"""How many pending takes are tried as the last one to have had success."""


def holds(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one lock in O(n log n).

    Does not apply if operations of one owner overlap, if results are not of the kind they should
    be, or if `holder` saw more than LAST_MAX owners after they called a take that never returned.
    """
    owners: dict[int, list[int]] = {}
    holders: list[int] = []
    for position in positions:
        op = operations[position]
        if op.f == "holder":
            holders.append(position)
        elif type(op.value) is not int:
            return tokens(operations, positions, timeline, specification)
        elif op.type == "ok" and type(op.result) is not bool:
            return None
        else:
            owners.setdefault(op.value, []).append(position)
    if not owners:
        return tokens(operations, positions, timeline, specification)
    calls, returns = timeline.calls, timeline.returns
    for own in owners.values():
        own.sort(key=calls.__getitem__)
        if any(returns[a] > calls[b] for a, b in pairwise(own)):
            return None
    return _Holds(operations, timeline, specification, owners, holders).decide()


class _Holds:
    def __init__(
        self,
        operations: Sequence[Operation],
        timeline: Timeline,
        specification: Specification,
        owners: dict[int, list[int]],
        holders: list[int],
    ) -> None:
        self.operations = operations
        self.timeline = timeline
        self.start = specification.initial().owner
        self.owners = owners
        self.refused: list[int] = []
        self.holders = holders
        self.holds: list[tuple[Any, int, int | None]] = []  # owner, take, give
        self.pending: dict[int, int] = {}  # owner -> take

    def decide(self) -> Decision | None:
        wrong = self._pair()
        if wrong:
            return wrong
        calls, returns = self.timeline.calls, self.timeline.returns
        self.holds.sort(key=lambda hold: -1 if hold[1] == INITIAL else returns[hold[1]])
        for (_, first, give), (_, second, _) in pairwise(self.holds):
            if give is None:
                return self._overlap(first, second)
        if self.holds and self.holds[-1][2] is None:
            self.pending.clear()
        last = sorted(self.pending, key=lambda owner: calls[self.pending[owner]])
        seen: dict[Any, None] = {}
        for position in self.holders:
            by = self.operations[position].result
            take = self.pending.get(by, INITIAL) if type(by) is int else INITIAL
            if take != INITIAL and returns[position] > calls[take]:
                seen[by] = None
        last = [*last[:1], *(owner for owner in seen if owner != last[0])]
        if len(last) > LAST_MAX:
            return None
        farthest = None
        for owner in last or (None,):
            decision, rank = self._decide(owner)
            if not decision.anomaly:
                return decision
            if farthest is None or rank > farthest[1]:
                farthest = decision, rank
        assert farthest is not None
        return farthest[0]

    def _pair(self) -> Decision | None:
        """Which give ended which hold."""
        operations = self.operations
        free = type(self.start) is not int or self.start not in self.owners
        if self.start is not None and free:
            self.holds.append((self.start, INITIAL, None))
        for owner, own in self.owners.items():
            take = INITIAL if not free and self.start == owner else None
            for position in own:
                op = operations[position]
                taking = op.f == "acquire"
                if op.type == "info":  # the last of this owner
                    if taking and take is None:
                        self.pending[owner] = position
                    elif not taking and take is not None:
                        self.holds.append((owner, take, position))
                        take = None
                elif not op.result:
                    self.refused.append(position)
                elif taking is (take is not None):
                    before = own[: own.index(position) + 1]
                    text = "held it" if taking else "did not hold it"
                    lines = [describe(operations[p]) for p in before if operations[p].result][-2:]
                    return Decision([*lines, f"  but {phrase(owner)} {text} then"], before)
                elif taking:
                    take = position
                else:
                    assert take is not None
                    self.holds.append((owner, take, position))
                    take = None
            if take is not None:
                self.holds.append((owner, take, None))
        return None

    def _overlap(self, take: int, other: int) -> Decision:
        operations = self.operations
        lines = []
        core: set[int] = set()
        for position in (take, other):
            if position == INITIAL:
                lines.append(f"  {phrase(self.start)} held it from the beginning")
                core.update(self.owners.get(self.start, ()))
            else:
                lines.append(describe(operations[position]))
                core.update(self.owners[operations[position].value])
        return Decision([*lines, "  but the former did not give it back"], sorted(core))

    def _decide(self, last: int | None) -> tuple[Decision, int]:
        """With the pending take of this owner as the last to have success, if it must."""
        operations = self.operations
        changes = [change for _, take, give in self.holds for change in (take, give)]
        held_by = [owner for owner, _, _ in self.holds]
        if self.holds and self.holds[-1][2] is None:
            changes.pop()
        if last is not None:
            changes.append(self.pending[last])
            held_by.append(last)
        first = 0
        if changes and changes[0] == INITIAL:
            first = 1
        order = changes[first:]
        pools = {position: phase for phase, position in enumerate(order) if position is not None}
        held: dict[Any, list[int]] = {}  # owner -> phases
        for hold, owner in enumerate(held_by):
            held.setdefault(identity(owner), []).append(2 * hold + 1 - first)

        def is_held(phase: int) -> bool:
            return (phase + first) % 2 == 1

        def ahead(position: int, phase: int) -> int | None:
            if position in pools:
                return pools[position] if pools[position] >= phase else None
            op = operations[position]
            if op.f == "acquire":  # refused
                free = not is_held(phase)
                return phase if not free else phase + 1 if phase < len(order) else None
            if op.f == "release":
                own = is_held(phase) and identity(held_by[(phase + first) // 2]) == op.value
                return phase if not own else phase + 1 if phase < len(order) else None
            if op.result is None:
                return phase if not is_held(phase) else phase + 1 if phase < len(order) else None
            phases = held.get(identity(op.result), [])
            at = bisect_left(phases, phase)
            return phases[at] if at < len(phases) else None

        observers = self.refused + self.holders
        done = sweep([*pools, *observers], self.timeline, pools, lambda phase: phase, ahead)
        if not isinstance(done, Stuck):
            return Decision(order=lambda: done.order), NEVER
        by = None
        if is_held(done.phase):
            by = held_by[(done.phase + first) // 2]
        return Decision(self._words(done, by), self._core(done)), done.rank

    def _words(self, stuck: Stuck, by: Any) -> list[str]:
        state = "free" if by is None else f"held by {phrase(by)}"
        lines = [describe(self.operations[stuck.operation])]
        lines.append(f"  but the lock was {state}, and nothing that was called so far changes that")
        if stuck.cause != stuck.operation:
            lines += ["  after", "  " + describe(self.operations[stuck.cause])]
        return lines

    def _core(self, stuck: Stuck) -> list[int]:
        """All that was called before it returned, and what tells in which order these were."""
        calls, rank = self.timeline.calls, self.timeline.returns[stuck.operation]
        everything = [*(p for own in self.owners.values() for p in own), *self.holders]
        core = {p for p in everything if calls[p] <= rank}
        known = max((i for i, (_, take, _) in enumerate(self.holds) if take in core), default=-1)
        if any(self.operations[p].type == "info" for p in core):
            known = len(self.holds)  # it is these that kept it from being one in between
        for _, take, give in self.holds[: known + 1]:
            core |= {take, give if give is not None else take}
        return sorted(core - {INITIAL})
