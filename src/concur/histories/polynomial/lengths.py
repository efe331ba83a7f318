"""What operations that tell how many values there are add to a queue that is decided without them.

Leaving out who only observes never makes a history wrong. So if it is wrong without them, it is
wrong; and if the order found has a place for each, within its real time, where there were as many
as it was told, that is an order of all. If it has none, another order might have: then nobody
knows here. O(n log n).
"""

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heappop, heappush

from concur.histories.history import Operation
from concur.histories.polynomial.base import Decision
from concur.histories.timeline import NEVER, Timeline


def with_lengths(
    decision: Decision,
    operations: Sequence[Operation],
    timeline: Timeline,
    lengths: Sequence[int],
    start: int,
    grows: Sequence[str],
    shrinks: Sequence[str],
) -> Decision | None:
    """`decision` is that of all other operations; `start` is how many values there were at first.
    Operations whose f is in `grows` put one in; in `shrinks`, take one out if they did."""
    if decision.anomaly or not lengths:
        return decision
    order = decision.order()
    sizes = [start]  # before each operation of the order, and after the last
    for position in order:
        op = operations[position]
        change = 0
        if op.f in grows:
            change = 1
        elif op.f in shrinks and (op.type == "info" or op.result is not None):
            change = -1 if sizes[-1] else 0
        sizes.append(sizes[-1] + change)
    places: dict[int, list[int]] = {}
    for place, size in enumerate(sizes):
        places.setdefault(size, []).append(place)
    calls, returns = timeline.calls, timeline.returns
    least_after = _least_after(order, calls)
    called = [rank for rank, _ in least_after]
    ended = sorted((returns[p], place + 1) for place, p in enumerate(order) if returns[p] < NEVER)
    placed: list[tuple[int, int]] = []  # what has a place already: (return, place)
    found: list[tuple[int, int, int]] = []  # (place, call, position)
    earliest = at = 0
    for position in sorted(lengths, key=calls.__getitem__):
        call = calls[position]
        while at < len(ended) and ended[at][0] < call:
            earliest = max(earliest, ended[at][1])
            at += 1
        while placed and placed[0][0] < call:
            earliest = max(earliest, heappop(placed)[1])
        later = bisect_left(called, returns[position])
        latest = least_after[later][1] if later < len(called) else len(order)
        told = operations[position].result
        able = places.get(told, []) if type(told) is int else []
        first = bisect_left(able, earliest)
        if first == len(able) or able[first] > latest:
            return None
        found.append((able[first], call, position))
        heappush(placed, (returns[position], able[first]))
    found.sort()

    def whole() -> list[int]:
        told = [(place, 0, call, position) for place, call, position in found]
        rest = [(place, 1, 0, position) for place, position in enumerate(order)]
        return [position for *_, position in sorted(told + rest)]

    return Decision(order=whole)


def _least_after(order: Sequence[int], calls: Sequence[int]) -> list[tuple[int, int]]:
    """(call, the first place in the order of all that were called then or later), by call."""
    by_call = sorted((calls[position], place) for place, position in enumerate(order))
    least = len(order)
    for i in range(len(by_call) - 1, -1, -1):
        least = min(least, by_call[i][1])
        by_call[i] = by_call[i][0], least
    return by_call
