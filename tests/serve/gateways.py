"""A gateway without sockets and without a cluster: the test decides what is answered, and when."""

import time
from collections.abc import Callable
from typing import Any

from concur.effects import Definite, Indefinite, Ok, Outcome
from concur.machines.keyspace import due
from concur.serve.redis import MACHINE, Gateway
from concur.serve.redis.connection import RespConnection

Done = Callable[[Outcome], None]


def request(*words: str | bytes | int) -> bytes:
    """The bytes by which a client asks for it."""
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


class Wire:
    """A transport of asyncio that keeps what is written; `reading` False is a client that does not
    read: what is written then waits, and flow control says so."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.unread = 0
        self.client_reads = True
        self.high = 64 << 10
        self.full = False
        self.reading = True
        self.closing = False
        self.aborted = False
        self.connection: Any = None

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.written += data
        if not self.client_reads:
            self.unread += len(data)
            if self.unread > self.high and not self.full:
                self.full = True
                self.connection.pause_writing()

    def read_all(self) -> None:
        self.client_reads = True
        self.unread = 0
        if self.full:
            self.full = False
            self.connection.resume_writing()

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Client:
    """One connection; `said` is what it was told since last asked."""

    def __init__(self, rig: "Rig") -> None:
        self.rig = rig
        self.wire = Wire()
        self.connection = RespConnection(rig.gateway)
        self.wire.connection = self.connection
        self.connection.connection_made(self.wire)  # type: ignore[arg-type]
        self._seen = 0

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def ask(self, *words: str | bytes | int) -> bytes:
        """Send one request, let everything happen, and tell the reply."""
        self.send(request(*words))
        self.rig.run()
        return self.said()

    def said(self) -> bytes:
        new = bytes(self.wire.written[self._seen :])
        self._seen = len(self.wire.written)
        return new

    def hang_up(self) -> None:
        self.wire.closing = True
        self.connection.connection_lost(None)


class Rig:
    """A gateway in front of one state of the machine."""

    def __init__(self, **options: Any) -> None:
        self.state = MACHINE.initial()
        self.now_ms = 1_700_000_000_000
        self.asked: list[tuple[bytes, Done]] = []
        self.soon: list[Callable[[], None]] = []
        self.later: list[Callable[[], None]] = []
        options.setdefault("clock_ms", lambda: self.now_ms)
        options.setdefault("info", lambda: {"leader": "r1"})
        self.gateway = Gateway(
            lambda body, done: self.asked.append((body, done)),
            self.soon.append,
            lambda delay_s, action: self.later.append(action),
            due=lambda now_ms: due(self.state, now_ms),
            **options,
        )

    def client(self) -> Client:
        return Client(self)

    def turn(self) -> None:
        """The end of a turn: what the gateway wanted to do soon."""
        soon, self.soon[:] = list(self.soon), []
        for action in soon:
            action()

    def gathered(self) -> None:
        """What waited for a batch under way has waited long enough."""
        later, self.later[:] = list(self.later), []
        for action in later:
            action()

    def execute(self, index: int = 0) -> Callable[[], None]:
        """Execute a batch; the answer travels until what is returned is called."""
        body, done = self.asked.pop(index)
        self.state, result = MACHINE.run(self.state, body)
        return lambda: done(Ok(result))

    def fail(self, outcome: Definite | Indefinite, index: int = 0) -> None:
        self.asked.pop(index)[1](outcome)

    def run(self) -> None:
        """Until nothing happens any more."""
        while self.soon or self.asked:
            self.turn()
            if self.asked:
                self.execute()()

    def wait(self, ms: int) -> None:
        """Time passes, and the server's timer goes off."""
        self.now_ms += ms
        self.gateway.tick()
        self.run()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
