"""One story of faults for all protocols of a comparison.

For each seed the schedule is drawn once, for as many replicas and clients as were asked for, and
every protocol goes through it: otherwise a protocol could look better by having had it easier. What
hits "the leader" is resolved when it happens. A protocol that lacks a host (the unreplicated server
has one only) is spared what would have hit that host; one that cannot lose a disk keeps its disk.
"""

from collections.abc import Sequence

import msgspec

from concur.base import Protocol, Tags
from concur.faults.base import Fault
from concur.faults.catalogue import Partition, without_hosts
from concur.faults.kinds import Cast
from concur.faults.schedule import SPARES, Schedule, cast_of, obstacles, schedule, spares_for
from concur.node import Config


class _Scene:
    """What drawing a schedule needs to know: who takes part."""

    def __init__(self, protocol: Protocol, replicas: int, clients: int, spares: int = 0) -> None:
        self.protocol = protocol
        self.replica_hosts = tuple(f"r{i + 1}" for i in range(replicas + spares))
        self.clients = tuple(f"c{i + 1}" for i in range(clients))
        self.config = Config(self.replica_hosts[:replicas], (("replica", self.replica_hosts),))

    def all_hosts(self) -> tuple[str, ...]:
        return (*self.replica_hosts, *self.clients)


def story(
    faults: "str | Schedule",
    protocols: Sequence[Protocol],
    *,
    seed: int,
    replicas: int,
    clients: int,
    seconds: float,
    spares: int | None = None,
) -> Schedule:
    """The schedule that all of `protocols` go through. Raises BadInput.

    Only what every protocol that survives crashes can have is drawn (see `withheld`). Spares of
    some protocols only are hit by nothing.
    """
    able = _able(protocols)
    tags = _common(able)
    scene = _scene(able, tags, faults, replicas, clients, spares)
    return schedule(faults, seed=seed, world=scene, seconds=seconds, tags=tags)


def _able(protocols: Sequence[Protocol]) -> list[Protocol]:
    return [p for p in protocols if p.tags.crash_tolerant] or list(protocols)


def _scene(
    able: list[Protocol],
    tags: Tags,
    faults: "str | Schedule",
    replicas: int,
    clients: int,
    spares: int | None,
) -> _Scene:
    weakest = min(able, key=lambda p: p.crash_tolerance(replicas))
    return _Scene(weakest, replicas, clients, _spares(faults, tags, spares))


def _spares(faults: "str | Schedule", tags: Tags, given: int | None) -> int:
    """How many spares there are where `given` were asked for: only members that change have any."""
    if given is None:
        return spares_for(faults, tags)
    return given if tags.membership else 0


# --- what cannot be inflicted ---------------------------------------------------------------------


def impossible(
    faults: "str | Schedule",
    protocol: Protocol,
    *,
    replicas: int,
    clients: int,
    spares: int | None = None,
) -> dict[str, str]:
    """The kinds of fault asked for by name that a protocol cannot have, each with the reason."""
    tags = protocol.tags
    found = obstacles(faults, _cast(protocol, replicas, clients, _spares(faults, tags, spares)))
    with_spares = obstacles(faults, _cast(protocol, replicas, clients, SPARES)) if found else {}
    return {
        name: why if name in with_spares else f"{why}, expected --spares of 1 or more"
        for name, why in found.items()
    }


def _cast(protocol: Protocol, replicas: int, clients: int, spares: int) -> Cast:
    """Who is there in a world of this protocol, as far as obstacles go."""
    config = Config.of(protocol.roles(), replicas, clients, spares)
    return Cast(
        members=config.members,
        spares=tuple(id for id in config.universe if id not in config.members),
        others=(),
        clients=config.role("client"),
        tolerance=protocol.crash_tolerance(len(config.members)),
        tags=protocol.tags,
    )


