"""`verify`: the model checker on a protocol of the house, or on yours.

    from concur.verify import verify

    answer = verify("paxos", replicas=3, clients=2, commands=2, faults="crash=1", timeouts_max=2)
    answer.verdict, answer.bounds, answer.unique_states

The answer "holds" is about the bounds that it names, and about nothing beyond.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from concur.base import Protocol, Role
from concur.errors import BadInput, whole
from concur.machines import Machine
from concur.machines import machine as machine_named
from concur.node import Config
from concur.parts.membership import OPERATOR
from concur.properties import STANDARD, Property
from concur.protocols import protocol as protocol_named
from concur.verify.behaviour import Behaviour
from concur.verify.budget import Budget, Progress, StoppedBy
from concur.verify.clients import ClientHost, scripts
from concur.verify.exploration import Exploration, Moment
from concur.verify.explore import explore
from concur.verify.histories import Judge
from concur.verify.node_system import NodeSystem
from concur.verify.nodes import Cast, Host, Rules
from concur.verify.walks import walk

FAULTS = ("crash", "wipe", "loss", "duplicate")
TIMEOUT, TICK = "timeout", "tick"
BOUND_MAX = 1000
"""Of any bound: more than can be explored."""
WALKS_SHARE = 0.1
"""Of the time, for random walks before the search that may prove something."""

Attack = Literal["walks first", "walks", "breadth-first", "depth-first", "deepening"]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found out, and within which bounds.

    `verdict` is "holds" only if all is exhausted. `trace` tells, step by step, how `property`
    breaks; `moments` are its states, for `system`. `local_states` counts what each host can be in,
    `histories` what clients and observers can have seen: that tells what makes a space large.
    """

    protocol: str
    verdict: Literal["holds", "violated", "unknown"]
    exhausted: bool
    unique_states: int
    transitions: int
    depth: int
    seconds: float
    bounds: dict[str, Any]
    covered: str
    strategy: str
    property: str = ""
    reason: str = ""
    trace: tuple[str, ...] = ()
    stopped_by: StoppedBy = ""
    local_states: dict[str, int] = {}
    histories: int = 0
    moments: tuple[Moment, ...] = ()

    def __str__(self) -> str:
        wrong = f": {self.property}: {self.reason}" if self.property else ""
        return f"{self.verdict}{wrong} ({self.covered}; {self.seconds:.1f} s)"


