"""What the Redis machine holds: values by key, and which keys expire when.

A persistent structure, like every state: `bind` and `unbind` return another keyspace and leave this
one as it is. Two indices stand beside the values, both of keys in groups by number:

* `places` groups all keys by a checksum of theirs. `scan` walks the groups in order, so that its
  cursor is a number, needs no memory between calls, and misses no key that is there throughout.
* `agenda` groups the keys that expire by the time at which they do.

**Time.** `now_ms` is the time of the log: `advance` moves it, and while any key expires never back.
A key is expired if and only if its time is not after `now_ms`, whether it was swept already or not.
Sweeping frees memory, a bounded number of keys at a time, and shows nowhere but in `len(values)`.

While no key expires nothing shows what the time is, and so it may go back then: a clock that was a
year ahead, and was believed, does not spoil the lifetimes of a year to come.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from concur.messages import decode, encode
from concur.values import Map

PLACES = 4096
"""Groups of keys for scans: few enough to walk all of an empty store in a millisecond, and with a
million keys a group has 250, which is what the smallest step of a scan returns."""

AGENDA_SHIFT = 6
"""Keys that expire within the same 64 ms are swept together."""

SWEEP_MAX = 1000
"""Keys that one `advance` sweeps: some milliseconds."""

STALE_MS = 60_000
"""Time passes at least so often while anything expires, so that a look at what is due is short."""

Groups = Map[int, tuple[bytes, ...]]
"""Sorted keys by number; no group is empty."""


class Expiring(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value that ceases to be at `at_ms`."""

    value: bytes
    at_ms: int


class Keyspace(msgspec.Struct, frozen=True, array_like=True):
    """`horizon` is the first group of the agenda that has not been swept empty."""

    values: Map[bytes, bytes | Expiring] = Map()
    places: Groups = Map()
    agenda: Groups = Map()
    now_ms: int = 0
    horizon: int = 0


def value_at(space: Keyspace, key: bytes) -> bytes | None:
    """The value; None if there is none, or none any more."""
    found = space.values.get(key)
    if type(found) is Expiring:
        return found.value if found.at_ms > space.now_ms else None
    return found  # type: ignore[return-value]


def expiry_at(space: Keyspace, key: bytes) -> int | None:
    """When a key that is there expires; None if never."""
    found = space.values.get(key)
    return found.at_ms if type(found) is Expiring else None


def bind(space: Keyspace, key: bytes, value: bytes, at_ms: int | None = None) -> Keyspace:
    """With `key` bound to `value`, until `at_ms` or for ever."""
    values, places, agenda, now_ms, horizon = (
        space.values, space.places, space.agenda, space.now_ms, space.horizon,
    )  # fmt: skip
    old = values.get(key)
    if at_ms is None and type(old) is bytes:  # by far the commonest case
        return Keyspace(values.put(key, value), places, agenda, now_ms, horizon)
    if at_ms is not None and at_ms <= now_ms:
        return unbind(space, key)
    if old is None:
        places = _enter(places, _place(key), key)
    elif type(old) is Expiring:
        agenda = _leave(agenda, old.at_ms >> AGENDA_SHIFT, key)
    if at_ms is not None:
        agenda = _enter(agenda, at_ms >> AGENDA_SHIFT, key)
        return Keyspace(values.put(key, Expiring(value, at_ms)), places, agenda, now_ms, horizon)
    return Keyspace(values.put(key, value), places, agenda, now_ms, horizon)


def unbind(space: Keyspace, key: bytes) -> Keyspace:
    """Without `key`."""
    old = space.values.get(key)
    if old is None:
        return space
    agenda = space.agenda
    if type(old) is Expiring:
        agenda = _leave(agenda, old.at_ms >> AGENDA_SHIFT, key)
    places = _leave(space.places, _place(key), key)
    return Keyspace(space.values.remove(key), places, agenda, space.now_ms, space.horizon)


def cleared(space: Keyspace) -> Keyspace:
    """Without any key; time stays."""
    return Keyspace(now_ms=space.now_ms, horizon=space.horizon)


# --- time ----------------------------------------------------------------------------------------


