"""What a `System` promises: networks, bounds, refusals, purity."""

from collections.abc import Iterable
from typing import Any

import pytest

from concur.errors import BadInput
from concur.verify import UNBOUNDED, Behaviour, System, Unobserved, explore
from concur.verify.engine.answers import Impure
from concur.verify.engine.behaviour import Step
from concur.verify.engine.interning import TooMany


class Sender(Behaviour):
    """Sends `sends` messages at first, and then `again`, up to `times`."""

    def __init__(self, sends: list[Any], again: list[Any] = [], times: int = 0) -> None:  # noqa: B006
        self.name = "sender"
        self.sends = tuple((1, message) for message in sends)
        self.again = tuple((1, message) for message in again)
        self.times = times

    def start(self) -> Iterable[Step]:
        return [Step(0, self.sends)]

    def receive(self, state: int, source: int, message: Any) -> Iterable[Step]:
        return []

    def moves(self, state: int) -> Iterable[tuple[str, Step]]:
        return [("send", Step(state + 1, self.again))] if state < self.times else []


class Counting(Behaviour):
    """Counts what it receives; ignores what is "ignored"."""

    name = "receiver"

    def start(self) -> Iterable[Step]:
        return [Step(())]

    def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
        if message == "ignored":
            return [Step(state)]
        return [Step((*state, message))]


class Answering(Behaviour):
    """Gives the answers that it is made with."""

    name = "p"

    def __init__(self, *answers: Step) -> None:
        self.answers = answers

    def start(self) -> Iterable[Step]:
        return [Step("first", ((0, "go"),))]

    def receive(self, state: str, source: int, message: Any) -> Iterable[Step]:
        return self.answers if state == "first" else ()


def received(system: System) -> set[Any]:
    """What the receiver has received in the states that nothing follows."""
    states = dict.fromkeys(system.initial())
    queue = list(states)
    ends = set()
    for state in queue:
        after = system.successors(state)
        if not after:
            ends.add(system.parts(state).locals[1])
        queue += [new for new in dict.fromkeys(after) if new not in states]
        states |= dict.fromkeys(after)
    return ends


def test_messages_arrive_in_every_order_each_once() -> None:
    assert received(System([Sender(["a", "b"]), Counting()])) == {("a", "b"), ("b", "a")}


def test_equal_messages_are_counted() -> None:
    system = System([Sender(["a", "a", "a"]), Counting()])
    assert received(system) == {("a", "a", "a")}
    assert explore(system).unique_states == 4


def test_a_loss_takes_one_message_away() -> None:
    ends = received(System([Sender(["a", "b"]), Counting()], loss=1))
    assert ends == {("a", "b"), ("b", "a"), ("a",), ("b",)}
    ends = received(System([Sender(["a", "b"]), Counting()], loss=UNBOUNDED))
    assert ends == {("a", "b"), ("b", "a"), ("a",), ("b",), ()}


def test_a_duplication_adds_one() -> None:
    assert received(System([Sender(["a"]), Counting()], duplication=2)) == {
        ("a",),
        ("a", "a"),
        ("a", "a", "a"),
    }


def test_bounds_may_name_loss_and_duplication() -> None:
    system = System([Sender(["a"]), Counting()], bounds={"loss": 1, "duplicate": 1})
    assert received(system) == {("a",), ("a", "a"), ()}


def test_a_duplicating_network_keeps_what_it_delivers() -> None:
    class Thrice(Counting):
        def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
            return [Step((*state, message))] if len(state) < 3 else []

    system = System([Sender(["a", "a"]), Thrice()], network="duplicating")
    assert received(system) == {("a", "a", "a")}
    assert explore(system).unique_states == 4


def test_a_message_that_does_nothing_stays() -> None:
    assert explore(System([Sender(["ignored"]), Counting()])).unique_states == 1
    kept = System([Sender(["ignored"]), Counting()], keep_ineffective=True)
    assert explore(kept).unique_states == 2


