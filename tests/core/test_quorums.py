"""Quorums that matter intersect, outsiders do not count, and the answers explain themselves."""

from collections.abc import Callable
from itertools import combinations, combinations_with_replacement, product

import pytest

from concur.errors import BadInput
from concur.quorums import QuorumSystem, fast, flexible, majority
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
