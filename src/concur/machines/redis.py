"""The strings of Redis: what the gateway of `concur.serve.redis` replicates.

Keys and values are bytes. An absent key reads as None, as in `kv`; but an empty value is a value.
Refusals have Redis' words, which the gateway hands on.

**Time is content of the log.** No replica looks at a clock: `Tick` brings one, and lifetimes are
counted from the last tick (`concur.machines.keyspace`). So a key that has expired has expired on
every replica and for every client, and what they see stays linearizable however wrong the clocks
are. Where clocks differ, a lifetime may be shorter or longer by as much, and no more.

`event` uses the words of `kv` for what kv can do (get, put, append, cas, delete), so a history of
these can be held against either.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from concur.errors import BadInput
from concur.machines.base import (
    INT_MAX,
    INT_MIN,
    Machine,
    Refused,
)
from concur.machines.globs import glob
from concur.machines.keyspace import (
    Keyspace,
    advance,
    bind,
    cleared,
    expiry_at,
    image,
    keyspace,
    unbind,
    value_at,
    walk,
)
from concur.machines.redis_commands import (
    COUNT_MAX,
    KEY_LENGTH_MAX,
    KEYS_MAX,
    LENGTH_MAX,
    MATCH_COST_MAX,
    PATTERN_LENGTH_MAX,
    READS,
    REPLY_LENGTH_MAX,
    TIME_MAX,
    WALKS_MAX,
    WRITES,
    Append,
    Cas,
    DbSize,
    Delete,
    Exec,
    Exists,
    Expire,
    ExpireTime,
    FlushAll,
    Get,
    GetDelete,
    IncrBy,
    KeysLike,
    MGet,
    MSet,
    Scan,
    Set,
    SetWith,
    StrLen,
    Tick,
)

__all__ = [
    "COUNT_MAX",
    "KEYS_MAX",
    "KEY_LENGTH_MAX",
    "LENGTH_MAX",
    "MATCH_COST_MAX",
    "NOT_AN_INTEGER",
    "PATTERN_LENGTH_MAX",
    "READS",
    "REPLY_LENGTH_MAX",
    "TIME_MAX",
    "WALKS_MAX",
    "WRITES",
    "Append",
    "Cas",
    "DbSize",
    "Delete",
    "Exec",
    "Exists",
    "Expire",
    "ExpireTime",
    "FlushAll",
    "Get",
    "GetDelete",
    "IncrBy",
    "KeysLike",
    "MGet",
    "MSet",
    "Redis",
    "Scan",
    "Set",
    "SetWith",
    "StrLen",
    "Tick",
]

NOT_AN_INTEGER = "value is not an integer or out of range"

_READS = frozenset(READS)


class Redis(Machine[Keyspace, Any]):
    """Strings by key, which may expire."""

    name = "redis"
    commands = (*READS, *WRITES)

    def initial(self) -> Keyspace:
        return Keyspace()

    def apply(self, state: Keyspace, command: Any) -> tuple[Keyspace, Any]:
        kind = type(command)
        if kind is Set:
            return bind(state, command.key, command.value), None
        if kind is Get:
            return state, value_at(state, command.key)
        if kind is Exec:
            return self._exec(state, command)
        return _APPLY[kind](state, command)

    def read_only(self, command: Any) -> bool:
        kind = type(command)
        if kind is Exec:
            return all(map(self._reads, command.bodies))
        return kind in _READS

    def conflicts(self, a: Any, b: Any) -> bool:
        if self.read_only(a) and self.read_only(b):
            return False
        one, other = self.key(a), self.key(b)
        return one is None or other is None or one == other

    def key(self, command: Any) -> bytes | None:
        keys = getattr(command, "keys", None)
        if keys is not None:
            return keys[0] if len(keys) == 1 else None
        return getattr(command, "key", None)

    def encode(self, command: Any) -> bytes:
        """The bounds are in the types, so what cannot be decoded is out of them."""
        body = super().encode(command)
        self.decode(body)
        return body

    def validate(self, command: Any) -> None:
        if type(command) is MSet and len(command.pairs) % 2:
            raise BadInput("command redis: m-set of a key without a value")
        if type(command) is MSet and any(len(key) > KEY_LENGTH_MAX for key in command.pairs[::2]):
            raise BadInput(f"command redis: m-set of a key of over {KEY_LENGTH_MAX} bytes")

    # --- history ---------------------------------------------------------------------------------

    def event(self, command: Any) -> tuple[str, Any, Any]:
        kind = type(command)
        if kind is Delete and len(command.keys) == 1:
            return "delete", command.keys[0], None
        word = _WORDS.get(kind) or str(kind.__struct_config__.tag)
        fields = msgspec.structs.astuple(command)
        if kind.__struct_fields__[:1] != ("key",):
            return word, None, fields
        key, *rest = fields
        return word, key, rest[0] if len(rest) == 1 else tuple(rest) or None

    def command(self, f: str, key: Any, value: Any) -> Any:
        if f == "delete" and key is not None:
            return self._made(f, key, value, ((key,),))
        kind = _KINDS.get(f)
        if kind is None or (key is None) == (kind.__struct_fields__[:1] == ("key",)):
            raise self.unknown_event(f, key, value)
        fields = kind.__struct_fields__
        if key is None:
            return self._made(f, key, value, value)
        if len(fields) == 2:
            value = (value,)
        return self._made(f, key, value, (key, *(value or ())))

    def _made(self, f: str, key: Any, value: Any, fields: Any) -> Any:
        try:
            made = _KINDS[f](*map(_frozen, fields))
            return self.decode(self.encode(made))
        except (BadInput, TypeError) as error:
            raise self.unknown_event(f, key, value, str(error)) from None

    def completion(self, command: Any, result: Any) -> tuple[str, Any, str | None]:
        if type(command) is Cas and type(result) is bool:
            value = (command.old, command.new)
            return ("ok", value, None) if result else ("fail", value, "mismatch")
        return super().completion(command, result)

    # --- states ----------------------------------------------------------------------------------

    def snapshot(self, state: Keyspace) -> bytes:
        return image(state)

    def restore(self, data: bytes) -> Keyspace:
        return keyspace(data)

    def _reads(self, body: bytes) -> bool:
        try:
            return body[1:6] != _EXEC and self.read_only(self.recall(body))
        except BadInput:
            return True  # it has an error for a result and changes nothing

    def _exec(self, state: Keyspace, command: Exec) -> tuple[Keyspace, tuple[bytes, ...]]:
        if sum(body[1:6] in _WALKS for body in command.bodies) > WALKS_MAX:
            raise Refused(f"more than {WALKS_MAX} KEYS or SCAN in a transaction")
        results = []
        left = REPLY_LENGTH_MAX
        for body in command.bodies:
            if body[1:6] == _EXEC:
                raise Refused("EXEC inside of EXEC")
            state, result = self.run(state, body)
            results.append(result)
            left -= len(result)
            if left < 0:
                raise Refused(_TOO_LONG)
        return state, tuple(results)


_WORDS: dict[Any, str] = {Set: "put", Delete: "delete-all"}
_KINDS = {_WORDS.get(kind) or str(kind.__struct_config__.tag): kind for kind in Redis.commands}
_KINDS["delete"] = Delete
_EXEC = b"\xa4exec"  # its tag, as it stands in a body behind the header of the array
_WALKS = (b"\xa9keys", b"\xa4scan")  # the beginnings of keys-like and scan
_TOO_COSTLY = "it takes too long to compare so many bytes of keys with this pattern"
_TOO_LONG = f"the reply would be longer than {REPLY_LENGTH_MAX} bytes"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# --- what the commands do -------------------------------------------------------------------------


def _mget(state: Keyspace, c: MGet) -> tuple[Keyspace, Any]:
    values = tuple([value_at(state, key) for key in c.keys])
    return state, _bounded(values)


def _exists(state: Keyspace, c: Exists) -> tuple[Keyspace, Any]:
    return state, sum(value_at(state, key) is not None for key in c.keys)


def _strlen(state: Keyspace, c: StrLen) -> tuple[Keyspace, Any]:
    return state, len(value_at(state, c.key) or b"")


def _expire_time(state: Keyspace, c: ExpireTime) -> tuple[Keyspace, Any]:
    if value_at(state, c.key) is None:
        return state, -2
    at_ms = expiry_at(state, c.key)
    return state, -1 if at_ms is None else at_ms


def _size(state: Keyspace, c: DbSize) -> tuple[Keyspace, Any]:
    return state, len(state.values)


def _scan(state: Keyspace, c: Scan) -> tuple[Keyspace, Any]:
    fit = glob(c.match)
    left = MATCH_COST_MAX
    found: list[bytes] = []
    looked, count = 0, min(c.count, KEYS_MAX)
    for cursor, keys in walk(state, c.cursor):
        cost = sum(map(fit.cost, keys))
        if looked and (looked >= count or cost > left):
            return state, (cursor, *_bounded(tuple(found)))
        if cost > left:
            raise Refused(_TOO_COSTLY)
        left -= cost
        looked += len(keys)
        found += fit.matching(keys)
    return state, (0, *_bounded(tuple(found)))


def _keys(state: Keyspace, c: KeysLike) -> tuple[Keyspace, Any]:
    if len(state.values) > KEYS_MAX:
        raise Refused(f"KEYS in a store of more than {KEYS_MAX} keys, use SCAN")
    fit = glob(c.match)
    keys = [key for _, group in walk(state, 0) for key in group]
    if sum(map(fit.cost, keys)) > MATCH_COST_MAX:
        raise Refused(f"{_TOO_COSTLY}, use SCAN or a simpler one")
    return state, _bounded(tuple(sorted(fit.matching(keys))))


def _bounded(found: tuple[Any, ...]) -> tuple[Any, ...]:
    if sum(len(each) for each in found if each is not None) > REPLY_LENGTH_MAX:
        raise Refused(_TOO_LONG)
    return found


def _set_with(state: Keyspace, c: SetWith) -> tuple[Keyspace, Any]:
    old = value_at(state, c.key)
    if c.only and (old is None) != (c.only == "nx"):
        return state, old if c.get else False
    at_ms = c.at_ms if c.ttl_ms is None else state.now_ms + c.ttl_ms
    if c.keep_ttl and old is not None:
        at_ms = expiry_at(state, c.key)
    return bind(state, c.key, c.value, at_ms), old if c.get else True


def _mset(state: Keyspace, c: MSet) -> tuple[Keyspace, Any]:
    keys = c.pairs[::2]
    if c.absent and any(value_at(state, key) is not None for key in keys):
        return state, False
    for key, value in zip(keys, c.pairs[1::2], strict=True):
        state = bind(state, key, value)
    return state, True


def _delete(state: Keyspace, c: Delete) -> tuple[Keyspace, Any]:
    count = 0
    for key in c.keys:
        count += value_at(state, key) is not None
        state = unbind(state, key)
    return state, count


def _get_delete(state: Keyspace, c: GetDelete) -> tuple[Keyspace, Any]:
    return unbind(state, c.key), value_at(state, c.key)


def _incr(state: Keyspace, c: IncrBy) -> tuple[Keyspace, Any]:
    value = value_at(state, c.key)
    total = (0 if value is None else _integer(value)) + c.by
    if not INT_MIN <= total <= INT_MAX:
        raise Refused("increment or decrement would overflow")
    return _rebind(state, c.key, b"%d" % total), total


def _append(state: Keyspace, c: Append) -> tuple[Keyspace, Any]:
    value = (value_at(state, c.key) or b"") + c.value
    if len(value) > LENGTH_MAX:
        raise Refused(f"string exceeds maximum allowed size ({LENGTH_MAX} bytes)")
    return _rebind(state, c.key, value), len(value)


def _cas(state: Keyspace, c: Cas) -> tuple[Keyspace, Any]:
    if value_at(state, c.key) != c.old:
        return state, False
    return (unbind(state, c.key) if c.new is None else _rebind(state, c.key, c.new)), True


def _expire(state: Keyspace, c: Expire) -> tuple[Keyspace, Any]:
    value = value_at(state, c.key)
    if value is None:
        return state, False
    old = expiry_at(state, c.key)
    at_ms = c.at_ms if c.ttl_ms is None else state.now_ms + c.ttl_ms
    if at_ms is None and old is None:
        return state, False
    if c.only and not _FITS[c.only](old, at_ms):
        return state, False
    return bind(state, c.key, value, at_ms), True


def _flush(state: Keyspace, c: FlushAll) -> tuple[Keyspace, Any]:
    return cleared(state), None


def _tick(state: Keyspace, c: Tick) -> tuple[Keyspace, Any]:
    return advance(state, c.now_ms), None


def _rebind(state: Keyspace, key: bytes, value: bytes) -> Keyspace:
    """With another value, that expires when the old one would have."""
    at_ms = expiry_at(state, key)
    return bind(state, key, value, at_ms if at_ms is None or at_ms > state.now_ms else None)


def _integer(value: bytes) -> int:
    """A number as Redis writes it: without spaces, signs of plus or zeros in front."""
    try:
        number = int(value) if len(value) <= 20 else None
    except ValueError:
        number = None
    if number is None or b"%d" % number != value or not INT_MIN <= number <= INT_MAX:
        raise Refused(NOT_AN_INTEGER)
    return number


def _end(at_ms: int | None) -> int:
    return TIME_MAX * 4 if at_ms is None else at_ms


_FITS: dict[str, Callable[[int | None, int | None], bool]] = {
    "nx": lambda old, new: old is None,
    "xx": lambda old, new: old is not None,
    "gt": lambda old, new: _end(new) > _end(old),
    "lt": lambda old, new: _end(new) < _end(old),
    "xx-lt": lambda old, new: old is not None and _end(new) < old,
}
_APPLY: dict[type, Callable[[Keyspace, Any], tuple[Keyspace, Any]]] = {
    MGet: _mget, Exists: _exists, StrLen: _strlen, ExpireTime: _expire_time, DbSize: _size,
    Scan: _scan, KeysLike: _keys, SetWith: _set_with, MSet: _mset, Delete: _delete,
    GetDelete: _get_delete, IncrBy: _incr, Append: _append, Cas: _cas, Expire: _expire,
    FlushAll: _flush, Tick: _tick,
}  # fmt: skip
