"""Linearizable reads that are not written to the log: a round of heartbeats confirms the leader.

A read must reflect every command that completed before it came, at time t. The leader notes which
index must be executed by then, sends a heartbeat after t, and answers from its executed prefix when
that index is reached and a quorum has acknowledged the heartbeat. Who acknowledges says that at
that moment it had not turned to a later leader. So no later leader had been elected before t, if
every quorum that elects one meets every quorum that confirms: whatever completed before t went
through this leader, or through an earlier one whose commands it knows. (Ongaro's dissertation,
section 6.4, calls it ReadIndex.) One round serves all reads that came before it was sent.

A protocol overrides `read_index`, `executed_index`, `send_round` and `is_read_quorum`, and argues
for them; calls `hear_round` for each acknowledgement, `serve_reads` when more has been executed,
`renew_reads` when it begins to lead and `refuse_reads` when it ceases to.
"""

from operator import itemgetter
from typing import TypeVar

import msgspec

from concur.node import invariant, on
from concur.parts.batching import Batching
from concur.parts.client import NotLeader, Overloaded, Read, Reply
from concur.parts.parameters import BatchedProtocol
from concur.values import Map

B = TypeVar("B", bound=BatchedProtocol)

_round = itemgetter(1)

READ_ROUNDS_MAX = 8
"""Heartbeat rounds that reads may have under way; more reads share the next one."""


class PendingRead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A read that waits for heartbeat `round` to be confirmed and `index` to be executed."""

    client: str
    session: str
    seq: int
    body: bytes
    round: int
    index: int


class QuorumReads(Batching[B]):
    """A leader's reads. `acked` holds, by replica, the last heartbeat round it acknowledged."""

    round: int = 0
    confirmed: int = 0
    acked: Map[str, int] = Map()
    reads: tuple[PendingRead, ...] = ()

    # --- what a protocol says --------------------------------------------------------------------

    def read_index(self) -> int:
        """What must be executed before a read that comes now may be answered."""
        raise NotImplementedError

    def executed_index(self) -> int:
        """What is executed here, counted as `read_index` counts."""
        raise NotImplementedError

    def send_round(self) -> None:
        """Send heartbeats that carry `round` to all the others."""
        raise NotImplementedError

    def is_read_quorum(self, replicas: tuple[str, ...]) -> bool:
        """Whether these, this one among them, meet every quorum that elects a leader."""
        raise NotImplementedError

    def holds_lease(self) -> bool:
        """Whether no other leader can have been elected yet, so that no round is needed."""
        return False

    # --- rounds ----------------------------------------------------------------------------------

    def begin_round(self) -> None:
        self.round += 1
        self.send_round()
        if self.is_read_quorum((self.id,)):
            self.confirmed = self.round
            self.serve_reads()

    def hear_round(self, source: str, round: int) -> None:
        """`source` acknowledges a heartbeat of this leader."""
        if round <= self.acked.get(source, 0):
            return
        self.acked = acked = self.acked.put(source, round)
        if round <= self.confirmed:
            return
        # The newest round that a quorum has acknowledged, or a later one.
        replicas, rounds = zip(*sorted(acked.items(), key=_round, reverse=True), strict=True)
        for count, reached in enumerate(rounds, 1):
            if reached <= self.confirmed:
                return
            if self.is_read_quorum((self.id, *replicas[:count])):
                self.confirmed = reached
                self.serve_reads()
                return

    # --- reads -----------------------------------------------------------------------------------

    @on(Read)
    def read(self, source: str, m: Read) -> None:
        if not self.leads():
            self.send(source, NotLeader(m.session, m.seq, self.leader))
        elif len(self.reads) >= self.params.queue_max:
            self.observe("overloaded")
            self.send(source, Overloaded(m.session, m.seq))
        else:
            leased = self.holds_lease()
            round = self.confirmed if leased else self.round + 1
            pending = PendingRead(source, m.session, m.seq, m.body, round, self.read_index())
            self.reads = (*self.reads, pending)
            if leased:
                self.serve_reads()

    def turn_end_due(self) -> bool:
        return bool(self.queue or self.reads)

    def end_turn(self) -> None:
        super().end_turn()
        waiting = self.reads and self.reads[-1].round > self.round and self.leads()
        # One round for all reads of this turn. With many under way, the next heartbeat does.
        if waiting and self.round - self.confirmed < READ_ROUNDS_MAX:
            self.begin_round()

    def serve_reads(self) -> None:
        """Answer, in order, what may be answered by now."""
        reads, served = self.reads, 0
        executed = self.executed_index() if reads else 0
        for read in reads:
            if read.round > self.confirmed or read.index > executed:
                break
            self.send(read.client, Reply(read.session, read.seq, self.query(read.body)))
            served += 1
        if served:
            self.reads = reads[served:]

    def renew_reads(self) -> None:
        """This replica begins to lead: what it was asked waits for a round of the new reign."""
        self.acked = Map()
        index = self.read_index()
        self.reads = tuple(
            msgspec.structs.replace(read, round=self.round + 1, index=index) for read in self.reads
        )

    def refuse_reads(self) -> None:
        """It does not lead any more: send the clients elsewhere."""
        for read in self.reads:
            self.send(read.client, NotLeader(read.session, read.seq, self.leader))
        self.reads = ()

    @invariant
    def reads_stay_under_their_limit(self) -> bool:
        return len(self.reads) <= self.params.queue_max
