"""One durable server: what it keeps, and what it cannot do."""

import pytest

from concur.effects import Indefinite
from concur.machines.kv import Append, Get, Put
from concur.parts.client import Reply, Request
from concur.protocols.unreplicated import Unreplicated
from tests.protocols.harness import Table


def test_there_is_one_server_whatever_is_asked_for() -> None:
    assert [i for i in Table(Unreplicated(), replicas=5).nodes if i.startswith("r")] == ["r1"]


def test_a_command_takes_two_messages() -> None:
    table = Table(Unreplicated())
    table.write(1)
    table.ask(Put("x", 2))
    assert [type(m) for _, _, m in table.wires] == [Request]
    table.deliver()
    assert [type(m) for _, _, m in table.wires] == [Reply]


@pytest.mark.parametrize("snapshot_every", [1, 3, 1000])
def test_everything_survives_a_crash(snapshot_every: int) -> None:
    table = Table(Unreplicated(snapshot_every=snapshot_every))
    for value in range(10):
        table.write(value, key=f"k{value}")
    table.restart("r1")
    assert [table.read(f"k{value}") for value in range(10)] == list(range(10))


def test_the_log_is_cut_at_snapshots() -> None:
    table = Table(Unreplicated(snapshot_every=5))
    for value in range(23):
        table.write(value)
    assert len(table.nodes["r1"].log) < 5  # type: ignore[attr-defined]


def test_a_repeated_request_is_executed_once() -> None:
    table = Table(Unreplicated())
    table.write("", key="x")
    op = table.ask(Append("x", "a"))
    (request,) = table.take(Request)
    table.hand(request)
    table.hand(request)
    table.restart("r1")
    table.hand(request)
    table.settle()
    table.result(op)
    assert table.read() == "a"


def test_a_client_gives_an_indefinite_answer_while_the_server_is_down() -> None:
    table = Table(Unreplicated(deadline_s=5.0))
    table.write(1)
    table.crash("r1")
    op = table.ask(Put("x", 2))
    table.run(4.9)
    assert ("c1", op) not in table.answers
    table.run(0.2)
    assert isinstance(table.answers["c1", op], Indefinite)


def test_a_wiped_server_stays_silent(  # it would deny what it acknowledged
) -> None:
    table = Table(Unreplicated(deadline_s=2.0))
    table.write(1)
    table.wipe("r1")
    op = table.ask(Get("x"))
    table.run(3)
    assert table.gave_up(op)
    table.restart("r1")
    op = table.ask(Get("x"))
    table.run(3)
    assert table.gave_up(op)


def test_a_restart_with_nothing_written_counts_as_wiped() -> None:
    table = Table(Unreplicated(deadline_s=2.0))
    table.images["r1"].clear()
    table.restart("r1")
    op = table.ask(Get("x"))
    table.run(3)
    assert table.saw("lost")
    assert ("c1", op) in table.answers
