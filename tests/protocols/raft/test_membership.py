"""Changing members (section 6; D 4: the dissertation's), learners, and handing over (D 3.10)."""

from typing import Any

import pytest

from concur.machines.kv import Put
from concur.parts.client import Reply, Request
from concur.parts.membership import ChangeMembers, Done, Refused, TransferLeadership
from concur.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Configuration,
    Entry,
    Rejoin,
    RequestVote,
    TimeoutNow,
)
from concur.quorums import Joint
from tests.protocols.harness import Table, apart
from tests.protocols.raft.helpers import (
    append,
    cluster,
    leader,
    obeyed,
    order,
    state,
    voters,
)


def changed(
    table: Table, *members: str, learners: tuple[str, ...] = (), seconds: float = 3
) -> None:
    op = order(table, *members, learners=learners)
    table.run(seconds)
    assert obeyed(table, op)


def configurations(table: Table, node: str) -> list[Configuration]:
    return [c for _, c in state(table, node).configurations]


# --- 6: joint consensus ---------------------------------------------------------------------------


def test_6_a_change_takes_two_entries() -> None:
    table = cluster(3, spares=1)
    before = state(table, "r1").log.last_index
    changed(table, "r1", "r2", "r4")
    added = [e.configuration for e in state(table, "r1").log.since(before)]
    old, new = ("r1", "r2", "r3"), ("r1", "r2", "r4")
    assert added == [Configuration(new, old), Configuration(new)]
    for node in ("r1", "r2", "r4"):
        assert voters(table, node) == new


def test_6_while_members_change_everything_takes_both_majorities() -> None:
    quorums = Configuration(("r3", "r4", "r5"), ("r1", "r2", "r3")).quorums
    assert isinstance(quorums, Joint)
    assert not quorums.is_phase1(("r1", "r2"))
    assert not quorums.is_phase2(("r4", "r5"))
    assert quorums.is_phase2(("r1", "r3", "r4"))


def test_6_all_servers_may_be_exchanged_at_once() -> None:
    table = cluster(3, spares=3)
    table.write("kept")
    changed(table, "r4", "r5", "r6")
    for node in ("r1", "r2", "r3"):
        table.crash(node)
    table.run(3)
    assert leader(table) in ("r4", "r5", "r6")
    assert table.read() == "kept"


@pytest.mark.parametrize("members", [("r1",), ("r1", "r2"), ("r1", "r2", "r3", "r4", "r5")])
def test_6_clusters_grow_and_shrink(members: tuple[str, ...]) -> None:
    table = cluster(3, spares=2)
    changed(table, *members)
    table.write("kept")
    changed(table, "r2", "r3", "r4")
    assert table.read() == "kept"
    assert voters(table, leader(table)) == ("r2", "r3", "r4")


def test_6_a_configuration_counts_from_when_it_is_appended() -> None:
    table = cluster(3, spares=1)
    joint = Entry(1, (), Configuration(("r1", "r4"), ("r1", "r2", "r3")))
    last = state(table, "r2").log.last_index
    table.put("r1", "r2", AppendEntries(1, last, 1, (joint,), 0, 0))
    table.deliver(AppendEntries)
    assert state(table, "r2").configuration == joint.configuration


def test_6_a_configuration_that_is_overwritten_counts_no_more() -> None:
    table = cluster(3, spares=1)
    before = configurations(table, "r2")
    joint = Entry(1, (), Configuration(("r1", "r4"), ("r1", "r2", "r3")))
    last = state(table, "r2").log.last_index
    table.put("r1", "r2", AppendEntries(1, last, 1, (joint,), 0, 0))
    table.deliver(AppendEntries)
    append(table, "r3", "r2", 2, (last, 1), 2)
    assert configurations(table, "r2") == before


def test_configurations_survive_restarts_and_snapshots() -> None:
    table = cluster(3, spares=2, snapshot_every=10, lag_max=0, batch_max=1)
    changed(table, "r1", "r2", "r4", learners=("r5",))
    for number in range(30):
        table.write(number)
    table.run(0.5)
    for node in ("r1", "r2", "r4", "r5"):
        assert state(table, node).log.base.index > 10
        before = configurations(table, node)
        table.restart(node)
        assert configurations(table, node) == before
        assert before == [Configuration(("r1", "r2", "r4"), (), ("r5",))]


