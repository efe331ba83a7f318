"""Links: one TCP connection each, from the greeting to the last byte.

What is said on a link arrives in order and whole, or not at all, until the link breaks: a prefix.
Everything is bounded. What cannot leave waits in a queue; what does not fit is dropped and counted,
since a network may do that (CORE 21). Nothing here waits for the other side: a link that is stuck
costs its queue, and nobody else's time.

**Who is still there?** The kernel gives up a connection whose bytes are not acknowledged, but it
acknowledges bytes for a process that is stopped. So the side that dialled asks every `ping_s`, and
either side gives a link up after `silent_pings_max` rounds in which nothing came. Rounds are
counted, not seconds: a process that was itself stopped for a minute has missed one round, and
drops nobody. What has no room for a Pong may still be busy with what we send, so it says that it
hears something even where our Ping waits behind much else.
"""

import asyncio
import socket
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import msgspec

from concur.errors import BadInput
from concur.serve.addresses import join_address
from concur.serve.frames import (
    CONTROL_BYTES_MAX,
    HEADER_BYTES,
    ROUTES_MAX,
    Announce,
    Bye,
    Hello,
    Ping,
    Pong,
    Reader,
    Refused,
    Route,
    Said,
    control,
    header,
    heard,
)
from concur.serve.handshake import listed, objection
from concur.serve.tls import certificate_names

