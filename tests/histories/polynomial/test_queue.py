"""The decider of queues: it agrees with the search, and its examples are understood."""

from collections import Counter
from dataclasses import replace

from concur.chance import Stream
from concur.histories.models.queue import QueueModel
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.queue import queue
from concur.machines.queue import Queue
from tests.histories.helpers import Ask, Call, history_of, random_calls
from tests.histories.polynomial.agreement import object_of, search_says
from tests.histories.polynomial.collections_helpers import QUEUE, judge
from tests.histories.polynomial.order_helpers import check_order


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


def test_lost_dequeues_take_what_is_in_the_way_of_what_came_out() -> None:
    calls = []
    for i in range(100):
        start = 100 * i
        calls += [
            *(
                dequeue(1000 + i, None, start, start, "info"),
                enqueue(0, 2 * i, start + 1, start + 2),
            ),
            *(
                enqueue(0, 2 * i + 1, start + 3, start + 4),
                dequeue(0, 2 * i + 1, start + 5, start + 6),
            ),
        ]
    assert judge(QUEUE, calls) is True
    assert judge(QUEUE, [call for call in calls if call.process != 1050]) is False
    late = [replace(call, call=5200, end=5200) if call.process == 1050 else call for call in calls]
    assert judge(QUEUE, late) is False
    assert [line for line in explained(late) if "more" in line] == ["and so on, 42 more, up to"]


def explained(calls: list[Call]) -> list[str]:
    machine = QueueModel()
    decision = queue(*object_of(history_of(calls), machine), machine)
    assert decision is not None
    return list(decision.anomaly)


def test_lengths_are_placed_where_there_were_as_many() -> None:
    def length(told: int, call: int, end: int) -> Call:
        return Call(9, "length", None, None, call, end, result=told)

    calls = [enqueue(0, 1, 0, 10), enqueue(1, 2, 0, 10), dequeue(1, 1, 20, 30)]
    for told in range(4):
        assert judge(QUEUE, [*calls, length(told, 11, 12), dequeue(2, 2, 50, 60)]) is (
            True if told == 2 else None
        )
        within = [*calls, length(told, 5, 25), dequeue(2, 2, 50, 60)]
        assert judge(QUEUE, within) is (True if told < 3 else None)
    wrong = [dequeue(1, 2, 20, 30), dequeue(1, 3, 40, 50), length(0, 60, 70)]
    assert judge(QUEUE, [enqueue(0, 1, 0, 10), *wrong]) is False
    two = [length(1, 5, 25), Call(8, "length", None, None, 26, 28, result=2)]
    assert judge(QUEUE, [*calls[:2], *two]) is True, "first one, then two"
    two[1] = Call(8, "length", None, None, 3, 4, result=2)
    assert judge(QUEUE, [*calls[:2], *two]) is None, "two first, and nothing was taken"


def test_lengths_agree_with_the_search() -> None:
    answers = Counter[object]()
    machine = Queue()
    asks: list[Ask] = [("enqueue", None, i) for i in range(8)]
    asks += [("dequeue", None, None)] * 6 + [("length", None, None)] * 5 + [("peek", None, None)]
    for seed in range(1500):
        chance = Stream(seed, "lengths")
        pending = chance.choice([0.0, 0.15])
        calls = random_calls(chance, machine, asks, 9, 3, chance.choice([2, 6]), pending, wrong=0.4)
        history = history_of(calls, chance=chance)
        one = object_of(history, machine)
        found = queue(one.operations, one.positions, one.timeline, machine)
        answers[None if found is None else not found.anomaly] += 1
        if found is None:
            continue
        said = search_says(one.operations, one.timeline, machine)
        assert said is (not found.anomaly), seed
        if not found.anomaly:
            check_order(one.operations, one.positions, one.timeline, machine, found.order())
    assert answers[True] > 300
    assert answers[False] > 200
    assert answers[None] < 400, answers
