"""Faults in the simulated world: each does what it says, ends, and takes back only its own part."""

from typing import Any

import pytest

from concur.base import Tags
from concur.chance import Stream
from concur.effects import Observe
from concur.faults.base import Fault
from concur.faults.catalogue import (
    Blackout,
    ClientCrash,
    ClockDrift,
    ClockJump,
    ClockSkew,
    Crash,
    Duplication,
    Isolation,
    Loss,
    OneWayPartition,
    Partition,
    Pause,
    Reordering,
    SlowDisk,
    SlowLink,
    SlowNode,
    TornWrite,
    Wipe,
    without_hosts,
)
from concur.faults.schedule import Schedule
from concur.machines import machine
from concur.node import SECOND
from concur.simulate.case import Case
from concur.simulate.costs import Costs
from concur.simulate.simulation import Simulation
from concur.simulate.world import World
from tests.faults.solo import NEAR, Claims, Solo


class Careless(Claims):
    """Keeps nothing on disk, and says so."""

    tags = Tags(durable=False, leader=True)


def world(protocol: Solo | None = None, replicas: int = 3) -> World:
    made = World(
        protocol or Claims(),
        replicas=replicas,
        clients=2,
        network=NEAR,
        machine=machine("kv"),
        seed=1,
        costs=Costs(),
    )
    made.completions = lambda *_: None
    made.start()
    made.run(0)
    return made


def inflict(stage: World, fault: Fault, heal_at_s: float = 100.0) -> None:
    stage.apply(Schedule((fault,), heal_at_s))


def until(stage: World, time_s: float) -> None:
    stage.run(round(time_s * SECOND))


def run(*faults: Fault, protocol: Solo | None = None, **options: Any) -> Simulation:
    heal_at_s = options.pop("heal_at_s", 4.0)
    case = Case(
        protocol=protocol or Solo(),
        clients=2,
        network=NEAR,
        faults=Schedule(faults, heal_at_s),
        seconds=5.0,
        **options,
    )
    simulation = case.run()
    assert simulation.violations_ == ()
    assert simulation.verdict_.valid is True
    return simulation


# --- hosts ------------------------------------------------------------------------------------


def test_a_crashed_host_is_down_until_the_fault_ends() -> None:
    stage = world()
    inflict(stage, Crash(at_s=1, for_s=2, host="r2"))
    until(stage, 0.9)
    assert stage.is_up("r2")
    until(stage, 2.9)
    assert not stage.is_up("r2")
    until(stage, 3.1)
    assert stage.is_up("r2")
    assert stage.places["r2"].incarnation == 2


def test_a_crash_without_an_end_lasts_until_the_healing() -> None:
    stage = world()
    inflict(stage, Crash(at_s=1, host="r2"), heal_at_s=50)
    until(stage, 49)
    assert not stage.is_up("r2")
    until(stage, 51)
    assert stage.is_up("r2")


def test_faults_after_the_healing_do_not_happen() -> None:
    stage = world()
    stage.apply(Schedule((Crash(at_s=6, for_s=1, host="r2"),), 5.0))
    until(stage, 6.5)
    assert stage.is_up("r2")


def test_the_leader_is_whoever_was_last_seen_to_become_one() -> None:
    stage = world()
    stage.leader = "r3"
    assert Crash(at_s=0, host="leader").begin(stage) == "r3"
    assert Crash(at_s=0, host="leader").begin(stage) == "r1", "r3 is down, r1 is the first up"


def test_a_crash_of_who_is_down_leaves_the_restart_to_the_first() -> None:
    stage = world()
    stage.apply(
        Schedule((Crash(at_s=1, for_s=5, host="r2"), Crash(at_s=2, for_s=1, host="r2")), 50.0)
    )
    until(stage, 5.5)
    assert not stage.is_up("r2")
    assert stage.count["withheld: Crash"] == 1
    until(stage, 6.5)
    assert stage.is_up("r2")


def test_a_blackout_stops_all_replicas_and_no_client() -> None:
    stage = world()
    inflict(stage, Blackout(at_s=1, for_s=1))
    until(stage, 1.5)
    assert [host for host in stage.all_hosts() if stage.is_up(host)] == ["c1", "c2"]
    until(stage, 2.5)
    assert all(stage.is_up(host) for host in stage.all_hosts())


def test_only_a_core_comes_back_if_there_is_one() -> None:
    stage = world()
    crashes = tuple(Crash(at_s=1, host=host) for host in stage.replica_hosts)
    stage.apply(Schedule(crashes, 5.0, ("r1", "r3")))
    until(stage, 20)
    assert [host for host in stage.replica_hosts if stage.is_up(host)] == ["r1", "r3"]


