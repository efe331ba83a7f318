"""Space-time diagrams as SVG: nodes are lines, time runs down them, messages are arrows.

One file that needs nothing else, brings its own background for light and dark pages, and holds the
same bytes for the same trace. What rests under the mouse says more: every arrow and mark has its
whole content and the step at which `concur replay --stop-at` shows the state around it.

Time keeps its order and not its measure. A millisecond takes as much room as the delay of a message
suggests, what happens on one line keeps a distance in which it can be read, and a quiet stretch is
cut short, which the dotted lines show.
"""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from concur.files import write_whole
from concur.plot.charts import letters
from concur.plot.layout import FONT, WIDE, Heights, Labels, Point, width
from concur.plot.palette import style_of
from concur.plot.witness import DECIDED, NEVER, Arrow, Mark, Span, Told
from concur.score.story import Shown

LEFT, TOP = 92.0, 104.0
"""Room for the times on the left, and for the title and the names at the top."""
FAULTS = 190
"""Room for the faults on the right, if there are any."""
PAGE = 860.0
"""The width that is used if the names leave it free."""
COLUMN_LEAST, COLUMN_MOST = 104.0, 190.0
CAUSES = ("timer", "asked", "started")
"""Marks that come before what is sent at the same moment."""
BAND = 11.0
"""The width of the band of a leader."""
STUB = 22.0
"""How far a message is drawn that plays no part."""
BROKEN = "broken"
"""The kind of mark where a property breaks."""
STORY_STYLE = """
.late .way { stroke-dasharray: 1 3; opacity: .7; }
.broken .edge { stroke: var(--bad); stroke-width: 1.6; fill: none; }
.broken text { fill: var(--bad); font-weight: 650; }
"""


def draw(told: Told, *, title: str, note: str = "") -> str:
    """The diagram of what was told, as the text of an SVG file."""
    return _Drawing(told).text(title, note)


def write_diagram(text: str, path: str | Path) -> None:
    """Write a diagram, which appears under its name only once it is whole."""
    write_whole("diagram", path, text)


# --- drawing --------------------------------------------------------------------------------------


