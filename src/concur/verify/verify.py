"""`verify`: the model checker on a protocol of the house, or on yours.

    from concur.verify import verify

    answer = verify("paxos", replicas=3, clients=2, commands=2, faults="crash=1", timeouts_max=2)
    answer.verdict, answer.bounds, answer.unique_states

The answer "holds" is about the bounds that it names, and about nothing beyond.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter
from typing import Any, Literal

import msgspec

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines import Machine
from concur.parts.membership import Order
from concur.properties import STANDARD, Property
from concur.protocols import protocol as protocol_named
from concur.verify.budget import Budget, Progress, StoppedBy
from concur.verify.exploration import Exploration, Moment
from concur.verify.explore import explore
from concur.verify.large.parallel import explore_parallel
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.reductions.interchangeable import symmetry_of
from concur.verify.reductions.reduced import REDUCTIONS, Reduction, explore_reduced
from concur.verify.reductions.symmetry import Symmetry
from concur.verify.scenario import Scenario
from concur.verify.walks.campaign import walk_many
from concur.verify.walks.priorities import DEPTH, walk_by_priorities
from concur.verify.walks.walk import walk

WALKS_SHARE = 0.1
"""Of the time, for random walks before the search that may prove something."""
WALKS = 1000
"""So many, where there is no limit of time."""
GLANCE_STATES = 5_000
"""A space that is not larger needs no walks."""

Attack = Literal["walks first", "walks", "priorities", "breadth-first", "depth-first", "deepening"]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found out, and within which bounds.

    `verdict` is "holds" only if all is exhausted. `trace` tells, step by step, how `property`
    breaks; `moments` are its states, for `system`. `local_states` counts what each host can be in,
    `histories` what clients and observers can have seen: that tells what makes a space large.
    """

    protocol: str
    verdict: Literal["holds", "violated", "unknown"]
    exhausted: bool
    unique_states: int
    transitions: int
    depth: int
    seconds: float
    bounds: dict[str, Any]
    covered: str
    strategy: str
    reductions: tuple[str, ...] = ()
    property: str = ""
    reason: str = ""
    trace: tuple[str, ...] = ()
    stopped_by: StoppedBy = ""
    local_states: dict[str, int] = {}
    histories: int = 0
    moments: tuple[Moment, ...] = ()

    def __str__(self) -> str:
        wrong = f": {self.property}: {self.reason}" if self.property else ""
        return f"{self.verdict}{wrong} ({self.covered}; {self.seconds:.1f} s)"


