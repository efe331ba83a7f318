"""Schedules: what can be asked for, what is drawn, and that it stays within what is survivable."""

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from concur.base import Protocol, Tags
from concur.errors import BadInput
from concur.faults.catalogue import (
    Amnesia,
    ClockJump,
    Crash,
    Loss,
    MembershipChange,
    Partition,
    Wipe,
    hosts_of,
)
from concur.faults.kinds import KINDS
from concur.faults.schedule import COUNT_MAX, SPARES, Schedule, schedule, spares_for
from concur.node import Config
from tests.faults.solo import Claims, Solo

SECONDS = 40.0
CHANGING = Tags(leader=True, membership=True, learners=True)


def world(
    protocol: Protocol, replicas: int = 3, clients: int = 2, spares: int = 0
) -> SimpleNamespace:
    universe = tuple(f"r{i + 1}" for i in range(replicas + spares))
    everyone = (*universe, *(f"c{i + 1}" for i in range(clients)))
    return SimpleNamespace(
        protocol=protocol,
        replica_hosts=universe,
        config=Config(universe[:replicas], (("replica", universe),)),
        all_hosts=lambda: everyone,
    )


def draw(
    spec: str | Schedule,
    seed: int = 1,
    protocol: Protocol | None = None,
    tags: Tags | None = None,
    **sizes: int,
) -> Schedule:
    protocol = protocol or Claims()
    tags = tags or protocol.tags
    return schedule(spec, seed=seed, world=world(protocol, **sizes), seconds=SECONDS, tags=tags)