@pytest.mark.parametrize("most", [1, 3, 7])
def test_copies_of_a_message_are_counted_up_to_the_bound(most: int) -> None:
    """Whether sent one by one or together; with a neighbour that must not be touched."""
    one_by_one = Sender(["z", "a", "z"] if most > 1 else ["z"], ["a"], most - (most > 1))
    system = System([one_by_one, Counting()], envelopes_max=most)
    assert max(map(len, received(system))) == most + 1 + (most > 1)
    together = System([Sender(["a"] * most), Counting()], envelopes_max=most)
    assert received(together) == {("a",) * most}


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("strategy", ["breadth-first", "depth-first", "deepening"])
def test_too_many_copies_are_refused(most: int, strategy: Any) -> None:
    message = rf"more than {most} cop\w+ on the way at once of sender -> receiver: 'a'; raise"
    one_by_one = System([Sender([], ["a"], 20), Unmoved()], envelopes_max=most)
    with pytest.raises(TooMany, match=message):
        explore(one_by_one, strategy)
    together = System(
        [Sender([], ["b", *["a"] * 2 * (most + 1)], 1), Unmoved()], envelopes_max=most
    )
    with pytest.raises(TooMany, match=message):
        explore(together, strategy)
    at_first = System([Sender(["a"] * 2 * (most + 1)), Unmoved()], envelopes_max=most)
    with pytest.raises(TooMany, match=message):
        explore(at_first, strategy)


class Unmoved(Behaviour):
    name = "receiver"

    def start(self) -> Iterable[Step]:
        return [Step(None)]

    def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
        return []


def test_alternatives_at_the_beginning_are_combined() -> None:
    class Choosing(Unmoved):
        def start(self) -> Iterable[Step]:
            return [Step(1), Step(2), Step(3, costs=("luck",))]

    system = System([Choosing(), Choosing()], bounds={"luck": 1})
    assert {system.parts(state).locals for state in system.initial()} == {
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2),
    }  # fmt: skip


def test_every_outcome_is_a_branch_with_its_label() -> None:
    system = System([Answering(Step("left", label="chose 1"), Step("right", label="chose 2"))])
    (state,) = system.initial()
    assert [label for label, _ in system.steps(state)] == [
        "p -> p: 'go' (chose 1)",
        "p -> p: 'go' (chose 2)",
    ]


def test_a_step_is_paid_for_in_full_or_not_taken() -> None:
    class Spender(Unmoved):
        def moves(self, state: Any) -> Iterable[tuple[str, Step]]:
            spent = state or 0
            yield "one", Step(spent + 1, costs=("coin",))
            yield "two", Step(spent + 2, costs=("coin", "coin"))
            yield "dear", Step(spent + 1, costs=("coin", "never"))

    system = System([Spender()], bounds={"coin": 3, "never": 0})
    found = explore(system)
    assert found.exhausted
    assert found.unique_states == 4
    assert found.transitions == 1 + 3 + 2  # from 0, 1 and 2 coins by one; from 0 and 1 by two


def test_a_cost_without_a_bound_is_refused() -> None:
    system = System([Answering(Step("x", costs=("crash",)))], bounds={"timeout": 1})
    with pytest.raises(BadInput, match="p has a step that costs 'crash', which has no bound"):
        explore(system)


def test_impossible_systems_are_refused() -> None:
    with pytest.raises(BadInput, match="bound 'timeout': -2"):
        System([Unmoved()], bounds={"timeout": -2})
    with pytest.raises(BadInput, match="duplicating network doubles every message"):
        System([Unmoved()], network="duplicating", duplication=1)
    with pytest.raises(BadInput, match="envelopes_max: 0"):
        System([Unmoved()], envelopes_max=0)
    with pytest.raises(BadInput, match="p sends to place 7: expected 0 to 0"):
        explore(System([Answering(Step("x", ((7, "hello"),)))]))


