"""Takes away the values of a stack that can be the lowest, one after the other, in O(n log n).

`concur.histories.polynomial.stack` says why. Moments at which several remaining values are critical
are leaves of a segment tree, with the number of those values; the least leaf is at the root. Each
node also adds up the numbers of values that were critical in all of it and have gone, so that of a
moment at which one value is left, a path to the root tells which.
"""

from collections.abc import Iterator, Sequence

from concur.histories.polynomial.lifetimes import NOBODY, Lifetime, Lifetimes
from concur.histories.polynomial.woven import Layer

DONE = 1 << 60
"""More values than are critical anywhere: marks moments that were dealt with."""

Waiting = tuple[int, int]  # place of the value among those given, which of its operations


def intervals(history: Lifetimes, lifetime: Lifetime) -> list[tuple[int, int, int]]:
    """(position, first and last moment) of each operation: insertion, peeks, removal last."""
    found = [(lifetime.insert, lifetime.called, lifetime.born)]
    for access in lifetime.accesses:
        if access != lifetime.removed_by:
            found.append((access, *history.interval(lifetime, access)))
    last = history.end if lifetime.removed_by == NOBODY else history.last[lifetime.removed_by]
    found.append((lifetime.removed_by, lifetime.dying, last))
    return found


class Peeling:
    """What can be taken away is in `taken`, in this order, and what cannot in `remaining`."""

    def __init__(self, history: Lifetimes, lifetimes: Sequence[Lifetime]) -> None:
        self.lifetimes = lifetimes
        self.taken: list[int] = []
        self._intervals = [intervals(history, lifetime) for lifetime in lifetimes]
        self._moment = [[-1] * len(operations) for operations in self._intervals]
        self._waits = [len(operations) for operations in self._intervals]
        self._alone: dict[int, list[int]] = {}  # moments at which only this value is critical
        self._size = size = 1 << history.end.bit_length()
        self._here: list[list[Waiting]] = [[] for _ in range(2 * size)]
        self._own: dict[tuple[int, int], list[Waiting]] = {}  # peeks, by value and node
        self._ready: list[int] = []
        self._plant(history.end)
        self._run()
        self.remaining = [lifetimes[v] for v, waits in enumerate(self._waits) if waits]

    def layers(self) -> Iterator[Layer]:
        for value in self.taken:
            moments, operations = self._moment[value], self._intervals[value]
            middle = sorted(zip(moments[1:-1], (p for p, _, _ in operations[1:-1]), strict=True))
            # The insertion can be where another is that can be earlier, the removal likewise.
            begin, stop = (min(moments), operations[0][0]), (max(moments), operations[-1][0])
            yield Layer(self.lifetimes[value].dying, [begin, *middle, stop])

    def blocked(self) -> list[tuple[int, int]]:
        """The intervals of operations that have no moment."""
        return [
            (first, last)
            for moments, operations in zip(self._moment, self._intervals, strict=True)
            for moment, (_, first, last) in zip(moments, operations, strict=True)
            if moment < 0
        ]

    def _plant(self, end: int) -> None:
        size = self._size
        count, names = [0] * (end + 2), [0] * (end + 2)
        for value, lifetime in enumerate(self.lifetimes):
            if lifetime.born + 1 < lifetime.dying:
                count[lifetime.born + 1] += 1
                count[lifetime.dying] -= 1
                names[lifetime.born + 1] += value
                names[lifetime.dying] -= value
        for moment in range(end + 1):
            count[moment + 1] += count[moment]
            names[moment + 1] += names[moment]
        quiet = [0] * (end + 2)  # the first moment from here on at which nothing is critical
        quiet[end] = quiet[end + 1] = end
        for moment in range(end - 1, -1, -1):
            quiet[moment] = moment if count[moment] == 0 else quiet[moment + 1]
        for value, operations in enumerate(self._intervals):
            for which, (_, first, last) in enumerate(operations):
                moment = quiet[first]
                if moment <= last:
                    self._free(value, which, moment)
                else:
                    self._wait(value, which, first, last)
        self._least = least = [DONE] * (2 * size)
        self._more = [0] * size  # to add to what is below
        self._gone = [0] * (2 * size)
        self._names = names
        for moment in range(end):
            if count[moment] == 1:
                self._leave_alone(moment, names[moment])
            elif count[moment] > 1:
                least[size + moment] = count[moment]
        for node in range(size - 1, 0, -1):
            least[node] = min(least[2 * node], least[2 * node + 1])

    def _wait(self, value: int, which: int, first: int, last: int) -> None:
        own = 0 < which < len(self._intervals[value]) - 1
        left, right = first + self._size, last + self._size + 1
        while left < right:
            if left & 1:
                self._here[left].append((value, which))
                if own:
                    self._own.setdefault((value, left), []).append((value, which))
                left += 1
            if right & 1:
                right -= 1
                self._here[right].append((value, which))
                if own:
                    self._own.setdefault((value, right), []).append((value, which))
            left >>= 1
            right >>= 1

    def _free(self, value: int, which: int, moment: int) -> None:
        if self._moment[value][which] < 0:
            self._moment[value][which] = moment
            self._waits[value] -= 1
            if not self._waits[value]:
                self._ready.append(value)

    def _run(self) -> None:
        least, size = self._least, self._size
        while True:
            while self._ready:
                self._take(self._ready.pop())
            if least[1] > 1:
                return
            node = 1
            while node < size:
                node *= 2
                if least[node + 1] < least[node]:
                    node += 1
            moment = node - size
            number, name = least[1], self._names[moment] - self._gone[node]
            least[node] = DONE
            while node > 1:
                node >>= 1
                name -= self._gone[node]
                least[node] = min(least[2 * node], least[2 * node + 1]) + self._more[node]
            if number == 1:
                self._leave_alone(moment, name)
            else:
                self._open(moment)

    def _leave_alone(self, moment: int, value: int) -> None:
        self._alone.setdefault(value, []).append(moment)
        if len(self._intervals[value]) == 2:
            return
        node = moment + self._size
        while node:
            for peek in self._own.pop((value, node), ()):
                self._free(*peek, moment)
            node >>= 1

    def _open(self, moment: int) -> None:
        node = moment + self._size
        while node:
            if self._here[node]:
                for operation in self._here[node]:
                    self._free(*operation, moment)
                self._here[node] = []
            node >>= 1

    def _take(self, value: int) -> None:
        self.taken.append(value)
        lifetime = self.lifetimes[value]
        first, last = lifetime.born + 1, lifetime.dying - 1
        if first > last:
            return
        least, more, gone, size = self._least, self._more, self._gone, self._size
        left, right = first + size, last + size + 1
        while left < right:
            if left & 1:
                least[left] -= 1
                gone[left] += value
                if left < size:
                    more[left] -= 1
                left += 1
            if right & 1:
                right -= 1
                least[right] -= 1
                gone[right] += value
                if right < size:
                    more[right] -= 1
            left >>= 1
            right >>= 1
        for node in (first + size, last + size):
            while node > 1:
                node >>= 1
                least[node] = min(least[2 * node], least[2 * node + 1]) + more[node]
        for moment in self._alone.pop(value, ()):
            self._open(moment)
