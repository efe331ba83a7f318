"""What a comparison found, in plain sentences that claim no more than the runs show."""

from collections.abc import Sequence

import msgspec

from concur.score.compare import SEEDS_TO_RANK, Comparison, Row
from concur.score.metrics import METRICS

SENTENCES = (
    ("throughput", "Highest throughput", "{} commands/s"),
    ("latency_ms_p50", "Lowest median latency", "{} ms"),
    ("latency_ms_p99", "Lowest 99th percentile of latency", "{} ms"),
    ("unavailable_s", "Shortest time without any answer", "{} s"),
    ("messages_per_command", "Fewest messages for a command", "{}"),
    ("cpu_us_per_command", "Least CPU for a command, all nodes summed", "{} µs"),
)
NAMES_MAX = 3
"""Protocols that a sentence names before it counts the rest."""


LABEL_MAX = 30
SAME_MAX = 4
"""More rows of one protocol than this, or longer labels, and they are numbered instead."""


def numbered(found: Comparison) -> tuple[Comparison, dict[str, str]]:
    """The comparison with names that fit tables and charts, and what those stand for.

    Where one protocol is there several times, labels list what differs from its defaults. When they
    are many or long, `multi-paxos #3` says it, and the dict says what that is.
    """
    bases = [row.protocol.partition(" (")[0] for row in found.rows]
    rows, meant = [], {}
    for row, base in zip(found.rows, bases, strict=True):
        same = [r for r, b in zip(found.rows, bases, strict=True) if b == base]
        long = any(len(r.protocol) > LABEL_MAX for r in same)
        if len(same) > 1 and (long or len(same) > SAME_MAX):
            name = f"{base} #{same.index(row) + 1}"
            changed = (f"{key}={value!r}" for key, value in row.parameters.items())
            meant[name] = ", ".join(changed) or "defaults"
            row = msgspec.structs.replace(row, protocol=name)
        rows.append(row)
    return msgspec.structs.replace(found, rows=tuple(rows)), meant


def spread(row: Row, name: str) -> str:
    """How far seeds are from the median, at most: in percent of it, or as it is if that is 0.

    What is more than twice the median is named: `to 1,773` says more than +1,600 %.
    """
    low, high = row.spread[name]
    middle = row.figures[name] or 0.0
    away = max(high - middle, middle - low)
    if middle and away > middle:
        return f"to {figure(high)}"
    return f"±{away / middle:.0%}" if middle else f"±{figure(away)}"


def findings(found: Comparison) -> list[str]:
    """Sentences: is everything right, who leads in what and by how much, what survival costs."""
    said = [*_verdicts(found)]
    contenders = [row for row in found.rows if row.valid is not False and not row.baseline]
    if len(contenders) > 1 and len(found.seeds) >= SEEDS_TO_RANK:
        said += [
            line
            for name, what, form in SENTENCES
            if (line := _leader(found, contenders, name, what, form))
        ]
    said += _against_baseline(found, contenders)
    said += _caution(found, contenders)
    return said


