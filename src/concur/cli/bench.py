"""`concur bench`: load a real cluster, ours or a peer's, and check what it answered."""

import asyncio
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concur.cli.options import OUTPUT, RUN, Json
from concur.errors import between

if TYPE_CHECKING:
    from concur.histories import Verdict
    from concur.serve.load.bench import Bench, Plan
    from concur.serve.load.target import Target

EXAMPLES = """Examples:

concur bench redis://127.0.0.1:6379

concur bench redis://127.0.0.1:6379 redis://127.0.0.1:6380 --connections 256 --reads 0.9

concur bench redis://127.0.0.1:6379 --seconds 60 --history history.jsonl --json"""

LOAD = "The load"
UNDECIDED = 3
INTERRUPTED = 130
BUSY = 0.9
"""A generator that needs this much of a core may be what is measured."""


def bench(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="Nodes of a cluster, redis://[[USER]:PASSWORD@]HOST:PORT, or rediss:// for TLS; "
            "connections go to them in turn. The password may be in REDISCLI_AUTH.",
            show_default=False,
        ),
    ],
    connections: Annotated[
        int,
        typer.Option(help="How many, with one request outstanding on each.", rich_help_panel=LOAD),
    ] = 64,
    reads: Annotated[
        float, typer.Option(help="The share of reads; the rest writes.", rich_help_panel=LOAD)
    ] = 0.5,
    keys: Annotated[
        int,
        typer.Option(
            help="How many, all equally likely. They are new, and deleted in the end.",
            rich_help_panel=LOAD,
        ),
    ] = 10_000,
    value_bytes: Annotated[
        int, typer.Option(help="The size of a value.", rich_help_panel=LOAD)
    ] = 128,
    seconds: Annotated[
        float, typer.Option(help="How long it is measured.", rich_help_panel=RUN)
    ] = 10.0,
    warmup: Annotated[
        float,
        typer.Option(help="Seconds before that, which figures leave out.", rich_help_panel=RUN),
    ] = 1.0,
    timeout_s: Annotated[
        float,
        typer.Option(
            help="After so many seconds without an answer a connection is given up and made again.",
            rich_help_panel=RUN,
        ),
    ] = 5.0,
    seed: Annotated[
        int, typer.Option(help="Decides what is asked.", rich_help_panel=RUN, min=0)
    ] = 0,
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            help="For rediss://, who signs the servers' certificates. Default: the system's.",
            rich_help_panel=LOAD,
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Record a history and check that it is linearizable.",
            rich_help_panel=RUN,
        ),
    ] = True,
    check_s_max: Annotated[
        float,
        typer.Option(help="Seconds that the check may take.", rich_help_panel=RUN),
    ] = 60.0,
    history: Annotated[
        Path | None,
        typer.Option(help="Write the history, .jsonl.", rich_help_panel=OUTPUT, metavar="FILE"),
    ] = None,
    json: Json = False,
) -> int:
    """Load a real cluster that speaks Redis' protocol, measure it, and check its answers.

    A closed loop: each connection asks, waits for the answer, and asks the next. Exit status 0: the
    history is linearizable. 1: it is not. 3: undecided within --check-s-max. 130: after Ctrl-C,
    with what there is so far.
    """
    from concur.cli.terminal import err, print_json, progress
    from concur.files import check_target
    from concur.serve.load.bench import Plan
    from concur.serve.load.target import tls_for

    aims = _targets(targets)
    plan = Plan(
        targets=aims,
        tls=tls_for(aims, "" if ca is None else str(ca)),
        connections=connections,
        seconds=seconds,
        warmup_s=warmup,
        reads=reads,
        keys=keys,
        value_bytes=value_bytes,
        timeout_s=timeout_s,
        seed=seed,
        record=check or history is not None,
    )
    plan.validate()
    between("--check-s-max", check_s_max, 0.0, 1e6)
    if history is not None:
        check_target("history", history)
    with progress("loading") as advance:
        total = math.ceil(warmup + seconds)
        found = _run(
            plan, lambda at, done: advance(min(int(at), total), total, f"{done:,} answers")
        )
    if history is not None:
        found.history.write_jsonl(str(history))
    verdict: Verdict | None = None
    if check:
        console = err()
        with console.status("checking the history"):
            verdict = found.verdict(check_s_max)
    if json:
        print_json(_as_json(plan, found, verdict))
    else:
        _print(plan, found, verdict)
    if not found.complete:
        err().print("concur: stopped before the end", style="yellow")
        return INTERRUPTED
    if verdict is None:
        return 1 if found.mangled else 0
    return {True: 0, False: 1, "unknown": UNDECIDED}[verdict.valid]


