"""One step of a host, under way: scratch nodes step, and their effects are carried out."""

from types import CodeType
from typing import TYPE_CHECKING, Any

import msgspec

from concur.effects import (
    CancelTimer,
    Complete,
    Decide,
    Deliver,
    Effect,
    Event,
    Invoke,
    Multicast,
    Observe,
    Persist,
    SaveSnapshot,
    Send,
    SetTimer,
    SnapshotSaved,
    TurnEnd,
    patch,
)
from concur.errors import BadInput
from concur.messages import Message
from concur.node import Node
from concur.values import Map
from concur.verify.engine.behaviour import Step
from concur.verify.nodes.clocks import AT, JUMP, SAYS, TICK_NS, Clocks
from concur.verify.nodes.counting import AT_MOST_ONCE, repeated

if TYPE_CHECKING:
    from concur.verify.nodes.host import Host, HostState, SeatState

TURN_END = TurnEnd()


class Packet(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message on its way from one host to another, with the addresses of both ends."""

    source: str
    to: str
    message: Message

    def __str__(self) -> str:
        return f"{self.message} from {self.source} to {self.to}"


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """Something that became visible at `node`: what it decided, observed, completed, was asked."""

    node: str
    what: Decide | Observe | Complete | Invoke


class Wrong(msgspec.Struct, frozen=True, array_like=True):
    """A property of one node that does not hold."""

    property: str
    why: str


class Stage:
    """A step of `host` in `state`. `script` says how the first choices turn out, 0 what follows.

    `chosen` are the choices that were made, each with the number of its options. `under_way` are
    the operations that may end.
    """

    def __init__(self, host: "Host", state: "HostState", script: list[int]) -> None:
        self.host = host
        self.state = state
        self.script = script
        self.chosen: list[tuple[int, int]] = []
        self.sends: list[tuple[int, Packet]] = []
        self.facts: list[Fact | Wrong] = []
        self.inbox = list(state.inbox)
        self.seats = [Seated(self, at, seat) for at, seat in enumerate(state.seats)]
        self.under_way = [state.asked] if state.waits else []
        self.wall = state.wall
        self.time: int | None = None  # if it is known
        self.words: list[str] = []
        self.costs: list[str] = []
        self.failed = False

    def seat(self, at: int) -> "SeatState":
        return self.state.seats[at]

    # --- what a host may do -----------------------------------------------------------------------

    def create(self, at: int, kind: str) -> None:
        """A fresh node, with what is on its disk, if that was not wiped."""
        self.seats[at].create(kind)

    def step(self, at: int, event: Event) -> None:
        """One event at one node, and the end of its turn unless that is an event of its own."""
        seated = self.seats[at]
        seated.step(event)
        if self.failed or not seated.node.wants_turn_end or not seated.node.turn_end_due():
            return
        if self.host.cast.rules.turns:
            seated.turn = True
        else:
            seated.step(TURN_END)

    def hear_neighbour(self) -> None:
        at, event = self.inbox.pop(0)
        self.step(at, event)

    def end_turn(self, at: int) -> None:
        self.seats[at].turn = False
        self.seats[at].step(TURN_END)

    def snapshot_saved(self, at: int) -> None:
        seated = self.seats[at]
        path, snapshot = seated.saving.pop(0)
        seated.saved[path] = snapshot
        self.step(at, SnapshotSaved(snapshot.index, path))

    # --- what comes of it -------------------------------------------------------------------------

    def outcome(self) -> Step:
        words, costs = ", ".join(self.words), tuple(self.costs)
        if self.failed:  # fail-stop: nothing of it is persisted or released (1)
            return Step(self.state, (), tuple(self.facts), words, costs)
        for seated in self.seats:
            seated.check()
        after = msgspec.structs.replace(
            self.state,
            seats=tuple([seated.state() for seated in self.seats]),
            inbox=tuple(self.inbox),
            waits=self.state.asked in self.under_way,
            wall=self.wall,
        )
        return Step(after, tuple(self.sends), tuple(self.facts), words, costs)

    def branch(self, options: int) -> int:
        """One of so many: this time as the script says."""
        at = len(self.chosen)
        choice = self.script[at] if at < len(self.script) else 0
        self.chosen.append((choice, options))
        return choice

    def read_clock(self) -> tuple[int, Clocks]:
        """What the wall clock of this host says now, in ticks (`concur.verify.nodes.clocks`)."""
        clocks = self.host.cast.rules.clocks
        if clocks is None:
            raise NeedsClock(
                f"{self.host.name} reads the wall clock, which the model checker does not have "
                "without a clock_max"
            )
        if clocks.bounded and self.time is None:
            times = clocks.times(self.wall)
            self.time = times[self.branch(len(times))]
            self.costs.append(f"{AT}{self.time}")
        readings = clocks.readings(self.wall, self.time or 0)
        said = readings[self.branch(len(readings))]
        if said < self.wall:
            self.costs.append(JUMP)
        self.wall = said
        self.words.append(f"{SAYS}{said}")
        return said, clocks

    def say(self, node: str, what: Decide | Observe | Complete | Invoke) -> None:
        if type(what) is Observe and not self.host.cast.rules.heard(what):
            return
        if type(what) is Complete:
            if what.op not in self.under_way:
                why = f"{what.op} ended, which was not under way"
                self.facts.append(Wrong("every_operation_ends_exactly_once", f"{node}: {why}"))
            self.under_way = [op for op in self.under_way if op != what.op]
            if not self.host.tells:
                return
        self.facts.append(Fact(node, what))

    def post(self, source: str, to: str, message: Message) -> None:
        place = self.host.cast.places.get(to.partition("/")[0])
        if place is None:
            return  # nobody is there: an operator without orders
        if place[0] == self.host.place:
            self.inbox.append((place[1], Deliver(source, message, to.partition("/")[2])))
        else:
            self.sends.append((place[0], Packet(source, to, message)))


class Seated:
    """One node on the stage, and the inputs of its steps. Thawed only when it takes a step."""

    def __init__(self, stage: Stage, at: int, before: "SeatState") -> None:
        self.stage = stage
        self.at = at
        self.before = before
        self.id = stage.host.seats[at][0]
        self._node: Node[Any] | None = None
        self.image: dict[tuple[str, str], Any] | None = None
        self.saved = dict(before.saved)
        self.saving = list(before.saving)
        self.timers = dict(before.timers)
        self.uptime_ns = before.uptime
        self.turn = before.turn
        self.began = before.began

    @property
    def node(self) -> Node[Any]:
        if self._node is None:
            assert self.before.node is not None
            self._node = self.stage.host.scratch(self.at, self.before.node)
            self._node.bind(self)
        return self._node

    def create(self, kind: str) -> None:
        if kind != "restart":
            self.saved = {}
            self.image = {}
        self.began = kind
        image = dict(self.before.image.items()) if self.image is None else {}
        durable = image | {(path, ""): saved for path, saved in self.saved.items() if path}
        self._node = self.stage.host.new_node(self.at, durable)
        self._node.bind(self)

    def step(self, event: Event) -> None:
        if self.stage.failed:
            return
        try:
            effects = self.node.step(event, self)
        except BadInput:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error} in {event} at {self.id}"
            self.stage.facts.append(Wrong("no_step_raises", why))
            self.stage.failed = True
            return
        for effect in effects:
            self._carry_out(effect)

    def check(self) -> None:
        """The local properties, where something happened."""
        if self._node is not None:
            for name in self._node.broken_invariants():
                self.stage.facts.append(Wrong(name, f"broken at {self.id}"))
            for node in (self._node, *(below for _, below in self._node._below())):
                body = repeated(node.machine_state)
                if body:
                    why = f"{node.id} executed {node.machine.decode(body)} once more"
                    self.stage.facts.append(Wrong(AT_MOST_ONCE, why))

    def state(self) -> "SeatState":
        before = self.before
        if self._node is None:
            return before
        image = before.image
        if self.image is not None:
            image = Map(self.image.items())
        return type(before)(
            self._node.snapshot(),
            image,
            tuple(sorted(self.saved.items())) if self.saved else (),
            tuple(self.saving),
            tuple(sorted(self.timers.items(), key=repr)),
            self.uptime_ns,
            self.turn,
            self.began,
        )

    # --- effects ----------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        stage = self.stage
        if isinstance(effect, Send):
            stage.post(_address(self.id, effect.path), effect.to, effect.message)
        elif isinstance(effect, Multicast):
            self._multicast(effect)
        elif isinstance(effect, Persist):
            self._persist(effect)
        elif isinstance(effect, SetTimer):
            self._set_timer(effect)
        elif isinstance(effect, CancelTimer):
            self.timers.pop((effect.path, effect.name), None)
        elif isinstance(effect, SaveSnapshot):
            self.saving.append((effect.path, effect.snapshot))
        else:
            stage.say(self.id, effect)

    def _multicast(self, effect: Multicast) -> None:
        group, path = effect.group, effect.path
        if isinstance(group, str):
            ids = self.stage.host.cast.config.role(group)
            group = tuple(_address(id, path) for id in ids)
        source = _address(self.id, path)
        for to in group:
            if to != source:
                self.stage.post(source, to, effect.message)

    def _persist(self, effect: Persist) -> None:
        if self.image is None:
            self.image = dict(self.before.image.items())
        patch(self.image, effect)
        for change in effect.changes:
            if not change.field:  # a child was dropped, with its snapshots
                below = f"{change.path}/"
                self.saved = {p: s for p, s in self.saved.items() if not f"{p}/".startswith(below)}

    def _set_timer(self, effect: SetTimer) -> None:
        rules = self.stage.host.cast.rules
        if not rules.durations and not rules.timer(effect.name, self.id):
            return
        tells_time = self.stage.host.tells_time[self.at]
        # Where nobody looks at the time, it stays 0, and `due` is how long the timer takes.
        due = self.uptime_ns + max(effect.after_ns, 0) if tells_time or rules.durations else 0
        self.timers[effect.path, effect.name] = due

    # --- inputs (concur.effects.Inputs) -----------------------------------------------------------

    def uptime(self) -> int:
        if not self.stage.host.tells_time[self.at]:
            raise BadInput(
                f"{self.id} reads uptime where the model checker does not see it: "
                "expected self.uptime in a method of its class"
            )
        return self.uptime_ns

    def now(self) -> int:
        said, _ = self.stage.read_clock()
        return said * TICK_NS

    def interval(self) -> tuple[int, int]:
        said, clocks = self.stage.read_clock()
        return (said - clocks.skew) * TICK_NS, (said + clocks.skew) * TICK_NS

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return low_ns

    def choose(self, options: int) -> int:
        choice = self.stage.branch(options)
        self.stage.words.append(f"chose {choice + 1} of {options}")
        return choice

    def peek(self, node: str, address: Any) -> Any:
        place = self.stage.host.cast.places.get(node)
        if place is None or place[0] != self.stage.host.place:
            raise BadInput(f"{self.id} cannot read {node} directly: it is on another host")
        return self.stage.seats[place[1]].node.cells.get(address)  # type: ignore[attr-defined]


class NeedsClock(BadInput):
    """A protocol reads wall time."""


def time_matters(role: type[Node[Any]]) -> bool:
    """Whether any method of a role looks at `uptime`."""
    return any(
        "uptime" in code.co_names
        for cls in role.__mro__
        if cls is not Node and issubclass(cls, Node)
        for code in _codes(tuple(vars(cls).values()))
    )


def _codes(values: tuple[Any, ...]) -> list[CodeType]:
    found: list[CodeType] = []
    for value in values:
        for name in ("__func__", "fget", "func", "__wrapped__"):
            value = getattr(value, name, value)
        code = value if isinstance(value, CodeType) else getattr(value, "__code__", None)
        if isinstance(code, CodeType):
            found += [code, *_codes(code.co_consts)]
    return found


def _address(id: str, path: str) -> str:
    return f"{id}/{path}" if path else id
