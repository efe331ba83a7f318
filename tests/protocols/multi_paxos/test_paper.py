"""One test for each claim: of the papers, and of the essay at the top of the package."""

from typing import Any

import msgspec
import pytest

from concur.effects import Definite
from concur.errors import BadInput
from concur.machines.kv import Append, Get, Put
from concur.messages import Command
from concur.parts.client import NotLeader, Overloaded, Read, Reply, Request
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.multi_paxos.messages import (
    Accept,
    Accepted,
    Heartbeat,
    HeartbeatAck,
    Learn,
    LearnRequest,
    Nack,
    Prepare,
    Promise,
    Vote,
)
from concur.values import Map
from tests.protocols.harness import KV, Table, apart


def value(text: str) -> tuple[Command, ...]:
    return (Command("elsewhere", 1, KV.encode(Put("x", text))),)


def cluster(replicas: int = 3, **params: Any) -> Table:
    """A cluster that r1 leads, and a client with a session."""
    table = Table(MultiPaxos(**params), replicas)
    table.run(0)
    table.write("first")
    table.run(0.3)
    table.wires.clear()
    return table


def state(table: Table, node: str) -> Any:
    return table.nodes[node]


def prepare(table: Table, ballot: tuple[int, str], to: str, slot: int = 1) -> None:
    table.put(ballot[1], to, Prepare(ballot, slot, Map()))
    table.deliver(Prepare)


# --- phases 1 and 2 -----------------------------------------------------------------------------


def test_a_command_takes_one_round_trip_and_2n_messages() -> None:
    table = cluster(5, reads="log")
    table.ask(Put("x", 2))
    counts = []
    while table.wires:
        counts.append((type(table.wires[0][2]).__name__, table.deliver()))
    assert counts == [("Request", 1), ("Accept", 4), ("Accepted", 4), ("Reply", 1)]


def test_a_promise_refuses_lower_ballots() -> None:
    table = cluster()
    prepare(table, (9, "r3"), "r2")
    assert table.take(Promise)
    prepare(table, (8, "r1"), "r2")
    assert [m for _, _, m in table.take()] == [Nack((9, "r3"))]
    table.put("r1", "r2", Accept((8, "r1"), 5, value("late"), 0))
    table.deliver(Accept)
    assert [m for _, _, m in table.take()] == [Nack((9, "r3"))]
    assert 5 not in state(table, "r2").votes


def test_voting_raises_the_promise() -> None:  # mutant P1
    table = cluster()
    table.put("r3", "r2", Accept((9, "r3"), 5, value("new"), 0))
    table.deliver(Accept)
    assert state(table, "r2").promised == (9, "r3")
    table.put("r1", "r2", Accept((8, "r1"), 5, value("old"), 0))
    table.deliver(Accept)
    assert state(table, "r2").votes[5].ballot == (9, "r3")


def test_a_repeated_prepare_is_promised_again() -> None:
    table = cluster()
    prepare(table, (9, "r3"), "r2")
    prepare(table, (9, "r3"), "r2")
    first, second = table.take(Promise)
    assert first == second


def elect(table: Table, candidate: str, promises: dict[str, dict[int, Vote]]) -> tuple[int, str]:
    """Let `candidate` campaign and hear made-up promises."""
    table.ring(candidate, "election")
    ballot: tuple[int, str] = state(table, candidate).ballot
    table.take()
    for acceptor, votes in promises.items():
        asked = state(table, candidate).asked_from
        table.put(
            acceptor,
            candidate,
            Promise(ballot, asked, tuple(votes.items()), 0, 0, 0, Map()),
        )
    table.deliver(Promise)
    return ballot


def test_the_vote_of_the_highest_ballot_is_proposed() -> None:  # mutant P2
    table = Table(MultiPaxos(), 5)
    low, high = Vote((2, "r3"), value("low")), Vote((3, "r4"), value("high"))
    elect(table, "r1", {"r2": {1: low}, "r3": {1: high}})
    proposed = {m.slot: m.value for _, _, m in table.find(Accept)}
    assert proposed == {1: value("high")}


def test_gaps_are_filled_with_no_ops() -> None:
    table = Table(MultiPaxos(), 3)
    elect(table, "r1", {"r2": {3: Vote((1, "r3"), value("third"))}})
    proposed = {m.slot: m.value for _, _, m in table.find(Accept)}
    assert proposed == {1: (), 2: (), 3: value("third")}


