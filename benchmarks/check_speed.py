"""How fast `concur.histories` checks, records, reads and writes.

    python benchmarks/check_speed.py                 every table; some minutes
    python benchmarks/check_speed.py hot types       hot, keys, few, short, types, stream, files
    python benchmarks/check_speed.py --quick         sizes a tenth of those

Histories are made from a run of the machine itself: every client calls, waits and returns, and a
command takes effect at a random instant in between, so each history is linearizable unless a
read is spoilt on purpose. `seconds` is checking time, without making or reading the history.
Each row runs in a process of its own; `canary` is a fixed pure-Python loop in it, right after:
compare figures of two machines, or of a busy and an idle one, relative to it. `MB` is the most
memory that the process had, and `history` what it had before it began to check. The table `stream`
is of `check_stream`, as fast as it gets its events; making an event is not part of that.
"""

import argparse
import heapq
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import canary

from concur.chance import Stream
from concur.histories import History, check, model, read_jsonl
from concur.histories.stream import check_stream
from concur.machines.base import Machine
from concur.machines.kv import KeyValue
from concur.machines.register import Register

Ask = tuple[str, Any, Any]
Asks = Callable[[int], Ask]
"""What the process of that number asks for next."""
SEED = 7
TELLING = ("dequeue", "pop", "delete-min", "fetch-add", "acquire")
"""What changes something and tells something; `run` can spoil these, and reads."""


def run(
    machine: Machine[Any, Any],
    asks: Asks,
    operations: int,
    clients: int,
    lost: float = 0.0,
    spoil: bool = False,
    number: int = 0,
) -> History:
    """A history of closed-loop clients whose commands take 1 to 100 us, uniformly.

    A share `lost` of the operations gets no answer; half of these take effect all the same, up to
    1 ms later. With `spoil`, one operation late in the history returns what another of the same
    kind did long before.
    """
    chance = Stream(SEED, "run", operations, clients, number)
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
            f, key, value = asks(subject)
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
            reads_only = machine.read_only(command)
            if spoil and (reads_only or machine.event(command)[0] in TELLING):
                kind = command if reads_only else type(command)
                reads.append((kind, value))
                if not spoiled and made > operations * 0.9:
                    old = next((v for k, v in reads if k == kind and v != value), value)
                    spoiled, value = old != value, old
            history.complete(op, type_, value, time, error)  # type: ignore[arg-type]
            heapq.heappush(agenda, (time + 1 + chance.below(10_000), -tie, "call", process, None))
    return history


def register(values: int | None = None) -> Asks:
    """Half reads, half writes, of unique values or of `values` different ones."""
    chance = Stream(SEED, "register")
    numbers = iter(range(1, 1 << 60))

    def ask(process: int) -> Ask:
        if chance.chance(0.5):
            return "read", None, None
        return "write", None, next(numbers) if values is None else chance.below(values)

    return ask


def cas(values: int) -> Asks:
    """As Jepsen's tests of etcd: reads, writes and compare-and-sets of a few values."""
    chance = Stream(SEED, "cas")

    def ask(process: int) -> Ask:
        f = chance.choice(["read", "write", "cas"])
        if f == "cas":
            return f, None, (chance.below(values), chance.below(values))
        return f, None, None if f == "read" else chance.below(values)

    return ask


def unique(keys: int, values: int | None = None) -> Asks:
    """Half gets, half puts of unique values, or of `values` different ones."""
    chance = Stream(SEED, "unique")
    numbers = iter(range(1, 1 << 60))

    def ask(process: int) -> Ask:
        key = f"k{chance.below(keys)}"
        if chance.chance(0.5):
            return "get", key, None
        return "put", key, next(numbers) if values is None else chance.below(values)

    return ask


def mixed(keys: int) -> Asks:
    """All operations of a key-value store, few values, so that compare-and-sets succeed."""
    chance = Stream(SEED, "mixed")

    def ask(process: int) -> Ask:
        key = f"k{chance.below(keys)}"
        draw = chance.below(100)
        if draw < 50:
            return "get", key, None
        if draw < 75:
            return "put", key, f"v{chance.below(8)}"
        if draw < 85:
            return "append", key, "+"
        if draw < 97:
            return "cas", key, (f"v{chance.below(8)}", f"v{chance.below(8)}")
        return "delete", key, None

    return ask


