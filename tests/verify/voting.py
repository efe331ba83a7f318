"""How acceptors may vote so that at most one value is chosen: what Paxos implements.

Lamport's specification `Voting`: each acceptor has cast some votes (ballot, value) and has promised
not to vote below its `promised` ballot. A value is chosen by a quorum that voted for it in one
ballot. Acceptors look at each other's votes and promises directly, as no real ones can; there are
no messages. A vote needs a quorum that shows it to be safe: its members have promised this ballot,
and in the last earlier ballot in which any of them voted, one voted for the same value.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from concur.verify import Model

NEVER = -1


class Ballots(NamedTuple):
    votes: tuple[frozenset[tuple[int, int]], ...]
    """Of each acceptor, (ballot, value)."""
    promised: tuple[int, ...]


class Voting(Model[Ballots]):
    """With `looks_back` off, a bug: acceptors vote for any value in any ballot."""

    def __init__(
        self, acceptors: int = 3, values: int = 2, ballots: int = 3, looks_back: bool = True
    ) -> None:
        self.name = f"voting of {acceptors} acceptors, {values} values, {ballots} ballots"
        self.acceptors = range(acceptors)
        self.values = range(values)
        self.ballots = range(ballots)
        self.quorums = list(combinations(self.acceptors, acceptors // 2 + 1))
        self.looks_back = looks_back

    def initial(self) -> Iterable[Ballots]:
        return [Ballots((frozenset(),) * len(self.acceptors), (NEVER,) * len(self.acceptors))]

    def steps(self, state: Ballots) -> Iterable[tuple[str, Ballots]]:
        votes, promised = state
        for acceptor in self.acceptors:
            name = f"acceptor {acceptor + 1}"
            for ballot in self.ballots:
                promises = with_item(promised, acceptor, ballot)
                if ballot > promised[acceptor]:
                    yield f"{name} promises {ballot}", Ballots(votes, promises)
                for value in self.values:
                    if self.may_vote(state, acceptor, ballot, value):
                        cast = votes[acceptor] | {(ballot, value)}
                        after = Ballots(with_item(votes, acceptor, cast), promises)
                        yield f"{name} votes for {value} in {ballot}", after

    def may_vote(self, state: Ballots, acceptor: int, ballot: int, value: int) -> bool:
        if state.promised[acceptor] > ballot:
            return False
        if any(b == ballot for b, _ in state.votes[acceptor]):
            return False
        if any((ballot, v) in votes for votes in state.votes for v in self.values if v != value):
            return False
        return not self.looks_back or any(
            self.shows_safe(state, quorum, ballot, value) for quorum in self.quorums
        )

    def shows_safe(self, state: Ballots, quorum: tuple[int, ...], ballot: int, value: int) -> bool:
        if any(state.promised[member] < ballot for member in quorum):
            return False
        earlier = [(b, v) for member in quorum for b, v in state.votes[member] if b < ballot]
        return not earlier or max(earlier)[1] == value  # one ballot has votes for one value only

    def broken(self, state: Ballots) -> tuple[str, str] | None:
        chosen = sorted(
            {
                value
                for quorum in self.quorums
                for ballot in self.ballots
                for value in self.values
                if all((ballot, value) in state.votes[member] for member in quorum)
            }
        )
        return ("agreement", f"chosen: {chosen}") if len(chosen) > 1 else None


def with_item(items: tuple, index: int, item: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], item, *items[index + 1 :])
