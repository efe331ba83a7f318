"""A conformance suite for storage: does a store keep what a protocol relies on (CORE 4, 5, 19, 20)?

    from concur.testing.storage import check_storage
    check_storage(MyStore.open)

A store does all its work on files through the `Disk` that it is opened with in place of a
directory, as `concur.serve.store.Store` does; so the suite can cut the power between any two
operations, lose any sectors that were not synced, flip bits, cut files short, and fill the disk.
Each check runs small lives of a store beside a model of what it must remember:

* **The prefix property.** After a power loss the images are those of some record, not earlier than
  the last that a sync returned for, and not in the middle of one. That holds for what survives a
  crash while recovering from a crash, too.
* **No silent damage.** Whatever happens to the files, either the images are right or it is refused.
* A sync that failed is final; a directory has one owner and one name; snapshots are there or not.
"""

import errno
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import msgspec

from concur.chance import Stream
from concur.effects import Persist, SaveSnapshot, Snapshot, changes_of
from concur.errors import BadInput, ConcurError
from concur.logs import Log
from concur.machines.kv import KeyValue, Put
from concur.node import Node, durable
from concur.parts.sessions import Sessions
from concur.serve.disk import SECTOR_BYTES
from concur.serve.store import Damaged, Identity, Locked, Mismatch, Missing, Store, SyncFailed
from concur.testing.disks import MemoryDisk, PowerLoss
from concur.testing.subject import CheckFailed
from concur.values import Map, Set

Open = Callable[..., Store]
"""What opens a store: called as `Store.open` is, with a Disk in place of the directory."""

SEGMENT_BYTES = 16 * 1024
"""So small that a life sees a journal begin anew several times."""
LIFE_ACTS = 40
CRASHES = 150
"""Power losses that are tried, for an effort of 1."""
DAMAGES = 150


class Entry(msgspec.Struct, frozen=True, array_like=True):
    number: int
    body: bytes
    note: str | None = None


class Keeper(Node[Any]):
    """Durable fields of every sort."""

    term: int = durable(0)
    leader: str | None = durable(None)
    up: bool = durable(False)
    members: tuple[tuple[int, str], ...] = durable(())
    known: Set[str] = durable(Set())
    votes: Map[int, Entry] = durable(Map())
    log: Log[Entry] = durable(Log())


IDENTITY = Identity("suite", "n1", "keeper", "kv")
KINDS: dict[str, type[Node[Any]]] = {"r1": Keeper}
MACHINE = KeyValue()

Fields = tuple[Any, ...]


class Life:
    """A store that is used, and beside it what it must remember.

    `states` are the durable fields after each record; those up to `synced` must not be lost. Of the
    snapshots, `durable` is the index of the newest that must be there, `asked` of the newest that
    may be.
    """

    def __init__(self, open: Open, draws: Stream, disk: MemoryDisk) -> None:
        self.open = open
        self.draws = draws
        self.disk = disk
        self.states: list[Fields] = [_initial()]
        self.synced = 0
        self.durable = self.asked = 0
        self.incarnation = 0
        self.store: Store | None = None

    def begin(self, **how: Any) -> Store:
        """Open the store, and hold it to what it must remember."""
        store = self.store = self.open(
            self.disk, IDENTITY, KINDS, MACHINE, segment_bytes_max=SEGMENT_BYTES,
            wall_s=lambda: 0, **how,
        )  # fmt: skip
        if store.incarnation <= self.incarnation:
            _fail(f"incarnation {store.incarnation} after {self.incarnation}", "never reuse one")
        self.incarnation = store.incarnation
        return store

    def resume(self) -> None:
        """Open it again, after whatever happened. Raises CheckFailed if it remembers wrongly."""
        store = self.begin()
        found = fields_of(store)
        for at in range(len(self.states) - 1, self.synced - 1, -1):
            if same(found, self.states[at]):
                break
        else:
            earlier = [at for at in range(self.synced) if same(found, self.states[at])]
            what = f"lost what was synced: it is at record {earlier[-1]}" if earlier else "is wrong"
            _fail(
                f"of {len(self.states) - 1} records, {self.synced} of them synced, the image {what}"
                f"\n  after {'; '.join(self.disk.log[-6:])}",
                "recovery must yield the image of a record, not earlier than the last synced one",
            )
        del self.states[at + 1 :]
        self.synced = at
        blank = same(found, self.states[0])  # as at first, or again
        if store.kind != "restart" and not (blank and store.kind == "new"):
            _fail(f"kind {store.kind!r} with {at} records, expected 'restart'", "see CORE 19")
        saved = store.snapshots.get("r1", {}).get("")
        index = 0 if saved is None else saved.index
        if not self.durable <= index <= self.asked:
            _fail(
                f"snapshot {index}, expected one from {self.durable} to {self.asked}",
                "a snapshot is durable before `done` is called, and older ones stay until then",
            )
        if saved is not None and not same(saved, snapshot_at(index)):
            _fail(f"snapshot {index} is not what was saved", "it appears whole or not at all")
        self.durable = index

    def act(self) -> None:
        """One thing that a host might do."""
        draws, store = self.draws, self.store
        assert store is not None
        choice = draws.below(10)
        if choice < 6:
            before = self.states[-1]
            after = evolve(before, draws)
            changes = changes_of("", Keeper.durable_, before, after)
            if changes:
                self.states.append(after)
                store.append("r1", Persist(tuple(changes)))
        elif choice < 9:
            store.sync()
            self.synced = len(self.states) - 1
        elif draws.chance(0.5):
            self.asked += 1
            self.save(self.asked)
        else:
            store.compact()

    def save(self, index: int) -> None:
        store = self.store
        assert store is not None

        def done() -> None:
            self.durable = index

        store.save("r1", SaveSnapshot(snapshot_at(index)), done)
        store.completed()  # a disk in memory gets it done at once

    def run(self, acts: int) -> None:
        for _ in range(acts):
            self.act()
        assert self.store is not None
        self.store.sync()
        self.synced = len(self.states) - 1


