"""`concur replay`: run a trace again, stop where you like, look inside."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concur.cli.options import OUTPUT, RUN, Json
from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.simulate.trace import Replay

EXAMPLES = """Examples:

concur replay run.trace

concur replay run.trace --stop-at 1200 --show r1 --show c3

concur replay run.trace --against other.trace"""

STATE_MAX = 400
"""Characters of one field that are shown to people; --json has all of it."""


def replay(
    trace: Annotated[
        Path, typer.Argument(metavar="TRACE", help="A file that concur simulate --trace wrote.")
    ],
    stop_at: Annotated[
        int | None,
        typer.Option(
            help="Stop after this many steps. Default: run to the end.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="package.module:Class that the trace is of, if it is not one of Concur's: a file "
            "alone does not decide what is imported.",
            rich_help_panel=RUN,
            metavar="PROTOCOL",
        ),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(
            help="A node whose state to show where it stops; may be given again.",
            rich_help_panel=OUTPUT,
            metavar="NODE",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Another trace: run nothing, and show the first step in which the two differ.",
            rich_help_panel=RUN,
            metavar="TRACE",
        ),
    ] = None,
    steps: Annotated[
        int,
        typer.Option(
            help="Show the last so many steps before it stops.", rich_help_panel=OUTPUT, min=0
        ),
    ] = 0,
    json: Json = False,
) -> int:
    """Run a trace again, step by step, and compare.

    Exit status 1 if the run differs from its trace.
    """
    from collections import deque

    from concur.cli.terminal import print_json
    from concur.protocols import protocol as find
    from concur.simulate.trace import read_header
    from concur.simulate.trace import replay as run

    if against is not None:
        return _compare(trace, against, json=json)
    if stop_at is not None and stop_at < 1:
        raise BadInput(f"--stop-at {stop_at}: expected a step, from 1")
    read_header(trace)
    given = None if protocol is None else find(protocol)()
    last: deque[bytes] = deque(maxlen=steps)
    done = run(trace, stop_at=stop_at, protocol=given, on_step=last.append)
    states = {name: _state(done, name) for name in show or ()}
    if json:
        print_json(_as_json(done, states, list(last)))
    else:
        _print(done, states, list(last), stop_at)
    return 0 if done.same else 1


def _compare(trace: Path, against: Path, *, json: bool) -> int:
    """Two runs that differ, compared to their first divergence."""
    from concur.cli.terminal import out, print_json
    from concur.simulate.trace import compare_traces

    difference = compare_traces(trace, against)
    if json:
        print_json({"same": difference is None, "divergence": difference or ""})
    elif difference is None:
        out().print("the same, step by step")
    else:
        out().print(f"DIFFER at {difference}", style="bold red", soft_wrap=True)
    return 0 if difference is None else 1


def _state(done: "Replay", name: str) -> "dict[str, Any] | None":
    """The fields of a node; None while it is down. Raises BadInput if there is no such node."""
    places = done.simulation.world_.places
    if name not in places:
        raise BadInput(f"--show {name}: no such node, expected one of {', '.join(places)}")
    node = places[name].node
    if node is None:
        return None
    state: dict[str, Any] = node.state()
    return state


def _as_json(
    done: "Replay", states: "dict[str, dict[str, Any] | None]", last: list[bytes]
) -> dict[str, Any]:
    import msgspec

    return {
        "same": done.same,
        "steps": done.steps,
        "divergence": done.divergence,
        "time_ns": done.simulation.world_.now,
        "protocol": done.header.protocol,
        "seed": done.header.seed,
        "concur": done.header.concur,
        "state": {
            name: fields and {key: repr(value) for key, value in fields.items()}
            for name, fields in states.items()
        },
        "last_steps": [msgspec.json.decode(line) for line in last],
    }


def _print(
    done: "Replay",
    states: "dict[str, dict[str, Any] | None]",
    last: list[bytes],
    stop_at: int | None,
) -> None:
    from concur.cli.terminal import out

    console = out()
    header = done.header
    console.print(
        f"{header.protocol}, seed {header.seed}, {header.replicas} replicas, {header.clients} "
        f"clients on {header.network.name}; written by concur {header.concur}"
    )
    for line in last:
        console.print(line.decode(), soft_wrap=True)
    if not done.same:
        console.print(f"DIFFERS {done.divergence}", style="bold red", soft_wrap=True)
    else:
        where = "the end" if stop_at is None or done.steps < stop_at else f"step {stop_at}"
        console.print(
            f"{done.steps:,} steps, the same as in the trace, up to {where} at "
            f"{done.simulation.world_.now / 1e9:.6f} s",
            style="green",
        )
    for name, fields in states.items():
        console.print()
        console.print(name if fields is not None else f"{name} (down)", style="bold")
        for key, value in (fields or {}).items():
            text = repr(value)
            cut = text if len(text) <= STATE_MAX else text[:STATE_MAX] + " ..."
            console.print(f"  {key} = {cut}", soft_wrap=True)
