"""Linearizability of a register with compare-and-set, in O(n log n).

Problem: reads, writes and compare-and-sets of one register, where every value that anybody saw was
written once. Are they linearizable? For a compare-and-set that was refused, there must have been
another value.

Idea: all operations of one value, its *cluster*, stand side by side in the order (Gibbons and
Korach, "Testing shared memories", SIAM J. Computing 26(4), 1997). A compare-and-set from
`old` to `new` has seen `old` and overwritten it at once: the cluster of `new` follows that of `old`
directly. So clusters form chains, *blocks*, that stand side by side in the order. Inside a block
everything is settled, and blocks are ordered by *zones* as clusters are in a register without
compare-and-set: let a block's zone lie between the first return and the last call of its
operations.

Why it is right: block A must be before B iff an operation of A returned before one of B was called,
that is iff A.finish < B.call, of the first return and the last call. If a history is linearizable,
no two blocks must be before each other, and in each block nobody in a later cluster returned
before somebody in an earlier one was called, or a read before its write was. Conversely, sort the
blocks by where their zones begin, min(finish, call). If A is sorted before B and yet B must be
before A, then B.finish < A.call. Where A begins with A.finish, this is at most where B begins, so
A.finish <= B.call and A must be before B as well (all ranks differ), which was excluded. Where it
begins with A.call, this is at most B.finish: contradiction.

*Refused compare-and-sets* (`mismatch`) whose `old` nobody wrote say nothing. The others need a
moment at which the value is another. Forward zones are in a fixed order, but where between them a
backward one goes is open, and matters here. We build one order (`mismatch`): next is the block of
the first return, unless another must be before it, and everything happens as early as it can. If
somebody who was refused would see `old` through all of his interval, then `old` is written only
after his call, if that can be; or another block that may be next is preferred, to overwrite
it; or a pending write does that which nobody saw. If none of this helps, it is certain that there
is no order if `old` was there before the call and could not be overwritten before the return:
because somebody saw it later, its successor was called later, or everything else that was called
by then must be before it. If none of that is so, the last block goes before the one before it,
which then overwrites `old`. Where that is not possible either, another order of blocks might do:
then this does not apply. (It is rare: the tests decide long valid histories of which a fifth of all
operations were refused.)

Here: the initial value counts as a write that returned before everything. A write or
compare-and-set without an outcome took effect if its value was seen, by a read, or by a
compare-and-set that took effect; otherwise it is left out. That of a value by itself is a read.
Values that nobody saw may be written twice; to be refused because of a value counts as seeing it
here, so one that is named by who was refused may not. To delete a key is to write the initial
value.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from concur.histories.admission import unrecorded
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import (
    INITIAL,
    READS,
    WRITES,
    Decision,
    came_before,
    listed,
)
from concur.histories.polynomial.clusters import Block, Cluster
from concur.histories.polynomial.mismatch import Evidence, Spare
from concur.histories.polynomial.overlap import overlap
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline


def blocks(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one register in O(n log n) for n positions, with refusals O(n k) if k blocks overlap.

    Does not apply to other operations, if a value that was seen, or named by a refused
    compare-and-set, was written twice, or if one asks for an order that is not tried.
    """
    found = _Blocks(operations, timeline, getattr(specification, "start", None))
    says_nothing = unrecorded(specification)
    for position in positions:
        op = operations[position]
        if op.f in READS:
            found.reads.append((identity(op.result), position))
        elif op.f in WRITES or op.f == "delete":
            written = identity(found.start if op.f == "delete" else op.value)
            if op.type == "ok" and not says_nothing(op):
                told = identity(op.result)
                if told is not None and (op.f == "delete" or told != written):
                    return None
            found.wrote(written, position)
        elif op.f != "cas" or not found.compared(position):
            return None
    return found.decide()


