"""Sets, queues, counters, unique ids: what is planted is found, and plain definitions agree."""

from collections import Counter
from typing import Any

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import History
from concur.histories.jepsen import counter, queue_, set_, set_full, total_queue, unique_ids
from concur.histories.timeline import strict
from tests.histories.helpers import Call, history_of, precedes


def add(process: int, value: Any, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "add", None, value, call, end, type)


def read(process: int, result: Any, call: int, end: int) -> Call:
    return Call(process, "read", None, None, call, end, result=result)


def put(process: int, value: Any, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "enqueue", None, value, call, end, type)


def take(process: int, result: Any, call: int, end: int, type: str = "ok") -> Call:
    error = "empty" if type == "fail" else None
    return Call(process, "dequeue", None, None, call, end, type, result, error)


def test_set_counts_lost_recovered_and_unexpected_elements() -> None:
    calls = [
        add(0, 1, 0, 10),
        add(1, 2, 0, 10),
        add(2, 3, 0, 10, "info"),
        add(3, 4, 0, 10, "fail"),
        add(4, 5, 90, 120),
        read(5, (1, 3, 4, 9), 100, 110),
    ]
    tally = set_(history_of(calls))
    assert tally.valid is False
    assert tally.figures == {
        "attempts": 5, "acknowledged": 3, "ok": 2, "lost": 1, "unexpected": 2, "recovered": 1,
    }  # fmt: skip
    assert tally.anomaly == (
        "elements that were added are not in the last read (1):",
        "  process 1: add(2) -> ok, 0s to 0.00000001s (events 1-5)",
        "nobody added 4, 9, which the last read has (1):",
        "  process 5: read() -> (1, 3, 4, 9), 0.0000001s to 0.00000011s (events 9-10)",
    )
    assert str(tally).endswith(
        "attempts 5, acknowledged 3, ok 2, lost 1, unexpected 2, recovered 1"
    )


def test_set_that_was_never_read_is_unknown() -> None:
    assert set_(history_of([add(0, 1, 0, 10)])).valid == "unknown"
    assert set_full(history_of([add(0, 1, 0, 10)])).valid == "unknown"


def test_set_full_tells_lost_from_stale() -> None:
    calls = [
        add(0, 1, 0, 10),
        read(1, (), 20, 25),
        read(1, (1,), 30, 40),
        add(0, 2, 30, 35),
        read(1, (1, 2), 50, 60),
        read(1, (1,), 70, 80),
    ]
    tally = set_full(history_of(calls))
    assert tally.valid is False
    assert tally.figures["lost"] == tally.figures["stale"] == 1
    assert tally.figures["stale_ns_max"] == 10
    tally = set_full(history_of(calls[:5]))
    assert (tally.valid, tally.figures["stale"]) == (True, 1)
    assert set_full(history_of(calls[:5]), linearizable=True).valid is False


def test_a_read_that_overlaps_the_add_may_miss_it() -> None:
    calls = [add(0, 1, 0, 10), read(1, (), 10, 20), read(2, (1,), 5, 15)]
    tally = set_full(history_of(calls), linearizable=True)
    assert (tally.valid, tally.figures["stale"], tally.figures["lost"]) == (True, 0, 0)


def test_a_duplicate_within_a_read_is_found() -> None:
    tally = set_full(history_of([add(0, 1, 0, 10), read(1, (1, 1), 20, 30)]))
    assert (tally.valid, tally.figures["duplicated"]) == (False, 1)


def test_dequeued_values_come_from_somewhere() -> None:
    calls = [put(0, 1, 0, 10), take(1, 1, 5, 8), take(1, None, 20, 30)]
    assert queue_(history_of(calls)).valid is True
    tally = queue_(history_of([*calls, take(2, 1, 20, 30)]))
    assert (tally.valid, tally.figures["unexpected"]) == (False, 1)
    early = [put(0, 1, 20, 30), take(1, 1, 5, 8)]
    assert queue_(history_of(early)).valid is False
    failed = [put(0, 1, 0, 10, "fail"), take(1, 1, 20, 30)]
    assert queue_(history_of(failed)).valid is False


