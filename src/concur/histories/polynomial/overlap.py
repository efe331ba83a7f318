"""Whether zones contradict each other: what registers with and without compare-and-set share.

The operations of a value, or of several chained by compare-and-sets, stand side by side in the
order. Their *zone* lies between their first return and their last call (Gibbons and Korach,
"Testing shared memories", SIAM J. Computing 26(4), 1997): a *forward* zone if the return comes
first, a *backward* one if the call does. One must be before another iff its first return comes
before the last call of that. So each of two must be before the other iff both zones are forward and
overlap, or one is backward and lies inside the other, which is forward. Among forward zones sorted
by their beginning it is enough to compare neighbours.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from concur.histories.timeline import NEVER


class Zone(Protocol):
    """`finish` is the first return, `call` the last call."""

    finish: int
    call: int


Z = TypeVar("Z", bound=Zone)


def overlap(zones: Sequence[Z]) -> tuple[Z, Z] | None:
    """Two of which each must be before the other, the first one forward; in O(n log n)."""
    forward = sorted((zone for zone in zones if zone.finish < zone.call), key=_finish)
    for first, second in pairwise(forward):
        if second.finish < first.call:
            return first, second
    starts = [zone.finish for zone in forward]
    for zone in zones:
        if zone.call < zone.finish < NEVER:  # a backward zone
            around = bisect_right(starts, zone.call) - 1
            if around >= 0 and zone.finish < forward[around].call:
                return forward[around], zone
    return None


def _finish(zone: Zone) -> int:
    return zone.finish
