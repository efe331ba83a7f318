"""A history file appears whole under its name, or not at all."""

import os
import secrets
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
        folder, name = os.path.split(path)
        self._partial = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
        try:
            self._file = open(self._partial, "xb")  # noqa: SIM115
        except OSError as error:
            raise self._failure(error) from None

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