def test_what_is_known_to_be_chosen_beats_every_vote() -> None:
    table = Table(MultiPaxos(), 3)
    node = state(table, "r1")
    chosen, vote = Vote((0, ""), value("chosen"), True), Vote((7, "r2"), value("vote"))
    assert node.highest(chosen, vote) == node.highest(vote, chosen) == chosen


def test_votes_of_outsiders_do_not_count() -> None:  # mutant P6
    table = cluster(5)
    table.ask(Put("x", 2))
    table.deliver(Request)
    (accept,) = {m for _, _, m in table.take(Accept)}
    for outsider in ("r8", "r9", "c1"):
        table.put(outsider, "r1", Accepted(accept.ballot, accept.slot))
    table.put("r2", "r1", Accepted(accept.ballot, accept.slot))
    table.put("r2", "r1", Accepted(accept.ballot, accept.slot))
    table.deliver(Accepted)
    assert not table.find(Reply)
    table.put("r3", "r1", Accepted(accept.ballot, accept.slot))
    table.deliver(Accepted)
    assert table.find(Reply)


def test_promises_of_outsiders_do_not_count() -> None:
    table = Table(MultiPaxos(), 5)
    elect(table, "r1", {"r8": {}, "r9": {}, "r2": {}})
    assert state(table, "r1").phase == "campaigning"


def test_a_ballot_is_never_used_twice() -> None:  # mutant P7
    table = cluster()
    used = {state(table, "r1").ballot}
    for _ in range(3):
        table.restart("r1")
        table.ring("r1", "election")
        assert state(table, "r1").ballot not in used
        used.add(state(table, "r1").ballot)
        table.take()


def test_a_leader_that_hears_of_a_higher_ballot_steps_down() -> None:
    table = cluster()
    table.put("r2", "r1", Nack((9, "r3")))
    table.deliver()
    assert state(table, "r1").phase == "following"
    assert table.saw("stepped_down", "r1")


def test_acceptors_keep_promises_and_votes_over_a_restart() -> None:
    table = cluster()
    prepare(table, (9, "r3"), "r2")
    before = state(table, "r2")
    table.restart("r2")
    after = state(table, "r2")
    assert (after.promised, after.votes) == (before.promised, before.votes) != ((0, ""), Map())


def test_a_large_promise_comes_in_parts() -> None:
    table = cluster(batch_max=1)
    many = {s: value(f"{s}") for s in range(2, 1500)}
    for slot, each in many.items():
        table.put("r1", "r2", Accept((1, "r1"), slot, each, 0))
    table.deliver(Accept)
    table.crash("r1")
    table.wires.clear()
    table.ring("r3", "election")
    table.settle(cut=apart("r1"))
    assert len(table.saw("leader", "r3")) == 1
    table.run(2, cut=apart("r1"))
    assert state(table, "r3").committed >= 1499
    assert state(table, "r3").votes[1499].value == many[1499]


# --- leader change, loss, catching up -----------------------------------------------------------


def test_another_replica_takes_over_and_clients_find_it() -> None:
    table = cluster()
    table.crash("r1")
    table.write("second")
    assert table.read() == "second"
    assert len({ballot for (ballot,) in table.saw("leader")}) >= 2


def test_a_new_leader_finishes_what_the_old_one_began() -> None:
    table = cluster()
    table.ask(Put("x", "begun"))
    table.deliver(Request)
    table.deliver(Accept, to="r2")
    table.crash("r1")
    table.wires.clear()
    table.ring("r2", "election")
    table.settle()
    assert table.read() == "begun"


def test_a_lost_accept_is_sent_again() -> None:
    table = cluster()
    op = table.ask(Put("x", 2))
    table.deliver(Request)
    assert table.take(Accept)
    table.run(1.1)
    table.result(op)


def test_a_lagging_replica_learns_what_it_missed() -> None:
    table = cluster()
    away = apart("r3")
    for number in range(20):
        table.ask(Put("x", number))
        table.settle(cut=away)
    assert state(table, "r3").executed < state(table, "r1").executed
    table.run(1)
    assert state(table, "r3").executed == state(table, "r1").executed
    assert table.saw("caught_up", "r3")


def test_a_vote_of_an_older_ballot_is_not_executed_on_a_newer_commit_index() -> None:
    table = cluster()
    follower = state(table, "r3")
    slot = follower.committed + 1
    table.put("r1", "r3", Accept((1, "r1"), slot, value("lost"), 0))
    table.deliver(Accept)
    table.put("r2", "r3", Heartbeat((2, "r2"), slot, 1))
    table.deliver(Heartbeat)
    assert follower.committed == slot - 1
    table.ring("r3", "catch-up")
    assert [m.slot for _, to, m in table.take(LearnRequest) if to == "r2"] == [slot]
    table.put("r2", "r3", Learn(slot, (value("chosen"),), slot))
    table.deliver(Learn)
    assert follower.committed == slot
    assert follower.votes[slot] == Vote((0, ""), value("chosen"), True)


