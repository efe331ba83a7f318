"""How a class becomes a node: its fields, its handlers, its invariants.

`concur.node` says how these are used; whoever writes a protocol imports them from there.
"""

import inspect
import typing
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from concur.effects import (
    Complete,
    Decide,
    Invoke,
    LinkDown,
    LinkUp,
    Observe,
    SnapshotSaved,
    Start,
    Timer,
    TurnEnd,
)
from concur.logs import Log
from concur.messages import Message, check_annotation, check_message, check_value
from concur.values import Map

if TYPE_CHECKING:
    from concur.node import Node

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CHILD_EFFECTS = (Decide, Complete, Observe)
PLAIN_EVENTS = (Start, Invoke, TurnEnd, LinkDown, LinkUp, SnapshotSaved)


class Trigger(msgspec.Struct, frozen=True):
    """What a handler answers to, and where the paper says so."""

    event: Any
    paper: str


def on(*triggers: Any, paper: str = "") -> Callable[[F], F]:
    """Tag a method as the handler of message classes, events, timers or a child's effects.

    `on(Prepare)` is called with (source, message); `on(Timer("retry"))` with what follows the name
    in a keyed timer ("retry", ...); `on(Start)` and `on(SnapshotSaved)` with the event and its
    index; `on(Invoke)` with (op, body); `on(LinkDown)` with the peer; `on(TurnEnd)` with nothing;
    `on(Decide)`, `on(Complete)` and `on(Observe)`, which only children cause, with (child, effect).
    """

    def tag(method: F) -> F:
        known = getattr(method, "triggers_", ())
        method.triggers_ = (*known, *(Trigger(t, paper) for t in triggers))  # type: ignore[attr-defined]
        return method

    return tag


class _Durable:
    def __init__(self, default: Any) -> None:
        self.default = default


def durable(default: T) -> T:
    """Declare a field that survives a crash, with the value that it has in a new node."""
    return typing.cast(T, _Durable(default))


def invariant(method: F) -> F:
    """Tag a method `() -> bool` as a local property: a sentence that holds in every state."""
    method.invariant_ = True  # type: ignore[attr-defined]
    return method


def collect_fields(cls: "type[Node[Any]]") -> None:
    """Find the fields that `cls` and the classes before it declare, mixins with them."""
    fields: dict[str, bool] = {}
    for base in reversed(cls.__mro__):
        if "_declared" not in base.__dict__:
            declared = _declared(base)
            if base is cls or declared:
                base._declared = declared  # type: ignore[attr-defined]
        fields |= base.__dict__.get("_declared", {})
    lasting = [name for name, is_durable in fields.items() if is_durable]
    for name in fields:
        check_value(getattr(cls, name), f"{cls.__name__}.{name}")
    cls.fields_, cls.durable_ = tuple(fields), tuple(lasting)
    # attrgetter yields a tuple only from two names on, hence the padding.
    padding = ("fields_", "fields_")[len(lasting) :]
    cls._get_durable = staticmethod(attrgetter(*lasting, *padding))
    cls._get_fields = staticmethod(attrgetter(*fields))


def _declared(cls: type) -> dict[str, bool]:
    """The fields in a class's own body, and whether they are durable; unwraps their defaults."""
    declared: dict[str, bool] = {}
    annotations = {} if cls.__module__ in ("builtins", "typing") else inspect.get_annotations(cls)
    for name, annotation in annotations.items():
        where = f"{cls.__name__}.{name}"
        if annotation is ClassVar or typing.get_origin(annotation) is ClassVar:
            continue
        if isinstance(annotation, str) and "ClassVar" in annotation:
            continue
        if name.startswith("_") or name.endswith("_"):
            raise TypeError(f"{where}: a field's name neither begins nor ends with an underscore")
        if name not in cls.__dict__:
            raise TypeError(f"{where} needs a value to begin with")
        check_annotation(annotation, where)
        default = cls.__dict__[name]
        declared[name] = isinstance(default, _Durable)
        if isinstance(default, _Durable):
            if isinstance(default.default, Map | Log) and default.default not in (Map(), Log()):
                raise TypeError(f"{where}: a durable Map or Log begins empty")
            setattr(cls, name, default.default)
    for name, default in cls.__dict__.items():
        if isinstance(default, _Durable):
            raise TypeError(f"{cls.__name__}.{name}: a durable field needs a type annotation")
    return declared


def collect_handlers(cls: "type[Node[Any]]") -> None:
    """Find which method answers to what. Tags stay with a name when a subclass overrides it.

    A method that is tagged anew answers to its new triggers only; of two methods for one trigger
    the one in the more derived class counts.
    """
    tags: dict[str, tuple[Trigger, ...]] = {}
    owners: dict[Any, tuple[str, type]] = {}
    invariants: set[str] = set()
    for base in reversed(cls.__mro__):
        for name, method in base.__dict__.items():
            if hasattr(method, "invariant_"):
                invariants.add(name)
            if not hasattr(method, "triggers_"):
                continue
            tags[name] = method.triggers_
            for trigger in method.triggers_:
                key = _key(trigger.event)
                if owners.get(key, ("", None))[1] is base:
                    raise TypeError(
                        f"{base.__name__}: {owners[key][0]} and {name} both answer to {key[1]}"
                    )
                owners[key] = name, base
    tables: dict[str, dict[Any, Any]] = {"message": {}, "timer": {}, "event": {}, "child": {}}
    for (kind, event), (name, _) in owners.items():
        method = getattr(cls, name)
        if method is not None and any(_key(t.event) == (kind, event) for t in tags[name]):
            tables[kind][event] = method
    cls._messages, cls._timers = tables["message"], tables["timer"]
    cls._events, cls._from_child = tables["event"], tables["child"]
    for message in cls._messages:
        check_message(message)
    cls.invariants_ = tuple(sorted(name for name in invariants if getattr(cls, name) is not None))


def _key(event: Any) -> tuple[str, Any]:
    if isinstance(event, Timer):
        return "timer", event.name if isinstance(event.name, str) else event.name[0]
    if isinstance(event, type) and issubclass(event, Message):
        return "message", event
    if event in PLAIN_EVENTS:
        return "event", event
    if event in CHILD_EFFECTS:
        return "child", event
    raise TypeError(f"on({event!r}): expected a message class, an event, Timer(name) or effect")
