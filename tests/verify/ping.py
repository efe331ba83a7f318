"""Tiny protocols whose states can be counted by hand."""

from typing import Any, ClassVar

from concur.base import Protocol, Role, Tags
from concur.effects import Invoke, Ok, Snapshot, SnapshotSaved, Start, Timer, TurnEnd
from concur.messages import Message
from concur.node import Node, durable, on


class Ping(Message, frozen=True):
    number: int


class Pong(Message, frozen=True):
    number: int


class Server(Node["PingPong"]):
    """Answers, and counts on disk and in memory."""

    kept: int = durable(0)
    forgotten: int = 0

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        self.kept += 1
        self.forgotten += 1
        self.send(source, Pong(m.number))


class Asker(Node["PingPong"]):
    op: int = 0

    @on(Invoke)
    def ask(self, op: int, body: bytes) -> None:
        self.op = op
        for server in self.config.role("server"):
            self.send(server, Ping(op))

    @on(Pong)
    def end(self, source: str, m: Pong) -> None:
        if m.number == self.op:
            self.op = 0
            self.complete(m.number, Ok(b"\xc0"))


class PingPong(Protocol):
    name = "ping-pong"
    tags = Tags(log=False)
    server: ClassVar[type[Node[Any]]] = Server
    servers: ClassVar[int] = 1
    links: ClassVar[str] = "datagram"

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("server", self.server, "s", self.servers, links=self.links),
            Role("client", Asker, "c", "clients", place="client", cost="client"),
        )


class Chooser(Server):
    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        self.kept = self.choose((10, 20, 30)) + self.choose((1, 2))


class Choosing(PingPong):
    name = "choosing"
    server = Chooser


class Ringer(Server):
    """Two timers: one goes on for ever and does nothing, one counts."""

    @on(Start)
    def begin(self, event: Start) -> None:
        self.set_timer("idle", 5)
        self.set_timer("count", 7)

    @on(Timer("idle"))
    def idle(self) -> None:
        self.set_timer("idle", 5)

    @on(Timer("count"))
    def count(self) -> None:
        self.forgotten += 1
        self.set_timer("count", 7)


class Ringing(PingPong):
    name = "ringing"
    server = Ringer


class Timekeeper(Ringer):
    seen: int = 0

    @on(Ping)
    def look(self, source: str, m: Ping) -> None:
        self.seen = self.uptime


class Timed(PingPong):
    name = "timed"
    server = Timekeeper


class Watcher(Server):
    @on(Ping)
    def look(self, source: str, m: Ping) -> None:
        self.forgotten = self.now


class OnTheWall(PingPong):
    name = "on-the-wall"
    server = Watcher


class Batcher(Server):
    """Answers the last of a turn, with how many came."""

    came: tuple[str, ...] = ()

    def turn_end_due(self) -> bool:
        return bool(self.came)

    @on(Ping)
    def gather(self, source: str, m: Ping) -> None:
        self.came = (*self.came, source)

    @on(TurnEnd)
    def flush(self) -> None:
        self.observe("batch", len(self.came))
        self.forgotten = max(self.forgotten, len(self.came))
        self.came = ()


class Batching(PingPong):
    name = "batching"
    server = Batcher


class Saver(Server):
    loaded: int = -1

    @on(Start)
    def begin(self, event: Start) -> None:
        self.loaded = -1 if event.snapshot is None else event.snapshot.index

    @on(Ping)
    def save(self, source: str, m: Ping) -> None:
        self.save_snapshot(Snapshot(m.number, (0, ""), None, None, ()))

    @on(SnapshotSaved)
    def saved(self, index: int) -> None:
        self.kept = index


class Saving(PingPong):
    name = "saving"
    server = Saver


class Failing(PingPong):
    name = "failing"

    class server(Server):  # noqa: N801 - the role's own name for it
        @on(Ping)
        def answer(self, source: str, m: Ping) -> None:
            raise RuntimeError("it cannot be")
