"""The checkers agree with trying everything, and find what is planted."""

import importlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import History, check
from concur.histories.certificate import verify
from concur.histories.polynomial.register import zones
from concur.histories.product import Product
from concur.histories.search import Search
from concur.histories.timeline import strict
from concur.machines.counter import Counter
from concur.machines.kv import KeyValue
from concur.machines.queue import Queue
from concur.machines.register import Register
from tests.histories.helpers import Call, brute_force, history_of, random_calls

KEYS = ("x", "y")
GETS = [("get", key, None) for key in KEYS] * 6
UPDATES = (
    [("put", key, i % 2) for key in KEYS for i in range(3)]
    + [("cas", key, (i, 1 - i)) for key in KEYS for i in (0, 1)]
    + [("append", key, "a") for key in KEYS]
    + [("put", "x", "s"), ("put", "x", True), ("put", "y", None), ("delete", "x", None)]
)
CASES: dict[str, tuple[Any, list[Any]]] = {
    "kv, unique writes": (KeyValue(), [("put", k, i) for i, k in enumerate(KEYS * 4, 1)] + GETS),
    "kv, repeated writes": (
        KeyValue(),
        [("put", "x", i % 3) for i in range(6)]
        + [("put", "x", True), ("put", "x", None)]
        + [("get", "x", None)] * 8,
    ),
    "kv, key by key": (KeyValue(), UPDATES + GETS[:8]),
    "kv, with scans": (KeyValue(), [*UPDATES, *[("scan", None, ("", 5))] * 2, *GETS[:8]]),
    "kv, unique appends": (
        KeyValue(),
        [("append", "x", a) for a in ("a", "b", "ab", "c", "", b"d", "e")]
        + [("put", "x", "a"), ("put", "x", 3), ("cas", "x", ("a", "cd")), ("delete", "x", None)]
        + [("get", "x", None)] * 6,
    ),
    "register": (
        Register(),
        [("write", None, i % 3) for i in range(5)]
        + [("cas", None, (i, (i + 1) % 3)) for i in range(3)] * 2
        + [("read", None, None)] * 6,
    ),
    "counter": (
        Counter(),
        [("add", None, 1)] * 4
        + [("add", None, 2)] * 2
        + [("fetch-add", None, 1)] * 4
        + [("read", None, None)] * 6,
    ),
    "queue, unique values": (
        Queue(),
        [("enqueue", None, value) for value in (1, 2, 3, True, "1", "a")]
        + [("dequeue", None, None)] * 6
        + [("peek", None, None)] * 2
        + [("length", None, None)],
    ),
    "queue, repeated values": (
        Queue(),
        [("enqueue", key, i % 3) for key in KEYS for i in range(4)]
        + [("dequeue", key, None) for key in KEYS] * 4,
    ),
}
ONLY_SEARCHED = ("counter", "queue, unique values", "queue, repeated values")


def small_history(name: str, seed: int) -> History:
    machine, asks = CASES[name]
    chance = Stream(seed, name)
    calls = random_calls(
        chance,
        machine,
        asks,
        operations=chance.between(2, 9),
        processes=chance.between(1, 6),
        spread=chance.choice([0, 1, 2, 3, 6]),
        pending=chance.choice([0.0, 0.2, 0.5]),
        wrong=0.6,
    )
    return history_of(calls, machine.name, chance)


@pytest.mark.parametrize("name", CASES)
def test_check_agrees_with_trying_everything(name: str) -> None:
    machine, _ = CASES[name]
    answers = set()
    for seed in range(1500):
        history = small_history(name, seed)
        valid = brute_force(history, machine)
        verdict = check(history, machine, budget_s=1e9, certificate=True)
        assert verdict.valid is valid, (seed, str(verdict), history.operations())
        assert bool(verdict.anomaly) is not valid
        if verdict.certificate is not None:
            assert verify(history, machine, verdict.certificate) == []
        assert (verdict.certificate is not None) is valid
        answers.add((valid, verdict.algorithm))
    assert {valid for valid, _ in answers} == {True, False}
    assert name in ONLY_SEARCHED or any("zones" in algorithm for _, algorithm in answers)
    unique = name in ("kv, unique writes", "queue, unique values")
    assert unique or any("search" in algorithm for _, algorithm in answers)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(CASES)), seed=st.integers(10_000, 1 << 40))
