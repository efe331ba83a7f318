"""Single-decree Paxos, broken on purpose, and changed without harm: for the model checker.

The numbers are those of the known-bug corpus that the project keeps. No campaign hunts these: the
same bugs of Multi-Paxos are hunted, and here exhaustive search finds the shortest story.
"""

from typing import ClassVar

from concur.base import Role
from concur.messages import Command
from concur.node import on
from concur.protocols.paxos import NEVER, Ballot, Paxos, Prepare, Promise, Replica, Vote


class Changed(Paxos):
    """Paxos with another replica."""

    name = "changed-paxos"
    replica: ClassVar[type[Replica]] = Replica

    def roles(self) -> tuple[Role, ...]:
        _, client = super().roles()
        return Role("replica", self.replica, "r"), client


class VotesWithoutPromise(Replica):
    # The rule that it breaks is a local property, which would tell at once.
    every_vote_is_covered_by_a_promise = None  # type: ignore[assignment]

    def cast_vote(self, ballot: Ballot, value: Command) -> None:
        self.vote = Vote(ballot, value)


class PaxosP1(Changed):
    """An acceptor that votes does not raise its promise ("Paxos Made Simple" read literally)."""

    name = "mutant-paxos-p1"
    replica = VotesWithoutPromise


class TakesTheMostCommon(Replica):
    def safe_value(self) -> Command | None:
        values = [vote.value for vote in self.promises.values() if vote is not None]
        if not values:
            return super().safe_value()
        return max(values, key=values.count)


class PaxosP2(Changed):
    """A proposer takes the value that most acceptors report, not the one of the highest ballot."""

    name = "mutant-paxos-p2-most-common"
    replica = TakesTheMostCommon


class ReportsItsPromise(Replica):
    @on(Prepare, paper="2.2 1(b)")
    def promise(self, source: str, m: Prepare) -> None:
        vote, promised = self.vote, self.promised
        if vote is None or m.ballot <= promised:
            super().promise(source, m)
            return
        self.promised = m.ballot
        self.send(source, Promise(m.ballot, Vote(promised, vote.value)))


class PaxosP2Promise(Changed):
    """An acceptor reports its vote with what it has promised since, not with its ballot."""

    name = "mutant-paxos-p2-highest-promise"
    replica = ReportsItsPromise


class HalfIsEnough(Replica):
    def enough_promises(self) -> bool:
        return 2 * len(self.promises) >= len(self.config.members)

    def enough_votes(self) -> bool:
        return 2 * len(self.votes) >= len(self.config.members)


class PaxosP3(Changed):
    """Quorums of which two need not meet: Q1 + Q2 = N, with 4 replicas."""

    name = "mutant-paxos-p3"
    replica = HalfIsEnough


class BeginsAnew(Replica):
    # Its promise among them: an acceptor that kept that would refuse its own old ballots.
    promised: Ballot = NEVER
    tried: int = 0


class PaxosP7(Changed):
    """Ballots are not persisted: after a restart, those used before are used again."""

    name = "mutant-paxos-p7"
    replica = BeginsAnew


class SkipsBallots(Replica):
    def prepare(self) -> None:
        self.heard = max(self.tried, self.heard) + 1
        super().prepare()


class PaxosSkipsBallots(Changed):
    """Benign: of all ballots, every other one is never used."""

    name = "paxos-skips-ballots"
    replica = SkipsBallots


class AsksForMore(Replica):
    def enough_votes(self) -> bool:
        return len(self.votes) == len(self.config.members)


class PaxosUnanimous(Changed):
    """Benign: chosen is what all have voted for, which takes longer and is never wrong."""

    name = "paxos-unanimous"
    replica = AsksForMore
