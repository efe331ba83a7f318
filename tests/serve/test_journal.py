"""Sectors, records and segments: what is written, what it proves, and how it stays bounded."""

import contextlib
import errno
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.effects import Change, Persist, patch
from concur.errors import BadInput
from concur.logs import Base, Log, LogDelta
from concur.node import Node, durable
from concur.protocols import all_protocols
from concur.serve import journal as journals
from concur.serve.disk import SECTOR_BYTES, Damaged, Mismatch, SyncFailed
from concur.serve.fields import CHUNK_BYTES, Fields, encode_image, encode_record
from concur.serve.journal import Journal
from concur.serve.sectors import CONTENT_BYTES, Broken, seal, seed_of, unseal
from concur.testing.disks import MemoryDisk
from concur.testing.storage import IDENTITY, KINDS, Entry, Keeper, same
from concur.values import Map, Set

SEED = seed_of(1, 2, 3, 4)
NOTHING = bytes(SECTOR_BYTES)

payloads = st.binary(max_size=5 * CONTENT_BYTES)


def sectors_of(group: bytes) -> list[bytes]:
    return [group[at : at + SECTOR_BYTES] for at in range(0, len(group), SECTOR_BYTES)]


# --- what a group proves --------------------------------------------------------------------------


@given(st.lists(payloads, max_size=3), st.binary(max_size=3).map(lambda b: b * SECTOR_BYTES))
def test_a_group_comes_back_and_says_where_it_ends(parts: list[bytes], behind: bytes) -> None:
    group = seal(parts, SEED)
    assert len(group) % SECTOR_BYTES == 0
    assert unseal(memoryview(group + behind), 0, SEED) == (b"".join(parts), len(group))


def test_a_small_group_is_one_sector() -> None:
    assert len(seal([b"x" * 500], SEED)) == SECTOR_BYTES
    assert len(seal([b"x" * (CONTENT_BYTES - 4)], SEED)) == SECTOR_BYTES
    assert len(seal([b"x" * (CONTENT_BYTES - 3)], SEED)) == 2 * SECTOR_BYTES


@given(payloads, st.data())
def test_a_group_of_which_any_sector_was_never_written_was_never_synced(
    payload: bytes, data: st.DataObject
) -> None:
    sectors = sectors_of(seal([payload], SEED))
    lost = data.draw(st.sets(st.integers(0, len(sectors) - 1), min_size=1))
    left = b"".join(NOTHING if at in lost else sector for at, sector in enumerate(sectors))
    space = data.draw(st.sampled_from([b"", NOTHING, NOTHING * 3]))
    assert unseal(memoryview(left + space), 0, SEED) is None
    assert unseal(memoryview(left.rstrip(b"\0")), 0, SEED) is None


