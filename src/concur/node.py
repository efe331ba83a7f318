"""`Node`: a deterministic state machine with one door, `step(event, inputs) -> effects`.

A node is a mutable shell with frozen contents: handlers rebind fields to immutable values and
never edit a value in place, so a snapshot of a node is a tuple of references. Fields are declared
by annotation; those declared with `durable(...)` survive a crash, because every step that rebinds
one yields a `Persist`. Handlers are methods tagged with what triggers them, and note down effects
with verbs (`send`, `set_timer`, `decide`, ...) that do nothing else.

    class Acceptor(Node["Paxos"]):
        promised: Ballot = durable((0, ""))

        @on(Prepare, paper="section 2.2, phase 1(b)")
        def promise(self, source: str, m: Prepare) -> None:
            if m.ballot >= self.promised:
                self.promised = m.ballot
                self.send(source, Promise(m.ballot))

CORE.md is the contract, rule by rule; the numbers in comments here are its.
"""

import typing
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import is_
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import msgspec

from concur.declarations import (
    Trigger,
    collect_fields,
    collect_handlers,
    durable,
    invariant,
    on,
)
from concur.effects import (
    CancelTimer,
    Change,
    Complete,
    Decide,
    Deliver,
    Effect,
    Event,
    Inputs,
    Invoke,
    LinkDown,
    LinkUp,
    Multicast,
    Observe,
    Outcome,
    Persist,
    SaveSnapshot,
    Send,
    SetTimer,
    Snapshot,
    SnapshotSaved,
    Start,
    Timer,
    TimerName,
    TurnEnd,
    Value,
    changes_of,
    patch,
)
from concur.messages import Command, Message, check_value
from concur.parts.sessions import Sessions
from concur.values import Map

if TYPE_CHECKING:
    from concur.base import Protocol, Role

P = TypeVar("P", bound="Protocol")
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

Execute = Callable[[Sessions, Any, Any, Command], tuple[Any, Sessions, bytes | None]]
"""`Sessions.execute`, or what does the same."""

SECOND = 1_000_000_000
STEP_CASCADE_MAX = 10_000
"""Messages to oneself and events from children that one step may set off; past it, fail-stop."""


@lru_cache
def seconds(duration_s: float) -> int:
    """A duration in seconds as integer nanoseconds, the unit of all times inside nodes."""
    return round(duration_s * SECOND)


class Config(msgspec.Struct, frozen=True):
    """Who is there: ids by role. `members` are the replicas that vote at the start."""

    members: tuple[str, ...]
    roles: tuple[tuple[str, tuple[str, ...]], ...]

    def role(self, name: str) -> tuple[str, ...]:
        return next((ids for role, ids in self.roles if role == name), ())

    @property
    def universe(self) -> tuple[str, ...]:
        """All replicas: the members, and the spares that may become members (18)."""
        inside = set(self.members)
        return next((ids for _, ids in self.roles if inside <= set(ids)), self.members)

    @classmethod
    def of(cls, roles: "Sequence[Role]", replicas: int, clients: int, spares: int = 0) -> Self:
        """The ids of a protocol's roles; the last `spares` of the replicas are no members yet."""
        counts = {"replicas": replicas + spares, "clients": clients}
        ids = {
            role.name: tuple(
                f"{role.prefix}{i + 1}"
                for i in range(counts.get(role.count, role.count))  # type: ignore[arg-type]
            )
            for role in roles
        }
        first = next(role for role in roles if role.place == "replica")
        voters = replicas if first.count == "replicas" else None
        return cls(ids[first.name][:voters], tuple(ids.items()))

    def below(self, path: str) -> "Config":
        """The same places seen by children: every id with the child's path behind it."""
        return Config(
            tuple(f"{m}/{path}" for m in self.members),
            tuple((role, tuple(f"{i}/{path}" for i in ids)) for role, ids in self.roles),
        )


_EVENTS = typing.get_args(Event)