def withheld(
    faults: "str | Schedule",
    protocols: Sequence[Protocol],
    *,
    replicas: int,
    clients: int,
    spares: int | None = None,
) -> tuple[str, ...]:
    """What is asked for by name and not inflicted: on whom not, and why. A line for each.

    What one protocol that survives crashes cannot have, none of them gets. A baseline, which is no
    competitor, is alone in being spared.
    """
    able = _able(protocols)
    tags = _common(able)
    scene = _scene(able, tags, faults, replicas, clients, spares)
    shared = obstacles(faults, cast_of(scene, tags))
    lines = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for protocol in protocols:
        own = impossible(faults, protocol, replicas=replicas, clients=clients, spares=spares)
        for kind, why in own.items():
            if kind not in shared or protocol in able:
                names = reasons.setdefault((kind, why), [])
                names += [protocol.label] if protocol.label not in names else []
    for kind, why in shared.items():
        if not any(known == kind for known, _ in reasons):
            lines.append(f"{kind} on any: {why}")
    for (kind, why), names in reasons.items():
        whom = f"any, because of {_and(names)}" if kind in shared else _and(names)
        lines.append(f"{kind} on {whom}: {why}")
    return tuple(lines)


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


# --- the same story for each ----------------------------------------------------------------------


def _common(protocols: Sequence[Protocol]) -> Tags:
    """What all of them can take."""
    tags = [p.tags for p in protocols]
    return Tags(
        leader=True,
        durable=all(t.durable for t in tags),
        recovers_wiped=all(t.recovers_wiped for t in tags),
        membership=all(t.membership for t in tags),
        learners=all(t.learners for t in tags),
        needs=tuple(sorted({need for t in tags for need in t.needs})),
        tolerates=tuple(
            what for what in tags[0].tolerates if all(what in t.tolerates for t in tags)
        ),
    )


def fitted(
    told: Schedule, protocol: Protocol, *, replicas: int, clients: int, spares: int | None = None
) -> Schedule:
    """The same story for the hosts that a protocol has."""
    everyone = _spares(told, Tags(membership=True), spares)
    told_of = _Scene(protocol, replicas, clients, everyone)
    own = _spares(told, protocol.tags, spares)
    gone = set(told_of.all_hosts()) - hosts(protocol, replicas, clients, own)
    if not gone:
        return told
    kept = [found for fault in told.faults if (found := without_hosts(fault, gone)) is not None]
    core = tuple(host for host in told.core if host not in gone)
    if told.core and set(told_of.replica_hosts) - gone - set(core):
        core = ()  # it has no replica to spare for ever
    return msgspec.structs.replace(told, faults=tuple(kept), core=core)


def hosts(protocol: Protocol, replicas: int, clients: int, spares: int = 0) -> set[str]:
    """The names of a protocol's hosts: those of the first node on each."""
    roles = protocol.roles()
    config = Config.of(roles, replicas, clients, spares)
    return {id for role in roles if not role.beside for id in config.role(role.name)}


def shown(told: Schedule) -> "list[Shown]":
    """The faults of a story as a timeline draws them, in order of time."""
    return [
        Shown(
            from_s=fault.at_s,
            to_s=min(fault.at_s + fault.for_s, told.heal_at_s) if fault.for_s else told.heal_at_s,
            what=in_words(fault),
        )
        for fault in sorted(told.faults, key=lambda fault: fault.at_s)
    ]


def in_words(fault: Fault) -> str:
    """A fault as text that stays short however many clients it divides."""
    if not isinstance(fault, Partition):
        return str(fault)
    sides = []
    for group in fault.groups:
        clients = sum(host.startswith("c") for host in group)
        named = [host for host in group if not host.startswith("c")]
        named += [f"{clients} client{'s'[: clients != 1]}"] if clients else []
        sides.append(" ".join(named))
    return f"partition {' | '.join(sides)}"


class Shown(msgspec.Struct, frozen=True):
    """A fault in words, from when to when in seconds of the run."""

    from_s: float
    to_s: float
    what: str
