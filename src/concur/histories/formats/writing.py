"""A history file appears whole under its name, or not at all."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from concur.errors import BadInput
from concur.histories.formats.base import plain
from concur.histories.history import Event


class HistoryWriter:
    """Writes events to a temporary file beside `path`, which replaces `path` when the block ends
    without an exception. A subclass says how events become bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            handle, self._partial = tempfile.mkstemp(
                prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or "."
            )
        except OSError as error:
            raise self._failure(error) from None
        self._file = os.fdopen(handle, "wb")

    def encode(self, events: Iterable[Event]) -> Iterator[bytes]:
        raise NotImplementedError

    def write(self, events: Iterable[Event]) -> None:
        try:
            for chunk in self.encode(events):
                self._file.write(chunk)
        except OSError as error:
            raise self._failure(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                os.chmod(self._partial, 0o666 & ~_umask())
                os.replace(self._partial, self.path)
        except OSError as failure:
            raise self._failure(failure) from None
        finally:
            self._file.close()
            if os.path.exists(self._partial):
                os.unlink(self._partial)

    def _failure(self, error: OSError) -> BadInput:
        reason = error.strerror or error
        return BadInput(plain(f"{self.path}: {reason}, expected a place that can be written"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