def test_what_was_answered_survives_crashes_blackouts_and_torn_writes() -> None:
    simulation = run(
        Crash(at_s=0.5, for_s=0.2, host="r1"),
        Blackout(at_s=1, for_s=0.2),
        TornWrite(at_s=2, for_s=0.2, host="r1"),
        TornWrite(at_s=3, for_s=0.2, host="r1"),
        Crash(at_s=3.5, for_s=0.1, host="r1"),
    )
    assert simulation.coverage_["torn writes"] == 2
    assert simulation.coverage_["lost unsynced records"] >= 2
    assert simulation.coverage_["operations: ok"] > 100


def test_a_torn_write_waits_for_a_sync_and_a_restart_takes_it_back() -> None:
    stage = world()
    inflict(stage, TornWrite(at_s=1, for_s=1, host="r1"))
    until(stage, 1.5)
    assert stage.is_up("r1"), "nothing was written, so no write was torn"
    assert stage.hosts["r1"].tear
    until(stage, 2.5)
    assert not stage.hosts["r1"].tear


def test_a_pause_ends_by_itself_or_at_the_healing() -> None:
    stage = world()
    inflict(stage, Pause(at_s=1, for_s=2, host="r1"), heal_at_s=2)
    until(stage, 1.5)
    assert stage.hosts["r1"].free_at == pytest.approx(2 * SECOND, abs=10)


def test_slowness_adds_up_and_is_taken_back() -> None:
    stage = world()
    stage.apply(
        Schedule(
            (
                SlowNode(at_s=1, for_s=3, host="r1", factor=10),
                SlowNode(at_s=2, for_s=1, host="r1", factor=5),
                SlowDisk(at_s=1, for_s=1, host="r1", factor=50),
            ),
            50.0,
        )
    )
    seen = []
    for time_s in (0.5, 1.5, 2.5, 3.5, 4.5):
        until(stage, time_s)
        seen.append((stage.hosts["r1"].slow, stage.hosts["r1"].disk_slow))
    assert seen == [(1, 1), (10, 50), (14, 1), (10, 1), (1, 1)]


def test_nobody_knows_what_came_of_a_crashed_clients_command() -> None:
    # c2 waits for answers much of the time, so some of these find it with a command open.
    crashes = [ClientCrash(at_s=0.5 + i / 10, for_s=0.05, host="c2") for i in range(20)]
    simulation = run(*crashes)
    assert simulation.coverage_["client crashes"] == 20
    assert simulation.coverage_["client restarts"] == 20
    assert 0 < simulation.coverage_["operations: info"] <= 20
    assert "restarts" not in simulation.coverage_


# --- lost disks --------------------------------------------------------------------------------


def test_a_wiped_host_starts_as_such_and_again_until_something_is_durable() -> None:
    stage = world()
    inflict(stage, Wipe(at_s=1, for_s=1, host="r2"))
    until(stage, 3)
    assert (stage.count["wiped"], stage.count["restarts"]) == (1, 0)
    stage.crash("r2")
    stage.restart("r2")
    assert (stage.count["wiped"], stage.count["restarts"]) == (2, 0)
    stage.crash("r3")
    stage.restart("r3")
    assert (stage.count["wiped"], stage.count["restarts"]) == (2, 1)


def test_a_wipe_that_healing_ends_is_a_wipe() -> None:
    stage = world()
    inflict(stage, Wipe(at_s=1, host="r2"), heal_at_s=3)
    until(stage, 4)
    assert (stage.count["wiped"], stage.count["restarts"]) == (1, 0)


def test_a_wipe_takes_disk_and_snapshot() -> None:
    simulation = run(protocol=Solo())
    stage = simulation.world_
    place = stage.places["r1"]
    place.settle()
    assert place.image
    stage.crash("r1", wiped=True)
    assert not place.image
    assert not place.saved


def test_no_more_disks_are_lost_than_the_protocol_can_recover_from() -> None:
    stage = world(replicas=5)
    assert [stage.may_lose(host, disk=True) for host in ("r1", "r2", "r3")] == [True] * 3
    stage.crash("r1", wiped=True)
    stage.restart("r1")
    stage.crash("r2", wiped=True)
    assert not stage.may_lose("r3", disk=True)
    assert stage.may_lose("r3", disk=False)
    assert stage.may_lose("r1", disk=True), "it has lost its disk already"
    stage.observe(stage.places["r1"], Observe("recovered", ()), stage.now)
    assert stage.count["wiped replicas recovered"] == 1
    assert stage.may_lose("r3", disk=True)


def test_a_wipe_that_could_lose_what_is_committed_is_withheld() -> None:
    stage = world()
    stage.apply(Schedule((Wipe(at_s=1, for_s=1, host="r1"), Wipe(at_s=3, for_s=1, host="r2")), 9.0))
    until(stage, 5)
    assert stage.count["fault: Wipe"] == 1
    assert stage.count["withheld: Wipe"] == 1
    assert stage.count["restarts"] == 0