if TYPE_CHECKING:
    from concur.serve.transport import Transport


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a transport bears; at a limit it drops, and counts what it dropped."""

    frame_bytes_max: int = 64 << 20
    queue_bytes_max: int = 64 << 20
    """Of one link: what waits to be written."""
    partial_bytes_max: int = 256 << 20
    """Of all links together: frames of which a part has come. Who holds most is dropped."""
    connections_max: int = 20_000
    """Accepted, at the same time."""
    handshake_s: float = 5.0
    """For the greeting, and for the other side to close when we have said goodbye."""
    back_off_s: tuple[float, float] = (0.05, 1.0)
    """Before another attempt to dial: at first, and at most."""
    ping_s: float = 1.0
    silent_pings_max: int = 5


WRITE_BUFFER_BYTES = 256 << 10
"""What the event loop may hold before a link keeps the rest in its own queue."""
KEEP_ALIVE_S_MAX = 3600
"""Within what kernels accept."""


class Link(asyncio.Protocol):
    """One connection. `dialled` is the id that we dialled, "" if they dialled us."""

    def __init__(self, owner: "Transport", dialled: str = "") -> None:
        limits = owner.limits
        self.owner = owner
        self.dialled = dialled
        self.host = ""
        self.address = "an unknown address"
        self.ids: tuple[str, ...] = ()
        self.process = b""
        self.to = ""
        self.up = False
        self.queued = 0
        self.partial_bytes = 0
        self.rtt_s: float | None = None
        self.why = ""
        """Why the link ended, once it has."""
        self.ended: asyncio.Future[None] = owner.loop.create_future()
        self._transport: asyncio.Transport = cast(Any, None)
        self._deadline: asyncio.TimerHandle = cast(Any, None)
        self._closing = False
        self._leaving = False
        self._reader = Reader(limits.frame_bytes_max)
        self._numbers: dict[Route, int] = {}
        self._frames: list[bytes] = []
        self._waiting: deque[bytes] = deque()
        self._paused = False
        self._owed: Pong | None = None
        self._room = limits.queue_bytes_max
        self._silent = 0
        self._pinged = False
        self._ping_at = 0

    @property
    def name(self) -> str:
        return f"{listed(self.ids) if self.ids else self.dialled or 'somebody'} at {self.address}"

    # --- sending --------------------------------------------------------------------------------

    def send(self, route: Route, message: bytes) -> bool:
        """Queue a frame; it leaves with the next `flush`. False: dropped, the queue is full."""
        size = len(message)
        if self.queued + size > self._room:
            self.owner.counters["dropped: queue full"] += 1
            return False
        number = self._numbers.get(route) or self._announce(route)
        self.queued += size + HEADER_BYTES
        frames = self._frames
        if not frames:
            self.owner.dirty.append(self)
        frames.append(header(number, size))
        frames.append(message)
        return True

    def _announce(self, route: Route) -> int:
        if len(self._numbers) == ROUTES_MAX:
            self._numbers.clear()
        number = self._numbers[route] = len(self._numbers) + 1
        frame = control(Announce(number, *route))
        if not self._frames:
            self.owner.dirty.append(self)
        self._frames.append(frame)
        self.queued += len(frame)
        return number

    def flush(self) -> None:
        """Write, at once, what `send` has queued."""
        if not self._frames:
            return
        chunk = b"".join(self._frames)
        self._frames.clear()
        if self._paused:
            self._waiting.append(chunk)
        else:
            self.queued = 0
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        counters = self.owner.counters
        counters["writes"] += 1
        counters["bytes sent"] += len(chunk)
        self._transport.write(chunk)

    def pause_writing(self) -> None:
        self._paused = True
        self._room -= self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        self._paused = False
        self._room = self.owner.limits.queue_bytes_max
        if self._owed is not None:
            owed, self._owed = self._owed, None
            self._write(control(owed))
        while self._waiting and not self._paused:
            chunk = self._waiting.popleft()
            self.queued -= len(chunk)
            self._write(chunk)

    def _answer(self, pong: Pong) -> None:
        """Of answers that cannot leave, only the last is kept."""
        if self._paused:
            self._owed = pong
        else:
            self._write(control(pong))

    # --- receiving ------------------------------------------------------------------------------

    def data_received(self, chunk: bytes) -> None:
        if self._closing:
            if self._leaving:
                self._hear_goodbye(chunk)
            return
        self._silent = 0
        receive = self.owner.receive
        count = 0
        try:
            for route, body in self._reader.feed(chunk):
                count += 1
                if route:
                    group, source, target, path = route
                    receive(group, source, target, path, body)
                else:
                    self._control(heard(body))
                if self._closing:
                    return
        except BadInput as error:
            self.refuse(str(error) if self.up else "its first bytes are no greeting of Concur")
        finally:
            counters = self.owner.counters
            counters["frames received"] += count
            counters["bytes received"] += len(chunk)
            if self._reader.partial_bytes != self.partial_bytes:
                self._hold(self._reader.partial_bytes)

    def _hear_goodbye(self, chunk: bytes) -> None:
        """Both sides leave: neither reads what the other says, so neither needs to wait for it."""
        try:
            for route, body in self._reader.feed(chunk):
                if not route and type(heard(body)) is Bye:
                    self._transport.close()
        except BadInput:
            self._transport.abort()

    def _hold(self, partial_bytes: int) -> None:
        """Account for the frame of which so much has come."""
        if self._closing:
            partial_bytes = 0
        self.owner.partial_bytes += partial_bytes - self.partial_bytes
        self.partial_bytes = partial_bytes
        if self.owner.partial_bytes > self.owner.limits.partial_bytes_max:
            self.owner.drop_the_largest()

    def _control(self, said: Said) -> None:
        kind = type(said)
        if kind is Refused:
            why = f"refused there: {cast(Refused, said).why[:500]!r}"
            self.owner.trouble(self, why)
            self.drop(why)
        elif not self.up:
            if kind is not Hello:
                raise BadInput(f"{kind.__name__} before the greeting")
            self._greeted(cast(Hello, said))
        elif kind is Announce:
            self._learn(cast(Announce, said))
        elif kind is Ping:
            self._pinged = True
            self._answer(Pong(cast(Ping, said).at))
        elif kind is Pong:
            if self._ping_at and cast(Pong, said).at == self._ping_at:
                self.rtt_s = (time.monotonic_ns() - self._ping_at) * 1e-9
                self._ping_at = 0
        elif kind is Bye:
            self._close("the other side said goodbye")
        else:
            raise BadInput("it greeted twice")

    def _greeted(self, hello: Hello) -> None:
        owner = self.owner
        names = None
        if owner.verify_names and self._transport.get_extra_info("sslcontext") is not None:
            names = certificate_names(self._transport.get_extra_info("peercert"))
        why = objection(owner.identity, hello, dialled=self.dialled, names=names)
        if why:
            self.refuse(why)
            return
        self.ids, self.process, self.to = hello.hosted, hello.process, hello.to
        self._deadline.cancel()
        if not self.dialled:
            self._write(control(owner.identity.hello()))
        self.up = True
        owner.link_up(self)

    def _learn(self, said: Announce) -> None:
        """A route, if it may be: from those who live there to those who live here."""
        if said.source.partition("/")[0] not in self.ids:
            raise BadInput(f"it speaks for {listed([said.source])}, expected {listed(self.ids)}")
        hosted = self.owner.identity.hosted
        if said.target not in hosted:
            raise BadInput(f"it speaks to {listed([said.target])}, expected {listed(hosted)}")
        if not 1 <= said.number <= ROUTES_MAX:
            raise BadInput(f"it announces route {said.number}, expected 1 to {ROUTES_MAX}")
        self._reader.routes[said.number] = said.group, said.source, said.target, said.path

    # --- life -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        limits = self.owner.limits
        where = transport.get_extra_info("peername")
        if where:
            self.host = where[0]
            self.address = join_address(*where[:2])
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        _harden(transport.get_extra_info("socket"), limits)
        self._deadline = self.owner.loop.call_later(limits.handshake_s, self._late)
        if not self.owner.admit(self):
            self.drop(f"there are {limits.connections_max} connections, which is the limit")
        elif self.dialled:
            self._write(control(self.owner.identity.hello(self.dialled)))

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        self.why = self.why or (str(error) if error else "the other side closed it")
        self._down()
        self.owner.forget(self)
        self.ended.set_result(None)

    def check(self) -> None:
        """A round of pings. Has anything come since the last one?"""
        limits = self.owner.limits
        self._silent += 1
        if self._silent > limits.silent_pings_max:
            self.drop(f"it said nothing for {limits.silent_pings_max} rounds of pings")
        elif self.dialled:
            if not self._paused:
                self._ping_at = time.monotonic_ns()
                self._write(control(Ping(self._ping_at)))
        elif self._silent == 1 and not self._pinged:
            self._answer(Pong(0))
        self._pinged = False

    def refuse(self, why: str) -> None:
        """Tell them why, and no more."""
        self.owner.counters["refused"] += 1
        self.owner.trouble(self, why)
        self._transport.write(control(Refused(why[: CONTROL_BYTES_MAX // 8])))
        self._close(why)

    def leave(self) -> None:
        """Say goodbye behind all that was sent. The other side closes when it has read that."""
        if self._closing:
            return
        self.flush()
        for chunk in self._waiting:
            self._write(chunk)
        self._waiting.clear()
        self.queued = 0
        self._write(control(Bye()))
        self._leaving = True
        self.why = "closed here"
        self._down()
        self._give_up_later()

    def abort(self) -> None:
        self._transport.abort()

    def _close(self, why: str) -> None:
        """Close when what was written has left."""
        self.why = why
        self._down()
        self._give_up_later()
        self._transport.close()

    def drop(self, why: str) -> None:
        """Break it off: nothing of it must arrive any more."""
        self.why = why
        self._down()
        self._transport.abort()

    def _late(self) -> None:
        self.owner.counters["late handshakes"] += 1
        self.drop(f"no greeting within {self.owner.limits.handshake_s:g} s")

    def _give_up_later(self) -> None:
        self._deadline.cancel()
        self._deadline = self.owner.loop.call_later(
            self.owner.limits.handshake_s, self._transport.abort
        )

    def _down(self) -> None:
        """Nothing is sent or heard any more."""
        self._closing = True
        if self.queued:
            self.owner.counters["bytes lost with a link"] += self.queued
        self.queued = 0
        self._frames.clear()
        self._waiting.clear()
        self._hold(0)
        if self.up:
            self.up = False
            self.owner.link_down(self)


def _harden(sock: "socket.socket | None", limits: Limits) -> None:
    """Send at once, and notice when the other machine is gone."""
    if sock is None:
        return
    seconds = min(max(1, round(limits.ping_s * limits.silent_pings_max)), KEEP_ALIVE_S_MAX)
    idle = "TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE"
    wanted = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, idle, seconds),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", max(1, seconds // 5)),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 5),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", seconds * 1000),
    ]
    for level, name, value in wanted:
        option = getattr(socket, name, None)
        if option is not None:
            try:
                sock.setsockopt(level, option, value)
            except OSError:  # a platform that knows the name and not the thing; pings remain
                continue
