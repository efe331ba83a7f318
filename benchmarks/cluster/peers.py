"""The peers that are servers: etcd, ZooKeeper, and Redis on its own as what no replica can beat."""

import json
import shutil
from pathlib import Path

from cluster.etcd_wire import EtcdWire
from cluster.processes import Absent, Process
from cluster.system import HOST, System, four_letters, free_ports, http_get
from cluster.zookeeper_wire import ZooKeeperWire
from concur.serve.load.resp import RespWire


class Etcd(System):
    """Debian's etcd-server with its default timeouts. Every put is synced by every member."""

    name = "etcd"
    about = "etcd, default settings (but room for its database); a put is KV.Put, a read KV.Range"
    wire = EtcdWire

    def require(self) -> None:
        if shutil.which("etcd") is None:
            raise Absent("no etcd, expected Debian's etcd-server")

    def prepare(self) -> None:
        ports = free_ports(2 * self.replicas)
        self.doors = [(HOST, port) for port in ports[: self.replicas]]
        self.peers = [f"http://{HOST}:{port}" for port in ports[self.replicas :]]

    def spawn(self, index: int) -> Process:
        host, port = self.doors[index]
        client, peer = f"http://{host}:{port}", self.peers[index]
        cluster = ",".join(f"n{i}={url}" for i, url in enumerate(self.peers))
        command = [
            "etcd", "--name", f"n{index}", "--data-dir", str(self.folder / f"n{index}"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", cluster, "--initial-cluster-state", "new",
            "--quota-backend-bytes", str(8 << 30), "--logger", "zap", "--log-level", "error",
        ]  # fmt: skip
        return Process(f"etcd {index}", command, self.folder / f"n{index}.log")

    def leader(self) -> int | None:
        for index, (_, port) in enumerate(self.doors):
            said = http_get(port, "/v3/maintenance/status", "{}")
            if said is not None:
                status = json.loads(said)
                if status.get("leader") == status["header"]["member_id"]:
                    return index
        return None


class ZooKeeper(System):
    """Debian's ZooKeeper with the timeouts of its example and forceSync, its default."""

    name = "zookeeper"
    about = "ZooKeeper, -Xmx1000m as its script has it; a put is setData, a read sync and getData"
    wire = ZooKeeperWire
    jar = Path("/usr/share/java/zookeeper.jar")

    def require(self) -> None:
        if not self.jar.exists():
            raise Absent(f"no {self.jar}, expected Debian's zookeeper")
        if shutil.which("java") is None:
            raise Absent("no java")

    def prepare(self) -> None:
        ports = free_ports(3 * self.replicas)
        self.doors = [(HOST, port) for port in ports[: self.replicas]]
        members = [
            f"server.{i + 1}={HOST}:{ports[self.replicas + i]}:{ports[2 * self.replicas + i]}"
            for i in range(self.replicas)
        ]
        for index, (_, port) in enumerate(self.doors):
            folder = self.folder / f"n{index}"
            (folder / "data").mkdir(parents=True)
            (folder / "data" / "myid").write_text(f"{index + 1}\n")
            (folder / "log4j.properties").write_text(
                "log4j.rootLogger=WARN, CONSOLE\n"
                "log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n"
                "log4j.appender.CONSOLE.layout=org.apache.log4j.SimpleLayout\n"
            )
            lines = [
                "tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={folder / 'data'}",
                f"clientPortAddress={HOST}", f"clientPort={port}", "maxClientCnxns=0",
                "admin.enableServer=false", *members,
            ]  # fmt: skip
            (folder / "zoo.cfg").write_text("\n".join(lines) + "\n")

    def spawn(self, index: int) -> Process:
        folder = self.folder / f"n{index}"
        command = [
            "java", "-Xmx1000m", "-cp", f"{folder}:{self.jar}",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(folder / "zoo.cfg"),
        ]  # fmt: skip
        return Process(f"zookeeper {index}", command, folder / "log")

    def leader(self) -> int | None:
        for index, door in enumerate(self.doors):
            if b"Mode: leader" in four_letters(door, b"srvr"):
                return index
        return None


class Redis(System):
    """One redis-server that syncs before it answers: no replicas, so it survives no crash."""

    name = "redis"
    about = "one redis-server with appendfsync always: not replicated"
    wire = RespWire
    replicas = 1

    def require(self) -> None:
        if shutil.which("redis-server") is None:
            raise Absent("no redis-server, expected Debian's redis-server")

    def prepare(self) -> None:
        self.doors = [(HOST, free_ports(1)[0])]

    def spawn(self, index: int) -> Process:
        command = [
            "redis-server", "--bind", HOST, "--port", str(self.doors[0][1]), "--save", "",
            "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always",
        ]  # fmt: skip
        return Process("redis", command, self.folder / "log")

    def leader(self) -> int | None:
        return 0 if four_letters(self.doors[0], b"PING\r\nQUIT\r\n").startswith(b"+PONG") else None
