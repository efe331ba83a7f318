"""Schedules of faults: drawn from a seed, asked for by kind, or written by hand.

`none`; `all`, a random schedule; `kind[=count],...`, spread over the middle of the run; or a
`.json` file that holds a schedule.

**What may be lost.** Crashes may hit any number of replicas at once: the disks survive, so nothing
that was promised or accepted is forgotten. A *lost disk* (for protocols that keep nothing on disk,
any crash) is bounded: at any moment at most t = `Protocol.crash_tolerance` members have lost theirs
and not yet announced, with `observe("recovered")`, that they know again what they must. Why that
keeps committed data recoverable: a command is committed when a write quorum of q2 members holds it,
and read back from any q1, with q1 + q2 > n and q1 <= n - t. When w <= t members know nothing, at
least q2 - w of the others hold the command, and there are n - w >= q1 others to ask; any q1 of them
meet those holders, since q1 + (q2 - w) > n - w. How long recovery takes, and what else breaks
meanwhile, does not matter: the next disk is lost only after it, or not at all. So the bound cannot
be drawn ahead; faults ask `Stage.may_lose` when they begin, and one that would go past it is left
out ("withheld" in the coverage).

**The core.** In some random schedules not everything is healed: only a core of members comes back
that is large enough for the protocol to go on, and the rest stays down for ever. In those, disks
are lost only outside the core, so that the core needs nothing from members that never return. A
protocol without disks gets no such schedule: its core might be waiting for one of the others.

**Other members.** A schedule in which operators ask for other members may leave any set of voters
that it names. So t is then the tolerance of the smallest of these sets, both for disks that are
lost, counted among all replicas, and for those that stay down for ever.
"""

import math
import os
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from concur.base import Protocol, Tags
from concur.chance import Stream
from concur.errors import BadInput
from concur.faults.base import LEADER, Fault
from concur.faults.catalogue import AnyFault, MembershipChange, Partition, hosts_of
from concur.faults.kinds import KINDS, Cast, Kind, Window

COUNT_MAX = 100
"""Faults of one kind that can be asked for."""
FAULTS_MAX = 10_000
"""Faults in a schedule file."""
FIRST, LAST, HEAL = 0.2, 0.7, 0.75
"""Faults that are asked for by kind begin and end in this part of the run, then all is healed."""
HEAL_FROM, HEAL_TO = 0.6, 0.7
"""A random schedule is healed after a share of the run drawn from here."""
CORE_CHANCE = 0.3
CHANGE = "membership-change"
SPARES = 2
"""Replicas that are no members at first, where members are to change."""
TOUR_CHANCE = 0.4
TOUR_KINDS = ("wipe", "torn-write", "torn-write", "crash")


class Schedule(msgspec.Struct, frozen=True):
    """Faults, and when all are over: at `heal_at_s` a connected core works again.

    `core` names the replicas' hosts of that core; the others stay down for ever. Empty means all.
    `left_out` says which kinds were asked for that the protocol cannot have, and why.
    """

    faults: tuple[Fault, ...] = ()
    heal_at_s: float = 0.0
    core: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def tolerance(self, protocol: Protocol, members: int) -> int:
        """How many replicas may be without their memory at a time, of `members` at the start."""
        sizes = [len(f.members) for f in self.faults if isinstance(f, MembershipChange)]
        return min(map(protocol.crash_tolerance, (members, *sizes)))

    def lines(self) -> list[str]:
        """The schedule for people: one line a fault, in order of time."""
        text = []
        for fault in sorted(self.faults, key=lambda fault: fault.at_s):
            lasts = f", for {fault.for_s:g} s" if fault.for_s else ", until healed"
            text.append(f"{fault.at_s:9.3f} s  {fault}{'' if fault.momentary else lasts}")
        if self.faults:
            rest = f", only {' '.join(self.core)} works from now on" if self.core else ""
            text.append(f"{self.heal_at_s:9.3f} s  healed{rest}")
        return text

    def to_json(self) -> str:
        """The text of a schedule file, one fault a line."""
        faults = ",\n".join(f"    {msgspec.json.encode(fault).decode()}" for fault in self.faults)
        core = msgspec.json.encode(self.core).decode()
        opened = f"[\n{faults}\n  ]" if faults else "[]"
        heal = msgspec.json.encode(self.heal_at_s).decode()
        return f'{{\n  "heal_at_s": {heal},\n  "core": {core},\n  "faults": {opened}\n}}\n'


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    faults: tuple[AnyFault, ...]
    heal_at_s: float
    core: tuple[str, ...] = ()


