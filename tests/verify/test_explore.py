"""What `explore` answers: shortest traces, honest ends, claims that must be met, deadlocks."""

import signal
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from concur.errors import BadInput
from concur.verify import Budget, Exploration, Model, Progress, explore
from concur.verify.budget import memory_bytes
from concur.verify.explore import Inconsistent
from tests.verify.increment_lock import FINISHED, IncrementLock
from tests.verify.paxos_register import ForgetfulServer, paxos_register
from tests.verify.single_copy_register import single_copy_register
from tests.verify.two_phase_commit import TwoPhaseCommit
from tests.verify.voting import Voting

STRATEGIES: list[Any] = ["breadth-first", "depth-first", "deepening"]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


class Walk(Model[tuple[int, int]]):
    """North and east from the origin, without end unless `size` bounds it."""

    name = "a walk"

    def __init__(
        self,
        size: int | None = None,
        at: Callable[[tuple[int, int]], None] = lambda state: None,
        forbidden: tuple[int, int] | None = None,
    ) -> None:
        self.size = size
        self.at = at
        self.forbidden = forbidden

    def initial(self) -> Iterable[tuple[int, int]]:
        return [(0, 0)]

    def steps(self, state: tuple[int, int]) -> Iterable[tuple[str, tuple[int, int]]]:
        self.at(state)
        north, east = state
        if self.size is None or north < self.size:
            yield "north", (north + 1, east)
        if self.size is None or east < self.size:
            yield "east", (north, east + 1)

    def broken(self, state: tuple[int, int]) -> tuple[str, str] | None:
        return ("avoid", f"it went to {state}") if state == self.forbidden else None

    def done(self, state: tuple[int, int]) -> bool:
        return state == (self.size, self.size)


def assert_replays(model: Model[Any], found: Exploration) -> None:
    """Each state of the trace follows from the one before by the step with that label."""
    assert found.trace[0].label == ""
    assert found.trace[0].state in list(model.initial())
    for before, after in zip(found.trace, found.trace[1:], strict=False):
        assert (after.label, after.state) in list(model.steps(before.state))


# --- traces ---------------------------------------------------------------------------------------


@every_strategy
def test_a_trace_replays_and_ends_where_it_is_wrong(strategy: Any) -> None:
    model = Walk(6, forbidden=(3, 2))
    found = explore(model, strategy)
    assert (found.verdict, found.property, found.reason) == (
        "violated",
        "avoid",
        "it went to (3, 2)",
    )
    assert_replays(model, found)
    assert found.trace[-1].state == (3, 2)
    assert not found.exhausted
    assert found.stopped_by == ""
    assert "stopped at a violation" in found.covered


@every_strategy
def test_a_wrong_beginning_is_a_trace_of_one_state(strategy: Any) -> None:
    found = explore(Walk(forbidden=(0, 0)), strategy)
    assert found.verdict == "violated"
    assert [moment.state for moment in found.trace] == [(0, 0)]


PLANTED: list[Any] = [
    pytest.param(lambda: single_copy_register(2, servers=2), "linearizability", 4, id="no copies"),
    pytest.param(lambda: IncrementLock(2, locks=False), "no_lost_update", 6, id="no lock"),
    pytest.param(lambda: Voting(looks_back=False), "agreement", 4, id="voting blindly"),
    pytest.param(lambda: TwoPhaseCommit(3, hears_all=False), "consistent", 7, id="one unheard"),
    pytest.param(
        lambda: paxos_register(2, kind=ForgetfulServer), "linearizability", 17, id="Paxos"
    ),
]


@pytest.mark.parametrize(("make", "name", "steps"), PLANTED)
def test_a_planted_bug_is_found_by_a_shortest_trace(
    make: Callable[[], Model[Any]], name: str, steps: int
) -> None:
    """All states that are nearer are right, which two different searches say."""
    lengths = []
    for strategy in STRATEGIES:
        model = make()
        found = explore(model, strategy, symmetry=False)
        assert (found.verdict, found.property) == ("violated", name)
        assert_replays(model, found)
        lengths.append(len(found.trace) - 1)
    assert lengths[0] == lengths[2] == steps
    assert lengths[1] >= steps


