"""How fast `concur.histories` records, reads, writes and checks.

    python benchmarks/check_speed.py            a table; about half a minute
    python benchmarks/check_speed.py --quick    small sizes

Histories are made from a run of the machine itself: every client calls, waits and returns, and a
command takes effect at a random instant in between, so each history is linearizable unless a
read is spoilt on purpose. `canary` is a fixed pure-Python loop: compare figures of two machines, or
of a busy and an idle one, relative to it.
"""

import heapq
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from concur.chance import Stream
from concur.histories import History, Verdict, check, read_jsonl
from concur.machines.base import Machine
from concur.machines.kv import KeyValue
from concur.machines.register import Register

Ask = tuple[str, Any, Any]
SEED = 7


def canary() -> float:
    """Seconds that ten million additions take."""
    started = perf_counter()
    total = 0
    for number in range(10_000_000):
        total += number & 7
    return perf_counter() - started


def run(
    machine: Machine[Any, Any],
    asks: Iterator[Ask],
    operations: int,
    clients: int,
    lost: float = 0.0,
    spoil: bool = False,
) -> History:
    """A history of closed-loop clients whose commands take 1 to 100 us, uniformly.

    A share `lost` of the operations gets no answer; half of these take effect all the same, up to
    1 ms later. With `spoil`, one read late in the history returns what another read long before.
    """
    chance = Stream(SEED, "run", operations, clients)
    history = History(machine.name)
    state = machine.initial()
    # (time, tie, what, client or command, op)
    agenda: list[tuple[int, int, str, Any, Any]] = [
        (chance.below(100_000), tie, "call", tie, None) for tie in range(clients)
    ]
    heapq.heapify(agenda)
    tie = processes = clients
    reads: list[tuple[Any, Any]] = []
    spoiled = not spoil
    made = 0
    while agenda:
        time, _, what, subject, more = heapq.heappop(agenda)
        tie += 1
        if what == "call":
            if made == operations:
                continue
            made += 1
            f, key, value = next(asks)
            op = history.invoke(subject, f, key, value, time)
            command = machine.command(f, key, value)
            takes = 1_000 + chance.below(99_000)
            if chance.chance(lost):
                if chance.chance(0.5):
                    late = time + chance.below(1_000_000)
                    heapq.heappush(agenda, (late, tie, "apply", command, None))
                history.complete(op, "info", None, time + takes, "timeout")
                heapq.heappush(agenda, (time + takes + 1, -tie, "call", processes, None))
                processes += 1
            else:
                point = time + chance.below(takes)
                heapq.heappush(agenda, (point, tie, "apply", command, (op, subject, time + takes)))
        elif what == "apply":
            state, result = machine.apply(state, subject)
            if more is not None:
                op, process, end = more
                heapq.heappush(agenda, (end, tie, "return", (subject, result), (op, process)))
        else:
            command, result = subject
            op, process = more
            type_, value, error = machine.completion(command, result)
            if machine.read_only(command):
                reads.append((command, value))
                if not spoiled and made > operations * 0.9:
                    old = next((v for c, v in reads if c == command and v != value), value)
                    spoiled, value = old != value, old
            history.complete(op, type_, value, time, error)  # type: ignore[arg-type]
            heapq.heappush(agenda, (time + 1 + chance.below(10_000), -tie, "call", process, None))
    return history


def register(values: int | None = None) -> Iterator[Ask]:
    """Half reads, half writes, of unique values or of `values` different ones."""
    chance = Stream(SEED, "register")
    number = 0
    while True:
        number += 1
        if chance.chance(0.5):
            yield "read", None, None
        else:
            yield "write", None, number if values is None else chance.below(values)


