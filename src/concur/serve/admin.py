"""The door for those who look after a node: is it well, what does it do, and what it shall do.

| request | answer |
| --- | --- |
| `GET /health` | 200 while the loop turns and nothing has failed: else start the process again |
| `GET /ready` | 200 once the node has caught up and knows a leader; else 503, and why |
| `GET /metrics` | Prometheus' text format |
| `GET /status` | JSON |
| `POST /snapshot` | save a snapshot of this node now; 200 once it is on the disk |
| `POST /leader?to=r2` | let r2 lead; 200 once it does |

**Who may.** A `POST` needs the token, `Authorization: Bearer TOKEN`, even on loopback, where every
program and every web page of this machine can knock; beyond loopback so do `/metrics` and
`/status`. And every request needs a `Host` that names this door: a web page whose name was made to
lead here (DNS rebinding) cannot send that. What changes something is logged.

**What became of it.** 200: done. 409: refused, it did not and will not happen. 503: not now. 504:
nobody knows; ask `/status`. 501: not with this protocol.
"""

import asyncio
import hmac
import logging
import os
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concur.effects import Definite, Ok
from concur.errors import BadInput
from concur.parts.membership import Order, TransferLeadership
from concur.parts.transfer import Snapshots, TakeSnapshot
from concur.serve import metrics
from concur.serve.addresses import is_loopback, split_address
from concur.serve.config import NodeConfig
from concur.serve.http import HttpServer, Limits, Request, Response
from concur.serve.readiness import Readiness
from concur.serve.tls import refuse_exposed

if TYPE_CHECKING:
    from concur.serve.server import Server

log = logging.getLogger("concur.serve.admin")

TOKEN_FILE = "admin-token"
"""In the directory of a node, if no other file was configured."""
SNAPSHOT_S_MAX = 60.0
LOOK_S = 0.02
"""How often it is looked whether a snapshot is on the disk."""

Handler = Callable[[Request], Awaitable[Response]]


