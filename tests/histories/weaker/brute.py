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


def _sessions(small: Small) -> Iterator[list[Operation]]:
    """For each key and process: all writes of the key and the process's reads of it."""
    for key in {op.key for op in small.operations}:
        for process in {op.process for op in small.operations}:
            yield [
                op
                for op in small.operations
                if op.key == key and (writes(op) or op.process == process)
            ]


def _reader(session: list[Operation]) -> int | None:
    return next((op.process for op in session if not writes(op)), None)


def monotonic_reads(small: Small) -> bool:
    """An order of the writes and a process's reads that keeps the order of the reads."""
    for session in _sessions(small):
        order = process_order(session)
        kept = frozenset(
            (a, b) for a, b in order if not writes(session[a]) and not writes(session[b])
        )
        if not _some_subset(session, kept):
            return False
    return True


def read_your_writes(small: Small) -> bool:
    """... that keeps the process's own pairs of which one at least is a write."""
    for session in _sessions(small):
        reader = _reader(session)
        kept = frozenset(
            (a, b)
            for a, b in process_order(session)
            if session[a].process == reader and (writes(session[a]) or writes(session[b]))
        )
        if not _some_subset(session, kept):
            return False
    return True


def _some_subset(operations: list[Operation], before: frozenset[Pair]) -> bool:
    """A pending write can come last, unnoticed, so all of them may as well have happened."""
    return some_order(operations, before)


def sourced(small: Small) -> Iterator[dict[int, Operation | None]]:
    """All ways to give each read (by its event number) a write that it may have seen."""
    reads = [op for op in small.operations if not writes(op)]
    choices: list[list[Operation | None]] = []
    for read in reads:
        found: list[Operation | None] = [
            op
            for op in small.operations
            if writes(op) and op.key == read.key and identity(op.value) == identity(read.result)
        ]
        if read.result is None:
            found.append(None)
        choices.append(found)
    for chosen in product(*choices):
        yield {read.index: write for read, write in zip(reads, chosen, strict=True)}


def monotonic_writes(small: Small) -> bool:
    def holds(source: dict[int, Operation | None]) -> bool:
        for a in small.operations:
            for b in small.operations:
                if a.process != b.process or a.index >= b.index or writes(a) or writes(b):
                    continue
                first, second = source[a.index], source[b.index]
                if (
                    first is not None
                    and second is not None
                    and a.key == b.key
                    and first.process == second.process
                    and first.index > second.index
                ):
                    return False
        return True

    return any(holds(source) for source in sourced(small))


def writes_follow_reads(small: Small) -> bool:
    def holds(source: dict[int, Operation | None]) -> bool:
        causes = set()
        for read in small.operations:
            seen = None if writes(read) else source[read.index]
            for write in small.operations:
                if (
                    seen is not None
                    and writes(write)
                    and write.key == read.key
                    and write.process == read.process
                    and read.index < write.index
                ):
                    causes.add((seen.index, write.index))
        before = closure(frozenset(causes))
        if any(a == b for a, b in before):
            return False
        for a, b in permutations([op for op in small.operations if not writes(op)], 2):
            first, second = source[a.index], source[b.index]
            if (
                a.process == b.process
                and a.index < b.index
                and first is not None
                and second is not None
                and (second.index, first.index) in before
            ):
                return False
        return True

    return any(holds(source) for source in sourced(small))


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
    if next(sourced(small), None) is None:
        return False  # thin air
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