def test_a_leader_learns_from_nobody() -> None:
    table = cluster()
    slot = state(table, "r1").committed + 1
    table.put("r2", "r1", Learn(slot, (value("other"),), slot))
    table.deliver(Learn)
    assert state(table, "r1").committed == slot - 1


@pytest.mark.parametrize("chunk_bytes_max", [7, 1 << 18])
def test_a_replica_that_lags_too_far_gets_a_snapshot(chunk_bytes_max: int) -> None:
    table = cluster(snapshot_every=10, lag_max=0, chunk_bytes_max=chunk_bytes_max, batch_max=1)
    for number in range(25):
        table.ask(Put(f"k{number}", number))
        table.settle(cut=apart("r3"))
    table.run(5)
    assert table.saw("snapshot_installed", "r3")
    assert state(table, "r3").machine_state == state(table, "r1").machine_state
    assert state(table, "r3").sessions == state(table, "r1").sessions


def test_the_log_is_cut_at_snapshots_but_for_a_tail() -> None:
    table = cluster(snapshot_every=10, lag_max=5, batch_max=1)
    for number in range(57):
        table.write(number)
    for node in ("r1", "r2", "r3"):
        assert len(state(table, node).votes) <= 10 + 5 + 1


def test_nothing_is_cut_before_the_snapshot_is_durable() -> None:
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    table.auto_save = False
    for number in range(25):
        table.write(number)
    assert len(state(table, "r1").votes) >= 25
    table.save()
    assert len(state(table, "r1").votes) < 20


def test_a_candidate_that_lags_behind_a_cut_log_catches_up_first() -> None:
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(25):
        table.ask(Put("x", number))
        table.settle(cut=apart("r3"))
    table.crash("r1")
    table.wires.clear()
    table.ring("r3", "election")
    table.settle()
    assert not table.saw("leader", "r3")
    assert table.saw("snapshot_installed", "r3")
    assert table.read() == 24


def test_a_blackout_forgets_nothing() -> None:
    table = cluster(snapshot_every=7, batch_max=1)
    for number in range(30):
        table.write(number)
    for node in ("r1", "r2", "r3"):
        table.crash(node)
    for node in ("r1", "r2", "r3"):
        table.restart(node)
    assert table.read() == 29


# --- limits and bounded answers ------------------------------------------------------------------


def test_without_a_quorum_clients_get_an_indefinite_answer_at_their_deadline() -> None:
    table = cluster(deadline_s=5.0)
    for node in ("r2", "r3"):
        table.crash(node)
    op = table.ask(Put("x", 2))
    table.run(4.9)
    assert ("c1", op) not in table.answers
    table.run(0.2)
    assert table.gave_up(op)
    assert table.saw("stepped_down", "r1")


def test_commands_beyond_the_queue_are_refused_and_tried_again() -> None:
    table = Table(MultiPaxos(queue_max=1, pipeline_max=1, batch_max=1), 3, clients=4)
    table.run(0)
    for number in range(1, 5):
        table.ask(Put("x", number), f"c{number}")
    table.deliver(Request)
    assert table.find(Overloaded)
    table.run(30)
    assert len(table.answers) == 4
    assert not any(isinstance(a, Definite) for a in table.answers.values())


def test_a_leader_whose_log_is_full_proposes_nothing_new() -> None:
    table = cluster(snapshot_every=5, lag_max=0, log_entries_max=5, batch_max=1, reads="log")
    table.auto_save = False
    for number in range(10):
        table.ask(Put("x", number))
        table.run(0.5)
    assert len(state(table, "r1").votes) <= 5
    table.auto_save = True
    table.save()
    table.run(30)
    assert table.read("x") is not None


def test_batches_form_while_the_pipeline_is_full() -> None:
    table = Table(MultiPaxos(pipeline_max=1, reads="log"), 3, clients=5)
    table.run(0)
    for client in range(1, 6):
        table.write(0, client=f"c{client}")
    for client in range(1, 6):
        table.ask(Put("x", client), f"c{client}")
    table.deliver(Request)
    assert len({m.slot for _, _, m in table.find(Accept)}) == 1
    table.deliver(Accept)
    table.deliver(Accepted)
    assert {len(m.value) for _, _, m in table.find(Accept)} == {4}


