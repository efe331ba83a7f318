"""A replica that lost its memory comes back under the rules of `recovery.py`, and no sooner."""

import pytest

from concur.effects import Deliver, SaveSnapshot
from concur.machines.kv import Put
from concur.messages import Command
from concur.parts.client import Request
from concur.protocols.viewstamped_replication import (
    ViewstampedReplication,
    ViewstampedReplicationOnDisk,
)
from concur.protocols.viewstamped_replication.messages import (
    CommitOk,
    Configuration,
    DoViewChange,
    Entry,
    Prepare,
    PrepareOk,
    Recovery,
    RecoveryResponse,
    StartViewChange,
)
from concur.protocols.viewstamped_replication.normal import EARLY_BYTES_MAX
from concur.values import Map
from tests.protocols.harness import KV, Table, apart
from tests.protocols.viewstamped_replication.helpers import (
    entry,
    group,
    obeyed,
    order,
    primary,
    propose_change,
    recovered,
    state,
)

BOTH = pytest.mark.parametrize("on", ["memory", "disk"])
VOTES = (PrepareOk, CommitOk, StartViewChange, DoViewChange, RecoveryResponse)


def test_without_a_disk_every_restart_is_a_recovery() -> None:
    table = group()
    table.restart("r3")
    assert state(table, "r3").status == "recovering"
    table.settle()
    assert recovered(table, "r3")


def test_with_a_disk_a_restart_is_none() -> None:
    table = group(on="disk")
    table.restart("r3")
    assert state(table, "r3").status == "normal"
    assert not table.saw("recovering")


def test_nothing_is_written_to_a_disk_that_does_not_exist() -> None:
    table = group(snapshot_every=5, batch_max=1)
    for number in range(20):
        table.write(number)
    assert table.images["r1"] == {}
    assert not table.snapshots.get("r1")


@BOTH
def test_a_recovering_replica_casts_no_vote(on: str) -> None:
    table = group(on=on)
    table.wipe("r3")
    table.take()
    last = state(table, "r1").op_number
    table.put("r1", "r3", Prepare(0, 0, last + 1, entry("x"), last))
    table.put("r2", "r3", StartViewChange(0, 1))
    table.put("r2", "r3", Recovery(9))
    table.deliver()
    assert not [w for w in table.wires if w[0] == "r3" and isinstance(w[2], VOTES)]
    assert "view" not in table.timers["r3"]


