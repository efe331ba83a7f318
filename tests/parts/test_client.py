"""The shared client: exactly one answer for each command, and an honest one."""

import pytest

from concur.effects import Definite, Deliver, Indefinite, Invoke, Ok, Timer
from concur.machines.kv import Append, Get, Put
from concur.messages import encode
from concur.parts.client import NotLeader, Overloaded, Read, Reply, Request
from concur.parts.sessions import IN_FLIGHT_MAX
from concur.protocols.multi_paxos import MultiPaxos
from tests.protocols.harness import KV, Table


def alone(**params: float) -> Table:
    """A client on a table where no replica ever answers but through the test."""
    table = Table(MultiPaxos(**params), 3)
    for node in ("r1", "r2", "r3"):
        table.crash(node)
    table.take()
    return table


def with_session(**params: float) -> Table:
    """The same, after one command."""
    table = alone(**params)
    op = table.ask(Put("x", 1))
    (_, _, opening) = table.take(Request)[0]
    assert isinstance(opening, Request)
    answer(table, Reply(opening.command.session, opening.command.seq, encode("c1.s")))
    request = sent(table)
    answer(table, Reply("c1.s", request.command.seq, encode(None)))
    assert isinstance(table.answers["c1", op], Ok)
    return table


def answer(
    table: Table, message: Reply | NotLeader | Overloaded, source: str = "r1", client: str = "c1"
) -> None:
    table.step(client, Deliver(source, message))


def sent(table: Table) -> Request:
    (wire,) = table.take(Request)
    assert isinstance(wire[2], Request)
    return wire[2]


def target(table: Table) -> str:
    (wire,) = table.take(Request)
    return wire[1]


def test_a_session_is_opened_before_the_first_command() -> None:
    table = alone()
    table.ask(Put("x", 1))
    assert sent(table).command.session.startswith("open:c1")
    with_session()


def test_late_and_doubled_replies_complete_nothing_twice() -> None:
    table = with_session()
    table.ask(Put("x", 2))
    reply = Reply("c1.s", sent(table).command.seq, encode(None))
    for _ in range(3):
        answer(table, reply)  # the table asserts that Complete comes once
    answer(table, Reply("c1.s", 99, encode(None)))
    answer(table, Reply("other", reply.seq, encode(None)))


def test_silence_turns_the_client_to_each_replica_in_turn() -> None:
    table = with_session()
    op = table.ask(Put("x", 2))
    asked = [target(table)]
    for _ in range(4):
        table.ring("c1", ("retry", op))
        asked.append(target(table))
    assert asked == ["r1", "r2", "r3", "r1", "r2"]


def test_a_hint_is_followed_at_once_but_not_round_and_round() -> None:
    table = with_session()
    table.ask(Put("x", 2))
    seq = sent(table).command.seq
    followed = 0
    for source, hint in [("r1", "r2"), ("r2", "r1")] * 5:
        answer(table, NotLeader("c1.s", seq, hint), source)
        followed += len(table.take(Request))
    assert 0 < followed <= 3


def test_an_old_hint_at_a_replica_that_is_gone_keeps_nobody_from_being_asked() -> None:
    """r1 is gone, and r2, a member no longer, goes on naming it."""
    table = with_session()
    op = table.ask(Put("x", 2))
    seq = sent(table).command.seq
    asked = []
    for _ in range(3):
        table.ring("c1", ("retry", op))
        asked.append(target(table))
        if asked[-1] == "r2":
            answer(table, NotLeader("c1.s", seq, "r1"), "r2")
            asked.append(target(table))
    assert asked == ["r2", "r1", "r3", "r1"]


def test_a_hint_from_a_replica_that_was_not_asked_last_is_ignored() -> None:
    table = with_session()
    table.ask(Put("x", 2))
    seq = sent(table).command.seq
    answer(table, NotLeader("c1.s", seq, "r2"), "r3")
    assert not table.find(Request)


def test_the_deadline_gives_an_indefinite_answer() -> None:
    table = with_session(deadline_s=3.0)
    op = table.ask(Put("x", 2))
    table.run(2.9)
    assert ("c1", op) not in table.answers
    table.run(0.2)
    assert isinstance(table.answers["c1", op], Indefinite)


def test_a_command_that_was_never_sent_certainly_did_not_happen() -> None:
    table = alone(deadline_s=3.0)
    op = table.ask(Put("x", 2))
    table.run(3.1)
    assert isinstance(table.answers["c1", op], Definite)


