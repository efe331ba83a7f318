"""A host: the nodes of one process, driven by turns over a journal, sockets and a real clock.

The twin of `concur.simulate.hosts`, with the same rules and real time:

1. A turn drains the inbox: messages, timers that rang, and what applications asked for. At its end
   each node that has gathered something gets its `TurnEnd` (CORE 14).
2. Once a step has persisted something, nothing that is said after it leaves (CORE 5). At the end
   of the turn all records go to the journal with one write and one sync, and then what was said
   leaves, in order. So a turn that finds much to do shares its sync among much. The sync blocks
   the loop: meanwhile the next turn gathers, and a thread would cost more than it saves.
3. What is said to a node of the same host goes into the inbox, so one turn may carry a command from
   the gateway's client to the replica and on.
4. Whatever goes to another process leaves with one write for each peer, when the turn is over.

A step that raises, an invariant that does not hold, or a sync that fails, stops the host for good:
nothing of that turn is released (CORE 1, 5). `failed` says why.
"""

import asyncio
import logging
import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from concur.base import Role
from concur.chance import Stream
from concur.effects import (
    CancelTimer,
    Complete,
    Decide,
    Effect,
    Event,
    Invoke,
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
from concur.errors import ConcurError
from concur.messages import Message, encode
from concur.node import Config, Node
from concur.serve.lookout import Lookout

log = logging.getLogger("concur.serve.host")

TURN_END = TurnEnd()
TURN_EVENTS_MAX = 1000
"""Events of one turn; the next turn begins with the rest, after sockets were looked at."""
INBOX_MAX = 100_000
"""Events that wait for a turn; at the limit messages are dropped, which a network may do (21)."""
WATCH_S = 1.0
"""How often the invariants of all nodes are evaluated, and the clocks compared."""


class Stopped(ConcurError):
    """A node must not go on: a step raised, or an invariant does not hold."""


class Disk(Protocol):
    """What a host asks of its storage (`concur.serve.store.Store`)."""

    @property
    def dirty(self) -> bool:
        """Whether something was appended since the last sync."""

    def append(self, place: str, persist: Persist) -> None: ...

    def sync(self) -> None: ...

    def save(self, place: str, save: SaveSnapshot, done: Callable[[], None]) -> None: ...


class Network(Protocol):
    """What a host asks of its transport (`concur.serve.transport.Transport`)."""

    def send(self, group: int, source: str, to: str, path: str, message: bytes) -> bool: ...

    def flush(self) -> None: ...


class Ringing:
    """A timer that is set. `deadline` may have moved back behind `due`, when the loop looks."""

    __slots__ = ("deadline", "due", "handle")

    def __init__(self, deadline: float, handle: asyncio.TimerHandle) -> None:
        self.deadline = self.due = deadline
        self.handle = handle


class Place:
    """Where one node lives: its timers, its inputs, and who waits for its completions."""

    def __init__(self, host: "Host", node: Node[Any], role: Role, seed: int) -> None:
        self.host = host
        self.id = node.id
        self.node = node
        self.role = role
        self.timers: dict[tuple[str, TimerName], Ringing] = {}
        self.routes: dict[str, tuple[Place | None, str, str]] = {}
        self.waiting: dict[int, Callable[[Outcome], None]] = {}
        self.last_op = 0
        self.turn_end = node.wants_turn_end
        self.leader = ""  # whom its node followed at the end of the last turn
        self._jitter = Stream(seed, "jitter", self.id)
        self._choices = Stream(seed, "choose", self.id)

    # --- inputs of steps (concur.effects.Inputs) ------------------------------------------------

    def now(self) -> int:
        return time.time_ns()

    def uptime(self) -> int:
        return time.monotonic_ns() - self.host.began

    def interval(self) -> tuple[int, int]:
        now, error = time.time_ns(), self.host.clock_error_ns
        return now - error, now + error

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return self._jitter.between(low_ns, high_ns)

    def choose(self, options: int) -> int:
        return self._choices.below(options)

    def peek(self, node: str, address: Any) -> Any:
        memory: Any = self.host.places[node].node
        return memory.cells.get(address)


class Host:
    """The nodes of one group of replicas in this process. Belongs to one event loop."""

    def __init__(
        self,
        network: Network,
        disk: Disk,
        *,
        group: int = 0,
        observe: Callable[[str, Observe | Decide], None] | None = None,
        clock_error_ns: int = 0,
        seed: int | None = None,
    ) -> None:
        """`observe` hears what nodes decide and observe, once it is visible. `seed` decides jitter
        and choices; None takes one from the system."""
        self.network = network
        self.disk = disk
        self.group = group
        self.places: dict[str, Place] = {}
        self.began = time.monotonic_ns()
        self.clock_error_ns = clock_error_ns
        self.counters: Counter[str] = Counter()
        self.sent = 0
        self.lookout = Lookout(log, self.counters)
        self.leader: tuple[Any, ...] = ()
        self.loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self.loop.create_future()
        self._observe = observe
        self._seed = secrets.randbits(62) if seed is None else seed
        self._inbox: deque[tuple[Place, str, Any, Any]] = deque()
        self._held: list[tuple[Place, Effect]] = []
        self._waking = False
        self._stopped = False
        self._encoded: tuple[Message | None, bytes] = (None, b"")
        self._replicas: list[Place] = []
        self._watching = self.loop.call_later(WATCH_S, self._watch)

    # --- who lives here -------------------------------------------------------------------------

    def add(
        self,
        id: str,
        role: Role,
        protocol: Any,
        config: Config,
        machine: Any,
        start: Start,
        durable: "Mapping[tuple[str, str], Any] | None" = None,
        saved: "Mapping[str, Snapshot] | None" = None,
    ) -> Place:
        """A node with what its journal holds, which begins with `start` in the next turn."""
        image = dict(durable or {})
        image |= {(path, ""): snapshot for path, snapshot in (saved or {}).items() if path}
        node = role.node(id, protocol, config, machine, durable=image)
        place = self.places[id] = Place(self, node, role, self._seed)
        if hasattr(node, "leader") and role.place == "replica":
            self._replicas.append(place)
        node.bind(place)
        self._put(place, "", start, None)
        return place

    def invoke(self, id: str, body: bytes, done: Callable[[Outcome], None]) -> None:
        """Ask the client node `id` for `body`; `done` hears once how it ended."""
        place = self.places[id]
        place.last_op += 1
        place.waiting[place.last_op] = done
        self._put(place, "", Invoke(place.last_op, body), None)

    def receive(self, source: str, target: str, path: str, message: Message) -> None:
        """A message came from another process."""
        place = self.places.get(target)
        if place is None:
            self.counters["dropped: no such node"] += 1
        elif len(self._inbox) >= INBOX_MAX:
            self.counters["dropped: inbox full"] += 1
        else:
            self._put(place, source, message, path)

    def hear(self, event: Event) -> None:
        """Something that all nodes of streams should know: a link broke, or is back."""
        for place in self.places.values():
            if place.role.links == "stream":
                self._put(place, "", event, None)

    @property
    def inbox_length(self) -> int:
        """Events that wait for a turn."""
        return len(self._inbox)

    def stop(self) -> None:
        """No more turns. What was not released is as lost as in a crash."""
        self._stopped = True
        self._watching.cancel()
        for place in self.places.values():
            for timer in place.timers.values():
                timer.handle.cancel()
            place.timers.clear()

    def _put(self, place: Place, source: str, what: Any, detail: Any) -> None:
        """`detail` is the path of a message, or the timer that rang."""
        self._inbox.append((place, source, what, detail))
        if not self._waking:
            self._waking = True
            self.loop.call_soon(self._turn)

    # --- turns ----------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._waking = False
        if self._stopped:
            return
        try:
            self._steps()
            if self.disk.dirty:
                began = time.perf_counter_ns()
                self.disk.sync()
                self.lookout.synced(time.perf_counter_ns() - began)
            held, self._held = self._held, []
            for place, effect in held:
                self._release(place, effect)
            self.network.flush()
        except Exception as error:  # fail-stop: whatever it is, nothing more leaves this host
            self.fail(error)
            return
        self.counters["turns"] += 1
        for place in self._replicas:
            if place.node.leader != place.leader:  # type: ignore[attr-defined]
                self._follows(place, place.node.leader)  # type: ignore[attr-defined]
        if self._inbox and not self._waking:
            self._waking = True
            self.loop.call_soon(self._turn)

    def _steps(self) -> None:
        """All steps of a turn: until nothing is left to do, or something must be synced first."""
        inbox = self._inbox
        left = TURN_EVENTS_MAX
        while True:
            while inbox and left:
                place, source, what, detail = inbox.popleft()
                left -= 1
                if source:
                    effects = place.node.deliver(source, what, detail)
                else:
                    if type(what) is Timer:
                        key = what.path, what.name
                        if place.timers.get(key) is not detail:
                            continue  # cancelled or replaced while it waited for the turn
                        del place.timers[key]
                    effects = place.node.deliver("", what)
                if effects:
                    self._carry_out(place, effects)
            for place in self.places.values():
                node = place.node
                if node._children or (place.turn_end and node.turn_end_due()):
                    self._carry_out(place, node.deliver("", TURN_END))
            if not inbox or not left or self.disk.dirty:
                self.counters["steps"] += TURN_EVENTS_MAX - left
                return

    def _carry_out(self, place: Place, effects: list[Effect]) -> None:
        held = self._held
        for effect in effects:
            kind = type(effect)
            if kind is Persist:
                self.disk.append(place.id, effect)  # type: ignore[arg-type]
            elif kind is SetTimer:
                self._set_timer(place, effect)  # type: ignore[arg-type]
            elif kind is CancelTimer:
                timer = place.timers.pop((effect.path, effect.name), None)  # type: ignore[union-attr]
                if timer is not None:
                    timer.handle.cancel()
            elif self.disk.dirty:
                held.append((place, effect))
            else:
                self._release(place, effect)

    def _release(self, place: Place, effect: Effect) -> None:
        """An effect becomes visible."""
        kind = type(effect)
        if kind is Send:
            self._send(place, effect.to, effect)  # type: ignore[union-attr,arg-type]
        elif kind is Complete:
            done = place.waiting.pop(effect.op, None)  # type: ignore[union-attr]
            if done is not None:
                done(effect.outcome)  # type: ignore[union-attr]
        elif kind is Decide:
            if self._observe is not None:
                self._observe(place.id, effect)  # type: ignore[arg-type]
        elif kind is Observe:
            self._note(place, effect)  # type: ignore[arg-type]
        elif kind is Multicast:
            group = effect.group  # type: ignore[union-attr]
            me = f"{place.id}/{effect.path}" if effect.path else place.id  # type: ignore[union-attr]
            if isinstance(group, str):
                ids = place.node.config.role(group)
                group = tuple(f"{id}/{effect.path}" if effect.path else id for id in ids)  # type: ignore[union-attr]
            for to in group:
                if to != me:
                    self._send(place, to, effect)  # type: ignore[arg-type]
        else:
            self._save(place, effect)  # type: ignore[arg-type]

    def _send(self, place: Place, to: str, effect: Send | Multicast) -> None:
        route = place.routes.get(to)
        if route is None:
            name, _, below = to.partition("/")
            route = place.routes[to] = self.places.get(name), name, below
        target, name, below = route
        source = f"{place.id}/{effect.path}" if effect.path else place.id
        message = effect.message
        if target is not None:
            self._inbox.append((target, source, message, below))
            return
        self.sent += 1
        known, data = self._encoded
        if message is not known:
            data = encode(message)
            self._encoded = message, data
        if not self.network.send(self.group, source, name, below, data):
            self.counters["dropped: no link, or it is full"] += 1

    def _save(self, place: Place, save: SaveSnapshot) -> None:
        self.counters["snapshots"] += 1
        saved = SnapshotSaved(save.snapshot.index, save.path)
        began_s = time.monotonic()

        def done() -> None:
            self.counters["snapshots saved"] += 1
            took_s = time.monotonic() - began_s
            log.info("%s: snapshot of %d commands saved in %.2f s", place.id, saved.index, took_s)
            self._put(place, "", saved, None)

        self.disk.save(place.id, save, done)

    def _note(self, place: Place, effect: Observe) -> None:
        self.counters[effect.name] += 1
        if effect.name not in ("accepted", "voted", "overloaded"):
            words = " ".join(map(str, effect.values))
            log.info("%s: %s%s", place.id, effect.name, f" {words}" if words else "")
        if effect.name == "leader":
            self.leader = effect.values
        if self._observe is not None:
            self._observe(place.id, effect)

    def _follows(self, place: Place, leader: str) -> None:
        """The node believes in another leader than before, or in none."""
        before, place.leader = place.leader, leader
        if leader:
            self.counters["leader changes"] += 1
            does = "leads" if leader == place.id else f"follows {leader}"
            log.info("%s: %s%s", place.id, does, f", after {before}" if before else "")
        else:
            log.info("%s: knows no leader any more; it was %s", place.id, before)

    # --- timers ---------------------------------------------------------------------------------

    def _set_timer(self, place: Place, effect: SetTimer) -> None:
        """Heartbeats move the deadline of an election timer back all the time: that only notes the
        new one, and the loop looks again when it gets to the old one."""
        deadline = self.loop.time() + max(effect.after_ns, 0) * 1e-9
        key = effect.path, effect.name
        timer = place.timers.get(key)
        if timer is not None:
            if timer.due <= deadline:
                timer.deadline = deadline
                return
            timer.handle.cancel()
        handle = self.loop.call_at(deadline, self._ring, place, key)
        place.timers[key] = Ringing(deadline, handle)

    def _ring(self, place: Place, key: tuple[str, TimerName]) -> None:
        timer = place.timers.get(key)
        if timer is None:
            return
        if timer.deadline > timer.due:
            timer.due = timer.deadline
            timer.handle = self.loop.call_at(timer.due, self._ring, place, key)
            return
        timer.due = math.inf  # set again before its turn comes, it is another timer
        self._put(place, "", Timer(key[1], key[0]), timer)

    # --- ending ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        for place in self.places.values():
            for name in place.node.broken_invariants():
                self.fail(Stopped(f"{place.id}: invariant {name} does not hold"))
                return
        self.lookout.compare_clocks(WATCH_S)
        self._watching = self.loop.call_later(WATCH_S, self._watch)

    def fail(self, error: Exception) -> None:
        """Stop for good."""
        self.stop()
        log.critical("stopped: %s: %s", type(error).__name__, error, exc_info=error)
        if not self.failed.done():
            self.failed.set_exception(error)
