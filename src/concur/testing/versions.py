"""Checks of what comes off a wire from elsewhere: other versions, broken bytes, strange messages.

The contract is in `concur.messages`: fields are added at the end, with defaults; what the codec
does not know, it refuses with BadInput before any step; a node survives what it does not handle,
and what somebody says who is none of the nodes that it works with. Each message is tried as walks
have seen it and with values made up from its annotations.
"""

import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Union

import msgspec

from concur.chance import Stream
from concur.effects import (
    CancelTimer,
    Deliver,
    Effect,
    Event,
    Multicast,
    Send,
    Timer,
    TimerName,
    TurnEnd,
)
from concur.errors import BadInput
from concur.logs import Log
from concur.messages import Codec, Message, check_value, encode
from concur.node import Node
from concur.testing.cluster import Cluster, Seat, Violated
from concur.testing.laboratory import same
from concur.testing.subject import REPLICAS_TRIED, Subject
from concur.testing.walk import Walk
from concur.values import Map, Set, encode_collection

MADE_UP = 4
"""Made-up messages of each kind."""
FLIPS = 60
"""Encodings with one bit flipped, for each message."""
CUTS_MAX = 200
"""Encodings cut short, for each message."""
DEPTH_MAX = 3
ADDED = "added_by_a_later_version"
STRANGER = "x9"
"""Who is no node of any protocol here."""
ODD = 4
"""Odd messages of each kind that a stranger says at a time."""
STRANGERS_WALKS = 6
STRANGERS_STEPS = 250
STRANGERS_EVERY = 10
"""After one step in so many, strangers speak."""
STEP_LINES_MAX = 200_000
"""Lines of Python that a step may take; one that takes more has let a stranger say how many."""


class FromTheFuture(Message, frozen=True):
    """A message that no protocol of today knows."""

    number: int


