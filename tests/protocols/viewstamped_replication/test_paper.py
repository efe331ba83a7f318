"""One test for each claim: of the papers, and of the essay at the top of the package."""

from typing import Any

import msgspec
import pytest

from concur.effects import Definite
from concur.errors import BadInput
from concur.machines.kv import Append, Get, Put
from concur.parts.client import Overloaded, Read, Reply, Request
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.protocols.viewstamped_replication.messages import (
    Commit,
    CommitOk,
    DoViewChange,
    GetState,
    NewState,
    Prepare,
    PrepareOk,
    StartView,
    StartViewChange,
)
from concur.values import Map
from tests.protocols.harness import KV, Table, apart
from tests.protocols.viewstamped_replication.helpers import entry, group, primary, state

BOTH = pytest.mark.parametrize("on", ["memory", "disk"])

# --- 4.1 normal operation -------------------------------------------------------------------------


@BOTH
def test_a_command_takes_one_round_trip_and_2n_messages(on: str) -> None:
    table = group(5, on=on, reads="log")
    table.ask(Put("x", 2))
    counts = []
    while table.wires:
        counts.append((type(table.wires[0][2]).__name__, table.deliver()))
    assert counts == [("Request", 1), ("Prepare", 4), ("PrepareOk", 4), ("Reply", 1)]


def test_the_primary_of_a_view_follows_from_its_number() -> None:
    table = group(5)
    for expected in ("r2", "r3", "r4", "r5", "r1"):
        table.ring(next(i for i in table.timers if "view" in table.timers[i]), "view")
        table.settle()
        assert primary(table) == expected


def test_a_client_is_answered_when_a_quorum_has_the_operation() -> None:
    table = group(5)
    table.ask(Put("x", 2))
    table.deliver(Request)
    table.deliver(Prepare)
    table.deliver(PrepareOk, source="r2")
    assert not table.find(Reply)
    table.deliver(PrepareOk, source="r3")
    assert table.find(Reply)


def test_acknowledgements_of_outsiders_and_repeated_ones_do_not_count() -> None:
    table = group(5)
    table.ask(Put("x", 2))
    table.deliver(Request)
    (prepare,) = {m for _, _, m in table.take(Prepare)}
    for source in ("r8", "r9", "c1", "r2", "r2"):
        table.put(source, "r1", PrepareOk(0, 0, prepare.op_number))
    table.deliver(PrepareOk)
    assert not table.find(Reply)


def test_operations_enter_a_log_in_order_only() -> None:
    table = group()
    last = state(table, "r3").op_number
    table.put("r1", "r3", Prepare(0, 0, last + 2, entry("second"), 0))
    table.deliver(Prepare)
    assert state(table, "r3").op_number == last
    assert not table.find(PrepareOk)
    table.put("r1", "r3", Prepare(0, 0, last + 1, entry("first"), 0))
    table.deliver(Prepare)
    assert [m.op_number for _, _, m in table.take(PrepareOk)] == [last + 2]


def test_backups_learn_what_is_committed_with_the_next_prepare_or_commit() -> None:
    table = group()
    table.ask(Put("x", 2))
    table.settle()
    committed = state(table, "r1").committed
    assert state(table, "r2").committed == committed - 1
    table.ring("r1", "heartbeat")
    table.settle()
    assert state(table, "r2").committed == state(table, "r3").committed == committed


def test_a_lost_prepare_is_asked_for_and_a_lost_acknowledgement_repeated() -> None:
    table = group()
    op = table.ask(Put("x", 2))
    table.deliver(Request)
    assert table.take(Prepare)
    table.run(0.5)
    table.result(op)
    op = table.ask(Put("x", 3))
    table.deliver(Request)
    table.deliver(Prepare)
    assert table.take(PrepareOk)
    table.run(0.5)
    table.result(op)


def test_messages_of_an_earlier_view_are_ignored() -> None:
    table = group()
    table.ring("r2", "view")
    table.settle()
    before = state(table, "r3").log
    table.put("r1", "r3", Prepare(0, 0, state(table, "r3").op_number + 1, entry("old"), 0))
    table.put("r1", "r3", Commit(0, 0, 99, 99, 7))
    table.deliver()
    assert state(table, "r3").log == before
    assert not table.find(CommitOk)


def test_only_the_primary_of_a_view_is_listened_to() -> None:
    table = group()
    before = state(table, "r3").log
    table.put("r2", "r3", Prepare(0, 0, state(table, "r3").op_number + 1, entry("forged"), 0))
    table.deliver(Prepare)
    assert state(table, "r3").log == before


# --- 4.2 view changes -----------------------------------------------------------------------------


