"""Draws are a function of seed and purpose, and of nothing else."""

import os
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest

from concur.chance import WORD, Stream

GOLDEN = [
    4063343513, 916356593, 3570511961, 991480299, 2837885061, 1092124038, 4216572973, 1595349979,
    1147104411, 885493606, 1298078000, 3851911334, 1804740510, 530908287, 3388874385, 1539877468,
    609223945, 4129361027,
]  # fmt: skip
"""First draws of Stream(7, "delay", "r1", "r2"). A change here changes every recorded run."""


def first(n: int, stream: Stream) -> list[int]:
    return list(islice(stream, n))


def test_first_draws_never_change() -> None:
    assert first(18, Stream(7, "delay", "r1", "r2")) == GOLDEN


PROGRAM = """
from concur.chance import Stream
s = Stream(7, "delay", "r1", "r2")
print([next(s) for _ in range(18)], s.below(10**30), s.uniform(-1, 1), s.shuffled("abcdefgh"))
"""


def test_draws_are_the_same_in_other_processes_under_other_hash_seeds() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith(str(GOLDEN))


def test_draws_do_not_depend_on_other_streams() -> None:
    alone = first(40, Stream(1, "loss"))
    loss, noise = Stream(1, "loss"), Stream(1, "noise")
    mixed = []
    for _ in range(40):
        mixed.append(next(loss))
        first(7, noise)
    assert mixed == alone


def test_every_difference_in_seed_or_purpose_gives_another_stream() -> None:
    keys: list[tuple[int | str, ...]] = [
        (0,), (1,), (-1,), (2**70,), (0, ""), (0, "a"), (0, "a", "b"), (0, "ab"), (0, "b", "a"),
        (0, 1), (0, "1"), (0, "a", ""), (0, "", "a"), (0, "a1:b"), (0, 0), (0, 0, 0), (0, 10),
    ]  # fmt: skip
    draws = {tuple(first(4, Stream(*key))) for key in keys}  # type: ignore[arg-type]
    assert len(draws) == len(keys)


def test_only_strings_and_ints_are_purposes() -> None:
    with pytest.raises(TypeError, match="strings and ints, not float"):
        Stream(1, 0.5)  # type: ignore[arg-type]


def test_draws_fill_all_32_bits_evenly() -> None:
    draws = first(64_000, Stream(3, "bits"))
    assert all(0 <= draw < WORD for draw in draws)
    for bit in range(32):
        assert 31_300 < sum(draw >> bit & 1 for draw in draws) < 32_700  # 5.5 sigma
    buckets = Counter(draw >> 26 for draw in draws)
    assert len(buckets) == 64
    chi_squared = sum((count - 1000) ** 2 / 1000 for count in buckets.values())
    assert 20 < chi_squared < 130  # 63 degrees of freedom


@pytest.mark.parametrize("n", [1, 2, 3, 10, 2**31 + 1, 2**32 - 1, 2**32, 2**32 + 1, 3**50])
def test_below_stays_below_and_reaches_both_ends(n: int) -> None:
    stream = Stream(4, "below", n)
    draws = [stream.below(n) for _ in range(2000)]
    assert all(0 <= draw < n for draw in draws)
    assert min(draws) <= n // 100
    assert max(draws) >= (n - 1) * 99 // 100


def test_below_is_uniform() -> None:
    stream = Stream(5)
    counts = Counter(stream.below(6) for _ in range(12_000))
    assert sum((counts[i] - 2000) ** 2 / 2000 for i in range(6)) < 25  # 5 degrees of freedom


def test_below_is_unbiased_where_words_do_not_divide() -> None:
    # Without redrawing, a third of the values below 3 * 2**30 would come twice as often.
    stream, n = Stream(6), 3 << 30
    thirds = Counter(stream.below(n) % 3 for _ in range(9000))
    assert max(thirds.values()) - min(thirds.values()) < 400


@pytest.mark.parametrize("n", [0, -1, -(2**40)])
def test_below_refuses_an_empty_range(n: int) -> None:
    with pytest.raises(ValueError, match="below"):
        Stream(0).below(n)


def test_between_includes_both_ends() -> None:
    stream = Stream(8)
    assert {stream.between(-2, 2) for _ in range(200)} == {-2, -1, 0, 1, 2}
    assert stream.between(5, 5) == 5
    with pytest.raises(ValueError):
        stream.between(2, 1)


def test_uniform_covers_its_range() -> None:
    stream = Stream(9)
    draws = [stream.uniform(10, 20) for _ in range(5000)]
    assert all(10 <= draw < 20 for draw in draws)
    assert abs(sum(draws) / 5000 - 15) < 0.2


def test_chance_has_its_probability() -> None:
    stream = Stream(10)
    assert 2300 < sum(stream.chance(0.25) for _ in range(10_000)) < 2700
    assert not any(stream.chance(0) for _ in range(1000))
    assert all(stream.chance(1) for _ in range(1000))


def test_chance_takes_one_draw_whatever_the_rate() -> None:
    for p in (0.0, 0.3, 1.0):
        stream = Stream(7, "delay", "r1", "r2")
        stream.chance(p)
        assert next(stream) == GOLDEN[1]


def test_choice_reaches_every_option() -> None:
    stream = Stream(11)
    assert {stream.choice("abc") for _ in range(100)} == {"a", "b", "c"}
    with pytest.raises(ValueError):
        stream.choice([])


def test_sample_takes_distinct_positions_and_leaves_its_input() -> None:
    stream, options = Stream(12), ["a", "b", "c", "d"]
    pairs = Counter(tuple(stream.sample(options, 2)) for _ in range(2400))
    assert len(pairs) == 12
    assert all(130 < count < 270 for count in pairs.values())
    assert options == ["a", "b", "c", "d"]
    assert stream.sample(options, 0) == []
    for k in (5, -1):
        with pytest.raises(ValueError, match="of 4 options"):
            stream.sample(options, k)


def test_shuffled_reaches_every_order() -> None:
    stream = Stream(13)
    orders = Counter(tuple(stream.shuffled((1, 2, 3))) for _ in range(1200))
    assert len(orders) == 6
    assert all(140 < count < 260 for count in orders.values())
