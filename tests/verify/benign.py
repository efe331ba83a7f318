"""Protocols that were changed and are right all the same: what finds a bug in them is wrong."""

from collections.abc import Collection

from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.multi_paxos.recovery import Replica as PaxosReplica
from concur.protocols.raft import Raft
from concur.protocols.raft.messages import Entry
from concur.protocols.raft.recovery import Replica as RaftReplica
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.protocols.viewstamped_replication.reconfiguration import Replica as ViewReplica


class BeginsWithANoOp(PaxosReplica):
    def lead(self) -> None:
        super().lead()
        if self.has_room():
            self.propose((), ())


class TwoFirstNoOps(MultiPaxos):
    """A leader begins with a no-op that nobody needs: one spurious slot for each ballot (as N2)."""

    name = "multi-paxos-spurious-no-op"
    replica = BeginsWithANoOp


class BeginsWithTwo(RaftReplica):
    def append_first_entry(self) -> None:
        super().append_first_entry()
        self.append(Entry(self.term))


class TwoFirstEntries(Raft):
    """A leader begins with two empty entries."""

    name = "raft-two-first-entries"
    replica = BeginsWithTwo


class AsksAll(ViewReplica):
    def is_quorum(self, replicas: Collection[str]) -> bool:
        return len(set(replicas)) == len(self.configuration.members)


class WaitsForAll(ViewstampedReplication):
    """A view changes only once all replicas have left the last one."""

    name = "vr-waits-for-all"
    replica = AsksAll
