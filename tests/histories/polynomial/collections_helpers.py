"""Random histories of queues, stacks and priority queues, right ones and ones with lies in them,
and what their deciders have to stand up to."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from time import perf_counter
from typing import Any

import msgspec

from concur.chance import Stream
from concur.histories import History, Operation, Specification
from concur.histories.lookahead import PROSPECTS
from concur.histories.models.priority_queue import PriorityQueueModel
from concur.histories.models.queue import QueueModel
from concur.histories.models.stack import StackModel
from concur.histories.polynomial import Decider
from concur.histories.polynomial.priority_queue import priority_queue
from concur.histories.polynomial.queue import queue
from concur.histories.polynomial.stack import stack
from concur.histories.search import OutOfBudget, Search
from concur.histories.timeline import NEVER, Timeline
from concur.machines.queue import Queue
from tests.histories.helpers import Call, brute_force, history_of
from tests.histories.polynomial.agreement import object_of
from tests.histories.polynomial.order_helpers import check_order

FORGOTTEN_MAX = 6
"""So many operations a history may have for what it says without the rest to be searched."""
SEARCH_S = 2.0
"""Past so many seconds of search (for many operations without an outcome) nothing is compared."""


@dataclass(frozen=True)
class Kind:
    """One type of collection, in the words of its model."""

    name: str
    model: Any
    insert: str
    remove: str
    peek: str
    decider: Decider


QUEUE = Kind("queue", QueueModel, "enqueue", "dequeue", "peek", queue)
STACK = Kind("stack", StackModel, "push", "pop", "peek", stack)
PRIORITY_QUEUE = Kind(
    "priority-queue", PriorityQueueModel, "insert", "delete-min", "find-min", priority_queue
)


def small_history(kind: Kind, machine: Specification, seed: int, unique: bool = True) -> History:
    """Two to sixteen operations; in half of them some outcomes are others than they were."""
    chance = Stream(seed, kind.name)
    size = chance.choice([5, 7, 9, 16])
    processes, spread = chance.between(1, 5), chance.choice([0, 1, 2, 3, 6, 12])
    pending, peeks = chance.choice([0.0, 0.0, 0.15, 0.4]), chance.choice([0.0, 0.0, 0.2, 0.4])
    clock, number = [chance.below(spread + 1) for _ in range(processes)], list(range(processes))
    values = chance.shuffled(range(100, 100 + size)) if unique else [1, 2, 3] * size
    if unique and seed % 3 == 0:
        values[:5] = [1, True, "1", 0, False]
    made = []
    for value in values[: chance.between(2, size)]:
        slot = chance.below(processes)
        start = clock[slot] + chance.below(spread + 1) * chance.below(2)
        clock[slot] = end = start + chance.below(spread + 1)
        f = kind.peek if chance.chance(peeks) else kind.remove
        call = Call(number[slot], f, None, None, start, end)
        if chance.chance(0.5):
            call = replace(call, f=kind.insert, value=value)
        if chance.chance(pending):
            call = replace(call, type=chance.choice(["info", "open"]))
            number[slot] += processes
        made.append(((chance.between(start, end), chance.below(1 << 20)), call))
    state, told = machine.initial(), []
    for _, call in sorted(made, key=lambda pair: pair[0]):
        if call.type == "ok" or chance.chance(0.5):
            command = machine.command(call.f, call.key, call.value)
            state, result = machine.apply(state, command)
            if call.type == "ok":
                call = replace(call, result=machine.completion(command, result)[1])
        told.append(call)
    heard = [i for i, call in enumerate(told) if call.f != kind.insert and call.type == "ok"]
    while heard and chance.chance(0.45):
        one, other = chance.choice(heard), chance.choice(heard)
        first, second = told[one].result, told[other].result
        if chance.chance(0.5):
            lie = chance.choice(told)
            told[one] = replace(told[one], result=lie.value if lie.value else lie.result)
        else:
            told[one] = replace(told[one], result=second)
            told[other] = replace(told[other], result=first)
    told.sort(key=lambda c: (c.process, c.type != "ok", c.call, c.end))
    return history_of(told, machine.name, chance)


def searched(
    specification: Any, operations: list[Operation], positions: list[int], timeline: Timeline
) -> bool:
    commands = [specification.command(op.f, op.key, op.value) for op in operations]
    search = Search(specification, operations, positions, commands, timeline, True)
    if isinstance(specification, QueueModel) and not specification.start:
        search = Search(
            specification, operations, positions, commands, timeline, True, None, PROSPECTS[Queue]
        )
    return not search.run(10**9, perf_counter() + SEARCH_S).anomaly


def compare(kind: Kind, seeds: range) -> Counter[str]:
    """Verdicts are the search's, and with few operations those of trying all orders; an order is
    one; a core contradicts itself alone, and whatever the outcomes of the others were."""
    answers: Counter[str] = Counter()
    for seed in seeds:
        start: tuple[Any, ...] = ((), (), (), (10,), (10, 11))[seed % 5]
        machine = kind.model(initial=start)
        unique = seed % 11 > 0
        history = small_history(kind, machine, seed, unique)
        operations, positions, timeline = object_of(history, machine)
        decision = kind.decider(operations, positions, timeline, machine)
        lost = any(op.type == "info" and op.f == kind.remove for op in operations)
        if decision is None:
            assert lost or not unique, (seed, operations)
            answers["declined" if unique else "declined, values repeated"] += 1
            continue
        valid = not decision.anomaly
        try:
            assert searched(machine, operations, positions, timeline) is valid, seed
        except OutOfBudget:
            answers["not compared"] += 1
            continue
        if len(operations) < 6 and not timeline.entangled:
            assert brute_force(history, machine) is valid, seed
        answers[f"{'valid' if valid else 'invalid'}{', lost removals' if lost else ''}"] += 1
        if valid:
            check_order(operations, positions, timeline, machine, decision.order())
        else:
            core = sorted(set(decision.core))
            assert not searched(machine, operations, core, timeline), seed
            if len(operations) <= FORGOTTEN_MAX:
                with suppress(OutOfBudget):
                    check_core(kind, machine, operations, core, timeline)
                    answers["cores"] += 1
    return answers


def check_core(
    kind: Kind, machine: Any, operations: list[Operation], core: list[int], timeline: Timeline
) -> None:
    known = set(core)
    forgotten = [
        op if p in known else msgspec.structs.replace(op, type="info", result=None, return_ns=None)
        for p, op in enumerate(operations)
    ]
    positions = [p for p, op in enumerate(operations) if p in known or op.f != kind.peek]
    returns = [back if p in known else NEVER for p, back in enumerate(timeline.returns)]
    later = Timeline(timeline.calls, returns, timeline.before, timeline.entangled)
    assert not searched(machine, forgotten, positions, later), (operations, core)


def long_calls(kind: Kind, seed: int, operations: int, clients: int, pending: float) -> list[Call]:
    """What a right collection does, with slightly more insertions than removals."""
    chance = Stream(seed, "long", kind.name)
    clock, number = [chance.below(40) for _ in range(clients)], list(range(clients))
    made = []
    for value in range(operations):
        slot = chance.below(clients)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + 1 + chance.below(40)
        call = Call(number[slot], kind.remove, None, None, start, end)
        if chance.chance(0.53):
            call = replace(call, f=kind.insert, value=value)
        if chance.chance(pending):
            call = replace(call, type="info")
            number[slot] += clients
        made.append(((chance.between(start, end), chance.below(1 << 20)), call))
    held: list[int] = []
    told = []
    for _, call in sorted(made, key=lambda pair: pair[0]):
        if call.type == "ok" or chance.chance(0.5):
            result = None
            if call.value is not None and kind.name == "priority-queue":
                heappush(held, call.value)
            elif call.value is not None:
                held.append(call.value)
            elif held and kind.name == "priority-queue":
                result = heappop(held)
            elif held:
                result = held.pop(0 if kind.name == "queue" else -1)
            call = replace(call, result=result if call.type == "ok" else None)
        told.append(call)
    return told


def plant(kind: Kind, calls: list[Call], seed: int) -> list[Call]:
    """The same with a result that nothing can explain: one of two removals that came after one
    another told what the other should have, or found nothing although a value was there."""
    chance = Stream(seed, "plant", kind.name)
    inserted = {c.value: c for c in calls if c.f == kind.insert}
    removals = [
        i for i, c in enumerate(calls) if c.f == kind.remove and c.type == "ok" and c.result
    ]
    while True:
        one = chance.choice(removals)
        a = calls[one]
        near = [i for i in removals if a.end < calls[i].call < a.end + 2000]
        if not near:
            continue
        other = chance.choice(near)
        b = calls[other]
        insert_a, insert_b = inserted[a.result], inserted[b.result]
        if insert_b.type != "ok" or insert_b.end >= a.call:
            continue
        spoilt = calls.copy()
        if chance.chance(0.3):
            spoilt[one] = replace(a, result=None)
            return spoilt
        wrong = kind.name == "priority-queue"
        wrong |= kind.name == "queue" and insert_a.end < insert_b.call and insert_a.type == "ok"
        wrong |= (
            kind.name == "stack"
            and insert_b.end < insert_a.call
            and (insert_a.type == "ok" and insert_a.end < a.call)
        )
        if wrong:
            spoilt[one], spoilt[other] = replace(a, result=b.result), replace(b, result=a.result)
            return spoilt


def judge(kind: Kind, calls: list[Call]) -> bool | None:
    """What the decider says; an order is replayed."""
    ordered = sorted(calls, key=lambda c: (c.process, c.type != "ok", c.call, c.end))
    machine = kind.model()
    operations, positions, timeline = object_of(history_of(ordered), machine)
    decision = kind.decider(operations, positions, timeline, machine)
    if decision is None:
        return None
    if not decision.anomaly:
        check_order(operations, positions, timeline, machine, decision.order())
    return not decision.anomaly
