"""The decider of compare-and-set agrees with the search, and finds what is planted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from concur.chance import Stream
from concur.histories import History
from concur.histories.admission import admitted
from concur.histories.models import model
from concur.histories.polynomial.base import SHOWN_MAX
from concur.histories.polynomial.cas_register import blocks
from concur.machines.kv import KeyValue
from concur.machines.register import Register
from tests.histories.helpers import Call, brute_force, history_of, random_calls
from tests.histories.polynomial.agreement import agree, object_of
from tests.histories.polynomial.order_helpers import check_order

READS = [("read", None, None)] * 4
CHAIN = [("cas", None, (i, i + 1)) for i in range(1, 6)]
CASES: dict[str, tuple[Any, list[Any]]] = {
    "chains": (
        Register(), [("write", None, 1), ("write", None, 4), *CHAIN[:2], *CHAIN[3:], *READS]
    ),
    "chain from the initial value": (
        model("cas-register", initial=1), [*CHAIN, *CHAIN[:2], ("write", None, 9), *READS]
    ),
    "branches": (
        model("cas-register", initial=0),
        [("cas", None, (i, 10 + i)) for i in (0, 1, 2)]
        + [("cas", None, (i, 20 + i)) for i in (0, 1, 2)]
        + [("cas", None, (10, 30)), ("write", None, 1), ("write", None, 2), *READS],
    ),
    "evidence": (
        model("register", initial=0, failed_cas="evidence"),
        [("cas", None, (i, 10 + i)) for i in (0, 1, 1, 2, 2, 3, 3)]
        + [("write", None, i) for i in (1, 2, 3)]
        + READS[:2],
    ),
    "refusals": (
        model("register", initial=0, failed_cas="evidence"),
        [("write", None, i) for i in (1, 2, 3, 4)]
        + [("cas", None, (i % 4, 100 + i)) for i in range(8)]
        + READS[:1],
    ),
    "key": (
        KeyValue(),
        [("put", "x", i) for i in (1, 2)]
        + [("cas", "x", (None, 3)), ("cas", "x", (1, 4)), ("cas", "x", (4, 5)),
           ("delete", "x", None), ("cas", "x", (2, 2)), ("cas", "x", (True, 6))]
        + [("get", "x", None)] * 4,
    ),
    "look-alikes": (
        model("register", initial=True),
        [("write", None, v) for v in (1, "1", 0, False)]
        + [("cas", None, (old, new)) for old, new in ((True, 2), (1, "2"), ("1", 3), (0, 4))]
        + READS,
    ),
    "repeated values": (
        Register(),
        [("write", None, i % 3) for i in range(4)]
        + [("cas", None, (i, (i + 1) % 3)) for i in range(3)]
        + READS,
    ),
}  # fmt: skip


def history(name: str, seed: int) -> History:
    machine, asks = CASES[name]
    chance = Stream(seed, name)
    calls = random_calls(
        chance,
        machine,
        asks,
        operations=chance.between(2, 12 if name == "refusals" else 8),
        processes=chance.between(1, 5),
        spread=chance.choice([0, 1, 2, 3, 6]),
        pending=chance.choice([0.0, 0.2, 0.4]),
        wrong=0.4,
    )
    calls = [
        replace(call, error="overloaded") if call.error == "mismatch" and drop else call
        for call in calls
        for drop in [name not in ("evidence", "refusals") and chance.chance(0.7)]
    ]
    return history_of(calls, machine.name, chance)


def compared(name: str, seeds: range) -> Counter[str]:
    def histories() -> Iterator[History]:
        for seed in seeds:
            yield history(name, seed)

    machine, _ = CASES[name]

    def brute(found: History) -> bool:
        return brute_force(admitted(found, machine), machine)

    return agree(blocks, machine, histories(), brute)


@pytest.mark.parametrize("name", CASES)
def test_blocks_agree_with_the_search(name: str) -> None:
    answers = compared(name, range(400))
    assert min(answers["valid"], answers["invalid"]) > 20, answers
    assert answers["declined"] < 120, answers


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_blocks_agree_with_the_search_on_many(name: str) -> None:
    print(name, dict(compared(name, range(400, 20_400))))


def long_history(
    chance: Stream, operations: int = 3000, processes: int = 10, evidence: bool = True
) -> list[Call]:
    """Reads, writes, and compare-and-sets of which about half are refused."""
    spans = []
    clock = [0] * processes
    for number in range(operations):
        slot = chance.below(processes)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + chance.below(40)
        spans.append(((chance.between(start, end), number), slot, start, end))
    state: int | None = None
    past: list[int | None] = [None]
    calls = []
    for number, (_, slot, start, end) in enumerate(sorted(spans)):
        f = chance.choice(["read", "read", "write", "cas", "cas"])
        if f == "read":
            calls.append(Call(slot, f, None, None, start, end, result=state))
            continue
        new = number + 1
        if f == "write":
            calls.append(Call(slot, f, None, new, start, end, result=new))
        else:
            old = past[-1 - chance.below(min(2, len(past)))]
            done = old == state
            type_, error = ("ok", None) if done else ("fail", "mismatch" if evidence else "no")
            calls.append(Call(slot, f, None, (old, new), start, end, type_, (old, new), error))
            if not done:
                continue
        state = new
        past.append(new)
    return sorted(calls, key=lambda call: (call.process, call.call, call.end))


def test_bad_result_in_a_long_valid_history_is_found() -> None:
    specification = Register()
    for seed in range(20):
        chance = Stream(seed, "planted")
        clean = long_history(chance, evidence=seed % 2 == 0)
        found = object_of(history_of(clean), specification)
        decision = blocks(*found, specification)
        assert decision is not None
        assert not decision.anomaly
        check_order(*found, specification, decision.order())
        spoilt = clean.copy()
        at = chance.choice([i for i, c in enumerate(clean) if c.f != "write" and c.call > 400])
        call = clean[at]
        early = chance.choice(
            [c.result for c in clean if c.f == "read" and c.end < call.call - 300]
        )
        if call.f == "read":
            spoilt[at] = replace(call, result=early)
        else:
            told = (early, call.value[1])
            spoilt[at] = replace(call, type="ok", error=None, value=told, result=told)
        decision = blocks(*object_of(history_of(spoilt), specification), specification)
        assert decision is not None
        assert decision.anomaly, seed


def test_blocks_decline_a_value_that_was_seen_and_written_twice() -> None:
    specification = Register()
    writes = [Call(i, "write", None, 1, 0, 10, result=1) for i in range(2)]
    compare = Call(3, "cas", None, (1, 2), 5, 15, "ok", (1, 2))

    def declined(*calls: Call) -> bool:
        return blocks(*object_of(history_of(list(calls)), specification), specification) is None

    assert not declined(*writes)
    assert not declined(writes[0], compare)
    assert declined(*writes, compare)
    assert declined(*writes, replace(compare, type="fail", error="mismatch"))


@pytest.mark.campaign
def test_order_is_found_for_long_histories_with_refusals() -> None:
    specification = Register()
    for seed in range(100):
        clean = long_history(Stream(seed, "long"), 5000, 3 + seed % 20)
        found = object_of(history_of(clean), specification)
        decision = blocks(*found, specification)
        assert decision is not None, seed
        check_order(*found, specification, decision.order())


def test_circle_of_many_compare_and_sets_is_told_in_few_lines() -> None:
    calls = [
        Call(i, "cas", None, (i, (i + 1) % 100), 0, 10 + i, "ok", (i, (i + 1) % 100))
        for i in range(100)
    ]
    lines = explained(*calls)
    assert len(lines) == SHOWN_MAX + 2
    assert lines[-3] == "and so on, 92 more, up to"


def explained(*calls: Call) -> list[str]:
    specification = Register()
    decision = blocks(*object_of(history_of(list(calls)), specification), specification)
    assert decision is not None
    return list(decision.anomaly)


def test_two_compare_and_sets_that_saw_the_same_are_both_named() -> None:
    compare = [Call(i, "cas", None, (None, i), 0, 10, "ok", (None, i)) for i in (1, 2)]
    assert explained(*compare) == [
        "process 1: cas((None, 1)) -> (None, 1), 0s to 0.00000001s (events 0-2)",
        "process 2: cas((None, 2)) -> (None, 2), 0s to 0.00000001s (events 1-3)",
        "  but None was there only once",
    ]


def test_value_that_was_there_all_the_time_cannot_have_differed() -> None:
    write = Call(0, "write", None, 1, 0, 10, result=1)
    refused = Call(1, "cas", None, (1, 2), 20, 30, "fail", (1, 2), "mismatch")
    assert explained(write, refused) == [
        "process 1: cas((1, 2)) -> refused (mismatch), 0.00000002s to 0.00000003s (events 2-3)",
        "  but 1 was there all the time",
        "  process 0: write(1) -> 1, 0s to 0.00000001s (events 0-1)",
    ]
    later = Call(2, "write", None, 3, 25, 60, "info")
    assert explained(write, refused, later) == []
    assert explained(write, refused, replace(later, call=31)) != []
