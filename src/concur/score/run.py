"""One run of a comparison: one protocol, one seed; and what is kept of it."""

import math
from typing import Any

import msgspec

from concur.base import Protocol
from concur.faults.schedule import Schedule
from concur.histories import Verdict
from concur.properties import Violation
from concur.score.setting import Setting

BINS = 150
"""Bars of the timeline."""
LATENCY_STEPS = 50
"""Steps of the latency histogram for each factor of ten; each is 4.7 % wide."""


class Task(msgspec.Struct, frozen=True):
    """What a worker is asked to do; `index` tells which protocol of the comparison it is."""

    index: int
    protocol: Protocol
    seed: int
    schedule: Schedule
    setting: Setting


class Run(msgspec.Struct, frozen=True):
    """What came of it.

    `timeline` counts the commands completed in each of `BINS` equal parts of the run, `latencies`
    those in each step of a logarithmic histogram (see `latency_ms`).
    """

    index: int
    seed: int
    metrics: dict[str, float]
    verdict: Verdict
    violations: tuple[Violation, ...]
    coverage: dict[str, int]
    timeline: tuple[int, ...]
    latencies: dict[int, int]

    @property
    def valid(self) -> "bool | str":
        """True: linearizable, and no property broke. "unknown": the check did not end."""
        if self.violations or self.verdict.valid is False:
            return False
        return self.verdict.valid

    @property
    def reason(self) -> str:
        """Why it is not valid; "" if it is."""
        if self.violations:
            broken = self.violations[0]
            return f"{broken.property}: {broken.reason}"
        return "" if self.verdict.valid is True else self.verdict.reason


def run(task: Task) -> Run:
    """Simulate, check, and keep what the tables and charts need."""
    from concur.simulate.simulation import Simulation

    given = task.setting
    done = Simulation(
        task.protocol,
        replicas=given.replicas,
        clients=given.clients,
        spares=given.spares if task.protocol.tags.membership else None,
        network=given.network,
        machine=given.machine,
        seed=task.seed,
        check_s_max=given.check_s_max,
    ).run(given.workload, faults=task.schedule, seconds=given.seconds, warmup_s=given.warmup_s)
    return Run(
        index=task.index,
        seed=task.seed,
        metrics=done.metrics_,
        verdict=done.verdict_,
        violations=done.violations_,
        coverage=done.coverage_,
        timeline=_timeline(done.samples_.ends, given.seconds),
        latencies=_histogram(done.samples_.latencies),
    )


def latency_ms(step: int) -> float:
    """The upper end of a step of the latency histogram, in milliseconds."""
    return float(10 ** ((step + 1) / LATENCY_STEPS) / 1e6)


def _histogram(latencies: Any) -> dict[int, int]:
    counts: dict[int, int] = {}
    for latency_ns in latencies:
        step = int(math.log10(max(latency_ns, 1)) * LATENCY_STEPS)
        counts[step] = counts.get(step, 0) + 1
    return counts


def _timeline(ends: Any, seconds: float) -> tuple[int, ...]:
    counts = [0] * BINS
    width_ns = seconds * 1e9 / BINS
    for end_ns in ends:
        counts[min(int(end_ns / width_ns), BINS - 1)] += 1
    return tuple(counts)
