"""The definitions of the consistency models, as plainly as they can be written down and run.

Each function tries every order that a definition speaks of, on histories of a few operations. None
shares code with the checkers. Values are compared, never writes, so repeated values need no care.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations, product
from typing import Any

from concur.histories import History, Operation
from concur.histories.identity import identity

Pair = tuple[int, int]


class Small:
    """The operations of a small history that can matter: completed ones, and pending writes.

    `subsets` lists the ways in which the pending writes may have happened or not.
    """

    def __init__(self, history: History) -> None:
        kept = [
            op
            for op in history.operations()
            if op.type == "ok" or (op.type == "info" and op.f in ("write", "put"))
        ]
        self.pending = [i for i, op in enumerate(kept) if op.type == "info"]
        self.operations = kept

    def subsets(self) -> Iterator[list[Operation]]:
        for chosen in product((True, False), repeat=len(self.pending)):
            out = {i for i, take in zip(self.pending, chosen, strict=True) if not take}
            yield [op for i, op in enumerate(self.operations) if i not in out]


def writes(op: Operation) -> bool:
    return op.f in ("write", "put")


def explained(order: list[Operation], which: Callable[[Operation], bool]) -> bool:
    """Whether each read that `which` names returns the last write of its key before it."""
    now: dict[Any, Any] = {}
    for op in order:
        if writes(op):
            now[op.key] = identity(op.value)
        elif which(op) and now.get(op.key) != identity(op.result):
            return False
    return True


def everyone(op: Operation) -> bool:
    return True


def extensions(count: int, before: frozenset[Pair]) -> Iterator[tuple[int, ...]]:
    """All total orders of 0..count-1 that contain the pairs `before`."""

    def grow(done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(done) == count:
            yield done
            return
        for i in range(count):
            if i not in done and all(a in done for a, b in before if b == i):
                yield from grow((*done, i))

    return grow(())


@cache
def _extensions(count: int, before: frozenset[Pair]) -> tuple[tuple[int, ...], ...]:
    return tuple(extensions(count, before))


def some_order(
    operations: list[Operation],
    before: frozenset[Pair],
    which: Callable[[Operation], bool] = everyone,
) -> bool:
    return any(
        explained([operations[i] for i in order], which)
        for order in _extensions(len(operations), before)
    )


def process_order(operations: list[Operation]) -> frozenset[Pair]:
    return frozenset(
        (a, b)
        for a, one in enumerate(operations)
        for b, other in enumerate(operations)
        if one.process == other.process and one.index < other.index
    )


def real_time(operations: list[Operation]) -> frozenset[Pair]:
    return process_order(operations) | frozenset(
        (a, b)
        for a, one in enumerate(operations)
        for b, other in enumerate(operations)
        if one.return_ns is not None and one.return_ns < other.call_ns
    )


@cache
def partial_orders(count: int, least: frozenset[Pair]) -> tuple[frozenset[Pair], ...]:
    """All strict partial orders of 0..count-1 that contain `least`, small ones first."""
    found = {closure(least)}
    queue = list(found)
    for order in queue:
        for a in range(count):
            for b in range(count):
                if a == b or (a, b) in order or (b, a) in order:
                    continue
                more = closure(order | {(a, b)})
                if more not in found:
                    found.add(more)
                    queue.append(more)
    return tuple(sorted(found, key=lambda order: (len(order), sorted(order))))


def closure(pairs: frozenset[Pair]) -> frozenset[Pair]:
    now = set(pairs)
    while True:
        more = {(a, d) for a, b in now for c, d in now if b == c} - now
        if not more:
            return frozenset(now)
        now |= more


# --- the models --------------------------------------------------------------------------------


def sequential(small: Small) -> bool:
    return any(some_order(ops, process_order(ops)) for ops in small.subsets())


def linearizable(small: Small) -> bool:
    return any(some_order(ops, real_time(ops)) for ops in small.subsets())


def _past(order: frozenset[Pair], i: int, count: int) -> list[int]:
    return [a for a in range(count) if a == i or (a, i) in order]


def _restricted(order: frozenset[Pair], part: list[int]) -> frozenset[Pair]:
    place = {i: n for n, i in enumerate(part)}
    return frozenset((place[a], place[b]) for a, b in order if a in place and b in place)


def causal(small: Small) -> bool:
    """CC: some causal order, for each access an order of its past that explains it alone."""

    def holds(ops: list[Operation], order: frozenset[Pair]) -> bool:
        for i, op in enumerate(ops):
            past = _past(order, i, len(ops))
            inside = [ops[a] for a in past]
            if not some_order(inside, _restricted(order, past), lambda o, op=op: o is op):
                return False
        return True

    return any(
        holds(ops, order)
        for ops in small.subsets()
        for order in partial_orders(len(ops), process_order(ops))
    )


def causal_memory(small: Small) -> bool:
    """CM: ... that explains all reads of its process up to it."""

    def holds(ops: list[Operation], order: frozenset[Pair]) -> bool:
        for i, op in enumerate(ops):
            past = _past(order, i, len(ops))
            inside = [ops[a] for a in past]

            def own(o: Operation, op: Operation = op) -> bool:
                return o.process == op.process

            if not some_order(inside, _restricted(order, past), own):
                return False
        return True

    return any(
        holds(ops, order)
        for ops in small.subsets()
        for order in partial_orders(len(ops), process_order(ops))
    )


def causal_convergence(small: Small) -> bool:
    """CCv: one arbitration; each read returns the last write by it in its causal past."""

    def reads(ops: list[Operation], order: frozenset[Pair], total: tuple[int, ...]) -> bool:
        for i, op in enumerate(ops):
            past = set(_past(order, i, len(ops)))
            if not explained([ops[a] for a in total if a in past], lambda o, op=op: o is op):
                return False
        return True

    return any(
        reads(ops, order, total)
        for ops in small.subsets()
        for order in partial_orders(len(ops), process_order(ops))
        for total in _extensions(len(ops), order)
    )


def pram(small: Small) -> bool:
    for process in {op.process for op in small.operations}:

        def mine(op: Operation, process: int = process) -> bool:
            return writes(op) or op.process == process

        if not any(
            some_order(seen, process_order(seen))
            for ops in small.subsets()
            if (seen := [op for op in ops if mine(op)]) is not None
        ):
            return False
    return True


Visible = dict[int, frozenset[int]]
"""Read -> the writes that it knew; both by event number."""


def some_knowledge(
    operations: list[Operation],
    reads: list[Operation],
    fits: Callable[[list[int], Visible], bool],
) -> bool:
    """An arbitration of all writes, and what each of `reads` knew, that explain them and fit.

    Viotti and Vukolic, "Consistency in non-transactional distributed storage systems": a read
    returns the last write of its key, by the arbitration, among those that are visible to it. A
    pending write can come last, unnoticed, so all of them may as well have happened.
    """
    written = [op for op in operations if writes(op)]
    known = [
        frozenset(op.index for op, taken in zip(written, chosen, strict=True) if taken)
        for chosen in product((True, False), repeat=len(written))
    ]
    for order in permutations(written):
        places = [op.index for op in order]
        choices = [
            [
                some
                for some in known
                if explained([op for op in order if op.index in some] + [read], everyone)
            ]
            for read in reads
        ]
        for chosen in product(*choices):
            if fits(places, {read.index: some for read, some in zip(reads, chosen, strict=True)}):
                return True
    return False


def _pairs(operations: list[Operation]) -> list[tuple[Operation, Operation]]:
    """Any two of one process, the earlier one first."""
    return [(operations[a], operations[b]) for a, b in sorted(process_order(operations))]


def _for_each_session(small: Small, fits: Callable[[list[Operation], Visible], bool]) -> bool:
    """Each process may have an arbitration of its own."""
    for process in {op.process for op in small.operations}:
        own = [op for op in small.operations if op.process == process]
        reads = [op for op in own if not writes(op)]
        if not some_knowledge(small.operations, reads, lambda _, known, own=own: fits(own, known)):
            return False
    return True


def monotonic_reads(small: Small) -> bool:
    """What was visible to a read of a process is visible to its later ones."""

    def fits(own: list[Operation], known: Visible) -> bool:
        return all(
            known[a.index] <= known[b.index]
            for a, b in _pairs(own)
            if not writes(a) and not writes(b)
        )

    return _for_each_session(small, fits)


def read_your_writes(small: Small) -> bool:
    """Visible to a read are all earlier writes of its process, and no later ones."""

    def fits(own: list[Operation], known: Visible) -> bool:
        return all(
            a.index in known[b.index] if writes(a) else b.index not in known[a.index]
            for a, b in _pairs(own)
            if writes(a) is not writes(b)
        )

    return _for_each_session(small, fits)


def monotonic_writes(small: Small) -> bool:
    """The arbitration keeps the order of each process, and (Terry et al.) so does knowledge."""

    def fits(order: list[int], known: Visible) -> bool:
        return all(
            order.index(a.index) < order.index(b.index)
            and all(a.index in some for some in known.values() if b.index in some)
            for a, b in _pairs(small.operations)
            if writes(a) and writes(b)
        )

    reads = [op for op in small.operations if not writes(op)]
    return some_knowledge(small.operations, reads, fits)


def writes_follow_reads(small: Small) -> bool:
    """A write is arbitrated after all that was visible to an earlier read of its process, and
    (Terry et al.) whoever knows it knows what that read returned."""

    def fits(order: list[int], known: Visible) -> bool:
        for read, write in _pairs(small.operations):
            if writes(read) or not writes(write):
                continue
            key_of = {op.index: op.key for op in small.operations}
            there = [i for i in order if i in known[read.index]]
            if any(order.index(i) >= order.index(write.index) for i in there):
                return False
            returned = [i for i in there if key_of[i] == read.key][-1:]
            if not all(some.issuperset(returned) for some in known.values() if write.index in some):
                return False
        return True

    reads = [op for op in small.operations if not writes(op)]
    return some_knowledge(small.operations, reads, fits)


def k_atomic(small: Small, k: int) -> bool:
    def legal(order: list[Operation]) -> bool:
        latest: dict[Any, list[Any]] = {}
        for op in order:
            values = latest.setdefault(op.key, [None])
            if writes(op):
                values.append(identity(op.value))
            elif identity(op.result) not in values[-k:]:
                return False
        return True

    # All keys at once: at equal times "within one process" makes no interval order, and then even
    # linearizability is not local (see `concur.histories.timeline`).
    return any(
        legal([ops[i] for i in order])
        for ops in small.subsets()
        for order in _extensions(len(ops), real_time(ops))
    )


def _keys(small: Small) -> Iterator[Small]:
    for key in {op.key for op in small.operations}:
        part = object.__new__(Small)
        part.operations = [op for op in small.operations if op.key == key]
        part.pending = [i for i, op in enumerate(part.operations) if op.type == "info"]
        yield part


def bounded_staleness(small: Small, delta: int) -> bool:
    """Linearizable once reads begin `delta` earlier; what a process did at one instant is kept."""

    def before(ops: list[Operation]) -> frozenset[Pair]:
        return frozenset(
            (a, b)
            for a, b in real_time(ops)
            if writes(ops[b])
            or not delta
            or (ops[a].return_ns is not None and (ops[a].return_ns or 0) < ops[b].call_ns - delta)
        )

    return any(some_order(ops, before(ops)) for ops in small.subsets())


def eventual(small: Small, settling: int) -> bool:
    everywhere = [(op.key, identity(op.value)) for op in small.operations if writes(op)]
    for op in small.operations:
        if not writes(op) and (op.key, identity(op.result)) not in [*everywhere, (op.key, None)]:
            return False  # out of thin air
    for part in _keys(small):
        ops = part.operations
        ends = [op.return_ns for op in ops if writes(op) and op.return_ns is not None]
        excused = {identity(op.value) for op in ops if writes(op) and op.return_ns is None}
        values = {
            identity(op.result)
            for op in ops
            if not writes(op) and (not ends or op.call_ns > max(ends) + settling)
        } - excused
        written = {identity(op.value) for op in ops if writes(op)}
        if len(values) > 1 or (ends and None in values and None not in written):
            return False
    return True


DEFINITIONS: dict[str, Callable[[Small], bool]] = {
    "eventual": lambda small: eventual(small, 0),
    "eventual=3ns": lambda small: eventual(small, 3),
    "monotonic-reads": monotonic_reads,
    "read-your-writes": read_your_writes,
    "monotonic-writes": monotonic_writes,
    "writes-follow-reads": writes_follow_reads,
    "pram": pram,
    "causal": causal,
    "causal-memory": causal_memory,
    "causal-convergence": causal_convergence,
    "k-atomic=1": lambda small: k_atomic(small, 1),
    "k-atomic=2": lambda small: k_atomic(small, 2),
    "k-atomic=3": lambda small: k_atomic(small, 3),
    "bounded-staleness=0ns": lambda small: bounded_staleness(small, 0),
    "bounded-staleness=2ns": lambda small: bounded_staleness(small, 2),
    "bounded-staleness=5ns": lambda small: bounded_staleness(small, 5),
    "sequential": sequential,
    "linearizable": linearizable,
}
