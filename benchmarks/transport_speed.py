"""Frames a second between two processes on loopback, each pinned to a CPU of its own.

The sender keeps at most 40 turns under way and the receiver acknowledges each, so nothing is
dropped. A turn is what leaves with one write: 1 frame, or 50. With it the CPU time that a frame
costs either side, and the median round trip of a single frame.

    python benchmarks/transport_speed.py [--seconds 2]
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import canary
import trustme
import uvloop

from concur.serve.tls import client_context, server_context
from concur.serve.transport import Transport

TURNS_UNDER_WAY_MAX = 40
ROUND_TRIPS = 2_000
FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pin(cpu: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[cpu % len(allowed)]})


def run(loop: str, main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        return runner.run(main)


def tls(folder: str) -> dict[str, Any]:
    """The contexts of a transport, from the files in `folder`; none if it is empty."""
    if not folder:
        return {}
    files = [Path(folder, name) for name in ("node.pem", "node.key", "ca.pem")]
    return {"server_tls": server_context(*files), "client_tls": client_context(*files)}


def certify(folder: str) -> None:
    """A certificate that names both processes."""
    authority = trustme.CA()
    issued = authority.issue_cert("r1", "r2")
    authority.cert_pem.write_to_path(Path(folder, "ca.pem"))
    issued.private_key_pem.write_to_path(Path(folder, "node.key"))
    Path(folder, "node.pem").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))


async def receive(turn: int, folder: str) -> None:
    """Host r2: after each `turn` frames say how much CPU time this process has used."""
    count = 0

    def hear(group: int, source: str, target: str, path: str, message: bytes | memoryview) -> None:
        nonlocal count
        count += 1
        if count % turn == 0:
            used = time.process_time_ns().to_bytes(8, "big")
            transport.send(0, "r2", "r1", "", used)
            transport.flush()

    transport = Transport(cluster="speed", hosted=("r2",), receive=hear, **tls(folder))
    print(await transport.listen("127.0.0.1:0"), flush=True)
    await asyncio.Event().wait()


async def send(address: str, size: int, turn: int, seconds: float, folder: str) -> str:
    """Host r1: drive r2 for so long; the row of the table."""
    answers: asyncio.Queue[int] = asyncio.Queue()

    def hear(group: int, source: str, target: str, path: str, message: bytes | memoryview) -> None:
        answers.put_nowait(int.from_bytes(message, "big"))

    up = asyncio.Event()
    transport = Transport(
        cluster="speed", hosted=("r1",), receive=hear, link=lambda *_: up.set(), **tls(folder)
    )
    transport.connect("r2", address)
    await up.wait()
    message = os.urandom(size)

    def say() -> None:
        for _ in range(turn):
            if not transport.send(0, "r1", "r2", "", message):
                raise RuntimeError("a frame was dropped")
        transport.flush()

    trips = []
    for _ in range(ROUND_TRIPS if turn == 1 else 0):
        begin = time.perf_counter()
        say()
        await answers.get()
        trips.append((time.perf_counter() - begin) * 1e6)
    say()
    theirs = await answers.get()
    begin, ours, turns, under_way = time.perf_counter(), time.process_time(), 0, 0
    last = theirs
    while (now := time.perf_counter()) < begin + seconds or under_way:
        while under_way < TURNS_UNDER_WAY_MAX and now < begin + seconds:
            say()
            under_way += 1
        last = await answers.get()
        turns, under_way = turns + 1, under_way - 1
        while not answers.empty():
            last = answers.get_nowait()
            turns, under_way = turns + 1, under_way - 1
    took, ours = time.perf_counter() - begin, time.process_time() - ours
    frames = turns * turn
    await transport.close()
    trip = f"{sorted(trips)[len(trips) // 2]:>8.0f}" if trips else f"{'-':>8}"
    return (
        f"{frames / took:>10,.0f} {frames * size / took / 1e6:>8,.0f} {ours / frames * 1e6:>9.2f} "
        f"{(last - theirs) / frames / 1e3:>9.2f} {trip}"
    )


def measure(loop: str, folder: str, size: int, turn: int, seconds: float) -> None:
    command = [sys.executable, __file__, "--receive", "--loop", loop]
    command += ["--turn", str(turn), "--tls", folder]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        address = receiver.stdout.readline().strip()
        row = run(loop, send(address, size, turn, seconds, folder))
    finally:
        receiver.kill()
        receiver.wait()
    what = f"{loop:<8} {'TLS' if folder else 'plain':<6} {size:>6,} {turn:>4}"
    print(f"{what} {row} {canary.loop_s():>7.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row")
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--loop", default="uvloop", help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--tls", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        pin(1)
        with contextlib.suppress(KeyboardInterrupt):
            run(arguments.loop, receive(arguments.turn, arguments.tls))
        return
    pin(0)
    print(
        f"{'loop':<8} {'':<6} {'bytes':>6} {'turn':>4} {'frames/s':>10} {'MB/s':>8} "
        f"{'us, sent':>9} {'us, recvd':>9} {'trip, us':>8} {'canary':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        certify(folder)
        for secured in ("", folder):
            for loop in FACTORIES:
                for size in (100, 10_000):
                    for turn in (1, 50):
                        measure(loop, secured, size, turn, arguments.seconds)


if __name__ == "__main__":
    main()
