"""`concur replay`: run a trace again, stop where you like, look inside, draw what happened."""

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concur.cli.options import OUTPUT, RUN, Json
from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.base import Protocol
    from concur.node import Config
    from concur.plot.witness import Bound, Witness
    from concur.simulate.trace import Header, Replay

EXAMPLES = """Examples:

concur replay run.trace

concur replay run.trace --stop-at 1200 --show r1 --show c3 --steps 5

concur replay run.trace --against other.trace

concur replay run.trace --diagram run.svg --from 3.2s --to 3.9s --nodes r1,r2,r3 --hide Heartbeat

concur replay run.trace --diagram start.svg --to 150

concur replay story.json --stop-at 7 --show r1"""

DIAGRAM = "The diagram"

STATE_MAX = 400
"""Characters of one field that are shown to people; --json has all of it."""


def replay(
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE",
            help="A file that concur simulate --trace wrote, or concur verify --save.",
        ),
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
            help="Show the last so many steps before it stops; 0 is none, and all of a "
            "counter-example.",
            rich_help_panel=OUTPUT,
            min=0,
        ),
    ] = 0,
    diagram: Annotated[
        Path | None,
        typer.Option(
            help="Draw the space-time diagram of the run, or of the part that --from and --to "
            "give: nodes as lines, messages as arrows, who leads, what is decided, what fails.",
            rich_help_panel=DIAGRAM,
            metavar="FILE.svg",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Where the diagram begins: a step, as --stop-at counts them, or a time in the run "
            "such as 2.5s or 340ms. Default: the beginning.",
            rich_help_panel=DIAGRAM,
            metavar="STEP|TIME",
            show_default=False,
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Where it ends. Default: the end, or --stop-at.",
            rich_help_panel=DIAGRAM,
            metavar="STEP|TIME",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[
        list[str] | None,
        typer.Option(
            help="Nodes to draw, as in r1,r2,c3; clients means all of those. Default: all that "
            "take part, more than two clients on one line.",
            rich_help_panel=DIAGRAM,
            metavar="NODE,...",
            show_default=False,
        ),
    ] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(
            help="Messages, timers and observations to leave out, by name, as in "
            "Heartbeat,HeartbeatAck; decided leaves out what is decided.",
            rich_help_panel=DIAGRAM,
            metavar="NAME,...",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Run a trace again, step by step, and compare. Stop at any step and look at any node's state,
    or draw a part of the run.

    A counter-example of concur verify is told event by event, as real nodes go through it.

    Exit status 1 if the run differs from its trace.
    """
    from collections import deque

    from concur.cli.terminal import print_json
    from concur.plot.witness import Witness
    from concur.protocols import protocol as find
    from concur.simulate.trace import Recorder, read_header
    from concur.simulate.trace import replay as run
    from concur.verify.stories.files import is_story

    if is_story(trace):
        from concur.cli.story import replay_story

        _only_for_traces(
            {"--against": against, "--from": begin, "--to": end, "--nodes": nodes, "--hide": hide}
        )
        return replay_story(
            trace,
            protocol=None if protocol is None else find(protocol)(),
            stop_at=stop_at,
            show=show or [],
            steps=steps,
            diagram=diagram,
            json=json,
        )
    if diagram is None:
        _only_with_diagram({"--from": begin, "--to": end, "--nodes": nodes, "--hide": hide})
    elif against is not None:
        raise BadInput(f"--diagram {diagram} and --against {against}: expected one of them")
    if against is not None:
        return _compare(trace, against, json=json)
    if stop_at is not None and stop_at < 1:
        raise BadInput(f"--stop-at {stop_at}: expected a step, from 1")
    header = read_header(trace)
    given = None if protocol is None else find(protocol)()
    last: deque[bytes] = deque(maxlen=steps)
    _check_show(header, given, show or [])
    witness = None
    if diagram is not None:
        _check_diagram(diagram, trace)
        first, until = _part(begin, end)
        chosen = _names("--nodes", nodes)
        _check_nodes(header, given, chosen)
        _check_part(trace, stop_at, first, until)
        witness = Witness(begin=first, end=until, nodes=chosen, hide=_names("--hide", hide))
    done = run(
        trace,
        stop_at=stop_at,
        protocol=given,
        on_step=last.append,
        recorder=Recorder if witness is None else witness.attend,
    )
    states = {name: _state(done, name) for name in show or ()}
    drawn = diagram if done.same else None
    if witness is not None and drawn is not None:
        _draw(done, witness, drawn)
    if json:
        found = _as_json(done, states, list(last))
        print_json(found if diagram is None else found | {"diagram": drawn and str(drawn)})
    else:
        _print(done, states, list(last), stop_at)
    if diagram is not None and not json:
        from concur.cli.terminal import err

        err().print(f"wrote {drawn}" if drawn else "concur: no diagram was written", soft_wrap=True)
    return 0 if done.same else 1


# --- the diagram ----------------------------------------------------------------------------------


def _only_with_diagram(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise BadInput(f"{name}: says what to draw, expected --diagram FILE.svg with it")


def _only_for_traces(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise BadInput(f"{name}: is for traces of simulated runs, not for a counter-example")


def _check_diagram(diagram: Path, trace: Path) -> None:
    from concur.files import check_target

    if diagram.exists() and diagram.samefile(trace):
        raise BadInput(f"--diagram {diagram}: that is the trace itself, expected another file")
    check_target("diagram", diagram)
    if diagram.suffix.lower() != ".svg":
        raise BadInput(f"--diagram {diagram}: expected the name of an SVG file, as in run.svg")


def _part(begin: str | None, end: str | None) -> "tuple[Bound | None, Bound | None]":
    first, last = _bound("--from", begin), _bound("--to", end)
    if first and last:
        backwards = (
            first.ns >= last.ns
            if first.ns is not None and last.ns is not None
            else first.step is not None and last.step is not None and first.step >= last.step
        )
        if backwards:
            raise BadInput(f"--from {begin} and --to {end}: expected the first before the second")
    return first, last


def _check_part(
    trace: Path, stop_at: int | None, first: "Bound | None", last: "Bound | None"
) -> None:
    """Refuse a part that begins, or is to end, after the trace or where the replay stops."""
    import msgspec

    from concur.simulate.trace import lines

    if not first and not last:
        return
    steps, line = 0, b'{"t": 0}'
    for taken in lines(trace):
        if steps != stop_at:  # what comes later is only looked through for damage
            steps, line = steps + 1, taken
    end_ns = msgspec.json.decode(line)["t"]
    for option, bound in (("--from", first), ("--to", last)):
        late = bound is not None and bound.step is not None and bound.step > steps
        late |= bound is first and bound is not None and bound.ns is not None and bound.ns > end_ns
        if late:
            raise BadInput(
                f"{option} {bound}: the run, as far as it is replayed, ends at step {steps}, "
                f"{end_ns / 1e9:.6f} s"
            )


def _check_nodes(header: "Header", given: "Protocol | None", names: tuple[str, ...]) -> None:
    from concur.plot.witness import CLIENTS, refuse_node

    config = _config(header, given)
    known = [id for _, ids in config.roles for id in ids]
    for name in names:
        if name != CLIENTS and name not in known:
            refuse_node(name, known, config.role("client"))


def _check_show(header: "Header", given: "Protocol | None", names: list[str]) -> None:
    known = [id for _, ids in _config(header, given).roles for id in ids] if names else []
    for name in names:
        if name not in known:
            raise BadInput(f"--show {name}: no such node, expected one of {', '.join(known)}")


def _config(header: "Header", given: "Protocol | None") -> "Config":
    """Who is there in the run of a trace."""
    from concur.node import Config
    from concur.simulate.trace import simulation_of

    roles = simulation_of(header, given).protocol.roles()
    return Config.of(roles, header.replicas, header.clients, header.spares)


TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?|\.\d{1,9})(s|ms|us|µs|ns)", re.ASCII)
UNITS_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}


def _bound(option: str, text: str | None) -> "Bound | None":
    from concur.plot.witness import Bound

    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0:
        return Bound(step=int(text))
    timed = TIME.fullmatch(text)
    if timed is None:
        raise BadInput(
            f"{option} {text!r}: expected a step from 1, or a time such as 2.5s or 340ms"
        )
    return Bound(ns=round(Decimal(timed[1]) * UNITS_NS[timed[2]]))


def _names(option: str, lists: list[str] | None) -> tuple[str, ...]:
    names = tuple(name.strip() for given in lists or () for name in given.split(","))
    if not all(names):
        raise BadInput(f"{option} {','.join(names)!r}: an empty name, expected names and commas")
    return names


def _draw(done: "Replay", witness: "Witness", path: Path) -> None:
    from concur.plot.diagram import draw, write_diagram

    told = witness.told()
    header = done.header
    title = (
        f"{header.protocol}, seed {header.seed}: {told.from_ns / 1e9:.6f} to "
        f"{told.to_ns / 1e9:.6f} s, steps {told.steps[0]} to {told.steps[1]}"
    )
    facts = [f"{header.replicas} replicas and {_clients(header)} on {header.network.name}"]
    if told.hidden:
        hidden = ", ".join(f"{count} {name}" for name, count in sorted(told.hidden.items()))
        facts.append(f"not shown: {hidden}")
    facts.append("time runs down, and not to scale")
    write_diagram(draw(told, title=title, note="; ".join(facts) + "."), path)


def _clients(header: "Header") -> str:
    return f"{header.clients} client{'s'[: header.clients != 1]}"


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
    """The fields of a node; None while it is down."""
    node = done.simulation.world_.places[name].node
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
        f"{header.protocol}, seed {header.seed}, {header.replicas} replicas, {_clients(header)} on "
        f"{header.network.name}; written by concur {header.concur}"
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
