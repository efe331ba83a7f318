"""What the model checker is to explore: a protocol, its commands, and how much may go wrong.

from concur.verify import Scenario

scenario = Scenario(protocol=Paxos(), clients=2, commands=2, faults="crash=1", timeouts_max=2)
scenario.system(), scenario.bounds()
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concur.base import Protocol, Role
from concur.errors import BadInput, whole
from concur.machines import Machine
from concur.machines import machine as machine_named
from concur.node import Config
from concur.parts.membership import OPERATOR
from concur.properties import STANDARD, Property
from concur.verify.behaviour import Behaviour
from concur.verify.clients import ClientHost, scripts
from concur.verify.histories import Judge
from concur.verify.node_system import NodeSystem
from concur.verify.nodes import Cast, Host, Rules

FAULTS = ("crash", "wipe", "loss", "duplicate")
TIMEOUT, TICK = "timeout", "tick"
BOUND_MAX = 1000
"""Of any bound: more than can be explored."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs of a protocol there are to explore.

    * `commands`: those of each client, in order; or how many in all (puts and gets of one key,
      dealt out in turn); None is one put and one get for each client.
    * `faults`: how often a replica crashes ("crash=1"), or crashes and loses its disk ("wipe=1");
      how many messages are doubled ("duplicate=1") or lost ("loss=1").
    * `timeouts_max`: how many timers ring; or, by the names of timers ("election=2,retry=1"), how
      many of each, and none of the others; or of one node ("election@r1=1"). What rings without an
      effect is not counted.
    * `ticks_max`: how often time passes at a host with nobody's timer ringing.
    * `turns`: whether the end of a turn is an event of its own, so that batches form.
    * `late_is_lost`: any number of messages may be late for ever, which nobody can tell from loss,
      so "loss" need not be an event. Without it, `loss` messages are taken away.
    * `copies_max`: how many copies of one message from one node to another are on their way at a
      time, rounded up to one less than a power of two; more are lost.

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
        return _bounds("faults", self.faults, FAULTS)

    def system(self) -> NodeSystem:
        """The model of the protocol within these bounds."""
        protocol = self.protocol.validate(self.replicas)
        _refuse_what_needs_more(protocol)
        whole("ticks_max", self.ticks_max, 0, BOUND_MAX)
        machine, asked, allowed = self.replicated, self.asked(), self.allowed()
        roles = protocol.roles()
        config = Config.of(roles, self.replicas, self.clients)
        ids = next(config.role(r.name) for r in roles if r.place == "client" and r is not OPERATOR)
        judge = Judge(
            dict(zip(ids, asked, strict=True)),
            machine,
            self.properties,
            protocol.crash_tolerance(self.replicas),
        )
        hosts = _hosts(protocol, config, roles)
        nodes = tuple(id for host in hosts for id, _ in host)
        timers, other, timeouts = _timers(self.timeouts_max, nodes)
        rules = Rules(
            timers=timers,
            other_timers=other,
            faults=tuple(fault for fault in ("crash", "wipe") if allowed[fault]),
            ticks=self.ticks_max > 0,
            turns=self.turns,
            heard=judge.heard,
        )
        places = {
            id: (place, at) for place, host in enumerate(hosts) for at, (id, _) in enumerate(host)
        }
        cast = Cast(protocol, config, machine, rules, places)
        behaviours: list[Behaviour] = []
        for place, seats in enumerate(hosts):
            if seats[0][1].place == "client":
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
        return NodeSystem(
            behaviours,
            judge,
            counted,
            loss=0 if self.late_is_lost else allowed["loss"],
            duplication=allowed["duplicate"],
            name=f"{protocol.label}, {self.replicas} replicas",
            envelopes_max=self.copies_max,
        )

    def bounds(self) -> dict[str, Any]:
        """The same for people and for JSON, with the parameters that are not the defaults."""
        allowed, protocol, timeouts = self.allowed(), self.protocol, self.timeouts_max
        return {
            "replicas": self.replicas,
            "clients": self.clients,
            "commands": sum(map(len, self.asked())),
            "timeouts": timeouts if isinstance(timeouts, int | str) else dict(timeouts),
            "ticks": self.ticks_max,
            "copies": self.copies_max,
            **{fault: allowed[fault] for fault in ("crash", "wipe", "duplicate")},
            "loss": "any" if self.late_is_lost else allowed["loss"],
            "turns": "batches" if self.turns else "one event each",
            "parameters": {
                name: getattr(protocol, name)
                for name, declared in type(protocol).parameters.items()
                if getattr(protocol, name) != declared.default
            },
        }


def _hosts(
    protocol: Protocol, config: Config, roles: tuple[Role, ...]
) -> list[tuple[tuple[str, Role], ...]]:
    """The nodes of each host, servers first. Operators give no orders here, so they stay away."""
    found: dict[str, list[tuple[str, Role]]] = {}
    for role in sorted(roles, key=lambda role: role.place == "client"):
        if role is OPERATOR:
            continue
        for at, id in enumerate(config.role(role.name)):
            host = config.role(role.beside)[at] if role.beside else id
            found.setdefault(host, []).append((id, role))
    return [tuple(seats) for seats in found.values()]


def _refuse_what_needs_more(protocol: Protocol) -> None:
    what = f"verify: {protocol.label}"
    needs = protocol.tags.needs
    if needs:
        raise BadInput(f"{what} needs {', '.join(needs)}, which the model checker does not have")
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


def _bounds(name: str, given: "str | Mapping[str, int]", known: tuple[str, ...]) -> dict[str, int]:
    """ "crash=1,wipe=0" as numbers; what is not named is 0. `known` are the names, () is any."""
    found = dict.fromkeys(known, 0)
    pairs: Sequence[tuple[str, Any]]
    if isinstance(given, str):
        parts = [part.strip() for part in given.split(",") if part.strip() not in ("", "none")]
        pairs = [(part.partition("=")[0], part.partition("=")[2] or "1") for part in parts]
    else:
        pairs = list(given.items())
    for kind, text in pairs:
        if known and kind not in known:
            raise BadInput(f"{name}: {kind!r}, expected one of {', '.join(known)}")
        number = int(text) if isinstance(text, str) and text.isdecimal() else text
        whole(f"{name} {kind}", number, 0, BOUND_MAX)
        found[kind] = number
    return found


def _timers(
    given: "int | str | Mapping[str, int]", nodes: tuple[str, ...]
) -> tuple[dict[tuple[str, str], str], str, dict[str, int]]:
    """Which bound each timer of each node costs, what others cost ("": they never ring), and the
    bounds. A timer is (name, node); node "" is any."""
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if isinstance(given, int):
        whole("timeouts_max", given, 0, BOUND_MAX)
        return {}, TIMEOUT if given else "", {TIMEOUT: given}
    timers: dict[tuple[str, str], str] = {}
    bounds: dict[str, int] = {}
    for text, most in _bounds("timeouts_max", given, ()).items():
        name, _, node = text.partition("@")
        if node and node not in nodes:
            raise BadInput(f"timeouts_max: node {node!r}, expected one of {', '.join(nodes)}")
        timers[name, node] = f"{TIMEOUT} {text}" if most else ""
        bounds[f"{TIMEOUT} {text}"] = most
    return timers, "", bounds
