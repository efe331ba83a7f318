"""What is looked at after each step of a walk: the rules of CORE.md that one step can break.

Each watcher writes down the first thing that it finds, as text that says what, where, and how to
fix it; `Laboratory.findings` has them by the name of the check that reports them.
"""

from functools import cached_property
from typing import Any

import msgspec

from concur.effects import Effect, Event, Multicast, Persist, Send
from concur.logs import Log
from concur.machines import Machine
from concur.messages import Codec, Message, check_value, encode
from concur.node import Node
from concur.testing.cluster import Cluster, Seat
from concur.values import Map, Set

MESSAGE_BYTES_MAX = 64 << 20
"""What the codec accepts; a walk's messages stay far below."""


class Replayed:
    """Inputs of a step, read from the tape of another."""

    def __init__(self, tape: list[Any]) -> None:
        self._tape = list(tape)

    def _next(self) -> Any:
        if not self._tape:
            raise LookupError("read more inputs than the first time")
        return self._tape.pop(0)

    def now(self) -> int:
        return int(self._next())

    def uptime(self) -> int:
        return int(self._next())

    def interval(self) -> tuple[int, int]:
        pair: tuple[int, int] = self._next()
        return pair

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return int(self._next())

    def choose(self, options: int) -> int:
        return int(self._next())

    def peek(self, node: str, address: Any) -> Any:
        return self._next()


