"""A closed loop: each connection asks, waits for the answer, and asks the next.

The generator must not be what is measured, so an answer costs one callback, one look at the clock
and one write: no task, no future, no queue. What is asked, and what becomes of the answers, is up
to an `Asker` for each connection.
"""

import asyncio
import os
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from concur.errors import ConcurError
from concur.serve.load.wire import MORE, Answer, Garbled, Refusal, Wire

Address = tuple[str, int]

BACK_OFF_S = 0.01
"""Between a refusal, or a lost connection, and the next attempt."""
CONNECT_S_MAX = 5.0
TIMEOUT_S = 10.0
WATCH_S = 0.1
FAREWELL_S_MAX = 1.0
CONNECTING_MAX = 100
"""Connections that are being made at the same time, within any server's backlog."""


class Unreachable(ConcurError):
    """Nobody serves at an address."""


class Refused(ConcurError):
    """A server says that it will not do what is asked."""


class Asker(ABC):
    """What one connection asks, one request at a time, and what it makes of the answers.

    It may raise a ConcurError about an answer: that ends the load.
    """

    @abstractmethod
    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        """The next request; None: there is no more to ask."""

    @abstractmethod
    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        """What came back, a definite or indefinite Refusal among it."""

    @abstractmethod
    def lost(self, why: str, now_ns: int) -> None:
        """The connection broke, or nothing came in time: nobody knows what became of it."""


class _Connection(asyncio.Protocol):
    """One connection, which is made again when it breaks."""

    def __init__(self, load: "Load", index: int, asker: Asker) -> None:
        self.load = load
        self.index = index
        self.asker = asker
        self.attempts = 0
        self.address: Address = load.addresses[index % len(load.addresses)]
        self.wire: Wire
        self.transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] | None = None
        self.asked_ns = -1
        """When the request that is outstanding was asked; -1: there is none."""
        self.done = False

    # --- the hot path -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            answer = self.wire.receive(data)
            if answer is MORE:
                return
            asked = self.asked_ns
            if asked < 0:
                self._unasked(answer)
                return
            now = time.perf_counter_ns()
            self.asked_ns = -1
            if answer.__class__ is Refusal:
                self._refused(answer, asked, now)
                return
            self.asker.answered(answer, asked, now)
            request = None if self.load.stopping else self.asker.ask(self.wire, now)
        except ConcurError as error:
            self._fail(error)
            return
        if request is None:
            self._finish()
            return
        self.asked_ns = now
        self.transport.write(request)  # type: ignore[union-attr]

    # --- the rest ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask, if there is something to ask."""
        if self.done or self.transport is None or self.asked_ns >= 0:
            return
        now = time.perf_counter_ns()
        request = None if self.load.stopping else self.asker.ask(self.wire, now)
        if request is None:
            self._finish()
            return
        self.asked_ns = now
        self.transport.write(request)

    def _refused(self, refusal: Refusal, asked: int, now: int) -> None:
        self.asker.answered(refusal, asked, now)
        if refusal.kind == "fatal":
            raise Refused(f"it said {refusal.text!r}")
        self.load.loop.call_later(BACK_OFF_S, self.begin)

    def _unasked(self, answer: Answer) -> None:
        """The answer to the greeting, or something that nobody asked for."""
        if isinstance(answer, Refusal):
            raise Refused(f"it said {answer.text!r}")
        if self.ready is None or self.ready.done():
            raise Garbled(f"it said {answer!r}, unasked")
        self.ready.set_result(None)

    def _fail(self, error: ConcurError) -> None:
        why = f"{self._where()}: {error}"
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(type(error)(why))
        self.load.fail(why, type(error))

    def _finish(self) -> None:
        if not self.done:
            self.done = True
            self.load.one_done()

    def _where(self) -> str:
        host, port = self.address
        return f"{host}:{port}"

    # --- connecting -------------------------------------------------------------------------------

    async def connect_within(self, attempts: int) -> None:
        """Raises Unreachable."""
        for left in reversed(range(attempts)):
            try:
                return await self.connect()
            except Unreachable:
                if not left:
                    raise

    async def connect(self) -> None:
        """Raises Unreachable."""
        self.address = self.load.addresses[(self.index + self.attempts) % len(self.load.addresses)]
        self.attempts += 1
        self.wire = self.load.wire()
        self.ready = self.load.loop.create_future()
        host, port = self.address
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                loop, tls = self.load.loop, self.load.tls
                await loop.create_connection(lambda: self, host, port, ssl=tls)
                await self.ready
        except TimeoutError:
            self.abort()
            raise Unreachable(f"{self._where()}: no answer in {CONNECT_S_MAX:g} s") from None
        except OSError as error:
            raise Unreachable(f"{self._where()}: {_reason(error)}, expected a server") from None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's derives from neither
        self.wire.send = self.transport.write  # type: ignore[union-attr]
        greeting = self.wire.greeting()
        if greeting:
            self.transport.write(greeting)  # type: ignore[union-attr]
        else:
            assert self.ready is not None
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        load = self.load
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(ConnectionResetError(0, "it closed the connection"))
            return
        if self.done or load.closed:
            return
        why = "the connection was closed" if error is None else str(error)
        if not load.reconnect:
            load.fail(f"{self._where()}: {why}", Unreachable)
            return
        if self.asked_ns >= 0:
            self.asked_ns = -1
            self.asker.lost(why, time.perf_counter_ns())
        load.lost += 1
        load.spawn(self._again())

    async def _again(self) -> None:
        """Until somebody takes us, or the load is over."""
        while not self.load.stopping:
            await asyncio.sleep(BACK_OFF_S)
            try:
                await self.connect()
            except Unreachable:
                continue
            self.begin()
            return
        self._finish()

    def leave(self) -> None:
        """Say good-bye, if the protocol has a word for it, and close."""
        if self.transport is not None:
            farewell = self.wire.farewell()
            if farewell:
                self.transport.write(farewell)
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def _reason(error: OSError) -> str:
    """Loops word the same error differently."""
    if error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return error.strerror or str(error)


