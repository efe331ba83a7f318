"""Operators: they ask for other members and for another leader, and are answered once it is so.

An operator is a node, as clients are. For each `Invoke`, whose body is an encoded `Order`, it emits
`Complete` exactly once: `Ok` when a replica says `Done`, `Indefinite` after `deadline_s`, or when a
newer order takes its place, because then nobody will hear what became of the old one. It asks
whoever it believes to lead, and every other replica in turn.

Orders say how things shall be, not what to change, so one may be given any number of times. What
replicas do with them is each protocol's own: a protocol that changes members has
`Tags(membership=True)`, handles `ChangeMembers` and `TransferLeadership`, and says
`observe("members", epoch, members)` at each replica where a configuration is final.
"""

from typing import TypeVar

import msgspec

from concur.base import REPLICAS_MAX, Role
from concur.effects import Definite, Indefinite, Invoke, Ok, Timer
from concur.errors import BadInput
from concur.messages import Message, decode, encode
from concur.node import Node, on, seconds
from concur.parts.parameters import LogProtocol

L = TypeVar("L", bound=LogProtocol)


class Order(msgspec.Struct, frozen=True, array_like=True):
    """How things shall be: `members` vote and `learners` only follow; or, if there are no members,
    `leader` leads."""

    members: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    leader: str = ""


class ChangeMembers(Message, frozen=True):
    """Make `members` those that vote, and `learners` those that follow without a vote."""

    number: int
    members: tuple[str, ...]
    learners: tuple[str, ...]


class TransferLeadership(Message, frozen=True):
    """Let `to`, a member, lead."""

    number: int
    to: str


class Done(Message, frozen=True):
    """What order `number` asked for is so, and will outlast a change of leader."""

    number: int


class Refused(Message, frozen=True):
    """Not here, or not now, and `why`; perhaps `leader` knows better, "" if nobody is known."""

    number: int
    leader: str
    why: str


class Operator(Node[L]):
    """Gives one order at a time."""

    op: int = 0
    order: Order | None = None
    number: int = 0
    until_ns: int = 0
    to: str = ""
    turn: str = ""  # whose turn it was, before hints were followed
    hinted: bool = False
    refusal: str = ""

    @on(Invoke)
    def give_order(self, op: int, body: bytes) -> None:
        try:
            order = decode(body, Order)
        except BadInput as error:
            self.complete(op, Definite(f"no order: {error}"))
            return
        if self.order is not None:
            self._finish("a newer order took its place")
        self.op, self.order, self.refusal = op, order, ""
        # Numbers of an earlier life are not used again: an old Done answers nothing new.
        self.number = (self.incarnation << 32) + op
        self.until_ns = self.uptime + seconds(self.params.deadline_s)
        self.turn = self.to or self.config.members[0]
        self._ask(self.turn)

    def _ask(self, to: str) -> None:
        order = self.order
        assert order is not None
        self.to = to
        if order.members:
            self.send(to, ChangeMembers(self.number, order.members, order.learners))
        else:
            self.send(to, TransferLeadership(self.number, order.leader))
        self.set_timer("ask", seconds(self.params.retry_s))

    @on(Timer("ask"))
    def ask_again(self) -> None:
        """No answer in time, or a refusal a while ago: it is the next replica's turn."""
        if self.order is None:
            return
        if self.uptime >= self.until_ns:
            self._finish(f"deadline passed: {self.refusal or 'no answer'}")
            return
        self.hinted = False
        replicas = self.config.universe
        # Not the one behind `to`, to which a hint may have led: two hints could make a loop.
        at = replicas.index(self.turn) if self.turn in replicas else -1
        self.turn = replicas[(at + 1) % len(replicas)]
        self._ask(self.turn)

    @on(Done)
    def be_told(self, source: str, m: Done) -> None:
        if self.order is not None and m.number == self.number:
            self.order = None
            self.cancel_timer("ask")
            self.complete(self.op, Ok(b""))

    @on(Refused)
    def take_refusal(self, source: str, m: Refused) -> None:
        """Follow a hint at once, but not two in a row; else wait for a moment, then ask again."""
        if self.order is None or m.number != self.number or source != self.to:
            return
        self.refusal = m.why
        other = m.leader in self.config.universe and m.leader != source
        if other and not self.hinted:
            self.hinted = True
            self._ask(m.leader)
        else:
            # The timer turns to the next replica; a leader that is busy will be asked again.
            self.set_timer("ask", self.jitter(self.params.retry_s / 8, self.params.retry_s / 4))

    def _finish(self, why: str) -> None:
        self.order = None
        self.cancel_timer("ask")
        self.complete(self.op, Indefinite(why))


def order_body(
    members: tuple[str, ...] = (), learners: tuple[str, ...] = (), leader: str = ""
) -> bytes:
    """What an operator is to be invoked with. Raises BadInput for an order that makes no sense."""
    if bool(members) == bool(leader):
        raise BadInput("order: expected members, or a leader, and not both")
    if len(members) + len(learners) > REPLICAS_MAX:
        raise BadInput(f"order: expected at most {REPLICAS_MAX} members and learners")
    if len({*members, *learners}) != len(members) + len(learners):
        raise BadInput("order: a replica is named twice among members and learners")
    return encode(Order(members, learners, leader))


OPERATOR = Role("operator", Operator, "o", 1, place="client", cost="client")
"""The role of a protocol whose members can be changed."""
