"""A story told to real nodes: the cluster of `concur.testing` takes the steps of the model checker.

The nodes, what carries out their effects and what is on their disks are those of the transcripts
and conformance checks. What the model checker decides is told to them: which letter arrives, which
timer rings, how `choose` turns out, what time it is. After each event their states are compared
with those of the model checker, field by field.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from concur.effects import (
    Effect,
    Event,
    SaveSnapshot,
    Snapshot,
    SnapshotSaved,
    Start,
    TurnEnd,
)
from concur.errors import BadInput
from concur.messages import encode
from concur.testing.cluster import Cluster, Letter, Seat, Violated, Watcher
from concur.testing.render import Renderer
from concur.verify.nodes.clients import ClientHost
from concur.verify.nodes.clocks import SAYS, TICK_NS
from concur.verify.nodes.host import Host, HostState, SeatState, _words
from concur.verify.nodes.operators import OperatorHost, words_of
from concur.verify.nodes.stage import Packet
from concur.verify.nodes.true_time import TrueTime
from concur.verify.scenario import Scenario

if TYPE_CHECKING:
    from concur.verify.stories.counterexample import Counterexample, Scene

CHOSE = "chose "
UNWRITTEN = "crash: sent, but not written"
RAISED = "no_step_raises"


class SteppedSeat(Seat):
    """A seat whose inputs are those that the model checker gave."""

    clock: int = 0
    """The uptime that it has during this event."""

    def uptime(self) -> int:
        return int(self._note(self.clock))

    def now(self) -> int:
        return int(self._note(self._read_clock() * TICK_NS))

    def interval(self) -> tuple[int, int]:
        clocks, said = self._stepped.hosts_[0].cast.rules.clocks, self._read_clock()
        assert clocks is not None
        earliest, latest = ((said + off) * TICK_NS for off in (-clocks.skew, clocks.skew))
        self._note((earliest, latest))
        return earliest, latest

    def _read_clock(self) -> int:
        if not self._stepped.readings:
            raise BadInput(f"{self.id} reads a clock more often than it did in the model")
        return self._stepped.readings.pop(0)

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return int(self._note(low_ns))

    def choose(self, options: int) -> int:
        choices = self._stepped.choices
        return int(self._note(choices.pop(0) if choices else 0))

    @property
    def _stepped(self) -> "Stepped":
        assert isinstance(self.cluster, Stepped)
        return self.cluster


class Stepped(Cluster):
    """The cluster of a scenario, which takes the events of its model.

    `command` is the last event as the command of a transcript, `failed` what a node raised in it.
    """

    def __init__(self, scenario: Scenario, watchers: tuple[Watcher, ...] = ()) -> None:
        hosts = tuple(host for host in scenario.system().behaviours if isinstance(host, Host))
        super().__init__(
            scenario.protocol,
            replicas=scenario.replicas,
            clients=scenario.clients,
            spares=scenario.spares,
            machine=hosts[0].cast.machine,  # with what the model checker counts in it
            properties=(),  # the model checker has judged it
            watchers=watchers,
        )
        self.turns = scenario.turns
        self.hosts_ = hosts
        self.renderer = Renderer(scenario.replicated)
        self.choices: list[int] = []
        self.readings: list[int] = []
        self.saving: dict[str, list[tuple[str, Snapshot]]] = {}
        self.command = ""
        self.failed = ""
        self.seats = {
            id: SteppedSeat(self, id, seat.role, seat.host, 0)
            for host in self.hosts_
            for id, seat in ((id, self.seats[id]) for id, _ in host.seats)
        }

    # --- what a cluster does otherwise ------------------------------------------------------------

    def step(self, seat: Seat, event: Event, *, end_turn: bool = True) -> None:
        try:
            self._step(seat, event)
        except Violated as wrong:
            if wrong.property == RAISED:
                raise
            self.failed = str(wrong)  # a property of the node, once its step is done
        node = seat.node
        if node is None or not node.wants_turn_end or not node.turn_end_due():
            return
        if self.turns:
            seat.turn_open = True
        else:
            self._step(seat, TurnEnd())

    def _carry_out(self, seat: Seat, effect: Effect) -> None:
        if type(effect) is SaveSnapshot:
            self.saving.setdefault(seat.id, []).append((effect.path, effect.snapshot))
        else:
            super()._carry_out(seat, effect)

    # --- the events of a story --------------------------------------------------------------------

    def begin(self, scene: "Scene") -> None:
        """All nodes begin, as they do in the model."""
        for host, state in zip(self.hosts_, scene.parts.locals, strict=True):
            self._restart(host, state)

    def take(self, before: "Scene", scene: "Scene") -> None:
        """One event. Raises BadInput for one that a cluster has no verb for."""
        action = scene.action
        assert action is not None
        host, after = self.hosts_[action.place], scene.parts.locals[action.place]
        outcomes = action.step.label.split(", ")
        self.choices = [int(words.split()[1]) - 1 for words in outcomes if words.startswith(CHOSE)]
        read = (words.removeprefix(SAYS) for words in outcomes if words.startswith(SAYS))
        self.readings = [int(said) for said in read]
        for (id, _), seat in zip(host.seats, after.seats, strict=True):
            stepped = self.seats[id]
            assert isinstance(stepped, SteppedSeat)
            stepped.clock = seat.uptime
        seats = [self.seats[id] for id, _ in host.seats]
        disks = {seat.id: (dict(seat.image), dict(seat.saved)) for seat in seats}
        nodes = {id: self._snapshot(id) for id, _ in host.seats}
        try:
            if action.kind == "move":
                self._move(host, before.parts.locals[action.place], after, action.name)
            else:
                self._letter(action.kind, action.message)
        except Violated as wrong:  # fail-stop: the step did not happen
            self.failed = str(wrong)
            for id, snapshot in nodes.items():
                self._restore(id, snapshot)
        if UNWRITTEN in action.step.label:
            self._stop(host, wiped=False)
            for id, (image, saved) in disks.items():
                self.seats[id].image, self.seats[id].saved = image, saved
            self.command += f", and crash {host.name} before it is written"

    def _letter(self, kind: str, packet: Packet) -> None:
        letter = self.letter(packet)
        what = f"{packet.source} {packet.to} {type(packet.message).__name__}"
        if kind == "receive":
            self.command = f"deliver {what}"
            self.deliver(letter)
        elif kind == "lose":
            self.command = f"drop {what}"
            self.drop(letter)
        else:
            self.command = f"duplicate {what}"
            self.sent += 1
            self.letters.append(
                Letter(self.sent, letter.source, letter.to, letter.message, letter.stream)
            )

    def letter(self, packet: Packet) -> Letter:
        """The letter with that message which was sent first."""
        ends = packet.source, packet.to
        for letter in self.letters:
            if (letter.source, letter.to) == ends and letter.message == packet.message:
                return letter
        raise BadInput(f"{packet}: no such message is under way")

    def _move(self, host: Host, before: HostState, after: HostState, name: str) -> None:
        if before.down and not after.down:
            self.command = f"restart {host.name}"
            self._restart(host, after)
        elif after.down and not before.down and name in ("crash", "wipe"):
            self.command = f"{name} {host.name}"
            self._stop(host, wiped=name == "wipe")
        elif after.asked == before.asked + 1 and isinstance(host, ClientHost):
            body = host.bodies[before.asked]
            self.command = f"invoke {host.name} {self.renderer.body(body)}"
            self.invoke(host.name, after.asked, body)
        elif after.asked == before.asked + 1 and isinstance(host, OperatorHost):
            order = host.orders[before.asked]
            self.command = f"order {host.name} {words_of(order)}"
            self.invoke(host.name, after.asked, encode(order))
        elif isinstance(host, TrueTime):
            self.command = f"{host.name} {name}"
        elif name == "time passes":
            self.command = f"time passes at {host.name}"
        elif name == "hears its neighbour":
            self._hear_neighbour(host)
        else:
            self._at_a_seat(host, name, before, after)

    def _at_a_seat(self, host: Host, name: str, before: HostState, after: HostState) -> None:
        for at, (id, _) in enumerate(host.seats):
            seat, was, now = self.seats[id], before.seats[at], after.seats[at]
            for key in seat.timers:
                if name == f"{id} timer {_words(key)}":
                    self.command = f"timer {id} {self.renderer.timer(*key)}"
                    self.fire(seat, key)
                    return
            if name == "turn ends" and was.turn and not now.turn:
                self.command = f"end turn of {id}"
                self.end_turn(seat)
                return
            if name == "snapshot saved" and now.saving == was.saving[1:] != was.saving:
                path, snapshot = self.saving[id].pop(0)
                seat.saved[path] = snapshot
                self.command = f"save snapshot of {id}"
                self.step(seat, SnapshotSaved(snapshot.index, path))
                return
        raise BadInput(f"{host.name}: {name}: a cluster cannot do this")

    def _hear_neighbour(self, host: Host) -> None:
        ids = [id for id, _ in host.seats]
        at = next(at for at, (seat, _) in enumerate(self._local) if seat.id in ids)
        seat, event = self._local.pop(at)
        self.command = f"deliver {seat.id} from its neighbour"
        self.step(seat, event)

    # --- hosts ------------------------------------------------------------------------------------

    def _stop(self, host: Host, *, wiped: bool) -> None:
        ids = [id for id, _ in host.seats]
        self.crash(host.name, wiped=wiped)
        self._local = [one for one in self._local if one[0].id not in ids]
        for id in ids:
            self.saving.pop(id, None)

    def _restart(self, host: Host, after: HostState) -> None:
        """As `Cluster.restart`, but each node begins as the model says."""
        for (id, role), state in zip(host.seats, after.seats, strict=True):
            seat = self.seats[id]
            if state.began != "restart":
                seat.image, seat.saved = {}, {}
            seat.incarnation = after.incarnation
            durable = dict(seat.image) | {(path, ""): s for path, s in seat.saved.items() if path}
            seat.node = role.node(id, self.protocol, self.config, self.machine, durable=durable)
            seat.node.bind(seat)
        for (id, _), state in zip(host.seats, after.seats, strict=True):
            seat = self.seats[id]
            self.step(seat, Start(state.began, after.incarnation, seat.saved.get("")))

    def _snapshot(self, id: str) -> tuple[Any, ...] | None:
        node = self.seats[id].node
        return None if node is None else node.snapshot()

    def _restore(self, id: str, snapshot: tuple[Any, ...] | None) -> None:
        node = self.seats[id].node
        if node is not None and snapshot is not None:
            node.restore(snapshot)

    # --- comparing --------------------------------------------------------------------------------

    def differences(self, scene: "Scene") -> list[str]:
        """Where these nodes and those of the model checker are not the same."""
        found: list[str] = []
        for host, state in zip(self.hosts_, scene.parts.locals, strict=True):
            for (id, _), seat in zip(host.seats, state.seats, strict=True):
                found += _differences(self.seats[id], seat)
            here = [(seat.id, event) for seat, event in self._local if seat.host == host.name]
            waiting = [(host.seats[at][0], event) for at, event in state.inbox]
            if here != waiting:
                found.append(f"{host.name}: messages from neighbours {here}, expected {waiting}")
        for (_, _, packet), copies in scene.parts.network:
            ends = packet.source, packet.to
            count = sum(
                (letter.source, letter.to) == ends and letter.message == packet.message
                for letter in self.letters
            )
            if count < copies:  # of very many copies, a cluster keeps more
                found.append(f"{packet}: {count} under way, expected {copies}")
        return found


def _differences(seat: Seat, expected: SeatState) -> list[str]:
    node = seat.node
    if node is None or expected.node is None:
        same = (node is None) == (expected.node is None)
        return [] if same else [f"{seat.id}: {'down' if node is None else 'up'}"]
    found = [
        f"{seat.id}.{field} is {is_!r}, expected {value!r}"
        for field, is_, value in zip(
            node.fields_, node.snapshot()[0], expected.node[0], strict=False
        )
        if is_ != value
    ]
    if not found and node.snapshot() != expected.node:
        found.append(f"{seat.id}: {node.snapshot()!r}, expected {expected.node!r}")
    if seat.image != dict(expected.image.items()):
        disk = dict(expected.image.items())
        found.append(f"{seat.id} has {seat.image!r} on disk, expected {disk!r}")
    if seat.saved != dict(expected.saved):
        found.append(f"{seat.id} has saved {seat.saved!r}, expected {dict(expected.saved)!r}")
    return found


def step_through(
    story: "Counterexample",
    stop_at: int | None = None,
    *,
    watchers: tuple[Watcher, ...] = (),
    told: "Callable[[Stepped, Scene], None] | None" = None,
) -> Stepped:
    """The cluster after the events of a story, or the first `stop_at` of them.

    `told` is called after the beginning and after each event. Raises NotSo if the nodes are not in
    the states in which the model checker has them.
    """
    from concur.verify.stories.counterexample import NotSo

    scenes = story.moments()
    cluster = Stepped(story.scenario, watchers)
    cluster.command = "start"
    cluster.begin(scenes[0])
    for number, scene in enumerate(scenes[: None if stop_at is None else stop_at + 1]):
        if number:
            cluster.take(scenes[number - 1], scene)
        differences = cluster.differences(scene)
        if differences:
            after = f"after event {number}, {scene.label}" if number else "at the beginning"
            raise NotSo(f"{after}: {differences[0]}")
        if told is not None:
            told(cluster, scene)
    return cluster
