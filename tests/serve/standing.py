"""Servers whose hosts are those of `tests.serve.memory`: no journal, no links, and a real door."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from concur.base import Protocol
from concur.machines import machine
from concur.machines.batch import Batch
from concur.machines.kv import Put
from concur.serve.admin import Admin
from concur.serve.config import Listen, NodeConfig, Security, universe
from concur.serve.server import Server
from tests.serve.memory import GENEROUS_S, Cluster


class Link(NamedTuple):
    id: str
    state: str
    queued_bytes: int
    rtt_s: float | None


class Transport:
    counters = Counter({"bytes sent": 7, "dropped: queue full": 3, "dropped: no link": 2})
    links = [Link("r2", "up", 5, 0.001), Link("r3", "dialling", 0, None), Link("c9", "up", 0, None)]


class Store:
    bytes_on_disk = 2_000_000
    segments = 2


class Standing:
    """The nodes of a cluster, and the doors that were opened to them."""

    def __init__(self, protocol: Protocol, folder: Path, **listen: Any) -> None:
        names = universe(protocol, 3).members  # one, where one is all there ever is
        self.cluster = Cluster(protocol, Batch(machine("kv")), len(names))
        changed = {
            name: value
            for name, value in protocol.get_params(deep=False).items()
            if value != type(protocol).parameters[name].default
        }
        self.folder = folder
        self.config = NodeConfig(
            cluster="orders",
            node="r1",
            protocol=protocol.name,
            nodes={name: f"127.0.0.1:{7101 + i}" for i, name in enumerate(names)},
            directory="storage",
            machine="kv",
            parameters=changed,
            listen=Listen(admin=listen.get("admin", "127.0.0.1:0")),
            security=Security(
                token_file=listen.get("token_file", ""),
                certificate=listen.get("certificate", ""),
                key=listen.get("key", ""),
            ),
            base=str(folder),
        )
        (folder / "storage").mkdir(exist_ok=True)
        self.doors: list[Admin] = []

    def server(self, at: int = 0) -> Server:
        from msgspec.structs import replace

        made = Server(replace(self.config, node=f"r{at + 1}"))
        made.host = self.cluster.hosts[at]
        made.store = Store()  # type: ignore[assignment]
        made.transport = Transport()  # type: ignore[assignment]
        return made

    async def open(self, at: int = 0, **named: Any) -> tuple[Admin, str]:
        door = Admin(self.server(at), **named)
        self.doors.append(door)
        return door, await door.start()

    @property
    def token(self) -> str:
        return (self.folder / "storage" / "admin-token").read_text().strip()

    async def put(self, key: str, value: Any, at: int = 0) -> None:
        await self.cluster.ask(at, (Put(key, value),))

    async def close(self) -> None:
        for door in self.doors:
            await door.stop()
        self.cluster.stop()


async def ask(
    address: str,
    line: str,
    headers: "dict[str, str] | None" = None,
    *,
    host: str = "",
) -> tuple[int, bytes]:
    """Status and body of the answer to `GET /health`, say."""
    given = {"Host": host or address} | (headers or {})
    text = f"{line} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in given.items()) + "\r\n"
    return parsed(await send(address, text.encode()))


async def send(address: str, data: bytes, *, end: bool = False) -> bytes:
    """All that comes back until the other side has said everything."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), GENEROUS_S)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def parsed(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
