"""A decider against the search, and against trying all orders, on small random histories."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from concur.histories import History, Operation
from concur.histories.admission import admitted, dropped
from concur.histories.polynomial import Decider
from concur.histories.search import Search
from concur.histories.timeline import Timeline, strict
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
        gone = dropped(op.type, op.error)
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
    became of the others. Counts the verdicts; `brute` is asked about every tenth history."""
    answers: Counter[str] = Counter()
    for number, history in enumerate(histories):
        operations, positions, timeline = object_of(history, specification)
        decision = decider(operations, positions, timeline, specification)
        if decision is None:
            answers["declined"] += 1
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
            forgotten = forget(operations, decision.core, specification)
            assert not search_says(*forgotten, specification), (number, operations, decision)
    return answers


def forget(
    operations: list[Operation], core: Iterable[int], specification: Any
) -> tuple[list[Operation], Timeline]:
    """The same, with the outcomes of all that are not in `core` unknown."""
    known = set(core)
    timeline = strict(operations)
    kept, calls, returns = [], [], []
    for position, op in enumerate(operations):
        if position in known:
            kept.append(op)
        elif op.type == "fail" or specification.read_only(
            specification.command(op.f, op.key, op.value)
        ):
            continue
        else:
            kept.append(
                msgspec.structs.replace(
                    op, type="info", result=None, return_ns=None, return_index=None
                )
            )
        calls.append(timeline.calls[position])
        returns.append(timeline.returns[position] if kept[-1].type != "info" else 1 << 62)
    return kept, Timeline(calls, returns, {}, False)
