"""Checks of what comes off a wire from elsewhere: other versions, broken bytes, strange messages.

The contract is in `concur.messages`: fields are added at the end, with defaults; what the codec
does not know, it refuses with BadInput before any step; a node survives what it does not handle.
Each message is tried as walks have seen it and with values made up from its annotations.
"""

import types
import typing
from collections.abc import Iterator
from typing import Any, Union

import msgspec

from concur.chance import Stream
from concur.effects import Deliver
from concur.errors import BadInput
from concur.logs import Log
from concur.messages import Codec, Message, check_value, encode
from concur.testing.cluster import Cluster, Violated
from concur.testing.laboratory import same
from concur.testing.subject import Subject
from concur.values import Map, Set

MADE_UP = 4
"""Made-up messages of each kind."""
FLIPS = 60
"""Encodings with one bit flipped, for each message."""
CUTS_MAX = 200
"""Encodings cut short, for each message."""
DEPTH_MAX = 3


class FromTheFuture(Message, frozen=True):
    """A message that no protocol of today knows."""

    number: int


def messages_of_other_versions_are_understood(subject: Subject) -> None:
    """Fields that a later version adds at the end are ignored; those that are lacking, default."""
    codec = Codec(subject.protocol.messages())
    for kind in codec.kinds.values():
        for struct in _structs(kind):
            if struct.__struct_config__.forbid_unknown_fields:
                subject.fail(
                    f"{kind.__name__}: {struct.__name__} forbids unknown fields, so the next "
                    "version cannot add one",
                    "leave out forbid_unknown_fields",
                )
        for message in _samples(subject, kind):
            later = _later(kind)
            values = [getattr(message, name) for name in kind.__struct_fields__]
            sent = encode(later(*values, added=(7,)))
            _understood(subject, codec, sent, message, "with a field more, as a later version has")
            back = Codec([later]).decode(encode(message))
            if [getattr(back, name) for name in kind.__struct_fields__] != values or back.added:  # type: ignore[attr-defined]
                subject.fail(
                    f"{kind.__name__} as it is now is read by a later version, which added a field "
                    f"with a default, as {back!r}, sent was {message!r}",
                    "let fields keep their places: array_like, and no kw_only",
                )


def malformed_messages_are_refused(subject: Subject) -> None:
    """Cut or flipped bytes, and kinds that nobody knows, are BadInput or another valid message."""
    codec = Codec(subject.protocol.messages())
    for kind in codec.kinds.values():
        for number, message in enumerate(_samples(subject, kind)):
            dice = Stream(number, "malformed", kind.__name__)
            data = encode(message)
            for bad in _spoiled(data, dice):
                _refused_or_valid(subject, codec, kind, bad)
    try:
        codec.decode(encode(FromTheFuture(1)))
    except BadInput:
        return
    subject.fail("the codec accepts a message that no role handles", "use concur.messages.Codec")


def strange_messages_stop_no_node(subject: Subject) -> None:
    """A message that a role does not handle, from a peer of another version, changes nothing."""
    protocol = subject.protocol
    cluster = Cluster(protocol, replicas=subject.replicas, machine=subject.laboratory().machine)
    try:
        cluster.start()
    except Violated as broken:
        subject.fail(str(broken), "a node that cannot even start")
    strange: list[Message] = [FromTheFuture(1)]
    strange += [one for kind in protocol.messages() for one in _samples(subject, kind)[:1]]
    seats = {seat.role.name: seat for seat in cluster.seats.values()}
    for seat in seats.values():
        node = seat.node
        assert node is not None
        for message in strange:
            if type(message) in node._messages:
                continue
            before = node.snapshot()
            try:
                node.step(Deliver("x9", message), seat)
            except Exception as error:
                subject.fail(
                    f"{type(node).__name__} fails at a message that it does not handle, "
                    f"{type(message).__name__}: {type(error).__name__}: {error}",
                    "do not override the core's methods of Node",
                )
            if node.snapshot() != before:
                subject.fail(
                    f"{type(node).__name__} is changed by a message that it does not handle, "
                    f"{type(message).__name__}",
                    "do not override the core's methods of Node",
                )


# --- below ---------------------------------------------------------------------------------------


