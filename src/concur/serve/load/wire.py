"""The client's side of a wire protocol, without sockets: bytes to send, and what came back.

A connection has one request outstanding, so that a wire needs no queue: what it receives belongs to
what it asked last. It is the one place that runs for every byte of a measurement, and does little.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import msgspec

from concur.errors import ConcurError


class Garbled(ConcurError):
    """The other side does not speak this protocol, or says what makes no sense in it."""


class Refusal(msgspec.Struct, frozen=True):
    """The server did not do it, or does not know whether it did.

    `fail`: it did not happen, and may be asked again. `info`: nobody knows. `fatal`: it did not
    happen, and asking again would be in vain.
    """

    kind: Literal["fail", "info", "fatal"]
    text: str


class More(enum.Enum):
    """The answer has not come whole."""

    MORE = enum.auto()


MORE = More.MORE

Answer = bytes | int | None | Refusal
"""Of a get the value, None if there is none; of a put True."""


class Wire(ABC):
    """One connection's protocol."""

    send: Callable[[bytes], None]
    """Set by whoever owns the socket, for what a protocol says on its own account."""

    def greeting(self) -> bytes:
        """What is said first. Unless it is empty, its answer comes before any other."""
        return b""

    def farewell(self) -> bytes:
        """What is said before the connection is closed."""
        return b""

    @abstractmethod
    def put(self, key: bytes, value: bytes) -> bytes:
        """A request to bind `key`."""

    @abstractmethod
    def get(self, key: bytes) -> bytes:
        """A request to read `key`, linearizably."""

    @abstractmethod
    def receive(self, data: bytes) -> Answer | More:
        """More bytes came: the answer, or MORE if it is not whole. Raises Garbled."""
