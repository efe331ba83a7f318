"""Wall clocks in the model checker: ties, skew, and being set back."""

from typing import Any

import pytest

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines.kv import Get
from concur.node import SECOND
from concur.verify.budget import Budget
from concur.verify.nodes.clocks import Clocks
from concur.verify.reductions.reduced import explore_reduced
from concur.verify.scenario import Scenario
from concur.verify.stories.counterexample import Counterexample
from concur.verify.verify import verify_scenario
from tests.verify.ping import OnTheWall
from tests.verify.stamps import (
    ASecondOff,
    AtOnce,
    ByTheClock,
    CommitWait,
    Hybrid,
    LaterIsGreater,
    NeverBack,
    NoTwoAlike,
)

ONCE, TWICE = ((Get("x"),),), ((Get("x"),), (Get("x"),))


def scenario(protocol: Protocol, **bounds: Any) -> Scenario:
    given: dict[str, Any] = {
        "replicas": 2,
        "clients": 1,
        "commands": ONCE,
        "timeouts_max": 0,
        "properties": (NoTwoAlike(), LaterIsGreater()),
    }
    return Scenario(protocol=protocol, **{**given, **bounds})


def answer(protocol: Protocol, **bounds: Any) -> tuple[str, str]:
    found = verify_scenario(scenario(protocol, **bounds), strategy="breadth-first", budget=Budget())
    return found.verdict, found.property


# --- what breaks, and what does not ---------------------------------------------------------------


def test_stamps_that_are_readings_alone_are_alike_when_clocks_tie() -> None:
    assert answer(ByTheClock(), clock_max=1) == ("violated", NoTwoAlike.name)


def test_clocks_tie_however_good_they_are() -> None:
    assert answer(ByTheClock(), clock_max=1, skew_max=0) == ("violated", NoTwoAlike.name)


def test_one_clock_ties_with_itself() -> None:
    twice = {"replicas": 1, "clients": 2, "commands": TWICE}
    assert answer(ByTheClock(), clock_max=3, **twice) == ("violated", NoTwoAlike.name)


@pytest.mark.parametrize("skew", [None, 0, 1])
@pytest.mark.parametrize("faults", ["", "jump=1"])
def test_stamps_with_a_count_and_a_name_differ_whatever_clocks_say(
    skew: int | None, faults: str
) -> None:
    bounds = {"clients": 2, "commands": TWICE, "clock_max": 2, "skew_max": skew, "faults": faults}
    assert answer(Hybrid(), **bounds) == ("holds", "")


@pytest.mark.parametrize(("skew", "verdict"), [(0, "holds"), (1, "violated"), (None, "violated")])
def test_who_trusts_in_synchronized_clocks_is_wrong_when_they_are_not(
    skew: int | None, verdict: str
) -> None:
    assert answer(AtOnce(), clock_max=3, skew_max=skew)[0] == verdict


@pytest.mark.parametrize(("skew", "verdict"), [(0, "holds"), (1, "holds"), (2, "violated")])
def test_who_trusts_in_a_bound_of_the_skew_is_wrong_beyond_it(skew: int, verdict: str) -> None:
    assert answer(ASecondOff(), clock_max=5, skew_max=skew, timeouts_max=3)[0] == verdict


@pytest.mark.parametrize("skew", [0, 1, 2, None])
def test_who_waits_for_certainty_is_right_whatever_the_skew(skew: int | None) -> None:
    assert answer(CommitWait(), clock_max=5, skew_max=skew, timeouts_max=3) == ("holds", "")


@pytest.mark.parametrize(("skew", "ends"), [(0, True), (1, True), (None, False)])
def test_certainty_comes_where_the_skew_is_bounded(skew: int | None, ends: bool) -> None:
    here = scenario(CommitWait(), clock_max=5, skew_max=skew, timeouts_max=2).system()
    assert any("Stamped" in label for label in labels(here)) is ends


@pytest.mark.parametrize(("faults", "verdict"), [("", "holds"), ("jump=1", "violated")])
def test_a_clock_may_be_set_back_where_that_is_a_fault(faults: str, verdict: str) -> None:
    bounds = {"replicas": 1, "clients": 2, "commands": TWICE, "clock_max": 2, "faults": faults}
    assert answer(NeverBack(), **bounds)[0] == verdict
    assert answer(NeverBack(), **bounds, skew_max=1)[0] == verdict


# --- what clocks may say --------------------------------------------------------------------------


def labels(model: Any) -> set[str]:
    found: set[str] = set()
    fresh = list(model.initial())
    seen = set(fresh)
    while fresh:
        for label, after in model.steps(fresh.pop()):
            found.add(label)
            if after not in seen:
                seen.add(after)
                fresh.append(after)
    return found


def test_each_reading_is_a_branch_and_says_what_was_read() -> None:
    model = scenario(ByTheClock(), replicas=1, clock_max=2).system()
    readings = {label.rpartition("(")[2] for label in labels(model) if "Stamp()" in label}
    assert readings == {f"its clock says {said})" for said in range(3)}


