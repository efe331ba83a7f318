"""Snapshot transfer: resumable, from any source, and proof against bad bytes."""

from typing import Any

import msgspec
import pytest

from concur.base import Protocol
from concur.effects import Deliver, Snapshot
from concur.machines import machine
from concur.messages import digest, encode
from concur.node import SECOND
from concur.parts import transfer
from concur.parts.transfer import FetchSnapshot, SnapshotChunk, TakeSnapshot
from concur.protocols import all_protocols
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.multi_paxos.messages import LearnRequest
from concur.testing.cluster import Cluster
from tests.protocols.harness import Table, apart


def lagging(**params: Any) -> Table:
    """r1 leads, r3 lags behind a snapshot, and the first chunk is on its way to it."""
    table = Table(
        MultiPaxos(snapshot_every=10, lag_max=0, batch_max=1, chunk_bytes_max=50, **params), 3
    )
    table.run(0)
    for number in range(26):
        table.ask(_put(number))
        table.settle(cut=apart("r3"))
    table.ring("r1", "heartbeat")
    table.deliver()
    table.take()
    table.ring("r3", "catch-up")
    table.deliver(LearnRequest)
    return table


def _put(number: int) -> Any:
    from concur.machines.kv import Put

    return Put(f"k{number}", number)


def step_through(table: Table) -> int:
    """Let chunks and requests alternate until the transfer is over; how many chunks it took."""
    chunks = 0
    while table.find(SnapshotChunk):
        chunks += table.deliver(SnapshotChunk)
        table.deliver(FetchSnapshot)
    return chunks


def installed(table: Table) -> bool:
    one, three = table.nodes["r1"], table.nodes["r3"]
    return bool(table.saw("snapshot_installed", "r3")) and three.executed >= one.executed - 10


def test_a_snapshot_comes_in_bounded_chunks() -> None:
    table = lagging()
    assert all(len(m.data) <= 50 for _, _, m in table.find(SnapshotChunk))  # type: ignore[attr-defined]
    assert step_through(table) > 3
    assert installed(table)


def test_a_lost_chunk_is_asked_for_again_and_nothing_else_is() -> None:
    table = lagging()
    table.deliver(SnapshotChunk)
    table.deliver(FetchSnapshot)
    (lost,) = table.take(SnapshotChunk)
    table.ring("r3", "transfer")
    table.deliver(FetchSnapshot)
    (again,) = table.find(SnapshotChunk)
    assert again[2] == lost[2]
    step_through(table)
    assert installed(table)


def test_a_transfer_goes_on_with_another_source() -> None:
    table = lagging()
    for _ in range(2):
        table.deliver(SnapshotChunk)
        table.deliver(FetchSnapshot)
    table.take(SnapshotChunk)
    table.crash("r1")
    for _ in range(3):
        table.ring("r3", "transfer")
    (request,) = table.take(FetchSnapshot, to="r2")
    assert request[2].offset == 100  # type: ignore[attr-defined]
    table.hand(request)
    step_through(table)
    assert table.saw("snapshot_installed", "r3")


def test_doubled_and_reordered_chunks_do_no_harm() -> None:
    table = lagging()
    seen = []
    while table.find(SnapshotChunk):
        (wire,) = table.take(SnapshotChunk)
        seen.append(wire)
        for each in reversed(seen):
            table.hand(each)
            if table.saw("snapshot_installed", "r3"):
                break
        requests = table.take(FetchSnapshot)
        if requests:
            table.hand(requests[-1])
    assert installed(table)


@pytest.mark.parametrize(
    "change",
    [
        {"data": b""},
        {"offset": -5},
        {"total": -1},
        {"total": 1 << 40},
        {"offset": 1 << 50},
        {"index": -3, "mark": (-1, "")},
        {"total": 1},
    ],
)
def test_a_malformed_chunk_changes_nothing(change: dict[str, Any]) -> None:
    table = lagging()
    (wire,) = table.take(SnapshotChunk)
    bad = msgspec.structs.replace(wire[2], **change)
    table.step("r3", Deliver("r1", bad))
    table.take(FetchSnapshot)
    assert not table.saw("snapshot_installed", "r3")
    table.hand(wire)
    table.deliver(FetchSnapshot)
    step_through(table)
    assert installed(table)


@pytest.mark.parametrize(
    "data", [b"rubbish", encode((3, (2, ""), b"rubbish", ((), 0), ())), encode(None)]
)
@pytest.mark.parametrize("honest_digest", [True, False])
def test_a_snapshot_that_cannot_be_read_is_fetched_elsewhere(
    data: bytes, honest_digest: bool
) -> None:
    table = lagging()
    table.take()
    mark = digest(data) if honest_digest else b"wrong"
    chunk = SnapshotChunk(100, (100, ""), len(data), mark, 0, data)
    table.nodes["r3"].restore(table.nodes["r3"].snapshot())
    table.step("r3", Deliver("r1", chunk))
    assert table.saw("snapshot_refused", "r3")
    assert table.find(FetchSnapshot, to="r2")
    table.deliver(FetchSnapshot)
    step_through(table)
    assert installed(table)


