"""Clocks order events as their papers say."""

from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.clocks import HybridClock, Interval, LamportClock, TooFarAhead, VectorClock

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


# Hybrid logical clocks

NODES = ("a", "b", "c")
EPSILON_NS = 5


@st.composite
def executions(draw: st.DrawFn, honest: bool = True) -> list[tuple[str, str, int]]:
    """Events as (node, whom a message is from or "", wall time), in an order that happened.

    Honest wall clocks are within EPSILON_NS of each other and strictly increase at each node; the
    others show anything.
    """
    events = []
    true_ns = 100
    shown = dict.fromkeys(NODES, 0)
    for _ in range(draw(st.integers(1, 40))):
        node = draw(st.sampled_from(NODES))
        source = draw(st.sampled_from(("", *(other for other in NODES if other != node))))
        if honest:
            true_ns += draw(st.integers(0, 3))
            now_ns = max(shown[node] + 1, true_ns + draw(st.integers(0, EPSILON_NS)))
            true_ns = max(true_ns, now_ns - EPSILON_NS)
        else:
            now_ns = draw(st.integers(1, 200))
        shown[node] = now_ns
        events.append((node, source, now_ns))
    return events


Stamped = list[tuple[HybridClock, VectorClock, int]]


def stamped(events: list[tuple[str, str, int]], ahead_ns_max: int) -> Stamped:
    """Every event with its hybrid clock, its true past, and the wall time that its node saw.

    A message is the newest event of its source; one that is refused is a local event instead.
    """
    hybrid = {node: HybridClock(node=node) for node in NODES}
    past = {node: VectorClock() for node in NODES}
    found = []
    for node, source, now_ns in events:
        after: HybridClock | TooFarAhead = hybrid[node].tick(now_ns)
        before = past[node]
        if source and past[source].entries:
            merged = hybrid[node].merge(hybrid[source], now_ns, ahead_ns_max=ahead_ns_max)
            if isinstance(merged, HybridClock):
                after, before = merged, before.merge(past[source])
        assert isinstance(after, HybridClock)
        hybrid[node], past[node] = after, before.tick(node)
        found.append((after, past[node], now_ns))
    return found


@given(st.one_of(executions(), executions(honest=False)), st.sampled_from((0, 3, 1_000)))
def test_what_may_have_caused_an_event_has_a_smaller_hybrid_clock(
    events: list[tuple[str, str, int]], ahead_ns_max: int
) -> None:
    found = stamped(events, ahead_ns_max)
    for (x, x_past, _), (y, y_past, _) in product(found, repeat=2):
        if x_past.happens_before(y_past):
            assert (x.latest_ns, x.count) < (y.latest_ns, y.count)


@given(st.one_of(executions(), executions(honest=False)))
def test_a_hybrid_clock_is_never_behind_the_wall_clock(events: list[tuple[str, str, int]]) -> None:
    assert all(x.latest_ns >= now_ns for x, _, now_ns in stamped(events, 1_000))


@given(executions())
def test_a_hybrid_clock_is_ahead_by_at_most_what_the_wall_clocks_are_apart(
    events: list[tuple[str, str, int]],
) -> None:
    # With honest clocks the bound refuses nothing: an unbounded merge gives the same.
    found = stamped(events, EPSILON_NS)
    assert found == stamped(events, 1_000)
    assert all(x.ahead_ns(now_ns) <= EPSILON_NS for x, _, now_ns in found)


@given(st.one_of(executions(), executions(honest=False)))
def test_the_count_is_bounded_by_the_past_with_the_same_time(
    events: list[tuple[str, str, int]],
) -> None:
    found = stamped(events, 1_000)
    for x, x_past, _ in found:
        same = [
            y for y, y_past, _ in found
            if y_past.happens_before(x_past) and y.latest_ns == x.latest_ns
        ]  # fmt: skip
        assert x.count <= len(same)


@given(executions())
def test_the_count_is_bounded_by_nodes_and_uncertainty(events: list[tuple[str, str, int]]) -> None:
    # Clocks that move on by at least 1 between events: N * (epsilon + 1), as the paper says.
    bound = len(NODES) * (EPSILON_NS + 1)
    assert all(x.count <= bound for x, _, _ in stamped(events, EPSILON_NS))


def test_the_clock_that_is_too_far_ahead_is_refused_and_by_how_much() -> None:
    mine, theirs = HybridClock(100, 2, "a"), HybridClock(161, 0, "b")
    assert mine.merge(theirs, 100, ahead_ns_max=60) == TooFarAhead(61)
    assert mine.merge(theirs, 101, ahead_ns_max=60) == HybridClock(161, 1, "a")


def test_a_clock_that_was_set_back_goes_on_counting() -> None:
    before = HybridClock(node="a").tick(1_000)
    after = before.tick(400)
    assert after == HybridClock(1_000, 1, "a")
    assert after.ahead_ns(400) == 600
    # It hears from others all the same: their clocks are right.
    assert after.merge(HybridClock(405, 7, "b"), 401, ahead_ns_max=5) == HybridClock(1_000, 2, "a")
    assert after.tick(1_001) == HybridClock(1_001, 0, "a")


@pytest.mark.parametrize(
    ("other", "now_ns", "expected"),
    [
        (HybridClock(10, 9, "b"), 10, HybridClock(10, 10, "a")),
        (HybridClock(10, 1, "b"), 10, HybridClock(10, 5, "a")),
        (HybridClock(11, 3, "b"), 10, HybridClock(11, 4, "a")),
        (HybridClock(9, 3, "b"), 8, HybridClock(10, 5, "a")),
        (HybridClock(11, 3, "b"), 12, HybridClock(12, 0, "a")),
    ],
)
def test_merge_follows_the_paper(other: HybridClock, now_ns: int, expected: HybridClock) -> None:
    assert HybridClock(10, 4, "a").merge(other, now_ns, ahead_ns_max=5) == expected


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


@pytest.mark.parametrize("wrong", [1.0, True, "7", None, 2**63, -(2**63)])
def test_what_is_no_whole_number_of_64_bits_is_no_time(wrong: Any) -> None:
    hybrid = HybridClock(10, 0, "a")
    for attempt in (
        lambda: hybrid.tick(wrong),
        lambda: hybrid.merge(hybrid, wrong, ahead_ns_max=5),
        lambda: hybrid.merge(hybrid, 10, ahead_ns_max=wrong),
        lambda: hybrid.ahead_ns(wrong),
        lambda: HybridClock(wrong),
        lambda: HybridClock(0, wrong),
        lambda: LamportClock(wrong),
        lambda: LamportClock().witness(wrong),
        lambda: VectorClock((("a", wrong),)),
        lambda: Interval(wrong, 20),
        lambda: Interval(10, wrong),
        lambda: Interval.around(wrong, 5),
        lambda: Interval.around(10, wrong),
    ):
        with pytest.raises(ValueError, match="must be a whole number from"):
            attempt()


def test_clocks_of_the_past_tick_and_counts_are_not_negative() -> None:
    assert HybridClock(10, 0, "a").tick(-5) == HybridClock(10, 1, "a")
    for attempt in (
        lambda: HybridClock(-1),
        lambda: HybridClock(0, -1),
        lambda: LamportClock(-1),
        lambda: LamportClock().witness(-1),
        lambda: Interval.around(10, -1),
    ):
        with pytest.raises(ValueError, match="must be a whole number from 0"):
            attempt()
