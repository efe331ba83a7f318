"""Learners: executing what is chosen, in order, and catching up with it (PMS 2.3)."""

from concur.effects import Snapshot, Timer
from concur.logs import Mark
from concur.messages import Command
from concur.node import invariant, on, seconds
from concur.parts.client import Reply
from concur.protocols.multi_paxos.acceptor import (
    FOLLOWING,
    MESSAGE_BYTES_MAX,
    MESSAGE_COMMANDS_MAX,
    Acceptor,
)
from concur.protocols.multi_paxos.messages import (
    NO_BALLOT,
    Ballot,
    Heartbeat,
    HeartbeatAck,
    Learn,
    LearnRequest,
    Nack,
    Value,
    Vote,
)


class Learner(Acceptor):
    """Executes slots as it hears that they are chosen, and asks for those that it missed."""

    known: int = 0  # slots up to it are chosen, though maybe not executed here yet
    failures: int = 0  # elections lost since a leader was last heard
    catching_up: bool = False

    @on(Heartbeat)
    def hear_heartbeat(self, source: str, m: Heartbeat) -> None:
        if source not in self.config.members:
            return
        if not self.recovering:
            if m.ballot < self.promised or m.ballot < self.following:
                self.send(source, Nack(max(self.promised, self.following)))
                return
            self.send(source, HeartbeatAck(m.ballot, m.round))
        self.follow(m.ballot)
        self.wait_for_leader()
        if m.committed > self.committed:
            self.hear(m.ballot, m.committed)

    def follow(self, ballot: Ballot) -> None:
        """The proposer of `ballot` leads, as far as anybody here knows."""
        if ballot > self.following:
            self.following = ballot
            self.leader = ballot[1]
            self.failures = 0
            self.step_aside(ballot)

    def hear(self, ballot: Ballot, committed: int) -> None:
        """The leader of `ballot` says that slots up to `committed` are chosen.

        A vote of this replica is executed only if it was cast in that same `ballot`. Such a vote
        is for what was chosen: a leader proposes one value for a slot, in slots above those that
        it knows to be chosen when it begins, and while it leads it learns from nobody, it only
        counts votes for its own proposals. So if it proposed for a slot up to `committed`, its
        proposal is what was chosen there. A vote of an older ballot may be for a value that lost:
        the slot is asked for instead.
        """
        while self.committed < committed:
            vote = self.votes.get(self.committed + 1)
            if vote is None or not (vote.ballot == ballot or vote.chosen):
                break
            self.execute_slot(vote.value)
        if committed > self.known:
            self.known = committed
        if self.committed < committed and not self.catching_up:
            # Perhaps it is only late, on a network that reorders: wait a moment.
            self.catching_up = True
            self.set_timer("catch-up", seconds(self.params.heartbeat_s))
        if self.recovering:
            self.progressed()

    def execute_slot(self, value: Value, clients: tuple[str, ...] = ()) -> None:
        """Execute the batch of the next slot; answer `clients` if this replica proposed it."""
        self.committed += 1
        before = self.executed
        for at, command in enumerate(value):
            result = self.execute(command)
            self.decide(self.executed, command)
            if clients:
                self.answer(clients[at], command, result)
        # At places which the log alone decides, so that replicas take the same snapshots.
        every = self.params.snapshot_every
        if self.executed // every != before // every or self.committed % every == 0:
            self.take_snapshot((self.committed, ""))

    def answer(self, client: str, command: Command, result: bytes | None) -> None:
        self.send(client, Reply(command.session, command.seq, result))

    # --- catching up -----------------------------------------------------------------------------

    @on(Timer("catch-up"))
    def catch_up(self) -> None:
        """Ask the leader for what is missing, again and again while something is."""
        if self.committed >= self.known or self.phase != FOLLOWING:
            self.catching_up = False
            return
        source = self.leader if self.leader in self.others else self.choose(self.others)
        self.send(source, LearnRequest(self.committed + 1))
        self.set_timer("catch-up", seconds(self.params.resend_s))

    @on(LearnRequest)
    def teach(self, source: str, m: LearnRequest) -> None:
        """Whoever has executed a slot may say what was chosen there."""
        slot, size, length = m.slot, 0, 0
        if slot <= self.compacted:
            self.offer_snapshot(source)
            return
        values = []
        while slot <= self.committed and size < MESSAGE_COMMANDS_MAX and length < MESSAGE_BYTES_MAX:
            # A vote in a slot that was executed here is for the value that was executed: learned
            # values overwrite votes (below), and later ballots can only vote for the same value.
            value = self.votes[slot].value
            values.append(value)
            size += 1 + len(value)
            length += sum([len(command.body) for command in value])
            slot += 1
        if values:
            self.send(source, Learn(m.slot, tuple(values), self.committed))

    @on(Learn, paper="PMS 2.3")
    def learn(self, source: str, m: Learn) -> None:
        skip = self.committed + 1 - m.slot
        if self.phase != FOLLOWING or source not in self.config.members:
            return  # a leader learns from nobody: `hear` relies on it
        if not 0 <= skip < len(m.values) or len(self.votes) >= self.params.log_entries_max:
            return
        # The chosen value may take the place of an older vote of ours: no ballot can ever choose
        # another one, so a proposer that is shown it, marked, must propose it, and is right to.
        first, values = self.committed + 1, m.values[skip:]
        self.votes = self.votes.update(
            (first + at, Vote(NO_BALLOT, value, True)) for at, value in enumerate(values)
        )
        self.top_vote = max(self.top_vote, self.committed + len(values))
        for value in values:
            self.execute_slot(value)
        self.observe("caught_up", len(values))
        self.known = max(self.known, m.committed)
        if self.committed < self.known:
            self.catching_up = True
            self.send(source, LearnRequest(self.committed + 1))
            self.set_timer("catch-up", seconds(self.params.resend_s))
        self.progressed()

    # --- snapshots (PML 5.4) ---------------------------------------------------------------------

    def executed_mark(self) -> Mark | None:
        return self.committed, ""

    def is_ahead(self, index: int, mark: Mark) -> bool:
        return self.phase == FOLLOWING and mark[0] > self.committed

    def take_over(self, snapshot: Snapshot) -> None:
        self.committed = self.compacted = snapshot.mark[0]
        self.known = max(self.known, self.committed)
        if self.committed < self.known:
            self.catching_up = True
            self.set_timer("catch-up", 0)

    def cut_log(self, snapshot: Snapshot) -> None:
        """Forget votes that the saved snapshot covers, but for some that laggards may ask for."""
        last = snapshot.mark[0]
        upto = min(max(last - self.params.lag_max, self.compacted), last)
        self.votes = self.votes.without([slot for slot in self.votes if slot <= upto])
        self.compacted = max(self.compacted, upto)
        self.observe("log_cut", upto)
        self.progressed()

    # Overridden further up.

    def progressed(self) -> None:
        raise NotImplementedError

    def wait_for_leader(self) -> None:
        raise NotImplementedError

    @invariant
    def nothing_is_executed_beyond_the_commit_point(self) -> bool:
        return self.compacted <= self.committed <= self.known

    @invariant
    def logs_stay_under_their_limit(self) -> bool:
        return len(self.votes) < self.params.log_entries_max + MESSAGE_COMMANDS_MAX
