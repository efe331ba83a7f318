"""The deciders of sets agree with the search, and find what is planted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from concur.chance import Stream
from concur.histories import History
from concur.histories.models import model
from concur.histories.polynomial.set import values
from tests.histories.helpers import Call, history_of
from tests.histories.models.generate import small_history
from tests.histories.models.plain import Plain, in_order, set_, valid
from tests.histories.polynomial.agreement import agree, object_of

BLIND = ("add", "remove")
CONTAINS = [("contains", None, 1)] * 4 + [("contains", None, True)]
ADDS = [("add", None, value) for value in (1, 2, True, "a", 3, 4)]
SCATTERED = ADDS[:3]
READS = [("read", None, None)] * 4
CASES: dict[str, Plain] = {
    "one value, added and removed once": Plain(
        (), set_, [("add", None, 1), ("remove", None, 1), *CONTAINS[:4]] * 2, BLIND
    ),
    "one value, again and again": Plain(
        (), set_, ([("add", None, 1), ("remove", None, 1)] * 2 + CONTAINS[:3]) * 2
    ),
    "few values, initially one": Plain(
        (1,), set_, [(f, None, v) for f in BLIND for v in (1, 2, True)] * 2 + CONTAINS, BLIND,
        False, (("initial", [1]),)
    ),
    "reads of a set that grows": Plain((), set_, ADDS + READS * 2, BLIND),
    "reads and contains, initially two": Plain(
        in_order((1, "b")), set_, [*ADDS[1:], *READS, *CONTAINS, ("contains", None, 2)], BLIND,
        False, (("initial", ["b", 1]),)
    ),
    "many reads at once": Plain((), set_, SCATTERED + READS * 2, BLIND),
    "anything": Plain(
        (), set_, [*ADDS, *ADDS, *READS, *CONTAINS, ("remove", None, 1), ("remove", None, 2)], BLIND
    ),
}  # fmt: skip
NEVER_DECLINED = (
    "one value, again and again",
    "reads of a set that grows",
    "many reads at once",
)


def compared(name: str, seeds: range) -> Counter[str]:
    plain = CASES[name]

    def histories() -> Iterator[History]:
        for seed in seeds:
            history = small_history(name, plain, seed)
            yield scattered(history, seed) if name == "many reads at once" else history

    found = model("set", **dict(plain.arguments))
    return agree(values, found, histories(), lambda h: valid(h, plain))


def scattered(history: History, seed: int) -> History:
    """The same, but each read tells some of the values, and most operations overlap."""
    chance = Stream(seed, "scattered")
    calls = []
    for number, op in enumerate(history.operations()):
        result = op.result
        if op.f == "read" and op.type == "ok":
            result = tuple(v for _, _, v in SCATTERED if chance.chance(0.5))
        start = chance.below(20)
        end = start + chance.choice([2, 5, 20, 20])
        calls.append(Call(number, op.f, None, op.value, start, end, op.type, result, op.error))
    return history_of(calls, history.model, chance)


@pytest.mark.parametrize("name", CASES)
def test_values_agree_with_the_search(name: str) -> None:
    answers = compared(name, range(350))
    assert min(answers["valid"], answers["invalid"]) > 20, answers
    assert answers["declined"] == 0 or name not in NEVER_DECLINED, answers


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_values_agree_with_the_search_on_many(name: str) -> None:
    print(name, dict(compared(name, range(350, 20_350))))


def long_history(
    chance: Stream, whole: bool, operations: int = 3000, processes: int = 10
) -> list[Call]:
    """Reads of a growing set; or adds, removes and contains of which half tell what they did."""
    spans = []
    clock = [0] * processes
    for number in range(operations):
        slot = chance.below(processes)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + chance.below(40)
        spans.append(((chance.between(start, end), number), slot, start, end))
    state: dict[int, None] = {}
    calls, fresh = [], 0
    for _, slot, start, end in sorted(spans):
        if whole:
            f = "read" if chance.chance(0.1) else "add"
        else:
            f = chance.choice(["add", "remove", "contains", "contains"])
        value = None if f == "read" else fresh
        if f == "add":
            fresh += 1
        elif f != "read":
            value = max(0, fresh - 1 - chance.below(20))
        there = value in state
        if f == "read":
            result: object = tuple(state)
        else:
            result = there if f == "contains" else there is (f == "remove")
        if f == "add":
            assert value is not None
            state[value] = None
        elif f == "remove" and there:
            assert value is not None
            del state[value]
        if f == "add" and chance.chance(0.5):
            result = None
        calls.append(Call(slot, f, None, value, start, end, result=result))
    return sorted(calls, key=lambda call: (call.process, call.call, call.end))


@pytest.mark.parametrize("whole", [True, False], ids=["whole reads", "value by value"])
def test_bad_result_in_a_long_valid_history_is_found(whole: bool) -> None:
    specification = model("set")
    for seed in range(12):
        chance = Stream(seed, "planted")
        clean = long_history(chance, whole)
        decision = values(*object_of(history_of(clean), specification), specification)
        assert decision is not None
        assert not decision.anomaly
        added = {call.value: call for call in clean if call.f == "add"}
        removed: dict[object, list[Call]] = {value: [] for value in added}
        for call in clean:
            if call.f == "remove" and call.result:
                removed[call.value].append(call)
        spoilt = clean.copy()
        for at in chance.shuffled(list(range(len(clean)))):
            call = clean[at]
            if call.call < 200:
                continue
            if whole and call.f == "read":  # loses a value that was certainly there
                old = [v for v in call.result if added[v].end < call.call]
                lost = chance.choice(old)
                spoilt[at] = replace(call, result=tuple(v for v in call.result if v != lost))
                break
            if not whole and call.f == "contains":
                made = added.get(call.value)
                if made and made.end < call.call and not removed[call.value]:
                    spoilt[at] = replace(call, result=False)
                    break
        assert spoilt != clean
        decision = values(*object_of(history_of(spoilt), specification), specification)
        assert decision is not None
        assert decision.anomaly, seed


def test_values_decline_what_they_cannot_tell_apart() -> None:
    specification = model("set")

    def declined(*calls: Call) -> bool:
        return values(*object_of(history_of(list(calls)), specification), specification) is None

    adds = [Call(i, "add", None, 1, 0, 10) for i in range(5)]
    read = Call(9, "read", None, None, 0, 50, result=(1,))
    assert declined(*adds)
    assert not declined(*adds[:4])
    assert declined(*adds[:2], read)
    assert not declined(adds[0], read)
    assert declined(adds[0], Call(1, "remove", None, 1, 0, 10), read)


def test_reads_that_contradict_each_other_are_both_named() -> None:
    specification = model("set")
    calls = [
        *(Call(i, "add", None, i, 0, 10) for i in (1, 2)),
        Call(3, "read", None, None, 0, 5, result=(1,)),
        Call(4, "read", None, None, 0, 5, result=(2,)),
    ]
    decision = values(*object_of(history_of(calls), specification), specification)
    assert decision is not None
    assert decision.anomaly == [
        "process 3: read() -> (1,), 0s to 0.000000005s (events 2-4)",
        "process 4: read() -> (2,), 0s to 0.000000005s (events 3-5)",
        "  but the first is without 2, the second without 1",
    ]
    assert len(decision.core) == 2


def test_a_read_of_1_after_a_read_of_true_is_not_the_same() -> None:
    specification = model("set")
    calls = [
        Call(1, "add", None, True, 0, 10),
        Call(2, "read", None, None, 20, 30, result=(True,)),
        Call(3, "read", None, None, 40, 50, result=(1,)),
    ]
    decision = values(*object_of(history_of(calls), specification), specification)
    assert decision is not None
    assert decision.anomaly[-1] == "  but the first is without 1, the second without True"


def test_reads_that_are_named_contradict_each_other_though_another_was_called_later() -> None:
    specification = model("set")
    calls = [
        *(Call(i, "add", None, v, 0, 120) for i, v in enumerate("abc")),
        Call(5, "read", None, None, 100, 110, result=("a",)),
        Call(6, "read", None, None, 5, 120, result=("a", "b")),
        Call(7, "read", None, None, 6, 120, result=("a", "c")),
    ]
    found = object_of(history_of(calls), specification)
    decision = values(*found, specification)
    assert decision is not None
    assert [found.operations[p].result for p in decision.core] == [("a", "b"), ("a", "c")]