def test_a_quorum_must_have_left_before_anything_is_told() -> None:
    table = group(5)
    table.ring("r3", "view")
    table.deliver(StartViewChange, to="r4")
    assert not table.find(DoViewChange), "two of five"
    table.deliver(StartViewChange, source="r4", to="r3")
    assert not table.find(DoViewChange)
    table.deliver(StartViewChange, to="r5")
    assert table.find(DoViewChange, source="r5")


def candidate(**given: Any) -> DoViewChange:
    fields: dict[str, Any] = {
        "epoch": 0, "view": 1, "last_normal_view": 0, "op_number": 0, "commit_number": 0,
        "entries": (), "born": 0, "reborn": Map(),
    }  # fmt: skip
    return DoViewChange(**(fields | given))


@pytest.mark.parametrize("last_normal_view", [3, 0])
def test_the_log_that_was_valid_last_is_chosen_then_the_longest(  # mutant V3
    last_normal_view: int,
) -> None:
    table = Table(ViewstampedReplication(), 5)
    table.take()
    first, longer = (entry("first"),), tuple(entry(f"longer {n}") for n in range(3))
    for source, last, entries in (("r3", last_normal_view, first), ("r4", 0, longer)):
        table.put(source, "r2", candidate(
            view=6, last_normal_view=last, op_number=len(entries), entries=entries
        ))  # fmt: skip
        table.deliver(DoViewChange, to="r2")
    node = state(table, "r2")
    assert (node.status, node.view) == ("normal", 6)
    assert tuple(node.log) == (first if last_normal_view == 3 else longer)


def test_a_new_view_has_what_was_committed_before() -> None:
    table = group()
    table.ask(Put("x", "kept"))
    table.deliver(Request)
    table.deliver(Prepare, to="r2")
    table.crash("r1")
    table.wires.clear()
    table.ring("r3", "view")
    table.settle()
    assert primary(table) == "r2"
    assert table.read() == "kept"


def test_a_view_whose_primary_is_dead_is_passed_over() -> None:
    table = group(5)
    for node in ("r1", "r2"):
        table.crash(node)
    table.write("second")
    assert primary(table) == "r3"
    assert table.read() == "second"


def test_a_replica_alone_does_not_count_views_up() -> None:
    table = group()
    table.run(30, cut=apart("r3"))
    assert state(table, "r3").view == 1
    table.run(5)
    assert table.read() == "first"
    assert state(table, primary(table)).view <= 3


def test_a_replica_that_returns_deposes_the_primary_once() -> None:
    table = group(5)
    table.run(30, cut=apart("r5"))
    table.run(30)
    assert {state(table, f"r{number}").view for number in range(1, 6)} == {1}
    assert primary(table) == "r2"


def test_a_view_that_began_here_is_not_begun_again() -> None:
    table = group()
    table.ring("r2", "view")
    table.deliver(StartViewChange)
    table.deliver()
    (start,) = [m for _, to, m in table.find(StartView) if to == "r3"]
    table.settle()
    table.write("newer")
    table.run(0.2)
    before = state(table, "r3").log
    table.put("r2", "r3", start)
    table.deliver(StartView)
    assert state(table, "r3").log == before


def test_large_logs_come_in_parts() -> None:
    table = group(batch_max=1, pipeline_max=3000)
    last = state(table, "r2").op_number
    for number in range(1500):
        table.put("r1", "r2", Prepare(0, 0, last + 1 + number, entry(f"{number}"), 0))
    table.deliver(Prepare)
    table.crash("r1")
    table.wires.clear()
    largest = 0

    def measured(source: str, to: str) -> bool:
        nonlocal largest
        for _, _, m in table.wires:
            largest = max(largest, len(getattr(m, "entries", ())))
        return "r1" in (source, to)

    # r3 is the primary of view 2: it has to fetch all that r2 has.
    table.ring("r3", "view")
    table.run(5, cut=measured)
    assert len({state(table, n).op_number for n in ("r2", "r3")}) == 1
    assert state(table, "r3").op_number == last + 1500
    assert state(table, "r3").committed == last + 1500
    assert largest <= 1024


# --- 5.1 checkpoints, 5.2 state transfer ----------------------------------------------------------


@BOTH
@pytest.mark.parametrize("chunk_bytes_max", [7, 1 << 18])
def test_a_replica_that_lags_too_far_gets_a_snapshot(on: str, chunk_bytes_max: int) -> None:
    table = group(on=on, snapshot_every=10, lag_max=0, chunk_bytes_max=chunk_bytes_max, batch_max=1)
    for number in range(25):
        table.ask(Put(f"k{number}", number))
        table.settle(cut=apart("r3"))
    table.run(5)
    assert table.saw("snapshot_installed", "r3")
    assert state(table, "r3").machine_state == state(table, "r1").machine_state
    assert state(table, "r3").sessions == state(table, "r1").sessions


