"""Clocks as values: Lamport's, vector and hybrid logical clocks, wall time with an error bound.

They are frozen, so a node holds one in a field and rebinds it; nothing here reads a real clock.
What is no whole number, or too great or small for 64 bits, is refused with a ValueError.

Sources: L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System" (1978);
F. Mattern, "Virtual Time and Global States of Distributed Systems" (1989); J. Corbett et al.,
"Spanner: Google's Globally-Distributed Database" (OSDI 2012), section 3 (TrueTime); S. Kulkarni,
M. Demirbas, D. Madappa, B. Avva and M. Leone, "Logical Physical Clocks" (OPODIS 2014).
"""

from typing import Self

import msgspec

NUMBER_MAX = 2**63 - 1
"""Of times and counts: what a signed number of 64 bits holds, on the wire and on other machines."""


def _check(what: str, value: int, least: int = -NUMBER_MAX) -> None:
    """Raise ValueError unless `value` is a whole number that a clock can hold."""
    if type(value) is not int or not least <= value <= NUMBER_MAX:
        raise ValueError(
            f"{what} must be a whole number from {least} to {NUMBER_MAX}, not {value!r}"
        )


class LamportClock(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Lamport's clock: an event that may have caused another has the smaller clock.

    Ordered by time and then by node, which is Lamport's total order. The converse does not hold:
    a smaller clock does not mean "caused".
    """

    time: int = 0
    node: str = ""

    def __post_init__(self) -> None:
        _check("the time of a Lamport clock", self.time, 0)

    def tick(self) -> Self:
        """The clock of this node's next local event or send (rule IR1)."""
        return type(self)(self.time + 1, self.node)

    def witness(self, other: "LamportClock | int") -> Self:
        """The clock of receiving a message stamped `other` (rule IR2): later than both."""
        seen = other.time if isinstance(other, LamportClock) else other
        _check("what a Lamport clock witnesses", seen, 0)
        return type(self)(max(self.time, seen) + 1, self.node)


class VectorClock(msgspec.Struct, frozen=True, array_like=True):
    """How many events of each node are in an event's past, as sorted (node, count) pairs.

    Counts are positive: a node that is absent has count 0, so that equal clocks are equal values.
    Raises ValueError for entries that are unsorted, repeated or not positive.
    """

    entries: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        last = None
        for node, count in self.entries:
            _check(f"the count of {node!r} in a vector clock", count)
            if count <= 0 or (last is not None and node <= last):
                raise ValueError(f"vector clock entries must be sorted and positive, not {node!r}")
            last = node

    def count(self, node: str) -> int:
        """How many events of `node` this clock has seen."""
        return next((count for known, count in self.entries if known == node), 0)

    def tick(self, node: str) -> Self:
        """The clock of the next event at `node`."""
        return self.merge(type(self)(((node, self.count(node) + 1),)))

    def merge(self, other: "VectorClock") -> Self:
        """The least clock that has seen all that either has. A receiver merges, then ticks."""
        if other.entries == self.entries:
            return self
        counts = dict(self.entries)
        for node, count in other.entries:
            counts[node] = max(count, counts.get(node, 0))
        return type(self)(tuple(sorted(counts.items())))

    def includes(self, other: "VectorClock") -> bool:
        """Has seen everything that `other` has: equal to it or after it."""
        counts = dict(self.entries)
        return all(counts.get(node, 0) >= count for node, count in other.entries)

    def happens_before(self, other: "VectorClock") -> bool:
        """The event stamped `self` may have caused the one stamped `other`."""
        return self.entries != other.entries and other.includes(self)

    def concurrent(self, other: "VectorClock") -> bool:
        """Neither may have caused the other, and they are not the same event."""
        return not self.includes(other) and not other.includes(self)


class TooFarAhead(msgspec.Struct, frozen=True):
    """What `HybridClock.merge` gives instead of a clock: the other one is ahead of this node's wall
    clock by `by_ns`, which is more than was allowed."""

    by_ns: int


class HybridClock(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A hybrid logical clock: close to wall time, and never against the order of cause and effect.

    | paper | here |
    | --- | --- |
    | pt.j, the physical clock of j | `now_ns`, an argument |
    | l.j, the largest pt that j has heard of | `latest_ns` |
    | c.j, tells apart events with the same l | `count` |

    As Lamport's clock: an event that may have caused another has the smaller clock, whatever the
    wall clocks do, be they set back. Beyond that, while all wall clocks are within epsilon of each
    other:

    * `now_ns <= latest_ns <= now_ns + epsilon` (theorems 2 and 3 of the paper), so that a clock can
      be used where a wall time is wanted, for a snapshot as of then;
    * `count` is at most the number of earlier events that may have caused this one with the same
      `latest_ns`, so it stays small: a wall clock that moves on resets it.

    One node whose clock runs a day ahead would drag every other along, for a day. So `merge` takes
    a bound and refuses. Ordered by time, count and node, which is a total order. A wall clock may
    show less than 0, for one that was set far back does; this clock does not.
    """

    latest_ns: int = 0
    count: int = 0
    node: str = ""

    def __post_init__(self) -> None:
        _check("latest_ns of a hybrid clock", self.latest_ns, 0)
        _check("count of a hybrid clock", self.count, 0)

    def tick(self, now_ns: int) -> Self:
        """The clock of this node's next local event or send, at wall time `now_ns`."""
        _check("now_ns", now_ns)
        if now_ns > self.latest_ns:
            return type(self)(now_ns, 0, self.node)
        return type(self)(self.latest_ns, self.count + 1, self.node)

    def merge(
        self, other: "HybridClock", now_ns: int, *, ahead_ns_max: int
    ) -> "HybridClock | TooFarAhead":
        """The clock of receiving a message stamped `other`, at wall time `now_ns`: later than both.

        `TooFarAhead` if `other` is more than `ahead_ns_max` ahead of the wall clock: the epsilon
        that clocks are trusted to keep, and no more than one can wait. Then drop the message, or
        the peer, and keep this clock. What this node has let in before, or its own wall clock from
        before it was set back, does not count against the message.
        """
        _check("now_ns", now_ns)
        _check("ahead_ns_max", ahead_ns_max, 0)
        ahead_ns = other.latest_ns - now_ns
        if ahead_ns > ahead_ns_max:
            return TooFarAhead(ahead_ns)
        latest_ns = max(self.latest_ns, other.latest_ns, now_ns)
        count = -1
        if latest_ns == self.latest_ns:
            count = self.count
        if latest_ns == other.latest_ns:
            count = max(count, other.count)
        return type(self)(latest_ns, count + 1, self.node)

    def ahead_ns(self, now_ns: int) -> int:
        """How far this clock is ahead of the wall clock (l - pt); 0 or less if it is not."""
        _check("now_ns", now_ns)
        return self.latest_ns - now_ns


class Interval(msgspec.Struct, frozen=True, array_like=True):
    """Wall time with an error bound, as TrueTime's `TT.now()`: the true time in nanoseconds is in
    [earliest_ns, latest_ns], both included. Raises ValueError if earliest_ns > latest_ns."""

    earliest_ns: int
    latest_ns: int

    def __post_init__(self) -> None:
        _check("earliest_ns of an interval", self.earliest_ns)
        _check("latest_ns of an interval", self.latest_ns)
        if self.earliest_ns > self.latest_ns:
            raise ValueError(
                f"an interval cannot end at {self.latest_ns} before it starts at {self.earliest_ns}"
            )

    @classmethod
    def around(cls, now_ns: int, error_ns: int) -> Self:
        """A clock that shows `now_ns` and is off by at most `error_ns`."""
        _check("now_ns", now_ns)
        _check("error_ns", error_ns, 0)
        return cls(now_ns - error_ns, now_ns + error_ns)

    @property
    def width_ns(self) -> int:
        return self.latest_ns - self.earliest_ns

    def definitely_before(self, other: "Interval") -> bool:
        """Whatever the true times are, this one's is smaller."""
        return self.latest_ns < other.earliest_ns

    def overlaps(self, other: "Interval") -> bool:
        """The two share an instant, so their order is unknown."""
        return self.earliest_ns <= other.latest_ns and other.earliest_ns <= self.latest_ns

    def definitely_past(self, timestamp_ns: int) -> bool:
        """`TT.after`: by now, every correct clock's true time is beyond `timestamp_ns`."""
        return self.earliest_ns > timestamp_ns

    def definitely_ahead(self, timestamp_ns: int) -> bool:
        """`TT.before`: `timestamp_ns` has not come anywhere yet."""
        return self.latest_ns < timestamp_ns

    def commit_wait_ns(self, timestamp_ns: int) -> int:
        """How long to wait, on a clock that does not drift, until `timestamp_ns` is definitely
        past; 0 if it is. Spanner (section 4.1.2) picks `latest_ns` as the timestamp and waits this
        long before it lets anybody see the commit. Look at the interval again after waiting: a
        drifting clock may need more."""
        return max(0, timestamp_ns - self.earliest_ns + 1)
