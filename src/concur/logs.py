"""`Log`: an immutable, shared-structure, compactable sequence of entries, numbered from 1.

Versions of one log share a buffer that only grows: a version is the buffer and a length, like a
slice in Go, so that append, truncation and the comparison of two versions are O(1). Appending to
anything but the newest version copies, which happens when a log is truncated and grows again.

Equality and hash use a running chain hash (BLAKE2b over the entries' encodings), computed when
first asked for; the compaction base (index, mark, chain) is part of both.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from concur.values import _convert, encode_collection

E = TypeVar("E")

Mark = tuple[int, str]
"""What a protocol notes about its last compacted entry: a ballot, or (term, "")."""

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_collection)


class Base(msgspec.Struct, frozen=True, array_like=True):
    """Where a log begins: everything up to `index` was compacted away."""

    index: int = 0
    mark: Mark = (0, "")
    chain: bytes = b""


class LogDelta(msgspec.Struct, Generic[E], frozen=True, array_like=True):
    """What turns one log into another: a new base if any, the last index kept, what follows."""

    base: Base | None
    keep: int
    appended: tuple[E, ...]


class _Buffer(Generic[E]):
    """Entries that versions share, and the chain hashes of a prefix of them."""

    __slots__ = ("base", "chains", "entries")

    def __init__(self, base: Base, entries: list[E]) -> None:
        self.base = base
        self.entries = entries
        self.chains: list[bytes] = [base.chain]

    def chain(self, length: int) -> bytes:
        chains = self.chains
        while len(chains) <= length:
            encoded = _encoder.encode(self.entries[len(chains) - 1])
            chains.append(hashlib.blake2b(chains[-1] + encoded, digest_size=16).digest())
        return chains[length]


class Log(Generic[E]):
    """Entries `first_index` to `last_index`; what came before is behind `base`."""

    __slots__ = ("_buffer", "_length")
    _buffer: _Buffer[E]
    _length: int

    def __init__(self, entries: Iterable[E] = (), base: Base = Base()) -> None:  # noqa: B008
        self._buffer = _Buffer(base, list(entries))
        self._length = len(self._buffer.entries)

    @property
    def base(self) -> Base:
        return self._buffer.base

    @property
    def first_index(self) -> int:
        return self._buffer.base.index + 1

    @property
    def last_index(self) -> int:
        return self._buffer.base.index + self._length

    def append(self, *entries: E) -> "Log[E]":
        buffer = self._buffer
        if len(buffer.entries) != self._length:
            buffer = self._fork(self._length)
        buffer.entries.extend(entries)
        return _log(buffer, self._length + len(entries))

    def truncate(self, last_index: int) -> "Log[E]":
        """Keep entries up to and with `last_index`. Raises IndexError below the base."""
        length = last_index - self._buffer.base.index
        if length < 0:
            raise IndexError(f"cannot truncate to {last_index}: compacted to {self.base.index}")
        return self if length >= self._length else _log(self._buffer, length)

    def compact(self, index: int, mark: Mark) -> "Log[E]":
        """Forget entries up to and with `index`, which must be in the log."""
        dropped = index - self._buffer.base.index
        if dropped == 0:
            return self
        if not 0 < dropped <= self._length:
            raise IndexError(f"cannot compact to {index}: log is {self}")
        base = Base(index, mark, self._buffer.chain(dropped))
        kept = self._buffer.entries[dropped : self._length]
        return _log(_Buffer(base, kept), len(kept))

    def since(self, index: int, most: int | None = None) -> tuple[E, ...]:
        """Entries after `index`, `most` at the most. Raises IndexError if some are compacted."""
        start = index - self._buffer.base.index
        if start < 0:
            raise IndexError(f"entries after {index} are compacted to {self.base.index}")
        end = self._length if most is None else min(self._length, start + most)
        return tuple(self._buffer.entries[start:end])

    def __getitem__(self, index: int) -> E:
        at = index - self._buffer.base.index - 1
        if not 0 <= at < self._length:
            raise IndexError(f"no entry {index} in {self}")
        return self._buffer.entries[at]

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self.first_index <= index <= self.last_index

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[E]:
        return iter(self._buffer.entries[: self._length])

    def items(self) -> Iterator[tuple[int, E]]:
        return enumerate(self, start=self.first_index)

    def chain(self) -> bytes:
        """The running hash of all entries ever appended, compacted ones with them."""
        return self._buffer.chain(self._length)

    @staticmethod
    def delta(old: "Log[E]", new: "Log[E]") -> LogDelta[E]:
        """What turns `old` into `new`: O(1) plus what was appended, if they share a buffer."""
        if old._buffer is new._buffer:
            keep = min(old._length, new._length)
            first = new.base.index
            return LogDelta(None, first + keep, tuple(new._buffer.entries[keep : new._length]))
        moved = new.base != old.base
        base = new.base if moved else None
        start = new.base.index
        if start < old.base.index or start > old.last_index:
            return LogDelta(base, start, tuple(new))
        offset = start - old.base.index
        ours, theirs = old._buffer.entries, new._buffer.entries
        limit = min(old._length - offset, new._length)
        same = limit
        if ours[offset : offset + limit] != theirs[:limit]:
            same = next(i for i in range(limit) if ours[offset + i] != theirs[i])
        return LogDelta(base, start + same, tuple(theirs[same : new._length]))

    def patch(self, delta: LogDelta[E]) -> "Log[E]":
        log = self
        if delta.base is not None:
            start = delta.base.index
            inside = self.base.index <= start <= self.last_index
            kept = self.since(start) if inside else ()
            log = Log(kept, delta.base)
        log = log.truncate(delta.keep)
        return log.append(*delta.appended) if delta.appended else log

    def _fork(self, length: int) -> _Buffer[E]:
        fork = _Buffer(self._buffer.base, self._buffer.entries[:length])
        fork.chains = self._buffer.chains[: length + 1]
        return fork

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Log):
            return NotImplemented
        if self._length != other._length or self.base != other.base:
            return False
        return self._buffer is other._buffer or self.chain() == other.chain()

    def __hash__(self) -> int:
        return hash((self.base, self._length, self.chain()))

    def __repr__(self) -> str:
        return f"Log({self.first_index}..{self.last_index})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Log, (tuple(self), self.base)

    def _to_plain(self) -> object:
        return self.base, tuple(self)

    @staticmethod
    def _from_plain(args: tuple[Any, ...], plain: Any) -> "Log[Any]":
        (entry,) = args or (Any,)
        base, entries = plain
        kept = _convert(entries, tuple[entry, ...])  # type: ignore[valid-type]
        return Log(kept, _convert(base, Base))


def _log(buffer: _Buffer[E], length: int) -> Log[E]:
    result: Log[E] = Log.__new__(Log)
    result._buffer = buffer
    result._length = length
    return result
