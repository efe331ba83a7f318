"""`concur verify`: the model checker, on the very code that runs."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concur.cli.options import RUN, WORLD, Json, Seed, Settings, seeds_of, with_settings
from concur.cli.searching import Search
from concur.cli.verified import Answer, print_answer, readable
from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.verify.stories.counterexample import Counterexample

EXAMPLES = """Examples:

concur verify paxos --timeouts 0 --faults crash=1

concur verify raft --faults crash=1 --timeouts election=2 --budget-s 600 --max-memory 4GB

concur verify paxos --clients 1 --commands 1 --timeouts 0 --faults crash=1 --liveness

concur verify multi-paxos -p batch_max=1 --clients 1 --commands 1 --timeouts election=1 --json

concur verify unreplicated --commands "put x a, get x; get x" --timeouts retry=1

concur verify raft --strategy breadth-first --save why.json --diagram why.svg"""

INTERRUPTED = 130
BROKEN = "If it breaks"
WALKS_FIRST = "walks-first"
EXHAUSTIVE = ("breadth-first", "depth-first", "deepening")

STATUS = {"holds": 0, "violated": 1, "unknown": 3}


def verify(
    protocol: Annotated[
        str,
        typer.Argument(
            metavar="PROTOCOL", help="A name as concur list prints it, or package.module:Class."
        ),
    ],
    replicas: Annotated[int, typer.Option(help="How many replicas.", rich_help_panel=WORLD)] = 3,
    clients: Annotated[
        int | None,
        typer.Option(
            help="How many clients. Default: 2, or those whose --commands are given.",
            rich_help_panel=WORLD,
            show_default=False,
        ),
    ] = None,
    commands: Annotated[
        str,
        typer.Option(
            help="How many commands there are in all, puts and gets of one key, dealt out in turn; "
            "or those of each client, as in 'put x a, get x; get x' for two clients.",
            rich_help_panel=WORLD,
            metavar="COUNT|SCRIPT",
        ),
    ] = "2",
    machine: Annotated[
        str,
        typer.Option(
            help="What is replicated: kv, register, counter, lock, queue or package.module:Class.",
            rich_help_panel=WORLD,
            metavar="NAME",
        ),
    ] = "kv",
    settings: Settings = None,
    spares: Annotated[
        int,
        typer.Option(
            help="Replicas beside those, which may become members, where a protocol can change "
            "them.",
            rich_help_panel=WORLD,
        ),
    ] = 0,
    order: Annotated[
        list[str] | None,
        typer.Option(
            help="What an operator asks for, at any time: members=r1,r2,r4 or leader=r2; may be "
            "given again, for the next one.",
            rich_help_panel=WORLD,
            metavar="ORDER",
        ),
    ] = None,
    prologue: Annotated[
        list[str] | None,
        typer.Option(
            help="What has happened before anything is explored, which costs no bounds: an event "
            "as traces tell it, such as 'r1 timer election', or quiet, until nothing is on its "
            "way; may be given again.",
            rich_help_panel=WORLD,
            metavar="EVENT",
        ),
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="What may go wrong, and how often in a run: crash=1 (a replica, which restarts at "
            "any later time or never), wipe=1 (it loses its disk, too), duplicate=1 (messages), "
            "duplicate=any (all, at will) or duplicate=servers (those between replicas), "
            "jump=1 (a wall clock is set back). Any message may be late for ever, which nobody can "
            "tell from loss or a partition, so these are always there and need no count; loss=2 "
            "takes up to two messages away as events that a trace shows, which finds nothing more "
            "and costs more.",
            rich_help_panel=WORLD,
            metavar="FAULTS",
        ),
    ] = "none",
    timeouts: Annotated[
        str,
        typer.Option(
            help="How many timers ring in a run, any of them; or which, as in election=2,retry=1, "
            "and of which node, as in election@r1=1; then no others do.",
            rich_help_panel=WORLD,
            metavar="COUNT|TIMERS",
        ),
    ] = "2",
    ticks: Annotated[
        int,
        typer.Option(
            help="How often time passes somewhere and nobody's timer rings.", rich_help_panel=WORLD
        ),
    ] = 0,
    clock: Annotated[
        int,
        typer.Option(
            help="Up to which tick, of a second each, wall clocks are explored, if it reads any.",
            rich_help_panel=WORLD,
        ),
    ] = 0,
    skew: Annotated[
        int | None,
        typer.Option(
            help="By how many ticks wall clocks are wrong at the most. Default: they know nothing "
            "of each other.",
            rich_help_panel=WORLD,
            show_default=False,
        ),
    ] = None,
    turns: Annotated[
        bool,
        typer.Option(
            "--turns",
            help="Batches form: the end of a turn is an event of its own. Else it follows each "
            "event at once.",
            rich_help_panel=WORLD,
        ),
    ] = False,
    copies: Annotated[
        int,
        typer.Option(
            help="Copies of one message on their way from one node to another; 1, 3, 7, ... and "
            "more are lost.",
            rich_help_panel=WORLD,
        ),
    ] = 3,
    liveness: Annotated[
        bool,
        typer.Option(
            "--liveness",
            help="See besides whether every command is answered once faults stop and messages are "
            "quick, from every state; the answer says what it assumes.",
            rich_help_panel=RUN,
        ),
    ] = False,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="walks-first (random walks for a tenth of the time, then breadth-first), walks, "
            "priorities (PCTCP: walks that say how likely they find a bug of a given depth), "
            "breadth-first (the shortest trace), depth-first or deepening. Default: walks-first, "
            "or breadth-first for --liveness.",
            rich_help_panel=RUN,
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    reductions: Annotated[
        str | None,
        typer.Option(
            help="What a breadth-first search leaves out since it cannot matter to any property: "
            "all, none, or some of dead-messages, dominated-states, sleep-sets and symmetry. "
            "Default: all.",
            rich_help_panel=RUN,
            metavar="all|none|NAME,...",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            help="Processes that search; -1 is one for each core. More than one leave nothing out, "
            "so they are for spaces that reductions do not make small.",
            rich_help_panel=RUN,
        ),
    ] = 1,
    fingerprints: Annotated[
        bool,
        typer.Option(
            "--fingerprints",
            help="When the memory is used up, go on with 16 bytes for each state.",
            rich_help_panel=RUN,
        ),
    ] = False,
    budget_s: Annotated[
        float,
        typer.Option(
            help="Seconds that the search may take; after that the answer is partial.",
            rich_help_panel=RUN,
        ),
    ] = 60.0,
    max_states: Annotated[
        int | None,
        typer.Option(
            help="Different states that may be seen. Default: no limit.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="Memory that the search may take, as in 500MB or 2GB, in all its processes "
            "together. Default: three quarters of what there is here.",
            rich_help_panel=RUN,
            metavar="SIZE",
            show_default=False,
        ),
    ] = None,
    seed: Seed = None,
    minimise: Annotated[
        bool,
        typer.Option(
            help="Leave out of the trace what is not needed, then look for one with fewer "
            "replicas, clients and commands.",
            rich_help_panel=BROKEN,
        ),
    ] = True,
    transcript: Annotated[
        bool,
        typer.Option(
            "--transcript",
            help="Print what each node does at each event, not the events alone.",
            rich_help_panel=BROKEN,
        ),
    ] = False,
    diagram: Annotated[
        Path | None,
        typer.Option(
            help="Draw the trace as a space-time diagram, .svg or .html.",
            rich_help_panel=BROKEN,
            metavar="FILE",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the counter-example, for concur replay.",
            rich_help_panel=BROKEN,
            metavar="FILE",
        ),
    ] = None,
    regression_test: Annotated[
        Path | None,
        typer.Option(
            help="Write a test for pytest that replays it.",
            rich_help_panel=BROKEN,
            metavar="FILE",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Explore every order of messages, timeouts and faults, within bounds.

    Looks in every state at agreement, at one leader for each ballot, at the
    invariants of the nodes, at linearizability of what clients saw, at
    validity, and that each operation ends once.

    Exit status 0: it holds, and every state within the bounds was seen.
    1: it is violated, and a trace tells how. 2: bad input. 3: unknown,
    since seconds, states or memory were used up. 130: stopped by Ctrl-C.
    """
    from concur.cli.scenarios import budget_of, reductions_of, scenario_of, strategy_of
    from concur.protocols import protocol as find

    number = seeds_of(seed, None)[0]
    attack = strategy_of(strategy or (EXHAUSTIVE[0] if liveness else WALKS_FIRST))
    budget = budget_of(budget_s, max_states, max_memory, processes)
    files = _targets(diagram, save, regression_test)
    reducing = reductions_of(reductions)
    if liveness:
        beside = {
            "--transcript": transcript,
            "--reductions": reductions not in (None, "none"),
            "--processes": processes != 1,
            "--fingerprints": fingerprints,
        }
        _check_liveness(attack, [*(what for what, given in beside.items() if given), *files])
    one = find(protocol)()
    with_settings([one], settings)
    scenario = scenario_of(
        one,
        replicas=replicas,
        clients=clients,
        commands=commands,
        machine=machine,
        faults=faults,
        timeouts=timeouts,
        ticks_max=ticks,
        clock_max=clock,
        skew_max=skew,
        turns=turns,
        copies_max=copies,
        spares=spares,
        orders=tuple(order or ()),
        prologue=tuple(prologue or ()),
    )
    search = Search(scenario)
    if liveness:
        ask = partial(search.responds, attack, budget)
    else:
        ask = partial(
            search.holds,
            strategy=attack,
            budget=budget,
            seed=number,
            reductions=reducing,
            processes=processes,
            fingerprints=fingerprints,
        )
    answer = Answer(scenario, search.run(ask), number)
    answer.response = search.response
    if answer.found.verdict == "violated" and not liveness:
        _explain(answer, minimise=minimise, transcript=transcript or json)
    print_answer(answer, json=json)
    _write(answer, files)
    return INTERRUPTED if answer.interrupted else STATUS[answer.found.verdict]


