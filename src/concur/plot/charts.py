"""The charts of a comparison, each as one inline SVG.

Matplotlib is imported when the first chart is drawn. Nothing in a chart depends on the date or on
the machine, so that equal comparisons give equal reports.
"""

import io
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from concur.plot.palette import FAULT, GRID, INK, MUTED, PAPER, VARIABLES, Look, looks
from concur.score.compare import Comparison, Row
from concur.score.run import BINS, latency_ms
from concur.score.words import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE_IN, HALF_IN = 10.4, 5.1
FONT = 9.0
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "concur",
    "font.family": "sans-serif",
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": FONT - 0.5,
    "ytick.labelsize": FONT - 0.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": True,
}


def appearance(found: Comparison) -> dict[str, Look]:
    """How each protocol looks, by its label."""
    chosen = looks([row.baseline for row in found.rows])
    return {row.protocol: look for row, look in zip(found.rows, chosen, strict=True)}


def drawable(found: Comparison) -> list[Row]:
    """The rows that have figures."""
    return [row for row in found.rows if row.figures]


# --- the charts -----------------------------------------------------------------------------------


def timeline(found: Comparison) -> str:
    """Completed commands over time, one panel for each protocol, faults shaded."""
    rows = drawable(found)
    seconds = found.setting.seconds
    told = found.stories[found.seeds[0]]
    each = 0.85 if len(rows) <= 6 else 0.6 if len(rows) <= 12 else 0.42
    with _figure(WIDE_IN, 0.75 + each * len(rows)) as (drawn, size):
        panels = drawn.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for axes, row in zip(panels, rows, strict=True):
            _panel(axes, row, appearance(found)[row.protocol], seconds, zero=each > 0.5)
            for fault in told:
                axes.axvspan(
                    fault.from_s, fault.to_s, color=FAULT, alpha=0.22, linewidth=0, zorder=0.5
                )
            if found.setting.warmup_s:
                axes.axvspan(0, found.setting.warmup_s, color=MUTED, alpha=0.12, linewidth=0,
                             zorder=0.5)  # fmt: skip
        _tags(panels[0], [(fault.from_s, fault.to_s) for fault in told], seconds)
        if found.setting.warmup_s:
            panels[0].text(0, 1.06, " warm-up", transform=_over(panels[0]), color=MUTED,
                           fontsize=FONT - 1.5)  # fmt: skip
        panels[-1].set_xlabel("seconds of the run")
        panels[-1].set_xlim(0, seconds)
        drawn.subplots_adjust(
            left=_room(rows) + 0.065,
            right=0.985,
            top=1 - 0.28 / size,
            bottom=0.42 / size,
            hspace=0.22,
        )
        what = "; ".join(
            f"{row.protocol}: {sum(row.runs[0].timeline):,} commands, "
            f"no answer for {figure(row.runs[0].metrics['unavailable_s'])} s"
            for row in rows
        )
        return _svg(drawn, "timeline", "Completed commands through the faults", what)


def _panel(axes: "Axes", row: Row, look: Look, seconds: float, *, zero: bool) -> None:
    width = seconds / BINS
    rates = [count / width for count in row.runs[0].timeline]
    edges = [i * width for i in range(BINS + 1)]
    axes.stairs(rates, edges, fill=True, color=look.colour, alpha=0.35, linewidth=0)
    axes.stairs(rates, edges, color=look.colour, linewidth=1.0)
    peak = max(rates, default=0.0) or 1.0
    axes.set_ylim(0, peak * 1.08)
    axes.set_yticks([0, peak], ["0" if zero else "", f"{figure(peak)}/s"])
    axes.tick_params(axis="both", length=2)
    axes.annotate(_short(row.protocol, NAME_MAX), (0, 0.5), (-42, 0), xycoords="axes fraction",
                  textcoords="offset points", ha="right", va="center", color=INK)  # fmt: skip


def _over(axes: "Axes") -> Any:
    """Coordinates whose x is seconds and whose y is a share of the panel's height."""
    return axes.get_xaxis_transform()


