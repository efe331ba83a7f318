"""Other names in a value: what a local state, a message or a history is when nodes change places.

A renaming is a bijection of words. Ids of nodes count wherever they stand alone in a text ("r1" in
"r1#7", in "c1-1.3" and in "r1/log", but not in "r12"); other words, the values that clients write,
only where they are the whole text. Encoded bytes are decoded, renamed and encoded again.

Order is part of a tuple. Where it tells nothing but the order of the names in it, as in a list of
members, a node or Struct says so:

    unordered_: ClassVar[tuple[str, ...]] = ("voters", "learners")

and these tuples are sorted by the new names, as the code would have sorted them.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from concur.base import Protocol
from concur.errors import ConcurError
from concur.logs import Log
from concur.machines import Machine
from concur.values import Map, Set
from concur.verify.engine.interning import same
from concur.verify.nodes.histories import Judged
from concur.verify.nodes.host import HostState, SeatState


class NotRenamed(ConcurError):
    """A value in which nobody can tell what is a name."""


class Renaming:
    """What becomes of values if every word of `names` is exchanged for another of them.

    `ids` are the words that count inside a longer text as well. With no `names` a value only gets
    its unordered tuples sorted.
    """

    def __init__(self, names: Mapping[str, str], ids: Collection[str] = ()) -> None:
        self.names = {name: new for name, new in names.items() if name != new}
        moved = sorted(id for id in ids if id in self.names)
        words = "|".join(map(re.escape, moved))
        self._ids = re.compile(rf"(?<![0-9A-Za-z_])(?:{words})(?![0-9A-Za-z_])") if moved else None
        self._texts: dict[str, str] = {}
        self._bytes: dict[bytes, bytes] = {}

    def value(self, value: Any) -> Any:
        """The same with the other names; `value` itself if there is nothing to change."""
        kind = type(value)
        rename = _KINDS.get(kind)
        if rename is not None:
            return rename(self, value)
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        if isinstance(value, tuple):  # a NamedTuple
            return kind(*(self.value(item) for item in value))
        if isinstance(value, type | Protocol | Machine):
            return value
        raise NotRenamed(f"a {kind.__name__} cannot be renamed: {value!r}")

    def text(self, text: str) -> str:
        known = self._texts.get(text)
        if known is None:
            known = self.names.get(text)
            if known is None and self._ids is not None:
                known = self._ids.sub(lambda found: self.names[found[0]], text)
            known = self._texts[text] = text if known is None else known
        return text if known == text else known

    def encoded(self, data: bytes) -> bytes:
        known = self._bytes.get(data)
        if known is None:
            known = self._bytes[data] = self._encoded(data)
        return known

    def _encoded(self, data: bytes) -> bytes:
        try:
            plain = msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return data  # no text in it
        renamed = self._plain(plain)
        if same(plain, renamed) and plain == renamed:
            return data
        if msgspec.msgpack.encode(plain) != data:
            raise NotRenamed(f"bytes with names in them, in an encoding of their own: {data!r}")
        return msgspec.msgpack.encode(renamed)

    def _plain(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return [self._plain(item) for item in plain]
        if isinstance(plain, dict):
            return {self._plain(key): self._plain(item) for key, item in plain.items()}
        if isinstance(plain, msgspec.msgpack.Ext):
            return msgspec.msgpack.Ext(plain.code, self._encoded(bytes(plain.data)))
        return self.text(plain) if isinstance(plain, str) else plain

    # --- collections ------------------------------------------------------------------------------

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            return value
        rename = self.value
        renamed = tuple([rename(item) for item in value])
        return value if _identical(value, renamed) else renamed

    def _struct(self, value: Any) -> Any:
        kind = type(value)
        if kind is HostState:
            raise NotRenamed("the state of a host is renamed by `host`, which knows its nodes")
        before = msgspec.structs.astuple(value)
        after = [self.value(item) for item in before]
        for field in getattr(kind, "unordered_", ()):
            at = kind.__struct_fields__.index(field)
            after[at] = _sorted(after[at])
        if _identical(before, after):
            return value
        changed = {
            field: new
            for field, old, new in zip(kind.__struct_fields__, before, after, strict=True)
            if new is not old
        }
        return msgspec.structs.replace(value, **changed)

    def _set(self, value: Set[Any]) -> Set[Any]:
        return Set([self.value(item) for item in value])

    def _map(self, value: Map[Any, Any]) -> Map[Any, Any]:
        if not len(value):
            return value
        return Map([(self.value(key), self.value(item)) for key, item in value._items.items()])

    def _log(self, value: Log[Any]) -> Log[Any]:
        base = value.base
        if base.index and self.names:
            raise NotRenamed(
                "a log that was cut holds a hash of what it has forgotten, in which no name can be "
                "exchanged: raise snapshot_every, or switch symmetry off"
            )
        entries = tuple(value)
        renamed = self._tuple(entries)
        return value if renamed is entries else Log(renamed, base)

    # --- nodes, and what the observer knows -------------------------------------------------------

    def host(self, state: HostState, seats: Iterable[type[Any]]) -> HostState:
        """A host's state. `seats` are the classes of the nodes there."""
        after = tuple(self._seat(seat, node) for seat, node in zip(state.seats, seats, strict=True))
        fields = {
            field: self.value(getattr(state, field))
            for field in HostState.__struct_fields__
            if field != "seats"
        }
        return HostState(after, **fields)

    def _seat(self, seat: SeatState, node: type[Any]) -> SeatState:
        fields = {
            field: self.value(getattr(seat, field)) for field in SeatState.__struct_fields__[1:]
        }
        timers = fields["timers"]
        if timers is not seat.timers:
            fields["timers"] = tuple(sorted(timers, key=repr))
        state = None if seat.node is None else self._snapshot(seat.node, node)
        return SeatState(state, **fields)

    def _snapshot(self, snapshot: tuple[Any, ...], node: type[Any]) -> tuple[Any, ...]:
        """`Node.snapshot` of a node of that class, and of those below it."""
        fields, children, image = snapshot
        renamed = [self.value(field) for field in fields]
        for field in getattr(node, "unordered_", ()):
            at = node.fields_.index(field)
            renamed[at] = _sorted(renamed[at])
        below = tuple(
            (self.text(name), kind, params, machine, self._snapshot(state, kind))
            for name, kind, params, machine, state in children
        )
        return tuple(renamed), below, self.value(image)

    def judged(self, value: Judged, clients: tuple[str, ...]) -> Judged:
        """What the judge knows. `clients` are their ids in its order."""
        places = [clients.index(self.names.get(id, id)) for id in clients]

        def moved(of: tuple[Any, ...]) -> tuple[Any, ...]:
            after = list(of)
            for at, item in zip(places, of, strict=True):
                after[at] = item
            return tuple(after)

        known = [
            msgspec.structs.replace(
                client,
                ended=tuple(
                    msgspec.structs.replace(
                        end, seen=moved(end.seen), result=self.encoded(end.result)
                    )
                    for end in client.ended
                ),
                asked=None if client.asked is None else moved(client.asked),
            )
            for client in value.clients
        ]
        others = {
            field: self.value(getattr(value, field))
            for field in Judged.__struct_fields__
            if field != "clients"
        }
        return Judged(clients=moved(tuple(known)), **others)


