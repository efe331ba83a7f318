"""Which handlers ran: what walks and transcripts together have shown of a protocol, and what not.

A handler is a method of a node together with one trigger: a message, a timer, an event or an effect
of a child. A `paper=` mark is reached when a handler that carries it has run. Code that no test
reaches may say anything; so `check_protocol(MyProtocol(), transcripts="tests/my_protocol")` fails
and lists what was not reached.

    reach = Reach()
    Walk(protocol, seed=1, reach=reach).run(900)
    reach.missing(protocol)

Nothing is switched on in the node's own class. A cluster that is given a `Reach` seats nodes of
subclasses whose tables of handlers note down who was called, which costs a set lookup a call, and
counts what a step sets off inside the node too: messages to itself, and what its children report.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from concur.base import Protocol
from concur.node import Node

TABLES = ("_messages", "_timers", "_events", "_from_child")
WORDS = {"_messages": "", "_timers": "timer ", "_events": "", "_from_child": "child's "}


class Handler(msgspec.Struct, frozen=True, order=True):
    """What one class of nodes does on one trigger; `paper` is the mark, "" if it has none."""

    role: str
    trigger: str
    method: str
    paper: str = ""

    @property
    def name(self) -> str:
        """How tests name it."""
        return f"{self.role} on {self.trigger}"

    def __str__(self) -> str:
        mark = f", paper {self.paper!r}" if self.paper else ""
        return f"{self.name} ({self.method}{mark})"


def handlers_of(kind: type[Node[Any]]) -> tuple[Handler, ...]:
    """Every handler of a class of nodes, inherited ones among them, in order of triggers."""
    return tuple(sorted(_by_place(kind).values()))


def _by_place(kind: type[Node[Any]]) -> dict[tuple[str, Any], Handler]:
    """By table and what they answer to."""
    found = {}
    for table in TABLES:
        for event in getattr(kind, table):
            name, paper = _method(kind, table, event)
            shown = event if isinstance(event, str) else event.__name__
            found[table, event] = Handler(kind.__name__, f"{WORDS[table]}{shown}", name, paper)
    return found


def _method(kind: type[Node[Any]], table: str, event: Any) -> tuple[str, str]:
    """The name of the method that answers to an event, and what its tag says about the paper.

    A tag stays with a name when a subclass overrides the method without tagging it anew.
    """
    wanted = getattr(kind, table)[event]
    wanted = getattr(wanted, "counted_", wanted)
    for name in dir(kind):
        if getattr(kind, name, None) is not wanted:
            continue
        for base in kind.__mro__:
            for trigger in getattr(base.__dict__.get(name), "triggers_", ()):
                if _answers(trigger.event, event):
                    return name, trigger.paper
    return getattr(wanted, "__name__", "?"), ""


def _answers(trigger: Any, event: Any) -> bool:
    name = getattr(trigger, "name", None)  # of a Timer, which is the only trigger with fields
    if isinstance(event, str):
        return name == event or (isinstance(name, tuple) and name[0] == event)
    return trigger is event


class Reach:
    """Counts how often each handler ran, by the class of nodes."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[type[Node[Any]], str, Any]] = Counter()
        self._counting: dict[type[Node[Any]], type[Node[Any]]] = {}

    def counting(self, kind: type[Node[Any]]) -> type[Node[Any]]:
        """A subclass that does the same and is counted here, children that it makes with it."""
        original = getattr(kind, "counts_for_", kind)
        known = self._counting.get(original)
        if known is None:
            known = self._counting[original] = self._subclass(original)
        return known

    def _subclass(self, kind: type[Node[Any]]) -> type[Node[Any]]:
        reach = self

        def child(self: Node[Any], name: str, role: Any = None, *rest: Any, **named: Any) -> Any:
            counted = reach.counting(role) if role is not None else None
            return kind.child(self, name, counted, *rest, **named)

        body = {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
            "counts_for_": kind,
            "child": child,
        }
        made: type[Node[Any]] = type(kind.__name__, (kind,), body)
        for table in TABLES:
            handlers = getattr(kind, table)
            setattr(made, table, {e: self._counted(kind, table, e, handlers[e]) for e in handlers})
        return made

    def _counted(
        self, kind: type[Node[Any]], table: str, event: Any, handler: Callable[..., None]
    ) -> Callable[..., None]:
        runs, key = self.runs, (kind, table, event)

        def counted(*arguments: Any) -> None:
            runs[key] += 1
            handler(*arguments)

        counted.counted_ = handler  # type: ignore[attr-defined]
        return counted

    def add(self, other: "Reach") -> None:
        """Count what another one has counted."""
        self.runs.update(other.runs)

    # --- what was reached -------------------------------------------------------------------------

    def times(self) -> dict[Handler, int]:
        """How often each handler of the nodes that ran did, 0 for those that never did."""
        kinds = dict.fromkeys(kind for kind, _, _ in self.runs)
        return {
            handler: self.runs[kind, table, event]
            for kind in kinds
            for (table, event), handler in _by_place(kind).items()
        }

    def handlers(self, protocol: Protocol) -> tuple[Handler, ...]:
        """All that a protocol has: those of its roles, and of the children that they made."""
        return tuple(sorted({h for kind in self._kinds(protocol) for h in handlers_of(kind)}))

    def missing(self, protocol: Protocol) -> tuple[Handler, ...]:
        """Handlers of the protocol that have not run."""
        ran = {handler for handler, runs in self.times().items() if runs}
        return tuple(handler for handler in self.handlers(protocol) if handler not in ran)

    def missing_marks(self, protocol: Protocol) -> tuple[str, ...]:
        """`paper=` marks of the protocol none of whose handlers has run."""
        unread = {handler.paper for handler in self.missing(protocol)}
        missing = set(self.missing(protocol))
        read = {handler.paper for handler in self.handlers(protocol) if handler not in missing}
        return tuple(sorted(unread - read - {""}))

    def _kinds(self, protocol: Protocol) -> Iterable[type[Node[Any]]]:
        roles = [role.node for role in protocol.roles()]
        children = [kind for kind, _, _ in self.runs if kind not in roles]
        return dict.fromkeys((*roles, *children))