@BOTH
def test_the_log_is_cut_at_snapshots_but_for_a_tail(on: str) -> None:
    table = group(on=on, snapshot_every=10, lag_max=5, batch_max=1)
    for number in range(57):
        table.write(number)
    for node in ("r1", "r2", "r3"):
        assert len(state(table, node).log) <= 10 + 5 + 1


def test_nothing_is_cut_before_the_snapshot_is_on_disk() -> None:
    table = group(on="disk", snapshot_every=10, lag_max=0, batch_max=1)
    table.auto_save = False
    for number in range(25):
        table.write(number)
    assert len(state(table, "r1").log) >= 25
    table.save()
    assert len(state(table, "r1").log) < 20


def test_the_log_waits_for_a_fetched_snapshot_to_be_on_disk() -> None:
    table = group(on="disk", snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(25):
        table.ask(Put("x", number))
        table.settle(cut=apart("r3"))
    table.auto_save = False
    table.run(3)
    assert table.saw("snapshot_installed", "r3")
    last = state(table, "r3").op_number
    assert last < state(table, "r3").committed
    table.restart("r3")
    assert state(table, "r3").op_number == last, "the log and its snapshot fit together"
    table.auto_save = True
    table.save()
    table.run(3)
    assert state(table, "r3").executed == state(table, "r1").executed


def test_a_higher_view_does_not_cut_the_log() -> None:  # mutant V1
    table = group()
    last = state(table, "r2").op_number
    table.put("r1", "r2", Prepare(0, 0, last + 1, entry("acknowledged"), 0))
    table.deliver(Prepare)
    table.put("r3", "r2", Commit(0, 2, last, last, 1))
    table.deliver(Commit, source="r3")
    node = state(table, "r2")
    assert (node.view, node.status, node.last_normal_view) == (2, "view-change", 0)
    assert node.op_number == last + 1
    assert [m for _, to, m in table.find(GetState) if to == "r3"]


def test_a_replica_is_normal_only_with_the_whole_log_of_the_view() -> None:
    table = group()
    node = state(table, "r2")
    committed = node.committed
    table.put("r3", "r2", Commit(0, 2, committed + 3, committed, 1))
    table.deliver(Commit, source="r3")
    log = tuple(entry(str(n)) for n in range(3))
    for part, expected in ((log[:2], "view-change"), (log[2:], "normal")):
        after = committed + (0 if part == log[:2] else 2)
        table.put("r3", "r2", NewState(
            0, 2, 2, after, part, committed + 3, committed, committed + 3
        ))  # fmt: skip
        table.deliver(NewState)
        assert node.status == expected
    assert node.last_normal_view == 2
    assert tuple(node.log)[-3:] == log


def test_an_entry_gives_way_to_one_that_is_committed_in_its_place() -> None:
    table = group()
    node = state(table, "r2")
    last = node.op_number
    for op, text in enumerate(("lost", "lost too"), last + 1):
        table.put("r1", "r2", Prepare(0, 0, op, entry(text), last))
    table.deliver(Prepare)
    table.put("r3", "r2", NewState(0, -1, 5, last, (entry("won"),), last + 1, last + 1, 0))
    table.deliver(NewState)
    assert tuple(node.log)[-1] == entry("won")
    assert (node.op_number, node.committed) == (last + 1, last + 1)


def test_a_primary_learns_from_nobody() -> None:
    table = group()
    before = state(table, "r1").log
    table.put("r2", "r1", NewState(0, -1, 0, len(before), (entry("no"),), 99, 99, 0))
    table.deliver(NewState)
    assert state(table, "r1").log == before


def test_a_blackout_forgets_nothing_that_is_on_disk() -> None:
    table = group(on="disk", snapshot_every=7, batch_max=1)
    for number in range(30):
        table.write(number)
    for node in ("r1", "r2", "r3"):
        table.crash(node)
    for node in ("r1", "r2", "r3"):
        table.restart(node)
    assert table.read() == 29
    assert primary(table) == "r1", "nobody noticed, so the view goes on"


# --- reads ----------------------------------------------------------------------------------------


def test_reads_of_one_turn_share_a_round_of_commits() -> None:
    table = group()
    table.ask(Get("x"))
    table.deliver(Read)
    assert len(table.find(Commit)) == 2
    assert not table.find(Reply)
    table.deliver(Commit)
    table.deliver(CommitOk, source="r2")
    assert table.find(Reply)


def test_a_primary_that_was_replaced_answers_no_read() -> None:
    table = group(clients=2, deadline_s=5.0)
    away = apart("r1", "c2")
    table.ring("r2", "view")
    table.settle(cut=away)
    table.put("c2", "r1", Read("c2", 1, KV.encode(Get("x"))))
    table.settle(cut=away)
    assert not table.find(Reply, to="c2")


def test_rounds_of_an_earlier_life_confirm_nothing() -> None:
    table = group(on="disk")
    table.ring("r1", "heartbeat")
    table.deliver(Commit)
    late = table.take(CommitOk)
    table.restart("r1")
    table.settle(cut=apart("r1"))
    table.put("c1", "r1", Read("c1-1", 9, KV.encode(Get("x"))))
    table.deliver(Read)
    for wire in late:
        table.hand(wire)
    assert not table.find(Reply)


def test_a_new_primary_reads_only_after_what_it_inherited_is_committed() -> None:
    table = group()
    table.ask(Put("x", "begun"))
    table.deliver(Request)
    table.deliver(Prepare, to="r2")
    table.crash("r1")
    table.wires.clear()
    table.ring("r2", "view")
    table.deliver(StartViewChange, to="r3")
    table.deliver(to="r2")
    table.take(StartView)
    table.take(Commit)
    table.put("c1", "r2", Read("c1-1", 9, KV.encode(Get("x"))))
    table.deliver(Read)
    (commit,) = [m for _, to, m in table.take(Commit) if to == "r3"]
    table.put("r3", "r2", CommitOk(0, 1, 0, commit.round))
    table.deliver(CommitOk)
    assert not table.find(Reply), "confirmed, but the operation of view 0 is not committed yet"
    table.put("r3", "r2", PrepareOk(0, 1, state(table, "r2").op_number))
    table.deliver(PrepareOk)
    assert table.find(Reply)


# --- limits and bounded answers -------------------------------------------------------------------


@BOTH
def test_without_a_quorum_clients_get_an_indefinite_answer_at_their_deadline(on: str) -> None:
    table = group(on=on, deadline_s=5.0)
    for node in ("r2", "r3"):
        table.crash(node)
    op = table.ask(Put("x", 2))
    table.run(4.9)
    assert ("c1", op) not in table.answers
    table.run(0.2)
    assert table.gave_up(op)
    assert table.saw("stepped_down", "r1")


def test_commands_beyond_the_queue_are_refused_and_tried_again() -> None:
    params: dict[str, Any] = {"queue_max": 1, "pipeline_max": 1, "batch_max": 1}
    table = Table(ViewstampedReplication(**params), 3, clients=4)
    table.run(0)
    for number in range(1, 5):
        table.ask(Put("x", number), f"c{number}")
    table.deliver(Request)
    assert table.find(Overloaded)
    table.run(30)
    assert len(table.answers) == 4
    assert not any(isinstance(a, Definite) for a in table.answers.values())


def test_a_primary_whose_log_is_full_takes_nothing_new() -> None:
    table = group(
        on="disk", snapshot_every=5, lag_max=0, log_entries_max=5, batch_max=1, reads="log"
    )
    table.auto_save = False
    for number in range(10):
        table.ask(Put("x", number))
        table.run(0.5)
    assert len(state(table, "r1").log) <= 5
    table.auto_save = True
    table.save()
    table.run(30)
    assert table.read("x") is not None


def test_batches_form_while_the_pipeline_is_full() -> None:
    table = Table(ViewstampedReplication(pipeline_max=1, reads="log"), 3, clients=5)
    table.run(0)
    for client in range(1, 6):
        table.write(0, client=f"c{client}")
    for client in range(1, 6):
        table.ask(Put("x", client), f"c{client}")
    table.deliver(Request)
    assert len({m.op_number for _, _, m in table.find(Prepare)}) == 1
    table.deliver(Prepare)
    table.deliver(PrepareOk)
    assert {len(m.entry.commands) for _, _, m in table.find(Prepare)} == {4}


def test_a_slow_command_does_not_breed_copies_of_itself() -> None:
    table = group(reads="log")
    table.ask(Append("x", "!"))
    (request,) = table.take(Request)
    table.hand(request)
    again = (request[0], request[1], msgspec.structs.replace(request[2], again=True))
    for _ in range(3):
        table.hand(again)
    assert len({m.op_number for _, _, m in table.find(Prepare)}) == 1


def test_a_command_that_is_sent_to_two_primaries_is_executed_once() -> None:
    table = group()
    op = table.ask(Append("x", "!"))
    table.deliver(Request)
    table.deliver(Prepare)
    table.deliver(PrepareOk)
    assert table.take(Reply)
    table.crash("r1")
    table.run(5)
    table.result(op)
    assert table.read() == "first!"


@pytest.mark.parametrize(
    "params",
    [
        {"heartbeat_s": 0.6},
        {"log_entries_max": 1000},
        {"reads": "lease"},
    ],
)
def test_parameters_that_cannot_be_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ViewstampedReplication(**params).validate(3)
