"""One test for each claim: of the papers, with the section, and of the essays in the package.

Sections are those of the paper (extended version); D stands for the dissertation.
"""

from typing import Any

import msgspec
import pytest

from concur.effects import Definite
from concur.errors import BadInput
from concur.logs import Log
from concur.machines.kv import Append, Get, Put
from concur.messages import Command, Message, size
from concur.parts.client import NotLeader, Overloaded, Read, Reply, Request
from concur.parts.transfer import FetchSnapshot, SnapshotChunk
from concur.protocols.raft import Raft
from concur.protocols.raft.following import EARLY_BYTES_MAX, EARLY_MAX
from concur.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Entry,
    InstallSnapshot,
    NotNeeded,
    PreVote,
    Rejoin,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    Vote,
)
from tests.protocols.harness import KV, Table, apart
from tests.protocols.raft.helpers import (
    append,
    batch,
    cluster,
    entries,
    give_log,
    leader,
    state,
    terms_of,
)

OUTRIGHT: dict[str, Any] = {"pre_vote": False, "check_quorum": False}
"""Elections as in the paper, without what the dissertation adds."""


def ask_vote(table: Table, to: str, term: int, last: tuple[int, int], source: str = "r3") -> Any:
    """The answer of `to` to a candidate whose log ends at index and term `last`."""
    table.put(source, to, RequestVote(term, source, *last, False))
    table.deliver(RequestVote)
    return next((m for _, _, m in table.take(Vote)), None)


def elect(table: Table, candidate: str, *voters: str) -> None:
    """Let `candidate` campaign outright and hear these votes."""
    table.ring(candidate, "election")
    term = state(table, candidate).term
    table.take()
    for voter in voters:
        table.put(voter, candidate, Vote(term, candidate, True, voter))
    table.deliver(Vote)


# --- 5.1, 5.2: terms and elections ----------------------------------------------------------------


def test_5_2_a_server_votes_once_in_a_term() -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    assert ask_vote(table, "r2", 5, (9, 4)).granted
    assert not ask_vote(table, "r2", 5, (9, 4), source="r1").granted
    assert ask_vote(table, "r2", 5, (9, 4)).granted, "asked again by the same, it says the same"


def test_5_2_the_vote_survives_a_restart() -> None:  # mutant R3
    table = Table(Raft(**OUTRIGHT), 3)
    assert ask_vote(table, "r2", 5, (9, 4)).granted
    table.restart("r2")
    assert state(table, "r2").term == 5
    assert not ask_vote(table, "r2", 5, (9, 4), source="r1").granted


def test_5_2_a_candidate_that_restarts_does_not_use_its_term_again() -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    used = set()
    for _ in range(3):
        table.ring("r2", "election")
        used.add(state(table, "r2").term)
        table.restart("r2")
    assert len(used) == 3


@pytest.mark.parametrize(
    ("replicas", "voters", "leads"), [(3, 1, True), (5, 1, False), (5, 2, True)]
)
def test_5_2_a_majority_elects(replicas: int, voters: int, leads: bool) -> None:
    table = Table(Raft(**OUTRIGHT), replicas)
    elect(table, "r1", *[f"r{i}" for i in range(2, 2 + voters)])
    assert (state(table, "r1").role == "leader") == leads


def test_5_2_votes_of_outsiders_and_repeated_ones_do_not_count() -> None:
    table = Table(Raft(**OUTRIGHT), 5)
    elect(table, "r1", "r2", "r2", "r8", "c1")
    assert state(table, "r1").role == "candidate"


def test_5_2_votes_of_another_term_do_not_count() -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    table.ring("r1", "election")
    table.ring("r1", "election")
    table.put("r2", "r1", Vote(1, "r1", True, "r2"))
    table.deliver(Vote)
    assert state(table, "r1").role == "candidate"


def test_5_2_a_candidate_follows_a_leader_of_its_term() -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    table.ring("r1", "election")
    append(table, "r2", "r1", 1, (0, 0))
    assert (state(table, "r1").role, state(table, "r1").leader) == ("follower", "r2")


def test_5_1_who_hears_of_a_higher_term_steps_down() -> None:
    table = cluster(**OUTRIGHT)
    table.put("r2", "r1", Appended(7, False, 0, 0, 0, 0, "r2"))
    table.deliver(Appended)
    assert (state(table, "r1").role, state(table, "r1").term) == ("follower", 7)
    assert table.saw("stepped_down", "r1") == [(1,)]


def test_5_1_what_is_of_a_lower_term_is_refused_with_the_term() -> None:
    table = cluster()
    give_log(table, "r3", 1, 1, 4)
    table.put("r1", "r3", AppendEntries(1, 2, 1, (), 2, 9))
    table.deliver(AppendEntries)
    (answer,) = [m for _, _, m in table.take(Appended)]
    assert (answer.term, answer.success) == (4, False)
    assert terms_of(table, "r3") == [1, 1, 4]


