"""The store on a real disk: openings, locks, real protocols, and snapshots beside the loop."""

import errno
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from concur import MultiPaxos, Raft
from concur.base import Protocol
from concur.effects import Change, Effect, Event, Persist, SaveSnapshot, Snapshot
from concur.errors import BadInput
from concur.machines import Adaptor
from concur.machines.kv import KeyValue
from concur.node import Node
from concur.parts.sessions import Sessions
from concur.protocols.viewstamped_replication import ViewstampedReplicationOnDisk
from concur.serve import disk as disks
from concur.serve import snapshots
from concur.serve.disk import LOCK
from concur.serve.store import (
    Damaged,
    Identity,
    Locked,
    Mismatch,
    Missing,
    Store,
    SyncFailed,
)
from concur.testing.cluster import Cluster, Seat
from concur.testing.storage import Keeper, same, snapshot_at
from concur.testing.walk import Walk

IDENTITY = Identity("c", "n1", "keeper", "kv")
KINDS: dict[str, type[Node[Any]]] = {"r1": Keeper}
WAIT_S = 30.0

T = TypeVar("T")


def open_store(directory: Path, **how: Any) -> Store:
    return Store.open(directory, IDENTITY, KINDS, KeyValue(), **how)


def term(number: int) -> Persist:
    return Persist((Change("", "term", number),))


def wait(store: Store) -> None:
    """Until a snapshot is saved, or could not be."""
    assert select.select([store.completions_fd], [], [], WAIT_S)[0], "nothing was completed"
    store.completed()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "n1"
    store = open_store(folder, initialise=True)
    assert store.kind == "new"
    store.append("r1", term(1))
    store.sync()
    store.close()
    return folder


# --- openings -------------------------------------------------------------------------------------


def test_what_was_synced_is_there_and_what_was_not_is_not(directory: Path) -> None:
    store = open_store(directory)
    assert (store.kind, store.images) == ("restart", {"r1": {("", "term"): 1}})
    store.append("r1", term(2))
    assert store.dirty
    store.sync()
    assert not store.dirty
    store.append("r1", term(3))
    store.close()
    store = open_store(directory)
    assert store.images == {"r1": {("", "term"): 2}}
    store.close()


def test_images_are_those_of_the_opening(directory: Path) -> None:
    store = open_store(directory)
    store.append("r1", term(2))
    store.sync()
    assert store.images == {"r1": {("", "term"): 1}}
    store.close()


def test_an_incarnation_is_never_reused_though_the_clock_runs_back(directory: Path) -> None:
    used = []
    for now_s in (5_000_000_000_000, 1_000, 0, 5_000_000_000_001):
        store = open_store(directory, wall_s=lambda: now_s)  # noqa: B023
        used.append(store.incarnation)
        store.close()
    store = open_store(directory, wiped=True, wall_s=lambda: 0)
    used.append(store.incarnation)
    store.close()
    assert used == sorted(set(used))


def test_a_node_that_persisted_nothing_begins_as_before(tmp_path: Path) -> None:
    Store.make(tmp_path / "a", IDENTITY, KINDS, KeyValue())
    for _ in range(2):
        store = open_store(tmp_path / "a")
        assert store.kind == "new"
        store.close()


class Forgetful(Node[Any]):
    """Has no durable fields, so whoever began once has forgotten what it said."""


def test_a_node_without_durable_fields_is_new_once(tmp_path: Path) -> None:
    def kinds_of(**how: Any) -> str:
        kinds: dict[str, type[Node[Any]]] = {"r1": Forgetful}
        store = Store.open(tmp_path / "a", IDENTITY, kinds, KeyValue(), **how)
        store.close()
        return store.kind

    Store.make(tmp_path / "a", IDENTITY, {"r1": Forgetful}, KeyValue())
    assert [kinds_of(), kinds_of()] == ["new", "restart"]
    assert [kinds_of(wiped=True), kinds_of()] == ["wiped", "restart"]


def test_a_directory_is_for_one_node_that_is_initialised_once(directory: Path) -> None:
    with pytest.raises(BadInput, match="holds a node already"):
        open_store(directory, initialise=True)
    other = msgspec.structs.replace(IDENTITY, node="n2")
    with pytest.raises(Mismatch, match="storage of node 'n1', expected 'n2'"):
        Store.open(directory, other, KINDS, KeyValue())
    with pytest.raises(Mismatch, match="stored fields of r1: unknown here, expected those of r9"):
        Store.open(directory, IDENTITY, {"r9": Keeper}, KeyValue())
    with pytest.raises(BadInput, match="one of the two"):
        open_store(directory, initialise=True, wiped=True)
    open_store(directory).close()


