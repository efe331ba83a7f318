"""A key-value store: get, put, append, compare-and-set, delete, scan.

A key is bound to a value or absent, and reads of an absent key give None. So None and absent are
one: to put None is to delete, `Cas(key, None, new)` creates, `Cas(key, old, None)` deletes.
"""

from bisect import bisect_left
from collections import deque
from typing import Any

from concur.errors import BadInput
from concur.machines.base import (
    Machine,
    MachineCommand,
    MachineError,
    Refused,
    Scalar,
    refuse_length,
    refuse_scalar,
    same,
)
from concur.values import Map

KEY_LENGTH_MAX = 1024
"""Characters of a key: generous for a name, and a thousand keys of a scan stay a message."""

VALUE_LENGTH_MAX = 1 << 20
"""Characters of a str, bytes of a bytes: one message's worth, not a file's. Appends stop there."""

SCAN_LIMIT_MAX = 1000
"""Entries of one scan."""

SCAN_LENGTH_MAX = 4 << 20
"""Characters and bytes of one scan, keys and values: it ends early rather than exceed this, but
never before its first entry."""


class Get(MachineCommand, frozen=True):
    """-> the value, None if absent."""

    key: str


class Put(MachineCommand, frozen=True):
    """-> None."""

    key: str
    value: Scalar


class Append(MachineCommand, frozen=True):
    """Extend a str or bytes by another; an absent key counts as empty -> None.

    Refused if the value has another type or would become too long.
    """

    key: str
    value: Scalar


class Cas(MachineCommand, frozen=True):
    """Set to `new` if the value is `old`, in type too -> whether it was."""

    key: str
    old: Scalar
    new: Scalar


class Delete(MachineCommand, frozen=True):
    """-> None, whether the key was there or not."""

    key: str


class Scan(MachineCommand, frozen=True):
    """-> up to `limit` pairs (key, value) in order of keys, from the first key >= `start`."""

    start: str
    limit: int


KvCommand = Get | Put | Append | Cas | Delete | Scan
KvState = Map[str, Scalar]