def test_too_many_commands_at_a_time_are_refused_definitely() -> None:
    table = with_session()
    ops = [table.ask(Put("x", n)) for n in range(IN_FLIGHT_MAX + 1)]
    assert isinstance(table.answers["c1", ops[-1]], Definite)
    assert len(table.answers) == 2


def test_no_command_leaves_the_window_that_a_session_remembers() -> None:
    table = with_session()
    first = table.ask(Put("x", 0))
    table.take(Request)
    outcomes = []
    for n in range(IN_FLIGHT_MAX):
        op = table.ask(Put("x", n))
        wires = table.take(Request)
        if wires:
            assert isinstance(wires[0][2], Request)
            answer(table, Reply("c1.s", wires[0][2].command.seq, encode(None)))
        outcomes.append(type(table.answers["c1", op]))
    # The first is still outstanding, so the last would push it out of the window.
    assert ("c1", first) not in table.answers
    assert outcomes == [Ok] * (IN_FLIGHT_MAX - 1) + [Definite]


def test_an_expired_session_is_an_indefinite_answer_and_a_new_one_is_opened() -> None:
    table = with_session()
    op = table.ask(Put("x", 2))
    answer(table, Reply("c1.s", sent(table).command.seq, None))
    assert isinstance(table.answers["c1", op], Indefinite)
    table.ask(Put("x", 3))
    assert sent(table).command.session.startswith("open:")


def test_a_malformed_session_name_opens_nothing() -> None:
    table = alone()
    table.ask(Put("x", 1))
    opening = sent(table).command
    answer(table, Reply(opening.session, opening.seq, b"\xc1"))
    assert not table.find(Request)


def test_an_overloaded_replica_makes_a_command_wait() -> None:
    # Not Definite: the network may have doubled the request, and admit the copy later.
    table = with_session()
    op = table.ask(Put("x", 2))
    request = sent(table)
    answer(table, Overloaded("c1.s", request.command.seq))
    assert ("c1", op) not in table.answers
    table.ring("c1", ("retry", op))
    assert sent(table).command == request.command


def test_a_refused_read_has_no_effect_and_so_a_definite_answer() -> None:
    table = alone()
    op = table.ask(Get("x"))
    (wire,) = table.take(Read)
    assert isinstance(wire[2], Read)
    answer(table, Overloaded(wire[2].session, wire[2].seq))
    assert isinstance(table.answers["c1", op], Definite)


def test_reads_need_no_session() -> None:
    table = alone()
    table.ask(Get("x"))
    assert table.find(Read)
    assert not table.find(Request)


def test_reads_use_the_log_if_the_protocol_says_so() -> None:
    table = Table(MultiPaxos(reads="log"), 3)
    table.ask(Get("x"))
    assert not table.find(Read)


def test_a_client_that_restarts_uses_no_name_of_its_earlier_life() -> None:
    table = alone()
    table.ask(Put("x", 1))
    table.ask(Get("x"))
    before = {m.command.session for _, _, m in table.take(Request)}  # type: ignore[attr-defined]
    before |= {m.session for _, _, m in table.take(Read)}  # type: ignore[attr-defined]
    table.restart("c1")
    table.ask(Put("x", 1))
    table.ask(Get("x"))
    after = {m.command.session for _, _, m in table.take(Request)}  # type: ignore[attr-defined]
    after |= {m.session for _, _, m in table.take(Read)}  # type: ignore[attr-defined]
    assert not before & after


@pytest.mark.parametrize("doubled", [Request, Reply])
def test_a_doubled_message_has_one_effect(doubled: type) -> None:
    table = Table(MultiPaxos(), 3)
    table.run(0)
    table.write("")
    table.ask(Append("x", "a"))
    for _ in range(100):
        if not table.wires:
            break
        wire = table.wires.pop(0)
        table.hand(wire)
        if isinstance(wire[2], doubled):
            table.hand(wire)
    table.run(2)
    assert table.read() == "a"


def test_a_command_that_the_machine_cannot_read_is_answered_with_its_error() -> None:
    table = Table(MultiPaxos(), 3)
    table.run(0)
    table.ops += 1
    table.step("c1", Invoke(table.ops, b"\xc1 no command"))
    table.run(2)
    outcome = table.answers["c1", table.ops]
    assert isinstance(outcome, Ok)
    assert KV.decode_result(outcome.result) is not None


def test_a_timer_of_a_finished_command_does_nothing() -> None:
    table = with_session()
    table.step("c1", Timer(("retry", 1)))
    assert not table.wires
