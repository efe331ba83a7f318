"""A system that never answers again after its faults have healed is found out."""

import pytest

from concur import MultiPaxos, Simulation
from concur.protocols.multi_paxos import Replica


class NeverElectsAgain(Replica):
    def wait_for_leader(self) -> None:
        pass


class Dead(MultiPaxos):
    """No replica but the first ever campaigns, and it only once."""

    name = "dead"
    replica = NeverElectsAgain


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_without_a_leader_after_healing_is_a_violation(seed: int) -> None:
    run = Simulation(Dead(), replicas=3, seed=seed).run(faults="leader-crash", seconds=10)
    assert [v.property for v in run.violations_] == ["every_command_completes_after_healing"]
    whole = Simulation(MultiPaxos(), replicas=3, seed=seed).run(faults="leader-crash", seconds=10)
    assert whole.violations_ == ()


def test_every_client_is_served_once_more_after_a_late_healing() -> None:
    run = Simulation(MultiPaxos(), replicas=3, clients=4, seed=1).run(
        "ycsb-a:think_s=0.5", faults="partition", seconds=4
    )
    heal = run.schedule_.heal_at_s
    asked = {o.process for o in run.history_.operations() if o.call_ns >= heal * 1e9}
    assert len(asked) >= 4
