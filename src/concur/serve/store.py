"""`Store`: what a node of a real cluster remembers, in a directory of its own.

    store = Store.open(Path("data"), identity, {"r1": Replica}, machine, initialise=True)
    store.append("r1", persist)      # one atomic record, in memory
    store.sync()                     # all records since the last sync: one write, one sync
    store.save("r1", save, done)     # a snapshot, beside the loop; done() in completed()

| file | holds | module |
| --- | --- | --- |
| `lock` | the process that has the directory | `disk` |
| `identity.json` | whose it is, which format, the incarnation | `identity` |
| `journal-N.log` | records, and images to read them from | `journal`, `sectors`, `fields` |
| `snapshot-NODE-INDEX` | a machine with its sessions | `snapshots` |
| `set-aside-INCARNATION/` | what was there when it was opened as wiped | here |

**What is kept.** What `sync` returned for is there again at the next opening, exactly; what was
appended after it may be, but only the first so many records of it. **What cannot be kept** is said:
storage that is damaged, unless provably in what was never synced, raises Damaged, and it is the
caller who decides to open it as wiped. A snapshot that a log was cut by is part of that: the
journal notes which snapshots must be there.

Damage that nothing can prove is a disk that loses, without a trace, the last sectors that it said
were durable: they look like ones that were never written.
"""

import errno
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from concur.effects import Persist, SaveSnapshot, Snapshot
from concur.errors import BadInput
from concur.machines.base import Machine
from concur.node import Node
from concur.serve import identity as identities
from concur.serve.disk import Damaged, Disk, Locked, Mismatch, Missing, SyncFailed
from concur.serve.fields import Fields, Image
from concur.serve.identity import ADVICE, FILE, INITIALISING, READY, WIPING, Identity, Record
from concur.serve.journal import Journal
from concur.serve.snapshots import (
    Job,
    Saver,
    encode_snapshot,
    name_of,
    newest,
    read_snapshot,
    refuse_missing,
    remove_older,
)

SEGMENT_BYTES_MAX = 64 << 20
SET_ASIDE = "set-aside-"

Kinds = Mapping[str, type[Node[Any]]]


def _wall_s() -> int:
    """Seconds, so that incarnations stay small: protocols count 32 bits of things in each."""
    return time.time_ns() // 1_000_000_000