def test_5_2_lost_requests_are_repeated() -> None:
    table = Table(Raft(), 3)
    table.ring("r1", "election")
    assert table.take(RequestPreVote)
    table.ring("r1", "ask")
    assert {to for _, to, _ in table.find(RequestPreVote)} == {"r2", "r3"}


@pytest.mark.parametrize(
    ("own", "last", "granted"),
    [
        ((1, 1), (2, 1), True),
        ((1, 1), (1, 1), False),
        ((1, 2), (9, 1), False),
        ((1, 1, 1), (1, 2), True),
        ((), (0, 0), True),
    ],
)
def test_5_4_1_the_log_of_a_candidate_must_not_be_older(
    own: tuple[int, ...], last: tuple[int, int], granted: bool
) -> None:  # mutant R9: any log
    table = Table(Raft(**OUTRIGHT), 3)
    give_log(table, "r2", *own)
    assert ask_vote(table, "r2", 9, last).granted == granted


# --- D 9.6, 4.2.3, 6.2: pre-votes, stickiness, quorums --------------------------------------------


def test_d_9_6_a_pre_vote_changes_nothing() -> None:
    table = Table(Raft(), 3)
    before = state(table, "r2").persisted()
    table.put("r3", "r2", RequestPreVote(8, "r3", 0, 0))
    table.deliver(RequestPreVote)
    (answer,) = [m for _, _, m in table.take(PreVote)]
    assert answer.granted
    assert state(table, "r2").persisted() == before


def test_d_9_6_a_server_that_cannot_win_does_not_raise_its_term() -> None:
    table = cluster()
    away = apart("r3")
    table.run(5, cut=away)
    assert state(table, "r3").term == 1
    assert state(table, "r3").role == "pre-candidate"
    table.run(0.3)
    assert (leader(table), state(table, "r1").term) == ("r1", 1)
    assert state(table, "r3").leader == "r1"


def test_d_9_6_who_hears_a_leader_grants_no_pre_vote() -> None:
    table = cluster()
    for term in (2, 50):
        table.put("r3", "r2", RequestPreVote(term, "r3", 99, 9))
        table.put("r3", "r1", RequestPreVote(term, "r3", 99, 9))
    table.deliver(RequestPreVote)
    assert [m.granted for _, _, m in table.take(PreVote)] == [False] * 4


def test_a_pre_candidate_whose_term_is_over_learns_the_new_one() -> None:
    table = Table(Raft(), 3)
    give_log(table, "r2", 1, 1, 6)
    table.ring("r3", "election")
    table.deliver(RequestPreVote, to="r2")
    table.deliver(PreVote)
    assert (state(table, "r3").term, state(table, "r3").role) == (6, "follower")


def test_d_4_2_3_who_hears_a_leader_ignores_candidates_term_and_all() -> None:
    table = cluster()
    assert ask_vote(table, "r2", 50, (99, 9)) is None
    assert ask_vote(table, "r1", 50, (99, 9)) is None
    assert state(table, "r1").term == state(table, "r2").term == 1


def test_d_4_2_3_but_not_one_whom_the_leader_invited() -> None:
    table = cluster()
    table.put("r3", "r2", RequestVote(2, "r3", 99, 1, True))
    table.deliver(RequestVote)
    assert [m.granted for _, _, m in table.take(Vote)] == [True]


def test_without_both_a_returning_server_deposes_the_leader() -> None:
    table = cluster(**OUTRIGHT)
    table.run(5, cut=apart("r3"))
    assert state(table, "r3").term > 1
    table.run(0.3)
    assert state(table, "r1").term > 1


def test_a_server_whose_term_is_ahead_comes_back() -> None:
    """It campaigned while it was alone, which stickiness then ignores; nor may it be stuck."""
    table = cluster(pre_vote=False)
    table.run(5, cut=apart("r3"))
    assert state(table, "r3").term > 1
    table.run(5)
    assert state(table, leader(table)).term == state(table, "r3").term
    assert state(table, "r3").leader == leader(table)
    table.write("served")
    table.run(0.3)
    assert state(table, "r3").executed == state(table, "r1").executed


def deaf(node: str) -> Any:
    return lambda source, to: to == node


def test_a_server_that_is_deaf_does_not_depose_the_leader() -> None:
    table = cluster()
    table.run(10, cut=deaf("r3"))
    assert (leader(table), state(table, "r1").term) == ("r1", 1)


def test_d_6_2_a_leader_that_is_deaf_steps_down() -> None:
    table = cluster()
    table.run(5, cut=lambda source, to: to == "r1" and source in ("r2", "r3"))
    assert state(table, "r1").role != "leader"
    assert leader(table) in ("r2", "r3")


def test_d_6_2_without_check_quorum_it_keeps_the_others_quiet() -> None:
    table = cluster(check_quorum=False)
    table.run(5, cut=lambda source, to: to == "r1" and source in ("r2", "r3"))
    assert (leader(table), state(table, "r1").term) == ("r1", 1)


