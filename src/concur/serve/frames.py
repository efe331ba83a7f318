"""Frames: how messages are cut out of a stream of bytes, and what links say to each other.

    +----------------+----------------+---------------------+
    | length, 4 byte | route, 2 bytes | length - 2 bytes    |      numbers are big-endian
    +----------------+----------------+---------------------+

A *route* says whose message it is: (group, source, target, path). It is announced once for each
connection, so that a frame costs six bytes more than its message. Route 0 is for the links
themselves: `Control` messages, in MessagePack.

A receiver believes nothing before it has checked it. A length beyond the limit, or a route that
was never announced, is refused as soon as its bytes are there; so before a greeting was accepted,
when there is no route yet, nobody can make us keep more than `CONTROL_BYTES_MAX`.
"""

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from concur.errors import BadInput
from concur.messages import decode, encode

VERSION = 1
"""Of everything in this file. Links speak only with their own version."""
CONTROL_BYTES_MAX = 16 << 10
ROUTES_MAX = 4096
"""Routes of one connection and direction. A sender that needs more begins anew with route 1."""

Route = tuple[int, str, str, str]
"""Group, source, target, path: what `receive` of a transport is told before the message."""


# --- what links say to each other -----------------------------------------------------------------


class Control(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of what travels on route 0, as `["Ping", ...]`."""


class Hello(Control, frozen=True, tag="concur"):
    """The first frame of each side; the tag is the magic word, and other versions begin alike.

    `hosted` are the ids that live here, `process` names this run of the process and no other, `to`
    is whom the side that dials expects to reach, "" in the answer.
    """

    version: int
    cluster: str
    hosted: tuple[str, ...]
    process: bytes
    to: str = ""


class Refused(Control, frozen=True):
    """The last frame to somebody who did something that is not accepted."""

    why: str


class Announce(Control, frozen=True):
    """From now on `number` stands for this route."""

    number: int
    group: int
    source: str
    target: str
    path: str


class Ping(Control, frozen=True):
    """Are you there? `at` comes back in the Pong."""

    at: int


class Pong(Control, frozen=True):
    """I am. `at` is that of the Ping, or 0 if nobody asked."""

    at: int


class Bye(Control, frozen=True):
    """Nothing comes after this, and everything before it was meant to arrive: please close."""


Said = Hello | Refused | Announce | Ping | Pong | Bye


def heard(body: "bytes | memoryview") -> Said:
    """The control message in a frame of route 0. Raises BadInput if it is none."""
    said: Said = decode(body, Said)  # type: ignore[arg-type]  # msgspec reads any buffer
    return said


# --- writing --------------------------------------------------------------------------------------

_HEADER = struct.Struct(">IH")
HEADER_BYTES = _HEADER.size
_ROUTE_BYTES = 2
_pack = _HEADER.pack


def header(route: int, body_bytes: int) -> bytes:
    """What stands before a body of that many bytes."""
    return _pack(body_bytes + _ROUTE_BYTES, route)


def control(said: Said) -> bytes:
    """A whole frame of route 0."""
    body = encode(said)
    return header(0, len(body)) + body


# --- reading --------------------------------------------------------------------------------------


class Reader:
    """Cuts frames out of the chunks of one connection.

    `routes` is what the other side has announced; its owner fills it while it reads.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.routes: dict[int, Any] = {0: ()}
        self._partial = bytearray()
        self._missing = 0  # bytes until the partial frame is whole, once its header is
        self._unpack = _HEADER.unpack_from

    @property
    def partial_bytes(self) -> int:
        """How much of a frame that is not whole yet waits here."""
        return len(self._partial)

    def feed(self, chunk: bytes) -> Iterator[tuple[Any, "bytes | memoryview"]]:
        """The route and body of each frame that `chunk` completes, () being the route of controls.

        To be read to its end, or never again. Raises BadInput at bytes that make no frame.
        """
        at, end = 0, len(chunk)
        if self._partial:
            at = self._resume(chunk)
            if self._missing or len(self._partial) < HEADER_BYTES:
                return
            # The frame grew here from the start, so it is handed on without another copy.
            whole, self._partial = self._partial, bytearray()
            route = self.routes[self._unpack(whole)[1]]
            yield route, memoryview(whole)[HEADER_BYTES:]
        unpack, routes, most = self._unpack, self.routes, self.frame_bytes_max + _ROUTE_BYTES
        while end - at >= HEADER_BYTES:
            length, number = unpack(chunk, at)
            after = at + 4 + length
            route = routes.get(number)
            if after > end or not route or not 2 <= length <= most:
                self._check(length, number)
                if after > end:
                    self._missing = after - end
                    break
            yield route, chunk[at + HEADER_BYTES : after]
            at = after
        if at < end:
            self._partial += memoryview(chunk)[at:]
            if end - at >= 4:
                self._check(int.from_bytes(chunk[at : at + 4], "big"))

    def _resume(self, chunk: bytes) -> int:
        """Add to the partial frame what belongs to it; where in `chunk` that ends."""
        partial, at = self._partial, 0
        view = memoryview(chunk)
        if len(partial) < HEADER_BYTES:
            at = HEADER_BYTES - len(partial)
            partial += view[:at]
            if len(partial) >= 4:
                self._check(int.from_bytes(partial[:4], "big"))
            if len(partial) < HEADER_BYTES:
                return len(chunk)
            length, number = self._unpack(partial)
            self._check(length, number)
            self._missing = length - _ROUTE_BYTES
        take = min(self._missing, len(chunk) - at)
        partial += view[at : at + take]
        self._missing -= take
        return at + take

    def _check(self, length: int, number: int | None = None) -> None:
        """Raise BadInput unless a frame may begin like this. The number may still be missing."""
        most = CONTROL_BYTES_MAX if number == 0 else self.frame_bytes_max
        if not _ROUTE_BYTES <= length <= most + _ROUTE_BYTES:
            raise BadInput(
                f"a frame of {max(length - _ROUTE_BYTES, 0)} bytes, expected at most {most}"
                if length >= _ROUTE_BYTES
                else f"a frame of length {length}, expected at least {_ROUTE_BYTES}"
            )
        if number is not None and number not in self.routes:
            raise BadInput(f"a frame on route {number}, which was not announced")
