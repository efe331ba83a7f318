"""One client's connection: requests in, replies out, in order.

What a client asks for waits in two lists side by side: `bodies`, commands for the machine, encoded;
and `replies`, one for each request: the bytes, if the gateway knows them itself, or a function of
the machine's result. The gateway takes both as they are (`Gateway.pump`) and hands the results
back. Only then does it take what has come meanwhile. So the commands of a connection take effect
in order, and one sees what those before it did.
"""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import msgspec

from concur.machines.redis import COUNT_MAX, Exec
from concur.serve.redis.commands import Verb, Wrong, takes_long, unknown, wrong_arity
from concur.serve.redis.local import TABLE, Local
from concur.serve.redis.replies import Reply, of_transaction
from concur.serve.resp import QUEUED, STRANGER, Parser, ProtocolError, error
from concur.serve.ticks import TIMED

if TYPE_CHECKING:
    from concur.serve.redis.gateway import Gateway

_SMALL, _FEW = 4096, 64  # bytes and requests that are not worth being counted

HTTP = (b"POST", b"HOST:")
"""Words of a browser that a web page has sent here; as with Redis, whoever says them is not heard
out, or a page could write to a cluster on its reader's machine."""

_encode = msgspec.msgpack.Encoder().encode


class Transaction:
    """What came after MULTI. `broken`: something was refused, so EXEC will be."""

    __slots__ = ("bodies", "broken", "parts", "size", "timed", "walks", "writes")

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.parts: list[Reply | bytes] = []
        self.size = 0
        self.writes = self.timed = self.walks = self.broken = False


