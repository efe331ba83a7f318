"""Metrics by name: what each figure of a run means, its unit, and which way is better."""

from typing import Literal

import msgspec

from concur.errors import BadInput


class Metric(msgspec.Struct, frozen=True):
    """One figure of a run. `label` is its short name in a table, `unit` what it counts."""

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower"]
    doc: str
    decimals: int = 1


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "commands", "commands", "commands", "higher",
            "commands that were answered within the measured time", 0,
        ),
        Metric(
            "unanswered", "unanswered", "commands", "lower",
            "commands that ended without a result; they count in latencies with the time waited", 0,
        ),
        Metric(
            "throughput", "cmd/s", "commands/s", "higher",
            "answered commands for each second of the measured time", 0,
        ),
        Metric("latency_ms_mean", "mean ms", "ms", "lower", "mean latency seen by clients"),
        Metric("latency_ms_p50", "p50 ms", "ms", "lower", "median latency seen by clients"),
        Metric(
            "latency_ms_p99", "p99 ms", "ms", "lower",
            "latency that 99 % of the commands stayed within",
        ),
        Metric(
            "latency_ms_p999", "p99.9 ms", "ms", "lower",
            "latency that 99.9 % of the commands stayed within",
        ),
        Metric(
            "messages_per_command", "msg/cmd", "messages", "lower",
            "messages sent by all nodes, clients among them, for each answered command",
        ),
        Metric(
            "bytes_per_command", "B/cmd", "bytes", "lower",
            "bytes sent by all nodes, clients among them, for each answered command", 0,
        ),
        Metric(
            "cpu_us_per_command", "CPU µs/cmd", "µs", "lower",
            "CPU time of all nodes but the clients, summed, for each answered command",
        ),
        Metric(
            "unavailable_s", "down s", "s", "lower",
            "the gaps of half a second and more in which no command was answered, added up",
        ),
    )
}  # fmt: skip
"""Every metric, in the order in which people read them."""


def metric(name: str) -> Metric:
    """The metric of that name. Raises BadInput, listing the names, if there is none."""
    known = METRICS.get(name)
    if known is None:
        raise BadInput(f"metric {name!r}: unknown, expected one of {', '.join(METRICS)}")
    return known
