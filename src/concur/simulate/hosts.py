"""Hosts: CPU, disk, clock and crash fate, shared by the nodes that stand on them."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from concur.base import Role
from concur.chance import Stream
from concur.effects import (
    CancelTimer,
    Change,
    Complete,
    Decide,
    Deliver,
    Effect,
    Event,
    Multicast,
    Observe,
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
from concur.messages import encode
from concur.node import Node, patch
from concur.simulate.costs import Cpu

if TYPE_CHECKING:
    from concur.simulate.world import Route, World

Envelope = tuple["Place", Any, Any, str, str]
"""What is on its way to a node: (place, message, its size, who sent it, the path of the node below
the root); or (place, event, the timer that rang, "", ""). See `envelope` and `event_of`."""

Held = tuple["Place", Effect, int, Any, int]
"""A record on its way to the disk with the new values, or something said that waits behind one,
with its size (None for values); and when the CPU had made it."""

TURN_END = TurnEnd()
NEVER = 1 << 62
CLOCK_ERROR_NS = 1_000_000
"""By how much a healthy clock may be wrong, as its owner knows: a millisecond, as with NTP."""
DELTAS_MAX = 512
"""Journal records after which a place takes a new base for re-checking that they add up."""


class Place:
    """Where one node lives: its durable image, timers and inputs. Outlives the node's crashes."""

    def __init__(self, host: "Host", id: str, role: Role, cpu: Cpu) -> None:
        world = host.world
        self.host = host
        self.id = id
        self.role = role
        self.cpu = cpu
        self.stream = role.links == "stream"
        self.own_time = role.cost in ("client", "memory")
        self.memory = role.cost == "memory"
        self.arrive = host.arrive_alone if self.own_time else host.arrive
        self.routes: dict[str, Route] = {}
        self.node: Node[Any] | None = None
        self.incarnation = 0
        self.began = "new"
        self.image: dict[tuple[str, str], Any] = {}
        self.base: dict[tuple[str, str], Any] = {}
        self.deltas: list[Persist] = []
        self.saved: dict[str, Snapshot] = {}
        self.saved_at = 0  # when the last save under way will be durable
        self.timers: dict[tuple[str, TimerName], list[int]] = {}
        self.unsafe = role.node.unsafe_
        self.special = self.memory or bool(self.unsafe)
        self.turn_end = False
        self.newest: tuple[Any, ...] | None = None
        self._jitter = Stream(world.seed, "jitter", id)
        self._choices = Stream(world.seed, "choose", id)

    def create(self, kind: str) -> Start:
        """A fresh node in this place, and the event that starts it."""
        world = self.host.world
        self.incarnation += 1
        self.settle()
        if kind != "restart":
            self.image, self.saved = {}, {}
            self.began = kind
        elif not self.image and world.protocol.tags.durable:
            kind = self.began  # nothing was written since: it begins as it did then
        self.base, self.deltas = dict(self.image), []
        self.timers = {}
        self.saved_at = 0
        durable: dict[tuple[str, str], Any] = dict(self.image)
        durable |= {(path, ""): saved for path, saved in self.saved.items() if path}
        self.node = self.role.node(
            self.id, world.protocol, world.config, world.machine, durable=durable
        )
        executions = world.executions
        if executions is None:
            self.node.bind(self)
        else:
            self.node.bind(self, executions.execute)
            self.node.machine_state = executions.begin(self.node.machine_state)
        self.turn_end = self.node.wants_turn_end
        return Start(kind, self.incarnation, self.saved.get(""))

    def values(self, persist: Persist) -> Any:
        """What the fields that a step persisted now hold.

        All durable fields at once, which costs nothing, if the node has no children and its step is
        one record; else a dict by (path, field), with None for a node that was dropped.
        """
        node: Any = self.node
        if not (node._children or self.unsafe or persist.changes[-1].path):
            return node._persisted
        return {
            (c.path, c.field): getattr(node._at(c.path) if c.path else node, c.field)
            if c.field
            else None
            for c in persist.changes
        }

    def write(self, persist: Persist, values: Any) -> None:
        """A record is durable."""
        self.deltas.append(persist)
        if type(values) is tuple:
            self.newest = values
            if len(self.deltas) <= DELTAS_MAX:
                return
        self.settle()
        if type(values) is dict:
            self.image.update(values)
            for path, field in values:
                if not field:  # dropped: a child, its fields, its snapshot
                    patch(self.image, Persist((Change(path, "", None),)))
                    self.saved.pop(path, None)
        if len(self.deltas) > DELTAS_MAX:
            self.base, self.deltas = dict(self.image), []

    def settle(self) -> None:
        """Bring the image up to the newest record."""
        if self.newest is not None:
            fields = self.role.node.durable_
            for field, value in zip(fields, self.newest):  # noqa: B905 - the getter may pad
                self.image["", field] = value
            self.newest = None

    def rings(self, event: Timer, timer: Any) -> bool:
        """Whether a timer whose time has come is still set; it then no longer is."""
        key = (event.path, event.name)
        if self.timers.get(key) is not timer:
            return False
        del self.timers[key]
        return True

    # --- inputs of steps (concur.effects.Inputs) ----------------------------------------------

    def now(self) -> int:
        host = self.host
        return host.clock + host.offset_ns + host.drifted()

    def uptime(self) -> int:
        host = self.host
        drifted = host.drifted() if host.drift_ppm else host.drifted_ns
        return host.clock - host.started_at + drifted - host.drifted_at_start

    def interval(self) -> tuple[int, int]:
        # The bound holds, whatever faults have done to the clock: it grows with the error.
        now = self.now()
        error = CLOCK_ERROR_NS + abs(now - self.host.clock)
        return now - error, now + error

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return self._jitter.between(low_ns, high_ns)

    def choose(self, options: int) -> int:
        return self._choices.below(options)

    def peek(self, node: str, address: Any) -> Any:
        memory = self.host.world.places[node]
        if memory.host is not self.host or memory.node is None:
            raise RuntimeError(f"{self.id} cannot read {node} directly: it is on another host")
        return memory.node.cells.get(address)  # type: ignore[attr-defined]


