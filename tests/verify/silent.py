"""Protocols whose commands are not all answered once faults stop: each has one fault in it."""

from typing import Any, ClassVar

import msgspec

from concur.base import Role
from concur.effects import Invoke, Ok, Start, Timer
from concur.node import Node, on, seconds
from concur.parts.client import Request
from concur.protocols.multi_paxos import MultiPaxos, Replica
from concur.protocols.multi_paxos.messages import NO_BALLOT
from concur.protocols.paxos import Paxos, PaxosClient
from concur.protocols.raft import Raft
from concur.protocols.raft import Replica as RaftReplica
from concur.protocols.unreplicated import Server, Unreplicated
from concur.values import Set
from tests.verify.ping import Asker, Ping, PingPong, Pong


class AsksOnce(PaxosClient):
    @on(Timer("retry"))
    def retry(self, op: int) -> None:
        pass


class ClientNeverRetries(Paxos):
    """A client that loses its request waits for ever."""

    name = "mutant-client-never-retries"

    def roles(self) -> tuple[Role, ...]:
        replica, client = super().roles()
        return replica, replace_node(client, AsksOnce)


class AnswersOnce(Server):
    answered: Set[tuple[str, int]] = Set()

    @on(Request)
    def serve(self, source: str, m: Request) -> None:
        if m.command.id in self.answered:
            return
        self.answered = self.answered.add(m.command.id)
        super().serve(source, m)


class ReplyIsNotRepeated(Unreplicated):
    """A server that has answered a command takes no notice when its client asks again."""

    name = "mutant-reply-is-not-repeated"

    def roles(self) -> tuple[Role, ...]:
        server, client = super().roles()
        return replace_node(server, AnswersOnce), client


class ResendsNothing(Replica):
    @on(Timer("resend"))
    def resend(self) -> None:
        self.resend_mark = self.next_slot - 1
        self.propose_inherited()
        self.set_timer("resend", seconds(self.params.resend_s))


class LeaderNeverResends(MultiPaxos):
    """A proposal whose messages were lost is under way for ever, and its client's retries are taken
    for copies of a request that will be answered."""

    name = "mutant-leader-never-resends"
    replica = ResendsNothing


class PromisesForLife(Replica):
    def wait_for_leader(self) -> None:
        if self.promised == NO_BALLOT:
            super().wait_for_leader()
        else:
            self.cancel_timer("election")


class FollowersNeverStand(MultiPaxos):
    """Whoever has promised anything never campaigns any more: if the leader dies, nobody leads."""

    name = "mutant-followers-never-stand"
    replica = PromisesForLife


class VotesOnce(RaftReplica):
    def enter_term(self, term: int) -> None:
        voted_for = self.voted_for
        super().enter_term(term)
        self.voted_for = voted_for


class OneVoteForAllTerms(Raft):
    """A vote counts for all terms to come: once it is given to one who dies, it is lost."""

    name = "mutant-one-vote-for-all-terms"
    replica: ClassVar[type[RaftReplica]] = VotesOnce


def replace_node(role: Role, node: type[Node[Any]]) -> Role:
    return msgspec.structs.replace(role, node=node)


# --- without deadlines, so that a state can come back ---------------------------------------------


class Stubborn(Asker):
    """Asks again every second, for ever."""

    @on(Invoke)
    def ask(self, op: int, body: bytes) -> None:
        self.op = op
        self.again()

    @on(Timer("again"))
    def again(self) -> None:
        for server in self.config.role("server"):
            self.send(server, Ping(self.op))
        self.set_timer("again", seconds(1.0))

    @on(Pong)
    def end(self, source: str, m: Pong) -> None:
        if m.number == self.op:
            self.op = 0
            self.cancel_timer("again")
            self.complete(m.number, Ok(b"\xc0"))


class Forgetful(Node["Asking"]):
    """Answers each number once."""

    seen: Set[int] = Set()

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        if m.number not in self.seen:
            self.seen = self.seen.add(m.number)
            self.send(source, Pong(m.number))


class Patient(Node["Asking"]):
    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        self.send(source, Pong(m.number))


class Asking(PingPong):
    name = "asking"
    server = Patient

    def roles(self) -> tuple[Role, ...]:
        server, client = super().roles()
        return server, replace_node(client, Stubborn)


class AskingTheForgetful(Asking):
    name = "asking-the-forgetful"
    server = Forgetful


class Chatty(Patient):
    """Two of them never stop talking about a number."""

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        for other in self.config.role("server"):
            if other != self.id:
                self.send(other, Ping(m.number))


class AskingTheChatty(Asking):
    name = "asking-the-chatty"
    server = Chatty
    servers = 2


class Breaks(Patient):
    """Breaks when its timer rings, long after all bounds are used up."""

    @on(Start)
    def begin(self, event: Start) -> None:
        self.set_timer("break", seconds(0.5))

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        pass

    @on(Timer("break"))
    def fall(self) -> None:
        raise RuntimeError("it cannot be")


class AskingTheBroken(Asking):
    name = "asking-the-broken"
    server = Breaks
