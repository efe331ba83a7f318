"""The real cluster against its peers: puts and linearizable reads a second, in one run.

    python benchmarks/cluster_speed.py                                all, some forty minutes
    python benchmarks/cluster_speed.py raft zookeeper redis           some
    python benchmarks/cluster_speed.py --quick                        to see that it works

Every system has three nodes on loopback (redis and unreplicated have one), with its log synced
(PySyncObj's never is). All run at the same time, idle but for the one that is measured; the systems
take turns within each repetition, so that all see the same weather. The load is a closed loop: so
many connections to the leader (`--spread`: to all nodes), one request outstanding on each, no
pipelining; values of 128 bytes over 10,000 keys. Every answer is checked, and after every load of
puts all keys are read back. PySyncObj has its load inside the leader's process.

Beside every figure: CPU of the generator and of the idle systems, in cores; a canary of fdatasync,
milliseconds, and one of Python, milliseconds for a million additions; server CPU for each command,
the leader first. A figure is the median of the repetitions. `--placement` says who may run where.
"""

import argparse
import os
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster.placement import PLACEMENTS
from cluster.point import Point, Setting, measure
from cluster.processes import Broken
from cluster.systems import OURS, PEERS, SYSTEMS, running
from cluster.tables import HEAD, line, show, show_ratios
from cluster.workload import ASKS

from concur.errors import ConcurError
from concur.parallel import unwinding
from concur.serve.process import run_loop


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", help=", ".join(SYSTEMS))
    parser.add_argument("--connections", default="1,64,256")
    parser.add_argument("--workloads", default=",".join(ASKS))
    parser.add_argument("--placement", default="free,leader", help="; ".join(
        f"{name}: {what}" for name, what in PLACEMENTS.items()))  # fmt: skip
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--spread", action="store_true", help="connect to all nodes in turn")
    parser.add_argument("--dir", type=Path, default=Path(), help="where the logs are kept")
    parser.add_argument("--json", type=Path, help="write all points to this file")
    parser.add_argument("--quick", action="store_true", help="one short repetition, 64 connections")
    given = parser.parse_args()
    if given.quick:
        given.repeat, given.seconds, given.connections, given.placement = 1, 1.0, "64", "free"
    for what, known in (("workloads", ASKS), ("placement", PLACEMENTS)):
        for name in getattr(given, what).split(","):
            if name not in known:
                parser.error(f"--{what} {name}: expected some of {', '.join(known)}")
    for name in given.systems:
        if name not in SYSTEMS:
            parser.error(f"{name}: expected some of {', '.join(SYSTEMS)}")
    points: list[Point] = []
    try:
        with unwinding():
            run_loop(lambda: run(given, points))
    except KeyboardInterrupt:
        print("stopped")
    show(points)
    show_ratios(points, OURS)
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(points)))
    return 0


async def run(given: argparse.Namespace, points: list[Point]) -> int:
    cpus = sorted(os.sched_getaffinity(0))
    settings = [
        Setting(workload, int(connections), placement)
        for workload in given.workloads.split(",")
        for connections in given.connections.split(",")
        for placement in given.placement.split(",")
    ]
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, logs in {given.dir.resolve()}")
    with running(given.systems or [*OURS, *PEERS], given.dir) as systems:
        print(HEAD)
        for _ in range(given.repeat):
            for setting in settings:
                for system in list(systems):
                    others = [other for other in systems if other is not system]
                    try:
                        point = await measure(
                            system, setting, others, cpus, warmup_s=given.warmup,
                            seconds=given.seconds, spread=given.spread, folder=given.dir,
                        )  # fmt: skip
                    except (ConcurError, Broken) as why:
                        print(f"{system.name}: FAILED, {type(why).__name__}: {why}", flush=True)
                        continue
                    points.append(point)
                    print(line(system.name, setting, [point]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
