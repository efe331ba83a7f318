"""What the model checker is to explore: a protocol, its commands, and how much may go wrong.

from concur.verify import Scenario

scenario = Scenario(protocol=Paxos(), clients=2, commands=2, faults="crash=1", timeouts_max=2)
scenario.system(), scenario.bounds()
"""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concur.base import REPLICAS_MAX, Protocol, Role
from concur.errors import BadInput, whole
from concur.machines import Machine
from concur.machines import machine as machine_named
from concur.node import Config
from concur.parts.membership import OPERATOR, Order
from concur.properties import STANDARD, Property
from concur.verify.bounds import BETWEEN_SERVERS, BOUND_MAX, TICK, bounds_of, timers_of
from concur.verify.engine.behaviour import Behaviour
from concur.verify.engine.packing import UNBOUNDED
from concur.verify.nodes.clients import ClientHost, scripts
from concur.verify.nodes.clocks import JUMP, NEEDS, TIME, Clocks
from concur.verify.nodes.counting import Counting
from concur.verify.nodes.histories import Judge
from concur.verify.nodes.host import Cast, Host, Rules
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.nodes.operators import OperatorHost, orders_of, words_of
from concur.verify.nodes.true_time import TrueTime

FAULTS = ("crash", "wipe", "loss", "duplicate", "jump", "partition")

