"""A server that lost its disk comes back under another name (recovery.py)."""

import pytest

from concur.machines.kv import Put
from concur.parts.client import Request
from concur.protocols.raft import Raft
from concur.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Configuration,
    NotNeeded,
    Rejoin,
    RequestVote,
    Vote,
    born_of,
    name_of,
    server_of,
)
from tests.protocols.harness import Table, apart
from tests.protocols.raft.helpers import cluster, leader, obeyed, order, state, voters


def test_a_name_is_an_address_and_when_its_memory_began() -> None:
    assert name_of("r3", 0) == "r3"
    assert name_of("r3", 7) == "r3#7"
    assert [(server_of(n), born_of(n)) for n in ("r3", "r3#7")] == [("r3", 0), ("r3", 7)]


def test_a_wiped_server_is_exchanged_for_its_successor() -> None:
    table = cluster(3)
    table.write("kept")
    table.wipe("r3")
    assert table.saw("recovering", "r3") == [(2,)]
    table.run(2)
    assert table.saw("recovered", "r3") == [(2,)]
    for node in ("r1", "r2", "r3"):
        assert voters(table, node) == ("r1", "r2", "r3#2")
    table.crash("r2")
    assert table.read() == "kept"
    table.write("served")


def test_a_wiped_leader_comes_back() -> None:
    table = cluster(3)
    table.write("kept")
    table.wipe("r1")
    table.run(5)
    assert table.saw("recovered", "r1")
    assert voters(table, leader(table)) == ("r1#2", "r2", "r3")
    assert table.read() == "kept"


def test_two_of_five_may_be_wiped_at_once() -> None:
    table = cluster(5)
    table.write("kept")
    table.wipe("r1")
    table.wipe("r4")
    table.run(5)
    assert table.saw("recovered", "r1")
    assert table.saw("recovered", "r4")
    assert set(voters(table, leader(table))) == {"r1#2", "r2", "r3", "r4#2", "r5"}
    for node in ("r2", "r3"):
        table.crash(node)
    assert table.read() == "kept"


def test_one_may_be_wiped_again_before_it_has_recovered() -> None:
    table = cluster(3)
    table.wipe("r3")
    for _ in range(6):
        if table.wires:
            table.hand(table.wires.pop(0))
    table.wipe("r3")
    table.run(5)
    assert voters(table, leader(table)) == ("r1", "r2", "r3#3")
    assert table.saw("recovered", "r3") == [(3,)]


@pytest.mark.parametrize("steps", range(0, 22, 3))
def test_a_crash_during_recovery_changes_nothing(steps: int) -> None:
    table = cluster(3)
    table.write("kept")
    table.wipe("r3")
    for _ in range(steps):
        if table.wires:
            table.hand(table.wires.pop(0))
    table.restart("r3")
    assert state(table, "r3").name == "r3#2"
    table.run(5)
    assert voters(table, leader(table)) == ("r1", "r2", "r3#2")
    assert table.saw("recovered", "r3") == [(2,)]


@pytest.mark.parametrize("steps", range(0, 22, 3))
def test_a_crash_of_the_leader_during_recovery_delays_it(steps: int) -> None:
    table = cluster(3)
    table.write("kept")
    table.wipe("r3")
    for _ in range(steps):
        if table.wires:
            table.hand(table.wires.pop(0))
    table.restart("r1")
    table.run(8)
    assert voters(table, leader(table)) == ("r1", "r2", "r3#2")
    assert table.saw("recovered", "r3")
    assert table.read() == "kept"


def test_what_the_new_memory_says_does_not_count_for_the_old() -> None:
    """r3 held an entry that r1 counts on; its successor's acknowledgement is not r3's."""
    table = cluster(3)
    table.ask(Put("x", 1))
    table.deliver(Request)
    table.take(AppendEntries)
    node = state(table, "r1")
    last, before = node.log.last_index, node.committed
    table.put("r3", "r1", Appended(node.term, True, last, 0, 0, 0, "r3#2"))
    table.deliver(Appended)
    assert node.committed == before
    assert node.progress[-1].name == "r3#2"
    assert node.progress[-1].match == 0


def test_a_late_acknowledgement_of_the_old_memory_is_not_the_new_ones() -> None:
    table = cluster(3)
    table.ask(Put("x", 1))
    table.deliver(Request)
    table.deliver(AppendEntries, to="r3")
    ((source, to, late),) = table.take(Appended, source="r3")
    table.wires.clear()
    table.wipe("r3")
    table.deliver(Rejoin)
    table.wires.clear()
    table.put(source, to, late)
    table.deliver(Appended)
    assert {p.name: p.match for p in state(table, "r1").progress}["r3#2"] == 0


def test_votes_of_a_name_that_is_in_no_configuration_do_not_count() -> None:
    table = Table(Raft(pre_vote=False, check_quorum=False), 3)
    table.ring("r1", "election")
    for name in ("r2#5", "r3#2"):
        table.put(server_of(name), "r1", Vote(1, "r1", True, name))
    table.deliver(Vote)
    assert state(table, "r1").role == "candidate"