class Node(Generic[P]):
    """Base of all roles. See the module's docstring for what a subclass looks like."""

    # What every node may use; machine, sessions and the count are volatile (8): a restart rebuilds
    # them from the saved snapshot and the log.
    machine_state: Any = None
    sessions: Sessions = Sessions()
    executed: int = 0
    incarnation: int = 0
    began: str = ""  # new, restart or wiped: how this incarnation began (19)

    fields_: ClassVar[tuple[str, ...]] = ()
    durable_: ClassVar[tuple[str, ...]] = ()
    _declared: ClassVar[dict[str, bool]] = dict.fromkeys(
        ("machine_state", "sessions", "executed", "incarnation", "began"), False
    )
    invariants_: ClassVar[tuple[str, ...]] = ()
    unsafe_: ClassVar[frozenset[str]] = frozenset()  # set by concur.testing.unsafe only (6)
    _messages: ClassVar[dict[type, Callable[..., None]]] = {}
    _timers: ClassVar[dict[str, Callable[..., None]]] = {}
    _events: ClassVar[dict[type, Callable[..., None]]] = {}
    _from_child: ClassVar[dict[type, Callable[..., None]]] = {}
    _get_durable: "ClassVar[staticmethod[[Any], tuple[Any, ...]]]"
    _get_fields: "ClassVar[staticmethod[[Any], tuple[Any, ...]]]"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        collect_fields(cls)
        collect_handlers(cls)

    def __init__(
        self,
        id: str,
        params: P,
        config: Config,
        machine: Any = None,
        *,
        durable: "dict[tuple[str, str], Any] | None" = None,
        parent: "Node[Any] | None" = None,
    ) -> None:
        """A node as it is before its `Start` event.

        `durable` maps (path, field) to what a journal holds, for a restart, and (path, "") to the
        snapshot that a node below saved; each takes its share when it is created.
        """
        self.id = id
        self.params = params
        self.config = config
        self.machine = machine
        self._parent = parent
        self._root: Node[Any] = parent._root if parent is not None else self
        self._path = id.partition("/")[2]
        self._children: dict[str, Node[Any]] = {}
        if parent is None:
            self._out: list[Effect] = []  # of this step, by nodes below with it
            self._pending: deque[tuple[Node[Any], Any, Any]] = deque()
            self._dropped: list[str] = []
            self._image: Map[tuple[str, str], Any] = Map(durable or {})
        else:
            self._pending = self._root._pending
        self._failed = False
        # Looked up in every step; as attributes of the class they would take thrice as long.
        self._handlers = dict.fromkeys(_EVENTS, type(self)._dispatch) | self._messages
        self._get_durable = type(self)._get_durable  # type: ignore[misc]
        self._persisted: tuple[Any, ...] = ()
        self._inputs: Inputs = None if parent is None else parent._inputs  # type: ignore[assignment]
        self._execute: Execute = Sessions.execute
        if parent is not None:
            self._execute = parent._execute
        for field in self.fields_:
            setattr(self, field, getattr(type(self), field))
        if machine is not None:
            self.machine_state = machine.initial()
        image = self._root._image
        share = [field for field in self.durable_ if (self._path, field) in image]
        for field in share:
            setattr(self, field, image[self._path, field])
        self._root._image = image.without((self._path, field) for field in share)
        self._restored = bool(share)
        self._persisted = self._get_durable(self)
        """The durable fields as of the last step: what the records persisted so far add up to."""

    # --- the one door -------------------------------------------------------------------------

    def step(self, event: Event, inputs: Inputs) -> list[Effect]:
        """Handle one event: a pure function of state, event and the inputs that it reads.

        Returns the effects in order; `Persist`, if any, is first. If it raises, the node has
        failed: the driver discards it and nothing of the step is persisted or released (1).
        """
        if self._inputs is not inputs:
            self.bind(inputs)
        if type(event) is Deliver:
            return self.deliver(event.source, event.message, event.path)
        return self.deliver("", event)

    def deliver(self, source: str, what: Message | Event, path: str = "") -> list[Effect]:
        """The step of a node that is bound to its inputs: `what` is a message from `source` to the
        node at `path`, or an event other than Deliver. All in one place, for it runs all the time.
        """
        if self._failed:
            raise RuntimeError(f"{self.id} failed in an earlier step and must not be used again")
        try:
            node = self._at(path) if path else self
            if node is not None:
                handler = node._handlers.get(type(what))
                if handler is not None:
                    handler(node, source, what)
                else:
                    node._handle(source, what)  # type: ignore[arg-type]
            if self._pending:
                self._cascade()
            effects, self._out = self._out, []
            get = self._get_durable
            after = get(self)
            if not all(map(is_, self._persisted, after)) or self._children or self._dropped:
                changes = self._changes(after)
                if changes:
                    effects.insert(0, Persist(tuple(changes)))
            return effects
        except BaseException:
            self._failed = True
            raise

    def _handle(self, source: str, message: Message) -> None:
        handler = self._messages.get(type(message))
        if handler is None:
            self.observe("unhandled", type(message).__name__)
        else:
            handler(self, source, message)

    def bind(self, inputs: Inputs, execute: "Execute | None" = None) -> None:
        """Say where time and chance come from; drivers that use `deliver` call it once.

        `execute` does what `Sessions.execute` does, for a driver that knows a shorter way.
        """
        self._inputs = inputs
        if execute is not None:
            self._execute = execute
        for child in self._children.values():
            child.bind(inputs, execute)

    def _changes(self, after: tuple[Any, ...]) -> list[Change]:
        """What has become of the durable fields, here and below, in the step that ends now."""
        changes = changes_of("", self.durable_, self._persisted, after)
        self._persisted = after
        if self._children or self._dropped:
            changes += [Change(path, "", None) for path in self._dropped]
            self._dropped.clear()
            for path, node in self._below():
                before, after = node._persisted, node._get_durable(node)
                changes += changes_of(path, node.durable_, before, after)
                node._persisted = after
        return changes

    def _cascade(self) -> None:
        """Messages to oneself (15) and what children reported (16), within the same step."""
        pending = self._pending
        for _ in range(STEP_CASCADE_MAX):
            if not pending:
                return
            node, source, what = pending.popleft()
            if node is not self and self._at(node._path) is not node:
                continue  # dropped meanwhile
            if isinstance(what, Message):
                node._handle(source, what)
            else:
                handler = node._from_child.get(type(what))
                if handler is not None:
                    handler(node, source, what)
        if pending:
            raise RuntimeError(f"{self.id}: over {STEP_CASCADE_MAX} messages to itself in a step")

    def turn_end_due(self) -> bool:
        """False only if a `TurnEnd` would change and say nothing here, so drivers may spare it."""
        return True

    def _dispatch(self, source: str, event: Event) -> None:
        kind = type(event)
        if kind is Invoke and Invoke in self._events:
            self._events[Invoke](self, event.op, event.body)  # type: ignore[union-attr]
            return
        if kind is Timer:
            node = self._at(event.path)  # type: ignore[union-attr]
            name: Any = event.name  # type: ignore[union-attr]
            if node is None:
                return
            if type(name) is tuple:
                node._timers[name[0]](node, *name[1:])
            else:
                node._timers[name](node)
            return
        if kind is SnapshotSaved:
            node = self._at(event.path)  # type: ignore[union-attr]
            if node is not None and SnapshotSaved in node._events:
                node._events[SnapshotSaved](node, event.index)  # type: ignore[union-attr]
            return
        handler = self._events.get(kind)
        if kind is Start:
            self.incarnation, self.began = event.incarnation, event.kind  # type: ignore[union-attr]
            if handler is not None:
                handler(self, event)
        elif handler is not None:
            handler(self, *msgspec.structs.astuple(event))
        elif kind is Invoke:
            raise TypeError(f"{type(self).__name__} handles no Invoke, so nobody can ask it")
        if kind in (TurnEnd, LinkDown, LinkUp):
            for name, child in self._children.items():
                if self._children.get(name) is not child:
                    continue  # dropped by what an earlier one did
                if kind is TurnEnd:
                    child._dispatch("", event)
                else:  # children know their peers by addresses with their own path behind
                    child._dispatch("", kind(f"{event.peer}/{name}"))  # type: ignore[union-attr]

    # --- verbs: they only note down -----------------------------------------------------------

    def send(self, to: str, message: Message) -> None:
        """Send to an address. A message to oneself is handled at the end of this step."""
        if to == self.id:
            self._pending.append((self, to, message))
        else:
            self._root._out.append(Send(to, message, self._path))

    def broadcast(self, to: tuple[str, ...], message: Message) -> None:
        """Send to each of several addresses: a message, and a sender's cost, for every one."""
        id, path, out = self.id, self._path, self._root._out
        for address in to:
            if address == id:
                self._pending.append((self, id, message))
            else:
                out.append(Send(address, message, path))

    def multicast(self, group: str | tuple[str, ...], message: Message) -> None:
        """Send to a role or to several addresses at one sender's cost, which takes a network that
        multicasts (17); never to oneself."""
        self._root._out.append(Multicast(group, message, self._path))

    def set_timer(self, name: TimerName, after_ns: int) -> None:
        self._root._out.append(SetTimer(name, after_ns, self._path))

    def cancel_timer(self, name: TimerName) -> None:
        self._root._out.append(CancelTimer(name, self._path))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        self._root._out.append(SaveSnapshot(snapshot, self._path))

    def decide(self, slot: int, command: Command) -> None:
        if self._parent is None:
            self._out.append(Decide(slot, command))
        else:
            self._report(Decide(slot, command))

    def observe(self, name: str, *values: Any) -> None:
        self._report(Observe(name, values))

    def complete(self, op: int, outcome: Outcome) -> None:
        self._report(Complete(op, outcome))

    def _report(self, effect: Decide | Observe | Complete) -> None:
        if self._parent is None:
            self._out.append(effect)
        else:
            self._pending.append((self._parent, self.id.rpartition("/")[2], effect))

    # --- inputs -------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Wall time, ns. Only for protocols tagged as needing synchronized clocks (11)."""
        return self._inputs.now()

    @property
    def uptime(self) -> int:
        """Monotonic ns since this incarnation began; what timers and leases use."""
        return self._inputs.uptime()

    def interval(self) -> tuple[int, int]:
        """Wall time with its error bound: (earliest, latest), ns."""
        return self._inputs.interval()

    def jitter(self, low_s: float, high_s: float) -> int:
        """A random duration between two bounds in seconds, as ns."""
        return self._inputs.jitter(seconds(low_s), seconds(high_s))

    def choose(self, options: tuple[T, ...]) -> T:
        """One of several: a seeded draw in the simulator, a branch in the model checker."""
        return options[self._inputs.choose(len(options))]

    def peek(self, memory: str, address: Any) -> Any:
        """Read the co-located memory `memory` directly, a recorded input (15)."""
        return self._inputs.peek(memory, address)

    # --- execution (7, 8, 10) -----------------------------------------------------------------

    def execute(self, command: Command) -> bytes | None:
        """Apply a chosen command, at most once for each (session, seq).

        Returns the encoded result, which for a repeated command is the remembered one; None if
        the session has expired or never was, so that nothing can be said, and in a child that has
        no machine.
        """
        if self.machine is None:
            self.executed += 1
            return None
        self.machine_state, self.sessions, result = self._execute(
            self.sessions, self.machine, self.machine_state, command
        )
        self.executed += 1
        return result

    def query(self, body: bytes) -> bytes:
        """The result of a read-only command on the executed prefix."""
        _, result = self.machine.run(self.machine_state, body)
        return typing.cast(bytes, result)

    def capture(self, mark: tuple[int, str], members: tuple[str, ...]) -> Snapshot:
        """A snapshot of what has been executed so far."""
        machine = None if self.machine is None else self.machine.capture(self.machine_state)
        return Snapshot(self.executed, mark, machine, self.sessions, members)

    def install(self, snapshot: Snapshot) -> None:
        """Take machine, sessions and the executed count from a snapshot."""
        if self.machine is not None:
            self.machine_state = self.machine.release(snapshot.machine)
        self.sessions = snapshot.sessions
        self.executed = snapshot.index

    # --- children (16) ------------------------------------------------------------------------

    def child(
        self,
        name: str,
        role: "type[Node[Any]] | None" = None,
        params: "Protocol | None" = None,
        machine: Any = None,
        kind: str = "",
    ) -> "Node[Any]":
        """The child called `name`; created, and started, if it is not there and `role` is given.

        Without a machine of its own it only decides, and its parent executes. It starts as
        `restart` if the journal knows it; otherwise as `wiped` in a node that was wiped, which
        cannot know what the child promised (19), and else as `new`; `kind` overrules that.
        """
        known = self._children.get(name)
        if known is not None:
            return known
        if role is None:
            raise KeyError(f"{self.id} has no child {name!r}")
        if not name or "/" in name:
            raise ValueError(f"{self.id}: a child cannot be called {name!r}")
        config = self.config.below(name)
        node = role(f"{self.id}/{name}", params or self.params, config, machine, parent=self)
        # In order of names, so that equal states go through their children in the same order.
        self._children = dict(sorted({**self._children, name: node}.items()))
        saved = self._root._image.get((node._path, ""))
        self._root._image = self._root._image.discard((node._path, ""))
        found = "restart" if node._restored or saved is not None else ""
        other = "wiped" if self.began == "wiped" else "new"
        node._dispatch("", Start(kind or found or other, self.incarnation, saved))
        return node

    def drop(self, name: str) -> None:
        """Remove a child, what it holds, and its durable fields.

        It need not have been created since the last restart. Do not use its name again: messages
        and timers of the one that was dropped may still be on their way.
        """
        path = f"{self._path}/{name}" if self._path else name
        root = self._root
        root._dropped.append(path)
        self._children = {n: child for n, child in self._children.items() if n != name}
        gone = [key for key in root._image if f"{key[0]}/".startswith(f"{path}/")]
        root._image = root._image.without(gone)

    def invoke(self, op: int, body: bytes) -> None:
        """Ask this node, from its parent, to execute a command. Synchronous."""
        self._dispatch("", Invoke(op, body))

    def _at(self, path: str) -> "Node[Any] | None":
        node: Node[Any] | None = self
        if path:
            for name in path.split("/"):
                node = node._children.get(name) if node is not None else None
        return node

    def _below(self) -> "list[tuple[str, Node[Any]]]":
        found: list[tuple[str, Node[Any]]] = []
        for child in self._children.values():
            found.append((child._path, child))
            found += child._below()
        return found

    # --- state --------------------------------------------------------------------------------

    def snapshot(self) -> tuple[Any, ...]:
        """The whole state as a tuple of references, hashable, comparable, free to take (3)."""
        children = tuple(
            (name, type(child), child.params, child.machine, child.snapshot())
            for name, child in self._children.items()
        )
        return self._get_fields(self), children, self._image if self._parent is None else None

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Go to a state taken by `snapshot` of a node with the same id and parameters."""
        values, children, image = snapshot
        for field, value in zip(self.fields_, values, strict=True):
            setattr(self, field, value)
        self._persisted = self._get_durable(self)
        if self._parent is None:
            self._out.clear()
            self._pending.clear()
            self._dropped.clear()
            self._failed = False
            self._image = Map()  # children made here take nothing from it
        self._children = {}
        for name, role, params, machine, below in children:
            address = f"{self.id}/{name}"
            child = role(address, params, self.config.below(name), machine, parent=self)
            child.restore(below)
            self._children[name] = child
        if self._parent is None:
            self._image = image

    def clone(self) -> Self:
        """An independent node in the same state."""
        twin = type(self)(self.id, self.params, self.config, self.machine)
        twin.restore(self.snapshot())
        return twin

    def persisted(self) -> dict[tuple[str, str], Any]:
        """All durable fields by (path, field): what a journal of this node must add up to."""
        return {key: value for key, value in self._image.items() if key[1]} | {
            (node._path, field): getattr(node, field)
            for _, node in [("", self), *self._below()]
            for field in node.durable_
        }

    def state(self) -> dict[str, Any]:
        """The fields by name, for people."""
        return {field: getattr(self, field) for field in self.fields_}

    @property
    def wants_turn_end(self) -> bool:
        return TurnEnd in self._events or any(c.wants_turn_end for c in self._children.values())

    def broken_invariants(self) -> list[str]:
        """The names of the local properties that do not hold in this state, here or in children."""
        broken = [name for name in self.invariants_ if not getattr(self, name)()]
        for child in self._children.values():
            broken += child.broken_invariants()
        return broken


__all__ = [
    "Config",
    "Node",
    "Trigger",
    "Value",
    "check_value",
    "durable",
    "invariant",
    "on",
    "patch",
    "seconds",
]