def _as_it_is(renaming: Renaming, value: Any) -> Any:
    return value


_KINDS: dict[type, Callable[[Renaming, Any], Any]] = {
    **dict.fromkeys((int, bool, float, type(None)), _as_it_is),
    str: Renaming.text,
    bytes: Renaming.encoded,
    tuple: Renaming._tuple,
    Set: Renaming._set,
    Map: Renaming._map,
    Log: Renaming._log,
}


def _identical(before: Iterable[Any], after: Iterable[Any]) -> bool:
    return all(old is new for old, new in zip(before, after, strict=True))


def _sorted(items: tuple[Any, ...]) -> tuple[Any, ...]:
    after = tuple(sorted(items, key=_name))
    return items if _identical(items, after) else after


def _name(item: Any) -> str:
    """What it is sorted by: a name, or a Struct that begins with one."""
    return item if isinstance(item, str) else str(msgspec.structs.astuple(item)[0])


# --- for people -----------------------------------------------------------------------------------


def difference(one: Any, other: Any, where: str = "") -> str:
    """Where two values first differ, and how; "" if they do not."""
    if type(one) is type(other):
        if isinstance(one, msgspec.Struct):
            for field in type(one).__struct_fields__:
                there = f"{where}.{field}" if where else field
                found = difference(getattr(one, field), getattr(other, field), there)
                if found:
                    return found
            return ""
        if isinstance(one, Map | Set | Log):
            return difference(_items(one), _items(other), where)
        if isinstance(one, tuple) and len(one) == len(other):
            for at, (mine, theirs) in enumerate(zip(one, other, strict=True)):
                found = difference(mine, theirs, f"{where}[{at}]")
                if found:
                    return found
            return ""
        if one == other:
            return ""
    return f"{where or 'it'} is {one!r}, not {other!r}"


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value.items()) if isinstance(value, Map | Log) else tuple(value)


def difference_of_hosts(one: HostState, other: HostState, nodes: Iterable[type[Any]]) -> str:
    """`difference` with the names of the nodes' fields."""
    for at, node in enumerate(nodes):
        mine, theirs = one.seats[at].node, other.seats[at].node
        if mine is not None and theirs is not None:
            for field, (a, b) in zip(
                node.fields_, zip(mine[0], theirs[0], strict=True), strict=True
            ):
                found = difference(a, b, field)
                if found:
                    return found
    return difference(one, other)
