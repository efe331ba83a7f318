"""The kinds of fault that can be asked for by name, and how each is drawn.

A drawer turns a stream of chance, a cast (who is there) and a window (when) into one fault: it
chooses whom it hits and how hard. It takes nothing else, so that a fault stays what it is when
others are taken away.
"""

from collections.abc import Callable

import msgspec

from concur.base import Tags
from concur.chance import Stream
from concur.faults.base import LEADER, Fault
from concur.faults.catalogue import (
    Amnesia,
    Blackout,
    ClientCrash,
    ClockDrift,
    ClockJump,
    ClockSkew,
    Crash,
    Duplication,
    Isolation,
    LeadershipTransfer,
    Loss,
    MembershipChange,
    OneWayPartition,
    Partition,
    Pause,
    Reordering,
    SlowDisk,
    SlowLink,
    SlowNode,
    TornWrite,
    Wipe,
)

DRIFTS = 3
"""How many drifts a random schedule has at most; on one host they add up."""
DRIFT_PPM_MAX = 200 // DRIFTS
"""Bound of one drift, so that all together stay within 200 millionths, which leases rely on."""
LOSS_RATES = (0.01, 0.05, 0.1, 0.3)
DUPLICATION_RATES = (0.01, 0.1, 0.5)
REORDERING_RATES = (0.05, 0.2, 0.5)
LATE_S = (0.0, 0.0, 0.2, 1.0)
"""How late a copy or a reordered message is beyond the link's own delays, at most."""
SLOW_NODES = (2, 5, 20)
SLOW_DISKS = (5, 50, 500)
TEARING = (1, 100, 5000)
"""By how much a disk that is about to fail is slower: up to half a second for a sync."""
STRAYS = (30, 60, 100)
"""Percent of a host's messages that go astray before it forgets them."""
STRAY_S = (0.5, 2.0, 8.0)
LEARNER_CHANCE = 0.2
MEMBERS_MIN = 3
"""Voters that a drawn change leaves, or as many as there were: fewer tolerate nothing."""
SLOW_LINKS_S = (0.01, 0.05, 0.2)
CLOCK_OFFSETS_S = (0.001, 0.05, 1.0, 60.0)


class Cast(msgspec.Struct, frozen=True):
    """Who is there for faults to hit, and what the protocol says that it can take.

    `members` are the hosts of replicas that vote at the start, `spares` those of replicas that may
    become members, `others` are in the network or beside them.
    """

    members: tuple[str, ...]
    others: tuple[str, ...]
    clients: tuple[str, ...]
    tolerance: int
    tags: Tags
    expendable: tuple[str, ...] = ()
    """The members that may lose their disk; empty means all (see `concur.faults.schedule`)."""
    spares: tuple[str, ...] = ()

    @property
    def servers(self) -> tuple[str, ...]:
        return (*self.members, *self.spares, *self.others)

    @property
    def universe(self) -> tuple[str, ...]:
        """All who may ever vote."""
        return (*self.members, *self.spares)

    @property
    def voters_min(self) -> int:
        """The smallest set of members that a drawn change leaves."""
        return max(min(MEMBERS_MIN, len(self.members)), len(self.members) - 1)


class Window(msgspec.Struct, frozen=True):
    at_s: float
    for_s: float


class Kind(msgspec.Struct, frozen=True):
    """A kind of fault.

    `most` is how many of it a random schedule has at most. `key` is what the coverage of a run
    counts when one had an effect. `obstacle` says why a cast cannot have it, "" if it can.
    """

    name: str
    description: str
    most: int
    key: str
    obstacle: Callable[[Cast], str]
    draw: Callable[[Stream, Cast, Window], Fault]


# --- whom -----------------------------------------------------------------------------------------


def _leader(cast: Cast) -> str:
    return LEADER if cast.tags.leader else cast.members[0]


