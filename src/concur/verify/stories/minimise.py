"""The smallest story of how a property breaks.

1. Delta debugging (Zeller and Hildebrandt 2002) over the events: leave out half of them, a quarter,
   ..., each alone, until no one can be left out. What cannot happen without the others is skipped,
   and where a message is gone, one between the same nodes and of the same kind takes its place.
   In which order they are tried makes a difference, so it is done in several. Then each of them
   happens as late as it can, next to what it is there for.
2. The bounds are lowered to what the story uses up, commands that nobody asks for go, and clients
   that ask for nothing. What is left is a small space, in which breadth-first search and walks look
   for a shorter story.
3. They do the same with fewer replicas, for one of no more events.

The searches end with their budgets; the first step is what guarantees that every event is needed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import TypeVar

import msgspec

from concur.chance import Stream
from concur.errors import BadInput
from concur.verify.bounds import TICK
from concur.verify.budget import Budget
from concur.verify.engine.interning import TooMany
from concur.verify.explore import explore
from concur.verify.model import Model
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.nodes.operators import OperatorHost
from concur.verify.scenario import FAULTS, Scenario
from concur.verify.stories.counterexample import Counterexample, NotSo
from concur.verify.stories.retrace import Event, Retrace
from concur.verify.walks.walk import walk

C = TypeVar("C", bound=Counterexample)

ORDERS = 4
"""In which events are left out; more were of little use."""
SEARCH_STATES_MAX = 20_000
"""Of one breadth-first search."""
WALK_STATES_MAX, WALKS = 4_000, 100
"""Of one round of walks; each walk has its own seed."""
ROUNDS = 6
TIMER = re.compile(r"(?P<node>\S+) timer (?:\S*/)?(?P<kind>\S+)")
"""What the move is called with which a timer rings."""


def minimised(told: C, budget_s: float) -> C:
    """A story of which no event can be left out; searches for a shorter one take `budget_s`."""
    end = perf_counter() + budget_s
    best = _shrunk(told)
    for search in (_searched, _walked):
        found = search(best, best.scenario, len(best.events) - 1, end)
        best = best if found is None else found
    return _with_fewer_replicas(best, end)


# --- the events -----------------------------------------------------------------------------------


def _shrunk(told: C) -> C:
    """Without the events that are not needed, and with the bounds that the others use up."""
    retrace = Retrace(told.scenario)
    ending = retrace.read(told.events, told.start)
    if ending.broken is None or ending.broken[0] != told.property:
        raise NotSo(f"{told.property} does not break in {len(told.events)} events")
    found = [
        needed(retrace, ending.events, told.property, told.start, Stream(seed, "minimise"))
        for seed in range(ORDERS)
    ]
    events = min(found, key=len)
    while True:
        events = _late(retrace, events, told.property, told.start)
        fewer = needed(retrace, events, told.property, told.start)
        if len(fewer) == len(events):
            return _fitted(told, [event.label for event in events])
        events = fewer


def _late(
    retrace: Retrace, events: tuple[Event, ...], property: str, start: int
) -> tuple[Event, ...]:
    """The same events, each as late as it can be: so it stands next to what it is there for."""
    for at in reversed(range(len(events) - 1)):
        for to in range(len(events) - 1, at, -1):
            moved = (*events[:at], *events[at + 1 : to + 1], events[at], *events[to + 1 :])
            ending = retrace.follow(moved, start)
            breaks = ending.broken is not None and ending.broken[0] == property
            if breaks and len(ending.events) == len(events):
                events = ending.events
                break
    return events


def needed(
    retrace: Retrace,
    events: Sequence[Event],
    property: str,
    start: int = 0,
    dice: Stream | None = None,
) -> tuple[Event, ...]:
    """Some of the events, of which no single one can be left out.

    They are tried from the last to the first; with dice, in the order that these say, and only
    with messages alike in the place of those that are gone, which is half the work.
    """
    events = tuple(events)
    size = len(events)
    while size:
        shrunk = False
        lows = list(range(0, len(events), size))[::-1]
        for turn in range(len(lows)):
            if dice is not None:
                other = turn + dice.below(len(lows) - turn)
                lows[turn], lows[other] = lows[other], lows[turn]
            low = lows[turn]
            rest = events[:low] + events[low + size :]
            fewer = _breaks(retrace, rest, property, start, strictly=dice is None)
            if fewer is not None and len(fewer) < len(events):
                events, shrunk = fewer, True
        if not shrunk or size > 1:
            size //= 2
    return events


def _breaks(
    retrace: Retrace, events: Sequence[Event], property: str, start: int, strictly: bool
) -> tuple[Event, ...] | None:
    """What happens of these events if the property breaks with it."""
    for loosely in (True, False) if strictly else (True,):
        ending = retrace.follow(events, start, loosely=loosely)
        if ending.broken is not None and ending.broken[0] == property:
            return ending.events
    return None


# --- the bounds -----------------------------------------------------------------------------------


def from_the_beginning(told: C) -> C:
    """The story with what happened before it, and bounds that suffice for all of it.

    The very same events, but for names of clients.
    """
    scenario = told.scenario
    if not scenario.prologue:
        return _fitted(told, list(told.events))
    beginning = list(scenario.system().beginnings())[told.start]
    events = [moment.label for moment in beginning if moment.label] + list(told.events)
    whole = msgspec.structs.replace(scenario, prologue=())
    return _fitted(msgspec.structs.replace(told, scenario=whole), events)


def _fitted(told: C, events: Sequence[str]) -> C:
    """These events with the lowest bounds, and the fewest clients and commands, that allow them."""
    scenario = told.scenario
    retrace = Retrace(scenario)
    asked, ordered = _asked(retrace.system, events)
    timeouts: Counter[str] = Counter()
    for label in events:
        timer = TIMER.match(label.partition(": ")[2])
        if timer is not None:
            timeouts[f"{timer['kind']}@{timer['node']}"] += 1
    used = Counter(retrace.read(events, told.start).costs)
    commands = tuple(script[:count] for script, count in zip(scenario.asked(), asked, strict=True))
    bounds = {
        "commands": commands,
        "timeouts_max": dict(sorted(timeouts.items())),
        "faults": {fault: used[fault] for fault in FAULTS if used[fault]},
        "ticks_max": used[TICK],
        "orders": tuple(scenario.orders)[:ordered],
    }
    best = told
    for fewer in _fewer_clients(commands, events):
        clients = max(len(fewer[0]), 1)
        low = msgspec.structs.replace(
            scenario, **{**bounds, "commands": fewer[0] or ((),), "clients": clients}
        )
        found = _retold(told, low, fewer[1])
        if found is not None:
            best = found
            break
    return best


def _asked(system: NodeSystem, events: Iterable[str]) -> tuple[list[int], int]:
    """How many commands each client asks for, and how many orders an operator gives."""
    said = Counter(
        label.partition(": ")[0]
        for label in events
        if label.partition(": ")[2].startswith(("asks for its command", "orders "))
    )
    clients = list(system.observer.scripts)  # type: ignore[attr-defined]
    operators = [host.name for host in system.behaviours if isinstance(host, OperatorHost)]
    return [said[id] for id in clients], sum(said[id] for id in operators)


def _fewer_clients(
    commands: tuple[tuple[object, ...], ...], events: Sequence[str]
) -> Iterable[tuple[tuple[tuple[object, ...], ...], Sequence[str]]]:
    """Scripts and events without the clients that ask for nothing, the others renamed; if that is
    another story, only without those after the last that asks."""
    asking = [at for at, script in enumerate(commands) if script]
    names = {f"c{at + 1}": f"c{new + 1}" for new, at in enumerate(asking)}
    renamed = [
        re.sub(r"\bc\d+\b", lambda found: names.get(found[0], found[0]), label) for label in events
    ]
    yield tuple(commands[at] for at in asking), renamed
    last = asking[-1] + 1 if asking else 0
    yield commands[:last], events
    yield commands, events


def _retold(told: C, scenario: Scenario, events: Sequence[str]) -> C | None:
    """The story in another scenario, if it is one there."""
    try:
        retrace = Retrace(scenario)
    except BadInput:
        return None
    if told.start >= len(retrace.starts):
        return None
    ending = retrace.read(events, told.start, strict=True)
    if ending.broken is None or ending.broken[0] != told.property:
        return None
    return msgspec.structs.replace(
        told,
        scenario=scenario,
        events=tuple(event.label for event in ending.events),
        reason=ending.broken[1],
    )


# --- searches -------------------------------------------------------------------------------------


class Only(Model[int]):
    """A system in which one property matters."""

    def __init__(self, system: NodeSystem, property: str) -> None:
        self.name = system.name
        self.system = system
        self.property = property

    def initial(self) -> Iterable[int]:
        return self.system.initial()

    def successors(self, state: int) -> list[int]:
        return self.system.successors(state)

    def steps(self, state: int) -> list[tuple[str, int]]:
        return self.system.steps(state)

    def broken(self, state: int) -> tuple[str, str] | None:
        wrong = self.system.broken(state)
        return wrong if wrong is not None and wrong[0] == self.property else None


def _searched(told: C, scenario: Scenario, events_max: int, end: float) -> C | None:
    """The shortest story within a scenario, if it is found in time and has few enough events."""
    return _sought(told, scenario, events_max, end, 0)


def _walked(told: C, scenario: Scenario, events_max: int, end: float) -> C | None:
    """The shortest of the stories that some walks find."""
    best = None
    for round in range(ROUNDS):
        found = _sought(told, scenario, events_max, end, 1 + round * WALKS)
        if found is not None:
            best, events_max = found, len(found.events) - 1
        elif round and best is None:
            break
    return best


def _sought(told: C, scenario: Scenario, events_max: int, end: float, seed: int) -> C | None:
    """A story of few enough events within a scenario: of walks, or breadth-first with seed 0."""
    left = end - perf_counter()
    if events_max < 1 or left <= 0:
        return None
    try:
        system = scenario.system()
        model = Only(system, told.property)
        if seed:
            found = walk(
                model,
                Budget(left, WALK_STATES_MAX),
                seed=seed,
                walks_max=WALKS,
                pick=system.pick,
                mood=system.mood,
                features=system.features,
            )
        else:
            found = explore(model, "breadth-first", Budget(left, SEARCH_STATES_MAX))
    except (BadInput, TooMany):
        return None
    if found.verdict != "violated":
        return None
    labels = [moment.label for moment in found.trace if moment.label]
    for start in range(len(Retrace(scenario).starts)):
        story = _retold(msgspec.structs.replace(told, start=start), scenario, labels)
        if story is not None:
            story = _shrunk(story)
            return story if len(story.events) <= events_max else None
    return None


def _with_fewer_replicas(told: C, end: float) -> C:
    """The story in the smallest cluster in which it takes no more events."""
    scenario = told.scenario
    if scenario.orders or scenario.spares or not isinstance(scenario.timeouts_max, dict):
        return told  # which name replicas, or it could not be fitted
    anywhere: Counter[str] = Counter()
    for timer, most in scenario.timeouts_max.items():
        anywhere[timer.partition("@")[0]] += most
    for replicas in range(1, scenario.replicas):
        small = msgspec.structs.replace(
            scenario, replicas=replicas, timeouts_max=dict(sorted(anywhere.items()))
        )
        for search in (_walked, _searched):
            found = search(told, small, len(told.events), end)
            if found is not None:
                return found
    return told


__all__ = ["Only", "from_the_beginning", "minimised", "needed"]