def figure(value: float | None) -> str:
    """A figure with three digits or so, or a dash if it does not exist."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash
    size = abs(value)
    if size >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def names(rows: Sequence[Row]) -> str:
    """The names of rows as a list in a sentence, the last of many only counted."""
    named = [row.protocol for row in rows]
    if len(named) > NAMES_MAX + 1:
        named = [*named[:NAMES_MAX], f"{len(named) - NAMES_MAX} more"]
    return listed(named)


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def _verdicts(found: Comparison) -> list[str]:
    said = [
        f"{row.protocol} {_fault_of(row)} ({row.reason}). Its figures are left out."
        for row in found.rows
        if row.valid is False
    ]
    undecided = [row for row in found.rows if row.valid == "unknown"]
    if undecided:
        said.append(
            f"Not decided in time: whether the history of {names(undecided)} is linearizable. "
            "Read those figures with that in mind."
        )
    right = [row for row in found.rows if row.valid is True]
    if right:
        operations = sum(r.verdict.operations for row in right for r in row.runs)
        runs = sum(len(row.runs) for row in right)
        which = (
            "Every history" if len(right) == len(found.rows) else f"The history of {names(right)}"
        )
        said.append(
            f"{which} is linearizable: {operations:,} operations in {runs} "
            f"run{'s'[: runs > 1]} checked, no property broke."
        )
    return said


def _fault_of(row: Row) -> str:
    if row.consistency.startswith("not "):
        return f"is {row.consistency.upper()}"
    return "BROKE A PROPERTY"


def _leader(found: Comparison, rows: list[Row], name: str, what: str, form: str) -> str:
    having = [row for row in rows if row.figures.get(name) is not None]
    if len(having) < 2:
        return ""
    better = METRICS[name].better
    having.sort(key=lambda row: _value(row, name), reverse=better == "higher")
    best, rest = having[0], having[1:]
    if _value(best, name) == _value(rest[-1], name):
        return ""  # all the same: nothing to tell
    value = form.format(figure(best.figures[name]))
    behind = [
        row
        for row in rest
        if found.separated(best, row, name) and _by(best, row, name, better) != "by 0%"
    ]
    close = [row for row in rest if row not in behind]
    text = f"{what}: {best.protocol} with {value}"
    if close:
        text += f", not told apart from {names(close)} by these seeds"
    if behind:
        text += f"; ahead of {behind[0].protocol} {_by(best, behind[0], name, better)}"
        if len(behind) > 1:
            text += f" and of {names(behind[1:])} by more"
    return text + "."


def _by(best: Row, other: Row, name: str, better: str) -> str:
    one, two = _value(best, name), _value(other, name)
    low, high = min(one, two), max(one, two)
    if low == 0:
        return f"by {figure(high)} {METRICS[name].unit}"
    ratio = high / low
    if ratio >= 1.95:
        return f"by a factor of {ratio:.1f}"
    return f"by {abs(one - two) / two:.0%}"


def _against_baseline(found: Comparison, contenders: list[Row]) -> list[str]:
    base = next((row for row in found.rows if row.baseline and row.valid is not False), None)
    if base is None or not contenders:
        return []
    best = max(contenders, key=lambda row: _value(row, "throughput"))
    parts = []
    for name, form in (
        ("throughput", "{} of its throughput"),
        ("latency_ms_p50", "{} times its median latency"),
        ("cpu_us_per_command", "{} times its CPU for a command"),
    ):
        one, two = best.figures.get(name), base.figures.get(name)
        if name.startswith("latency") and favours_the_near(found):
            continue
        if one is not None and two:
            ratio = one / two
            parts.append(form.format(f"{ratio:.0%}" if name == "throughput" else figure(ratio)))
    if not parts:
        return []
    text = (
        f"What surviving a crash costs: against {base.protocol}, which stops while its one server "
        f"is down, {best.protocol} has {listed(parts)}"
    )
    down, base_down = best.figures.get("unavailable_s"), base.figures.get("unavailable_s")
    if down is not None and base_down is not None and max(down, base_down) > 0:
        text += (
            f"; it gave no answer for {figure(down)} s, {base.protocol} for {figure(base_down)} s"
        )
    text += "."
    if favours_the_near(found):
        text += f" (Clients beside the one server ask more often, which favours {base.protocol}.)"
    return [text]


def favours_the_near(found: Comparison) -> bool:
    """Whether clients near the server that answers them ask more often than distant ones."""
    given = found.setting
    return not given.workload.open_loop and len(given.network.regions) > 1


def _caution(found: Comparison, contenders: list[Row]) -> list[str]:
    if len(found.seeds) >= SEEDS_TO_RANK or len(found.rows) < 2:
        return []
    count = "one seed" if len(found.seeds) == 1 else f"{len(found.seeds)} seeds"
    return [
        f"These are figures of {count}, so nothing is ranked: with --seeds 0:{SEEDS_TO_RANK} or "
        "more one sees how far chance alone moves them."
    ]


def _value(row: Row, name: str) -> float:
    value = row.figures.get(name)
    if value is None:
        return 0.0 if METRICS[name].better == "higher" else float("inf")
    return value
