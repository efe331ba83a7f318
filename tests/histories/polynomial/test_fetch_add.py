"""The decider of counters agrees with the search, and finds what is planted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from concur.chance import Stream
from concur.histories import History
from concur.histories.models import model
from concur.histories.polynomial.fetch_add import totals
from concur.machines.counter import Counter as CounterMachine
from tests.histories.helpers import Call, history_of
from tests.histories.models.generate import small_history
from tests.histories.models.plain import Plain, counter, valid
from tests.histories.polynomial.agreement import agree, object_of

READS = [("read", None, None)] * 3
CASES: dict[str, tuple[str, Plain]] = {
    "fetch-adds of any amount": (
        "fetch-add",
        Plain(0, counter, [("fetch-add", None, 1 + i % 3) for i in range(7)] + READS),
    ),
    "fetch-adds and adds of one amount": (
        "counter",
        Plain(5, counter, [("fetch-add", None, 2), ("add", None, 2)] * 3 + READS * 2, ("add",),
              False, (("initial", 5),)),
    ),
    "adds": ("counter", Plain(0, counter, [("add", None, 1)] * 6 + READS * 2, ("add",))),
    "anything": (
        "counter",
        Plain(0, counter, [("add", None, 1), ("fetch-add", None, 1), ("fetch-add", None, 3),
                           ("fetch-add", None, 0), ("add", None, 0), *READS] * 2
              + [("add", None, 2), ("fetch-add", None, -1)], ("add",)),
    ),
}  # fmt: skip


def compared(name: str, seeds: range) -> Counter[str]:
    kind, plain = CASES[name]
    initial = dict(plain.arguments)

    def histories() -> Iterator[History]:
        for seed in seeds:
            yield small_history(name, plain, seed)

    return agree(totals, model(kind, **initial), histories(), lambda h: valid(h, plain))


@pytest.mark.parametrize("name", CASES)
def test_totals_agree_with_the_search(name: str) -> None:
    answers = compared(name, range(500))
    assert min(answers["valid"], answers["invalid"]) > 20, answers
    assert (answers["declined"] > 0) is (name in ("fetch-adds of any amount", "anything")), answers


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_totals_agree_with_the_search_on_many(name: str) -> None:
    print(name, dict(compared(name, range(500, 25_500))))


def long_history(chance: Stream, operations: int = 3000, processes: int = 10) -> list[Call]:
    """Fetch-adds, adds and reads, each with the total at some moment within it."""
    spans = []
    clock = [0] * processes
    for number in range(operations):
        slot = chance.below(processes)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + chance.below(40)
        spans.append(((chance.between(start, end), number), slot, start, end))
    total, calls = 0, []
    for _, slot, start, end in sorted(spans):
        f = chance.choice(["read", "add", "fetch-add"])
        result = None if f == "add" else total
        calls.append(Call(slot, f, None, None if f == "read" else 1, start, end, result=result))
        total += f != "read"
    return sorted(calls, key=lambda call: (call.process, call.call, call.end))


def test_bad_total_in_a_long_valid_history_is_found() -> None:
    machine = CounterMachine()
    for seed in range(20):
        chance = Stream(seed, "planted")
        clean = long_history(chance)
        decision = totals(*object_of(history_of(clean), machine), machine)
        assert decision is not None
        assert not decision.anomaly
        told = [i for i, call in enumerate(clean) if call.f != "add" and call.call > 200]
        bad = told[chance.below(len(told))]
        before = sum(call.f != "read" and call.end < clean[bad].call for call in clean)
        spoilt = clean.copy()
        spoilt[bad] = replace(clean[bad], result=before - 1)
        decision = totals(*object_of(history_of(spoilt), machine), machine)
        assert decision is not None
        assert decision.anomaly, seed


def test_totals_decline_what_they_cannot_tell_apart() -> None:
    machine = CounterMachine()

    def declined(*calls: Call) -> bool:
        return totals(*object_of(history_of(list(calls)), machine), machine) is None

    read = Call(9, "read", None, None, 0, 50, result=3)
    one, two = (Call(i, "add", None, i, 0, 10, result=i) for i in (1, 2))
    assert declined(one, two, read)
    assert not declined(one, replace(one, process=5), read)
    assert declined(Call(1, "fetch-add", None, -1, 0, 10, result=0))
    assert declined(Call(1, "fetch-add", None, 1, 0, 10, result=True))


def test_two_fetch_adds_with_the_same_total_contradict_each_other() -> None:
    machine = CounterMachine()
    calls = [Call(i, "fetch-add", None, 1, 10 * i, 10 * i + 5, result=0) for i in range(2)]
    decision = totals(*object_of(history_of(calls), machine), machine)
    assert decision is not None
    assert decision.anomaly == [
        "process 0: fetch-add(1) -> 0, 0s to 0.000000005s (events 0-1)",
        "process 1: fetch-add(1) -> 0, 0.00000001s to 0.000000015s (events 2-3)",
        "  but the total went from 0 to 1 at once, and never down",
    ]
    assert decision.core == [0, 1]
