"""Python clients of a cluster: `AsyncClient` for asyncio, `Client` for everything else.

    from concur.machines.redis import Get, Set
    from concur.serve.client import Client

    with Client("http://127.0.0.1:8001") as cluster:        # any node's admin address
        cluster.propose(Set(b"greeting", b"hello"))
        cluster.read(Get(b"greeting"))

The protocol's own client node runs here, in the application's process: it knows whom to ask, asks
others when they are silent, and repeats itself without anything happening twice, because commands
have an identity in a session that the cluster remembers. What is asked for in one turn of the event
loop goes out as one batch.

**Errors.** `DefiniteError`: it did not happen and never will. `IndefiniteError`: it may have
happened, may still happen, or not. `CommandRefused`, a definite one: the machine would not do it.
"""

import asyncio
import itertools
import secrets
import threading
import time
import urllib.request
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from concur.base import Protocol
from concur.effects import Definite, Indefinite, Ok, Outcome, Persist, SaveSnapshot, Start
from concur.errors import BadInput, ConcurError
from concur.machines import Batch, MachineError, machine
from concur.machines.batch import COMMANDS_MAX
from concur.messages import Codec, Message, encode
from concur.node import Config
from concur.parts import batching
from concur.parts.sessions import IN_FLIGHT_MAX
from concur.serve.config import NodeConfig, read
from concur.serve.host import Host
from concur.serve.pace import Lane
from concur.serve.ticks import is_timed, tick
from concur.serve.tls import client_context
from concur.serve.transport import Transport

T = TypeVar("T")
TlsFiles = tuple[str | Path, str | Path, str | Path]

STATUS_BYTES_MAX = 1 << 20
STATUS_S_MAX = 10.0
WAITING_MAX = 100_000
"""Commands that wait for a batch; more are refused, definitely."""
WRITES_MAX, READS_MAX = IN_FLIGHT_MAX // 2, IN_FLIGHT_MAX // 2
"""Batches under way."""
BATCH_BYTES_MAX = 1 << 20
"""Of a batch with more than one command."""
COMMAND_BYTES_MAX = batching.COMMAND_BYTES_MAX - 64
"""Of one command: what it becomes in a batch is what leaders take."""
LINK_S = 0.02
"""How long to wait for a link that is not up yet before another node is asked."""
LOCAL_GROUP = 65_535
"""Where frames about local reads travel; groups of replicas count from 0."""
LINEARIZABLE, LOCAL = "linearizable", "local"


class DefiniteError(ConcurError):
    """It did not happen, and never will."""


class IndefiniteError(ConcurError):
    """Nobody knows whether it happened, happens, or will happen."""


class CommandRefused(DefiniteError):
    """The machine's own error: `error` has its type and message."""

    def __init__(self, error: MachineError) -> None:
        super().__init__(str(error))
        self.error = error


class LocalRead(Message, frozen=True):
    """Answer the read-only `body` from what this replica has executed, however old that is."""

    number: int
    body: bytes


class LocalResult(Message, frozen=True):
    number: int
    result: bytes


LOCAL_CODEC = Codec([LocalRead, LocalResult])


class Description(msgspec.Struct, frozen=True):
    """What a client has to know of a cluster; `status` of any node tells it."""

    cluster: str
    protocol: str
    machine: str
    nodes: dict[str, str]
    parameters: dict[str, Any] = {}

    def make_protocol(self, known: Protocol | None) -> Protocol:
        """`known`, or the one of that name. What a network says is never imported."""
        if known is not None:
            return known
        if ":" in self.protocol:
            raise BadInput(
                f"the cluster runs {self.protocol}, expected it as protocol=, with its parameters"
            )
        config = NodeConfig(
            cluster=self.cluster, node="", protocol=self.protocol, nodes=self.nodes, directory="",
            machine=self.machine, parameters=self.parameters,
        )  # fmt: skip
        return config.make_protocol()


