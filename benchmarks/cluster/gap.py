"""How long nobody is served: puts are tried again and again, until one succeeds.

Every `INTERVAL_S` a new connection to each node that is left asks for one put; what it waits for
does not hold up the next. So no client's time-out or pause between attempts is measured with it.
"""

import asyncio
import time
from itertools import count

from cluster.processes import Broken
from cluster.system import System
from concur.errors import ConcurError
from concur.serve.load.drive import Address, Asker, Load
from concur.serve.load.wire import Answer, Wire

INTERVAL_S = 0.01
GAP_S_MAX = 30.0
_numbers = count()


class _Probe(Asker):
    """One put."""

    def __init__(self, found: "asyncio.Future[float]") -> None:
        self.found = found
        self.asked = False

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        if self.asked:
            return None
        self.asked = True
        return wire.put(b"probe", b"%d" % next(_numbers))

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        if answer is True and not self.found.done():
            self.found.set_result(time.monotonic())

    def lost(self, why: str, now_ns: int) -> None:
        pass


async def served(system: System, doors: list[Address]) -> float:
    """When, on the monotonic clock, a put was acknowledged that was asked from now on.

    Raises Broken if none is within `GAP_S_MAX`.
    """
    found: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    probes: set[asyncio.Task[None]] = set()

    async def probe(door: Address) -> None:
        load = Load([door], system.wire, [_Probe(found)], timeout_s=GAP_S_MAX)
        try:
            await load.connect()
            load.begin()
            await load.during(GAP_S_MAX)
        except ConcurError:
            pass  # the next one may be luckier
        finally:
            await load.close()

    deadline = time.monotonic() + GAP_S_MAX
    try:
        while not found.done():
            if time.monotonic() > deadline:
                raise Broken(f"{system.name}: nobody is served within {GAP_S_MAX:g} s")
            for door in doors:
                task = asyncio.create_task(probe(door))
                probes.add(task)
                task.add_done_callback(probes.discard)
            await asyncio.wait([found], timeout=INTERVAL_S)
        return found.result()
    finally:
        for task in list(probes):
            task.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
