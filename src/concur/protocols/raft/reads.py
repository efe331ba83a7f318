"""Reads that are not written to the log: ReadIndex and leases (section 8; dissertation 6.4).

**ReadIndex** is `concur.parts.reads`, with heartbeats as rounds and terms as reigns. A leader's
read must reflect every command that completed before it came, at time t. Such a command is
committed, by a leader of some term. In an earlier term: then it is in this leader's log (leader
completeness, 5.4.3), and committed with this leader's first entry at the latest, for which
`read_index` waits. In this term: it is executed here. In a later term u: the leader of u had been
elected before t; but a quorum has answered, in this leader's term, a heartbeat sent after t. A
quorum that elects the first leader after this one shares a member with it (while the members
change, too: both leaders' configurations are the same or adjacent, and C_old,new takes a majority
of either), and terms only grow: a contradiction.

**Leases** (`reads="lease"`, 6.4.1) spare the round. A follower that hears a heartbeat neither votes
nor campaigns for T, the least election timeout, by its own clock (election.py; an invited
candidate is exempt, see below). So when a quorum has answered a heartbeat that was sent at time s,
nobody else is elected before s + T: a read may be answered at once until then. Whose time?

* Clocks here are `uptime`, which runs at a rate within r = `clock_drift_ppm_max` of the true one,
  wherever the wall clock jumps. T by a slow clock takes T / (1 - r), by a fast one T / (1 + r) of
  true time. The lease is counted by the leader's clock, which may be slow, and must be over before
  the fast one: it lasts L = T (1 - r) / (1 + r) from when the heartbeat was *sent*. A world whose
  clocks drift further breaks it, and answers become stale: mutant R9.
* A follower that restarts has forgotten whether it promised. It votes and campaigns only T after.
  One that was wiped is another server (recovery.py): the promise dies with the vote.
* A leader that has sent TimeoutNow has invited a candidate that need not wait. The message may be
  on its way for long, so this leader has no lease for the rest of its term.
* When the configuration changes, the lease ends and heartbeats sent before give none.
"""

import msgspec

from concur.node import seconds
from concur.protocols.raft.messages import Configuration
from concur.protocols.raft.replication import Replicator


class Sent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When a heartbeat round left, of uptime."""

    round: int
    at_ns: int


class Reader(Replicator):
    """A leader's reads."""

    rounds: tuple[Sent, ...] = ()  # not yet confirmed; kept for leases only
    leased_until: int = 0  # of uptime
    invited_another: bool = False  # sent TimeoutNow in this term

    # --- what mutants break ----------------------------------------------------------------------

    def lease_ns(self) -> int:
        """How long a lease lasts, by the leader's clock (mutant R9: as long as the promise)."""
        drift = self.params.clock_drift_ppm_max
        shortest = seconds(self.params.election_timeout_s[0])
        return shortest * (1_000_000 - drift) // (1_000_000 + drift)

    def read_index(self) -> int:
        """The first entry of this term must be executed: before, the leader does not know what is
        committed (mutant R9: it reads at once)."""
        return max(self.first, self.committed)

    def executed_index(self) -> int:
        return self.committed

    def is_read_quorum(self, replicas: tuple[str, ...]) -> bool:
        # The first is this server by its address; votes go by names.
        return self.configuration.quorums.is_phase1((self.name, *replicas[1:]))

    # --- leases ----------------------------------------------------------------------------------

    def lead(self) -> None:
        self.invited_another = False
        self.end_lease()
        super().lead()

    def holds_lease(self) -> bool:
        return (
            self.params.reads == "lease"
            and not self.invited_another
            and self.committed >= self.first
            and self.uptime < self.leased_until
        )

    def send_round(self) -> None:
        if self.params.reads == "lease":
            self.rounds = (*self.rounds, Sent(self.round, self.uptime))
        super().send_round()

    def serve_reads(self) -> None:
        if self.rounds and self.rounds[0].round <= self.confirmed:
            confirmed = [sent for sent in self.rounds if sent.round <= self.confirmed]
            self.rounds = self.rounds[len(confirmed) :]
            self.leased_until = confirmed[-1].at_ns + self.lease_ns()
        super().serve_reads()

    def end_lease(self) -> None:
        self.rounds, self.leased_until = (), 0

    def meet(self, configuration: Configuration) -> None:
        self.end_lease()
        super().meet(configuration)

    def stop_leading(self) -> None:
        self.end_lease()
        super().stop_leading()
