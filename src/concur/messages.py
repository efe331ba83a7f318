"""Messages, commands, and the one codec for wire, disk, trace and fingerprint.

Everything is encoded as MessagePack arrays by msgspec and decoded against the declared types, so
that malformed input from a peer is refused here, before any step of a node. Nothing is unpickled.

**Versions.** Peers may run an older or a newer version of a protocol. What may change, and what the
other side makes of it (`concur.testing` checks it for every message of a protocol):

| the newer version | reads what an older one sent | is read by an older one |
| --- | --- | --- |
| adds a field at the end, with a default | the field has its default | which ignores the field |
| adds a kind of message | never gets one | which refuses it: BadInput, no step is taken |
| lets a role handle one more kind | | whose node drops it: `observe("unhandled", ...)` |
| adds, at the end, to a Struct inside | as for a message | as for a message |

Everything else (another order, type or meaning, a field removed, a tuple of another length) is
another message and needs another name. A default must mean what its absence meant before. What is
ignored is lost when it is passed on, so an old peer must not be trusted to hand on new fields.
"""

import hashlib
import typing
from collections.abc import Iterable
from functools import cache, lru_cache
from types import UnionType
from typing import Any, TypeVar, Union

import msgspec

from concur.errors import BadInput
from concur.logs import Log
from concur.values import Map, Set, decode_collection, encode_collection


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all messages. Give a message exactly the name of the arrow in the paper.

    Travels as `["ClassName", field, ...]`: fields added at the end, with defaults, stay readable
    for older peers and the other way round.
    """


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """What a client asks a machine to do. Its identity is `(session, seq)`; `body` is opaque.

    Protocols never look into `body`. `concur.machines` encodes and decodes it.
    """

    session: str
    seq: int
    body: bytes

    @property
    def id(self) -> tuple[str, int]:
        return self.session, self.seq


NOOP = Command("", 0, b"")
"""Fills a slot without asking the machine for anything."""


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_collection)
encode = _encoder.encode
"""Encode any value that a node may hold."""


@lru_cache(maxsize=4096)
def _decoder(kind: Any) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(kind, dec_hook=decode_collection)


def decode(data: bytes, kind: Any) -> Any:
    """Decode `data` as a value of type `kind`. Raises BadInput if it is not one."""
    try:
        return _decoder(kind).decode(data)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:  # msgspec's with them
        name = getattr(kind, "__name__", str(kind))
        raise BadInput(f"malformed {name} in {len(data)} bytes: {error}") from None


class Codec:
    """Encodes and decodes the messages of one protocol.

    The whole vocabulary is fixed at construction; anything else is refused with BadInput.
    """

    def __init__(self, kinds: Iterable[type[Message]], message_bytes_max: int = 64 << 20) -> None:
        self.kinds: dict[str, type[Message]] = {}
        for kind in kinds:
            if self.kinds.setdefault(kind.__name__, kind) is not kind:
                raise TypeError(f"two messages called {kind.__name__}: on a wire they look alike")
        self.message_bytes_max = message_bytes_max
        self._union: Any = Union[tuple(self.kinds.values())] if self.kinds else None  # noqa: UP007

    encode = staticmethod(_encoder.encode)

    def decode(self, data: bytes) -> Message:
        if len(data) > self.message_bytes_max:
            raise BadInput(
                f"message of {len(data)} bytes refused: at most {self.message_bytes_max} expected"
            )
        try:
            message: Message = decode(data, self._union)
        except BadInput as malformed:
            raise self._unknown(data) or malformed from None
        return message

    def _unknown(self, data: bytes) -> BadInput | None:
        """What to say of a message of a kind that is not known here, else None."""
        try:
            name = _decoder(list[Any]).decode(data)[0]
        except (ValueError, RecursionError, IndexError):
            return None
        if not isinstance(name, str) or name in self.kinds:
            return None
        kinds = ", ".join(self.kinds)
        return BadInput(
            f"malformed message in {len(data)} bytes: kind {name[:60]!r}, expected one of {kinds}"
        )


def size(message: Message) -> int:
    """The number of bytes that `message` takes on a wire."""
    return len(encode(message))


def digest(data: bytes) -> bytes:
    """16 bytes that tell whether `data` arrived whole (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=16).digest()


# --- what counts as a value (CORE.md, 2) ----------------------------------------------------------

_PLAIN = (type(None), bool, int, str, bytes, tuple, float)
_EXPECTED = "expected None, bool, int, str, bytes, tuple, a frozen Struct, Set, Map or Log"


def check_annotation(annotation: Any, where: str) -> None:
    """Raise TypeError unless `annotation` names only values that nodes may hold.

    `Any` and forward references pass: what they stand for is checked as values, in tests.
    """
    origin: Any = typing.get_origin(annotation)
    if isinstance(annotation, str | TypeVar | typing.ForwardRef) or annotation in (..., Any):
        return
    if origin is typing.Annotated:
        check_annotation(annotation.__origin__, where)
    elif origin in (Union, UnionType, tuple, Set, Map, Log):
        for argument in typing.get_args(annotation):
            check_annotation(argument, where)
    elif annotation is not None and origin is not typing.Literal:
        kind = origin or annotation
        fits = isinstance(kind, type) and (
            kind in _PLAIN
            or kind in (Set, Map, Log)
            or (issubclass(kind, msgspec.Struct) and kind.__struct_config__.frozen)
        )
        if not fits:
            raise TypeError(f"{where}: {annotation!r} is no value; {_EXPECTED}")


@cache
def check_message(kind: type[Message]) -> None:
    """Raise TypeError unless every field of a message class is annotated as a value."""
    for name, annotation in typing.get_type_hints(kind).items():
        if typing.get_origin(annotation) is not typing.ClassVar:
            check_annotation(annotation, f"{kind.__name__}.{name}")


def check_value(value: Any, where: str) -> None:
    """Raise TypeError unless `value` is one that nodes may hold, all the way down."""
    if value is None or type(value) in (bool, int, str, bytes):
        return
    if type(value) is float:
        if value != value:
            raise TypeError(f"{where} holds NaN, which is not equal to itself")
    elif type(value) is tuple or isinstance(value, Set | Log):
        for item in value:
            check_value(item, where)
    elif isinstance(value, Map):
        for key, item in value.items():
            check_value(key, where)
            check_value(item, where)
    elif isinstance(value, msgspec.Struct) and value.__struct_config__.frozen:
        for field in value.__struct_fields__:
            check_value(getattr(value, field), where)
    else:
        raise TypeError(f"{where} holds a {type(value).__name__}; {_EXPECTED}")
