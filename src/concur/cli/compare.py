"""`concur compare`: the main job, protocols side by side."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concur.cli.options import (
    OUTPUT,
    RUN,
    Clients,
    Faults,
    Json,
    Machine,
    Network,
    Replicas,
    Seed,
    Seeds,
    Settings,
    Spares,
    Workload,
    seeds_of,
    with_settings,
)
from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.base import Protocol
    from concur.score.compare import Comparison, Row

EXAMPLES = """Examples:

concur compare --network wan-5 --workload ycsb-a --faults leader-crash,partition --html report.html

concur compare unreplicated multi-paxos --clients 200 --seeds 0:5 -p multi-paxos.batch_max=16"""

WIDE = 100
"""From this many columns on, the table shows everything."""


def compare(
    protocols: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROTOCOL]",
            help="Names as concur list prints them, or package.module:Class. Default: all that "
            "run a log.",
            show_default=False,
        ),
    ] = None,
    network: Network = "lan",
    workload: Workload = None,
    faults: Faults = "none",
    replicas: Replicas = 5,
    clients: Clients = 50,
    spares: Spares = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="How long clients ask, in virtual time. Default: 30, or 5 if messages take less "
            "than a millisecond.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Seconds at the beginning that figures leave out. Default: a tenth of the run, at "
            "most 2.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    machine: Machine = None,
    settings: Settings = None,
    seed: Seed = None,
    seeds: Seeds = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at the same time. Default: one for each core.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    check_s_max: Annotated[
        float,
        typer.Option(
            help="Seconds of real time that the check of one history may take.",
            rich_help_panel=RUN,
        ),
    ] = 60.0,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a report with charts.", rich_help_panel=OUTPUT, metavar="FILE"),
    ] = None,
    json: Json = False,
) -> int:
    """Run protocols side by side, check every history, and say what each costs.

    All go through the same faults at the same times. A figure is the median over the seeds; from
    four seeds on, differences beyond their spread are ranked.
    """
    from concur.cli.terminal import err, print_json, progress
    from concur.score.compare import Stopped, execute, prepare

    if html is not None:
        from concur.files import check_target
        from concur.plot.report import require_matplotlib

        require_matplotlib()
        check_target("report", html)
    plan = prepare(
        _protocols(protocols, settings),
        network=network,
        workload=workload,
        faults=faults,
        replicas=replicas,
        clients=clients,
        seconds=seconds,
        warmup_s=warmup,
        machine=machine,
        spares=spares,
        seeds=seeds_of(seed, seeds),
        check_s_max=check_s_max,
    )
    try:
        with progress("comparing") as advance:
            advance(0, plan.runs, "")
            found = execute(plan, jobs=jobs, progress=advance)
    except Stopped as stopped:
        found = stopped.comparison
    if json:
        print_json(found.as_json())
    elif found.rows:
        print_comparison(found)
    if not found.complete:
        done = sum(len(row.runs) for row in found.rows)
        without = ", no report was written" if html is not None else ""
        err().print(f"concur: stopped after {done} of {plan.runs} runs{without}", style="yellow")
        return 130
    if html is not None:
        from concur.plot.report import write_report

        write_report(found, html, command=_command())
        err().print(f"wrote {html}")
    return {True: 0, False: 1, "unknown": 3}[found.valid]


def _protocols(names: list[str] | None, settings: list[str] | None) -> "list[Protocol]":
    from concur.protocols import all_protocols, protocol

    kinds = [protocol(name) for name in names] if names else list(all_protocols())
    found = [kind() for kind in kinds]
    for one in found:
        if found.count(one) > 1:
            raise BadInput(f"protocol {one.label!r}: named twice, expected each once")
    with_settings(found, settings)
    return found


def _command() -> str:
    import shlex
    import sys

    return shlex.join(["concur", *sys.argv[1:]])


# --- the table ------------------------------------------------------------------------------------


def print_comparison(found: "Comparison") -> None:
    """The table and the findings, to fit the terminal."""
    from rich.padding import Padding
    from rich.text import Text

    from concur.cli.terminal import out
    from concur.score.words import findings, numbered

    found, meant = numbered(found)
    console = out()
    given = found.setting
    seeds = found.seeds
    numbers = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    console.print(
        f"{given.network.name}, {given.workload.name}, faults {found.faults}: {given.replicas} "
        f"replicas, {given.clients} clients, {given.seconds:g} s, {numbers}"
    )
    console.print()
    console.print(_table(found, wide=console.width >= WIDE, roomy=console.width >= ROOMY))
    for name, changed in meant.items():
        console.print(f"{name}: {changed}", style="dim")
    for name, reason in found.skipped.items():
        console.print(f"skipped: {name} {reason}", style="dim")
    for line in found.left_out:
        console.print(f"not inflicted: {line}", style="dim")
    console.print()
    for line in findings(found):
        console.print(Padding(Text.assemble("- ", line), (0, 0, 0, 0)))


def _table(found: "Comparison", *, wide: bool, roomy: bool) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from concur.score.metrics import METRICS
    from concur.score.words import figure, spread

    names = ["throughput", "latency_ms_p50", "latency_ms_p99", "latency_ms_p999",
             "messages_per_command", "bytes_per_command", "cpu_us_per_command",
             "unavailable_s"]  # fmt: skip
    if not wide:
        names = [n for n in names if n not in ("latency_ms_p999", "bytes_per_command")]
    elif any(row.figures.get("unanswered") for row in found.rows):
        names[names.index("bytes_per_command")] = "unanswered"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("protocol", overflow="fold", min_width=11)
    for name in names:
        table.add_column(METRICS[name].label, justify="right", no_wrap=True)
    table.add_column("history", overflow="fold", min_width=8)
    for row in found.rows:
        cells = [Text(_name(row, roomy=roomy))]
        for name in names:
            cell = Text(figure(row.figures.get(name)))
            if name in row.spread:
                cell.append(f"\n{spread(row, name)}", style="dim")
            cells.append(cell)
        table.add_row(*cells, _history(row))
    return table


ROOMY = 120
NAME_WIDTH = 13
"""Columns for a protocol's name unless the terminal is `ROOMY`; longer ones break at hyphens."""


def _name(row: "Row", *, roomy: bool) -> str:
    name = row.protocol if roomy else "\n".join(_parts(row.protocol))
    return f"{name}\n  (baseline)" if row.baseline else name


def _parts(name: str) -> list[str]:
    lines = [""]
    for part in re.split(r"(?<=-)", name):
        if lines[-1] and len(lines[-1] + part) > NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return lines


def _history(row: "Row") -> Any:
    from rich.text import Text

    if row.valid is True:
        return Text(row.consistency, style="green")
    if row.valid == "unknown":
        return Text("undecided", style="yellow")
    bad = row.consistency.startswith("not ")
    return Text(row.consistency.upper() if bad else "PROPERTY BROKEN", style="bold red")
