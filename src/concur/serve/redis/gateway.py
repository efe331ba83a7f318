"""The gateway: commands of all connections become batches, one Invoke for each.

What comes in a turn of the event loop goes out as one command: one entry of the log, one execution
on each replica, one reply, whatever the protocol. Reads go by themselves, as protocols have shorter
ways for them. While batches are under way, the next ones gather more.

The gateway knows neither sockets nor hosts: `invoke` asks for a body to be executed and tells the
outcome, `soon` runs something at the end of the turn, `later` after so many seconds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from concur.effects import Definite, Indefinite, Ok, Outcome
from concur.errors import BadInput
from concur.machines import Batch, MachineError, Redis
from concur.serve.pace import Lane, Later, Soon
from concur.serve.redis.connection import RespConnection
from concur.serve.redis.limits import Limits
from concur.serve.redis.replies import Reply, refusal
from concur.serve.resp import error
from concur.serve.ticks import tick

MACHINE = Batch(Redis())
"""What the cluster behind a gateway replicates."""


class Taken:
    """A batch in the making: whose commands it holds, and how they want to be answered."""

    __slots__ = ("bodies", "segments", "size", "ticked", "writes")

    def __init__(self) -> None:
        self.segments: list[tuple[RespConnection, list[bytes], list[Reply | bytes]]] = []
        self.bodies: list[bytes] = []
        self.size = 0
        self.writes = False
        self.ticked = False

    def add(self, connection: RespConnection, commands_max: int, bytes_max: int) -> None:
        """What a connection has; or its beginning, at least one command, if it is too much."""
        size = connection.size
        self.writes |= connection.writes
        self.ticked |= connection.timed
        if size > bytes_max:
            commands_max = min(commands_max, _fitting(connection.bodies, bytes_max))
        bodies, replies = connection.segment(commands_max)
        self.size += size - connection.size
        self.segments.append((connection, bodies, replies))
        self.bodies += bodies


class Gateway:
    """`due(now_ms)`: whether the machine holds keys that a tick of now would sweep. Without it no
    time passes but with commands that set an expiry."""

    def __init__(
        self,
        invoke: Callable[[bytes, Callable[[Outcome], None]], None],
        soon: Soon,
        later: Later,
        *,
        info: Callable[[], dict[str, str]],
        clock_ms: Callable[[], int],
        password: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        due: Callable[[int], bool] = lambda now_ms: False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.info = info
        self.clock_ms = clock_ms
        self.password = password
        self.limits = limits
        self.log = log
        self.held = 0
        self.connections: dict[int, RespConnection] = {}
        self.counters = {
            "commands": 0, "batches": 0, "connections": 0, "refused_connections": 0, "evicted": 0,
        }  # fmt: skip
        self._invoke = invoke
        self._due = due
        self._tick = False
        self.writes: Lane[RespConnection] = Lane(self._send_writes, soon, later, limits.writes_max)
        self.reads: Lane[RespConnection] = Lane(self._send_reads, soon, later, limits.reads_max)

    # --- connections -----------------------------------------------------------------------------

    def admit(self, connection: RespConnection) -> bool:
        if len(self.connections) >= self.limits.connections_max:
            self.counters["refused_connections"] += 1
            return False
        self.counters["connections"] += 1
        connection.id = self.counters["connections"]
        self.connections[connection.id] = connection
        return True

    def forget(self, connection: RespConnection) -> None:
        if self.connections.pop(connection.id, None) is not None:
            self.held -= connection.held
            connection.held = 0

    def holds(self, connection: RespConnection, held: int) -> None:
        """A connection holds so many bytes now. If all hold too many, the largest one goes."""
        if connection.id not in self.connections:
            return
        self.held += held - connection.held
        connection.held = held
        if self.held > self.limits.held_bytes_max:
            largest = max(self.connections.values(), key=lambda each: each.held)
            self.counters["evicted"] += 1
            self.log(f"client {largest.id} holds {largest.held} of {self.held} bytes: closed")
            self.forget(largest)
            largest.abort()

    # --- batches ---------------------------------------------------------------------------------

    def ready(self, connection: RespConnection) -> None:
        """It has commands, and none under way."""
        (self.writes if connection.writes else self.reads).join(connection)

    def tick(self) -> None:
        """To be called every 100 ms or so: lets time pass in the machine if something is due."""
        if not self._tick and self._due(self.clock_ms()):
            self._tick = True
            self.writes.pace.wanted()

    def _send_writes(self) -> None:
        taken = self._gathered(self.writes)
        if self._tick or taken.ticked:
            self._tick = False
            taken.writes = taken.ticked = True
            taken.bodies.insert(0, tick(self.clock_ms()))
        self._launch(self.writes, taken)

    def _send_reads(self) -> None:
        self._launch(self.reads, self._gathered(self.reads))

    def _gathered(self, lane: Lane[RespConnection]) -> Taken:
        """As much as fits into a batch of those who wait. The others go on waiting."""
        taken, limits = Taken(), self.limits
        while lane.waiting:
            connection = lane.waiting[0]
            if connection.bodies and not connection.stuck:
                left = limits.batch_commands_max - len(taken.bodies)
                if left <= 0 or taken.size >= limits.batch_bytes_max:
                    break
                lane.waiting.popleft()
                if connection.writes and lane is self.reads:  # since it came here
                    self.writes.join(connection)
                else:
                    taken.add(connection, left, limits.batch_bytes_max - taken.size)
            else:  # gone, or it does not read its replies; if it does again it will come again
                lane.waiting.popleft()
                connection.waiting = False
        return taken

    def _launch(self, lane: Lane[RespConnection], taken: Taken) -> None:
        if taken.bodies:
            lane.pace.left()
            self.counters["batches"] += 1
            self.counters["commands"] += len(taken.bodies)
            self._invoke(Batch.join(taken.bodies), partial(self._done, lane, taken))
        if lane.waiting:
            lane.pace.wanted()

    # --- outcomes --------------------------------------------------------------------------------

    def _done(self, lane: Lane[RespConnection], taken: Taken, outcome: Outcome) -> None:
        lane.pace.back()
        if type(outcome) is Ok:
            self._answer(taken, outcome.result)
        else:
            self._fail(taken, _failure(outcome, taken.writes))
        if lane.waiting or (self._tick and lane is self.writes):
            lane.pace.wanted()

    def _answer(self, taken: Taken, result: bytes) -> None:
        try:
            results = Batch.split(result)
        except BadInput:
            self._fail(taken, _wrong(result))
            return
        at, end = (1 if taken.ticked else 0), len(results)
        for connection, bodies, replies in taken.segments:
            if len(replies) == 1 and at < end:
                connection.answer(replies[0](results[at]))  # type: ignore[operator]
                at += 1
                continue
            data: list[bytes] = []
            for number, reply in enumerate(replies):
                if type(reply) is bytes:
                    data.append(reply)
                elif at < end:
                    data.append(reply(results[at]))  # type: ignore[operator]
                    at += 1
                else:  # the results were too long for one batch: not executed, so once more
                    done = sum(type(each) is not bytes for each in replies[:number])
                    connection.put_back(bodies[done:], replies[number:], taken.writes)
                    break
            connection.answer(b"".join(data))

    def _fail(self, taken: Taken, words: bytes) -> None:
        for connection, _, replies in taken.segments:
            connection.answer(b"".join([r if type(r) is bytes else words for r in replies]))


def _fitting(bodies: list[bytes], bytes_max: int) -> int:
    """How many of them have so many bytes, and the one that goes beyond."""
    for at, body in enumerate(bodies):
        bytes_max -= len(body)
        if bytes_max <= 0:
            return at + 1
    return len(bodies)


def _failure(outcome: Definite | Indefinite | Any, writes: bool) -> bytes:
    """A read has no effect, so of a read nothing is uncertain."""
    if type(outcome) is Indefinite and writes:
        return error(f"INDEFINITE the command may have been executed: {outcome.error}")
    return error(f"TRYAGAIN the command was not executed: {outcome.error}")


def _wrong(result: bytes) -> bytes:
    try:
        value = MACHINE.decode_result(result)
    except BadInput as wrong:
        return error(f"ERR {wrong}")
    return refusal(value) if type(value) is MachineError else error("ERR a result of another kind")
