"""Quorums that matter intersect, outsiders do not count, and the answers explain themselves."""

from collections.abc import Callable
from itertools import combinations, combinations_with_replacement, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.quorums import (
    WEIGHT_MAX,
    Grid,
    Quorums,
    QuorumSystem,
    Weighted,
    fast,
    flexible,
    grid,
    joint,
    majority,
    weighted,
)
from concur.values import Map, Set

FIVE = ("r1", "r2", "r3", "r4", "r5")


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"r{i}" for i in range(1, n + 1))


def quorums(members: tuple[str, ...], enough: Callable[[frozenset[str]], bool]) -> list[set[str]]:
    """The smallest sets of members that are enough."""
    for size in range(1, len(members) + 1):
        found = [set(votes) for votes in combinations(members, size) if enough(frozenset(votes))]
        if found:
            return found
    return []


def phases_intersect(system: QuorumSystem) -> bool:
    firsts = quorums(system.members, system.is_phase1)
    seconds = quorums(system.members, system.is_phase2)
    return all(a & b for a, b in product(firsts, seconds))


def two_fast_and_a_classic_intersect(system: QuorumSystem) -> bool:
    firsts = quorums(system.members, system.is_phase1)
    fasts = quorums(system.members, system.is_fast)
    return all(a & b & c for a, b, c in product(firsts, fasts, fasts))


@pytest.mark.parametrize("n", range(1, 8))
def test_majorities_intersect_and_are_the_smallest_that_do(n: int) -> None:
    system = majority(ids(n))
    assert phases_intersect(system)
    smaller = combinations(system.members, system.phase2_size - 1)
    assert not any(system.is_phase2(votes) for votes in smaller)


@pytest.mark.parametrize("n", range(1, 8))
def test_flexible_quorums_are_accepted_exactly_if_they_intersect(n: int) -> None:
    for phase1, phase2 in product(range(1, n + 1), repeat=2):
        disjoint_pair = phase1 + phase2 <= n
        if disjoint_pair:
            with pytest.raises(BadInput, match="sum is above"):
                flexible(ids(n), phase1, phase2)
        else:
            assert phases_intersect(flexible(ids(n), phase1, phase2))


@pytest.mark.parametrize("n", range(1, 8))
def test_fast_quorums_are_accepted_exactly_if_two_of_them_meet_in_every_classic(n: int) -> None:
    members = ids(n)
    for classic, size in product(range(n // 2 + 1, n + 1), range(1, n + 1)):
        meet = all(
            set(a) & set(b) & set(c)
            for a in combinations(members, classic)
            for b, c in combinations_with_replacement(combinations(members, size), 2)
        )
        if meet:
            assert fast(members, classic, size).fast_size == size
        else:
            with pytest.raises(BadInput, match="fast quorum of at least"):
                fast(members, classic, size)


@pytest.mark.parametrize("n", range(1, 8))
def test_default_fast_quorums_are_three_quarters_rounded_up_and_intersect(n: int) -> None:
    system = fast(ids(n))
    assert system.fast_size == (3 * n + 3) // 4
    assert phases_intersect(system)
    assert two_fast_and_a_classic_intersect(system)


def test_flexible_quorums_that_only_touch_are_refused() -> None:  # mutant P3
    with pytest.raises(BadInput) as caught:
        flexible(FIVE, 3, 2)
    assert str(caught.value) == (
        "impossible quorums: phase 1 of 3 and phase 2 of 2 among 5 members may share nobody, "
        "so a new leader can miss a chosen command; expected sizes whose sum is above 5"
    )


def test_three_quarters_rounded_down_is_refused_as_a_fast_quorum() -> None:  # mutant P4
    with pytest.raises(BadInput, match="expected a fast quorum of at least 4"):
        fast(FIVE, fast=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: majority(()), "0 members, expected at least 1"),
        (lambda: majority(("r1", "r2", "r1")), "'r1' is listed twice"),
        (lambda: majority(("r1", "")), "member ''"),
        (lambda: flexible(FIVE, 0, 5), "phase 1 quorum of 0: expected 1 to 5"),
        (lambda: flexible(FIVE, 5, 6), "phase 2 quorum of 6: expected 1 to 5"),
        (lambda: flexible(FIVE, -1, 5), "phase 1 quorum of -1"),
        (lambda: flexible(FIVE, 3.0, 3), "phase 1 quorum of 3.0"),  # type: ignore[arg-type]
        (lambda: flexible(FIVE, True, 5), "phase 1 quorum of True"),
        (lambda: fast(FIVE, fast=6), "fast quorum of 6"),
        (lambda: fast(FIVE, classic=2), "phase 1 of 2 and phase 2 of 2"),
        (lambda: QuorumSystem(FIVE, 2, 3), "sum is above 5"),
    ],
)
def test_impossible_quorums_are_one_line_of_bad_input(
    make: Callable[[], QuorumSystem], message: str
) -> None:
    flexible(FIVE, 3, 3)  # equal keys of other types must not find this one in the cache
    with pytest.raises(BadInput) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_votes_from_outside_the_members_do_not_count() -> None:  # mutant P6
    system = majority(FIVE)
    assert not system.is_phase2(("r1", "r2", "x1", "x2", "x3"))
    assert system.count(("r1", "x1")) == 1
    assert system.is_phase2(("r1", "r2", "x1", "r5"))


