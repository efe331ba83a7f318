"""Every model agrees with trying all orders of an object that was written down a second time."""

import importlib
from typing import Any

import pytest

from concur.errors import BadInput
from concur.histories import History, check
from concur.histories.certificate import verify
from concur.histories.models import MODELS, model
from concur.histories.stream import check_stream
from concur.histories.weaker import check_consistency
from tests.histories.helpers import Call, history_of
from tests.histories.models.generate import small_history
from tests.histories.models.plain import PLAIN, valid

SEEDS = 500
CAMPAIGN_SEEDS = 6000


def agree(name: str, seeds: range) -> None:
    kind, plain = PLAIN[name]
    found = model(kind, **dict(plain.arguments))
    answers = set()
    for seed in seeds:
        history = small_history(name, plain, seed)
        right = valid(history, plain)
        verdict = check(history, found, budget_s=1e9, certificate=True)
        assert verdict.valid is right, (seed, right, str(verdict), history.operations())
        assert bool(verdict.anomaly) is not right
        assert (verdict.certificate is not None) is right
        if verdict.certificate is not None:
            assert verify(history, found, verdict.certificate) == [], seed
        streamed = check_stream(history.events(), found, budget_s=1e9, piece_min=2)
        assert streamed.valid in (right, "unknown"), (seed, right, str(streamed))
        answers.add(right)
    assert answers == {True, False}


@pytest.mark.parametrize("name", PLAIN)
def test_a_model_agrees_with_trying_all_orders(name: str) -> None:
    agree(name, range(SEEDS))


@pytest.mark.campaign
@pytest.mark.parametrize("name", PLAIN)
def test_a_model_agrees_with_trying_all_orders_of_many(name: str) -> None:
    agree(name, range(SEEDS, SEEDS + CAMPAIGN_SEEDS))


def search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("concur.histories.check"), "DECIDERS", {})


@pytest.mark.parametrize("name", PLAIN)
def test_the_search_alone_agrees_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search_alone(monkeypatch)
    agree(name, range(SEEDS // 2))


@pytest.mark.campaign
@pytest.mark.parametrize("name", PLAIN)
def test_the_search_alone_agrees_on_many(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search_alone(monkeypatch)
    agree(name, range(SEEDS, SEEDS + CAMPAIGN_SEEDS))


def test_every_model_is_tried() -> None:
    assert {kind for kind, _ in PLAIN.values()} == set(MODELS)


@pytest.mark.parametrize("name", PLAIN)
def test_sequential_consistency_knows_the_models_too(name: str) -> None:
    kind, plain = PLAIN[name]
    found = model(kind, **dict(plain.arguments))
    for seed in range(60):
        history = small_history(name, plain, seed)
        if valid(history, plain):  # it implies sequential
            assert check_consistency(history, found, "sequential", 1e9).valid is True, seed


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("toaster", {}, "model 'toaster': unknown, expected one of register, cas-register, kv, "),
        ("", {}, "model '': unknown"),
        ("counter", {"initial": "x"}, "model counter: initial 'x', expected an integer"),
        ("counter", {"initial": True}, "expected an integer"),
        ("fetch-add", {"initial": None}, "model fetch-add: initial None, expected an integer"),
        ("register", {"initial": [1]}, "model register: initial [1], expected null, a boolean"),
        ("kv", {"initial": {}}, "model kv: initial {}, expected null"),
        ("set", {"initial": 1}, "model set: initial 1, expected a list of values"),
        ("set", {"initial": [1, 1]}, "expected a list of different values"),
        ("queue", {"initial": [None]}, "none of them null"),
        ("stack", {"initial": "abc"}, "expected a list of values"),
        ("priority-queue", {"initial": 0}, "expected a list of values"),
        ("lock", {"initial": []}, "expected null, a process or an owner's name"),
        ("multi-register", {"initial": ()}, "expected null"),
        ("register", {"failed_cas": "maybe"}, "failed_cas 'maybe', expected one of dropped, evi"),
        ("set", {"failed_cas": "evidence"}, "expected none: it has no compare-and-set"),
        ("no.such:Thing", {}, "cannot import no"),
        ("no.such:Thing", {"initial": 1}, "initial, expected none"),
    ],
)
def test_wrong_arguments_are_refused(name: str, arguments: Any, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        model(name, **arguments)
    assert complaint in str(refused.value)


def one_after_the_other(*calls: Any) -> History:
    """Of (process, f, value, type, result)."""
    return history_of(
        [
            Call(process, f, None, value, 10 * i, 10 * i + 5, type=type_, result=result)
            for i, (process, f, value, type_, result) in enumerate(calls)
        ]
    )


def test_a_failed_compare_and_set_is_evidence_only_if_it_is_said_to_be() -> None:
    history = one_after_the_other(
        (0, "write", 1, "ok", 1), (0, "cas", (1, 2), "fail", (1, 2)), (0, "read", None, "ok", 1)
    )
    assert check(history, model("cas-register")).valid is True
    assert check(history, model("cas-register", failed_cas="evidence")).valid is False


def test_only_the_holder_can_release() -> None:
    history = one_after_the_other(
        (0, "acquire", None, "ok", None), (1, "release", None, "ok", None)
    )
    verdict = check(history, model("lock"))
    assert verdict.valid is False
    assert "process 1: release(1) -> True" in verdict.anomaly[0]
    failed = one_after_the_other(
        (0, "acquire", None, "ok", None),
        (1, "release", None, "fail", None),
        (0, "release", None, "ok", None),
        (1, "acquire", None, "ok", None),
    )
    assert check(failed, model("lock")).valid is True


def test_a_lock_of_owners_and_tokens_is_our_machine() -> None:
    history = one_after_the_other(
        (0, "acquire", "ann", "ok", 1),
        (1, "acquire", "bob", "ok", None),
        (0, "release", ("ann", 1), "ok", True),
        (1, "acquire", "bob", "ok", 2),
    )
    assert check(history, model("lock")).valid is True
    with pytest.raises(BadInput, match="expected a token or null"):
        check(one_after_the_other((0, "acquire", "ann", "ok", "ann")), model("lock"))


def test_a_set_read_twice_the_same_is_no_set() -> None:
    history = one_after_the_other((0, "add", 1, "ok", 1), (0, "read", None, "ok", (1, 1)))
    assert check(history, model("set")).valid is False


@pytest.mark.parametrize(
    "steps", [None, (), (("x", "k", None),), (("r", "k"),), ("r", "k", None), (("r", None, None),)]
)
def test_what_is_no_transaction_is_refused(steps: Any) -> None:
    with pytest.raises(BadInput, match=r"history, event 0: txn"):
        check(one_after_the_other((0, "txn", steps, "ok", None)), model("multi-register"))


def test_a_transaction_is_one_instant() -> None:
    both = (("w", "x", 1), ("w", "y", 1))
    calls = [
        Call(0, "txn", None, both, 0, 9, result=both),
        Call(1, "txn", None, (("r", "x", None), ("r", "y", None)), 0, 9,
             result=(("r", "x", 1), ("r", "y", None))),
    ]  # fmt: skip
    assert check(history_of(calls), model("multi-register")).valid is False


def test_models_are_equal_if_they_are_the_same() -> None:
    assert model("kv", initial=0) == model("kv", initial=0)
    assert model("kv", initial=0) != model("kv", initial=False)
    assert model("register") != model("cas-register")
    assert model("kv") != model("kv", failed_cas="evidence")