def test_an_older_log_cannot_win_however_often_it_asks() -> None:
    table = cluster(5)
    for number in range(3):
        table.ask(Put("x", number))
        table.settle(cut=apart("r5"))
    table.crash("r1")
    table.wires.clear()
    for _ in range(3):
        table.ring("r5", "election")
        table.settle()
        assert state(table, "r5").role != "leader"
    table.run(3)
    assert leader(table) in ("r2", "r3", "r4")


# --- 5.3: replication -----------------------------------------------------------------------------


def test_5_3_a_command_takes_one_round_trip_and_2n_messages() -> None:
    table = cluster(5, reads="log")
    table.ask(Put("x", 2))
    counts = []
    while table.wires:
        counts.append((type(table.wires[0][2]).__name__, table.deliver()))
    assert counts == [("Request", 1), ("AppendEntries", 4), ("Appended", 4), ("Reply", 1)]


def test_5_3_entries_are_refused_where_the_one_before_differs() -> None:
    table = Table(Raft(), 3)
    give_log(table, "r2", 1, 1, 2)
    append(table, "r1", "r2", 5, (3, 4), 5)
    (answer,) = [m for _, _, m in table.take(Appended)]
    assert not answer.success
    assert terms_of(table, "r2") == [1, 1, 2]


def test_5_3_conflicting_entries_and_all_behind_them_are_overwritten() -> None:
    table = Table(Raft(), 3)
    give_log(table, "r2", 1, 1, 2, 2, 2)
    append(table, "r1", "r2", 5, (2, 1), 4)
    assert terms_of(table, "r2") == [1, 1, 4]
    assert table.images["r2"]["", "log"] == state(table, "r2").log


def test_5_3_an_old_message_takes_nothing_away() -> None:
    table = Table(Raft(), 3)
    append(table, "r1", "r2", 1, (0, 0), 1, 1, 1, 1)
    append(table, "r1", "r2", 1, (0, 0), 1, 1)
    assert terms_of(table, "r2") == [1, 1, 1, 1]
    assert [m.index for _, _, m in table.take(Appended)] == [4, 4]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6), (1, 1, 1, 4, 4, 5, 5, 6, 6)),  # figure 7, (a) to (f)
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6), (1, 1, 1, 4)),
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6), (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6)),
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6), (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7)),
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6), (1, 1, 1, 4, 4, 4, 4)),
        ((1, 1, 1, 4, 4, 5, 5, 6, 6, 6), (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3)),
        ((1,) * 500 + (9,) * 500, (1,) * 500 + (2,) * 300),
    ],
)
def test_5_3_any_follower_is_brought_to_agree(
    ours: tuple[int, ...], theirs: tuple[int, ...]
) -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    give_log(table, "r1", *ours)
    give_log(table, "r2", *theirs)
    give_log(table, "r3", term=9)
    while state(table, "r1").role != "leader":  # r3, whose log is empty, votes for it
        table.ring("r1", "election")
        table.settle()
    table.run(1)
    assert terms_of(table, "r2") == terms_of(table, "r1")


def test_5_3_a_leader_goes_back_by_terms_and_not_by_entries() -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    give_log(table, "r1", *(1,) * 10, *(5,) * 400)
    give_log(table, "r2", *(1,) * 10, *(2,) * 100, *(3,) * 100, *(4,) * 100)
    table.crash("r3")
    table.ring("r1", "election")
    table.settle()
    refusals = 0
    while True:
        answers = [m for _, _, m in table.find(Appended)]
        refusals += sum(not m.success for m in answers)
        if not table.wires:
            break
        table.deliver()
    assert refusals <= 4
    assert terms_of(table, "r2") == terms_of(table, "r1")


def test_5_3_a_leader_never_changes_its_own_log() -> None:
    table = cluster()
    before = tuple(state(table, "r1").log)
    for number in range(5):
        table.write(number)
    assert tuple(state(table, "r1").log)[: len(before)] == before


def test_5_4_2_entries_of_older_terms_are_not_committed_by_counting() -> None:  # mutant R2
    table = Table(Raft(**OUTRIGHT, window_max=1), 5)
    give_log(table, "r1", 1, 2)
    elect(table, "r1", "r2", "r3")
    table.take()
    term = state(table, "r1").term
    for server in ("r2", "r3"):
        table.put(server, "r1", Appended(term, True, 2, 0, 0, 0, server))
    table.deliver(Appended)
    assert state(table, "r1").committed == 0
    for server in ("r2", "r3"):
        table.put(server, "r1", Appended(term, True, 3, 0, 0, 0, server))
    table.deliver(Appended)
    assert state(table, "r1").committed == 3, "with an entry of its own all others are"


def test_a_follower_commits_nothing_beyond_what_is_the_leaders() -> None:  # mutant R9: stale tail
    table = Table(Raft(), 3)
    give_log(table, "r2", 1, 1, 2, 2)
    append(table, "r1", "r2", 5, (2, 1), commit=4)
    assert state(table, "r2").committed == 2