def test_the_crash_of_a_replica_without_a_disk_counts_as_a_lost_disk() -> None:
    stage = world(Careless())
    assert Crash(at_s=0, host="r1").begin(stage) == "r1"
    assert Crash(at_s=0, host="r2").begin(stage) is None
    assert Blackout(at_s=0).begin(stage) is None
    assert Crash(at_s=0, host="c1").begin(stage) == "c1"


def test_who_cannot_recover_loses_no_disk_even_if_a_schedule_says_so() -> None:
    simulation = run(Wipe(at_s=1, for_s=1, host="r1"))
    assert simulation.coverage_["withheld: Wipe"] == 1


# --- the network ------------------------------------------------------------------------------


def blocked(stage: World) -> set[tuple[str, str]]:
    hosts = stage.all_hosts()
    return {(a, b) for a in hosts for b in hosts if a != b and stage.link(a, b, False).blocked}


def both(*pairs: tuple[str, str]) -> set[tuple[str, str]]:
    return {pair for a, b in pairs for pair in ((a, b), (b, a))}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            Partition(at_s=0, groups=(("r1",), ("r2", "r3"))),
            both(("r1", "r2"), ("r1", "r3")),
        ),
        (
            Partition(at_s=0, groups=(("r1", "c1"), ("leader",))),
            both(("r1", "r3"), ("c1", "r3")),
        ),
        (
            Isolation(at_s=0, host="leader", clients=False),
            both(("r3", "r1"), ("r3", "r2")),
        ),
        (
            Isolation(at_s=0, host="r1"),
            both(*(("r1", other) for other in ("r2", "r3", "c1", "c2"))),
        ),
        (
            OneWayPartition(at_s=0, sources=("leader",)),
            {("r3", other) for other in ("r1", "r2", "c1", "c2")},
        ),
        (
            OneWayPartition(at_s=0, targets=("r1",)),
            {(other, "r1") for other in ("r2", "r3", "c1", "c2")},
        ),
        (OneWayPartition(at_s=0, sources=("r1",), targets=("r2",)), {("r1", "r2")}),
    ],
    ids=lambda value: "" if isinstance(value, set | frozenset) else str(value),
)
def test_what_a_partition_cuts_it_restores(fault: Fault, expected: set[tuple[str, str]]) -> None:
    stage = world()
    stage.leader = "r3"
    begun = fault.begin(stage)
    assert blocked(stage) == expected
    stage.leader = "r2"
    fault.end(stage, begun)
    assert blocked(stage) == set()


def test_partitions_that_overlap_end_one_by_one() -> None:
    stage = world()
    first = Partition(at_s=0, groups=(("r1",), ("r2",)))
    second = Isolation(at_s=0, host="r1", clients=False)
    a, b = first.begin(stage), second.begin(stage)
    first.end(stage, a)
    assert blocked(stage) == both(("r1", "r2"), ("r1", "r3"))
    second.end(stage, b)
    assert blocked(stage) == set()


def test_rates_add_up_and_vanish_to_the_last_bit() -> None:
    stage = world()
    link = stage.link("r1", "r2", False)
    noise = (
        Loss(at_s=0, rate=0.1),
        Loss(at_s=0, rate=0.3),
        Duplication(at_s=0, rate=0.1, late_s=1),
        Reordering(at_s=0, rate=0.2, late_s=0.2),
        Loss(at_s=0, rate=0.05),
    )
    for fault in noise:
        fault.begin(stage)
    assert not link.plain
    assert stage.loss == pytest.approx(0.45)
    for fault in (noise[2], noise[0], noise[4], noise[1], noise[3]):
        fault.end(stage, True)
    assert (stage.loss, stage.duplicate, stage.reorder, stage.late_ns) == (0, 0, 0, 0)
    assert link.plain


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        (Loss(at_s=1, for_s=1, rate=0.1), "dropped: loss"),
        (Duplication(at_s=1, for_s=1, rate=0.5, late_s=0.5), "duplicated"),
        (Reordering(at_s=1, for_s=1, rate=0.5, late_s=0.5), "reordered"),
        (Isolation(at_s=1, for_s=1, host="r2"), "dropped: partition"),
        (SlowLink(at_s=1, for_s=1, host="r1", extra_s=0.1), "slow links"),
        (SlowDisk(at_s=1, for_s=1, host="r1", factor=100), "slow disks"),
        (SlowNode(at_s=1, for_s=1, host="r1", factor=100), "slow nodes"),
        (Pause(at_s=1, for_s=1, host="r1"), "pauses"),
        (ClockSkew(at_s=1, for_s=1, host="r1", offset_s=1), "clock faults"),
    ],
    ids=str,
)
def test_a_fault_is_counted_when_it_has_an_effect(fault: Fault, key: str) -> None:
    simulation = run(fault)
    assert simulation.coverage_[key] > 0
    assert key not in run().coverage_