class Scene(typing.Protocol):
    """What drawing needs to know of a world."""

    protocol: Protocol
    replica_hosts: tuple[str, ...]
    config: Any

    def all_hosts(self) -> tuple[str, ...]: ...


def schedule(
    spec: "str | Schedule", *, seed: int, world: Scene, seconds: float, tags: Tags
) -> Schedule:
    """The schedule that `spec` asks for, in a world and for a run of so many seconds.

    `spec` is as the module says; a Schedule is only checked. Raises BadInput.
    """
    cast = cast_of(world, tags)
    if isinstance(spec, Schedule):
        return _checked(spec, cast, "schedule")
    text = spec.strip()
    if text.startswith("@") or text.endswith(".json"):
        path = text.removeprefix("@")
        return _checked(read_schedule(path), cast, f"faults file {path}")
    if text == "none":
        return Schedule()
    changing = _changing(cast, world)
    if text == "all":
        return random_schedule(seed, cast, changing, seconds)
    counts = parse(text)
    if CHANGE in counts:
        cast = changing
    return spread_schedule(counts, seed, cast, seconds)


def cast_of(world: Scene, tags: Tags) -> Cast:
    """Who is there in a world, for faults to hit."""
    servers = world.replica_hosts
    members = tuple(h for h in servers if h in world.config.members) or servers
    spares = tuple(h for h in servers if h in world.config.universe and h not in members)
    return Cast(
        members=members,
        spares=spares,
        others=tuple(h for h in servers if h not in members and h not in spares),
        clients=tuple(h for h in world.all_hosts() if h not in servers),
        tolerance=world.protocol.crash_tolerance(len(members)),
        tags=tags,
    )


def spares_for(spec: "str | Schedule", tags: Tags) -> int:
    """How many spare replicas a run has if nobody says: some, if its members are to change."""
    if not tags.membership:
        return 0
    text = spec.strip() if isinstance(spec, str) else ""
    if text.startswith("@") or text.endswith(".json"):
        spec = read_schedule(text.removeprefix("@"))
    if isinstance(spec, Schedule):
        changes = any(isinstance(fault, MembershipChange) for fault in spec.faults)
    else:
        changes = text == "all" or (text != "none" and CHANGE in parse(text))
    return SPARES if changes else 0


def _changing(cast: Cast, world: Scene) -> Cast:
    """The same cast when its members are going to change, if they can."""
    if KINDS[CHANGE].obstacle(cast):
        return cast
    tolerance = world.protocol.crash_tolerance(cast.voters_min)
    return msgspec.structs.replace(cast, tolerance=min(cast.tolerance, tolerance))


def parse(spec: str) -> dict[str, int]:
    """Read `kind[=count],...` into counts by kind. Raises BadInput."""
    counts: dict[str, int] = {}
    for part in spec.split(","):
        name, equals, number = part.strip().partition("=")
        if name in ("none", "all") and spec.strip() != name:
            raise BadInput(f"faults {spec!r}: {name} stands alone, expected {_EXPECTED}")
        if name not in KINDS:
            raise BadInput(
                f"faults {spec!r}: unknown kind {name!r}, expected {_EXPECTED}, with kinds among "
                f"{', '.join(KINDS)}"
            )
        if name in counts:
            raise BadInput(f"faults {spec!r}: {name} is named twice, expected {name}=COUNT")
        count = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 0
        if equals and not 1 <= count <= COUNT_MAX:
            raise BadInput(
                f"faults {spec!r}: {name}={number}, expected a whole number from 1 to {COUNT_MAX}"
            )
        counts[name] = count if equals else 1
    return counts


_EXPECTED = "none, all, a .json file or kind[=count],..."


def obstacles(spec: "str | Schedule", cast: Cast) -> dict[str, str]:
    """The kinds that `spec` asks for by name and this cast cannot have, each with the reason.

    `all` asks for what there can be, and a schedule for its faults; neither names a kind.
    """
    text = spec.strip() if isinstance(spec, str) else "none"
    if text in ("none", "all") or text.startswith("@") or text.endswith(".json"):
        return {}
    return {name: why for name in parse(text) if (why := KINDS[name].obstacle(cast))}


def read_schedule(path: str | os.PathLike[str]) -> Schedule:
    """Read a schedule file, as `Schedule.to_json` writes it. Raises BadInput."""
    try:
        with open(path, "rb") as file:
            found = msgspec.json.decode(file.read(), type=_File)
    except OSError as error:
        raise BadInput(f"faults file {path}: {error.strerror}, expected a schedule") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"faults file {path}: {str(error).splitlines()[0]}") from None
    return Schedule(found.faults, found.heal_at_s, found.core)


