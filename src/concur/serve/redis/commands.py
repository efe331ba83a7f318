"""The commands of Redis that become commands of the machine: a table, and how each is made.

`make(arguments, clock_ms)` gives the command and the shape of its reply, or raises `Wrong` with the
words that the client gets.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from concur.machines import redis as m
from concur.machines.base import INT_MAX, INT_MIN
from concur.machines.globs import glob
from concur.serve.redis import replies as r
from concur.serve.redis.replies import Shape

Clock = Callable[[], int]
Made = tuple[Any, Shape]


class Wrong(Exception):
    """The client asked wrongly; the words begin with ERR."""


class Verb(NamedTuple):
    """`arity` counts the name, and is negative for "at least". `keys`: first, last, step. `walks`
    over the keys, which may take long."""

    name: str
    arity: int
    make: Callable[[list[bytes], Clock], Made]
    writes: bool
    keys: tuple[int, int, int]
    summary: str
    walks: bool = False

    def made(self, a: list[bytes], clock_ms: Clock) -> Made:
        """What `make` gives, of keys that are not too long."""
        for argument in a:
            if len(argument) > m.KEY_LENGTH_MAX:
                first, last, step = self.keys
                named = a[first : last % len(a) + 1 : step] if step else []
                if any(len(key) > m.KEY_LENGTH_MAX for key in named):
                    raise Wrong(f"ERR key is longer than {m.KEY_LENGTH_MAX} bytes")
                break
        return self.make(a, clock_ms)


SHORT_WALK = 1000
"""Keys that are looked at in little time, if their beginning or end says whether they match."""

SYNTAX = "ERR syntax error"
INTEGER = f"ERR {m.NOT_AN_INTEGER}"


def number(digits: bytes) -> int:
    try:
        value = int(digits) if len(digits) <= 20 else None
    except ValueError:
        value = None
    if value is None or b"%d" % value != digits or not INT_MIN <= value <= INT_MAX:
        raise Wrong(INTEGER)
    return value


def _time(digits: bytes, unit_ms: int, command: str, least: int = -m.TIME_MAX) -> int:
    value = number(digits) * unit_ms
    if not least <= value <= m.TIME_MAX:
        raise Wrong(f"ERR invalid expire time in '{command}' command")
    return value


# --- strings -------------------------------------------------------------------------------------


def _get(a: list[bytes], clock: Clock) -> Made:
    return m.Get(a[1]), r.BULK


def _set(a: list[bytes], clock: Clock) -> Made:
    if len(a) == 3:
        return m.Set(a[1], a[2]), r.DONE
    only = expiry = ""
    at_ms = ttl_ms = None
    keep_ttl = get = False
    words = iter(a[3:])
    for word in words:
        option = word.upper()
        if option in (b"NX", b"XX") and only in ("", option.decode().lower()):
            only = option.decode().lower()
        elif option == b"GET":
            get = True
        elif option == b"KEEPTTL" and expiry in ("", "KEEPTTL"):
            expiry, keep_ttl = "KEEPTTL", True
        elif option in _EXPIRIES and not expiry:
            expiry = option.decode()
            unit_ms, absolute = _EXPIRIES[option]
            digits = next(words, None)
            if digits is None:
                raise Wrong(SYNTAX)
            time_ms = _time(digits, unit_ms, "set", 1)
            at_ms, ttl_ms = (time_ms, None) if absolute else (None, time_ms)
        else:
            raise Wrong(SYNTAX)
    command = m.SetWith(a[1], a[2], only, at_ms, ttl_ms, keep_ttl, get)  # type: ignore[arg-type]
    return command, r.BULK if get else r.OK_OR_NIL


_EXPIRIES = {
    b"EX": (1000, False), b"PX": (1, False), b"EXAT": (1000, True), b"PXAT": (1, True)
}  # fmt: skip


def _setex(unit_ms: int, name: str) -> Callable[[list[bytes], Clock], Made]:
    def make(a: list[bytes], clock: Clock) -> Made:
        ttl_ms = _time(a[2], unit_ms, name, 1)
        return m.SetWith(a[1], a[3], ttl_ms=ttl_ms), r.OK_OR_NIL

    return make


def _setnx(a: list[bytes], clock: Clock) -> Made:
    return m.SetWith(a[1], a[2], "nx"), r.FLAG


def _getset(a: list[bytes], clock: Clock) -> Made:
    return m.SetWith(a[1], a[2], get=True), r.BULK


def _getdel(a: list[bytes], clock: Clock) -> Made:
    return m.GetDelete(a[1]), r.BULK


def _mget(a: list[bytes], clock: Clock) -> Made:
    return m.MGet(tuple(a[1:])), r.BULKS


def _mset(a: list[bytes], clock: Clock) -> Made:
    return m.MSet(_pairs(a)), r.OK_OR_NIL


def _msetnx(a: list[bytes], clock: Clock) -> Made:
    return m.MSet(_pairs(a), True), r.FLAG


def _pairs(a: list[bytes]) -> tuple[bytes, ...]:
    if len(a) % 2 == 0:
        raise Wrong(wrong_arity(a[0]))
    return tuple(a[1:])


def _append(a: list[bytes], clock: Clock) -> Made:
    return m.Append(a[1], a[2]), r.INTEGER


def _strlen(a: list[bytes], clock: Clock) -> Made:
    return m.StrLen(a[1]), r.INTEGER


def _add(sign: int) -> Callable[[list[bytes], Clock], Made]:
    def make(a: list[bytes], clock: Clock) -> Made:
        by = sign * (number(a[2]) if len(a) == 3 else 1)
        if by > INT_MAX:
            raise Wrong("ERR decrement would overflow")
        return m.IncrBy(a[1], by), r.INTEGER

    return make


def _cas(a: list[bytes], clock: Clock) -> Made:
    return m.Cas(a[1], a[2], a[3]), r.FLAG


def _cad(a: list[bytes], clock: Clock) -> Made:
    return m.Cas(a[1], a[2], None), r.FLAG


# --- keys ----------------------------------------------------------------------------------------


def _del(a: list[bytes], clock: Clock) -> Made:
    return m.Delete(tuple(a[1:])), r.INTEGER


def _exists(a: list[bytes], clock: Clock) -> Made:
    return m.Exists(tuple(a[1:])), r.INTEGER


def _type(a: list[bytes], clock: Clock) -> Made:
    return m.Exists((a[1],)), r.KIND


def _expire(unit_ms: int, absolute: bool) -> Callable[[list[bytes], Clock], Made]:
    def make(a: list[bytes], clock: Clock) -> Made:
        only = _only(a[3:])
        time_ms = _time(a[2], unit_ms, a[0].decode("latin-1").lower())
        if absolute:
            return m.Expire(a[1], time_ms, None, only), r.FLAG  # type: ignore[arg-type]
        return m.Expire(a[1], None, time_ms, only), r.FLAG  # type: ignore[arg-type]

    return make


def _only(words: list[bytes]) -> str:
    options = [word.upper() for word in words]
    for option, word in zip(options, words, strict=True):
        if option not in (b"NX", b"XX", b"GT", b"LT"):
            raise Wrong(f"ERR Unsupported option {word.decode('utf-8', 'replace')}")
    if b"NX" in options and len({*options}) > 1:
        raise Wrong("ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in options and b"LT" in options:
        raise Wrong("ERR GT and LT options at the same time are not compatible")
    if b"LT" in options and b"XX" in options:
        return "xx-lt"
    later = b"GT" in options  # which a key that never expires does not fulfil, so XX adds nothing
    return "gt" if later else options[0].decode().lower() if options else ""


def _persist(a: list[bytes], clock: Clock) -> Made:
    return m.Expire(a[1]), r.FLAG


def _ttl(unit_ms: int) -> Callable[[list[bytes], Clock], Made]:
    return lambda a, clock: (m.ExpireTime(a[1]), r.time_left(clock, unit_ms))


def _expiretime(unit_ms: int) -> Callable[[list[bytes], Clock], Made]:
    shape = r.time_of(unit_ms)
    return lambda a, clock: (m.ExpireTime(a[1]), shape)


def _scan(a: list[bytes], clock: Clock) -> Made:
    cursor = int(a[1]) if a[1].isdigit() and len(a[1]) <= 20 else -1
    if not 0 <= cursor <= INT_MAX:
        raise Wrong("ERR invalid cursor")
    match, count, none = b"*", 10, False
    if len(a) % 2:
        raise Wrong(SYNTAX)
    for word, value in zip(a[2::2], a[3::2], strict=True):
        option = word.upper()
        if option == b"MATCH":
            match = _pattern(value)
        elif option == b"COUNT":
            count = number(value)
            if count < 1:
                raise Wrong(SYNTAX)
        elif option == b"TYPE":
            none = value.lower() != b"string"
        else:
            raise Wrong(SYNTAX)
    # Of another type there is nothing: "[]" is a pattern that no key fits.
    return m.Scan(cursor, b"[]" if none else match, count), r.SCANNED


def _keys(a: list[bytes], clock: Clock) -> Made:
    return m.KeysLike(_pattern(a[1])), r.BULKS


def takes_long(command: Any) -> bool:
    """Whether a KEYS or SCAN may take more than a millisecond or so."""
    if type(command) is m.Scan and command.count <= SHORT_WALK:
        return glob(command.match).cost(b"1") > 0
    return True


def _pattern(pattern: bytes) -> bytes:
    if len(pattern) > m.PATTERN_LENGTH_MAX:
        raise Wrong("ERR pattern is too long")
    return pattern


def _dbsize(a: list[bytes], clock: Clock) -> Made:
    return m.DbSize(), r.INTEGER


def _flushall(a: list[bytes], clock: Clock) -> Made:
    if len(a) > 2 or (len(a) == 2 and a[1].upper() not in (b"SYNC", b"ASYNC")):
        raise Wrong(SYNTAX)
    return m.FlushAll(), r.DONE


ONE, ALL, NONE, PAIRS = (1, 1, 1), (1, -1, 1), (0, 0, 0), (1, -1, 2)

VERBS = (
    Verb("get", 2, _get, False, ONE, "the value of a key"),
    Verb("set", -3, _set, True, ONE, "bind a key to a value, for ever or for a time"),
    Verb("setnx", 3, _setnx, True, ONE, "bind a key that is not there"),
    Verb("setex", 4, _setex(1000, "setex"), True, ONE, "bind a key for so many seconds"),
    Verb("psetex", 4, _setex(1, "psetex"), True, ONE, "bind a key for so many milliseconds"),
    Verb("getset", 3, _getset, True, ONE, "bind a key, and tell the value before"),
    Verb("getdel", 2, _getdel, True, ONE, "delete a key, and tell the value before"),
    Verb("mget", -2, _mget, False, ALL, "the values of keys"),
    Verb("mset", -3, _mset, True, PAIRS, "bind keys to values, at once"),
    Verb("msetnx", -3, _msetnx, True, PAIRS, "bind keys, at once, if none of them is there"),
    Verb("append", 3, _append, True, ONE, "make a value longer"),
    Verb("strlen", 2, _strlen, False, ONE, "the length of a value"),
    Verb("incr", 2, _add(1), True, ONE, "add 1 to a number"),
    Verb("decr", 2, _add(-1), True, ONE, "subtract 1 from a number"),
    Verb("incrby", 3, _add(1), True, ONE, "add to a number"),
    Verb("decrby", 3, _add(-1), True, ONE, "subtract from a number"),
    Verb("cas", 4, _cas, True, ONE, "bind a key to a new value if it has the old one"),
    Verb("cad", 3, _cad, True, ONE, "delete a key if it has this value"),
    Verb("del", -2, _del, True, ALL, "delete keys"),
    Verb("unlink", -2, _del, True, ALL, "delete keys"),
    Verb("exists", -2, _exists, False, ALL, "how many of the keys are there"),
    Verb("touch", -2, _exists, False, ALL, "how many of the keys are there"),
    Verb("type", 2, _type, False, ONE, "string, or none"),
    Verb("expire", -3, _expire(1000, False), True, ONE, "let a key expire in seconds"),
    Verb("pexpire", -3, _expire(1, False), True, ONE, "let a key expire in milliseconds"),
    Verb("expireat", -3, _expire(1000, True), True, ONE, "let a key expire at a time"),
    Verb("pexpireat", -3, _expire(1, True), True, ONE, "let a key expire at a time, in ms"),
    Verb("persist", 2, _persist, True, ONE, "let a key not expire"),
    Verb("ttl", 2, _ttl(1000), False, ONE, "seconds until a key expires"),
    Verb("pttl", 2, _ttl(1), False, ONE, "milliseconds until a key expires"),
    Verb("expiretime", 2, _expiretime(1000), False, ONE, "when a key expires"),
    Verb("pexpiretime", 2, _expiretime(1), False, ONE, "when a key expires, in ms"),
    Verb("scan", -2, _scan, False, NONE, "walk over all keys", True),
    Verb("keys", 2, _keys, False, NONE, "all keys that match, in a small store", True),
    Verb("dbsize", 1, _dbsize, False, NONE, "how many keys there are"),
    Verb("flushall", -1, _flushall, True, NONE, "delete everything"),
    Verb("flushdb", -1, _flushall, True, NONE, "delete everything"),
)


def wrong_arity(name: bytes) -> str:
    word = name.decode("utf-8", "replace").lower()
    return f"ERR wrong number of arguments for '{word}' command"


def unknown(a: list[bytes]) -> str:
    """As Redis says it, to tell what was understood of it."""
    name = a[0][:128].decode("utf-8", "replace")
    beginning = "".join(f"'{each[:32].decode('utf-8', 'replace')}' " for each in a[1:5])
    return f"ERR unknown command '{name}', with args beginning with: {beginning}"
