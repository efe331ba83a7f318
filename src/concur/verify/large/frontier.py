"""Layers of a breadth-first search, on disk as soon as they take too much memory.

A layer is a list of ints that is written once, from its beginning to its end, and read in the same
order. Blocks of ints become bytes; so many of those stay in memory, and the others go to a
temporary file that has no name: it is gone when it is closed, and however the process ends. Only
ints are written, and nothing is unpickled.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import IO

from concur.errors import ConcurError

BLOCK = 4096
"""Ints in a block."""
KEPT_BYTES_MAX = 4 << 20
"""Of blocks in memory, unless one asks for another limit."""

Block = tuple[int, int, "bytes | int"]
"""How many ints, of how many bytes each, and the bytes or where they begin in the file."""


class DiskFull(ConcurError):
    """What does not fit into memory does not fit on the disk either."""


class Layers:
    """Layers of ints, numbered from 0; the last one grows until it is ended.

    `folder` is where the file is; None is the system's folder for such files (TMPDIR). Raises
    DiskFull if the file cannot be written. Use it as a context manager, or close it.
    """

    def __init__(self, folder: str | None = None, kept_bytes_max: int | None = None) -> None:
        self.folder = tempfile.gettempdir() if folder is None else folder
        self.kept_bytes_max = KEPT_BYTES_MAX if kept_bytes_max is None else kept_bytes_max
        self.lengths: list[int] = []
        """Of the layers that are ended."""
        self.kept_bytes = self.file_bytes = 0
        self._file: IO[bytes] | None = None
        self._layers: list[list[Block]] = [[]]
        self._pending: list[int] = []
        self._length = 0

    def __enter__(self) -> "Layers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        if self._file is not None:
            self._file.close()
        self._layers, self._pending = [], []

    def append(self, number: int) -> None:
        pending = self._pending
        pending.append(number)
        if len(pending) == BLOCK:
            self._flush()

    def end_layer(self) -> None:
        """What is appended from now on belongs to the next layer."""
        self._flush()
        self.lengths.append(self._length)
        self._layers.append([])
        self._length = 0

    def layer(self, depth: int) -> Iterator[int]:
        """The ints of a layer that is ended, in order."""
        for count, width, where in self._layers[depth]:
            data = where if isinstance(where, bytes) else self._read(where, count * width)
            for at in range(0, count * width, width):
                yield int.from_bytes(data[at : at + width], "little", signed=True)

    def _flush(self) -> None:
        pending = self._pending
        if not pending:
            return
        width = max(number.bit_length() for number in pending) // 8 + 1  # with the sign
        data = b"".join([number.to_bytes(width, "little", signed=True) for number in pending])
        if self.kept_bytes + len(data) <= self.kept_bytes_max:
            self.kept_bytes += len(data)
            block: Block = len(pending), width, data
        else:
            block = len(pending), width, self._write(data)
        self._layers[-1].append(block)
        self._length += len(pending)
        self._pending = []

    def _write(self, data: bytes) -> int:
        """Where it is now."""
        begin = self.file_bytes
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(  # noqa: SIM115
                    prefix="concur-verify-", dir=self.folder, buffering=0
                )
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:], begin + written)
        except OSError as error:
            raise DiskFull(
                f"{self.folder}: {error.strerror} after {begin:,} bytes of states; expected room "
                "for those that do not fit into memory (TMPDIR names another folder)"
            ) from None
        self.file_bytes = begin + len(data)
        return begin

    def _read(self, begin: int, length: int) -> bytes:
        assert self._file is not None
        data = b""
        while len(data) < length:
            more = os.pread(self._file.fileno(), length - len(data), begin + len(data))
            if not more:
                raise DiskFull(
                    f"{self.folder}: the file of states is shorter than what was written"
                )
            data += more
        return data