@BOTH
def test_a_replica_comes_back_with_everything(on: str) -> None:
    table = group(on=on, snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(25):
        table.write(number)
    table.wipe("r2")
    table.run(3)
    assert recovered(table, "r2")
    table.crash("r3")  # now it is needed
    table.write("after")
    table.restart("r3")
    table.run(3)
    table.crash("r1")
    assert table.read() == "after"


def test_a_snapshot_overtakes_one_that_a_slow_disk_is_still_writing() -> None:
    table = group(on="disk", snapshot_every=10, lag_max=0, batch_max=1)
    table.auto_save = False
    slow: list[tuple[str, SaveSnapshot]] = []

    def write(often: int) -> None:
        for number in range(often):
            table.write(number)
            slow.extend([saving for saving in table.unsaved if saving[0] == "r3"])
            table.unsaved = [saving for saving in table.unsaved if saving[0] != "r3"]
            table.save()

    write(25)
    table.wipe("r3")
    slow.clear()
    table.run(3)
    write(25)
    table.run(3)
    slow.extend([saving for saving in table.unsaved if saving[0] == "r3"])
    assert len(slow) > 1
    table.unsaved = slow
    table.save()
    table.auto_save = True
    table.run(3)
    assert recovered(table, "r3")
    assert state(table, "r3").log.last_index == state(table, "r1").log.last_index


@BOTH
def test_a_primary_comes_back_into_a_later_view(on: str) -> None:
    table = group(on=on)
    table.write("kept")
    table.wipe("r1")
    table.settle()
    assert state(table, "r1").status == "recovering", "it would have to answer itself"
    table.run(5)
    assert recovered(table, "r1")
    assert state(table, "r1").view > 0
    assert table.read() == "kept"


def test_one_answer_is_no_quorum_and_none_counts_without_the_primary() -> None:
    table = group(5)
    table.wipe("r5")
    table.deliver(Recovery)
    table.deliver(RecoveryResponse, source="r1")
    table.deliver(RecoveryResponse, source="r2")
    assert state(table, "r5").target is None
    table.deliver(RecoveryResponse, source="r3")
    assert state(table, "r5").target is not None
    other = group(5)
    other.wipe("r5")
    other.deliver(Recovery)
    other.take(RecoveryResponse, source="r1")
    other.deliver(RecoveryResponse)
    assert state(other, "r5").target is None


def test_in_a_view_change_nobody_answers() -> None:
    table = group()
    table.wipe("r3")
    table.ring("r2", "view")
    table.put("r3", "r2", Recovery(2))
    table.deliver(Recovery, to="r2")
    assert not table.find(RecoveryResponse, source="r2")


def test_answers_to_an_earlier_memory_are_ignored() -> None:
    table = group()
    table.wipe("r3")
    table.deliver(Recovery)
    late = table.take(RecoveryResponse)
    table.wipe("r3")
    table.take()
    for wire in late:
        table.hand(wire)
    assert state(table, "r3").target is None
    assert not state(table, "r3").responses


def test_an_answer_of_a_memory_that_was_lost_since_does_not_count() -> None:
    table = group(5)
    table.wipe("r5")
    table.deliver(Recovery)
    table.take(RecoveryResponse, source="r4")
    table.deliver(RecoveryResponse, source="r2")
    table.deliver(RecoveryResponse, source="r3")
    # r3's memory goes; r1 hears of it before it answers r5.
    told = table.take(RecoveryResponse, source="r1")
    (answer,) = [m for _, _, m in told]
    assert isinstance(answer, RecoveryResponse)
    table.put("r1", "r5", _with(answer, reborn=answer.reborn.put("r3", 7)))
    table.deliver(RecoveryResponse)
    assert state(table, "r5").target is None


def _with(answer: RecoveryResponse, **changes: object) -> RecoveryResponse:
    fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return RecoveryResponse(**(fields | changes))


def test_a_stray_do_view_change_begins_no_view() -> None:  # mutant V2
    """The story of the transcript, with the end that the published protocol gives it."""
    table = group()
    table.ring("r2", "view")
    left = table.take(StartViewChange, to="r3")
    table.take()
    table.wipe("r2")
    table.settle()
    assert recovered(table, "r2")
    table.hand(left[0])
    stray = table.take(DoViewChange, source="r3", to="r2")
    table.take()
    table.wipe("r3")
    table.settle()
    assert recovered(table, "r3")
    assert state(table, "r3").view == 0
    table.ask(Put("x", "committed"))
    table.settle(cut=apart("r2"))
    table.ring("r2", "view")
    table.take()
    for wire in stray:
        table.hand(wire)
    assert state(table, "r2").status == "view-change"
    table.run(3)
    assert table.read() == "committed"


def test_rebirths_are_heard_of_and_passed_on() -> None:
    table = group(5)
    table.wipe("r5")
    table.settle()
    born = state(table, "r5").born
    assert all(state(table, f"r{n}").reborn.get("r5") == born for n in range(1, 5))
    table.wipe("r4")
    table.settle()
    assert state(table, "r4").reborn.get("r5") == born


@BOTH
def test_two_of_five_recover_at_once(on: str) -> None:
    table = group(5, on=on)
    table.write("kept")
    table.wipe("r4")
    table.wipe("r5")
    table.run(3)
    assert recovered(table, "r4")
    assert recovered(table, "r5")
    for node in ("r2", "r3"):
        table.crash(node)
    assert table.read() == "kept"


def test_without_a_disk_a_majority_that_forgot_answers_nothing_and_lies_about_nothing() -> None:
    table = group(deadline_s=3.0)
    table.restart("r2")
    table.restart("r3")
    op = table.ask(Put("x", "late"))
    table.run(10)
    assert table.gave_up(op)
    assert state(table, "r2").status == state(table, "r3").status == "recovering"


def test_a_crash_during_recovery_does_not_end_it() -> None:
    table = group(on="disk")
    table.wipe("r3")
    table.take()
    table.restart("r3")
    assert state(table, "r3").status == "recovering"
    table.run(3)
    assert recovered(table, "r3")
    table.restart("r3")
    assert state(table, "r3").status == "normal"


def test_a_restart_with_nothing_on_the_disk_counts_as_wiped() -> None:
    table = group(on="disk")
    table.crash("r3")
    table.images["r3"].clear()
    table.restart("r3")
    assert state(table, "r3").status == "recovering"


def test_recovery_is_complete_only_with_the_whole_log_of_the_view() -> None:
    table = group()
    table.ask(Put("x", "under way"))
    table.deliver(Request)
    table.deliver(Prepare)
    table.take(PrepareOk)  # in the log of all three, and not committed
    table.wipe("r3")
    table.settle(cut=lambda source, to: source == "r2" and to == "r1")
    assert recovered(table, "r3")
    assert state(table, "r3").op_number == state(table, "r1").op_number


def test_recovery_waits_while_a_log_ends_with_a_change_of_members() -> None:
    table = group(5, spares=1)
    propose_change(table, "r1", "r2", "r3", "r4", "r6")
    table.deliver(Prepare)
    table.take(PrepareOk)
    table.wipe("r4")
    table.settle()
    assert len(state(table, "r4").responses) == 4
    assert state(table, "r4").target is None
    table.run(5)
    assert recovered(table, "r4")
    assert (state(table, "r4").status, state(table, "r4").epoch) == ("normal", 1)


def test_a_wiped_spare_is_a_spare_again() -> None:
    table = group(spares=1)
    table.wipe("r4")
    table.settle()
    assert recovered(table, "r4")
    assert state(table, "r4").status == "passive"
    assert state(table, "r4").leader == "r1"


def test_a_memory_that_a_change_does_not_name_must_recover_into_the_epoch() -> None:
    table = group()
    node = state(table, "r3")
    change = Configuration(1, node.op_number, ("r1", "r2", "r3"), (0, 0, 5))
    node.begin_epoch(change)
    assert node.status == "recovering"
    named = state(table, "r2")
    named.begin_epoch(change)
    assert (named.status, named.epoch, named.view) == ("normal", 1, 0)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_group_of_one_or_two_cannot_spare_a_memory(replicas: int) -> None:
    assert ViewstampedReplication().crash_tolerance(replicas) == 0
    table = Table(ViewstampedReplicationOnDisk(deadline_s=2.0), replicas)
    table.write("kept")
    table.restart("r1")
    assert table.read() == "kept"


def test_a_later_memory_of_the_primary_is_not_taken_for_it() -> None:
    table = group()
    assert primary(table) == "r1"
    table.restart("r1")
    table.run(0.1)
    assert not state(table, "r1").leads()
    assert Map({"r1": 2}) == state(table, "r2").reborn


# --- snapshots on slow disks ----------------------------------------------------------------------


def with_a_stale_tail(spares: int = 0) -> Table:
    """r1, primary of view 0, has 25 operations that nobody else has; the others have gone on, and
    cut their logs. r1 fetches their snapshot, and its disk is slow."""
    table = group(3, spares, on="disk", snapshot_every=10, lag_max=0, batch_max=1)
    for seq in range(1, 26):
        command = Command("nobody", seq, KV.encode(Put("y", f"stale {seq}")))
        table.step("r1", Deliver("c1", Request(command)))
    table.take()
    table.run(3, cut=apart("r1"))
    assert primary(table) != "r1"
    for number in range(14):
        op = table.ask(Put("x", number))
        table.run(5, cut=apart("r1"))
        table.result(op)
    return table


def test_a_stale_tail_longer_than_a_snapshot_is_not_taken_for_what_the_snapshot_covers() -> None:
    table = with_a_stale_tail()
    table.auto_save = False
    table.run(3)
    node = state(table, "r1")
    assert node.awaits_disk
    assert node.last_normal_view == 0
    assert state(table, primary(table)).acks.get("r1", 0) == 0
    table.restart("r1")  # before the snapshot is on its disk
    table.run(3)
    assert state(table, "r1").last_normal_view == 0
    table.auto_save = True
    table.save()
    table.run(3)
    assert state(table, "r1").status == "normal"
    assert state(table, "r1").machine_state == state(table, "r2").machine_state


def test_no_epoch_is_entered_that_rests_on_a_snapshot_which_a_crash_would_forget() -> None:
    table = with_a_stale_tail(spares=1)
    op = order(table, "r1", "r2", "r4")
    table.run(5, cut=apart("r1"))
    assert obeyed(table, op)
    table.auto_save = False
    table.run(3)
    assert state(table, "r1").epoch == 0
    table.restart("r1")
    table.auto_save = True
    table.run(6)
    assert state(table, "r1").epoch == 1
    assert state(table, "r1").machine_state == state(table, "r2").machine_state


# --- strangers (CORE.md, 18) ----------------------------------------------------------------------


@BOTH
def test_a_stranger_is_believed_no_rebirth(on: str) -> None:
    table = group(on=on)
    lies = Map({f"r{number}": 1 << 40 for number in (1, 2, 3)})
    for replica in ("r1", "r2", "r3"):
        table.step(replica, Deliver("x9", DoViewChange(0, 0, 0, 0, 0, (), 0, lies)))
        assert not len(state(table, replica).reborn)
    table.crash("r1")
    table.run(10)
    assert primary(table) in ("r2", "r3")


def test_rebirths_of_replicas_that_do_not_exist_are_not_kept() -> None:
    table = group()
    junk = Map({f"junk{number}": 1 for number in range(1000)})
    table.step("r2", Deliver("r3", DoViewChange(0, 0, 0, 0, 0, (), 0, junk)))
    assert not len(state(table, "r2").reborn)


def test_a_stranger_ends_no_recovery() -> None:
    table = group()
    table.wipe("r3")
    table.wires.clear()
    elsewhere = Configuration(1 << 40, 0, ("x9",), (0,))
    born = state(table, "r3").born
    lie = RecoveryResponse(born, elsewhere, 0, True, 0, 0, False, 0, Map())
    table.step("r3", Deliver("x9", lie))
    assert state(table, "r3").status == "recovering"
    table.run(3)
    assert state(table, "r3").status == "normal"


def test_what_comes_early_is_bounded_in_bytes() -> None:
    table = group()
    big = Entry((Command("elsewhere", 1, bytes(1 << 20)),))
    last = state(table, "r2").op_number
    for ahead in range(2, 102):
        table.step("r2", Deliver("r1", Prepare(0, 0, last + ahead, big, 0)))
    assert 0 < state(table, "r2").early_bytes <= EARLY_BYTES_MAX
    assert len(state(table, "r2").early) < 20
