"""A small server that speaks RESP, right or wrong on purpose, in a thread and loop of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE_S = 10.0


class FakeRedis:
    """A dictionary. A subclass says what is wrong with it by overriding `answer`."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.asked = 0
        self.outstanding_max = 0
        """The most requests that came together on one connection."""
        self.connections: list[asyncio.Transport] = []
        self.ever = 0
        self.port = 0

    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        """What is said to a command; nothing for silence."""
        name = words[0].upper()
        if name == b"SET":
            self.held[words[1]] = words[2]
            return b"+OK\r\n"
        if name == b"GET":
            return bulk(self.held.get(words[1]))
        if name == b"DEL":
            return b":%d\r\n" % sum(self.held.pop(key, None) is not None for key in words[1:])
        if name == b"INFO":
            return bulk(b"# Server\r\nredis_version:7.0.0\r\n# Concur\r\nprotocol:fake\r\n")
        return b"-ERR unknown command\r\n"


def bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


class _Connection(asyncio.Protocol):
    def __init__(self, server: FakeRedis) -> None:
        self.server = server
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.append(transport)
        self.server.ever += 1

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.remove(self.transport)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        requests = 0
        while (request := self._request()) is not None:
            requests += 1
            self.server.asked += 1
            self.server.outstanding_max = max(self.server.outstanding_max, requests)
            self.transport.write(self.server.answer(self.transport, request))

    def _request(self) -> list[bytes] | None:
        """The next command, if it is whole; nothing here needs to be fast or careful."""
        if not self.rest.startswith(b"*") or b"\r\n" not in self.rest:
            return None
        head, _, left = self.rest.partition(b"\r\n")
        words = []
        for _ in range(int(head[1:])):
            size, end, left = left.partition(b"\r\n")
            if not end or len(left) < int(size[1:]) + 2:
                return None
            words.append(left[: int(size[1:])])
            left = left[int(size[1:]) + 2 :]
        self.rest = left
        return words


@contextmanager
def serving(server: FakeRedis) -> Iterator[FakeRedis]:
    """The server at a free port of this machine, which is in `server.port`."""
    ready, over = threading.Event(), threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await loop.run_in_executor(None, over.wait)
        for connection in list(server.connections):
            connection.abort()
        listening.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        yield server
    finally:
        over.set()
        thread.join(DEADLINE_S)
