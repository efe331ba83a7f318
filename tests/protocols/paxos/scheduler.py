"""A small random scheduler for one decision: it loses, doubles, reorders, crashes and wipes.

Not the simulator: no time passes. At each turn the seed picks a message on the way, an armed timer,
a crash or a restart. A sync happens at random moments, and what waits for it is released in order.
"""

from collections import deque
from typing import Any

from concur.chance import Stream
from concur.effects import (
    CancelTimer,
    Complete,
    Decide,
    Deliver,
    Effect,
    Event,
    Invoke,
    Multicast,
    Ok,
    Outcome,
    Persist,
    Send,
    SetTimer,
    Start,
    Timer,
)
from concur.machines import machine
from concur.machines.register import Read, Write
from concur.messages import Codec, Command
from concur.node import Config, Node, patch
from concur.protocols.paxos import Paxos, PaxosClient, Replica

REGISTER = machine("register")


class Broken(AssertionError):
    """A property does not hold."""


class Cluster:
    """Replicas and clients, the messages between them, and what was decided and completed."""

    def __init__(
        self,
        seed: int,
        *,
        replicas: int = 3,
        clients: int = 2,
        kind: type[Replica] = Replica,
        wipes: int = 0,
        crashes: int = 3,
        duels: float = 0.1,
        lossy: bool = True,
    ) -> None:
        self.draws = Stream(seed, "paxos")
        self.kind = kind
        self.params = Paxos()
        members = tuple(f"r{i + 1}" for i in range(replicas))
        names = tuple(f"c{i + 1}" for i in range(clients))
        self.config = Config(members, (("replica", members), ("client", names)))
        self.codec = Codec(self.params.messages())
        self.nodes: dict[str, Node[Any]] = {}
        self.image: dict[str, dict[tuple[str, str], Any]] = {m: {} for m in (*members, *names)}
        self.held: dict[str, deque[Effect]] = {m: deque() for m in (*members, *names)}
        self.timers: dict[str, set[Any]] = {}
        self.lives: dict[str, int] = dict.fromkeys((*members, *names), 0)
        self.network: list[tuple[str, str, bytes]] = []
        self.chosen: Command | None = None
        self.proposed: dict[tuple[str, int], bytes] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.pending: dict[int, tuple[str, bytes]] = {}
        self.clock = 0
        self.crashes, self.wipes, self.duels, self.lossy = crashes, wipes, duels, lossy
        self.before: dict[int, list[int]] = {}
        for name in (*members, *names):
            self.begin(name, "new")

    # --- inputs: time moves a little at each look, so that deadlines come

    def now(self) -> int:
        return self.clock

    def uptime(self) -> int:
        return self.clock

    def interval(self) -> tuple[int, int]:
        return self.clock, self.clock

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return low_ns

    def choose(self, options: int) -> int:
        return self.draws.below(options)

    def peek(self, node: str, address: Any) -> Any:
        raise NotImplementedError

    # --- nodes

    def begin(self, name: str, start: str) -> None:
        kind = self.kind if name in self.config.members else PaxosClient
        if start == "wiped":
            self.image[name] = {}
        self.lives[name] += 1
        self.timers[name] = set()
        image = dict(self.image[name])
        self.nodes[name] = kind(name, self.params, self.config, REGISTER, durable=image)
        self.step(name, Start(start, self.lives[name]))

    def crash(self, name: str) -> None:
        """Records not synced are lost from some point on, and all that waits behind the first."""
        held = self.held[name]
        for effect in list(held)[: self.draws.below(len(held) + 1)]:
            if isinstance(effect, Persist):
                patch(self.image[name], effect)
        held.clear()
        self.timers[name] = set()
        del self.nodes[name]

    def step(self, name: str, event: Event) -> None:
        node = self.nodes[name]
        for effect in node.step(event, self):
            if isinstance(effect, SetTimer):
                self.timers[name].add(effect.name)
            elif isinstance(effect, CancelTimer):
                self.timers[name].discard(effect.name)
            else:
                self.held[name].append(effect)
        if node.broken_invariants():
            raise Broken(f"{name}: {node.broken_invariants()} after {event}")
        if name not in self.config.members or self.draws.chance(0.7):
            self.sync(name)

    def sync(self, name: str) -> None:
        held = self.held[name]
        while held:
            effect = held.popleft()
            if isinstance(effect, Persist):
                patch(self.image[name], effect)
            elif isinstance(effect, Send):
                self.network.append((name, effect.to, self.codec.encode(effect.message)))
            elif isinstance(effect, Multicast):
                assert isinstance(effect.group, str)
                for to in self.config.role(effect.group):
                    if to != name:
                        self.network.append((name, to, self.codec.encode(effect.message)))
            elif isinstance(effect, Decide):
                self.decided(name, effect.command)
            elif isinstance(effect, Complete):
                self.completed(effect.op, effect.outcome)

    # --- properties

    def decided(self, name: str, command: Command) -> None:
        if self.chosen is None:
            self.chosen = command
        if command != self.chosen:
            raise Broken(f"agreement: {name} decided {command}, others {self.chosen}")
        if self.proposed.get(command.id) != command.body:
            raise Broken(f"validity: nobody proposed {command}")

    def completed(self, op: int, outcome: Outcome) -> None:
        if op in self.outcomes:
            raise Broken(f"operation {op} completed twice")
        self.outcomes[op] = outcome
        del self.pending[op]

    def invoke(self, client: str, op: int, body: bytes) -> None:
        self.proposed[f"{client}-{self.lives[client]}", op] = body
        self.pending[op] = client, body
        self.before[op] = list(self.outcomes)
        self.step(client, Invoke(op, body))

    # --- chance

    def run(self, turns: int) -> None:
        """Take so many random turns."""
        for _ in range(turns):
            self.clock += 3_000_000
            dice = self.draws.uniform(0, 1)
            up = [m for m in self.config.members if m in self.nodes]
            if dice < 0.04 and self.crashes and len(up) > 1:
                self.crashes -= 1
                self.crash(self.draws.choice(up))
            elif dice < 0.12 and len(up) < len(self.config.members):
                name = self.draws.choice([m for m in self.config.members if m not in up])
                wiped = self.wipes > 0 and self.draws.chance(0.5)
                self.wipes -= wiped
                self.begin(name, "wiped" if wiped else "restart")
            elif dice < 0.12 + self.duels:
                self.ring()
            elif self.draws.chance(0.1):
                self.sync(self.draws.choice(up))
            elif self.network:
                self.carry()
            else:
                self.ring()

    def ring(self) -> None:
        armed = sorted(
            ((name, timer) for name in self.nodes for timer in self.timers[name]), key=repr
        )
        if armed:
            name, timer = self.draws.choice(armed)
            self.timers[name].discard(timer)
            self.step(name, Timer(timer))

    def carry(self) -> None:
        at = self.draws.below(len(self.network))
        source, to, data = self.network[at]
        if not self.lossy or not self.draws.chance(0.1):  # else it stays: it will come again
            self.network[at] = self.network[-1]
            self.network.pop()
        if to in self.nodes and not (self.lossy and self.draws.chance(0.1)):
            self.step(to, Deliver(source, self.codec.decode(data)))

    def heal(self, turns: int) -> None:
        """Nothing fails any more: everybody who is down comes back."""
        self.lossy, self.crashes = False, 0
        for name in self.config.members:
            if name not in self.nodes:
                self.begin(name, "restart")
        for _ in range(turns):
            if not self.pending:
                return
            for name in self.nodes:
                self.sync(name)
            while self.network:
                self.carry()
            self.clock += 300_000_000
            self.ring()


