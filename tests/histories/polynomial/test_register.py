"""The decider of reads and writes agrees with the search, and finds what is planted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from concur.chance import Stream
from concur.histories import History
from concur.histories.models import model
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.register import zones
from concur.machines.kv import KeyValue
from concur.machines.register import Register
from tests.histories.helpers import Call, brute_force, history_of, random_calls
from tests.histories.polynomial.agreement import agree, object_of
from tests.histories.polynomial.order_helpers import check_order

READS = [("read", None, None)] * 5
CASES: dict[str, tuple[Any, list[Any]]] = {
    "unique writes": (Register(), [("write", None, i) for i in range(1, 6)] + READS),
    "initial value written again": (
        model("register", initial=1), [("write", None, i) for i in range(5)] + READS
    ),
    "look-alikes": (
        model("register", initial=0),
        [("write", None, v) for v in (1, True, "1", False, "0", "True")] + READS,
    ),
    "repeated values": (Register(), [("write", None, i % 3) for i in range(5)] + READS),
    "key": (
        KeyValue(),
        [("put", "x", v) for v in (1, True, 0, "1")] + [("get", "x", None)] * 5,
    ),
}  # fmt: skip
DECLINED = ("initial value written again", "repeated values")


def history(name: str, seed: int) -> History:
    machine, asks = CASES[name]
    chance = Stream(seed, name)
    calls = random_calls(
        chance,
        machine,
        asks,
        operations=chance.between(2, 8),
        processes=chance.between(1, 5),
        spread=chance.choice([0, 1, 2, 3, 6]),
        pending=chance.choice([0.0, 0.2, 0.4]),
        wrong=0.4,
    )
    return history_of(calls, machine.name, chance)


def compared(name: str, seeds: range) -> Counter[str]:
    def histories() -> Iterator[History]:
        for seed in seeds:
            yield history(name, seed)

    machine, _ = CASES[name]
    return agree(zones, machine, histories(), lambda found: brute_force(found, machine))


def test_it_decides_registers_and_keys() -> None:
    assert zones in DECIDERS[Register].values()
    assert zones in DECIDERS[KeyValue].values()


@pytest.mark.parametrize("name", CASES)
def test_zones_agree_with_the_search(name: str) -> None:
    answers = compared(name, range(400))
    assert min(answers["valid"], answers["invalid"]) > 20, answers
    assert (answers["declined"] > 0) is (name in DECLINED), answers


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_zones_agree_with_the_search_on_many(name: str) -> None:
    print(name, dict(compared(name, range(400, 20_400))))


def long_history(chance: Stream, operations: int = 3000, processes: int = 10) -> list[Call]:
    """Reads and writes; some writes nobody heard of again, of which half took effect."""
    spans = []
    clock = [0] * processes
    for number in range(operations):
        slot = chance.below(processes)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + chance.below(40)
        spans.append(((chance.between(start, end), number), slot, start, end))
    value, calls = None, []
    for (_, number), slot, start, end in sorted(spans):
        if chance.chance(0.5):
            calls.append(Call(slot, "read", None, None, start, end, result=value))
            continue
        lost = chance.chance(0.02)
        process, type_ = (processes + number, "info") if lost else (slot, "ok")
        calls.append(Call(process, "write", None, number, start, end, type_))
        if not lost or chance.chance(0.5):
            value = number
    return sorted(calls, key=lambda call: (call.process, call.call, call.end))


def test_bad_read_in_a_long_valid_history_is_found() -> None:
    specification = Register()
    for seed in range(20):
        chance = Stream(seed, "planted")
        clean = long_history(chance)
        found = object_of(history_of(clean), specification)
        decision = zones(*found, specification)
        assert decision is not None
        assert not decision.anomaly
        check_order(*found, specification, decision.order())
        reads = [i for i, call in enumerate(clean) if call.f == "read" and call.call > 400]
        bad = chance.choice(reads)
        gone = [c.result for c in clean if c.f == "read" and c.end < clean[bad].call - 300]
        spoilt = clean.copy()
        spoilt[bad] = replace(clean[bad], result=chance.choice(gone))
        decision = zones(*object_of(history_of(spoilt), specification), specification)
        assert decision is not None
        assert decision.anomaly, seed


def test_zones_decline_what_they_cannot_tell_apart() -> None:
    specification = Register()

    def declined(*calls: Call) -> bool:
        return zones(*object_of(history_of(list(calls)), specification), specification) is None

    writes = [Call(i, "write", None, 1, 0, 10) for i in range(2)]
    read = Call(3, "read", None, None, 20, 30, result=1)
    assert not declined(*writes)
    assert not declined(writes[0], read)
    assert declined(*writes, read)
    assert declined(writes[0], Call(0, "write", None, None, 20, 30), replace(read, result=None))
    assert declined(writes[0], Call(2, "cas", None, (1, 2), 20, 30, result=(1, 2)))


def test_two_values_of_which_each_was_there_before_the_other() -> None:
    specification = Register()
    calls = [
        Call(0, "write", None, 1, 0, 10),
        Call(0, "write", None, 2, 20, 30),
        Call(1, "read", None, None, 40, 50, result=1),
    ]
    decision = zones(*object_of(history_of(calls), specification), specification)
    assert decision is not None
    assert decision.anomaly == [
        "1 came before 2, since the first of these ended before the second began:",
        "  process 0: write(1) -> ok, 0s to 0.00000001s (events 0-1)",
        "  process 0: write(2) -> ok, 0.00000002s to 0.00000003s (events 2-3)",
        "2 came before 1, since the first of these ended before the second began:",
        "  process 0: write(2) -> ok, 0.00000002s to 0.00000003s (events 2-3)",
        "  process 1: read() -> 1, 0.00000004s to 0.00000005s (events 4-5)",
        "1 was there only once, written by event 0",
        "2 was there only once, written by event 2",
    ]
    assert decision.core == [0, 1, 2]
