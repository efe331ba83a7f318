"""A decider against the search, and against trying all orders, on small random histories."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from concur.chance import Stream
from concur.histories import History, Operation
from concur.histories.admission import admitted, dropped
from concur.histories.identity import identity
from concur.histories.polynomial import Decider
from concur.histories.search import Search
from concur.histories.timeline import NEVER, Timeline, strict
from tests.histories.polynomial.order_helpers import check_order

Brute = Callable[[History], bool]


class Object(NamedTuple):
    """What a decider gets to see of a history of one object."""

    operations: list[Operation]
    positions: list[int]
    timeline: Timeline


def object_of(history: History, specification: Any) -> Object:
    kept = []
    for op in admitted(history, specification).operations():
        command = specification.command(op.f, op.key, op.value)
        gone = dropped(op)
        if not gone and not (op.type == "info" and specification.read_only(command)):
            kept.append(op)
    return Object(kept, list(range(len(kept))), strict(kept))


def search_says(operations: list[Operation], timeline: Timeline, specification: Any) -> bool:
    commands = [specification.command(op.f, op.key, op.value) for op in operations]
    everything = list(range(len(operations)))
    search = Search(specification, operations, everything, commands, timeline, True)
    return not search.run(10**9, 1e18).anomaly


def agree(
    decider: Decider,
    specification: Any,
    histories: Iterable[History],
    brute: Brute | None = None,
) -> Counter[str]:
    """Every verdict is the search's, every order is one, every core cannot be explained whatever
    became of the others. Counts the verdicts; `brute` is asked about every tenth history. In every
    seventh some results are of another type than they were."""
    answers: Counter[str] = Counter()
    for number, history in enumerate(histories):
        if number % 7 == 0:
            history = disguised(history, Stream(number, "disguised"))
        operations, positions, timeline = object_of(history, specification)
        decision = decider(operations, positions, timeline, specification)
        if decision is None:
            answers["declined, disguised" if number % 7 == 0 else "declined"] += 1
            continue
        valid = not decision.anomaly
        answers["valid" if valid else "invalid"] += 1
        assert valid is search_says(operations, timeline, specification), (number, operations)
        if brute is not None and number % 10 == 0 and not timeline.entangled:
            assert valid is brute(history), (number, operations)
        if valid:
            check_order(operations, positions, timeline, specification, decision.order())
        else:
            assert decision.core, (number, operations)
            for fates in (["forgotten"], ["gone"], ["forgotten", "gone", "kept"]):
                chance = Stream(number, "fates")
                left = without(operations, decision.core, specification, fates, chance)
                assert not search_says(*left, specification), (number, fates, operations, decision)
    return answers


ALIKE: list[tuple[Any, ...]] = [(0, False, "0"), (1, True, "1"), (2, "2")]


def disguised(history: History, chance: Stream) -> History:
    """The same, but that some told 1 where it was True or "1", and the like."""

    def look_alike(value: Any) -> Any:
        if isinstance(value, tuple) and value:
            at = chance.below(len(value))
            return (*value[:at], look_alike(value[at]), *value[at + 1 :])
        for alike in ALIKE:
            if identity(value) in map(identity, alike):
                return chance.choice(alike)
        return value

    operations = [
        msgspec.structs.replace(op, result=look_alike(op.result))
        if op.type == "ok" and op.f in TELLING and chance.chance(0.3)
        else op
        for op in history.operations()
    ]
    return History.of(operations, history.model)


TELLING = ("read", "get", "holder", "contains", "fetch-add")


def without(
    operations: list[Operation],
    core: Iterable[int],
    specification: Any,
    fates: list[str],
    chance: Stream,
) -> tuple[list[Operation], Timeline]:
    """The same, but each that is not in `core` is kept, gone, or its outcome forgotten. (A refused
    compare-and-set, forgotten, could be a write.)"""
    known = set(core)
    timeline = strict(operations)
    kept, calls, returns = [], [], []
    for position, op in enumerate(operations):
        fate = "kept" if position in known else chance.choice(fates)
        if fate == "forgotten" and (
            op.type == "fail"
            or specification.read_only(specification.command(op.f, op.key, op.value))
        ):
            fate = "gone"
        if fate == "gone":
            continue
        if fate == "forgotten":
            op = msgspec.structs.replace(
                op, type="info", result=None, return_ns=None, return_index=None
            )
        kept.append(op)
        calls.append(timeline.calls[position])
        returns.append(NEVER if fate == "forgotten" else timeline.returns[position])
    return kept, Timeline(calls, returns, {}, False)
