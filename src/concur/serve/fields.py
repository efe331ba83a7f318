"""Records in bytes, and back as the types that the fields of the nodes are annotated with.

A record is one `Persist` with the place that it is of, in MessagePack. What a change looks like
follows from the annotation of its field: a `Map[K, V]` changes by `MapDelta[K, V]`, a `Log[E]` by
`LogDelta[E]`, and everything else goes whole. So a record needs no types of its own, and one that
does not fit what the node's class says is refused before the node sees it.
"""

import inspect
import typing
from collections.abc import Generator, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from concur.effects import Change, Persist
from concur.errors import BadInput
from concur.logs import Log, LogDelta
from concur.messages import encode
from concur.node import Node
from concur.serve.disk import Mismatch
from concur.values import Map, MapDelta, decode_collection

Image = dict[tuple[str, str], Any]
"""The durable fields of one place, by (path, field)."""

CHUNK_BYTES = 32 << 10
"""About how much of a map or log goes into one record of an image; a larger entry goes alone."""

_Record = tuple[str, tuple[tuple[str, str, msgspec.Raw], ...]]
_decode_record = msgspec.msgpack.Decoder(_Record).decode


class Fields:
    """The durable fields of all places: `kinds` by place id, or by `place/path` of a child.

    Raises BadInput if a field's annotation does not say how it is read back.
    """

    def __init__(self, kinds: "Mapping[str, type[Node[Any]]]") -> None:
        self._decoders: dict[tuple[str, str, str], msgspec.msgpack.Decoder[Any]] = {}
        self.places = tuple(key for key in kinds if "/" not in key)
        self.durable = any(kind.durable_ for kind in kinds.values())
        self._below = {key for key in kinds if "/" in key}
        for key, kind in kinds.items():
            place, _, path = key.partition("/")
            for field in kind.durable_:
                where = f"{kind.__name__}.{field}"
                self._decoders[place, path, field] = _decoder(_annotation(kind, field), where)

    def refuse_unknown(self, place: str, path: str) -> None:
        """Raise BadInput if the node at `path` is one that could not be read back."""
        if path and f"{place}/{path}" not in self._below:
            raise BadInput(
                f"{place}/{path}: the store does not know the class of this node, expected an "
                f"entry {place + '/' + path!r} among its kinds"
            )

    def decode(self, data: Any) -> tuple[str, Persist]:
        """The place and the changes of a record. Raises Mismatch if they do not fit the classes."""
        place, changes = _decode_record(data)
        if place not in self.places:
            places = ", ".join(self.places)
            raise Mismatch(f"stored fields of {place}: unknown here, expected those of {places}")
        typed = []
        for path, field, raw in changes:
            if not field:
                typed.append(Change(path, "", None))
                continue
            name = f"{place}/{path}.{field}" if path else f"{place}.{field}"
            decoder = self._decoders.get((place, path, field))
            if decoder is None:
                raise Mismatch(
                    f"stored field {name}: unknown here, expected the fields of the version that "
                    "wrote them"
                )
            try:
                typed.append(Change(path, field, decoder.decode(raw)))
            except (ValueError, TypeError, RecursionError, OverflowError) as error:
                raise Mismatch(
                    f"stored field {name}: {error}, expected what its annotation says"
                ) from None
        return place, Persist(tuple(typed))


def encode_record(place: str, persist: Persist) -> bytes:
    return encode((place, persist.changes))


def encode_image(place: str, image: Image) -> Iterator[bytes]:
    """Records that make `image` out of nothing, none of them much larger than CHUNK_BYTES.

    The image must not be changed before the iterator is exhausted; its values never are.
    """
    for (path, field), value in image.items():
        if type(value) is Log:
            deltas = _log_deltas(value)
        elif type(value) is Map:
            deltas = _map_deltas(value)
        else:
            deltas = iter((value,))
        many = 1
        try:
            delta = next(deltas)
            while True:
                data = encode_record(place, Persist((Change(path, field, delta),)))
                many = many * 2 if len(data) < CHUNK_BYTES // 2 else many
                many = max(1, many // 2) if len(data) > CHUNK_BYTES else many
                yield data
                delta = deltas.send(many) if isinstance(deltas, Generator) else next(deltas)
        except StopIteration:
            continue


def _log_deltas(log: Log[Any]) -> Iterator[Any]:
    """A log told in parts; who asks for the next one says of how many entries."""
    first = log.since(log.base.index, 1)
    many = yield LogDelta(log.base, log.base.index, first)
    at = log.base.index + len(first)
    while at < log.last_index:
        part = log.since(at, many or 1)
        many = yield LogDelta(None, at, part)
        at += len(part)


def _map_deltas(map_: Map[Any, Any]) -> Iterator[Any]:
    items = map_.items()
    many = yield MapDelta(tuple(items[:1]), ())
    at = 1
    while at < len(items):
        part = items[at : at + (many or 1)]
        many = yield MapDelta(tuple(part), ())
        at += len(part)


def _annotation(kind: type, field: str) -> Any:
    """What a field is annotated with, also if that is written in quotes. Only of this one field:
    others may name what exists for type checkers alone."""
    owner = next(base for base in kind.__mro__ if field in inspect.get_annotations(base))
    alone = {field: inspect.get_annotations(owner)[field]}
    holder = type(kind.__name__, (), {"__annotations__": alone, "__module__": owner.__module__})
    return get_type_hints(holder)[field]


def _decoder(annotation: Any, where: str) -> "msgspec.msgpack.Decoder[Any]":
    refuse_vague(annotation, where)
    origin = get_origin(annotation) or annotation
    arguments = get_args(annotation)
    deltas: Any = {Map: MapDelta, Log: LogDelta}.get(origin)
    if deltas is not None and not arguments:
        raise BadInput(f"{where}: {annotation!r} says not what is in it, so it cannot be read back")
    kind = annotation if deltas is None else deltas[arguments]
    try:
        return msgspec.msgpack.Decoder(kind, dec_hook=decode_collection)
    except TypeError as error:
        raise BadInput(f"{where}: {annotation!r} cannot be read back: {error}") from None


def refuse_vague(annotation: Any, where: str, within: tuple[Any, ...] = ()) -> None:
    """Raise BadInput if a durable value of that type would come back as another, or not at all."""
    if annotation is Any:
        raise BadInput(f"{where}: Any says not what to read back, expected a type")
    origin = get_origin(annotation)
    struct = isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
    if struct and annotation not in within:
        for field, hint in get_type_hints(annotation).items():
            if get_origin(hint) is not typing.ClassVar:
                refuse_vague(hint, f"{where}: {annotation.__name__}.{field}", (*within, annotation))
    arguments = get_args(annotation)
    if origin in (Union, UnionType) and any(
        (get_origin(option) or option) in (Map, Log) for option in arguments
    ):
        raise BadInput(f"{where}: {annotation!r} is sometimes a Map or Log, expected always")
    for argument in arguments:
        if argument is not ...:
            refuse_vague(argument, where, within)
