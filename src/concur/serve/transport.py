"""The transport: frames between processes over TCP, for any number of groups behind one port.

A process listens on one address and dials the peers that it knows. What it says to a peer that it
dials leaves on that link only, so each direction is one stream. What it says to somebody who only
dialled us, a client, leaves on the link that they dialled: the newest, if their process is new. A
peer's process may host more ids than the one that we dial; they are reached over the same link, so
a turn costs one write for each process.

    transport = Transport(cluster="c", hosted=("r1", "c1"), receive=receive)
    await transport.listen("127.0.0.1:0")
    transport.connect("r2", "127.0.0.1:7102")
    transport.send(0, "r1", "r2", "", message)      # queued, or dropped and counted
    transport.flush()                               # one write for each link that has something

`concur.serve.frames` has the bytes, `handshake` who may talk to whom, `links` one connection.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from concur.errors import BadInput
from concur.serve.addresses import join_address, split_address
from concur.serve.dialler import Dialler
from concur.serve.handshake import Identity, listed
from concur.serve.links import Limits, Link
from concur.serve.tls import is_mutual, refuse_exposed

__all__ = ["Limits", "LinkStatus", "Peer", "Transport"]

LISTEN_BACKLOG = 1024
SAID_MAX = 1024
"""About how many sources of trouble we remember what was last logged."""

Receive = Callable[[int, str, str, str, "bytes | memoryview"], None]


class Peer(msgspec.Struct, frozen=True):
    """Somebody to dial, at the address that they advertise, `host:port`."""

    id: str
    address: str


class LinkStatus(NamedTuple):
    """How one can reach `id`: "up", "dialling" (not connected), or "accepted" (they dialled us)."""

    id: str
    state: str
    queued_bytes: int
    rtt_s: float | None


class Transport:
    """Frames to and from other processes. Belongs to the event loop that runs when it is made."""

    def __init__(
        self,
        *,
        cluster: str,
        hosted: tuple[str, ...],
        receive: Receive,
        link: Callable[[str, bool], None] = lambda id, up: None,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
        verify_names: bool = True,
        insecure: bool = False,
        log: logging.Logger = logging.getLogger("concur.serve.transport"),  # noqa: B008  # shared
    ) -> None:
        """`receive(group, source, target, path, message)` is called for each frame; if it raises
        BadInput the link is dropped, and the reason logged. It must decode the message before it
        returns. `link(id, up)` hears when `id` can be reached, and when no longer.

        `verify_names`: with TLS, certificates must name the ids that their owners claim.
        `insecure`: listen beyond loopback even without mutual TLS.
        """
        self.identity = Identity(cluster, hosted, secrets.token_bytes(16))
        self.receive = receive
        self.limits = limits
        self.server_tls = server_tls
        self.client_tls = client_tls
        self.verify_names = verify_names
        self.insecure = insecure
        self.log = log
        self.counters: Counter[str] = Counter()
        self.loop = asyncio.get_running_loop()
        self.dirty: list[Link] = []
        self.partial_bytes = 0
        self._notify = link
        self._servers: list[asyncio.Server] = []
        self._diallers: dict[str, Dialler] = {}
        self._connections: dict[Link, None] = {}  # in order, as a dict is
        self._accepted = 0
        self._reaching: dict[str, list[Link]] = {}
        self._out: dict[str, Link] = {}
        self._said: dict[str, str] = {}
        self._closed = False
        self._nobody_left = asyncio.Event()
        self._sweeping = self.loop.call_later(limits.ping_s, self._sweep)

    # --- offered --------------------------------------------------------------------------------

    async def listen(self, address: str) -> str:
        """Accept links at `address`; the real one, if its port was 0. Raises BadInput."""
        refuse_exposed(address, is_mutual(self.server_tls), insecure=self.insecure)
        host, port = split_address(address, "peers")
        try:
            # One address even for a name that has several, or port 0 would mean several ports.
            found = await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            server = await self.loop.create_server(
                lambda: Link(self),
                str(found[0][4][0]),
                port,
                backlog=LISTEN_BACKLOG,
                **self.tls_arguments(self.server_tls),
            )
        except OSError as error:
            raise BadInput(
                f"peers at {address}: {error.strerror or error}, expected an address of this "
                "machine and a port that is free"
            ) from None
        self._servers.append(server)
        return join_address(*server.sockets[0].getsockname()[:2])

    def connect(self, id: str, address: str) -> None:
        """Keep a link for sending to `id`, for ever. Raises BadInput."""
        if id in self.identity.hosted:
            raise BadInput(f"{id} lives here, expected the id of another process")
        known = self._diallers.get(id)
        if known is not None and known.address == address:
            return
        dialler = Dialler(self, id, address)
        if known is not None:
            self._hang_up(known)
        self._diallers[id] = dialler
        self._choose_beside(id)

    def disconnect(self, id: str) -> None:
        """No longer dial `id`. What was sent so far still leaves."""
        dialler = self._diallers.pop(id, None)
        if dialler is not None:
            self._hang_up(dialler)
            self._choose_beside(id)

    def send(self, group: int, source: str, to: str, path: str, message: bytes) -> bool:
        """Queue a frame for `to`. False, and counted, if there is no way or no room."""
        link = self._out.get(to)
        if link is None:
            self.counters["dropped: no link"] += 1
            return False
        if len(message) > self.limits.frame_bytes_max:
            self.counters["dropped: too large"] += 1
            return False
        return link.send((group, source, to, path), message)

    def flush(self) -> None:
        """Write what was queued: one write for each link that has something."""
        dirty, self.dirty = self.dirty, []
        for link in dirty:
            link.flush()

    @property
    def links(self) -> list[LinkStatus]:
        """Those we dial, and then those who can be reached all the same."""
        rows = []
        for id in self._diallers:
            link = self._out.get(id)
            rows.append(
                LinkStatus(id, "dialling", 0, None)
                if link is None
                else LinkStatus(id, "up", link.queued, link.rtt_s)
            )
        for id, link in self._out.items():
            if id not in self._diallers:
                state = "up" if link.dialled else "accepted"
                rows.append(LinkStatus(id, state, link.queued, link.rtt_s))
        return rows

    async def close(self) -> None:
        """Say goodbye on all links and wait until what was sent has arrived, or gave up."""
        self._closed = True
        self._sweeping.cancel()
        for server in self._servers:
            server.close()
        for dialler in self._diallers.values():
            dialler.stop()
        self.flush()
        for link in tuple(self._connections):
            if link.up:
                link.leave()
            else:
                link.abort()
        self._nobody_left.clear()
        if self._connections:
            # Each link gives up by itself after `handshake_s`, so this ends.
            await self._nobody_left.wait()
        for server in self._servers:
            await server.wait_closed()
        self._diallers.clear()

    # --- what links and diallers report ---------------------------------------------------------

    def admit(self, link: Link) -> bool:
        """A connection was made. Whether there is room for it."""
        self._connections[link] = None
        if link.dialled:
            return not self._closed
        self._accepted += 1
        if self._accepted <= self.limits.connections_max and not self._closed:
            return True
        self.counters["dropped: too many connections"] += 1
        self._say_once("", logging.WARNING, "%d connections, more are dropped", self._accepted - 1)
        return False

    def forget(self, link: Link) -> None:
        """A connection is no more."""
        del self._connections[link]
        self._accepted -= not link.dialled
        if not self._connections:
            self._nobody_left.set()

    def drop_the_largest(self) -> None:
        """Too much has come of frames that are not whole. The fewest links pay for it."""
        self.counters["dropped: partial frames"] += 1
        link = max(self._connections, key=lambda link: link.partial_bytes)
        most = self.limits.partial_bytes_max
        link.refuse(f"it holds most of more than {most} bytes of frames that are not whole")

    def link_up(self, link: Link) -> None:
        """The newest link wins: an older one may lead to a process that is gone."""
        self.counters["links made"] += 1
        for id in link.ids:
            for older in tuple(self._reaching.get(id, ())):
                if older.process != link.process or (
                    older.to == link.to and not older.dialled and not link.dialled
                ):
                    why = f"replaced by a newer connection from {link.host}"
                    self._say_once(f"{id} again", logging.WARNING, "%s: %s", id, why)
                    older.drop(why)
        for id in link.ids:
            self._reaching.setdefault(id, []).append(link)
            self._choose(id)
        if link.dialled:
            self._said.pop(link.dialled, None)
            self.log.info("%s: connected", link.name)
            return
        self.log.debug("%s: dialled us", link.name)
        for id in link.ids:
            if id in self._diallers:
                self._diallers[id].wake()

    def link_down(self, link: Link) -> None:
        self.counters["links lost"] += 1
        for id in link.ids:
            reaching = self._reaching[id]
            reaching.remove(link)
            if not reaching:
                del self._reaching[id]
            self._choose(id)
        if not link.dialled:  # of one that we dialled its dialler speaks
            self.log.debug("%s: their link ended: %s", link.name, link.why)

    def lost(self, dialler: Dialler, why: str) -> None:
        """There is no link to somebody we dial, again or still."""
        self.counters["redials"] += 1
        text = "%s at %s: %s; trying again, at least every %g s"
        most = self.limits.back_off_s[1]
        self._say_once(dialler.id, logging.WARNING, text, dialler.id, dialler.address, why, most)

    def trouble(self, link: Link, why: str) -> None:
        """One side refused the other. Of a link that we dialled its dialler speaks."""
        if not link.dialled:
            who = listed(link.ids) if link.ids else "somebody"
            about = f"{who} from {link.host}"
            self._say_once(about, logging.WARNING, "%s: link dropped: %s", about, why)

    def tls_arguments(self, context: ssl.SSLContext | None) -> dict[str, Any]:
        """For `create_server` and `create_connection`."""
        if context is None:
            return {}
        seconds = self.limits.handshake_s
        return {
            "ssl": context,
            "ssl_handshake_timeout": seconds,
            "ssl_shutdown_timeout": seconds,
        }

    # --- own business ---------------------------------------------------------------------------

    def _choose(self, id: str) -> None:
        """On which link frames to `id` leave from now on."""
        reaching = self._reaching.get(id, [])
        if id in self._diallers:
            usable = [link for link in reaching if link.dialled == id]
        else:
            usable = [link for link in reaching if link.dialled]
            # Where we dial the process, what left on a link that it dialled could be overtaken by
            # what leaves on ours. And among equals the eldest serves, so nothing is overtaken.
            usable = usable or [link for link in reaching if not self._dials(link)]
        link = usable[0] if usable else None
        before = self._out.get(id)
        if link is before:
            return
        if link is None:
            del self._out[id]
        else:
            self._out[id] = link
        if before is not None:
            self._notify(id, False)
        if link is not None:
            self._notify(id, True)

    def _choose_beside(self, id: str) -> None:
        """We begin or cease to dial `id`: choose for all who live there."""
        ids = [id, *(other for link in self._reaching.get(id, ()) for other in link.ids)]
        for other in dict.fromkeys(ids):
            self._choose(other)

    def _dials(self, link: Link) -> bool:
        """Whether we dial anybody in the process at the other end."""
        return any(id in self._diallers for id in link.ids)

    def _hang_up(self, dialler: Dialler) -> None:
        link = dialler.link
        dialler.stop()
        if link is not None and link.up:
            link.leave()

    def _sweep(self) -> None:
        self._sweeping = self.loop.call_later(self.limits.ping_s, self._sweep)
        for link in tuple(self._connections):
            if link.up:
                link.check()

    def _say_once(self, about: str, level: int, text: str, *values: object) -> None:
        """Log it, unless the same was the last thing that we logged about this one."""
        said = text % values
        if self._said.get(about) == said:
            return
        if len(self._said) >= SAID_MAX:
            self._said.clear()
        self._said[about] = said
        self.log.log(level, "%s", said)