def appends(keys: int) -> Asks:
    """Half gets, 5 % puts, the rest appends, all values unique."""
    chance = Stream(SEED, "appends")
    numbers = iter(range(1, 1 << 60))

    def ask(process: int) -> Ask:
        key = f"k{chance.below(keys)}"
        draw = chance.below(100)
        if draw < 50:
            return "get", key, None
        return (
            ("put", key, f"<{next(numbers)}>")
            if draw < 55
            else ("append", key, f"{next(numbers)},")
        )

    return ask


def pairs(put: str, take: str) -> Asks:
    """A little more of `put`, of unique values, than of `take`."""
    chance = Stream(SEED, put)
    numbers = iter(range(1, 1 << 60))

    def ask(process: int) -> Ask:
        return (put, None, next(numbers)) if chance.chance(0.52) else (take, None, None)

    return ask


def members() -> Asks:
    """Every value is added once, then asked for, and perhaps removed."""
    chance = Stream(SEED, "members")
    numbers = iter(range(1, 1 << 60))
    recent = [0]

    def ask(process: int) -> Ask:
        draw = chance.below(10)
        if draw < 4:
            recent.append(next(numbers))
            return "add", None, recent[-1]
        if draw < 8:
            return "contains", None, chance.choice(recent[-200:])
        return (
            "remove",
            None,
            recent.pop(chance.between(max(0, len(recent) - 200), len(recent) - 1))
            if len(recent) > 1
            else 0,
        )

    return ask


def locking() -> Asks:
    """Every process tries to take the lock, and gives it back."""
    turns: dict[int, bool] = {}

    def ask(process: int) -> Ask:
        turns[process] = not turns.get(process, False)
        return ("acquire" if turns[process] else "release"), None, process

    return ask


def adding() -> Asks:
    chance = Stream(SEED, "adding")
    return lambda process: ("fetch-add", None, chance.between(1, 3))


class Row(NamedTuple):
    """One history to check: `theirs` is Porcupine's time for one like it, where we have it."""

    name: str
    machine: str
    asks: Callable[[], Asks]
    operations: int
    clients: int
    lost: float = 0.0
    spoil: bool = False
    histories: int = 1
    streamed: bool = False
    theirs: str = ""


HOT = [
    (1_000, 50, False, "unknown"),
    (10_000, 10, False, "1.9 s"),
    (10_000, 10, True, "7.2 s"),
    (10_000, 30, False, "unknown"),
    (30_000, 10, False, "26 s"),
    (30_000, 10, True, "unknown, over 10 GB"),
    (100_000, 50, False, "(not run)"),
    (100_000, 50, True, "(not run)"),
]
"""One register, unique writes: operations, clients, bad, and Porcupine's time (limit 30 s), as
measured for us on another machine of two cores."""

TYPES: dict[str, tuple[str, Callable[[], Asks]]] = {
    "cas register, 5 values": ("cas-register", partial(cas, 5)),
    "queue": ("queue", partial(pairs, "enqueue", "dequeue")),
    "stack": ("stack", partial(pairs, "push", "pop")),
    "priority queue": ("priority-queue", partial(pairs, "insert", "delete-min")),
    "set": ("set", members),
    "lock": ("lock", locking),
    "fetch-and-add": ("fetch-add", adding),
}

