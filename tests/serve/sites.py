"""Transports for tests, the loops to run them on, and connections that behave badly."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from concur.errors import BadInput
from concur.serve.frames import Hello, Reader, control, header, heard
from concur.serve.handshake import Identity
from concur.serve.transport import Limits, Transport

DEADLINE_S = 60.0
"""For conditions that hold within milliseconds on a machine that has nothing else to do."""

QUICK = Limits(
    handshake_s=10.0, back_off_s=(0.01, 0.05), ping_s=0.05, silent_pings_max=200,
    frame_bytes_max=1 << 20, queue_bytes_max=4 << 20,
)  # fmt: skip

Received = tuple[int, str, str, str, bytes]
Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def playing_on(name: str) -> Play:
    """Runs a story on an event loop of its own."""

    def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        factory = asyncio.new_event_loop
        if name == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(story(), DEADLINE_S))

    return play


on_each_loop = pytest.mark.parametrize(
    "play", [playing_on("asyncio"), playing_on("uvloop")], ids=["asyncio", "uvloop"]
)


async def until(condition: Callable[[], Any]) -> None:
    """Return once `condition` holds. Whoever runs the story gives up at the deadline."""
    while not condition():
        await asyncio.sleep(0.001)


class Site:
    """A transport that listens, and what it has received and heard of links."""

    def __init__(self, *hosted: str, cluster: str = "test", **options: Any) -> None:
        self.received: list[Received] = []
        self.links: list[tuple[str, bool]] = []
        self.refuses: str = ""
        options.setdefault("limits", QUICK)
        self.transport = Transport(
            cluster=cluster,
            hosted=hosted,
            receive=self._receive,
            link=lambda id, up: self.links.append((id, up)),
            **options,
        )
        self.id = hosted[0]
        self.address = ""

    async def listen(self, address: str = "127.0.0.1:0") -> "Site":
        self.address = await self.transport.listen(address)
        return self

    def _receive(
        self, group: int, source: str, target: str, path: str, message: "bytes | memoryview"
    ) -> None:
        if self.refuses:
            raise BadInput(self.refuses)
        self.received.append((group, source, target, path, bytes(message)))

    def dial(self, other: "Site") -> None:
        self.transport.connect(other.id, other.address)

    def reaches(self, id: str) -> bool:
        return any(row.id == id and row.state != "dialling" for row in self.transport.links)

    def say(self, to: str, *messages: bytes) -> list[bool]:
        """Send in one turn."""
        sent = [self.transport.send(0, self.id, to, "", message) for message in messages]
        self.transport.flush()
        return sent

    @property
    def messages(self) -> list[bytes]:
        return [received[-1] for received in self.received]

    @property
    def counters(self) -> dict[str, int]:
        return self.transport.counters

    async def close(self) -> None:
        await self.transport.close()


async def pair(**options: Any) -> tuple[Site, Site]:
    """Two that dial each other, once both can speak."""
    here, there = await Site("r1", **options).listen(), await Site("r2", **options).listen()
    here.dial(there)
    there.dial(here)
    await until(lambda: here.reaches("r2") and there.reaches("r1"))
    return here, there


class Stranger:
    """A connection made by hand, which says what a test wants it to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = Reader(1 << 20)

    @classmethod
    async def at(cls, site: Site) -> "Stranger":
        host, port = site.address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port)))

    def say(self, *frames: bytes) -> None:
        if not self.writer.is_closing():  # by the other side; uvloop would complain
            self.writer.write(b"".join(frames))

    def greet(self, *ids: str, to: str = "", process: bytes = b"") -> None:
        self.say(control(hello(*ids, to=to, process=process)))

    async def hear(self) -> list[Any]:
        """What the next chunk says, [] at the end."""
        try:
            chunk = await self.reader.read(1 << 16)
        except ConnectionError:
            chunk = b""
        return [body if route else heard(body) for route, body in self._frames.feed(chunk)]

    async def hear_all(self) -> list[Any]:
        """What is said until they close."""
        everything: list[Any] = []
        while heard_now := await self.hear():
            everything += heard_now
        return everything

    def close(self) -> None:
        self.writer.close()


def hello(*ids: str, to: str = "", process: bytes = b"") -> Hello:
    return Identity("test", ids, process or ids[0].encode()).hello(to)


def frame(route: int, body: bytes) -> bytes:
    return header(route, len(body)) + body


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the transports of a test warned of, in order."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "concur.serve.transport" and record.levelno >= logging.WARNING
    ]
