"""Three small protocols do what later ones need, without a change to the core."""

from collections.abc import Iterator

import msgspec
import pytest

from concur.base import Protocol
from concur.faults.catalogue import Crash, Partition, Pause
from concur.faults.schedule import Schedule
from concur.machines import machine
from concur.simulate.networks import network
from concur.simulate.simulation import Simulation
from concur.testing import Walk
from concur.workloads import Workload, workload
from tests.small.one_sided import OneSided
from tests.small.sequencer import Sequenced
from tests.small.virtual_log import Replica, VirtualLog

SMALL = [Sequenced(), OneSided(), VirtualLog()]


def load() -> Workload:
    return workload("mixed", think_s=0.02)


def each_walk(protocol: Protocol, count: int) -> Iterator[Walk]:
    for seed in range(count):
        walk = Walk(protocol, seed)
        walk.run(800)
        walk.finish()
        yield walk


@pytest.mark.parametrize("protocol", SMALL, ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("seed", range(3))
def test_clients_see_one_order_under_all_faults(protocol: Protocol, seed: int) -> None:
    run = Simulation(protocol, replicas=3, clients=4, seed=seed).run(
        load(), faults="all", seconds=5
    )
    assert run.violations_ == ()
    assert run.verdict_.valid is True
    assert run.coverage_["operations: ok"] > 50
    assert "unhandled" not in run.coverage_


@pytest.mark.parametrize("protocol", SMALL, ids=lambda protocol: protocol.name)
def test_random_walks_break_no_property(protocol: Protocol) -> None:
    assert all(walk.judge().valid is True for walk in each_walk(protocol, 8))


def test_receivers_notice_gaps_and_agree_on_the_stamped_order() -> None:
    lossy = msgspec.structs.replace(network("lan"), loss=0.05, reorder=0.1)
    run = Simulation(Sequenced(), replicas=3, clients=4, network=lossy).run(load(), seconds=4)
    assert run.violations_ == ()
    assert run.verdict_.valid is True
    assert run.coverage_["gap"] > 10


def test_a_sequencer_that_restarts_begins_a_new_epoch() -> None:
    faults = Schedule((Crash(at_s=1.0, for_s=0.3, host="s1"),), 2.0)
    run = Simulation(Sequenced(), replicas=3, clients=4).run(load(), faults=faults, seconds=4)
    assert run.violations_ == ()
    replicas = [run.world_.places[r].node for r in ("r1", "r2", "r3")]
    assert [r.epoch for r in replicas if r is not None] == [2, 2, 2]  # type: ignore[attr-defined]


def test_of_two_competing_writers_one_at_a_time_succeeds() -> None:
    takeovers = sum(walk.cluster.count["gave_up"] for walk in each_walk(OneSided(), 6))
    assert takeovers > 20  # and agreement, which walks check, held every time


def test_memory_is_served_while_its_cpu_is_paused() -> None:
    paused = Schedule(
        (
            Pause(at_s=1.0, for_s=3.0, host="r2"),
            Crash(at_s=1.0, for_s=3.0, host="r3"),
        ),
        4.5,
    )
    run = Simulation(OneSided(), replicas=3, clients=4).run(load(), faults=paused, seconds=6)
    assert run.violations_ == ()
    meanwhile = [
        op.return_ns
        for op in run.history_.operations()
        if op.type == "ok" and op.return_ns and 2e9 < op.return_ns < 3.9e9
    ]
    assert len(meanwhile) > 50, "a majority needs the memory of r2, whose CPU stood still"


def test_a_broken_stream_is_announced_and_mends() -> None:
    cut = Schedule((Partition(at_s=1.0, for_s=1.0, groups=(("r1",), ("r2", "r3"))),), 3.0)
    run = Simulation(OneSided(), replicas=3, clients=4).run(load(), faults=cut, seconds=6)
    assert run.violations_ == ()
    assert run.coverage_["gave_up"] >= 1


def test_loglets_are_sealed_opened_and_dropped_from_the_journal() -> None:
    simulation = Simulation(VirtualLog(switch_after=20), replicas=3, clients=4)
    run = simulation.run(load(), seconds=4)
    assert run.violations_ == ()
    assert run.coverage_["loglet_opened"] >= 6
    for name in ("r1", "r2", "r3"):
        place = run.world_.places[name]
        node = place.node
        assert isinstance(node, Replica)
        assert {path for path, _ in place.image if path} <= {node.active}


def test_children_come_back_from_the_journal_of_their_host() -> None:
    protocol = VirtualLog()
    walk = Walk(protocol, 3, machine_name="counter")
    walk.run(300, faults=False)
    cluster = walk.cluster
    held = {r: cluster.seats[r].image for r in ("r1", "r2", "r3")}
    for replica in held:
        cluster.crash(replica)
    for replica, image in held.items():
        cluster.restart(replica)
        node = cluster.seats[replica].node
        assert isinstance(node, Replica)
        loglet = node.child(node.active)
        assert loglet.log == image[node.active, "log"]  # type: ignore[attr-defined]
        assert loglet.began == "restart"
    walk.finish()
    assert walk.judge().valid is True


def test_a_read_after_the_switch_sees_what_the_first_loglet_holds() -> None:
    simulation = Simulation(VirtualLog(switch_after=5), replicas=3, clients=1, machine="kv")
    kv = machine("kv")
    for number in range(12):
        simulation.propose(kv.command("put", f"k{number}", number))
    simulation.live.run(simulation.live.now + 1_000_000_000)
    node = simulation.live.places["r1"].node
    assert isinstance(node, Replica)
    assert len(node.chain) > 1
    assert simulation.propose(kv.command("get", "k0", None)) == 0
