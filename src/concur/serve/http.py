"""HTTP/1.1 for the few who look after a node: one request for each connection, all of it bounded.

h11 reads what comes in. Whoever sends garbage, too much, too slowly or nothing at all gets one
answer at the most, and is cut off. Connections beyond the limit are closed unheard.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import h11
import msgspec

from concur.errors import BadInput
from concur.serve.addresses import join_address, split_address

log = logging.getLogger("concur.serve.admin")

HEAD_BYTES_MAX = 16 << 10
"""The request's first line and its headers, together."""
BODY_BYTES_MAX = 4 << 10
"""No request here needs a body."""
FIELDS_MAX = 16
"""Names in a query."""


class Limits(msgspec.Struct, frozen=True):
    """`request_s`: for a whole request to arrive; `response_s`: for its answer to be read."""

    connections_max: int = 100
    request_s: float = 10.0
    response_s: float = 10.0


class Request(msgspec.Struct, frozen=True):
    """What was asked. Header names are in lower case; one that came twice is not among them.

    `here` is the address of this machine that the client has reached.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    here: str
    peer: str


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def json(cls, status: int, value: Any, *headers: tuple[str, str]) -> "Response":
        body = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2) + b"\n"
        return cls(status, body, headers=headers)

    @classmethod
    def error(cls, status: int, why: str, *headers: tuple[str, str]) -> "Response":
        return cls.json(status, {"error": why}, *headers)


class HttpServer:
    """Listens, and asks `answer` for the response to each request."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Response]],
        *,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.limits = limits
        self.tls = tls
        self.counters: Counter[str] = Counter()
        self.connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, address: str) -> str:
        """The real address, if its port was 0. Raises BadInput."""
        host, port = split_address(address, "admin")
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), host, port, ssl=self.tls,
                ssl_handshake_timeout=None if self.tls is None else self.limits.request_s,
            )  # fmt: skip
        except OSError as error:
            raise BadInput(
                f"admin at {address}: {error.strerror or error}, expected an address of this "
                "machine and a port that is free"
            ) from None
        return join_address(*self._server.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Cut everybody off."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()


class Connection(asyncio.Protocol):
    """A client: it asks once, is answered, and goes."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None
        self._head: h11.Request | None = None
        self._body_bytes = 0
        self._heard = False  # the request is complete, or is refused: nothing more is read
        self._said_all = False  # their half of the connection is closed
        self._answered = False
        self._answering: asyncio.Task[None] | None = None

    # --- reading ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self.server
        if len(server.connections) >= server.limits.connections_max:
            server.counters["dropped: too many connections"] += 1
            self.abort()
            return
        server.connections[self] = None
        server.counters["connections"] += 1
        self._cut_off_after(server.limits.request_s)

    def data_received(self, data: bytes) -> None:
        if self._heard:
            return
        try:
            self._http.receive_data(data)
            while not self._heard:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    return
                self._hear(event)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))

    def _hear(self, event: Any) -> None:
        if type(event) is h11.Request:
            self._head = event
            # h11 bounds what is incomplete; this came whole.
            if len(event.target) + sum(len(n) + len(v) for n, v in event.headers) > HEAD_BYTES_MAX:
                self._refuse(431, f"expected a head of at most {HEAD_BYTES_MAX} bytes")
        elif type(event) is h11.Data:
            self._body_bytes += len(event.data)
            if self._body_bytes > BODY_BYTES_MAX:
                self._refuse(413, f"expected a body of at most {BODY_BYTES_MAX} bytes")
        elif type(event) is h11.EndOfMessage:
            self._ask()
        else:  # they closed before they asked
            self._heard = True
            self._transport.close()

    def eof_received(self) -> bool:
        """They say no more; what they asked for they still want, where TCP can be half closed."""
        self._said_all = True
        return self.server.tls is None and self._heard and not self._answered

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_clock()
        self.server.connections.pop(self, None)
        if self._answering is not None:
            self._answering.cancel()

    def abort(self) -> None:
        self._transport.abort()

    # --- answering --------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._heard = True
        self._stop_clock()
        assert self._head is not None
        try:
            request = self._request(self._head)
        except ValueError as error:
            self._refuse(400, f"malformed target: {error}")
            return
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))

    def _request(self, head: h11.Request) -> Request:
        target = urlsplit(head.target.decode("ascii"))
        fields = parse_qsl(
            target.query, keep_blank_values=True, strict_parsing=bool(target.query),
            max_num_fields=FIELDS_MAX,
        )  # fmt: skip
        headers: dict[str, str] = {}
        twice = set()
        for name, value in head.headers:
            key = name.decode("ascii")
            twice |= {key} & headers.keys()
            headers[key] = value.decode("latin-1")
        return Request(
            head.method.decode("ascii"),
            target.path,
            dict(fields),
            {name: value for name, value in headers.items() if name not in twice},
            self._end("sockname"),
            self._end("peername"),
        )

    def _end(self, which: str) -> str:
        found = self._transport.get_extra_info(which)
        return str(found[0]) if found else ""

    async def _answer(self, request: Request) -> None:
        try:
            response = await self.server.answer(request)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = Response.error(500, "this is a bug, and the node's log tells more")
        self._respond(response)

    def _refuse(self, status: int, why: str) -> None:
        self._heard = True
        self.server.counters["refused"] += 1
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._respond(Response.error(status, why))
        else:
            self.abort()

    def _respond(self, response: Response) -> None:
        self._stop_clock()
        self._answered = True
        reason = HTTPStatus(response.status).phrase
        headers = [
            ("Content-Type", response.kind),
            ("Content-Length", str(len(response.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
            *response.headers,
        ]
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        self._send(head)
        if self._head is None or self._head.method != b"HEAD":
            self._send(h11.Data(data=response.body))
        self._send(h11.EndOfMessage())
        self._cut_off_after(self.server.limits.response_s)
        if self._transport.can_write_eof() and not self._said_all:
            # They close when they have read it. Closing here, while they still send, would make the
            # system throw away what they have not read yet.
            self._transport.write_eof()
        else:
            self._transport.close()

    def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            self._transport.write(data)

    # --- patience ---------------------------------------------------------------------------------

    def _cut_off_after(self, seconds: float) -> None:
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _late(self) -> None:
        self.server.counters["dropped: too slow"] += 1
        self.abort()