def test_what_goes_in_must_come_out() -> None:
    calls = [put(0, 1, 0, 10), put(0, 2, 20, 30), put(1, 3, 0, 5, "info"), take(2, 1, 40, 50)]
    tally = total_queue(history_of(calls))
    assert (tally.valid, tally.figures["left"]) == ("unknown", 1)
    drained = Call(3, "drain", None, None, 60, 70, result=(3,))
    tally = total_queue(history_of([*calls, drained]))
    assert tally.valid is False
    assert tally.figures == {
        "attempts": 3, "acknowledged": 2, "ok": 2, "lost": 1, "left": 0, "unexpected": 0,
        "duplicated": 0, "recovered": 1,
    }  # fmt: skip
    for empty in (take(3, None, 60, 70), take(3, None, 60, 70, "fail")):
        assert total_queue(history_of([*calls, empty])).valid is False
    unheard = take(4, None, 35, 45, "info")
    tally = total_queue(history_of([*calls, drained, unheard]))
    assert (tally.valid, tally.figures["left"]) == ("unknown", 1)


def test_duplicates_matter_only_if_asked_for() -> None:
    calls = [put(0, 1, 0, 10), take(1, 1, 20, 30), take(1, 1, 40, 50)]
    assert total_queue(history_of(calls)).valid is True
    assert total_queue(history_of(calls), exactly_once=True).valid is False


def test_counter_keeps_within_its_bounds() -> None:
    calls = [add(0, 5, 0, 10), add(1, 3, 15, 30), add(2, -2, 15, 30, "info")]
    for value in range(0, 12):
        tally = counter(history_of([*calls, read(3, value, 20, 25)]))
        assert tally.valid is (3 <= value <= 8), value
    tally = counter(history_of([*calls, read(3, 12, 20, 25)]))
    assert tally.figures == {"adds": 3, "reads": 1, "errors": 1, "error_max": 4}
    assert tally.anomaly[-1] == "  event 4 must be from 3 to 8"


def test_ids_are_unique_by_type_too() -> None:
    def generated(*ids: Any) -> History:
        return history_of(
            [Call(i, "generate", None, None, 0, 10, result=id_) for i, id_ in enumerate(ids)]
        )

    assert unique_ids(generated(1, True, "1")).valid is True
    tally = unique_ids(generated(1, 2, 1))
    assert (tally.valid, tally.figures["duplicated"]) == (False, 1)
    assert tally.reason == "id 1 was given more than once (2)"


# --- where Jepsen says something else -----------------------------------------------------------


def test_what_failed_is_no_attempt() -> None:
    failed = [add(0, 1, 0, 10, "fail"), read(1, (1,), 20, 30)]
    assert set_(history_of(failed)).figures["unexpected"] == 1
    assert set_full(history_of(failed)).figures["unexpected"] == 1
    failed = [put(0, 1, 0, 10, "fail"), take(1, 1, 20, 30)]
    assert queue_(history_of(failed)).figures["unexpected"] == 1
    assert total_queue(history_of(failed)).figures["unexpected"] == 1


def test_the_last_read_is_the_last_to_return_wherever_it_stands_in_the_file() -> None:
    history = History()
    for process, f, value, result, call in (
        (0, "add", 1, None, 0),
        (0, "read", None, (1,), 100),
        (1, "read", None, (), 50),
    ):
        history.complete(history.invoke(process, f, None, value, call), "ok", result, call + 1)
    assert set_(history).valid is True


def test_an_add_that_overlaps_the_last_read_is_not_lost() -> None:
    assert set_(history_of([add(0, 1, 0, 10), read(1, (), 5, 20)])).valid is True


@pytest.mark.parametrize(("known", "stale"), [(10, 1), (45, 0)])
def test_an_element_is_not_lost_while_a_read_that_has_it_goes_on(known: int, stale: int) -> None:
    """Jepsen: lost if it is known at 10, never read if at 45."""
    calls = [add(0, 1, 0, known), read(1, (1,), 5, 50), read(2, (), 20, 30)]
    tally = set_full(history_of(calls))
    assert (tally.valid, tally.figures["stable"], tally.figures["stale"]) == (True, 1, stale)


def test_elements_that_nobody_added_are_wrong_at_any_time() -> None:
    calls = [add(0, 1, 0, 10), read(1, (1, 9), 20, 30), read(1, (1,), 40, 50)]
    tally = set_full(history_of(calls))
    assert (tally.valid, tally.figures["unexpected"]) == (False, 1)


