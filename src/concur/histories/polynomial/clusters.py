"""What the order of a register with compare-and-set is made of: see
`concur.histories.polynomial.cas_register`."""

from typing import Any


class Cluster:
    """The operations of one value, and between when and when it certainly was there."""

    __slots__ = (
        "block",
        "call",
        "ended",
        "finish",
        "following",
        "reads",
        "started",
        "value",
        "write",
    )

    def __init__(self, write: int, value: Any) -> None:
        self.write = write
        self.value = value  # as shown
        self.reads: list[int] = []
        self.following: Cluster | None = None
        self.block: Block | None = None
        self.call = self.finish = -1  # last call and first return ...
        self.started = self.ended = write  # ... and whose they are


class Block:
    """Clusters one after the other, and the same of all their operations."""

    __slots__ = ("call", "clusters", "ended", "finish", "number", "started")

    def __init__(self, clusters: list[Cluster]) -> None:
        self.clusters = clusters
        self.number = 0  # in the order by zones
        for cluster in clusters:
            cluster.block = self
        last = max(clusters, key=lambda cluster: cluster.call)
        self.call, self.started = last.call, last
        first = min(clusters, key=lambda cluster: cluster.finish)
        self.finish, self.ended = first.finish, first
