"""Snapshots: taken every so often, and fetched from another replica by one that lags too far.

A transfer is driven by its receiver, one chunk of `chunk_bytes_max` at a time. A snapshot's
encoding is canonical, so replicas that took one at the same place in the log hold the same bytes,
and a transfer can go on with another source where the first one stopped. What arrives is checked by
a digest and decoded against its declared type; a bad one is thrown away and asked for elsewhere.

An operator may want one at once: to begin an upgrade with a short log, or to have a recent file to
copy. The process of the replica then hands it `TakeSnapshot`, in the replica's own name.
"""

from typing import TypeVar

import msgspec

from concur.effects import Snapshot, SnapshotSaved, Timer
from concur.errors import BadInput
from concur.logs import Mark
from concur.messages import Message, decode, digest, encode
from concur.node import Node, on, seconds
from concur.parts.parameters import LogProtocol
from concur.parts.sessions import Sessions

L = TypeVar("L", bound=LogProtocol)

SNAPSHOT_BYTES_MAX = 1 << 30
"""A peer that announces a larger snapshot is not believed, and a larger one is not sent."""

UNASKED_MAX = 64
"""Newer snapshots saved since anybody asked for a chunk, after which what is kept encoded is
forgotten. Not by the clock: only who needs to should look at it."""

SILENT_MAX = 2
"""Requests for a chunk that one source leaves unanswered before another one is asked."""


class TakeSnapshot(Message, frozen=True):
    """Save what has been executed, whatever `snapshot_every` says. A replica hears it from itself:
    from the process that it runs in, and from no other (`executed_mark` says what comes of it)."""


class FetchSnapshot(Message, frozen=True):
    """Send the chunk at `offset` of the snapshot at `index` and `mark`; of the newest at 0."""

    index: int
    mark: Mark
    offset: int


class SnapshotChunk(Message, frozen=True):
    """Bytes `offset` and on of a snapshot of `total` bytes with that digest."""

    index: int
    mark: Mark
    total: int
    digest: bytes
    offset: int
    data: bytes


