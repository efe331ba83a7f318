"""One node of a cluster: storage, transport and host put together, and the doors to them."""

import asyncio
import logging
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from concur.base import Protocol, Role
from concur.effects import Outcome, Start
from concur.errors import BadInput
from concur.machines import Batch, Machine, Redis, machine
from concur.machines.keyspace import Keyspace, due
from concur.messages import Codec, Message, encode
from concur.node import Config, Node
from concur.parts.membership import Order
from concur.serve.addresses import join_address, split_address
from concur.serve.admin import Admin
from concur.serve.client import LOCAL_CODEC, LOCAL_GROUP, LocalRead, LocalResult
from concur.serve.config import NodeConfig, universe
from concur.serve.host import Host
from concur.serve.redis.gateway import Gateway
from concur.serve.redis.server import RedisServer
from concur.serve.store import Damaged, Identity, Store
from concur.serve.tls import client_context, door_context, refuse_exposed, server_context
from concur.serve.transport import Transport

log = logging.getLogger("concur.serve")

CLOCK_AHEAD_S = 60
"""A clock that is so much behind what another said is worth a line in the log."""


def identity_of(config: NodeConfig) -> Identity:
    return Identity(config.cluster, config.node, config.protocol, config.machine)


def only_in_memory(protocol: Protocol) -> str:
    """What people should know of a protocol without a disk before they trust it with data."""
    return (
        f"{protocol.label} keeps data in memory only: it is lost when a majority of the nodes "
        "stops at once"
    )


def roles_of(config: NodeConfig, everyone: Config) -> list[tuple[str, Role]]:
    """Who lives on a node: the id and role of its replica, its gateway's client, its operator."""
    if sorted(everyone.members) != sorted(config.nodes):
        raise BadInput(
            f"protocol {config.protocol}: {len(config.nodes)} nodes, expected "
            f"{', '.join(everyone.members)}"
        )
    at = everyone.members.index(config.node)
    roles = config.make_protocol().roles()
    found = []
    for role in roles:
        ids = everyone.role(role.name)
        if role.place == "network":
            raise BadInput(
                f"protocol {config.protocol}: role {role.name} stands in the network, where a "
                "cluster on TCP can put nothing; it can be simulated"
            )
        if at < len(ids):
            found.append((ids[at], role))
    return found


