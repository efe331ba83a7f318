"""Nodes in the model checker: a host with the nodes that stand on it, as one `Behaviour`.

The checker runs the very code that the simulator and a real cluster run. A host's local state is
what its nodes hold and what its driver would hold for them (disk, timers, snapshots on their way).
To find out what becomes of it, scratch nodes are put into that state, take the step, and are read.
CORE.md says what may happen; this is how it is made small:

* **A step is atomic**: what it persists is durable when it ends, and what it sends is on its way.
  A driver does less at a time (CORE.md, 5): it takes some steps, writes their records in one sync,
  and then releases what they made visible, first in first out. Say it crashes having taken the
  steps 1 to n since the last sync. While it syncs, a prefix of their records is on disk, up to that
  of some step k (k = 0: none), and nothing of what they send is out: that is a crash after step k
  here, where the messages of steps 1 to k never arrive. Once the sync is over all records are
  there, and some messages are out: a crash after step n, where the others never arrive. What a host
  had queued but not taken is on its way here, and never arrives.
* **Nothing ever has to arrive**, so nobody can tell a message that is lost, or held up by a
  partition, or sent to a host that is down, from one that is late. None of that is an event: the
  message stays where it is.
* **Any armed timer may ring**, whatever its duration, as often as the bounds allow. One that would
  change nothing but itself does not ring: who waits with it can do all that is possible without it.
* **Time** is as the timers say: `uptime` stands still, except that a timer that rings was due. It
  passes otherwise by bounded ticks, of one host at a time. Roles that never look at it have none.
* `jitter` is one value; each value of `choose` is a branch.
* **The end of a turn** follows each step at once, or is an event of its own (`Rules.turns`).
* **Snapshots** become durable later, in an event of their own, in order.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from concur.base import Circumstances, Protocol, Role
from concur.effects import Deliver, Observe, Snapshot, Start, Timer, TimerName
from concur.node import SECOND, Config, Node
from concur.parts.membership import OPERATOR
from concur.values import Map
from concur.verify.engine.behaviour import Behaviour, Step
from concur.verify.nodes.clocks import Clocks
from concur.verify.nodes.stage import Fact, Packet, Stage, time_matters

Facts = tuple[Fact, ...]

TimerKey = tuple[str, TimerName]
"""The path of the node that set it, and its name."""

TICK_NS_MIN = SECOND
"""How far a tick goes at least, where no timer says how far is far."""


class SeatState(msgspec.Struct, frozen=True, array_like=True):
    """One node and what its driver holds for it. `node` is `Node.snapshot()`, None while down.

    `image` and `saved` are on disk. `saving` are snapshots on their way there, oldest first.
    `timers` are armed, with the uptime at which they are due. `began` says how the last incarnation
    began, `turn` whether a `TurnEnd` is due.
    """

    node: tuple[Any, ...] | None
    image: Map[tuple[str, str], Any] = Map()
    saved: tuple[tuple[str, Snapshot], ...] = ()
    saving: tuple[tuple[str, Snapshot], ...] = ()
    timers: tuple[tuple[TimerKey, int], ...] = ()
    uptime: int = 0
    turn: bool = False
    began: str = "new"


class HostState(msgspec.Struct, frozen=True, array_like=True):
    """The local state of a host. `inbox` are messages from a node here to another one here.

    `down` is "" while it is up, else how it will begin again. A client's host has asked for the
    first `asked` of its commands, or an operator's of its orders, and `waits` for the last of them.
    `wall` is what its wall clock said last.
    """

    seats: tuple[SeatState, ...]
    inbox: tuple[tuple[int, Deliver], ...] = ()
    incarnation: int = 1
    down: str = ""
    asked: int = 0
    waits: bool = False
    wall: int = 0


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What may happen, by the names of the bounds that it costs.

    `timers` maps the name of a timer and a node ("": any) to the bound that its ringing costs; one
    that is not named costs `other_timers`, and with "" it never rings. `faults` are "crash" and
    "wipe", `ticks` says that time may pass, `turns` that the end of a turn is an event. `heard`
    says which observations anybody wants to hear. `durations` says that a state tells how long each
    armed timer takes, also one that never rings here: what comes after will need it
    (`concur.verify.liveness.response`).
    """

    timers: dict[tuple[str, str], str] = {}
    other_timers: str = "timeout"
    faults: tuple[str, ...] = ()
    ticks: bool = False
    turns: bool = False
    durations: bool = False
    heard: Callable[[Observe], bool] = lambda observed: False
    clocks: Clocks | None = None

    def timer(self, name: TimerName, node: str) -> str:
        """Which bound it costs that this timer of `node` rings; "" if it never does."""
        kind = name if isinstance(name, str) else str(name[0])
        at_any = self.timers.get((kind, ""), self.other_timers)
        return self.timers.get((kind, node), at_any)

    def rings(self, name: TimerName, node: str) -> bool:
        return bool(self.timer(name, node))


