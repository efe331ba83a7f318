"""An explanation as a picture of text: processes are rows, operations bars, time goes right.

Time keeps its order and not its measure: the next event is as far to the right as the labels need.
A dotted line stands where the longest linearizable prefix ends, just before the return of the
operation that has no place; `╞═` and `═╡` mark that one.

A picture that is wider than the page is cut into bands, one below the other.
"""

from textwrap import wrap
from typing import TYPE_CHECKING

from rich.cells import cell_len

from concur.histories.explanation import words
from concur.histories.formats.base import plain

if TYPE_CHECKING:
    from concur.histories.explanation.explanation import Explanation, Shown

WIDTH_MIN = 40
UNBROKEN = "\N{NO-BREAK SPACE}"
"""A space within a label, until it is printed: no band ends there."""
BAND_LEAST = 0.6
"""The share of the page that a band fills at least; within the rest, it ends between two bars."""


class Layout:
    """Where bars begin and end, in columns: in the order of the events, `room` apart at least."""

    def __init__(self, shown: "tuple[Shown, ...]", rooms: dict[int, float], gap: float) -> None:
        self.begin: dict[int, float] = {}
        self.end: dict[int, float] = {}
        self.cut: float | None = None
        events: list[tuple[int, int, int, int]] = []  # calls of an instant first, returns last
        for one in shown:
            events.append((one.op.call_ns, 0, one.op.index, one.number))
            if one.op.return_ns is not None:
                events.append((one.op.return_ns, 2, one.op.return_index or 0, one.number))
        busy = {number: (one.recorded.process, one) for number, one in _by_number(shown).items()}
        for i, (time, kind, index, number) in enumerate(events):
            process = busy[number][0]
            chained = any(
                t == time and k != kind and busy[m][0] == process and m != number
                for t, k, _, m in events
            )
            if chained:  # a process that goes on at once: its return comes before its call
                events[i] = (time, 1, index, number)
        at = -gap
        free: dict[int, float] = {}  # process -> where its row is free
        for _, _, _, number in sorted(events):
            process, one = busy[number]
            if number not in self.begin:
                at = max(at + gap, free.get(process, 0.0))
                self.begin[number] = at
                if one.op.return_ns is None:
                    self.end[number] = at + rooms[number]
                    free[process] = self.end[number] + gap
            else:
                at = max(at + gap, self.begin[number] + rooms[number])
                if one.culprit:
                    at += gap
                    self.cut = at - gap
                self.end[number] = at
                free[process] = at + gap
        self.width = max(self.end.values(), default=0.0)


def _by_number(shown: "tuple[Shown, ...]") -> "dict[int, Shown]":
    return {one.number: one for one in shown}


def chosen(found: "Explanation") -> "tuple[Shown, ...]":
    """The operations that are drawn: the last ones, if there are too many."""
    from concur.histories.explanation.explanation import DRAWN_IF_MANY, DRAWN_MAX

    return found.shown if len(found.shown) <= DRAWN_MAX else found.shown[-DRAWN_IF_MANY:]


def draw(found: "Explanation", width: int) -> str:
    shown = chosen(found)
    if not shown:
        return ""
    several = len(words.distinct(one.op.key for one in shown)) > 1
    labels = {one.number: _label(one, key=several) for one in shown}
    rooms = {number: float(cell_len(label) + 5) for number, label in labels.items()}
    layout = Layout(shown, rooms, 1.0)
    rows: dict[int, list[Shown]] = {}
    for one in shown:
        rows.setdefault(one.recorded.process, []).append(one)
    names = {process: f"process {process}" for process in sorted(rows)}
    margin = max(map(len, names.values())) + 2
    columns = int(layout.width) + 2
    lines = {process: _row(rows[process], labels, layout, columns) for process in names}
    room = max(width, WIDTH_MIN) - margin
    out: list[str] = []
    if len(found.shown) > len(shown):
        out.append(f"({len(found.shown) - len(shown):,} earlier operations are not drawn)")
    for start, end in _bands(lines, columns, room):
        if out and start:
            out.append("")
        for process, cells in lines.items():
            part = "".join(cells[start:end]).replace(UNBROKEN, " ").rstrip()
            if part.strip(" ┊") or end - start == columns:
                out.append(f"{names[process]:<{margin}}{part}")
        if layout.cut is not None and start <= layout.cut < end:
            out += _foot(found, int(layout.cut) - start + margin, width)
    return "\n".join(out)


def _label(one: "Shown", *, key: bool) -> str:
    return plain(f"{one.number}: {words.label(one.op, key=key)}")


def _row(some: "list[Shown]", labels: dict[int, str], layout: Layout, columns: int) -> list[str]:
    """One cell a column. A wide character is followed by an empty cell."""
    cells = [" "] * columns
    if layout.cut is not None:
        cells[int(layout.cut)] = "┊"
    for one in some:
        begin, end = int(layout.begin[one.number]), int(layout.end[one.number])
        left, line, right = ("╞", "═", "╡") if one.culprit else ("├", "─", "┤")
        if one.op.return_ns is None:
            line, right = "╌", "▷"
        if not one.essential:
            line = "╌"
        cells[begin : end + 1] = [left, *(line * (end - begin - 1)), right]
        text: list[str] = []
        for letter in f" {labels[one.number]} ".replace(" ", UNBROKEN):
            text += [letter, *[""] * (cell_len(letter) - 1)]
        cells[begin + 2 : begin + 2 + len(text)] = text
        cut = layout.cut
        if cut is not None and begin + 2 + len(text) <= cut < end:
            cells[int(cut)] = "┊"
    return cells


def _bands(lines: dict[int, list[str]], columns: int, room: int) -> list[tuple[int, int]]:
    """Where each band begins and ends: in no label, and through as few bars as possible."""

    def through(at: int) -> tuple[int, int, int]:
        cut = [cells[at] for cells in lines.values()]
        bars = sum(cell in "─╌═┤╡▷" for cell in cut if cell)
        return sum(cell not in " ┊├╞─╌═┤╡▷" or not cell for cell in cut), bars, -at

    bands = []
    start = 0
    while start < columns:
        end = min(start + room, columns)
        if end < columns:
            end = min(range(start + int(room * BAND_LEAST), end + 1), key=through)
        bands.append((start, end))
        start = end
    return bands


def _foot(found: "Explanation", column: int, width: int) -> list[str]:
    """What the dotted line means, below it."""
    lines = [part for line in foot(found) for part in wrap(plain(line), max(width, WIDTH_MIN))]
    longest = max(map(cell_len, lines))
    pad = " " * max(0, min(column, width - longest))
    return [" " * column + "┊", *(pad + line for line in lines)]


def foot(found: "Explanation") -> tuple[str, str]:
    """What the dotted line means."""
    culprit = next(one.number for one in found.shown if one.culprit)
    alone = "these alone have an order" if found.others else "these have an order"
    there = "there is an order" if found.whole and found.others else alone
    meets = ""
    if found.states:
        meets = f" would meet {found.subject} as {words.listed(found.states, 'or')} and"
    return f"up to here {there};", f"{culprit}{meets} has no place"