def test_6_a_snapshot_brings_its_configuration() -> None:
    table = cluster(3, spares=1, snapshot_every=10, lag_max=0, batch_max=1)
    changed(table, "r1", "r2")
    for number in range(30):
        table.write(number)
    changed(table, "r1", "r2", "r4")
    assert table.saw("snapshot_installed", "r4")
    assert configurations(table, "r4")[-1] == Configuration(("r1", "r2", "r4"))


def test_one_change_at_a_time() -> None:
    table = cluster(3, spares=2)
    order(table, "r1", "r2", "r4")
    table.settle(
        cut=lambda source, to: {source, to} == {"r1", "r2"} or {source, to} == {"r1", "r3"}
    )
    assert state(table, "r1").configuration.old
    last = state(table, "r1").log.last_index
    order(table, "r1", "r2", "r5")
    table.settle(
        cut=lambda source, to: {source, to} == {"r1", "r2"} or {source, to} == {"r1", "r3"}
    )
    assert state(table, "r1").log.last_index == last
    table.run(5)
    assert voters(table, leader(table)) == ("r1", "r2", "r5")


def test_no_change_before_an_entry_of_the_leaders_term_is_committed() -> None:  # mutant R1
    table = cluster(3, spares=1)
    table.crash("r1")
    table.wires.clear()
    table.run(1.2, cut=lambda source, to: False)
    new = leader(table)
    state(table, new).committed = state(table, new).first - 1
    last = state(table, new).log.last_index
    table.put("o1", new, ChangeMembers(1, ("r2", "r3"), ()))
    table.deliver(ChangeMembers)
    assert state(table, new).log.last_index == last
    assert state(table, new).change is not None


def test_a_new_leader_finishes_the_change_that_it_finds() -> None:
    table = cluster(3, spares=1)
    order(table, "r1", "r2", "r4")
    for _ in range(30):
        if state(table, "r2").configuration.old:
            break
        wire = table.wires.pop(0)
        table.hand(wire)
    assert state(table, "r2").configuration.old
    table.crash("r1")
    table.wires.clear()
    table.run(5)
    if leader(table) and state(table, leader(table)).configuration.voters == ("r1", "r2", "r4"):
        assert not state(table, leader(table)).configuration.old
    else:  # it was on r2 alone, and a leader without it overwrote it
        assert voters(table, leader(table)) == ("r1", "r2", "r3")


def test_an_order_that_is_so_already_is_done_at_once() -> None:
    table = cluster(3)
    last = state(table, "r1").log.last_index
    order(table, "r3", "r2", "r1")
    table.deliver(ChangeMembers)
    assert table.find(Done)
    assert state(table, "r1").log.last_index == last


def test_followers_send_the_operator_to_the_leader() -> None:
    table = cluster(3, spares=1)
    table.put("o1", "r2", ChangeMembers(7, ("r1",), ()))
    table.deliver(ChangeMembers)
    assert [m for _, _, m in table.take(Refused)] == [Refused(7, "r1", "it does not lead")]


def test_members_that_are_not_there_are_refused() -> None:
    table = cluster(3)
    table.put("o1", "r1", ChangeMembers(7, ("r1", "r9"), ()))
    table.deliver(ChangeMembers)
    assert "among" in table.take(Refused)[0][2].why


# --- D 4.2: catching up, leaving, staying away ----------------------------------------------------


def test_d_4_2_1_a_newcomer_is_counted_on_only_when_it_has_caught_up() -> None:
    table = cluster(3, spares=1)
    for number in range(20):
        table.write(number)
    order(table, "r1", "r2", "r4")
    table.deliver(ChangeMembers)
    assert not state(table, "r1").configuration.old
    table.deliver(AppendEntries, to="r4")
    table.deliver(Appended)
    assert not state(table, "r1").configuration.old
    table.settle()
    assert state(table, "r4").log.last_index == state(table, "r1").log.last_index


def test_d_4_2_1_a_newcomer_that_is_silent_is_given_up() -> None:
    table = cluster(3, spares=1)
    table.crash("r4")
    op = order(table, "r1", "r2", "r4")
    table.run(3)
    assert table.saw("change_given_up", "r1")
    assert state(table, "r1").configuration == Configuration(("r1", "r2", "r3"))
    assert not obeyed(table, op)
    table.restart("r4")
    table.run(5)
    assert obeyed(table, op), "the operator asks again"


