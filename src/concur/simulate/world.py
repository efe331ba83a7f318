"""The simulated world: hosts, links, disks and clocks in virtual time, driving `Node.step`.

One heap of (time, order, action, argument) is the scheduler; ties are broken by the order in which
things were scheduled, so a run is a function of its parameters and seed. Chance comes from streams
keyed by what they are for (`concur.chance`), so that taking one fault away leaves the rest alone.

A host takes what queued while its CPU was busy as one turn (CORE.md, 14): it handles each message
at its cost, ends the turn, and syncs its disk once for all of them. What a step makes visible
waits, first in first out, until every record up to its own is durable (5).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec import structs

from concur.base import Protocol
from concur.collector import resting
from concur.effects import (
    Complete,
    Decide,
    Event,
    Invoke,
    LinkDown,
    LinkUp,
    Multicast,
    Observe,
    Ok,
    Outcome,
    Send,
)
from concur.errors import BadInput
from concur.faults.base import Fault
from concur.faults.schedule import Schedule
from concur.messages import encode
from concur.node import SECOND, Config, seconds
from concur.parts.membership import OPERATOR, Order
from concur.properties import STANDARD, Broken, Property, Violation
from concur.simulate.costs import Costs
from concur.simulate.executions import Executions
from concur.simulate.hosts import Host, Place, envelope, stale
from concur.simulate.links import Link
from concur.simulate.networks import Network

if TYPE_CHECKING:
    from concur.simulate.trace import Recorder


Route = tuple[Place, str, Link | None]
"""Where an address leads: the place, the path below its root, and the link, None on one host."""

AFTER_ALL = 1 << 62
"""The order of what comes after everything else at its time."""

STALE_MIN = 10_000
"""So many timers that will not fire may be kept before anybody looks."""

SOON_NS_LOG2 = 23
"""Timers further away than the period of 8 ms that is under way wait outside the heap."""


class World:
    """Everything that a run is made of, and the verbs that faults use on it.

    `on_complete(client, op, outcome, time_ns)` is called when a client operation ends.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        replicas: int,
        clients: int,
        spares: int = 0,
        network: Network,
        machine: Any,
        seed: int,
        costs: Costs,
        properties: tuple[Property, ...] = STANDARD,
        check_every: int = 1,
        on_complete: Callable[[str, int, Outcome, int], None] | None = None,
        recorder: "Recorder | None" = None,
    ) -> None:
        self.protocol = protocol.validate(replicas)
        self.network = network
        self.machine = machine
        self.executions = Executions.of(machine)
        self.seed = seed
        self.costs = costs
        self.now = 0
        self.steps = 0
        self.other_steps = 0
        self.bytes_sent = 0
        self.messages_sent = 0
        self.count: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.completions = on_complete
        self.on_client: Callable[[str, bool], None] | None = None
        self.recorder = recorder
        self.check_every = check_every
        self.raise_errors = False
        self._watching: dict[type, list[tuple[int, Property]]] = {
            kind: [(i, p) for i, p in enumerate(properties) if kind in p.watches]
            for kind in (Decide, Observe)
        }
        self._folds = [p.initial() for p in properties]
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._tickets = count(1)
        self._later: dict[int, list[tuple[int, int, Callable[[Any], None], Any]]] = {}
        self._stale = 0
        self._stale_max = STALE_MIN
        self._halted = False
        self._until = 0
        self.loss = network.loss
        self.duplicate = network.duplicate
        self.reorder = network.reorder
        self.late_ns = 0
        self._links: dict[tuple[str, str, bool], Link] = {}
        self._cut: Counter[tuple[str, str]] = Counter()
        self._blocked: Counter[tuple[str, str]] = Counter()
        self._extra: Counter[tuple[str, str]] = Counter()
        self._strays: Counter[str] = Counter()
        self._stray_ns: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.leader: str = ""
        self.places: dict[str, Place] = {}
        self.hosts: dict[str, Host] = {}
        self._orders: list[Order] = []
        self._build(replicas, clients, spares)
        self.tolerance = protocol.crash_tolerance(len(self.config.members))
        """How many replicas may be without their memory at a time."""

    def _build(self, replicas: int, clients: int, spares: int) -> None:
        roles = self.protocol.roles()
        if spares and not self.protocol.tags.membership:
            raise BadInput(f"spares: {spares}, but {self.protocol.label} never changes its members")
        self.config = Config.of(roles, replicas, clients, spares)
        ids = dict(self.config.roles)
        for role in roles:
            names = ids[role.name]
            if role.place == "client":
                regions = self.network.place_clients(len(names))
            else:
                regions = self.network.place_replicas(len(names))
            for i, (name, region) in enumerate(zip(names, regions, strict=True)):
                home = ids[role.beside][i] if role.beside else name
                host = self.hosts.get(home)
                if host is None:
                    host = self.hosts[home] = Host(self, home, region, role.cost)
                host.add(Place(host, name, role, self.costs.of(role.cost)))
        for host in self.hosts.values():
            for place in host.places:
                self.places[place.id] = place
        self.replica_hosts = tuple(
            h.name for h in self.hosts.values() if any(p.role.place != "client" for p in h.places)
        )

    # --- time ---------------------------------------------------------------------------------

    def at(self, time: int, action: Callable[[Any], None], argument: Any = None) -> None:
        """Schedule `action(argument)` for a moment, not before now."""
        heappush(self._heap, (time, next(self._tickets), action, argument))

    def run(self, until_ns: int) -> None:
        """Let time pass until `until_ns`, or until `halt()`."""
        heap = self._heap
        self._halted = False
        self._until = until_ns
        heappush(heap, (until_ns, AFTER_ALL, self._reach, until_ns))
        with resting():
            while not self._halted:
                self.now, _, action, argument = heappop(heap)
                action(argument)

    def _reach(self, until_ns: int) -> None:
        if until_ns == self._until:  # else the end of an earlier run that halted before it
            self._halted = True

    def set_timer(self, time: int, ring: Callable[[Any], None], timer: Any) -> None:
        """Schedule what will most likely be cancelled or put off: at first not in the heap, which
        stays small, but with those of the same period, in no order. A timer's place among what
        happens at the same time is settled here all the same, by its ticket."""
        period = time >> SOON_NS_LOG2
        later = self._later.get(period)
        if later is not None:
            later.append((time, next(self._tickets), ring, timer))
        elif period <= self.now >> SOON_NS_LOG2:
            self.at(time, ring, timer)
        else:
            self.at(period << SOON_NS_LOG2, self._begin_period, period)
            self._later[period] = [(time, next(self._tickets), ring, timer)]

    def _begin_period(self, period: int) -> None:
        for item in self._later.pop(period):
            if not stale(item[3]):
                heappush(self._heap, item)

    def forget_timer(self) -> None:
        """A timer was cancelled or replaced; drop such when they abound."""
        self._stale += 1
        if self._stale > self._stale_max:
            for later in self._later.values():
                later[:] = [item for item in later if not stale(item[3])]
            self._stale = 0
            self._stale_max = max(STALE_MIN, sum(map(len, self._later.values())))

    def halt(self) -> None:
        self._halted = True

    def start(self) -> None:
        """All nodes begin, initialised for the first time."""
        for host in self.hosts.values():
            host.start("new")

    def invoke(self, client: str, op: int, body: bytes) -> None:
        """A client application asks for a command, now."""
        place = self.places[client]
        place.arrive(envelope(place, Invoke(op, body)))

    # --- the network --------------------------------------------------------------------------

    def multicast(self, place: Place, effect: Multicast, size: int, at: int) -> None:
        """Put one message on the links to all its receivers at time `at`."""
        group = effect.group
        if isinstance(group, str):
            ids = self.config.role(group)
            group = tuple(f"{i}/{effect.path}" for i in ids) if effect.path else ids
        me = f"{place.id}/{effect.path}" if effect.path else place.id
        for to in group:
            if to != me:
                self.transmit(place, to, effect, size, at)

    def transmit(self, place: Place, to: str, effect: Send | Multicast, size: int, at: int) -> None:
        """Put a message on the link to its receiver at time `at`."""
        try:
            target, below, link = place.routes[to]
        except KeyError:
            route = self._route(place, to)
            if route is None:
                self.count["dropped: no such node"] += 1
                return
            target, below, link = route
        self.messages_sent += 1
        self.bytes_sent += size
        path = effect.path
        source = f"{place.id}/{path}" if path else place.id
        letter = (target, effect.message, size, source, below)
        if link is None:  # the same host: reliable, first in first out, free (15)
            self.at(at, target.arrive, letter)
        elif link.plain:
            byte_ps = link.byte_ps
            if byte_ps:  # as Link.queue does
                free_at = link.free_at
                at = link.free_at = (free_at if free_at > at else at) + size * byte_ps // 1000
            at += link.table[next(link.draws) & 1023]
            heappush(self._heap, (at, next(self._tickets), target.arrive, letter))
        else:
            for arrival in link.arrivals(self, at, size):
                self.at(arrival, link.deliver, (letter, link.epoch))

    def _route(self, place: Place, to: str) -> Route | None:
        name, _, below = to.partition("/")
        target = self.places.get(name)
        if target is None:
            return None
        link = None
        if target.host is not place.host:
            link = self.link(place.host.name, target.host.name, place.stream)
        route = place.routes[to] = (target, below, link)
        return route

    def link(self, source: str, target: str, stream: bool) -> Link:
        key = (source, target, stream)
        link = self._links.get(key)
        if link is None:
            table = self.network.delays(self.hosts[source].region, self.hosts[target].region)
            link = Link(self.seed, source, target, stream, table, self.network)
            self._links[key] = link
            self._configure(link)
        return link

    def _configure(self, link: Link) -> None:
        """Let a link be as the faults of the moment have it."""
        pair = link.source, link.target
        link.blocked = self._blocked[pair] > 0
        link.extra_ns = self._extra[pair]
        reorder = min(1.0, self.reorder + self._strays[link.source] / 100)
        late_ns = self.late_ns + self._stray_ns[link.source]
        link.configure(self.loss, self.duplicate, reorder, late_ns)

    def block(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Let nothing pass from the first host of each pair to the second. Calls add up."""
        for source, target in pairs:
            self._blocked[source, target] += 1
            if self._blocked[source, target] == 1:
                self._set_blocked(source, target, True)

    def unblock(self, pairs: Iterable[tuple[str, str]]) -> None:
        for source, target in pairs:
            self._blocked[source, target] -= 1
            if self._blocked[source, target] == 0:
                self._set_blocked(source, target, False)

    def _set_blocked(self, source: str, target: str, blocked: bool) -> None:
        for stream in (False, True):
            link = self._links.get((source, target, stream))
            if link is not None:
                self._configure(link)
                if stream:
                    self.break_stream(link, up=not blocked)

    def break_stream(self, link: Link, *, up: bool = False) -> None:
        """Lose what is on the way on a stream, and tell both ends, once for both ways (17)."""
        link.epoch += 1
        pair = min(link.source, link.target), max(link.source, link.target)
        before = self._cut[pair]
        self._cut[pair] = after = max(before - 1, 0) if up else before + 1
        if (before == 0) == (after == 0):
            return
        for here, there in ((link.source, link.target), (link.target, link.source)):
            for place in self.hosts[here].places:
                for peer in self.hosts[there].places:
                    if place.stream:
                        event: Event = LinkUp(peer.id) if up else LinkDown(peer.id)
                        self.at(self.now, place.arrive, envelope(place, event))

    def streams_of(self, host: str, *, up: bool) -> None:
        """Break, or bring back, the streams of a host."""
        for link in tuple(self._links.values()):
            if link.stream and host in (link.source, link.target) and not link.blocked:
                self.break_stream(link, up=up)

    def add_rates(self, loss: float, duplicate: float, reorder: float, late_ns: int = 0) -> None:
        """Add to the probabilities with which links lose, double and delay messages.

        Copies and reordered messages come up to `late_ns` later than they otherwise would.
        """
        self.loss = round(self.loss + loss, 9)
        self.duplicate = round(self.duplicate + duplicate, 9)
        self.reorder = round(self.reorder + reorder, 9)
        self.late_ns += late_ns
        for link in self._links.values():
            self._configure(link)

    def add_delay(self, pairs: Iterable[tuple[str, str]], extra_ns: int) -> None:
        """Add to the time that messages take from the first host of each pair to the second."""
        if extra_ns > 0:
            self.count["slow links"] += 1
        for source, target in pairs:
            self._extra[source, target] += extra_ns
            for stream in (False, True):
                link = self._links.get((source, target, stream))
                if link is not None:
                    self._configure(link)

    def add_strays(self, host: str, percent: int, late_ns: int) -> None:
        """Add to the share of a host's messages that go astray, and arrive up to so much later."""
        self._strays[host] += percent
        self._stray_ns[host] += late_ns
        for link in self._links.values():
            if link.source == host:
                self._configure(link)

    # --- faults on hosts ----------------------------------------------------------------------

    def may_lose(self, host: str, *, disk: bool) -> bool:
        """Whether a host can lose its memory, and with `disk` its disk, and nothing committed goes.

        `concur.faults.schedule` argues the bound.
        """
        tags = self.protocol.tags
        if host not in self.config.universe or (tags.durable and not disk):
            return True
        return tags.recovers_wiped and len(self.lost | {host}) <= self.tolerance

    def crash(self, host: str, *, torn: bool = False, wiped: bool = False) -> bool:
        """Stop a host. Volatile state is lost, a suffix of what was not synced, all if `wiped`."""
        done = self.hosts[host].crash(torn=torn, wiped=wiped)
        if done and (wiped or not self.protocol.tags.durable) and host in self.config.universe:
            self.lost.add(host)
        if done and self.on_client is not None:
            self.on_client(host, False)
        return done

    def restart(self, host: str, *, wiped: bool = False) -> bool:
        """Start a stopped host with what its disk holds, or with an empty disk."""
        self.hosts[host].tear = False
        done = self.hosts[host].start("wiped" if wiped else "restart")
        if done and wiped and host in self.config.universe:
            self.lost.add(host)
        if done and self.on_client is not None:
            self.on_client(host, True)
        return done

    def forget(self, host: str) -> bool:
        """Let a host lose its memory and its disk, and go on at once as one that knows nothing."""
        done = self.crash(host, wiped=True)
        if done:
            self.count["amnesias"] += 1
            self.restart(host)
        return done

    def order(self, order: Order) -> bool:
        """Let the operator ask for something. False if there is none, or it is down."""
        operator = next(iter(self.config.role(OPERATOR.name)), "")
        if not operator or not self.places[operator].host.up:
            return False
        self._orders.append(order)
        self.invoke(operator, len(self._orders), encode(order))
        return True

    def is_up(self, host: str) -> bool:
        return self.hosts[host].up

    def tear(self, host: str) -> None:
        """Crash a host in the middle of its next sync; a restart takes that back."""
        self.hosts[host].tear = True

    def pause(self, host: str, for_ns: int) -> None:
        self.hosts[host].pause(for_ns)

    def add_slowness(self, host: str, cpu: int, disk: int) -> None:
        self.hosts[host].slow += cpu
        self.hosts[host].disk_slow += disk
        if cpu > 0:
            self.count["slow nodes"] += 1
        if disk > 0:
            self.count["slow disks"] += 1

    def shift_clock(self, host: str, offset_ns: int, drift_ppm: int) -> None:
        self.hosts[host].shift_clock(offset_ns, drift_ppm)
        self.count["clock faults"] += 1

    def all_hosts(self) -> tuple[str, ...]:
        return tuple(self.hosts)

    def apply(self, schedule: "Schedule") -> None:
        """Let every fault of a schedule begin and end at its time, and heal at the last."""
        heal = seconds(schedule.heal_at_s)
        self.tolerance = schedule.tolerance(self.protocol, len(self.config.members))
        for fault in schedule.faults:
            begin = seconds(fault.at_s)
            if begin >= heal:
                continue
            end = begin + seconds(fault.for_s)
            if not fault.for_s or end >= heal:
                end = heal - 1
                fault = structs.replace(fault, for_s=(end - begin) / SECOND)
            self.at(begin, self._begin, (fault, end))
        self.at(heal, self._heal, schedule.core)

    def _begin(self, argument: "tuple[Fault, int]") -> None:
        fault, end = argument
        begun = fault.begin(self)
        if begun is None:
            self.count[f"withheld: {type(fault).__name__}"] += 1
        else:
            self.count[f"fault: {type(fault).__name__}"] += 1
            self.at(end, self._end, (fault, begun))

    def _end(self, argument: "tuple[Fault, object]") -> None:
        fault, begun = argument
        fault.end(self, begun)

    def _heal(self, core: tuple[str, ...]) -> None:
        """What is in the core works from now on; the other replicas are gone for good."""
        for host in self.replica_hosts:
            if core and host not in core:
                self.crash(host)
            else:
                self.restart(host)

    # --- what becomes visible -----------------------------------------------------------------

    def observe(self, place: Place, effect: Decide | Observe | Complete, at: int) -> None:
        """Feed an effect that has become visible to properties and to the history."""
        if type(effect) is Complete:
            if place.role.name == OPERATOR.name:
                order = self._orders[effect.op - 1]
                what = "membership changes" if order.members else "leadership transfers"
                self.count[what if type(effect.outcome) is Ok else f"{what} given up"] += 1
            elif self.completions is not None:
                self.completions(place.id, effect.op, effect.outcome, at)
            return
        if type(effect) is Observe:
            self.count[effect.name] += 1
            if effect.name == "leader":
                self.leader = place.host.name
            elif effect.name == "recovered" and place.host.name in self.lost:
                self.lost.discard(place.host.name)
                self.count["wiped replicas recovered"] += 1
        folds = self._folds
        for i, known in self._watching[type(effect)]:
            try:
                folds[i] = known.after(folds[i], place.id, effect)  # type: ignore[arg-type]
            except Broken as broken:
                self.violate(known.name, str(broken), place.id)

    def violate(self, name: str, reason: str, node: str) -> None:
        """Record that a property does not hold, the first time that it does not, and stop."""
        if any(violation.property == name for violation in self.violations):
            return
        self.violations.append(Violation(name, reason, node, self.now, self.steps))
        self.halt()

    # --- metrics ------------------------------------------------------------------------------

    @property
    def deliveries(self) -> int:
        """How many messages nodes have taken: all steps but those of other events."""
        return self.steps - self.other_steps

    def cpu_ns(self) -> int:
        """CPU time used by all nodes but the clients."""
        return sum(h.cpu_ns for h in self.hosts.values() if h.kind != "client")
