"""Clusters of whole nodes, with sockets and files, in one process and event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from concur.base import Protocol
from concur.protocols.raft import Raft
from concur.serve.config import NodeConfig
from concur.serve.local import make
from concur.serve.server import Server


class Nodes:
    """The nodes of a cluster in `directory`: started, crashed and started again one by one."""

    def __init__(self, directory: Path, protocol: Protocol, replicas: int, machine: str) -> None:
        self.configs = make(directory, protocol, replicas, machine, 0)
        self.servers: dict[str, Server] = {}

    def config(self, name: str) -> NodeConfig:
        return next(config for config in self.configs if config.node == name)

    async def start(self, name: str) -> Server:
        server = Server(self.config(name))
        await server.start()
        self.servers[name] = server
        return server

    async def crash(self, name: str) -> None:
        """Between two turns. To the others it looks as `kill -9` does."""
        await self.servers.pop(name).stop()

    async def leader(self) -> str:
        """The node that leads, once most agree who does."""
        while True:
            said = [server.status()["leader"] for server in self.servers.values()]
            for name in self.servers:
                if said.count(name) * 2 > len(self.configs):
                    return name
            await asyncio.sleep(0.01)


@asynccontextmanager
async def nodes(
    directory: Path, protocol: Protocol | None = None, replicas: int = 3, machine: str = "kv"
) -> AsyncIterator[Nodes]:
    """A cluster that runs."""
    cluster = Nodes(directory / "cluster", protocol or Raft(), replicas, machine)
    try:
        for config in cluster.configs:
            await cluster.start(config.node)
        yield cluster
    finally:
        for name in list(cluster.servers):
            await cluster.servers.pop(name).stop()