def test_d_4_2_2_a_leader_that_is_removed_leads_until_it_is_so_and_hands_over() -> None:
    table = cluster(3, spares=1)
    op = order(table, "r2", "r3", "r4")
    table.settle()
    assert obeyed(table, op)
    assert state(table, "r1").role == "follower"
    assert leader(table) in ("r2", "r3", "r4")
    table.run(10)
    assert state(table, "r1").role == "follower", "it does not campaign"


def test_d_4_2_2_a_leader_that_leaves_does_not_count_itself() -> None:
    table = cluster(3, spares=1)
    order(table, "r2", "r3", "r4")
    table.settle(cut=lambda source, to: to == "r1" and source in ("r2", "r3"))
    node = state(table, "r1")
    assert node.configuration.old, "r1 and r4 are no majority of {r2, r3, r4}"
    assert node.agreed() == node.committed


def test_d_4_2_3_a_removed_server_that_does_not_know_disturbs_nobody() -> None:
    table = cluster(3, spares=1)
    away = apart("r3")
    op = order(table, "r1", "r2", "r4")
    table.run(2, cut=away)
    assert obeyed(table, op)
    term = state(table, "r1").term
    table.run(10)
    assert state(table, "r3").configuration == Configuration(("r1", "r2", "r3"))
    assert (leader(table), state(table, "r1").term) == ("r1", term)


def test_servers_that_leave_are_told() -> None:
    table = cluster(3, spares=1)
    changed(table, "r1", "r2", "r4")
    assert state(table, "r3").configuration == Configuration(("r1", "r2", "r4"))
    assert state(table, "r3").configurations[0][0] <= state(table, "r3").committed
    table.run(5)
    assert state(table, "r3").role == "follower"


def test_spares_are_passive() -> None:
    table = cluster(3, spares=1)
    table.run(10)
    assert (state(table, "r4").term, state(table, "r4").role) == (0, "follower")
    assert not table.saw("campaign", "r4")


def test_learners_follow_and_are_not_counted() -> None:
    table = cluster(3, spares=2)
    changed(table, "r1", "r2", "r3", learners=("r4", "r5"))
    for node in ("r2", "r3"):
        table.crash(node)
    op = table.ask(Put("x", "not yet"))
    table.deliver(Request)
    table.deliver(AppendEntries)
    table.deliver(Appended)
    assert not table.find(Reply)
    for node in ("r2", "r3"):
        table.restart(node)
    table.run(5)
    assert table.result(op) is None
    assert state(table, "r4").executed == state(table, "r1").executed
    table.run(5, cut=apart("r4"))
    assert state(table, "r4").role == "follower", "a learner does not campaign"


def test_learners_become_members_and_members_learners() -> None:
    table = cluster(3, spares=1)
    changed(table, "r1", "r2", "r3", learners=("r4",))
    changed(table, "r1", "r2", "r4", learners=("r3",))
    assert configurations(table, "r1") == [Configuration(("r1", "r2", "r4"), (), ("r3",))]
    table.crash("r2")
    table.write("kept")
    assert table.read() == "kept"


def test_learners_alone_change_in_one_entry() -> None:
    table = cluster(3, spares=1)
    before = state(table, "r1").log.last_index
    changed(table, "r1", "r2", "r3", learners=("r4",))
    assert state(table, "r1").log.last_index == before + 1


def test_everybody_says_which_members_are_final() -> None:
    table = cluster(3, spares=1)
    changed(table, "r1", "r2", "r4")
    said = {node: table.saw("members", node)[-1] for node in ("r1", "r2", "r3", "r4")}
    assert len(set(said.values())) == 1
    assert said["r4"][1] == ("r1", "r2", "r4")


@pytest.mark.parametrize("crash_after", range(0, 24, 2))
def test_a_change_survives_the_crash_of_its_leader_at_any_step(crash_after: int) -> None:
    table = cluster(3, spares=2)
    table.write("kept")
    op = order(table, "r2", "r4", "r5")
    for _ in range(crash_after):
        if table.wires:
            table.hand(table.wires.pop(0))
    table.crash("r1")
    table.run(1.5)
    table.restart("r1")
    table.run(15)
    assert obeyed(table, op) or table.gave_up(op, "o1")
    final = state(table, leader(table)).configuration
    assert not final.old
    assert final.voters in (("r1", "r2", "r3"), ("r2", "r4", "r5"))
    assert table.read() == "kept"


