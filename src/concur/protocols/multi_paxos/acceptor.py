"""Acceptors: promises and votes, the durable state on which safety rests (PMS 2.2)."""

from functools import cached_property
from typing import TYPE_CHECKING

from concur.node import durable, invariant, on
from concur.parts.reads import QuorumReads
from concur.parts.transfer import Snapshots
from concur.protocols.multi_paxos.messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Nack,
    Prepare,
    Promise,
    Value,
    Vote,
)
from concur.quorums import QuorumSystem
from concur.values import Map

if TYPE_CHECKING:
    from concur.protocols.multi_paxos import MultiPaxos  # noqa: F401 - named in quotes

FOLLOWING, CAMPAIGNING, LEADING = "following", "campaigning", "leading"

UNBORN = -1
"""`born` of a disk on which nothing was ever written."""

MESSAGE_COMMANDS_MAX = 1024
"""Commands (and slots) in one Promise or Learn; the rest is asked for."""

MESSAGE_BYTES_MAX = 1 << 20
"""Bytes of commands after which one of them ends."""


class Acceptor(Snapshots["MultiPaxos"], QuorumReads["MultiPaxos"]):
    """What an acceptor remembers, and the two questions that it answers."""

    # Must survive a crash: whoever counted a promise or a vote relies on it for ever.
    promised: Ballot = durable(NO_BALLOT)
    votes: Map[int, Vote] = durable(Map())
    recovering: bool = durable(False)  # lost its disk, and casts no vote: recovery.py
    born: int = durable(UNBORN)
    reborn: Map[str, int] = durable(Map())

    # May be forgotten.
    phase: str = FOLLOWING
    following: Ballot = NO_BALLOT  # the highest ballot of which a leader was heard
    committed: int = 0  # every slot up to it is chosen, and executed here
    compacted: int = 0  # votes up to this slot may be gone
    top_vote: int = 0  # the highest slot with a vote

    @cached_property
    def quorums(self) -> QuorumSystem:
        return self.params.quorums(self.config.members)

    @cached_property
    def others(self) -> tuple[str, ...]:
        return tuple(m for m in self.config.members if m != self.id)

    @on(Prepare, paper="PMS 2.2 1(b); 3, for all slots at once")
    def promise(self, source: str, m: Prepare) -> None:
        if self.recovering or source not in self.config.members:
            return
        if m.ballot < self.promised:
            self.send(source, Nack(self.promised))
            return
        self.promised = m.ballot
        self.note_rebirths(m.reborn)
        self.step_aside(m.ballot)
        # In parts, if there is much. The votes below m.ballot cannot change between two parts, for
        # the promise is given before the first: parts add up to one honest answer.
        slot, size, length = max(m.slot, self.compacted + 1), 0, 0
        found = []
        while slot <= self.top_vote and size < MESSAGE_COMMANDS_MAX and length < MESSAGE_BYTES_MAX:
            vote = self.votes.get(slot)
            if vote is not None:
                found.append((slot, vote))
                size += 1 + len(vote.value)
                length += sum([len(command.body) for command in vote.value])
            slot += 1
        rest = slot if slot <= self.top_vote else 0
        self.send(
            source,
            Promise(
                m.ballot, m.slot, tuple(found), rest, self.compacted, self.born, self.reborn
            ),
        )  # fmt: skip

    @on(Accept, paper="PMS 2.2 2(b)")
    def accept(self, source: str, m: Accept) -> None:
        if source not in self.config.members:
            return
        if self.recovering:
            self.follow(m.ballot)
        elif m.ballot < self.promised:
            self.send(source, Nack(self.promised))
            return
        else:
            if m.ballot != self.following:
                self.follow(m.ballot)
            self.keep_promise(m.ballot)
            if not self.vote(m.ballot, m.slot, m.value):
                return
            self.send(source, Accepted(m.ballot, m.slot))
        if m.committed > self.committed:
            self.hear(m.ballot, m.committed)

    def keep_promise(self, ballot: Ballot) -> None:
        """Voting in a ballot promises it: else a lower one could still be voted for afterwards,
        behind the back of a proposer that saw this vote (mutant P1)."""
        if ballot != self.promised:
            self.promised = ballot

    def vote(self, ballot: Ballot, slot: int, value: Value) -> bool:
        """Remember a vote; False if there is no room for it."""
        if slot <= self.compacted:
            # Known to be chosen, so `value` is what was chosen. Every later proposer is told that
            # this slot is behind us, which is as good as showing it the vote.
            return True
        votes = self.votes
        if len(votes) >= self.params.log_entries_max and slot not in votes:
            self.observe("log_full")
            return False
        self.votes = votes.put(slot, Vote(ballot, value))
        if slot > self.top_vote:
            self.top_vote = slot
        return True

    # Overridden further up.

    def step_aside(self, ballot: Ballot) -> None:
        raise NotImplementedError

    def follow(self, ballot: Ballot) -> None:
        raise NotImplementedError

    def hear(self, ballot: Ballot, committed: int) -> None:
        raise NotImplementedError

    def note_rebirths(self, reborn: Map[str, int]) -> None:
        raise NotImplementedError

    @invariant
    def votes_never_exceed_the_promise(self) -> bool:
        # The newest slot stands for all of them: this runs after every step.
        vote = self.votes.get(self.top_vote)
        return vote is None or vote.ballot <= self.promised

    @invariant
    def a_replica_that_lost_its_memory_promises_nothing(self) -> bool:
        return not self.recovering or (self.promised == NO_BALLOT and self.phase == FOLLOWING)
