"""Viewstamped Replication: a primary orders, a quorum holds, and nobody needs a disk.

**Problem.** Replicas of a state machine must execute the same operations in the same order,
although messages are lost, doubled and reordered, and replicas crash. Viewstamped Replication
(1988) solved it before Paxos was published; the "Revisited" version of 2012, VRR, is what is built
here.

**Idea.** Time is divided into views, numbered; view v has one primary, which is known beforehand:
member v modulo N. The primary gives each operation the next op-number and sends it to the backups;
it is committed when a quorum has it. If the primary is not heard, the replicas move on to the next
view: each sends its log to the next primary, and the log of a quorum that is the newest, by the
view in which it was last valid and then by its length, becomes the log of the new view. What makes
it different from Multi-Paxos and Raft is where it puts its trust: in replicas, not in disks. A
replica that lost its memory asks the others for it. Votes are therefore cast for views, whose
primary follows from their number, and there is nothing like Raft's vote for a candidate to be
forgotten; but a replica can forget that it left a view, and that is the hard part (recovery.py).

**When to use it.** As Multi-Paxos: in one region or a few, a quorum nearby. Without a disk where
replicas fail independently, each with its own power, and a sync costs more than a round trip; with
a disk (`ViewstampedReplicationOnDisk`) everywhere else. The primary does 2N messages for each
batch, so it saturates first. Whose turn it is to be primary is not a matter of who is best placed:
a view change may go through replicas that are down, at one timeout each.

**What it costs.** A write: one round trip from the primary to a quorum, 2(N-1) messages for a
batch, no sync, or one on each replica. A read (`reads="quorum"`): the same round trip, shared by
all that came meanwhile; with `reads="log"` what a write costs. A view change: N(N-1) small messages
to leave, N-1 with logs to the new primary, N-1 from it; it takes commands after one round trip, and
one more if the log that it needs is not in a message. A recovery: a round trip to all, and the
transfer of the state. A change of members: one operation, and what newcomers lack, before it.

**Three protocols and a fourth**, as the paper has them:

| protocol | paper | file |
| --- | --- | --- |
| normal operation | 4.1 | normal.py |
| view change | 4.2, 5.3 | view_change.py |
| recovery | 4.3 | recovery.py |
| reconfiguration | 7 | reconfiguration.py |

with state transfer (5.2) in state_transfer.py, the state, the log and checkpoints (5.1) in
state.py, the arrows in messages.py.

**What each mechanism guards against.**

| mechanism | without it | file |
| --- | --- | --- |
| operations in order, no gaps | an acknowledgement says nothing about what precedes | normal |
| last normal view before length | a long log that lost beats a committed one (V3) | view_change |
| leaving a view is for good | operations are committed behind a view change | view_change |
| the log stays until another is here | what was acknowledged is cut away (V1) | state_transfer |
| normal only with the whole log | a log without committed operations is chosen | state_transfer |
| next view only if a quorum left | a replica that was cut off counts views up | view_change |
| crash vectors | what was forgotten is counted (V2) | recovery |
| answer of the primary, of a quorum | the past is recovered | recovery |
| waiting at the end of an epoch | the past epoch is recovered | recovery |
| memories named in a change | an epoch is entered twice, without a memory | reconfiguration |
| nothing behind a change | the old group commits beside the new one | reconfiguration |
| replaced replicas stay | the new group has nobody to learn from | reconfiguration |
| newcomers are warmed up | the new group waits for who is not there | reconfiguration |
| rounds of Commit | a deposed primary answers from the past | state |
| a primary checks its quorum | clients of a primary that is cut off wait for ever | normal |

**Known holes** of the protocol as published, and what is here instead:

* *State transfer cuts the log* (V1; J. Vanlightly, with a model in TLA+): state_transfer.py.
* *Recovery forgets that a view was left* (V2; DISC17): recovery.py.
* *A commit-number is believed without the log that it is about.* With state transfer, a replica
  may learn in one view what was committed in a later one. Told in a DoViewChange (4.2 step 3), it
  would have the wrong log executed, by a primary that was overtaken. Here, only the primary of a
  view says what is committed in its log, and a new one begins with what it knows itself.
* *Whoever returns deposes the primary.* A backup that was cut off comes back asking for the next
  view, and the others follow it there, once. There is no pre-vote in the paper, nor here.
* *Recovery during a view change.* Only replicas in a normal status answer, so a recovery waits
  until the view has begun, and the view change must do without the one that recovers. With three
  replicas both others are needed, if only for a moment.
* *The primary, without a disk.* When it crashes, nobody is primary until the others time out: it
  cannot recover into its own view, as it would have to answer itself.
* *Recovery during a reconfiguration.* The paper has a recovering replica believe what old members
  say of the epoch. Here it waits while a log ends with a change; and a change names memories.
* *All at once.* If more replicas than a group can spare lose their memory, what was committed is
  lost for ever. Without a disk, a power failure does that. Nothing in a protocol helps; nobody
  answers wrongly, because nobody answers any more.

**Papers.** B. Liskov, J. Cowling, "Viewstamped Replication Revisited" (MIT-CSAIL-TR-2012-021),
cited by its sections. B. Oki, B. Liskov, "Viewstamped Replication: A New Primary Copy Method to
Support Highly-Available Distributed Systems" (PODC 1988): viewstamps, and a disk. E. Michael,
D. Ports, N. Sharma, A. Szekeres, "Recovering Shared Objects Without Stable Storage" (DISC 2017),
DISC17: crash vectors. D. Ongaro's dissertation (2014), 6.4: reads by rounds.

    paper                             here
    replica number i                  the replica's id, by its place in Configuration.members
    configuration, epoch-number       configuration (epoch, start, members, born)
    view-number, last normal view     view, last_normal_view
    op-number, log                    the last index of log; an entry is a batch
    commit-number                     committed (what is committed is executed at once)
    client-table                      sessions (concur.parts.sessions)
    nonce x                           born: the incarnation in which a memory began
    Reconfiguration                   ChangeMembers (concur.parts.membership)
    NewEpoch, to clients              NotLeader (concur.parts.client)
    view of the primary that answers  RecoveryResponse.primary; its log comes by GetState

**Divergences.** Commit is answered (CommitOk): for reads, for lost acknowledgements, and so that a
primary knows whether anybody listens. Backups ask for what they lack, so Prepare is not repeated.
DoViewChange and StartView carry what is not known to be committed, as far as it fits in a message,
and RecoveryResponse carries no log; the rest is asked for (5.3, 5.2). A new primary does not take
over the commit-numbers of others. StartView is ignored where its view has begun already. Without a
disk, checkpoints are kept in memory. A primary without a quorum leaves its view. A change of
members is warmed up by the primary, not by the operator. Replaced replicas do not shut down: they
are spares, and may come back.
Witnesses (6.1) and batching at clients are not built; leases (6.3) neither.

**Limits.** `queue_max` commands and as many reads wait at a primary, then Overloaded;
`pipeline_max` operations that are not committed, then the queue grows; `log_entries_max` entries in
a log, then no more are taken until a snapshot has let it forget some. Clients get an indefinite
answer at their deadline. A backup keeps `EARLY_MAX` operations, and `EARLY_BYTES_MAX` bytes, that
came before what precedes them. There are no learners: orders that name some are refused.
"""