class Cast(msgspec.Struct, frozen=True):
    """Who is there, and where: `places` maps a node's id to its place and its seat there."""

    protocol: Protocol
    config: Config
    machine: Any
    rules: Rules
    places: dict[str, tuple[int, int]]

    @property
    def orders(self) -> bool:
        """Whether an operator is there."""
        return any(id in self.places for id in self.config.role(OPERATOR.name))


class Host(Behaviour):
    """The nodes of one host; `seats` are their ids and roles, `place` is its number."""

    tells: ClassVar[bool] = True
    """Whether the operations that end here are those of the history."""

    def __init__(self, cast: Cast, place: int, seats: tuple[tuple[str, Role], ...]) -> None:
        self.name = seats[0][0] if seats else ""
        self.cast = cast
        self.place = place
        self.seats = seats
        world = Circumstances(
            config=cast.config,
            orders=cast.orders,
            wipes="wipe" in cast.rules.faults,
            rings=cast.rules.rings,
        )
        self.tells_time = tuple(
            time_matters(role.node) and cast.protocol.tells_time(role, world) for _, role in seats
        )
        self.may_crash = all(role.place != "client" for _, role in seats)
        self.hasty = any("send_before_durable" in role.node.unsafe_ for _, role in seats)
        self._scratch: list[Node[Any]] = [self.new_node(at, {}) for at in range(len(seats))]

    def new_node(self, at: int, durable: dict[tuple[str, str], Any]) -> Node[Any]:
        id, role = self.seats[at]
        cast = self.cast
        return role.node(id, cast.protocol, cast.config, cast.machine, durable=durable)

    def scratch(self, at: int, snapshot: tuple[Any, ...]) -> Node[Any]:
        """The scratch node of a seat, in the state that `snapshot` says."""
        node = self._scratch[at]
        node.restore(snapshot)
        return node

    # --- what may happen --------------------------------------------------------------------------

    def start(self) -> Iterable[Step]:
        nobody = HostState(tuple(SeatState(None) for _ in self.seats), incarnation=0, down="new")
        return list(self._begin(nobody))

    def receive(self, state: HostState, source: int, message: Packet) -> Iterable[Step]:
        if state.down:
            return ()  # it waits for the host, or is as good as lost
        root, _, path = message.to.partition("/")
        at = self.cast.places[root][1]
        event = Deliver(message.source, message.message, path)
        return list(self._outcomes(state, lambda stage: stage.step(at, event)))

    def moves(self, state: HostState) -> Iterable[tuple[str, Step]]:
        if state.down:
            for step in self._begin(state):
                yield state.down, step
            return
        if state.inbox:
            yield from self._named("hears its neighbour", state, Stage.hear_neighbour)
        for at, seat in enumerate(state.seats):
            yield from self._rings(state, at, seat)
            if seat.turn:
                yield from self._named("turn ends", state, _at(Stage.end_turn, at))
            if seat.saving:
                yield from self._named("snapshot saved", state, _at(Stage.snapshot_saved, at))
        if self.may_crash:
            yield from self._crashes(state)
        if self.cast.rules.ticks:
            yield from self._ticks(state)

    def _named(
        self, label: str, state: HostState, act: Callable[[Stage], None], cost: str = ""
    ) -> Iterator[tuple[str, Step]]:
        costs = (cost,) if cost else ()
        for step in self._outcomes(state, act):
            yield label, step._replace(costs=costs + step.costs)

    # --- steps ------------------------------------------------------------------------------------

    def _outcomes(self, state: HostState, act: Callable[[Stage], None]) -> Iterator[Step]:
        """What `act` comes to, once for each way in which `choose` may turn out."""
        script: list[int] = []
        while True:
            stage = Stage(self, state, script)
            act(stage)
            step = stage.outcome()
            yield step
            yield from self._crash_unwritten(state, step)
            chosen = stage.chosen
            while chosen and chosen[-1][0] + 1 == chosen[-1][1]:
                chosen.pop()
            if not chosen:
                return
            script = [choice for choice, _ in chosen]
            script[-1] += 1

    def _begin(self, state: HostState) -> Iterator[Step]:
        """It comes up, with what is on its disks."""
        kind, durable = state.down, self.cast.protocol.tags.durable
        kinds = []
        for seat in state.seats:
            # As a driver does: where nothing was written since, it begins as it did then.
            afresh = kind == "restart" and durable and not seat.image
            kinds.append(seat.began if afresh else kind)
        up = msgspec.structs.replace(state, down="", incarnation=state.incarnation + 1)

        def begin(stage: Stage) -> None:
            for at, how in enumerate(kinds):
                stage.create(at, how)
            for at, how in enumerate(kinds):
                saved = dict(stage.seat(at).saved).get("")
                stage.step(at, Start(how, up.incarnation, saved))

        return self._outcomes(up, begin)

    # --- timers and time --------------------------------------------------------------------------

    def _rings(self, state: HostState, at: int, seat: SeatState) -> Iterator[tuple[str, Step]]:
        for key, due in seat.timers:
            path, name = key
            cost = self.cast.rules.timer(name, self.seats[at][0])
            if not cost:
                continue
            waits = _with(state, at, timers=tuple([t for t in seat.timers if t[0] != key]))
            then = max(seat.uptime, due) if self.tells_time[at] else 0
            late = _with(waits, at, uptime=then)
            ring = Timer(name, path)
            for step in self._outcomes(late, lambda stage: stage.step(at, ring)):  # noqa: B023
                idle = not step.sends and not step.events and not step.costs
                if idle and _with(step.state, at, uptime=seat.uptime) in (waits, state):
                    continue
                yield (
                    f"{self.seats[at][0]} timer {_words(key)}",
                    step._replace(costs=(cost, *step.costs)),
                )

    def _ticks(self, state: HostState) -> Iterator[tuple[str, Step]]:
        """Time passes here, beyond all that is due."""
        moved = state
        for at, seat in enumerate(state.seats):
            if self.tells_time[at]:
                last = max([due for _, due in seat.timers], default=0)
                moved = _with(moved, at, uptime=max(last, seat.uptime + TICK_NS_MIN))
        if moved is not state:
            yield "time passes", Step(moved, costs=("tick",))

    # --- crashes ----------------------------------------------------------------------------------

    def _crashes(self, state: HostState) -> Iterator[tuple[str, Step]]:
        for fault in self.cast.rules.faults:
            after, said = self._crashed(state, wiped=fault == "wipe")
            yield fault, Step(after, events=said, costs=(fault,))

    def _crashed(self, state: HostState, *, wiped: bool = False) -> tuple[HostState, Facts]:
        """What a crash leaves, and what the observer hears of it."""
        seats = tuple(
            SeatState(
                None,
                Map() if wiped else seat.image,
                () if wiped else seat.saved,
                began=seat.began,
            )
            for seat in state.seats
        )
        down = "wiped" if wiped else "restart"
        if all(seat.began == "wiped" and not seat.image and not seat.saved for seat in seats):
            down = "wiped"  # still missing: it cannot know that it ever was (19)
        forgets = wiped or not self.cast.protocol.tags.durable
        said = (Fact(self.name, LOST),) if forgets else ()
        after = HostState(seats, incarnation=state.incarnation, down=down, wall=state.wall)
        return after, said

    def _crash_unwritten(self, state: HostState, step: Step) -> Iterator[Step]:
        """Only a mutant sends before it has written: a crash may leave its word without its record
        (`concur.testing.unsafe`). That of one step, where a driver may lose those of several."""
        pairs = zip(state.seats, step.state.seats, strict=True)
        wrote = any(before.image != after.image for before, after in pairs)
        if self.hasty and wrote and "crash" in self.cast.rules.faults:
            after, said = self._crashed(state)
            label = ", ".join(filter(None, (step.label, "crash: sent, but not written")))
            yield Step(after, step.sends, (*step.events, *said), label, ("crash",))

    # --- for people -------------------------------------------------------------------------------

    def show(self, state: HostState) -> str:
        if state.down:
            return f"down (next: {state.down})"
        lines = []
        for (id, role), seat in zip(self.seats, state.seats, strict=True):
            assert seat.node is not None
            fields = zip(role.node.fields_, seat.node[0], strict=False)
            changed = [
                f"{field}={value!r}"
                for field, value in fields
                if value != getattr(role.node, field) and field != "machine_state"
            ]
            armed = ", ".join(_words(key) for key, _ in seat.timers)
            lines.append(f"{id}: {', '.join(changed)}; timers {armed or 'none'}")
        return "; ".join(lines)


LOST = Observe("memory lost", ())
"""What a host says, for the observer, when it forgets what it promised."""


def _at(act: Callable[[Stage, int], None], at: int) -> Callable[[Stage], None]:
    return lambda stage: act(stage, at)


def _with(state: HostState, at: int, **changes: Any) -> HostState:
    """The state with some fields of one seat changed."""
    seat = msgspec.structs.replace(state.seats[at], **changes)
    seats = (*state.seats[:at], seat, *state.seats[at + 1 :])
    return msgspec.structs.replace(state, seats=seats)


def _words(key: TimerKey) -> str:
    path, name = key
    words = name if isinstance(name, str) else " ".join(map(str, name))
    return f"{path}/{words}" if path else words


__all__ = ["LOST", "Cast", "Host", "HostState", "Rules", "SeatState"]