class Host:
    """One machine. See the world's docstring for what a turn is."""

    def __init__(self, world: "World", name: str, region: str, kind: str) -> None:
        self.world = world
        self.name = name
        self.region = region
        self.kind = kind
        self.places: list[Place] = []
        self.up = False
        self.epoch = 0
        self.clock = 0  # time inside a turn, ahead of world.now by the work done so far
        self.started_at = 0
        self.offset_ns = 0
        self.drift_ppm = 0
        self.drift_from = 0
        self.drifted_ns = 0
        self.drifted_at_start = 0
        self.inbox: deque[Envelope] = deque()
        self.waking = False
        self.free_at = 0
        self.cpu_ns = 0
        self.slow = 1
        self.disk_slow = 1
        self.syncing = False
        self.buffer: list[Held] = []
        self.in_sync: list[Held] = []
        self.dirty = 0  # records that are not durable yet, and the bytes of those not in a sync
        self.dirty_bytes = 0
        self.tear = False  # crash in the middle of the next sync
        self.wiped = False
        self._draws = Stream(world.seed, "crash", name)

    def add(self, place: Place) -> None:
        self.places.append(place)

    # --- life ---------------------------------------------------------------------------------

    def start(self, kind: str) -> bool:
        """Begin, with `kind` as in `effects.Start`. False if the host is up already.

        A disk that was lost, and on which nothing has become durable since, is still missing: such
        a restart is `wiped` again, because the node cannot know that it ever was (19).
        """
        if self.up:
            return False
        world = self.world
        self.up = True
        self.clock = self.started_at = world.now
        self.drifted_at_start = self.drifted()
        if kind == "restart" and self.wiped and not any(p.image or p.saved for p in self.places):
            kind = "wiped"
        self.wiped = kind == "wiped"
        self.free_at = world.now
        if kind == "restart":
            world.count["client restarts" if self.kind == "client" else "restarts"] += 1
        elif kind == "wiped":
            world.count["wiped"] += 1
        for place in self.places:
            start = place.create(kind)
            place.arrive(envelope(place, start))
        if kind != "new":
            world.streams_of(self.name, up=True)
        return True

    def crash(self, *, torn: bool = False, wiped: bool = False) -> bool:
        """Stop. The disk keeps a prefix of what was not synced; the rest, or half of it, is gone.

        A torn record fails its checksum and counts as not written; with `torn` it is one of those
        that were being synced. With `wiped` the whole disk is lost.
        """
        if not self.up:
            return False
        world = self.world
        self.up = False
        self.epoch += 1
        self.tear = False
        world.count["client crashes" if self.kind == "client" else "crashes"] += 1
        in_sync = sum(type(r[1]) is Persist for r in self.in_sync)
        records = [r for r in (*self.in_sync, *self.buffer) if type(r[1]) is Persist]
        kept = self._draws.below(len(records) + 1)
        if torn and in_sync:
            kept = min(kept, in_sync - 1)
        for place, persist, _, values, _ in records[:kept]:
            place.write(persist, values)  # type: ignore[arg-type]
        if kept < len(records):
            world.count["lost unsynced records"] += len(records) - kept
            if torn:
                world.count["torn writes"] += 1
        self.inbox.clear()
        self.buffer, self.in_sync = [], []
        self.dirty = self.dirty_bytes = 0
        self.syncing = self.waking = False
        for place in self.places:
            place.timers = {}
            self._check_journal(place)
            place.node = None
            if wiped:
                place.image, place.base, place.saved, place.deltas = {}, {}, {}, []
        self.wiped = self.wiped or wiped
        world.streams_of(self.name, up=False)
        return True

    def pause(self, for_ns: int) -> None:
        """Stop the CPU for a while: events queue, memory goes on being served (15)."""
        self.free_at = max(self.free_at, self.world.now + for_ns)
        self.world.count["pauses"] += 1

    def shift_clock(self, offset_ns: int, drift_ppm: int) -> None:
        """Set the wall clock, and let all clocks run at another speed from now on."""
        self.offset_ns += offset_ns
        at = max(self.clock, self.world.now)
        self.drifted_ns += (at - self.drift_from) * self.drift_ppm // 1_000_000
        self.drift_from = at
        self.drift_ppm += drift_ppm

    def drifted(self) -> int:
        """What the clocks have gained by drifting, ns; steady, so that uptime never runs back."""
        return self.drifted_ns + (self.clock - self.drift_from) * self.drift_ppm // 1_000_000

    def _check_journal(self, place: Place) -> None:
        """The deltas that were persisted must add up to the durable fields (4)."""
        place.settle()
        image = dict(place.base)
        for persist in place.deltas:
            patch(image, persist)
        kind = place.role.node
        wrong = [
            key
            for key, value in place.image.items()
            if (image[key] if key in image else getattr(kind, key[1], None)) != value
        ]
        if wrong:
            self.world.violate(
                "journal_adds_up_to_the_durable_fields", f"{wrong} differ after replay", place.id
            )

    # --- turns --------------------------------------------------------------------------------

    def arrive(self, envelope: Envelope) -> None:
        """An event reaches the host: handled now if the CPU is free, else in the next turn."""
        if not self.up:
            self.world.count["dropped: host down"] += 1
            return
        now = self.world.now
        if self.inbox or now < self.free_at:
            if len(self.inbox) >= self.world.costs.inbox_max:
                self.world.count["dropped: inbox full"] += 1
                return
            self.inbox.append(envelope)
            if not self.waking:
                self.waking = True
                self.world.at(self.free_at, self._wake, self.epoch)
            return
        self.clock = now
        self._steps((envelope,))
        self._end_turn()

    def arrive_alone(self, envelope: Envelope) -> None:
        """Clients are free and memory is served by the network card: neither waits for the CPU."""
        if not self.up:
            self.world.count["dropped: host down"] += 1
            return
        place = envelope[0]
        self.clock = now = self.world.now
        self._steps((envelope,))
        if place.turn_end:
            self._steps(((place, TURN_END, None, "", ""),))
        if place.role.cost == "client":
            self.cpu_ns += self.clock - now
        if self.dirty and not self.syncing:
            self._sync()

    def _wake(self, epoch: int) -> None:
        if epoch != self.epoch:
            return
        self.waking = False
        world = self.world
        inbox = self.inbox
        if world.now < self.free_at:  # a pause began meanwhile
            self.waking = True
            world.at(self.free_at, self._wake, epoch)
            return
        self.clock = world.now
        most = world.costs.turn_events_max
        if len(inbox) <= most:
            turn, self.inbox = inbox, deque()
        else:
            turn = deque([inbox.popleft() for _ in range(most)])
        self._steps(turn)
        if world.violations:
            return
        self._end_turn()
        if self.inbox and not self.waking:
            self.waking = True
            world.at(self.free_at, self._wake, self.epoch)

    def _end_turn(self) -> None:
        for place in self.places:
            node = place.node
            if node is not None and (node._children or (place.turn_end and node.turn_end_due())):
                self._steps(((place, TURN_END, None, "", ""),))
        self.cpu_ns += self.clock - self.world.now
        if self.clock > self.free_at:
            self.free_at = self.clock
        if self.dirty and not self.syncing:
            self._sync()

    def _steps(self, envelopes: Iterable[Envelope]) -> None:
        """One step of a node for each envelope, and its effects; stops at a violation.

        Every message of a run passes through this loop, so a delivery has a branch of its own.
        """
        world = self.world
        for envelope in envelopes:
            place, what, size, source, path = envelope
            node = place.node
            if node is None:
                continue
            world.steps += 1
            try:
                if source:
                    cpu = place.cpu
                    self.clock += (cpu.receive_ns + size * cpu.byte_ps // 1000) * self.slow
                elif type(what) is Timer and not place.rings(what, size):
                    world.steps -= 1  # cancelled or replaced while it queued
                    continue
                else:
                    world.other_steps += 1
                effects = node.deliver(source, what, path)
            except Exception as error:  # a step that raises is a fail-stop of the node (1)
                if world.raise_errors:
                    raise
                reason = f"{type(error).__name__}: {error}"
                world.violate("no_step_raises", f"{reason} in {event_of(envelope)}", place.id)
                return
            if world.recorder is not None:
                world.recorder.step(world, place, event_of(envelope), effects)
            if effects:
                self._carry_out(place, effects)
            if world.check_every and world.steps % world.check_every == 0:
                for name in node.broken_invariants():
                    world.violate(name, f"broken by {event_of(envelope)}", place.id)
            if world.violations:
                return

    def _carry_out(self, place: Place, effects: list[Effect]) -> None:
        world = self.world
        cpu = place.cpu
        hold = self.dirty > 0 or type(effects[0]) is Persist
        if place.special:
            if place.memory or "send_before_durable" in place.unsafe:
                hold = False  # memory is a medium itself, and waits for no disk beside it
            elif "release_out_of_order" in place.unsafe:
                hold = type(effects[0]) is Persist
        message, size, cost_ns = None, 0, 0
        for effect in effects:
            kind = type(effect)
            if kind is Send or kind is Multicast:
                if effect.message is not message:  # type: ignore[union-attr]
                    message = effect.message  # type: ignore[union-attr]
                    size = len(encode(message))
                    cost_ns = (cpu.send_ns + size * cpu.byte_ps // 1000) * self.slow
                self.clock = clock = self.clock + cost_ns
                if hold:
                    self.buffer.append((place, effect, size, None, clock))
                elif kind is Send:
                    world.transmit(place, effect.to, effect, size, clock)  # type: ignore[union-attr,arg-type]
                else:
                    world.multicast(place, effect, size, clock)  # type: ignore[arg-type]
            elif kind is Persist:
                self._persist(place, effect)  # type: ignore[arg-type]
            elif kind is SetTimer:
                self._set_timer(place, effect)  # type: ignore[arg-type]
            elif kind is CancelTimer:
                if place.timers.pop((effect.path, effect.name), None) is not None:  # type: ignore[union-attr]
                    world.forget_timer()
            elif hold:
                self.buffer.append((place, effect, 0, None, self.clock))
            elif kind is SaveSnapshot:
                self._save(place, effect)  # type: ignore[arg-type]
            else:
                world.observe(place, effect, self.clock)  # type: ignore[arg-type]

    def _persist(self, place: Place, persist: Persist) -> None:
        parts: tuple[Persist, ...] = (persist,)
        if place.special:
            if place.memory:
                place.write(persist, place.values(persist))
                return
            if "persist_separately" in place.unsafe:
                parts = tuple([Persist((change,)) for change in persist.changes])
        for part in parts:
            self.buffer.append((place, part, 0, place.values(part), self.clock))
            self.dirty += 1
            self.dirty_bytes += len(encode(part))

    def _release(self, place: Place, effect: Effect, size: int, at: int) -> None:
        """An effect becomes visible."""
        kind = type(effect)
        if kind is Decide or kind is Complete or kind is Observe:
            self.world.observe(place, effect, at)  # type: ignore[arg-type]
        elif kind is Send:
            self.world.transmit(place, effect.to, effect, size, at)  # type: ignore[union-attr,arg-type]
        elif kind is Multicast:
            self.world.multicast(place, effect, size, at)  # type: ignore[arg-type]
        else:
            self._save(place, effect)  # type: ignore[arg-type]

    # --- disk ---------------------------------------------------------------------------------

    def _sync(self) -> None:
        """Write what has gathered, in one sync, and hold what depends on it until then."""
        disk = self.world.costs.disk
        self.in_sync, self.buffer = self.buffer, []
        size, self.dirty_bytes = self.dirty_bytes, 0
        took = (disk.sync_ns + size * disk.byte_ps // 1000) * self.disk_slow
        self.syncing = True
        self.world.count["syncs"] += 1
        begins = max(self.in_sync[-1][4], self.world.now)
        self.world.at(begins + took, self._synced, self.epoch)
        if self.tear:
            self.world.at(begins + took // 2, self._torn, self.epoch)

    def _torn(self, epoch: int) -> None:
        if epoch == self.epoch and self.tear:
            self.world.crash(self.name, torn=True)

    def _synced(self, epoch: int) -> None:
        if epoch != self.epoch:
            return
        done, self.in_sync = self.in_sync, []
        self.syncing = False
        now = self.world.now
        transmit = self.world.transmit
        for place, effect, size, values, _ in done:
            if values is not None:
                place.write(effect, values)  # type: ignore[arg-type]
                self.dirty -= 1
            elif type(effect) is Send:
                transmit(place, effect.to, effect, size, now)
            else:
                self._release(place, effect, size, now)
                if epoch != self.epoch or self.world.violations:
                    return
        ready = 0  # what was said after those records, and before the next one, can leave too
        for place, effect, size, values, made in self.buffer:
            if values is not None:
                break
            self._release(place, effect, size, made if made > now else now)
            ready += 1
        del self.buffer[:ready]
        if self.dirty:
            self._sync()

    def _save(self, place: Place, effect: SaveSnapshot) -> None:
        world, disk = self.world, self.world.costs.disk
        world.count["snapshots"] += 1
        size = 0
        if place.node is not None and place.node.machine is not None:
            machine = place.node.machine
            size = len(machine.snapshot(machine.release(effect.snapshot.machine)))
        took = (disk.sync_ns + size * disk.byte_ps // 1000) * self.disk_slow
        # In order, or an older snapshot would take the place of a newer one.
        place.saved_at = max(world.now, place.saved_at) + took
        world.at(place.saved_at, self._saved, (place, effect, self.epoch))

    def _saved(self, argument: tuple[Place, SaveSnapshot, int]) -> None:
        place, effect, epoch = argument
        node = place.node
        if epoch == self.epoch and node is not None and node._at(effect.path) is not None:
            place.saved[effect.path] = effect.snapshot
            place.arrive(envelope(place, SnapshotSaved(effect.snapshot.index, effect.path)))

    # --- timers -------------------------------------------------------------------------------

    def _set_timer(self, place: Place, effect: SetTimer) -> None:
        """Timers are kept as [deadline, when the scheduler will next look].

        Moving a deadline back, which is what heartbeats do to election timers all the time, only
        notes the new one; the scheduler looks again when it gets to the old one.
        """
        wait = effect.after_ns
        if self.drift_ppm:
            wait -= wait * self.drift_ppm // 1_000_000
        deadline = self.clock + (wait if wait > 0 else 0)
        key = (effect.path, effect.name)
        timer = place.timers.get(key)
        if timer is not None:
            if timer[1] <= deadline:
                timer[0] = deadline
                return
            self.world.forget_timer()
        timer = place.timers[key] = [deadline, deadline]
        self.world.set_timer(deadline, self._ring, (place, key, timer))

    def _ring(self, argument: tuple[Place, tuple[str, TimerName], list[int]]) -> None:
        place, key, timer = argument
        if place.timers.get(key) is not timer:
            return
        if timer[0] > self.world.now:
            timer[1] = timer[0]
            self.world.set_timer(timer[0], self._ring, argument)
            return
        timer[1] = NEVER
        place.arrive(envelope(place, Timer(key[1], key[0]), timer))


def envelope(place: Place, event: Event, timer: list[int] | None = None) -> Envelope:
    """An event other than a message, on its way."""
    return place, event, timer, "", ""


def event_of(envelope: Envelope) -> Event:
    """The event that an envelope holds."""
    _, what, _, source, path = envelope
    return Deliver(source, what, path) if source else what


def stale(argument: tuple[Place, tuple[str, TimerName], list[int]]) -> bool:
    """Whether a timer on its way to `_ring` was cancelled or replaced."""
    place, key, timer = argument
    return place.timers.get(key) is not timer
