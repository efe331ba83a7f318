"""Durations that are counted all the time: a histogram whose buckets double."""

BUCKETS = 28
"""From below a microsecond to over a minute."""


class Durations:
    """How often what took how long. To note one costs a fraction of a microsecond."""

    __slots__ = ("counts", "total_ns")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total_ns = 0

    def note(self, duration_ns: int) -> None:
        # Bucket k is for those below 2**k microseconds that no bucket before it is for.
        self.counts[min((duration_ns // 1000).bit_length(), BUCKETS - 1)] += 1
        self.total_ns += duration_ns

    @property
    def count(self) -> int:
        return sum(self.counts)

    def buckets(self) -> list[tuple[float, int]]:
        """Upper bounds in seconds, the last one infinite, and how many were below each."""
        found, below = [], 0
        for k, count in enumerate(self.counts):
            below += count
            found.append(((1 << k) * 1e-6 if k < BUCKETS - 1 else float("inf"), below))
        return found

    def quantile_s(self, share: float) -> float | None:
        """The duration that `share` of all stay below, to within its bucket; None without any."""
        wanted = share * self.count
        below = 0
        for k, count in enumerate(self.counts):
            if count and below + count >= wanted:
                low, high = (1 << k >> 1) * 1e-6, (1 << k) * 1e-6
                return low + (high - low) * max(wanted - below, 0) / count
            below += count
        return None
