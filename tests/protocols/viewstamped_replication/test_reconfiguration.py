"""Other members, by epochs (section 7), and another primary."""

import pytest

from concur.machines.kv import Put
from concur.parts.client import Request
from concur.parts.membership import Done, Refused
from concur.protocols.viewstamped_replication.messages import (
    Commit,
    EpochStarted,
    Prepare,
    StartEpoch,
    StartViewChange,
    Warm,
    WarmUp,
)
from tests.protocols.harness import Table, apart
from tests.protocols.viewstamped_replication.helpers import (
    group,
    obeyed,
    order,
    primary,
    propose_change,
    state,
)

BOTH = pytest.mark.parametrize("on", ["memory", "disk"])


@BOTH
def test_a_replica_is_replaced(on: str) -> None:
    table = group(spares=1, on=on)
    op = order(table, "r1", "r2", "r4")
    table.run(3)
    assert obeyed(table, op)
    for node in ("r1", "r2", "r4"):
        assert state(table, node).configuration.members == ("r1", "r2", "r4")
        assert state(table, node).status == "normal"
    assert state(table, "r3").status == "passive"
    table.crash("r2")
    table.write("goes on")
    assert table.read() == "goes on"


@BOTH
def test_all_members_are_replaced_at_once(on: str) -> None:
    table = group(spares=3, on=on)
    table.write("kept")
    op = order(table, "r4", "r5", "r6")
    table.run(5)
    assert obeyed(table, op)
    for node in ("r1", "r2", "r3"):
        assert state(table, node).status == "passive"
        table.crash(node)
    assert primary(table) in ("r4", "r5", "r6")
    assert table.read() == "kept"


def test_a_group_grows_and_tolerates_more() -> None:
    table = group(spares=2)
    op = order(table, "r1", "r2", "r3", "r4", "r5")
    table.run(3)
    assert obeyed(table, op)
    for node in ("r1", "r2"):
        table.crash(node)
    table.write("two of five are down")
    assert table.read() == "two of five are down"


def test_a_group_shrinks() -> None:
    table = group(5)
    op = order(table, "r1", "r2", "r3")
    table.run(3)
    assert obeyed(table, op)
    table.crash("r3")
    for node in ("r4", "r5"):
        table.crash(node)
    table.write("kept")
    assert table.read() == "kept"


def test_nothing_follows_a_change_in_its_epoch() -> None:
    table = group(spares=1)
    propose_change(table, "r1", "r2", "r4")
    node = state(table, "r1")
    last = node.op_number
    table.take(Prepare)
    op = table.ask(Put("x", "waits"))
    table.deliver(Request)
    assert node.op_number == last
    assert not table.find(Prepare)
    table.run(3)
    table.result(op)
    assert node.epoch == 1
    assert table.read() == "waits"


def test_a_new_primary_finishes_a_change_that_it_inherits() -> None:
    table = group(spares=1)
    propose_change(table, "r1", "r2", "r4")
    table.deliver(Prepare, to="r2")
    table.crash("r1")
    table.wires.clear()
    table.run(5)
    assert state(table, "r2").configuration.members == ("r1", "r2", "r4")
    assert state(table, "r4").status == "normal"
    table.write("goes on")


def test_the_primary_goes_on_as_the_primary_if_it_stays() -> None:
    table = group(spares=1)
    table.ring("r2", "view")
    table.settle()
    assert primary(table) == "r2"
    order(table, "r1", "r2", "r4")
    table.run(3)
    assert state(table, "r2").configuration.members[0] == "r2"
    assert primary(table) == "r2"


def test_messages_of_an_earlier_epoch_are_answered_with_the_later_one() -> None:
    table = group(spares=1)
    order(table, "r1", "r2", "r4")
    table.run(3)
    table.wires.clear()
    before = state(table, "r1").snapshot()
    for message in (StartViewChange(0, 7), Commit(0, 7, 9, 9, 9)):
        table.put("r3", "r1", message)
    table.deliver()
    assert state(table, "r1").snapshot() == before
    assert [m.configuration.epoch for _, _, m in table.take(StartEpoch)] == [1, 1]


def test_a_member_that_missed_the_change_catches_up_with_it() -> None:
    table = group(spares=1)
    order(table, "r1", "r2", "r4")
    table.run(3, cut=apart("r3"))
    assert state(table, "r3").epoch == 0
    table.run(3)
    assert state(table, "r3").epoch == 1
    assert state(table, "r3").status == "passive"


def test_a_newcomer_that_missed_everything_is_found_by_its_group() -> None:
    table = group(spares=1)
    order(table, "r1", "r2", "r4")
    table.settle()
    table.run(0.6)
    table.take(StartEpoch, to="r4")
    table.run(3)
    assert state(table, "r4").status == "normal"
    assert state(table, "r4").epoch == 1