def verify(
    protocol: "Protocol | type[Protocol] | str",
    *,
    replicas: int = 3,
    clients: int = 2,
    commands: "int | Sequence[Sequence[Any]] | None" = None,
    machine: "Machine[Any, Any] | str" = "kv",
    faults: "str | Mapping[str, int]" = "",
    timeouts_max: "int | str | Mapping[str, int]" = 2,
    ticks_max: int = 0,
    turns: bool = False,
    late_is_lost: bool = True,
    properties: tuple[Property, ...] = STANDARD,
    strategy: Attack = "walks first",
    budget_s: float | None = 60.0,
    states_max: int | None = None,
    bytes_max: int | None = None,
    seed: int = 0,
    copies_max: int = 3,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Explore every order of messages, timeouts and faults of a protocol, within bounds.

    * `protocol`: an instance with its parameters, a class, or a name.
    * `commands`: those of each client, in order; or how many in all (puts and gets of one key,
      dealt out in turn); None is one put and one get for each client.
    * `faults`: how often a replica crashes ("crash=1"), or crashes and loses its disk ("wipe=1");
      how many messages are doubled ("duplicate=1") or lost ("loss=1").
    * `timeouts_max`: how many timers ring; or, by the names of timers ("election=2,retry=1"), how
      many of each, and none of the others. What rings without an effect is not counted.
    * `ticks_max`: how often time passes at a host with nobody's timer ringing.
    * `turns`: whether the end of a turn is an event of its own, so that batches form.
    * `late_is_lost`: any number of messages may be late for ever, which nobody can tell from loss,
      so "loss" need not be an event. Without it, `loss` messages are taken away.
    * `copies_max`: how many copies of one message from one node to another are on their way at a
      time, rounded up to one less than a power of two; more are lost.

    Raises BadInput for what cannot be checked: wall clocks, leases, streams.
    """
    described = _described(protocol).validate(replicas)
    _refuse_what_needs_more(described)
    budgets = Budget(budget_s, states_max, bytes_max)
    system, bounds = system_of(
        described,
        replicas=replicas,
        clients=clients,
        commands=commands,
        machine=machine,
        faults=faults,
        timeouts_max=timeouts_max,
        ticks_max=ticks_max,
        turns=turns,
        late_is_lost=late_is_lost,
        properties=properties,
        copies_max=copies_max,
    )
    found: Exploration | None = None
    if strategy in ("walks", "walks first"):
        first = budgets
        if strategy == "walks first" and budget_s is not None:
            first = msgspec.structs.replace(budgets, seconds=budget_s * WALKS_SHARE)
        walks_max = None if budget_s is not None or strategy == "walks" else 1000
        found = walk(
            system,
            first,
            seed=seed,
            walks_max=walks_max,
            pick=system.pick,
            mood=system.mood,
            features=system.features,
            progress=progress,
        )
    done = found is not None and (found.verdict == "violated" or found.stopped_by == "interrupted")
    walked = found.seconds if found is not None else 0.0
    if found is None or (strategy == "walks first" and not done):
        left = None if budget_s is None else max(budget_s - walked, 0.0)
        search = "breadth-first" if strategy == "walks first" else strategy
        assert search != "walks"
        found = explore(
            system, search, msgspec.structs.replace(budgets, seconds=left), progress=progress
        )
    return Verification(
        protocol=described.label,
        verdict=found.verdict,
        exhausted=found.exhausted,
        unique_states=found.unique_states,
        transitions=found.transitions,
        depth=found.depth,
        seconds=found.seconds + (walked if found.strategy != "walks" else 0.0),
        bounds=bounds,
        covered=found.covered,
        strategy=found.strategy,
        property=found.property,
        reason=found.reason,
        trace=tuple(moment.label for moment in found.trace if moment.label),
        stopped_by=found.stopped_by,
        local_states=system.local_states(),
        histories=system.histories(),
        moments=found.trace,
    )


def system_of(
    protocol: Protocol,
    *,
    replicas: int = 3,
    clients: int = 2,
    commands: "int | Sequence[Sequence[Any]] | None" = None,
    machine: "Machine[Any, Any] | str" = "kv",
    faults: "str | Mapping[str, int]" = "",
    timeouts_max: "int | str | Mapping[str, int]" = 2,
    ticks_max: int = 0,
    turns: bool = False,
    late_is_lost: bool = True,
    properties: tuple[Property, ...] = STANDARD,
    copies_max: int = 3,
) -> tuple[NodeSystem, dict[str, Any]]:
    """The model of a protocol, and its bounds for people; see `verify`."""
    whole("clients", clients, 0, BOUND_MAX)
    whole("ticks_max", ticks_max, 0, BOUND_MAX)
    replicated = machine_named(machine) if isinstance(machine, str) else machine
    asked = scripts(replicated, clients, commands)
    allowed = _bounds("faults", faults, FAULTS)
    roles = protocol.roles()
    config = Config.of(roles, replicas, clients)
    ids = next(config.role(r.name) for r in roles if r.place == "client" and r is not OPERATOR)
    judge = Judge(
        dict(zip(ids, asked, strict=True)),
        replicated,
        properties,
        protocol.crash_tolerance(replicas),
    )
    timers, other, timeouts = _timers(timeouts_max)
    rules = Rules(
        timers=timers,
        other_timers=other,
        faults=tuple(fault for fault in ("crash", "wipe") if allowed[fault]),
        ticks=ticks_max > 0,
        turns=turns,
        heard=judge.heard,
    )
    hosts = _hosts(protocol, config, roles)
    places = {
        id: (place, at) for place, host in enumerate(hosts) for at, (id, _) in enumerate(host)
    }
    cast = Cast(protocol, config, replicated, rules, places)
    behaviours: list[Behaviour] = []
    for place, seats in enumerate(hosts):
        if seats[0][1].place == "client":
            script = asked[ids.index(seats[0][0])]
            bodies = tuple(replicated.encode(command) for command in script)
            behaviours.append(ClientHost(cast, place, seats, bodies))
        else:
            behaviours.append(Host(cast, place, seats))
    loss = 0 if late_is_lost else allowed["loss"]
    counted = {**timeouts, TICK: ticks_max, "crash": allowed["crash"], "wipe": allowed["wipe"]}
    system = NodeSystem(
        behaviours,
        judge,
        counted,
        loss=loss,
        duplication=allowed["duplicate"],
        name=f"{protocol.label}, {replicas} replicas",
        envelopes_max=copies_max,
    )
    bounds: dict[str, Any] = {
        "replicas": replicas,
        "clients": clients,
        "commands": sum(map(len, asked)),
        "timeouts": timeouts_max if isinstance(timeouts_max, int | str) else dict(timeouts_max),
        "ticks": ticks_max,
        "copies": copies_max,
        **{fault: allowed[fault] for fault in ("crash", "wipe", "duplicate")},
        "loss": "any" if late_is_lost else loss,
        "turns": "batches" if turns else "one event each",
        "parameters": {
            name: getattr(protocol, name)
            for name, declared in type(protocol).parameters.items()
            if getattr(protocol, name) != declared.default
        },
    }
    return system, bounds


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


def _described(protocol: "Protocol | type[Protocol] | str") -> Protocol:
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    return protocol() if isinstance(protocol, type) else protocol


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
    given: "int | str | Mapping[str, int]",
) -> tuple[tuple[tuple[str, str], ...], str, dict[str, int]]:
    """Which bound each timer costs, what others cost ("": they never ring), and the bounds."""
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if isinstance(given, int):
        whole("timeouts_max", given, 0, BOUND_MAX)
        return (), TIMEOUT if given else "", {TIMEOUT: given}
    named = _bounds("timeouts_max", given, ())
    costs = {timer: f"{TIMEOUT} {timer}" for timer in named}
    timers = tuple((timer, costs[timer] if most else "") for timer, most in named.items())
    return timers, "", {costs[timer]: most for timer, most in named.items()}
