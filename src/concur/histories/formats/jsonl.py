"""History files: JSON lines, one event a line, in the order in which the events happened.

    {"process":3,"type":"invoke","f":"put","key":"x","value":1,"time":1200,"index":0}
    {"process":3,"type":"ok","f":"put","key":"x","value":1,"time":5300,"index":1}

* `type` is invoke, ok, fail or info. `time` is in nanoseconds; `index` counts the events.
* No `key` (or null) means that there is only one object. Keys and values differ if their JSON
  types do: `1`, `true` and `"1"` are three keys.
* A value is null, a boolean, an integer, a string, or an array of values, which is a tuple here.
  Bytes are `{"base64": "AAEC"}`, an object with that one member. Nothing else is a value.
* `error` is optional and tells why an operation failed or why its outcome is unknown.

A reader takes events in any order of time across processes, but within one process the file's
order is the order of events: an operation at a time, time never backwards, and nothing after an
`info`. Members that this version does not know are ignored; a missing `index` is fine.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import msgspec

from concur.errors import BadInput
from concur.histories.formats.base import (
    HALF_A_PAIR,
    NESTING_MAX,
    TIME_MAX,
    TIME_MIN,
    Source,
    opened,
)
from concur.histories.formats.reading import admitted, whole
from concur.histories.formats.writing import HistoryWriter
from concur.histories.history import Event, EventType, History

NAMES_MAX = 1000
"""Of so many different names of operations one copy is kept; a real history has a handful."""
CHUNK_EVENTS = 4096

_Time = Annotated[int, msgspec.Meta(ge=TIME_MIN, le=TIME_MAX)]


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event as a line has it: `value` always, `key` and `error` only if there is one."""

    process: int
    type: EventType
    f: str
    key: Any = None
    value: Any = msgspec.UNSET
    time: _Time
    index: int | None = None
    error: str | None = None


_decoder = msgspec.json.Decoder(_Line)
_encoder = msgspec.json.Encoder()


class JsonlWriter(HistoryWriter):
    """Writes a history file event by event; the file appears whole at the end or not at all.

        with JsonlWriter("run.jsonl") as out:
            out.write(history.events())

    Raises BadInput if the file cannot be written.
    """

    def encode(self, events: Iterable[Event]) -> Iterator[bytes]:
        return encode_events(events)


def write_jsonl(history: History, path: str) -> None:
    """Write `history` to `path`, atomically. Raises BadInput if the file cannot be written."""
    with JsonlWriter(path) as out:
        out.write(history.events())


def encode_events(events: Iterable[Event]) -> Iterator[bytes]:
    """The lines of a history file, some thousand events at a time."""
    lines = (
        _Line(
            process=event.process,
            type=event.type,
            f=event.f,
            key=_to_json(event.key),
            value=_to_json(event.value),
            time=event.time,
            index=event.index,
            error=event.error,
        )
        for event in events
    )
    while chunk := list(islice(lines, CHUNK_EVENTS)):
        try:
            yield _encoder.encode_lines(chunk)
        except UnicodeEncodeError as error:
            raise BadInput(f"a string of the history is no Unicode text: {error}") from None


def read_jsonl(path: str, model: str = "") -> History:
    """Read a history file. Raises BadInput, in one line, that names the file and the line."""
    with opened(path) as source:
        return whole(source, admitted(source, jsonl_events(source)), model)


def jsonl_events(source: Source) -> Iterator[Event]:
    """The events of a file, as they come."""
    names: dict[str, str] = {}  # one copy of each f
    last = -1
    count = 0
    for line in source.lines():
        if line.isspace():
            continue
        try:
            event = _decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            if not line.endswith(b"\n") and not isinstance(error, msgspec.ValidationError):
                raise source.bad(
                    "expected an event, found half of one: the file is cut off"
                ) from None
            raise source.bad(f"expected an event, found: {error}") from None
        if event.index is not None:
            if event.index <= last:
                raise source.bad(f"expected an index above {last}, found {event.index}")
            last = event.index
        yield Event(
            process=event.process,
            type=event.type,
            f=names.setdefault(event.f, event.f),
            key=_value(source, event.key),
            value=None if event.value is msgspec.UNSET else _value(source, event.value),
            time=event.time,
            index=count,
            error=event.error,
        )
        count += 1
        if len(names) > NAMES_MAX:
            names.clear()


def looks_like_jsonl(head: bytes) -> bool:
    """A JSON object, or nothing at all: a history without events."""
    return not head or head.lstrip().startswith((b'{"', b"{ ", b"{}"))


def _value(source: Source, value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    try:
        return from_json(value)
    except BadInput as error:
        raise source.bad(str(error)) from None


def _to_json(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is tuple or kind is list:
        return [_to_json(item) for item in value]
    if kind is bytes:
        return {"base64": base64.b64encode(value).decode()}
    raise BadInput(
        f"a history cannot hold {value!r}: expected None, bool, int, str, bytes or tuples of them"
    )


def from_json(value: Any, depth: int = 0) -> Any:
    """The value that decoded JSON stands for. Raises BadInput."""
    kind = type(value)
    if kind is int or value is None or kind is bool:
        return value
    if kind is str:
        if not value.isascii() and HALF_A_PAIR.search(value):
            raise BadInput("expected Unicode text, found half of a surrogate pair")
        return value
    if kind is list:
        if depth == NESTING_MAX:
            raise BadInput(f"expected arrays at most {NESTING_MAX} deep, found more")
        return tuple([from_json(item, depth + 1) for item in value])
    if kind is dict and value.keys() == {"base64"} and type(value["base64"]) is str:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise BadInput(f"expected base64, found {value['base64'][:40]!r}") from None
    found = "an object" if kind is dict else repr(value)
    raise BadInput(
        'expected a value (null, boolean, integer, string, array or {"base64": "..."}), '
        f"found {found}"
    )
