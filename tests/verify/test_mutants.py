"""What the model checker finds in protocols with one thing broken, and in those with none.

`tests/verify/mutants_found.py` says which, and within which bounds. Those that take seconds are
looked for here with a seed that soon finds them; all of them, with any seed, by
`benchmarks/verify_mutants.py`, and here with `-m campaign`.
"""

import pytest

from concur.base import Protocol
from concur.verify import Budget, Scenario, verify_scenario
from concur.verify.stories.counterexample import Counterexample
from tests.verify.mutants_found import BENIGN, DEPTH, MUTANTS, Found

STATES_MAX = 50_000
RIGHT_STATES = 1_000
CAMPAIGN_S = 300.0

QUICK = [found for found in MUTANTS if found.is_quick]
SLOW = [found for found in MUTANTS if not found.is_quick]
RIGHT: list[tuple[Protocol, dict[str, object]]] = [
    *((found.unbroken, found.bounds) for found in MUTANTS),
    *BENIGN,
]


def by_name(found: Found) -> str:
    return found.name


def found_in(found: Found, budget: Budget) -> Counterexample:
    scenario = found.scenario()
    answer = verify_scenario(
        scenario, strategy=found.way, budget=budget, seed=found.seed, bug_depth=DEPTH
    )
    assert answer.verdict == "violated", answer.covered
    return Counterexample.of(scenario, answer)


@pytest.mark.parametrize("found", QUICK, ids=by_name)
def test_a_mutant_is_found(found: Found) -> None:
    assert found_in(found, Budget(states=STATES_MAX)).happens()


def test_no_event_of_a_minimised_story_can_be_left_out() -> None:
    story = found_in(QUICK[-1], Budget(states=STATES_MAX)).minimised(0.0)
    assert story.happens()
    for at in range(len(story.events)):
        events = story.events[:at] + story.events[at + 1 :]
        shorter = Counterexample(
            scenario=story.scenario,
            property=story.property,
            reason=story.reason,
            events=events,
            start=story.start,
        )
        assert not shorter.happens(), story.events[at]


@pytest.mark.parametrize(
    ("protocol", "bounds"),
    RIGHT,
    ids=[f"{protocol.label}-{at}" for at, (protocol, _) in enumerate(RIGHT)],
)
def test_nothing_is_found_in_what_is_right(protocol: Protocol, bounds: dict[str, object]) -> None:
    scenario = Scenario(protocol=protocol, **bounds)  # type: ignore[arg-type]
    answer = verify_scenario(scenario, strategy="walks", budget=Budget(states=RIGHT_STATES))
    assert answer.verdict == "unknown", answer.trace


@pytest.mark.campaign
@pytest.mark.parametrize("found", SLOW, ids=by_name)
def test_a_mutant_with_a_long_story_is_found(found: Found) -> None:
    story = found_in(found, Budget(CAMPAIGN_S)).minimised()
    print(story.transcript())
    assert story.happens()


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("protocol", "bounds"),
    RIGHT,
    ids=[f"{protocol.label}-{at}" for at, (protocol, _) in enumerate(RIGHT)],
)
def test_nothing_is_found_in_what_is_right_in_a_minute(
    protocol: Protocol, bounds: dict[str, object]
) -> None:
    scenario = Scenario(protocol=protocol, **bounds)  # type: ignore[arg-type]
    answer = verify_scenario(scenario, strategy="walks", budget=Budget(60.0))
    assert answer.verdict == "unknown", answer.trace