class Server:
    """A node that serves from `start` to `stop`. Belongs to one event loop."""

    def __init__(self, config: NodeConfig) -> None:
        """Raises BadInput for what the configuration should not say. Touches nothing yet."""
        self.config = config
        self.protocol = config.make_protocol()
        self.everyone = universe(self.protocol, len(config.nodes))
        self.inner: Machine[Any, Any] = machine(config.machine)
        self.machine = Batch(self.inner)
        self.roles = roles_of(config, self.everyone)
        self.addresses: dict[str, str] = {}
        self.codec = Codec(self.protocol.messages())
        self.store: Store
        self.transport: Transport
        self.host: Host
        self.redis: RedisServer | None = None
        self._opened = AsyncExitStack()
        """How to close what is open, the last first."""
        self._told_of_time = False

    # --- storage ----------------------------------------------------------------------------------

    @property
    def _storage(self) -> "tuple[Path, Identity, dict[str, type[Node[Any]]], Batch[Any]]":
        kinds = {id: role.node for id, role in self.roles}
        directory = self.config.path(self.config.directory)
        return directory, identity_of(self.config), kinds, self.machine

    def make_store(self) -> None:
        """Make the storage of this node of a new cluster. Raises BadInput if there is one."""
        Store.make(*self._storage)

    def open_store(self) -> Store:
        """The node's storage; that of a node which lost it, if the protocol can bear that."""
        try:
            return Store.open(*self._storage)
        except Damaged as error:
            if not self.protocol.tags.recovers_wiped:
                raise
            log.error("%s", error)
            log.error("%s begins as wiped, and recovers from the others", self.config.node)
            return Store.open(*self._storage, wiped=True)

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open everything and begin. Raises BadInput, Damaged or OSError, leaving nothing open."""
        self._opened = AsyncExitStack()
        try:
            await self._start()
        except BaseException:
            await self._opened.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        files = config.tls_files()
        config.secret(config.security.password_file)  # what is missing is said before all else
        config.secret(config.security.token_file)
        store = self.store = self.open_store()
        self._opened.callback(store.close)
        self.transport = Transport(
            cluster=config.cluster,
            hosted=tuple(id for id, _ in self.roles),
            receive=self._receive,
            server_tls=server_context(*files) if files else None,
            client_tls=client_context(*files) if files else None,
            insecure=config.security.insecure,
        )
        self._opened.push_async_callback(self.transport.close)
        door = door_context(*files) if files else None
        self.addresses["peers"] = await self.transport.listen(config.peers_address)
        host = self.host = Host(self.transport, store)
        self._opened.callback(host.stop)
        loop = asyncio.get_running_loop()
        loop.add_reader(store.completions_fd, store.completed)
        self._opened.callback(loop.remove_reader, store.completions_fd)
        for id, role in self.roles:
            saved = store.snapshots.get(id, {})
            start = Start(store.kind, store.incarnation, saved.get(""))
            host.add(
                id, role, self.protocol, self.everyone, self.machine, start,
                store.images.get(id), saved,
            )  # fmt: skip
        store.images.clear()  # what they hold lives on in the nodes, and changes
        store.snapshots.clear()
        for name, address in config.nodes.items():
            if name != config.node:
                self.transport.connect(name, address)
        if config.listen.redis:
            await self._serve_redis(config, door)
        if config.listen.admin:
            admin = Admin(self)
            self._opened.push_async_callback(admin.stop)
            self.addresses["admin"] = await admin.start()
        if not self.protocol.tags.durable:
            log.warning("%s", only_in_memory(self.protocol))
        log.info(
            "%s of cluster %s: %s, %s, incarnation %d, peers at %s",
            config.node, config.cluster, self.protocol, store.kind, store.incarnation,
            self.addresses["peers"],
        )  # fmt: skip

    async def _serve_redis(self, config: NodeConfig, tls: ssl.SSLContext | None) -> None:
        if not isinstance(self.inner, Redis):
            raise BadInput(
                f"listen.redis: the machine is {config.machine}, expected redis for Redis clients"
            )
        password = config.secret(config.security.password_file)
        refuse_exposed(
            config.listen.redis, bool(tls and password), server="listen.redis",
            needs="a certificate and a password_file", insecure=config.security.insecure,
        )  # fmt: skip
        client, loop = self.client, asyncio.get_running_loop()

        replica = self.host.places[config.node].node
        gateway = Gateway(
            lambda body, done: self.host.invoke(client, body, done),
            loop.call_soon,
            loop.call_later,
            info=lambda: {"node": config.node, "protocol": self.protocol.label},
            clock_ms=lambda: time.time_ns() // 1_000_000,
            password=password or None,
            due=lambda now_ms: self._due(replica, now_ms),
            log=log.warning,
        )
        self.redis = RedisServer(gateway)
        self._opened.push_async_callback(self.redis.close)
        host, port = split_address(config.listen.redis, "listen.redis")
        port = await self.redis.listen(host, port, tls)
        self.addresses["redis"] = join_address(host, port)

    def _due(self, replica: Node[Any], now_ms: int) -> bool:
        """Whether the keys that expire next do so now; one node of all should say so."""
        if not self.protocol.tags.log:
            return False  # a tick would be what is decided
        leads = getattr(replica, "leader", replica.id) == replica.id
        space: Keyspace = replica.machine_state
        ahead_s = (space.now_ms - now_ms) / 1000
        if leads and len(space.agenda) and ahead_s > CLOCK_AHEAD_S:
            if not self._told_of_time:
                log.warning(
                    "the time of the log is %.0f s ahead of this node's clock, so keys expire as "
                    "much too late: one of the clocks is or was wrong (docs/redis.md, Time)",
                    ahead_s,
                )
            self._told_of_time = True
        else:
            self._told_of_time = False
        return leads and due(space, now_ms)

    async def stop(self) -> None:
        """End in order: nothing that was acknowledged is lost, nor would be without this."""
        await self._opened.aclose()

    def _receive(
        self, group: int, source: str, target: str, path: str, message: "bytes | memoryview"
    ) -> None:
        if group == LOCAL_GROUP:
            self._read_locally(source, LOCAL_CODEC.decode(message))  # type: ignore[arg-type]
        elif group == self.host.group:
            self.host.receive(source, target, path, self.codec.decode(message))  # type: ignore[arg-type]
        else:
            raise BadInput(f"group {group}: not here, expected {self.host.group}")

    def _read_locally(self, source: str, asked: Message) -> None:
        """Between two turns, when everything that is executed here is durable here."""
        if type(asked) is LocalRead and not self.host.failed.done():
            replica = self.host.places[self.config.node].node
            if not self.machine.read_only(self.machine.recall(asked.body)):
                raise BadInput("a local read that is not read-only")
            answer = encode(LocalResult(asked.number, replica.query(asked.body)))
            self.transport.send(LOCAL_GROUP, self.config.node, source, "", answer)
            self.transport.flush()

    # --- asked by the doors -----------------------------------------------------------------------

    @property
    def client(self) -> str:
        """The client node through which this node's doors ask."""
        return next(id for id, role in self.roles if role.name == "client")

    def order(self, order: Order) -> "asyncio.Future[Outcome]":
        """Have the operator of this node give an order. Raises BadInput if there is none."""
        operator = next((id for id, role in self.roles if role.name == "operator"), None)
        if operator is None:
            raise BadInput(f"protocol {self.protocol.label}: takes no orders from operators")
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def tell(outcome: Outcome) -> None:
            if not done.done():  # whoever asked may have gone
                done.set_result(outcome)

        self.host.invoke(operator, encode(order), tell)
        return done

    def status(self) -> dict[str, Any]:
        """What this node knows of itself, for people and scripts."""
        place = self.host.places[self.config.node]
        return {
            "cluster": self.config.cluster,
            "node": self.config.node,
            "protocol": self.protocol.label,
            "parameters": self.protocol.get_params(deep=False),
            "machine": self.config.machine,
            "nodes": self.config.nodes,
            "addresses": self.addresses,
            "began": place.node.began,
            "incarnation": place.node.incarnation,
            "leader": getattr(place.node, "leader", ""),
            "executed": place.node.executed,
            "journal_bytes": self.store.bytes_on_disk,
            "journal_segments": self.store.segments,
            "counters": dict(sorted(self.host.counters.items())),
            "failed": self.host.failed.done(),
        }
