"""What a run measures: latencies, throughput, messages, bytes and CPU for each command."""

import itertools
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concur.simulate.world import World

OUTAGE_NS = 500_000_000
"""Time without any completed command counts as unavailable from this length on."""


class Samples:
    """What happened to operations in the window from `from_ns` to `to_ns`.

    Completions count by when they came. Latencies are those of operations that were asked for in
    the window; one that got no answer counts with the time that its client waited.
    """

    def __init__(self, from_ns: int, to_ns: int) -> None:
        self.from_ns, self.to_ns = from_ns, to_ns
        self.latencies = array("q")
        self.ends = array("q")
        self.unanswered = 0
        self._first = self._last = (0, 0, 0)

    def add(self, call_ns: int, return_ns: int) -> None:
        if self.from_ns <= return_ns <= self.to_ns:
            self.ends.append(return_ns)
        if self.from_ns <= call_ns <= self.to_ns:
            self.latencies.append(return_ns - call_ns)

    def add_unanswered(self, call_ns: int, return_ns: int) -> None:
        if self.from_ns <= call_ns <= self.to_ns:
            self.unanswered += 1
            self.latencies.append(return_ns - call_ns)

    def begin(self, world: "World") -> None:
        self._first = (world.messages_sent, world.bytes_sent, world.cpu_ns())

    def end(self, world: "World") -> None:
        self._last = (world.messages_sent, world.bytes_sent, world.cpu_ns())

    def metrics(self) -> dict[str, float]:
        """The figures by name; latencies are 0 if nothing was asked for.

        `unavailable_s` adds up the gaps of half a second and more in which no command completed.
        """
        ordered = sorted(self.latencies)
        count = len(self.ends)
        span_s = (self.to_ns - self.from_ns) / 1e9
        messages, size, cpu_ns = (
            last - first for first, last in zip(self._first, self._last, strict=True)
        )
        each = max(count, 1)
        return {
            "commands": count,
            "unanswered": self.unanswered,
            "throughput": count / span_s if span_s else 0.0,
            "latency_ms_mean": sum(ordered) / max(len(ordered), 1) / 1e6,
            "latency_ms_p50": percentile_ns(ordered, 0.5) / 1e6,
            "latency_ms_p99": percentile_ns(ordered, 0.99) / 1e6,
            "latency_ms_p999": percentile_ns(ordered, 0.999) / 1e6,
            "messages_per_command": messages / each,
            "bytes_per_command": size / each,
            "cpu_us_per_command": cpu_ns / each / 1e3,
            "unavailable_s": self.unavailable_ns() / 1e9,
        }

    def unavailable_ns(self) -> int:
        moments = [self.from_ns, *sorted(self.ends), self.to_ns]
        gaps = (b - a for a, b in itertools.pairwise(moments))
        return sum(gap for gap in gaps if gap >= OUTAGE_NS)


def percentile_ns(ordered: "list[int]", share: float) -> int:
    """The nearest-rank percentile of sorted values; 0 if there are none."""
    if not ordered:
        return 0
    rank = -(-int(share * 1000) * len(ordered) // 1000)
    return ordered[max(rank, 1) - 1]