def test_a_replaced_replica_stays_until_a_quorum_of_the_new_has_begun() -> None:
    table = group(spares=3)
    propose_change(table, "r4", "r5", "r6")
    table.run(3, cut=lambda source, to: to == "r1" and source in ("r4", "r5", "r6"))
    gone = state(table, "r1")
    assert state(table, "r2").status == "passive"
    assert gone.status == "transitioning"
    for source in ("r4", "r4", "r9", "r2"):
        table.put(source, "r1", EpochStarted(1))
    table.deliver(EpochStarted)
    assert gone.status == "transitioning"
    table.put("r5", "r1", EpochStarted(1))
    table.deliver(EpochStarted)
    assert gone.status == "passive"


def test_a_newcomer_is_warmed_up_before_the_change_is_proposed() -> None:
    table = group(spares=1, snapshot_every=5, lag_max=0, batch_max=1)
    for number in range(12):
        table.write(number)
    order(table, "r1", "r2", "r4")
    table.deliver(to="r1")
    assert table.find(WarmUp, to="r4")
    assert not state(table, "r1").ending
    table.settle()
    assert not state(table, "r1").ending
    table.run(0.6)
    assert state(table, "r4").executed >= 12


def test_a_newcomer_that_does_not_answer_stops_the_change() -> None:
    table = group(spares=1, deadline_s=5.0)
    table.crash("r4")
    op = order(table, "r1", "r2", "r4")
    table.run(6)
    assert table.saw("change_given_up")
    assert not obeyed(table, op)
    assert state(table, "r1").epoch == 0
    table.write("goes on")


def test_a_newcomer_that_lost_its_memory_is_warmed_up_again() -> None:
    table = group(spares=1)
    order(table, "r1", "r2", "r4")
    table.deliver(to="r1")
    table.settle(cut=lambda source, to: (source, to) == ("r4", "r1"))
    table.wipe("r4")
    table.run(3)
    node = state(table, "r1")
    assert node.epoch == 1
    assert node.configuration.born_of("r4") == state(table, "r4").born
    assert state(table, "r4").status == "normal"


def test_late_answers_to_an_earlier_warm_up_do_not_count() -> None:
    table = group(spares=1)
    order(table, "r1", "r2", "r4")
    table.deliver(to="r1")
    table.take()
    table.put("r4", "r1", Warm(99, 1000, 0))
    table.deliver(Warm)
    assert not state(table, "r1").ending
    assert not table.find(Prepare)


def refused(table: Table) -> list[str]:
    return [m.why for _, _, m in table.find(Refused) if isinstance(m, Refused)]


def test_what_cannot_be_is_refused_with_a_reason() -> None:
    table = group(spares=1)
    order(table, "r1", "r2", "r3", learners=("r4",))
    table.deliver(to="r1")
    assert refused(table) == ["there are no learners in Viewstamped Replication"]
    table.take()
    order(table, "r1", "r2", "r9")
    table.deliver(to="r1")
    assert refused(table) == ["members must be among r1, r2, r3, r4"]
    table.take()
    order(table, lead="r4")
    table.deliver(to="r1")
    assert refused(table) == ["r4 is no member"]


def test_members_that_are_so_already_are_confirmed_by_a_round() -> None:
    table = group()
    order(table, "r3", "r2", "r1")
    table.deliver(to="r1")
    assert not table.find(Done)
    table.ring("r1", "heartbeat")
    table.settle(cut=lambda source, to: to == "o1")
    assert state(table, "r1").pledges == ()
    table.run(3)
    assert state(table, "r1").epoch == 0


def test_the_lead_goes_where_an_operator_wants_it() -> None:
    table = group(5)
    op = order(table, lead="r4")
    table.run(1)
    assert obeyed(table, op)
    assert primary(table) == "r4"
    table.write("goes on")


def test_the_lead_does_not_go_to_one_who_does_not_answer() -> None:
    table = group(deadline_s=6.0)
    table.crash("r3")
    table.run(3)
    before = state(table, "r1").view
    op = order(table, lead="r3")
    table.run(2)
    assert not obeyed(table, op)
    assert state(table, "r1").view == before


@BOTH
def test_one_change_after_another(on: str) -> None:
    table = group(spares=2, on=on)
    for members in (("r1", "r2", "r4"), ("r5", "r2", "r4"), ("r5", "r3", "r1"), ("r1", "r2", "r3")):
        table.write(members[0])
        op = order(table, *members)
        table.run(4)
        assert obeyed(table, op)
        assert table.read() == members[0]
    assert state(table, "r1").epoch == 4


def test_a_snapshot_brings_a_lagging_member_into_a_later_epoch() -> None:
    table = group(spares=1, snapshot_every=5, lag_max=0, batch_max=1)
    away = apart("r2")
    order(table, "r1", "r2", "r4")
    table.run(2, cut=away)
    for number in range(12):
        table.ask(Put("x", number))
        table.settle(cut=away)
    assert state(table, "r2").epoch == 0
    table.run(4)
    assert table.saw("snapshot_installed", "r2")
    assert state(table, "r2").epoch == 1
    assert state(table, "r2").status == "normal"
