"""Elections: Pre-Vote, votes, and who may disturb whom (5.2, 5.4.1; dissertation 3.10, 4.2.3, 9.6).

A server that hears nothing from a leader for a time drawn from `election_timeout_s` wants to lead.
Three mechanisms, each of which can be switched off, decide whether it gets there:

* **Pre-Vote** (`pre_vote`): first it asks whether a majority would vote for it, and raises its term
  only if so. A server that cannot be heard, or whose log lacks something, so never raises a term,
  and does not depose a working leader when its link comes back.
* **Stickiness** (with `check_quorum`, 4.2.3): who has heard a leader within the least election
  timeout ignores RequestVote, term and all. So neither does a server that was removed and does not
  know, and leases have something to rest on. An election that the leader itself has asked for
  (3.10) is exempt.
* **CheckQuorum** (`check_quorum`, in replication.py): a leader that no majority has answered for an
  election timeout stops leading. Else, cut off in one direction only, it could keep followers quiet
  by its heartbeats and commit nothing for ever.

They must not lock each other out. A server whose term is ahead (say it campaigned without Pre-Vote
while it was alone) is ignored as a candidate and ignores the leader's stale term as a follower: so
it answers AppendEntries with its term, and the leader makes way, once. A pre-candidate whose term
is behind is answered with the term of the other, or it would ask for ever for a term that is over.

Who is no server of this system, member or spare, is believed no term and no vote (CORE.md, 18).
"""

from concur.effects import Timer
from concur.node import invariant, on, seconds
from concur.protocols.raft.log import (
    CANDIDATE,
    EMPTY_MAX,
    FOLLOWER,
    LEADER,
    PRE_CANDIDATE,
    Logged,
)
from concur.protocols.raft.messages import (
    Name,
    PreVote,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    Vote,
    server_of,
)


