"""Batches, counted in bytes: messages are bounded, and what is too large is told so."""

from typing import Any

import pytest

from concur.effects import Deliver, Observe, Send
from concur.machines.kv import Put
from concur.messages import Command, encode
from concur.parts import batching
from concur.parts.client import Reply, Request
from concur.protocols.multi_paxos import MultiPaxos, acceptor, learner
from concur.protocols.multi_paxos.messages import Learn, Promise
from concur.protocols.raft import Raft, replication
from concur.protocols.viewstamped_replication import ViewstampedReplication, state
from tests.protocols.harness import KV, Table, apart

PROTOCOLS = [MultiPaxos, Raft, ViewstampedReplication]
COMMAND, BATCH, MESSAGE = 3000, 2000, 1500


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "COMMAND_BYTES_MAX", COMMAND)
    monkeypatch.setattr(batching, "BATCH_BYTES_MAX", BATCH)
    for module in (acceptor, learner, replication, state):
        monkeypatch.setattr(module, "MESSAGE_BYTES_MAX", MESSAGE)


def led(kind: Any) -> Table:
    """r1 leads, and works on one batch at a time."""
    table = Table(kind(pipeline_max=1), 3, clients=8)
    table.run(0)
    for client in range(1, 9):
        table.do(Put("k", 0), f"c{client}")
    return table


def waiting(table: Table, size: int) -> None:
    """Each client asks for something of about `size` bytes, all before r3 hears of any."""
    for client in range(1, 9):
        for key in range(3):
            table.ask(Put(f"k{client}{key}", "x" * size), f"c{client}")
    table.deliver(Request)


@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize("size", [10, 700, 1900, 2500])
def test_no_message_is_longer_than_a_batch_or_one_command(kind: Any, size: int) -> None:
    table = led(kind)
    waiting(table, size)
    longest = 0
    for _ in range(200):
        longest = max([longest, *(len(encode(message)) for _, _, message in table.wires)])
        if not table.deliver():
            break
    assert all(table.do(Put("k", 1), f"c{c}") is None for c in range(1, 9)), "all were executed"
    assert longest <= max(BATCH, size) + 64 * 24 + 300


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_who_was_away_catches_up_by_messages_that_are_bounded(kind: Any) -> None:
    table = led(kind)
    for key in range(30):
        table.ask(Put(f"k{key}", "x" * 700))
        table.settle(cut=apart("r3"))
    behind = table.nodes["r3"].executed
    longest = 0
    for _ in range(300):
        if not table.wires:
            for replica in ("r1", "r3"):
                for name in list(table.timers[replica]):
                    if name in ("heartbeat", "catch-up", "resend"):
                        table.ring(replica, name)
        longest = max([longest, *(len(encode(message)) for _, _, message in table.wires)])
        table.deliver()
        if table.nodes["r3"].executed == table.nodes["r1"].executed:
            break
    assert behind < table.nodes["r3"].executed == table.nodes["r1"].executed
    assert longest <= MESSAGE + 700 + 300


def test_a_promise_of_long_votes_comes_in_parts() -> None:
    table = Table(MultiPaxos(), 3)
    table.run(0)
    for key in range(10):
        table.ask(Put(f"k{key}", "x" * 700))
        table.settle()
    table.ring("r1", "heartbeat")
    node = table.nodes["r2"]
    source = acceptor.Prepare((99, "r3"), 1, table.nodes["r3"].reborn)
    sent = node.step(Deliver("r3", source), table.inputs)
    (promise,) = [e.message for e in sent if isinstance(e, Send) and type(e.message) is Promise]
    assert promise.next
    assert 0 < len(promise.votes) <= 4
    (learn,) = [
        e.message
        for e in node.step(Deliver("r3", learner.LearnRequest(1)), table.inputs)
        if isinstance(e, Send) and type(e.message) is Learn
    ]
    assert 0 < len(learn.values) <= 4


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_command_that_is_too_large_is_answered_and_not_taken(kind: Any) -> None:
    table = led(kind)
    body = KV.encode(Put("k", "x" * COMMAND))
    node = table.nodes["r1"]
    effects = node.step(Deliver("c1", Request(Command("s", 9, body))), table.inputs)
    assert [e.message for e in effects if isinstance(e, Send)] == [Reply("s", 9, None)]
    assert [e.name for e in effects if isinstance(e, Observe)] == ["too_large"]
    assert not node.queue