def messages_of_other_versions_are_understood(subject: Subject) -> None:
    """Fields that a later version adds at the end are ignored; those that are lacking, default.

    In messages, and in the Structs inside them.
    """
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
            sent = encode(_on_the_wire(message, _with_one_more))
            _understood(subject, codec, sent, message, "with a field more, as a later version has")
            sent = encode(_on_the_wire(message, _without_defaults))
            how = "without the fields that have a default, as an earlier version may be"
            _understood(subject, codec, sent, _at_defaults(subject, message), how)
            later: Message = Codec([_later(kind, {})]).decode(encode(message))
            back = _on_the_wire(later, _without_the_last)
            if encode(back) != encode(message) or not _nothing_was_added(later):
                subject.fail(
                    f"{kind.__name__} as it is now is read by a later version, which added fields "
                    f"with defaults, as {later!r}, sent was {message!r}",
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
    """Nobody has to be one of us to send a message: whatever strangers say, nodes go on.

    A message that a role does not handle changes nothing. One that it handles comes as somebody
    else has just sent it, with some of its values replaced by odd ones, and made up altogether; to
    nodes in the states of random walks, without and with others before it.
    """
    for replicas in dict.fromkeys((subject.replicas, _fewest(subject))):
        for seed in range(subject.times(STRANGERS_WALKS)):
            strangers = _Strangers(subject, seed)
            walk = Walk(subject.protocol, seed, replicas=replicas, watchers=(strangers.watch,))
            try:
                walk.run(STRANGERS_STEPS)
            except Violated:
                return  # without strangers, too: that is for other checks


class _Strangers:
    """Says things to twins of the nodes of a walk, which goes on as if nothing had happened."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject = subject
        self.dice = Stream(seed, "strangers")
        self.codec = Codec(subject.protocol.messages())
        self.heard: dict[type[Message], Message] = {}
        self.cancelled: set[tuple[str, TimerName]] = set()

    def watch(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], before: Any
    ) -> None:
        for effect in effects:
            if isinstance(effect, Send | Multicast):
                self.heard[type(effect.message)] = effect.message
        if self.dice.chance(1 / STRANGERS_EVERY):
            twin, self.cancelled = self._twin(seat), set()
            for number, message in enumerate(self._messages()):
                self._say(twin, seat, Deliver(STRANGER, message), number)
            for path, name in seat.timers:
                if (path, name) not in self.cancelled:
                    self._say(twin, seat, Timer(name, path), number + 1)

    def _twin(self, seat: Seat) -> Node[Any]:
        node = seat.node
        assert node is not None
        twin = type(node)(node.id, node.params, node.config, node.machine)
        twin.restore(node.snapshot())
        return twin

    def _messages(self) -> list[Message]:
        """Of each kind some, in any order; only what the codec lets through."""
        found: list[Message] = [FromTheFuture(1)]
        for kind in self.codec.kinds.values():
            like = self.heard.get(kind)
            many = [like] if like is not None else []
            for _ in range(ODD):
                try:
                    odd = made_up(kind, self.dice) if like is None else self._odd(like)
                    many.append(self.codec.decode(encode(odd)))
                except Exception:  # its __post_init__ or the codec refuses it
                    continue
            found += many
        return self.dice.shuffled(found)

    def _odd(self, value: Any) -> Any:
        """Like `value`, but for one field, here or further inside."""
        if isinstance(value, tuple) and value and self.dice.chance(0.7):
            at = self.dice.below(len(value))
            return (*value[:at], self._odd(value[at]), *value[at + 1 :])
        if not isinstance(value, msgspec.Struct) or not value.__struct_fields__:
            return made_up(type(value), self.dice)
        kind = type(value)
        name = self.dice.choice(kind.__struct_fields__)
        inside = getattr(value, name)
        if isinstance(inside, tuple | msgspec.Struct) and self.dice.chance(0.7):
            odd = self._odd(inside)
        else:
            odd = made_up(typing.get_type_hints(kind, include_extras=True)[name], self.dice)
        fields = {n: getattr(value, n) for n in kind.__struct_fields__}
        return kind(**(fields | {name: odd}))

    def _say(self, node: Node[Any], seat: Seat, event: Deliver | Timer, number: int) -> None:
        what = type(event.message) if isinstance(event, Deliver) else None
        unknown = what is not None and what not in node._messages
        before = node.snapshot() if unknown else None
        try:
            with _Patience(STEP_LINES_MAX):
                effects = node.step(event, seat)
                if node.wants_turn_end and not unknown:
                    effects += node.step(TurnEnd(), seat)
        except Exception as error:
            self._fail(node, event, number, f"raises {type(error).__name__}: {error}")
        for effect in effects:
            if isinstance(effect, CancelTimer):
                self.cancelled.add((effect.path, effect.name))
        for broken in node.broken_invariants():
            self._fail(node, event, number, f"breaks {broken}")
        if unknown and node.snapshot() != before:
            self._fail(node, event, number, "is changed")

    def _fail(self, node: Node[Any], event: Deliver | Timer, number: int, how: str) -> None:
        said = event.message if isinstance(event, Deliver) else event
        after = f", after {number} other messages of strangers" if number else ""
        if isinstance(event, Deliver) and type(event.message) not in node._messages:
            fix = "do not override the core's methods of Node"
        else:
            fix = (
                "believe nobody what only nodes of self.config can know, and bound every number "
                "that comes from outside before it is used"
            )
        self.subject.fail(f"{type(node).__name__} {how} at a stranger's {said!r}{after}", fix)


class _Endless(Exception):
    """A step goes on and on: it counts up to a number that it was told."""


class _Patience:
    """Ends what runs inside after so many lines of Python: a bound that no clock has a say in."""

    def __init__(self, lines_max: int) -> None:
        self.left = lines_max

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        if self.before is None:  # else a debugger, or whoever measures coverage, is at work
            sys.settrace(self._count)

    def __exit__(self, *error: object) -> None:
        if self.before is None:
            sys.settrace(None)

    def _count(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _Endless("it does not end; a number that came from outside is not bounded")
        return self._count


# --- below ---------------------------------------------------------------------------------------


Vary = Callable[[msgspec.Struct, list[Any]], list[Any]]
"""What becomes of the fields of a Struct, given those of the Structs inside."""


def _on_the_wire(value: Any, vary: Vary) -> Any:
    """What `value` looks like to the encoder, with the fields of each Struct varied."""
    if isinstance(value, Set | Map | Log):
        return _on_the_wire(encode_collection(value), vary)
    if isinstance(value, tuple | list):
        return [_on_the_wire(item, vary) for item in value]
    if not isinstance(value, msgspec.Struct):
        return value
    config, names = value.__struct_config__, value.__struct_fields__
    fields = vary(value, [_on_the_wire(getattr(value, name), vary) for name in names])
    if config.array_like:
        return [config.tag, *fields] if config.tag is not None else fields
    tag = {config.tag_field: config.tag} if config.tag_field is not None else {}
    return tag | dict(zip((*names, ADDED), fields, strict=False))


def _with_one_more(struct: msgspec.Struct, fields: list[Any]) -> list[Any]:
    return [*fields, [7]]


def _without_the_last(struct: msgspec.Struct, fields: list[Any]) -> list[Any]:
    return fields[:-1]


def _without_defaults(struct: msgspec.Struct, fields: list[Any]) -> list[Any]:
    return fields[: _needed(type(struct))]


def _needed(kind: type[msgspec.Struct]) -> int:
    """How many fields of a Struct have no default; they are the first ones."""
    return sum(1 for field in msgspec.structs.fields(kind) if field.required)


def _at_defaults(subject: Subject, value: Any) -> Any:
    """`value` as it is where nothing is said about fields that have a default, at any depth."""
    if isinstance(value, tuple):
        return tuple(_at_defaults(subject, item) for item in value)
    if isinstance(value, Log):
        return type(value)([_at_defaults(subject, item) for item in value], value.base)
    if isinstance(value, Set):
        return Set(_at_defaults(subject, item) for item in value)
    if isinstance(value, Map):
        return Map(_at_defaults(subject, tuple(value.items())))
    if not isinstance(value, msgspec.Struct):
        return value
    kind = type(value)
    names = kind.__struct_fields__[: _needed(kind)]
    fields = {name: _at_defaults(subject, getattr(value, name)) for name in names}
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        subject.fail(
            f"{kind.__name__} of {', '.join(names) or 'no field'} alone is refused: {error}",
            "give fields defaults that are what an earlier version means, which has no such fields",
        )


def _later(annotation: Any, made: dict[Any, Any]) -> Any:
    """The same type, in which every Struct has a field more."""
    if annotation in made:
        return made[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return Union[tuple(_later(one, made) for one in arguments)]  # noqa: UP007
    if origin is typing.Annotated:
        return _later(arguments[0], made)
    if origin in (tuple, Map, Set, Log):
        return origin[tuple(one if one is ... else _later(one, made) for one in arguments)]
    if not (isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)):
        return annotation
    made[annotation] = annotation  # one that contains itself stays as it is inside
    hints = typing.get_type_hints(annotation, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(annotation):
        kind = _later(hints[field.name], made)
        if field.required:
            fields.append((field.name, kind))
        else:
            factory = field.default_factory
            if factory is msgspec.NODEFAULT:
                factory = _always(field.default)
            fields.append((field.name, kind, msgspec.field(default_factory=factory)))
    fields.append((ADDED, tuple[int, ...], ()))
    config = annotation.__struct_config__
    made[annotation] = later = msgspec.defstruct(
        annotation.__name__,
        fields,
        frozen=True,
        array_like=config.array_like,
        tag=config.tag,
        tag_field=config.tag_field,
    )
    return later


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _nothing_was_added(value: Any) -> bool:
    """Whether the field that later versions added is everywhere at its default."""
    if isinstance(value, tuple | Set | Log):
        return all(map(_nothing_was_added, value))
    if isinstance(value, Map):
        return _nothing_was_added(tuple(value.items()))
    if not isinstance(value, msgspec.Struct):
        return True
    inside = (getattr(value, name) for name in value.__struct_fields__ if name != ADDED)
    return not getattr(value, ADDED, ()) and all(map(_nothing_was_added, inside))


def _fewest(subject: Subject) -> int:
    """The least number of replicas: a group of one decides at once what a stranger asks for."""
    for count in sorted(REPLICAS_TRIED):
        try:
            subject.protocol.validate(count)
        except BadInput:
            continue
        return count
    return subject.replicas


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
        names = kind.__struct_fields__
        return kind(**{name: made_up(hints[name], dice, depth + 1) for name in names})
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
