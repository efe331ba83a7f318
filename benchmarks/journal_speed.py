"""How fast records become durable, and what that costs the CPU.

Groups of records, each group made durable before the next one, as a turn of a node does: our
journal, and sqlite with a write-ahead log that it syncs at every commit (`synchronous=FULL`),
interleaved. The canary is a bare append with fdatasync of as many bytes. The CPU beside the sync is
measured with a sync that does nothing. Then how long a turn is held up while the journal begins
anew from a large image, and by the fork that saves a snapshot.

    python benchmarks/journal_speed.py [--seconds 3.0]
"""

import argparse
import os
import resource
import select
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import canary

from concur.effects import Change, Persist, SaveSnapshot, Snapshot
from concur.logs import LogDelta
from concur.machines import machine
from concur.messages import Command, encode
from concur.node import Node
from concur.parts.sessions import Sessions
from concur.protocols.raft import Raft
from concur.protocols.raft.messages import Entry
from concur.serve.store import Identity, Store

RECORD_BYTES = 200
GROUPS = (1, 10, 100)
IDENTITY = Identity("benchmark", "n1", "raft", "kv")
KINDS: dict[str, type[Node[Any]]] = {
    "r1": next(role.node for role in Raft().roles() if role.place == "replica")
}

Turn = Callable[[], None]


def record(index: int, size: int) -> Persist:
    """What a follower persists that appends an entry of one command."""
    entry = Entry(3, (Command("c1.5", index, bytes(size - 35)),))
    return Persist((Change("", "log", LogDelta(None, index, (entry,))),))


@contextmanager
def ours(folder: Path, group: int, size: int, **how: Any) -> Iterator[Turn]:
    store = Store.open(folder / "ours", IDENTITY, KINDS, machine("kv"), initialise=True, **how)
    index = 0

    def turn() -> None:
        nonlocal index
        for _ in range(group):
            store.append("r1", record(index, size))
            index += 1
        store.sync()

    yield turn
    store.close()


@contextmanager
def sqlite(folder: Path, group: int, size: int) -> Iterator[Turn]:
    connection = sqlite3.connect(folder / "sqlite.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, record BLOB)")
    index = 0

    def turn() -> None:
        nonlocal index
        connection.execute("BEGIN")
        for _ in range(group):
            data = encode(("r1", record(index, size).changes))
            connection.execute("INSERT INTO records VALUES (?, ?)", (index, data))
            index += 1
        connection.execute("COMMIT")

    yield turn
    connection.close()


@contextmanager
def bare(folder: Path, group: int, size: int) -> Iterator[Turn]:
    file = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def turn() -> None:
        os.write(file, bytes(group * size))
        os.fdatasync(file)

    yield turn
    os.close(file)


def compare(folder: Path, seconds: float) -> None:
    """The three take turns, one after the other, so that they share the moods of the disk."""
    print(f"records of {RECORD_BYTES} bytes durable per second: by the median turn, by the mean")
    print(f"{'group':>6} {'ours':>18} {'sqlite':>18} {'bare fdatasync':>18}   ours/sqlite")
    for group in GROUPS:
        took: dict[str, list[float]] = {"ours": [], "sqlite": [], "bare": []}
        place = folder / f"{group}"
        place.mkdir()
        with (
            ours(place, group, RECORD_BYTES) as one,
            sqlite(place, group, RECORD_BYTES) as two,
            bare(place, group, RECORD_BYTES) as three,
        ):
            turns = {"ours": one, "sqlite": two, "bare": three}
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                for name, turn in turns.items():
                    begin = time.perf_counter()
                    turn()
                    took[name].append(time.perf_counter() - begin)
        middle = {name: group / sorted(t)[len(t) // 2] for name, t in took.items()}
        mean = {name: group * len(t) / sum(t) for name, t in took.items()}
        cells = " ".join(f"{middle[name]:>9,.0f}{mean[name]:>9,.0f}" for name in took)
        a, b = middle["ours"] / middle["sqlite"], mean["ours"] / mean["sqlite"]
        print(f"{group:>6} {cells}   {a:.2f} {b:.2f}")


def cpu_of_a_turn(folder: Path) -> None:
    """CPU of append and sync, the call of fdatasync left out; best of five times a thousand."""
    print("CPU of a turn beside fdatasync: append, encode, fold, seal and write")
    sync, os.fdatasync = os.fdatasync, lambda fd: None
    try:
        for group, size in ((1, 200), (1, 10_240), (10, 200), (100, 200)):
            with ours(folder / f"cpu-{group}-{size}", group, size) as turn:
                taken = []
                for _ in range(5):
                    begin = time.process_time()
                    for _ in range(1000):
                        turn()
                    taken.append((time.process_time() - begin) * 1e3)
            print(f"{group:>6} records of {size:>6,} bytes: {min(taken):6.1f} us")
    finally:
        os.fdatasync = sync


def stalls(folder: Path) -> None:
    """The CPU of the longest turn beside its sync, while segments begin with a large image."""
    sync, os.fdatasync = os.fdatasync, lambda fd: None
    try:
        with ours(folder / "stalls", 1, 150, segment_bytes_max=16 << 20) as turn:
            for _ in range(10_000):
                turn()
            taken = []
            for _ in range(40_000):
                begin = time.thread_time()
                turn()
                taken.append((time.thread_time() - begin) * 1e3)
    finally:
        os.fdatasync = sync
    taken.sort()
    print(
        f"40,000 turns of one entry of 150 bytes, log of 10,000 entries and more, segments of "
        f"16 MiB: median {taken[20_000] * 1e3:.0f} us, 99.9 % {taken[39_960]:.2f} ms, "
        f"longest {taken[-1]:.1f} ms (CPU, beside fdatasync)"
    )


def forks(folder: Path) -> None:
    """How long `save` holds up the loop, by the size of the process."""
    kv: Any = machine("kv")
    store = Store.open(folder / "forks", IDENTITY, KINDS, kv, initialise=True)
    state = kv.initial()
    for index, keys in enumerate((0, 100_000, 300_000)):
        for key in range(len(state), keys):
            state = state.put(f"key{key}", "x" * 128)
        took = []
        for number in range(3):
            at = index * 10 + number + 1
            snapshot = Snapshot(at, (at, ""), kv.capture(state), Sessions(), ("r1",))
            done: list[int] = []
            tell = partial(done.append, at)
            begin = time.perf_counter()
            store.save("r1", SaveSnapshot(snapshot), tell)
            took.append((time.perf_counter() - begin) * 1e3)
            while not done:
                select.select([store.completions_fd], [], [])
                store.completed()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"save of {keys:>7,} keys in a process of {memory:4.0f} MiB: {min(took):.1f} ms")
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each comparison")
    arguments = parser.parse_args()
    canary.show()
    print(f"canary: fsync of 4 KiB in {canary.fsync_ms():.2f} ms")
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        cpu_of_a_turn(folder)
        stalls(folder)
        compare(folder, arguments.seconds)
        forks(folder)
    print(f"canary: fsync of 4 KiB in {canary.fsync_ms():.2f} ms")


if __name__ == "__main__":
    main()