class _Blocks:
    def __init__(self, operations: Sequence[Operation], timeline: Timeline, start: Any) -> None:
        self.operations = operations
        self.calls, self.returns = timeline.calls, timeline.returns
        self.start = start
        self.reads: list[tuple[Any, int]] = []
        self.writers: dict[Any, int | None] = {identity(start): INITIAL}  # None: several
        self.written: dict[int, Any] = {INITIAL: identity(start)}
        self.olds: dict[int, Any] = {}  # what a compare-and-set that was or may have been done saw
        self.refused: list[tuple[Any, int]] = []
        self.clusters: dict[int, Cluster] = {}

    def wrote(self, value: Any, position: int) -> None:
        self.writers[value] = None if value in self.writers else position
        self.written[position] = value

    def compared(self, position: int) -> bool:
        op = self.operations[position]
        old, new = map(identity, op.value)
        if op.type == "fail":
            self.refused.append((old, position))
        elif op.type == "ok" and identity(op.result) != (old, new):
            return False
        elif old != new:
            self.olds[position] = old
            self.wrote(new, position)
        elif op.type == "ok":
            self.reads.append((old, position))
        return True

    def decide(self) -> Decision | None:
        operations = self.operations
        self.seen = seen = dict(self.reads)  # value -> who saw it
        for position, old in self.olds.items():
            if operations[position].type == "ok":
                seen.setdefault(old, position)
        todo = list(seen)
        for value in todo:
            writer = self.writers.get(value, INITIAL)
            if writer in self.olds and self.olds[writer] not in seen:  # it was done, then
                seen[self.olds[writer]] = seen[value]
                todo.append(self.olds[writer])
        for value, position in seen.items():
            if value not in self.writers:
                text = "  but nothing ever wrote what it saw"
                return Decision([describe(operations[position]), text], [position])
        if any(self.writers[value] is None for value in seen) or any(
            self.writers.get(old, INITIAL) is None for old, _ in self.refused
        ):
            return None
        wrong = self._chain()
        if wrong:
            return wrong
        chained = self._follow()
        if isinstance(chained, Decision):
            return chained
        for block in chained:
            wrong = self._inside(block)
            if wrong:
                return wrong
        made = [Block(block) for block in chained]
        clash = overlap(made)
        if clash:
            return self._contradiction(*clash)
        made.sort(key=lambda block: min(block.call, block.finish))
        if not self.refused:
            return Decision(order=lambda: self._order(made))
        return self._evidence(made)

    def _chain(self) -> Decision | None:
        """Make clusters, and tell each which one follows it directly, if that is known."""
        operations, clusters = self.operations, self.clusters
        for position, value in self.written.items():
            if position == INITIAL:
                clusters[position] = Cluster(position, self.start)
            elif operations[position].type == "ok" or value in self.seen:
                op = operations[position]
                shown = self.start if op.f == "delete" else op.value
                cluster = Cluster(position, shown[1] if op.f == "cas" else shown)
                cluster.call, cluster.finish = self.calls[position], self.returns[position]
                clusters[position] = cluster
        for value, position in self.reads:
            writer = self.writers[value]
            assert writer is not None
            cluster = clusters[writer]
            cluster.reads.append(position)
            if self.calls[position] > cluster.call:
                cluster.call, cluster.started = self.calls[position], position
            if self.returns[position] < cluster.finish:
                cluster.finish, cluster.ended = self.returns[position], position
        for position, old in self.olds.items():
            if position not in clusters:
                continue
            writer = self.writers[old]
            assert writer is not None
            cluster = clusters[writer]
            if cluster.following is None:
                cluster.following = clusters[position]
                continue
            rivals = (cluster.following.write, position)
            lines = [describe(operations[p]) for p in rivals]
            lines.append(f"  but {phrase(cluster.value)} was there only once")
            return Decision(lines, self._certainly(rivals))
        return None

    def _follow(self) -> list[list[Cluster]] | Decision:
        """The blocks; or, if compare-and-sets go round in a circle, what is wrong."""
        made = []
        left = dict(self.clusters)
        for position in self.clusters:
            if position in self.olds:
                continue
            block = []
            cluster: Cluster | None = self.clusters[position]
            while cluster is not None:
                block.append(cluster)
                del left[cluster.write]
                cluster = cluster.following
            made.append(block)
        if not left:
            return made
        lines = listed(list(left), lambda p: describe(self.operations[p]))
        text = "  but none of these can have been the first"
        return Decision([*lines, text], self._certainly(left))

    def _certainly(self, positions: Iterable[int]) -> list[int]:
        """With those that prove that what has no outcome took effect."""
        core = set(positions) - {INITIAL}
        core |= {self.seen[self.written[p]] for p in core if self.operations[p].type == "info"}
        return sorted(core)

    def _inside(self, block: list[Cluster]) -> Decision | None:
        """Whether somebody of a block returned before who must be before it was called."""
        calls = self.calls
        latest = INITIAL
        for cluster in block:
            write = cluster.write
            if write != INITIAL:
                if latest != INITIAL and cluster.finish < calls[latest]:
                    return self._early(cluster.ended, latest)
                if cluster.finish < calls[write]:
                    return self._early(cluster.ended, write)
            if latest == INITIAL or cluster.call > calls[latest]:
                latest = cluster.started
        return None

    def _early(self, early: int, late: int) -> Decision:
        operations = self.operations
        lines = [
            describe(operations[early]),
            "  but it returned before this was called, which by the values must come first:",
            describe(operations[late]),
        ]
        return Decision(lines, sorted((early, late)))

    def _contradiction(self, one: Block, other: Block) -> Decision:
        """Each has an operation that ended before one of the other began."""
        lines = []
        core = set()
        for first, second in ((one, other), (other, one)):
            a, b = first.ended, second.started
            lines += came_before(self.operations, a.value, a.ended, b.value, b.started)
            core |= {a.ended, b.started, a.write, b.write}
        for block in (one, other):
            if block.ended is not block.started:
                chained = f"{phrase(block.ended.value)} and {phrase(block.started.value)}"
                lines.append(f"compare-and-set leads from one of {chained} to the other")
        return Decision(lines, self._certainly(core))

    def _order(self, made: list[Block]) -> list[int]:
        order = []
        for block in made:
            for cluster in block.clusters:
                if cluster.write != INITIAL:
                    order.append(cluster.write)
                order += sorted(cluster.reads, key=self.calls.__getitem__)
        return order

    def _evidence(self, made: list[Block]) -> Decision | None:
        spare = [
            Spare(self.calls[p], p, p not in self.olds, self.olds.get(p), value)
            for p, value in self.written.items()
            if p not in self.clusters
        ]
        evidence = Evidence(self.operations, self.calls, self.returns, made, spare)
        for old, position in self.refused:
            writer = self.writers.get(old)
            evidence.add(position, old, None if writer is None else self.clusters.get(writer))
        return evidence.decide()