def test_a_drain_without_an_outcome_may_have_taken_anything() -> None:
    calls = [put(0, n, 10 * n, 10 * n + 5) for n in range(5)]
    calls += [Call(1, "drain", None, None, 60, 70, "info"), take(2, None, 80, 90)]
    tally = total_queue(history_of(calls))
    assert (tally.valid, tally.figures["lost"], tally.figures["left"]) == ("unknown", 0, 5)


def test_an_open_dequeue_takes_one_at_most_and_the_complaint_says_so() -> None:
    calls = [put(0, n, 10 * n, 10 * n + 5) for n in range(3)]
    calls += [take(1, None, 40, 50, "info"), take(2, None, 80, 90)]
    tally = total_queue(history_of(calls))
    assert (tally.valid, tally.figures["lost"], tally.figures["left"]) == (False, 2, 1)
    assert tally.reason == (
        "values were enqueued and never came out (3, of which open dequeues may have taken 1)"
    )


# --- what decides ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "valid"),
    [
        ("empty", False),
        (":empty", False),
        ("connection reset: empty response", "unknown"),
        ("not empty", "unknown"),
        (None, "unknown"),
    ],
)
def test_only_empty_says_that_a_queue_was_empty(error: str | None, valid: Any) -> None:
    failed = Call(1, "dequeue", None, None, 20, 30, "fail", None, error)
    assert total_queue(history_of([put(0, 1, 0, 10), failed])).valid == valid


def test_within_one_process_and_instant_the_order_of_the_file_decides() -> None:
    history = History()
    for f, value, result in (("dequeue", None, 1), ("enqueue", 1, None)):
        history.complete(history.invoke(0, f, None, value, 5), "ok", result, 5)
    assert queue_(history).valid is False, "it was put in after it came out"
    assert total_queue(history).valid is True, "which asks for no order"
    history = History()
    for f, value, result in (("add", 1, None), ("read", None, ()), ("read", None, (1,))):
        history.complete(history.invoke(0, f, None, value, 5), "ok", result, 5)
    tally = set_full(history, linearizable=True)
    assert (tally.valid, tally.figures["stale"], tally.figures["stale_ns_max"]) == (False, 1, 0)
    history = History()
    for f, value, result in (("enqueue", 1, None), ("dequeue", None, None)):
        history.complete(history.invoke(0, f, None, value, 5), "ok", result, 5)
    assert total_queue(history).valid is False, "it was empty after that"


@pytest.mark.parametrize("checker", [set_, set_full, queue_, total_queue, counter, unique_ids])
def test_other_operations_are_refused_with_their_place(checker: Any) -> None:
    with pytest.raises(BadInput, match="event 0: cas, expected"):
        checker(history_of([Call(0, "cas", None, (1, 2), 0, 10)]))


# --- against plain definitions ------------------------------------------------------------------


def random_calls(seed: int, updates: str, reads: str) -> list[Call]:
    chance = Stream(seed, "jepsen", updates)
    clock = [chance.below(3) for _ in range(3)]
    number, fresh = [0, 1, 2], 3
    calls = []
    for _ in range(chance.between(2, 10)):
        slot = chance.below(3)
        call = clock[slot] + chance.below(3)
        end = clock[slot] = call + chance.below(4)
        f = updates if chance.chance(0.5) else reads
        type_ = chance.choice(["ok"] * 8 + ["info", "fail"])
        value = chance.between(-2, 5) if updates == "add" else chance.below(4)
        result: Any = None
        if f == "read":
            result = chance.between(-4, 12)
        elif f == "dequeue":
            result = chance.choice([None, 0, 1, 2, 3])
        calls.append(
            Call(number[slot], f, None, value if f == updates else None, call, end, type_, result)
        )
        if type_ == "info":
            number[slot], fresh = fresh, fresh + 1
    return calls


def test_counter_agrees_with_its_definition() -> None:
    answers = set()
    for seed in range(2000):
        history = history_of(random_calls(seed, "add", "read"), chance=Stream(seed, "order"))
        operations = [op for op in history.operations() if op.type != "fail"]
        adds = [op for op in operations if op.f == "add"]
        valid = True
        for r in operations:
            if r.f != "read" or r.type != "ok":
                continue
            low = high = 0
            for a in adds:
                same = a.process == r.process
                certain = (
                    a.index < r.index
                    if same
                    else (a.return_ns is not None and a.return_ns < r.call_ns)
                )
                never = a.index > r.index if same else a.call_ns > (r.return_ns or 0)
                if not never:
                    low += a.value if certain else min(a.value, 0)
                    high += a.value if certain else max(a.value, 0)
            valid = valid and low <= r.result <= high
        found = counter(history).valid
        # `loose` may forget an order within one instant, and so allow more
        assert found is valid or (found is True and strict(operations).entangled), seed
        answers.add(found)
    assert answers == {True, False}