def test_a_batch_waits_for_its_delay_unless_it_is_full() -> None:
    table = cluster(batch_delay_s=0.01, batch_max=2, reads="log")
    table.ask(Put("x", 1))
    table.deliver(Request)
    assert not table.find(Accept)
    table.ask(Put("x", 2))
    table.deliver(Request)
    assert {len(m.value) for _, _, m in table.find(Accept)} == {2}


def test_a_slow_command_does_not_breed_copies_of_itself() -> None:
    table = cluster(reads="log")
    table.ask(Append("x", "!"))
    (request,) = table.take(Request)
    table.hand(request)
    again = (request[0], request[1], msgspec.structs.replace(request[2], again=True))
    for _ in range(3):
        table.hand(again)
    assert len({m.slot for _, _, m in table.find(Accept)}) == 1


# --- reads ---------------------------------------------------------------------------------------


def test_reads_of_one_turn_share_a_heartbeat_round() -> None:
    table = cluster()
    table.ask(Get("x"))
    table.deliver(Read)
    assert len(table.find(Heartbeat)) == 2
    assert not table.find(Reply)
    table.deliver(Heartbeat)
    table.deliver(HeartbeatAck, source="r2")
    assert table.find(Reply)


def test_a_round_that_began_before_the_read_does_not_confirm_it() -> None:
    table = cluster()
    table.ring("r1", "heartbeat")
    table.deliver(Heartbeat)
    table.ask(Get("x"))
    table.deliver(Read)
    table.deliver(HeartbeatAck)
    assert not table.find(Reply)


def test_a_deposed_leader_answers_no_read() -> None:
    table = cluster(deadline_s=5.0)
    away = apart("r1", "c2")
    table.ring("r2", "election")
    table.settle(cut=away)
    table.ask(Put("x", "newer"))
    table.run(3, cut=away)
    state(table, "r1")
    table.put("c2", "r1", Read("c2", 1, KV.encode(Get("x"))))
    table.settle(cut=away)
    assert not table.find(Reply, to="c2")


def test_a_new_leader_reads_only_after_finishing_older_slots() -> None:
    table = Table(MultiPaxos(), 3)
    vote = Vote((1, "r3"), (Command("open:x", 1, b""),))
    elect(table, "r1", {"r2": {1: vote}})
    table.take(Accept)
    table.put("c1", "r1", Read("c1", 1, KV.encode(Get("x"))))
    table.deliver(Read)
    table.deliver(Heartbeat)
    table.deliver(HeartbeatAck)
    assert state(table, "r1").confirmed >= 2
    assert not table.find(Reply)
    table.put("r2", "r1", Accepted(state(table, "r1").ballot, 1))
    table.deliver(Accepted)
    assert table.find(Reply)


def test_a_follower_names_the_leader() -> None:
    table = cluster()
    table.put("c1", "r2", Read("c1", 7, KV.encode(Get("x"))))
    table.deliver(Read)
    assert [m for _, _, m in table.take(NotLeader)] == [NotLeader("c1", 7, "r1")]


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "one", "two", "sizes"),
    [(3, None, None, (2, 2)), (5, 4, 2, (4, 2)), (5, None, 2, (4, 2)), (5, 2, None, (2, 4))],
)
def test_quorums_may_be_of_unequal_sizes(
    replicas: int, one: int | None, two: int | None, sizes: tuple[int, int]
) -> None:
    protocol = MultiPaxos(phase1_quorum=one, phase2_quorum=two).validate(replicas)
    quorums = protocol.quorums([f"r{i}" for i in range(replicas)])
    assert (quorums.phase1_size, quorums.phase2_size) == sizes


@pytest.mark.parametrize(
    "params",
    [
        {"phase1_quorum": 2, "phase2_quorum": 3},
        {"phase1_quorum": 6},
        {"phase2_quorum": 0},
        {"heartbeat_s": 0.6},
        {"reads": "dirty"},
        {"log_entries_max": 10},
        {"election_timeout_s": (1.0, 0.5)},
    ],
)
def test_what_cannot_work_is_refused_in_one_line(params: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        MultiPaxos(**params).validate(5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("reads", ["quorum", "log"])
def test_any_number_of_replicas_works(replicas: int, reads: str) -> None:
    table = cluster(replicas, reads=reads)
    table.write(1)
    assert table.read() == 1