def write(value: int) -> bytes:
    return REGISTER.encode(Write(value))


READ = REGISTER.encode(Read())


def play(seed: int, *, turns: int = 250, **options: Any) -> Cluster:
    """Two clients write and read through one bad day, and what they saw is checked."""
    cluster = Cluster(seed, **options)
    op = 0
    for part in range(4):
        for client in cluster.config.role("client"):
            op += 1
            reads = cluster.draws.chance(0.5)
            cluster.invoke(client, op, READ if reads else write(op))
        cluster.run(turns // 4 if part < 3 else turns)
    check_outcomes(cluster)
    return cluster


def check_outcomes(cluster: Cluster) -> None:
    """A register that is written once: reads see nothing before, and the same for ever after."""
    seen: dict[int, Any] = {}
    for op, outcome in cluster.outcomes.items():
        body = next(b for (_, o), b in cluster.proposed.items() if o == op)
        mine = cluster.chosen is not None and cluster.chosen.seq == op
        if isinstance(outcome, Ok):
            result = REGISTER.decode_result(outcome.result)
            if body == READ:
                seen[op] = result
            elif not mine:
                raise Broken(f"operation {op} is Ok, but {cluster.chosen} was chosen")
            else:
                seen[op] = op  # from now on, this is what must be seen
    value = cluster.chosen.seq if cluster.chosen is not None else None
    for op, result in seen.items():
        if result not in (None, value):
            raise Broken(f"operation {op} saw {result}, but {value} was chosen")
        for earlier in cluster.before[op]:
            if seen.get(earlier) is not None and result is None:
                raise Broken(f"operation {op} saw nothing after {earlier} had seen {value}")