def _targets(
    diagram: Path | None, save: Path | None, regression_test: Path | None
) -> dict[str, Path]:
    """Files to write, by what they are; refused before anything runs if they cannot be."""
    from concur.files import check_target

    named = {"diagram": diagram, "counter-example": save, "regression test": regression_test}
    files = {what: path for what, path in named.items() if path is not None}
    for at, (what, path) in enumerate(files.items()):
        check_target(what, path)
        if path.resolve() in [other.resolve() for other in list(files.values())[:at]]:
            raise BadInput(f"{what} {path}: is in use here already, expected another file")
    if diagram is not None and diagram.suffix not in (".svg", ".html"):
        raise BadInput(f"diagram {diagram}: expected a name that ends in .svg or .html")
    return files


def _check_liveness(attack: str, wanted: list[str]) -> None:
    """Its trace goes on where faults have stopped, which no counter-example does; and every state
    is a beginning, so none may be left out. Raises BadInput."""
    if attack not in EXHAUSTIVE:
        raise BadInput(
            f"--strategy {attack}: leaves states out, expected {', '.join(EXHAUSTIVE)} with "
            "--liveness"
        )
    if wanted:
        raise BadInput(f"{wanted[0]}: expected none with --liveness")


# --- counter-examples -----------------------------------------------------------------------------


def _explain(answer: Answer, *, minimise: bool, transcript: bool) -> None:
    """The counter-example, as short as it can be made; the whole trace after Ctrl-C."""
    from concur.cli.terminal import ticking
    from concur.verify.stories.counterexample import Counterexample

    try:
        with ticking("explaining") as tell:
            answer.example = Counterexample.of(answer.scenario, answer.found)
            if minimise:
                tell("looking for the fewest events that show it")
                answer.example = answer.example.minimised()
                answer.minimised = True
            answer.told = readable(answer.example)
            if transcript:
                answer.transcript = answer.example.transcript()
    except KeyboardInterrupt:
        answer.interrupted = True
        print("concur: stopped before the trace was explained", file=sys.stderr)


def _write(answer: Answer, files: dict[str, Path]) -> None:
    from concur.cli.terminal import err
    from concur.files import write_whole

    example: Counterexample | None = answer.example
    for what, path in files.items():
        if example is None:
            print(f"concur: there is no counter-example, {path} is not written", file=sys.stderr)
            continue
        if what == "diagram":
            example.diagram(path)
        elif what == "counter-example":
            example.save(path)
        else:
            write_whole(what, path, example.regression_test())
        err().print(f"wrote {path}")