class Store:
    """One node's storage. Open it with `open`; use it from one thread.

    `kind` is what `Start` wants: new, restart or wiped. `images` are the durable fields by place as
    they were found, and `snapshots` the newest ones, by place and path.
    """

    kind: str
    incarnation: int
    images: dict[str, Image]
    snapshots: dict[str, dict[str, Snapshot]]

    def __init__(
        self, disk: Disk, identity: Identity, fields: Fields, machine: Machine[Any, Any], size: int
    ) -> None:
        self.disk = disk
        self.identity = identity
        self.machine = machine
        self._fields = fields
        self._journal = Journal(disk, identity, fields, size)
        self._saver = Saver(disk)
        self._handed = True
        self._locked = False
        self._closed = False

    # --- opening ----------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        directory: "Path | Disk",
        identity: Identity,
        kinds: Kinds,
        machine: Machine[Any, Any],
        *,
        initialise: bool = False,
        wiped: bool = False,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        wall_s: Callable[[], int] = _wall_s,
    ) -> "Store":
        """The storage in `directory`, locked until it is closed.

        `kinds` are the classes of the nodes by place id, and by `place/path` those of children with
        durable fields. `initialise` makes that of a new node in an empty or missing directory.
        `wiped` sets aside whatever is there, and begins anew as a node that lost its disk.

        Raises Damaged (Missing if there is nothing), Locked, Mismatch, BadInput, SyncFailed.
        """
        if initialise and wiped:
            raise BadInput("a node is either initialised or wiped, expected one of the two")
        disk = directory if isinstance(directory, Disk) else Disk(Path(directory))
        store = cls(disk, identity, Fields(kinds), machine, segment_bytes_max)
        how = store._initialise if initialise else store._wipe if wiped else store._restart
        store._open(how, wall_s(), create=initialise or wiped, wiped=wiped)
        return store

    @classmethod
    def make(
        cls,
        directory: Path,
        identity: Identity,
        kinds: Kinds,
        machine: Machine[Any, Any],
    ) -> None:
        """Make the storage of a new node, for another process to open, which finds it `new`."""
        store = cls(Disk(directory), identity, Fields(kinds), machine, SEGMENT_BYTES_MAX)
        store._handed = False
        store._open(store._initialise, _wall_s(), create=True, wiped=False)
        store.close()

    def _open(
        self, how: Callable[[Record | None], None], now_s: int, *, create: bool, wiped: bool
    ) -> None:
        disk = self.disk
        try:
            disk.prepare(create)
            self._locked = True
            found = _read_identity(disk, self.identity, wiped)
            self.incarnation = max(now_s, found.incarnation + 1 if found else 1)
            how(found)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _meaning(disk, error) from None
            raise

    def _initialise(self, found: Record | None) -> None:
        disk = self.disk
        names = [name for name in disk.names() if not name.startswith(FILE)]
        if found is not None and found.state != INITIALISING:
            raise BadInput(f"{disk}: holds a node already, expected an empty directory")
        if found is None and names:
            raise BadInput(f"{disk}: not empty, there is {names[0]}; expected an empty directory")
        self._write_identity(INITIALISING, "new")
        for name in names:
            if name.startswith("journal-"):  # of an attempt that got not as far as being used
                disk.remove(name)
        self._begin("new")

    def _wipe(self, found: Record | None) -> None:
        """Set aside what is there. At every moment of it the directory says so, or is unreadable,
        so that a rest of the old files is never taken for all of them."""
        disk = self.disk
        folder = f"{SET_ASIDE}{self.incarnation}"
        names = [name for name in disk.names() if not name.startswith((SET_ASIDE, FILE))]
        unreadable = found is None and FILE in disk.names()
        if names or unreadable:
            disk.make_folder(folder)
        if unreadable:
            disk.rename(FILE, f"{folder}/{FILE}")
            disk.sync_names(folder)
            disk.sync_names()
        self._write_identity(WIPING, "wiped")
        for name in names:
            disk.rename(name, f"{folder}/{name}")
        if names:
            disk.sync_names(folder)
            disk.sync_names()
        self._begin("wiped")

    def _begin(self, kind: str) -> None:
        """An empty journal; with it the node begins."""
        self._journal.begin()
        self._write_identity(READY, kind)
        self.kind = kind
        self.images = {place: {} for place in self._fields.places}
        self.snapshots = {place: {} for place in self._fields.places}

    def _restart(self, found: Record | None) -> None:
        disk, journal = self.disk, self._journal
        if found is None:
            if disk.names():
                raise Damaged(f"{disk}: {FILE} is missing; {ADVICE}")
            raise Missing(f"{disk}: empty, expected the storage of {self.identity.node}")
        if found.state == INITIALISING:
            raise Missing(f"{disk}: its making was interrupted, expected to be initialised again")
        if found.state != READY:
            raise Damaged(f"{disk}: setting old files aside was interrupted; open it as wiped")
        journal.recover()
        self._read_snapshots()
        self.images = {place: dict(image) for place, image in journal.images.items()}
        # What it was before it persisted anything, it is until then.
        empty = not any(self.images.values())
        again = empty if self._fields.durable else not found.handed
        self.kind = found.began if again else "restart"
        self._write_identity(READY, found.began)
        journal.begin()
        remove_older(disk, journal.saved)
        for name in disk.names():
            if name.endswith(".part"):
                disk.remove(name)

    def _read_snapshots(self) -> None:
        disk, journal = self.disk, self._journal
        there = newest(disk)
        refuse_missing(disk, there, journal.saved)
        self.snapshots = {place: {} for place in self._fields.places}
        for (place, path), index in there.items():
            name = name_of(place, path, index)
            image = journal.images.get(place)
            if image is None:
                places = ", ".join(journal.images)
                raise Mismatch(f"{disk}: {name}: unknown place, expected {places}")
            known = (place, path) in journal.saved or not path
            if not known and not any(f"{key}/".startswith(f"{path}/") for key, _ in image):
                disk.remove(name)  # of a node that was dropped
                continue
            self.snapshots[place][path] = read_snapshot(disk, name, self.machine)
            journal.saved[place, path] = index

    def _write_identity(self, state: str, began: str) -> None:
        identities.write(
            self.disk, self.identity, state=state, began=began, handed=self._handed,
            incarnation=self.incarnation,
        )  # fmt: skip

    # --- records ----------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether something was appended since the last sync."""
        return self._journal.dirty

    def append(self, place: str, persist: Persist) -> None:
        """One atomic record. Raises BadInput for a node that could not be read back."""
        self._journal.append(place, persist)

    def sync(self) -> None:
        """Make all that was appended durable. Raises SyncFailed, and then every call does: what
        was not synced may be on the disk or not, so the process must stop."""
        self._journal.sync()
        if self._saver.retry_at is not None:
            self._saver.start()

    def compact(self) -> None:
        """Let the journal begin anew soon, if that makes room. It does so by itself as well."""
        self._journal.compact()

    # --- snapshots --------------------------------------------------------------------------------

    def save(self, place: str, save: SaveSnapshot, done: Callable[[], None]) -> None:
        """Save a snapshot beside the loop, after those before it. `done` is called by `completed`,
        once it is durable, in the thread that calls that."""
        journal = self._journal
        if journal.failed:
            raise SyncFailed(journal.failed)
        self._fields.refuse_unknown(place, save.path)
        snapshot, path, machine = save.snapshot, save.path, self.machine

        def saved() -> None:
            journal.note_saved(place, path, snapshot.index)
            done()
            remove_older(self.disk, {(place, path): snapshot.index})

        name = name_of(place, path, snapshot.index)
        self._saver.save(Job(name, lambda: encode_snapshot(place, path, snapshot, machine), saved))

    @property
    def completions_fd(self) -> int:
        """Readable when `completed` has something to tell."""
        return self._saver.fd

    def completed(self) -> None:
        """Tell of the snapshots that have become durable."""
        for job in self._saver.completed():
            job.done()

    # --- the rest ---------------------------------------------------------------------------------

    @property
    def bytes_on_disk(self) -> int:
        """What the journal takes."""
        return self._journal.size

    @property
    def segments(self) -> int:
        return self._journal.segments

    def close(self) -> None:
        """Let go of the directory. What was appended and not synced is forgotten, and a snapshot
        that is being saved is given up."""
        if self._closed:
            return
        self._closed = True
        self._saver.close()
        self._journal.close()
        if self._locked:
            self.disk.release()


def _read_identity(disk: Disk, identity: Identity, wiped: bool) -> Record | None:
    try:
        return identities.read(disk, identity)
    except Damaged:
        if wiped:
            return None
        raise


def _meaning(disk: Disk, error: OSError) -> Exception:
    """A medium that cannot be read is damaged; everything else is for people to put right."""
    if error.errno == errno.EIO:
        return Damaged(f"{disk}: {error}; {ADVICE}")
    return BadInput(f"{disk}: {error}, expected to read and write there")


__all__ = [
    "SEGMENT_BYTES_MAX",
    "Damaged",
    "Identity",
    "Locked",
    "Mismatch",
    "Missing",
    "Store",
    "SyncFailed",
]
