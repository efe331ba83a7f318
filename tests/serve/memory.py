"""Hosts joined by a network and with disks that are both memory: no sockets, no files."""

import asyncio
from collections.abc import Callable
from typing import Any

from concur.base import Protocol
from concur.effects import Outcome, Persist, SaveSnapshot, Snapshot, Start, patch
from concur.machines.base import Machine
from concur.messages import Codec
from concur.serve.config import universe
from concur.serve.host import Host

GENEROUS_S = 60.0
"""A deadline of tests, and no measure of anything."""


class Memory:
    """A disk: what was synced, what was not yet, and in which order who did what."""

    def __init__(self, story: list[Any]) -> None:
        self.story = story
        self.images: dict[str, dict[tuple[str, str], Any]] = {}
        self.saved: dict[str, dict[str, Snapshot]] = {}
        self.waiting: list[tuple[str, Persist]] = []
        self.fails = False

    @property
    def dirty(self) -> bool:
        return bool(self.waiting)

    def append(self, place: str, persist: Persist) -> None:
        self.waiting.append((place, persist))

    def sync(self) -> None:
        if self.fails:
            raise OSError(5, "Input/output error")
        for place, persist in self.waiting:
            patch(self.images.setdefault(place, {}), persist)
        self.story.append(("sync", len(self.waiting)))
        self.waiting = []

    def save(self, place: str, save: SaveSnapshot, done: Callable[[], None]) -> None:
        def later() -> None:
            self.saved.setdefault(place, {})[save.path] = save.snapshot
            done()

        asyncio.get_running_loop().call_soon(later)


class Wires:
    """A transport: frames reach whoever lives at the other end, in order, in a later turn."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.frames: list[tuple[str, str, str, bytes]] = []

    def send(self, group: int, source: str, to: str, path: str, message: bytes) -> bool:
        self.cluster.story.append(("send", source, to))
        self.frames.append((source, to, path, message))
        return to in self.cluster.homes

    def flush(self) -> None:
        frames, self.frames = self.frames, []
        if frames:
            asyncio.get_running_loop().call_soon(self._deliver, frames)

    def _deliver(self, frames: list[tuple[str, str, str, bytes]]) -> None:
        for source, to, path, data in frames:
            host = self.cluster.homes.get(to)
            if host is not None:
                host.receive(source, to, path, self.cluster.codec.decode(data))


class Cluster:
    """A replica, a client and, where there is one, an operator on each of several hosts."""

    def __init__(self, protocol: Protocol, machine: Machine[Any, Any], replicas: int = 3) -> None:
        self.protocol = protocol.validate(replicas)
        self.machine = machine
        self.codec = Codec(protocol.messages())
        self.story: list[Any] = []
        self.homes: dict[str, Host] = {}
        self.hosts: list[Host] = []
        self.disks = [Memory(self.story) for _ in range(replicas)]
        self.everyone = universe(protocol, replicas)
        for at in range(replicas):
            self.hosts.append(self.begin(at, "new", 1))

    def begin(self, at: int, kind: str, incarnation: int) -> Host:
        disk = self.disks[at]
        host = Host(Wires(self), disk, seed=at)
        for role in self.protocol.roles():
            ids = self.everyone.role(role.name)
            if at < len(ids):
                saved = disk.saved.get(ids[at], {})
                start = Start(kind, incarnation, saved.get(""))
                image = disk.images.get(ids[at])
                host.add(
                    ids[at], role, self.protocol, self.everyone, self.machine, start, image, saved
                )
                self.homes[ids[at]] = host
        return host

    def kill(self, at: int) -> None:
        self.hosts[at].stop()
        self.disks[at].waiting = []
        self.homes = {id: home for id, home in self.homes.items() if home is not self.hosts[at]}

    def restart(self, at: int, incarnation: int) -> None:
        self.hosts[at] = self.begin(at, "restart", incarnation)

    async def ask(self, at: int, command: Any) -> Outcome:
        """How a command ended that the client on host `at` was asked for."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        client = self.everyone.role("client")[at]
        self.hosts[at].invoke(client, self.machine.encode(command), done.set_result)
        return await asyncio.wait_for(done, GENEROUS_S)

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()