def test_a_member_that_votes_twice_counts_once() -> None:
    assert not majority(FIVE).is_phase2(("r1", "r1", "r1"))


@pytest.mark.parametrize("kind", [tuple, list, set, frozenset, Set, dict.fromkeys])
def test_any_collection_of_ids_holds_votes(kind: Callable[[tuple[str, ...]], Set[str]]) -> None:
    system = fast(FIVE)
    assert system.is_phase1(kind(("r1", "r2", "r3")))
    assert not system.is_phase2(kind(("r1", "r2")))
    assert not system.is_fast(kind(("r1", "r2", "r3")))
    assert system.is_fast(kind(("r1", "r2", "r3", "r5")))


def test_a_map_by_voter_holds_votes() -> None:
    assert majority(FIVE).is_phase2(Map({"r1": 1, "r4": 2, "r5": 3}))


def test_one_id_is_not_a_collection_of_votes() -> None:
    with pytest.raises(AssertionError, match="not one id"):
        majority(FIVE).is_phase2("r1r2r3")


def test_without_a_fast_path_nothing_is_a_fast_quorum() -> None:
    assert not majority(FIVE).is_fast(FIVE)


def test_same_members_and_sizes_are_the_same_object_and_equal_value() -> None:
    assert majority(FIVE) is majority(list(FIVE))
    shuffled = majority(tuple(reversed(FIVE)))
    assert shuffled == majority(FIVE)
    assert hash(shuffled) == hash(majority(FIVE))
    assert majority(ids(11)).members == ids(11)  # r2 before r10


def test_explain_draws_votes_and_what_is_missing() -> None:
    assert flexible(FIVE, 4, 2).explain(Set(("r1", "r3", "x9"))) == (
        "member   r1 r2 r3 r4 r5\n"
        "voted    #  .  #  .  .\n"
        "phase 1  ##--|   2 of 4: 2 short\n"
        "phase 2  ##|     2 of 2: reached\n"
        "silent   r2 r4 r5\n"
        "ignored  x9 (not a member)"
    )


def test_explain_draws_a_fast_quorum() -> None:
    assert fast(FIVE).explain(FIVE) == (
        "member   r1 r2 r3 r4 r5\n"
        "voted    #  #  #  #  #\n"
        "phase 1  ###|##  5 of 3: reached\n"
        "phase 2  ###|##  5 of 3: reached\n"
        "fast     ####|#  5 of 4: reached"
    )


@pytest.mark.parametrize(
    ("system", "text"),
    [
        (
            majority(FIVE),
            "5 members: a command and a new leader each need 3 of 5 votes; any 2 of 5 may crash",
        ),
        (
            flexible(FIVE, 4, 2),
            "5 members: a command needs 2 of 5 votes; any 3 of 5 may crash under a leader that "
            "stays. A new leader needs 4 of 5 votes; any 1 of 5 may crash when it has to be "
            "replaced",
        ),
        (
            fast(ids(3)),
            "3 members: a command and a new leader each need 2 of 3 votes; any 1 of 3 may crash. "
            "The fast path needs all 3 votes; none may crash",
        ),
        (majority(("r1",)), "1 member, r1, decides alone; it may not crash"),
    ],
)
def test_describe_tells_sizes_and_fault_tolerance(system: QuorumSystem, text: str) -> None:
    assert system.describe() == text