class Admin:
    """The door of one node. `start` opens it and says where it is."""

    def __init__(
        self,
        server: "Server",
        *,
        limits: Limits = Limits(),  # noqa: B008  # frozen
    ) -> None:
        """Speaks TLS if a certificate is configured. Raises BadInput."""
        self.server = server
        config = server.config
        tls = tls_of(config)
        self.exposed = not is_loopback(split_address(config.listen.admin, "listen.admin")[0])
        configured = config.secret(config.security.token_file)
        refuse_exposed(
            config.listen.admin,
            tls is not None and bool(configured),
            server="admin",
            needs="TLS and a token_file",
            insecure=config.security.insecure,
        )
        self.readiness = Readiness(server)
        self.http = HttpServer(self.answer, limits=limits, tls=tls)
        self._token = configured
        self._registry = metrics.registry_of(server)
        self._routes: dict[str, tuple[str, bool, Handler]] = {
            # path: (method, whether it needs the token, what answers)
            "/health": ("GET", False, self.health),
            "/ready": ("GET", False, self.ready),
            "/metrics": ("GET", self.exposed, self.metrics),
            "/status": ("GET", self.exposed, self.status),
            "/snapshot": ("POST", True, self.snapshot),
            "/leader": ("POST", True, self.leader),
        }

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> str:
        """The address. Makes a token if there is none. Raises BadInput."""
        config = self.server.config
        if not self._token:
            self._token = make_token(config.path(config.directory) / TOKEN_FILE)
        return await self.http.listen(config.listen.admin)

    async def stop(self) -> None:
        await self.http.close()

    # --- who may ----------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        if not self._is_here(request):
            return Response.error(421, "Host names another door, expected the address of this one")
        route = self._routes.get(request.path)
        if route is None:
            return Response.error(404, f"nothing here, expected one of {', '.join(self._routes)}")
        method, guarded, handler = route
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            return Response.error(405, f"expected {method} {request.path}", ("Allow", method))
        if guarded and not self._knows_token(request):
            log.warning("%s %s from %s: wrong token", method, request.path, request.peer)
            why = "expected the header Authorization: Bearer TOKEN, with the token of this node"
            return Response.error(401, why, ("WWW-Authenticate", "Bearer"))
        response = await handler(request)
        if method == "POST":
            what = "".join(f" {name}={value}"[:80] for name, value in request.query.items())
            log.info("%s%s, asked from %s: %d", request.path, what, request.peer, response.status)
        return response

    def _is_here(self, request: Request) -> bool:
        given = request.headers.get("host", "")
        host = given if given.endswith("]") or ":" not in given else given.rpartition(":")[0]
        host = host.removeprefix("[").removesuffix("]").lower()
        config = self.server.config
        addresses = (config.listen.admin, config.nodes[config.node])
        names = {split_address(address, "address")[0].lower() for address in addresses}
        return bool(host) and (is_loopback(host) or host in names | {request.here})

    def _knows_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1", "replace")
        known = self._token.encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, known)

    # --- looking ----------------------------------------------------------------------------------

    async def health(self, request: Request) -> Response:
        if self.server.host.failed.done():
            return Response.json(503, {"healthy": False, "why": "it has stopped for good"})
        return Response.json(200, {"healthy": True})

    async def ready(self, request: Request) -> Response:
        why = await self.readiness.why_not()
        if why:
            return Response.json(503, {"ready": False, "why": why})
        return Response.json(200, {"ready": True})

    async def metrics(self, request: Request) -> Response:
        return Response(200, metrics.exposition(self._registry), metrics.CONTENT_TYPE)

    async def status(self, request: Request) -> Response:
        why = await self.readiness.why_not()
        return Response.json(200, self.server.status() | self._more() | {"why_not_ready": why})

    def _more(self) -> dict[str, Any]:
        server, host = self.server, self.server.host
        place = host.places.get(server.config.node)
        saved = getattr(place.node, "saved", None) if place is not None else None
        times = host.lookout.sync_times
        quantiles = {50: times.quantile_s(0.5), 99: times.quantile_s(0.99)}
        return {
            "is_leader": place is not None and metrics.leads(place.node),
            "uptime_s": round((time.monotonic_ns() - host.began) * 1e-9, 3),
            "snapshot": 0 if saved is None else saved.index,
            "syncs": host.counters["syncs"],
            **{
                f"sync_ms_p{name}": None if value is None else round(value * 1000, 3)
                for name, value in quantiles.items()
            },
            "links": [link._asdict() for link in server.transport.links],
        }

    # --- acting -----------------------------------------------------------------------------------

    async def snapshot(self, request: Request) -> Response:
        """A replica takes one when its own process tells it to (`concur.parts.transfer`)."""
        host, id = self.server.host, self.server.config.node
        place = host.places.get(id)
        node: Any = place.node if place is not None else None
        if not isinstance(node, Snapshots):
            return Response.error(501, f"{id} has no replica that takes snapshots")
        if node.executed_mark() is None:
            return Response.error(503, f"{id} can take none now: what it executed is incomplete")
        wanted = node.executed
        host.receive(id, id, "", TakeSnapshot())
        until = time.monotonic() + SNAPSHOT_S_MAX
        while time.monotonic() < until:
            saved = node.saved
            if wanted <= (0 if saved is None else saved.index):
                return Response.json(
                    200, {"outcome": "ok", "snapshot": (saved and saved.index) or 0}
                )
            if host.failed.done():
                break
            await asyncio.sleep(LOOK_S)
        return _indefinite(f"no snapshot was saved within {SNAPSHOT_S_MAX:g} s")

    async def leader(self, request: Request) -> Response:
        server, to = self.server, request.query.get("to", "")
        members = ", ".join(server.everyone.universe)
        if to not in server.everyone.universe:
            return Response.error(400, f"to={to[:60]!r}, expected one of {members}")
        place = server.host.places.get(server.config.node)
        if place is None or TransferLeadership not in place.node._messages:
            label = server.protocol.label
            return Response.error(501, f"{label} does not hand over leadership when it is asked to")
        try:
            asked = server.order(Order(leader=to))
        except BadInput as error:
            return Response.error(501, str(error))
        # If whoever asked hangs up, the order goes on, and its end finds its future.
        either: list[asyncio.Future[Any]] = [asked, server.host.failed]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            return _indefinite("the node has stopped")
        outcome = asked.result()
        if type(outcome) is Ok:
            return Response.json(200, {"outcome": "ok", "leader": to})
        why = outcome.error  # type: ignore[union-attr]
        if type(outcome) is Definite:
            return Response.json(409, {"outcome": "definite", "error": why})
        return _indefinite(why)


def tls_of(config: NodeConfig) -> ssl.SSLContext | None:
    """This side shows its certificate; the other one has the token. Raises BadInput."""
    security = config.security
    if not security.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate, key = config.path(security.certificate), config.path(security.key)
    try:
        # A password would be asked for on the terminal of whoever started the server.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BadInput(
            f"TLS certificate {certificate} with key {key}: {error.args[-1]}, expected PEM files "
            "of a certificate and its unencrypted key"
        ) from None
    return context


def _indefinite(why: str) -> Response:
    return Response.json(504, {"outcome": "indefinite", "error": why})


def make_token(path: Path) -> str:
    """A new secret, in a file that nobody else may read. Raises BadInput."""
    token = secrets.token_urlsafe(32)
    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{token}\n")
        os.replace(scratch, path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}, expected a folder to write to") from None
    return token
