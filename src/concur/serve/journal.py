"""The journal: segment files of groups, and the images that their records add up to.

Every sync appends one group (`concur.serve.sectors`) to the newest segment `journal-N.log`. A group
holds items, each a kind and bytes:

| kind | holds |
| --- | --- |
| head | format, segment, the segment before, and how many groups came before; begins a segment |
| record | one Persist of one place |
| saved | a snapshot of that index is durable: from here on it must be found |
| image | a record of the base: part of the image of a place as the segment began |
| kept | of the base, too: which snapshots were durable |
| whole | the base is complete: what older segments hold is superfluous |
| full | the segment ends here, and the next one exists |

**Bounded.** When a segment has its size, the next file is made, and only when its name is durable
does the last group say so: a segment that is lost as a whole is missed. The next sync begins it,
and its base is written along with the records of the following syncs, a little at a time, so that
no turn waits for it. Images are immutable values held by reference, so the base is that of the
segment's beginning whatever happens meanwhile. When it is whole the older segments are removed;
until then they are what a restart reads. A journal is at most two segments and two images large.

**Restart.** The newest segment with a whole base is where reading begins, and groups are counted
from segment to segment, so that none can be missing in the middle. Then a new segment with a whole
base is made at once: what was found in the page cache may never have reached the disk, and a node
must not act on it before it has (a crash of the process alone keeps what was written and not
synced). So no segment is ever continued, and nothing that was synced is ever rewritten.
"""

import re
import struct
from collections.abc import Iterator
from zlib import crc32

import msgspec

from concur.effects import Persist, patch
from concur.errors import BadInput
from concur.messages import encode
from concur.serve.disk import RESERVE_BYTES, Damaged, Disk, Mismatch, SyncFailed
from concur.serve.fields import Fields, Image, encode_image, encode_record
from concur.serve.identity import ADVICE, Identity
from concur.serve.sectors import Broken, seal, seed_of, unseal

FORMAT = 1
BASE_SHARE = 512
"""While a base is written, one part in so many of a segment's size goes along with each sync, which
is 128 KiB of 64 MiB; or twice the size of its records, if that is more, to be done in time."""
SLACK_BYTES = 64 << 10
"""`compact` leaves a segment alone while there is no more than this to be gained."""

_NAME = re.compile(r"journal-(\d{12})\.log")
_HEAD, _RECORD, _SAVED, _IMAGE, _KEPT, _WHOLE, _FULL = range(7)
_item = struct.Struct(">IB")
_pack_item = _item.pack

_Saved = tuple[str, str, int]
_decode_saved = msgspec.msgpack.Decoder(_Saved).decode


class Head(msgspec.Struct, frozen=True, array_like=True):
    """`follows` is the segment before, 0 if none; `groups` came in all segments before."""

    format: int
    segment: int
    follows: int
    groups: int


_decode_head = msgspec.msgpack.Decoder(Head).decode


