"""The catalogue of faults: what can go wrong with hosts, disks, clocks and the network.

Each is a value with plain fields, so a schedule can be written by hand, drawn (`concur.faults.
kinds`), shrunk, and kept as JSON. Hosts are named (`r1`, `c3`) or `leader`, which is looked up when
the fault begins. Overlapping faults add up and each takes back only its own part; but a host is up
again as soon as one of the faults that stopped it ends.
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from concur.faults.base import Fault, Stage, resolve
from concur.node import seconds
from concur.parts.membership import Order

Pairs = tuple[tuple[str, str], ...]

# --- hosts ----------------------------------------------------------------------------------------


class Crash(Fault, frozen=True):
    """A host stops and restarts from its disk."""

    host: str

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host or not stage.may_lose(host, disk=False):
            return None
        return host if stage.crash(host) else None

    def end(self, stage: Stage, begun: object) -> None:
        stage.restart(str(begun))

    def __str__(self) -> str:
        return f"crash of {_the(self.host)}"


class TornWrite(Fault, frozen=True):
    """A host crashes in the middle of its next sync: what it wrote last is half written.

    Its disk is `factor` times slower than usual meanwhile, as disks that fail tend to be.
    """

    host: str
    factor: int = 1

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host or not stage.is_up(host) or not stage.may_lose(host, disk=False):
            return None
        stage.add_slowness(host, 0, self.factor - 1)
        stage.tear(host)
        return host

    def end(self, stage: Stage, begun: object) -> None:
        stage.restart(str(begun))
        stage.add_slowness(str(begun), 0, 1 - self.factor)

    def __str__(self) -> str:
        slow = f" {self.factor} times slower than usual" if self.factor > 1 else ""
        return f"crash of {_the(self.host)} in the middle of a sync{slow}"


class Wipe(Fault, frozen=True):
    """A host stops and its disk is lost, or found corrupt: it comes back knowing nothing.

    Does not happen while `Stage.may_lose` says that committed data could be lost.
    """

    host: str

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host or not stage.may_lose(host, disk=True):
            return None
        return host if stage.crash(host, wiped=True) else None

    def end(self, stage: Stage, begun: object) -> None:
        stage.restart(str(begun))

    def __str__(self) -> str:
        return f"loss of the disk of {_the(self.host)}"


class Amnesia(Fault, frozen=True):
    """A host's messages go astray; then it loses its memory and its disk, and goes on at once.

    So what it said arrives when it has forgotten that it said it: `percent` of what it sends while
    the fault lasts comes up to `late_s` late. As a lost disk, it may be withheld.
    """

    host: str
    percent: int
    late_s: float

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host or not stage.is_up(host):
            return None
        stage.add_strays(host, self.percent, seconds(self.late_s))
        return host

    def end(self, stage: Stage, begun: object) -> None:
        host = str(begun)
        stage.add_strays(host, -self.percent, -seconds(self.late_s))
        if stage.is_up(host) and stage.may_lose(host, disk=True):
            stage.forget(host)

    def __str__(self) -> str:
        stray = f"{self.percent} % of its messages up to {self.late_s:g} s late"
        return f"{stray}, then amnesia of {_the(self.host)}"


class Blackout(Fault, frozen=True):
    """All replicas stop at once and restart from their disks."""

    def begin(self, stage: Stage) -> object:
        down = []
        for host in stage.replica_hosts:
            if stage.may_lose(host, disk=False) and stage.crash(host):
                down.append(host)
        return tuple(down) or None

    def end(self, stage: Stage, begun: object) -> None:
        for host in _hosts(begun):
            stage.restart(host)

    def __str__(self) -> str:
        return "blackout of all replicas"


class Pause(Fault, frozen=True):
    """The CPU of a host stops for a while, as in a long collection of garbage or a migration."""

    host: str

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host or not stage.is_up(host):
            return None
        stage.pause(host, seconds(self.for_s))
        return host

    def __str__(self) -> str:
        return f"pause of {_the(self.host)}"


class SlowNode(Fault, frozen=True):
    """Work takes `factor` times as long on one host."""

    host: str
    factor: int

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host:
            return None
        stage.add_slowness(host, self.factor - 1, 0)
        return host

    def end(self, stage: Stage, begun: object) -> None:
        stage.add_slowness(str(begun), 1 - self.factor, 0)

    def __str__(self) -> str:
        return f"{_the(self.host)} {self.factor} times slower"


class SlowDisk(Fault, frozen=True):
    """Syncs take `factor` times as long on one host."""

    host: str
    factor: int

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host:
            return None
        stage.add_slowness(host, 0, self.factor - 1)
        return host

    def end(self, stage: Stage, begun: object) -> None:
        stage.add_slowness(str(begun), 0, 1 - self.factor)

    def __str__(self) -> str:
        return f"disk of {_the(self.host)} {self.factor} times slower"


class ClientCrash(Fault, frozen=True):
    """A client stops; nobody will know what came of its open command. A new one replaces it."""

    host: str

    def begin(self, stage: Stage) -> object:
        return self.host if stage.crash(self.host) else None

    def end(self, stage: Stage, begun: object) -> None:
        stage.restart(str(begun))

    def __str__(self) -> str:
        return f"crash of client {self.host}"


# --- the network ----------------------------------------------------------------------------------


class Partition(Fault, frozen=True):
    """Hosts of different groups cannot talk to each other; those in no group talk to everyone."""

    groups: tuple[tuple[str, ...], ...]

    def begin(self, stage: Stage) -> object:
        groups = [_resolved(stage, group) for group in self.groups]
        pairs = tuple(
            (a, b)
            for i, group in enumerate(groups)
            for j, other in enumerate(groups)
            if i != j
            for a in group
            for b in other
            if a != b
        )
        return _block(stage, pairs)

    def end(self, stage: Stage, begun: object) -> None:
        stage.unblock(_pairs(begun))

    def __str__(self) -> str:
        sides = " | ".join(" ".join(group) for group in self.groups)
        return f"partition {sides}"


class Isolation(Fault, frozen=True):
    """A host is cut off from all other replicas; from the clients too unless `clients` is False.

    Clients that still reach a leader without followers are how stale reads are found.
    """

    host: str
    clients: bool = True

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        others = stage.all_hosts() if self.clients else stage.replica_hosts
        if not host:
            return None
        return _block(stage, _both_ways(host, others))

    def end(self, stage: Stage, begun: object) -> None:
        stage.unblock(_pairs(begun))

    def __str__(self) -> str:
        whom = "everyone" if self.clients else "the other replicas"
        return f"{_the(self.host)} cut off from {whom}"


class OneWayPartition(Fault, frozen=True):
    """Nothing passes from `sources` to `targets`; the other direction works. Empty means the rest.

    `sources=("leader",)` cannot be heard by anyone, `targets=("leader",)` cannot hear anyone.
    """

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, stage: Stage) -> object:
        sources, targets = _resolved(stage, self.sources), _resolved(stage, self.targets)
        everyone = stage.all_hosts()
        sources = sources or tuple(h for h in everyone if h not in targets)
        targets = targets or tuple(h for h in everyone if h not in sources)
        return _block(stage, tuple((a, b) for a in sources for b in targets if a != b))

    def end(self, stage: Stage, begun: object) -> None:
        stage.unblock(_pairs(begun))

    def __str__(self) -> str:
        mute, deaf = " ".join(self.sources), " ".join(self.targets)
        if not deaf:
            return f"{mute} cannot be heard"
        return f"{deaf} cannot hear {mute or 'anyone'}"


class Loss(Fault, frozen=True):
    """Every link loses this share of its messages."""

    rate: float

    def begin(self, stage: Stage) -> object:
        stage.add_rates(self.rate, 0.0, 0.0)
        return True

    def end(self, stage: Stage, begun: object) -> None:
        stage.add_rates(-self.rate, 0.0, 0.0)

    def __str__(self) -> str:
        return f"loss of {self.rate:.0%} of the messages"


class Duplication(Fault, frozen=True):
    """Every link delivers this share of its messages twice, the copy up to `late_s` later.

    Late copies are the strays of an old ballot that meet a node which has forgotten it.
    """

    rate: float
    late_s: float = 0.0

    def begin(self, stage: Stage) -> object:
        stage.add_rates(0.0, self.rate, 0.0, seconds(self.late_s))
        return True

    def end(self, stage: Stage, begun: object) -> None:
        stage.add_rates(0.0, -self.rate, 0.0, -seconds(self.late_s))

    def __str__(self) -> str:
        late = f", copies up to {self.late_s:g} s late" if self.late_s else ""
        return f"duplication of {self.rate:.0%} of the messages{late}"


class Reordering(Fault, frozen=True):
    """Every link delays this share of its messages, by a few times its delay and `late_s`."""

    rate: float
    late_s: float = 0.0

    def begin(self, stage: Stage) -> object:
        stage.add_rates(0.0, 0.0, self.rate, seconds(self.late_s))
        return True

    def end(self, stage: Stage, begun: object) -> None:
        stage.add_rates(0.0, 0.0, -self.rate, -seconds(self.late_s))

    def __str__(self) -> str:
        late = f", up to {self.late_s:g} s late" if self.late_s else ""
        return f"reordering of {self.rate:.0%} of the messages{late}"


class SlowLink(Fault, frozen=True):
    """Messages between one host and all others take `extra_s` longer, both ways."""

    host: str
    extra_s: float

    def begin(self, stage: Stage) -> object:
        host = resolve(stage, self.host)
        if not host:
            return None
        pairs = _both_ways(host, stage.all_hosts())
        stage.add_delay(pairs, seconds(self.extra_s))
        return pairs

    def end(self, stage: Stage, begun: object) -> None:
        stage.add_delay(_pairs(begun), -seconds(self.extra_s))

    def __str__(self) -> str:
        return f"links of {_the(self.host)} {self.extra_s:g} s slower"


# --- clocks ---------------------------------------------------------------------------------------


class ClockSkew(Fault, frozen=True):
    """The wall clock of a host is wrong by `offset_s`, until the fault ends."""

    host: str
    offset_s: float

    def begin(self, stage: Stage) -> object:
        stage.shift_clock(self.host, seconds(self.offset_s), 0)
        return True

    def end(self, stage: Stage, begun: object) -> None:
        stage.shift_clock(self.host, -seconds(self.offset_s), 0)

    def __str__(self) -> str:
        return f"clock of {self.host} wrong by {self.offset_s:+g} s"


class ClockDrift(Fault, frozen=True):
    """All clocks of a host run fast by `drift_ppm` millionths, or slow if it is negative.

    Timers and `uptime` too: what they have gained or lost when the fault ends stays.
    """

    host: str
    drift_ppm: int

    def begin(self, stage: Stage) -> object:
        stage.shift_clock(self.host, 0, self.drift_ppm)
        return True

    def end(self, stage: Stage, begun: object) -> None:
        stage.shift_clock(self.host, 0, -self.drift_ppm)

    def __str__(self) -> str:
        return f"clocks of {self.host} drift by {self.drift_ppm:+d} ppm"


class ClockJump(Fault, frozen=True):
    """The wall clock of a host is set, forward or back, by `offset_s`; it is not set back."""

    momentary: ClassVar[bool] = True
    host: str
    offset_s: float

    def begin(self, stage: Stage) -> object:
        stage.shift_clock(self.host, seconds(self.offset_s), 0)
        return True

    def __str__(self) -> str:
        return f"clock of {self.host} jumps by {self.offset_s:+g} s"


# --- what operators do ----------------------------------------------------------------------------


class MembershipChange(Fault, frozen=True):
    """An operator asks for other voting members, and learners. It is not taken back."""

    momentary: ClassVar[bool] = True
    members: tuple[str, ...]
    learners: tuple[str, ...] = ()

    def begin(self, stage: Stage) -> object:
        return stage.order(Order(members=self.members, learners=self.learners)) or None

    def __str__(self) -> str:
        learners = f", learners {' '.join(self.learners)}" if self.learners else ""
        return f"order: members {' '.join(self.members)}{learners}"


class LeadershipTransfer(Fault, frozen=True):
    """An operator asks for another leader."""

    momentary: ClassVar[bool] = True
    host: str

    def begin(self, stage: Stage) -> object:
        return stage.order(Order(leader=self.host)) or None

    def __str__(self) -> str:
        return f"order: {self.host} shall lead"


AnyFault = (
    Crash
    | TornWrite
    | Wipe
    | Amnesia
    | Blackout
    | Pause
    | SlowNode
    | SlowDisk
    | ClientCrash
    | Partition
    | Isolation
    | OneWayPartition
    | Loss
    | Duplication
    | Reordering
    | SlowLink
    | ClockSkew
    | ClockDrift
    | ClockJump
    | MembershipChange
    | LeadershipTransfer
)
"""What a schedule file may hold."""


def hosts_of(fault: Fault) -> tuple[str, ...]:
    """The hosts that a fault names, `leader` among them."""
    found: list[str] = []
    for field in fault.__struct_fields__:
        value = getattr(fault, field)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, tuple):
            for item in value:
                found += item if isinstance(item, tuple) else [item]
    return tuple(found)


def without_hosts(fault: Fault, gone: Iterable[str]) -> Fault | None:
    """The same fault in a world that lacks some hosts; None if it is then about nobody."""
    missing = set(gone)
    if not missing & set(hosts_of(fault)):
        return fault
    if isinstance(fault, Partition):
        kept = tuple(tuple(h for h in group if h not in missing) for group in fault.groups)
        groups = tuple(group for group in kept if group)
        return msgspec.structs.replace(fault, groups=groups) if len(groups) > 1 else None
    if isinstance(fault, OneWayPartition):
        sources, targets = (
            tuple(h for h in side if h not in missing) for side in (fault.sources, fault.targets)
        )
        if bool(sources) != bool(fault.sources) or bool(targets) != bool(fault.targets):
            return None  # an empty side means everyone else: that would be another fault
        return msgspec.structs.replace(fault, sources=sources, targets=targets)
    if isinstance(fault, MembershipChange):
        members, learners = (
            tuple(h for h in side if h not in missing) for side in (fault.members, fault.learners)
        )
        if members:
            return msgspec.structs.replace(fault, members=members, learners=learners)
    return None


def _the(host: str) -> str:
    return "the leader" if host == "leader" else host


def _resolved(stage: Stage, group: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(host for host in (resolve(stage, name) for name in group) if host)


def _both_ways(host: str, others: Iterable[str]) -> Pairs:
    return tuple(
        pair for other in others if other != host for pair in ((host, other), (other, host))
    )


def _block(stage: Stage, pairs: Pairs) -> Pairs | None:
    stage.block(pairs)
    return pairs or None


def _pairs(begun: object) -> Pairs:
    assert isinstance(begun, tuple)
    return begun


def _hosts(begun: object) -> tuple[str, ...]:
    assert isinstance(begun, tuple)
    return begun
