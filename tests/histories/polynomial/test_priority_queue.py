"""The decider of priority queues: it agrees with the search, and says what was smaller."""

from concur.histories.models.priority_queue import PriorityQueueModel
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.priority_queue import priority_queue
from tests.histories.helpers import Call
from tests.histories.polynomial.collections_helpers import PRIORITY_QUEUE, judge


def insert(process: int, value: int, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "insert", None, value, call, end, type)


def delete_min(process: int, result: int | None, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "delete-min", None, None, call, end, type, result)


def find_min(process: int, result: int | None, call: int, end: int) -> Call:
    return Call(process, "find-min", None, None, call, end, result=result)


def test_it_decides_priority_queues() -> None:
    assert priority_queue in DECIDERS[PriorityQueueModel].values()


def test_nothing_is_taken_while_something_smaller_is_there() -> None:
    calls = [insert(0, 1, 0, 10), insert(1, 2, 0, 10), delete_min(1, 2, 40, 50)]
    assert judge(PRIORITY_QUEUE, [*calls, delete_min(1, 1, 60, 70)]) is False
    assert judge(PRIORITY_QUEUE, [*calls, delete_min(2, 1, 45, 70)]) is True
    assert judge(PRIORITY_QUEUE, calls) is False, "1 stayed"
    assert judge(PRIORITY_QUEUE, [*calls, delete_min(2, None, 49, 60, "info")]) is True
    assert judge(PRIORITY_QUEUE, [*calls, insert(3, 0, 50, 60), delete_min(3, 0, 70, 80)]) is False


def test_two_smaller_values_may_be_in_the_way_by_turns() -> None:
    calls = [
        *(insert(0, 1, 0, 10), delete_min(0, 1, 40, 50)),
        *(insert(1, 2, 30, 35), delete_min(1, 2, 80, 90)),
        *(insert(2, 3, 0, 10), delete_min(2, 3, 20, 70)),
    ]
    assert judge(PRIORITY_QUEUE, calls) is False
    assert judge(PRIORITY_QUEUE, [call for call in calls if call.process != 1]) is True


def test_smallest_value_is_found_while_it_is_there() -> None:
    calls = [insert(0, 2, 0, 10), insert(0, 1, 20, 30), delete_min(0, 1, 60, 70)]
    assert judge(PRIORITY_QUEUE, [*calls, find_min(1, 2, 25, 50)]) is True
    assert judge(PRIORITY_QUEUE, [*calls, find_min(1, 2, 35, 50)]) is False
    assert judge(PRIORITY_QUEUE, [*calls, find_min(1, None, 0, 90)]) is True
    assert judge(PRIORITY_QUEUE, [*calls, find_min(1, None, 15, 90)]) is False
