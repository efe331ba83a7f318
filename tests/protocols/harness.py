"""A table on which a test moves messages by hand, one step at a time.

No delays and no disk: what a step persists is durable at once. Messages wait in `wires` until the
test delivers, drops or repeats them; timers ring when the test says so.
"""

from collections.abc import Callable
from typing import Any

from concur.base import Protocol
from concur.effects import (
    CancelTimer,
    Complete,
    Decide,
    Deliver,
    Event,
    Indefinite,
    Invoke,
    Multicast,
    Observe,
    Ok,
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
from concur.machines import KeyValue
from concur.machines.kv import Get, Put
from concur.messages import Codec, Command, Message
from concur.node import SECOND, Config, Node, patch

Wire = tuple[str, str, Message]
KV = KeyValue()


class Inputs:
    """Time stands still until a test moves it; chance always takes the least."""

    def __init__(self, table: "Table") -> None:
        self.table = table

    def now(self) -> int:
        return self.table.time_ns

    def uptime(self) -> int:
        return self.table.time_ns

    def interval(self) -> tuple[int, int]:
        return self.table.time_ns, self.table.time_ns

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return low_ns

    def choose(self, options: int) -> int:
        return 0

    def peek(self, node: str, address: Any) -> Any:
        raise NotImplementedError


class Table:
    """Replicas and clients of one protocol. Every message passes through the codec."""

    def __init__(
        self,
        protocol: Protocol,
        replicas: int = 3,
        clients: int = 1,
        *,
        spares: int = 0,
        start: bool = True,
    ) -> None:
        self.protocol = protocol.validate(replicas)
        roles = protocol.roles()
        self.config = Config.of(roles, replicas, clients, spares)
        self.roles = {id: role for role in roles for id in self.config.role(role.name)}
        self.codec = Codec(protocol.messages())
        self.inputs = Inputs(self)
        self.time_ns = 0
        self.nodes: dict[str, Node[Any]] = {}
        self.images: dict[str, dict[tuple[str, str], Any]] = {i: {} for i in self.roles}
        self.snapshots: dict[str, Snapshot | None] = {}
        self.incarnations: dict[str, int] = dict.fromkeys(self.roles, 0)
        self.timers: dict[str, dict[TimerName, int]] = {i: {} for i in self.roles}
        self.wires: list[Wire] = []
        self.answers: dict[tuple[str, int], Outcome] = {}
        self.decided: dict[int, Command] = {}
        self.decided_by: dict[str, int] = dict.fromkeys(self.roles, 0)
        self.observed: list[tuple[str, str, tuple[Any, ...]]] = []
        self.auto_save = True
        self.unsaved: list[tuple[str, SaveSnapshot]] = []
        self.ops = 0
        if start:
            for node in self.roles:
                self.start(node, "new")

    # --- life -----------------------------------------------------------------------------------

    def start(self, node: str, kind: str) -> None:
        self.incarnations[node] += 1
        self.timers[node] = {}
        if kind == "wiped":
            self.images[node], self.snapshots[node] = {}, None
        self.nodes[node] = self.roles[node].node(
            node, self.protocol, self.config, KV, durable=dict(self.images[node])
        )
        self.step(node, Start(kind, self.incarnations[node], self.snapshots.get(node)))

    def crash(self, node: str) -> None:
        del self.nodes[node]
        self.timers[node] = {}
        self.unsaved = [(n, s) for n, s in self.unsaved if n != node]

    def restart(self, node: str) -> None:
        if node in self.nodes:
            self.crash(node)
        self.start(node, "restart")

    def wipe(self, node: str) -> None:
        if node in self.nodes:
            self.crash(node)
        self.start(node, "wiped")

    # --- steps -----------------------------------------------------------------------------------

    def step(self, id: str, event: Event) -> None:
        node = self.nodes[id]
        self._carry_out(id, node.step(event, self.inputs))
        if node.wants_turn_end and type(event) is not TurnEnd:
            self._carry_out(id, node.step(TurnEnd(), self.inputs))
        broken = node.broken_invariants()
        assert not broken, f"{id}: {broken} after {event}"

    def _carry_out(self, id: str, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case Send(to, message):
                    self.put(id, to, message)
                case Multicast(group, message):
                    ids = self.config.role(group) if isinstance(group, str) else group
                    for to in ids:
                        if to != id:
                            self.put(id, to, message)
                case Persist():
                    patch(self.images[id], effect)
                    assert self.images[id].items() <= self.nodes[id].persisted().items()
                case SetTimer(name, after_ns):
                    self.timers[id][name] = self.time_ns + after_ns
                case CancelTimer(name):
                    self.timers[id].pop(name, None)
                case SaveSnapshot():
                    self.unsaved.append((id, effect))
                case Decide(slot, command):
                    known = self.decided.setdefault(slot, command)
                    assert known == command, f"{id} decided {command} in {slot}, not {known}"
                    self.decided_by[id] = slot
                case Observe(name, values):
                    self.observed.append((id, name, values))
                case Complete(op, outcome):
                    assert (id, op) not in self.answers, f"{id} completed {op} twice"
                    self.answers[id, op] = outcome
        if self.auto_save:
            self.save()

    def save(self) -> None:
        """Make every snapshot that is under way durable."""
        while self.unsaved:
            id, effect = self.unsaved.pop(0)
            self.snapshots[id] = effect.snapshot
            self.step(id, SnapshotSaved(effect.snapshot.index))

    def put(self, source: str, to: str, message: Message) -> None:
        decoded = self.codec.decode(self.codec.encode(message))
        assert decoded == message
        self.wires.append((source, to, decoded))

    # --- messages --------------------------------------------------------------------------------

    def find(self, what: Any = object, source: str = "", to: str = "") -> list[Wire]:
        return [
            w
            for w in self.wires
            if isinstance(w[2], what) and source in ("", w[0]) and to in ("", w[1])
        ]

    def take(self, what: Any = object, source: str = "", to: str = "") -> list[Wire]:
        """Remove messages from the wires: to drop them, or to deliver them later."""
        taken = self.find(what, source, to)
        self.wires = [w for w in self.wires if not any(w is t for t in taken)]
        return taken

    def deliver(self, what: Any = object, source: str = "", to: str = "") -> int:
        """Deliver the messages that wait now, not those that they cause."""
        taken = self.take(what, source, to)
        for wire in taken:
            self.hand(wire)
        return len(taken)

    def hand(self, wire: Wire) -> None:
        source, to, message = wire
        if to in self.nodes:
            self.step(to, Deliver(source, message))

    def settle(self, *, cut: Callable[[str, str], bool] = lambda source, to: False) -> None:
        """Deliver everything, and what it causes; messages on links that are `cut` are lost."""
        for _ in range(100_000):
            if not self.wires:
                return
            wire = self.wires.pop(0)
            if not cut(wire[0], wire[1]):
                self.hand(wire)
        raise AssertionError("the messages never end")

    # --- time ------------------------------------------------------------------------------------

    def ring(self, node: str, name: TimerName) -> None:
        """Let an armed timer ring now."""
        del self.timers[node][name]
        self.step(node, Timer(name))

    def run(
        self, seconds: float, *, cut: Callable[[str, str], bool] = lambda source, to: False
    ) -> None:
        """Let time pass: timers ring in order, messages arrive at once."""
        end = self.time_ns + round(seconds * SECOND)
        self.settle(cut=cut)
        while True:
            due = [(at, n, str(t), t) for n, ts in self.timers.items() for t, at in ts.items()]
            if not due or min(due)[0] > end:
                break
            at, node, _, name = min(due)
            self.time_ns = max(self.time_ns, at)
            self.ring(node, name)
            self.settle(cut=cut)
        self.time_ns = end

    # --- commands --------------------------------------------------------------------------------

    def ask(self, command: Any, client: str = "c1") -> int:
        """Ask, and return the operation's number; nothing is delivered yet."""
        self.ops += 1
        self.step(client, Invoke(self.ops, KV.encode(command)))
        return self.ops

    def do(self, command: Any, client: str = "c1") -> Any:
        """Ask, let everything happen, and return the decoded result."""
        return self.result(self.ask_and_run(command, client), client)

    def ask_and_run(self, command: Any, client: str = "c1") -> int:
        op = self.ask(command, client)
        for _ in range(100):
            self.settle()
            if (client, op) in self.answers:
                break
            self.run(0.1)
        return op

    def result(self, op: int, client: str = "c1") -> Any:
        outcome = self.answers[client, op]
        assert isinstance(outcome, Ok), outcome
        return KV.decode_result(outcome.result)

    def write(self, value: Any, key: str = "x", client: str = "c1") -> Any:
        return self.do(Put(key, value), client)

    def read(self, key: str = "x", client: str = "c1") -> Any:
        return self.do(Get(key), client)

    def gave_up(self, op: int, client: str = "c1") -> bool:
        return isinstance(self.answers.get((client, op)), Indefinite)

    def saw(self, name: str, node: str = "") -> list[tuple[Any, ...]]:
        return [v for n, what, v in self.observed if what == name and node in ("", n)]


def apart(*group: str) -> Callable[[str, str], bool]:
    """A partition: nothing passes between `group` and the rest."""
    return lambda source, to: (source in group) != (to in group)