def _targets(urls: list[str]) -> "tuple[Target, ...]":
    import msgspec

    from concur.serve.load.target import target

    found = [target(url) for url in urls]
    secret = os.environ.get("REDISCLI_AUTH", "")
    return tuple(
        each if each.password or not secret else msgspec.structs.replace(each, password=secret)
        for each in found
    )


def _run(plan: "Plan", progress: Any) -> "Bench":
    from concur.serve.load.bench import bench as run

    try:
        import uvloop
    except ImportError:
        return asyncio.run(run(plan, progress))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(plan, progress))


# --- what is printed ------------------------------------------------------------------------------


def _consistency(verdict: "Verdict | None") -> str:
    if verdict is None:
        return "not checked"
    words = {True: "linearizable", False: "not linearizable", "unknown": "undecided"}
    return words[verdict.valid]


def _as_json(plan: "Plan", found: "Bench", verdict: "Verdict | None") -> dict[str, Any]:
    """As `concur compare` has it, with one row; what nobody outside can measure is null."""
    import concur
    from concur.score.compare import ROW_METRICS

    row: dict[str, Any] = {"protocol": found.protocol}
    row |= {name: found.figures.get(name) for name in ROW_METRICS}
    row |= {
        "consistency": _consistency(verdict),
        "valid": None if verdict is None else verdict.valid,
        "reason": found.mangled if verdict is None else verdict.reason,
        "operations_checked": 0 if verdict is None else verdict.operations,
        "lost_connections": found.lost,
        "generator_cores": found.figures.get("generator_cores"),
    }
    return {
        "rows": [row],
        "complete": found.complete,
        "concur": concur.__version__,
        "targets": [each.url for each in plan.targets],
        "workload": "uniform",
        "reads": plan.reads,
        "keys": plan.keys,
        "value_bytes": plan.value_bytes,
        "clients": plan.connections,
        "seconds": plan.seconds,
        "warmup_s": plan.warmup_s,
        "seeds": [plan.seed],
    }


def _print(plan: "Plan", found: "Bench", verdict: "Verdict | None") -> None:
    from rich import box
    from rich.table import Table

    from concur.cli.terminal import out
    from concur.histories.formats import plain
    from concur.score.metrics import METRICS
    from concur.score.words import figure

    console = out()
    console.print(
        f"{found.protocol} at {', '.join(each.url for each in plan.targets)}: "
        f"{plan.connections} connections, {plan.reads:.0%} reads, {plan.keys:,} keys, values of "
        f"{plan.value_bytes} bytes, {found.figures.get('measured_s', 0.0):.3g} s"
    )
    console.print()
    names = ["commands", "throughput", "latency_ms_p50", "latency_ms_p99", "latency_ms_p999",
             "unanswered", "unavailable_s"]  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        table.add_column(METRICS[name].label, justify="right", no_wrap=True)
    table.add_row(*(figure(found.figures.get(name)) for name in names))
    console.print(table)
    console.print()
    if verdict is None:
        console.print(found.mangled or "the history was not checked", soft_wrap=True)
    else:
        colours = {True: "bold green", False: "bold red", "unknown": "bold yellow"}
        console.print(plain(verdict.headline), style=colours[verdict.valid], soft_wrap=True)
        for line in verdict.details():
            console.print(plain(line), soft_wrap=True)
    if found.lost:
        console.print(f"{found.lost} connections broke and were made again")
    cores = found.figures.get("generator_cores")
    if cores is not None and cores >= BUSY:
        console.print(
            f"this program needed {cores:.0%} of a core: it may be what was measured",
            style="yellow",
        )