class Elector(Logged):
    """A follower that votes, and a candidate."""

    votes: tuple[Name, ...] = ()
    invited: bool = False  # the leader asked for this campaign
    quiet_until: int = 0  # of uptime: until then a leader counts as alive

    # --- what mutants break ----------------------------------------------------------------------

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """5.4.1: vote only for a log that is not older than one's own. A committed entry is in a
        majority of logs, so who lacks it finds no majority (mutant: any log will do)."""
        own = self.log.last_index
        return (last_term, last_index) >= (self.term_at(own), own)

    def is_bound_by_leader(self) -> bool:
        """Whether to have heard a leader keeps this server from voting and campaigning."""
        return self.params.pre_vote or self.params.check_quorum

    def hears_leader(self) -> bool:
        return self.role == LEADER or self.uptime < self.quiet_until

    # --- followers -------------------------------------------------------------------------------

    def enter_term(self, term: int) -> None:
        """Whoever leads `term`, its log is known to contain what is committed, and no more."""
        assert term > self.term
        self.term, self.voted_for = term, ""
        self.leader = ""
        self.matched = self.log.base.index if self.installing else self.committed
        self.forget_early()

    def step_down(self, term: int) -> None:
        """Follow, in `term`: nobody yet, unless AppendEntries tells."""
        led = self.role == LEADER
        if led:
            self.observe("stepped_down", self.term)
            self.stop_leading()
        if term > self.term:
            self.enter_term(term)
        self.role, self.votes = FOLLOWER, ()
        self.cancel_timer("ask")
        if led:
            self.leader = ""
            self.turn_away()
            self.wait_for_leader()

    def recognise(self, leader: str, term: int) -> None:
        """`leader` was elected in `term`, which is not below ours."""
        assert term > self.term or self.role != LEADER, f"two leaders in term {term}"
        self.step_down(term)
        self.leader = leader
        self.wait_for_leader()

    def wait_for_leader(self) -> None:
        """(Re)start the election timer, with a new random length, so that votes rarely split."""
        self.set_timer("election", self.jitter(*self.params.election_timeout_s))

    def may_campaign(self) -> bool:
        full = len(self.log) >= self.params.log_entries_max + EMPTY_MAX
        hindered = self.recovering or self.installing or full
        return self.configuration.votes(self.name) and not hindered

    # --- candidates ------------------------------------------------------------------------------

    @on(Timer("election"), paper="5.2; dissertation 9.6")
    def miss_leader(self) -> None:
        if self.role == LEADER:
            return
        left = self.quiet_until - self.uptime if self.is_bound_by_leader() else 0
        if left > 0:  # a promise that a lease may rest on: this server must not break it either
            self.set_timer("election", left)
            return
        self.leader = ""  # one who was removed, too: clients must not be sent there for ever
        if not self.configuration.votes(self.name):
            return
        self.wait_for_leader()
        if not self.may_campaign():
            return
        if not self.params.pre_vote:
            self.campaign()
            return
        self.role, self.votes = PRE_CANDIDATE, (self.name,)
        self.ask_for_votes()
        self.campaign_if_it_would_win()

    def campaign_if_it_would_win(self) -> None:
        if self.configuration.quorums.is_phase1(self.votes):
            self.campaign()

    def campaign(self, *, invited: bool = False) -> None:
        """Raise the term, and vote for itself: durable before anybody is asked, so that a restart
        neither uses the term again nor votes for another in it."""
        self.enter_term(self.term + 1)
        self.role, self.votes, self.invited = CANDIDATE, (self.name,), invited
        self.voted_for = self.name
        self.observe("campaign", self.term)
        self.wait_for_leader()
        self.ask_for_votes()
        self.lead_if_elected()

    @on(Timer("ask"))
    def ask_for_votes(self) -> None:
        """Ask those whose vote is missing, again and again: requests get lost."""
        if self.role not in (PRE_CANDIDATE, CANDIDATE):
            return
        last = self.log.last_index
        request: RequestPreVote | RequestVote
        if self.role == PRE_CANDIDATE:
            request = RequestPreVote(self.term + 1, self.name, last, self.term_at(last))
        else:
            last_term = self.term_at(last)
            request = RequestVote(self.term, self.name, last, last_term, self.invited)
        voters = (*self.configuration.voters, *self.configuration.old)
        silent = (server_of(name) for name in voters if name not in self.votes)
        self.broadcast(tuple(s for s in dict.fromkeys(silent) if s != self.id), request)
        self.set_timer("ask", seconds(self.params.heartbeat_s))

    @on(PreVote, paper="dissertation 9.6")
    def count_pre_vote(self, source: str, m: PreVote) -> None:
        if source not in self.servers:
            return
        if m.term > self.term:
            self.step_down(m.term)
        elif self.role == PRE_CANDIDATE and m.granted and m.asked == self.term + 1:
            self.count(m.name)
            self.campaign_if_it_would_win()

    @on(Vote, paper="5.2")
    def count_vote(self, source: str, m: Vote) -> None:
        if source not in self.servers:
            return
        if m.term > self.term:
            self.step_down(m.term)
        elif (
            self.role == CANDIDATE and m.granted and (m.term, m.candidate) == (self.term, self.name)
        ):
            # The candidate is this one, and not an earlier bearer of its address.
            self.count(m.name)
            self.lead_if_elected()

    def count(self, voter: Name) -> None:
        if voter not in self.votes and self.configuration.votes(voter):
            self.votes = (*self.votes, voter)

    def lead_if_elected(self) -> None:
        """A majority of votes; with C_old,new a majority of both. Each server votes once in a term,
        so there is one leader in a term at most (mutant R3)."""
        if self.configuration.quorums.is_phase1(self.votes):
            self.lead()

    # --- voters ----------------------------------------------------------------------------------

    @on(RequestPreVote, paper="dissertation 9.6")
    def consider(self, source: str, m: RequestPreVote) -> None:
        free = m.term > self.term or (m.term == self.term and self.voted_for in ("", m.name))
        granted = free and not self.hears_leader() and self.is_up_to_date(m.last_index, m.last_term)
        self.send(source, PreVote(self.term, m.term, granted, self.name))

    @on(RequestVote, paper="5.2, 5.4.1; dissertation 4.2.3")
    def vote(self, source: str, m: RequestVote) -> None:
        if source not in self.servers:
            return
        if self.params.check_quorum and not m.transfer and self.hears_leader():
            return
        if m.term > self.term:
            self.step_down(m.term)
        # The candidate need not be in the configuration that is known here (section 6).
        granted = (
            m.term == self.term
            and self.voted_for in ("", m.name)
            and self.is_up_to_date(m.last_index, m.last_term)
        )
        if granted:
            self.voted_for = m.name
            self.step_down(m.term)  # as a pre-candidate it would only disturb
            self.wait_for_leader()
        self.send(source, Vote(self.term, m.name, granted, self.name))

    @on(TimeoutNow, paper="dissertation 3.10")
    def take_the_lead(self, source: str, m: TimeoutNow) -> None:
        invited = m.term == self.term and source in self.servers
        if invited and self.role != LEADER and self.may_campaign():
            self.campaign(invited=True)

    # Overridden further up.

    def lead(self) -> None:
        raise NotImplementedError

    def stop_leading(self) -> None:
        raise NotImplementedError

    def forget_early(self) -> None:
        raise NotImplementedError

    @invariant
    def a_leader_has_voted_for_itself(self) -> bool:
        return self.role not in (CANDIDATE, LEADER) or self.voted_for == self.name

    @invariant
    def who_lost_its_memory_only_follows(self) -> bool:
        return not self.recovering or self.role == FOLLOWER
