"""Proposers: elections, the steady state of a leader, and its reads (PMS 2.2, 2.4 and 3)."""

import msgspec

from concur.effects import Timer
from concur.messages import Command
from concur.node import invariant, on, seconds
from concur.parts.client import NotLeader
from concur.protocols.multi_paxos.acceptor import CAMPAIGNING, FOLLOWING, LEADING
from concur.protocols.multi_paxos.learner import Learner
from concur.protocols.multi_paxos.messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Heartbeat,
    HeartbeatAck,
    Nack,
    Prepare,
    Promise,
    Value,
    Vote,
)
from concur.values import Map, Set

INHERITED_MAX = 256
"""Slots of earlier ballots under way at a time. After a blackout these are all since the last
snapshot, which a short pipeline would take long to choose again."""

RESEND_MAX = 64
"""Slots that are sent again at a time."""

BACK_OFF_MAX = 4
"""How many times longer than usual a candidate waits that fails again and again."""


class Promised(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far an acceptor's promise has come in: the next part is to start at `next`."""

    born: int
    next: int
    done: bool


class Proposal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A slot under way: what is proposed, for whom, and who voted for it."""

    value: Value
    clients: tuple[str, ...]
    acks: tuple[str, ...]
    chosen: bool


class Proposer(Learner):
    """Campaigns when no leader is heard; leads when a phase-1 quorum has promised."""

    ballot: Ballot = NO_BALLOT
    seen: Ballot = NO_BALLOT  # the highest ballot heard of, so that the next one is higher
    asked_from: int = 0
    vouched: Map[str, int] = Map()  # rebirths known to all who promised this ballot
    promises: Map[str, Promised] = Map()
    inherited: Map[int, Vote] = Map()
    top: int = 0  # the last slot that phase 1 found a vote in

    next_slot: int = 1
    proposals: Map[int, Proposal] = Map()
    resend_mark: int = 0

    heard: Set[str] = Set()
    heard_before: Set[str] = Set()

    # --- what mutants break ----------------------------------------------------------------------

    def next_ballot(self) -> Ballot:
        """A ballot never used before: the self-promise made in the step that first says it is
        durable before it leaves, so that a restart begins above it (mutant P7)."""
        return max(self.promised, self.seen)[0] + 1, self.id

    def highest(self, known: Vote, found: Vote) -> Vote:
        """The vote of the highest ballot binds a proposer, and nothing else does (mutant P2)."""
        if known.chosen or found.chosen:
            return known if known.chosen else found
        return found if found.ballot > known.ballot else known

    def wins(self, acceptors: tuple[str, ...]) -> bool:
        """Whether these have elected: a phase-1 quorum meets every phase-2 quorum (mutant P3)."""
        return self.quorums.is_phase1(acceptors)

    def chooses(self, acceptors: tuple[str, ...]) -> bool:
        """Whether the votes of these choose. Votes from non-members do not count (mutant P6)."""
        return self.quorums.is_phase2(acceptors)

    # --- phase 1: elections ----------------------------------------------------------------------

    def wait_for_leader(self) -> None:
        """(Re)start the election timer, longer after failures, so that duels end (PMS 2.4)."""
        if self.recovering:
            return
        low_s, high_s = self.params.election_timeout_s
        patience = min(1 + self.failures, BACK_OFF_MAX)
        self.set_timer("election", self.jitter(low_s * patience, high_s * patience))

    @on(Timer("election"), paper="PMS 2.2 1(a)")
    def campaign(self) -> None:
        """No leader was heard for a while, or the last attempt failed."""
        if self.recovering:
            return
        if self.phase == LEADING:
            self._stop_leading()
        self.failures += 1
        self.phase, self.leader = CAMPAIGNING, ""
        self.ballot = self.next_ballot()
        self.asked_from = self.committed + 1
        self.vouched = self.reborn
        self.promises, self.inherited = Map(), Map()
        self.observe("campaign", self.ballot)
        prepare = Prepare(self.ballot, self.asked_from, self.vouched)
        self.broadcast(self.others, prepare)
        self.set_timer("prepare", seconds(self.params.resend_s))
        self.wait_for_leader()
        self.send(self.id, prepare)

    @on(Timer("prepare"))
    def prepare_again(self) -> None:
        """Ask those who have not promised, from where their answers stopped."""
        if self.phase != CAMPAIGNING:
            return
        for acceptor in self.others:
            self.ask_promise(acceptor)
        self.set_timer("prepare", seconds(self.params.resend_s))

    def ask_promise(self, acceptor: str) -> None:
        got = self.promises.get(acceptor)
        if got is None or not got.done:
            first = self.asked_from if got is None else got.next
            self.send(acceptor, Prepare(self.ballot, first, self.vouched))

    @on(Promise, paper="PMS 2.2 2(a)")
    def count_promise(self, source: str, m: Promise) -> None:
        if source not in self.config.members:
            return
        self.note_rebirths(m.reborn)
        self.note_rebirths(Map({source: m.born}))
        if m.ballot != self.ballot or self.phase == FOLLOWING:
            return
        if self.phase == LEADING:  # too late to elect, but good to know: recovery.py
            self.promises = self.promises.put(source, Promised(m.born, 0, True))
            return
        got = self.promises.get(source)
        if got is None or got.born < m.born:
            got = Promised(m.born, self.asked_from, False)
        if got.done or m.slot != got.next or m.born < got.born:
            return  # doubled, late, or of an earlier campaign
        if m.compacted >= m.slot:
            # Chosen slots that we lack and that nobody may remember as votes: catch up first.
            self.step_down()
            self.fetch_snapshot(source)
            return
        for slot, vote in m.votes:
            known = self.inherited.get(slot)
            vote = vote if known is None else self.highest(known, vote)
            self.inherited = self.inherited.put(slot, vote)
        self.promises = self.promises.put(source, Promised(m.born, m.next, m.next == 0))
        if m.next:
            self.ask_promise(source)
        elif self.wins(self.promisers()):
            self.lead()

    def promisers(self) -> tuple[str, ...]:
        """Those whose promise counts: whole, and not of a memory since lost (recovery.py)."""
        return tuple(
            acceptor
            for acceptor, got in self.promises.items()
            if got.done and got.born >= self.reborn.get(acceptor, 0)
        )

    def lead(self) -> None:
        self.phase, self.leader, self.following = LEADING, self.id, self.ballot
        self.failures = 0
        self.cancel_timer("election")
        self.cancel_timer("prepare")
        self.observe("leader", self.ballot)
        slots = self.inherited.keys()
        self.top = max(slots[-1] if slots else 0, self.committed)
        self.next_slot = self.committed + 1
        self.proposals = Map()
        self.resend_mark = 0
        # Whoever promised is alive.
        self.heard = self.heard_before = Set(self.promisers())
        self.renew_reads()
        self.set_timer("resend", seconds(self.params.resend_s))
        self.set_timer("quorum", seconds(self.params.election_timeout_s[1]))
        self.beat()
        self.propose_inherited()

    @on(Nack)
    def step_aside_if_refused(self, source: str, m: Nack) -> None:
        if source in self.config.members:
            self.step_aside(m.ballot)

    def step_aside(self, ballot: Ballot) -> None:
        """Somebody uses `ballot`: leave the field to it if it is higher than ours."""
        if ballot > self.seen:
            self.seen = ballot
        if ballot > self.ballot and self.phase != FOLLOWING:
            self.step_down()
        elif self.phase == FOLLOWING:
            self.wait_for_leader()

    def step_down(self) -> None:
        """Follow whoever leads. What was under way may or may not be chosen: clients ask again."""
        if self.phase == LEADING:
            self.observe("stepped_down", self.ballot)
            self._stop_leading()
        self.phase = FOLLOWING
        self.leader = self.following[1] if self.following > self.ballot else ""
        self.cancel_timer("prepare")
        self.send_elsewhere()
        self.refuse_reads()
        self.wait_for_leader()

    def _stop_leading(self) -> None:
        for name in ("heartbeat", "resend", "quorum"):
            self.cancel_timer(name)
        for proposal in self.proposals.values():
            for client, command in zip(proposal.clients, proposal.value, strict=False):
                self.send(client, NotLeader(command.session, command.seq, ""))
        self.proposals = Map()

    # --- phase 2: the steady state ---------------------------------------------------------------

    def leads(self) -> bool:
        return self.phase == LEADING

    def has_room(self) -> bool:
        return self.next_slot > self.top and self._may_propose(self.params.pipeline_max)

    def _may_propose(self, window: int) -> bool:
        return (
            self.phase == LEADING
            and self.next_slot - self.committed <= window
            # What it has voted for already, and inherits, takes no more room.
            and (len(self.votes) < self.params.log_entries_max or self.next_slot in self.votes)
        )

    def is_under_way(self, command: Command) -> bool:
        return any(p.clients and command in p.value for p in self.proposals.values())

    def propose_inherited(self) -> None:
        """Finish what earlier ballots may have chosen; fill the gaps with no-ops (PMS 3)."""
        while self.next_slot <= self.top and self._may_propose(INHERITED_MAX):
            vote = self.inherited.get(self.next_slot)
            self.propose((), vote.value if vote is not None else ())
        if self.next_slot > self.top:
            self.inherited = Map()

    def propose(self, clients: tuple[str, ...], batch: Value) -> None:
        """PMS 2.2 2(a). The leader votes first; it has promised nothing above its own ballot."""
        slot = self.next_slot
        self.next_slot = slot + 1
        self.broadcast(self.others, Accept(self.ballot, slot, batch, self.committed))
        self.vote(self.ballot, slot, batch)
        alone = self.quorums.phase2_size == 1
        self.proposals = self.proposals.put(slot, Proposal(batch, clients, (self.id,), alone))
        if alone:
            self.advance()

    @on(Accepted, paper="PMS 2.3")
    def count_vote(self, source: str, m: Accepted) -> None:
        if m.ballot != self.ballot or self.phase != LEADING:
            return
        proposal = self.proposals.get(m.slot)
        if proposal is None or proposal.chosen or source in proposal.acks:
            return
        acks = (*proposal.acks, source)
        chosen = self.chooses(acks)
        self.proposals = self.proposals.put(
            m.slot, Proposal(proposal.value, proposal.clients, acks, chosen)
        )
        if chosen and m.slot == self.committed + 1:
            self.advance()
            if self.next_slot <= self.top:
                self.propose_inherited()
            if self.reads:
                self.serve_reads()

    def advance(self) -> None:
        """Execute what is chosen, up to the first slot that is not."""
        while (proposal := self.proposals.get(self.committed + 1)) and proposal.chosen:
            self.proposals = self.proposals.remove(self.committed + 1)
            self.execute_slot(proposal.value, proposal.clients)
        self.known = max(self.known, self.committed)

    @on(Timer("resend"))
    def resend(self) -> None:
        """Ask again those who have not voted for slots that were under way at the last look."""
        last = min(self.resend_mark, self.committed + RESEND_MAX)
        for slot in range(self.committed + 1, last + 1):
            proposal = self.proposals.get(slot)
            if proposal is not None and not proposal.chosen:
                silent = tuple(m for m in self.others if m not in proposal.acks)
                accept = Accept(self.ballot, slot, proposal.value, self.committed)
                self.broadcast(silent, accept)
        self.resend_mark = self.next_slot - 1
        self.propose_inherited()
        self.set_timer("resend", seconds(self.params.resend_s))

    # --- heartbeats, and whether anybody still listens -------------------------------------------

    @on(Timer("heartbeat"))
    def beat(self) -> None:
        self.begin_round()
        self.set_timer("heartbeat", seconds(self.params.heartbeat_s))

    def send_round(self) -> None:
        self.broadcast(self.others, Heartbeat(self.ballot, self.committed, self.round))

    @on(HeartbeatAck)
    def hear_ack(self, source: str, m: HeartbeatAck) -> None:
        if m.ballot != self.ballot or self.phase != LEADING or source not in self.config.members:
            return
        self.heard = self.heard.add(source)
        self.hear_round(source, m.round)

    @on(Timer("quorum"))
    def check_quorum(self) -> None:
        """A leader that no phase-2 quorum answers can do nothing for its clients: let them go."""
        if not self.chooses((*self.heard.discard(self.id), self.id)):
            self.step_down()
            return
        self.heard_before, self.heard = self.heard, Set()
        self.set_timer("quorum", seconds(self.params.election_timeout_s[1]))

    # --- reads (concur.parts.reads) ---------------------------------------------------------------

    def read_index(self) -> int:
        """What must be executed for a read that comes at time t.

        Let w be a command that completed before t, chosen by a leader of ballot c; this replica
        leads ballot b. If c < b, then w is in a slot up to `top`, where phase 1 of b found it. If
        c = b, this replica counted the votes and has executed w. If c > b: a phase-1 quorum had
        promised c before t. But a phase-2 quorum acknowledges a heartbeat sent after t, each member
        at a time when it had promised nothing above b. The two quorums share a member (Q1 + Q2 > N,
        all that flexible quorums ask for), and promises only grow: a contradiction.
        """
        return max(self.top, self.committed)

    def executed_index(self) -> int:
        return self.committed

    def is_read_quorum(self, replicas: tuple[str, ...]) -> bool:
        return self.quorums.is_phase2(replicas)

    @invariant
    def a_leader_has_promised_its_own_ballot(self) -> bool:
        return self.phase != LEADING or self.promised == self.ballot
