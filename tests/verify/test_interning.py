"""Numbers of values: equal only if types agree as well, at any depth."""

from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations
from typing import Any, NamedTuple

import msgspec
import pytest

from concur.logs import Log
from concur.values import Map, Set
from concur.verify import System, explore
from concur.verify.engine.behaviour import Behaviour, Step
from concur.verify.engine.interning import Numbers, TooMany


class Point(NamedTuple):
    x: Any
    y: Any


class Arrow(NamedTuple):
    x: Any
    y: Any


class Box(msgspec.Struct, frozen=True):
    content: Any


class OtherBox(msgspec.Struct, frozen=True):
    content: Any


@dataclass(frozen=True)
class Crate:
    content: Any


class Colour(IntEnum):
    RED = 1


DIFFERENT: list[list[Any]] = [
    [1, True, 1.0, Colour.RED],
    [0, False, 0.0, -0.0],
    [(1, 2), Point(1, 2), Arrow(1, 2), (True, 2), (1, 2.0)],
    [((0,),), ((False,),), (Point(0, 0),)],
    [Box(1), Box(True), Box(1.0), OtherBox(1), Box((1,)), Box((True,))],
    [Box(Box(0)), Box(Box(False))],
    [Crate(1), Crate(True)],
    [frozenset((1, 2)), frozenset((True, 2)), frozenset((1.0, 2))],
    [Set((1, 2)), Set((True, 2))],
    [Map({"a": 1}), Map({"a": True}), Map({1: 1}), Map({True: 1}), Map({1: 1.0})],
    [Log((1, 2)), Log((True, 2)), Log((1, 2.0))],
    [Map({"a": Log((0,))}), Map({"a": Log((False,))})],
    [None, "", b"", ()],
]


@pytest.mark.parametrize("values", DIFFERENT, ids=lambda values: repr(values[0]))
def test_what_python_calls_equal_may_differ(values: list[Any]) -> None:
    for one, other in combinations(values, 2):
        numbers = Numbers("values", 10)
        assert numbers.number(one) != numbers.number(other)
        assert numbers.number(one) == 0
        assert numbers.number(other) == 1
    numbers = Numbers("values", 10)
    assert [numbers.number(value) for value in (*values, *values)] == [*range(len(values))] * 2
    assert list(map(type, numbers.values)) == list(map(type, values))


def test_equal_values_are_one_whatever_object_holds_them() -> None:
    numbers = Numbers("values", 10)
    first = Box((Map({"a": 1}).put("b", 2), Set((3, 4)), Log((5,)).append(6), 1.5, Point(1, 2)))
    again = Box((Map({"b": 2, "a": 1}), Set((4, 3)), Log((5, 6)), 3 / 2, Point(1, 2)))
    assert numbers.number(first) == numbers.number(again) == 0
    assert numbers[0] is first


def test_a_field_of_a_state_never_overflows() -> None:
    numbers = Numbers("local states of r1", 2)
    numbers.number("a")
    numbers.number("b")
    with pytest.raises(TooMany, match="more than 2 local states of r1"):
        numbers.number("c")


class Unsure(Behaviour):
    """1, then True, then 1.0, and it says so each time to the other one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> list[Step]:
        return [Step(1)]

    def receive(self, state: Any, source: int, message: Any) -> list[Step]:
        return [Step((type(message).__name__, state))]

    def moves(self, state: Any) -> list[tuple[str, Step]]:
        if type(state) is int and self.name == "a":
            return [("be sure", Step(True, ((1, 1),)))]
        if type(state) is bool:
            return [("be exact", Step(1.0, ((1, True),)))]
        return []


def test_states_and_messages_that_differ_in_type_are_different() -> None:
    system = System([Unsure("a"), Unsure("b")])
    found = explore(system, "depth-first")
    # a: 1, then True with the int sent, then 1.0 with the bool sent; each delivered or not, and
    # in either order if both are: 1 + 2 + (1 + 1 + 1 + 2)
    assert found.unique_states == 8
    heard = {system.parts(state).locals[1] for state in reachable(system)}
    assert ("bool", ("int", 1)) in heard
    assert ("int", ("bool", 1)) in heard


def reachable(system: System) -> list[int]:
    states = dict.fromkeys(system.initial())
    queue = list(states)
    for state in queue:
        for new in system.successors(state):
            if new not in states:
                states[new] = None
                queue.append(new)
    return queue