def test_copies_come_up_to_late_s_late() -> None:
    stage = world()
    Duplication(at_s=0, rate=1.0, late_s=5.0).begin(stage)
    link = stage.link("r1", "r2", False)
    gaps = []
    for _ in range(200):
        first, second = link.arrivals(stage, 0, 100)
        gaps.append(second - first)
    assert 0 < min(gaps) < SECOND
    assert 4 * SECOND < max(gaps) < 5.5 * SECOND


def test_a_slow_link_is_slower_by_what_it_says() -> None:
    stage = world()
    link = stage.link("r1", "c1", False)
    fault = SlowLink(at_s=0, host="c1", extra_s=3.0)
    begun = fault.begin(stage)
    assert min(link.arrivals(stage, 0, 0)) > 3 * SECOND
    assert stage.link("c1", "r2", False).extra_ns == 3 * SECOND
    fault.end(stage, begun)
    assert link.plain


def test_a_fault_taken_away_leaves_the_delays_of_the_others() -> None:
    """Draws belong to links and messages, whatever else happens."""
    noisy, quiet = world(), world()
    Loss(at_s=0, rate=0.5).begin(noisy)
    Duplication(at_s=0, rate=0.0).begin(quiet)
    a, b = noisy.link("r1", "r2", False), quiet.link("r1", "r2", False)
    quiet.add_delay([("r1", "r2")], 0)
    lossy = [tuple(a.arrivals(noisy, 0, 100)) for _ in range(200)]
    clean = [tuple(b.arrivals(quiet, 0, 100)) for _ in range(200)]
    assert 50 < sum(not arrived for arrived in lossy) < 150
    assert all(got in ((), sent) for got, sent in zip(lossy, clean, strict=True))


# --- clocks -----------------------------------------------------------------------------------


def test_skew_is_taken_back_and_a_jump_is_not() -> None:
    stage = world()
    stage.apply(
        Schedule(
            (
                ClockSkew(at_s=1, for_s=1, host="r1", offset_s=60),
                ClockJump(at_s=3, host="r1", offset_s=-0.5),
            ),
            9.0,
        )
    )
    offsets = []
    for time_s in (0.5, 1.5, 2.5, 3.5, 20):
        until(stage, time_s)
        offsets.append(stage.hosts["r1"].offset_ns / SECOND)
    assert offsets == [0, 60, 0, -0.5, -0.5]


def test_drift_moves_all_clocks_steadily_and_what_it_gained_stays() -> None:
    stage = world()
    host, place = stage.hosts["r1"], stage.places["r1"]
    inflict(stage, ClockDrift(at_s=10, for_s=10, host="r1", drift_ppm=200))
    seen = []
    for tenth in range(0, 300):
        until(stage, tenth / 10)
        host.clock = stage.now
        seen.append((place.uptime(), place.now()))
    assert seen == sorted(seen)
    assert seen[100] == (10 * SECOND, 10 * SECOND)
    assert seen[150][0] == 15 * SECOND + 1_000_000
    assert seen[299][0] == pytest.approx(29.9 * SECOND + 2_000_000, abs=1)
    assert seen[299][0] == seen[299][1]


def test_uptime_never_runs_back_whatever_the_drift() -> None:
    stage = world()
    host, place = stage.hosts["r1"], stage.places["r1"]
    draws = Stream(3, "drift test")
    last = 0
    for step in range(500):
        until(stage, step / 10)
        host.clock = max(host.clock, stage.now + draws.below(1_000_000))
        assert place.uptime() >= last
        last = place.uptime()
        stage.shift_clock("r1", draws.between(-SECOND, SECOND), draws.between(-100, 100))


# --- faults as values --------------------------------------------------------------------------


def test_a_fault_without_its_host_is_no_fault() -> None:
    assert without_hosts(Crash(at_s=0, host="r4"), ["r4"]) is None
    crash = Crash(at_s=0, host="r1")
    assert without_hosts(crash, ["r4"]) is crash
    cut = Partition(at_s=0, groups=(("r1", "r4"), ("r2",), ("r5",)))
    assert without_hosts(cut, ["r4", "r5"]) == Partition(at_s=0, groups=(("r1",), ("r2",)))
    assert without_hosts(cut, ["r2", "r4", "r5"]) is None
    deaf = OneWayPartition(at_s=0, targets=("r4",))
    assert without_hosts(deaf, ["r4"]) is None
