"""`Cluster`: the nodes of a protocol, driven by hand, one event at a time.

The simulator lets time decide what happens next. Here the caller does: which letter is delivered,
lost or doubled, which timer rings, who crashes. Transcripts drive a cluster by commands, walks by
dice, and the crash checks systematically. There is no CPU, and a disk syncs at once, so that a
crash here is a crash between two steps; the simulator covers what a slow disk adds (CORE.md, 5).

Time stands still, except that a timer cannot ring before it is due: letting one ring moves the
clock of all to its moment. So every order of timers is possible, as if those that were due earlier
rang late, and uptime, on which leases depend, never lies.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from concur.base import Protocol, Role
from concur.chance import Stream
from concur.effects import (
    CancelTimer,
    Complete,
    Decide,
    Deliver,
    Effect,
    Event,
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
)
from concur.machines import Machine
from concur.messages import Message
from concur.node import Config, Node, patch
from concur.parts.membership import OPERATOR
from concur.properties import STANDARD, Broken, Property
from concur.testing.reach import Reach

Key = tuple[str, TimerName]
"""A timer: the path of the node below the root that set it, and its name."""

LOCAL_MAX = 10_000
"""Messages inside a host that one event may set off; more is a loop."""


class Violated(AssertionError):
    """A property does not hold; `property` names it, and the text says where and why."""

    def __init__(self, property: str, reason: str, node: str) -> None:
        super().__init__(f"{property}: {reason} (at {node})")
        self.property = property


class Letter:
    """A message on its way, numbered in the order of sending. `source` and `to` are addresses."""

    __slots__ = ("message", "number", "source", "stream", "to")

    def __init__(self, number: int, source: str, to: str, message: Message, stream: bool) -> None:
        self.number = number
        self.source = source
        self.to = to
        self.message = message
        self.stream = stream


class Seat:
    """Where a node sits: its disk, its timers, and the inputs of its steps, which are taped."""

    def __init__(self, cluster: "Cluster", id: str, role: Role, host: str, seed: int) -> None:
        self.cluster = cluster
        self.id = id
        self.role = role
        self.host = host
        self.node: Node[Any] | None = None
        self.incarnation = 0
        self.image: dict[tuple[str, str], Any] = {}
        self.saved: dict[str, Snapshot] = {}
        self.timers: dict[Key, int] = {}
        self.turn_open = False
        self.started_at = 0
        self.records = 0
        self.tape: list[Any] = []
        self._jitter = Stream(seed, "jitter", id)
        self._choices = Stream(seed, "choose", id)

    def _note(self, value: Any) -> Any:
        self.tape.append(value)
        return value

    def now(self) -> int:
        return int(self._note(self.cluster.now))

    def uptime(self) -> int:
        return int(self._note(self.cluster.now - self.started_at))

    def interval(self) -> tuple[int, int]:
        now = self.cluster.now
        pair: tuple[int, int] = self._note((now - 1_000_000, now + 1_000_000))
        return pair

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return int(self._note(self._jitter.between(low_ns, high_ns)))

    def choose(self, options: int) -> int:
        return int(self._note(self._choices.below(options)))

    def peek(self, node: str, address: Any) -> Any:
        memory = self.cluster.seats[node]
        if memory.host != self.host or memory.node is None:
            raise RuntimeError(f"{self.id} cannot read {node} directly: it is on another host")
        return self._note(memory.node.cells.get(address))  # type: ignore[attr-defined]


Watcher = Callable[["Cluster", Seat, Event, list[Effect], Any], None]
"""Called after each step with the state before it (`Node.snapshot`)."""


class Cluster:
    """All nodes of a protocol. `letters` are on their way; `outcomes` are by (client, op)."""

    def __init__(
        self,
        protocol: Protocol,
        *,
        replicas: int,
        clients: int = 1,
        spares: int = 0,
        machine: "Machine[Any, Any] | None" = None,
        seed: int = 0,
        properties: tuple[Property, ...] = STANDARD,
        watchers: tuple[Watcher, ...] = (),
        reach: Reach | None = None,
    ) -> None:
        self.protocol = protocol.validate(replicas)
        self.reach = reach
        self.machine = machine
        self.now = 0
        self.steps = 0
        self.letters: list[Letter] = []
        self.sent = 0
        self.count: Counter[str] = Counter()
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        self.asked: dict[tuple[str, int], bytes] = {}
        self.decided: list[tuple[str, Decide]] = []
        self.lost: set[str] = set()
        self.blocked: set[tuple[str, str]] = set()
        self.watchers = watchers
        self.on_effect: Callable[[Seat, Effect], None] | None = None
        self.on_complete: Callable[[str, int, Outcome], None] | None = None
        self._properties = properties
        self._folds = [p.initial() for p in properties]
        self._local: list[tuple[Seat, Event]] = []
        self._busy = False
        roles = self.protocol.roles()
        self.config = Config.of(roles, replicas, clients, spares)
        self.seats: dict[str, Seat] = {}
        for role in roles:
            for i, id in enumerate(self.config.role(role.name)):
                host = self.config.role(role.beside)[i] if role.beside else id
                self.seats[id] = Seat(self, id, role, host, seed)

    # --- life ----------------------------------------------------------------------------------

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(seat.host for seat in self.seats.values()))

    @property
    def servers(self) -> tuple[str, ...]:
        """The hosts of everything but clients."""
        kinds = [s for s in self.seats.values() if s.role.place != "client"]
        return tuple(dict.fromkeys(seat.host for seat in kinds))

    @property
    def clients(self) -> tuple[str, ...]:
        """Those who ask for commands; an operator is none of them."""
        seats = self.seats.values()
        return tuple(
            s.id for s in seats if s.role.place == "client" and s.role.name != OPERATOR.name
        )

    @property
    def operators(self) -> tuple[str, ...]:
        """Those who ask for other members, or another leader."""
        return self.config.role(OPERATOR.name)

    def is_up(self, host: str) -> bool:
        return any(s.node is not None for s in self.on(host))

    def on(self, host: str) -> list[Seat]:
        return [seat for seat in self.seats.values() if seat.host == host]

    def start(self) -> None:
        """Every node begins, as a new one."""
        for host in self.hosts:
            self.restart(host, kind="new")

    def crash(self, host: str, *, wiped: bool = False) -> None:
        """Volatile state is gone, with `wiped` the disk too. Streams break; datagrams live on."""
        self.count["crashes"] += 1
        for seat in self.on(host):
            seat.node, seat.timers, seat.turn_open = None, {}, False
            if wiped:
                seat.image, seat.saved = {}, {}
        if (wiped or not self.protocol.tags.durable) and host in self.config.universe:
            self.lost.add(host)
        self._break_streams(host, up=False)

    def restart(self, host: str, *, kind: str = "restart") -> None:
        for seat in self.on(host):
            seat.incarnation += 1
            seat.started_at = self.now
            role = seat.role.node
            seat.node = (role if self.reach is None else self.reach.counting(role))(
                seat.id,
                self.protocol,
                self.config,
                self.machine,
                durable=dict(seat.image) | {(p, ""): s for p, s in seat.saved.items() if p},
            )
            seat.node.bind(seat)
        for seat in self.on(host):
            self.step(seat, Start(kind, seat.incarnation, seat.saved.get("")))
        if kind != "new":
            self.count["restarts"] += 1
            self._break_streams(host, up=True)

    def _break_streams(self, host: str, *, up: bool) -> None:
        for other in self.hosts:
            if other != host and self.is_up(other):
                self.break_stream(host, other, up=up)

    def break_stream(self, host: str, other: str, *, up: bool) -> None:
        """Lose what is under way between two hosts on streams, and tell both ends."""
        ends = {host, other}
        self.letters = [
            letter
            for letter in self.letters
            if not (letter.stream and {self._host(letter.source), self._host(letter.to)} == ends)
        ]
        for here, there in ((host, other), (other, host)):
            for seat in self.on(here):
                if seat.node is not None and seat.role.links == "stream":
                    for peer in self.on(there):
                        self.step(seat, LinkUp(peer.id) if up else LinkDown(peer.id))

    # --- letters -------------------------------------------------------------------------------

    def _host(self, address: str) -> str:
        seat = self.seats.get(address.partition("/")[0])
        return seat.host if seat is not None else ""

    def may_deliver(self, letter: Letter) -> bool:
        """On a stream nothing overtakes; through a cut nothing passes."""
        if (self._host(letter.source), self._host(letter.to)) in self.blocked:
            return False
        return not letter.stream or letter is next(
            one
            for one in self.letters
            if one.stream and one.source == letter.source and one.to == letter.to
        )

    def deliver(self, letter: Letter, *, end_turn: bool = True, keep: bool = False) -> None:
        """Hand a letter to its node; with `keep` a copy stays under way."""
        if not keep:
            self.letters.remove(letter)
        name, _, path = letter.to.partition("/")
        seat = self.seats.get(name)
        if seat is None or seat.node is None:
            self.count["dropped: host down"] += 1
            return
        self.step(seat, Deliver(letter.source, letter.message, path), end_turn=end_turn)

    def drop(self, letter: Letter) -> None:
        self.letters.remove(letter)
        self.count["dropped"] += 1

    def invoke(self, client: str, op: int, body: bytes) -> None:
        """A client application asks for `body`."""
        self.asked[client, op] = body
        self.step(self.seats[client], Invoke(op, body))

    def fire(self, seat: Seat, key: Key) -> None:
        """Let a timer ring, now or when it is due."""
        self.now = max(self.now, seat.timers.pop(key))
        self.step(seat, Timer(key[1], key[0]))

    def end_turn(self, seat: Seat) -> None:
        if seat.turn_open and seat.node is not None:
            seat.turn_open = False
            self._step(seat, TurnEnd())
            self._settle_locally()

    # --- steps ---------------------------------------------------------------------------------

    def step(self, seat: Seat, event: Event, *, end_turn: bool = True) -> None:
        """One event, what it sets off on its host, and the end of the turn unless it is put off."""
        self._step(seat, event)
        if seat.node is not None and seat.node.wants_turn_end:
            seat.turn_open = True
        self._settle_locally()
        if end_turn:
            self.end_turn(seat)

    def _settle_locally(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            for _ in range(LOCAL_MAX):
                if not self._local:
                    return
                seat, event = self._local.pop(0)
                if seat.node is not None:
                    self._step(seat, event)
                    if seat.node.wants_turn_end:
                        seat.turn_open = True
            raise AssertionError(f"more than {LOCAL_MAX} messages inside a host after one event")
        finally:
            self._busy = False

    def _step(self, seat: Seat, event: Event) -> None:
        node = seat.node
        if node is None:
            return
        self.steps += 1
        seat.tape = []
        before = node.snapshot() if self.watchers else None
        try:
            effects = node.step(event, seat)
        except Exception as error:
            reason = f"{type(error).__name__}: {error} in {event}"
            raise Violated("no_step_raises", reason, seat.id) from error
        for effect in effects:
            self._carry_out(seat, effect)
        for watch in self.watchers:
            watch(self, seat, event, effects, before)
        for name in node.broken_invariants():
            raise Violated(name, f"broken by {event}", seat.id)

    def _carry_out(self, seat: Seat, effect: Effect) -> None:
        if self.on_effect is not None:
            self.on_effect(seat, effect)
        kind = type(effect)
        if kind is Send:
            self._post(seat, effect.path, effect.to, effect.message)  # type: ignore[union-attr]
        elif kind is Multicast:
            group, path = effect.group, effect.path  # type: ignore[union-attr]
            if isinstance(group, str):
                ids = self.config.role(group)
                group = tuple(f"{i}/{path}" for i in ids) if path else ids
            for to in group:
                if to != _address(seat.id, path):
                    self._post(seat, path, to, effect.message)  # type: ignore[union-attr]
        elif kind is Persist:
            patch(seat.image, effect)  # type: ignore[arg-type]
            for change in effect.changes:  # type: ignore[union-attr]
                if not change.field:
                    below = f"{change.path}/"
                    gone = [p for p in seat.saved if f"{p}/".startswith(below)]
                    for path in gone:
                        del seat.saved[path]
            seat.records += 1
        elif kind is SetTimer:
            due = self.now + max(effect.after_ns, 0)  # type: ignore[union-attr]
            seat.timers[effect.path, effect.name] = due  # type: ignore[union-attr]
        elif kind is CancelTimer:
            seat.timers.pop((effect.path, effect.name), None)  # type: ignore[union-attr]
        elif kind is SaveSnapshot:
            path, snapshot = effect.path, effect.snapshot  # type: ignore[union-attr]
            seat.saved[path] = snapshot
            self.count["snapshots"] += 1
            self._local.append((seat, SnapshotSaved(snapshot.index, path)))
        else:
            self._observe(seat, effect)  # type: ignore[arg-type]

    def _post(self, seat: Seat, path: str, to: str, message: Message) -> None:
        name, _, below = to.partition("/")
        source = _address(seat.id, path)
        target = self.seats.get(name)
        if target is not None and target.host == seat.host:
            self._local.append((target, Deliver(source, message, below)))
            return
        self.sent += 1
        stream = seat.role.links == "stream"
        if stream and (target is None or target.node is None):
            return  # a connection that is broken takes nothing
        if stream and (seat.host, target.host) in self.blocked:  # type: ignore[union-attr]
            return
        self.letters.append(Letter(self.sent, source, to, message, stream))

    def _observe(self, seat: Seat, effect: Decide | Observe | Complete) -> None:
        if type(effect) is Complete:
            key = (seat.id, effect.op)
            if key not in self.asked:
                raise Violated(
                    "every_operation_ends_exactly_once", f"{effect.op} was never asked", seat.id
                )
            if key in self.outcomes:
                raise Violated(
                    "every_operation_ends_exactly_once", f"{effect.op} ended again", seat.id
                )
            self.outcomes[key] = effect.outcome
            if self.on_complete is not None:
                self.on_complete(seat.id, effect.op, effect.outcome)
            return
        if type(effect) is Decide:
            self.decided.append((seat.id, effect))
        elif type(effect) is Observe:
            self.count[effect.name] += 1
            if effect.name == "recovered":
                self.lost.discard(seat.host)
        for i, known in enumerate(self._properties):
            if type(effect) not in known.watches:
                continue
            try:
                self._folds[i] = known.after(self._folds[i], seat.id, effect)  # type: ignore[arg-type]
            except Broken as broken:
                raise Violated(known.name, str(broken), seat.id) from None

    # --- going on ------------------------------------------------------------------------------

    def settle(self, steps_max: int = 10_000) -> bool:
        """Deliver everything, first in first out, letting no timer ring. False if it never ends."""
        for _ in range(steps_max):
            for seat in self.seats.values():
                self.end_turn(seat)
            letter = next((one for one in self.letters if self.may_deliver(one)), None)
            if letter is None:
                return True
            self.deliver(letter)
        return False

    def next_timer(self) -> tuple[Seat, Key] | None:
        """The timer that is due first."""
        armed = [
            (due, seat.id, str(key), seat, key)
            for seat in self.seats.values()
            for key, due in seat.timers.items()
        ]
        if not armed:
            return None
        *_, seat, key = min(armed, key=lambda timer: timer[:3])
        return seat, key

    def advance(self, end: int | None = None) -> bool:
        """The next thing in order: a letter if there is one, else the timer that is due first.

        False if there is neither, or nothing is due up to the time `end`.
        """
        for seat in self.seats.values():
            self.end_turn(seat)
        letter = next((one for one in self.letters if self.may_deliver(one)), None)
        if letter is not None:
            self.deliver(letter)
            return True
        timer = self.next_timer()
        if timer is None or (end is not None and timer[0].timers[timer[1]] > end):
            return False
        self.fire(*timer)
        return True

    def run(self, until: Callable[[], bool], for_ns: int, steps_max: int) -> bool:
        """Advance until something holds. False if it does not within that time and those steps."""
        end, last = self.now + for_ns, self.steps + steps_max
        while not until():
            if self.steps > last or not self.advance(end):
                return False
        return True


def _address(id: str, path: str) -> str:
    return f"{id}/{path}" if path else id
