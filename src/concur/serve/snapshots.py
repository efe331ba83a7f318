"""Snapshot files: written beside the loop by a forked child, complete or not there at all.

A snapshot of a large machine takes long to encode. A forked child has the whole state, frozen as it
was, for the price of its page tables; it encodes, writes, syncs and renames, and the loop goes on.
What a child of this process must not do is act like it, so it

* runs no handlers of signals, no `atexit`, no `finally` of its parent: it ends in `os._exit`;
* closes every other file at once: a socket stays connected, a port bound and a lock held as long as
  any process has it;
* writes into a file that the parent made before. If the parent dies, whoever opens the directory
  next removes that file, so that the orphan's rename fails: nothing appears behind anyone's back.

A child that dies, or finds the disk full, is told of in the log and tried again after RETRY_S; the
snapshot before stays until a newer one is durable. Where there is no fork, a thread does the work;
a disk that is not `concurrent` gets it done at once.
"""

import contextlib
import gc
import logging
import os
import re
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import msgspec

from concur.effects import Snapshot
from concur.logs import Mark
from concur.machines.base import Machine
from concur.messages import decode, digest, encode
from concur.parts.sessions import Sessions
from concur.serve.disk import Damaged, Disk, Mismatch
from concur.serve.identity import ADVICE

RETRY_S = 5.0
"""Between two attempts to save the same snapshot."""

FILES_MAX = 1 << 20
"""A child closes files with lower numbers: more than a process has, and soon done where each takes
a system call."""

_MAGIC = b"concur snapshot 1\n"
_NAME = re.compile(r"snapshot-(.+)-(\d{12,})")
_Plain = tuple[str, str, int, Mark, bytes | None, Sessions, tuple[str, ...]]

_log = logging.getLogger(__name__)


def name_of(place: str, path: str, index: int) -> str:
    node = f"{place}/{path}" if path else place
    return f"snapshot-{quote(node, safe='')}-{index:012}"