def _checked(found: Schedule, cast: Cast, where: str) -> Schedule:
    """Refuse what cannot be: unknown hosts, times that are no times, too many faults."""
    known = {*cast.servers, *cast.clients, LEADER}
    if len(found.faults) > FAULTS_MAX:
        raise BadInput(f"{where}: {len(found.faults)} faults, expected at most {FAULTS_MAX}")
    if not (math.isfinite(found.heal_at_s) and found.heal_at_s >= 0):
        raise BadInput(f"{where}: heal_at_s {found.heal_at_s}, expected a time in seconds")
    if found.faults and not found.heal_at_s:
        raise BadInput(f"{where}: heal_at_s 0, expected a time after the faults")
    for number, fault in enumerate(found.faults, 1):
        here = f"{where}, fault {number} ({type(fault).__name__})"
        for field in fault.__struct_fields__:
            _check_number(f"{here}: {field}", field, getattr(fault, field))
        _check_hosts(here, hosts_of(fault), known)
    _check_hosts(f"{where}, core", found.core, set(cast.servers))
    down = [host for host in cast.universe if found.core and host not in found.core]
    if len(down) > cast.tolerance:
        raise BadInput(
            f"{where}: the core leaves {', '.join(down)} down for ever, expected at most "
            f"{cast.tolerance} of {len(cast.members)} members, or the protocol cannot go on"
        )
    return found