def mixed(keys: int) -> Iterator[Ask]:
    """All operations of a key-value store, few values, so that compare-and-sets succeed."""
    chance = Stream(SEED, "mixed")
    while True:
        key = f"k{chance.below(keys)}"
        draw = chance.below(100)
        if draw < 50:
            yield "get", key, None
        elif draw < 75:
            yield "put", key, f"v{chance.below(8)}"
        elif draw < 85:
            yield "append", key, "+"
        elif draw < 97:
            yield "cas", key, (f"v{chance.below(8)}", f"v{chance.below(8)}")
        else:
            yield "delete", key, None


def appends(keys: int) -> Iterator[Ask]:
    """Half gets, 5 % puts, the rest appends, all values unique."""
    chance = Stream(SEED, "appends")
    number = 0
    while True:
        number += 1
        key = f"k{chance.below(keys)}"
        draw = chance.below(100)
        if draw < 50:
            yield "get", key, None
        elif draw < 55:
            yield "put", key, f"<{number}>"
        else:
            yield "append", key, f"{number},"


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    started = perf_counter()
    result = what()
    return result, perf_counter() - started


def row(name: str, history: History, machine: Machine[Any, Any]) -> None:
    verdict: Verdict = check(history, machine)
    clients = len({op.process for op in history.operations()})
    print(
        f"{name:<46} {len(history):>7} {clients:>9} {verdict.valid!s:>8} "
        f"{verdict.seconds:>8.3f} {verdict.steps:>9}  {verdict.algorithm}",
        flush=True,
    )


def main() -> None:
    part = 10 if "--quick" in sys.argv[1:] else 1
    small, large = 10_000 // part, 100_000 // part
    print(f"canary: ten million additions in {canary():.3f} s; seed {SEED}\n")
    print(f"{'history':<46} {'ops':>7} {'processes':>9} {'valid':>8} {'seconds':>8} {'steps':>9}")
    one, kv = Register(), KeyValue()
    for size in (small, large):
        for spoil in (False, True):
            label = "register, unique writes, 50 clients" + (", bad read" if spoil else "")
            row(label, run(one, register(), size, 50, spoil=spoil), one)
    for spoil in (False, True):
        tail = ", bad read" if spoil else ""
        row(f"kv mixed, 10 keys, 50 clients{tail}", run(kv, mixed(10), small, 50, spoil=spoil), kv)
        row(
            f"kv mixed, 10 keys, 50 clients, 1% lost{tail}",
            run(kv, mixed(10), small, 50, lost=0.01, spoil=spoil),
            kv,
        )
    for size in (1_700 // part, small):
        for spoil in (False, True):
            label = "kv appends, 10 keys, 50 clients" + (", bad read" if spoil else "")
            row(label, run(kv, appends(10), size, 50, spoil=spoil), kv)
    row("kv mixed, 100 keys, 50 clients", run(kv, mixed(100), large, 50), kv)
    row("kv mixed, 1 key, 10 clients", run(kv, mixed(1), small, 10), kv)
    row("kv mixed, 1 key, 50 clients", run(kv, mixed(1), small, 50), kv)
    row("register, 5 values, 10 clients", run(one, register(5), small, 10), one)
    row("register, 5 values, 50 clients", run(one, register(5), small, 50), one)
    row("register, 1% lost, 50 clients", run(one, register(), small, 50, lost=0.01), one)

    print()
    history, seconds = timed(lambda: run(one, register(), large, 50))
    blank = History()

    def record() -> None:
        for number in range(large):
            op = blank.invoke(number % 50, "put", "key", number, 2 * number)
            blank.complete(op, "ok", number, 2 * number + 1)

    _, seconds = timed(record)
    print(f"record: {seconds / large / 2 * 1e6:.2f} us an event")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "history.jsonl")
        _, wrote = timed(lambda: history.write_jsonl(path))
        _, read = timed(lambda: read_jsonl(path))
    print(f"write a file: {wrote / large / 2 * 1e6:.2f} us an event; read it: ", end="")
    print(f"{read / large / 2 * 1e6:.2f} us")


if __name__ == "__main__":
    main()
