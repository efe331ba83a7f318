"""The decider of queues: it agrees with the search, and its examples are understood."""

import pytest

from concur.histories.models.queue import QueueModel
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.queue import queue
from concur.machines.queue import Queue
from tests.histories.helpers import Call
from tests.histories.polynomial.collections_helpers import Kind, compare, judge, long_calls, plant

KIND = Kind("queue", QueueModel, "enqueue", "dequeue", "peek", queue)
ANSWERS = {
    *("valid", "invalid", "valid, lost removals", "invalid, lost removals"),
    *("declined, values repeated", "cores"),
}


def enqueue(process: int, value: int, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "enqueue", None, value, call, end, type)


def dequeue(process: int, result: int | None, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "dequeue", None, None, call, end, type, result)


def peek(process: int, result: int | None, call: int, end: int) -> Call:
    return Call(process, "peek", None, None, call, end, result=result)


def test_it_decides_queues() -> None:
    assert queue in DECIDERS[QueueModel].values()
    assert queue in DECIDERS[Queue].values()


def test_it_agrees_with_the_search() -> None:
    answers = compare(KIND, range(2000))
    assert set(answers) >= ANSWERS
    assert answers["declined"] + answers["not compared"] < 20, answers


@pytest.mark.campaign
def test_it_agrees_with_the_search_on_many() -> None:
    answers = compare(KIND, range(10_000, 110_000))
    assert set(answers) >= ANSWERS
    assert answers["declined"] + answers["not compared"] < 1000, answers


@pytest.mark.parametrize("pending", [0.0, 0.01], ids=["all heard of", "some lost"])
def test_planted_result_in_a_long_valid_history_is_found(pending: float) -> None:
    for seed in range(8):
        calls = long_calls(KIND, seed, 2000, 3 + 4 * (seed % 4), pending)
        assert judge(KIND, calls) is True
        if pending == 0.0:
            assert judge(KIND, plant(KIND, calls, seed)) is False, seed


def test_value_that_overtook_another() -> None:
    calls = [enqueue(0, 1, 0, 10), enqueue(0, 2, 20, 30), dequeue(1, 2, 40, 50)]
    assert judge(KIND, [*calls, dequeue(1, 1, 60, 70)]) is False
    assert judge(KIND, [*calls, dequeue(2, 1, 45, 70)]) is True
    assert judge(KIND, calls) is False, "1 never came out"
    lost = dequeue(2, None, 49, 60, "info")
    assert judge(KIND, [*calls, lost]) is True
    assert judge(KIND, [*calls, enqueue(3, 3, 0, 5), lost]) is False, "one dequeue took one value"


def test_three_values_in_a_circle_without_two_that_contradict_each_other() -> None:
    calls = [
        *(enqueue(0, 1, 0, 10), enqueue(0, 2, 20, 30), enqueue(1, 3, 0, 30)),
        *(peek(2, 3, 40, 50), dequeue(2, 3, 80, 90)),
        *(dequeue(3, 2, 40, 70), dequeue(4, 1, 60, 90)),
    ]
    assert judge(KIND, calls) is False
    for value in (1, 2, 3):
        assert judge(KIND, [c for c in calls if value not in (c.value, c.result)]) is True


def test_lengths_are_left_to_the_search() -> None:
    length = Call(1, "length", None, None, 20, 30, result=1)
    assert judge(KIND, [enqueue(0, 1, 0, 10), length]) is None