def describe(
    where: "str | Path", tls: TlsFiles | None = None, token: str | None = None
) -> Description:
    """What is said of a cluster at a node's admin address (http://host:port or https://...), in its
    configuration or in the folder of `concur up --dir`. Raises BadInput.

    Where the address is guarded: `token` is what its token_file holds, and `tls` has the authority
    that signed its certificate, last.
    """
    text = str(where)
    if text.startswith(("http://", "https://")):
        asked = urllib.request.Request(f"{text.rstrip('/')}/status")
        if token:  # for this address, and for none that it may redirect to
            asked.add_unredirected_header("Authorization", f"Bearer {token.strip()}")
        context = client_context(*tls) if tls and text.startswith("https://") else None
        try:
            with urllib.request.urlopen(asked, timeout=STATUS_S_MAX, context=context) as answer:
                return decode_status(answer.read(STATUS_BYTES_MAX), text)
        except (OSError, ValueError) as error:  # of a token that is no header
            reason = getattr(error, "reason", error)
            raise BadInput(f"{text}: {reason}, expected the admin address of a node") from None
    path = Path(where)
    config = read(path / "r1" / "node.toml" if path.is_dir() else path)
    return Description(
        config.cluster, config.protocol, config.machine, config.nodes, config.parameters
    )


def decode_status(data: bytes, where: str) -> Description:
    try:
        return msgspec.json.decode(data, type=Description)
    except msgspec.DecodeError as error:
        raise BadInput(f"{where}: {error}, expected the status of a node") from None


class Volatile:
    """The disk of a host that keeps nothing, as clients do."""

    dirty = False

    def append(self, place: str, persist: Persist) -> None:
        raise AssertionError(f"{place} persists {persist}, and clients have nowhere to")

    def sync(self) -> None:
        raise AssertionError("nothing was appended")

    def save(self, place: str, save: SaveSnapshot, done: Any) -> None:
        raise AssertionError(f"{place} saves a snapshot, and clients have nowhere to")


class Asked:
    """A command that waits, or is under way."""

    __slots__ = ("body", "future", "launched", "read", "timed")

    def __init__(
        self, body: bytes, read: bool, timed: bool, future: "asyncio.Future[bytes]"
    ) -> None:
        self.body = body
        self.read = read
        self.timed = timed  # may count from now
        self.future = future
        self.launched = False