@given(payloads, st.data())
def test_any_other_damage_is_damage(payload: bytes, data: st.DataObject) -> None:
    group = bytearray(seal([payload], SEED))
    sectors = len(group) // SECTOR_BYTES
    bit = data.draw(st.integers(0, len(group) * 8 - 1))
    group[bit // 8] ^= 1 << bit % 8
    for lost in data.draw(st.sets(st.integers(0, sectors - 1), max_size=sectors - 1)):
        if lost != bit // 8 // SECTOR_BYTES:  # a crash does not explain what is not lost
            group[lost * SECTOR_BYTES : (lost + 1) * SECTOR_BYTES] = NOTHING
    with pytest.raises(Broken):
        unseal(memoryview(bytes(group)), 0, SEED)


def test_a_damaged_group_before_a_later_one_had_been_synced() -> None:
    first, second = seal([b"x" * 2000], SEED), seal([b"y"], SEED + 1)
    lost = first[: 2 * SECTOR_BYTES] + NOTHING + first[3 * SECTOR_BYTES :]
    assert unseal(memoryview(lost), 0, SEED) is None
    with pytest.raises(Broken):
        unseal(memoryview(lost + second), 0, SEED)
    with pytest.raises(Broken):  # its length is lost too: what follows is no sector of it
        unseal(memoryview(NOTHING * 4 + second), 0, SEED)


@pytest.mark.parametrize("other", [(9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 512)])
def test_a_group_of_another_journal_segment_number_or_place_is_damage(
    other: tuple[int, int, int, int],
) -> None:
    with pytest.raises(Broken):
        unseal(memoryview(seal([b"x"], seed_of(*other))), 0, SEED)


def test_a_sector_of_zeros_is_never_written() -> None:
    seeds = itertools.islice(itertools.count(SEED), 2000)
    assert not any(sector == NOTHING for s in seeds for sector in sectors_of(seal([NOTHING], s)))


# --- records --------------------------------------------------------------------------------------

entries = st.builds(Entry, st.integers(0, 99), st.binary(max_size=40), st.none() | st.text())
logs = st.builds(
    Log,
    st.lists(entries, max_size=30),
    st.builds(Base, st.integers(0, 9), st.tuples(st.integers(0, 9), st.text()), st.binary()),
)
images = st.fixed_dictionaries(
    {},
    optional={
        ("", "term"): st.integers(0, 1 << 62),
        ("", "leader"): st.none() | st.text(),
        ("", "up"): st.booleans(),
        ("", "members"): st.lists(st.tuples(st.integers(0, 9), st.text())).map(tuple),
        ("", "known"): st.lists(st.text()).map(Set),
        ("", "votes"): st.dictionaries(st.integers(0, 99), entries).map(Map),
        ("", "log"): logs,
    },
)


@settings(max_examples=50)
@given(images)
def test_an_image_is_told_in_records_and_read_back(image: dict[tuple[str, str], Any]) -> None:
    fields, found = Fields(KINDS), {}
    for data in encode_image("r1", image):
        place, persist = fields.decode(data)
        assert place == "r1"
        patch(found, persist)
    assert found.keys() == image.keys()
    assert all(same(found[key], value) for key, value in image.items())


def test_a_large_image_is_told_in_parts_of_bounded_size() -> None:
    log = Log([Entry(i, b"x" * 150) for i in range(10_000)])
    sizes = [len(data) for data in encode_image("r1", {("", "log"): log})]
    assert max(sizes) <= 2 * CHUNK_BYTES
    assert len(sizes) < 150
    alone = Log([Entry(i, b"x" * 100_000) for i in range(5)])
    assert len(list(encode_image("r1", {("", "log"): alone}))) == 5


@pytest.mark.parametrize("protocol", all_protocols(), ids=lambda p: p.name)
def test_every_protocol_can_be_read_back(protocol: Any) -> None:
    Fields({f"{role.prefix}1": role.node for role in protocol().roles()})


class Vague(Node[Any]):
    anything: tuple[Any, ...] = durable(())


class Sometimes(Node[Any]):
    votes: "Map[int, int] | None" = durable(None)


class Bare(Node[Any]):
    votes: Map = durable(Map())  # type: ignore[type-arg]


class Ambiguous(Node[Any]):
    value: str | bytes = durable("")


class Holder(msgspec.Struct, frozen=True):
    content: Any = None


class Hidden(Node[Any]):
    holder: Holder = durable(Holder())


@pytest.mark.parametrize("kind", [Vague, Sometimes, Bare, Ambiguous, Hidden])
def test_a_field_that_could_not_be_read_back_is_refused(kind: type[Node[Any]]) -> None:
    with pytest.raises(BadInput, match=f"{kind.__name__}\\.\\w+:? .*"):
        Fields({"r1": kind})


def test_a_record_that_does_not_fit_the_class_is_a_mismatch() -> None:
    fields = Fields(KINDS)
    for change in (Change("", "gone", 1), Change("", "term", "one"), Change("x", "term", 1)):
        with pytest.raises(Mismatch, match="stored field"):
            fields.decode(encode_record("r1", Persist((change,))))


# --- segments -------------------------------------------------------------------------------------


def journal(disk: MemoryDisk, size: int = 1 << 20) -> Journal:
    return Journal(disk, IDENTITY, Fields(KINDS), size)


def entry(index: int, size: int = 150) -> Persist:
    delta = LogDelta(None, index, (Entry(index, bytes(size)),))
    return Persist((Change("", "log", delta),))


def test_the_journal_of_a_bounded_node_is_bounded() -> None:
    disk = MemoryDisk()
    one = journal(disk, 16 << 10)
    one.begin()
    most = 0
    for number in range(3000):
        one.append("r1", Persist((Change("", "term", number), Change("", "leader", "x" * 100))))
        one.sync()
        most = max(most, sum(len(data) for data in disk.files().values()))
        assert len(disk.files()) <= 3
    assert most < 3 * (16 << 10) + 3 * 8192
    one.close()
    again = journal(disk)
    again.recover()
    assert again.images["r1"]["", "term"] == 2999


def test_a_base_is_written_along_with_later_syncs_and_never_all_at_once() -> None:
    disk = MemoryDisk()
    one = journal(disk, 256 << 10)
    one.begin()
    writes = []
    write = disk.write

    def watch(file: int, data: Any, at: int) -> None:
        writes.append(len(data))
        write(file, data, at)

    disk.write = watch  # type: ignore[method-assign]
    for index in range(6000):
        one.append("r1", entry(index))
        one.sync()
    assert one.segments <= 2
    assert max(writes) < 2 * CHUNK_BYTES + 4096
    assert len(one.images["r1"]["", "log"]) == 6000
    one.close()
    again = journal(disk)
    again.recover()
    assert all(same(again.images["r1"][key], one.images["r1"][key]) for key in one.images["r1"])


def test_compact_makes_room_soon() -> None:
    disk = MemoryDisk()
    one = journal(disk)
    one.begin()
    for number in range(300):
        one.append("r1", Persist((Change("", "leader", f"{number}" * 100),)))
        one.sync()
    before = one.size
    one.compact()
    for number in range(3):
        one.append("r1", Persist((Change("", "term", number),)))
        one.sync()
    assert one.size < before / 10
    one.compact()  # there is nothing to be gained
    one.append("r1", Persist((Change("", "term", 9),)))
    one.sync()
    assert one.segments == 1


def test_a_segment_from_the_future_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = MemoryDisk()
    with monkeypatch.context() as later:
        later.setattr(journals, "FORMAT", 2)
        journal(disk).begin()
    with pytest.raises(Mismatch, match="format 2, expected 1"):
        journal(disk).recover()


def test_a_missing_segment_in_the_middle_is_damage() -> None:
    disk = MemoryDisk()
    one = journal(disk, 1024)
    one.begin()
    removed: list[Any] = []
    disk.discard = removed.append  # type: ignore[method-assign]
    index = 0
    while one.segments < 2 or one._base is None:
        one.append("r1", entry(index, 3000))
        one.sync()
        index += 1
    names = [name for name in disk.names() if name.startswith("journal")]
    assert len(names) > 2
    disk.put(names[-2], None)
    with pytest.raises(Damaged, match="is missing"):
        journal(disk).recover()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_an_error_while_a_segment_begins_is_final(error: int) -> None:
    for at in range(1, 8):
        disk = MemoryDisk(error=error)
        one = journal(disk, 512)
        one.begin()
        disk.fail_at = disk.operations + at
        with contextlib.suppress(SyncFailed):
            for index in range(8):
                one.append("r1", entry(index))
                one.sync()
        if disk.log[disk.fail_at - 1] != "reserve":  # which is only a matter of speed
            with pytest.raises(SyncFailed, match="the process must stop"):
                one.sync()


def test_records_of_a_dropped_child_forget_its_snapshots() -> None:
    kinds = {**KINDS, "r1/loglet": Keeper}
    disk = MemoryDisk()
    one = Journal(disk, IDENTITY, Fields(kinds), 1 << 20)
    one.begin()
    one.append("r1", Persist((Change("", "term", 1), Change("loglet", "term", 2))))
    one.note_saved("r1", "loglet", 7)
    one.sync()
    one.append("r1", Persist((Change("", "term", 2), Change("loglet", "", None))))
    one.sync()
    assert one.saved == {}
    again = Journal(disk, IDENTITY, Fields(kinds), 1 << 20)
    again.recover()
    assert again.images == {"r1": {("", "term"): 2}}
    assert again.saved == {}