@pytest.mark.parametrize(
    ("skew", "last", "time", "said"),
    [
        (5, 0, 0, [0, 1, 2, 3, 4, 5]),
        (5, 3, 0, [3, 4, 5]),
        (0, 1, 2, [2]),
        (1, 0, 2, [1, 2, 3]),
        (1, 2, 2, [2, 3]),
        (1, 0, 5, [4, 5]),
    ],
)
def test_readings_go_on_from_the_last_and_stay_near_the_true_time(
    skew: int, last: int, time: int, said: list[int]
) -> None:
    assert Clocks(5, skew).readings(last, time) == said


def test_at_every_time_at_which_a_clock_can_be_read_it_says_something() -> None:
    for skew in range(4):
        for jumps in (False, True):
            clocks = Clocks(4, skew, jumps)
            for last in range(5):
                for time in clocks.times(last):
                    assert clocks.readings(last, time)


def test_the_true_time_lies_in_every_interval() -> None:
    """And a clock goes on after a crash: it stands on the host."""
    bounds = {"clock_max": 4, "skew_max": 1, "timeouts_max": 1, "faults": "crash=1"}
    here = scenario(CommitWait(), **bounds).system()
    fresh = list(here.initial())
    seen = set(fresh)
    while fresh:
        state = fresh.pop()
        locals_ = here.parts(state).locals
        time, stamp = locals_[-1].wall, locals_[0]
        for action, after in here.actions(state):
            if action.place == 0 and action.step.label:
                said = here.parts(after).locals[0].wall
                assert time - 1 <= said <= time + 1
                assert said >= stamp.wall
            if action.name == "crash":
                assert here.parts(after).locals[action.place].wall == locals_[action.place].wall
            if after not in seen:
                seen.add(after)
                fresh.append(after)
    assert len(seen) > 100


def test_readings_are_whole_seconds() -> None:
    model = scenario(OnTheWall(), replicas=1, clock_max=2).system()
    fresh, found = list(model.initial()), set()
    while fresh:
        state = fresh.pop()
        node = model.parts(state).locals[0].seats[0].node
        found.add(node[0][model.behaviours[0].seats[0][1].node.fields_.index("forgotten")])  # type: ignore[attr-defined]
        fresh += model.successors(state)
    assert found == {0, SECOND, 2 * SECOND}


def test_time_goes_on_in_a_prologue_and_is_not_refilled() -> None:
    here = scenario(AtOnce(), clock_max=2, skew_max=0, prologue=("true time: is 1",)).system()
    (state,) = here.initial()
    assert here.parts(state).locals[-1].wall == 1
    assert here.parts(state).left == {"time": 1}


@pytest.mark.parametrize("protocol", [AtOnce(), ASecondOff(), CommitWait(), Hybrid()])
@pytest.mark.parametrize("skew", [None, 0, 1, 2])
def test_reductions_know_that_time_is_not_just_another_bound(
    protocol: Protocol, skew: int | None
) -> None:
    here = scenario(protocol, clock_max=4, skew_max=skew, timeouts_max=2)
    whole = verify_scenario(here, strategy="breadth-first", budget=Budget())
    assert explore_reduced(here.system()).verdict == whole.verdict


@pytest.mark.parametrize(("protocol", "skew"), [(AtOnce(), None), (ASecondOff(), 2)])
def test_a_story_tells_what_clocks_said(protocol: Protocol, skew: int | None) -> None:
    here = scenario(protocol, clock_max=5, skew_max=skew, timeouts_max=3)
    found = verify_scenario(here, strategy="breadth-first", budget=Budget())
    assert "its clock says" in " ".join(found.trace)
    transcript = Counterexample.of(here, found).transcript()
    assert f"BROKEN {LaterIsGreater.name}: {found.reason}" in transcript


# --- what is told, and refused --------------------------------------------------------------------


def test_bounds_of_clocks_are_told() -> None:
    bounds = scenario(AtOnce(), clock_max=2, faults="jump=1").bounds()
    assert (bounds["clock"], bounds["skew"], bounds["jump"]) == (2, "any", 1)
    assert "clock" not in scenario(AtOnce()).bounds()


@pytest.mark.parametrize(
    ("protocol", "bounds", "words"),
    [
        (AtOnce(), {}, "synchronized_clock, which .* expected clock_max > 0"),
        (OnTheWall(), {}, "s1 reads the wall clock, which .* without a clock_max"),
        (AtOnce(), {"clock_max": -1}, "clock_max: -1, expected a whole number from 0"),
        (AtOnce(), {"clock_max": 1, "skew_max": -1}, "skew_max: -1, expected a whole number"),
        (OnTheWall(), {"skew_max": 1}, "skew_max: there are no wall clocks"),
        (OnTheWall(), {"faults": "jump"}, "faults jump: there are no wall clocks"),
    ],
)
def test_clocks_that_cannot_be_are_refused(
    protocol: Protocol, bounds: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        answer(protocol, **bounds)
    assert "\n" not in str(refusal.value)
