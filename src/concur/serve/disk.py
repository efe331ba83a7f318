"""`Disk`: every file operation of a store, in one place, so that tests can cut the power between
any two of them (`concur.testing.storage`), and the errors that storage raises.

What a store relies on, and nothing else:

* A sector of SECTOR_BYTES, once begun to be written, is there whole or not at all after a crash.
* What was written is there after `sync` of the file, and names are there after `sync_names`.
* What was not synced may be there in part: any subset of the sectors, any subset of the names.
* Space that was never written reads as zeros, or is behind the end of the file.

A sync that failed is never tried again: kernels mark the pages clean and report the error once, so
a second sync may succeed although nothing reached the disk. The process must stop. On macOS `sync`
is F_FULLFSYNC, because fsync there leaves data in the drive's cache; that was never tested.
"""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from concur.errors import BadInput, ConcurError

SECTOR_BYTES = 512
"""What even old disks write whole or not at all."""

RESERVE_BYTES = 1 << 20
"""Space that a segment takes in advance, as zeros that are written: a sync that changes nothing but
content took 0.09 ms here where one that has a new length to note took 0.13, and one that has
allocated but unwritten space 0.12 (10 KiB each, ext4); with a slow disk 4 ms instead of 8."""

LOCK = "lock"
LOCK_WAIT_S = 5.0
"""For the lock of a dead process: its child, which saves a snapshot, has it a moment longer."""

_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # macOS has it, and only that

_log = logging.getLogger(__name__)


class Damaged(ConcurError):
    """What is stored cannot be what was acknowledged: the node must not start from it.

    The message says what, where, and what to do: open it as wiped, and recover from the peers.
    """


class Missing(Damaged):
    """There is no storage where some was expected. Never taken for a new node (CORE 19)."""


class Locked(BadInput):
    """Another process, or another store of this one, has the directory."""


class Mismatch(BadInput):
    """The directory belongs to another cluster, node, protocol, machine or version."""


class SyncFailed(ConcurError):
    """Something could not be made durable. Final: the process must stop."""


class Disk:
    """The directory of one store. Names are relative to it; a file is the number from `create`."""

    concurrent = True
    """Whether a process or thread beside this one may use it at the same time."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.abspath(directory))
        self._lock = -1
        self._removing: list[threading.Thread] = []

    def __str__(self) -> str:
        return str(self.directory)

    def prepare(self, create: bool) -> None:
        """See that the directory is one that can be written, and lock it.

        Raises Missing if it is not there and shall not be created, Locked, and BadInput.
        """
        folder = self.directory
        try:
            if create and not folder.exists():
                folder.mkdir(parents=True)
                _sync_folder(folder.parent)
            if not folder.exists():
                raise Missing(f"{folder}: no such directory, expected the storage of a node")
            if not folder.is_dir():
                raise BadInput(f"{folder}: no directory, expected one for the storage of a node")
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise BadInput(f"{folder}: not writable, expected a directory of the node's own")
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BadInput(f"{folder}: {error.strerror}, expected a writable directory") from None
        holder = _lock(lock)
        if holder:
            os.close(lock)
            raise Locked(f"{folder}: in use by process {holder}, expected one store at a time")
        self._lock = lock
        with contextlib.suppress(OSError):  # which is only for messages
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others have the directory."""
        for thread in self._removing:
            thread.join()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def names(self) -> list[str]:
        """What is in the directory, in order, without the lock."""
        return sorted(name for name in os.listdir(self.directory) if name != LOCK)

    def size(self, name: str) -> int:
        return os.stat(self.directory / name).st_size

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def create(self, name: str) -> int:
        """A new, empty file, open for writing."""
        return os.open(self.directory / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def reserve(self, file: int, at: int, size: int) -> None:
        """Fill a file, which ends at `at`, with zeros up to `size`, if that is possible."""
        with contextlib.suppress(OSError):  # if the disk is full, what needs the space will say so
            os.pwrite(file, bytes(size - at), at)

    def write(self, file: int, data: Any, at: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(file, rest, at)
            rest = rest[written:]
            at += written

    def sync(self, file: int) -> None:
        """Make what was written durable."""
        if _FULL_SYNC is not None:
            fcntl.fcntl(file, _FULL_SYNC)
        else:
            os.fdatasync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, old: str, new: str) -> None:
        os.rename(self.directory / old, self.directory / new)

    def make_folder(self, name: str) -> None:
        (self.directory / name).mkdir(exist_ok=True)

    def remove(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)

    def discard(self, names: Iterable[str]) -> None:
        """Remove files soon, before `release` returns. Giving back 64 MiB of space took 17 ms here,
        for which nothing should wait, so a thread does it."""
        doomed = tuple(names)
        if doomed:
            self._removing = [t for t in self._removing if t.is_alive()]
            self._removing.append(threading.Thread(target=self._discard, args=(doomed,)))
            self._removing[-1].start()

    def _discard(self, names: tuple[str, ...]) -> None:
        for name in names:
            try:
                self.remove(name)
            except OSError as error:  # the next opening tries again
                _log.warning("%s: %s cannot be removed: %s", self, name, error)

    def sync_names(self, folder: str = "") -> None:
        """Make what was created, renamed and removed durable."""
        _sync_folder(self.directory / folder)


def replace(disk: Disk, name: str, data: bytes) -> None:
    """Put `data` in the place of the file `name`: after a crash there is the old or the new one."""
    scratch = f"{name}.part"
    disk.remove(scratch)
    file = disk.create(scratch)
    try:
        disk.write(file, data, 0)
        disk.sync(file)
    finally:
        disk.close(file)
    disk.rename(scratch, name)
    disk.sync_names()


def _lock(lock: int) -> str:
    """Lock the file. Returns who else has it, nothing if nobody."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ""
        except OSError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        if time.monotonic() > deadline or not _is_dead(holder):
            return holder
        time.sleep(0.01)


def _is_dead(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OverflowError, OSError):
        return False
    return False


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
