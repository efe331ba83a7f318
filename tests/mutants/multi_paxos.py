"""Multi-Paxos, broken on purpose. Each mutant changes one thing that the safety argument needs.

The numbers are those of the known-bug corpus that the project keeps.
"""

from typing import Any

from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.multi_paxos.messages import NO_BALLOT, Ballot, Vote
from concur.protocols.multi_paxos.recovery import Replica
from concur.testing.unsafe import release_out_of_order, send_before_durable
from tests.mutants.base import HASTY, SAFETY, Mutant


class ForgetsToPromiseOnAccept(Replica):
    def keep_promise(self, ballot: Ballot) -> None:
        pass


class P1(MultiPaxos):
    """An acceptor that votes does not raise its promise ("Paxos Made Simple" read literally)."""

    name = "mutant-p1"
    replica = ForgetsToPromiseOnAccept


class TakesAnyVote(Replica):
    def highest(self, known: Vote, found: Vote) -> Vote:
        return known


class P2(MultiPaxos):
    """A new leader takes the vote that it hears of first, not the one of the highest ballot."""

    name = "mutant-p2"
    replica = TakesAnyVote


class HalfIsEnough(Replica):
    def wins(self, acceptors: tuple[str, ...]) -> bool:
        return 2 * len(acceptors) >= len(self.config.members)

    def chooses(self, acceptors: tuple[str, ...]) -> bool:
        return 2 * len(acceptors) >= len(self.config.members)


class P3(MultiPaxos):
    """Quorums of which two need not meet: Q1 + Q2 = N, with 4 replicas."""

    name = "mutant-p3"
    replica = HalfIsEnough


class BeginsAnew(Replica):
    # Its own ballot among them: a proposer promises itself. It would not do to forget that alone,
    # because a leader's own votes are durable before anybody hears of its proposals.
    promised: Ballot = NO_BALLOT


class P7(MultiPaxos):
    """Ballots are not persisted: after a restart, those used before are used again."""

    name = "mutant-p7"
    replica = BeginsAnew


class VotesAtOnce(Replica):
    def lose_memory(self, incarnation: int) -> None:
        self.born = 0
        self.observe("recovered", 0)


class WipedVotesAtOnce(MultiPaxos):
    """A replica that lost its disk is an acceptor again at once, with nothing promised."""

    name = "mutant-wiped-votes-at-once"
    replica = VotesAtOnce


@send_before_durable
class Hasty(Replica):
    pass


class SendsBeforeSync(MultiPaxos):
    """Promises and votes leave while the disk is still writing them."""

    name = "mutant-sends-before-sync"
    replica = Hasty


@release_out_of_order
class Overtaking(Replica):
    pass


class PromiseOvertakesSync(MultiPaxos):
    """The answer to a repeated Prepare persists nothing, and so does not wait for any sync."""

    name = "mutant-promise-overtakes-sync"
    replica = Overtaking


PROMISE = ("votes_never_exceed_the_promise",)
"""A local property of acceptors, evaluated after every step, in a real cluster too."""
ALL_VOTE: dict[str, Any] = {
    "phase1_quorum": 1, "phase2_quorum": 3, "resend_s": 0.05, **HASTY,
}  # fmt: skip
"""A command needs every vote, and a leader only its own: nobody else makes up for a lost vote."""

WHOLE = MultiPaxos()
VOTING = MultiPaxos(**ALL_VOTE)

MULTI_PAXOS_MUTANTS: tuple[Mutant, ...] = (
    Mutant(P1(), 3, PROMISE + SAFETY, 2, WHOLE),
    Mutant(P2(), 3, SAFETY, 57, WHOLE),
    Mutant(P3(), 4, SAFETY, 4, WHOLE),
    Mutant(P7(), 3, PROMISE + SAFETY, 0, WHOLE),
    Mutant(WipedVotesAtOnce(), 3, SAFETY, 4, WHOLE),
    Mutant(SendsBeforeSync(**ALL_VOTE), 3, SAFETY, 41, VOTING),
    Mutant(PromiseOvertakesSync(**ALL_VOTE), 3, SAFETY, 493, VOTING),
)