# Every kind of system

MEMBERS_MAX = 7


@st.composite
def thresholds(draw: st.DrawFn) -> Quorums:
    n = draw(st.integers(1, MEMBERS_MAX))
    phase1 = draw(st.integers(1, n))
    return flexible(ids(n), phase1, draw(st.integers(n + 1 - phase1, n)))


@st.composite
def grids(draw: st.DrawFn) -> Quorums:
    rows = draw(st.integers(1, MEMBERS_MAX))
    n = rows * draw(st.integers(1, MEMBERS_MAX // rows))
    return grid(draw(st.permutations(ids(n))), rows)


@st.composite
def weightings(draw: st.DrawFn) -> Quorums:
    weights = draw(st.lists(st.integers(0, 5), min_size=1, max_size=MEMBERS_MAX).filter(any))
    total = sum(weights)
    phase1 = draw(st.integers(1, total))
    phase2 = draw(st.integers(total + 1 - phase1, total))
    return weighted(zip(ids(len(weights)), weights, strict=True), phase1, phase2)


def fast_systems() -> st.SearchStrategy[Quorums]:
    return st.integers(1, MEMBERS_MAX).map(lambda n: fast(ids(n)))


SIMPLE = st.one_of(thresholds(), grids(), weightings(), fast_systems())
ANY = st.one_of(SIMPLE, st.builds(joint, SIMPLE, SIMPLE))


def subsets(members: tuple[str, ...]) -> list[frozenset[str]]:
    return [
        frozenset(votes)
        for size in range(len(members) + 1)
        for votes in combinations(members, size)
    ]


def tolerated(members: tuple[str, ...], *phases: Callable[[frozenset[str]], bool]) -> int:
    """The largest t such that every set of t members can be down; by trying all."""
    everybody = frozenset(members)
    for t in range(1, len(members) + 1):
        up = [everybody.difference(down) for down in combinations(members, t)]
        if not all(phase(votes) for votes in up for phase in phases):
            return t - 1
    return len(members)


@given(ANY)
@settings(max_examples=300, deadline=None)
def test_every_phase_1_and_every_phase_2_quorum_intersect(system: Quorums) -> None:
    # The complement of a set is all that a set disjoint from it may contain.
    everybody = frozenset(system.members)
    for votes in subsets(system.members):
        assert not (system.is_phase1(votes) and system.is_phase2(everybody - votes))


@given(ANY)
@settings(max_examples=150, deadline=None)
def test_more_votes_never_make_less_of_a_quorum(system: Quorums) -> None:
    for enough in (system.is_phase1, system.is_phase2, system.is_fast):
        for votes in subsets(system.members):
            if enough(votes):
                assert all(enough(votes | {more}) for more in (*system.members, "x1"))


@given(ANY)
@settings(max_examples=150, deadline=None)
def test_all_members_are_a_quorum_and_nobody_and_strangers_are_none(system: Quorums) -> None:
    for enough in (system.is_phase1, system.is_phase2):
        assert enough(system.members)
        assert not enough(())
        assert not enough(tuple(f"x{i}" for i in range(20)))


@given(ANY)
@settings(max_examples=300, deadline=None)
def test_crash_tolerance_is_what_trying_all_crashes_finds(system: Quorums) -> None:
    by_trying = tolerated(system.members, system.is_phase1, system.is_phase2)
    assert system.crash_tolerance() == by_trying


@given(SIMPLE)
@settings(max_examples=300, deadline=None)
def test_describe_tells_how_many_may_crash(system: Quorums) -> None:
    n = len(system.members)
    text = system.describe()
    if n == 1:
        assert text == "1 member, r1, decides alone; it may not crash"
        return

    def told(t: int) -> bool:
        if t == 0:
            return "may not crash" in text or "none may crash" in text
        return f"any {t} of {n} may crash" in text

    assert text.startswith(f"{n} members")
    assert told(tolerated(system.members, system.is_phase1))
    assert told(tolerated(system.members, system.is_phase2))


@given(ANY, st.data())
@settings(max_examples=100, deadline=None)
def test_explain_says_reached_exactly_if_it_is(system: Quorums, data: st.DataObject) -> None:
    votes = data.draw(st.sets(st.sampled_from((*system.members, "x1"))))
    text = system.explain(votes)
    lines = text.splitlines()
    for phase, enough in (("phase 1", system.is_phase1), ("phase 2", system.is_phase2)):
        told = [line.endswith("reached") for line in lines if line.startswith(phase)]
        assert all(told) == enough(votes)
    assert ("x1 (not a member)" in text) == ("x1" in votes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: grid(ids(6), 2),
        lambda: weighted({"r1": 2, "r2": 1}),
        lambda: joint(majority(ids(3)), grid(ids(4), 2)),
    ],
)
def test_systems_are_memoised_hashable_values(make: Callable[[], Quorums]) -> None:
    assert make() is make()
    assert hash(make()) == hash(make())
    with pytest.raises(AttributeError):
        make().members = ()  # type: ignore[misc]
    with pytest.raises(AssertionError, match="not one id"):
        make().is_phase2("r1r2r3r4r5r6")


# Grids


def test_a_row_elects_and_a_column_chooses() -> None:
    system = grid(("a", "b", "c", "d", "e", "f"), rows=2)
    assert system == Grid((("a", "b", "c"), ("d", "e", "f")))
    assert system.is_phase1(("a", "b", "c"))
    assert not system.is_phase1(("a", "b", "f", "d"))
    assert system.is_phase2(("b", "e"))
    assert not system.is_phase2(("a", "b", "c"))
    assert system.crash_tolerance() == 1


def test_twenty_members_choose_with_four_votes() -> None:
    assert grid(ids(20), 4).describe() == (
        "20 members in 4 rows of 5: a command needs all of a column, 4 of 20 votes; any 4 of 20 "
        "may crash under a leader that stays. A new leader needs all of a row, 5 of 20 votes; any "
        "3 of 20 may crash when it has to be replaced"
    )


def test_explain_draws_the_grid() -> None:
    assert grid(ids(6), 2).explain(("r1", "r4", "x9")) == (
        "row 1    [r1]  r2   r3\n"
        "row 2    [r4]  r5   r6\n"
        "phase 1  no whole row\n"
        "phase 2  a whole column: reached\n"
        "silent   r2 r3 r5 r6\n"
        "ignored  x9 (not a member)"
    )


# Weights


def test_the_default_is_more_than_half_of_the_weight() -> None:
    system = weighted({"r1": 3, "r2": 1, "r3": 1, "r4": 1})
    assert (system.total, system.phase1_weight, system.phase2_weight) == (6, 4, 4)
    assert system.is_phase2(("r1", "r3"))
    assert not system.is_phase2(("r2", "r3", "r4"))


def test_one_threshold_gives_the_other() -> None:
    weights = {"r1": 2, "r2": 2, "r3": 1}
    assert weighted(weights, phase2=2).phase1_weight == 4
    assert weighted(weights, phase1=5).phase2_weight == 1


def test_equal_weights_are_a_majority() -> None:
    same, plain = weighted(dict.fromkeys(FIVE, 2)), majority(FIVE)
    for votes in subsets(FIVE):
        assert same.is_phase1(votes) == plain.is_phase1(votes)


def test_describe_names_the_member_that_all_depend_on() -> None:
    assert weighted({"r2": 3, "r1": 1, "r3": 0}).describe() == (
        "3 members of weight 4 in all (r1 1, r2 3, r3 0): a command and a new leader each need "
        "votes of weight 3; r2, the heaviest, may not crash"
    )


def test_explain_draws_weights() -> None:
    assert weighted({"r1": 3, "r2": 1, "r3": 1}, phase1=4).explain(("r1",)) == (
        "member   r1 r2 r3\n"
        "weight   3  1  1\n"
        "voted    #  .  .\n"
        "phase 1  ###-|   3 of 4: 1 short\n"
        "phase 2  ##|#    3 of 2: reached\n"
        "silent   r2 r3"
    )


# Joint


def test_a_joint_quorum_is_one_of_both() -> None:
    system = joint(majority(("r1", "r2", "r3")), majority(("r3", "r4", "r5")))
    assert system.members == FIVE
    assert not system.is_phase2(("r1", "r2", "r3"))
    assert not system.is_phase2(("r3", "r4", "r5"))
    assert system.is_phase2(("r1", "r3", "r5"))


@given(SIMPLE, SIMPLE)
@settings(max_examples=100, deadline=None)
def test_a_joint_quorum_meets_every_quorum_of_the_old_and_of_the_new(
    old: Quorums, new: Quorums
) -> None:
    system = joint(old, new)
    everybody = frozenset(system.members)
    for votes in subsets(system.members):
        rest = everybody - votes
        for other in (old, new):
            assert not (system.is_phase1(votes) and other.is_phase2(rest))
            assert not (other.is_phase1(votes) and system.is_phase2(rest))


def test_majorities_of_the_old_and_the_new_alone_may_share_nobody() -> None:
    old, new = majority(("r1", "r2", "r3")), majority(("r1", "r2", "r3", "r4", "r5"))
    assert old.is_phase1(("r1", "r2"))
    assert new.is_phase2(("r3", "r4", "r5"))


def test_describe_tells_both_sides_of_a_change() -> None:
    assert joint(majority(("r1", "r2", "r3")), majority(("r2", "r3", "r4"))).describe() == (
        "4 members, while they change: what needs a quorum needs one of the old members and one of "
        "the new; any 1 of 4 may crash. Old: 3 members: a command and a new leader each need 2 of "
        "3 votes; any 1 of 3 may crash. New: 3 members: a command and a new leader each need 2 of "
        "3 votes; any 1 of 3 may crash"
    )


def test_explain_draws_one_side_after_the_other() -> None:
    assert joint(majority(ids(3)), majority(("r3", "r4"))).explain(("r1", "r3", "x1")) == (
        "old\n"
        "member   r1 r2 r3\n"
        "voted    #  .  #\n"
        "phase 1  ##|   2 of 2: reached\n"
        "phase 2  ##|   2 of 2: reached\n"
        "ignored  x1 (not a member)\n"
        "new\n"
        "member   r3 r4\n"
        "voted    #  .\n"
        "phase 1  #-|  1 of 2: 1 short\n"
        "phase 2  #-|  1 of 2: 1 short\n"
        "silent   r4\n"
        "ignored  x1 (not a member)"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid(ids(6), 4), "expected one of 1 x 6, 2 x 3, 3 x 2, 6 x 1"),
        (lambda: grid(ids(6), 2, 2), "6 members in 2 rows of 2"),
        (lambda: grid(ids(6), 0), "0 rows"),
        (lambda: grid(ids(6), True), "True rows"),
        (lambda: grid((), 1), "0 members"),
        (lambda: grid(("r1", "r1"), 1), "listed twice"),
        (lambda: Grid((("r1", "r2"), ("r3",))), "unequal lengths"),
        (lambda: Grid(()), "0 members"),
        (lambda: weighted({}), "0 members"),
        (lambda: weighted({"r1": 0}), "phase 1 weight of 1"),
        (lambda: weighted({"r1": -1, "r2": 3}), "weight of r1: -1"),
        (lambda: weighted({"r1": 1.5}), "weight of r1: 1.5"),  # type: ignore[arg-type]
        (lambda: weighted({"r1": WEIGHT_MAX + 1}), f"expected 0 to {WEIGHT_MAX}"),
        (lambda: weighted([("r1", 1), ("r1", 2)]), "listed twice"),
        (lambda: weighted([("r1",)]), "an id and its weight"),  # type: ignore[list-item]
        (lambda: weighted({"r1": 2, "r2": 2}, 2, 2), "sum is above 4"),
        (lambda: weighted({"r1": 2, "r2": 2}, phase2=5), "phase 2 weight of 5"),
        (lambda: weighted({"r1": 2, "r2": 2}, phase1=0), "phase 1 weight of 0"),
        (lambda: Weighted((("r1", 2), ("r2", 2)), 2.0, 4), "phase 1 weight of 2.0"),  # type: ignore[arg-type]
        (lambda: joint(majority(FIVE), FIVE), "expected a quorum system"),  # type: ignore[arg-type]
    ],
)
def test_impossible_systems_are_one_line_of_bad_input(
    make: Callable[[], Quorums], message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
