"""Models in which an operation may lead to several states, against trying all their runs."""

from collections.abc import Iterable
from typing import Any

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import History, assert_consistent, check
from concur.histories.models import UNKNOWN, Asked, Nondeterministic, model, nondeterministic
from concur.histories.stream import check_stream
from concur.histories.weaker import check_consistency
from tests.histories.helpers import Call, history_of
from tests.histories.models.plain import precedes


class Bag(Nondeterministic):
    """Takes come in any order, and an `add` may be lost."""

    name = "lossy-bag"

    def starts(self) -> Iterable[Any]:
        return ((),)

    def step(self, state: Any, command: Asked, result: Any) -> Iterable[Any]:
        if command.f == "add":
            return (tuple(sorted((*state, command.value))), state)
        if result is None:
            return (state,) if not state else ()
        rests = [(value, (*state[:i], *state[i + 1 :])) for i, value in enumerate(state)]
        if result is UNKNOWN:
            return (state, *(rest for _, rest in rests))
        return [rest for value, rest in rests if value == result]


class Stale(Nondeterministic):
    """A register of which a read may see the value before the last."""

    name = "stale"
    per_key = True

    def starts(self) -> Iterable[Any]:
        return ((None, None),)

    def step(self, state: Any, command: Asked, result: Any) -> Iterable[Any]:
        if command.f == "write":
            return ((state[1], command.value),)
        return (state,) if result is UNKNOWN or result in state else ()


class Broken(Stale):
    def step(self, state: Any, command: Asked, result: Any) -> Iterable[Any]:
        raise ZeroDivisionError("what a step should not do")


def some_run(history: History, found: Nondeterministic) -> bool:
    """Try all orders, and in each all runs of the model, one state at a time."""
    ops = [op for op in history.operations() if op.type != "fail"]
    before = [
        [a for a, one in enumerate(ops) if a != b and precedes(one, other)]
        for b, other in enumerate(ops)
    ]
    seen = set()

    def explore(done: frozenset[int], states: tuple[tuple[Any, Any], ...]) -> bool:
        if all(i in done for i, op in enumerate(ops) if op.type != "info"):
            return True
        if (done, states) in seen:
            return False
        seen.add((done, states))
        of = dict(states)
        for i, op in enumerate(ops):
            if i in done or not all(a in done for a in before[i]):
                continue
            key = op.key if found.per_key else None
            asked = Asked(op.f, op.key, op.value)
            for start in [of[key]] if key in of else found.starts():
                result = UNKNOWN if op.type == "info" else op.result
                for after in found.step(start, asked, result):
                    moved = tuple(sorted({**of, key: after}.items(), key=repr))
                    if explore(done | {i}, moved):
                        return True
        return False

    return explore(frozenset(), ())


def random_history(seed: int, asks: list[Any], results: list[Any]) -> History:
    chance = Stream(seed, "nondeterministic")
    spread = chance.choice([0, 1, 3, 6])
    pending = chance.choice([0.0, 0.2])
    clock, number = [0] * 3, [0, 1, 2]
    calls = []
    for f, key, value in chance.sample(asks, chance.between(2, 6)):
        slot = chance.below(3)
        start = clock[slot] + chance.below(spread + 1)
        clock[slot] = end = start + chance.below(spread + 1)
        result = chance.choice(results) if f in ("take", "read") else None
        call = Call(number[slot], f, key, value, start, end, result=result)
        if chance.chance(pending):
            call = Call(number[slot], f, key, value, start, end, type="info")
            number[slot] += 3
        elif chance.chance(0.05):
            error = chance.choice(["mismatch", None])
            call = Call(number[slot], f, key, value, start, end, type="fail", error=error)
        calls.append(call)
    return history_of(calls, chance=chance)


ASKS = {
    Bag: [("add", None, i % 3) for i in range(5)] + [("take", None, None)] * 5,
    Stale: [("write", key, i) for key in "xy" for i in range(3)]
    + [("read", key, None) for key in "xy"] * 4,
}


def agree(kind: type[Nondeterministic], seeds: range) -> None:
    answers = set()
    for seed in seeds:
        history = random_history(seed, ASKS[kind], [0, 1, 2, None])
        right = some_run(history, kind())
        verdict = check(history, kind(), budget_s=1e9)
        if verdict.valid == "unknown":  # of keys that are machines of their own
            assert kind.per_key
            assert "several processes go on at equal times" in verdict.reason
            continue
        assert verdict.valid is right, (seed, right, str(verdict), history.operations())
        answers.add(right)
    assert answers == {True, False}


@pytest.mark.parametrize("kind", ASKS)
def test_the_power_set_agrees_with_trying_all_runs(kind: type[Nondeterministic]) -> None:
    agree(kind, range(500))


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ASKS)
def test_the_power_set_agrees_with_trying_all_runs_of_many(kind: type[Nondeterministic]) -> None:
    agree(kind, range(500, 20_000))


def stale_read(result: Any) -> History:
    made = History()
    for i in range(3):
        op = made.invoke(0, "write", "x", i, 10 * i)
        made.complete(op, "ok", i, 10 * i + 5)
    made.complete(made.invoke(1, "read", "x", None, 50), "ok", result, 55)
    return made


def test_it_is_found_by_its_path_and_says_what_does_not_fit() -> None:
    found = model("tests.histories.models.test_nondeterministic:Stale")
    assert assert_consistent(stale_read(1), found).valid is True
    verdict = check(stale_read(0), found)
    assert verdict.valid is False
    assert "process 1: read('x'" in verdict.anomaly[0]
    assert "(1, 2)" in verdict.anomaly[-1]
    assert check_stream(stale_read(0).events(), found).valid is False


def test_true_and_one_are_different_states() -> None:
    made = History()
    for value in (True, 1):
        made.complete(made.invoke(0, "write", "x", value, 0), "ok", value, 0)
    assert check(made, Stale()).valid is True


def test_a_step_that_raises_is_no_verdict() -> None:
    with pytest.raises(BadInput, match="model stale: its step failed: ZeroDivisionError: what a"):
        check(stale_read(1), Broken())


def test_what_earlier_checks_met_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nondeterministic, "STATES_MAX", 10)
    found = Stale()
    for start in range(0, 100, 4):
        made = History()
        for value in range(start, start + 4):
            made.complete(made.invoke(0, "write", "x", value, value), "ok", value, value)
        assert check(made, found).valid is True


def test_more_states_than_fit_are_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nondeterministic, "STATES_MAX", 10)
    calls = [Call(0, "add", None, value, 10 * value, 10 * value + 5) for value in range(5)]
    verdict = check(history_of(calls), Bag())
    assert verdict.valid == "unknown"
    assert verdict.reason == "undecided: the search ran out of 10 states at once within its budget"
    assert check_stream(history_of(calls).events(), Bag()).valid == "unknown"
    assert check(history_of(calls[:3]), Bag()).valid is True


class NoStarts(Stale):
    def starts(self) -> Any:
        return 3


class EmptyStarts(Stale):
    def starts(self) -> Any:
        return ()


@pytest.mark.parametrize("consistency", ["linearizable", "sequential"])
@pytest.mark.parametrize("broken", [NoStarts(), EmptyStarts(), Broken()])
def test_a_model_that_fails_is_no_verdict_of_any_consistency(
    broken: Nondeterministic, consistency: str
) -> None:
    history = history_of(
        [Call(0, "write", "x", 1, 0, 1), Call(1, "read", "x", None, 2, 3, result=1)]
    )
    with pytest.raises(BadInput, match="model stale: its step failed: "):
        check_consistency(history, broken, consistency)