def test_queue_agrees_with_its_definition() -> None:
    """Every dequeue can be given an enqueue of its own that does not come after it."""
    answers = set()
    for seed in range(2000):
        history = history_of(random_calls(seed, "enqueue", "dequeue"), chance=Stream(seed, "order"))
        operations = history.operations()
        puts = [op for op in operations if op.f == "enqueue" and op.type != "fail"]
        takes = [op for op in operations if op.f == "dequeue" and op.result is not None]
        sources = [
            [n for n, put in enumerate(puts) if put.value == op.result and not precedes(op, put)]
            for op in takes
            if op.type == "ok"
        ]
        valid = matched(sources)
        found = queue_(history).valid
        # `loose` may forget an order within one instant, and so allow more
        assert found is valid or (found is True and strict(operations).entangled), seed
        answers.add(found)
    assert answers == {True, False}


def matched(choices: list[list[int]], taken: frozenset[int] = frozenset()) -> bool:
    """Whether each can have one of its choices, and no two the same."""
    if not choices:
        return True
    first, *others = choices
    return any(matched(others, taken | {one}) for one in first if one not in taken)


def random_set(seed: int) -> History:
    chance = Stream(seed, "set-full")
    clock = [chance.below(3) for _ in range(3)]
    calls = []
    for element in range(chance.between(3, 9)):
        process = chance.below(3)
        call = clock[process] + chance.below(3)
        end = clock[process] = call + chance.below(4)
        if chance.chance(0.3):
            calls.append(add(process, element, call, end))
            continue
        added = [one.value for one in calls if one.f == "add"]
        calls.append(read(process, tuple(v for v in added if chance.chance(0.6)), call, end))
    return history_of(calls, chance=chance)


def test_set_full_agrees_with_its_definition() -> None:
    answers = set()
    for seed in range(2000):
        history = random_set(seed)
        operations = history.operations()
        if strict(operations).entangled:
            continue
        expected = Counter[str]()
        for a in (op for op in operations if op.f == "add"):
            reads = [op for op in operations if op.f == "read"]
            have = [r for r in reads if a.value in r.result]
            late = [
                r for r in reads if r not in have and any(precedes(k, r) for k in (a, *have))
            ]  # they miss it although it was known
            if any(all(precedes(h, r) for h in have) for r in late):
                expected["lost"] += 1
            else:
                expected["stable" if have else "never_read"] += 1
                expected["stale"] += bool(have and late)
        tally = set_full(history, linearizable=True)
        assert all(expected[name] == tally.figures[name] for name in SET_FULL), seed
        valid = not (expected["lost"] or expected["stale"])
        assert tally.valid == (valid if expected["stable"] or not valid else "unknown"), seed
        answers.add(tally.valid)
    assert answers == {True, False, "unknown"}


SET_FULL = ("lost", "stable", "never_read", "stale")


def test_total_queue_and_set_agree_with_counting() -> None:
    for seed in range(1000):
        chance = Stream(seed, "counting")
        added = [i for i in range(8) if chance.chance(0.7)]
        kept = [i for i in added if chance.chance(0.9)] + [50] * chance.below(2)
        calls = [add(0, value, 10 * n, 10 * n + 5) for n, value in enumerate(added)]
        lost = len(set(added) - set(kept))
        tally = set_(history_of([*calls, read(1, tuple(kept), 1000, 1010)]))
        assert (tally.figures["lost"], tally.figures["unexpected"]) == (lost, kept.count(50))
        assert tally.valid is (set(kept) == set(added))
        puts = [put(0, value, 10 * n, 10 * n + 5) for n, value in enumerate(added)]
        takes = [take(1, value, 1000 + 10 * n, 1005 + 10 * n) for n, value in enumerate(kept)]
        tally = total_queue(history_of([*puts, *takes, take(1, None, 2000, 2001)]))
        assert (tally.figures["lost"], tally.figures["unexpected"]) == (lost, kept.count(50))
        assert tally.valid is (set(kept) == set(added))
