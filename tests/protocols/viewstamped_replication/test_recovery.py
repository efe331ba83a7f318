"""A replica that lost its memory comes back under the rules of `recovery.py`, and no sooner."""

import pytest

from concur.effects import SaveSnapshot
from concur.machines.kv import Put
from concur.parts.client import Request
from concur.protocols.viewstamped_replication import (
    ViewstampedReplication,
    ViewstampedReplicationOnDisk,
)
from concur.protocols.viewstamped_replication.messages import (
    CommitOk,
    Configuration,
    DoViewChange,
    Prepare,
    PrepareOk,
    Recovery,
    RecoveryResponse,
    StartViewChange,
)
from concur.values import Map
from tests.protocols.harness import Table, apart
from tests.protocols.viewstamped_replication.helpers import (
    entry,
    group,
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
