"""A system under load: its processes, where clients go, and who leads."""

import gc
import http.client
import resource
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.processes import Process, wait_for
from cluster.workload import ASKS, Asks, GetsOfAll, PutsOfAll, Table
from concur.serve.load.drive import Address, Load
from concur.serve.load.figures import Answers
from concur.serve.load.wire import Wire

START_S_MAX = 60.0
HOST = "127.0.0.1"
FILLING = 64
"""Connections that fill the keys, and read them back."""


class System(ABC):
    """One cluster on this machine."""

    name: str
    about: str
    """For the list of what was measured: version and settings that matter."""
    wire: Callable[[], Wire]
    replicas = 3
    settle_s = 3.0
    """After which a node that was started again is as good as the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[Process] = []
        self.doors: list[Address] = []
        """Where clients go, by node."""
        self.table: Table | None = None

    @abstractmethod
    def require(self) -> None:
        """Raise Absent if it cannot run here."""

    @abstractmethod
    def prepare(self) -> None:
        """Configuration, folders and ports; `doors` are known then."""

    @abstractmethod
    def spawn(self, index: int) -> Process:
        """Start node `index`."""

    @abstractmethod
    def leader(self) -> int | None:
        """Which node leads now, None if nobody says that he does."""

    def start(self) -> None:
        """Start all nodes and wait for a leader. Raises Absent or Broken."""
        self.require()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        for index in range(self.replicas):
            self.nodes.append(self.spawn(index))
        self.wait_for_leader()

    def wait_for_leader(self) -> int:
        running = [node for node in self.nodes if node.running]
        wait_for(f"{self.name}: a leader", lambda: self.leader() is not None, START_S_MAX, running)
        leader = self.leader()
        return self.wait_for_leader() if leader is None else leader

    def restart(self, index: int) -> None:
        """Start a node again that was killed."""
        self.nodes[index] = self.spawn(index)

    def addresses(self, spread: bool) -> list[Address]:
        """Where the connections of a load go: to the leader, or to all nodes in turn."""
        return self.doors if spread else [self.doors[self.wait_for_leader()]]

    async def load(
        self,
        workload: str,
        connections: int,
        *,
        warmup_s: float,
        seconds: float,
        spread: bool,
        mark: Callable[[], None],
    ) -> dict[str, Any]:
        """Run a load, calling `mark` as the measured time begins and ends; then read all back.

        The figures, with `generator_cpu_s` of that time. Raises Wrong, among others.
        """
        addresses = self.addresses(spread)
        if self.table is None:
            table = Table()
            await self.once(PutsOfAll, table, addresses)
            self.table = table
        table, answers = self.table, Answers()
        asks = ASKS[workload]
        askers = [asks(table, answers, i, connections) for i in range(connections)]
        load = Load(addresses, self.wire, askers)
        gc.collect()
        gc.disable()  # nothing here makes cycles; a collection would be a pause of the generator
        refusals = table.refusals
        try:
            await load.connect()
            load.begin()
            await load.during(warmup_s)
            begin, used = time.perf_counter_ns(), _own_cpu_s()
            mark()
            await load.during(seconds)
            end, used = time.perf_counter_ns(), _own_cpu_s() - used
            mark()
            load.stop()
            await load.ended()
        finally:
            gc.enable()
            await load.close()
        figures = answers.figures(begin, end) | {"generator_cpu_s": used}
        figures["refusals"] = table.refusals - refusals
        figures["span_s"] = (end - begin) / 1e9
        if workload == "puts":
            await self.once(GetsOfAll, table, addresses)
        return figures

    async def once(self, asks: type[Asks], table: Table, addresses: list[Address]) -> None:
        """Ask about every key once."""
        askers = [asks(table, Answers(), i, FILLING) for i in range(FILLING)]
        load = Load(addresses, self.wire, askers)
        try:
            await load.connect()
            load.begin()
            await load.during(START_S_MAX)
            load.stop()
            await load.ended()
        finally:
            await load.close()

    async def served(self, without: int) -> float:
        """When, on the monotonic clock, a put that is asked from now on is acknowledged, by nodes
        other than `without`."""
        from cluster.gap import served

        return await served(self, [d for i, d in enumerate(self.doors) if i != without])

    def stop(self) -> None:
        for node in self.nodes:
            node.popen.terminate()
        for node in self.nodes:
            node.stop()

    @property
    def pids(self) -> list[int]:
        return [node.pid for node in self.nodes]


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for each in sockets:
        each.close()
    return ports


def http_get(port: int, path: str, body: str | None = None) -> bytes | None:
    """What an HTTP server on this machine says; None if it says nothing, or not that it is well."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1.0)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        data = response.read()
        return data if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def four_letters(address: Address, word: bytes) -> bytes:
    """What a server answers to one word, until it closes the connection; nothing if it is down."""
    try:
        with socket.create_connection(address, timeout=1.0) as asking:
            asking.sendall(word)
            found = b""
            while data := asking.recv(65536):
                found += data
            return found
    except OSError:
        return b""


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
