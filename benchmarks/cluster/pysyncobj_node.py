"""One node of PySyncObj, told by lines of JSON what to do, and with the load inside it.

    python pysyncobj_node.py best|default SELF OTHER OTHER

A client of PySyncObj lives in the process of a node. So the load does, in that of the leader, where
it is fastest: no socket, no encoding, the answer is a callback. Reads are replicated commands, for
the library's own reads are local ones.

`best` is its fastest setting, found by trying: a loop of our own instead of its thread, entries
sent every 0.3 ms in batches, no journal (which it never syncs anyway), no compaction while it runs.
"""

import importlib
import json
import logging
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from cluster.workload import ASKS, Asks, GetsOfAll, PutsOfAll, Table
from concur.serve.load.figures import Answers
from concur.serve.load.wire import Answer, More, Refusal, Wire

pysyncobj: Any = importlib.import_module("pysyncobj")
"""Not always installed, and without types."""

PERIOD_S = 0.0003
TICK_S = 0.0001
IDLE_TICK_S = 0.02
"""A tick ends when something comes, so that this costs a follower no time."""
FILLING = 64


class Store(pysyncobj.SyncObj):  # type: ignore[misc]
    def __init__(self, me: str, others: list[str], conf: Any) -> None:
        self.held: dict[bytes, bytes] = {}
        super().__init__(me, others, conf)

    @pysyncobj.replicated  # type: ignore[untyped-decorator]
    def put(self, key: bytes, value: bytes) -> bool:
        self.held[key] = value
        return True

    @pysyncobj.replicated  # type: ignore[untyped-decorator]
    def get(self, key: bytes) -> bytes | None:
        return self.held.get(key)


class Calls(Wire):
    """Notes what is asked instead of encoding it."""

    key = value = b""

    def put(self, key: bytes, value: bytes) -> bytes:
        self.key, self.value = key, value
        return b"put"

    def get(self, key: bytes) -> bytes:
        self.key = key
        return b"get"

    def receive(self, data: bytes) -> Answer | More:
        raise NotImplementedError("there is no wire")


class Loop:
    """So many requests outstanding, each replaced when it is answered."""

    def __init__(self, store: Store, askers: list[Asks]) -> None:
        self.store = store
        self.calls = Calls()
        self.stopping = False
        self.open = len(askers)
        for asker in askers:
            self.next(asker)

    def next(self, asker: Asks) -> None:
        now = time.perf_counter_ns()
        what = None if self.stopping else asker.ask(self.calls, now)
        if what is None:
            self.open -= 1
            return

        def answered(result: Any, error: int) -> None:
            answer = Refusal("info", f"error {error}") if error else result
            asker.answered(answer, now, time.perf_counter_ns())
            self.next(asker)

        if what == b"put":
            self.store.put(self.calls.key, self.calls.value, callback=answered)
        else:
            self.store.get(self.calls.key, callback=answered)


class Node:
    def __init__(self, setting: str, me: str, others: list[str]) -> None:
        self.ticks = setting == "best"
        conf = pysyncobj.SyncObjConf()
        if self.ticks:
            conf = pysyncobj.SyncObjConf(
                autoTick=False,
                appendEntriesPeriod=PERIOD_S,
                logCompactionMinEntries=10**9,
                logCompactionMinTime=10**9,
            )
        self.store = Store(me, others, conf)
        self.table: Table | None = None

    def idle(self) -> None:
        if self.ticks:
            self.store.doTick(IDLE_TICK_S)
        else:
            time.sleep(IDLE_TICK_S)

    def tick(self, until: float | None = None, loop: Loop | None = None) -> None:
        """Tick until then, or until the loop is over."""
        while until is None or time.perf_counter() < until:
            if loop is not None and loop.open == 0:
                return
            self.store.doTick(TICK_S)

    def once(self, asks: type[Asks], table: Table) -> None:
        askers = [asks(table, Answers(), i, FILLING) for i in range(FILLING)]
        self.tick(None, Loop(self.store, askers))

    def load(self, order: dict[str, Any]) -> None:
        if self.table is None:
            table = Table()
            self.once(PutsOfAll, table)
            self.table = table
        table, answers = self.table, Answers()
        count = order["connections"]
        asks = ASKS[order["workload"]]
        loop = Loop(self.store, [asks(table, answers, i, count) for i in range(count)])
        self.tick(time.perf_counter() + order["warmup_s"])
        begin, used = time.perf_counter_ns(), cpu_s()
        say({"mark": "begin"})
        self.tick(time.perf_counter() + order["seconds"])
        end, used = time.perf_counter_ns(), cpu_s() - used
        say({"mark": "end"})
        loop.stopping = True
        self.tick(None, loop)
        figures = answers.figures(begin, end) | {"generator_cpu_s": used}
        if order["workload"] == "puts":
            self.once(GetsOfAll, table)
        say(figures | {"refusals": table.refusals, "span_s": (end - begin) / 1e9})

    def probe(self, order: dict[str, Any]) -> None:
        """A put every so often, until one that was asked after `after` is acknowledged."""
        found: list[float] = []

        def ask() -> None:
            asked = time.monotonic()

            def answered(result: Any, error: int) -> None:
                if not error and asked >= order["after"]:
                    found.append(time.monotonic())

            self.store.put(b"probe", b"v", callback=answered)

        deadline = time.monotonic() + order["seconds_max"]
        while not found and time.monotonic() < deadline:
            ask()
            time.sleep(order["interval_s"])
        say({"served": found[0] if found else None})


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    logging.disable()
    node = Node(sys.argv[1], sys.argv[2], sys.argv[3:])
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        orders.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        node.idle()
        try:
            order = orders.get_nowait()
        except queue.Empty:
            continue
        if order is None:
            return
        if order["do"] == "status":
            say({"leads": node.store._isLeader()})
        elif order["do"] == "load":
            node.load(order)
        else:
            node.probe(order)


if __name__ == "__main__":
    main()