def test_check_agrees_with_trying_everything_on_any_seed(name: str, seed: int) -> None:
    history = small_history(name, seed)
    machine, _ = CASES[name]
    assert check(history, machine, budget_s=1e9).valid is brute_force(history, machine)


calls_of_hypothesis = st.lists(
    st.tuples(
        st.integers(0, 3),  # process
        st.sampled_from(["read", "write", "cas"]),
        st.integers(0, 2),  # value
        st.integers(0, 3),  # gap
        st.integers(0, 4),  # duration
        st.sampled_from(["ok", "ok", "ok", "mismatch", "info", "open"]),
    ),
    max_size=7,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(drawn=calls_of_hypothesis)
def test_check_agrees_with_trying_everything_on_made_up_outcomes(drawn: list[Any]) -> None:
    calls, clock, number, fresh = [], [0] * 4, list(range(4)), 4
    for slot, f, value, gap, duration, type_ in drawn:
        start = clock[slot] + gap
        clock[slot] = start + duration
        error = None
        if type_ == "mismatch":
            type_, error = ("fail", "mismatch") if f == "cas" else ("ok", None)
        asked = (value, (value + 1) % 3) if f == "cas" else None if f == "read" else value
        told = value if f == "read" and type_ == "ok" else asked
        calls.append(
            Call(number[slot], f, None, asked, start, clock[slot], type_, told, error=error)
        )
        if type_ in ("info", "open"):
            number[slot], fresh = fresh, fresh + 1
    history = history_of(calls)
    assert check(history, Register(), budget_s=1e9).valid is brute_force(history, Register())


def test_zones_and_search_agree_on_unique_writes() -> None:
    machine = Register()
    asks = [("write", None, i) for i in range(20)] + [("read", None, None)] * 40
    answers = set()
    for seed in range(300):
        chance = Stream(seed, "both")
        calls = random_calls(chance, machine, asks, 40, 5, spread=20, pending=0.1, wrong=0.5)
        operations = [
            op
            for op in history_of(calls, chance=chance).operations()
            if op.type == "ok" or (op.type == "info" and op.f == "write")
        ]
        everything = list(range(len(operations)))
        commands = [machine.command(op.f, op.key, op.value) for op in operations]
        timeline = strict(operations)
        found = zones(operations, everything, timeline, machine)
        assert found is not None
        search = Search(machine, operations, everything, commands, timeline, False)
        assert bool(search.run(10**9, 1e18).anomaly) is bool(found.anomaly), seed
        answers.add(bool(found.anomaly))
    assert answers == {True, False}


def test_zones_decline_if_a_value_that_was_read_was_written_twice() -> None:
    read = Call(1, "read", None, None, 30, 40, result=1)
    twice = [Call(0, "write", None, 1, 0, 10, result=1), Call(0, "write", None, 1, 20, 25)]
    assert check(history_of(twice), Register()).algorithm == "zones"
    assert check(history_of([*twice, read]), Register()).algorithm == "search"


def test_initial_value_written_again_is_no_unique_write() -> None:
    calls = [
        Call(0, "write", None, 1, 0, 10),
        Call(0, "write", None, None, 20, 30),
        Call(1, "read", None, None, 40, 50, result=None),
    ]
    verdict = check(history_of(calls), Register())
    assert (verdict.valid, verdict.algorithm) == (True, "search")


@pytest.mark.parametrize("values", [None, 5], ids=["unique writes", "repeated writes"])
def test_bad_read_in_a_long_valid_history_is_found(values: int | None) -> None:
    for seed in range(20):
        chance = Stream(seed, "planted")
        clean = long_register_history(chance, values)
        assert check(history_of(clean), Register(), budget_s=1e9).valid is True
        reads = [i for i, call in enumerate(clean) if call.f == "read"]
        bad = reads[chance.below(len(reads))]
        spoilt = clean.copy()
        spoilt[bad] = stale(clean, bad)
        verdict = check(history_of(spoilt), Register(), budget_s=1e9)
        assert verdict.valid is False, seed
        assert verdict.anomaly
        if values is not None:  # the search names the very read
            assert verdict.anomaly[0].startswith(f"process {clean[bad].process}: read() -> -1")


def long_register_history(chance: Stream, values: int | None, operations: int = 2000) -> list[Call]:
    calls, clock = [], [0] * 5
    points = []
    for number in range(operations):
        slot = chance.below(5)
        start = clock[slot] + 1 + chance.below(10)
        clock[slot] = end = start + chance.below(40)
        points.append(((chance.between(start, end), number), slot, start, end))
    state = None
    for (_, number), slot, start, end in sorted(points):
        if chance.chance(0.5):
            calls.append(Call(slot, "read", None, None, start, end, result=state))
        else:
            state = number if values is None else chance.below(values)
            calls.append(Call(slot, "write", None, state, start, end, result=state))
    return sorted(calls, key=lambda call: (call.process, call.call, call.end))


def stale(calls: list[Call], bad: int) -> Call:
    """The read `bad` with a value that was overwritten long before or was never there."""
    read = calls[bad]
    earlier = sorted(
        (c for c in calls if c.f == "write" and c.end < read.call), key=lambda c: c.call
    )
    overwritten = [c.value for c in earlier if c.end < earlier[-1].call]
    repeated = len({c.value for c in calls}) < len(earlier)
    if repeated or not overwritten:
        return replace(read, result=-1)
    return replace(read, result=overwritten[-1])


def test_stale_read_is_explained_by_the_operations_that_contradict_each_other() -> None:
    calls = [
        Call(0, "put", "x", 1, 0, 10, result=1),
        Call(0, "put", "x", 2, 20, 30, result=2),
        Call(1, "get", "x", None, 25, 28, result=2),
        Call(2, "get", "x", None, 40, 50, result=1),
        *(Call(3, "put", "y", n, 100 * n, 100 * n + 50, result=n) for n in range(50)),
    ]
    verdict = check(history_of(calls), KeyValue())
    assert verdict.reason == "no order of the operations on 'x' explains every outcome"
    assert verdict.anomaly == (
        "1 came before 2, since the first of these ended before the second began:",
        "  process 0: put('x', 1) -> 1, 0s to 0.00000001s (events 0-2)",
        "  process 1: get('x') -> 2, 0.000000025s to 0.000000028s (events 4-5)",
        "2 came before 1, since the first of these ended before the second began:",
        "  process 1: get('x') -> 2, 0.000000025s to 0.000000028s (events 4-5)",
        "  process 2: get('x') -> 1, 0.00000004s to 0.00000005s (events 7-8)",
        "1 was there only once, written by event 0",
        "2 was there only once, written by event 3",
    )


def test_refused_compare_and_set_is_evidence() -> None:
    calls = [
        Call(0, "write", None, 1, 0, 10, result=1),
        Call(1, "cas", None, (1, 2), 20, 30, "fail", (1, 2), "mismatch"),
    ]
    assert check(history_of(calls), Register()).valid is False
    calls[1] = Call(1, "cas", None, (1, 2), 20, 30, "fail", (1, 2), "overloaded")
    assert check(history_of(calls), Register()).valid is True


def test_one_and_true_are_two_values() -> None:
    for f, repeat in (("zones", 1), ("search", 2)):
        writes = [Call(0, "write", None, True, 10 * i, 10 * i + 5) for i in range(repeat)]
        for result in (True, 1):
            read = Call(1, "read", None, None, 100, 110, result=result)
            verdict = check(history_of([*writes, read]), Register())
            assert verdict.valid is (result is True), f


def test_acknowledgement_of_a_write_says_nothing() -> None:
    for told in (None, 1):
        for extra in (None, ("append", "a")):
            calls = [Call(0, "put", "x", 1, 0, 10, result=told)]
            if extra:
                calls.append(Call(0, "put", "x", "b", 20, 30, result=None))
                calls.append(Call(0, "append", "x", "a", 40, 50, result=None))
                calls.append(Call(0, "get", "x", None, 60, 70, result="ba"))
            assert check(history_of(calls), KeyValue()).valid is True


def test_pending_write_may_happen_late_or_never_but_not_twice() -> None:
    pending = Call(0, "write", None, 1, 0, 5, "info")
    other = Call(1, "write", None, 2, 10, 20, result=2)

    def read(process: int, time: int, result: Any) -> Call:
        return Call(process, "read", None, None, time, time + 1, result=result)

    def valid(*calls: Call) -> Any:
        # a compare-and-set that did nothing sends the same history through the search
        refused = Call(8, "cas", None, (7, 7), 90, 95, "fail", (7, 7), "mismatch")
        answers = {check(history_of([*calls, *more]), Register()).valid for more in ([], [refused])}
        assert len(answers) == 1
        return answers.pop()

    assert valid(pending, other, read(2, 30, 2), read(2, 40, 2)) is True
    assert valid(pending, other, read(2, 30, 2), read(2, 40, 1)) is True
    assert valid(pending, other, read(2, 30, 1), read(2, 40, 2)) is False
    assert valid(pending, read(2, 5, 1), other, read(2, 30, 2), read(2, 40, 1)) is False


def test_dozens_of_pending_operations_cost_little() -> None:
    rest = long_register_history(Stream(3, "pending"), 5, 1000)

    def pending(first: int) -> list[Call]:
        return [Call(100 + i, "write", None, first + i % 7, i, i + 1, "info") for i in range(60)]

    verdict = check(history_of([*pending(0), *rest]), Register(), budget_s=1e9)
    assert (verdict.valid, verdict.algorithm) == (True, "search")
    assert verdict.steps < 50_000
    last = max(call.end for call in rest)
    never = Call(999, "read", None, None, last + 1, last + 2, result=-1)
    verdict = check(history_of([*pending(50), *rest, never]), Register(), budget_s=1e9)
    assert verdict.valid is False
    assert verdict.steps < 1_000_000


def test_either_of_two_pending_operations_may_have_been_the_one() -> None:
    def step(time: int, f: str, value: Any) -> Call:
        result = value if f == "read" else None
        return Call(2, f, None, None if f == "read" else value, time, time + 1, result=result)

    pending = [
        Call(0, "write", None, 1, 0, 1, "info"),
        Call(1, "cas", None, (None, 1), 0, 1, "info"),
    ]
    steps = [step(10, "read", 1), step(20, "write", 2), step(30, "read", 2), step(40, "read", 1)]
    # The first read saw the compare-and-set, so that the write is left for the last one.
    assert check(history_of(pending + steps), Register()).valid is True
    assert check(history_of([*pending, *steps, step(50, "read", 2)]), Register()).valid is False


def test_reads_of_appends_guide_the_search_through_a_crowd() -> None:
    # Ten at a time, in an order that only the read at the end tells: 10! orders without it.
    calls, told = [], ""
    for batch in range(20):
        names = Stream(batch, "crowd").shuffled([f"{batch}.{i}," for i in range(10)])
        told += "".join(names)
        start = 100 * batch
        calls += [Call(i, "append", "x", f"{batch}.{i},", start, start + 50) for i in range(10)]
        calls.append(Call(10, "get", "x", None, start + 60, start + 70, result=told))
    verdict = check(history_of(calls), KeyValue(), budget_s=1e9)
    assert verdict.valid is True
    assert verdict.steps < 10_000
    wrong = told.replace("7.3,", "7.4,")
    calls[-1] = replace(calls[-1], result=wrong)
    verdict = check(history_of(calls), KeyValue(), budget_s=1e9)
    assert verdict.valid is False
    assert verdict.steps < 10_000


@pytest.mark.parametrize("crowd", [6, 14])
def test_dequeues_tell_in_which_order_a_crowd_enqueued(crowd: int) -> None:
    chance = Stream(crowd, "crowd")
    order = chance.shuffled(range(crowd))
    calls = [Call(i, "enqueue", "q", i, 0, 100, result=i) for i in range(crowd)]
    calls += [Call(0, "dequeue", "q", None, 200 + 10 * n, 205 + 10 * n, result=value)
              for n, value in enumerate(order)]  # fmt: skip
    verdict = check(history_of(calls), Queue())
    assert verdict.valid is True
    assert verdict.steps < crowd * crowd  # of crowd! orders


def test_a_value_that_overtook_another_is_explained_by_its_dequeue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = [
        Call(0, "enqueue", "q", "a", 0, 10, result="a"),
        Call(0, "enqueue", "q", "b", 20, 30, result="b"),
        Call(1, "dequeue", "q", None, 40, 50, result="b"),
        Call(1, "dequeue", "q", None, 60, 70, result="a"),
    ]
    assert check(history_of(calls), Queue()).algorithm == "front"
    monkeypatch.setattr(importlib.import_module("concur.histories.check"), "DECIDERS", {})
    verdict = check(history_of(calls), Queue())
    assert (verdict.valid, verdict.algorithm) == (False, "search")
    assert verdict.anomaly[:4] == (
        "process 0: enqueue('q', 'a') -> 'a', 0s to 0.00000001s (events 0-1)",
        "  does not fit into any order that leaves room for",
        "  process 0: enqueue('q', 'b') -> 'b', 0.00000002s to 0.00000003s (events 2-3)",
        "  process 1: dequeue('q') -> 'b', 0.00000004s to 0.00000005s (events 4-5)",
    )


def test_a_value_may_have_gone_to_a_dequeue_that_nobody_heard_of() -> None:
    calls = [
        Call(0, "enqueue", None, "a", 0, 10, result="a"),
        Call(0, "enqueue", None, "b", 20, 30),
        Call(1, "dequeue", None, None, 40, 50, result="b"),
    ]
    assert check(history_of(calls), Queue()).valid is False
    lost = Call(2, "dequeue", None, None, 35, 36, "info")
    assert check(history_of([*calls, lost]), Queue()).valid is True


@pytest.mark.parametrize("budget", ["steps", "seconds"])
def test_search_past_its_budget_says_unknown(budget: str) -> None:
    history = history_of(long_register_history(Stream(0, "budget"), 5))
    if budget == "steps":
        verdict = check(history, Register(), budget_s=1e9, steps_max=100)
        again = check(history, Register(), budget_s=1e9, steps_max=100)
        assert verdict.steps == again.steps
        assert "ran out of 100 steps" in verdict.reason
    else:
        verdict = check(history, Register(), budget_s=0.0)
        assert "ran out of time" in verdict.reason
    assert verdict.valid == "unknown"
    assert not verdict.anomaly


def test_undecided_object_does_not_hide_an_invalid_one() -> None:
    hard = [
        Call(c.process, "get" if c.f == "read" else "put", "a", c.value, c.call, c.end,
             result=c.result)
        for c in long_register_history(Stream(0, "budget"), 5)
    ]  # fmt: skip
    bad = [Call(90 + i, "get", "b", None, 10**6, 10**6 + 1, result=i) for i in range(2100)]
    verdict = check(history_of(hard + bad), KeyValue(), steps_max=100)
    assert verdict.valid is False


def test_registers_of_different_keys_are_different_registers() -> None:
    calls = [
        Call(0, "write", "x", 1, 0, 10, result=1),
        Call(1, "read", "y", None, 20, 30, result=None),
        Call(1, "read", 1, None, 40, 50, result=None),
        Call(1, "read", True, None, 60, 70, result=None),
    ]
    assert check(history_of(calls), Register()).valid is True
    calls.append(Call(1, "read", "x", None, 80, 90, result=None))
    assert check(history_of(calls), Register()).valid is False


def test_equal_times_are_concurrent_except_within_a_process() -> None:
    write = Call(0, "write", None, 1, 0, 10, result=1)
    old = Call(1, "read", None, None, 10, 10, result=None)
    assert check(history_of([write, old]), Register()).valid is True
    old = Call(0, "read", None, None, 10, 10, result=None)
    assert check(history_of([write, old]), Register()).valid is False


def test_processes_that_all_go_on_in_one_instant_keep_their_own_order() -> None:
    # Each key alone is linearizable; both together are not, in any order of four operations.
    calls = [
        Call(0, "put", "x", 1, 5, 5, result=1),
        Call(0, "get", "y", None, 5, 5, result=None),
        Call(1, "put", "y", 1, 5, 5, result=1),
        Call(1, "get", "x", None, 5, 5, result=None),
    ]
    assert check(history_of(calls), KeyValue()).valid is False
    calls[1] = Call(0, "get", "y", None, 5, 5, result=1)
    assert check(history_of(calls), KeyValue()).valid is True


def test_history_without_evidence_is_valid() -> None:
    verdict = check(History(), Register())
    assert (verdict.valid, verdict.operations, verdict.algorithm) == (True, 0, "none")
    assert check(history_of([Call(0, "read", None, None, 0, 1, "info")]), Register()).valid is True


def test_operation_that_the_machine_does_not_know_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"^history, event 0: .*'enqueue'.*expected"):
        check(history_of([Call(0, "enqueue", None, 1, 0, 1)]), Register())


