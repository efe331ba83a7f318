"""Multi-Paxos: a log of commands, each slot decided by Paxos, phase 1 done once for all slots.

**Problem.** Replicas of a state machine must execute the same commands in the same order, although
messages are lost, doubled and reordered, and replicas crash and come back.

**Idea.** Single-decree Paxos decides one value: a proposer picks a ballot, asks a quorum of
acceptors to promise it (phase 1), proposes the value of the highest ballot that any of them has
voted for, or its own if there is none (phase 2), and a quorum of votes chooses. A log is one such
decision for each slot. Phase 1 does not depend on the value, so a proposer runs it once, for all
slots from some point on, and is then the leader: a command costs phase 2 only.

**When to use it.** In one region or a few, with a stable leader and enough of a quorum nearby. A
leader does 2N messages for each batch, so it saturates first; clients far from it pay the way to
it and back on top of a round trip to a quorum.

**What it costs.** A write: one round trip from the leader to a phase-2 quorum, 2(N-1) messages for
a batch of commands, one sync on each replica. A read (`reads="quorum"`): the same round trip,
without a sync, shared by all reads that came meanwhile. A new leader: one round trip to a phase-1
quorum, and phase 2 for what was under way.

**Files.** `acceptor.py`: promises and votes (what must be remembered). `learner.py`: executing what
is chosen, catching up. `recovery.py`: coming back with a lost disk. `proposer.py`: elections, the
steady state, reads. `messages.py`: the arrows.

**Papers.** L. Lamport, "Paxos Made Simple" (2001), cited here as PMS: section 2.2 for the two
phases, 2.3 for learning, 3 for the log. R. van Renesse, D. Altinbuken, "Paxos Made Moderately
Complex" (2015), PMMC: windows, garbage collection. T. Chandra, R. Griesemer, J. Redstone, "Paxos
Made Live" (PODC 2007), PML: snapshots, disk loss (section 5.1), catch-up. H. Howard, D. Malkhi,
A. Spiegelman, "Flexible Paxos" (OPODIS 2016), FP: quorums of unequal sizes. E. Michael, D. Ports,
N. Sharma, A. Szekeres, "Recovering Shared Objects Without Stable Storage" (DISC 2017), DISC17: how
a vote from before an amnesia is told from one after it.

    paper                          here
    number n, proposal number      ballot: (round, id of the proposer)
    instance (PMS 3), slot (PMMC)  slot
    distinguished proposer         leader
    accept request, 2(a); 2(b)     Accept; Accepted
    no-op command                  the empty batch ()
    preempted (PMMC)               Nack

**Divergences.** An acceptor that accepts raises its promise too, which PMS only implies (read
literally, it is unsafe). A refusal is said aloud (Nack), as PMS 2.2 suggests. The value of a slot
is a batch. The leader tells the others what is chosen by a commit index, on its next messages,
instead of each acceptor telling each learner. There is no pre-vote: a replica that was cut off
takes over leadership when it comes back, at the price of one phase 1. Membership is fixed.

**Limits.** `queue_max` commands and as many reads wait at a leader, then Overloaded;
`pipeline_max` slots under way, then the queue grows; `log_entries_max` votes on a replica, then it
votes for no new slot (and, as leader, proposes none) until a snapshot has let it forget some.
Without a quorum a leader steps down after an election timeout, and clients get an indefinite
answer at their deadline.
"""

from collections.abc import Collection, Iterable
from typing import ClassVar

from concur.base import Circumstances, Role, Tags, parameter
from concur.errors import BadInput
from concur.node import Node
from concur.parts.client import Client, told_apart
from concur.parts.parameters import BatchedProtocol
from concur.protocols.multi_paxos.recovery import Replica
from concur.quorums import QuorumSystem, flexible


class MultiPaxosClient(Client["MultiPaxos"]):
    """The shared client; reads go to the leader directly unless they are to use the log."""

    def reads_bypass_log(self) -> bool:
        return self.params.reads == "quorum"


class MultiPaxos(BatchedProtocol):
    """Multi-Paxos with batching, pipelining, flexible quorums, quorum reads and recovery."""

    name = "multi-paxos"
    summary = "A stable leader has each slot of a log decided by Paxos; phase 1 once for all slots."
    paper = "Lamport, Paxos Made Simple, 2001; van Renesse and Altinbuken, 2015"
    tags = Tags(leader=True)

    phase1_quorum: int | None = parameter(
        default=None,
        at_least=1,
        doc="votes that elect a leader; None: what phase2_quorum needs, or most",
    )
    phase2_quorum: int | None = parameter(
        default=None,
        at_least=1,
        doc="votes that choose a command; None: what phase1_quorum needs, or most",
    )
    reads: str = parameter(
        default="quorum",
        one_of=("quorum", "log"),
        doc="linearizable reads: a heartbeat round, or a slot",
    )
    heartbeat_s: float = parameter(default=0.1, above=0, doc="between two heartbeats of a leader")
    election_timeout_s: tuple[float, float] = parameter(
        default=(0.5, 1.0), above=0, ascending=True, doc="silence after which a replica campaigns"
    )
    resend_s: float = parameter(
        default=0.5, above=0, doc="after which an unanswered message is repeated"
    )
    lag_max: int = parameter(
        default=256, at_least=0, doc="slots kept below a snapshot, for replicas that lag a little"
    )
    log_entries_max: int = parameter(
        default=100_000,
        at_least=1,
        doc="votes that a replica holds; at the limit it takes no new slot",
    )

    # Mutants replace the replica and nothing else.
    replica: ClassVar[type[Node["MultiPaxos"]]] = Replica

    def quorums(self, members: Collection[str]) -> QuorumSystem:
        """The quorums of these members. Raises BadInput if they may miss each other."""
        n = len(members)
        one, two = self.phase1_quorum, self.phase2_quorum
        if one is None:
            one = n // 2 + 1 if two is None else max(1, n - two + 1)
        return flexible(members, one, max(1, n - one + 1) if two is None else two)

    def problems(self, replicas: int) -> Iterable[str]:
        try:
            self.quorums([f"r{i + 1}" for i in range(replicas)])
        except BadInput as error:
            yield str(error)
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
        """Ids have an order in ballots, so those who may propose can be told apart, from each
        other and from all others. Acceptors of which only the vote counts cannot."""
        members = world.config.members
        if any(world.rings("transfer", member) for member in members):
            return (world.config.role("client"),)
        apart = told_apart(world)
        passive = (m for m in members if m not in apart and not world.rings("election", m))
        return tuple(passive), world.config.role("client")

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", self.replica, "r"),
            Role("client", MultiPaxosClient, "c", "clients", place="client", cost="client"),
        )

    def crash_tolerance(self, replicas: int) -> int:
        sizes = self.quorums([f"r{i + 1}" for i in range(replicas)])
        return replicas - max(sizes.phase1_size, sizes.phase2_size)