@every_strategy
def test_with_symmetry_a_trace_is_still_one_of_real_states(strategy: Any) -> None:
    model = IncrementLock(3, locks=False)
    found = explore(model, strategy)
    assert found.symmetry
    assert found.property == "no_lost_update"
    assert_replays(model, found)
    names = {moment.label.split()[1] for moment in found.trace[1:]}
    assert len(names) >= 2, "one thread alone loses nothing"


def test_a_model_that_contradicts_itself_is_reported() -> None:
    class Forked(Walk):
        def successors(self, state: tuple[int, int]) -> Iterable[tuple[int, int]]:
            return [(state[0] + 2, state[1])]

    with pytest.raises(Inconsistent, match="a walk: successors and steps"):
        explore(Forked(forbidden=(4, 0)))


# --- ends -----------------------------------------------------------------------------------------


@every_strategy
def test_a_finite_space_is_exhausted(strategy: Any) -> None:
    found = explore(Walk(9), strategy, Budget(seconds=3600, states=100, bytes=1 << 50))
    assert found.verdict == "holds"
    assert found.exhausted
    assert found.stopped_by == ""
    assert (found.unique_states, found.transitions) == (100, 1 + 2 * 9 * 10)
    assert found.depth == 18
    assert found.covered == "exhausted: 100 states of a walk, depth 18"


def assert_honest(found: Exploration, stopped_by: str) -> None:
    assert found.verdict == "unknown"
    assert not found.exhausted
    assert found.stopped_by == stopped_by
    assert found.trace == ()
    assert found.covered.startswith(f"not exhausted (stopped by {stopped_by}): ")
    assert f"{found.unique_states:,} states of a walk" in found.covered
    assert found.unique_states > 0
    # Within n steps of the origin there are (n + 1)(n + 2) / 2 states.
    if "all states within" in found.covered:
        steps = int(found.covered.split("all states within ")[1].split()[0])
        assert (steps + 1) * (steps + 2) // 2 <= found.unique_states
        assert steps <= found.depth


@every_strategy
def test_an_infinite_space_ends_with_the_time(strategy: Any) -> None:
    found = explore(Walk(), strategy, Budget(seconds=0.1))
    assert_honest(found, "seconds")
    assert found.seconds >= 0.1
    assert found.states_per_second == found.unique_states / found.seconds


@every_strategy
@pytest.mark.parametrize("most", [1, 2, 99])
def test_an_infinite_space_ends_with_the_states(strategy: Any, most: int) -> None:
    found = explore(Walk(), strategy, Budget(states=most))
    assert_honest(found, "states")
    assert most < found.unique_states <= most + 2  # the successors of one state


