"""The storage conformance suite: the store passes it, and broken stores do not."""

from collections.abc import Callable
from typing import Any

import pytest

from concur.errors import BadInput
from concur.messages import digest
from concur.serve import journal, sectors, snapshots, store
from concur.serve.identity import WIPING
from concur.serve.store import Store
from concur.testing.disks import MemoryDisk
from concur.testing.storage import CHECKS, Check, CheckFailed, check_storage


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_store_keeps_what_it_must(check: Check) -> None:
    check(Store.open, 150)


@pytest.mark.campaign
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_store_keeps_what_it_must_in_a_campaign(check: Check) -> None:
    check(Store.open, 3_000)


def test_a_check_can_be_chosen_by_name() -> None:
    assert check_storage(effort=0.01, only=["one_store_at_a_time"]) == ("one_store_at_a_time",)
    with pytest.raises(BadInput, match="unknown, expected some of"):
        check_storage(only=["nonsense"])


# --- mutants: what is broken on purpose, and the check that must notice ---------------------------

Patch = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, tuple[Patch, str]] = {}


def breaks(check: str) -> Callable[[Patch], Patch]:
    def note(patch: Patch) -> Patch:
        MUTANTS[patch.__name__] = patch, check
        return patch

    return note


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def no_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryDisk, "sync", lambda disk, file: None)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def names_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryDisk, "sync_names", lambda disk, folder="": None)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def a_new_segment_counts_before_its_name_is_durable(patch: pytest.MonkeyPatch) -> None:
    def hasty(self: Any) -> None:
        self._next_file = self.disk.create(journal._name_of(self._number + 1))

    patch.setattr(journal.Journal, "_prepare", hasty)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def segments_are_removed_before_the_base_is_whole(patch: pytest.MonkeyPatch) -> None:
    rotate = journal.Journal._rotate

    def hasty(self: Any) -> None:
        rotate(self)
        self._remove_old()

    patch.setattr(journal.Journal, "_rotate", hasty)


@breaks("what_was_synced_is_there_again")
def the_base_tells_of_records_behind_it(patch: pytest.MonkeyPatch) -> None:
    rotate = journal.Journal._rotate

    def late(self: Any) -> None:
        self._freeze()
        rotate(self)

    patch.setattr(journal.Journal, "_rotate", late)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def what_is_only_in_the_page_cache_is_believed(patch: pytest.MonkeyPatch) -> None:
    begin = journal.Journal.begin

    def lazy(self: Any) -> None:
        sync, self.disk.sync = self.disk.sync, lambda file: None
        try:
            begin(self)
        finally:
            self.disk.sync = sync

    patch.setattr(journal.Journal, "begin", lazy)


@breaks("damage_is_never_silent")
def a_lost_segment_is_not_missed(patch: pytest.MonkeyPatch) -> None:
    says = journal.Segment.says
    patch.setattr(
        journal.Segment, "says", lambda self, what: what != journal._FULL and says(self, what)
    )


@breaks("damage_is_never_silent")
def a_damaged_tail_is_dropped_without_proof(patch: pytest.MonkeyPatch) -> None:
    unseal = sectors.unseal

    def trusting(*arguments: Any) -> Any:
        try:
            return unseal(*arguments)
        except sectors.Broken:
            return None

    patch.setattr(journal, "unseal", trusting)


@breaks("damage_is_never_silent")
def checksums_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sectors, "_intact", lambda sector, seed: True)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def an_unsynced_group_is_damage(patch: pytest.MonkeyPatch) -> None:
    unseal = sectors.unseal

    def strict(data: memoryview, at: int, seed: int) -> Any:
        found = unseal(data, at, seed)
        if found is None and bytes(data[at:]).strip(b"\0"):
            raise sectors.Broken(at)
        return found

    patch.setattr(journal, "unseal", strict)


@breaks("damage_is_never_silent")
def a_missing_snapshot_is_not_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "refuse_missing", lambda disk, found, expected: None)


@breaks("damage_is_never_silent")
def a_snapshot_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(snapshots, "digest", lambda data: digest(b""))


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def a_snapshot_is_named_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    def hasty(disk: Any, job: Any, file: int) -> str:
        disk.write(file, job.encode(), 0)
        disk.rename(f"{job.name}.part", job.name)
        disk.sync_names()
        return ""

    patch.setattr(snapshots, "_attempt", hasty)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def older_snapshots_go_before_the_newer_is_durable(patch: pytest.MonkeyPatch) -> None:
    attempt = snapshots._attempt

    def hasty(disk: Any, job: Any, file: int) -> str:
        disk.discard([name for name in disk.names() if snapshots.owner_of(name)])
        disk.sync_names()
        return attempt(disk, job, file)

    patch.setattr(snapshots, "_attempt", hasty)


@breaks("a_failed_sync_is_final")
def a_sync_is_tried_again(patch: pytest.MonkeyPatch) -> None:
    fail = journal.Journal._fail

    def forgiving(self: Any, error: Exception) -> Exception:
        failed = fail(self, error)
        self.failed = ""
        return failed

    patch.setattr(journal.Journal, "_fail", forgiving)


@breaks("a_power_loss_keeps_a_prefix_of_the_records")
def an_incarnation_is_used_again(patch: pytest.MonkeyPatch) -> None:
    write = Store._write_identity

    def forgetful(self: Any, state: str, began: str) -> None:
        incarnation, self.incarnation = self.incarnation, 1
        write(self, state, began)
        self.incarnation = incarnation

    patch.setattr(Store, "_write_identity", forgetful)


@breaks("a_wiped_store_keeps_the_old_files_aside")
def setting_aside_leaves_no_mark(patch: pytest.MonkeyPatch) -> None:
    write = Store._write_identity

    def unmarked(self: Any, state: str, began: str) -> None:
        if state != WIPING:
            write(self, state, began)

    patch.setattr(Store, "_write_identity", unmarked)


@breaks("a_wiped_store_keeps_the_old_files_aside")
def old_files_are_deleted(patch: pytest.MonkeyPatch) -> None:
    rename = MemoryDisk.rename

    def ruthless(self: Any, old: str, new: str) -> None:
        self.remove(old) if new.startswith("set-aside") else rename(self, old, new)

    patch.setattr(MemoryDisk, "rename", ruthless)


@breaks("nothing_is_never_taken_for_new")
def a_wiped_node_becomes_new(patch: pytest.MonkeyPatch) -> None:
    begin = Store._begin
    patch.setattr(Store, "_begin", lambda self, kind: begin(self, "new"))


@breaks("storage_belongs_to_one_node")
def identities_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    read = store.identities.read

    def blind(disk: Any, identity: Any) -> Any:
        found = read(disk, store.Identity("suite", "n1", "keeper", "kv"))
        return found

    patch.setattr(store.identities, "read", blind)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_store_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, check = MUTANTS[mutant]
    patch(monkeypatch)
    with pytest.raises(CheckFailed, match=check):
        check_storage(effort=1, only=[check])