def owner_of(name: str) -> tuple[str, str, int] | None:
    """The place, the path and the index of a snapshot file; None if it is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    place, _, path = unquote(match[1]).partition("/")
    return place, path, int(match[2])


def encode_snapshot(place: str, path: str, snapshot: Snapshot, machine: Machine[Any, Any]) -> bytes:
    held = snapshot.machine
    state = None if held is None else machine.snapshot(machine.release(held))
    data = encode(
        (place, path, snapshot.index, snapshot.mark, state, snapshot.sessions, snapshot.members)
    )
    return b"".join((_MAGIC, digest(data), len(data).to_bytes(8, "big"), data))


def read_snapshot(disk: Disk, name: str, machine: Machine[Any, Any]) -> Snapshot:
    """Raises Damaged if the file is not whole, Mismatch if the machine does not take its state."""
    raw = memoryview(disk.read(name))
    head = len(_MAGIC)
    data = bytes(raw[head + 24 :])
    size = int.from_bytes(raw[head + 16 : head + 24], "big")
    if raw[:head] != _MAGIC or size != len(data) or digest(data) != raw[head : head + 16]:
        raise Damaged(f"{disk}: {name} is damaged; {ADVICE}")
    try:
        place, path, index, mark, state, sessions, members = decode(data, _Plain)
        if (place, path, index) != owner_of(name):
            raise Damaged(f"{disk}: {name} holds the snapshot of another; {ADVICE}")
        held = None if state is None else machine.capture(machine.restore(state))
    except Damaged:
        raise
    except Exception as error:  # a machine is the user's: it may raise anything
        raise Mismatch(
            f"{disk}: {name}: {error}, expected a snapshot of machine {machine.name}"
        ) from None
    return Snapshot(index, mark, held, sessions, members)


class Job(msgspec.Struct, eq=False):
    """A snapshot to be saved as `name`; `done` is told when it is durable."""

    name: str
    encode: Callable[[], bytes]
    done: Callable[[], None]


class Saver:
    """Saves one snapshot after the other. Not for several threads: `completed` tells the caller's
    thread what is done, once `fd` is readable."""

    def __init__(self, disk: Disk, clock: Callable[[], float] = time.monotonic) -> None:
        self.disk = disk
        self.clock = clock
        self.fd, self._told = os.pipe()
        os.set_blocking(self.fd, False)
        self._queue: deque[Job] = deque()
        self._ends: deque[str] = deque()  # of the job under way: its error, "" if there is none
        self._waiter: threading.Thread | None = None
        self._child = 0
        self._busy = False
        self.retry_at: float | None = None

    def save(self, job: Job) -> None:
        self._queue.append(job)
        self.start()

    def start(self) -> None:
        """Begin the next job, unless one is under way or failed a moment ago."""
        if self._busy or not self._queue:
            return
        if self.retry_at is not None and self.clock() < self.retry_at:
            return
        self.retry_at = None
        self._busy = True
        job = self._queue[0]
        scratch = f"{job.name}.part"
        try:
            self.disk.remove(scratch)
            file = self.disk.create(scratch)
        except OSError as error:
            self._end(str(error))
            return
        if not self.disk.concurrent:
            self._end(_attempt(self.disk, job, file))
            self.disk.close(file)
        elif hasattr(os, "fork"):
            try:
                self._fork(job, file)
            except OSError as error:  # no memory, or too many processes
                self._end(f"no child process: {error}")
            self.disk.close(file)
        else:
            self._wait(self._work, job, file)

    def completed(self) -> list[Job]:
        """The jobs that are done since the last call; begins the next one."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 64):
                pass
        done = []
        while self._ends:
            error = self._ends.popleft()
            self._reap()
            self._busy = False
            job = self._queue[0]
            if error:
                _log.error(
                    "%s: saving %s failed: %s; next attempt in %g s",
                    self.disk, job.name, error, RETRY_S,
                )  # fmt: skip
                with contextlib.suppress(OSError):
                    self.disk.remove(f"{job.name}.part")
                self.retry_at = self.clock() + RETRY_S
            else:
                self._queue.popleft()
                done.append(job)
                self.start()
        return done

    def close(self) -> None:
        """Give up what is under way."""
        self._queue.clear()
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        self._reap()
        os.close(self.fd)
        os.close(self._told)

    # --- in the parent ----------------------------------------------------------------------------

    def _reap(self) -> None:
        """The child has ended, or is about to. Only here is it waited for, so that until then its
        process id is nobody else's."""
        if self._waiter is not None:
            self._waiter.join()
            self._waiter = None
        if self._child:
            with contextlib.suppress(ChildProcessError):  # somebody waits for all children
                os.waitpid(self._child, 0)
            self._child = 0

    def _end(self, error: str) -> None:
        self._ends.append(error)
        os.write(self._told, b"\0")

    def _wait(self, target: Callable[..., None], *arguments: Any) -> None:
        self._waiter = threading.Thread(target=target, args=arguments, daemon=True)
        self._waiter.start()

    def _work(self, job: Job, file: int) -> None:
        """In a thread of its own, where there is no fork."""
        try:
            self._end(_attempt(self.disk, job, file))
        finally:
            self.disk.close(file)

    def _fork(self, job: Job, file: int) -> None:
        hear, tell = os.pipe()
        # No handler of a signal may run in the child, which would think itself the parent.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                # Of threads that hold locks: the child touches nothing that another thread has.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                _be_child(self.disk, job, file, tell)
            self._child = child
        except OSError:
            os.close(hear)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(tell)
        self._wait(self._hear, hear)

    def _hear(self, hear: int) -> None:
        """In a thread of its own: wait for the child's last words, and the end of them."""
        words = b""
        while part := os.read(hear, 4096):
            words += part
        os.close(hear)
        if words == b"done":
            self._end("")
        else:
            self._end(words.decode("utf-8", "replace") or "the child process died")


def _attempt(disk: Disk, job: Job, file: int) -> str:
    """Write the file and give it its name. What was wrong, else nothing."""
    try:
        disk.write(file, job.encode(), 0)
        disk.sync(file)
        disk.rename(f"{job.name}.part", job.name)
        disk.sync_names()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _be_child(disk: Disk, job: Job, file: int, tell: int) -> NoReturn:
    """The whole life of a child process."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        at = 0
        for kept in sorted((file, tell)):
            os.closerange(at, kept)
            at = kept + 1
        os.closerange(at, FILES_MAX)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        gc.disable()
        error = _attempt(disk, job, file)
        os.write(tell, error.encode() if error else b"done")
        status = 1 if error else 0
    finally:
        os._exit(status)


def newest(disk: Disk) -> dict[tuple[str, str], int]:
    """The index of the newest snapshot file by (place, path)."""
    found: dict[tuple[str, str], int] = {}
    for name in disk.names():
        owner = owner_of(name)
        if owner is not None:
            place, path, index = owner
            found[place, path] = max(index, found.get((place, path), -1))
    return found


def remove_older(disk: Disk, keep: dict[tuple[str, str], int]) -> None:
    """Remove every snapshot that is older than `keep` says."""
    older = []
    for name in disk.names():
        owner = owner_of(name)
        if owner is None:
            continue
        place, path, index = owner
        if index < keep.get((place, path), 0):
            older.append(name)
    disk.discard(older)


def refuse_missing(
    disk: Disk, found: dict[tuple[str, str], int], expected: dict[tuple[str, str], int]
) -> None:
    """Raise Damaged unless every snapshot that the journal relies on is there, or a newer one."""
    for (place, path), index in expected.items():
        if found.get((place, path), -1) < index:
            raise Damaged(f"{disk}: {name_of(place, path, index)} is missing; {ADVICE}")
