"""PySyncObj, a Raft in Python, as a peer: its nodes are processes of ours that import it."""

import asyncio
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.gap import GAP_S_MAX, INTERVAL_S
from cluster.processes import Absent, Broken, Process
from cluster.system import HOST, System, free_ports


class PySyncObj(System):
    """See pysyncobj_node.py for its setting."""

    name = "pysyncobj"
    setting = "best"
    about = "PySyncObj, load inside the leader's process, never synced, at its best setting"

    def require(self) -> None:
        if importlib.util.find_spec("pysyncobj") is None:
            raise Absent("no pysyncobj, expected: pip install pysyncobj")

    def prepare(self) -> None:
        self.doors = [(HOST, port) for port in free_ports(self.replicas)]

    def spawn(self, index: int) -> Process:
        me, *others = [f"{host}:{port}" for host, port in self.doors[index:] + self.doors[:index]]
        program = str(Path(__file__).with_name("pysyncobj_node.py"))
        command = [sys.executable, program, self.setting, me, *others]
        log = self.folder / f"n{index}.log"
        return Process(f"pysyncobj {index}", command, log, talks=True)

    def tell(self, index: int, order: dict[str, Any]) -> None:
        node = self.nodes[index]
        assert node.popen.stdin is not None
        try:
            node.popen.stdin.write(json.dumps(order).encode() + b"\n")
            node.popen.stdin.flush()
        except BrokenPipeError:
            raise Broken(f"{node.name} ended: {node.last_words()}") from None

    def hear(self, index: int) -> dict[str, Any]:
        node = self.nodes[index]
        assert node.popen.stdout is not None
        line = node.popen.stdout.readline()
        if not line:
            raise Broken(f"{node.name} ended: {node.last_words()}")
        return dict(json.loads(line))

    def leader(self) -> int | None:
        for index, node in enumerate(self.nodes):
            if node.running:
                self.tell(index, {"do": "status"})
                if self.hear(index)["leads"]:
                    return index
        return None

    async def served(self, without: int) -> float:
        """Asked by all nodes that are left; the library has queues of its own, and waits in them
        for a leader."""
        left = [index for index in range(self.replicas) if index != without]
        order = {"do": "probe", "after": time.monotonic(), "interval_s": INTERVAL_S,
                 "seconds_max": GAP_S_MAX}  # fmt: skip
        for index in left:
            self.tell(index, order)
        said = await asyncio.gather(*(asyncio.to_thread(self.hear, index) for index in left))
        moments = [found for one in said if (found := one["served"]) is not None]
        if not moments:
            raise Broken(f"{self.name}: nobody is served within {GAP_S_MAX:g} s")
        return float(min(moments))

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
        leader = self.wait_for_leader()
        order = {"do": "load", "workload": workload, "connections": connections,
                 "warmup_s": warmup_s, "seconds": seconds}  # fmt: skip
        self.tell(leader, order)
        while True:
            said = await asyncio.to_thread(self.hear, leader)
            if "mark" not in said:
                return said
            mark()


class PySyncObjByDefault(PySyncObj):
    """Its own timeouts and its own thread, for fail-over."""

    name = "pysyncobj-default"
    setting = "default"
    settle_s = 8.0  # nodes try to connect every five seconds
    about = "PySyncObj at its default settings, asked inside the processes that are left"