def test_a_late_vote_for_the_old_memory_does_not_elect_its_successor() -> None:
    table = cluster(3, pre_vote=False, check_quorum=False)
    table.wipe("r3")
    table.run(2)
    table.wires.clear()
    table.crash("r1")
    table.time_ns += 1_000_000_000
    table.ring("r3", "election")
    term = state(table, "r3").term
    table.take()
    table.put("r2", "r3", Vote(term, "r3", True, "r2"))
    table.deliver(Vote)
    assert state(table, "r3").role == "candidate"
    table.put("r2", "r3", Vote(term, "r3#2", True, "r2"))
    table.deliver(Vote)
    assert state(table, "r3").role == "leader"


def test_one_vote_is_not_given_to_two_memories_of_a_server() -> None:
    table = Table(Raft(pre_vote=False, check_quorum=False), 3)
    for name in ("r3", "r3#2"):
        table.put("r3", "r2", RequestVote(5, name, 9, 4, False))
    table.deliver(RequestVote)
    assert [m.granted for _, _, m in table.take(Vote)] == [True, False]


def test_a_wiped_server_does_not_campaign_before_it_has_recovered() -> None:
    table = cluster(3)
    table.wipe("r3")
    table.run(10, cut=apart("r3"))
    assert state(table, "r3").role == "follower"
    assert not [v for n, what, v in table.observed if n == "r3" and what == "campaign"]


def test_a_restart_that_finds_nothing_takes_a_new_name() -> None:
    """It may follow a wipe whose first record was lost."""
    table = cluster(3)
    table.crash("r3")
    table.images["r3"], table.snapshots["r3"] = {}, None
    table.start("r3", "restart")
    assert state(table, "r3").name == "r3#2"
    assert state(table, "r3").recovering


def test_a_wiped_server_gets_a_snapshot_when_the_log_was_cut() -> None:
    table = cluster(3, snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(30):
        table.write(number)
    table.wipe("r3")
    table.run(3)
    assert table.saw("snapshot_installed", "r3")
    assert table.saw("recovered", "r3")
    assert state(table, "r3").machine_state == state(table, "r1").machine_state


def test_a_wiped_learner_is_exchanged_in_one_entry() -> None:
    table = cluster(3, spares=1)
    order(table, "r1", "r2", "r3", learners=("r4",))
    table.run(2)
    before = state(table, "r1").log.last_index
    table.wipe("r4")
    table.run(3)
    assert table.saw("recovered", "r4")
    wanted = Configuration(("r1", "r2", "r3"), (), ("r4#2",))
    assert state(table, "r1").configuration == wanted
    assert state(table, "r1").log.last_index == before + 1


def test_a_wiped_spare_has_nothing_to_recover() -> None:
    table = cluster(3, spares=1)
    table.wipe("r4")
    table.deliver(Rejoin)
    assert not table.find(NotNeeded), "not before a majority has confirmed that r1 still leads"
    table.run(0.2)
    assert table.saw("recovered", "r4")
    op = order(table, "r1", "r2", "r4")
    table.run(3)
    assert obeyed(table, op)
    assert voters(table, "r1") == ("r1", "r2", "r4#2")


def test_a_server_that_asks_again_and_again_sets_off_no_heartbeats() -> None:
    table = cluster(3, spares=2)
    before = state(table, "r1").round
    for _ in range(20):
        for spare in ("r4", "r5", "x9"):
            table.put(spare, "r1", Rejoin(f"{spare}#2"))
    table.deliver(Rejoin)
    assert not table.wires
    assert state(table, "r1").round == before
    assert state(table, "r1").asked == (("r4", "r4#2", before + 1), ("r5", "r5#2", before + 1))
    table.ring("r1", "heartbeat")
    table.deliver(AppendEntries)
    table.deliver(Appended, source="r2")
    assert [to for _, to, _ in table.take(NotNeeded)] == ["r4", "r5"]


def test_asking_again_does_not_put_off_the_answer() -> None:
    """A round that takes longer than it takes until r4 asks again is a round all the same."""
    table = cluster(3, spares=1)
    for _ in range(3):
        table.put("r4", "r1", Rejoin("r4#2"))
        table.deliver(Rejoin)
        table.ring("r1", "heartbeat")
    first, *_ = table.take(AppendEntries, to="r2")
    table.hand(first)
    table.deliver(Appended)
    assert table.take(NotNeeded) == [("r1", "r4", NotNeeded("r4#2"))]


def test_a_server_that_is_wiped_while_members_change_is_exchanged_afterwards() -> None:
    table = cluster(3, spares=2)
    op = order(table, "r3", "r4", "r5")
    for _ in range(4):
        table.hand(table.wires.pop(0))
    table.wipe("r3")
    table.run(10)
    assert obeyed(table, op)
    assert set(voters(table, leader(table))) == {"r3#2", "r4", "r5"}
