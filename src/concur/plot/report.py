"""The HTML report of a comparison: one file that needs nothing else, made to be shown around.

It is well-formed XML as well as HTML, loads nothing from anywhere, holds no date and no wall time
(equal comparisons give equal files), and appears under its name only once it is whole.
"""

import importlib.util
from html import escape
from importlib.resources import files
from pathlib import Path

import concur
from concur.errors import BadInput
from concur.files import write_whole
from concur.plot import charts
from concur.plot.palette import DASHES, Look, style_of
from concur.properties import STANDARD
from concur.score.compare import Comparison, Row
from concur.score.metrics import METRICS
from concur.score.words import favours_the_near, figure, findings, listed, names, numbered, spread

COLUMNS = (
    ("throughput", "commands/s"),
    ("latency_ms_p50", "latency p50, ms"),
    ("latency_ms_p99", "p99, ms"),
    ("latency_ms_p999", "p99.9, ms"),
    ("unanswered", "never answered"),
    ("unavailable_s", "no answer, s"),
    ("messages_per_command", "messages per command"),
    ("bytes_per_command", "bytes per command"),
    ("cpu_us_per_command", "CPU per command, µs"),
)


def require_matplotlib() -> None:
    """Raise BadInput, saying what to install, if there is no matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BadInput(
            "report: matplotlib draws its charts and is not installed, expected "
            "pip install 'concur-consensus[plots]'"
        )


def write_report(found: Comparison, path: str | Path, *, command: str = "") -> None:
    """Write the report of a comparison; `command` is how to make it again."""
    require_matplotlib()
    write_whole("report", path, html(found, command=command))


def html(found: Comparison, *, command: str = "") -> str:
    """The report as text. Needs matplotlib."""
    found, meant = numbered(found)
    parts = [
        _header(found),
        "<main>",
        _verdict(found),
        _table(found, meant),
        _charts(found),
        _checked(found),
        _conditions(found),
        _again(command),
        "</main>",
    ]
    style = style_of("report.css")
    script = (files("concur.plot") / "report.js").read_text("utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(_title(found))}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(filter(None, parts))
        + f"\n<footer>Written by Concur {escape(concur.__version__)}. Everything ran in a "
        "simulated world; the same command gives the same report.</footer>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


# --- the top --------------------------------------------------------------------------------------


def _title(found: Comparison) -> str:
    shown = [row.protocol for row in found.rows]
    kinds = {name.partition(" #")[0] for name in shown}
    many = "protocols" if len(kinds) == len(shown) else "configurations"
    what = listed(shown) if len(shown) <= 4 else f"{len(shown)} {many}"
    return f"{what} on {found.setting.network.name}"


def _header(found: Comparison) -> str:
    given = found.setting
    seeds = (
        f"seed {found.seeds[0]}"
        if len(found.seeds) == 1
        else f"{len(found.seeds)} ({min(found.seeds)} to {max(found.seeds)})"
    )
    facts = {
        "network": given.network.name,
        "workload": given.workload.name,
        "machine": given.machine.name,
        "faults": found.faults,
        "replicas": str(given.replicas),
        "clients": str(given.clients),
        "measured": f"{given.seconds - given.warmup_s:g} s after {given.warmup_s:g} s of warm-up",
        "seed" if len(found.seeds) == 1 else "seeds": seeds.removeprefix("seed "),
        "concur": concur.__version__,
    }
    listed = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    return (
        '<header>\n<p class="kicker">CONSENSUS PROTOCOLS, SIDE BY SIDE</p>\n'
        f'<h1>{escape(_title(found))}</h1>\n<dl class="facts">{listed}</dl>\n</header>'
    )


def _verdict(found: Comparison) -> str:
    kind = {True: "verdict", False: "verdict bad", "unknown": "verdict unknown"}[found.valid]
    items = "".join(f"<li>{escape(line)}</li>" for line in findings(found))
    return f'<section class="{kind}" aria-label="Findings"><ul>{items}</ul></section>'


# --- the table ------------------------------------------------------------------------------------


def _table(found: Comparison, meant: dict[str, str]) -> str:
    look = charts.appearance(found)
    headings = ["Protocol", "history", *(label for _, label in COLUMNS)]
    text = {0, 1}
    head = "".join(
        f'<th scope="col"{_class("text" if i in text else "")}{_hint(i)}>'
        f'<button type="button">{escape(label)}</button></th>'
        for i, label in enumerate(headings)
    )
    best = {name: _best(found, name) for name, _ in COLUMNS}
    most = {name: max(row.figures.get(name) or 0.0 for row in found.rows) for name in best}
    body = "\n".join(
        _row(row, look[row.protocol], best, most, meant.get(row.protocol)) for row in found.rows
    )
    several = (
        f" Each figure is the median of {len(found.seeds)} seeds, below it how far they are from "
        "it at most; ★ marks a lead beyond all of that."
        if len(found.seeds) > 1
        else ""
    )
    skipped = "".join(
        f'<p class="note">Skipped: {escape(name)} {escape(reason)}.</p>'
        for name, reason in found.skipped.items()
    )
    return (
        '<section aria-label="Figures"><h2>Figures</h2>\n'
        f'<p class="note">Press a heading to sort. Bars compare a column.{several}</p>'
        '<div class="wide" tabindex="0" role="region" aria-label="Table of figures">'
        '<table class="sortable"><caption>One row for each protocol.</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
        f"</div>{skipped}</section>"
    )


def _hint(column: int) -> str:
    if column < 2:
        return ""
    return f' title="{escape(METRICS[COLUMNS[column - 2][0]].doc)}"'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _row(
    row: Row, look: Look, best: dict[str, str], most: dict[str, float], meant: str | None
) -> str:
    cells = []
    for name, _ in COLUMNS:
        value = row.figures.get(name)
        text = f"<span{_class('best' if best[name] == row.protocol else '')}>{figure(value)}</span>"
        hint = ""
        if name in row.spread:
            low, high = row.spread[name]
            text += f'<span class="spread">{escape(spread(row, name))}</span>'
            hint = f' title="{figure(low)} to {figure(high)}"'
        key = "" if value is None else repr(float(value))
        bar = f' style="--share: {100 * (value or 0.0) / (most[name] or 1.0):.1f}%"'
        cells.append(f'<td data-value="{key}"{hint}{bar}>{text}</td>')
    tag = '<span class="tag">baseline</span>' if row.baseline else ""
    if meant is None:
        meant = ", ".join(f"{name}={value!r}" for name, value in row.parameters.items())
    changed = f'<span class="spread">{escape(meant)}</span>' if meant else ""
    return (
        f'<tr><th scope="row" data-value="{escape(row.protocol)}"><span class="name">'
        f"{_swatch(look)}{escape(row.protocol)}{tag}</span>{changed}</th>"
        f'<td class="text" data-value="{escape(row.consistency)}">{_mark(row)}</td>'
        f"{''.join(cells)}</tr>"
    )


def _swatch(look: Look) -> str:
    return (
        f'<span class="swatch d{DASHES.index(look.dash)}" '
        f'style="border-top-color: var({look.variable})" aria-hidden="true"></span>'
    )


def _mark(row: Row) -> str:
    if row.valid is True:
        return f'<span class="yes">✓ {escape(row.consistency)}</span>'
    if row.valid == "unknown":
        return '<span class="maybe">? undecided</span>'
    what = row.consistency if row.consistency.startswith("not ") else "property broken"
    return f'<span class="no">✗ {escape(what)}</span>'


def _best(found: Comparison, name: str) -> str:
    """The protocol that leads the others beyond the spread, or ""."""
    rows = [r for r in found.rows if not r.baseline and r.figures.get(name) is not None]
    if len(rows) < 2:
        return ""
    sign = -1 if METRICS[name].better == "higher" else 1
    rows.sort(key=lambda row: sign * (row.figures[name] or 0.0))
    ahead = all(found.separated(rows[0], other, name) for other in rows[1:])
    return rows[0].protocol if ahead else ""


# --- the charts -----------------------------------------------------------------------------------


BARS = (
    (
        "unavailable_s",
        "Time without any answer",
        "The gaps of half a second and more in which no client got an answer, added up.",
        "seconds",
    ),
    (
        "messages_per_command",
        "Messages for a command",
        "Sent by all nodes, clients among them.",
        "messages per command",
    ),
    (
        "cpu_us_per_command",
        "CPU for a command, all nodes summed",
        "Efficiency: what a command costs altogether, wherever it is spent; clients are free.",
        "µs of CPU per command",
    ),
    (
        "bytes_per_command",
        "Bytes for a command",
        "Sent by all nodes, clients among them.",
        "bytes per command",
    ),
)


def _charts(found: Comparison) -> str:
    rows = charts.drawable(found)
    if not rows:
        return ""
    missing = [row.protocol for row in found.rows if not row.figures]
    left_out = (
        f'<p class="note">Not drawn, because what it did was wrong: {escape(", ".join(missing))}.'
        "</p>"
        if missing
        else ""
    )
    several = len(found.seeds) > 1
    drawn = _drawn(
        "Completed commands through the faults" + (f" (seed {found.seeds[0]})" if several else ""),
        "Commands answered a second, one panel for each protocol with a scale of its own. "
        "What is shaded in amber is a fault; every protocol went through the same ones.",
        charts.timeline(found) + _faults(found),
        full=True,
    )
    if any(row.figures["latency_ms_p50"] is not None for row in rows):
        few = len(rows) <= charts.FEW
        scatter = _drawn(
            "Throughput against latency",
            "The mark is the median latency, the line reaches up to the 99th percentile."
            + (" Small dots are single seeds." if several else "")
            + (NEAR if favours_the_near(found) else ""),
            charts.throughput_latency(found),
            full=not few,
        )
        ladder = len(rows) > charts.CURVES_MAX
        latencies = _drawn(
            "How long commands took",
            LADDER if ladder else CURVES,
            charts.ladder(found) if ladder else charts.latencies(found),
            full=True,
        )
        bars = [
            _drawn(title, caption, charts.bars(found, name, title, unit))
            for name, title, caption, unit in BARS[: 3 if few else 4]
        ]
        if few:
            drawn += f'{scatter}<div class="stack">{"".join(bars)}</div>{latencies}'
        else:
            drawn += scatter + latencies + "".join(bars)
    return (
        '<section aria-label="Charts"><h2>Charts</h2>'
        f'{left_out}<div class="charts">{drawn}</div></section>'
    )


CURVES = (
    "The share of commands answered within a latency. On the right the slowest tenth: what faults "
    "do to clients is found there."
)
LADDER = (
    "One line for each, fastest first. The mark is the median, the thick part holds the middle "
    "80 %, the ticks are where 99 % and 99.9 % were answered: what faults do to clients is found "
    "there."
)
NEAR = (
    " Clients ask again as soon as they are answered, so those near the server that answers them "
    "count for more."
)


def _drawn(title: str, caption: str, content: str, *, full: bool = False) -> str:
    return (
        f"<figure{_class('full' if full else '')}><h3>{escape(title)}</h3>"
        f"<figcaption>{escape(caption)}</figcaption>{content}</figure>\n"
    )


def _faults(found: Comparison) -> str:
    told = found.stories[found.seeds[0]]
    if not told:
        return '<p class="note">No faults in this run.</p>'
    items = "".join(
        f"<li><b>{tag}</b> <span>{fault.from_s:.1f}–{fault.to_s:.1f} s</span> "  # noqa: RUF001
        f"{escape(fault.what)}</li>"
        for tag, fault in zip(charts.letters(len(told)), told, strict=False)
    )
    return f'<ol class="faults" aria-label="Faults">{items}</ol>'


# --- what was checked, and under which conditions -------------------------------------------------


def _checked(found: Comparison) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row.protocol)}</th>'
        f'<td class="text">{_mark(row)}</td>'
        f"<td>{sum(run.verdict.operations for run in row.runs):,}</td>"
        f'<td class="text">{escape(", ".join(_algorithms(row)))}</td>'
        f'<td class="text">{_properties(row)}</td>'
        f'<td class="text wrap">{escape(row.reason) or "none"}</td></tr>'
        for row in found.rows
    )
    sentences = "".join(
        f"<li><code>{escape(known.name)}</code>: {escape(_first_line(known.__doc__))}</li>"
        for known in STANDARD
    )
    bound = figure(LIVENESS_S)
    return (
        '<section aria-label="What was checked"><h2>What was checked</h2>'
        "<p>Every operation that a client began and what it was told is in the history of its run, "
        "and every history was checked in full. While the run went on, these properties were "
        "evaluated at every step:</p>"
        f"<ul>{sentences}<li><code>every_command_completes_after_healing</code>: once all faults "
        f"are over, every command is answered within {bound} s.</li></ul>"
        '<div class="wide" tabindex="0" role="region" aria-label="Table of verdicts"><table>'
        "<caption>Verdicts: operations are summed over the seeds.</caption><thead><tr>"
        '<th scope="col">Protocol</th><th scope="col" class="text">history</th>'
        '<th scope="col">operations</th><th scope="col" class="text">algorithm</th>'
        '<th scope="col" class="text">properties</th><th scope="col" class="text">remarks</th>'
        f"</tr></thead><tbody>\n{rows}\n</tbody></table></div></section>"
    )


LIVENESS_S = 15.0


def _algorithms(row: Row) -> list[str]:
    return sorted({run.verdict.algorithm for run in row.runs})


def _properties(row: Row) -> str:
    broken = sorted({found.property for run in row.runs for found in run.violations})
    if broken:
        return f'<span class="no">✗ {escape(", ".join(broken))}</span>'
    return '<span class="yes">✓ all hold</span>'


def _first_line(text: str | None) -> str:
    first = " ".join((text or "").strip().split("\n\n")[0].split())
    return first.partition(";")[0].rstrip(".") + "."


def _conditions(found: Comparison) -> str:
    from concur.simulate.costs import Costs

    given, costs = found.setting, Costs()
    alike: dict[str, list[Row]] = {}
    for row in found.rows:
        alike.setdefault(row.summary, []).append(row)
    about = "".join(
        f"<li><b>{escape(names(rows))}</b>: {escape(summary)}</li>"
        for summary, rows in alike.items()
        if summary
    )
    left_out = "".join(
        f'<p class="note">Not inflicted: {escape(line)}.</p>' for line in found.left_out
    )
    return (
        '<section aria-label="Conditions"><h2>Conditions</h2>'
        f"<ul><li>{escape(_capital(given.network.describe().splitlines()[0]))}.</li>"
        f"<li>Workload {escape(given.workload.describe())}; "
        f"{given.clients} clients, spread over the network's regions.</li>"
        f"<li>A server spends {costs.server.receive_ns / 1000:g} µs of CPU on each message it "
        f"receives and {costs.server.send_ns / 1000:g} µs on each it sends, plus "
        f"{costs.server.byte_ps / 1000:g} ns a byte; a disk syncs in "
        f"{costs.disk.sync_ns / 1000:g} µs, and nothing leaves a node before what it rests on is "
        "synced.</li>"
        "<li>All protocols meet the same faults at the same times, for each seed; what hits "
        "“the leader” hits whoever leads then. A protocol that lacks a host is spared what would "
        f"have hit it.</li></ul>{left_out}<ul>{about}</ul></section>"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _again(command: str) -> str:
    if not command:
        return ""
    return (
        '<section aria-label="Reproduce"><h2>Make it again</h2>'
        f"<pre>{escape(command)}</pre></section>"
    )
