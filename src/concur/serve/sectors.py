"""Groups: what one sync writes, in sectors that each prove that they were written, and whole.

A group is its length and its payload, cut into sectors of 512 bytes, each 4 bytes of checksum and
508 of content, the last one filled up with zeros. The checksum of a sector also covers whose it is:
it starts from the group's seed, made of the journal, the segment, the group's number and its
position, plus the sector's number in the group. So a sector never passes for another one. No sector
is all zeros, because no checksum is 0 (0 is stored as 1).

**What the last group proves.** A crash in the middle of a write leaves any subset of its sectors;
a group that was synced is there whole. So if every sector of the group is intact or was never
written (zeros, or behind the end of the file), and at least one was never written, its sync never
returned, nothing of it was ever acknowledged, and it may be dropped. Anything else that is not a
whole group is damage: something that was synced has changed.
"""

import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from concur.serve.disk import SECTOR_BYTES

CONTENT_BYTES = SECTOR_BYTES - 4
GROUP_BYTES_MAX = (1 << 32) - 1
"""What the length of a group can say."""

_MASK = 0xFFFFFFFF
_place = struct.Struct(">IQQQ").pack
_length = struct.Struct(">I")
_NOTHING = bytes(SECTOR_BYTES)
_PADDING = bytes(CONTENT_BYTES)


class Broken(Exception):
    """A group is neither whole nor provably unsynced. `at` is the byte of the first bad sector."""

    def __init__(self, at: int) -> None:
        super().__init__(f"the sector at byte {at} is damaged")
        self.at = at


def seed_of(journal: int, segment: int, group: int, at: int) -> int:
    """Whose the sectors of a group are: of the `group`-th of that segment, which begins at `at`."""
    return crc32(_place(journal, segment, group, at))


def seal(parts: Sequence[Any], seed: int) -> bytes:
    """The sectors of a group whose payload is `parts`, joined."""
    size = sum(map(len, parts))
    if size > GROUP_BYTES_MAX:
        raise OverflowError(f"a group of {size} bytes, at most {GROUP_BYTES_MAX} expected")
    padding = -(size + 4) % CONTENT_BYTES
    content = b"".join((_length.pack(size), *parts, _PADDING[:padding]))
    if len(content) == CONTENT_BYTES:
        return (crc32(content, seed) or 1).to_bytes(4, "big") + content
    view = memoryview(content)
    sectors: list[Any] = []
    add = sectors.append
    for at in range(0, len(content), CONTENT_BYTES):
        piece = view[at : at + CONTENT_BYTES]
        add((crc32(piece, seed & _MASK) or 1).to_bytes(4, "big"))
        add(piece)
        seed += 1
    return b"".join(sectors)


def unseal(data: memoryview, at: int, seed: int) -> tuple[bytes, int] | None:
    """The payload of the group at `at`, and where the next one begins.

    None if there is none, or one whose sync provably never returned, and nothing after it. Raises
    Broken for everything else.
    """
    first = data[at : at + SECTOR_BYTES]
    if len(first) < SECTOR_BYTES or first == _NOTHING:
        _refuse_strangers(data, at, seed)
        return None
    if not _intact(first, seed):
        raise Broken(at)
    (size,) = _length.unpack_from(first, 4)
    count = -(-(size + 4) // CONTENT_BYTES)
    end = at + count * SECTOR_BYTES
    pieces = []
    unwritten = end > len(data)
    for start in range(at, min(end, len(data)), SECTOR_BYTES):
        sector = data[start : start + SECTOR_BYTES]
        if len(sector) < SECTOR_BYTES or sector == _NOTHING:
            unwritten = True
        elif _intact(sector, seed):
            pieces.append(sector[4:])
        else:
            raise Broken(start)
        seed += 1
    if not unwritten:
        return b"".join(pieces)[4 : 4 + size], end
    if bytes(data[end:]).strip(b"\0"):
        raise Broken(end)  # a later group was begun, so this one had been synced
    return None


def _refuse_strangers(data: memoryview, at: int, seed: int) -> None:
    """The first sector was never written: what follows must be sectors of that group, or zeros."""
    if not bytes(data[at:]).strip(b"\0"):
        return
    for start in range(at, len(data), SECTOR_BYTES):
        sector = data[start : start + SECTOR_BYTES]
        if len(sector) == SECTOR_BYTES and sector != _NOTHING and not _intact(sector, seed):
            raise Broken(start)
        seed += 1


def _intact(sector: memoryview, seed: int) -> bool:
    return (crc32(sector[4:], seed & _MASK) or 1) == int.from_bytes(sector[:4], "big")
