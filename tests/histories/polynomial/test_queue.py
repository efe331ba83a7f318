"""The decider of queues: it agrees with the search, and its examples are understood."""

from concur.histories.models.queue import QueueModel
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.queue import queue
from concur.machines.queue import Queue
from tests.histories.helpers import Call
from tests.histories.polynomial.collections_helpers import QUEUE, judge


def enqueue(process: int, value: int, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "enqueue", None, value, call, end, type)


def dequeue(process: int, result: int | None, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "dequeue", None, None, call, end, type, result)


def peek(process: int, result: int | None, call: int, end: int) -> Call:
    return Call(process, "peek", None, None, call, end, result=result)


def test_it_decides_queues() -> None:
    assert queue in DECIDERS[QueueModel].values()
    assert queue in DECIDERS[Queue].values()


def test_value_that_overtook_another() -> None:
    calls = [enqueue(0, 1, 0, 10), enqueue(0, 2, 20, 30), dequeue(1, 2, 40, 50)]
    assert judge(QUEUE, [*calls, dequeue(1, 1, 60, 70)]) is False
    assert judge(QUEUE, [*calls, dequeue(2, 1, 45, 70)]) is True
    assert judge(QUEUE, calls) is False, "1 never came out"
    lost = dequeue(2, None, 49, 60, "info")
    assert judge(QUEUE, [*calls, lost]) is True
    assert judge(QUEUE, [*calls, enqueue(3, 3, 0, 5), lost]) is False, "one dequeue took one value"


def test_three_values_in_a_circle_without_two_that_contradict_each_other() -> None:
    calls = [
        *(enqueue(0, 1, 0, 10), enqueue(0, 2, 20, 30), enqueue(1, 3, 0, 30)),
        *(peek(2, 3, 40, 50), dequeue(2, 3, 80, 90)),
        *(dequeue(3, 2, 40, 70), dequeue(4, 1, 60, 90)),
    ]
    assert judge(QUEUE, calls) is False
    for value in (1, 2, 3):
        assert judge(QUEUE, [c for c in calls if value not in (c.value, c.result)]) is True


def test_lengths_are_left_to_the_search() -> None:
    length = Call(1, "length", None, None, 20, 30, result=1)
    assert judge(QUEUE, [enqueue(0, 1, 0, 10), length]) is None