def _check_number(where: str, field: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    least = {"factor": 1.0, "offset_s": -1e9, "drift_ppm": -999_999.0}.get(field, 0.0)
    most = {"rate": 1.0, "drift_ppm": 999_999.0}.get(field, 1e9)
    if not least <= value <= most:
        raise BadInput(f"{where} {value}, expected a number from {least:g} to {most:g}")


def _check_hosts(where: str, names: Iterable[str], known: "set[str]") -> None:
    for name in names:
        if name not in known:
            raise BadInput(f"{where}: no host {name!r}, expected {', '.join(sorted(known))}")


# --- drawing --------------------------------------------------------------------------------------


def spread_schedule(counts: dict[str, int], seed: int, cast: Cast, seconds: float) -> Schedule:
    """Exactly so many of each kind, one after the other in the middle of the run.

    Each has a slot of its own, in the order asked for; several of a kind take turns with the
    others. A slot's fault is over before the next begins, so that a timeline tells a story.
    """
    left_out = tuple(f"{name}: {why}" for name in counts if (why := KINDS[name].obstacle(cast)))
    rounds = [
        (name, index)
        for index in range(max(counts.values()))
        for name, count in counts.items()
        if index < count and not KINDS[name].obstacle(cast)
    ]
    slot = (LAST - FIRST) * seconds / max(len(rounds), 1)
    lasts = min(0.6 * slot, 0.15 * seconds)
    faults = []
    for place, (name, index) in enumerate(rounds):
        stream = Stream(seed, "fault", name, index)
        at = FIRST * seconds + slot * (place + stream.uniform(0.0, 0.3))
        faults.append(KINDS[name].draw(stream, cast, Window(_ms(at), _ms(lasts, least=0.001))))
    heal = _ms(HEAL * seconds) if faults else 0.0
    return Schedule(tuple(faults), heal, (), left_out)


def random_schedule(seed: int, cast: Cast, changing: Cast, seconds: float) -> Schedule:
    """A swarm: which kinds are on, how many, how strong and when, all drawn from the seed.

    `changing` is the cast of schedules in which members change.

    Half of the kinds are on in a schedule, because a kind that is always on hides what only
    happens without it. In half of the schedules faults crowd around a few moments, because most
    bugs need several at once; many have a tour too. Each fault has a stream of its own.
    """
    whole = Stream(seed, "fault", "schedule")
    heal = whole.uniform(HEAL_FROM, HEAL_TO) * seconds
    intensity = whole.choice((0.3, 0.6, 1.0, 1.0))
    moments = [whole.uniform(0.05 * seconds, 0.9 * heal) for _ in range(4)]
    moments = moments[: whole.below(5)] if whole.chance(0.5) else []
    calm = whole.chance(0.5)
    if not KINDS[CHANGE].obstacle(cast) and Stream(seed, "fault", CHANGE).chance(0.5):
        cast = changing
    core = _core(Stream(seed, "fault", "core"), cast)
    if core:
        outside = tuple(host for host in cast.universe if host not in core)
        cast = msgspec.structs.replace(cast, expendable=outside)
    tour = _tour(seed, cast, seconds, heal)
    faults: list[Fault] = list(tour)
    for kind in KINDS.values():
        swarm = Stream(seed, "fault", kind.name)
        on, count = (
            swarm.chance(0.25 if tour and calm else 0.5),
            1 + swarm.below(max(1, round(kind.most * intensity))),
        )
        if on and not kind.obstacle(cast):
            faults += [_random(kind, i, seed, cast, seconds, heal, moments) for i in range(count)]
    faults.sort(key=lambda fault: fault.at_s)
    return Schedule(tuple(faults), _ms(heal), core)


def _random(
    kind: Kind,
    index: int,
    seed: int,
    cast: Cast,
    seconds: float,
    heal: float,
    moments: "list[float]",
) -> Fault:
    stream = Stream(seed, "fault", kind.name, index)
    at = stream.uniform(0.02 * seconds, 0.95 * heal)
    near, moment, shift = stream.chance(0.7), stream.below(4), stream.uniform(0.0, 0.05 * seconds)
    if near and moments:
        at = moments[moment % len(moments)] + shift
    lasts = min(_length(stream, seconds), heal - at)
    return kind.draw(stream, cast, Window(_ms(at), _ms(lasts, least=0.001)))


def _tour(seed: int, cast: Cast, seconds: float, heal: float) -> list[Fault]:
    """A tour of the quorums: few members can talk to each other, and then others can.

    Consensus stands on one member of any two quorums who remembers. Independent faults seldom make
    it just one, and hardly ever hit that one. So in each stage only as many members as the protocol
    needs are connected; the next stage has those who were cut off, and one who was not, the
    pivot, who crashes meanwhile. Or the pivot alone reaches both sides, and their leaders compete.
    """
    plan = Stream(seed, "fault", "tour")
    wanted, stages, length = plan.chance(TOUR_CHANCE), 2 + plan.below(4), plan.uniform(1.0, 4.0)
    length = min(seconds / 16 * length, 0.8 * heal / stages)
    begin = plan.uniform(0.05 * heal, 0.95 * heal - stages * length)
    if not wanted or not cast.tolerance:
        return []
    faults: list[Fault] = []
    outside = plan.sample(cast.members, cast.tolerance)
    for stage in range(stages):
        stream = Stream(seed, "fault", "tour", stage)
        inside = [host for host in cast.members if host not in outside]
        pivot, bridge = stream.choice(inside), stream.chance(0.3)
        connected = [host for host in inside if host != pivot or not bridge]
        if not bridge:
            connected += cast.others
        at = begin + stage * length
        if connected:
            groups = tuple(connected), tuple(host for host in cast.members if host in outside)
            faults.append(Partition(at_s=_ms(at), for_s=_ms(length, least=0.001), groups=groups))
        kind, late = KINDS[stream.choice(TOUR_KINDS)], stream.chance(0.7)
        before, after = stream.uniform(0.0, 0.2 * length), stream.uniform(0.0, 0.2 * length)
        if bridge:  # while leaders compete, at any moment
            at, lasts = at + 4 * before, 2.5 * after
        elif late:  # when the quorum changes
            at, lasts = at + length - before, before + after
        else:  # when it has changed
            at, lasts = at + before, 2 * after
        window = Window(_ms(at), _ms(lasts, least=0.001))
        if pivot in (cast.expendable or cast.universe) and not kind.obstacle(cast):
            alone = msgspec.structs.replace(
                cast,
                members=(pivot,),
                spares=(),
                others=(),
                expendable=(pivot,),
                tags=_leaderless(cast.tags),
            )
            faults.append(kind.draw(stream, alone, window))
        rest = stream.shuffled([host for host in inside if host != pivot])
        outside = (rest + outside)[: cast.tolerance]
    return faults


def _leaderless(tags: Tags) -> Tags:
    """So that a drawer takes one of the members that it is given."""
    return msgspec.structs.replace(tags, leader=False)


def _length(stream: Stream, seconds: float) -> float:
    """From 1/256 to 1/4 of the run, each octave equally likely; no logarithm, which differs
    between platforms."""
    return seconds / 256 * (1 << stream.below(6)) * stream.uniform(1.0, 2.0)


def _core(stream: Stream, cast: Cast) -> tuple[str, ...]:
    """Sometimes as few members as the protocol can do with; else (), which is everyone."""
    wanted, order = stream.chance(CORE_CHANCE), stream.shuffled(cast.universe)
    if not wanted or not cast.tolerance or not cast.tags.durable:
        return ()
    kept = order[cast.tolerance :]
    return (*(host for host in cast.universe if host in kept), *cast.others)


def _ms(time_s: float, least: float = 0.0) -> float:
    return max(round(time_s, 3), least)
