"""`concur simulate`: one run, or a campaign of many seeds, all of them checked."""

import sys
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
    from concur.simulate.campaign import Campaign
    from concur.simulate.case import Case

EXAMPLES = """Examples:

concur simulate multi-paxos --seed 7 --faults all --trace run.trace

concur simulate raft --seed 7 --faults all --machine queue --history run.jsonl

concur simulate multi-paxos --seeds 0:1000 --jobs 2 --faults all --shrink"""


def simulate(
    protocol: Annotated[
        str,
        typer.Argument(
            metavar="PROTOCOL", help="A name as concur list prints it, or package.module:Class."
        ),
    ],
    network: Network = "lan",
    workload: Workload = None,
    faults: Faults = "none",
    replicas: Replicas = 3,
    clients: Clients = 10,
    spares: Spares = None,
    seconds: Annotated[
        float,
        typer.Option(help="How long clients ask, in virtual time.", rich_help_panel=RUN),
    ] = 10.0,
    machine: Machine = None,
    settings: Settings = None,
    seed: Seed = None,
    seeds: Seeds = None,
    jobs: Annotated[
        int, typer.Option(help="Processes; -1 is one for each core.", rich_help_panel=RUN)
    ] = 1,
    check_s_max: Annotated[
        float,
        typer.Option(
            help="Seconds of real time that the check of one history may take.",
            rich_help_panel=RUN,
        ),
    ] = 60.0,
    commands_min: Annotated[
        int,
        typer.Option(help="Commands that each run must complete.", rich_help_panel=RUN),
    ] = 0,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write every step of the run, for concur replay.",
            rich_help_panel=OUTPUT,
            metavar="FILE",
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="Write what the clients of the run saw, .jsonl or .edn, for concur check.",
            rich_help_panel=OUTPUT,
            metavar="FILE",
        ),
    ] = None,
    shrink: Annotated[
        bool,
        typer.Option(
            "--shrink",
            help="Reduce the first violation to the least that still shows it; its schedule goes "
            "to PROTOCOL-SEED.json.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Run a protocol in the simulated world and check what its clients saw.

    A violation prints the line that shows it again, and gives exit status 1.
    """
    from concur.cli.terminal import print_json
    from concur.files import check_target
    from concur.protocols import protocol as find
    from concur.simulate.case import Case

    numbers = seeds_of(seed, seeds)
    for what, target in (("trace", trace), ("history", history)):
        if target is None:
            continue
        check_target(what, target)
        if len(numbers) > 1:
            raise BadInput(
                f"--{what} {target}: a {what} is of one run, expected --seed, not --seeds"
            )
    one = find(protocol)()
    with_settings([one], settings)
    one.validate(replicas)
    load, state = _load(workload, machine)
    case = Case(
        protocol=one,
        replicas=replicas,
        clients=clients,
        spares=spares,
        network=network,
        workload=load,
        machine=state,
        faults=faults,
        seconds=seconds,
        seed=numbers[0],
        check_s_max=check_s_max,
    )
    _check(case)
    if shrink:
        check_target("schedule", _schedule_file(protocol, numbers[0]))
    if trace is not None or history is not None:
        _record(case, trace, history)
    found = _campaign(case, numbers, jobs, commands_min)
    if found.interrupted:
        print(f"concur: {_stopped(found, len(numbers))}", file=sys.stderr)
    if json:
        nothing: dict[str, Any] = {} if found.runs else {"coverage": {}, "missing": []}
        print_json(found.to_json() | nothing | {"trace": None if trace is None else str(trace)})
    elif found.runs:
        _print(case, found, trace)
    if shrink and found.violations and not found.interrupted:
        _shrink(case, found, protocol, json=json)
    return found.exit_status


def _stopped(found: "Campaign", asked: int) -> str:
    if asked == 1:
        return "stopped before the end of the run, nothing was checked"
    return f"stopped after {found.runs:,} of {asked:,} runs"


def _load(workload: str | None, machine: str | None) -> tuple[str | None, str]:
    """Names of a workload (None: the machine's default one) and of the machine that it is for."""
    from concur.score.setting import load_and_machine

    if workload is None:
        return None, machine or "kv"
    _, state = load_and_machine(workload, machine)
    return workload, machine or state.name


def _check(case: "Case") -> None:
    """Refuse what cannot be before anything runs or is written."""
    from concur.base import REPLICAS_MAX
    from concur.errors import between, whole
    from concur.score.setting import find_network
    from concur.score.story import impossible, story

    find_network(case.network)
    whole("clients", case.clients, 1, 100_000)
    if case.spares is not None:
        whole("spares", case.spares, 0, REPLICAS_MAX)
    if case.spares and not case.protocol.tags.membership:
        raise BadInput(
            f"spares: {case.spares}, but {case.protocol.label} never changes its members"
        )
    between("seconds", case.seconds, 0.001, 1_000_000)
    story(
        case.faults,
        [case.protocol],
        seed=case.seed,
        replicas=case.replicas,
        clients=case.clients,
        seconds=case.seconds,
        spares=case.spares,
    )
    wrong = impossible(
        case.faults,
        case.protocol,
        replicas=case.replicas,
        clients=case.clients,
        spares=case.spares,
    )
    for kind, why in wrong.items():
        raise BadInput(f"faults {case.faults!r}: {case.protocol.label} cannot have {kind}: {why}")


def _record(case: "Case", trace: Path | None, history: Path | None) -> None:
    """Write the trace of a run, and its history; nothing is left behind unless it is whole."""
    from contextlib import ExitStack

    from concur.histories.formats import writer
    from concur.simulate.trace import FileRecorder

    with ExitStack() as stack:
        out = None if history is None else stack.enter_context(writer(str(history)))
        recorder = None if trace is None else FileRecorder(trace)
        try:
            run = case.run(recorder=recorder, check=False)
        finally:
            if recorder is not None:
                recorder.discard()
        if out is not None:
            out.write(run.history_.events())


def _campaign(case: "Case", seeds: range, jobs: int, commands_min: int) -> "Campaign":
    import msgspec

    from concur.cli.terminal import progress
    from concur.simulate.campaign import campaign

    fields = {
        name: getattr(case, name)
        for name in msgspec.structs.asdict(case)
        if name not in ("protocol", "seed")
    }
    done = violated = 0
    with progress("simulating") as advance:
        advance(0, len(seeds), "")

        def note(run: Any) -> None:
            nonlocal done, violated
            done += 1
            violated += bool(run.failures)
            seen = f"{violated:,} violation{'s'[: violated != 1]}"
            advance(done, len(seeds), f"seed {run.seed}, {seen}")

        return campaign(
            case.protocol, seeds, jobs=jobs, commands_min=commands_min, progress=note, **fields
        )


# --- what is printed ------------------------------------------------------------------------------


MEANT = {
    "operations: fail": "certainly changed nothing, as a compare-and-set that found another value, "
    "or a command that was refused",
    "operations: info": "nobody knows whether they happened: the client crashed or gave up waiting",
}
"""What rows of the table mean that do not say it themselves."""


def _print(case: "Case", found: "Campaign", trace: Path | None) -> None:
    from rich import box
    from rich.table import Table

    from concur.cli.terminal import err, out
    from concur.simulate.campaign import REQUIRED_FROM

    console = out()
    runs = f"{found.runs:,} run{'s'[: found.runs != 1]}"
    console.print(
        f"{case.protocol.label}: {runs}, {found.commands:,} commands, "
        f"{found.deliveries:,} messages delivered in {found.seconds:.1f} s "
        f"({found.deliveries_per_second:,.0f} a second)"
    )
    if found.coverage:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column("what happened")
        table.add_column("times", justify="right")
        for key, count in found.coverage.items():
            table.add_row(key, f"{count:,}")
        console.print()
        console.print(table)
        for key, meaning in MEANT.items():
            if found.coverage.get(key):
                console.print(f"{key}: {meaning}", style="dim")
    console.print()
    for violation in found.violations:
        console.print(f"VIOLATION, seed {violation.seed}: {violation.property}", style="bold red")
        console.print(f"  {violation.reason}", soft_wrap=True)
        console.print(f"  {violation.replay}", soft_wrap=True)
    for needed in found.missing if found.runs >= REQUIRED_FROM else ():
        console.print(f"NEVER HAPPENED: {needed.key} ({needed.why})", style="bold red")
    if found.unknown:
        console.print(f"undecided within {case.check_s_max:g} s: seeds {_listed(found.unknown)}")
    if found.too_short:
        console.print(f"too few commands: seeds {_listed(found.too_short)}")
    if found.exit_status == 0 and found.runs:
        console.print("No violation: every history is linearizable, every property held, and every "
                      "command was answered after healing.", style="green")  # fmt: skip
    if trace is not None:
        err().print(f"wrote {trace}")


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds[:10])) + (" ..." if len(seeds) > 10 else "")


def _shrink(case: "Case", found: "Campaign", name: str, *, json: bool) -> None:
    import msgspec

    from concur.cli.terminal import err, out, progress
    from concur.simulate.shrink import RUNS_MAX, shrink

    first = found.violations[0]
    with progress(f"shrinking seed {first.seed}") as advance:
        small = shrink(
            msgspec.structs.replace(case, seed=first.seed),
            progress=lambda runs, best: advance(runs, RUNS_MAX, f"{best.seconds:g} s"),
        )
    line = small.write(_schedule_file(name, first.seed))
    console = err() if json else out()
    console.print()
    console.print(str(small), soft_wrap=True)
    console.print(line, soft_wrap=True)


def _schedule_file(name: str, seed: int) -> Path:
    """Where a shrunk schedule goes."""
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    return Path(f"{plain}-{seed}.json")
