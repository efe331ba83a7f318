"""Raft: a leader, elected by a majority, whose log all others make theirs.

**Problem.** Replicas of a state machine must execute the same commands in the same order, although
messages are lost, doubled and reordered, and replicas crash and come back. And people must be able
to understand why they do: Raft was designed for that.

**Idea.** Time is divided into terms, numbered; each term has at most one leader, because each
server votes once in a term. Entries flow one way only, from the leader's log to the others. An
AppendEntries carries the index and the term of the entry before, and is refused where that entry
differs, so that two logs with an entry of the same index and term are equal up to it (log
matching). A server votes only for a candidate whose log is not older than its own. What a majority
holds is therefore in the log of every later leader (leader completeness): an election needs no
second phase in which the past is asked for, as in Multi-Paxos, because only a server that already
has it can win. The price is that not everybody can win.

**When to use it.** As Multi-Paxos: in one region or a few, with a stable leader and a majority
nearby. Where members change: the configuration is an entry of the log. A leader does 2N messages
for each batch, so it saturates first; clients far from it pay the way to it and back on top of a
round trip to a majority. One lost message holds up what is behind it at that follower.

**What it costs.** A write: one round trip from the leader to a majority, 2(N-1) messages for a
batch of commands, one sync on each replica. A read: with `reads="quorum"` the same round trip,
without a sync, shared by all reads that came meanwhile; with `reads="lease"` nothing, while a
bound on the drift of clocks holds; with `reads="log"` what a write costs. A new leader: a round
trip for pre-votes, one for votes, one for its first entry. A change of members: what newcomers lack
of the log, and two entries.

**What each mechanism guards against.**

| mechanism | without it | file |
| --- | --- | --- |
| durable term and vote | a server votes twice in a term: two leaders | election |
| log check of votes (5.4.1) | a leader lacks what is committed, and overwrites it | election |
| count own term only (5.4.2) | figure 8: a committed entry is overwritten | replication |
| commit what matches (5.3) | a follower executes its own stale tail | following |
| first entry of a term (8) | reads and members are those of the last leader | replication |
| random timeouts (5.2) | split votes, again and again | election |
| Pre-Vote (9.6) | a server that was cut off deposes the leader on its return | election |
| stickiness (4.2.3) | a server that was removed deposes leader after leader | election |
| CheckQuorum (6.2) | a leader that hears nobody keeps all others quiet | replication |
| window, probing (10.2) | a slow follower fills memory, or the network | replication |
| rounds, or leases (6.4) | a deposed leader answers from the past | reads |
| joint consensus (6) | two majorities that do not meet, while members change | membership |
| catching up first (4.2.1) | a newcomer without a log is counted on: no progress | membership |
| names of memories | a wiped server votes, or is counted, a second time | recovery |

**Known holes**, in Raft as published or in what people made of it; which of them are here:

* *Single-server changes* (dissertation 4.1): unsafe as first published, two overlapping changes of
  one server each can have majorities that do not meet (Ongaro, raft-dev, 2015). Here: joint
  consensus, and no change before the leader has committed an entry of its own.
* *Figure 8*: counting replicas of an older term. Here: 5.4.2.
* *Pre-Vote, stickiness and CheckQuorum can lock each other out*: a server with a higher term, or
  with a longer log in an older term, that nobody listens to. Here: `election.py` says how not.
* *Partial partitions.* Progress needs a leader that reaches a majority and is reached by it, and
  whose log is new enough. A chain (a-b-c-d-e, neighbours only) may have no such server, and then
  nothing goes on, here too. If b hears a leader that c, d and e do not hear, they lack b's pre-vote
  until CheckQuorum makes the leader step down: an election timeout, not for ever.
* *One-way partitions.* A server that hears nobody but is heard asks for pre-votes without end, and
  gets none while the leader lives. A leader that is heard but hears nobody steps down.
* *Removed servers* that have not heard of C_new ask without end as well; each request costs a
  message, and no more.
* *Leases* are as good as the bound on drift; a leader whose clock stands still reads the past.
  `reads.py` states the bound.
* *The log is full, or the disk.* At `log_entries_max` no commands are taken; a failing disk is a
  crash. A disk so slow that heartbeats wait behind it costs the leader its place (CORE.md, 5).
* *Thrashing.* With timeouts below what a round trip and a sync take, elections never end.

**Files.** `messages.py`: the arrows. `log.py`: the log and what follows from it. `election.py`.
`following.py` and `replication.py`: AppendEntries, at both ends. `reads.py`. `membership.py`: other
members, another leader. `recovery.py`: starting, and coming back with a lost disk.

**Papers.** D. Ongaro, J. Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX
ATC 2014), cited by the sections of its extended version: 5.2 elections, 5.3 replication, 5.4
safety, 6 members, 7 compaction, 8 clients. D. Ongaro, "Consensus: Bridging Theory and Practice"
(dissertation, 2014): 3.10 transfer, 4 members, 6.2 CheckQuorum, 6.4 reads, 9.6 Pre-Vote, 10.2
pipelines.
H. Howard, M. Schwarzkopf, A. Madhavapeddy, J. Crowcroft, "Raft Refloated: Do We Have Consensus?"
(OSR 2015): election timeouts measured.

    paper                             here
    currentTerm, votedFor, log[]      term, voted_for, log
    commitIndex and lastApplied       committed (what is committed is executed at once)
    nextIndex[], matchIndex[]         progress: next and match of each follower
    candidateId, leaderId             name in RequestVote; who sends AppendEntries
    RequestVote, AppendEntries RPCs   RequestVote and Vote, AppendEntries and Appended
    InstallSnapshot RPC               InstallSnapshot, then chunks fetched by the receiver
    server                            a name: its address, and when its memory began

**Divergences.** Messages are datagrams and no RPCs, so followers keep what comes early, and answers
are cumulative. An entry holds a batch of commands. A server that lost its disk comes back as
another server (`recovery.py`; the papers leave it out). The cluster's first election is not waited
for: the first server campaigns at once. A snapshot is fetched from whoever has it, not only from
the leader.

**Limits.** `queue_max` commands and as many reads wait at a leader, then Overloaded; `pipeline_max`
entries that are not committed, then the queue grows; `window_max` entries to a follower that it has
not acknowledged; 256 messages and 16 MiB that a follower keeps because they overtook others, then
they are sent again; `log_entries_max` entries in a log, then no more commands until a snapshot has
let it forget some. Clients get an indefinite answer at their deadline.
"""

