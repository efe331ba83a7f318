"""A replica that lost its disk votes again only under the rule of `recovery.py`."""

from typing import Any

import pytest

from concur.machines.kv import Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.multi_paxos.messages import (
    Accept,
    Accepted,
    HeartbeatAck,
    Prepare,
    Promise,
    Rejoin,
    Vote,
    Welcome,
)
from concur.values import Map
from tests.protocols.harness import Table, apart
from tests.protocols.multi_paxos.test_paper import cluster, state, value

VOTES = (Promise, Accepted, HeartbeatAck)


def recovered(table: Table, node: str) -> bool:
    return not state(table, node).recovering and bool(table.saw("recovered", node))


def test_a_wiped_replica_casts_no_vote() -> None:
    table = cluster()
    table.wipe("r2")
    table.take()
    table.put("r3", "r2", Prepare((9, "r3"), 1, Map()))
    table.put("r1", "r2", Accept((1, "r1"), 9, value("x"), 0))
    table.ring("r1", "heartbeat")
    table.deliver()
    assert not [w for w in table.wires if w[0] == "r2" and isinstance(w[2], VOTES)]
    assert state(table, "r2").promised == (0, "")
    assert "election" not in table.timers["r2"]


def test_a_wiped_replica_comes_back_with_everything() -> None:
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(25):
        table.write(number)
    before = state(table, "r1").ballot
    table.wipe("r2")
    table.run(5)
    assert recovered(table, "r2")
    assert state(table, "r2").promised > before
    table.crash("r3")  # now it is needed
    assert table.write("after") is None
    assert table.read() == "after"
    table.restart("r3")
    table.crash("r1")
    assert table.read() == "after"


def test_a_leader_comes_back_as_well() -> None:
    table = cluster()
    table.write("kept")
    table.wipe("r1")
    table.run(10)
    assert recovered(table, "r1")
    table.crash("r2")
    assert table.read() == "kept"


def test_what_only_the_wiped_replica_and_one_other_voted_for_is_not_missed() -> None:
    table = cluster()
    table.ask(Put("x", "chosen"))
    table.deliver(to="r1")
    table.deliver(Accept, to="r2")
    table.take()  # chosen by r1 and r2; nobody has been told, and r3 never heard of it
    table.crash("r1")
    table.wipe("r2")
    table.run(3)
    assert not table.saw("leader", "r3"), "r3 alone must not lead, nor with r2's empty memory"
    table.restart("r1")
    table.run(10)
    assert recovered(table, "r2")
    table.crash("r1")
    assert table.read() == "chosen"


def test_a_stray_promise_from_before_the_wipe_elects_nobody() -> None:
    table = cluster(5)
    leader = state(table, "r1")
    # r5 campaigns; r2 and r4 promise, r2 forgets it, and the promises arrive late.
    table.ring("r5", "election")
    asked = state(table, "r5").ballot
    table.take(Prepare, to="r1")
    table.take(Prepare, to="r3")
    table.take(Prepare, to="r4")
    table.deliver(Prepare, to="r2")
    stray = table.take(Promise, source="r2")
    table.wipe("r2")
    away = apart("r5")
    table.run(3, cut=away)
    assert recovered(table, "r2")
    assert leader.ballot > (1, "r1")
    # r5 goes on with a ballot so high that everybody promises, r2's old promise included.
    high = (asked[0] + 50, "r5")
    candidate = state(table, "r5")
    candidate.ballot, candidate.phase, candidate.promises = high, "campaigning", Map()
    candidate.promised = high
    candidate.asked_from = 1
    (old,) = stray
    table.put("r5", "r5", Promise(high, 1, (), 0, 0, 0, Map()))
    table.put("r2", "r5", Promise(high, 1, (), 0, 0, old[2].born, Map()))  # type: ignore[attr-defined]
    table.deliver(Promise)
    table.put("r5", "r4", Prepare(high, 1, Map()))
    table.deliver(Prepare)
    table.deliver(Promise, source="r4")
    assert candidate.phase == "campaigning", "r4's promise tells that r2 was reborn"
    assert candidate.promisers() == ("r4", "r5")


def test_a_rebirth_is_remembered_over_a_restart_and_passed_on() -> None:
    table = cluster(5)
    table.wipe("r2")
    table.run(3)
    born = state(table, "r2").born
    for node in ("r1", "r3", "r4", "r5"):
        assert state(table, node).reborn.get("r2") == born
        table.restart(node)
        assert state(table, node).reborn.get("r2") == born


