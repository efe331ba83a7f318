"""When requests were answered and how long each took, and the figures made of it."""

from array import array
from typing import Any

OUTAGE_NS = 500_000_000
"""Time without any answer counts as unavailable from this length on, as in a simulation."""


class Answers:
    """Two columns: appending is all that is done while a load runs."""

    def __init__(self) -> None:
        self.ends_ns = array("q")
        self.took_ns = array("q")

    def __len__(self) -> int:
        return len(self.ends_ns)

    def add(self, asked_ns: int, now_ns: int) -> None:
        self.ends_ns.append(now_ns)
        self.took_ns.append(now_ns - asked_ns)

    def figures(self, from_ns: int, to_ns: int) -> dict[str, Any]:
        """Of what was answered from one moment to the other: throughput, latencies, gaps."""
        inside = [i for i, end in enumerate(self.ends_ns) if from_ns <= end <= to_ns]
        ordered = sorted(self.took_ns[i] for i in inside)
        span_s = (to_ns - from_ns) / 1e9
        return {
            "commands": len(ordered),
            "throughput": len(ordered) / span_s if span_s > 0 else 0.0,
            "latency_ms_mean": sum(ordered) / len(ordered) / 1e6 if ordered else None,
            "latency_ms_p50": percentile_ms(ordered, 0.5),
            "latency_ms_p99": percentile_ms(ordered, 0.99),
            "latency_ms_p999": percentile_ms(ordered, 0.999),
            "unavailable_s": self._unavailable_ns(inside, from_ns, to_ns) / 1e9,
        }

    def _unavailable_ns(self, inside: list[int], from_ns: int, to_ns: int) -> int:
        """Gaps of `OUTAGE_NS` and more, added up. Answers are kept in the order of time."""
        last, total = from_ns, 0
        for end in [*(self.ends_ns[i] for i in inside), to_ns]:
            if end - last >= OUTAGE_NS:
                total += end - last
            last = end
        return total


def percentile_ms(ordered: list[int], share: float) -> float | None:
    """The nearest-rank percentile of sorted nanoseconds, in ms; None if there are none."""
    if not ordered:
        return None
    rank = -(-int(share * 1000) * len(ordered) // 1000)
    return ordered[max(rank, 1) - 1] / 1e6