class Segment:
    """What was read of one segment: its head, its items, and how it ends."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.head: Head | None = None
        self.groups = 0
        self.items: list[tuple[int, memoryview]] = []
        self.damage = ""

    def says(self, what: int) -> bool:
        return any(kind == what for kind, _ in self.items)


class Journal:
    """The journal in `disk`. `images` are the durable fields by place, as of the last record
    appended, and `saved` the newest snapshot known to be durable by (place, path)."""

    def __init__(self, disk: Disk, identity: Identity, fields: Fields, bytes_max: int) -> None:
        self.disk = disk
        self.fields = fields
        self.bytes_max = bytes_max
        self.images: dict[str, Image] = {place: {} for place in fields.places}
        self.saved: dict[tuple[str, str], int] = {}
        self.dirty = False
        self.old: dict[str, int] = {}  # segments that wait for a whole base, and their sizes
        self.failed = ""
        self._key = crc32(f"{identity.cluster}\0{identity.node}".encode())
        self._items: list[bytes] = []  # of the group that gathers: a header, bytes, a header, ...
        self._next: tuple[dict[str, Image], dict[tuple[str, str], int]] | None = None
        self._base: Iterator[tuple[int, bytes]] | None = None
        self._base_bytes = 0
        self._full = False
        self._file = -1
        self._name = ""
        self._number = 0
        self._follows = 0
        self._groups = 0  # of all segments
        self._first = 0  # the number of the newest segment's first group
        self._at = 0
        self._reserved = 0
        self._next_file = -1  # of the segment that comes next, once this one is about to be full

    # --- reading ----------------------------------------------------------------------------------

    def recover(self) -> None:
        """Read what there is; changes nothing. Raises Damaged or Mismatch."""
        names = [name for name in self.disk.names() if _NAME.fullmatch(name)]
        self.old = {name: self.disk.size(name) for name in names}
        if not names:
            raise Damaged(f"{self.disk}: the journal is missing; {ADVICE}")
        numbers = {int(name[8:20]): name for name in names}
        self._number = max(numbers)
        unread = sorted(numbers)
        segment = self._read(numbers[unread.pop()])
        while segment.head is None and not segment.damage and unread:
            # Begun, and never synced: it is as if it were not there.
            segment = self._read(numbers[unread.pop()])
        chain: list[Segment] = []
        after = -1  # how many groups came before the segment that follows
        while True:
            if segment.damage:
                raise Damaged(f"{self.disk}: {segment.damage}; {ADVICE}")
            head = segment.head
            if head is None or (after >= 0 and head.groups + segment.groups != after):
                raise Damaged(f"{self.disk}: {segment.name} ends too early; {ADVICE}")
            chain.append(segment)
            if segment.says(_WHOLE):
                break
            if head.follows not in numbers or head.follows >= segment.number:
                raise Damaged(
                    f"{self.disk}: the segment before {segment.name} is missing; {ADVICE}"
                )
            after = head.groups
            segment = self._read(numbers[head.follows])
        newest = chain[0].head
        assert newest is not None
        if chain[0].says(_FULL) and self._number == chain[0].number:
            raise Damaged(f"{self.disk}: the segment after {chain[0].name} is missing; {ADVICE}")
        self._groups = newest.groups + chain[0].groups
        self._first = newest.groups
        self._follows = chain[0].number
        chain.reverse()
        try:
            self._fold(chain[0], (_IMAGE, _KEPT))
            for segment in chain:
                self._fold(segment, (_RECORD, _SAVED))
        except (KeyError, IndexError) as error:
            raise Damaged(f"{self.disk}: records do not follow from one another: {error}") from None

    def _fold(self, segment: Segment, wanted: tuple[int, int]) -> None:
        for kind, data in segment.items:
            if kind not in wanted:
                continue
            if kind in (_SAVED, _KEPT):
                place, path, index = _decode_saved(data)
                self.saved[place, path] = index
                continue
            place, persist = self.fields.decode(data)
            patch(self.images[place], persist)
            self._forget_dropped(place, persist)

    def _read(self, name: str) -> Segment:
        """The groups of a segment, as far as they are whole."""
        number = int(name[8:20])
        segment = Segment(name, number)
        data = memoryview(self.disk.read(name))
        at = 0
        while True:
            seed = seed_of(self._key, number, segment.groups, at)
            try:
                found = unseal(data, at, seed)
            except Broken as broken:
                segment.damage = f"{name}: {broken}"
                return segment
            if found is None:
                return segment
            payload, at = found
            try:
                self._take(segment, memoryview(payload))
            except (struct.error, msgspec.DecodeError) as error:
                segment.damage = f"{name}: the group before byte {at} is malformed: {error}"
                return segment
            segment.groups += 1

    def _take(self, segment: Segment, payload: memoryview) -> None:
        at = 0
        while at < len(payload):
            size, kind = _item.unpack_from(payload, at)
            at += _item.size
            if kind == _HEAD:
                segment.head = _decode_head(payload[at : at + size])
                if segment.head.format > FORMAT:
                    raise Mismatch(
                        f"{self.disk}: {segment.name} has format {segment.head.format}, expected "
                        f"{FORMAT} or lower: it was written by a later version"
                    )
            else:
                segment.items.append((kind, payload[at : at + size]))
            at += size

    # --- writing ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a segment with a whole base, durable when this returns; remove older ones."""
        try:
            self._prepare()
            self._freeze()
            self._rotate()
            self._add_base(None)
            self._write()
        except OSError as error:
            raise self._fail(error) from None

    def append(self, place: str, persist: Persist) -> None:
        """Add a record to the group that gathers."""
        if self.failed:
            raise SyncFailed(self.failed)
        try:
            image = self.images[place]
        except KeyError:
            places = ", ".join(self.images)
            raise BadInput(f"place {place!r}: unknown to the store, expected {places}") from None
        children = persist.changes[-1].path  # they come last
        if children:
            for change in persist.changes:
                if change.field:
                    self.fields.refuse_unknown(place, change.path)
        data = encode_record(place, persist)
        patch(image, persist)
        if children:
            self._forget_dropped(place, persist)
        self._items += (_pack_item(len(data), _RECORD), data)
        self.dirty = True

    def note_saved(self, place: str, path: str, index: int) -> None:
        """From the next sync on, that snapshot or a newer one must be found."""
        self.saved[place, path] = index
        data = encode((place, path, index))
        self._items += (_pack_item(len(data), _SAVED), data)
        self.dirty = True

    def sync(self) -> None:
        """One write and one sync for all that was appended. Raises SyncFailed; then always."""
        if self.failed:
            raise SyncFailed(self.failed)
        if not self.dirty:
            return
        try:
            if self._next is not None:
                self._rotate()
            if self._base is None and (self._full or self._at >= self.bytes_max):
                self._prepare()
                self._items += (_pack_item(0, _FULL), b"")
            elif self._base is not None:
                self._add_base(max(self.bytes_max // BASE_SHARE, 2 * sum(map(len, self._items))))
            self._write()
        except (OSError, OverflowError) as error:
            raise self._fail(error) from None

    def compact(self) -> None:
        """Let a sync begin a new segment soon, if that makes room."""
        if self._at > 2 * self._base_bytes + SLACK_BYTES:
            self._full = True

    def close(self) -> None:
        if self._file >= 0:
            self.disk.close(self._file)
        if self._next_file >= 0:
            self.disk.close(self._next_file)
        self._file = self._next_file = -1
        self.failed = self.failed or f"{self.disk}: the store is closed"

    @property
    def size(self) -> int:
        """Bytes of all segments, without what is only reserved."""
        return self._at + sum(self.old.values())

    @property
    def segments(self) -> int:
        return len(self.old) + 1

    def _write(self) -> None:
        disk, at = self.disk, self._at
        group = seal(self._items, seed_of(self._key, self._number, self._groups - self._first, at))
        end = at + len(group)
        disk.write(self._file, group, at)
        if end > self._reserved:
            self._reserved = (end // RESERVE_BYTES + 1) * RESERVE_BYTES
            disk.reserve(self._file, end, self._reserved)
        disk.sync(self._file)
        self._at = end
        self._groups += 1
        self._items.clear()
        self.dirty = False
        if self._base is None and self.old:
            self._remove_old()
        if self._next_file >= 0:
            self._freeze()

    def _prepare(self) -> None:
        """Make the file of the next segment."""
        self._next_file = self.disk.create(_name_of(self._number + 1))
        self.disk.sync_names()

    def _freeze(self) -> None:
        """Hold what the next segment's base will tell: the images between two syncs."""
        images = {place: dict(image) for place, image in self.images.items()}
        self._next = images, dict(self.saved)

    def _rotate(self) -> None:
        """A new segment; its first group is the one that gathers, behind a head."""
        assert self._next is not None
        if self._file >= 0:
            self.disk.close(self._file)
            self.old[self._name] = self._at
            self._follows = self._number
        self._number += 1
        self._file, self._next_file = self._next_file, -1
        self._name = _name_of(self._number)
        self._at = self._reserved = 0
        self._first = self._groups
        self._full = False
        head = encode(Head(FORMAT, self._number, self._follows, self._groups))
        self._items[:0] = (_pack_item(len(head), _HEAD), head)
        self._base, self._next = _tell(*self._next), None
        self._base_bytes = 0

    def _add_base(self, most: int | None) -> None:
        """About `most` bytes more of the base, or all of it, into the group that gathers."""
        assert self._base is not None
        told = 0
        for kind, data in self._base:
            self._items += (_pack_item(len(data), kind), data)
            told += len(data)
            if most is not None and told >= most:
                break
        else:
            self._items += (_pack_item(0, _WHOLE), b"")
            self._base = None
        self._base_bytes += told

    def _remove_old(self) -> None:
        """The base is whole: what older segments hold is superfluous."""
        self.disk.discard(self.old)
        self.old.clear()

    def _forget_dropped(self, place: str, persist: Persist) -> None:
        """The snapshots of a node that was dropped are no longer expected."""
        for change in persist.changes:
            if change.path and not change.field:
                below = f"{change.path}/"
                for key in [k for k in self.saved if k[0] == place]:
                    if key[1] == change.path or key[1].startswith(below):
                        del self.saved[key]

    def _fail(self, error: Exception) -> SyncFailed:
        self.failed = f"{self.disk}: writing the journal failed: {error}; the process must stop"
        return SyncFailed(self.failed)


def _name_of(number: int) -> str:
    return f"journal-{number:012}.log"


def _tell(
    images: dict[str, Image], saved: dict[tuple[str, str], int]
) -> Iterator[tuple[int, bytes]]:
    for place, image in images.items():
        for data in encode_image(place, image):
            yield _IMAGE, data
    for (place, path), index in saved.items():
        yield _KEPT, encode((place, path, index))