def _later(kind: type[Message]) -> type[Message]:
    """The same message with a field more."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            fields.append((field.name, hints[field.name], field.default))
        elif field.default_factory is not msgspec.NODEFAULT:
            factory = msgspec.field(default_factory=field.default_factory)
            fields.append((field.name, hints[field.name], factory))
        else:
            fields.append((field.name, hints[field.name]))
    fields.append(("added", tuple[int, ...], ()))
    made = msgspec.defstruct(kind.__name__, fields, bases=(Message,), frozen=True)
    return typing.cast(type[Message], made)


def _understood(subject: Subject, codec: Codec, data: bytes, sent: Message, how: str) -> None:
    name = type(sent).__name__
    try:
        back = codec.decode(data)
    except BadInput as refused:
        subject.fail(f"{name} {how}, is refused: {refused}", "keep messages array_like")
    if back != sent or not same(back, sent):
        subject.fail(f"{name} {how}, is read as {back!r}, sent was {sent!r}", "keep it array_like")


def _spoiled(data: bytes, dice: Stream) -> Iterator[bytes]:
    step = max(1, len(data) // CUTS_MAX)
    yield from (data[:length] for length in range(0, len(data), step))
    yield data + b"\xc0"
    for _ in range(FLIPS):
        at, bit = dice.below(len(data)), dice.below(8)
        yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def _refused_or_valid(subject: Subject, codec: Codec, kind: type[Message], data: bytes) -> None:
    where = f"{kind.__name__} as {data.hex()}"
    try:
        message = codec.decode(data)
    except BadInput:
        return
    except Exception as error:
        subject.fail(
            f"{where}: decoding raises {type(error).__name__}: {error}",
            "let a message's __post_init__ raise ValueError or TypeError and nothing else",
        )
    try:
        check_value(message, type(message).__name__)
        again = codec.decode(encode(message))
    except (BadInput, TypeError, ValueError) as error:
        subject.fail(
            f"{where} is read as {message!r}, which is no valid message: {error}",
            "say in the annotations what fields may hold",
        )
    if again != message or not same(again, message):
        subject.fail(f"{where} is read as {message!r}, which comes back as {again!r}")


# --- making messages up ---------------------------------------------------------------------------


def _samples(subject: Subject, kind: type[Message]) -> list[Message]:
    """A message of this kind that was seen on a walk, if any was, and some that are made up."""
    found = [message for message in (subject.laboratory().seen.get(kind),) if message is not None]
    for number in range(MADE_UP):
        try:
            found.append(made_up(kind, Stream(number, "made up", kind.__name__)))
        except Exception:  # its __post_init__ wants something special
            continue
    return found


def made_up(annotation: Any, dice: Stream, depth: int = 0) -> Any:
    """Some value that fits an annotation, small and odd. Raises TypeError for one of no value."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return made_up(arguments[0], dice, depth)
    if origin in (Union, types.UnionType):
        last = type(None) in arguments and depth >= DEPTH_MAX
        return None if last else made_up(dice.choice(arguments), dice, depth)
    if origin is typing.Literal:
        return dice.choice(arguments)
    many = 0 if depth >= DEPTH_MAX else dice.below(4)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return tuple(made_up(one, dice, depth + 1) for one in arguments)
    if origin is tuple:
        return tuple(made_up(arguments[0], dice, depth + 1) for _ in range(many))
    if (origin or annotation) is Map:
        key, value = arguments or (int, int)
        pairs = [(made_up(key, dice, depth + 1), made_up(value, dice, depth + 1))
                 for _ in range(many)]  # fmt: skip
        return Map(pairs)
    if (origin or annotation) in (Set, Log):
        item = arguments[0] if arguments else int
        return (origin or annotation)([made_up(item, dice, depth + 1) for _ in range(many)])
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(*(made_up(hints[name], dice, depth + 1) for name in kind.__struct_fields__))
    return _scalar(annotation, dice)


def _scalar(annotation: Any, dice: Stream) -> Any:
    whole = dice.choice((0, 1, 2, 23, 300, 1 << 40, -1))
    words = dice.choice(("", "r1", "c1-1.1", "\u00e9\u20ac", "x" * 40))
    plain = {
        None: None,
        type(None): None,
        bool: dice.chance(0.5),
        int: whole,
        float: whole / 4,
        str: words,
        bytes: words.encode(),
        Any: whole,
        tuple: (),
    }
    if isinstance(annotation, typing.TypeVar):
        return whole
    if annotation not in plain:
        raise TypeError(f"{annotation!r} is no value")
    return plain[annotation]


def _structs(annotation: Any, known: tuple[Any, ...] = ()) -> Iterator[type[msgspec.Struct]]:
    """The Structs that an annotation names, at any depth."""
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in known:
        yield kind
        known = (*known, kind)
        for inside in typing.get_type_hints(kind).values():
            yield from _structs(inside, known)
    for argument in typing.get_args(annotation):
        yield from _structs(argument, known)