def verify(
    protocol: "Protocol | type[Protocol] | str",
    *,
    replicas: int = 3,
    clients: int = 2,
    commands: "int | Sequence[Sequence[Any]] | None" = None,
    machine: "Machine[Any, Any] | str" = "kv",
    faults: "str | Mapping[str, int]" = "",
    timeouts_max: "int | str | Mapping[str, int]" = 2,
    ticks_max: int = 0,
    turns: bool = False,
    late_is_lost: bool = True,
    properties: tuple[Property, ...] = STANDARD,
    strategy: Attack = "walks first",
    budget_s: float | None = 60.0,
    states_max: int | None = None,
    bytes_max: int | None = None,
    seed: int = 0,
    copies_max: int = 3,
    spares: int = 0,
    orders: "Sequence[Order | str]" = (),
    prologue: Sequence[str] = (),
    clock_max: int = 0,
    skew_max: int | None = None,
    reductions: "Collection[Reduction] | Literal['all', 'none']" = "all",
    processes: int = 1,
    fingerprints: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Explore every order of messages, timeouts and faults of a protocol, within bounds.

    `protocol` is an instance with its parameters, a class, or a name; most others, from `replicas`
    on, say which runs there are to explore (`Scenario`). The budget is in seconds, in different
    states, and in bytes of the whole process; None is no limit. `seed` is that of the first walk.

    "walks first" glances at the first states, in case these are all, takes random walks for a
    tenth of the time, and then searches breadth-first. `reductions` leave out what cannot matter
    to any property (`concur.verify.reductions`), in breadth-first searches of one process that keep
    whole states. `processes` is how many search, -1 one for each core; with `fingerprints` a search
    that has used up its memory goes on with 16 bytes for each state.

    Raises BadInput for what cannot be checked: wall clocks without bounds, leases, streams.
    """
    scenario = Scenario(
        protocol=_described(protocol),
        replicas=replicas,
        clients=clients,
        commands=commands,
        machine=machine,
        faults=faults,
        timeouts_max=timeouts_max,
        ticks_max=ticks_max,
        turns=turns,
        late_is_lost=late_is_lost,
        properties=properties,
        copies_max=copies_max,
        spares=spares,
        orders=orders,
        prologue=prologue,
        clock_max=clock_max,
        skew_max=skew_max,
    )
    return verify_scenario(
        scenario,
        strategy=strategy,
        budget=Budget(budget_s, states_max, bytes_max),
        seed=seed,
        reductions=reductions,
        processes=processes,
        fingerprints=fingerprints,
        progress=progress,
    )


def verify_scenario(
    scenario: Scenario,
    *,
    strategy: Attack = "walks first",
    budget: Budget = Budget(60.0),  # noqa: B008
    seed: int = 0,
    reductions: "Collection[Reduction] | Literal['all', 'none']" = "all",
    processes: int = 1,
    fingerprints: bool = False,
    bug_depth: int = DEPTH,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """`verify` for bounds that have a name already.

    `bug_depth` is how many events must come in the right order, in a bug that walks by priorities
    are to find (`concur.verify.walks.priorities`).
    """
    chosen = _reductions(reductions, strategy, processes != 1 or fingerprints)
    if processes != 1 and strategy in ("depth-first", "deepening", "priorities"):
        raise BadInput(f"processes: strategy {strategy} runs in one; expected breadth-first")
    system, symmetry = modelled(scenario, chosen)
    walked = ""
    begin = perf_counter()

    def search(within: Budget) -> Exploration:
        if processes != 1:
            return explore_parallel(scenario.system, processes, within, progress, model=system)
        if strategy == "depth-first" or strategy == "deepening":
            return explore(system, strategy, within, "symmetry" in chosen, progress)
        if not chosen:
            return explore(
                system, "breadth-first", within, False, progress, fingerprints=fingerprints
            )
        return explore_reduced(system, chosen, within, progress)

    def left(share: float = 1.0, states_max: int | None = budget.states) -> Budget:
        if budget.seconds is None:
            return msgspec.structs.replace(budget, states=states_max)
        rest = max(budget.seconds - (perf_counter() - begin), 0.0)
        seconds = min(rest, budget.seconds * share)
        return msgspec.structs.replace(budget, seconds=seconds, states=states_max)

    def walks(within: Budget, most: int | None) -> Exploration:
        if processes != 1:
            return walk_many(
                scenario.system,
                within,
                seed=seed,
                walks_max=most,
                processes=processes,
                progress=progress,
                model=system,
            )
        return walk(
            system,
            within,
            seed=seed,
            walks_max=most,
            pick=system.pick,
            mood=system.mood,
            features=system.features,
            progress=progress,
        )

    if strategy == "walks":
        found = walks(budget, None)
    elif strategy == "priorities":
        found = walk_by_priorities(system, budget, seed=seed, depth=bug_depth, progress=progress)
    elif strategy == "walks first":
        glance = GLANCE_STATES if budget.states is None else min(GLANCE_STATES, budget.states)
        found = search(left(states_max=glance))
        if found.stopped_by == "states" and glance != budget.states:
            found = walks(left(WALKS_SHARE), None if budget.seconds is not None else WALKS)
            if found.verdict != "violated" and found.stopped_by != "interrupted":
                walked = f"; before that {found.covered.partition(': ')[2]}"
                # Afresh: what walks have met would only have to be asked what is dead there.
                system, symmetry = modelled(scenario, chosen)
                found = search(left())
    else:
        found = search(budget)
    alike = f"; interchangeable: {symmetry.words}" if symmetry and found.symmetry else ""
    return Verification(
        protocol=scenario.protocol.label,
        verdict=found.verdict,
        exhausted=found.exhausted,
        unique_states=found.unique_states,
        transitions=found.transitions,
        depth=found.depth,
        seconds=perf_counter() - begin,
        bounds=scenario.bounds(),
        covered=found.covered + alike + walked,
        strategy=found.strategy,
        reductions=found.reductions,
        property=found.property,
        reason=found.reason,
        trace=tuple(moment.label for moment in found.trace if moment.label),
        stopped_by=found.stopped_by,
        local_states=system.local_states(),
        histories=system.histories(),
        moments=found.trace,
    )


def modelled(
    scenario: Scenario, reductions: Collection[Reduction]
) -> tuple[NodeSystem, Symmetry | None]:
    """The model of a scenario, and what is interchangeable there, if that is to be used."""
    system = scenario.system()
    symmetry = symmetry_of(scenario, system) if "symmetry" in reductions else None
    if symmetry is not None:
        symmetry.apply()
    return system, symmetry


def _reductions(
    asked: "Collection[Reduction] | Literal['all', 'none']", strategy: Attack, plain: bool
) -> Collection[Reduction]:
    """The reductions to use. `plain` says that what else was asked for goes without."""
    if asked == "all":
        return () if plain or strategy in ("walks", "priorities") else REDUCTIONS
    chosen: Collection[Reduction] = () if asked == "none" else asked
    if chosen and plain:
        raise BadInput("reductions: several processes, and fingerprints, go without; expected none")
    if chosen and strategy not in ("walks first", "breadth-first"):
        raise BadInput(f"reductions: strategy {strategy} has none; expected breadth-first")
    return chosen


def _described(protocol: "Protocol | type[Protocol] | str") -> Protocol:
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    return protocol() if isinstance(protocol, type) else protocol
