"""The decider of stacks: it agrees with the search, and its examples are understood."""

import pytest

from concur.histories.models.stack import StackModel
from concur.histories.polynomial import DECIDERS
from concur.histories.polynomial.stack import stack
from tests.histories.helpers import Call
from tests.histories.polynomial.collections_helpers import Kind, compare, judge, long_calls, plant

KIND = Kind("stack", StackModel, "push", "pop", "peek", stack)
ANSWERS = {
    *("valid", "invalid", "valid, lost removals", "invalid, lost removals"),
    *("declined, values repeated", "cores"),
}


def push(process: int, value: int, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "push", None, value, call, end, type)


def pop(process: int, result: int | None, call: int, end: int, type: str = "ok") -> Call:
    return Call(process, "pop", None, None, call, end, type, result)


def peek(process: int, result: int | None, call: int, end: int) -> Call:
    return Call(process, "peek", None, None, call, end, result=result)


def test_it_decides_stacks() -> None:
    assert stack in DECIDERS[StackModel].values()


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


def test_value_that_was_popped_from_under_another() -> None:
    calls = [push(0, 1, 0, 10), push(0, 2, 20, 30), pop(1, 1, 40, 50)]
    assert judge(KIND, [*calls, pop(1, 2, 60, 70)]) is False
    assert judge(KIND, [*calls, pop(2, 2, 45, 70)]) is True
    assert judge(KIND, calls) is False, "2 stayed"
    assert judge(KIND, [*calls, pop(2, None, 49, 60, "info")]) is True


def test_each_of_three_would_have_to_lie_upon_one_of_the_others() -> None:
    calls = [
        *(push(0, 1, 0, 10), push(1, 2, 20, 30), push(2, 3, 40, 50)),
        *(pop(0, 1, 25, 45), pop(1, 2, 35, 65), pop(2, 3, 60, 70)),
    ]
    assert judge(KIND, calls) is True
    calls = [
        *(push(0, 1, 0, 10), push(1, 2, 20, 30), push(2, 3, 0, 10)),
        *(pop(0, 1, 40, 50), pop(1, 2, 60, 70), pop(2, 3, 45, 65)),
    ]
    assert judge(KIND, calls) is False


def test_peek_sees_what_is_on_top() -> None:
    calls = [push(0, 1, 0, 10), push(0, 2, 20, 30), pop(1, 2, 60, 70)]
    assert judge(KIND, [*calls, peek(2, 2, 40, 50)]) is True
    assert judge(KIND, [*calls, peek(2, 1, 40, 50)]) is False
    assert judge(KIND, [*calls, peek(2, 1, 40, 65)]) is True
    assert judge(KIND, [*calls, peek(2, None, 40, 65)]) is False