def advance(space: Keyspace, now_ms: int) -> Keyspace:
    """At `now_ms`, if that is later or no key expires; and without up to SWEEP_MAX of the keys that
    have expired."""
    if not len(space.agenda):
        return Keyspace(space.values, space.places, space.agenda, now_ms, now_ms >> AGENDA_SHIFT)
    now_ms = max(now_ms, space.now_ms)
    end = now_ms >> AGENDA_SHIFT
    horizon, left = end, SWEEP_MAX
    for number in _past(space, end):
        group = space.agenda[number]
        for key in group[:left]:
            space = unbind(space, key)
        left -= len(group)
        if left < 0:
            horizon = number
            break
    return Keyspace(space.values, space.places, space.agenda, now_ms, max(horizon, space.horizon))


def due(space: Keyspace, now_ms: int) -> bool:
    """Whether `advance` to `now_ms` is worth a command: it would sweep a key, or it is long ago."""
    if not len(space.agenda):
        return False
    late = now_ms - space.now_ms >= STALE_MS
    return late or any(True for _ in _past(space, now_ms >> AGENDA_SHIFT))


def _past(space: Keyspace, end: int) -> Iterator[int]:
    """The numbers of the agenda's groups before `end`, in order."""
    agenda, begin = space.agenda, space.horizon
    numbers: Iterable[int]
    if end - begin > len(agenda):
        numbers = [number for number in agenda if number < end]
    else:
        numbers = range(begin, end)
    return (number for number in numbers if number in agenda)


# --- walking over all keys -----------------------------------------------------------------------


def walk(space: Keyspace, cursor: int) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """The groups of keys from `cursor` on, with their numbers."""
    group = space.places.get
    some_expire = len(space.agenda) > 0
    for number in range(cursor, PLACES):
        keys = group(number)
        if keys is None:
            continue
        if some_expire:
            keys = tuple([key for key in keys if value_at(space, key) is not None])
        yield number, keys


# --- bytes ---------------------------------------------------------------------------------------


class _Image(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot holds: the indices follow from it."""

    now_ms: int
    horizon: int
    lasting: tuple[tuple[bytes, bytes], ...]
    expiring: tuple[tuple[bytes, bytes, int], ...]


def image(space: Keyspace) -> bytes:
    items = space.values.items()
    lasting = tuple([(k, v) for k, v in items if type(v) is bytes])
    expiring = tuple([(k, v.value, v.at_ms) for k, v in items if type(v) is Expiring])
    return encode(_Image(space.now_ms, space.horizon, lasting, expiring))


def keyspace(data: bytes) -> Keyspace:
    """The inverse of `image`. Raises BadInput."""
    plain: _Image = decode(data, _Image)
    lasting, expiring = plain.lasting, plain.expiring
    values: dict[bytes, bytes | Expiring] = dict(lasting)
    values.update((key, Expiring(value, at_ms)) for key, value, at_ms in expiring)
    return Keyspace(
        Map(values),
        _groups((_place(key), key) for key in sorted(values)),
        _groups((at_ms >> AGENDA_SHIFT, key) for key, _, at_ms in expiring),
        plain.now_ms,
        plain.horizon,
    )


def _groups(pairs: Iterable[tuple[int, bytes]]) -> Groups:
    """Of pairs in order of their keys."""
    gathered: dict[int, list[bytes]] = {}
    for number, key in pairs:
        gathered.setdefault(number, []).append(key)
    return Map({number: tuple(keys) for number, keys in gathered.items()})


def _place(key: bytes) -> int:
    return crc32(key) % PLACES


def _enter(groups: Groups, number: int, key: bytes) -> Groups:
    group = groups.get(number)
    if group is None:
        return groups.put(number, (key,))
    at = bisect_left(group, key)
    return groups.put(number, (*group[:at], key, *group[at:]))


def _leave(groups: Groups, number: int, key: bytes) -> Groups:
    group = groups[number]
    if len(group) == 1:
        return groups.remove(number)
    at = bisect_left(group, key)
    return groups.put(number, group[:at] + group[at + 1 :])