def test_a_chunk_from_a_stranger_is_ignored() -> None:
    table = lagging()
    (wire,) = table.take(SnapshotChunk)
    table.step("r3", Deliver("r9", wire[2]))
    assert table.nodes["r3"].incoming is None  # type: ignore[attr-defined]


def test_a_transfer_that_nobody_serves_is_given_up() -> None:
    table = lagging()
    table.deliver(SnapshotChunk)
    for node in ("r1", "r2"):
        table.crash(node)
    table.run(30)
    assert table.nodes["r3"].incoming is None  # type: ignore[attr-defined]


def test_replicas_hold_the_same_bytes() -> None:
    table = lagging()
    table.take()
    for source in ("r1", "r2"):
        table.put("r3", source, FetchSnapshot(0, (0, ""), 0))
    table.deliver(FetchSnapshot)
    first, second = (m for _, _, m in table.take(SnapshotChunk))
    assert first == second


def test_a_snapshot_that_is_due_while_another_is_saved_follows_it() -> None:
    table = lagging()
    node = table.nodes["r1"]
    first, second = (node.capture((slot, ""), ()) for slot in (90, 91))
    first, second = (msgspec.structs.replace(s, index=i) for s, i in ((first, 90), (second, 91)))
    node._save(first)  # type: ignore[attr-defined]
    node.executed = 91
    node.take_snapshot((91, ""))  # type: ignore[attr-defined]
    assert node.saving == (first,)  # type: ignore[attr-defined]
    node.committed = node.known = 91  # type: ignore[attr-defined]
    node.snapshot_is_durable(90)  # type: ignore[attr-defined]
    assert [s.index for s in node.saving] == [91]  # type: ignore[attr-defined]
    node.snapshot_is_durable(91)  # type: ignore[attr-defined]
    assert node.saved.index == 91  # type: ignore[attr-defined]
    assert node.saving == ()  # type: ignore[attr-defined]


# --- a snapshot that somebody asks for ------------------------------------------------------------


def told(node: Any, source: str = "") -> list[Snapshot]:
    """The snapshots that a node begins to save when it is told to take one."""
    node.deliver(source or node.id, TakeSnapshot())
    return list(node.saving)


LOGS = [kind for kind in all_protocols() if TakeSnapshot in kind().messages()]


def test_every_protocol_with_a_log_takes_snapshots_when_told() -> None:
    assert {kind.name for kind in LOGS} == {kind.name for kind in all_protocols() if kind.tags.log}


@pytest.mark.parametrize("kind", LOGS, ids=lambda kind: kind.name)
def test_a_replica_saves_what_it_has_executed_when_its_process_tells_it(
    kind: type[Protocol],
) -> None:
    cluster = Cluster(kind(), replicas=3, clients=1, machine=machine("kv"))
    cluster.start()
    for op in range(1, 4):
        cluster.invoke("c1", op, cluster.machine.encode(_put(op)))
        cluster.run(lambda op=op: ("c1", op) in cluster.outcomes, 60 * SECOND, 10_000)  # type: ignore[misc]
    seat = cluster.seats["r1"]
    node: Any = seat.node
    cluster.step(seat, Deliver("r1", TakeSnapshot()))
    first = node.saved
    assert first is not None
    assert first.index == node.executed >= 3
    cluster.step(seat, Deliver("r1", TakeSnapshot()))
    assert node.saved is first  # nothing has happened since
    cluster.crash("r1")
    cluster.restart("r1")
    assert kind.tags.durable is (seat.node.executed >= 3)  # type: ignore[union-attr]


def test_nobody_else_may_tell_a_replica_to_take_a_snapshot() -> None:
    table = lagging()
    assert told(table.nodes["r2"], "r1") == []
    assert len(told(table.nodes["r2"])) == 1


def test_while_one_is_saved_the_next_one_waits() -> None:
    table = lagging()
    node: Any = table.nodes["r1"]
    first = told(node)
    assert told(node) == first
    assert node.postponed is None  # nothing has been executed since
    table.ask(_put(99))
    table.settle()
    assert told(node) == first
    assert node.postponed.index == node.executed > first[0].index


def test_strangers_are_not_sent_a_snapshot() -> None:
    table = lagging()
    table.take()
    node = table.nodes["r1"]
    node.outgoing = None
    for stranger in ("c1", "nobody"):
        assert not node.step(Deliver(stranger, FetchSnapshot(0, (0, ""), 0)), table.inputs)
    assert node.outgoing is None


def test_what_nobody_asks_for_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "UNASKED_MAX", 2)
    table = lagging()
    assert table.nodes["r1"].outgoing is not None
    for number in range(19):
        table.ask(_put(number))
        table.settle(cut=apart("r3"))
    assert table.nodes["r1"].outgoing is not None
    table.hand(("r3", "r1", FetchSnapshot(20, (20, ""), 0)))  # a slow one
    assert table.nodes["r1"].outgoing.unasked == 0
    for number in range(31):
        table.ask(_put(number))
        table.settle(cut=apart("r3"))
    assert table.nodes["r1"].outgoing is None


def test_a_snapshot_that_is_too_large_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SNAPSHOT_BYTES_MAX", 100)
    table = lagging()
    assert table.saw("snapshot_too_large", "r1")
    assert not table.find(SnapshotChunk)