class Load:
    """Connections that ask from `begin` to `stop`. Belongs to one event loop."""

    def __init__(
        self,
        addresses: Sequence[Address],
        wire: Callable[[], Wire],
        askers: Sequence[Asker],
        *,
        reconnect: bool = False,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connection i goes to address i, around and around. With `reconnect` a connection that
        breaks, or waits for longer than `timeout_s`, is made again, to the next address; without,
        that ends the load."""
        self.addresses = tuple(addresses)
        self.wire = wire
        self.reconnect = reconnect
        self.timeout_s = timeout_s
        self.tls = tls
        self.loop = asyncio.get_running_loop()
        self.stopping = self.closed = False
        self.lost = 0
        """Connections that broke."""
        self._connections = [_Connection(self, i, asker) for i, asker in enumerate(askers)]
        self._left = len(self._connections)
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        """Make all connections; with `reconnect`, to whichever address takes them. Raises
        Unreachable or Refused."""
        attempts = len(self.addresses) if self.reconnect else 1
        for start in range(0, len(self._connections), CONNECTING_MAX):
            some = self._connections[start : start + CONNECTING_MAX]
            results = await asyncio.gather(
                *(c.connect_within(attempts) for c in some), return_exceptions=True
            )
            self._raise()
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    def begin(self) -> None:
        self._watch()
        try:
            for connection in self._connections:
                connection.begin()
        except ConcurError as error:
            self.fail(str(error), type(error))

    async def during(self, seconds: float) -> None:
        """Let it go on for so long, or until all is asked. Raises what an asker or a server did."""
        await asyncio.wait([self._over], timeout=seconds)
        self._raise()

    def stop(self) -> None:
        """Ask nothing more."""
        self.stopping = True

    async def ended(self) -> None:
        """Wait for what is outstanding, for `timeout_s` at most. Raises as `during` does."""
        await asyncio.wait([self._over], timeout=self.timeout_s + WATCH_S)
        self._raise()
        now = time.perf_counter_ns()
        for connection in self._connections:
            if connection.asked_ns >= 0:
                connection.asked_ns = -1
                connection.asker.lost("no answer in time", now)

    async def close(self) -> None:
        self.closed = self.stopping = True
        if self._over.done():
            self._over.exception()  # whoever closes has heard it, or does not want to
        if self._watching is not None:
            self._watching.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._connections:
            connection.leave()
        deadline = self.loop.time() + FAREWELL_S_MAX
        while any(c.transport is not None for c in self._connections):
            await asyncio.sleep(0.001)
            if self.loop.time() > deadline:
                for connection in self._connections:
                    connection.abort()
                break  # a loop may never tell of a connection whose making was cancelled

    # --- told by connections ----------------------------------------------------------------------

    def one_done(self) -> None:
        self._left -= 1
        if not self._left and not self._over.done():
            self._over.set_result(None)

    def fail(self, why: str, kind: type[ConcurError]) -> None:
        self.stopping = True
        if not self._over.done():
            self._over.set_exception(kind(why))

    def spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _raise(self) -> None:
        if self._over.done():
            self._over.result()

    def _watch(self) -> None:
        """Give up what has waited for too long."""
        self._watching = self.loop.call_later(WATCH_S, self._watch)
        before = time.perf_counter_ns() - int(self.timeout_s * 1e9)
        for connection in self._connections:
            if 0 <= connection.asked_ns < before:
                if not self.reconnect:
                    self.fail(f"no answer in {self.timeout_s:g} s", Unreachable)
                    return
                connection.asked_ns = -1
                connection.asker.lost("no answer in time", time.perf_counter_ns())
                connection.abort()