def _server(stream: Stream, cast: Cast) -> str:
    """Any server; the leader, where there is one, half of the time."""
    lead, host = stream.chance(0.5), stream.choice(cast.servers)
    return LEADER if lead and cast.tags.leader else host


def _split(stream: Stream, cast: Cast) -> tuple[tuple[str, ...], ...]:
    """Two or three groups of servers; sometimes one server is in none and reaches all, as a bridge.

    Clients are in no group either, or each in one.
    """
    servers = stream.shuffled(cast.servers)
    in_three, with_clients = stream.chance(0.2), stream.chance(0.5)
    bridge = stream.chance(0.2)
    if bridge and len(servers) > 2:
        servers.pop()
    cut = 1 + stream.below(max(len(servers) - 1, 1))
    groups = [servers[:cut], servers[cut:]]
    if in_three and len(groups[1]) > 1:
        groups[1:] = [groups[1][:1], groups[1][1:]]
    if len(servers) == 1:
        groups = [servers, list(cast.clients)]
    elif with_clients:
        for client in cast.clients:
            groups[stream.below(len(groups))].append(client)
    return tuple(tuple(sorted(group, key=_natural)) for group in groups)


def _natural(name: str) -> tuple[str, int]:
    letters = name.rstrip("0123456789")
    return letters, int(name[len(letters) :] or 0)


# --- drawers, in the order of the table -----------------------------------------------------------


def _crash(stream: Stream, cast: Cast, window: Window) -> Fault:
    return Crash(at_s=window.at_s, for_s=window.for_s, host=stream.choice(cast.servers))


def _leader_crash(stream: Stream, cast: Cast, window: Window) -> Fault:
    return Crash(at_s=window.at_s, for_s=window.for_s, host=_leader(cast))


def _blackout(stream: Stream, cast: Cast, window: Window) -> Fault:
    return Blackout(at_s=window.at_s, for_s=window.for_s)


def _torn_write(stream: Stream, cast: Cast, window: Window) -> Fault:
    lead, host, factor = stream.chance(0.3), stream.choice(cast.universe), stream.choice(TEARING)
    host = _leader(cast) if lead else host
    return TornWrite(at_s=window.at_s, for_s=window.for_s, host=host, factor=factor)


def _wipe(stream: Stream, cast: Cast, window: Window) -> Fault:
    lead, host = stream.chance(0.3), stream.choice(cast.expendable or cast.universe)
    host = LEADER if lead and cast.tags.leader and not cast.expendable else host
    return Wipe(at_s=window.at_s, for_s=window.for_s, host=host)


def _amnesia(stream: Stream, cast: Cast, window: Window) -> Fault:
    host, percent = stream.choice(cast.expendable or cast.universe), stream.choice(STRAYS)
    late_s = stream.choice(STRAY_S)
    return Amnesia(at_s=window.at_s, for_s=window.for_s, host=host, percent=percent, late_s=late_s)


def _membership_change(stream: Stream, cast: Cast, window: Window) -> Fault:
    order, learns = stream.shuffled(cast.universe), stream.chance(LEARNER_CHANCE)
    size = cast.voters_min + stream.below(len(cast.members) + 2 - cast.voters_min)
    members = order[:size]
    learners = order[size : size + 1] if learns and cast.tags.learners else []
    return MembershipChange(
        at_s=window.at_s,
        members=tuple(sorted(members, key=_natural)),
        learners=tuple(learners),
    )


def _leadership_transfer(stream: Stream, cast: Cast, window: Window) -> Fault:
    return LeadershipTransfer(at_s=window.at_s, host=stream.choice(cast.universe))


def _pause(stream: Stream, cast: Cast, window: Window) -> Fault:
    return Pause(at_s=window.at_s, for_s=window.for_s, host=_server(stream, cast))


def _partition(stream: Stream, cast: Cast, window: Window) -> Fault:
    return Partition(at_s=window.at_s, for_s=window.for_s, groups=_split(stream, cast))