class Laboratory:
    """Watches the steps of clusters. `every` looks at one step in so many, for the dear checks."""

    def __init__(self, machine: "Machine[Any, Any]", every: int = 1) -> None:
        self.machine = machine
        self.every = every
        self.steps = 0
        self.findings: dict[str, str] = {}
        self.seen: dict[type[Message], Message] = {}
        """The first message of each kind that was sent."""
        self._held: dict[Any, tuple[tuple[Any, ...], bytes]] = {}
        self._journal: dict[Any, dict[tuple[str, str], Any]] = {}

    def found(self, check: str, what: str, fix: str) -> None:
        self.findings.setdefault(check, f"{what}\n  -> {fix}")

    def watch(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], before: Any
    ) -> None:
        node = seat.node
        assert node is not None
        self.steps += 1
        where = f"{type(node).__name__} {seat.id} in {_short(event)}"
        self._values(node, where)
        self._messages(cluster, seat, event, effects, where)
        self._journal_of(seat, node, where)
        if self.steps % self.every == 0:
            self._repeat(seat, node, event, effects, before, where)
            self._edits(cluster, seat, node, where)

    # --- what a node holds (2, 3) --------------------------------------------------------------

    def _values(self, node: Node[Any], where: str) -> None:
        for one in (node, *(child for _, child in node._below())):
            for field in one.fields_:
                if field in ("machine_state", "sessions"):
                    continue  # the machine's and the core's, which have checks of their own
                try:
                    check_value(getattr(one, field), f"{type(one).__name__}.{field}")
                except TypeError as wrong:
                    self.found(
                        "fields_hold_only_values",
                        f"{wrong} ({where})",
                        "turn it into one of these before a field holds it",
                    )
            stray = set(vars(one)) - _of_the_core() - set(one.fields_) - _cached(type(one))
            if stray:
                self.found(
                    "fields_hold_only_values",
                    f"{where}: self.{min(stray)} is set but not declared, so a snapshot forgets "
                    "it and two equal states differ",
                    f"declare it in the class: `{min(stray)}: int = 0`, or `= durable(0)` if it "
                    "must survive a crash",
                )

    def _edits(self, cluster: Cluster, seat: Seat, node: Node[Any], where: str) -> None:
        """Values that were held after the step before, looked at again."""
        key = (id(cluster), seat.id)
        held = self._held.get(key)
        if held is not None:
            values, then = held
            if _encoded(values) != then:
                fields = [f for f, v in zip(node.fields_, values, strict=False) if _differs(v)]
                self.found(
                    "values_are_never_edited_in_place",
                    f"{where}: a value that the node held before the step is different after it"
                    f"{' (' + ', '.join(fields) + ')' if fields else ''}",
                    "rebind the field to a new value: `self.votes = self.votes.put(...)`",
                )
        values = node.snapshot()[0]
        self._held[key] = (values, _encoded(values))

    # --- one step again (1, 12) ----------------------------------------------------------------

    def _repeat(
        self,
        seat: Seat,
        node: Node[Any],
        event: Event,
        effects: list[Effect],
        before: Any,
        where: str,
    ) -> None:
        check = "states_survive_snapshot_and_restore"
        after = node.snapshot()
        twin = type(node)(node.id, node.params, node.config, node.machine)
        twin.restore(before)
        if twin.snapshot() != before:
            self.found(
                check,
                f"{where}: restore(snapshot()) gives another state",
                "do not override snapshot, restore or __init__ of a Node",
            )
            return
        try:
            hash(after)
        except TypeError as wrong:
            self.found(
                check, f"{where}: the state is not hashable: {wrong}", "hold immutable values only"
            )
        check = "steps_depend_on_state_event_and_inputs_alone"
        advice = (
            "a step may read its fields, the event, and now, uptime, jitter, choose, peek; nothing "
            "kept elsewhere (a global, a cache, an undeclared attribute), no clock, no dice."
        )
        try:
            again = twin.step(event, Replayed(seat.tape))
        except Exception as wrong:
            self.found(check, f"{where}: done again, the step raised {wrong!r}", advice)
            return
        if again != effects:
            differing = next(
                (
                    f"{_short(a)} and {_short(b)}"
                    for a, b in zip(effects, again, strict=False)
                    if a != b
                ),
                f"{len(effects)} and {len(again)} effects",
            )
            self.found(check, f"{where}: done twice it gave {differing}", advice)
        elif twin.snapshot() != after:
            wrong_fields = [f for f in node.fields_ if getattr(node, f) != getattr(twin, f)] or [
                "a child"
            ]
            self.found(check, f"{where}: done twice it left {wrong_fields} different", advice)

    # --- the journal (4) -----------------------------------------------------------------------

    def _journal_of(self, seat: Seat, node: Node[Any], where: str) -> None:
        """The cluster patches the seat's image with every record; it must be the fields' values."""
        image = seat.image
        for key, value in node.persisted().items():
            saved = image.get(key, _MISSING)
            if saved is _MISSING:
                below = node._at(key[0]) if key[0] else node
                saved = getattr(type(below), key[1])
            if saved is not value and (saved != value or type(saved) is not type(value)):
                self.found(
                    "records_add_up_to_the_durable_fields",
                    f"{where}: the records persisted so far give {key[1]} = {_short(saved)}, but "
                    f"the node holds {_short(value)}",
                    "rebind durable fields inside handlers only, and never edit their values in "
                    "place",
                )

    # --- messages (2, 17) ----------------------------------------------------------------------

    def _messages(
        self, cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], where: str
    ) -> None:
        for effect in effects:
            kind = type(effect)
            if kind is Send or kind is Multicast:
                self._codec(effect.message, where)  # type: ignore[union-attr]
            elif kind is Persist:
                for change in effect.changes:  # type: ignore[union-attr]
                    try:
                        encode(change.delta)
                    except (TypeError, ValueError) as wrong:
                        self.found(
                            "records_add_up_to_the_durable_fields",
                            f"{where}: the record of {change.field} cannot be encoded: {wrong}",
                            "let durable fields hold values only (CORE.md, 2)",
                        )
        message = getattr(event, "message", None)
        if isinstance(message, Message):
            node = seat.node
            at = node._at(event.path) if node is not None else None  # type: ignore[union-attr]
            if at is not None and type(message) not in at._messages:
                self.found(
                    "every_message_is_handled",
                    f"{where}: {type(at).__name__} does not handle {type(message).__name__}",
                    f"add `@on({type(message).__name__})`, or do not send it there",
                )

    def _codec(self, message: Message, where: str) -> None:
        check = "messages_survive_the_codec"
        kind = type(message)
        self.seen.setdefault(kind, message)
        name = kind.__name__
        try:
            check_value(message, name)
            data = encode(message)
            back = Codec([kind]).decode(data)
        except Exception as wrong:
            self.found(
                check,
                f"{where}: {name} does not survive the wire: {wrong}",
                "annotate every field of the message with what it holds: None, bool, int, str, "
                "bytes, tuple, a frozen Struct, Set, Map or Log",
            )
            return
        if len(data) > MESSAGE_BYTES_MAX:
            self.found(check, f"{where}: {name} takes {len(data)} bytes", "send it in chunks")
        if back != message or not same(back, message):
            self.found(
                check,
                f"{where}: {name} comes back from the wire as {_short(back)}, sent was "
                f"{_short(message)}",
                "make the annotations say exactly what the fields hold",
            )


_MISSING: Any = object()


def same(a: Any, b: Any) -> bool:
    """Equality in types too, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, msgspec.Struct):
        return all(same(getattr(a, f), getattr(b, f)) for f in a.__struct_fields__)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Map):
        return len(a) == len(b) and all(
            same(x, y) for x, y in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, Set | Log):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def _encoded(values: tuple[Any, ...]) -> bytes:
    try:
        return encode(values)
    except (TypeError, ValueError):
        return repr(values).encode()


def _differs(value: Any) -> bool:
    return not isinstance(value, str | int | bytes | bool | None)


def _short(value: Any, most: int = 160) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _cached(kind: type) -> set[str]:
    """Names of cached properties: what follows from parameters and configuration alone."""
    return {
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, cached_property)
    }


def _of_the_core() -> set[str]:
    return _CORE


class _Bare(Node[Any]):
    pass


_CORE = {"id", "params", "config", "machine"}
_CORE |= {name for name in _Bare.__init__.__code__.co_names if name.startswith("_")}