from collections.abc import Iterable
from typing import ClassVar

from concur.base import Circumstances, Role, Tags, parameter
from concur.node import Node
from concur.parts.client import Client
from concur.parts.membership import OPERATOR
from concur.parts.parameters import BatchedProtocol
from concur.protocols.viewstamped_replication.reconfiguration import Replica, ReplicaOnDisk


class ViewstampedClient(Client["ViewstampedReplication"]):
    """The shared client; reads go to the primary directly unless they are to use the log."""

    def reads_bypass_log(self) -> bool:
        return self.params.reads == "quorum"


class ViewstampedReplication(BatchedProtocol):
    """Viewstamped Replication, which keeps nothing on disk: replicas recover from each other."""

    name = "viewstamped-replication"
    summary = "A primary orders, a quorum holds; views replace it; no disk, so recovery by peers."
    paper = "Liskov and Cowling, Viewstamped Replication Revisited, 2012"
    tags = Tags(leader=True, durable=False, recovers_wiped=True, membership=True)

    reads: str = parameter(
        default="quorum",
        one_of=("quorum", "log"),
        doc="linearizable reads: a round of Commit, or the log",
    )
    heartbeat_s: float = parameter(
        default=0.1,
        above=0,
        doc="between two Commit messages of a primary, and repetitions in view changes",
    )
    election_timeout_s: tuple[float, float] = parameter(
        default=(0.5, 1.0), above=0, ascending=True, doc="silence after which a view change begins"
    )
    resend_s: float = parameter(
        default=0.5, above=0, doc="after which an unanswered message is repeated"
    )
    lag_max: int = parameter(
        default=256, at_least=0, doc="entries kept below a snapshot, for replicas that lag a little"
    )
    log_entries_max: int = parameter(
        default=100_000, at_least=1, doc="entries in a log; at the limit it takes no more commands"
    )

    # Mutants replace the replica and nothing else.
    replica: ClassVar[type[Node["ViewstampedReplication"]]] = Replica

    def problems(self, replicas: int) -> Iterable[str]:
        if self.election_timeout_s[0] <= self.heartbeat_s:
            yield (
                f"election_timeout_s {self.election_timeout_s} and heartbeat_s {self.heartbeat_s}: "
                "expected timeouts above the time between heartbeats"
            )
        if self.log_entries_max < self.snapshot_every + self.lag_max:
            yield (
                f"log_entries_max {self.log_entries_max}, expected at least snapshot_every plus "
                f"lag_max, {self.snapshot_every + self.lag_max}: a full log never empties"
            )

    def interchangeable(self, world: Circumstances) -> tuple[tuple[str, ...], ...]:
        """Clients only: which replica is the primary goes by the number of the view, in order of
        ids (section 4)."""
        return (world.config.role("client"),)

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", self.replica, "r"),
            Role("client", ViewstampedClient, "c", "clients", place="client", cost="client"),
            OPERATOR,
        )


class ViewstampedReplicationOnDisk(ViewstampedReplication):
    """The same with stable storage: a restarted replica goes on where it was."""

    name = "viewstamped-replication-on-disk"
    summary = "Viewstamped Replication with its state on disk: a restart needs no recovery."
    tags = Tags(leader=True, membership=True)

    replica = ReplicaOnDisk