class AsyncClient:
    """Asks a cluster from one event loop. Make it with `connect`."""

    def __init__(
        self,
        description: Description,
        protocol: Protocol | None = None,
        tls: TlsFiles | None = None,
        name: str = "client",
    ) -> None:
        """Raises BadInput. Dials the nodes; nothing has to be up yet."""
        self.description = description
        self.protocol = description.make_protocol(protocol)
        self.machine = machine(description.machine)
        self.deadline_s: float = getattr(self.protocol, "deadline_s", 10.0)
        self._batch = Batch(self.machine)
        self._loop = asyncio.get_running_loop()
        self._codec = Codec(self.protocol.messages())
        self._id = f"{name}:{secrets.token_hex(8)}"  # no other client, and no other life, has it
        loop = self._loop
        self._writes: Lane[Asked] = Lane(
            self._send_writes, loop.call_soon, loop.call_later, WRITES_MAX
        )
        self._reads: Lane[Asked] = Lane(
            self._send_reads, loop.call_soon, loop.call_later, READS_MAX
        )
        self._closed = False
        self._local: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count(1)
        nodes = tuple(sorted(description.nodes, key=lambda name: (len(name), name)))
        role = next(role for role in self.protocol.roles() if role.place == "client")
        roles = ((self.protocol.roles()[0].name, nodes), (role.name, (self._id,)))
        self._transport = Transport(
            cluster=description.cluster, hosted=(self._id,), receive=self._receive,
            client_tls=client_context(*tls) if tls else None,
        )  # fmt: skip
        self._host = Host(self._transport, Volatile())
        self._host.add(
            self._id, role, self.protocol, Config(nodes, roles), self._batch,
            Start("new", 1),
        )  # fmt: skip
        for name in nodes:
            self._transport.connect(name, description.nodes[name])

    @classmethod
    async def connect(
        cls,
        where: "str | Path",
        *,
        protocol: Protocol | None = None,
        tls: TlsFiles | None = None,
        name: str = "client",
        token: str | None = None,
    ) -> Self:
        """A client of the cluster that is described at `where` (see `describe`).

        `protocol` is needed only where the cluster runs one that is not installed here by name.
        `tls`: paths of a certificate, which names `name`, of its key, and of the authority that
        signed the nodes' certificates. `token`: for the admin address, beyond loopback.
        """
        return cls(await asyncio.to_thread(describe, where, tls, token), protocol, tls, name)

    # --- asking -----------------------------------------------------------------------------------

    async def propose(self, command: Any, *, deadline_s: float | None = None) -> Any:
        """Have `command` executed, once, and return its result.

        Raises BadInput if it is no command of the machine, CommandRefused, DefiniteError,
        IndefiniteError.
        """
        return await self._ask(command, False, deadline_s)

    async def read(
        self,
        command: Any,
        *,
        consistency: str = LINEARIZABLE,
        node: str = "",
        deadline_s: float | None = None,
    ) -> Any:
        """The result of a read-only `command`.

        "linearizable": of a state that has everything that was complete before, by the protocol's
        own read path. "local": of what `node`, or else the first one that answers, has executed,
        which may be old; two of them may come from two nodes, and so go back in time.
        """
        if not self.machine.read_only(command):
            raise BadInput(f"{type(command).__name__}: not read-only, expected propose()")
        if consistency == LOCAL:
            return await self._read_local(command, node, deadline_s)
        if consistency != LINEARIZABLE:
            raise BadInput(f"consistency {consistency!r}: expected {LINEARIZABLE} or {LOCAL}")
        if node:
            raise BadInput(f"node {node!r}: who answers a linearizable read is not yours to say")
        return await self._ask(command, True, deadline_s)

    def _encode(self, command: Any) -> bytes:
        """Raises BadInput."""
        body = self.machine.encode(command)
        if len(body) > COMMAND_BYTES_MAX:
            raise BadInput(
                f"{type(command).__name__}: {len(body):,} bytes, expected at most "
                f"{COMMAND_BYTES_MAX:,}"
            )
        return body

    async def _ask(self, command: Any, read: bool, deadline_s: float | None) -> Any:
        body = self._encode(command)
        if self._closed:
            raise DefiniteError("the client is closed")
        if self._host.failed.done():
            raise DefiniteError(f"the client stopped: {self._host.failed.exception()}")
        lane = self._reads if read else self._writes
        if len(lane.waiting) >= WAITING_MAX:
            raise DefiniteError(f"{WAITING_MAX} commands wait already")
        timed = not read and is_timed(self.machine, command)
        asked = Asked(body, read, timed, self._loop.create_future())
        lane.join(asked)
        within = self.deadline_s if deadline_s is None else deadline_s
        timer = self._loop.call_later(within, self._late, asked, within)
        try:
            result = self.machine.decode_result(await asked.future)
        finally:
            timer.cancel()
        if type(result) is MachineError:
            raise CommandRefused(result)
        return result

    def _late(self, asked: Asked, within: float) -> None:
        if asked.future.done():
            return
        if asked.launched and not asked.read:
            asked.future.set_exception(IndefiniteError(f"no answer within {within:g} s"))
        else:
            asked.future.set_exception(DefiniteError(f"no answer within {within:g} s"))

    # --- batches ----------------------------------------------------------------------------------

    def _send_writes(self) -> None:
        self._send(self._writes)

    def _send_reads(self) -> None:
        self._send(self._reads)

    def _send(self, lane: "Lane[Asked]") -> None:
        """A batch of as many as fit into one."""
        batch: list[Asked] = []
        left = BATCH_BYTES_MAX
        while lane.waiting and len(batch) < COMMANDS_MAX - 1:  # and a tick
            if batch and left < len(lane.waiting[0].body):
                break
            asked = lane.waiting.popleft()
            if not asked.future.done():  # else it is late, or its task was cancelled
                asked.launched = True
                batch.append(asked)
                left -= len(asked.body)
        if batch:
            lane.pace.left()
            bodies = [asked.body for asked in batch]
            ticks = any(asked.timed for asked in batch)
            if ticks:
                bodies.insert(0, tick(time.time_ns() // 1_000_000))
            done = partial(self._done, lane, batch, int(ticks))
            self._host.invoke(self._id, Batch.join(bodies), done)
        if lane.waiting:
            lane.pace.wanted()

    def _done(self, lane: "Lane[Asked]", batch: list[Asked], ticks: int, outcome: Outcome) -> None:
        lane.pace.back()
        if type(outcome) is Ok:
            results = Batch.split(outcome.result)[ticks:]
            for asked, result in zip(batch, results, strict=False):
                if not asked.future.done():
                    asked.future.set_result(result)
            rest = batch[len(results) :]  # left out: not executed
            for asked in rest:
                asked.launched = False
            lane.waiting.extendleft(reversed(rest))
        else:
            error: type[ConcurError] = DefiniteError
            if type(outcome) is Indefinite and not batch[0].read:
                error = IndefiniteError
            assert isinstance(outcome, Definite | Indefinite)
            for asked in batch:
                if not asked.future.done():
                    asked.future.set_exception(error(outcome.error))
        if lane.waiting:
            lane.pace.wanted()

    # --- local reads ------------------------------------------------------------------------------

    async def _read_local(self, command: Any, node: str, deadline_s: float | None) -> Any:
        """Ask the node, or each in turn, as long as there is time."""
        nodes = [node] if node else list(self.description.nodes)
        if not set(nodes) <= set(self.description.nodes):
            raise BadInput(f"node {node!r}: expected one of {', '.join(self.description.nodes)}")
        body = self._encode(command)
        until = self._loop.time() + (self.deadline_s if deadline_s is None else deadline_s)
        for to in itertools.cycle(nodes):
            left = until - self._loop.time()
            if left <= 0:
                raise DefiniteError("no node answered in time")
            number = next(self._numbers)
            future: asyncio.Future[bytes] = self._loop.create_future()
            self._local[number] = future
            message = encode(LocalRead(number, Batch.join([body])))
            sent = self._transport.send(LOCAL_GROUP, self._id, to, "", message)
            self._transport.flush()
            patience = getattr(self.protocol, "retry_s", 1.0) if sent else LINK_S
            try:
                # Not wait_for, which loses a cancellation that comes with the answer (3.11).
                async with asyncio.timeout(min(left, patience)):
                    answer = await future
                (result,) = Batch.split(answer)
            except TimeoutError:
                continue
            finally:
                self._local.pop(number, None)
            value = self.machine.decode_result(result)
            if type(value) is MachineError:
                raise CommandRefused(value)
            return value

    # --- below ------------------------------------------------------------------------------------

    def _receive(
        self, group: int, source: str, target: str, path: str, message: "bytes | memoryview"
    ) -> None:
        if group == LOCAL_GROUP:
            answer = LOCAL_CODEC.decode(message)  # type: ignore[arg-type]
            future = self._local.get(getattr(answer, "number", 0))
            if type(answer) is LocalResult and future is not None and not future.done():
                future.set_result(answer.result)
            return
        self._host.receive(source, target, path, self._codec.decode(message))  # type: ignore[arg-type]

    async def close(self) -> None:
        """Hang up. Whatever has no answer yet is told so."""
        if self._closed:
            return
        self._closed = True
        for asked in (*self._writes.waiting, *self._reads.waiting):
            if not asked.future.done():
                asked.future.set_exception(DefiniteError("the client was closed"))
        self._host.stop()
        for place in self._host.places.values():
            for done in list(place.waiting.values()):
                done(Indefinite("the client was closed"))
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()


class Client:
    """`AsyncClient` for code without an event loop: one runs in a thread. Any thread may ask."""

    def __init__(
        self,
        where: "str | Path",
        *,
        protocol: Protocol | None = None,
        tls: TlsFiles | None = None,
        name: str = "client",
        token: str | None = None,
    ) -> None:
        """See `AsyncClient.connect`. Raises BadInput."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="concur-client", daemon=True
        )
        self._thread.start()
        try:
            self._client = self._wait(
                AsyncClient.connect(where, protocol=protocol, tls=tls, name=name, token=token)
            )
        except BaseException:
            self._end()
            raise

    def propose(self, command: Any, *, deadline_s: float | None = None) -> Any:
        """See `AsyncClient.propose`."""
        return self._wait(self._client.propose(command, deadline_s=deadline_s))

    def read(
        self,
        command: Any,
        *,
        consistency: str = LINEARIZABLE,
        node: str = "",
        deadline_s: float | None = None,
    ) -> Any:
        """See `AsyncClient.read`."""
        reading = self._client.read(
            command, consistency=consistency, node=node, deadline_s=deadline_s
        )
        return self._wait(reading)

    def close(self) -> None:
        if self._thread.is_alive():
            self._wait(self._client.close())
            self._end()

    def _wait(self, work: "Coroutine[Any, Any, T]") -> T:
        if not self._thread.is_alive():
            work.close()
            raise DefiniteError("the client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()