# --- the checks -----------------------------------------------------------------------------------


def what_was_synced_is_there_again(open: Open, times: int) -> None:
    """Closed and opened, a store knows all that was synced, by value and type."""
    for seed in range(max(1, times // 10)):
        life = Life(open, Stream(seed, "life"), MemoryDisk())
        life.begin(initialise=True)
        for _ in range(4):
            life.run(LIFE_ACTS)
            _close(life)
            life.synced = len(life.states) - 1
            life.resume()
        _close(life)


def a_power_loss_keeps_a_prefix_of_the_records(open: Open, times: int) -> None:
    """Whichever operation is the last, and whatever survives of what was not synced."""
    for seed in range(times):
        draws = Stream(seed, "life")
        whole = _lived(open, seed)
        at = 1 + draws.below(whole)
        life = Life(open, Stream(seed, "acts"), MemoryDisk(crash_at=at))
        try:
            life.begin(initialise=True)
            life.run(LIFE_ACTS)
        except PowerLoss:
            pass
        _survive(life, draws)
        if life.store is None:
            continue  # it had not got so far as to be opened once
        # Again, in the middle of recovering; and then a life goes on.
        life.disk.crash_at = life.disk.operations + 1 + draws.below(12)
        try:
            life.resume()
            life.run(LIFE_ACTS // 2)
        except PowerLoss:
            pass
        _survive(life, draws)
        life.resume()
        life.run(LIFE_ACTS // 2)
        _close(life)
        life.resume()
        _close(life)


def damage_is_never_silent(open: Open, times: int) -> None:
    """Bits flipped, sectors lost, files cut short or gone, at any place: the images are right, or
    it is refused. Only what looks never written may be taken for that."""
    draws = Stream(0, "damage")
    for number in range(4 * times):
        if number % 60 == 0:
            life = Life(open, Stream(number, "acts"), MemoryDisk())
            life.begin(initialise=True)
            life.run(LIFE_ACTS)
            life.asked += 1
            life.save(life.asked)
            life.run(draws.below(2 * LIFE_ACTS))
            _close(life)
        disk = life.disk.copy()
        what, prefix = HARMS[number % len(HARMS)](disk, draws)
        after = Life(open, draws, disk)
        after.states, after.durable, after.asked = life.states[:], life.durable, life.asked
        after.synced = 0 if prefix else life.synced
        try:
            after.resume()
        except (Damaged, Mismatch):
            _stays_refused(open, disk, what)
        except CheckFailed as failed:
            _fail(f"after {what}: {failed}", "check every byte before it is believed")
        except Exception as error:
            _fail(f"{type(error).__name__} after {what}: {error}", "refuse it with Damaged")
        else:
            _close(after)


def a_failed_sync_is_final(open: Open, times: int) -> None:
    """A write or sync that fails is told of, and every later call fails, whatever the disk does."""
    for seed in range(max(4, times // 3)):
        draws = Stream(seed, "fail")
        life = Life(open, Stream(seed, "acts"), MemoryDisk())
        life.begin(initialise=True)
        life.run(2)
        life.disk.error = draws.choice((errno.EIO, errno.ENOSPC))
        store = life.store
        assert store is not None
        failed = False
        for number in range(8):
            before = life.states[-1]
            after = (number + 1_000, *before[1:])
            life.states.append(after)
            store.append("r1", Persist(tuple(changes_of("", Keeper.durable_, before, after))))
            if number == 2:
                life.disk.fail_at = life.disk.operations + 1 + draws.below(2)
            try:
                store.sync()
                life.synced = len(life.states) - 1
            except SyncFailed:
                failed = True
                break
        if not failed:
            continue  # what failed was not needed, such as room reserved in advance
        record = Persist(tuple(changes_of("", Keeper.durable_, _initial(), life.states[-1])))
        for call in (store.sync, lambda: store.append("r1", record), store.sync):  # noqa: B023
            try:
                call()
            except SyncFailed:
                continue
            _fail("a call after a failed sync succeeded", "once failed, always failed (CORE 5)")
        _survive(life, draws)
        life.resume()
        _close(life)


def a_snapshot_that_cannot_be_saved_harms_nothing(open: Open, times: int) -> None:
    """A full disk: `done` is not called, the snapshot before stays, and so does the journal."""
    for at in range(1, 7):
        life = Life(open, Stream(at, "acts"), MemoryDisk())
        life.begin(initialise=True)
        life.run(3)
        life.asked = 1
        life.save(1)
        life.disk.error = errno.ENOSPC
        life.disk.fail_at = life.disk.operations + at
        life.asked = 2
        life.save(2)
        life.disk.fail_at = 0
        life.run(3)
        _survive(life, Stream(at, "survivor"))
        life.resume()
        life.asked = 3
        life.save(3)
        if life.durable != 3:
            _fail(f"after a failure at operation {at} snapshot 3 was not saved", "go on afterwards")
        _close(life)


def one_store_at_a_time(open: Open, times: int) -> None:
    """A second opening is refused while the first lasts, and does it no harm."""
    life = Life(open, Stream(0, "acts"), MemoryDisk())
    life.begin(initialise=True)
    for _ in range(2):
        _refused(Locked, lambda: Life(open, life.draws, life.disk).begin())
    life.run(LIFE_ACTS)
    _close(life)
    life.resume()
    _close(life)


def storage_belongs_to_one_node(open: Open, times: int) -> None:
    """Another cluster, node, protocol or machine is refused, also when it comes as wiped; and
    nothing is changed by that."""
    life = Life(open, Stream(0, "acts"), MemoryDisk())
    life.begin(initialise=True)
    life.run(LIFE_ACTS)
    _close(life)
    for what in IDENTITY.__struct_fields__:
        other = msgspec.structs.replace(IDENTITY, **{what: "other"})
        for how in ({}, {"wiped": True}):
            _refused(Mismatch, lambda: open(life.disk, other, KINDS, MACHINE, **how))  # noqa: B023
    _refused(BadInput, lambda: life.begin(initialise=True))
    life.resume()
    _close(life)


def nothing_is_never_taken_for_new(open: Open, times: int) -> None:
    """Missing storage is refused, or begins as wiped: never as new (CORE 19)."""
    _refused(Missing, lambda: Life(open, Stream(0), MemoryDisk()).begin())
    life = Life(open, Stream(0), MemoryDisk())
    store = life.begin(wiped=True)
    if store.kind != "wiped":
        _fail(f"kind {store.kind!r} where nothing was, expected 'wiped'", "see CORE 19")
    _close(life)
    if life.begin().kind != "wiped":
        _fail("a wiped node that has persisted nothing is no longer wiped", "note how it began")
    _close(life)


def a_wiped_store_keeps_the_old_files_aside(open: Open, times: int) -> None:
    """Whenever the power fails meanwhile: afterwards it is the old node, or refused, or wiped."""
    for seed in range(max(20, times // 4)):
        draws = Stream(seed, "wiped")
        life = Life(open, Stream(seed, "acts"), MemoryDisk())
        life.begin(initialise=True)
        life.run(LIFE_ACTS)
        _close(life)
        old = life.disk.files()
        life.disk.crash_at = life.disk.operations + 1 + draws.below(20)
        try:
            life.begin(wiped=True)
            _close(life)
        except PowerLoss:
            pass
        life.disk = life.disk.survivor(draws)
        try:
            store = open(life.disk, IDENTITY, KINDS, MACHINE, wall_s=lambda: 0)
            wiped = store.kind == "wiped" and not any(store.images.values())
            if not wiped and not same(fields_of(store), life.states[-1]):
                _fail(f"half of the old files make a {store.kind!r} node", "mark it first")
            store.close()
            if not wiped:
                old = life.disk.files()
        except Damaged:
            pass
        store = life.begin(wiped=True)
        if store.kind != "wiped" or any(store.images.values()):
            _fail(f"kind {store.kind!r} after wiped=True", "set everything aside")
        _close(life)
        left = list(life.disk.files().values())
        for name, data in old.items():
            if name.startswith(("journal", "snapshot")) and data not in left:
                _fail(f"{name} is gone", "old files are renamed, never deleted")


Check = Callable[[Open, int], None]

CHECKS: tuple[Check, ...] = (
    what_was_synced_is_there_again,
    a_power_loss_keeps_a_prefix_of_the_records,
    damage_is_never_silent,
    a_failed_sync_is_final,
    a_snapshot_that_cannot_be_saved_harms_nothing,
    one_store_at_a_time,
    storage_belongs_to_one_node,
    nothing_is_never_taken_for_new,
    a_wiped_store_keeps_the_old_files_aside,
)


def check_storage(
    open: Open = Store.open, *, effort: float = 1.0, only: Iterable[str] = ()
) -> tuple[str, ...]:
    """Run every check; raise CheckFailed, an AssertionError, that lists all that failed.

    `open` is called as `Store.open` is. `effort` scales how many crashes and damages are tried.
    `only` names the checks to run. Returns the names of those that passed.
    """
    names = set(only)
    unknown = names - {check.__name__ for check in CHECKS}
    if unknown:
        listed = ", ".join(check.__name__ for check in CHECKS)
        raise BadInput(f"check {min(unknown)!r}: unknown, expected some of {listed}")
    passed, failures = [], []
    for check in CHECKS:
        if names and check.__name__ not in names:
            continue
        try:
            check(open, max(1, round(CRASHES * effort)))
        except AssertionError as failed:
            failures.append(f"{check.__name__}\n  {failed}")
        except Exception as error:  # of the store, where it had no reason for one
            failures.append(f"{check.__name__}\n  {type(error).__name__}: {error}")
        else:
            passed.append(check.__name__)
    if failures:
        raise CheckFailed(f"{len(failures)} of {len(CHECKS)} checks\n" + "\n".join(failures))
    return tuple(passed)


# --- below ----------------------------------------------------------------------------------------


def fields_of(store: Store) -> Fields:
    """The durable fields of the only place, with defaults where nothing was stored."""
    image = store.images["r1"]
    return tuple(image.get(("", f), d) for f, d in zip(Keeper.durable_, _initial(), strict=True))


def snapshot_at(index: int) -> Snapshot:
    """The snapshot of that index, always the same; larger than a few sectors."""
    state = MACHINE.initial()
    for at in range(index % 7 + 1):
        state, _ = MACHINE.apply(state, Put(f"k{at}", f"{index}" * 400))
    return Snapshot(index, (index, "r1"), MACHINE.capture(state), Sessions(), ("r1", "r2"))


def evolve(fields: Fields, draws: Stream) -> Fields:
    """The durable fields after a step that changes some of them."""
    term, leader, up, members, known, votes, log = fields
    for _ in range(1 + draws.below(3)):
        number = draws.below(1 << 20)
        entry = Entry(number, bytes(draws.below(1200)), draws.choice((None, "note")))
        match draws.below(10):
            case 0:
                term, up = term + 1, not up
            case 1:
                leader = draws.choice((None, "r1", "r2"))
            case 2:
                members = ((number, "r1"), *members[:2])
            case 3:
                known = known.add(f"r{number % 5}")
            case 4 | 5:
                votes = votes.put(number % 16, entry)
            case 6:
                votes = votes.discard(number % 16)
            case 7 | 8:
                log = log.append(*[entry] * (1 + draws.below(3)))
            case _ if log.last_index > log.base.index:
                place = draws.between(log.base.index, log.last_index)
                cut = draws.chance(0.5)
                log = log.truncate(place) if cut else log.compact(place, (term, ""))
    return term, leader, up, members, known, votes, log


def same(a: Any, b: Any) -> bool:
    """Equality of values and of their types, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Map):
        return same(tuple(a.items()), tuple(b.items()))
    if isinstance(a, Log):
        return same(a.base, b.base) and same(tuple(a), tuple(b))
    if isinstance(a, Set):
        return same(tuple(a), tuple(b))
    if isinstance(a, msgspec.Struct):
        return same(msgspec.structs.astuple(a), msgspec.structs.astuple(b))
    return bool(a == b)


def _initial() -> Fields:
    return tuple(getattr(Keeper, field) for field in Keeper.durable_)


def _lived(open: Open, seed: int) -> int:
    """How many operations the life of that seed takes."""
    life = Life(open, Stream(seed, "acts"), MemoryDisk())
    life.begin(initialise=True)
    life.run(LIFE_ACTS)
    _close(life)
    return life.disk.operations


def _survive(life: Life, draws: Stream) -> None:
    """The power is lost, or only the process killed, and it is opened again. A node that was never
    begun is initialised anew."""
    left = life.disk.killed() if draws.chance(0.3) else life.disk.survivor(draws)
    if life.store is not None:
        _close(life)  # which writes nothing: only this process lets go of it
        life.disk = left
        life.resume()
        _close(life)
        return
    life.disk = left
    try:
        life.begin(initialise=True)
    except BadInput:  # its making was complete, but nobody was told
        life.begin()
    assert life.store is not None
    if not same(fields_of(life.store), _initial()):
        _fail("a node that was never begun remembers something", "begin with nothing")
    _close(life)


def _close(life: Life) -> None:
    assert life.store is not None
    life.store.close()


def _flip(disk: MemoryDisk, draws: Stream) -> tuple[str, bool]:
    name, data = _some_file(disk, draws)
    at, bit = draws.below(len(data)), draws.below(8)
    if draws.chance(0.3):
        at -= at % SECTOR_BYTES
    disk.put(name, data[:at] + bytes((data[at] ^ (1 << bit),)) + data[at + 1 :])
    return f"bit {bit} of byte {at} of {len(data)} of {name} flipped", False


def _lose_sector(disk: MemoryDisk, draws: Stream) -> tuple[str, bool]:
    name, data = _some_file(disk, draws)
    at = draws.below(len(data)) // SECTOR_BYTES * SECTOR_BYTES
    lost = bytes(len(data[at : at + SECTOR_BYTES]))
    disk.put(name, data[:at] + lost + data[at + SECTOR_BYTES :])
    return f"the sector at {at} of {len(data)} of {name} lost", True


def _cut(disk: MemoryDisk, draws: Stream) -> tuple[str, bool]:
    name, data = _some_file(disk, draws)
    at = draws.below(len(data))
    if draws.chance(0.5):
        at -= at % SECTOR_BYTES
    disk.put(name, data[:at])
    return f"{name} cut to {at} of {len(data)} bytes", True


def _lose_file(disk: MemoryDisk, draws: Stream) -> tuple[str, bool]:
    name, _ = _some_file(disk, draws)
    disk.put(name, None)
    return f"{name} lost", False


HARMS = (_flip, _lose_sector, _cut, _lose_file)


def _some_file(disk: MemoryDisk, draws: Stream) -> tuple[str, bytes]:
    """A file, and its content up to a little behind the last byte that is not zero."""
    name, data = draws.choice([(name, data) for name, data in disk.files().items() if data])
    used = len(data.rstrip(b"\0")) + SECTOR_BYTES
    return name, data[:used]


def _stays_refused(open: Open, disk: MemoryDisk, what: str) -> None:
    """To refuse changes nothing, so it is refused again."""
    try:
        open(disk, IDENTITY, KINDS, MACHINE).close()
    except (Damaged, Mismatch):
        return
    _fail(f"refused after {what}, and then accepted", "an opening that fails must change nothing")


def _refused(error: type[ConcurError], call: Callable[[], object]) -> None:
    try:
        call()
    except error:
        return
    _fail(f"expected {error.__name__}", "see the interface of Store.open")


def _fail(what: str, fix: str) -> NoReturn:
    raise CheckFailed(f"{what}\n  -> {fix}")
