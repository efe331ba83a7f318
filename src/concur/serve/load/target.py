"""What is loaded, as people write it, and who answers there."""

import ssl
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from concur.errors import BadInput
from concur.serve.load.drive import CONNECT_S_MAX, Address, Asker, Load, Unreachable
from concur.serve.load.resp import RespWire, command
from concur.serve.load.wire import Answer, Wire

PORT = 6379


class Target(msgspec.Struct, frozen=True):
    """One server of a cluster."""

    url: str
    address: Address
    tls: bool
    user: str = ""
    password: str = ""


def target(url: str) -> Target:
    """The server that `redis://[[user]:password@]host[:port]` or `rediss://...` (TLS) means.

    Raises BadInput.
    """
    wrong = BadInput(f"target {url!r}: expected redis://host:port, or rediss:// for TLS")
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or port == 0:
        raise wrong
    if parts.path not in ("", "/", "/0") or parts.query or parts.fragment:
        raise wrong
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    address = parts.hostname, PORT if port is None else port
    return Target(shown, address, parts.scheme == "rediss", user, password)


def tls_for(targets: Sequence[Target], authority: str = "") -> ssl.SSLContext | None:
    """What TLS takes, if the targets want it. Raises BadInput for a file that is no authority."""
    if len({(each.tls, each.user, each.password) for each in targets}) > 1:
        raise BadInput("targets: expected the same user, password and TLS for all")
    if not targets[0].tls:
        return None
    try:
        return ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"--ca {authority}: {error}, expected a certificate authority") from None


class _Once(Asker):
    """One request."""

    def __init__(self, request: bytes) -> None:
        self.request: bytes | None = request
        self.answer: Answer = None

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        request, self.request = self.request, None
        return request

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        self.answer = answer

    def lost(self, why: str, now_ns: int) -> None:
        pass


async def who(at: Target, tls: ssl.SSLContext | None) -> dict[str, str]:
    """What a server says of itself in INFO. Raises Unreachable, Refused or Garbled."""
    asker = _Once(command(b"INFO"))
    load = Load(
        [at.address], lambda: RespWire(at.password, at.user), [asker],
        timeout_s=CONNECT_S_MAX, tls=tls,
    )  # fmt: skip
    try:
        await load.connect()
        load.begin()
        await load.during(CONNECT_S_MAX)
    finally:
        await load.close()
    said = asker.answer
    if said is None:
        raise Unreachable(f"{at.url}: no answer to INFO, expected a Redis server")
    if not isinstance(said, bytes):
        return {}
    pairs = (line.partition(":") for line in said.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in pairs if colon and not name.startswith("#")}


def name_of(info: dict[str, str]) -> str:
    """The protocol of one of our servers; what else it is otherwise."""
    version = info.get("redis_version", "")
    return info.get("protocol") or f"redis {version}".strip()