class KeyValue(Machine[KvState, KvCommand]):
    """A map from strings to scalars."""

    name = "kv"
    commands = (Get, Put, Append, Cas, Delete, Scan)

    def initial(self) -> KvState:
        return Map()

    def apply(self, state: KvState, command: KvCommand) -> tuple[KvState, Any]:
        # mypy does not narrow by `type(x) is`, which is twice as fast here as isinstance.
        kind = type(command)
        if kind is Get:
            return state, state.get(command.key)  # type: ignore[union-attr]
        if kind is Put:
            return _bind(state, command.key, command.value), None  # type: ignore[union-attr]
        if isinstance(command, Cas):
            if not same(state.get(command.key), command.old):
                return state, False
            return _bind(state, command.key, command.new), True
        if isinstance(command, Append):
            return _append(state, command.key, command.value), None
        if isinstance(command, Delete):
            return state.discard(command.key), None
        assert isinstance(command, Scan)
        return state, self._scan(state, command.start, command.limit)

    def validate(self, command: KvCommand) -> None:
        kind = type(command)
        key = command.start if isinstance(command, Scan) else command.key
        wrong = refuse_length(key, KEY_LENGTH_MAX)
        if wrong:
            raise BadInput(f"kv key: {wrong}")
        if kind is Get or kind is Delete:
            return
        if isinstance(command, Scan):
            if not 1 <= command.limit <= SCAN_LIMIT_MAX:
                raise BadInput(f"kv scan limit: {command.limit}, expected 1 to {SCAN_LIMIT_MAX}")
            return
        values: tuple[Scalar, ...]
        if isinstance(command, Cas):
            values = (command.old, command.new)
        else:
            values = (command.value,)  # type: ignore[union-attr]
        for value in values:
            wrong = refuse_scalar(value, VALUE_LENGTH_MAX)
            if wrong:
                raise BadInput(f"kv value: {wrong}")
        if kind is Append and type(values[0]) not in (str, bytes):
            raise BadInput(f"kv append: {values[0]!r}, expected a str or bytes")

    def read_only(self, command: KvCommand) -> bool:
        kind = type(command)
        return kind is Get or kind is Scan

    def conflicts(self, a: KvCommand, b: KvCommand) -> bool:
        if self.read_only(a) and self.read_only(b):
            return False
        if isinstance(a, Scan):  # its limit does not help: where it ends depends on the state
            return not isinstance(b, Scan) and b.key >= a.start
        if isinstance(b, Scan):
            return a.key >= b.start
        return a.key == b.key

    def key(self, command: KvCommand) -> str | None:
        return None if isinstance(command, Scan) else command.key

    def event(self, command: KvCommand) -> tuple[str, Any, Any]:
        kind = type(command)
        if kind is Get:
            return "get", command.key, None  # type: ignore[union-attr]
        if kind is Put:
            return "put", command.key, command.value  # type: ignore[union-attr]
        if isinstance(command, Cas):
            return "cas", command.key, (command.old, command.new)
        if isinstance(command, Append):
            return "append", command.key, command.value
        if isinstance(command, Scan):
            return "scan", None, (command.start, command.limit)
        return "delete", command.key, None

    def command(self, f: str, key: Any, value: Any) -> KvCommand:
        made: KvCommand
        pair = tuple(value) if isinstance(value, tuple | list) and len(value) == 2 else None
        if f == "scan" and pair and type(pair[0]) is str and type(pair[1]) is int:
            made = Scan(*pair)
        elif type(key) is not str:
            raise self.unknown_event(f, key, value)
        elif f == "get":
            made = Get(key)
        elif f == "put":
            made = Put(key, value)
        elif f == "append":
            made = Append(key, value)
        elif f == "delete":
            made = Delete(key)
        elif f == "cas" and pair:
            made = Cas(key, *pair)
        else:
            raise self.unknown_event(f, key, value)
        self.validate(made)
        return made

    def completion(self, command: KvCommand, result: Any) -> tuple[str, Any, str | None]:
        """A put or append that is ok repeats the value; a get or scan has what was read."""
        if type(result) is MachineError:
            return "fail", self.event(command)[2], str(result)
        kind = type(command)
        if kind is Get or kind is Scan or kind is Delete:
            return "ok", result, None
        if isinstance(command, Cas):
            value = (command.old, command.new)
            return ("ok", value, None) if result is True else ("fail", value, "mismatch")
        return "ok", command.value, None  # type: ignore[union-attr]

    def _scan(self, state: KvState, start: str, limit: int) -> tuple[tuple[str, Scalar], ...]:
        keys = _sorted_keys(state)
        found: list[tuple[str, Scalar]] = []
        length = 0
        for key in keys[bisect_left(keys, start) :][:limit]:
            value = state[key]
            length += len(key) + (len(value) if isinstance(value, str | bytes) else 8)
            if found and length > SCAN_LENGTH_MAX:
                break
            found.append((key, value))
        return tuple(found)


def _bind(state: KvState, key: str, value: Scalar) -> KvState:
    return state.discard(key) if value is None else state.put(key, value)


def _append(state: KvState, key: str, value: Scalar) -> KvState:
    old = state.get(key)
    assert isinstance(value, str | bytes)  # validate has seen to it
    if old is None:
        return state.put(key, value)
    if type(old) is not type(value):
        raise Refused(f"append of {type(value).__name__} to {type(old).__name__}")
    longer: Any = old
    length = len(longer) + len(value)
    if length > VALUE_LENGTH_MAX:
        raise Refused(f"append: value of length {length}, at most {VALUE_LENGTH_MAX} allowed")
    return state.put(key, longer + value)


_sorted: deque[tuple[KvState, list[str]]] = deque(maxlen=8)  # about one for each replica


def _sorted_keys(state: KvState) -> list[str]:
    """The keys in order. Remembered by identity for the last few states that were scanned: in a
    workload of scans most meet a state that an earlier one has met, and sorting is the cost."""
    for known, keys in tuple(_sorted):
        if known is state:
            return keys
    keys = state.keys()
    _sorted.append((state, keys))
    return keys
