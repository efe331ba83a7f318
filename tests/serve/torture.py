"""A real cluster under load while its processes are killed, stopped and started again.

Clients put, get and compare-and-set on a few keys, through the Python client; every operation is
recorded. Each round does something to one process, which in every other round is the leader's, and
measures the longest time in which no client got anything done.
"""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from concur.base import Protocol
from concur.chance import Stream
from concur.histories import History
from concur.histories.record import Recorder
from concur.machines.redis import Cas, Get, Set
from concur.serve.client import AsyncClient, DefiniteError, IndefiniteError
from concur.serve.local import Cluster, make

KEYS = ("a", "b", "c", "d", "e")
CLIENTS = 6
PAUSE_S = (0.2, 1.0)
"""For how long a process is stopped, and how long a round goes on after what was done."""


class Ordeal(msgspec.Struct):
    """What a run came to. `outages_s` has one figure for each round."""

    history: History
    outages_s: list[float]
    done: dict[str, int]
    complaints: list[str]


async def torture(directory: Path, protocol: Protocol, rounds: int, seed: int) -> Ordeal:
    """Raises BadInput if the cluster does not start."""
    draws = Stream(seed, "torture")
    complaints: list[str] = []
    configs = make(directory, protocol, 3, "redis", 0)
    cluster = Cluster(configs, complaints.append)
    recorder = Recorder("kv", fails=(DefiniteError,))
    moments: list[float] = []
    done: dict[str, int] = {"kill": 0, "stop": 0}
    outages: list[float] = []
    await cluster.start()
    try:
        await cluster.ready()
        clients = [await AsyncClient.connect(directory) for _ in range(CLIENTS)]
        working = [
            asyncio.create_task(
                _work(client, number, recorder, moments, Stream(seed, "work", number))
            )
            for number, client in enumerate(clients)
        ]
        for number in range(rounds):
            began = time.monotonic()
            names = [config.node for config in configs]
            victim = names[draws.below(3)] if number % 2 else await _leader(clients[0], names)
            process = cluster.processes[victim]
            if draws.chance(0.5):
                done["kill"] += 1
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            else:
                done["stop"] += 1
                os.kill(process.pid, signal.SIGSTOP)
                await asyncio.sleep(draws.uniform(*PAUSE_S))
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
            await asyncio.sleep(draws.uniform(*PAUSE_S))
            before = len(moments)
            while len(moments) < before + CLIENTS and not any(task.done() for task in working):
                await asyncio.sleep(0.005)
            outages.append(_longest(moments, began))
            await _caught_up(clients[0], victim, number)
        for task in working:
            task.cancel()
        ended = await asyncio.gather(*working, return_exceptions=True)
        wrong = [e for e in ended if not isinstance(e, asyncio.CancelledError)]
        for client in clients:
            await client.close()
        if wrong:
            raise AssertionError(f"a client ended: {wrong[0]!r}")
    finally:
        await cluster.stop()
    return Ordeal(recorder.history, outages, done, complaints)


async def _caught_up(client: AsyncClient, node: str, number: int) -> None:
    """Return when `node` has what was put just now: the next round may break another one, and more
    than one broken at a time is more than three replicas promise to bear."""
    with suppress(IndefiniteError):
        await client.propose(Set(b"round", b"%d" % number))
    while True:
        with suppress(DefiniteError):
            if await client.read(Get(b"round"), consistency="local", node=node) == b"%d" % number:
                return
        await asyncio.sleep(0.01)


async def _leader(client: AsyncClient, names: Sequence[str]) -> str:
    """Whom the client believes to lead: it was right when it last got an answer."""
    (place,) = client._host.places.values()
    return getattr(place.node, "leader", "") or names[0]


async def _work(
    client: AsyncClient, number: int, recorder: Recorder, moments: list[float], draws: Stream
) -> None:
    count = 0
    while True:
        key = KEYS[draws.below(len(KEYS))]
        kind = draws.below(4)
        count += 1
        value = f"{number}.{count}"
        with suppress(DefiniteError, IndefiniteError), recorder.client():
            if kind < 2:
                with recorder.operation("get", key=key) as op:
                    found = await client.read(Get(key.encode()))
                    op.ok(None if found is None else found.decode())
            elif kind == 2:
                with recorder.operation("put", key=key, value=value) as op:
                    await client.propose(Set(key.encode(), value.encode()))
                    op.ok(value)
            else:
                old = await client.read(Get(key.encode()), consistency="local")
                expected = None if old is None else old.decode()
                with recorder.operation("cas", key=key, value=(expected, value)) as op:
                    if await client.propose(Cas(key.encode(), old, value.encode())):
                        op.ok((expected, value))
                    else:
                        op.fail("mismatch")
            moments.append(time.monotonic())
        await asyncio.sleep(draws.uniform(0.0, 0.01))


def _longest(moments: list[float], since: float) -> float:
    """The longest time without anything done, from `since` on."""
    recent = [since, *(moment for moment in moments if moment > since)]
    return max((b - a for a, b in itertools.pairwise(recent)), default=0.0)