TABLES: dict[str, list[Row]] = {
    "hot": [
        Row(
            "one register, unique writes",
            "register",
            register,
            size,
            clients,
            0.0,
            bad,
            theirs=theirs,
        )
        for size, clients, bad, theirs in HOT
    ],
    "keys": [
        Row("1,000 keys, unique writes", "kv", partial(unique, 1_000), 1_000_000, 50),
        Row("100 keys, unique writes", "kv", partial(unique, 100), 100_000, 10, theirs="0.2-0.5 s"),
        Row("100 keys, every operation", "kv", partial(mixed, 100), 100_000, 50),
        *(
            Row("10 keys, every operation", "kv", partial(mixed, 10), 10_000, 50, lost, bad)
            for bad in (False, True)
            for lost in (0.0, 0.01)
        ),
        *(
            Row(
                "10 keys, unique appends", "kv", partial(appends, 10), size, 50, spoil=bad, theirs=t
            )
            for size, t in ((1_700, "0.15 s"), (10_000, ""))
            for bad in (False, True)
        ),
        Row("1 key, every operation", "kv", partial(mixed, 1), 10_000, 10),
        Row("1 key, every operation", "kv", partial(mixed, 1), 10_000, 50),
    ],
    "few": [
        Row("register, 5 values", "register", partial(register, 5), 10_000, clients, 0.0, bad)
        for clients in (10, 30, 50)
        for bad in (False, True)
    ]
    + [Row("register, unique writes, 1 % lost", "register", register, 10_000, 50, lost=0.01)],
    "short": [
        Row(
            "100 short cas histories, 5 % lost",
            "cas-register",
            partial(cas, 5),
            80,
            5,
            0.05,
            bad,
            100,
        )
        for bad in (False, True)
    ],
    "types": [
        Row(name, machine, asks, size, clients, spoil=bad)
        for name, (machine, asks) in TYPES.items()
        for size, clients in ((10_000, 10), (100_000, 50))
        for bad in (False, True)
    ],
    "stream": [
        Row(name, machine, asks, 100_000, clients, 0.01, streamed=True)
        for name, machine, asks, clients in (
            ("register, unique writes, 1 % lost", "register", register, 2),
            ("register, unique writes, 1 % lost", "register", register, 5),
            ("5 keys, unique writes, 1 % lost", "kv", partial(unique, 5), 10),
            ("5 keys, 5 values, 1 % lost", "kv", partial(unique, 5, 5), 10),
        )
    ],
}


def show(row: Row) -> str:
    """Check it, in this process; the row of the table."""
    specification: Any = {"register": Register(), "kv": KeyValue()}.get(row.machine)
    specification = specification or model(row.machine)
    histories = [
        run(specification, row.asks(), row.operations, row.clients, row.lost, row.spoil, number)
        for number in range(row.histories)
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if row.streamed:
        verdicts = [check_stream(list(one.events()), specification) for one in histories]
    else:
        verdicts = [check(history, specification) for history in histories]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers = "/".join(sorted({str(verdict.valid) for verdict in verdicts}))
    algorithms = ", ".join(sorted({verdict.algorithm for verdict in verdicts}))
    name = row.name + (", spoilt" if row.spoil else "")
    return (
        f"{name:<42} {row.operations:>9,} "
        f"{row.clients:>7} {answers:>10} {sum(v.seconds for v in verdicts):>8.3f} "
        f"{canary.loop_s():>7.3f} {before >> 10:>7,} {peak >> 10:>6,}  {algorithms:<14} "
        f"{row.theirs}"
    )


def files(operations: int) -> None:
    """Recording, writing and reading."""
    history = run(Register(), register(), operations, 50)
    blank = History()

    def record() -> None:
        for number in range(operations):
            op = blank.invoke(number % 50, "put", "key", number, 2 * number)
            blank.complete(op, "ok", number, 2 * number + 1)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "history.jsonl")
        for name, what in (
            ("record", record),
            ("write a file", lambda: history.write_jsonl(path)),
            ("read it", lambda: read_jsonl(path)),
        ):
            started = perf_counter()
            what()
            each = (perf_counter() - started) / operations / 2 * 1e6
            print(f"{name:<14} {each:.2f} us an event (canary {canary.loop_s():.3f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*TABLES, "files")
    parser.add_argument("tables", nargs="*", metavar="table", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations")
    arguments = parser.parse_args()
    wrong = set(arguments.tables) - set(names)
    if wrong:
        parser.error(f"unknown {', '.join(sorted(wrong))}, expected some of {', '.join(names)}")
    part = 10 if arguments.quick else 1
    print(f"seed {SEED}; the canary is five million additions")
    heading = (
        f"{'history':<42} {'ops':>9} {'clients':>7} {'valid':>10} {'seconds':>8} {'canary':>7}"
    )
    heading += f" {'history':>7} {'MB':>6}  {'algorithm':<14} Porcupine, elsewhere"
    spawn = multiprocessing.get_context("spawn")
    for name in arguments.tables or names:
        if name == "files":
            print()
            files(100_000 // part)
            continue
        print(f"\n{name}\n{heading}")
        for row in TABLES[name]:
            if part > 1:
                row = row._replace(operations=max(40, row.operations // part), theirs="")
            with ProcessPoolExecutor(1, spawn) as alone:
                print(alone.submit(show, row).result(), flush=True)


if __name__ == "__main__":
    main()
