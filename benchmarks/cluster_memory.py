"""Memory and journal of a real cluster: after a million puts, and with 10,000 idle connections.

    python benchmarks/cluster_memory.py                      raft, some minutes
    python benchmarks/cluster_memory.py multi-paxos --puts 100000

Puts of 128 bytes over 10,000 keys, by a closed loop of 256 connections to the leader; printed on
the way: resident memory of each node now and at its highest, and what its folder takes on the disk.
Then idle connections to the leader, in thousands, while a few others go on asking; they must all
still be there in the end.
"""

import argparse
import asyncio
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster.canaries import look
from cluster.ours import Ours
from cluster.processes import folder_mb, memory_mb
from cluster.system import System
from cluster.systems import OURS, running
from cluster.workload import GetsOfAll, Puts, Table

from concur.parallel import unwinding
from concur.serve.load.drive import Address, Load
from concur.serve.load.figures import Answers
from concur.serve.load.resp import command
from concur.serve.process import run_loop

CONNECTIONS = 256
BUSY = 8
"""Connections that go on asking while the others idle."""
IDLE_S = 5.0
STEPS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", default=["raft"], help=", ".join(OURS))
    parser.add_argument("--puts", type=int, default=1_000_000)
    parser.add_argument("--idle", type=int, default=10_000, help="connections")
    parser.add_argument("--dir", type=Path, default=Path(), help="where the logs are kept")
    given = parser.parse_args()
    for name in given.systems:
        if name not in OURS:
            parser.error(f"{name}: expected some of {', '.join(OURS)}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of the servers too, which inherit it
    if most < given.idle + 1000:
        parser.error(f"--idle {given.idle}: this system allows {most} open files")
    try:
        with unwinding():
            run_loop(lambda: run(given))
    except KeyboardInterrupt:
        print("stopped")
    return 0


async def run(given: argparse.Namespace) -> int:
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, logs in {given.dir.resolve()}")
    for name in given.systems:
        with running([name], given.dir) as systems:
            for system in systems:
                assert isinstance(system, Ours)
                await puts(system, given.puts, given.dir)
                await idle(system, given.idle)
    return 0


def show(what: str, system: System) -> None:
    """Memory of each node, the leader first, and its folder."""
    leader = system.leader() or 0
    cells = []
    for index in sorted(range(system.replicas), key=lambda i: i != leader):
        now, most = memory_mb(system.pids[index])
        disk = folder_mb(system.folder / f"r{index + 1}")
        cells.append(f"{now:5.0f} MB (most {most:4.0f}), disk {disk:6.1f} MB")
    print(f"{what:>16}: " + "; ".join(cells), flush=True)


async def puts(system: Ours, count: int, folder: Path) -> None:
    canary = look(folder)
    print(f"(sync {canary.sync_ms:.2f} ms, loop {canary.loop_ms:.0f} ms)")
    show("at the beginning", system)
    table = Table()
    addresses = system.addresses(spread=False)
    began = time.perf_counter()
    for step in range(1, STEPS + 1):
        answers = Answers()
        askers = [Puts(table, answers, i, CONNECTIONS) for i in range(CONNECTIONS)]
        load = Load(addresses, system.wire, askers)
        try:
            await load.connect()
            load.begin()
            while table.puts < count * step // STEPS:
                await load.during(0.02)
            load.stop()
            await load.ended()
        finally:
            await load.close()
        show(f"{table.puts:,} puts", system)
    rate = table.puts / (time.perf_counter() - began)
    written = [i for i, value in enumerate(table.values) if value]
    table.keys, table.values = (
        [column[i] for i in written] for column in (table.keys, table.values)
    )
    await system.once(GetsOfAll, table, addresses)
    print(f"{rate:,.0f} puts per s; all {len(written):,} keys were read back", flush=True)
    print(
        f"segments of the journals: {[s['journal_segments'] for s in system.statuses()]}, "
        f"snapshots: {system.counted('snapshots')}, elections: {system.counted('leader')}"
    )


class _Idle(asyncio.Protocol):
    """Says PING once, when it is told to."""

    def __init__(self) -> None:
        self.pong = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ping(self) -> None:
        self.transport.write(command(b"PING"))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.pong.done():
            self.pong.set_result(data == b"+PONG\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.pong.done():
            self.pong.set_result(False)


async def idle(system: Ours, count: int) -> None:
    host, port = system.doors[system.wait_for_leader()]
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    protocols: list[_Idle] = []
    while len(protocols) < count:
        some = [
            loop.create_connection(_Idle, host, port)
            for _ in range(min(100, count - len(protocols)))
        ]
        protocols += [protocol for _, protocol in await asyncio.gather(*some)]
    took = time.perf_counter() - began
    show(f"{len(protocols):,} idle", system)
    figures = await _busy(system, (host, port))
    for protocol in protocols:
        protocol.ping()
    answered = sum(await asyncio.gather(*(protocol.pong for protocol in protocols)))
    print(
        f"{len(protocols):,} connections made in {took:.1f} s, {answered:,} of them answered a "
        f"PING in the end; meanwhile {BUSY} others had {figures['throughput']:,.0f} puts per s, "
        f"p99 {figures['latency_ms_p99']:.1f} ms",
        flush=True,
    )
    for protocol in protocols:
        protocol.transport.close()


async def _busy(system: Ours, address: Address) -> dict[str, float]:
    answers, table = Answers(), Table()
    load = Load([address], system.wire, [Puts(table, answers, i, BUSY) for i in range(BUSY)])
    try:
        await load.connect()
        load.begin()
        began = time.perf_counter_ns()
        await load.during(IDLE_S)
        figures = answers.figures(began, time.perf_counter_ns())
        load.stop()
        await load.ended()
    finally:
        await load.close()
    return figures


if __name__ == "__main__":
    sys.exit(main())