from collections.abc import Iterable
from typing import ClassVar

from concur.base import Circumstances, Role, Tags, parameter
from concur.node import Node
from concur.parts.client import Client, told_apart
from concur.parts.membership import OPERATOR
from concur.parts.parameters import BatchedProtocol
from concur.protocols.raft.recovery import Replica


class RaftClient(Client["Raft"]):
    """The shared client; reads go to the leader directly unless they are to use the log."""

    def reads_bypass_log(self) -> bool:
        return self.params.reads != "log"


class Raft(BatchedProtocol):
    """Raft with Pre-Vote, CheckQuorum, ReadIndex or leases, joint consensus, learners, transfer."""

    name = "raft"
    summary = "A leader elected by majority replicates its log; commands commit in log order."
    paper = "Ongaro and Ousterhout, USENIX ATC 2014; Ongaro's dissertation, 2014"
    tags = Tags(leader=True, membership=True, learners=True)

    reads: str = parameter(
        default="quorum",
        one_of=("quorum", "lease", "log"),
        doc="linearizable reads: a heartbeat round, none within a lease, or an entry of the log",
    )
    clock_drift_ppm_max: int = parameter(
        default=200,
        at_least=0,
        at_most=500_000,
        doc="how wrong the rate of a clock may be, for leases",
    )
    pre_vote: bool = parameter(
        default=True, doc="ask whether an election would be won before holding it"
    )
    check_quorum: bool = parameter(
        default=True,
        doc="a leader that no majority answers steps down; who hears one ignores candidates",
    )
    heartbeat_s: float = parameter(default=0.1, above=0, doc="between two heartbeats of a leader")
    election_timeout_s: tuple[float, float] = parameter(
        default=(0.5, 1.0), above=0, ascending=True, doc="silence after which a server campaigns"
    )
    window_max: int = parameter(
        default=256, at_least=1, doc="entries sent to a follower that it has not acknowledged"
    )
    lag_max: int = parameter(
        default=256,
        at_least=0,
        doc="entries kept below a snapshot, for followers that lag a little",
    )
    log_entries_max: int = parameter(
        default=100_000, at_least=1, doc="entries in a log; at the limit it takes no more commands"
    )

    # Mutants replace the replica and nothing else.
    replica: ClassVar[type[Node["Raft"]]] = Replica

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
        if self.reads == "lease" and not self.check_quorum:
            yield (
                "reads 'lease' and check_quorum False: expected check_quorum True, since followers "
                "that hear a leader must not vote for another while its lease lasts"
            )

    def interchangeable(self, world: Circumstances) -> tuple[tuple[str, ...], ...]:
        """All servers: terms are plain numbers, and names are only asked whether they are equal.
        But not those of which clients or an operator name one, nor those that fetch a snapshot
        from one after the other."""
        clients = world.config.role("client")
        members = world.config.members
        if world.orders or any(world.rings("transfer", member) for member in members):
            return (clients,)
        apart = told_apart(world)
        return tuple(member for member in members if member not in apart), clients

    def tells_time(self, role: Role, world: Circumstances) -> bool:
        """Servers go by the time if to have heard a leader binds them, or while a newcomer catches
        up. All else is done by timers."""
        return not issubclass(role.node, Replica) or (
            self.pre_vote or self.check_quorum or world.orders or world.wipes
        )

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", self.replica, "r"),
            Role("client", RaftClient, "c", "clients", place="client", cost="client"),
            OPERATOR,
        )
