"""What every reader of histories shares: bounded input, complaints, and the rules of processes.

A file is a stranger's word. So nothing in it decides how much is read at once: lines, events and
names have a longest, nesting has a deepest, integers have a widest, and all of it is streamed.
While it is read, a small compressed file that unpacks to a huge one costs time, but no more memory
than one event of the greatest length: 270 MB, measured, if it is all brackets. What is kept of a
history is bounded by `reading`. What is wrong is said in one line that names the file and the line
in it; characters that would control a terminal are written out (`plain`).
"""

import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import msgspec

from concur.errors import BadInput
from concur.histories.history import Event
from concur.histories.identity import identity

LINE_BYTES_MAX = 4 << 20
"""A longer line or event is nothing that a person or a client would produce."""
NAME_CHARS_MAX = 1000
"""Of the name of an operation."""
NESTING_MAX = 64
"""Arrays in arrays. A list of transactions needs four."""
INTEGER_DIGITS_MAX = 4000
"""Python itself refuses to convert text of more than 4300, since that takes quadratic time."""
COMPLAINT_CHARS_MAX = 300
HEAD_BYTES = 4096
"""How much of a file its format is recognised by."""
BLOCK_BYTES = 1 << 20
TIME_MIN, TIME_MAX = -(1 << 63), (1 << 63) - 1
HALF_A_PAIR = re.compile("[\ud800-\udfff]")
"""In a text that has one, no file can hold it: half of a surrogate pair is no character."""


def plain(text: str) -> str:
    """`text` with whatever would move a cursor or change a terminal written out as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Source:
    """An open file of a history: its bytes a bounded piece at a time, and where the reader is.

    `line` counts from 1; a reader keeps it at the line of the event that it has just given.
    """

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.line = 0
        self._raw = file
        self._size = _size(file)
        start = file.read(2)
        bytes_: Any = _Resumed(self, start, file)
        if start == b"\x1f\x8b":
            bytes_ = _Resumed(self, b"", gzip.GzipFile(fileobj=io.BufferedReader(bytes_)))
        self._file: Any = io.BufferedReader(bytes_, BLOCK_BYTES)
        self.head: bytes = self._file.read(HEAD_BYTES)
        self._file = io.BufferedReader(_Resumed(self, self.head, self._file), BLOCK_BYTES)

    def lines(self) -> Iterator[bytes]:
        """The lines, their ends included. Keeps `line`."""
        while line := self._file.readline(LINE_BYTES_MAX + 1):
            self.line += 1
            if len(line) > LINE_BYTES_MAX:
                raise self.bad(f"expected an event of at most {LINE_BYTES_MAX} bytes, found more")
            yield line

    def blocks(self) -> Iterator[bytes]:
        """The bytes, in pieces."""
        while block := self._file.read(BLOCK_BYTES):
            yield block

    def progress(self) -> tuple[int, int]:
        """Bytes read of the file as it lies there, and all that it has; 0 if nobody knows."""
        return (self._raw.tell() if self._size else 0), self._size

    def bad(self, what: str, line: int | None = None) -> BadInput:
        """The complaint about the line where the reader is."""
        if len(what) > COMPLAINT_CHARS_MAX:
            what = what[: COMPLAINT_CHARS_MAX - 3] + "..."
        return BadInput(plain(f"{self.name}, line {line or self.line}: {what}".replace("\n", " ")))


class _Resumed(io.RawIOBase):
    """A file from which `head` was taken already; its failures are complaints about the file."""

    def __init__(self, source: Source, head: bytes, file: Any) -> None:
        self._source = source
        self._head = head
        self._rest = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        try:
            block: bytes = self._rest.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            where = self._source
            raise where.bad(f"expected whole gzip data, found: {error}", where.line + 1) from None
        buffer[: len(block)] = block
        return len(block)


def _size(file: BinaryIO) -> int:
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else 0
    except (OSError, ValueError):
        return 0


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The file at `path`, unpacked if it is gzip; `-` is standard input. Raises BadInput."""
    try:
        if path == "-":
            yield Source("standard input", sys.stdin.buffer)
            return
        with open(path, "rb") as file:
            yield Source(path, file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(plain(f"{path}: {reason}, expected a history file")) from None


Events = Callable[[Source], Iterator[Event]]


class Format(msgspec.Struct, frozen=True):
    """A way to write histories into files.

    `detects` looks at the first bytes. `events` reads a file; None if it holds transactions
    without times, which are recognised so that one can say so, and which no checker takes yet.
    """

    name: str
    summary: str
    detects: Callable[[bytes], bool]
    events: Events | None


class Rules:
    """Holds every process to its one open operation. `admit` raises BadInput."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.open: dict[int, tuple[str, Any, int]] = {}  # process -> f, key, line of the invoke
        self.gone: dict[int, int] = {}  # process -> line of its info
        self.clock: dict[int, int] = {}  # process -> time of its last event

    def admit(self, event: Event) -> None:
        bad, process, time = self.source.bad, event.process, event.time
        if len(event.f) > NAME_CHARS_MAX:
            raise bad(f"expected a name of an operation of at most {NAME_CHARS_MAX} characters")
        if time < self.clock.get(process, time):
            raise bad(
                f"expected process {process} not to go back in time, "
                f"from {self.clock[process]} to {time}"
            )
        self.clock[process] = time
        if process in self.gone:
            raise bad(
                f"expected nothing of process {process}, which never returns after the info "
                f"in line {self.gone[process]}"
            )
        if event.type == "invoke":
            if process in self.open:
                raise bad(
                    f"expected process {process} to complete its {self.of(process)} "
                    "before it invokes again"
                )
            self.open[process] = event.f, event.key, self.source.line
            return
        if process not in self.open:
            raise bad(f"expected an invoke of process {process} before its {event.type}")
        f, key, _ = self.open[process]
        if event.f != f:
            raise bad(f'expected f "{f}" to complete the {self.of(process)}, found "{event.f}"')
        if event.key is not None and identity(event.key) != identity(key):
            raise bad(
                f"expected key {text(key)} to complete the {self.of(process)}, "
                f"found {text(event.key)}"
            )
        del self.open[process]
        if event.type == "info":
            self.gone[process] = self.source.line
            del self.clock[process]

    def of(self, process: int) -> str:
        f, _, line = self.open[process]
        return f"{f} of line {line}"


def text(value: Any) -> str:
    """`value` as JSON would have it, cut to a readable length."""
    shown = msgspec.json.encode(value).decode()
    return shown if len(shown) <= 60 else shown[:57] + "..."
