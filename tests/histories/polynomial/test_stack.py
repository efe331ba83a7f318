"""The decider of stacks: it agrees with the search, and its examples are understood."""

from concur.histories.models.stack import StackModel
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.stack import stack
from tests.histories.helpers import Call
from tests.histories.polynomial.collections_helpers import STACK, judge


def push(process: int, value: int, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "push", None, value, call, end, type)


def pop(process: int, result: int | None, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "pop", None, None, call, end, type, result)


def peek(process: int, result: int | None, call: int, end: int) -> Call:
    return Call(process, "peek", None, None, call, end, result=result)


def test_it_decides_stacks() -> None:
    assert stack in DECIDERS[StackModel].values()


def test_value_that_was_popped_from_under_another() -> None:
    calls = [push(0, 1, 0, 10), push(0, 2, 20, 30), pop(1, 1, 40, 50)]
    assert judge(STACK, [*calls, pop(1, 2, 60, 70)]) is False
    assert judge(STACK, [*calls, pop(2, 2, 45, 70)]) is True
    assert judge(STACK, calls) is False, "2 stayed"
    assert judge(STACK, [*calls, pop(2, None, 49, 60, "info")]) is True


def test_each_of_three_would_have_to_lie_upon_one_of_the_others() -> None:
    calls = [
        *(push(0, 1, 0, 10), push(1, 2, 20, 30), push(2, 3, 40, 50)),
        *(pop(0, 1, 25, 45), pop(1, 2, 35, 65), pop(2, 3, 60, 70)),
    ]
    assert judge(STACK, calls) is True
    calls = [
        *(push(0, 1, 0, 10), push(1, 2, 20, 30), push(2, 3, 0, 10)),
        *(pop(0, 1, 40, 50), pop(1, 2, 60, 70), pop(2, 3, 45, 65)),
    ]
    assert judge(STACK, calls) is False


def test_peek_sees_what_is_on_top() -> None:
    calls = [push(0, 1, 0, 10), push(0, 2, 20, 30), pop(1, 2, 60, 70)]
    assert judge(STACK, [*calls, peek(2, 2, 40, 50)]) is True
    assert judge(STACK, [*calls, peek(2, 1, 40, 50)]) is False
    assert judge(STACK, [*calls, peek(2, 1, 40, 65)]) is True
    assert judge(STACK, [*calls, peek(2, None, 40, 65)]) is False