def test_a_crash_during_recovery_does_not_end_it() -> None:
    table = cluster()
    table.wipe("r2")
    table.take()
    table.restart("r2")
    assert state(table, "r2").recovering
    assert state(table, "r2").born == 2
    table.run(5)
    assert recovered(table, "r2")
    table.restart("r2")
    assert not state(table, "r2").recovering


def test_a_restart_with_nothing_written_counts_as_wiped() -> None:
    table = cluster()
    table.crash("r2")
    table.images["r2"].clear()
    table.restart("r2")
    assert state(table, "r2").recovering


def test_a_leader_that_crashes_meanwhile_is_replaced() -> None:
    table = cluster(5)
    table.write("kept")
    table.wipe("r2")
    table.ring("r2", "rejoin")
    table.deliver(Rejoin, to="r1")
    table.crash("r1")
    table.run(10)
    assert recovered(table, "r2")
    assert table.read() == "kept"


def test_a_welcome_for_an_earlier_memory_is_ignored() -> None:
    table = cluster()
    table.wipe("r2")
    table.wipe("r2")
    table.put("r1", "r2", Welcome(2, (5, "r1"), 0, Map()))
    table.deliver(Welcome)
    assert state(table, "r2").recovering


def test_an_installed_snapshot_counts_only_once_it_is_durable() -> None:
    table = cluster(snapshot_every=5, lag_max=0, batch_max=1)
    for number in range(12):
        table.write(number)
    table.wipe("r2")
    table.auto_save = False
    table.run(5)
    assert table.saw("snapshot_installed", "r2")
    assert state(table, "r2").recovering
    table.auto_save = True
    table.save()
    table.run(1)
    assert recovered(table, "r2")


def test_one_rebirth_costs_one_ballot() -> None:
    table = cluster()
    table.wipe("r2")
    table.run(5)
    rounds = state(table, "r1").ballot[0]
    table.put("r2", "r1", Rejoin(2))
    table.run(5)
    assert state(table, "r1").ballot[0] == rounds == 2


@pytest.mark.parametrize(("replicas", "one", "two"), [(4, 2, 3), (5, 4, 2), (5, 2, 4), (7, 4, 4)])
def test_recovery_works_with_flexible_quorums(replicas: int, one: int, two: int) -> None:
    table = cluster(replicas, phase1_quorum=one, phase2_quorum=two)
    table.write("kept")
    table.wipe("r2")
    table.run(5)
    assert recovered(table, "r2")
    assert table.read() == "kept"


@pytest.mark.parametrize(("replicas", "one", "two"), [(3, 3, 2), (3, 3, 1), (3, 1, 3), (2, 2, 1)])
def test_where_recovery_is_impossible_the_replica_goes_on_learning(
    replicas: int, one: int, two: int
) -> None:
    table = cluster(replicas, phase1_quorum=one, phase2_quorum=two, deadline_s=2.0)
    table.wipe("r2")
    table.run(10)
    assert state(table, "r2").recovering
    assert table.saw("unrecoverable")
    if two < replicas:
        table.write("after")
        table.run(2)
        assert state(table, "r2").executed == state(table, "r1").executed


def test_a_leader_without_a_phase_1_quorum_is_not_endangered_by_a_rejoin() -> None:
    table = cluster(5, phase1_quorum=4, phase2_quorum=2)
    for node in ("r4", "r5"):
        table.crash(node)
    table.run(3)
    table.wipe("r2")
    table.run(5)
    assert state(table, "r1").phase == "leading"
    table.write("goes on")
    assert table.read() == "goes on"


def test_two_wiped_of_three_answer_nothing_and_lie_about_nothing() -> None:
    table = cluster(deadline_s=3.0)
    table.wipe("r2")
    table.wipe("r3")
    op = table.ask(Put("x", "late"))
    table.run(10)
    assert table.gave_up(op)
    assert state(table, "r2").recovering
    assert state(table, "r3").recovering


def test_votes_marked_chosen_are_shown_to_proposers() -> None:
    table = cluster()
    table.wipe("r2")
    table.run(5)
    table.take()
    table.put("r3", "r2", Prepare((99, "r3"), 1, Map()))
    table.deliver(Prepare)
    (promise,) = [m for _, _, m in table.take(Promise)]
    votes: dict[int, Any] = dict(promise.votes)  # type: ignore[attr-defined]
    assert isinstance(votes[1], Vote)
    assert votes[1].chosen or votes[1].ballot > (1, "r1")
    assert promise.born == 2  # type: ignore[attr-defined]


def test_the_protocol_says_how_many_disks_may_be_lost() -> None:
    assert MultiPaxos().crash_tolerance(5) == 2
    assert MultiPaxos(phase1_quorum=4, phase2_quorum=2).crash_tolerance(5) == 1
