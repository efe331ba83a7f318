"""Where things go in a space-time diagram: heights that keep the order of time, and free spots.

A diagram that is true to scale is either empty or black: messages of a tenth of a millisecond, then
nothing for a hundred. So heights follow time as far as it can be read, and never turn two moments
around.
"""

import math
from collections.abc import Iterable

import msgspec

FONT = 11.0
WIDE = 0.56
"""The width of a letter for each unit of its height."""
DELAY = 38.0
"""The height that the usual delay of a message takes up."""
QUIET = 46.0
"""The greatest height of a stretch in which nothing happens."""
ROW = 13.5
"""The distance of what is written beside one line."""


class Point(msgspec.Struct):
    """A moment on one line that wants a place. `side` is where its text goes, 0 if it has none."""

    ns: int
    order: int
    column: int
    side: int
    leaves: bool
    above: "Point | None" = None
    least: float = 0.0
    y: float = 0.0


class Heights:
    """Gives each moment its height, without turning any two around."""

    def __init__(
        self, points: list[Point], from_ns: int, to_ns: int, delay_ns: float, top: float
    ) -> None:
        self.breaks: list[tuple[float, float, int]] = []
        self._known: list[tuple[int, float]] = [(from_ns, top)]
        scale = DELAY / delay_ns
        last: dict[int, tuple[Point, float]] = {}
        beside: dict[tuple[int, int], float] = {}
        y, before = top, from_ns
        for point in sorted(points, key=lambda p: (p.ns, p.order)):
            wanted = scale * (point.ns - before)
            if wanted > QUIET:
                self.breaks.append((y, y + QUIET, point.ns - before))
            y += min(wanted, QUIET)
            before = point.ns
            y = max(y, self._room(point, last.get(point.column), beside))
            if point.above is not None:
                y = max(y, point.above.y + point.least)
            point.y = y
            last[point.column] = (point, y)
            if point.side:
                beside[point.column, point.side] = y
            self._known.append((point.ns, y))
        wanted = scale * max(to_ns - before, 0)
        if wanted > QUIET:
            self.breaks.append((y, y + QUIET, to_ns - before))
        self.bottom = y + min(wanted, QUIET) + 14
        self._known.append((max(to_ns, before), self.bottom))

    def _room(
        self,
        point: Point,
        last: "tuple[Point, float] | None",
        beside: dict[tuple[int, int], float],
    ) -> float:
        least = beside.get((point.column, point.side), -math.inf) + ROW if point.side else 0.0
        if last is not None:
            other, y = last
            together = point.leaves and other.leaves and point.ns == other.ns
            least = max(least, y if together else y + 5)
        return least

    def at(self, ns: float) -> float:
        """The height of any moment, between those that are known."""
        below, y = self._known[0]
        if ns <= below:
            return y
        for moment, height in self._known[1:]:
            if ns < moment:
                return y + (height - y) * (ns - below) / (moment - below)
            below, y = moment, height
        return y

    def moments(self) -> Iterable[tuple[int, float]]:
        return iter(self._known)


class Labels:
    """Where something is written already, so that nothing is written over it."""

    CELL = 6.0

    def __init__(self) -> None:
        self._taken: set[tuple[int, int]] = set()

    def place(
        self, choices: Iterable[tuple[float, float, float]], text: str, size: float = FONT
    ) -> tuple[float, float, float] | None:
        """The first (x, y, degrees) whose text, centred there, covers no other; None if all do."""
        for x, y, degrees in choices:
            cells = self._cells(x, y, degrees, width(text, size), size)
            if not cells & self._taken:
                self._taken |= cells
                return x, y, degrees
        return None

    def _cells(
        self, x: float, y: float, degrees: float, wide: float, high: float
    ) -> set[tuple[int, int]]:
        along = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        found = set()
        steps = max(2, math.ceil(wide / self.CELL) + 1)
        for i in range(steps):
            off = wide * (i / (steps - 1) - 0.5)
            for up in (-0.35 * high, 0.0, 0.35 * high):
                across = x + off * along[0] - up * along[1], y + off * along[1] + up * along[0]
                found.add((int(across[0] // self.CELL), int(across[1] // self.CELL)))
        return found


def width(text: str, size: float = FONT) -> float:
    """About how wide a text is, in pixels."""
    return len(text) * size * WIDE