def test_storage_of_a_later_format_is_a_mismatch(directory: Path) -> None:
    file = directory / "identity.json"
    later = msgspec.json.decode(file.read_bytes()) | {"format": 7}
    file.write_bytes(msgspec.json.encode({"format": 7, "new": later}))
    with pytest.raises(Mismatch, match="format 7, expected 1 or lower"):
        open_store(directory)
    with pytest.raises(Mismatch, match="format 7"):
        open_store(directory, wiped=True)


def test_nothing_is_not_new(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no such directory"):
        open_store(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Missing, match="empty, expected the storage of n1"):
        open_store(tmp_path / "empty")
    store = open_store(tmp_path / "gone", wiped=True)
    assert store.kind == "wiped"
    store.close()


def test_a_place_that_is_no_directory_of_its_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match="no directory"):
        open_store(tmp_path / "file", initialise=True)
    with pytest.raises(BadInput, match="expected a writable directory"):
        open_store(tmp_path / "file" / "below", initialise=True)
    with pytest.raises(BadInput, match=r"not empty, there is thesis\.tex"):
        open_store(tmp_path / "full", initialise=True)


def test_a_directory_that_cannot_be_written_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadInput, match="not writable"):
        open_store(directory)


def test_a_locked_directory_is_refused_to_all_others(directory: Path) -> None:
    store = open_store(directory)
    with pytest.raises(Locked, match=f"in use by process {os.getpid()}"):
        open_store(directory)
    with pytest.raises(Locked):
        open_store(directory, wiped=True)
    code = (
        "import sys; from pathlib import Path; from concur.machines.kv import KeyValue\n"
        "from concur.serve.store import Identity, Locked, Store\n"
        "from concur.testing.storage import Keeper\n"
        "try: Store.open(Path(sys.argv[1]), Identity('c', 'n1', 'keeper', 'kv'), {'r1': Keeper},"
        " KeyValue())\n"
        "except Locked: print('locked')"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=True
    )
    assert there.stdout == "locked\n"
    store.close()
    store.close()
    open_store(directory).close()


def test_the_lock_of_a_dead_process_is_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its child, which saves a snapshot, lets go of it in a moment."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    child = os.open(directory / LOCK, os.O_RDWR)
    fcntl.flock(child, fcntl.LOCK_EX)
    (directory / LOCK).write_text(str(dead.pid))
    monkeypatch.setattr(disks, "LOCK_WAIT_S", -1.0)
    with pytest.raises(Locked, match=f"process {dead.pid}"):
        open_store(directory)
    monkeypatch.setattr(disks, "LOCK_WAIT_S", WAIT_S)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(child))
    open_store(directory).close()


def test_damage_is_told_and_the_old_files_are_set_aside(directory: Path) -> None:
    (segment,) = directory.glob("journal-*")
    damaged = bytearray(segment.read_bytes())
    damaged[100] ^= 1
    segment.write_bytes(damaged)
    with pytest.raises(Damaged, match=r"journal-\d+\.log: the sector at byte 0 is damaged; open"):
        open_store(directory)
    assert segment.read_bytes() == damaged
    store = open_store(directory, wiped=True)
    assert (store.kind, store.images) == ("wiped", {"r1": {}})
    store.append("r1", term(9))
    store.sync()
    store.close()
    (folder,) = directory.glob("set-aside-*")
    assert (folder / segment.name).read_bytes() == damaged
    store = open_store(directory)
    assert (store.kind, store.images) == ("restart", {"r1": {("", "term"): 9}})
    store.close()