def _leader_isolation(stream: Stream, cast: Cast, window: Window) -> Fault:
    clients = stream.chance(0.5) or len(cast.servers) == 1
    return Isolation(at_s=window.at_s, for_s=window.for_s, host=_leader(cast), clients=clients)


def _one_way_partition(stream: Stream, cast: Cast, window: Window) -> Fault:
    deaf, host = stream.chance(0.5), _server(stream, cast)
    pair, peer = stream.chance(0.3), stream.choice(cast.servers)
    rest = (peer,) if pair and peer != host and host != LEADER else ()
    sources, targets = (rest, (host,)) if deaf else ((host,), rest)
    return OneWayPartition(at_s=window.at_s, for_s=window.for_s, sources=sources, targets=targets)


def _loss(stream: Stream, cast: Cast, window: Window) -> Fault:
    return Loss(at_s=window.at_s, for_s=window.for_s, rate=stream.choice(LOSS_RATES))


def _duplication(stream: Stream, cast: Cast, window: Window) -> Fault:
    rate, late_s = stream.choice(DUPLICATION_RATES), stream.choice(LATE_S)
    return Duplication(at_s=window.at_s, for_s=window.for_s, rate=rate, late_s=late_s)


def _reordering(stream: Stream, cast: Cast, window: Window) -> Fault:
    rate, late_s = stream.choice(REORDERING_RATES), stream.choice(LATE_S)
    return Reordering(at_s=window.at_s, for_s=window.for_s, rate=rate, late_s=late_s)


def _slow_link(stream: Stream, cast: Cast, window: Window) -> Fault:
    host, extra_s = _server(stream, cast), stream.choice(SLOW_LINKS_S)
    return SlowLink(at_s=window.at_s, for_s=window.for_s, host=host, extra_s=extra_s)


def _slow_disk(stream: Stream, cast: Cast, window: Window) -> Fault:
    host, factor = _server(stream, cast), stream.choice(SLOW_DISKS)
    return SlowDisk(at_s=window.at_s, for_s=window.for_s, host=host, factor=factor)


def _slow_node(stream: Stream, cast: Cast, window: Window) -> Fault:
    host, factor = _server(stream, cast), stream.choice(SLOW_NODES)
    return SlowNode(at_s=window.at_s, for_s=window.for_s, host=host, factor=factor)


def _offset(stream: Stream) -> float:
    back, offset_s = stream.chance(0.5), stream.choice(CLOCK_OFFSETS_S)
    return -offset_s if back else offset_s


def _clock_skew(stream: Stream, cast: Cast, window: Window) -> Fault:
    host = stream.choice((*cast.servers, *cast.clients))
    return ClockSkew(at_s=window.at_s, for_s=window.for_s, host=host, offset_s=_offset(stream))


def _clock_drift(stream: Stream, cast: Cast, window: Window) -> Fault:
    host = stream.choice((*cast.servers, *cast.clients))
    drift = stream.between(1, DRIFT_PPM_MAX) * (1 if stream.chance(0.5) else -1)
    return ClockDrift(at_s=window.at_s, for_s=window.for_s, host=host, drift_ppm=drift)


def _clock_jump(stream: Stream, cast: Cast, window: Window) -> Fault:
    host = stream.choice((*cast.servers, *cast.clients))
    return ClockJump(at_s=window.at_s, host=host, offset_s=_offset(stream))


def _client_crash(stream: Stream, cast: Cast, window: Window) -> Fault:
    return ClientCrash(at_s=window.at_s, for_s=window.for_s, host=stream.choice(cast.clients))


# --- what a cast cannot have ----------------------------------------------------------------------


def _always(cast: Cast) -> str:
    return ""


def _if_crashes_are_survived(cast: Cast) -> str:
    if cast.tags.durable or (cast.tags.recovers_wiped and cast.tolerance):
        return ""
    return "it keeps nothing on disk, and cannot do without the memory of any replica"


def _if_durable(cast: Cast) -> str:
    return "" if cast.tags.durable else "it keeps nothing on disk"