# --- D 3.10: leadership transfer ------------------------------------------------------------------


def test_d_3_10_leadership_goes_where_it_is_asked_to() -> None:
    table = cluster(3)
    op = order(table, lead="r3")
    table.run(2)
    assert leader(table) == "r3"
    assert obeyed(table, op)
    table.write("served")


def test_d_3_10_it_takes_less_than_an_election_timeout() -> None:
    table = cluster(3)
    order(table, lead="r3")
    table.settle()
    assert leader(table) == "r3"


def test_d_3_10_the_new_leader_is_brought_up_to_date_first() -> None:
    table = cluster(3)
    table.ask(Put("x", "late"))
    table.settle(cut=apart("r3"))
    order(table, lead="r3")
    table.deliver(TransferLeadership)
    assert not table.find(TimeoutNow)
    table.run(0.5)
    assert leader(table) == "r3"
    assert table.read() == "late"


def test_d_3_10_no_commands_are_taken_meanwhile_and_none_is_lost() -> None:
    table = cluster(3)
    table.ask(Put("x", "late"))
    table.settle(cut=apart("r3"))
    order(table, lead="r3")
    table.deliver(TransferLeadership)
    last = state(table, "r1").log.last_index
    op = table.ask(Put("x", "waits"))
    table.deliver(Request)
    assert state(table, "r1").log.last_index == last
    table.run(3)
    assert table.result(op) is None
    assert table.read() == "waits"


def test_d_3_10_a_wiped_server_that_is_silent_does_not_keep_the_lead_where_it_is() -> None:
    """r3 said that it has a new memory, and nothing since: it is not exchanged, for it does not
    catch up. Commands go on, and so does the lead."""
    table = cluster(3)
    table.wipe("r3")
    table.deliver(Rejoin)
    away = apart("r3")
    table.run(0.5, cut=away)
    assert state(table, "r1").unsettled, "r3#2 has not caught up"
    assert voters(table, "r1") == ("r1", "r2", "r3")
    op = table.ask(Put("x", "goes on"))
    table.run(0.2, cut=away)
    assert table.result(op) is None
    op = order(table, lead="r2")
    table.run(0.5, cut=away)
    assert leader(table) == "r2"
    assert obeyed(table, op)


def test_d_3_10_while_members_change_the_lead_stays() -> None:
    table = cluster(3, spares=1)
    table.put("o1", "r1", ChangeMembers(7, ("r1", "r2", "r4"), ()))
    table.deliver(ChangeMembers)
    assert state(table, "r1").change is not None
    assert not state(table, "r1").configuration.old
    table.put("o2", "r1", TransferLeadership(8, "r2"))
    table.deliver(TransferLeadership)
    assert [m.why for _, _, m in table.take(Refused)] == ["members are changing"]


def test_d_3_10_who_does_not_take_over_is_given_up() -> None:
    table = cluster(3)
    table.crash("r3")
    op = order(table, lead="r3")
    table.run(1.1)
    assert state(table, "r1").transfer is None
    table.write("served")
    assert not obeyed(table, op)


def test_who_has_no_vote_cannot_lead() -> None:
    table = cluster(3, spares=1)
    table.put("o1", "r1", TransferLeadership(7, "r4"))
    table.deliver(TransferLeadership)
    assert table.take(Refused)[0][2].why == "r4 has no vote"


def test_a_lost_invitation_is_repeated() -> None:
    table = cluster(3)
    order(table, lead="r3")
    table.deliver(TransferLeadership)
    assert table.take(TimeoutNow)
    table.run(0.2)
    assert leader(table) == "r3"


def test_d_3_10_a_leader_that_has_invited_holds_no_lease_any_more() -> None:
    table = cluster(3, reads="lease")
    table.ring("r1", "heartbeat")
    table.settle()
    assert state(table, "r1").holds_lease()
    order(table, lead="r3")
    table.deliver(TransferLeadership)
    assert table.take(TimeoutNow)
    table.ring("r1", "transfer-leadership")
    table.take(RequestVote)
    table.ring("r1", "heartbeat")
    table.settle(cut=lambda source, to: False)
    node: Any = state(table, "r1")
    assert node.role != "leader" or not node.holds_lease()