class RespConnection(asyncio.Protocol):
    """Ten thousand of these may be idle, so they hold little."""

    __slots__ = (
        "_gateway", "_parser", "_transport", "authenticated", "bodies", "busy", "bytes", "closing",
        "costly", "held", "id", "name", "paused", "protocol", "ready", "replies", "stuck", "taken",
        "timed", "transaction", "waiting", "writes",
    )  # fmt: skip

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._transport: Any = None
        self.id = 0
        self.name = b""
        self.protocol = 0  # 0 is RESP2, 1 is RESP3
        self.authenticated = gateway.password is None
        self._parser = Parser(gateway.limits.request if self.authenticated else STRANGER)
        self.transaction: Transaction | None = None
        self.bodies: list[bytes] = []
        self.replies: list[Reply | bytes] = []
        self.bytes = 0  # of the bodies
        self.costly: tuple[int, ...] = ()  # where in them those end that take long
        self.ready = 0  # bytes of the replies that are there already
        self.taken = 0  # and of such that the gateway has taken, to be told in their turn
        self.writes = self.timed = False  # whether one of them does
        self.waiting = False  # for the gateway to take them
        self.busy = False  # what was taken has not been answered
        self.stuck = False  # the client does not read what it was told
        self.paused = False  # the client is not read from
        self.closing = False
        self.held = 0  # bytes, as the gateway knows

    # --- called by the event loop ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._gateway.admit(self):
            self.closing = True
            self._transport.write(error("ERR max number of clients reached"))
            self._transport.close()
            return
        self._transport.set_write_buffer_limits(high=self._gateway.limits.output_low_bytes)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        try:
            self._parser.feed(data, self._take)
        except ProtocolError as wrong:
            if not self.closing:
                self.refuse(f"ERR Protocol error: {wrong}")
                self.closing = True
        self.settle()

    def eof_received(self) -> bool:
        """What was asked is still answered: `printf ... | nc` closes its side at once."""
        self.closing = True
        self.settle()
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        self.stuck = True
        self._pause_or_resume()

    def resume_writing(self) -> None:
        self.stuck = False
        self.settle()

    def connection_lost(self, exception: Exception | None) -> None:
        self.closing = True
        self.bodies, self.replies, self.transaction = [], [], None
        self.bytes = self.ready = self.taken = 0
        self.costly = ()
        self._gateway.forget(self)

    # --- requests --------------------------------------------------------------------------------

    def _take(self, a: list[bytes]) -> None:
        if self.closing:
            return
        entry = TABLE.get(a[0]) or TABLE.get(a[0].upper())
        if entry is None and a[0].upper() in HTTP:
            self._gateway.log(f"client {self.id} speaks HTTP, perhaps a web page does: closed")
            self.abort()
            return
        if entry is None:
            self.refuse(unknown(a))
            return
        arity = entry.arity
        if len(a) != arity and (arity > 0 or len(a) < -arity):
            self.refuse(wrong_arity(a[0]))
            return
        if not self.authenticated and not (isinstance(entry, Local) and entry.stranger):
            self.refuse("NOAUTH Authentication required.")
        elif isinstance(entry, Local):
            self._answer_here(entry, a)
        else:
            self._translate(entry, a)

    def _answer_here(self, entry: Local, a: list[bytes]) -> None:
        t = None if entry.direct else self.transaction
        try:
            reply = entry.answer(self, a)
        except Wrong as wrong:
            if t is None:
                self.refuse(str(wrong))
                return
            reply = error(str(wrong))
        if t is not None:
            self._queue(t, reply)
        elif reply:
            self.say(reply)

    def _translate(self, verb: Verb, a: list[bytes]) -> None:
        t = self.transaction
        try:
            command, shape = verb.made(a, self._gateway.clock_ms)
        except Wrong as wrong:
            if t is None:
                self.refuse(str(wrong))
            else:  # as with Redis, which looks at arguments when it executes
                self._queue(t, error(str(wrong)))
            return
        timed = verb.writes and type(command) in TIMED
        if t is None:
            self._ask(_encode(command), shape[self.protocol], verb.writes, timed)
            if verb.walks and takes_long(command):
                self.costly += (len(self.bodies),)
        else:
            self._queue(t, shape[self.protocol], _encode(command), verb.writes, timed)
            t.walks |= verb.walks

    def _ask(self, body: bytes, reply: Reply, writes: bool, timed: bool) -> None:
        self.bodies.append(body)
        self.replies.append(reply)
        self.bytes += len(body)
        if writes:
            self.writes = True
            if timed:
                self.timed = True

    def refuse(self, words: str) -> None:
        """Answer with an error, which also breaks a transaction that has begun."""
        if self.transaction is not None:
            self.transaction.broken = True
        self.say(error(words))

    def say(self, reply: bytes) -> None:
        """Answer, after what was asked before has been."""
        self.replies.append(reply)
        self.ready += len(reply)

    # --- transactions ----------------------------------------------------------------------------

    def _queue(
        self,
        t: Transaction,
        reply: Reply | bytes,
        body: bytes = b"",
        writes: bool = False,
        timed: bool = False,
    ) -> None:
        """Add a command; or, without a body, a reply that is known already."""
        t.size += len(reply) if isinstance(reply, bytes) else len(body)
        if t.size > self._gateway.limits.request.request_bytes_max or len(t.parts) >= COUNT_MAX:
            t.parts.clear()
            t.bodies.clear()
            self.refuse("ERR transaction is too large")
            return
        t.parts.append(reply)
        if body:
            t.bodies.append(body)
        t.writes |= writes
        t.timed |= timed
        self.say(QUEUED)

    def begin(self) -> None:
        self.transaction = Transaction()

    def execute(self) -> None:
        """EXEC: one command to the machine, which nothing can come between."""
        t = self.transaction
        assert t is not None
        self.transaction = None
        if t.broken:
            self.refuse("EXECABORT Transaction discarded because of previous errors.")
            return
        body = _encode(Exec(tuple(t.bodies)))
        self._ask(body, of_transaction(t.parts), t.writes, t.timed)
        self.ready += sum(len(part) for part in t.parts if type(part) is bytes)
        if t.walks:
            self.costly += (len(self.bodies),)

    # --- taken and answered ----------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes for batches. What takes long counts as much as a batch may have, to be its last."""
        return self.bytes + len(self.costly) * self._gateway.limits.batch_bytes_max

    def segment(self, commands_max: int) -> tuple[list[bytes], list[Reply | bytes]]:
        """What the gateway takes: all, or the beginning of what is too much for one batch. A batch
        is executed in one go, so it has one command that takes long at most, and ends there."""
        bodies, replies = self.bodies, self.replies
        if self.costly:
            commands_max = min(commands_max, self.costly[0])
            self.costly = tuple(end - commands_max for end in self.costly if end > commands_max)
        self.waiting = False
        self.busy = True
        if len(bodies) <= commands_max:
            self.bodies, self.replies = [], []
            self.bytes = 0
            self.taken, self.ready = self.ready, 0
            self.writes = self.timed = False
            return bodies, replies
        end = left = 0
        while left < commands_max or type(replies[end]) is bytes:
            left += type(replies[end]) is not bytes
            end += 1
        self.bodies, self.replies = bodies[commands_max:], replies[end:]
        self.bytes = sum(map(len, self.bodies))
        self.taken = sum(len(reply) for reply in replies[:end] if type(reply) is bytes)
        self.ready -= self.taken  # what transactions hold is counted until all is taken
        return bodies[:commands_max], replies[:end]

    def put_back(self, bodies: list[bytes], replies: list[Reply | bytes], writes: bool) -> None:
        """What was taken and not executed, to be taken again before anything else."""
        self.bodies = bodies + self.bodies
        self.replies = replies + self.replies
        self.bytes += sum(map(len, bodies))
        self.costly = tuple(len(bodies) + end for end in self.costly)
        self.ready += self.taken  # perhaps less
        self.writes |= writes
        self.timed |= writes  # perhaps: to tell the time once too often does no harm

    def answer(self, data: bytes) -> None:
        """What was taken has been answered."""
        self.busy = False
        self.taken = 0
        if not self._transport.is_closing():
            self._transport.write(data)
            self.settle()

    def settle(self) -> None:
        """After any change: see to it that everything goes on."""
        if self._transport.is_closing():
            return
        if not self.busy and not self.stuck:
            if self.bodies:
                if not self.waiting:
                    self.waiting = True
                    self._gateway.ready(self)
            elif self.replies:
                data = b"".join(cast("list[bytes]", self.replies))
                self.replies = []
                self.ready = 0
                self._transport.write(data)
        if self.closing and not self.busy and not self.replies:
            self._transport.close()
        elif (
            self.bytes + self.ready + self.taken > _SMALL
            or len(self.replies) > _FEW
            or self._parser.held > _SMALL
            or self.stuck
            or self.paused
            or self.held
            or self.transaction is not None
        ):
            self._bound()

    def _bound(self) -> None:
        """See to it that it does not hold too much."""
        self._pause_or_resume()
        held = self._parser.held + self.bytes + self.ready + self.taken
        if self.transaction is not None:
            held += self.transaction.size
        if self.stuck:
            unread = self._transport.get_write_buffer_size()
            held += unread
            if unread > self._gateway.limits.output_bytes_max:
                self._gateway.log(f"client {self.id} does not read its replies: closed")
                self.abort()
        if held != self.held:
            self._gateway.holds(self, held)

    def abort(self) -> None:
        self.closing = True
        self._transport.abort()

    def authenticate(self) -> None:
        self.authenticated = True
        self._parser.limits = self._gateway.limits.request

    def reset(self) -> None:
        """RESET: as a new connection, but for the name of the transport."""
        self.transaction = None
        self.protocol = 0
        self.name = b""
        self.authenticated = self._gateway.password is None
        if not self.authenticated:
            self._parser.limits = STRANGER

    @property
    def gateway(self) -> "Gateway":
        return self._gateway

    def _pause_or_resume(self) -> None:
        limits = self._gateway.limits
        full = (
            self.stuck
            or len(self.replies) >= limits.pending_commands_max
            or self.bytes + self.ready + self.taken >= limits.pending_bytes_max
        )
        if full is not self.paused and not self._transport.is_closing():
            self.paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
