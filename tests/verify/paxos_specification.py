"""Paxos as Lamport specifies it in TLA+: four actions, and a set of all messages ever sent.

There are no proposers: the messages 1a and 2a appear when they may. Nothing is received twice or
lost or in order, for nothing is ever taken out of the set; what is received late enough is as good
as lost. Sending what was sent before is a transition to the same state.

Acceptors are interchangeable, and so are values, for the algorithm only ever compares them with
each other. The canonical form tries all renamings of both and takes the least, which is exact, and
good enough for a few of each.
"""

from collections.abc import Iterable
from itertools import combinations, permutations, product
from typing import NamedTuple

from concur.verify import Model

NEVER = -1
NONE = -1


class Acceptor(NamedTuple):
    promised: int = NEVER
    """The highest ballot it knows: maxBal."""
    voted: int = NEVER
    """The highest ballot it voted in: maxVBal."""
    value: int = NONE
    """What it voted for there: maxVal."""


class Sent(NamedTuple):
    """A message of any kind; unused fields are `NONE`."""

    kind: str
    ballot: int
    acceptor: int = NONE
    voted: int = NEVER
    value: int = NONE


class World(NamedTuple):
    acceptors: tuple[Acceptor, ...]
    sent: frozenset[Sent]


class PaxosSpecification(Model[World]):
    symmetric = True

    def __init__(self, acceptors: int, values: int, ballots: int) -> None:
        self.name = f"Paxos with {acceptors} acceptors, {values} values, {ballots} ballots"
        self.values = range(values)
        self.ballots = range(ballots)
        self.acceptors = range(acceptors)
        self.quorums = list(combinations(self.acceptors, acceptors // 2 + 1))

    def initial(self) -> Iterable[World]:
        return [World((Acceptor(),) * len(self.acceptors), frozenset())]

    def steps(self, state: World) -> Iterable[tuple[str, World]]:
        sent = sorted(state.sent)
        for ballot in self.ballots:
            yield f"1a {ballot}", send(state, Sent("1a", ballot))
            if not any(m.kind == "2a" and m.ballot == ballot for m in sent):
                for value, quorum in product(self.values, self.quorums):
                    if self.is_safe(sent, quorum, ballot, value):
                        yield f"2a {ballot} {value}", send(state, Sent("2a", ballot, value=value))
        for number, acceptor in enumerate(state.acceptors):
            for message in sent:
                ballot, value = message.ballot, message.value
                if message.kind == "1a" and ballot > acceptor.promised:
                    answer = Sent("1b", ballot, number, acceptor.voted, acceptor.value)
                    after = acceptor._replace(promised=ballot)
                    yield f"1b {ballot} of {number}", send(state, answer, number, after)
                if message.kind == "2a" and ballot >= acceptor.promised:
                    answer = Sent("2b", ballot, number, value=value)
                    after = Acceptor(ballot, ballot, value)
                    yield f"2b {ballot} of {number}", send(state, answer, number, after)

    def is_safe(self, sent: list[Sent], quorum: tuple[int, ...], ballot: int, value: int) -> bool:
        """Phase 2a: all of the quorum have promised, and the latest vote among them agrees."""
        promises = [
            m for m in sent if m.kind == "1b" and m.ballot == ballot and m.acceptor in quorum
        ]
        if {m.acceptor for m in promises} != set(quorum):
            return False
        voted = [(m.voted, m.value) for m in promises if m.voted != NEVER]
        return not voted or max(voted)[1] == value

    def broken(self, state: World) -> tuple[str, str] | None:
        chosen = {
            value
            for quorum in self.quorums
            for ballot, value in product(self.ballots, self.values)
            if all(Sent("2b", ballot, member, value=value) in state.sent for member in quorum)
        }
        return ("agreement", f"chosen: {sorted(chosen)}") if len(chosen) > 1 else None

    def canonical(self, state: World) -> World:
        return min(
            (
                renamed(state, acceptors, (*values, NONE))  # NONE is -1 and stays what it is
                for acceptors in permutations(self.acceptors)
                for values in permutations(self.values)
            ),
            key=lambda world: (world.acceptors, sorted(world.sent)),
        )


def send(
    state: World, message: Sent, number: int = NONE, acceptor: Acceptor | None = None
) -> World:
    acceptors = state.acceptors
    if acceptor is not None:
        acceptors = (*acceptors[:number], acceptor, *acceptors[number + 1 :])
    return World(acceptors, state.sent | {message})


def renamed(state: World, acceptors: tuple[int, ...], values: tuple[int, ...]) -> World:
    """Acceptor i is now number `acceptors[i]`, and value v is `values[v]`."""
    names = (*acceptors, NONE)
    moved = sorted(
        (names[number], acceptor._replace(value=values[acceptor.value]))
        for number, acceptor in enumerate(state.acceptors)
    )
    return World(
        tuple(acceptor for _, acceptor in moved),
        frozenset(
            message._replace(acceptor=names[message.acceptor], value=values[message.value])
            for message in state.sent
        ),
    )
