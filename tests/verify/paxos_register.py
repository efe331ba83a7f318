"""A register that is written once, by single-decree Paxos: the model on which checkers are timed.

Each server proposes the first value that a client asks it to store, under a ballot of its own
(Lamport, "Paxos Made Simple", 2.2). `Prepare` asks all others to promise to ignore lower ballots,
`Prepared` promises it and says what its sender accepted last. With promises from a majority the
server proposes the value accepted under the highest ballot, or its client's if there is none:
`Accept`. Once a majority has `Accepted`, the value is decided, all servers are told, and the client
whose value it *is* gets its `PutOk`, whoever proposed it. Only servers that know of the decision
answer a `Get`.

The encoding follows Stateright's well-known example, so that counts can be compared. A server is
its own acceptor and sends itself nothing: its own promise and its own acceptance are part of the
step that asks for them. It never tries a second ballot, so a proposal that is overtaken is given
up, and its client waits for ever; there are no timers and there is nothing to exhaust but the
orders of delivery. A message that changes nothing and is not answered stays in the network.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from concur.verify import Behaviour, Step, System
from tests.verify.registers import Get, GetOk, Put, PutOk, register_system

Ballot = tuple[int, int]
"""(round, server)"""
Proposal = tuple[int, int, str]
"""(request, client, value)"""
Last = tuple[Ballot, Proposal] | None
"""What a server accepted last."""


class Prepare(msgspec.Struct, frozen=True):
    ballot: Ballot


class Prepared(msgspec.Struct, frozen=True):
    ballot: Ballot
    accepted: Last


class Accept(msgspec.Struct, frozen=True):
    ballot: Ballot
    proposal: Proposal


class Accepted(msgspec.Struct, frozen=True):
    ballot: Ballot


class Decided(msgspec.Struct, frozen=True):
    ballot: Ballot
    proposal: Proposal


class Knowledge(msgspec.Struct, frozen=True):
    """The state of a server."""

    ballot: Ballot = (0, 0)
    proposal: Proposal | None = None
    prepares: tuple[tuple[int, Last], ...] = ()
    accepts: tuple[int, ...] = ()
    accepted: Last = None
    is_decided: bool = False


class Server(Behaviour):
    """Proposer and acceptor at one place; places 0 to `servers` - 1 are servers."""

    def __init__(self, place: int, servers: int) -> None:
        self.place = place
        self.name = f"s{place + 1}"
        self.others = tuple(other for other in range(servers) if other != place)
        self.majority = servers // 2 + 1

    def start(self) -> Iterable[Step]:
        yield Step(Knowledge())

    def receive(self, state: Knowledge, source: int, message: Any) -> Iterable[Step]:
        replace = msgspec.structs.replace
        if state.is_decided:
            if isinstance(message, Get):
                assert state.accepted is not None
                _, (_, _, value) = state.accepted
                yield Step(state, ((source, GetOk(message.request, value)),))
            return
        match message:
            case Put(request, value) if state.proposal is None:
                ballot = (state.ballot[0] + 1, self.place)
                after = replace(
                    state,
                    ballot=ballot,
                    proposal=(request, source, value),
                    prepares=((self.place, state.accepted),),
                    accepts=(),
                )
                yield Step(after, self.all_others(Prepare(ballot)))
            case Prepare(ballot) if state.ballot < ballot:
                promise = (source, Prepared(ballot, state.accepted))
                yield Step(replace(state, ballot=ballot), (promise,))
            case Prepared(ballot, accepted) if ballot == state.ballot:
                prepares = tuple(sorted({**dict(state.prepares), source: accepted}.items()))
                if len(prepares) == self.majority:
                    yield self.propose(state, prepares)
                else:
                    yield Step(replace(state, prepares=prepares))
            case Accept(ballot, proposal) if state.ballot <= ballot:
                after = replace(state, ballot=ballot, accepted=(ballot, proposal))
                yield Step(after, ((source, Accepted(ballot)),))
            case Accepted(ballot) if ballot == state.ballot:
                accepts = tuple(sorted({*state.accepts, source}))
                after = replace(state, accepts=accepts)
                if len(accepts) < self.majority:
                    yield Step(after)
                    return
                assert state.proposal is not None
                request, client, _ = state.proposal
                decided = self.all_others(Decided(ballot, state.proposal))
                yield Step(replace(after, is_decided=True), (*decided, (client, PutOk(request))))
            case Decided(ballot, proposal):
                yield Step(
                    replace(state, ballot=ballot, accepted=(ballot, proposal), is_decided=True)
                )

    def propose(self, state: Knowledge, prepares: tuple[tuple[int, Last], ...]) -> Step:
        """Safety rests here: what a majority may have accepted before is proposed again."""
        proposal = state.proposal
        earlier = [accepted for _, accepted in prepares if accepted is not None]
        if earlier:
            _, proposal = max(earlier)
        assert proposal is not None
        after = msgspec.structs.replace(
            state,
            proposal=proposal,
            prepares=prepares,
            accepted=(state.ballot, proposal),
            accepts=(self.place,),
        )
        return Step(after, self.all_others(Accept(state.ballot, proposal)))

    def all_others(self, message: Any) -> tuple[tuple[int, Any], ...]:
        return tuple((other, message) for other in self.others)


class ForgetfulServer(Server):
    """A planted bug: it proposes its own client's value, whatever others accepted before."""

    def propose(self, state: Knowledge, prepares: tuple[tuple[int, Last], ...]) -> Step:
        forgotten = tuple((server, None) for server, _ in prepares)
        step = super().propose(state, forgotten)
        return step._replace(state=msgspec.structs.replace(step.state, prepares=prepares))


def paxos_register(
    clients: int, servers: int = 3, kind: type[Server] = Server, **options: Any
) -> System:
    places: list[Behaviour] = [kind(place, servers) for place in range(servers)]
    return register_system("Paxos register", places, clients, **options)
