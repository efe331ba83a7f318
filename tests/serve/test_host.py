"""The host: turns, release, timers and endings, without sockets and files."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from concur.base import Protocol, Role
from concur.effects import Invoke, Ok, Start, Timer, TurnEnd
from concur.errors import BadInput
from concur.machines import machine
from concur.machines.kv import Get, Put
from concur.messages import Message
from concur.node import Config, Node, durable, on
from concur.protocols import all_protocols
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.serve.config import runs_on_tcp
from concur.serve.host import Host, Stopped
from tests.serve.memory import GENEROUS_S, Cluster, Memory, Wires

QUICK: dict[str, Any] = {"election_timeout_s": (0.05, 0.1), "heartbeat_s": 0.02, "retry_s": 0.1}


def runs(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def quick(kind: type[Protocol]) -> Protocol:
    """A protocol that loses patience soon: tests kill leaders."""
    return kind(**{k: v for k, v in QUICK.items() if k in kind.parameters})


def possible() -> list[type[Protocol]]:
    found = []
    for kind in all_protocols():
        try:
            runs_on_tcp(kind())
        except BadInput:
            continue
        found.append(kind)
    return found


LOGS = [kind for kind in possible() if kind.tags.log]


@pytest.mark.parametrize("kind", LOGS, ids=lambda kind: kind.name)
def test_what_one_client_puts_another_reads(kind: type[Protocol]) -> None:
    async def main() -> None:
        cluster = Cluster(quick(kind), machine("kv"))
        kv = cluster.machine
        for at in range(3):
            outcome = await cluster.ask(at, Put("x", at))
            assert type(outcome) is Ok
            assert kv.decode_result(outcome.result) is None
            read = await cluster.ask((at + 1) % 3, Get("x"))
            assert type(read) is Ok
            assert kv.decode_result(read.result) == at
        cluster.stop()

    runs(main)


@pytest.mark.parametrize(
    "kind", [k for k in LOGS if k.tags.crash_tolerant], ids=lambda kind: kind.name
)
def test_the_others_go_on_without_the_leader_and_it_comes_back(kind: type[Protocol]) -> None:
    async def main() -> None:
        cluster = Cluster(quick(kind), machine("kv"))
        await cluster.ask(0, Put("x", "a"))
        leader = next((i for i, h in enumerate(cluster.hosts) if h.counters["leader"]), 0)
        other = (leader + 1) % 3
        cluster.kill(leader)
        assert type(await cluster.ask(other, Put("x", "b"))) is Ok
        cluster.restart(leader, 2)
        if kind.tags.durable:  # else it first has to learn from the others what it knew
            cluster.kill((leader + 2) % 3)  # so that the one that came back is needed
        assert type(await cluster.ask(other, Put("y", "c"))) is Ok
        read = await cluster.ask(leader, Get("x"))
        assert type(read) is Ok
        assert cluster.machine.decode_result(read.result) == "b"
        cluster.stop()

    runs(main)


# --- one node, step by step -----------------------------------------------------------------------


class Told(Message, frozen=True):
    what: str


class Diary(Node[Any]):
    """Writes down what it is asked for, and tells r2 and itself, in two steps."""

    pages: tuple[int, ...] = durable(())
    turns: int = 0
    rang: tuple[str, ...] = ()

    @on(Invoke)
    def write(self, op: int, body: bytes) -> None:
        if body == b"write":
            self.pages = (*self.pages, op)
        elif body == b"raise":
            raise ValueError("no")
        elif body == b"break":
            self.turns = -10
        self.send("r2", Told(f"{body.decode()} {op}"))
        self.complete(op, Ok(body))

    @on(Timer("again"))
    def ring(self, name: str) -> None:
        self.rang = (*self.rang, name)

    @on(TurnEnd)
    def end(self) -> None:
        self.turns += 1

    def broken_invariants(self) -> Any:
        return ["turns_are_counted"] if self.turns < 0 else []


class Alone:
    """A host with one node, and what it did, in order."""

    def __init__(self, kind: type[Node[Any]]) -> None:
        cluster = Cluster(Unreplicated(), machine("kv"), 1)
        cluster.stop()
        cluster.story.clear()
        self.story = cluster.story
        self.disk = Memory(self.story)
        self.host = Host(Wires(cluster), self.disk, seed=0)
        config = Config(("r1",), (("replica", ("r1",)),))
        role = Role("replica", kind, "r")
        self.place = self.host.add("r1", role, Unreplicated(), config, None, Start("new", 1))

    async def ask(self, *bodies: bytes) -> None:
        """Have the node asked for all of these in one turn, and wait until that is over."""
        turns = self.host.counters["turns"]
        for body in bodies:
            self.host.invoke("r1", body, lambda _, body=body: self.story.append(("done", body)))  # type: ignore[misc]
        while self.host.counters["turns"] == turns and not self.host.failed.done():
            await asyncio.sleep(0)


def test_nothing_leaves_before_what_was_persisted_before_it() -> None:
    async def main() -> None:
        alone = Alone(Diary)
        await alone.ask(b"read", b"write", b"read", b"write")
        sent = ("send", "r1", "r2")
        assert alone.story == [
            sent, ("done", b"read"), ("sync", 2), sent, ("done", b"write"), sent, ("done", b"read"),
            sent, ("done", b"write"),
        ]  # fmt: skip
        assert alone.disk.images["r1"]["", "pages"] == (2, 4)
        alone.host.stop()

    runs(main)


def test_a_turn_shares_one_sync_and_ends_once() -> None:
    async def main() -> None:
        alone = Alone(Diary)
        await alone.ask(*[b"write"] * 100)
        assert alone.host.counters["syncs"] == 1
        assert alone.place.node.turns == 1
        alone.host.stop()

    runs(main)


def test_a_failed_sync_stops_the_host_and_nothing_is_said() -> None:
    async def main() -> None:
        alone = Alone(Diary)
        await alone.ask(b"read")
        alone.disk.fails = True
        told = len(alone.story)
        await alone.ask(b"write", b"read")
        assert alone.story[told:] == []
        assert isinstance(alone.host.failed.exception(), OSError)
        alone.disk.fails = False
        alone.host.invoke("r1", b"read", lambda _: alone.story.append("too late"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert alone.story[told:] == []

    runs(main)


def test_a_step_that_raises_stops_the_host_and_nothing_of_the_turn_is_released() -> None:
    async def main() -> None:
        alone = Alone(Diary)
        await alone.ask(b"write", b"raise")
        assert alone.story == []
        assert alone.disk.images == {}
        assert isinstance(alone.host.failed.exception(), ValueError)

    runs(main)


def test_an_invariant_that_does_not_hold_stops_the_host() -> None:
    async def main() -> None:
        alone = Alone(Diary)
        await alone.ask(b"break")
        with pytest.raises(Stopped, match="r1: invariant turns_are_counted does not hold"):
            await asyncio.wait_for(asyncio.shield(alone.host.failed), GENEROUS_S)

    runs(main)


class Alarm(Diary):
    @on(Start)
    def start(self, event: Start) -> None:
        self.set_timer(("again", "replaced"), 1_000_000)
        self.set_timer(("again", "replaced"), 3_000_000)
        self.set_timer(("again", "cancelled"), 1_000_000)
        self.cancel_timer(("again", "cancelled"))
        self.set_timer(("again", "sooner"), 3_600_000_000_000)
        self.set_timer(("again", "sooner"), 2_000_000)
        self.set_timer(("again", "last"), 20_000_000)


def test_timers_ring_once_in_order_unless_cancelled_or_replaced() -> None:
    async def main() -> None:
        alone = Alone(Alarm)

        async def rung() -> None:
            while "last" not in alone.place.node.rang:
                await asyncio.sleep(0.001)

        await asyncio.wait_for(rung(), GENEROUS_S)
        assert alone.place.node.rang == ("sooner", "replaced", "last")
        assert alone.place.timers == {}
        alone.host.stop()

    runs(main)


def test_a_message_for_nobody_and_one_too_many_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        alone = Alone(Diary)
        alone.host.receive("r2", "r9", "", Told("hello"))
        assert alone.host.counters["dropped: no such node"] == 1
        monkeypatch.setattr("concur.serve.host.INBOX_MAX", 3)
        for _ in range(5):
            alone.host.receive("r2", "r1", "", Told("hello"))
        assert alone.host.counters["dropped: inbox full"] == 3  # the Start was there already
        alone.host.stop()

    runs(main)


def test_what_needs_more_than_sockets_is_refused() -> None:
    class Clocked(Raft):
        tags = type(Raft.tags)(needs=("synchronized_clock",))

    with pytest.raises(BadInput, match="needs synchronized_clock, which a cluster on TCP does not"):
        runs_on_tcp(Clocked())