class _Drawing:
    def __init__(self, told: Told) -> None:
        self.told = told
        names = list(dict.fromkeys(name for _, name in told.nodes))
        self.names = names
        self.column = {id: names.index(name) for id, name in told.nodes}
        shared = [name for name in names if sum(name == n for _, n in told.nodes) > 1]
        self.shared = {id for id, name in told.nodes if name in shared}
        self.arrows = [
            a for a in told.arrows if a.source in self.column and a.target in self.column
        ]
        longest = max((width(self._words(a)) for a in self.arrows), default=0.0)
        self.lanes = _lanes(told.faults)
        faults = FAULTS + 13.0 * max(self.lanes) if told.faults else 0.0
        beside = max((width(m.label) for m in told.marks if self._is_last(m)), default=0.0)
        self.margin = min(max(beside + 22, 46.0), 130.0)
        room = (PAGE - LEFT - 64 - self.margin - faults) / max(len(names) - 1, 1)
        self.gap = min(max(longest + 34, COLUMN_LEAST, room), COLUMN_MOST)
        self.right = LEFT + 34 + self.gap * (len(names) - 1) + self.margin
        self.width = max(self.right + 12 + faults, 680.0)
        self.labels = Labels()
        self._arrange()

    def x(self, column: int) -> float:
        return LEFT + 34 + self.gap * column

    def _is_last(self, mark: Mark) -> bool:
        """Whether a mark has its text to the right of all lines."""
        return mark.kind != DECIDED and self.column.get(mark.node) == len(self.names) - 1

    def _words(self, arrow: Arrow) -> str:
        """What is written on an arrow: its name, the flags that are set in it, and whoever of those
        on a shared line it is."""
        message = arrow.message
        flags = [f for f in message.__struct_fields__ if getattr(message, f) is True]
        who = [end for end in (arrow.source, arrow.target) if end in self.shared]
        return " ".join([arrow.name, *flags, *who])

    def _arrange(self) -> None:
        told = self.told
        took = sorted(a.arrived_ns - a.sent_ns for a in self.arrows if a.arrived_ns < NEVER)
        self.delay_ns = max(took[len(took) // 2] if took else 1_000_000, 1)
        points: list[Point] = []
        self.ends: list[tuple[Point | None, Point | None]] = []
        for order, arrow in enumerate(self.arrows):
            here, there = self.column[arrow.source], self.column[arrow.target]
            side = -1 if here < there else 1
            start = end = None
            if arrow.sent_ns >= told.from_ns:
                start = Point(arrow.sent_ns, order, here, 0, True)
            if arrow.late:
                points += [start] if start is not None else []
                self.ends.append((start, None))
                continue
            arrives = arrow.sent_ns + self.delay_ns if arrow.lost else arrow.arrived_ns
            if arrow.lost and arrow.arrived_ns < NEVER:
                arrives = arrow.arrived_ns
            if arrives <= told.to_ns or (arrow.lost and start is not None):
                end = Point(arrives, order, there, side, False, start)
                end.least = 9.0 + 3.0 * abs(here - there)
            points += [point for point in (start, end) if point is not None]
            self.ends.append((start, end))
        self.at: list[Point] = []
        for order, mark in enumerate(told.marks):
            side = 1 if mark.kind != DECIDED else -1
            order += -len(told.marks) if mark.kind in CAUSES else len(self.arrows)
            self.at.append(Point(mark.ns, order, self.column[mark.node], side, False))
        self.led: list[Point | None] = []
        for order, lead in enumerate(told.leading):
            point_or_none = None
            if lead.from_ns >= told.from_ns:
                order += len(self.arrows) + len(told.marks)
                point_or_none = Point(lead.from_ns, order, self.column[lead.node], 1, False)
            self.led.append(point_or_none)
        points += self.at + [point for point in self.led if point is not None]
        self.heights = Heights(points, told.from_ns, told.to_ns, self.delay_ns, TOP)
        self.bottom = self.heights.bottom
        self.lowest = 0.0

    # --- the parts --------------------------------------------------------------------------------

    def text(self, title: str, note: str) -> str:
        faults = self._faults()
        times, lives, leading, marks = self._times(), self._lives(), self._leading(), self._marks()
        ways, names = self._arrows()  # last, for what is written by lines matters more
        style = style_of("diagram.css") + (STORY_STYLE if self.told.event_ns else "")
        body = [*times, *lives, *leading, *ways, *marks, *names]
        below = max(self.bottom + 58, self.lowest + 30)
        legend, high = self._legend(below)
        height = below + high
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {n(self.width)} {n(height)}" '
            f'width="{n(self.width)}" height="{n(height)}" role="img" '
            'aria-labelledby="title what">',
            f'<title id="title">{_escaped(title)}</title>',
            f'<desc id="what">{_escaped(self._in_words())}</desc>',
            f"<style>\n{style}</style>",
            f'<rect width="{n(self.width)}" height="{n(height)}" fill="var(--paper)"/>',
            f'<text class="title" x="20" y="28">{_escaped(title)}</text>',
            *(
                f'<text class="note" x="20" y="{46 + 15 * i}">{_escaped(line)}</text>'
                for i, line in enumerate(_wrapped(note, self.width - 40, lines=2))
            ),
        ]
        return "\n".join([*head, *faults, *body, *legend, "</svg>"]) + "\n"

    def _in_words(self) -> str:
        told = self.told
        elected = [f"{s.node} leads ({s.label})" for s in told.leading]
        stopped = [f"{s.node} {s.label}" for s in told.down]
        lost = sum(bool(a.lost) for a in self.arrows)
        said = [f"{len(self.arrows)} messages between {', '.join(self.names)}, {lost} of them lost"]
        return "; ".join([*said, *elected, *stopped, *(f.what for f in told.faults)]) + "."

    def _times(self) -> list[str]:
        """When things happen, on the left, as often as there is room."""
        chosen: list[tuple[int, float]] = []
        event_ns = self.told.event_ns
        least = 12 if event_ns else 30
        for ns, y in self.heights.moments():
            if event_ns and (ns % event_ns or not 0 < ns // event_ns <= self.told.steps[1]):
                continue
            if not chosen or (y - chosen[-1][1] >= least and ns > chosen[-1][0]):
                chosen.append((ns, y))
        apart = min((b[0] - a[0] for a, b in pairwise(chosen)), default=10**9)
        digits = min(max(3, 10 - len(str(apart))), 9)
        right = self.right - 12
        found = [
            f'<text class="time" x="20" y="{n(TOP - 26)}">'
            f"{'event' if event_ns else 'seconds'}</text>",
        ]
        for ns, y in chosen:
            when = f"{ns // event_ns}" if event_ns else f"{ns / 1e9:.{digits}f}"
            found.append(
                f'<path class="rule" d="M{LEFT - 8} {n(y)}H{n(right)}"/>'
                f'<text class="time" x="{LEFT - 14}" y="{n(y + 4)}" text-anchor="end">'
                f"{when}</text>"
            )
        return found

    def _when(self, ns: int) -> str:
        event_ns = self.told.event_ns
        return f"event {ns // event_ns}" if event_ns else f"{ns / 1e9:.6f}"

    def _lives(self) -> list[str]:
        """The lines of the nodes with their names, dotted where time is cut short."""
        found = []
        quiet = [(a, b) for a, b, _ in self.heights.breaks]
        for column, name in enumerate(self.names):
            x = self.x(column)
            for y in (TOP - 26, self.bottom + 20):
                found.append(
                    f'<text class="name" x="{n(x)}" y="{n(y)}" text-anchor="middle">'
                    f"{_escaped(name)}</text>"
                )
            down = [self._height(s) for s in self.told.down if self._column_of(s) == column]
            for low, high in _without([(TOP - 14, self.bottom)], down):
                for a, b in _without([(low, high)], quiet):
                    found.append(f'<path class="life" d="M{n(x)} {n(a)}V{n(b)}"/>')
                for a, b in quiet:
                    a, b = max(a, low), min(b, high)
                    if a < b:
                        found.append(f'<path class="quiet" d="M{n(x)} {n(a)}V{n(b)}"/>')
            found += [f'<path class="down" d="M{n(x)} {n(a)}V{n(b)}"/>' for a, b in down]
        return found

    def _column_of(self, span: Span) -> int | None:
        return None if span.node in self.shared else self.column.get(span.node)

    def _height(self, span: Span) -> tuple[float, float]:
        told = self.told
        low = TOP - 14 if span.from_ns < told.from_ns else self.heights.at(span.from_ns)
        high = self.bottom if span.to_ns > told.to_ns else self.heights.at(span.to_ns)
        return low, high

    def _leading(self) -> list[str]:
        """A band on the line of who leads; each ballot, term or view has a colour."""
        found = []
        numbers = list(dict.fromkeys(span.label for span in self.told.leading))
        for span, point in zip(self.told.leading, self.led, strict=True):
            x = self.x(self.column[span.node])
            low, high = self._height(span)
            if point is not None:
                low = point.y
            high = max(high, low + 6)
            colour = f"var(--hue{numbers.index(span.label) % 6})"
            words = f"leads {span.label}"
            until = f" to {self._when(span.to_ns)}" if span.to_ns < NEVER else ""
            unit = "" if self.told.event_ns else " s"
            found.append(
                f'<g class="leads"><title>{_escaped(span.node)} {_escaped(words)}, from '
                f"{self._when(span.from_ns)}{until}{unit}</title>"
                f'<rect x="{n(x - BAND / 2)}" y="{n(low)}" width="{n(BAND)}" '
                f'height="{n(high - low)}" rx="4" fill="{colour}" opacity=".75"/>'
            )
            wide = width(words, FONT + 1)
            near = [
                (x + side * (12 + wide / 2), low + down, 0.0)
                for down in (6.0, 18.0, 30.0)
                for side in (1, -1)
            ]
            if point is None:
                near = [(x + side * (12 + wide / 2), low + 2, 0.0) for side in (1, -1)]
            spot = self.labels.place(near, words, FONT + 1)
            if spot is not None:
                found[-1] += (
                    f'<text x="{n(spot[0])}" y="{n(spot[1] + 4)}" text-anchor="middle" '
                    f'style="fill: {colour}">{_escaped(words)}</text>'
                )
            found[-1] += "</g>"
        return found

    def _marks(self) -> list[str]:
        return [self._mark(m, p) for m, p in zip(self.told.marks, self.at, strict=True)]

    def _mark(self, mark: Mark, point: Point) -> str:
        x, y = self.x(point.column), point.y
        shape = {
            "timer": f'<circle class="mark" cx="{n(x)}" cy="{n(y)}" r="3.6"/>'
            f'<path class="mark" d="M{n(x)} {n(y - 2.2)}V{n(y)}H{n(x + 1.8)}"/>',
            DECIDED: f'<path class="mark" d="M{n(x - 4)} {n(y)}l4 -4l4 4l-4 4z"/>',
            "crashed": f'<path class="cross" d="M{n(x - 5)} {n(y - 5)}l10 10m0 -10l-10 10"/>',
            "started": f'<path class="mark" d="M{n(x - 5)} {n(y - 3)}h10l-5 7z"/>',
            BROKEN: f'<path class="edge" d="M{LEFT - 8} {n(y)}H{n(self.right - 12)}"/>'
            f'<circle class="edge" cx="{n(x)}" cy="{n(y)}" r="6"/>',
        }.get(mark.kind, f'<rect class="mark" x="{n(x - 3)}" y="{n(y - 3)}" width="6" height="6"/>')
        label = mark.label if mark.node not in self.shared else f"{mark.node}: {mark.label}"
        label = _cut(label, self.gap - 20)
        wide = width(label)
        sides = (-1, 1) if mark.kind == DECIDED else (1, -1)
        near = [(x + side * (9 + wide / 2), y, 0.0) for side in sides]
        spot = self.labels.place(near, label)
        words = ""
        if spot is not None:
            anchor, at = ("start", x + 9) if spot[0] > x else ("end", x - 9)
            words = (
                f'<text x="{n(at)}" y="{n(y + 4)}" text-anchor="{anchor}">{_escaped(label)}</text>'
            )
        when = f"at {mark.ns / 1e9:.6f} s, step {mark.step}"
        if self.told.event_ns:
            when = f"event {mark.step}"
        title = f"{mark.node} {mark.title}\n{when}"
        return f'<g class="{mark.kind}"><title>{_escaped(title)}</title>{shape}{words}</g>'

    def _arrows(self) -> tuple[list[str], list[str]]:
        """The arrows, and what is written on them, which no arrow may cover."""
        ways, names = [], []
        for arrow, (start, end) in zip(self.arrows, self.ends, strict=True):
            way, name = self._arrow(arrow, start, end)
            ways.append(way)
            names += [name] if name else []
        return ways, names

    def _arrow(self, arrow: Arrow, start: Point | None, end: Point | None) -> tuple[str, str]:
        x1, x2 = self.x(self.column[arrow.source]), self.x(self.column[arrow.target])
        y1 = start.y if start is not None else TOP - 14
        y2 = end.y if end is not None else self.bottom
        kind = "lost" if arrow.lost else "copy" if arrow.copy else "arrow"
        if arrow.late:
            return self._late(arrow, (x1, y1), x2), ""
        if start is None or (end is None and not arrow.lost):
            kind += " beyond"
        if x1 == x2:
            bend = f"M{n(x1)} {n(y1)}q28 {n((y2 - y1) / 2)} 0 {n(y2 - y1)}"
            way, tip, slope = bend, (x2, y2), math.pi
        else:
            share = 1.0
            if arrow.lost:
                share = 0.72 if arrow.arrived_ns == NEVER else 1 - 7 / abs(x2 - x1)
            elif end is None:
                share = 0.8
            tip = x1 + (x2 - x1) * share, y1 + (y2 - y1) * (share if arrow.lost else 1.0)
            slope = math.atan2(tip[1] - y1, tip[0] - x1)
            way = f"M{n(x1)} {n(y1)}L{n(tip[0])} {n(tip[1])}"
        if arrow.lost:
            x, y = tip
            last = f'<path class="cross" d="M{n(x - 4)} {n(y - 4)}l8 8m0 -8l-8 8"/>'
        elif end is None:
            last = ""
        else:
            wings = [
                (tip[0] - 8 * math.cos(slope + turn), tip[1] - 8 * math.sin(slope + turn))
                for turn in (0.35, -0.35)
            ]
            spots = " ".join(f"{n(a)},{n(b)}" for a, b in (tip, *wings))
            last = f'<polygon class="head" points="{spots}"/>'
        top = f'<g class="{kind}"><title>{_escaped(arrow.title)}</title>'
        words = self._name(arrow, (x1, y1), tip)
        return (
            f'{top}<path class="way" d="{way}"/>{last}</g>',
            f"{top}{words}</g>" if words else "",
        )

    def _late(self, arrow: Arrow, tail: tuple[float, float], x: float) -> str:
        """The beginning of a message that plays no part."""
        x1, y1 = tail
        far = math.copysign(STUB, x - x1)
        return (
            f'<g class="late"><title>{_escaped(arrow.title)}</title>'
            f'<path class="way" d="M{n(x1)} {n(y1)}l{n(far)} {n(STUB / 3)}"/></g>'
        )

    def _name(self, arrow: Arrow, tail: tuple[float, float], tip: tuple[float, float]) -> str:
        """The name of a message along its arrow: near the head if there is room, then elsewhere."""
        words = self._words(arrow)
        (x1, y1), (x2, y2) = tail, tip
        long = math.hypot(x2 - x1, y2 - y1)
        wide = width(words)
        if long < 1:
            return ""
        along = (x2 - x1) / long, (y2 - y1) / long
        degrees = math.degrees(math.atan2(y2 - y1, x2 - x1))
        upright = degrees if abs(degrees) <= 90 else degrees - math.copysign(180, degrees)
        over = (along[1], -along[0]) if abs(degrees) <= 90 else (-along[1], along[0])
        middles = [long - wide / 2 - 13, wide / 2 + 9, long / 2, long * 0.35, long * 0.65]
        middles += [long - wide / 2 - 13 - self.gap, long - wide / 2 - 13 - 2 * self.gap]
        choices = [
            (x1 + along[0] * m + over[0] * off, y1 + along[1] * m + over[1] * off, upright)
            for off in (6.0, -7.0)
            for m in middles
            if wide / 2 <= m <= long - wide / 2 or m == long / 2
        ]
        spot = self.labels.place(choices, words)
        if spot is None:
            return ""
        x, y, turn = spot
        back = math.radians(turn)
        x, y = x - 4 * math.sin(back), y + 4 * math.cos(back)
        return (
            f'<text x="{n(x)}" y="{n(y)}" text-anchor="middle" '
            f'transform="rotate({n(turn)} {n(x)} {n(y)})">{_escaped(words)}</text>'
        )

    def _faults(self) -> list[str]:
        """Bars on the right from when to when a fault lasts, with what it is."""
        told = self.told.faults
        found: list[str] = []
        left = self.right + 13 * (max(self.lanes, default=0) + 1)
        free = TOP - 20.0
        for tag, fault, lane in zip(letters(len(told)), told, self.lanes, strict=False):
            low, high = self._extent(fault)
            x = self.right + 13 * lane
            right = self.right - 12
            ends = f"{fault.from_s:.3f} to {fault.to_s:.3f} s"
            lines = _wrapped(f"{tag}: {fault.what}", self.width - left - 8)
            text_y = max(low + 9, free + 14)
            self.lowest = free = text_y + 13 * len(lines)
            shade = (
                f'<rect class="shade" x="{LEFT - 8}" y="{n(low)}" width="{n(right - LEFT + 8)}" '
                f'height="{n(high - low)}"/>'
                if low > TOP - 14 or high < self.bottom
                else ""
            )
            rows = "".join(
                f'<text x="{n(left)}" y="{n(text_y + 13 * i)}">{_escaped(line)}</text>'
                for i, line in enumerate([*lines, f"{ends}"])
            )
            found.append(
                f"<g><title>{_escaped(fault.what)}, {ends}</title>{shade}"
                f'<rect class="fault" x="{n(x)}" y="{n(low)}" width="8" height="{n(high - low)}" '
                f'rx="3"/><text x="{n(x + 4)}" y="{n(low - 3)}" text-anchor="middle">{tag}</text>'
                f"{rows}</g>"
            )
        return found

    def _extent(self, fault: Shown) -> tuple[float, float]:
        span = Span("", round(fault.from_s * 1e9), round(fault.to_s * 1e9), "")
        low, high = self._height(span)
        return low, max(high, low + 6)

    def _legend(self, y: float) -> tuple[list[str], float]:
        """What the signs mean, of those that are there; and how high that is."""
        kinds = {mark.kind for mark in self.told.marks}
        entries = []
        if any(arrow.lost for arrow in self.arrows):
            entries.append(('<g class="lost"><path class="way" d="M0 -4h18"/><path class="cross" '
                            'd="M18 -8l8 8m0 -8l-8 8"/></g>', "lost"))  # fmt: skip
        if any(arrow.late for arrow in self.arrows):
            entries.append(('<g class="late"><path class="way" d="M2 -7l22 7"/></g>',
                            "sent, plays no part"))  # fmt: skip
        if BROKEN in kinds:
            entries.append(('<g class="broken"><path class="edge" d="M0 -4h26"/><circle '
                            'class="edge" cx="13" cy="-4" r="6"/></g>',
                            "here it is broken"))  # fmt: skip
        if self.told.leading:
            entries.append(('<rect x="8" y="-11" width="11" height="14" rx="4" fill="var(--hue0)" '
                            'opacity=".75"/>', "leads (ballot, term or view)"))  # fmt: skip
        if DECIDED in kinds:
            entries.append(('<g class="decided"><path class="mark" d="M9 -4l4 -4l4 4l-4 4z"/></g>',
                            "decided, with its slot"))  # fmt: skip
        if "timer" in kinds:
            entries.append(('<g class="timer"><circle class="mark" cx="13" cy="-4" r="3.6"/><path '
                            'class="mark" d="M13 -6.2v2.2h1.8"/></g>', "timer"))  # fmt: skip
        if kinds & {"seen", "asked", "answered", "unanswered"}:
            entries.append(('<rect class="mark" x="10" y="-7" width="6" height="6"/>',
                            "what a node reports"))  # fmt: skip
        if self.told.down:
            entries.append(('<path class="cross" d="M8 -9l10 10m0 -10l-10 10"/>', "stops"))
        if "started" in kinds:
            entries.append(('<path class="mark" d="M8 -7h10l-5 7z"/>', "starts again"))
        if self.heights.breaks:
            entries.append(('<path class="quiet" d="M13 -13v18"/>', "a longer time, cut short"))
        found, x, rows = [], 20.0, 1
        for sign, words in entries:
            wide = 34 + width(words) + 22
            if x + wide > self.width and x > 20:
                x, rows = 20.0, rows + 1
            at = y + 18 * (rows - 1)
            found.append(
                f'<g transform="translate({n(x)} {n(at)})">{sign}'
                f'<text class="note" x="34" y="0">{words}</text></g>'
            )
            x += wide
        return found, 18.0 * rows


def n(number: float) -> str:
    """A coordinate, to a tenth of a pixel and no longer than it has to be."""
    return f"{number:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    """Text as XML takes it; what it cannot hold at all is left out."""
    return escape("".join(c for c in text if c >= " " or c in "\n\t"))


def _cut(text: str, room: float) -> str:
    most = max(4, int(room / (FONT * WIDE)))
    return text if len(text) <= most else text[: most - 1] + "…"


def _wrapped(text: str, room: float, lines: int = 9) -> list[str]:
    """Words in lines of that width; of more than so many, the last one ends in dots."""
    found: list[str] = []
    for word in text.split():
        if found and width(f"{found[-1]} {word}") <= room:
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found if len(found) <= lines else [*found[: lines - 1], f"{found[lines - 1]} …"]


def _lanes(faults: list[Shown]) -> list[int]:
    """Which of the bars on the right each fault has, so that none covers another."""
    ends: list[float] = []
    found = []
    for fault in faults:
        lane = next((i for i, end in enumerate(ends) if end < fault.from_s), len(ends))
        ends[lane : lane + 1] = [fault.to_s]
        found.append(lane)
    return found


def _without(
    spans: Sequence[tuple[float, float]], holes: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """What is left of `spans` when `holes` are cut out."""
    left = list(spans)
    for a, b in holes:
        left = [
            piece
            for low, high in left
            for piece in ((low, min(high, a)), (max(low, b), high))
            if piece[0] < piece[1]
        ]
    return left
