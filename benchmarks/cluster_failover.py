"""Time without service after kill -9 of the leader, at default settings: ours and the peers.

    python benchmarks/cluster_failover.py                   20 rounds of each
    python benchmarks/cluster_failover.py raft etcd --rounds 5
    python benchmarks/cluster_failover.py raft --calm 600   false elections in 10 minutes of load

A round: the leader is killed while it serves, and from that moment every node that is left is asked
for a new put every 10 ms, on a connection of its own; the time until the first is acknowledged is
the time without service. Then the node is started again, and all have a few seconds to settle. The
systems take turns. PySyncObj is asked inside the processes that are left.

`--calm` kills nobody: it loads the leader of ours and counts how often one began to lead.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster.canaries import look
from cluster.ours import Ours
from cluster.processes import Broken
from cluster.system import System
from cluster.systems import SYSTEMS, running

from concur.errors import ConcurError
from concur.parallel import unwinding
from concur.serve.process import run_loop

DEFAULT = (
    "raft", "multi-paxos", "viewstamped-replication", "viewstamped-replication-on-disk", "etcd",
    "pysyncobj-default",
)  # fmt: skip
CALM_CONNECTIONS = 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", help=", ".join(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calm", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--dir", type=Path, default=Path(), help="where the logs are kept")
    given = parser.parse_args()
    for name in given.systems:
        if name not in SYSTEMS:
            parser.error(f"{name}: expected some of {', '.join(SYSTEMS)}")
    try:
        with unwinding():
            run_loop(lambda: run(given))
    except KeyboardInterrupt:
        print("stopped")
    return 0


async def run(given: argparse.Namespace) -> int:
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, logs in {given.dir.resolve()}")
    with running(given.systems or list(DEFAULT), given.dir) as systems:
        if given.calm:
            for system in systems:
                if isinstance(system, Ours):
                    await calm(system, given.calm, given.dir)
            return 0
        gaps: dict[str, list[float]] = {system.name: [] for system in systems}
        try:
            await asyncio.sleep(max((system.settle_s for system in systems), default=0.0))
            for number in range(given.rounds):
                for system in systems:
                    await one(system, number, gaps[system.name], given.dir)
        finally:
            show(gaps)
    return 0


async def one(system: System, number: int, gaps: list[float], folder: Path) -> None:
    """Kill the leader once."""
    canary = look(folder)
    try:
        leader = system.wait_for_leader()
        await system.served(without=-1)  # the leader serves
        begin = time.monotonic()
        system.nodes[leader].kill()
        gap = await system.served(without=leader) - begin
    except (Broken, ConcurError) as why:
        print(f"{system.name}: round {number + 1} FAILED, {why}", flush=True)
        return
    gaps.append(gap)
    print(
        f"{system.name:34} round {number + 1:>2}: {gap * 1e3:7.0f} ms   "
        f"(sync {canary.sync_ms:.2f} ms, loop {canary.loop_ms:.0f} ms)",
        flush=True,
    )
    system.restart(leader)
    system.wait_for_leader()
    await asyncio.sleep(system.settle_s)


def show(gaps: dict[str, list[float]]) -> None:
    heads = "".join(f"{head:>8}" for head in ("rounds", "median", "least", "p90", "most"))
    print(f"\n{'without service, ms':34}{heads}")
    for name, all_of in gaps.items():
        ms = sorted(gap * 1e3 for gap in all_of)
        if ms:
            p90 = quantiles(ms, n=10)[-1] if len(ms) > 1 else ms[0]
            print(f"{name:34}{len(ms):>8}{median(ms):>8.0f}{ms[0]:>8.0f}{p90:>8.0f}{ms[-1]:>8.0f}")


async def calm(system: Ours, seconds: float, folder: Path) -> None:
    """Full load, nobody killed: nobody should begin to lead."""
    before = system.counted("leader")
    canary = look(folder)
    figures = await system.load(
        "puts", CALM_CONNECTIONS, warmup_s=1.0, seconds=seconds, spread=False, mark=lambda: None
    )
    print(
        f"{system.name:34} {figures['span_s']:.0f} s, {figures['commands']:,} puts "
        f"({figures['throughput']:,.0f} per s, p99 {figures['latency_ms_p99']:.1f} ms): "
        f"{system.counted('leader') - before} elections, {system.counted('snapshots')} snapshots   "
        f"(sync {canary.sync_ms:.2f} ms, loop {canary.loop_ms:.0f} ms)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
