"""Agreement, validity and progress through bad days; and that broken variants would be noticed."""

import pytest

from concur.effects import Start, Timer
from concur.messages import Command
from concur.node import Node
from concur.protocols.paxos import NEVER, VOTER, Accept, Ballot, Prepare, Promise, Replica, Vote
from tests.protocols.paxos.scheduler import Broken, play
from tests.protocols.paxos.test_paper import WANT_V, WANT_W, Driver, V, W


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_one_value_is_chosen_whatever_happens_and_everybody_gets_an_answer(replicas: int) -> None:
    chosen = 0
    for seed in range(60):
        wipes = (replicas - 1) // 2 if seed % 2 else 0
        cluster = play(seed, replicas=replicas, clients=2 + seed % 2, wipes=wipes)
        cluster.heal(600)
        assert not cluster.pending, f"seed {seed}: {cluster.pending}"
        chosen += cluster.chosen is not None
    assert chosen > 40


def test_the_same_seed_is_the_same_day() -> None:
    one, other = play(7, wipes=1), play(7, wipes=1)
    assert one.outcomes == other.outcomes
    assert one.network == other.network
    assert {n: node.snapshot() for n, node in one.nodes.items()} == {
        n: node.snapshot() for n, node in other.nodes.items()
    }


class AnyPromises(Replica):
    def enough_promises(self) -> bool:
        return True


class AnyVotes(Replica):
    def enough_votes(self) -> bool:
        return True


class OwnValue(Replica):
    def safe_value(self) -> Command | None:
        own = next((w.wish.command for w in self.waiting if w.wish.command is not None), None)
        return own or super().safe_value()


class VotesAfterLosingItsDisk(Replica):
    def start(self, event: Start) -> None:
        super().start(event)
        self.standing = VOTER


@pytest.mark.parametrize("mutant", [AnyPromises, AnyVotes, OwnValue, VotesAfterLosingItsDisk])
def test_random_days_find_what_is_wrong_with(mutant: type[Replica]) -> None:
    def campaign() -> None:
        for seed in range(300):
            play(seed, kind=mutant, wipes=1)

    with pytest.raises(Broken):
        campaign()


class VoteIsNoPromise(Replica):
    """Mutant P1: section 2.2 read literally."""

    every_vote_is_covered_by_a_promise = None  # type: ignore[assignment]

    def cast_vote(self, ballot: Ballot, value: Command) -> None:
        self.vote = Vote(ballot, value)


def value_proposed_after_a_choice_and_a_late_accept(kind: type[Replica]) -> Command | None:
    """r2 and r3 choose W in ballot 2; an Accept of ballot 1 comes late; then r1 proposes again."""
    r1, r2, r3 = (Driver(name, kind) for name in ("r1", "r2", "r3"))
    r1.hear("c1", WANT_V)
    r2.hear("r1", Prepare((1, "r1")))  # its promise is what r1 begins phase 2 with
    r1.hear("r3", Prepare((2, "r3")))  # so that r1 itself votes for nothing below
    late = [m for m in r1.hear("r2", Promise((1, "r1"), None)) if isinstance(m, Accept)]
    assert late == [Accept((1, "r1"), V)]
    for driver in (r3, r2):
        driver.hear("r3", Accept((2, "r3"), W))  # a majority: W is chosen
    r2.hear("r1", late[0])
    r1.node.heard = 2
    r1.step(Timer("ballot"))
    for promise in r2.hear("r1", Prepare((3, "r1"))):
        r1.hear("r2", promise)
    return r1.node.proposal


def test_an_acceptor_whose_vote_is_no_promise_lets_two_values_be_chosen() -> None:
    assert value_proposed_after_a_choice_and_a_late_accept(Replica) == W
    assert value_proposed_after_a_choice_and_a_late_accept(VoteIsNoPromise) == V


class ForgetsBallots(Replica):
    """Mutant P7: ballots are not on disk. (`tried` alone may be lost here: the acceptor of the same
    replica has promised, and voted in, whatever its proposer tries.)"""

    tried: int = 0
    promised: Ballot = NEVER
    every_vote_is_covered_by_a_promise = None  # type: ignore[assignment]


def values_proposed_in_one_ballot(kind: type[Replica]) -> set[Command]:
    """r1 proposes V with r2's promise, crashes before it votes itself, and comes back for W."""
    r1 = Driver("r1", kind)
    proposed: set[Command] = set()
    ballots = set()
    for wish, lost_vote in ((WANT_V, True), (WANT_W, False)):
        r1.hear(wish.session, wish)
        ballot = r1.node.ballot
        if ballot is None:
            return set()  # its own acceptor has refused
        ballots.add(ballot)
        if lost_vote:  # r3's higher ballot keeps r1 from voting for its own proposal
            r1.hear("r3", Prepare((ballot[0], "r3")))
        for source in ("r2", "r3"):
            said = r1.hear(source, Promise(ballot, None))
            proposed |= {m.value for m in said if isinstance(m, Accept)}
        r1.begin("restart")
    return proposed if len(ballots) == 1 else set()


def test_a_proposer_that_forgets_its_ballots_proposes_two_values_in_one() -> None:
    assert values_proposed_in_one_ballot(Replica) == set()
    assert values_proposed_in_one_ballot(ForgetsBallots) == {V, W}


def test_mutants_are_small_subclasses_that_keep_the_handlers() -> None:
    for mutant in (AnyVotes, OwnValue, VoteIsNoPromise, ForgetsBallots):
        assert issubclass(mutant, Node)
        assert set(mutant._messages) == set(Replica._messages)
