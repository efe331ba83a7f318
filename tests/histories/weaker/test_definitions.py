"""Each checker agrees with its definition, and the lattice is what it says."""

import pytest

from concur.histories import History
from concur.histories.weaker import CONSISTENCIES, check_consistency, implies, parse, spectrum
from concur.machines.kv import KeyValue
from tests.histories.weaker.brute import DEFINITIONS, Small
from tests.histories.weaker.generate import small_history, written

SLOW = ("causal", "causal-memory", "causal-convergence")


def agree(name: str, history: History) -> tuple[object, bool]:
    verdict = check_consistency(history, KeyValue(), name, budget_s=1e9)
    expected = DEFINITIONS[name](Small(history))
    shown = history.operations()
    if verdict.valid != "unknown":
        assert verdict.valid is expected, (str(verdict), shown)
        assert bool(verdict.anomaly) is not expected
    return verdict.valid, expected


def campaign(name: str, seeds: range, repeated: bool) -> None:
    operations = 4 if name in SLOW and repeated else 5
    answers: dict[tuple[object, bool], int] = {}
    for seed in seeds:
        history = small_history(seed, operations, repeated=repeated)
        answer = agree(name, history)
        answers[answer] = answers.get(answer, 0) + 1
    assert {valid for valid, _ in answers} >= {True, False}
    undecided = sum(count for (valid, _), count in answers.items() if valid == "unknown")
    rare = ("causal-memory", repeated) == (name, True) or "stale" in name
    allowed = len(seeds) // 50 if rare else 0
    assert undecided <= allowed, answers


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_checker_agrees_with_its_definition_on_unique_values(name: str) -> None:
    campaign(name, range(200 if name in SLOW else 600), repeated=False)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_checker_agrees_with_its_definition_on_repeated_values(name: str) -> None:
    campaign(name, range(200 if name in SLOW else 600), repeated=True)


@pytest.mark.campaign
@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("repeated", [False, True], ids=["unique", "repeated"])
def test_a_checker_agrees_with_its_definition_many_times(name: str, repeated: bool) -> None:
    campaign(name, range(1000, 3000 if name in SLOW else 21_000), repeated)


MODELS = [*CONSISTENCIES, "k-atomic=1", "k-atomic=3", "bounded-staleness=2ns", "eventual=2ns"]
MODELS += ["bounded-staleness=0ns"]

RARE = {
    # In a random history nobody learns so much so late.
    "causal-convergence and neither causal-memory nor pram": """
        process 0: put z 1 at 0-10
        process 0: put x 1 at 20-30
        process 0: put y 1 at 40-50
        process 1: put x 2 at 0-10
        process 1: get z nothing at 20-30
        process 1: get y 1 at 60-70
        process 1: get x 2 at 80-90
    """,
    # Nor does knowledge often run in a circle.
    "all that knows no real time and not writes-follow-reads": """
        process 0: get x 1
        process 0: put y 2
        process 1: get y 2
        process 1: put x 1
    """,
    # It takes more than 100 ms.
    "k-atomic and not bounded-staleness": """
        process 0: put x 1 at 0-10
        process 0: put x 2 at 20-30
        process 1: get x 1 at 300000000-300000010
    """,
}


def verdicts(history: History) -> dict[str, object]:
    return {
        name: check_consistency(history, KeyValue(), name, budget_s=1e9).valid for name in MODELS
    }


def implications_hold(seeds: range) -> None:
    pairs = [
        (strong, weak)
        for strong in MODELS
        for weak in MODELS
        if strong != weak and implies(parse(strong), parse(weak))
    ]
    histories = [
        small_history(seed, 8, ("x",) if seed % 2 else ("x", "y"), repeated=seed % 8 == 0)
        for seed in seeds
    ]
    separated = set()
    for number, history in enumerate([*map(written, RARE.values()), *histories]):
        valid = verdicts(history)
        for strong, weak in pairs:
            assert not (valid[strong] is True and valid[weak] is False), (number, strong, weak)
        separated |= {
            (a, b) for a in MODELS for b in MODELS if valid[a] is True and valid[b] is False
        }
    for strong in MODELS:  # and nothing else is implied
        for weak in MODELS:
            if strong != weak and (strong, weak) not in pairs:
                assert (strong, weak) in separated, f"does {strong} imply {weak}?"


def test_what_implies_what_holds_between_independent_verdicts() -> None:
    implications_hold(range(1500))


@pytest.mark.campaign
def test_what_implies_what_holds_many_times() -> None:
    implications_hold(range(10_000, 60_000))


def test_spectrum_gives_the_verdicts_of_the_single_checks() -> None:
    for seed in range(300):
        history = small_history(seed, operations=8, repeated=seed % 4 == 0)
        placed = spectrum(history, KeyValue(), budget_s=1e9)
        assert [p.consistency.partition("=")[0] for p in placed.placements] == list(CONSISTENCIES)
        for placement in placed.placements:
            verdict = check_consistency(history, KeyValue(), placement.consistency, budget_s=1e9)
            if verdict.valid != "unknown":
                expected = "holds" if verdict.valid else "broken"
                assert placement.status == expected, (seed, str(placed))
        broken = placed.first_broken
        if broken is not None:
            assert broken.verdict is not None
            assert broken.verdict.anomaly
