"""`MemoryDisk`: a disk in memory that forgets, fails and is damaged as told.

It remembers for every file what was synced and, in order, what was written since; and the same for
names. So at any moment it can say what a power loss may leave (`survivor`): of what was not synced
any subset of the sectors, and any subset of the names, by the seed. A file can come back longer
than what was written to it, with zeros.

    disk = MemoryDisk(crash_at=17)       # the 17th operation is the last one: PowerLoss
    try:
        ...
    except PowerLoss:
        disk = disk.survivor(Stream(seed, "survivor"))
"""

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from concur.chance import Stream
from concur.serve.disk import LOCK, SECTOR_BYTES, Disk, Locked, Missing

RESERVE_BYTES = 8 * 1024
"""The most that is reserved at once, so that small files stay small."""


class PowerLoss(BaseException):
    """The power fails. Not an Exception, so that no handler of errors gets to act on it."""


class Inode:
    """The content of a file: what is durable, and (at, bytes) that were written since."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.pending: list[tuple[int, bytes]] = []

    def content(self) -> bytes:
        data = bytearray(self.durable)
        for at, written in self.pending:
            _write(data, at, written)
        return bytes(data)

    def survivor(self, draws: Stream, all_or_nothing: int) -> "Inode":
        """What may be left of it: nothing of what is pending, all of it, or any sectors."""
        data = bytearray(self.durable)
        for at, written in self.pending:
            if all_or_nothing == 1:
                _write(data, at, written)
            if all_or_nothing <= 1:
                continue
            for start in range(0, len(written), SECTOR_BYTES):
                if draws.chance(0.5):
                    _write(data, at + start, written[start : start + SECTOR_BYTES])
            if draws.chance(0.25):
                data.extend(bytes(max(0, at + len(written) - len(data))))
        return Inode(bytes(data))


class MemoryDisk(Disk):
    """Files by name, folders by slashes. `operations` counts what may be interrupted.

    `crash_at` is the number of the operation in which the power fails, from 1 on; `fail_at` that of
    one which fails with `error` instead, the only one. `log` names what was done, for messages.
    """

    concurrent = False

    def __init__(
        self,
        files: "dict[str, Inode] | None" = None,
        *,
        crash_at: int = 0,
        fail_at: int = 0,
        error: int = errno.EIO,
    ) -> None:
        super().__init__(Path("/memory"))
        self.crash_at = crash_at
        self.fail_at = fail_at
        self.error = error
        self.operations = 0
        self.log: list[str] = []
        self._held = False
        self._durable = dict(files or {})  # names whose entries are durable
        self._names = dict(self._durable)
        self._moves: list[tuple[tuple[str, Inode | None], ...]] = []
        self._open: dict[int, Inode] = {}
        self._last = 1_000_000  # never the number of a real file

    # --- the tester's side ------------------------------------------------------------------------

    def survivor(self, draws: Stream) -> "MemoryDisk":
        """The disk after a power loss now, one of those that are possible."""
        lucky = draws.below(4)  # 0: nothing that was not synced, 1: all of it, else any of it
        names = dict(self._durable)
        for move in self._moves:
            if lucky == 1 or (lucky > 1 and draws.chance(0.5)):
                _apply(names, move)
        again: dict[Inode, Inode] = {}
        for inode in [*names.values()]:
            if inode not in again:
                again[inode] = inode.survivor(draws, lucky)
        return MemoryDisk({name: again[inode] for name, inode in names.items()})

    def killed(self) -> "MemoryDisk":
        """The disk after the process was killed: all of it can be read, also what is not durable,
        and may still be lost."""
        disk = MemoryDisk(self._durable)
        disk._names, disk._moves = self._names, self._moves
        return disk

    def copy(self) -> "MemoryDisk":
        """An independent disk with the same content, all of it durable."""
        return MemoryDisk({name: Inode(inode.content()) for name, inode in self._names.items()})

    def files(self) -> dict[str, bytes]:
        """All files by name, those in folders too."""
        return {name: inode.content() for name, inode in sorted(self._names.items())}

    def put(self, name: str, data: bytes | None) -> None:
        """Let a file hold that, durably; with None it is gone."""
        if data is None:
            del self._names[name], self._durable[name]
        else:
            self._names[name] = self._durable[name] = Inode(data)

    # --- the store's side -------------------------------------------------------------------------

    def prepare(self, create: bool) -> None:
        if self._held:
            raise Locked(f"{self}: in use, expected one store at a time")
        if not create and not self._names:
            raise Missing(f"{self}: no such directory, expected the storage of a node")
        self._held = True

    def release(self) -> None:
        self._held = False

    def names(self) -> list[str]:
        tops = dict.fromkeys(name.partition("/")[0] for name in self._names)
        return sorted(name for name in tops if name != LOCK)

    def size(self, name: str) -> int:
        return len(self.read(name))

    def read(self, name: str) -> bytes:
        return self._names[name].content()

    def create(self, name: str) -> int:
        if name in self._names:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        inode = Inode()
        self._move(f"create {name}", ((name, inode),))
        self._last += 1
        self._open[self._last] = inode
        return self._last

    def reserve(self, file: int, at: int, size: int) -> None:
        zeros = bytes(min(size - at, RESERVE_BYTES))
        with contextlib.suppress(OSError):
            self._interrupt("reserve", lambda: self._open[file].pending.append((at, zeros)))

    def write(self, file: int, data: Any, at: int) -> None:
        inode, whole = self._open[file], bytes(data)
        half = at, whole[: len(whole) // 2]

        def write() -> None:
            inode.pending.append((at, whole))

        self._interrupt(
            f"write {len(whole)} bytes at {at}", write, lambda: inode.pending.append(half)
        )

    def sync(self, file: int) -> None:
        inode = self._open[file]

        def sync() -> None:
            inode.durable, inode.pending = inode.content(), []

        self._interrupt("sync", sync)

    def close(self, file: int) -> None:
        del self._open[file]

    def rename(self, old: str, new: str) -> None:
        self._move(f"rename {old} to {new}", ((old, None), (new, self._names[old])))

    def make_folder(self, name: str) -> None:
        """Folders come and go with what is in them."""

    def remove(self, name: str) -> None:
        if name in self._names:
            self._move(f"remove {name}", ((name, None),))

    def discard(self, names: Iterable[str]) -> None:
        for name in tuple(names):
            with contextlib.suppress(OSError):
                self.remove(name)

    def sync_names(self, folder: str = "") -> None:
        def sync() -> None:
            rest = []
            for move in self._moves:
                if any(os.path.dirname(name) == folder for name, _ in move):
                    _apply(self._durable, move)
                else:
                    rest.append(move)
            self._moves = rest

        self._interrupt(f"sync the names of {folder or 'the directory'}", sync)

    def _move(self, what: str, move: tuple[tuple[str, Inode | None], ...]) -> None:
        def rename() -> None:
            _apply(self._names, move)
            self._moves.append(move)

        self._interrupt(what, rename)

    def _interrupt(self, what: str, act: Any, fail: Any = None) -> None:
        """Do it; or fail; or lose power, a sync before it is done and all else after."""
        self.operations += 1
        self.log.append(what)
        if self.operations == self.fail_at:
            if fail is not None:
                fail()
            raise OSError(self.error, os.strerror(self.error))
        if self.operations == self.crash_at and what.startswith("sync"):
            raise PowerLoss(what)
        act()
        if self.operations == self.crash_at:
            raise PowerLoss(what)


def _write(data: bytearray, at: int, written: bytes) -> None:
    data.extend(bytes(max(0, at - len(data))))
    data[at : at + len(written)] = written


def _apply(names: dict[str, Inode], move: tuple[tuple[str, Inode | None], ...]) -> None:
    for name, inode in move:
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode
