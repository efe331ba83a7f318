"""Sets, queues, counters, unique ids: what is planted is found, and plain definitions agree."""

from collections import Counter
from typing import Any

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import History
from concur.histories.jepsen import counter, queue_, set_, set_full, total_queue, unique_ids
from concur.histories.timeline import strict
from tests.histories.helpers import Call, history_of


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
    """A dequeue by the n-th of a value needs n enqueues of it called before it returned."""
    answers = set()
    for seed in range(2000):
        history = history_of(random_calls(seed, "enqueue", "dequeue"))
        operations = history.operations()
        taken = sorted(
            (op for op in operations if op.f == "dequeue" and op.type == "ok"),
            key=lambda op: (op.return_ns, op.return_index),
        )
        valid, before = True, Counter[Any]()
        for op in taken:
            if op.result is None:
                continue
            before[op.result] += 1
            offered = sum(
                o.f == "enqueue"
                and o.type != "fail"
                and o.value == op.result
                and o.call_ns <= (op.return_ns or 0)
                for o in operations
            )
            valid = valid and before[op.result] <= offered
        found = queue_(history).valid
        assert found is valid, seed
        answers.add(found)
    assert answers == {True, False}


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