def test_a_medium_that_cannot_be_read_is_damaged_but_a_forbidden_file_is_not(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, kind in ((errno.EIO, Damaged), (errno.EACCES, BadInput)):

        def refuse(path: Path, number: int = number) -> bytes:
            raise OSError(number, os.strerror(number), str(path))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", refuse)
            with pytest.raises(kind, match=os.strerror(number)):
                open_store(directory)
    open_store(directory).close()


def test_a_sync_that_fails_is_final(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(directory)
    store.append("r1", term(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda file: _raise(OSError(errno.EIO, "broken")))
        with pytest.raises(SyncFailed, match="the process must stop"):
            store.sync()
    save = SaveSnapshot(snapshot_at(1))
    for call in (
        store.sync,
        lambda: store.append("r1", term(3)),
        lambda: store.save("r1", save, lambda: None),
    ):
        with pytest.raises(SyncFailed):
            call()
    store.close()


def _raise(error: Exception) -> None:
    raise error


def test_what_could_not_be_read_back_is_not_taken(directory: Path) -> None:
    store = open_store(directory)
    with pytest.raises(BadInput, match="place 'r2': unknown to the store, expected r1"):
        store.append("r2", term(1))
    child = Persist((Change("loglet", "term", 4),))
    with pytest.raises(BadInput, match="entry 'r1/loglet' among its kinds"):
        store.append("r1", child)
    store.close()
    kinds = {**KINDS, "r1/loglet": Keeper}
    store = Store.open(directory, IDENTITY, kinds, KeyValue())
    store.append("r1", child)
    store.save("r1", SaveSnapshot(snapshot_at(3), "loglet"), lambda: None)
    wait(store)
    store.sync()
    store.close()
    store = Store.open(directory, IDENTITY, kinds, KeyValue())
    assert store.images == {"r1": {("", "term"): 1, ("loglet", "term"): 4}}
    assert same(store.snapshots["r1"]["loglet"], snapshot_at(3))
    store.append("r1", Persist((Change("loglet", "", None),)))
    store.sync()
    store.close()
    store = Store.open(directory, IDENTITY, kinds, KeyValue())
    assert (store.images, store.snapshots) == ({"r1": {("", "term"): 1}}, {"r1": {}})
    store.close()
    assert not list(directory.glob("snapshot-*"))


# --- real protocols -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol",
    [
        Raft(snapshot_every=8),
        MultiPaxos(snapshot_every=8),
        ViewstampedReplicationOnDisk(snapshot_every=8),
    ],
    ids=lambda protocol: str(protocol.name),
)
def test_the_records_of_a_replica_add_up_to_its_fields(protocol: Protocol, tmp_path: Path) -> None:
    """With restarts of the store meanwhile, and of the replicas."""
    walk = Walk(protocol, 3, replicas=3, clients=1)
    cluster = walk.cluster
    stores: dict[str, Store] = {}
    replicas = cluster.config.members
    replicated = cluster.machine
    assert replicated is not None

    def open_for(id: str, **how: Any) -> None:
        kinds = {id: cluster.seats[id].role.node}
        identity = Identity("c", id, protocol.name, "kv")
        stores[id] = Store.open(
            tmp_path / id, identity, kinds, replicated, segment_bytes_max=4096, **how
        )

    def note(cluster: Cluster, seat: Seat, event: Event, effects: list[Effect], _: Any) -> None:
        for effect in effects if seat.id in stores else ():
            if type(effect) is Persist:
                stores[seat.id].append(seat.id, effect)
                stores[seat.id].sync()
            elif type(effect) is SaveSnapshot:
                stores[seat.id].save(seat.id, effect, lambda: None)
                wait(stores[seat.id])

    for id in replicas:
        open_for(id, initialise=True)
    cluster.watchers = (note,)
    cluster.start()
    saved = False
    for number in range(24):
        walk.ask(cluster.clients[0])
        for _ in range(4000):
            if not walk.waiting() or not cluster.advance():
                break
        assert not walk.waiting()
        if number % 6 == 5:
            id = replicas[number // 6 % 3]
            cluster.crash(id)
            stores[id].close()
            open_for(id)
            assert stores[id].kind == "restart"
            seat = cluster.seats[id]
            found = stores[id].images[id]
            assert found.keys() == seat.image.keys()
            for key, value in seat.image.items():
                assert same(found[key], value), key
            if "" in seat.saved:
                assert same(stores[id].snapshots[id][""], seat.saved[""])
                saved = True
            # From here on it goes on with what the store read.
            seat.image = dict(found)
            cluster.restart(id)
    assert saved
    for store in stores.values():
        store.close()


# --- snapshots ------------------------------------------------------------------------------------


class Slow(KeyValue):
    """Encodes its state only when it is told that it may; and says what it sees meanwhile."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.during = during

    def snapshot(self, state: Any) -> bytes:
        self.during()
        return super().snapshot(state)


def slow_store(directory: Path, during: Callable[[], None]) -> Store:
    return Store.open(directory, IDENTITY, KINDS, Slow(during))


def test_snapshots_become_durable_in_order_each_in_the_place_of_the_last(directory: Path) -> None:
    store = open_store(directory)
    done: list[int] = []
    for index in (1, 2, 3):
        store.save("r1", SaveSnapshot(snapshot_at(index)), lambda i=index: done.append(i))
    while len(done) < 3:
        wait(store)
    assert done == [1, 2, 3]
    store.sync()
    store.close()
    assert [file.name for file in directory.glob("snapshot-*")] == ["snapshot-r1-000000000003"]
    store = open_store(directory)
    assert same(store.snapshots["r1"][""], snapshot_at(3))
    store.close()


def test_a_snapshot_that_the_journal_relies_on_is_missed(directory: Path) -> None:
    store = open_store(directory)
    store.save("r1", SaveSnapshot(snapshot_at(1)), lambda: None)
    wait(store)
    assert store.dirty
    store.sync()
    store.close()
    (file,) = directory.glob("snapshot-*")
    file.unlink()
    with pytest.raises(Damaged, match="snapshot-r1-000000000001 is missing"):
        open_store(directory)


def test_a_snapshot_is_saved_by_another_process_which_is_not_this_one(
    directory: Path, tmp_path: Path
) -> None:
    """It has none of its files, sockets and handlers; so a port and a lock are free at once."""
    server = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    seen = tmp_path / "seen"
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    before = signal.signal(signal.SIGTERM, lambda *_: None)

    def during() -> None:
        with open(fifo, "rb") as go:
            go.read()
        handler = signal.getsignal(signal.SIGTERM)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        seen.write_text(f"{os.getpid()} {handler is signal.SIG_DFL} {len(blocked)}")

    store = slow_store(directory, during)
    try:
        store.save("r1", SaveSnapshot(snapshot_at(1)), lambda: None)
        theirs.close()
        ours.settimeout(WAIT_S)
        assert ours.recv(1) == b""  # nobody else holds the other end
        address = server.getsockname()
        server.close()
        _eventually(lambda: socket.create_server(address)).close()
        store.disk.release()  # as if this process were gone
        lock = os.open(directory / LOCK, os.O_RDWR)
        _eventually(lambda: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB))
        os.close(lock)
    finally:
        signal.signal(signal.SIGTERM, before)
        with open(fifo, "wb"):
            pass
        wait(store)
        store.close()
        ours.close()
    pid, default, blocked = seen.read_text().split()
    assert (int(pid) != os.getpid(), default, blocked) == (True, "True", "0")


def _eventually(attempt: Callable[[], T]) -> T:
    """A child closes what it inherited a moment after it has begun."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return attempt()
        except (OSError, Locked):
            if time.monotonic() > deadline:
                raise


def test_a_child_ends_without_what_its_parent_would_do_at_its_end(tmp_path: Path) -> None:
    code = (
        "import atexit, select, sys; from pathlib import Path\n"
        "from concur.machines.kv import KeyValue\n"
        "from concur.effects import SaveSnapshot\n"
        "from concur.serve.store import Identity, Store\n"
        "from concur.testing.storage import Keeper, snapshot_at\n"
        "atexit.register(print, 'at exit')\n"
        "class Bad(KeyValue):\n"
        "    def snapshot(self, state): raise SystemExit(3)\n"
        "store = Store.open(Path(sys.argv[1]), Identity('c', 'n1', 'keeper', 'kv'),"
        " {'r1': Keeper}, Bad(), initialise=True)\n"
        "try:\n"
        "    print('once')\n"
        "    store.save('r1', SaveSnapshot(snapshot_at(1)), lambda: print('done'))\n"
        "    select.select([store.completions_fd], [], [])\n"
        "    store.completed()\n"
        "finally: print('finally')\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout == "once\nfinally\nat exit\n"
    assert "the child process died" in there.stderr


def test_a_snapshot_whose_child_dies_is_tried_again(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(snapshots, "RETRY_S", 0.0)
    died = tmp_path / "died"

    def during() -> None:
        if not died.exists():
            died.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)

    store = slow_store(directory, during)
    done: list[int] = []
    store.save("r1", SaveSnapshot(snapshot_at(1)), lambda: done.append(1))
    wait(store)
    assert "saving snapshot-r1-000000000001 failed: the child process died" in caplog.text
    assert not done
    store.append("r1", term(2))
    store.sync()  # which looks whether it is time
    wait(store)
    assert done == [1]
    store.sync()
    store.close()
    store = open_store(directory)
    assert same(store.snapshots["r1"][""], snapshot_at(1))
    store.close()


def test_a_full_disk_costs_a_snapshot_but_not_the_one_before(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    store = open_store(directory)
    done: list[int] = []
    store.save("r1", SaveSnapshot(snapshot_at(1)), lambda: done.append(1))
    wait(store)
    store.sync()
    with monkeypatch.context() as full:
        full.setattr(
            type(store.disk), "write", lambda *_: _raise(OSError(errno.ENOSPC, "No space left"))
        )
        store.save("r1", SaveSnapshot(snapshot_at(2)), lambda: done.append(2))
        wait(store)
    assert done == [1]
    assert "No space left" in caplog.text
    store.close()
    store = open_store(directory)
    assert same(store.snapshots["r1"][""], snapshot_at(1))
    store.close()
    assert not list(directory.glob("*.part"))


def test_without_fork_a_thread_saves_snapshots(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fork")
    store = open_store(directory)
    done: list[int] = []
    store.save("r1", SaveSnapshot(snapshot_at(1)), lambda: done.append(1))
    wait(store)
    store.sync()
    store.close()
    assert done == [1]
    store = open_store(directory)
    assert same(store.snapshots["r1"][""], snapshot_at(1))
    store.close()


def test_what_an_orphan_saves_appears_behind_nobodys_back(directory: Path, tmp_path: Path) -> None:
    """A child whose parent is gone goes on; but the directory has a new owner."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)

    def during() -> None:
        with open(fifo, "rb") as go:
            go.read()

    orphan = slow_store(directory, during)
    orphan.save("r1", SaveSnapshot(snapshot_at(1)), lambda: None)
    orphan.disk.release()  # as if this process were gone
    store = _eventually(lambda: open_store(directory))
    with open(fifo, "wb"):
        pass
    assert select.select([orphan.completions_fd], [], [], WAIT_S)[0]
    assert not list(directory.glob("snapshot-*"))
    assert store.snapshots == {"r1": {}}
    store.close()
    orphan.close()


def test_closing_gives_up_a_snapshot_under_way(directory: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    store = slow_store(directory, lambda: open(fifo, "rb").close())
    store.save("r1", SaveSnapshot(snapshot_at(1)), lambda: pytest.fail("it was given up"))
    store.close()
    store = open_store(directory)
    assert store.snapshots == {"r1": {}}
    store.close()
    assert not list(directory.glob("*.part"))


class Total:
    def __init__(self) -> None:
        self.sum = 0

    def apply(self, command: Any) -> int:
        self.sum += command[1]
        return self.sum

    def snapshot(self) -> bytes:
        return str(self.sum).encode()

    def restore(self, data: bytes) -> None:
        self.sum = int(data)


def test_the_snapshot_of_an_adapted_object_is_of_its_moment(tmp_path: Path) -> None:
    total = Adaptor(Total, {"add": (int,)})

    def opened(**how: Any) -> Store:
        return Store.open(tmp_path / "a", IDENTITY, KINDS, total, **how)

    store = opened(initialise=True)
    state, _ = total.apply(total.initial(), ("add", 5))
    snapshot = Snapshot(1, (1, ""), total.capture(state), Sessions(), ("r1",))
    store.save("r1", SaveSnapshot(snapshot), lambda: None)
    total.apply(state, ("add", 7))
    wait(store)
    store.sync()
    store.close()
    store = opened()
    found = store.snapshots["r1"][""]
    assert total.snapshot(total.release(found.machine)) == b"5"
    store.close()
    with pytest.raises(Mismatch, match="expected a snapshot of machine kv"):
        Store.open(tmp_path / "a", IDENTITY, KINDS, KeyValue())


def test_a_stopped_process_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    """kill -9 at any moment: what the process said it had synced is there."""
    code = (
        "import sys; from pathlib import Path; from concur.machines.kv import KeyValue\n"
        "from concur.effects import Change, Persist\n"
        "from concur.serve.store import Identity, Store\n"
        "from concur.testing.storage import Keeper\n"
        "store = Store.open(Path(sys.argv[1]), Identity('c', 'n1', 'keeper', 'kv'),"
        " {'r1': Keeper}, KeyValue(), initialise=not Path(sys.argv[1]).exists(),"
        " segment_bytes_max=4096)\n"
        "number = store.images['r1'].get(('', 'term'), 0)\n"
        "while True:\n"
        "    number += 1\n"
        "    store.append('r1', Persist((Change('', 'term', number),)))\n"
        "    store.sync()\n"
        "    print(number, flush=True)\n"
    )
    said = 0
    for round in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(20 + 7 * round):
            said = int(child.stdout.readline())
        child.kill()
        said = int((child.stdout.read().split() or [said])[-1])
        child.wait()
        child.stdout.close()
        store = open_store(tmp_path / "a")
        assert said <= store.images["r1"]["", "term"] <= said + 1
        store.close()
