"""The deciders of queues, stacks and priority queues agree with the search."""

import pytest

from tests.histories.polynomial.collections_helpers import (
    PRIORITY_QUEUE,
    QUEUE,
    STACK,
    Kind,
    compare,
    judge,
    long_calls,
    plant,
)

KINDS = pytest.mark.parametrize("kind", [QUEUE, STACK, PRIORITY_QUEUE], ids=lambda k: k.name)
ANSWERS = {
    *("valid", "invalid", "valid, lost removals", "invalid, lost removals"),
    *("declined, values repeated", "cores"),
}


@KINDS
def test_they_agree_with_the_search(kind: Kind) -> None:
    answers = compare(kind, range(2000))
    assert set(answers) >= ANSWERS
    assert answers["declined"] + answers["not compared"] < 20, answers


@pytest.mark.campaign
@KINDS
def test_they_agree_with_the_search_on_many(kind: Kind) -> None:
    answers = compare(kind, range(10_000, 110_000))
    assert set(answers) >= ANSWERS
    assert answers["declined"] + answers["not compared"] < 1000, answers


@pytest.mark.parametrize("pending", [0.0, 0.01], ids=["all heard of", "some lost"])
@KINDS
def test_planted_result_in_a_long_valid_history_is_found(kind: Kind, pending: float) -> None:
    for seed in range(8):
        calls = long_calls(kind, seed, 2000, 3 + 4 * (seed % 4), pending)
        assert judge(kind, calls) is True
        if pending == 0.0:
            assert judge(kind, plant(kind, calls, seed)) is False, seed
