"""An explanation as SVG and as HTML, in the look of our other pictures and reports.

The picture is that of `bars` with room for colours: a row for each process, a bar for each
operation, left to right in the order of time. The shaded part is the longest linearizable prefix.
What rests under the mouse is told in full. Nothing is loaded from anywhere, nothing runs, and equal
explanations give equal files.
"""

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from concur.histories.explanation import words
from concur.histories.explanation.bars import Layout, chosen, foot
from concur.histories.formats.base import plain
from concur.plot.layout import width
from concur.plot.palette import style_of

if TYPE_CHECKING:
    from concur.histories.explanation.explanation import Explanation, Shown

TOP, ROW, BAR = 66.0, 44.0, 26.0
LEFT, RIGHT = 20.0, 24.0
GAP = 14.0
"""Pixels between two events."""
LETTERS = 12.0
"""Pixels of a bar's label are those of letters of that size."""
PAGE = 640.0
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: var(--ink); }
.title { font-size: 15px; font-weight: 650; } .note { fill: var(--muted); }
.process { font-weight: 650; } .rule { stroke: var(--grid); stroke-width: 1; }
.prefix { fill: var(--good); opacity: .09; }
.cut { stroke: var(--good); stroke-width: 1.6; stroke-dasharray: 4 3; }
.states { fill: var(--good); }
.bar { fill: var(--panel); stroke: var(--accent); stroke-width: 1.5; }
.supporting .bar { stroke: var(--baseline); stroke-dasharray: 4 3; }
.culprit .bar { stroke: var(--bad); stroke-width: 2.4; } .culprit text { fill: var(--bad);
  font-weight: 650; }
