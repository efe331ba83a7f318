"""Integer tables approximate what they stand for, and are exact about their own sums."""

import hashlib
import math

import pytest

from concur.chance import WORD, Stream
from concur.workloads.tables import exponential_gaps, zipf, zipf_table


@pytest.mark.parametrize(
    ("keys", "exponent"), [(1, "0.99"), (10, "1.2"), (1000, "0.99"), (1000, "0.27"), (1000, "2.1")]
)
def test_zipf_weights_fall_as_a_power_of_the_rank(keys: int, exponent: str) -> None:
    table = zipf_table(keys, exponent)
    weights = [rank ** -float(exponent) for rank in range(1, keys + 1)]
    assert table[-1] == WORD
    assert len(table) == keys
    passed = 0.0
    for entry, weight in zip(table, weights, strict=True):
        passed += weight
        assert entry / WORD == pytest.approx(passed / sum(weights), abs=1e-9)


def test_the_tables_are_the_same_integers_everywhere() -> None:
    digest = hashlib.sha256(repr(zipf_table(1000, "0.99")).encode()).hexdigest()
    gap = exponential_gaps(Stream(1, "gaps"), 1_000_000)
    gaps = [gap() for _ in range(5)]
    assert digest[:16] == "10424aa043cbc84a"
    assert gaps == [874395, 2217727, 128244, 1958624, 2233551]


def test_every_rank_can_be_drawn() -> None:
    draw = zipf(Stream(1, "ranks"), 10)
    assert {draw() for _ in range(2000)} == set(range(10))


def test_the_mean_gap_is_exact_to_a_ten_thousandth() -> None:
    total = 0.0
    for index in range(1024):
        # Each quantile once, with no heads: the lowest of the coins is a one.
        stream = iter([(1 << 10) | index])
        total += exponential_gaps(stream, 10**12)()  # type: ignore[arg-type]
    below_ln2 = total / 1024 / 10**12
    # E[X] = ln 2 * E[heads] + E[X | X < ln 2], and a fair coin shows 1 head before its first tail.
    assert math.log(2) * 1 + below_ln2 == pytest.approx(1.0, rel=1e-4)
