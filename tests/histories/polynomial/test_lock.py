"""The deciders of locks agree with the search, and find what is planted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from concur.chance import Stream
from concur.histories import History
from concur.histories.models import model
from concur.histories.polynomial.lock import holds
from concur.machines.lock import Lock
from tests.histories.helpers import Call, brute_force, history_of, random_calls
from tests.histories.models.generate import small_history
from tests.histories.models.plain import Plain, lock, valid
from tests.histories.polynomial.agreement import agree, object_of, search_says

TURNS = [("acquire", None, None)] * 7 + [("release", None, None)] * 7
HOLDERS = [("holder", None, None)] * 3
PROCESSES: dict[str, Plain] = {
    "takes and gives": Plain(None, lock, TURNS),
    "takes, gives and holder": Plain(None, lock, TURNS + HOLDERS),
    "held by a process": Plain(1, lock, TURNS + HOLDERS, (), False, (("initial", 1),)),
    "held by somebody else": Plain(
        "a", lock, TURNS[4:] + HOLDERS, (), False, (("initial", "a"),)
    ),
}  # fmt: skip

ASKS = (
    [("acquire", None, owner) for owner in ("a", "a", "b", "b")]
    + [("release", None, (owner, token)) for token in (1, 2, 3) for owner in ("a", "b")]
    + HOLDERS
)
TOKENS: dict[str, tuple[Any, list[Any]]] = {
    "tokens": (Lock(), ASKS),
    "tokens, of one owner": (
        Lock(),
        [("acquire", None, "a")] * 5 + [("release", None, ("a", t)) for t in (1, 1, 2, 2)],
    ),
    "tokens, held at first": (
        model("lock", initial="a"), [*ASKS, ("release", None, ("a", 0)), ("acquire", None, "a")]
    ),
}  # fmt: skip


def histories(name: str, seeds: range) -> Iterator[History]:
    for seed in seeds:
        if name in PROCESSES:
            yield small_history(name, PROCESSES[name], seed)
        else:
            yield with_tokens(name, seed)


def with_tokens(name: str, seed: int) -> History:
    machine, asks = TOKENS[name]
    chance = Stream(seed, name)
    calls = random_calls(
        chance,
        machine,
        asks,
        operations=chance.between(2, 8),
        processes=chance.between(1, 4),
        spread=chance.choice([0, 1, 2, 3, 6]),
        pending=chance.choice([0.0, 0.2, 0.4]),
        wrong=0.0,
    )
    while chance.chance(0.4):
        at = chance.below(len(calls))
        call, other = calls[at], chance.choice(calls)
        if call.type == "ok" and type(call.result) is bool:
            calls[at] = replace(call, result=not call.result)
        elif call.type == other.type == "ok" and call.f == other.f:
            calls[at] = replace(call, result=other.result)
    return history_of(calls, "lock", chance)


def compared(name: str, seeds: range) -> Counter[str]:
    if name in TOKENS:
        machine, _ = TOKENS[name]
        return agree(holds, machine, histories(name, seeds), lambda h: brute_force(h, machine))
    plain = PROCESSES[name]
    found = model("lock", **dict(plain.arguments))
    return agree(holds, found, histories(name, seeds), lambda h: valid(h, plain))


@pytest.mark.parametrize("name", [*PROCESSES, *TOKENS])
def test_holds_agree_with_the_search(name: str) -> None:
    answers = compared(name, range(300))
    assert min(answers["valid"], answers["invalid"]) > 20, answers
    assert answers["declined"] < 100, answers
    assert name in TOKENS or not answers["declined"], answers


@pytest.mark.campaign
@pytest.mark.parametrize("name", [*PROCESSES, *TOKENS])
def test_holds_agree_with_the_search_on_many(name: str) -> None:
    print(name, dict(compared(name, range(300, 16_300))))


def long_history(
    chance: Stream, fencing: bool, operations: int = 3000, processes: int = 10
) -> list[Call]:
    spans = []
    clock = [0] * processes
    for number in range(operations):
        slot = chance.below(processes)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + chance.below(40)
        spans.append(((chance.between(start, end), number), slot, start, end))
    calls: list[Call] = []
    holder, token = -1, 0
    for _, slot, start, end in sorted(spans):
        f = chance.choice(["acquire", "holder"])
        if holder == slot and chance.chance(0.8):
            f = "release"
        value: Any = None
        result: Any
        if f == "holder":
            result = None if holder < 0 else (str(holder), token) if fencing else holder
        elif f == "acquire":
            granted = holder < 0
            if granted:
                holder, token = slot, token + 1
            value = str(slot) if fencing else None
            result = granted if not fencing else token if granted else None
        else:
            holder, result = -1, True
            value = (str(slot), token) if fencing else None
        calls.append(Call(slot, f, None, value, start, end, result=result))
    return sorted(calls, key=lambda call: (call.process, call.call, call.end))


@pytest.mark.parametrize("fencing", [True, False], ids=["tokens", "owners"])
def test_bad_result_in_a_long_valid_history_is_found(fencing: bool) -> None:
    specification = Lock() if fencing else model("lock")
    for seed in range(20):
        chance = Stream(seed, "planted")
        clean = long_history(chance, fencing)
        decision = holds(*object_of(history_of(clean), specification), specification)
        assert decision is not None
        assert not decision.anomaly
        told = [
            i for i, c in enumerate(clean) if c.f == "holder" and c.result is not None
            and c.call > 400
        ]  # fmt: skip
        spoilt = clean.copy()
        bad = chance.choice(told)
        early = [clean[i].result for i in told if clean[i].end < clean[bad].call - 300]
        if fencing:
            spoilt[bad] = replace(clean[bad], result=chance.choice(early or [("0", 10**9)]))
        else:
            spoilt[bad] = replace(clean[bad], result=99)
        decision = holds(*object_of(history_of(spoilt), specification), specification)
        assert decision is not None
        assert decision.anomaly, seed


def test_two_processes_that_hold_a_lock_at_once_are_found() -> None:
    specification = model("lock")
    calls = [Call(i, "acquire", None, None, 10 * i, 10 * i + 5) for i in range(2)]
    decision = holds(*object_of(history_of(calls), specification), specification)
    assert decision is not None
    assert decision.anomaly == [
        "process 0: acquire(0) -> True, 0s to 0.000000005s (events 0-1)",
        "process 1: acquire(1) -> True, 0.00000001s to 0.000000015s (events 2-3)",
        "  but the former did not give it back",
    ]


def test_who_holds_it_twice_is_told_in_three_lines() -> None:
    specification = model("lock")
    turns = [
        Call(0, f, None, None, 20 * i + 10 * late, 20 * i + 10 * late + 5)
        for i in range(100)
        for late, f in enumerate(("acquire", "release"))
    ]
    again = [Call(0, "acquire", None, None, 5000 + i, 5000 + i) for i in range(2)]
    found = object_of(history_of([*turns, *again]), specification)
    decision = holds(*found, specification)
    assert decision is not None
    assert len(decision.anomaly) == 3
    assert len(decision.core) == 202


@pytest.mark.parametrize(("initial", "told"), [(1, True), (0, False), (1, "1"), ("1", 1)])
def test_holder_is_no_look_alike(initial: Any, told: Any) -> None:
    specification = model("lock", initial=initial)
    for seen in (told, initial):
        calls = [Call(0, "holder", None, None, 0, 1, result=seen)]
        found = object_of(history_of(calls), specification)
        decision = holds(*found, specification)
        assert search_says(found.operations, found.timeline, specification) is (seen is initial)
        assert decision is None or bool(decision.anomaly) is (seen is not initial)


def test_holds_decline_an_owner_that_does_two_things_at_once() -> None:
    specification = model("lock")
    calls = [Call(i, "acquire", None, 7, 0, 10, result=i == 0) for i in range(2)]
    assert holds(*object_of(history_of(calls), specification), specification) is None