def test_an_impure_behaviour_is_found_out() -> None:
    class Dice(Unmoved):
        rolled = 0

        def moves(self, state: Any) -> Iterable[tuple[str, Step]]:
            self.rolled += 1
            yield "roll", Step(((state or (0, 0))[0] + 1, self.rolled % 3))

    system = System([Dice()])
    with pytest.raises(Impure, match="receiver: moves had two different outcomes in the state"):
        explore(system)


def test_a_system_survives_control_c_at_any_time() -> None:
    """Wherever the interrupt lands, exploring it once more gives what it always does."""

    calls = 0
    last = 0
    judged: list[int] = []

    def tick() -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            raise KeyboardInterrupt

    class Sum(Unobserved):
        def initial(self) -> Any:
            return 0

        def after(self, value: Any, place: int, event: Any) -> Any:
            tick()
            return value + event

        def broken(self, value: Any) -> tuple[str, str] | None:
            tick()
            judged.append(value)
            return None

    class Hasty(int):
        """A number that is interrupted while it is looked up."""

        def __hash__(self) -> int:
            tick()
            return int(self) % 3

        def __eq__(self, other: object) -> bool:
            tick()
            return int(self) == other

    class Node(Behaviour):
        name = "n"

        def start(self) -> Iterable[Step]:
            return [Step(Hasty(0), ((0, Hasty(0)),))]

        def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
            tick()
            if message < 4:
                to = ((1 - source, Hasty(message + 1)), (source, Hasty(message + 2)))
                yield Step(Hasty((state + 1) % 4), to[: 1 + message % 2], (1 - state % 2,))

    def fresh() -> System:
        return System([Node(), Node()], Sum(), recheck_every=3, envelopes_max=7)

    expected = explore(fresh())
    assert expected.exhausted
    total, values = calls, sorted(judged)
    assert len(values) > 5
    for last in range(1, total, 3):  # noqa: B007
        calls = 0
        judged.clear()
        system = fresh()
        first = explore(system)
        again = explore(system)
        assert first.stopped_by == "interrupted"
        assert (again.unique_states, again.transitions) == (
            (expected.unique_states, expected.transitions)
        )
        assert sorted(judged) == values


def test_what_is_known_is_not_asked_for_again() -> None:
    class Slow(Counting):
        asked = 0

        def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
            self.asked += 1
            return [Step(len(state) if isinstance(state, tuple) else (state + 1) % 3)]

    slow = Slow()
    system = System([Sender([], ["a"], 3), slow, Sender([], ["b"], 3)], recheck_every=0)
    assert explore(system).transitions > 100
    assert slow.asked < 20


def test_an_observer_is_part_of_the_state_and_judged_once_a_value() -> None:
    class Judge(Unobserved):
        judged: list[Any] = []

        def initial(self) -> Any:
            return 0

        def after(self, value: Any, place: int, event: Any) -> Any:
            return value + event

        def broken(self, value: Any) -> tuple[str, str] | None:
            self.judged.append(value)
            return ("below_3", f"it is {value}") if value >= 3 else None

    class Saying(Unmoved):
        def moves(self, state: Any) -> Iterable[tuple[str, Step]]:
            yield "say", Step(None, events=(1,))

    judge = Judge()
    found = explore(
        System([Saying(), Saying()], judge, sometimes={"two": lambda value: value == 2})
    )
    assert (found.verdict, found.property, found.reason) == ("violated", "below_3", "it is 3")
    assert judge.judged == [0, 1, 2, 3]
    assert [moment.label for moment in found.trace] == ["", *["receiver: say"] * 3]
    assert [moment.label for moment in found.examples["two"]] == ["", *["receiver: say"] * 2]


def test_a_state_is_shown_in_lines() -> None:
    system = System([Sender(["a", "a"]), Counting()], loss=1)
    (state,) = system.initial()
    assert system.show(state).splitlines() == [
        "sender: 0",
        "receiver: ()",
        "sender -> receiver: 'a' (2 copies)",
        "loss: 1 left",
    ]
    assert [label for label, _ in system.steps(state)] == [
        "sender -> receiver: 'a'",
        "lost: sender -> receiver: 'a'",
    ]