class Outgoing(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot, encoded for receivers, and how many were saved since one asked for it. `data` is
    empty if it is larger than they accept."""

    index: int
    mark: Mark
    data: bytes
    digest: bytes
    unasked: int = 0


class Incoming(msgspec.Struct, frozen=True, array_like=True):
    """A transfer under way: which snapshot (`total` 0 while not known), and what has arrived."""

    source: str
    index: int = 0
    mark: Mark = (0, "")
    total: int = 0
    digest: bytes = b""
    parts: tuple[bytes, ...] = ()
    offset: int = 0
    silent: int = 0
    sources: int = 1

    def same(self, m: SnapshotChunk) -> bool:
        return (self.index, self.mark, self.total, self.digest) == (
            m.index, m.mark, m.total, m.digest,
        )  # fmt: skip


class Snapshots(Node[L]):
    """A protocol overrides `is_ahead`, `take_over`, `cut_log` and `executed_mark`, and calls
    `take_snapshot` when it is time and `fetch_snapshot` when it must.

    `saved` is the newest snapshot that is durable; `saving` are those on their way, oldest first,
    and `postponed` is the newest of those that were taken meanwhile.
    """

    saved: Snapshot | None = None
    saving: tuple[Snapshot, ...] = ()
    postponed: Snapshot | None = None
    outgoing: Outgoing | None = None
    incoming: Incoming | None = None

    def is_ahead(self, index: int, mark: Mark) -> bool:
        """Whether a snapshot there has something that this replica has not executed."""
        raise NotImplementedError

    def take_over(self, snapshot: Snapshot) -> None:
        """A fetched snapshot has been installed and is being saved: adapt to it."""
        raise NotImplementedError

    def cut_log(self, snapshot: Snapshot) -> None:
        """`snapshot` is durable: what it covers may be forgotten."""
        raise NotImplementedError

    def membership(self) -> tuple[str, ...]:
        """Who belongs to the system, as a snapshot is to say it (20)."""
        return self.config.members

    def executed_mark(self) -> Mark | None:
        """The mark of a snapshot of what is executed now; None while none can be taken, because
        what is executed here is not what the rest of the replica's state goes with."""
        return None

    def snapshot_sources(self) -> tuple[str, ...]:
        """Replicas that may hold a snapshot."""
        return tuple(r for r in self.config.universe if r != self.id)

    # --- taking them -----------------------------------------------------------------------------

    @on(TakeSnapshot)
    def take_snapshot_now(self, source: str, m: TakeSnapshot) -> None:
        """At a place that others do not take one at, which costs a transfer that goes on with
        another source its beginning, and nothing else."""
        mark = self.executed_mark()
        newest = self.postponed or (self.saving[-1] if self.saving else self.saved)
        if source != self.id or mark is None or not self.executed:
            return
        if newest is None or (newest.index, newest.mark) != (self.executed, mark):
            self.take_snapshot(mark)

    def take_snapshot(self, mark: Mark) -> None:
        """Save what has been executed; after the save that is under way, if there is one."""
        snapshot = self.capture(mark, self.membership())
        if self.saving:
            self.postponed = snapshot  # not forgotten: a log that is full waits for it
        else:
            self._save(snapshot)

    def _save(self, snapshot: Snapshot) -> None:
        self.saving = (*self.saving, snapshot)
        self.postponed = None
        self.save_snapshot(snapshot)

    @on(SnapshotSaved)
    def snapshot_is_durable(self, index: int) -> None:
        for at, snapshot in enumerate(self.saving):
            if snapshot.index == index:
                self.saving = self.saving[at + 1 :]
                self.saved = snapshot
                self.cut_log(snapshot)
                break
        out = self.outgoing
        if out is not None:  # it may be as large as all that is replicated
            newer = msgspec.structs.replace(out, unasked=out.unasked + 1)
            self.outgoing = newer if newer.unasked <= UNASKED_MAX else None
        if self.postponed is not None and not self.saving:
            self._save(self.postponed)

    def load_saved(self, snapshot: Snapshot | None) -> None:
        """At `Start`: begin from what the disk holds."""
        if snapshot is not None:
            self.install(snapshot)
            self.saved = snapshot

    # --- sending them ----------------------------------------------------------------------------

    @on(FetchSnapshot)
    def send_chunk(self, source: str, m: FetchSnapshot) -> None:
        if source not in self.config.universe:
            return  # it costs too much for anybody to ask
        out = self.outgoing
        offset = m.offset
        if out is None or (out.index, out.mark) != (m.index, m.mark):
            saved = self.saved
            if saved is None:
                return
            if out is None or (out.index, out.mark) != (saved.index, saved.mark):
                data = self._encode(saved)
                if len(data) > SNAPSHOT_BYTES_MAX:
                    self.observe("snapshot_too_large", saved.index, len(data))
                    data = b""
                out = Outgoing(saved.index, saved.mark, data, digest(data))
                self.outgoing = out
            if (out.index, out.mark) != (m.index, m.mark):
                offset = 0  # not what was asked for, but all there is
        if out.unasked:
            self.outgoing = msgspec.structs.replace(out, unasked=0)
        if 0 <= offset < len(out.data):
            chunk = out.data[offset : offset + self.params.chunk_bytes_max]
            self.send(
                source,
                SnapshotChunk(out.index, out.mark, len(out.data), out.digest, offset, chunk),
            )

    def offer_snapshot(self, to: str) -> None:
        """The first chunk, to one who asked for what has been cut away; it will ask for more."""
        self.send_chunk(to, FetchSnapshot(0, (0, ""), 0))

    def _encode(self, snapshot: Snapshot) -> bytes:
        machine = self.machine.snapshot(self.machine.release(snapshot.machine))
        return encode((snapshot.index, snapshot.mark, machine, snapshot.sessions, snapshot.members))

    def _decode(self, data: bytes) -> Snapshot:
        """Raises BadInput for whatever is wrong with `data`."""
        kind = tuple[int, Mark, bytes, Sessions, tuple[str, ...]]
        index, mark, machine, sessions, members = decode(data, kind)
        try:
            state = self.machine.capture(self.machine.restore(machine))
        except Exception as error:  # a machine is the user's: it may raise anything on bad bytes
            raise BadInput(f"snapshot {index}: the machine refused it: {error}") from None
        return Snapshot(index, mark, state, sessions, members)

    # --- receiving them --------------------------------------------------------------------------

    def fetch_snapshot(self, source: str) -> None:
        """Ask `source` for its newest snapshot, unless a transfer is under way."""
        if self.incoming is None:
            self.incoming = Incoming(source)
            self._ask()

    def _ask(self) -> None:
        incoming = self.incoming
        assert incoming is not None
        self.send(incoming.source, FetchSnapshot(incoming.index, incoming.mark, incoming.offset))
        self.set_timer("transfer", seconds(self.params.retry_s))

    @on(Timer("transfer"))
    def transfer_stalled(self) -> None:
        """Ask again; after a while, another replica, which may hold the same snapshot."""
        incoming = self.incoming
        if incoming is None:
            return
        others = self.snapshot_sources()
        gone = incoming.total and not self.is_ahead(incoming.index, incoming.mark)
        if gone or not others or incoming.sources > len(others):
            self.incoming = None
            return
        if incoming.silent < SILENT_MAX:
            self.incoming = msgspec.structs.replace(incoming, silent=incoming.silent + 1)
        else:
            self._turn_to_another(incoming)
        self._ask()

    def _turn_to_another(self, incoming: Incoming) -> None:
        others = self.snapshot_sources()
        at = others.index(incoming.source) if incoming.source in others else -1
        self.incoming = msgspec.structs.replace(
            incoming, source=others[(at + 1) % len(others)], silent=0, sources=incoming.sources + 1
        )

    @on(SnapshotChunk)
    def take_chunk(self, source: str, m: SnapshotChunk) -> None:
        if m.total > SNAPSHOT_BYTES_MAX and source in self.config.universe:
            self.observe("snapshot_refused", m.index)
        if not 0 < m.total <= SNAPSHOT_BYTES_MAX or not m.data or m.offset < 0:
            return
        incoming = self.incoming
        if not self.is_ahead(m.index, m.mark) or source not in self.config.universe:
            return
        if incoming is None:
            incoming = Incoming(source)
        elif incoming.source != source:
            return
        if not incoming.same(m):  # another snapshot than before: begin with its first chunk
            incoming = Incoming(
                source, m.index, m.mark, m.total, m.digest, sources=incoming.sources
            )
        if m.offset == incoming.offset and m.offset + len(m.data) <= m.total:
            incoming = msgspec.structs.replace(
                incoming, parts=(*incoming.parts, m.data), offset=m.offset + len(m.data), silent=0
            )
        elif incoming is self.incoming:
            return  # doubled or late; the next one has been asked for
        self.incoming = incoming
        if incoming.offset < incoming.total:
            self._ask()
        else:
            self._finish_transfer(incoming)

    def _finish_transfer(self, incoming: Incoming) -> None:
        data = b"".join(incoming.parts)
        try:
            if digest(data) != incoming.digest:
                raise BadInput(f"snapshot {incoming.index} from {incoming.source}: wrong digest")
            snapshot = self._decode(data)
            if (snapshot.index, snapshot.mark) != (incoming.index, incoming.mark):
                raise BadInput(f"snapshot {incoming.index} holds another, {snapshot.index}")
        except BadInput:
            self.observe("snapshot_refused", incoming.index)
            self.incoming = Incoming(incoming.source, sources=incoming.sources)
            self._turn_to_another(self.incoming)
            self._ask()
            return
        self.incoming = None
        self.cancel_timer("transfer")
        self.install(snapshot)
        self._save(snapshot)
        self.observe("snapshot_installed", snapshot.index)
        self.take_over(snapshot)
