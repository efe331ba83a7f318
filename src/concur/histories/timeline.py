"""The real-time order of a history: which operation certainly ended before which began.

An operation is a closed interval from call to return, and events at the same time are concurrent:
`a` precedes `b` only if it returned strictly before `b` was called. Within one process the file's
order holds even at equal times. We turn times into ranks, all different, so that the checkers
compare integers: `a` precedes `b` iff `returns[a] < calls[b]`.

At one instant all calls come first and all returns last. A process that returns and calls again
in that same instant needs them the other way round; its events go in the middle. That is exact as
long as only one process does so in an instant. If two do (`a` then `b`, and `c` then `d`), no
ranks can say that `a` precedes `b` and `c` precedes `d` while `a`, `d` and `c`, `b` are
concurrent: it is no interval order, and then even Herlihy and Wing's locality theorem fails (each
key alone may be linearizable and the whole not). Such instants are `entangled`, and there are two
approximations. `strict` keeps the file's order among the events concerned, which only adds
precedences: whatever it finds valid is valid. `loose` forgets that order, which only drops some:
whatever it finds invalid is invalid. If they disagree, the exact order is `loose` together
with `before`, checked on the whole history at once.
"""

from collections.abc import Sequence
from itertools import islice
from operator import gt

from concur.histories.history import Operation

NEVER = 1 << 62
"""The rank of a return that never comes."""


class Timeline:
    """Ranks of call and return for each operation, by position in `operations`.

    `before` gives, for an operation that its process called in the very instant in which its
    earlier one returned, the position of that earlier one (only where `calls` and `returns` do not
    show it).
    """

    def __init__(
        self, calls: list[int], returns: list[int], before: dict[int, int], entangled: bool
    ) -> None:
        self.calls = calls
        self.returns = returns
        self.before = before
        self.entangled = entangled


def strict(operations: Sequence[Operation]) -> Timeline:
    """All of the real-time order, and a little more at entangled instants."""
    timeline = _as_recorded(operations)
    if timeline is not None:
        return timeline
    chained, _ = _chains(operations)
    entangled = len({time for _, time in chained}) < len(chained)
    return _ranks(operations, chained, {}, entangled)


def _as_recorded(operations: Sequence[Operation]) -> Timeline | None:
    """With the numbers of the events for ranks; None if these are not in order of time, with calls
    before returns in the same instant. Most histories are, and sorting is half of the work."""
    last = max((op.return_index or op.index for op in operations), default=-1)
    times: list[int | None] = [None] * (last + 1)
    returns = []
    for op in operations:
        times[op.index] = 2 * op.call_ns
        if op.return_ns is None:
            returns.append(NEVER)
        else:
            assert op.return_index is not None
            times[op.return_index] = 2 * op.return_ns + 1
            returns.append(op.return_index)
    there = [time for time in times if time is not None]
    if any(map(gt, there, islice(there, 1, None))):
        return None
    return Timeline([op.index for op in operations], returns, {}, False)


def loose(operations: Sequence[Operation]) -> Timeline:
    """The real-time order without what only `before` tells, at entangled instants."""
    chained, before = _chains(operations)
    crowd: dict[int, int] = {}
    for _, time in chained:
        crowd[time] = crowd.get(time, 0) + 1
    alone = {(process, time) for process, time in chained if crowd[time] == 1}
    hidden = {
        op: earlier
        for op, earlier in before.items()
        if (operations[op].process, operations[op].call_ns) not in alone
    }
    return _ranks(operations, alone, hidden, bool(hidden))


def _chains(operations: Sequence[Operation]) -> tuple[set[tuple[int, int]], dict[int, int]]:
    """Which processes return and call again in which instants, and between which operations."""
    chained: set[tuple[int, int]] = set()
    before: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, op in enumerate(operations):  # in invocation order, so in order per process
        process = op.process
        earlier = last.get(process)
        if earlier is not None and operations[earlier].return_ns == op.call_ns:
            chained.add((process, op.call_ns))
            before[position] = earlier
        last[process] = position
    return chained, before


def _ranks(
    operations: Sequence[Operation],
    chained: set[tuple[int, int]],
    before: dict[int, int],
    entangled: bool,
) -> Timeline:
    # Sorted by time, then calls, chained events, returns, then file order. Calls are even.
    events: list[tuple[int, int, int, int]] = []
    for position, op in enumerate(operations):
        middle = bool(chained) and (op.process, op.call_ns) in chained
        events.append((op.call_ns, 1 if middle else 0, op.index, 2 * position))
        if op.return_ns is not None:
            middle = bool(chained) and (op.process, op.return_ns) in chained
            index = op.return_index
            assert index is not None
            events.append((op.return_ns, 1 if middle else 2, index, 2 * position + 1))
    events.sort()
    calls = [0] * len(operations)
    returns = [NEVER] * len(operations)
    for rank, (_, _, _, event) in enumerate(events):
        if event & 1:
            returns[event >> 1] = rank
        else:
            calls[event >> 1] = rank
    return Timeline(calls, returns, before, entangled)
