"""What the members of Jepsen's operations mean, in EDN and in its JSON twin.

* `:process` is an integer. Events of other processes, such as `:nemesis`, are no operations of
  clients and are left out.
* `:type`, `:f`, `:value` as in our own files. Without an `:f`, a value that is a list of reads and
  writes makes a transaction, `txn`. What is done in a micro-operation loses its colon.
* `:key` is optional. Without it, values `[key value]` are taken apart if the first invocation shows
  that all have a key (`jepsen.independent`): it is no transaction, and its value is a pair, for a
  compare-and-set one of a key and a pair.
* `:time` in nanoseconds. If the first event has none, no event needs one, and an event comes after
  all those before it in the file: no two are at the same time. Jepsen stamps an event in the
  process's own thread, so a time that goes back within one process is taken for the time before.
* `:error` may be anything and is kept as text. An `info` whose value is a keyword, as `:timed-out`
  in old logs, has that as its error, unless there is a `:key`.
* `:index` and all other members are not looked at: the file has its own order.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from concur.errors import BadInput
from concur.histories.formats.base import TIME_MAX, TIME_MIN, Source
from concur.histories.formats.jsonl import from_json
from concur.histories.history import Event, EventType

ERROR_CHARS_MAX = 200
TYPES: dict[Any, EventType] = {"invoke": "invoke", "ok": "ok", "fail": "fail", "info": "info"}
TYPES |= {f":{name}": kind for name, kind in TYPES.items()}
SCALARS = (str, int, bytes, bool, type(None))


class Opaque:
    """Something of a file that is no value of an operation; `text` says what."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def jepsen_events(source: Source, maps: Iterable[dict[str, Any]]) -> Iterator[Event]:
    """The events that `maps` stand for; their members are called `:process` and so on."""
    keyed: bool | None = None  # unknown before the first invocation
    timed: bool | None = None
    clock: dict[int, int] = {}
    index = 0
    for members in maps:
        process = members.get(":process", Opaque("no :process"))
        if type(process) is not int:
            if type(process) is str:
                continue
            raise source.bad(f"expected an integer as :process, found {process!r}")
        kind = TYPES.get(_hashable(members.get(":type")))
        if kind is None:
            found = members.get(":type")
            raise source.bad(f"expected :invoke, :ok, :fail or :info as :type, found {found!r}")
        f, value = _f(source, members), members.get(":value")
        time = members.get(":time")
        if timed is None:
            timed = time is not None
        time = _time(source, time, clock.get(process)) if timed else index
        error = members.get(":error")
        told = type(value) is str and value.startswith(":") and ":key" not in members
        if kind == "info" and told:
            error, value = value, None
        if f == "txn":
            value = _transaction(value)
        key = members.get(":key")
        if keyed is None and kind == "invoke":
            keyed = ":key" not in members and _has_key(f, value)
        if keyed and (kind != "info" or value is not None):
            if type(value) is not tuple or len(value) != 2:
                raise source.bad(f"expected [key value] as in the events before, found {value!r}")
            key, value = value
        if type(value) not in SCALARS:
            _check(source, value)
        if type(key) not in SCALARS:
            _check(source, key)
        if timed:
            clock[process] = time
        yield Event(
            process=process,
            type=kind,
            f=f,
            key=key,
            value=value,
            time=time,
            index=index,
            error=None if error is None else _error(error),
        )
        index += 1


def _f(source: Source, members: dict[str, Any]) -> str:
    f = members.get(":f")
    if type(f) is str:
        return f.removeprefix(":")
    value = members.get(":value")
    if f is None and type(value) is tuple and all(type(part) is tuple for part in value):
        return "txn"
    raise source.bad("expected a keyword as :f" + ("" if f is None else f", found {f!r}"))


def _time(source: Source, time: Any, before: int | None) -> int:
    if type(time) is not int or not TIME_MIN <= time <= TIME_MAX:
        raise source.bad(f"expected nanoseconds, in 64 bits, as :time, found {str(time)[:40]}")
    return time if before is None or before <= time else before


def _has_key(f: str, value: Any) -> bool:
    if f == "txn" or type(value) is not tuple or len(value) != 2:
        return False
    return f != "cas" or (type(value[1]) is tuple and len(value[1]) == 2)


def _transaction(value: Any) -> Any:
    if type(value) is not tuple:
        return value
    return tuple(
        (part[0].removeprefix(":"), *part[1:])
        if type(part) is tuple and part and type(part[0]) is str
        else part
        for part in value
    )


def _check(source: Source, value: Any) -> None:
    """Raise BadInput unless `value` is one that a history may hold. As deep as it was parsed."""
    kind = type(value)
    if kind is tuple:
        for item in value:
            _check(source, item)
    elif kind not in SCALARS:
        raise source.bad(
            "expected a value (nil, a boolean, an integer, a string, a keyword or a vector of "
            f"them), found {value!r}"
        )


def _error(error: Any) -> str:
    if type(error) is str:
        return error.removeprefix(":")
    return repr(error)[:ERROR_CHARS_MAX]


def _hashable(value: Any) -> Any:
    return value if type(value) is str else None


def from_json_members(members: Any) -> dict[str, Any]:
    """A JSON object as the maps that `jepsen_events` takes. Raises BadInput."""
    if type(members) is not dict:
        raise BadInput("expected an event, an object")
    found = {}
    for name, value in members.items():
        if name == "error" and type(value) is not str:
            found[":error"] = None if value is None else Opaque(repr(value)[:ERROR_CHARS_MAX])
        elif name in ("process", "type", "f", "key", "value", "time", "error"):
            found[f":{name}"] = from_json(value)
    return found