def test_none_is_an_empty_schedule() -> None:
    assert draw("none") == Schedule()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "unknown kind ''"),
        ("earthquake", "unknown kind 'earthquake'"),
        ("crash,", "unknown kind ''"),
        ("all,crash", "all stands alone"),
        ("crash,none", "none stands alone"),
        ("crash=0", "crash=0, expected a whole number from 1"),
        ("crash=-1", "crash=-1, expected a whole number"),
        ("crash=", "crash=, expected a whole number"),
        ("crash=two", "crash=two, expected a whole number"),
        ("crash=²", "expected a whole number"),
        (f"crash={COUNT_MAX + 1}", "expected a whole number"),
        ("crash=99999999999999999999", "expected a whole number"),
        ("crash,crash=2", "crash is named twice"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line(spec: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        draw(spec)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_kind_lists_all_kinds() -> None:
    with pytest.raises(BadInput) as refused:
        draw("earthquake")
    assert all(name in str(refused.value) for name in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_for_and_says_what_it_is(kind: str) -> None:
    drawn = draw(f"{kind}=3", tags=CHANGING, spares=2)
    assert len(drawn.faults) == 3
    assert drawn.left_out == ()
    assert all(str(fault) for fault in drawn.faults)
    assert KINDS[kind].description


def test_named_kinds_follow_each_other_in_the_middle_of_the_run() -> None:
    drawn = draw("leader-crash,partition=2,loss")
    assert [type(fault).__name__ for fault in drawn.faults] == [
        "Crash", "Partition", "Loss", "Partition",
    ]  # fmt: skip
    ends = [fault.at_s + fault.for_s for fault in drawn.faults]
    begins = [fault.at_s for fault in drawn.faults]
    assert begins[0] >= 0.2 * SECONDS
    assert all(end < begin for end, begin in zip(ends, begins[1:], strict=False))
    assert ends[-1] < drawn.heal_at_s < 0.8 * SECONDS
    assert all(fault.for_s > 1 for fault in drawn.faults)


def test_a_leader_crash_hits_the_first_replica_where_there_is_no_leader() -> None:
    assert draw("leader-crash", protocol=Solo()).faults[0].host == "r1"  # type: ignore[attr-defined]


def test_what_a_protocol_cannot_survive_is_left_out_with_the_reason() -> None:
    drawn = draw("wipe,crash", protocol=Solo())
    assert [type(fault) for fault in drawn.faults] == [Crash]
    assert drawn.left_out == ("wipe: a replica that lost its disk cannot come back",)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert draw("all", seed=7) == draw("all", seed=7)
    assert len({draw("all", seed=seed).to_json() for seed in range(20)}) == 20


def test_every_kind_turns_up_in_random_schedules_and_none_always() -> None:
    schedules = [draw("all", seed=seed, tags=CHANGING, spares=2) for seed in range(200)]
    seen = [{type(fault) for fault in drawn.faults} for drawn in schedules]
    kinds = {type(KINDS_FAULT) for s in range(3) for KINDS_FAULT in _one_of_each(s)}
    for kind in kinds:
        assert 0 < sum(kind in found for found in seen) < 200, kind


def _one_of_each(seed: int) -> tuple[object, ...]:
    return draw(",".join(KINDS), seed=seed, tags=CHANGING, spares=2).faults


def test_faults_end_before_the_healing() -> None:
    for seed in range(100):
        drawn = draw("all", seed=seed)
        assert 0 < drawn.heal_at_s < SECONDS
        for fault in drawn.faults:
            assert 0 <= fault.at_s < drawn.heal_at_s
            assert fault.at_s + fault.for_s <= drawn.heal_at_s + 0.002


def test_taking_a_kind_away_leaves_the_other_faults_as_they_were() -> None:
    for seed in range(50):
        tags = Tags(leader=True)
        whole = draw("all", seed=seed, tags=tags)
        less = draw("all", seed=seed, tags=msgspec.structs.replace(tags, tolerates=()))
        noise = ("Loss", "Duplication", "Reordering")
        kept = [fault for fault in whole.faults if type(fault).__name__ not in noise]
        assert list(less.faults) == kept


def test_a_protocol_without_disks_gets_no_disk_faults_and_no_core() -> None:
    tags = Tags(durable=False, leader=True)
    for seed in range(100):
        drawn = draw("all", seed=seed, tags=tags, replicas=5)
        names = {type(fault).__name__ for fault in drawn.faults}
        assert not names & {"TornWrite", "Blackout", "SlowDisk"}
        assert drawn.core == ()


def test_a_core_is_as_large_as_the_protocol_needs_and_disks_are_lost_only_outside() -> None:
    cores = 0
    for seed in range(200):
        drawn = draw("all", seed=seed, replicas=5)
        if not drawn.core:
            continue
        cores += 1
        assert len(drawn.core) == 3
        for fault in drawn.faults:
            if isinstance(fault, Wipe | Amnesia):
                assert fault.host not in (*drawn.core, "leader")
    assert 20 < cores < 120


def test_members_change_only_where_the_protocol_can_and_there_are_spares_for_it() -> None:
    assert spares_for("all", CHANGING) == spares_for("crash,membership-change", CHANGING) == SPARES
    assert spares_for("crash", CHANGING) == spares_for("none", CHANGING) == 0
    assert spares_for("all", Tags()) == 0
    (fault,) = draw("membership-change", tags=CHANGING, replicas=5, spares=2).faults
    assert isinstance(fault, MembershipChange)
    assert spares_for(Schedule((fault,), 9.0), CHANGING) == SPARES
    assert draw("membership-change").left_out == ("membership-change: its members never change",)


def test_sets_of_members_stay_large_enough_for_what_the_schedule_takes_away() -> None:
    protocol, changed = Claims(), 0
    for seed in range(200):
        drawn = draw("all", seed=seed, tags=CHANGING, replicas=5, spares=2)
        orders = [fault for fault in drawn.faults if isinstance(fault, MembershipChange)]
        sizes = [len(order.members) for order in orders]
        tolerance = min(protocol.crash_tolerance(size) for size in (5, *sizes))
        assert drawn.tolerance(protocol, 5) == tolerance
        assert all(4 <= size <= 6 for size in sizes)
        for order in orders:
            assert len({*order.members, *order.learners}) == len(order.members + order.learners)
        if drawn.core:
            down = {f"r{i + 1}" for i in range(7)} - set(drawn.core)
            assert len(down) <= tolerance
        changed += bool(orders)
    assert 60 < changed < 140


class Stubborn(Claims):
    """Its quorums are all replicas."""

    def crash_tolerance(self, replicas: int) -> int:
        return 0


def test_the_protocol_says_how_many_replicas_it_can_do_without() -> None:
    for seed in range(100):
        drawn = draw("all", seed=seed, protocol=Stubborn(), replicas=5)
        assert drawn.core == ()
        assert not any(isinstance(fault, Wipe) for fault in drawn.faults)


@pytest.mark.parametrize("replicas", [1, 2, 3, 9])
def test_drawn_faults_name_only_hosts_that_are_there(replicas: int) -> None:
    known = {"leader", "c1", *(f"r{i + 1}" for i in range(replicas))}
    for seed in range(30):
        for spec in ("all", ",".join(KINDS)):
            drawn = draw(spec, seed=seed, replicas=replicas, clients=1)
            for fault in drawn.faults:
                assert set(hosts_of(fault)) <= known, fault
            assert draw(drawn, replicas=replicas, clients=1) == drawn


def test_a_partition_puts_every_replica_on_one_side_or_leaves_one_as_a_bridge() -> None:
    bridges = 0
    for seed in range(50):
        (fault,) = draw("partition", seed=seed, replicas=5).faults
        assert isinstance(fault, Partition)
        named = [host for group in fault.groups for host in group if host.startswith("r")]
        assert len(named) == len(set(named))
        assert len(named) in (4, 5)
        assert all(fault.groups)
        bridges += len(named) == 4
    assert 0 < bridges < 25


def test_a_schedule_survives_a_file(tmp_path: Path) -> None:
    for seed in range(20):
        drawn = draw("all", seed=seed)
        path = tmp_path / "faults.json"
        path.write_text(drawn.to_json())
        assert draw(str(path)) == drawn
        assert draw(f"@{path}") == drawn
    path.write_text(Schedule().to_json())
    assert draw(f"@{path}") == Schedule()


GOOD = '{"heal_at_s": 9, "faults": [{"fault": "Crash", "at_s": 1, "for_s": 2, "host": "r1"}]}'


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("Crash", "Flood", "Flood"),
        ('"r1"', '"r7"', "no host 'r7'"),
        ('"at_s": 1', '"at_s": -1', "at_s -1"),
        ('"at_s": 1', '"at_s": "soon"', "Expected `float`"),
        ('"heal_at_s": 9', '"heal_at_s": 0', "heal_at_s 0"),
        ('"heal_at_s": 9', '"heal": 9', "heal"),
        (GOOD, "{", "truncated"),
        (GOOD, "[]", "Expected `object`"),
        ('"heal_at_s": 9', '"heal_at_s": 9, "core": ["r1"]', "down for ever"),
        ('"heal_at_s": 9', '"heal_at_s": 9, "core": ["c1"]', "core: no host 'c1'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    tmp_path: Path, was: str, becomes: str, says: str
) -> None:
    path = tmp_path / "faults.json"
    path.write_text(GOOD)
    assert draw(str(path)).faults == (Crash(at_s=1, for_s=2, host="r1"),)
    path.write_text(GOOD.replace(was, becomes))
    with pytest.raises(BadInput) as refused:
        draw(str(path))
    assert says in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        draw(f"@{tmp_path}/none")


def test_a_schedule_written_by_hand_is_checked_too() -> None:
    with pytest.raises(BadInput, match=r"fault 1 \(Loss\): rate 1.5"):
        draw(Schedule((Loss(at_s=1, rate=1.5),), heal_at_s=5.0))
    with pytest.raises(BadInput, match="nan"):
        draw(Schedule((ClockJump(at_s=float("nan"), host="r1", offset_s=1),), heal_at_s=5.0))


def test_lines_tell_the_story_in_order_of_time() -> None:
    told = Schedule(
        (
            Loss(at_s=5, for_s=1, rate=0.1),
            Crash(at_s=2, host="leader"),
            ClockJump(at_s=2.5, host="c1", offset_s=-1),
            Partition(at_s=3, for_s=0.5, groups=(("r1",), ("r2", "r3"))),
        ),
        heal_at_s=8.0,
        core=("r1", "r2"),
    )
    assert told.lines() == [
        "    2.000 s  crash of the leader, until healed",
        "    2.500 s  clock of c1 jumps by -1 s",
        "    3.000 s  partition r1 | r2 r3, for 0.5 s",
        "    5.000 s  loss of 10% of the messages, for 1 s",
        "    8.000 s  healed, only r1 r2 works from now on",
    ]
