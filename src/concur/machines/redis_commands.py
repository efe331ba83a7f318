"""The commands of the Redis machine. Their bounds are in their types, so decoding checks them."""

from typing import Annotated, Literal

import msgspec

from concur.machines.base import INT_MAX, INT_MIN, MachineCommand

LENGTH_MAX = 8 << 20
"""Bytes of a value. A value is a message's worth: it crosses the network as a whole."""

KEY_LENGTH_MAX = 64 << 10
"""Bytes of a key: keys are compared, sorted and matched, which should not take long."""

PATTERN_LENGTH_MAX = 1 << 10
"""Bytes of a pattern."""

MATCH_COST_MAX = 1 << 25
"""What one command may compare with patterns (`concur.machines.globs.Glob.cost`): no more than some
tens of milliseconds, for everything else waits as long."""

REPLY_LENGTH_MAX = 32 << 20
"""Bytes of all values or keys in one result."""

COUNT_MAX = 1 << 16
"""Keys or commands in one command."""

KEYS_MAX = 100_000
"""Keys in a store that `Keys` looks at: it holds everything else up, for some 100 ms."""

TIME_MAX = 1 << 61
"""Milliseconds, of a time since 1970 and of a lifetime: their sum still fits 64 bits."""

WALKS_MAX = 16
"""KEYS and SCAN in one transaction."""

NOW_MAX = 1 << 43
"""The latest time that a clock may show, in ms since 1970: the year 2248."""

Bytes = Annotated[bytes, msgspec.Meta(max_length=LENGTH_MAX)]
Key = Annotated[bytes, msgspec.Meta(max_length=KEY_LENGTH_MAX)]
Keys = Annotated[tuple[Key, ...], msgspec.Meta(max_length=COUNT_MAX)]
Pairs = Annotated[tuple[Bytes, ...], msgspec.Meta(max_length=COUNT_MAX)]
Pattern = Annotated[bytes, msgspec.Meta(max_length=PATTERN_LENGTH_MAX)]
Number = Annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)]
Time = Annotated[int, msgspec.Meta(ge=-TIME_MAX, le=TIME_MAX)]
Existence = Literal["", "nx", "xx"]


class Command(MachineCommand, frozen=True, gc=False):
    pass


# --- commands that read -------------------------------------------------------------------------


class Get(Command, frozen=True):
    """-> the value, None if absent."""

    key: Key


class MGet(Command, frozen=True):
    """-> a value or None for each key."""

    keys: Keys


class Exists(Command, frozen=True):
    """-> how many of them are there; one that comes twice counts twice."""

    keys: Keys


class StrLen(Command, frozen=True):
    """-> bytes of the value, 0 if absent."""

    key: Key


class ExpireTime(Command, frozen=True):
    """-> when it expires, in ms since 1970; -1 if never, -2 if absent."""

    key: Key


class DbSize(Command, frozen=True):
    """-> how many keys there are; with those that have expired and wait to be swept."""


class Scan(Command, frozen=True):
    """-> (where to go on, keys ...): keys that match, of about `count` looked at, or fewer if the
    pattern takes long; ends with 0."""

    cursor: Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
    match: Pattern = b"*"
    count: Annotated[int, msgspec.Meta(ge=1, le=INT_MAX)] = 10


class KeysLike(Command, frozen=True):
    """-> all keys that match, in order."""

    match: Pattern


# --- commands that write ------------------------------------------------------------------------


class Set(Command, frozen=True):
    """Bind the key to the value, for ever -> None."""

    key: Key
    value: Bytes


class SetWith(Command, frozen=True):
    """Bind unless `only` forbids it: "nx" if there is a value, "xx" if there is none.

    It expires at `at_ms`, or after `ttl_ms`, or with `keep_ttl` when it would have, or never.
    -> with `get` the value before, else whether it was bound.
    """

    key: Key
    value: Bytes
    only: Existence = ""
    at_ms: Time | None = None
    ttl_ms: Time | None = None
    keep_ttl: bool = False
    get: bool = False


class MSet(Command, frozen=True):
    """Bind keys to values, which alternate; with `absent` only if none of the keys is there.

    -> whether they were bound.
    """

    pairs: Pairs
    absent: bool = False


class Delete(Command, frozen=True):
    """-> how many of them were there."""

    keys: Keys


class GetDelete(Command, frozen=True):
    """-> the value, which is there no more."""

    key: Key


class IncrBy(Command, frozen=True):
    """Add to a number in decimal; an absent one is 0 -> the sum."""

    key: Key
    by: Number


class Append(Command, frozen=True):
    """-> bytes of the value, which is longer now."""

    key: Key
    value: Bytes


class Cas(Command, frozen=True):
    """Bind to `new` if the value is `old` -> whether it was. None is absence: an `old` of None
    creates, a `new` of None deletes. The time to expire stays."""

    key: Key
    old: Bytes | None
    new: Bytes | None


class Expire(Command, frozen=True):
    """Let it expire at `at_ms`, or after `ttl_ms`, or never if both are None.

    `only`: "nx" if it does not expire yet, "xx" if it does, "gt" if later than it would have, "lt"
    if earlier, "xx-lt" if it does and earlier.
    -> whether that changed something.
    """

    key: Key
    at_ms: Time | None = None
    ttl_ms: Time | None = None
    only: Literal["", "nx", "xx", "gt", "lt", "xx-lt"] = ""


class FlushAll(Command, frozen=True):
    """Delete everything -> None."""


class Tick(Command, frozen=True):
    """It is so late now -> None."""

    now_ms: Annotated[int, msgspec.Meta(ge=0, le=NOW_MAX)]


class Exec(Command, frozen=True):
    """Execute encoded commands in a row, with nothing between -> the encoded result of each."""

    bodies: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=COUNT_MAX)]


READS = (Get, MGet, Exists, StrLen, ExpireTime, DbSize, Scan, KeysLike)
WRITES = (
    Set, SetWith, MSet, Delete, GetDelete, IncrBy, Append, Cas, Expire, FlushAll, Tick, Exec,
)  # fmt: skip