def test_what_easy_objects_leave_of_the_budget_goes_to_hard_ones() -> None:
    calls = [
        Call(0, "add", f"k{i}", 1 + i % 2, 10 * i, 10 * i + 5) for i in range(3000)
    ]  # one counter each
    amounts = [3, -1, 4, -1, 5, -9, 2, -6, 5, 3, 5]
    calls += [Call(1 + i, "add", "hot", amount, 0, 100) for i, amount in enumerate(amounts)]
    calls.append(Call(99, "read", "hot", None, 0, 100, result=1000))
    alone = check(history_of([c for c in calls if c.key == "hot"]), Counter())
    assert alone.valid is False
    verdict = check(history_of(calls), Counter(), budget_s=1e9, steps_max=10 * alone.steps)
    assert alone.steps > 10 * alone.steps // 3001
    assert verdict.valid is False


def test_keys_that_name_machines_are_searched_together_where_instants_entangle_them() -> None:
    machine = Register()
    answers = set()
    for seed in range(400):
        chance = Stream(seed, "entangled")
        asks = [("write", key, i % 2) for i in range(4) for key in KEYS]
        asks += [("read", key, None) for key in KEYS] * 4
        calls = random_calls(chance, machine, asks, 6, 3, spread=1, pending=0.1, wrong=0.4)
        history = history_of(calls, chance=chance)
        verdict = check(history, machine, budget_s=1e9, certificate=True)
        whole = Product(machine, history.operations())
        assert verdict.valid is brute_force(history, whole), seed
        if verdict.certificate is not None:
            assert verify(history, machine, verdict.certificate) == []
        answers.add(verdict.valid)
    assert answers == {True, False}


def test_a_model_may_be_named_or_known_to_the_history() -> None:
    history = History("register")
    op = history.invoke(0, "read", None, None, 1)
    history.complete(op, "ok", None, 2)
    assert check(history).valid is True
    assert check(history, "cas-register").valid is True
    with pytest.raises(BadInput, match="model 'toaster': unknown"):
        check(history, "toaster")


def test_a_release_that_tells_nothing_was_granted() -> None:
    for told in (None, ("a", 1), True, False):
        calls = [
            Call(0, "acquire", None, "a", 0, 1, result=1),
            Call(0, "release", None, ("a", 1), 2, 3, result=told),
            Call(1, "acquire", None, "b", 4, 5, result=2),
        ]
        assert check(history_of(calls), "lock").valid is (told is not False)