def test_an_answer_to_an_earlier_term_proves_nothing() -> None:  # R6
    table = cluster()
    table.ring("r1", "heartbeat")
    round, acked = state(table, "r1").round, state(table, "r1").acked
    table.put("r2", "r1", Appended(0, True, 99, 0, 0, round, "r2"))
    table.deliver(Appended)
    assert state(table, "r1").acked == acked
    assert state(table, "r1").progress[0].match < 99


def test_answers_of_outsiders_do_not_count() -> None:
    table = cluster(5)
    table.ask(Put("x", 2))
    table.deliver(Request)
    table.take(AppendEntries)
    for outsider in ("r8", "r9", "c1"):
        table.put(outsider, "r1", Appended(1, True, 99, 0, 0, 0, outsider))
    table.put("r2", "r1", Appended(1, True, state(table, "r1").log.last_index, 0, 0, 0, "r2"))
    table.deliver(Appended)
    assert not table.find(Reply)


@pytest.mark.parametrize(
    "message",
    [
        RequestVote(9, "r3", 99, 9, True), Vote(9, "r1", True, "r3"), PreVote(9, 9, True, "r3"),
        TimeoutNow(1), AppendEntries(1, 0, 0, entries(1), 99, 1), AppendEntries(9, 0, 0, (), 99, 1),
        Appended(1, True, 99, 0, 0, 9, "r3"), Appended(9, False, 0, 0, 0, 0, "r3"),
        InstallSnapshot(9, 99), Rejoin("r3#9"), NotNeeded("r3#2"),
    ],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
@pytest.mark.parametrize("node", ["r1", "r2", "r3"])
def test_who_is_no_server_is_believed_nothing(node: str, message: Message) -> None:
    """To a leader, a follower, and one that lost its disk; with true terms, and terms to come."""
    table = cluster()
    table.wipe("r3")
    table.wires.clear()
    before = state(table, node).snapshot()
    table.put("x9", node, message)
    table.deliver()
    assert state(table, node).snapshot() == before


# --- flow control (D 10.2) ------------------------------------------------------------------------


def test_d_10_2_entries_are_sent_without_waiting_for_answers() -> None:
    table = cluster(clients=5, batch_max=1, reads="log")
    for number in range(1, 6):
        table.write(0, client=f"c{number}")
    for number in range(1, 6):
        table.ask(Put("x", number), f"c{number}")
    table.deliver(Request)
    assert len(table.find(AppendEntries, to="r2")) == 5


def test_no_more_than_a_window_is_under_way_to_a_follower() -> None:
    table = cluster(clients=5, batch_max=1, reads="log", window_max=2)
    for number in range(1, 6):
        table.write(0, client=f"c{number}")
    for number in range(1, 6):
        table.ask(Put("x", number), f"c{number}")
    table.deliver(Request)
    assert len(table.take(AppendEntries, to="r3")) == 2
    table.settle()
    assert len(table.answers) >= 5, "the others go on"
    table.run(0.5)
    assert state(table, "r3").executed == state(table, "r1").executed


def test_while_probing_one_message_is_under_way() -> None:
    table = Table(Raft(**OUTRIGHT), 3)
    give_log(table, "r1", *(1,) * 50)
    elect(table, "r1", "r2")
    table.take(AppendEntries, to="r3")
    for _ in range(3):
        table.ask(Put("x", 1))
        table.deliver(Request)
    assert not [m for _, _, m in table.find(AppendEntries, to="r3") if m.entries]


def test_messages_are_bounded_in_commands_and_in_bytes() -> None:
    table = cluster(batch_max=1)
    node = state(table, "r1")
    last = node.log.last_index
    small, large = batch_of(1, 10), batch_of(1, 600_000)
    node.log = node.log.append(
        *[msgspec.structs.replace(e, term=1) for e in small * 2000 + large * 3]
    )
    assert len(node.entries_after(last)) <= 256
    assert len(node.entries_after(last + 2000)) == 1


def batch_of(count: int, size: int) -> list[Any]:
    return [Entry(1, (Command("s", 1, b"x" * size),)) for _ in range(count)]


def test_what_comes_early_waits_for_what_is_before_it() -> None:
    table = Table(Raft(), 3)
    append(table, "r1", "r2", 1, (0, 0), 1)
    append(table, "r1", "r2", 1, (2, 1), 1)
    append(table, "r1", "r2", 1, (3, 1), 1, commit=3)
    assert terms_of(table, "r2") == [1]
    table.take()
    append(table, "r1", "r2", 1, (1, 1), 1)
    assert terms_of(table, "r2") == [1, 1, 1, 1]
    assert [m.index for _, _, m in table.take(Appended)] == [4]
    assert not len(state(table, "r2").early)


def test_what_came_early_is_forgotten_with_its_term() -> None:
    table = Table(Raft(), 3)
    append(table, "r1", "r2", 1, (0, 0), 1)
    append(table, "r1", "r2", 1, (2, 1), 1)
    append(table, "r3", "r2", 2, (1, 1), 2)
    assert terms_of(table, "r2") == [1, 2]


def test_what_comes_early_is_bounded_in_messages_and_in_bytes() -> None:
    """What has no room is refused, so that it comes again; what is over gives its room back."""
    table = Table(Raft(), 3)
    append(table, "r1", "r2", 1, (0, 0), 1)
    table.take()
    large = Entry(1, (Command("elsewhere", 1, b"x" * (EARLY_BYTES_MAX // 4)),))
    node = state(table, "r2")
    for at in range(2, 10):
        for _ in range(2):  # doubled by the network: held once
            table.put("r1", "r2", AppendEntries(1, at, 1, (large,), 0, 0))
        table.deliver(AppendEntries)
    assert list(node.early) == [2, 3, 4]
    assert node.early_bytes == 3 * size(AppendEntries(1, 9, 1, (large,), 0, 0))
    assert {m.success for _, _, m in table.take(Appended)} == {False}
    append(table, "r1", "r2", 1, (1, 1), 1)
    assert (node.log.last_index, node.early_bytes) == (5, 0)
    for at in range(EARLY_MAX + 10):
        append(table, "r1", "r2", 1, (at + 6, 1), 1)
    assert len(node.early) == EARLY_MAX
    append(table, "r3", "r2", 2, (1, 1), 2)
    assert (len(node.early), node.early_bytes) == (0, 0)


def test_lost_entries_are_sent_again_after_two_heartbeats() -> None:
    table = cluster()
    op = table.ask(Put("x", 2))
    table.deliver(Request)
    assert table.take(AppendEntries)
    table.run(0.25)
    table.result(op)


def test_loss_is_noticed_when_a_round_trip_takes_several_heartbeats() -> None:
    table = cluster()
    op = table.ask(Put("x", 2))
    table.deliver(Request)
    assert table.take(AppendEntries)
    late: list[Any] = []
    for _ in range(12):
        table.time_ns += 50_000_000
        table.ring("r1", "heartbeat")
        table.deliver(AppendEntries)
        late.append(table.take(Appended))
        for wire in late.pop(0) if len(late) > 3 else ():
            table.hand(wire)
        if table.find(Reply):
            break
    table.settle()
    assert table.result(op) is None


def test_a_lagging_follower_is_brought_up_to_date() -> None:
    table = cluster()
    for number in range(20):
        table.ask(Put("x", number))
        table.settle(cut=apart("r3"))
    assert state(table, "r3").executed < state(table, "r1").executed
    table.run(0.5)
    assert state(table, "r3").executed == state(table, "r1").executed


# --- 7: compaction --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_bytes_max", [7, 1 << 18])
def test_7_a_follower_that_lags_too_far_gets_a_snapshot(chunk_bytes_max: int) -> None:
    table = cluster(snapshot_every=10, lag_max=0, chunk_bytes_max=chunk_bytes_max, batch_max=1)
    for number in range(25):
        table.ask(Put(f"k{number}", number))
        table.settle(cut=apart("r3"))
    table.run(1)
    assert table.saw("snapshot_installed", "r3")
    assert state(table, "r3").machine_state == state(table, "r1").machine_state
    assert state(table, "r3").sessions == state(table, "r1").sessions
    table.write("after")
    assert state(table, "r3").log.last_index == state(table, "r1").log.last_index


def lagging() -> Table:
    """r3 has fetched a snapshot, which is not durable yet."""
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(25):
        table.ask(Put(f"k{number}", number))
        table.settle(cut=apart("r3"))
    table.auto_save = False
    table.run(0.5)
    assert state(table, "r3").installing
    return table


def test_7_nothing_is_acknowledged_before_the_snapshot_is_durable() -> None:
    table = lagging()
    table.write("more")
    match = {p.name: p.match for p in state(table, "r1").progress}
    assert match["r3"] <= state(table, "r3").log.last_index < match["r2"]
    table.save()
    table.run(0.5)
    match = {p.name: p.match for p in state(table, "r1").progress}
    assert match["r3"] == match["r2"]


def test_7_a_crash_before_the_snapshot_is_durable_costs_nothing() -> None:
    table = lagging()
    table.restart("r3")
    table.auto_save = True
    table.run(1)
    assert state(table, "r3").executed == state(table, "r1").executed


def test_7_a_crash_between_snapshot_and_log_costs_nothing() -> None:
    table = lagging()
    ((node, effect),) = [u for u in table.unsaved if u[0] == "r3"]
    table.snapshots[node] = effect.snapshot
    table.restart("r3")
    assert state(table, "r3").log.base.index == state(table, "r3").committed
    table.auto_save = True
    table.run(1)
    assert state(table, "r3").executed == state(table, "r1").executed


def test_7_a_conflicting_log_goes_whole_when_a_snapshot_takes_its_place() -> None:
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(3):
        table.ask(Put("lost", number))
        table.deliver(Request)
    table.crash("r1")
    table.wires.clear()
    for number in range(25):
        table.write(number)
    table.restart("r1")
    table.run(1)
    assert table.saw("snapshot_installed", "r1")
    assert state(table, "r1").machine_state == state(table, leader(table)).machine_state
    assert state(table, "r1").log.last_index == state(table, leader(table)).log.last_index


def test_7_a_snapshot_of_what_the_log_holds_leaves_the_log_in_place() -> None:
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    for number in range(25):
        table.write(number)
    table.run(0.3)
    table.crash("r3")
    image = table.images["r1"]["", "log"]
    entries = tuple(Entry(1, batch(f"{i}")) for i in range(image.base.index))
    table.images["r3"]["", "log"] = Log((*entries, *image))
    table.snapshots["r3"] = None
    table.start("r3", "restart")
    table.put("r1", "r3", InstallSnapshot(1, image.base.index))
    table.deliver(InstallSnapshot)
    table.deliver(FetchSnapshot)
    table.deliver(SnapshotChunk)
    node = state(table, "r3")
    assert node.log.last_index == image.last_index
    assert node.log.base.index == image.base.index == node.matched
    table.write("more")
    table.run(0.3)
    assert node.executed == state(table, "r1").executed


def test_7_a_snapshot_of_what_the_log_holds_says_that_it_is_the_leaders() -> None:
    """Before the snapshot is durable, too: the entries are, and what is committed is in the log of
    whoever leads, so it is acknowledged at once."""
    table = lagging()
    table.restart("r3")
    base = state(table, "r1").log.base
    give_log(table, "r3", *(1,) * (base.index + 2), term=1)
    table.put("r1", "r3", InstallSnapshot(1, base.index))
    table.deliver(InstallSnapshot)
    node = state(table, "r3")
    assert node.matched == 0
    table.deliver(FetchSnapshot)
    table.deliver(SnapshotChunk)
    assert [n for n, _ in table.unsaved if n == "r3"], "it is not durable yet"
    assert not node.installing
    assert node.matched == node.committed == base.index
    table.wires.clear()
    append(table, "r1", "r3", 1, (base.index, 1), commit=base.index)
    assert [m.index for _, _, m in table.take(Appended)] == [base.index]


@pytest.mark.parametrize("pre_vote", [True, False], ids=["pre-candidate", "candidate"])
def test_7_a_candidate_that_installs_a_snapshot_follows(pre_vote: bool) -> None:
    """What it has just executed is not in its log, so with that it must not lead; and not before
    the snapshot is durable. Its term and its vote stay."""
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1, pre_vote=pre_vote)
    for number in range(25):
        table.ask(Put(f"k{number}", number))
        table.settle(cut=apart("r3"))
    table.auto_save = False
    table.put("r1", "r3", InstallSnapshot(1, state(table, "r1").log.base.index))
    table.deliver(InstallSnapshot)
    table.deliver(FetchSnapshot)
    table.time_ns += 2_000_000_000
    table.ring("r3", "election")
    node = state(table, "r3")
    term, voted_for = node.term, node.voted_for
    assert (node.role, term) == (("pre-candidate", 1) if pre_vote else ("candidate", 2))
    table.deliver(SnapshotChunk)
    assert node.installing
    assert (node.role, node.votes) == ("follower", ())
    assert (node.term, node.voted_for) == (term, voted_for)
    if pre_vote:
        table.put("r2", "r3", PreVote(term, term + 1, True, "r2"))
    else:
        table.put("r2", "r3", Vote(term, "r3", True, "r2"))
    table.take(source="r3")
    table.deliver(to="r3")
    table.ring("r3", "election")
    assert (node.role, node.term) == ("follower", term)
    assert not table.find((Vote, RequestVote, RequestPreVote), source="r3")
    table.auto_save = True
    table.save()
    assert not node.installing
    table.ring("r3", "election")
    assert node.role == ("pre-candidate" if pre_vote else "candidate"), "now it may try again"
    assert node.log.base.index == node.committed == node.log.last_index


def test_7_the_log_is_cut_at_snapshots_but_for_a_tail() -> None:
    table = cluster(snapshot_every=10, lag_max=5, batch_max=1)
    for number in range(57):
        table.write(number)
    for node in ("r1", "r2", "r3"):
        assert len(state(table, node).log) <= 10 + 5 + 1


def test_7_nothing_is_cut_before_the_snapshot_is_durable() -> None:
    table = cluster(snapshot_every=10, lag_max=0, batch_max=1)
    table.auto_save = False
    for number in range(25):
        table.write(number)
    assert len(state(table, "r1").log) >= 25
    table.save()
    assert len(state(table, "r1").log) < 20


def test_7_replicas_take_the_same_snapshots() -> None:
    table = cluster(snapshot_every=7, batch_max=1)
    for number in range(30):
        table.write(number)
    table.run(0.5)
    assert state(table, "r1").saved == state(table, "r2").saved == state(table, "r3").saved


def test_a_blackout_forgets_nothing() -> None:
    table = cluster(snapshot_every=7, batch_max=1)
    for number in range(30):
        table.write(number)
    for node in ("r1", "r2", "r3"):
        table.crash(node)
    for node in ("r1", "r2", "r3"):
        table.restart(node)
    assert table.read() == 29


# --- 8, D 6.4: reads ------------------------------------------------------------------------------


def test_8_a_leader_begins_its_term_with_an_entry_of_its_own() -> None:
    table = Table(Raft(), 3)
    table.run(0)
    entry = state(table, "r1").log[1]
    assert (entry.term, entry.commands, entry.configuration) == (1, (), None)


def test_d_6_4_reads_of_one_turn_share_a_heartbeat_round() -> None:
    table = cluster()
    table.ask(Get("x"))
    table.deliver(Read)
    assert [len(m.entries) for _, _, m in table.find(AppendEntries)] == [0, 0]
    assert not table.find(Reply)
    table.deliver(AppendEntries)
    table.deliver(Appended, source="r2")
    assert table.find(Reply)


def test_d_6_4_a_round_that_began_before_the_read_does_not_confirm_it() -> None:
    table = cluster()
    table.ring("r1", "heartbeat")
    table.deliver(AppendEntries)
    table.ask(Get("x"))
    table.deliver(Read)
    table.deliver(Appended)
    assert not table.find(Reply)


def test_d_6_4_a_deposed_leader_answers_no_read() -> None:
    table = cluster(deadline_s=5.0, check_quorum=False)
    away = apart("r1", "c2")
    table.crash("r3")
    table.restart("r3")
    table.run(3, cut=away)
    table.ask(Put("x", "newer"))
    table.run(3, cut=away)
    assert state(table, "r1").role == "leader"
    table.put("c2", "r1", Read("c2", 1, KV.encode(Get("x"))))
    table.settle(cut=away)
    assert not table.find(Reply, to="c2")


def test_8_a_new_leader_reads_only_after_its_first_entry() -> None:  # mutant R9
    table = Table(Raft(**OUTRIGHT), 3)
    give_log(table, "r1", 1)
    elect(table, "r1", "r2")
    term = state(table, "r1").term
    table.put("c1", "r1", Read("c1", 1, KV.encode(Get("x"))))
    table.deliver(Read)
    round = state(table, "r1").round
    table.put("r2", "r1", Appended(term, True, 1, 0, 0, round, "r2"))
    table.deliver(Appended)
    assert state(table, "r1").confirmed == round
    assert not table.find(Reply)
    table.put("r2", "r1", Appended(term, True, 2, 0, 0, 0, "r2"))
    table.deliver(Appended)
    assert table.find(Reply)


def leased(**params: Any) -> Table:
    table = cluster(reads="lease", **params)
    table.ring("r1", "heartbeat")
    table.settle()
    return table


def asks_others(table: Table) -> bool:
    """Whether r1 needs a round for a read that comes now."""
    table.take()
    table.put("c9", "r1", Read("c9", 1, KV.encode(Get("x"))))
    table.deliver(Read)
    answered = bool(table.take(Reply))
    asked = bool(table.take(AppendEntries))
    assert answered != asked
    return asked


def test_d_6_4_1_within_a_lease_a_read_is_answered_at_once() -> None:
    assert not asks_others(leased())


@pytest.mark.parametrize(("drift", "lasts_s"), [(0, 0.5), (200, 0.49980003), (500_000, 1 / 6)])
def test_d_6_4_1_a_lease_lasts_as_long_as_any_clock_keeps_the_promise(
    drift: int, lasts_s: float
) -> None:
    table = leased(clock_drift_ppm_max=drift)
    sent = table.time_ns
    assert state(table, "r1").leased_until - sent == pytest.approx(lasts_s * 1e9, abs=20)
    table.time_ns = state(table, "r1").leased_until - 1
    assert not asks_others(table)
    table.time_ns += 1
    assert asks_others(table)


def test_d_6_4_1_a_lease_begins_when_the_heartbeat_is_sent_not_when_it_is_answered() -> None:
    table = leased()
    table.ring("r1", "heartbeat")
    sent = table.time_ns
    table.time_ns += 100_000_000
    table.settle()
    assert state(table, "r1").leased_until < sent + 500_000_000


def test_d_6_4_1_no_lease_before_the_first_entry_is_committed() -> None:
    table = Table(Raft(reads="lease"), 3)
    table.run(0)
    node = state(table, "r1")
    node.committed = 0
    assert not node.holds_lease()


def test_a_leader_that_invited_another_holds_no_lease_in_its_term() -> None:
    table = leased()
    state(table, "r1").invited_another = True
    assert asks_others(table)


def test_a_follower_that_restarts_waits_before_it_votes_if_leases_are_given() -> None:
    table = leased()
    table.restart("r2")
    state(table, "r2").quiet_until = table.time_ns + state(table, "r2").quiet_until
    assert ask_vote(table, "r2", 9, (99, 1)) is None
    table.time_ns += 500_000_000
    assert ask_vote(table, "r2", 9, (99, 1)).granted


def test_followers_keep_the_promise_that_leases_rest_on() -> None:
    """A timer that rings early, because a clock changed its rate, does not break it."""
    table = leased()
    node = state(table, "r2")
    table.timers["r2"]["election"] = table.time_ns
    assert node.quiet_until > table.time_ns
    table.ring("r2", "election")
    assert node.role == "follower"
    assert table.timers["r2"]["election"] == node.quiet_until


# --- D 3.10: leadership transfer ------------------------------------------------------------------


def test_d_3_10_who_is_invited_campaigns_at_once_and_without_pre_votes() -> None:
    table = cluster()
    table.put("r1", "r3", TimeoutNow(1))
    table.deliver(TimeoutNow)
    assert state(table, "r3").role == "candidate"
    assert all(m.transfer for _, _, m in table.find(RequestVote))


def test_d_3_10_an_invitation_of_an_earlier_term_is_void() -> None:
    table = cluster()
    table.put("r1", "r3", TimeoutNow(0))
    table.deliver(TimeoutNow)
    assert state(table, "r3").role == "follower"


# --- limits and bounded answers -------------------------------------------------------------------


def test_without_a_majority_clients_get_an_indefinite_answer_at_their_deadline() -> None:
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
    table = Table(Raft(queue_max=1, pipeline_max=1, batch_max=1), 3, clients=4)
    table.run(0)
    for number in range(1, 5):
        table.ask(Put("x", number), f"c{number}")
    table.deliver(Request)
    assert table.find(Overloaded)
    table.run(30)
    assert len(table.answers) == 4
    assert not any(isinstance(a, Definite) for a in table.answers.values())


def test_a_leader_whose_log_is_full_takes_no_commands() -> None:
    table = cluster(snapshot_every=5, lag_max=0, log_entries_max=5, batch_max=1, reads="log")
    table.auto_save = False
    for number in range(10):
        table.ask(Put("x", number))
        table.run(0.5)
    assert len(state(table, "r1").log) <= 5
    table.auto_save = True
    table.save()
    table.run(30)
    assert table.read("x") is not None


def test_a_full_log_takes_a_leaders_first_entry_all_the_same() -> None:
    table = cluster(snapshot_every=5, lag_max=0, log_entries_max=5, batch_max=1)
    table.auto_save = False
    for number in range(10):
        table.ask(Put("x", number))
        table.run(0.2)
    for node in ("r1", "r2", "r3"):
        table.crash(node)
    for node in ("r1", "r2", "r3"):
        table.restart(node)
    table.auto_save = True
    table.run(20)
    assert table.read("x") is not None


def test_a_follower_whose_log_is_full_takes_what_fits() -> None:
    table = Table(Raft(snapshot_every=3, lag_max=0, log_entries_max=3), 3)
    append(table, "r1", "r2", 1, (0, 0), 1, 1, 1, 1, 1)
    assert terms_of(table, "r2") == [1, 1, 1]
    assert [m.index for _, _, m in table.take(Appended)] == [3]
    assert table.saw("log_full", "r2")


def test_pipeline_max_bounds_what_is_not_committed() -> None:
    table = Table(Raft(pipeline_max=1, reads="log"), 3, clients=5)
    table.run(0)
    for client in range(1, 6):
        table.write(0, client=f"c{client}")
    for client in range(1, 6):
        table.ask(Put("x", client), f"c{client}")
    table.deliver(Request)
    assert len({m.prev_index for _, _, m in table.find(AppendEntries)}) == 1
    table.deliver(AppendEntries)
    table.deliver(Appended)
    assert {len(e.commands) for _, _, m in table.find(AppendEntries) for e in m.entries} == {4}


def test_a_slow_command_does_not_breed_copies_of_itself() -> None:
    table = cluster(reads="log")
    table.ask(Append("x", "!"))
    (request,) = table.take(Request)
    table.hand(request)
    again = (request[0], request[1], msgspec.structs.replace(request[2], again=True))
    for _ in range(3):
        table.hand(again)
    assert len({m.prev_index for _, _, m in table.find(AppendEntries)}) == 1


def test_8_a_command_that_is_sent_twice_is_executed_once() -> None:
    table = cluster()
    table.ask(Append("y", "!"))
    (request,) = table.take(Request)
    table.hand(request)
    table.settle()
    table.crash("r1")
    table.run(3)
    source, _, message = request
    table.put(source, leader(table), msgspec.structs.replace(message, again=True))
    table.run(1)
    assert table.read("y") == "!"


def test_a_follower_names_the_leader() -> None:
    table = cluster()
    table.put("c1", "r2", Read("c1", 7, KV.encode(Get("x"))))
    table.deliver(Read)
    assert [m for _, _, m in table.take(NotLeader)] == [NotLeader("c1", 7, "r1")]


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"heartbeat_s": 0.6},
        {"reads": "dirty"},
        {"reads": "lease", "check_quorum": False},
        {"log_entries_max": 10},
        {"election_timeout_s": (1.0, 0.5)},
        {"clock_drift_ppm_max": 1_000_000},
        {"window_max": 0},
    ],
)
def test_what_cannot_work_is_refused_in_one_line(params: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        Raft(**params).validate(5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("reads", ["quorum", "lease", "log"])
def test_any_number_of_servers_works(replicas: int, reads: str) -> None:
    table = cluster(replicas, reads=reads)
    table.write(1)
    assert table.read() == 1
