"""Linearizability of a register whose reads tell which write they saw, in O(n log n).

Problem: deciding whether reads and writes of one register are linearizable is NP-complete, but
only because of values written twice. If every value that is read was written once, a read names
its write, and all operations of one value, its *cluster*, must stand side by side in the order.

Idea (Gibbons and Korach, "Testing shared memories", SIAM J. Computing 26(4), 1997):
between the first return and the last call of a cluster the register certainly held its value.
If that first return comes before that last call, the time between is the cluster's *forward zone*,
otherwise the span from last call to first return is its *backward zone*, and one moment in it is
enough. The history is linearizable iff no read returns before its write is called, forward zones
are pairwise disjoint, and no backward zone lies inside a forward one.

Here: the initial value counts as a write that returned before everything. A write without a
known outcome returns never; unread, its zone reaches to infinity and lies inside no other. Values
that nobody read may well be written twice: each such write is a cluster of its own. A read of a
value with two writes makes the algorithm inapplicable, which is found here and never assumed.
"""

from collections.abc import Sequence
from typing import Any

from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import INITIAL, READS, WRITES, Decision, came_before
from concur.histories.polynomial.overlap import overlap
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline


class Cluster:
    """The operations of one value: who returned first, and who was called last."""

    __slots__ = ("call", "ended", "finish", "started", "write")

    def __init__(self, write: int, call: int, finish: int) -> None:
        self.write = write  # position of the write
        self.call = call  # last call in the cluster ...
        self.started = write  # ... and whose it is
        self.finish = finish  # first return in the cluster ...
        self.ended = write  # ... and whose it is


def zones(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one register in O(n log n) for n positions.

    Does not apply if anything but reads and writes was done, if a value that was read was written
    more than once, or if a write was recorded with the value of another.
    """
    calls, returns = timeline.calls, timeline.returns
    initial = getattr(specification, "start", None)
    clusters = [Cluster(INITIAL, -1, -1)]
    of: dict[Any, Cluster | None] = {identity(initial): clusters[0]}  # None: written twice
    reads = []
    for position in positions:
        op = operations[position]
        if op.f in READS:
            reads.append(position)
            continue
        if op.f not in WRITES:
            return None
        value = identity(op.value)
        if op.type == "ok" and op.result is not None and identity(op.result) != value:
            return None
        cluster = Cluster(position, calls[position], returns[position])
        clusters.append(cluster)
        of[value] = None if value in of else cluster
    orphan = early = INITIAL
    for position in reads:
        value = identity(operations[position].result)
        if value not in of:
            orphan = position
            continue
        seen = of[value]
        if seen is None:
            return None
        if calls[position] > seen.call:
            seen.call, seen.started = calls[position], position
        if returns[position] < seen.finish:
            seen.finish, seen.ended = returns[position], position
            if seen.write != INITIAL and returns[position] < calls[seen.write]:
                early = position
    if orphan != INITIAL:
        text = phrase(operations[orphan].result)
        lines = [describe(operations[orphan]), f"  but nothing ever wrote {text}"]
        return Decision(lines, [orphan])
    if early != INITIAL:
        write = of[identity(operations[early].result)]
        assert write is not None
        lines = [
            describe(operations[early]),
            "  but it returned before that value's only write was called:",
            describe(operations[write.write]),
        ]
        return Decision(lines, [early, write.write])

    def order() -> list[int]:
        """One cluster after the other, by where their zones begin; the write, then the reads.

        If `a` must be before `b`, because something of `a` returned before something of `b` was
        called, the zone of `a` begins earlier, whichever of the two are forward (and do not
        overlap). A write without an outcome that nobody saw is left out.
        """
        saw: dict[Any, list[int]] = {}
        for position in sorted(reads, key=calls.__getitem__):
            saw.setdefault(of[identity(operations[position].result)], []).append(position)
        order = []
        for cluster in sorted(clusters, key=lambda c: min(c.call, c.finish)):
            if cluster.write != INITIAL and cluster.finish < NEVER:
                order.append(cluster.write)
            order += saw.get(cluster, ())
        return order

    wrong = overlap(clusters)
    return _contradiction(operations, *wrong, initial) if wrong else Decision(order=order)


def _contradiction(
    operations: Sequence[Operation], first: Cluster, second: Cluster, initial: Any
) -> Decision:
    """Each cluster has an operation that ended before one of the other began."""

    def value(cluster: Cluster) -> Any:
        return initial if cluster.write == INITIAL else operations[cluster.write].value

    def before(a: Cluster, b: Cluster) -> list[str]:
        return came_before(operations, value(a), a.ended, value(b), b.started)

    once = [
        f"{phrase(value(c))} was there only once, "
        + (
            "at the beginning"
            if c.write == INITIAL
            else f"written by event {operations[c.write].index}"
        )
        for c in (first, second)
    ]
    core = {p for c in (first, second) for p in (c.write, c.ended, c.started) if p != INITIAL}
    return Decision([*before(first, second), *before(second, first), *once], sorted(core))
