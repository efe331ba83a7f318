"""What a fault is, and what a driver must be able to do to inflict it.

A fault is a value: what happens to whom, from when, for how long. A schedule
(`concur.faults.schedule`) is a list of them and the moment at which all of them are healed. Drivers
implement `Stage`; the catalogue (`concur.faults.catalogue`) knows no driver.
"""

import typing
from collections.abc import Iterable

import msgspec

from concur.parts.membership import Order

LEADER = "leader"
"""As the name of a host: whichever was last seen to become leader when the fault begins."""


class Stage(typing.Protocol):
    """The verbs that faults use. Hosts are named by their first node: r1, c3 ..."""

    leader: str
    """The host that was last observed to become leader; "" if none was."""
    replica_hosts: tuple[str, ...]
    """The hosts of everything but clients, in order."""

    def all_hosts(self) -> tuple[str, ...]:
        """Replicas' hosts and clients' hosts."""

    def is_up(self, host: str) -> bool: ...

    def may_lose(self, host: str, *, disk: bool) -> bool:
        """Whether what this host remembers, and its disk if `disk`, may be lost now.

        The bound that keeps committed data recoverable, argued in `concur.faults.schedule`.
        """

    def crash(self, host: str, *, torn: bool = False, wiped: bool = False) -> bool:
        """Stop a host; False if it is down.

        Of what was not synced a prefix survives, after which the next record is half written if
        `torn`. With `wiped` the disk is lost too, and the host will start as a wiped one.
        """

    def tear(self, host: str) -> None:
        """Crash a host in the middle of its next sync, so that its last record is half written."""

    def restart(self, host: str) -> bool:
        """Start a stopped host. False if it is up."""

    def forget(self, host: str) -> bool:
        """Let a host lose its memory and its disk, and go on at once. False if it is down."""

    def pause(self, host: str, for_ns: int) -> None:
        """Stop the CPU of a host for a while."""

    def order(self, order: Order) -> bool:
        """Let an operator ask the replicas for something. False if there is no operator now."""

    def block(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Let nothing pass from the first host of each pair to the second. Calls add up."""

    def unblock(self, pairs: Iterable[tuple[str, str]]) -> None: ...

    def add_rates(self, loss: float, duplicate: float, reorder: float, late_ns: int = 0) -> None:
        """Add to the probabilities with which all links lose, double and delay messages.

        Copies and delayed messages arrive up to `late_ns` later than they otherwise would.
        """

    def add_delay(self, pairs: Iterable[tuple[str, str]], extra_ns: int) -> None:
        """Add to the time that messages take from the first host of each pair to the second."""

    def add_strays(self, host: str, percent: int, late_ns: int) -> None:
        """Add to the share of a host's messages that go astray, and arrive up to so much later."""

    def add_slowness(self, host: str, cpu: int, disk: int) -> None:
        """Add to the factors by which a host's CPU and disk are slower than they should be."""

    def shift_clock(self, host: str, offset_ns: int, drift_ppm: int) -> None:
        """Add to the offset and the drift of a host's clock."""


class Fault(msgspec.Struct, frozen=True, tag=True, tag_field="fault", kw_only=True):
    """Begins at `at_s` and ends `for_s` later, in seconds of the run.

    A `for_s` of 0 lasts until everything is healed. `str(fault)` says what happens, in words,
    without when. A `momentary` fault is over when it has begun, and nothing takes it back.
    """

    momentary: typing.ClassVar[bool] = False
    at_s: float
    for_s: float = 0.0

    def begin(self, stage: Stage) -> object:
        """Inflict it. What is returned is handed to `end`; None says that it could not be."""
        raise NotImplementedError

    def end(self, stage: Stage, begun: object) -> None:
        """Take it back; called once, at the latest when everything is healed."""


def resolve(stage: Stage, host: str) -> str:
    """The host that is meant now: `leader` is the last that was seen to become one.

    When that one is down, or none was seen, it is the first replica that is up; "" if none is.
    """
    if host != LEADER:
        return host
    if stage.leader and stage.is_up(stage.leader):
        return stage.leader
    return next((name for name in stage.replica_hosts if stage.is_up(name)), "")
