"""A cluster of processes on this machine: made once, started, watched, stopped.

    <dir>/cluster.toml          who there is; written last when a cluster is made, so that a folder
                                without it never served anybody, and may be made again
    <dir>/r1/node.toml          what `concur serve` is told
    <dir>/r1/storage/           journal and snapshots
    <dir>/r1/log                what the process has to say

A process that ends without being asked is started again after a moment, as whoever runs servers for
a living would have it: so `kill -9` is survived for good, and not only once for each node. One that
cannot begin (a full disk, a port that is taken) ends the cluster while that is being started; later
the others serve without it, and it is tried again, less and less often.
"""

import asyncio
import fcntl
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from concur.base import Protocol
from concur.errors import BadInput
from concur.serve.config import NodeConfig, read, universe
from concur.serve.server import Server

log = logging.getLogger("concur.serve")

RESTART_AFTER_S = 0.5
RESTART_AFTER_S_MAX = 10.0
READY_S_MAX = 60.0
STOP_S_MAX = 10.0
CANNOT_BEGIN = 2
"""Exit status of a node that was told something wrong, or does not find what it needs."""
LAST_BYTES = 4096
PLAN, LOCK = "cluster.toml", "lock"
NEARBY: dict[str, Any] = {
    "heartbeat_s": 0.05,
    "election_timeout_s": (0.15, 0.3),
    "resend_s": 0.1,
    "retry_s": 0.25,
}
"""Parameters of a local cluster where nobody says otherwise. The protocols' own defaults bear the
round trips of a continent; here one takes less than a millisecond."""


def make(
    directory: Path, protocol: Protocol, replicas: int, machine: str, port: int
) -> list[NodeConfig]:
    """Make a cluster on this machine, or find the one that is there. Raises BadInput.

    Node i listens to clients at `port` + i - 1; at free ports if it is 0.
    """
    replicas = len(universe(protocol, replicas).members)  # some have one, whatever is asked for
    plan = directory / PLAN
    if plan.exists():
        return found(directory, protocol, replicas, machine, port)
    names = [f"r{i + 1}" for i in range(replicas)]
    refuse_strange(directory)
    for name in names:
        shutil.rmtree(directory / name, ignore_errors=True)
    ports = free_ports(2 * replicas if port else 3 * replicas)
    clients = list(range(port, port + replicas)) if port else ports[2 * replicas :]
    cluster = f"local-{secrets.token_hex(4)}"
    declared = type(protocol).parameters
    changed = {
        name: NEARBY.get(name, value) if value == declared[name].default else value
        for name, value in protocol.get_params(deep=False).items()
        if value != declared[name].default or name in NEARBY
    }
    configs = []
    for i, name in enumerate(names):
        folder = directory / name
        folder.mkdir(parents=True)
        listing: dict[str, Any] = {
            "cluster": cluster,
            "node": name,
            "protocol": name_of(protocol),
            "machine": machine,
            "directory": "storage",
            "parameters": changed,
            "nodes": {n: f"127.0.0.1:{ports[j]}" for j, n in enumerate(names)},
            "listen": {
                "redis": f"127.0.0.1:{clients[i]}" if machine == "redis" else "",
                "admin": f"127.0.0.1:{ports[replicas + i]}",
            },
        }
        (folder / "node.toml").write_text(toml(listing), "utf-8")
        config = read(folder / "node.toml")
        Server(config).make_store()
        configs.append(config)
    scratch = directory / f".{PLAN}.part"
    scratch.write_text(toml({"cluster": cluster, "protocol": configs[0].protocol,
                             "machine": machine, "replicas": replicas}), "utf-8")  # fmt: skip
    os.replace(scratch, plan)
    return configs


