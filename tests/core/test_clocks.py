"""Clocks order events as their papers say."""

from itertools import pairwise, product

import pytest

from concur.clocks import Interval, LamportClock, VectorClock

# Lamport clocks


def test_tick_is_later() -> None:
    clock = LamportClock(3, "r1")
    assert clock.tick() == LamportClock(4, "r1")
    assert clock < clock.tick()


@pytest.mark.parametrize("own", [0, 4, 9])
def test_witness_is_later_than_both_clocks(own: int) -> None:
    mine, theirs = LamportClock(own, "r1"), LamportClock(4, "r2")
    after = mine.witness(theirs)
    assert after.node == "r1"
    assert after > mine
    assert after > theirs
    assert after == mine.witness(4)


def test_lamport_order_is_total_and_node_ids_break_ties() -> None:
    assert LamportClock(1, "r2") < LamportClock(2, "r1")
    assert LamportClock(2, "r1") < LamportClock(2, "r2")
    clocks = [LamportClock(t, node) for t, node in product(range(3), ("r1", "r2"))]
    assert all(x < y for x, y in pairwise(clocks))


# Vector clocks


def clock(**counts: int) -> VectorClock:
    return VectorClock(tuple(sorted(counts.items())))


SMALL = [
    clock(**{node: count for node, count in zip(("a", "b"), counts, strict=True) if count})
    for counts in product(range(3), repeat=2)
]


def test_a_message_carries_its_past_along() -> None:
    sent = VectorClock().tick("a")
    elsewhere = VectorClock().tick("b")
    received = elsewhere.merge(sent).tick("b")
    assert received == clock(a=1, b=2)
    assert sent.happens_before(received)
    assert elsewhere.happens_before(received)
    assert sent.concurrent(elsewhere)
    assert not received.happens_before(sent)


def test_exactly_one_of_equal_before_after_concurrent_holds() -> None:
    for x, y in product(SMALL, repeat=2):
        relations = (x == y, x.happens_before(y), y.happens_before(x), x.concurrent(y))
        assert sum(relations) == 1, (x, y)


def test_happens_before_is_transitive() -> None:
    for x, y, z in product(SMALL, repeat=3):
        if x.happens_before(y) and y.happens_before(z):
            assert x.happens_before(z)


def test_merge_is_the_least_clock_that_includes_both() -> None:
    for x, y in product(SMALL, repeat=2):
        merged = x.merge(y)
        assert merged == y.merge(x)
        assert merged.includes(x)
        assert merged.includes(y)
        assert all(z.includes(merged) for z in SMALL if z.includes(x) and z.includes(y))


def test_equal_vector_clocks_are_equal_values() -> None:
    assert clock(a=1).merge(clock(b=2)) == clock(a=1, b=2)
    assert hash(clock(b=2).merge(clock(a=1))) == hash(clock(a=1, b=2))
    assert clock(a=1).count("a") == 1
    assert clock(a=1).count("b") == 0


@pytest.mark.parametrize(
    "entries", [(("b", 1), ("a", 1)), (("a", 1), ("a", 2)), (("a", 0),), (("a", -1),)]
)
def test_a_vector_clock_with_two_spellings_is_refused(entries: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="sorted and positive"):
        VectorClock(entries)


# Intervals


def test_intervals_are_ordered_only_if_they_do_not_overlap() -> None:
    points = range(4)
    intervals = [Interval(a, b) for a, b in product(points, repeat=2) if a <= b]
    for x, y in product(intervals, repeat=2):
        relations = (x.definitely_before(y), y.definitely_before(x), x.overlaps(y))
        assert sum(relations) == 1, (x, y)
        shared = any(x.earliest_ns <= t <= x.latest_ns and y.earliest_ns <= t <= y.latest_ns
                     for t in points)  # fmt: skip
        assert x.overlaps(y) == shared


def test_interval_around_a_reading_holds_the_error_on_both_sides() -> None:
    interval = Interval.around(1_000, 30)
    assert interval == Interval(970, 1_030)
    assert interval.width_ns == 60


def test_a_timestamp_is_past_or_ahead_only_beyond_the_error() -> None:
    interval = Interval(10, 20)
    assert [interval.definitely_past(t) for t in (9, 10, 20)] == [True, False, False]
    assert [interval.definitely_ahead(t) for t in (10, 20, 21)] == [False, False, True]


def test_commit_wait_is_just_long_enough() -> None:
    interval = Interval(10, 20)
    for timestamp_ns in range(5, 25):
        wait_ns = interval.commit_wait_ns(timestamp_ns)
        later = Interval(10 + wait_ns, 20 + wait_ns)
        assert later.definitely_past(timestamp_ns)
        assert wait_ns == 0 or not Interval(9 + wait_ns, 19 + wait_ns).definitely_past(timestamp_ns)


def test_commits_in_sequence_get_ordered_timestamps() -> None:
    # Spanner's external consistency: wait out the first timestamp, then any clock anywhere that
    # is within its bound picks a larger one.
    true_ns, error_ns = 1_000, 30
    for skew_1 in (-error_ns, 0, error_ns):
        first = Interval.around(true_ns + skew_1, error_ns)
        visible_ns = true_ns + first.commit_wait_ns(first.latest_ns)
        for skew_2 in (-error_ns, 0, error_ns):
            second = Interval.around(visible_ns + skew_2, error_ns)
            assert second.latest_ns > first.latest_ns


def test_an_interval_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        Interval(2, 1)
