"""Ours: the processes that `concur up` starts, started here one by one so that each can be pinned,
measured and killed."""

import json
import sys
from pathlib import Path
from typing import Any

from cluster.processes import Process
from cluster.system import System, four_letters, http_get
from concur.protocols import protocol
from concur.serve import local
from concur.serve.addresses import split_address
from concur.serve.config import NodeConfig
from concur.serve.load.resp import RespWire


class Ours(System):
    """A protocol by name, default parameters, the machine `redis`."""

    wire = RespWire
    configs: list[NodeConfig]

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        self.name = name
        self.replicas = 1 if name == "unreplicated" else 3
        alone = ": not replicated" if self.replicas == 1 else ""
        self.about = f"concur serve, protocol {name}, default parameters{alone}"

    def require(self) -> None:
        pass

    def prepare(self) -> None:
        made = protocol(self.name)()
        self.configs = local.make(self.folder, made, self.replicas, "redis", 0)
        where = [split_address(config.listen.redis, "redis") for config in self.configs]
        self.doors = [(host, port) for host, port in where]

    def spawn(self, index: int) -> Process:
        folder = self.folder / self.configs[index].node
        command = [
            sys.executable, "-m", "concur.cli", "serve", "--config", str(folder / "node.toml"),
        ]  # fmt: skip
        return Process(f"{self.name} {self.configs[index].node}", command, folder / "log")

    def statuses(self) -> list[dict[str, Any]]:
        """What the nodes that answer know of themselves."""
        ports = [split_address(config.listen.admin, "admin")[1] for config in self.configs]
        said = [http_get(port, "/status") for port in ports]
        return [json.loads(one) for one in said if one is not None]

    def counted(self, name: str) -> int:
        """How often something was observed, by all nodes that are up, since they began."""
        return sum(status["counters"].get(name, 0) for status in self.statuses())

    def leader(self) -> int | None:
        """The one whom a node believes to lead, if it answers a read."""
        names = [config.node for config in self.configs]
        for status in self.statuses():
            leader = status["leader"] if self.replicas > 1 else status["node"]
            if leader in names:
                found = names.index(leader)
                if four_letters(self.doors[found], b"GET -\r\nQUIT\r\n").startswith(b"$"):
                    return found
        return None