DOUBLED = {UNBOUNDED: "any", BETWEEN_SERVERS: "any between servers"}


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs of a protocol there are to explore.

    * `commands`: those of each client, in order; or how many in all (puts and gets of one key,
      dealt out in turn); None is one put and one get for each client.
    * `faults`: how often a replica crashes ("crash=1"), or crashes and loses its disk ("wipe=1");
      how many messages are doubled ("duplicate=1") or lost ("loss=1"); how often a wall clock is
      set back ("jump=1"). With "duplicate=any" the network keeps all that is sent, and may deliver
      it again at any time; with "duplicate=servers" what servers send each other, which often makes
      far fewer states and leaves the messages of clients as they are. Of partitions ("partition")
      there are any, whether named or not: nothing ever has to arrive, so all that a partition holds
      back may be late for as long as it lasts.
    * `timeouts_max`: how many timers ring; or, by the names of timers ("election=2,retry=1"), how
      many of each, and none of the others; or of one node ("election@r1=1"). What rings without an
      effect is not counted.
    * `ticks_max`: how often time passes at a host with nobody's timer ringing.
    * `turns`: whether the end of a turn is an event of its own, so that batches form.
    * `late_is_lost`: any number of messages may be late for ever, which nobody can tell from loss,
      so "loss" need not be an event. Without it, `loss` messages are taken away.
    * `copies_max`: how many copies of one message from one node to another are on their way at a
      time, rounded up to one less than a power of two; more are lost.
    * `spares`: replicas that are no members at first, but may become members.
    * `orders`: what an operator asks for, in this order, each at any time ("members=r1,r2,r4",
      "leader=r2", or as `concur.parts.membership.Order`).
    * `prologue`: what has happened before, which costs nothing (`concur.verify.nodes.prologue`).
    * `clock_max`: up to which tick (of a second) wall clocks are explored, if the protocol reads
      any; 0: it must not. `skew_max`: by how many ticks they may be wrong at the most, None: they
      know nothing of each other (`concur.verify.nodes.clocks`).

    Everything is looked at when the system is made; bad input raises BadInput then.
    """

    protocol: Protocol
    replicas: int = 3
    clients: int = 2
    commands: int | Sequence[Sequence[Any]] | None = None
    machine: Machine[Any, Any] | str = "kv"
    faults: str | Mapping[str, int] = ""
    timeouts_max: int | str | Mapping[str, int] = 2
    ticks_max: int = 0
    turns: bool = False
    late_is_lost: bool = True
    properties: tuple[Property, ...] = STANDARD
    copies_max: int = 3
    spares: int = 0
    orders: Sequence[Order | str] = ()
    prologue: Sequence[str] = ()
    clock_max: int = 0
    skew_max: int | None = None

    @property
    def replicated(self) -> Machine[Any, Any]:
        """The machine that is replicated."""
        return machine_named(self.machine) if isinstance(self.machine, str) else self.machine

    def asked(self) -> tuple[tuple[Any, ...], ...]:
        """The commands of each client."""
        whole("clients", self.clients, 0, BOUND_MAX)
        return scripts(self.replicated, self.clients, self.commands)

    def allowed(self) -> dict[str, int]:
        """How often each fault may happen."""
        return bounds_of("faults", self.faults, FAULTS)

    def system(self) -> NodeSystem:
        """The model of the protocol within these bounds."""
        protocol = self.protocol.validate(self.replicas)
        _refuse_what_needs_more(protocol, self.replicated, NEEDS if self.clock_max else ())
        whole("ticks_max", self.ticks_max, 0, BOUND_MAX)
        machine, asked, allowed = self.replicated, self.asked(), self.allowed()
        roles = protocol.roles()
        config = self._config(protocol, roles)
        clocks = Clocks.of(self.clock_max, self.skew_max, allowed["jump"])
        orders = orders_of(self.orders, protocol, config)
        ids = next(config.role(r.name) for r in roles if r.place == "client" and r is not OPERATOR)
        voters = (self.replicas, *(len(order.members) for order in orders if order.members))
        judge = Judge(
            dict(zip(ids, asked, strict=True)),
            machine,
            self.properties,
            min(map(protocol.crash_tolerance, voters)),
        )
        hosts = _hosts(config, roles if orders else tuple(r for r in roles if r is not OPERATOR))
        nodes = tuple(id for host in hosts for id, _ in host)
        timers, other, timeouts = timers_of(self.timeouts_max, nodes)
        rules = Rules(
            timers=timers,
            other_timers=other,
            faults=tuple(fault for fault in ("crash", "wipe") if allowed[fault]),
            ticks=self.ticks_max > 0,
            turns=self.turns,
            heard=judge.heard,
            clocks=clocks,
        )
        places = {
            id: (place, at) for place, host in enumerate(hosts) for at, (id, _) in enumerate(host)
        }
        counting = Counting(machine, Tally(machine.encode(c) for script in asked for c in script))
        cast = Cast(protocol, config, counting, rules, places)
        behaviours: list[Behaviour] = []
        for place, seats in enumerate(hosts):
            if seats[0][1] is OPERATOR:
                behaviours.append(OperatorHost(cast, place, seats, orders))
            elif seats[0][1].place == "client":
                script = asked[ids.index(seats[0][0])]
                bodies = tuple(machine.encode(command) for command in script)
                behaviours.append(ClientHost(cast, place, seats, bodies))
            else:
                behaviours.append(Host(cast, place, seats))
        counted = {
            **timeouts,
            TICK: self.ticks_max,
            "crash": allowed["crash"],
            "wipe": allowed["wipe"],
        }
        if clocks is not None:
            counted[JUMP] = allowed["jump"]
            if clocks.bounded:
                counted[TIME] = clocks.most
                behaviours.append(TrueTime(cast, len(behaviours), clocks))
        servers = {at for at, seats in enumerate(hosts) if seats[0][1].place != "client"}
        everybody = allowed["duplicate"] == UNBOUNDED
        doubled_at_will = allowed["duplicate"] in (UNBOUNDED, BETWEEN_SERVERS)

        def stays(source: int, target: int, message: Any) -> bool:
            return everybody or (source in servers and target in servers)

        return NodeSystem(
            behaviours,
            judge,
            counted,
            loss=0 if self.late_is_lost else allowed["loss"],
            duplication=0 if doubled_at_will else allowed["duplicate"],
            stays=stays if doubled_at_will else None,
            name=f"{protocol.label}, {self.replicas} replicas",
            envelopes_max=self.copies_max,
            prologue=self.prologue,
        )

    def _config(self, protocol: Protocol, roles: tuple[Role, ...]) -> Config:
        whole("spares", self.spares, 0, REPLICAS_MAX)
        if self.spares and not protocol.tags.membership:
            raise BadInput(f"spares: {self.spares}, but {protocol.label} never changes its members")
        return Config.of(roles, self.replicas, self.clients, self.spares)

    def _clocks(self, allowed: dict[str, int]) -> dict[str, Any]:
        skew = "any" if self.skew_max is None else self.skew_max
        return {"clock": self.clock_max, "skew": skew, "jump": allowed["jump"]}

    def bounds(self) -> dict[str, Any]:
        """The same for people and for JSON, with the parameters that are not the defaults."""
        allowed, protocol, timeouts = self.allowed(), self.protocol, self.timeouts_max
        orders = [order if isinstance(order, str) else words_of(order) for order in self.orders]
        return {
            "replicas": self.replicas,
            **({"spares": self.spares} if self.spares else {}),
            **({"orders": orders} if orders else {}),
            **({"partition": "any"} if allowed["partition"] else {}),
            **({"prologue": list(self.prologue)} if self.prologue else {}),
            "clients": self.clients,
            "commands": sum(map(len, self.asked())),
            "timeouts": timeouts if isinstance(timeouts, int | str) else dict(timeouts),
            "ticks": self.ticks_max,
            "copies": (1 << self.copies_max.bit_length()) - 1,
            **{fault: allowed[fault] for fault in ("crash", "wipe")},
            "duplicate": DOUBLED.get(allowed["duplicate"], allowed["duplicate"]),
            **(self._clocks(allowed) if self.clock_max else {}),
            "loss": "any" if self.late_is_lost else allowed["loss"],
            "turns": "batches" if self.turns else "one event each",
            "parameters": {
                name: getattr(protocol, name)
                for name, declared in type(protocol).parameters.items()
                if getattr(protocol, name) != declared.default
            },
        }


def _hosts(config: Config, roles: tuple[Role, ...]) -> list[tuple[tuple[str, Role], ...]]:
    """The nodes of each host, servers first."""
    found: dict[str, list[tuple[str, Role]]] = {}
    for role in sorted(roles, key=lambda role: role.place == "client"):
        for at, id in enumerate(config.role(role.name)):
            host = config.role(role.beside)[at] if role.beside else id
            found.setdefault(host, []).append((id, role))
    return [tuple(seats) for seats in found.values()]


def _refuse_what_needs_more(
    protocol: Protocol, machine: Machine[Any, Any], offered: tuple[str, ...]
) -> None:
    if not machine.pure:
        raise BadInput(
            f"machine {machine.name}: changes an object in place, and the model checker goes back "
            "to older states: expected a machine of values"
        )
    what = f"verify: {protocol.label}"
    needs = [need for need in protocol.tags.needs if need not in offered]
    if needs:
        clocks = "; for clocks expected clock_max > 0" if set(needs) & set(NEEDS) else ""
        raise BadInput(
            f"{what} needs {', '.join(needs)}, which the model checker does not have{clocks}"
        )
    if getattr(protocol, "reads", "") == "lease":
        raise BadInput(
            f"{what}: reads 'lease' rest on the speed of clocks, which the model checker leaves "
            "open; expected another value of reads"
        )
    for role in protocol.roles():
        unmodelled = role.node.unsafe_ - {"send_before_durable"}
        if unmodelled:
            raise BadInput(
                f"{what}: {', '.join(sorted(unmodelled))} of role {role.name}: not modelled"
            )
        if role.links == "stream":
            raise BadInput(f"{what}: role {role.name} needs streams; expected datagrams")
