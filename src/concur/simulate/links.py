"""Links between hosts: datagrams that may be lost, doubled and reordered, and streams.

A stream delivers a first-in first-out prefix of what was sent; what would be lost on the wire is
sent again after a while, and a blocked or broken stream loses everything that is on its way and
tells both ends.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from concur.chance import WORD, Stream
from concur.simulate.networks import Network

if TYPE_CHECKING:
    from concur.simulate.world import World

RESEND_NS = 200_000_000
"""How long a stream takes to notice that a packet was lost: the usual minimum of TCP."""
REORDER_DELAYS = 8
"""A reordered message is late by up to this many more draws of the link's delay."""


class Link:
    """One direction between two hosts. Draws are made for each message, whatever the rates."""

    __slots__ = (
        "blocked",
        "byte_ps",
        "draws",
        "duplicate",
        "epoch",
        "extra_ns",
        "faults",
        "free_at",
        "last",
        "late_ns",
        "loss",
        "plain",
        "reorder",
        "source",
        "stream",
        "table",
        "target",
    )

    def __init__(
        self,
        seed: int,
        source: str,
        target: str,
        stream: bool,
        table: tuple[int, ...],
        network: Network,
    ) -> None:
        self.source, self.target, self.stream = source, target, stream
        self.table = table
        self.draws = Stream(seed, "delay", source, target, int(stream))
        self.faults = Stream(seed, "link faults", source, target, int(stream))
        bandwidth = network.bandwidth_bytes_per_s
        self.byte_ps = 10**12 // bandwidth if bandwidth else 0
        self.free_at = 0
        self.last = 0
        self.epoch = 0
        self.extra_ns = 0
        self.late_ns = 0
        self.blocked = False
        self.loss = self.duplicate = self.reorder = 0
        self.plain = not stream

    def configure(self, loss: float, duplicate: float, reorder: float, late_ns: int) -> None:
        self.late_ns = late_ns
        self.loss, self.duplicate, self.reorder = (
            int(rate * WORD) for rate in (loss, duplicate, reorder)
        )
        self.plain = not (
            self.stream or self.blocked or self.extra_ns or loss or duplicate or reorder
        )

    def queue(self, at: int, size: int) -> int:
        """How long a message of `size` bytes waits for and takes up the link's bandwidth, ns."""
        start = self.free_at if self.free_at > at else at
        self.free_at = start + size * self.byte_ps // 1000
        return self.free_at - at

    def arrivals(self, world: "World", at: int, size: int) -> Iterable[int]:
        """When the message arrives: never, once, or twice."""
        delay = self.table[next(self.draws) & 1023] + self.extra_ns
        lost, doubled, late = next(self.faults), next(self.faults), next(self.faults)
        if self.blocked:
            world.count["dropped: partition"] += 1
            return ()
        if self.byte_ps:
            delay += self.queue(at, size)
        if self.stream:
            if lost < self.loss:
                world.count["resent on a stream"] += 1
                delay += RESEND_NS
            self.last = max(self.last, at + delay)
            return (self.last,)
        if lost < self.loss:
            world.count["dropped: loss"] += 1
            return ()
        if late < self.reorder:
            world.count["reordered"] += 1
            delay += self.table[late & 1023] * (1 + (late >> 10) % REORDER_DELAYS)
            delay += self.late_ns * late // self.reorder
        if doubled < self.duplicate:
            world.count["duplicated"] += 1
            late_ns = self.late_ns * doubled // self.duplicate
            return at + delay, at + delay + self.table[doubled & 1023] + late_ns
        return (at + delay,)

    def deliver(self, argument: tuple[Any, int]) -> None:
        envelope, epoch = argument
        if not self.stream or epoch == self.epoch:
            envelope[0].arrive(envelope)