def letters(count: int) -> list[str]:
    """A, B ... Z, AA, AB ...: the tags of faults."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [
        (alphabet[i // 26 - 1] if i >= 26 else "") + alphabet[i % 26]
        for i in range(min(count, 702))
    ]


def _tags(axes: "Axes", spans: "list[tuple[float, float]]", seconds: float) -> None:
    """Letters over the faults, dropped to where none overlaps the one before."""
    last = -1.0
    for tag, (start, end) in zip(letters(len(spans)), spans, strict=False):
        middle = (start + end) / 2
        at = max(middle, last + seconds * 0.014)
        last = at
        axes.text(at, 1.06, tag, transform=_over(axes), ha="center", color=INK, fontsize=FONT - 1,
                  fontweight="bold")  # fmt: skip


def latencies(found: Comparison) -> str:
    """The distribution of latency: all commands on the left, the slowest tenth on the right."""
    rows = [row for row in drawable(found) if row.figures["latency_ms_p50"] is not None]
    look = appearance(found)
    height = max(3.3, 0.6 + 0.17 * len(rows))
    with _figure(WIDE_IN, height) as (drawn, size):
        whole, tail = drawn.subplots(1, 2)
        curves = {row.protocol: _cumulated(row) for row in rows}
        for row in rows:
            chosen = look[row.protocol]
            x, shares = curves[row.protocol]
            style: dict[str, Any] = {
                "color": chosen.colour, "linestyle": chosen.line, "linewidth": 1.6,
            }  # fmt: skip
            whole.step(x, [100 * share for share in shares], where="post", **style)
            tail.step(x, [max(1 - share, 1e-9) for share in shares], where="post", **style)
        whole.set_ylim(0, 101)
        whole.set_ylabel("% of the commands answered within")
        tail.set_yscale("log")
        tail.set_ylim(0.12, 0.00009)
        tail.set_yticks([0.1, 0.01, 0.001, 0.0001], ["90 %", "99 %", "99.9 %", "99.99 %"])
        tail.minorticks_off()
        for axes in (whole, tail):
            axes.set_xscale("log")
            axes.set_xlabel("latency, ms (logarithmic)")
            axes.grid(True, axis="both")
        _limits(whole, tail, [x for x, _ in curves.values()])
        whole.set_title("all commands", loc="left", color=MUTED)
        tail.set_title("the slowest tenth, magnified", loc="left", color=MUTED)
        drawn.subplots_adjust(
            left=0.06,
            right=1 - _room(rows) - 0.05,
            top=1 - 0.3 / size,
            bottom=0.45 / size,
            wspace=0.2,
        )
        _key(drawn, rows, look, size)
        what = "; ".join(
            f"{row.protocol}: median {figure(row.figures['latency_ms_p50'])} ms, "
            f"99 % within {figure(row.figures['latency_ms_p99'])} ms"
            for row in rows
        )
        return _svg(drawn, "latency", "How long commands took", what)


def _cumulated(row: Row) -> tuple[list[float], list[float]]:
    counts: dict[int, int] = {}
    for run in row.runs:
        for step, count in run.latencies.items():
            counts[step] = counts.get(step, 0) + count
    steps = sorted(counts)
    total = sum(counts.values())
    shares = [done / total for done in accumulate(counts[step] for step in steps)]
    return [latency_ms(steps[0] - 1), *map(latency_ms, steps)], [0.0, *shares]


def _limits(whole: "Axes", tail: "Axes", curves: "list[list[float]]") -> None:
    """Both panels show the same latencies."""
    least = min((x[0] for x in curves), default=1.0)
    most = max((x[-1] for x in curves), default=10.0)
    for axes in (whole, tail):
        axes.set_xlim(least / 1.1, most * 1.15)
        _plain_numbers(axes.xaxis)


def _key(drawn: "Figure", rows: "list[Row]", look: dict[str, Look], size: float) -> None:
    """Names with their line, fastest first, in the margin on the right."""
    from matplotlib.lines import Line2D

    ordered = sorted(rows, key=lambda row: row.figures["latency_ms_p50"] or 0.0)
    for place, row in enumerate(ordered):
        chosen = look[row.protocol]
        y = 1 - (0.42 + 0.17 * place) / size
        x = 1 - _room(rows) - 0.035
        style: dict[str, Any] = {"color": chosen.colour, "linestyle": chosen.line}
        drawn.add_artist(Line2D([x, x + 0.026], [y, y], linewidth=1.8, **style))
        drawn.text(x + 0.032, y, _short(row.protocol, NAME_MAX), va="center", color=INK)


QUANTILES = (0.1, 0.5, 0.9, 0.99, 0.999)


def ladder(found: Comparison) -> str:
    """Quantiles of latency, a line for each protocol: what stays readable where curves do not."""
    rows = [row for row in drawable(found) if row.figures["latency_ms_p50"] is not None]
    rows.sort(key=lambda row: _number(row, "latency_ms_p50"))
    look = appearance(found)
    with _figure(WIDE_IN, 0.6 + 0.26 * len(rows)) as (drawn, size):
        axes = drawn.subplots()
        for place, row in enumerate(rows):
            chosen = look[row.protocol].colour
            low, middle, high, slow, slowest = _quantiles(row)
            axes.plot([low, slowest], [place, place], color=chosen, linewidth=1.2)
            axes.plot([low, high], [place, place], color=chosen, linewidth=6, alpha=0.45,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot([slow, slowest], [place, place], "|", color=chosen, markersize=9,
                      markeredgewidth=1.6)  # fmt: skip
            axes.plot([middle], [place], look[row.protocol].marker, color=chosen, markersize=6.5,
                      markeredgecolor=PAPER)  # fmt: skip
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis)
        axes.set_yticks(range(len(rows)), [_short(row.protocol, NAME_MAX) for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=FONT)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("latency, ms (logarithmic; less is better: left)")
        axes.grid(True, axis="both")
        drawn.subplots_adjust(left=_room(rows) + 0.02, right=0.985, top=0.985, bottom=0.45 / size)
        what = "; ".join(
            f"{row.protocol}: median {figure(row.figures['latency_ms_p50'])} ms, "
            f"99 % within {figure(row.figures['latency_ms_p99'])} ms"
            for row in rows
        )
        return _svg(drawn, "latency", "How long commands took", what)


def _quantiles(row: Row) -> list[float]:
    """The latencies in ms within which those shares of the commands were answered."""
    latency, shares = _cumulated(row)
    return [latency[min(bisect_left(shares, share), len(latency) - 1)] for share in QUANTILES]


CURVES_MAX = 8
"""With more protocols, curves of their latencies could not be told apart."""
FEW = 4
"""Up to so many protocols, charts stand side by side."""

POINT = ("throughput", "latency_ms_p50", "latency_ms_p99")


def throughput_latency(found: Comparison) -> str:
    """One point for each protocol: commands a second to the right, latency upwards."""
    rows = [row for row in drawable(found) if row.figures["latency_ms_p50"] is not None]
    look = appearance(found)
    many = len(rows) > FEW
    with _figure(WIDE_IN if many else HALF_IN, 4.6 if many else 4.3) as (drawn, size):
        axes = drawn.subplots()
        for row in rows:
            chosen = look[row.protocol]
            x, y, top = (_number(row, name) for name in POINT)
            axes.plot([x, x], [y, top], color=chosen.colour,
                      linewidth=1.1, alpha=0.7)  # fmt: skip
            axes.plot([x], [top], "_", color=chosen.colour, markersize=8)
            if len(row.runs) > 1:
                axes.plot(
                    [run.metrics["throughput"] for run in row.runs],
                    [run.metrics["latency_ms_p50"] for run in row.runs],
                    ".", color=chosen.colour, markersize=3, alpha=0.6,
                )  # fmt: skip
            axes.plot([x], [y], chosen.marker, color=chosen.colour, markersize=7,
                      markeredgecolor=PAPER)  # fmt: skip
        axes.set_yscale("log")
        axes.margins(y=0.12)
        _plain_numbers(axes.yaxis)
        speeds = [row.figures["throughput"] or 0.0 for row in rows]
        if min(speeds, default=1) * 20 < max(speeds, default=1) and min(speeds) > 0:
            axes.set_xscale("log")
            axes.margins(x=0.12)
            _plain_numbers(axes.xaxis)
        else:
            axes.set_xlim(0, max(speeds, default=1.0) * 1.3 or 1.0)
            axes.xaxis.set_major_locator(_few_ticks())
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("commands/s  (more is better: right)")
        axes.set_ylabel("latency, ms  (less is better: down)")
        axes.grid(True)
        drawn.subplots_adjust(
            left=0.07 if many else 0.13,
            right=0.985 if many else 0.96,
            top=0.97,
            bottom=0.45 / size,
        )
        _label_points(axes, rows)
        what = "; ".join(
            f"{row.protocol}: {figure(row.figures['throughput'])} commands/s at "
            f"{figure(row.figures['latency_ms_p50'])} ms"
            for row in rows
        )
        return _svg(drawn, "scatter", "Throughput against latency", what)


def _label_points(axes: "Axes", rows: "list[Row]") -> None:
    """A name beside each point, where it covers no other name and no point."""
    drawn = axes.get_figure()
    assert drawn is not None
    scale = drawn.dpi / 72
    points = [
        axes.transData.transform((_number(row, "throughput"), _number(row, "latency_ms_p50")))
        for row in rows
    ]
    frame = axes.get_window_extent()
    taken = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in points]
    height = FONT * 1.15 * scale
    for row, (x, y) in zip(rows, points, strict=True):
        name = _short(row.protocol, NAME_MAX)
        width = len(name) * FONT * 0.56 * scale
        best = None
        for reach in (9, 22, 38, 56, 80):
            for right, up in ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                left = x + reach * scale if right > 0 else x - reach * scale - width
                middle = y + up * reach * scale
                box = (left, middle - height / 2, left + width, middle + height / 2)
                inside = (
                    frame.x0 <= box[0] and box[2] <= frame.x1 + 4
                    and frame.y0 <= box[1] and box[3] <= frame.y1
                )  # fmt: skip
                if inside and not any(_overlap(box, other) for other in taken):
                    best = (reach, box)
                    break
            if best:
                break
        if best is None:  # it covers others, but stays inside
            left = x + 9 * scale
            left = left if left + width <= frame.x1 + 4 else x - 9 * scale - width
            best = (9, (left, y - height / 2, left + width, y + height / 2))
        reach, box = best
        taken.append(box)
        near_x = box[0] if box[0] > x else box[2]
        centre = (box[1] + box[3]) / 2
        back = axes.transData.inverted().transform
        if reach > 9:
            ends = back([(x, y), (near_x, centre)])
            axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.5, zorder=1)
        at = back((near_x, centre))
        axes.text(at[0], at[1], name, ha="left" if box[0] > x else "right", va="center", color=INK)


def _room(rows: "list[Row]") -> float:
    """The share of a wide chart that the longest name takes."""
    longest = max(len(_short(row.protocol, NAME_MAX)) for row in rows)
    return longest * FONT * 0.56 / 72 / WIDE_IN + 0.004


NAME_MAX = 36
"""Longer names are cut in charts; the tables have them whole. The longest of Concur's own fits,
with a number behind it."""


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def bars(found: Comparison, name: str, title: str, unit: str) -> str:
    """One bar for each protocol, with its figure and, over several seeds, its spread.

    Two handfuls and more are sorted, least first.
    """
    rows = [row for row in drawable(found) if row.figures[name] is not None]
    if len(rows) > CURVES_MAX:
        rows.sort(key=lambda row: _number(row, name))
    look = appearance(found)
    with _figure(HALF_IN, 0.5 + 0.26 * max(len(rows), 2)) as (drawn, size):
        axes = drawn.subplots()
        most = max((row.spread.get(name, (0, _number(row, name)))[1] for row in rows), default=0)
        for place, row in enumerate(rows):
            value = _number(row, name)
            axes.barh(place, value, color=look[row.protocol].colour, height=0.62, alpha=0.85)
            end = value
            if name in row.spread:
                low, high = row.spread[name]
                axes.plot([low, high], [place, place], color=INK, linewidth=1.0)
                axes.plot([low, high], [place, place], "|", color=INK, markersize=5)
                end = high
            axes.text(end + (most or 1) * 0.02, place, figure(row.figures[name]), va="center")
        axes.set_yticks(range(len(rows)), [_short(row.protocol, NAME_MAX) for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=FONT)
        axes.set_ylim(max(len(rows), 2) - 0.5, -0.5)
        axes.set_xlim(0, (most or 1) * 1.16)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(_few_ticks())
        axes.set_xlabel(unit)
        axes.grid(True, axis="x")
        left = max(0.3, 2 * _room(rows) + 0.02)
        drawn.subplots_adjust(left=left, right=0.985, top=0.985, bottom=0.44 / size)
        what = "; ".join(f"{row.protocol}: {figure(row.figures[name])} {unit}" for row in rows)
        return _svg(drawn, name.replace("_", "-"), title, what)


def _number(row: Row, name: str) -> float:
    return row.figures[name] or 0.0


# --- drawing --------------------------------------------------------------------------------------


@contextmanager
def _figure(width: float, height: float) -> "Iterator[tuple[Figure, float]]":
    """A figure of that many inches in our style, and its height."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        yield Figure(figsize=(width, height)), height


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _plain_numbers(axis: Any) -> None:
    """10, 20, 50, 100 along a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    factor = high / low if low > 0 else 1e9
    subs = (1.0, 2.0, 5.0) if factor < 200 else (1.0, 3.0) if factor < 20_000 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _svg(drawn: "Figure", key: str, title: str, what: str) -> str:
    """The figure as an element for an HTML page: themed, named, with ids of its own."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawn.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box[1]}" role="img" '
        f'aria-labelledby="{key}-title {key}-what">'
        f'<title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-what">{escape(what)}</desc>'
    )
    return head + text[text.index(">") + 1 :].strip()
