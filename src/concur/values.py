"""Immutable values that nodes may hold: `Set`, `Map`, and the rule of what counts as a value.

A node's fields and messages hold only None, bool, int, str, bytes, tuples, frozen Structs and the
collections of this module and of `concur.logs`. Plain frozensets and dicts are excluded because
equal ones may iterate in different orders, which would let PYTHONHASHSEED leak into a run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Generic, TypeVar, overload

import immutables
import msgspec

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
D = TypeVar("D")

RECENT_MAX = 64
"""How many changes a `Map` remembers, so that `delta` need not compare the maps whole."""
RECENT_KEPT = 8
"""How many of them it keeps when it begins to forget."""

_MISSING: Any = object()
_first: Any = itemgetter(0)


def canonical(items: Iterable[T]) -> list[T]:
    """Sort values into the one order in which collections iterate, whatever their types.

    Values of one ordered type sort naturally; others by their type's name and their encoding.
    """
    unordered = list(items)
    try:
        return sorted(unordered)  # type: ignore[type-var]
    except TypeError:
        return sorted(unordered, key=_sort_key)


def _sort_key(value: object) -> tuple[str, bytes]:
    return type(value).__name__, msgspec.msgpack.encode(value, enc_hook=encode_collection)


class Set(Generic[T]):
    """An immutable set that iterates in canonical order. Made for quorums: `add` is O(n)."""

    __slots__ = ("_items",)
    _items: frozenset[T]

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = frozenset(items)

    def add(self, item: T) -> "Set[T]":
        return self if item in self._items else _set(self._items | {item})

    def discard(self, item: T) -> "Set[T]":
        return _set(self._items - {item}) if item in self._items else self

    def __or__(self, other: "Set[T]") -> "Set[T]":
        return _set(self._items | other._items)

    def __and__(self, other: "Set[T]") -> "Set[T]":
        return _set(self._items & other._items)

    def __sub__(self, other: "Set[T]") -> "Set[T]":
        return _set(self._items - other._items)

    def __le__(self, other: "Set[T]") -> bool:
        return self._items <= other._items

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(canonical(self._items))

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Set) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Set({tuple(self)!r})" if self._items else "Set()"

    def __reduce__(self) -> tuple[Any, ...]:
        return Set, (tuple(self),)


def _set(items: frozenset[T]) -> Set[T]:
    result: Set[T] = Set.__new__(Set)
    result._items = items
    return result


class MapDelta(msgspec.Struct, Generic[K, V], frozen=True, array_like=True):
    """What turns one `Map` into another: pairs to put, then keys to remove."""

    put: tuple[tuple[K, V], ...]
    removed: tuple[K, ...]


class Map(Generic[K, V]):
    """An immutable map with shared structure: `put` and `get` cost about half a microsecond.

    It iterates in canonical key order. The last changes are remembered as a chain of keys, never as
    older maps, so that the delta of one step costs what the step changed. That memory, like the
    cached hash, is no part of the value.
    """

    __slots__ = ("_hash", "_items", "_recent")
    _items: "immutables.Map[K, V]"
    _recent: list[Any]
    """A link [link before, key, length]; its identity names this version of the map."""
    _hash: int

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        pairs = items.items() if isinstance(items, Map) else items
        self._items = immutables.Map(pairs)
        self._recent = _root()

    def put(self, key: K, value: V) -> "Map[K, V]":
        """This map with `key` bound to `value`; the map itself if it already was, identically."""
        before, recent = self._items, self._recent
        items = before.set(key, value)
        if items is before:
            return self
        result: Map[K, V] = _new(Map)
        result._items = items
        length = recent[2]
        result._recent = [recent, key, length + 1] if length < RECENT_MAX else _link(recent, key)
        return result

    def remove(self, key: K) -> "Map[K, V]":
        """This map without `key`. Raises KeyError if it is absent."""
        return _map(self._items.delete(key), _link(self._recent, key))

    def discard(self, key: K) -> "Map[K, V]":
        return self.remove(key) if key in self._items else self

    def update(self, pairs: Iterable[tuple[K, V]]) -> "Map[K, V]":
        return self.patch(MapDelta(tuple(pairs), ()))

    def without(self, keys: Iterable[K]) -> "Map[K, V]":
        """This map without any of `keys`; absent ones are ignored."""
        present = dict.fromkeys(key for key in keys if key in self._items)
        return self.patch(MapDelta((), tuple(present)))

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        return self._items.get(key, default)

    def keys(self) -> list[K]:
        return canonical(self._items)

    def values(self) -> list[V]:
        return [value for _, value in self.items()]

    def items(self) -> list[tuple[K, V]]:
        try:
            return sorted(self._items.items(), key=_first)
        except TypeError:
            return [(key, self._items[key]) for key in self.keys()]

    def patch(self, delta: MapDelta[K, V]) -> "Map[K, V]":
        """Apply a delta in one go."""
        if not delta.put and not delta.removed:
            return self
        if len(delta.put) + len(delta.removed) == 1:
            return self.put(*delta.put[0]) if delta.put else self.remove(delta.removed[0])
        with self._items.mutate() as edit:
            for key, value in delta.put:
                edit[key] = value
            for key in delta.removed:
                del edit[key]
            items = edit.finish()
        recent = self._recent
        for key, _ in delta.put:
            recent = _link(recent, key)
        for key in delta.removed:
            recent = _link(recent, key)
        return _map(items, recent)

    @staticmethod
    def delta(old: "Map[K, V]", new: "Map[K, V]") -> MapDelta[K, V]:
        """What turns `old` into `new`; empty if they are equal."""
        link: Any = new._recent
        if link[0] is old._recent:  # one change, by far the commonest case
            key = link[1]
            value = new._items.get(key, _MISSING)
            if value is _MISSING:
                return MapDelta((), (key,))
            past = old._items.get(key, _MISSING)
            if past is _MISSING or past != value or type(past) is not type(value):
                return MapDelta(((key, value),), ())
            return MapDelta((), ())
        origin = old._recent
        changed = []
        while link is not None and link is not origin:
            changed.append(link[1])
            link = link[0]
        # In canonical order, because what is remembered is no part of the value: equal maps must
        # have equal deltas.
        if link is not None:
            keys: list[K] = canonical(dict.fromkeys(changed))
        else:
            keys = canonical({**dict.fromkeys(old._items), **dict.fromkeys(new._items)})
        put = []
        removed = []
        after, before = new._items.get, old._items.get
        for key in keys:
            value = after(key, _MISSING)
            past = before(key, _MISSING)
            if value is past:
                continue
            if value is _MISSING:
                removed.append(key)
            elif past is _MISSING or past != value or type(past) is not type(value):
                put.append((key, value))
        return MapDelta(tuple(put), tuple(removed))

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Map):
            return NotImplemented
        return self._items is other._items or self._items == other._items

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = hash(self._items)
            return self._hash

    def __repr__(self) -> str:
        return f"Map({{{', '.join(f'{k!r}: {v!r}' for k, v in self.items())}}})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Map, (tuple(self.items()),)


def _map(items: "immutables.Map[K, V]", recent: Any) -> Map[K, V]:
    result: Map[K, V] = _new(Map)
    result._items = items
    result._recent = recent
    return result


def _root() -> list[Any]:
    return [None, None, 0]


def _link(before: list[Any], key: Any) -> list[Any]:
    length = before[2] + 1
    if length > RECENT_MAX:
        link: Any = before
        for _ in range(RECENT_KEPT):
            link = link[0] or link
        link[0] = None  # forget what is older; `delta` then compares the maps whole
        length = RECENT_KEPT + 1
    return [before, key, length]


_new = object.__new__


def encode_collection(value: object) -> object:
    """msgspec's hook: collections travel as arrays in canonical order."""
    if isinstance(value, Set):
        return tuple(value)
    if isinstance(value, Map):
        return tuple(value.items())
    plain = getattr(value, "_to_plain", None)
    if plain is not None:
        return plain()
    raise TypeError(f"{type(value).__name__} is not a value that a node may hold")


def decode_collection(kind: Any, plain: Any) -> object:
    """msgspec's hook: the inverse of `encode_collection`, typed by the annotation."""
    origin = getattr(kind, "__origin__", kind)
    args = getattr(kind, "__args__", ())
    if origin is Set:
        (item,) = args or (Any,)
        members = Set(_convert(plain, tuple[item, ...]))  # type: ignore[valid-type]
        if len(members) != len(plain):
            raise ValueError("a member of a set comes twice")
        return members
    if origin is Map:
        key, value = args or (Any, Any)
        pairs = Map(_convert(plain, tuple[tuple[key, value], ...]))  # type: ignore[valid-type]
        if len(pairs) != len(plain):
            raise ValueError("a key of a map comes twice")
        return pairs
    make: Callable[..., object] | None = getattr(origin, "_from_plain", None)
    if make is not None:
        return make(args, plain)
    raise TypeError(f"{kind!r} cannot be decoded")


def _convert(plain: Any, kind: Any) -> Any:
    return msgspec.convert(plain, kind, dec_hook=decode_collection)
