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


def test_the_document_says_what_implies_what() -> None:
    rows = dict(re.findall(r"^\| (\S+) \| ([a-z-]+(?:, [a-z-]+)*) \|$", DOCUMENT, re.M))
    implied = {name: ", ".join(model.implies) for name, model in CONSISTENCIES.items()}
    assert {name: rows.get(name, "") for name in implied} == implied


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
        ("strong", "unknown, expected one of monotonic-writes, eventual"),
        ("pram=3", "pram takes no parameter"),
        ("k-atomic=0", "expected a whole number from 1 to 64"),
        ("k-atomic=65", "expected a whole number from 1 to 64"),
        ("k-atomic=000640", "expected a whole number from 1 to 64"),
        ("k-atomic=02", "expected a whole number from 1 to 64"),
        ("k-atomic=" + "9" * 5000, "expected a whole number from 1 to 64"),
        ("bounded-staleness=5", "expected a time such as 100ms"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(name: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        check_consistency(written("process 0: put x 1"), KeyValue(), name)


HOW_CLIENTS_MAY_BE_ANSWERED = {
    # By Terry et al.: another server that knows less, or one that has another order.
    "monotonic-writes": """
        process 0: put x 1
        process 0: put x 2
        process 1: get x 2
        process 1: get x 1
    """,
    "writes-follow-reads": """
        process 0: put x 1
        process 1: get x 1
        process 1: put x 2
        process 2: get x 2
        process 2: get x 1
    """,
    "read-your-writes": """
        process 0: put x 1
        process 1: get x 1
        process 1: put x 3
        process 1: get x 1
    """,
}


@pytest.mark.parametrize("name", HOW_CLIENTS_MAY_BE_ANSWERED)
def test_a_session_guarantee_does_not_include_another(name: str) -> None:
    history = written(HOW_CLIENTS_MAY_BE_ANSWERED[name])
    assert check_consistency(history, KeyValue(), name).valid is True
    together = spectrum(history, KeyValue())
    assert together["causal-memory"].status == "broken"


def test_what_monotonic_writes_cannot_show_is_said() -> None:
    history = written(HOW_CLIENTS_MAY_BE_ANSWERED["monotonic-writes"])
    assert check_consistency(history, KeyValue(), "monotonic-writes").reason == (
        "as far as reads of single values show, which alone cannot break it (pram has it, with "
        "monotonic reads and read-your-writes)"
    )


def test_two_own_writes_that_were_each_read_last_are_told() -> None:
    history = written("""
        process 0: put x 1
        process 0: put x 2
        process 0: get x 2
        process 0: get x 1
    """)
    verdict = check_consistency(history, KeyValue(), "read-your-writes")
    assert str(verdict).splitlines() == [
        "INVALID: a process does not see its own write",
        "Process 0 read each of two writes of its own when it had made both, so neither can have "
        "been the later one:",
        "  process 0: put('x', 1) -> ok, 0s to 0.000000005s (events 0-1)",
        "  process 0: put('x', 2) -> ok, 0.00000001s to 0.000000015s (events 2-3)",
        "  process 0: get('x') -> 2, 0.00000002s to 0.000000025s (events 4-5)",
        "  process 0: get('x') -> 1, 0.00000003s to 0.000000035s (events 6-7)",
    ]


def test_a_circle_of_writes_is_told() -> None:
    history = written("""
        process 0: get x 1
        process 0: put y 2
        process 1: get y 2
        process 1: put x 1
    """)
    verdict = check_consistency(history, KeyValue(), "writes-follow-reads")
    assert verdict.anomaly[0] == (
        "Each of these writes was made after somebody saw the one before, in a circle:"
    )
    assert sorted(line.split(" ->")[0] for line in verdict.anomaly if line.startswith("  ")) == [
        "  process 0: get('x')",
        "  process 0: put('y', 2)",
        "  process 1: get('y')",
        "  process 1: put('x', 1)",
    ]


def test_a_stale_read_is_told_with_the_event_numbers_of_the_history() -> None:
    calls = [
        Call(0, "write", None, 2, 2, 3),
        Call(1, "read", None, None, 2, 3, "fail", None, "overloaded"),
        Call(2, "read", None, None, 5, 7, result=None),
    ]
    history = history_of(calls)
    verdict = check_consistency(history, Register(), "bounded-staleness=1ns")
    write = history.operations()[0]
    assert write.index == 0
    numbered = history_of([Call(3, "read", None, None, 0, 1, "fail", None, "overloaded"), *calls])
    late = check_consistency(numbered, Register(), "bounded-staleness=1ns")
    for one, event in ((verdict, 0), (late, 2)):
        assert one.valid is False
        assert f"2 was there only once, written by event {event}" in one.anomaly


def test_staleness_of_a_history_with_times_since_1970() -> None:
    start = 1_700_000_000_000_000_000
    calls = [Call(0, "put", "x", i, start + 10 * i, start + 10 * i + 5) for i in range(3)]
    calls.append(Call(1, "get", "x", None, start + 27, start + 30, result=0))
    history = history_of(calls)
    for staleness, valid in (("11ns", False), ("12ns", True)):
        name = f"bounded-staleness={staleness}"
        assert check_consistency(history, KeyValue(), name).valid is valid


def test_a_spectrum_without_the_decisive_model_first_has_its_witness() -> None:
    history = written("process 0: put x 1\nprocess 1: get x nothing")
    placed = spectrum(history, KeyValue(), consistencies=("k-atomic=1", "linearizable"))
    assert placed["k-atomic=1"].follows_from == "linearizable"
    assert placed.first_broken is not None
    assert placed.first_broken.verdict is not None
    assert "linearizable is broken:" in str(placed)
    assert "  process 1: get('x') -> None" in str(placed)


def test_parameters_are_read_and_written() -> None:
    names = ("k-atomic=2", "bounded-staleness=100ms", "eventual=1500ms", "eventual", "pram")
    assert [parse(name).name for name in names] == list(names)
    assert parse("eventual=1.5s").name == "eventual=1500ms"
    assert parse("k-atomic").name == "k-atomic=2"
