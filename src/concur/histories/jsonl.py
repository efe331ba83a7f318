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
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec

from concur.errors import BadInput
from concur.histories.history import CompletionType, Event, EventType, History

LINE_BYTES_MAX = 16 << 20
"""A longer line is no event that a person or a client would produce."""
EVENTS_MAX = 20_000_000
"""About 2 GB in memory. Split a longer history by key before checking it."""
CHUNK_EVENTS = 4096

_Time = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


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


class JsonlWriter:
    """Writes a history file event by event; the file appears whole at the end or not at all.

        with JsonlWriter("run.jsonl") as out:
            out.write(history.events())

    Events go to a temporary file beside `path`, which replaces `path` when the block ends without
    an exception. Raises BadInput if the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            handle, self._partial = tempfile.mkstemp(
                prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or "."
            )
        except OSError as error:
            raise BadInput(_io(path, error, "a place that can be written")) from None
        self._file = os.fdopen(handle, "wb")

    def write(self, events: Iterable[Event]) -> None:
        try:
            for chunk in encode_events(events):
                self._file.write(chunk)
        except OSError as error:
            raise BadInput(_io(self.path, error, "a place that can be written")) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                os.chmod(self._partial, 0o666 & ~_umask())
                os.replace(self._partial, self.path)
        except OSError as failure:
            raise BadInput(_io(self.path, failure, "a place that can be written")) from None
        finally:
            self._file.close()
            if os.path.exists(self._partial):
                os.unlink(self._partial)


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
    reader = _Reader(path, History(model))
    try:
        with open(path, "rb") as file:
            while line := file.readline(LINE_BYTES_MAX + 1):
                reader.line(line)
    except OSError as error:
        raise BadInput(_io(path, error, "a history file, JSON lines")) from None
    return reader.history


class _Reader:
    """Turns lines into operations and holds every process to its one open operation."""

    def __init__(self, path: str, history: History) -> None:
        self.path = path
        self.history = history
        self.number = 0
        self.events = 0
        self.index = -1
        self.open: dict[int, tuple[int, int]] = {}  # process -> op, line of its invocation
        self.gone: dict[int, int] = {}  # process -> line of its info
        self.clock: dict[int, int] = {}  # process -> time of its last event
        self.names: dict[str, str] = {}  # one copy of each f

    def line(self, line: bytes) -> None:
        self.number += 1
        if len(line) > LINE_BYTES_MAX:
            raise self.bad(f"expected an event of at most {LINE_BYTES_MAX} bytes, found more")
        if not line.strip():
            return
        if self.events == EVENTS_MAX:
            raise self.bad(f"expected at most {EVENTS_MAX} events, found more")
        self.events += 1
        try:
            event = _decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            if not line.endswith(b"\n") and not isinstance(error, msgspec.ValidationError):
                raise self.bad(
                    "expected an event, found half of one: the file is cut off"
                ) from None
            raise self.bad(f"expected an event, found: {error}") from None
        if event.index is not None:
            if event.index <= self.index:
                raise self.bad(f"expected an index above {self.index}, found {event.index}")
            self.index = event.index
        process = event.process
        if event.time < self.clock.get(process, event.time):
            raise self.bad(
                f"expected process {process} not to go back in time, "
                f"from {self.clock[process]} to {event.time}"
            )
        self.clock[process] = event.time
        if process in self.gone:
            raise self.bad(
                f"expected nothing of process {process}, which never returns after the info "
                f"in line {self.gone[process]}"
            )
        value = None if event.value is msgspec.UNSET else self.value(event.value)
        key = self.value(event.key)
        if event.type == "invoke":
            self.invoke(event, key, value)
        else:
            self.complete(event, event.type, key, value)

    def invoke(self, event: _Line, key: Any, value: Any) -> None:
        process = event.process
        if process in self.open:
            raise self.bad(
                f"expected process {process} to complete its {self.of(process)} "
                "before it invokes again"
            )
        f = self.names.setdefault(event.f, event.f)
        self.open[process] = self.history.invoke(process, f, key, value, event.time), self.number

    def complete(self, event: _Line, type: CompletionType, key: Any, value: Any) -> None:
        process = event.process
        if process not in self.open:
            raise self.bad(f"expected an invoke of process {process} before its {type}")
        op, _ = self.open[process]
        invoked = self.history._fs[op]
        if event.f != invoked:
            raise self.bad(
                f'expected f "{invoked}" to complete the {self.of(process)}, found "{event.f}"'
            )
        if key is not None and _to_text(key) != _to_text(self.history._keys[op]):
            raise self.bad(
                f"expected key {_to_text(self.history._keys[op])} to complete the "
                f"{self.of(process)}, found {_to_text(key)}"
            )
        self.history.complete(op, type, value, event.time, event.error)
        del self.open[process]
        if type == "info":
            self.gone[process] = self.number

    def of(self, process: int) -> str:
        op, line = self.open[process]
        return f"{self.history._fs[op]} of line {line}"

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str or kind is int or value is None or kind is bool:
            return value
        try:
            return _from_json(value)
        except (BadInput, RecursionError) as error:
            raise self.bad(str(error)) from None

    def bad(self, what: str) -> BadInput:
        return BadInput(f"{self.path}, line {self.number}: {what}".replace("\n", " "))


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


def _from_json(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is list:
        return tuple(_from_json(item) for item in value)
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


def _to_text(value: Any) -> str:
    return _encoder.encode(_to_json(value)).decode()


def _io(path: str, error: OSError, expected: str) -> str:
    return f"{path}: {error.strerror or error}, expected {expected}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