@every_strategy
def test_an_infinite_space_ends_with_the_memory(strategy: Any) -> None:
    class Heavy(Walk):
        """With 100,000 characters of luggage."""

        def initial(self) -> Iterable[Any]:
            return [(0, 0, "")]

        def steps(self, state: Any) -> Iterable[Any]:
            for label, place in super().steps(state[:2]):
                yield label, (*place, str(place) * (100_000 // len(str(place))))

    most = memory_bytes() + (32 << 20)
    found = explore(Heavy(), strategy, Budget(bytes=most, seconds=60))
    assert_honest(found, "memory")
    assert found.unique_states > 20


@every_strategy
def test_a_lack_of_memory_is_an_end_like_others(strategy: Any) -> None:
    def at(state: tuple[int, int]) -> None:
        if sum(state) == 20:
            raise MemoryError

    assert_honest(explore(Walk(at=at), strategy), "memory")


@every_strategy
def test_control_c_gives_a_partial_answer(strategy: Any) -> None:
    def at(state: tuple[int, int]) -> None:
        if sum(state) == 20:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        found = explore(Walk(at=at), strategy)
    finally:
        signal.signal(signal.SIGINT, before)
    assert_honest(found, "interrupted")
    if strategy != "depth-first":
        assert "all states within 20 steps were seen" in found.covered


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(BadInput, match="strategy: 'random', expected one of breadth-first, depth"):
        explore(Walk(3), "random")  # type: ignore[arg-type]


@every_strategy
def test_what_a_model_raises_is_raised(strategy: Any) -> None:
    def at(state: tuple[int, int]) -> None:
        assert sum(state) < 5, "a bug of the model"

    with pytest.raises(AssertionError, match="a bug of the model"):
        explore(Walk(at=at), strategy)


@every_strategy
def test_progress_is_told(strategy: Any) -> None:
    told: list[Progress] = []
    found = explore(Walk(), strategy, Budget(seconds=0.8), progress=told.append)
    assert told
    assert [progress.states for progress in told] == sorted(progress.states for progress in told)
    assert all(0 < progress.states <= found.unique_states for progress in told)
    assert all(0 < progress.transitions <= found.transitions for progress in told)
    assert all(progress.queue > 0 and progress.depth > 0 for progress in told)
    assert all(progress.states_per_second > 0 for progress in told)


# --- claims and deadlocks -------------------------------------------------------------------------


@every_strategy
def test_a_claim_that_is_met_has_an_example(strategy: Any) -> None:
    model = IncrementLock(2)
    model.sometimes = {
        "both are through": lambda state: all(thread.at == FINISHED for thread in state.threads),
        "it begins": lambda state: state.counter == 0,
    }
    found = explore(model, strategy)
    assert found.verdict == "holds"
    assert set(found.examples) == set(model.sometimes)
    assert found.examples["both are through"][-1].state.counter == 2
    assert len(found.examples["it begins"]) == 1


@every_strategy
def test_a_claim_that_is_never_met_is_a_violation_once_all_is_seen(strategy: Any) -> None:
    model = Walk(4)
    model.sometimes = {"far away": lambda state: state == (9, 9)}
    found = explore(model, strategy)
    assert (found.verdict, found.property, found.exhausted) == ("violated", "far away", True)
    assert found.reason == "no reachable state is so"
    assert explore(model, strategy, Budget(states=10)).verdict == "unknown"


class Dining(Model[tuple[int, ...]]):
    """Philosophers who take one fork, then the other, eat, and lay both down.

    A state has, for each, how many forks they hold. Whoever is `left_handed` begins on the left.
    """

    name = "dining philosophers"

    def __init__(self, left_handed: list[bool]) -> None:
        self.left_handed = left_handed

    def initial(self) -> Iterable[tuple[int, ...]]:
        return [(0,) * len(self.left_handed)]

    def steps(self, state: tuple[int, ...]) -> Iterable[tuple[str, tuple[int, ...]]]:
        count = len(state)
        taken = {fork for number, held in enumerate(state) for fork in self.forks(number)[:held]}
        for number, held in enumerate(state):
            if held == 2:
                name, now = "lays down", 0
            elif self.forks(number)[held] not in taken:
                name, now = "takes", held + 1
            else:
                continue
            yield f"{number} {name}", (*state[:number], now, *state[number + 1 : count])

    def forks(self, number: int) -> tuple[int, int]:
        left, right = number, (number + 1) % len(self.left_handed)
        return (left, right) if self.left_handed[number] else (right, left)


@every_strategy
def test_a_deadlock_is_found_where_nothing_follows(strategy: Any) -> None:
    model = Dining([True] * 4)
    found = explore(model, strategy, deadlock=True)
    assert (found.verdict, found.property) == ("violated", "deadlock")
    assert found.trace[-1].state == (1, 1, 1, 1)
    assert_replays(model, found)
    if strategy != "depth-first":
        assert len(found.trace) == 5
    assert explore(model, strategy).verdict == "holds"
    assert explore(Dining([True, True, True, False]), strategy, deadlock=True).verdict == "holds"


@every_strategy
def test_an_end_that_is_meant_is_no_deadlock(strategy: Any) -> None:
    assert explore(Walk(3), strategy, deadlock=True).verdict == "holds"


def test_nothing_to_begin_with_is_exhausted_at_once() -> None:
    class Nothing(Walk):
        def initial(self) -> Iterable[tuple[int, int]]:
            return []

    for strategy in STRATEGIES:
        found = explore(Nothing(), strategy)
        assert (found.unique_states, found.exhausted, found.depth) == (0, True, 0)