def refuse_strange(directory: Path) -> None:
    """Raise BadInput if `directory` holds anything else than a cluster, whole or begun."""
    if directory.exists() and not directory.is_dir():
        raise BadInput(f"--dir {directory}: is a file, expected a folder")
    for path in directory.glob("*"):
        if not re.fullmatch(rf"r[0-9]+|{LOCK}|{PLAN}", path.name):
            raise BadInput(f"--dir {directory}: holds {path.name}, expected a new or empty folder")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Have `directory` for this process alone. Raises BadInput if another one has it."""
    refuse_strange(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("a")
    except OSError as error:
        raise BadInput(f"--dir {directory}: {error.strerror}, expected a folder to use") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput(f"--dir {directory}: another concur up runs there") from None
        yield


def found(
    directory: Path, protocol: Protocol, replicas: int, machine: str, port: int
) -> list[NodeConfig]:
    """The cluster that was made in `directory`, if it is the one that is asked for."""
    if not protocol.tags.durable:
        raise BadInput(
            f"--dir {directory}: its nodes have stopped, and {protocol.label} kept what they knew "
            "in memory only, so nobody is left to recover it from; expected a new or empty folder"
        )
    plan = tomllib.loads((directory / PLAN).read_text("utf-8"))
    configs = [read(directory / f"r{i + 1}" / "node.toml") for i in range(plan["replicas"])]
    first = configs[0]
    for what, there, wanted in (
        ("replicas", plan["replicas"], replicas),
        ("machine", first.machine, machine),
        ("protocol", first.protocol, name_of(protocol)),
    ):
        if there != wanted:
            raise BadInput(f"--dir {directory}: {what} {wanted}, but it was made with {there}")
    if port and first.listen.redis.rpartition(":")[2] != str(port):
        raise BadInput(
            f"--port {port}: the cluster in {directory} is at {first.listen.redis}, expected none"
        )
    return configs


def name_of(protocol: Protocol) -> str:
    """How a configuration names the class of `protocol`."""
    kind = type(protocol)
    if kind.__module__.startswith("concur.protocols."):
        return kind.name
    return f"{kind.__module__}:{kind.__qualname__}"


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now. Somebody may before we do: then a node says so and ends."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for each in sockets:
        each.close()
    return ports


def toml(values: dict[str, Any]) -> str:
    """TOML of plain values and one level of tables; the standard library only reads it."""
    plain = [f"{k} = {_value(v)}" for k, v in values.items() if not isinstance(v, dict)]
    for name, table in values.items():
        if isinstance(table, dict):
            plain += ["", f"[{name}]", *(f"{k} = {_value(v)}" for k, v in table.items())]
    return "\n".join(plain) + "\n"


def _value(value: Any) -> str:
    return msgspec.json.encode(value).decode()  # scalars, strings and arrays look alike in both


class Cluster:
    """The processes of a local cluster."""

    def __init__(self, configs: Iterable[NodeConfig], say: Callable[[str], None]) -> None:
        self.configs = tuple(configs)
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._say = say
        self._began = False
        self._stopping = False
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for config in self.configs:
            await self._spawn(config)
            self._watching.append(asyncio.create_task(self._watch(config)))

    async def _spawn(self, config: NodeConfig) -> None:
        folder = Path(config.base)
        with (folder / "log").open("ab") as output:
            self.processes[config.node] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "concur.cli", "serve", "--while-stdin",
                "--config", str(folder / "node.toml"),
                stdin=asyncio.subprocess.PIPE,  # ends when we do, and then so do they
                stdout=output, stderr=output,
                start_new_session=True,  # Ctrl-C is for us, who then stop them
            )  # fmt: skip

    async def _watch(self, config: NodeConfig) -> None:
        """Start a node again when it ends; not if the cluster was never able to begin."""
        delay_s = RESTART_AFTER_S
        while True:
            process = self.processes[config.node]
            status = await process.wait()
            if self._stopping:
                return
            if status == CANNOT_BEGIN and not self._began:
                if not self.failed.done():
                    self.failed.set_result(_last_line(config))
                return
            if status == CANNOT_BEGIN:
                why = _last_line(config).removeprefix("concur: ")
                self._say(f"{config.node} does not start: {why}; tried again in {delay_s:g} s")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESTART_AFTER_S_MAX)
            else:
                how = f"signal {-status}" if status < 0 else f"status {status}"
                self._say(f"{config.node} ended ({how}); it starts again")
                await asyncio.sleep(RESTART_AFTER_S)
                delay_s = RESTART_AFTER_S
            if self._stopping:
                return
            await self._spawn(config)

    async def ready(self) -> None:
        """Wait until every node answers a read, which takes a leader. Raises BadInput if one does
        not start, or none answers within READY_S_MAX."""
        everyone = asyncio.create_task(self._everyone_answers())
        either: list[asyncio.Future[Any]] = [everyone, self.failed]
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait(either, timeout=READY_S_MAX, return_when=first)
            if self.failed.done():
                raise BadInput(self.failed.result().removeprefix("concur: "))
            if not everyone.done():
                raise BadInput(
                    f"no answer within {READY_S_MAX:g} s; {self.configs[0].base}/log says why"
                )
            everyone.result()
            self._began = True
        finally:
            everyone.cancel()
            await asyncio.gather(everyone, return_exceptions=True)

    async def _everyone_answers(self) -> None:
        async with asyncio.TaskGroup() as group:
            for config in self.configs:
                group.create_task(answering(config.listen.redis))

    async def stop(self) -> None:
        """Ask all to end, and insist after a while."""
        self._stopping = True
        for process in self.processes.values():
            if process.returncode is None:
                process.terminate()
        waiting = [process.wait() for process in self.processes.values()]
        try:
            await asyncio.wait_for(asyncio.gather(*waiting), STOP_S_MAX)
        except TimeoutError:
            for process in self.processes.values():
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)


def _last_line(config: NodeConfig) -> str:
    """What a node said before it ended."""
    path = Path(config.base) / "log"
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - LAST_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else f"{config.node} did not start"


async def answering(address: str) -> None:
    """Return once a node that speaks RESP at `address` has answered a read."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.05)
            continue
        try:
            writer.write(b"*2\r\n$3\r\nGET\r\n$1\r\n-\r\n")
            answer = await reader.readline()
            if answer.startswith(b"$"):
                return
        except OSError:
            pass
        finally:
            writer.close()
        await asyncio.sleep(0.05)
