"""What one node of a real cluster is told: a TOML file, every value of which is checked.

cluster = "orders"              # nodes of another cluster are refused
node = "r1"                     # one of [nodes]
protocol = "raft"               # as `concur list` prints it, or package.module:Class
machine = "redis"               # or another machine, or package.module:Class
directory = "r1"                # journal and snapshots; relative to this file

[parameters]                    # of the protocol
election_timeout_s = [0.15, 0.3]

[nodes]                         # every replica, and where the others reach it
r1 = "127.0.0.1:7101"
r2 = "127.0.0.1:7102"
r3 = "127.0.0.1:7103"

[listen]                        # addresses to bind; port 0 takes a free one
peers = "127.0.0.1:7101"        # default: what [nodes] says
redis = "127.0.0.1:6379"        # "" for none
admin = "127.0.0.1:8001"        # "" for none

[security]                      # needed beyond loopback, unless insecure = true
certificate = "r1.pem"          # of this node, for peers and clients
key = "r1.key"
authority = "ca.pem"            # who signs the certificates of peers
password_file = "password"      # what clients say in AUTH
token_file = "token"            # what administrators send
insecure = false
"""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from concur.base import Protocol
from concur.errors import BadInput
from concur.node import Config
from concur.protocols import protocol as protocol_named
from concur.serve.addresses import split_address

FILE_BYTES_MAX = 1 << 20
NODES_MAX = 100
SECRET_BYTES_MAX = 4096


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses to bind. None: the one of [nodes]; "": none."""

    peers: str | None = None
    redis: str = ""
    admin: str = ""


class Security(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files, relative to the configuration, and whether to do without."""

    certificate: str = ""
    key: str = ""
    authority: str = ""
    password_file: str = ""
    token_file: str = ""
    insecure: bool = False


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node of a cluster. `read` checks what types cannot say."""

    cluster: str
    node: str
    protocol: str
    nodes: dict[str, str]
    directory: str
    machine: str = "redis"
    parameters: dict[str, Any] = {}
    listen: Listen = Listen()
    security: Security = Security()
    base: str = "."
    """The folder that relative paths start from."""

    def path(self, name: str) -> Path:
        return Path(self.base) / name

    def secret(self, name: str) -> str:
        """The first line of a file, "" for no file. Raises BadInput."""
        if not name:
            return ""
        path = self.path(name)
        try:
            with path.open("rb") as file:
                data = file.read(SECRET_BYTES_MAX + 1)
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}, expected a readable file") from None
        first = data.split(b"\n", 1)[0].strip()
        if not first or len(data) > SECRET_BYTES_MAX:
            raise BadInput(f"{path}: expected a secret of 1 to {SECRET_BYTES_MAX} bytes")
        return first.decode("utf-8", "surrogateescape")

    def tls_files(self) -> tuple[Path, Path, Path] | None:
        """Certificate, key and authority; None for none. Raises BadInput for a part of them."""
        said = self.security
        names = (said.certificate, said.key, said.authority)
        if not any(names):
            return None
        if not all(names):
            raise BadInput("security: expected certificate, key and authority, or none of them")
        return self.path(names[0]), self.path(names[1]), self.path(names[2])

    @property
    def peers_address(self) -> str:
        return self.nodes[self.node] if self.listen.peers is None else self.listen.peers

    def make_protocol(self) -> Protocol:
        """The protocol with its parameters, validated for this many replicas. Raises BadInput."""
        kind = protocol_named(self.protocol)
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in self.parameters.items()}
        plain = {k: v for k, v in given.items() if "__" not in k}
        made = kind(**plain).set_params(**{k: v for k, v in given.items() if "__" in k})
        made.validate(len(self.nodes))
        runs_on_tcp(made)
        return made


OFFERED: frozenset[str] = frozenset()
"""Of what a protocol may need of its world (`Tags.needs`), what sockets and a disk offer."""


def runs_on_tcp(protocol: Protocol) -> None:
    """Raise BadInput if a protocol needs what machines joined by TCP do not have."""
    missing = [need for need in protocol.tags.needs if need not in OFFERED]
    if missing:
        raise BadInput(
            f"protocol {protocol.label}: needs {', '.join(missing)}, which a cluster on TCP does "
            "not have; it can be simulated"
        )


def universe(protocol: Protocol, nodes: int) -> Config:
    """Who is there: for each node a replica, the client of its gateway, and an operator."""
    config = Config.of(protocol.roles(), nodes, nodes)
    operators = tuple(f"o{i + 1}" for i in range(nodes))
    roles = tuple((name, operators if name == "operator" else ids) for name, ids in config.roles)
    return Config(config.members, roles)


def read(path: str | Path) -> NodeConfig:
    """Read a configuration. Raises BadInput: which file, which key, what was expected."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise BadInput(f"{path}: over {FILE_BYTES_MAX} bytes, expected a configuration")
        plain = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}, expected a readable TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}, expected TOML") from None
    plain.pop("base", None)
    try:
        made = msgspec.convert(plain, NodeConfig)
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {error}") from None
    made = msgspec.structs.replace(made, base=str(Path(path).parent))
    check(made, str(path))
    return made


def check(config: NodeConfig, where: str) -> None:
    """Raise BadInput for what the types allow and no cluster can have."""
    if not config.cluster:
        raise BadInput(f"{where}: cluster is empty, expected a name that all its nodes share")
    if not 1 <= len(config.nodes) <= NODES_MAX:
        raise BadInput(f"{where}: {len(config.nodes)} nodes, expected 1 to {NODES_MAX}")
    expected = [f"r{i + 1}" for i in range(len(config.nodes))]
    if sorted(config.nodes) != sorted(expected):
        raise BadInput(f"{where}: nodes {', '.join(config.nodes)}, expected {', '.join(expected)}")
    if config.node not in config.nodes:
        names = ", ".join(config.nodes)
        raise BadInput(f"{where}: node {config.node!r}, expected one of {names}")
    for name, address in config.nodes.items():
        if split_address(address, f"{where}: nodes.{name}")[1] == 0:
            raise BadInput(
                f"{where}: nodes.{name} {address!r}, expected a port that others can use"
            )
    for name in ("peers", "redis", "admin"):
        address = getattr(config.listen, name)
        if address:
            split_address(address, f"{where}: listen.{name}")
    if len(set(config.nodes.values())) < len(config.nodes):
        raise BadInput(f"{where}: two nodes have one address, expected each its own")
