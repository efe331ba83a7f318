"""The histories in docs/consistency.md have the models that it says, and words for a person."""

import re
from pathlib import Path

import pytest

from concur.errors import BadInput
from concur.histories.weaker import CONSISTENCIES, check_consistency, parse, spectrum
from concur.machines.kv import KeyValue
from concur.machines.register import Register
from tests.histories.helpers import Call, history_of
from tests.histories.weaker.generate import written

DOCUMENT = (Path(__file__).parents[3] / "docs" / "consistency.md").read_text("utf-8")
EXAMPLE = re.compile(r"<!-- (.*?) -->\n```text\n(.*?)```", re.S)
EXAMPLES = EXAMPLE.findall(DOCUMENT)


@pytest.mark.parametrize(("claims", "text"), EXAMPLES, ids=[claims for claims, _ in EXAMPLES])
def test_documented_example_is_what_it_says(claims: str, text: str) -> None:
    history = written(text)
    for claim in claims.split("; "):
        status, _, names = claim.partition(": ")
        for name in names.split(", "):
            verdict = check_consistency(history, KeyValue(), name)
            assert verdict.valid is (status == "holds"), (name, str(verdict))
            assert verdict.consistency == parse(name).name


def test_every_model_has_an_example_that_has_it_and_one_that_does_not() -> None:
    for name in CONSISTENCIES:
        section = DOCUMENT.split(f"\n## {name}\n")[1].split("\n## ")[0]
        claims = [claim for claim, _ in EXAMPLE.findall(section)]
        assert any(claim.startswith(f"holds: {name}") for claim in claims), name
        assert any(claim.startswith(f"broken: {name}") for claim in claims), name


def test_a_causal_violation_is_told_as_a_story() -> None:
    history = written("""
        process 0: put x 1
        process 1: get x 1
        process 1: put y 2
        process 2: get y 2
        process 2: get x nothing
    """)
    verdict = check_consistency(history, KeyValue(), "causal")
    assert str(verdict).splitlines() == [
        "INVALID: a read contradicts what came causally before it",
        "The initial value was read, but a write came causally before (WriteCOInitRead):",
        "  process 0: put('x', 1) -> ok, 0s to 0.000000005s (events 0-1)",
        "    was seen by",
        "  process 1: get('x') -> 1, 0.00000001s to 0.000000015s (events 2-3)",
        "    then, in the same process,",
        "  process 1: put('y', 2) -> ok, 0.00000002s to 0.000000025s (events 4-5)",
        "    was seen by",
        "  process 2: get('y') -> 2, 0.00000003s to 0.000000035s (events 6-7)",
        "    then, in the same process,",
        "  process 2: get('x') -> None, 0.00000004s to 0.000000045s (events 8-9)",
    ]


def test_the_spectrum_names_the_strongest_models_and_the_first_broken_one() -> None:
    history = written("""
        process 0: put x 1
        process 1: put x 2
        process 0: get x 2
        process 1: get x 1
    """)
    placed = spectrum(history, KeyValue())
    assert placed.strongest == ["causal-memory", "k-atomic=2", "bounded-staleness=100ms"]
    assert placed.first_broken is not None
    assert placed.first_broken.consistency == "eventual"
    assert placed["sequential"].follows_from == "causal-convergence"
    assert "eventual is broken:" in str(placed)


def test_a_linearizable_history_is_everything() -> None:
    history = written("process 0: put x 1\nprocess 1: get x 1")
    placed = spectrum(history, KeyValue())
    assert {placement.status for placement in placed.placements} == {"holds"}
    assert placed.strongest == ["linearizable"]
    assert placed["pram"].follows_from == "linearizable"


def test_models_of_registers_do_not_apply_to_other_operations() -> None:
    calls = [Call(0, "write", None, 1, 0, 10), Call(1, "cas", None, (1, 2), 20, 30, result=(1, 2))]
    placed = spectrum(history_of(calls), Register())
    statuses = {p.consistency.partition("=")[0]: p.status for p in placed.placements}
    assert statuses["causal"] == statuses["eventual"] == "not applicable"
    assert statuses["linearizable"] == statuses["sequential"] == "holds"


def test_a_value_out_of_thin_air_breaks_everything_and_says_if_its_write_was_refused() -> None:
    calls = [
        Call(0, "write", None, 1, 0, 10, "fail", None, "overloaded"),
        Call(1, "read", None, None, 20, 30, result=1),
    ]
    placed = spectrum(history_of(calls), Register())
    assert {placement.status for placement in placed.placements} == {"broken"}
    verdict = check_consistency(history_of(calls), Register(), "monotonic-reads")
    assert verdict.anomaly[1:] == (
        "  but nothing ever wrote 1, except for a write that was refused:",
        "process 0: write(1) -> refused (overloaded), 0s to 0.00000001s (events 0-1)",
    )


def test_an_undecided_verdict_says_which_budget_ran_out() -> None:
    calls = [Call(i, "put", "x", i % 2, 0, 10) for i in range(20)]
    calls += [
        Call(20 + i % 3, "get", "x", None, 20 + 2 * i, 21 + 2 * i, result=i % 2) for i in range(30)
    ]
    verdict = check_consistency(history_of(calls), KeyValue(), "causal", steps_max=50)
    assert (verdict.valid, verdict.reason) == (
        "unknown",
        "undecided: ran out of steps within the budget",
    )


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("strong", "unknown, expected one of eventual, monotonic-reads"),
        ("pram=3", "pram takes no parameter"),
        ("k-atomic=0", "expected a whole number from 1 to 64"),
        ("k-atomic=" + "9" * 5000, "expected a whole number from 1 to 64"),
        ("bounded-staleness=5", "expected a time such as 100ms"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(name: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        check_consistency(written("process 0: put x 1"), KeyValue(), name)


def test_parameters_are_read_and_written() -> None:
    names = ("k-atomic=2", "bounded-staleness=100ms", "eventual=1500ms", "eventual", "pram")
    assert [parse(name).name for name in names] == list(names)
    assert parse("eventual=1.5s").name == "eventual=1500ms"
    assert parse("k-atomic").name == "k-atomic=2"
