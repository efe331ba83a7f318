"""A simulation as its users hold it: talked to, printed, and misused."""

import pytest

from concur import MultiPaxos, Simulation
from concur.errors import BadInput
from concur.machines.kv import Get, Put


def test_a_command_is_proposed_and_answered() -> None:
    simulation = Simulation(MultiPaxos())
    simulation.propose(Put("name", "Ada"))
    assert simulation.propose(Get("name")) == "Ada"


def test_what_is_no_command_of_the_machine_is_refused_with_the_ones_that_are() -> None:
    with pytest.raises(BadInput, match="command kv: 'text', expected one of Get, Put"):
        Simulation(MultiPaxos()).propose("text")


def test_a_finished_run_says_what_came_of_it() -> None:
    simulation = Simulation(MultiPaxos(batch_max=3), seed=7)
    assert repr(simulation) == "Simulation(MultiPaxos(batch_max=3), replicas=3, seed=7)"
    assert "operations, linearizable: True" in repr(simulation.run(seconds=0.1))


def test_spares_are_refused_for_a_protocol_whose_members_never_change() -> None:
    with pytest.raises(BadInput, match="spares: 2, but multi-paxos never changes its members"):
        Simulation(MultiPaxos(), spares=2).run(seconds=0.1)
