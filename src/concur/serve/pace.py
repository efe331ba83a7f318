"""When the next batch leaves: the pace of whoever asks in batches.

One batch at a time is best where an answer comes soon: while it is under way the next one gathers,
and every sync and message is shared among as many as can be. But where an answer takes the round
trip of a continent nobody should wait for that of a stranger's batch: what has waited for GATHER_S
leaves all the same, as long as no more than so many are under way.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

W = TypeVar("W")
Soon = Callable[[Callable[[], None]], object]
Later = Callable[[float, Callable[[], None]], object]
"""A delay in seconds, and what to do then."""

GATHER_S = 0.005


class Pace:
    """Calls `go`, which sends one batch and says `left`, or finds that nothing waits any more."""

    def __init__(self, go: Callable[[], None], soon: Soon, later: Later, most: int) -> None:
        """`most` batches may be under way. `soon` and `later` are those of an event loop."""
        self.under_way = 0
        self._go = go
        self._soon = soon
        self._later = later
        self._most = most
        self._number = 0
        self._going = False
        self._gathering = False

    def wanted(self) -> None:
        """Something waits: send it at the end of this turn of the loop, or as soon as it may."""
        if self.under_way == 0:
            if not self._going:
                self._going = True
                self._soon(self._at_once)
        elif self.under_way < self._most and not self._gathering:
            self._gathering = True
            number = self._number
            self._later(GATHER_S, lambda: self._gathered(number))

    def left(self) -> None:
        """A batch is under way."""
        self.under_way += 1
        self._number += 1

    def back(self) -> None:
        """One was answered. Whoever has more says `wanted`."""
        self.under_way -= 1

    def _at_once(self) -> None:
        self._going = False
        if self.under_way == 0:
            self._go()

    def _gathered(self, number: int) -> None:
        self._gathering = False
        if number == self._number and 0 < self.under_way < self._most:
            self._go()
        else:  # what waited then has left; something else may wait now
            self.wanted()


class Lane(Generic[W]):
    """Those who wait for the next batch of one kind, and when it leaves."""

    __slots__ = ("pace", "waiting")

    def __init__(self, go: Callable[[], None], soon: Soon, later: Later, most: int) -> None:
        self.waiting: deque[W] = deque()
        self.pace = Pace(go, soon, later, most)

    def join(self, who: W) -> None:
        self.waiting.append(who)
        self.pace.wanted()