.open { fill: none; stroke: var(--baseline); stroke-width: 1.5; stroke-dasharray: 4 3; }
.wrong { fill: var(--bad); }
"""
PAGE_STYLE = """
main svg { display: block; width: auto; max-width: none; } main svg text { stroke: none; }
ol { padding-left: 0; list-style: none; } li { margin: 4px 0; max-width: 88ch; }
"""


def svg(found: "Explanation") -> str:
    """The picture as the text of an SVG file."""
    return _drawn(found, (files("concur.plot") / "palette.css").read_text("utf-8") + STYLE)


def html(found: "Explanation") -> str:
    """Words and picture as the text of an HTML file, which is well-formed XML as well."""
    import concur

    told = "\n".join(_paragraphs(found))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{_escaped(found.title)}</title>\n"
        f"<style>\n{style_of('report.css')}{PAGE_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{_escaped(found.title)}</h1></header>\n<main>\n"
        f'<section class="verdict bad" aria-label="In words">\n{told}\n</section>\n'
        '<section aria-label="Picture"><h2>In time</h2>\n'
        f'<div class="wide" tabindex="0" role="region" aria-label="Picture">\n'
        f"{_drawn(found, STYLE)}</div>\n</section>\n</main>\n"
        f"<footer>Written by Concur {_escaped(concur.__version__)}.</footer>\n</body>\n</html>\n"
    )


def _paragraphs(found: "Explanation") -> list[str]:
    parts: list[str] = []
    for line in found.lines:
        if line.startswith(" "):
            if not parts or not parts[-1].endswith("</ol>"):
                parts.append("<ol></ol>")
            parts[-1] = f"{parts[-1].removesuffix('</ol>')}<li>{_escaped(line.strip())}</li></ol>"
        else:
            parts.append(f"<p>{_escaped(line)}</p>")
    return parts


# --- the picture ----------------------------------------------------------------------------------


def _drawn(found: "Explanation", style: str) -> str:
    shown = chosen(found)
    several = len(words.distinct(one.op.key for one in shown)) > 1
    labels = {one.number: f"{one.number}: {words.label(one.op, key=several)}" for one in shown}
    rooms = {number: width(label, LETTERS) + 18 for number, label in labels.items()}
    layout = Layout(shown, rooms, GAP)
    processes = sorted({one.recorded.process for one in shown})
    margin = max((width(f"process {p}", 13) for p in processes), default=0) + LEFT + 16
    bottom = TOP + ROW * len(processes)
    below = _foot(found, layout)
    notes = [
        _note(found, len(shown)),
        *(line for line, _ in below),
        found.title,
    ]
    wide = max(margin + layout.width + RIGHT, PAGE, *(width(n, 13) + 2 * LEFT for n in notes))
    high = bottom + 26 + 18 * len(below)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(wide)} {_n(high)}" '
        f'width="{_n(wide)}" height="{_n(high)}" role="img" aria-labelledby="title what">',
        f'<title id="title">{_escaped(found.title)}</title>',
        f'<desc id="what">{_escaped(" ".join(line.strip() for line in found.lines))}</desc>',
        f"<style>\n{style}</style>",
        f'<rect width="{_n(wide)}" height="{_n(high)}" fill="var(--paper)"/>',
        f'<text class="title" x="{_n(LEFT)}" y="26">{_escaped(found.title)}</text>',
        f'<text class="note" x="{_n(LEFT)}" y="46">{_escaped(_note(found, len(shown)))}</text>',
    ]
    if layout.cut is not None:
        x = margin + layout.cut
        body.append(
            f'<rect class="prefix" x="{_n(margin - 8)}" y="{_n(TOP)}" '
            f'width="{_n(x - margin + 8)}" height="{_n(bottom - TOP)}"/>'
        )
    for number, process in enumerate(processes):
        y = TOP + ROW * number + ROW / 2
        body.append(f'<path class="rule" d="M{_n(margin - 8)} {_n(y)}H{_n(wide - 12)}"/>')
        body.append(
            f'<text class="process" x="{_n(LEFT)}" y="{_n(y + 4)}">process {process}</text>'
        )
    clock = words.Clock(
        time for one in shown for time in (one.op.call_ns, one.op.return_ns) if time is not None
    )
    for one in shown:
        y = TOP + ROW * processes.index(one.recorded.process) + ROW / 2
        body.append(_bar(one, labels[one.number], layout, margin, y, clock))
    if layout.cut is not None:
        x = margin + layout.cut
        body.append(f'<path class="cut" d="M{_n(x)} {_n(TOP - 6)}V{_n(bottom + 8)}"/>')
    for number, (line, kind) in enumerate(below):
        at = margin + (layout.cut or 0.0)
        anchor = "end" if width(line, 13) < at - LEFT else "start"
        body.append(
            f'<text class="{kind}" x="{_n(at if anchor == "end" else LEFT)}" '
            f'y="{_n(bottom + 24 + 18 * number)}" text-anchor="{anchor}">{_escaped(line)}</text>'
        )
    return "\n".join([*body, "</svg>"]) + "\n"


def _note(found: "Explanation", drawn: int) -> str:
    note = "Time goes right, in order and not to scale."
    if any(not one.essential for one in found.shown):
        note += " Dashed: not essential, to understand the others."
    if len(found.shown) > drawn:
        note += f" {len(found.shown) - drawn:,} earlier operations are not drawn."
    return note


def _foot(found: "Explanation", layout: Layout) -> list[tuple[str, str]]:
    return list(zip(foot(found), ("states", "wrong"), strict=True)) if layout.cut else []


def _bar(
    one: "Shown", label: str, layout: Layout, margin: float, y: float, clock: words.Clock
) -> str:
    begin, end = margin + layout.begin[one.number], margin + layout.end[one.number]
    kind = "culprit" if one.culprit else "essential" if one.essential else "supporting"
    shape = (
        f'<rect class="bar" x="{_n(begin)}" y="{_n(y - BAR / 2)}" width="{_n(end - begin)}" '
        f'height="{_n(BAR)}" rx="5"/>'
    )
    if one.op.return_ns is None:  # open to the right
        shape = (
            f'<path class="bar" d="M{_n(end)} {_n(y - BAR / 2)}H{_n(begin)}V{_n(y + BAR / 2)}'
            f'H{_n(end)}"/>'
        )
    said = words.sentence(one.op, one.recorded, clock)
    return (
        f'<g class="{kind}"><title>{_escaped(said)}</title>{shape}'
        f'<text x="{_n(begin + 8)}" y="{_n(y + 4)}">{_escaped(label)}</text></g>'
    )


def _n(number: float) -> str:
    """A coordinate, to a tenth of a pixel and no longer than it has to be."""
    return f"{number:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    """Text as XML takes it; what no XML may hold is written out."""
    return escape(plain(text))