def _if_wiped_recover(cast: Cast) -> str:
    if not cast.tags.recovers_wiped:
        return "a replica that lost its disk cannot come back"
    return "" if cast.tolerance else "no replica can be spared, so no disk may be lost"


def _if_members_change(cast: Cast) -> str:
    if not cast.tags.membership:
        return "its members never change"
    return "" if len(cast.universe) > MEMBERS_MIN else "there is nobody who could be exchanged"


def _if_led_and_operated(cast: Cast) -> str:
    return "" if cast.tags.membership and cast.tags.leader else "nobody can tell it who is to lead"


def _if_tolerated(what: str) -> Callable[[Cast], str]:
    return lambda cast: "" if what in cast.tags.tolerates else f"it does not tolerate {what}"


def _if_clocks_are_not_trusted(cast: Cast) -> str:
    """A clock that is wrong breaks the bound which `interval()` promises, so it may only be wrong
    for those who do not rely on that (protocols whose speed alone rests on clocks do not)."""
    trusts = "bounded_clock" in cast.tags.needs
    return "it relies on the error bound of its clocks" if trusts else ""


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("crash", "a server stops and restarts from its disk", 5, "crashes",
             _if_crashes_are_survived, _crash),
        Kind("leader-crash", "the leader stops and restarts from its disk", 4, "crashes",
             _if_crashes_are_survived, _leader_crash),
        Kind("blackout", "all servers stop at once and restart from their disks", 1, "crashes",
             _if_durable, _blackout),
        Kind("torn-write", "a replica crashes in the middle of a sync", 4, "torn writes",
             _if_durable, _torn_write),
        Kind("wipe", "a replica loses its disk and comes back knowing nothing", 3, "wiped",
             _if_wiped_recover, _wipe),
        Kind("amnesia", "a replica forgets all while its messages are on their way", 2, "amnesias",
             _if_wiped_recover, _amnesia),
        Kind("pause", "a server's CPU stops for a while", 4, "pauses", _always, _pause),
        Kind("partition", "groups of hosts cannot talk to each other", 3, "dropped: partition",
             _always, _partition),
        Kind("leader-isolation", "the leader is cut off", 2, "dropped: partition",
             _always, _leader_isolation),
        Kind("one-way-partition", "a server cannot hear, or cannot be heard", 3,
             "dropped: partition", _always, _one_way_partition),
        Kind("loss", "all links lose messages", 3, "dropped: loss", _if_tolerated("loss"), _loss),
        Kind("duplication", "all links deliver messages twice, the copy late", 3, "duplicated",
             _if_tolerated("duplication"), _duplication),
        Kind("reordering", "all links delay some messages", 3, "reordered",
             _if_tolerated("reordering"), _reordering),
        Kind("slow-link", "the links of a server are slow", 3, "slow links",
             _always, _slow_link),
        Kind("slow-disk", "the disk of a server is slow", 3, "slow disks",
             _if_durable, _slow_disk),
        Kind("slow-node", "the CPU of a server is slow", 3, "slow nodes", _always, _slow_node),
        Kind("clock-skew", "a wall clock is wrong for a while", 3, "clock faults",
             _if_clocks_are_not_trusted, _clock_skew),
        Kind("clock-drift", "the clocks of a host run fast or slow, within the bound", DRIFTS,
             "clock faults", _always, _clock_drift),
        Kind("clock-jump", "a wall clock is set forward or back", 3, "clock faults",
             _if_clocks_are_not_trusted, _clock_jump),
        Kind("client-crash", "a client stops with its command open", 3, "client crashes",
             _always, _client_crash),
        Kind("membership-change", "an operator asks for other voting members", 4,
             "membership changes", _if_members_change, _membership_change),
        Kind("leadership-transfer", "an operator asks for another leader", 2,
             "leadership transfers", _if_led_and_operated, _leadership_transfer),
    )
}  # fmt: skip
"""Every kind by its name."""
