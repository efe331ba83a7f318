"""One point: one system, one load, once."""

import time
from pathlib import Path
from typing import Any

import msgspec

from cluster import placement
from cluster.canaries import look
from cluster.processes import cpu_s
from cluster.system import System


class Setting(msgspec.Struct, frozen=True):
    """What is the same for all systems of a point."""

    workload: str
    connections: int
    placement: str


class Point(msgspec.Struct, frozen=True):
    """What was measured. CPU is of the measured time."""

    system: str
    setting: Setting
    throughput: float
    p50_ms: float
    p99_ms: float
    generator_cores: float
    """CPU of the generator: as much of a core as it took."""
    server_us: tuple[float, ...]
    """CPU microseconds for each command, by node, the leader first."""
    others_cores: float
    """CPU of the other systems that are running, idle."""
    sync_ms: float
    loop_ms: float
    refusals: int


async def measure(
    system: System,
    setting: Setting,
    others: list[System],
    cpus: list[int],
    *,
    warmup_s: float,
    seconds: float,
    spread: bool,
    folder: Path,
) -> Point:
    placement.place(setting.placement, system, cpus)
    canary = look(folder)
    idle = [pid for other in others for pid in other.pids]
    marks: list[tuple[float, list[float], float]] = []

    def mark() -> None:
        servers = [cpu_s(pid) for pid in system.pids]
        marks.append((time.perf_counter(), servers, sum(map(cpu_s, idle))))

    figures: dict[str, Any] = await system.load(
        setting.workload,
        setting.connections,
        warmup_s=warmup_s,
        seconds=seconds,
        spread=spread,
        mark=mark,
    )
    (begin, before, idle_before), (end, after, idle_after) = marks
    commands = max(figures["commands"], 1)
    leader = system.leader() or 0
    used = [(b - a) * 1e6 / commands for a, b in zip(before, after, strict=True)]
    return Point(
        system=system.name,
        setting=setting,
        throughput=figures["throughput"],
        p50_ms=figures["latency_ms_p50"] or 0.0,
        p99_ms=figures["latency_ms_p99"] or 0.0,
        generator_cores=figures["generator_cpu_s"] / figures["span_s"],
        server_us=(used[leader], *used[:leader], *used[leader + 1 :]),
        others_cores=(idle_after - idle_before) / (end - begin),
        sync_ms=canary.sync_ms,
        loop_ms=canary.loop_ms,
        refusals=figures["refusals"],
    )
