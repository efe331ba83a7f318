"""Where refused compare-and-sets of a register go: `concur.histories.polynomial.cas_register` says
how, and has found out all else.

What is built here is an order: a block comes next only if it was called before the first return in
all others that are left, so none of these must be before it. The moments in it are calls of its
own or of blocks before, so they are earlier than all returns in the others. A write that is put off
until after a refused call stays before those returns, too, and before the return of whoever
needs its value to overwrite another.

Of two blocks in a row the second could often have been first, and then the first overwrites it. So
if somebody who was refused saw the second all the time, and that is not proven to be so whatever
the order, we undo both and begin with the second, once for each block.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.polynomial.base import INITIAL, Decision
from concur.histories.polynomial.clusters import Block, Cluster
from concur.histories.timeline import NEVER


class Spare(NamedTuple):
    """A write or compare-and-set without an outcome that nobody saw. A write can overwrite any
    value, the other only `old`."""

    call: int
    position: int
    blind: bool
    old: Any
    value: Any


class Refusal(NamedTuple):
    """It returned `position`, and saw something else than the value of `cluster`."""

    call: int
    end: int
    position: int
    old: Any
    cluster: Cluster


class Step(NamedTuple):
    """A block about to be placed, and how things were before."""

    block: Block
    now: int
    limit: int
    late: list[int]
    placed: int  # how many of them, likewise
    used: int


class Evidence:
    """Blocks, and who must not see which value. `placed` becomes the order: when, and at equal
    moments in which turn."""

    def __init__(
        self,
        operations: Sequence[Operation],
        calls: Sequence[int],
        returns: Sequence[int],
        blocks: list[Block],
        spare: list[Spare],
    ) -> None:
        self.operations = operations
        self.calls, self.returns = calls, returns
        self.blocks = blocks
        for number, block in enumerate(blocks):
            block.number = number
        self.spare = sorted(spare)
        self.refusals: dict[int, list[Refusal]] = {}  # by the write of the cluster
        self.named: set[Any] = set()  # values that somebody must not see
        self.placed: list[tuple[int, int, int]] = []
        self.turn = 0
        self.late: list[int] = []  # refusals that wait for another value
        self.left = [(block.finish, i) for i, block in enumerate(blocks)]
        heapify(self.left)
        self.done = [False] * len(blocks)
        self.popped = [False] * len(blocks)  # from `left`
        self.steps: list[Step] = []
        self.used: list[Spare] = []
        self.moved: set[int] = set()  # blocks that were put before the one before them
        self.open: list[Block] = []  # those that may be next, some of them placed already
        self.by_call = sorted(blocks, key=lambda block: -block.call)

    def add(self, position: int, old: Any, cluster: Cluster | None) -> None:
        """`cluster` has the value that this one must not see, if anybody wrote it."""
        call = self.calls[position]
        self.named.add(old)
        if cluster is None:
            self.placed.append((call, -1, position))
        else:
            refusal = Refusal(call, self.returns[position], position, old, cluster)
            self.refusals.setdefault(cluster.write, []).append(refusal)

    def decide(self) -> Decision | None:
        self.unused = [spare for spare in self.spare if spare.value not in self.named]
        now, limit = -1, NEVER
        block = self._next()
        while block is not None:
            step = Step(block, now, limit, self.late, len(self.placed), len(self.used))
            self.steps.append(step)
            self.done[block.number] = True
            for cluster in step.block.clusters:
                placed = self._place(cluster, now, limit)
                if isinstance(placed, Refusal):
                    wrong = self._proof(placed)
                    earlier = None if wrong else self._undo_two()
                    if earlier is None:
                        return wrong
                    now, limit, block = earlier.now, earlier.limit, step.block
                    break
                now, limit, block = placed
        return Decision(order=lambda: [position for _, _, position in sorted(self.placed)])

    def _place(
        self, cluster: Cluster, now: int, limit: int
    ) -> tuple[int, int, Block | None] | Refusal:
        """Write this value at `now` or later, but before `limit`.

        Tells when everything of it has happened, before when the next one must come, and, if it
        is not one of the same block, which. Or whom it contradicts.
        """
        some = self.refusals.get(cluster.write, [])
        following = cluster.following
        start = max(now, self._call(cluster))
        while True:
            end = max(start, cluster.call)
            first = min((r for r in some if r.call > start), key=_by_end, default=None)
            block, spare = None, None
            if following is not None:
                time = max(end, self._call(following))
            else:
                block = self._next()
                time = NEVER if block is None else max(end, self._call(block.clusters[0]))
            if first is None or time < first.end:
                break
            if first.call < min(cluster.finish, limit, self._least()):
                start = first.call  # it sees what was there before
                continue
            if following is not None or end > first.end:
                return first
            block = self._other(first.end)
            if block is None:
                spare = self._pending(first)
                if spare is None:
                    return first
                block = self._next()
                time = max(end, spare.call)
            else:
                time = max(end, self._call(block.clusters[0]))
            break
        self._put(cluster, start)
        for refusal in some:
            if refusal.call <= start:
                self.placed.append((refusal.call, self.turn - 1, refusal.position))
            else:
                self.late.append(refusal.position)
        if spare is not None:
            self._put(Cluster(spare.position, None), time)
            return time, NEVER, block
        return end, NEVER if first is None else first.end, block

    def _undo_two(self) -> Step | None:
        """Undo the last two steps, if the block of the second can as well go before the first;
        tells how things were then."""
        if len(self.steps) < 2:
            return None
        before, last = self.steps[-2:]
        start = max(before.now, self._call(last.block.clusters[0]))
        if (
            last.block.number in self.moved
            or before.block.finish < last.block.call
            or start >= before.limit
        ):
            return None
        self.moved.add(last.block.number)
        del self.steps[-2:]
        del self.placed[before.placed :]
        self.late = before.late
        while len(self.used) > before.used:
            insort(self.unused, self.used.pop())
        for block in (before.block, last.block):
            self.done[block.number] = False
            self.open.append(block)
            if self.popped[block.number]:
                self.popped[block.number] = False
                heappush(self.left, (block.finish, block.number))
        return before

    def _put(self, cluster: Cluster, start: int) -> None:
        """A cluster takes three turns: who is before its write, the write, and who is after."""
        self.turn += 3
        if cluster.write != INITIAL:
            self.placed.append((start, self.turn, cluster.write))
        for after in (*cluster.reads, *self.late):
            self.placed.append((max(start, self.calls[after]), self.turn + 1, after))
        self.late = []

    def _call(self, cluster: Cluster) -> int:
        return -1 if cluster.write == INITIAL else self.calls[cluster.write]

    def _least(self) -> int:
        """The first return in all blocks that are left: nothing may happen later before them."""
        while self.left and self.done[self.left[0][1]]:
            self.popped[heappop(self.left)[1]] = True
        return self.left[0][0] if self.left else NEVER

    def _next(self) -> Block | None:
        """The block of the first return, unless another one must be before it."""
        self._least()
        if not self.left:
            return None
        top = heappop(self.left)
        block = self.blocks[top[1]]
        if block.finish < block.call and self._least() < block.call:
            block = self.blocks[self.left[0][1]]
        heappush(self.left, top)
        return block

    def _other(self, end: int) -> Block | None:
        """A block that can be next and begin before `end`; of these, the first to return."""
        able = [block for block in self._open() if self._call(block.clusters[0]) < end]
        return min(able, key=lambda block: block.finish, default=None)

    def _open(self) -> list[Block]:
        """All blocks that may be next: nothing that is left must be before them."""
        least = self._least()
        while self.by_call and self.by_call[-1].call < least:
            self.open.append(self.by_call.pop())
        self.open = [block for block in self.open if not self.done[block.number]]
        return self.open

    def _pending(self, refusal: Refusal) -> Spare | None:
        """A pending operation to overwrite this value before the refusal returns."""
        before = min(refusal.end, self._least())
        for at in range(bisect_left(self.unused, (before,)) - 1, -1, -1):
            if self.unused[at].blind or self.unused[at].old == refusal.old:
                self.used.append(self.unused.pop(at))
                return self.used[-1]
        return None

    def _proof(self, refusal: Refusal) -> Decision | None:
        """Why this refusal sees the value whatever the order of blocks, if that is so."""
        cluster, end = refusal.cluster, refusal.end
        block, following = cluster.block, cluster.following
        assert block is not None
        if cluster.finish > refusal.call:
            return None
        lines = [
            describe(self.operations[refusal.position]),
            f"  but {phrase(cluster.value)} was there all the time",
        ]
        core = {refusal.position, cluster.ended}
        if cluster.call > end:
            core.add(cluster.started)
        elif following is not None:
            if self.calls[following.write] < end:
                return None
            core.add(self._sign(following))
        else:
            for other in self.blocks:
                first = other.clusters[0].write
                called = self.calls[first] if first != INITIAL else -1
                if other is not block and called < end and other.finish > block.call:
                    return None
            if any(
                s.call < end and (s.blind or s.old == refusal.old) and s.value != refusal.old
                for s in self.spare
            ):
                return None
            everything = (p for b in self.blocks for c in b.clusters for p in (c.write, *c.reads))
            core.update(p for p in everything if p != INITIAL and self.calls[p] < end)
        core -= {INITIAL}
        shown = dict.fromkeys(p for p in (cluster.ended, cluster.started) if p in core)
        lines += ["  " + describe(self.operations[p]) for p in shown]
        return Decision(lines, sorted(core))

    def _sign(self, cluster: Cluster) -> int:
        """Who proves that this was written: the write, if it returned, or who saw it."""
        while self.returns[cluster.write] == NEVER and not cluster.reads:
            assert cluster.following is not None
            cluster = cluster.following
        return cluster.write if self.returns[cluster.write] < NEVER else cluster.reads[0]


def _by_end(refusal: Refusal) -> int:
    return refusal.end
