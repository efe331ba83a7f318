"""Paxos: one decision, for ever, although messages get lost and machines crash.

**Problem.** Some processes may each propose a value. One of the proposed values, and only one, is
to be chosen, and whoever learns of a choice learns the one that was made. There is no clock to
trust and nobody who never fails.

**Idea.** Let a majority of acceptors vote: two majorities share a member. One vote for ever would
get stuck when votes split or a proposer crashes, so voting happens in numbered ballots and an
acceptor may vote in many. What keeps later ballots from choosing something else is phase 1: before
proposing in ballot b, a proposer asks a majority to promise to ignore ballots below b, and to say
what they last voted for. If one of them has voted, then the value of the highest such ballot is the
only one that can have been chosen, and the proposer must propose it again; if none has, nothing was
chosen below b, and nothing will be. So every proposal from the first choice on has its value.

**When to use it.** To read, and to decide one thing: a configuration, a leader, a commit. For a log
of commands see `concur.protocols.multi_paxos`, which does phase 1 once for all of them.

**What it costs.** A decision: two round trips to a majority, 4(N-1) messages, and a sync before
each of them and before the client's answer; N-1 more messages tell the others. A read before
anything is chosen: one round trip. Whoever knows the choice answers alone: it cannot change.

**What a client gets.** The cluster holds a machine that executes one command, ever. If the client's
command is the chosen one, the outcome is `Ok` with the result of applying it to the initial state.
If another one is, the outcome is `Definite`: no second value is ever chosen, so that command, in
whatever queue or message it still lingers, never takes effect. A read-only command is not proposed;
its result is that on the state after the chosen command, or on the initial state if nothing was
chosen when it asked. At the deadline the outcome is `Indefinite`: the command may be chosen later.

**Paper.** L. Lamport, "Paxos Made Simple" (2001), section 2; section numbers in the code are its.
Each replica is proposer, acceptor and learner; the proposer is the distinguished learner of 2.3.

    paper                         here
    proposal number n             ballot: (round, id of the proposer), so that no two share one
    accept request, 2(a)          Accept; the acceptor's answer is Accepted
    v, "a value"                  a Command; its identity is (session, seq)

**Divergences.** An acceptor that votes also promises, which 2.2 does not say and needs. Refusals
are said (`Nack`), as 2.2 suggests. There is no distinguished proposer (2.4): proposers that duel
back off for random, growing times, which is progress with probability one. Reads are ours.

**Losing a disk.** An acceptor without its promises could vote below one that it has given, and its
lost vote may be the one by which two majorities meet. Nobody else knows all of them, so it cannot
be made safe again: it never votes any more (`FORGOTTEN`), nor proposes, because it might use a
ballot twice. To the others it is like a crashed one. But what is chosen it may learn, by asking,
and it answers clients then. A cluster of 2f+1 survives f such losses and crashes together.
"""

import msgspec

from concur.base import Circumstances, Protocol, Role, Tags, parameter
from concur.effects import Definite, Indefinite, Invoke, Ok, Outcome, Start, Timer
from concur.errors import BadInput
from concur.messages import Command, Message
from concur.node import Node, durable, invariant, on, seconds
from concur.quorums import majority
from concur.values import Map, Set

Ballot = tuple[int, str]
"""(round, id of the proposer): totally ordered, and each is used by one proposer only."""

NEVER: Ballot = (0, "")
"""Below every ballot that is used."""

VOTER, FORGOTTEN = "voter", "forgotten"

DOUBLINGS_MAX = 5
"""How often back-off doubles: 32 times the first is as long as a proposer waits."""


class Vote(msgspec.Struct, frozen=True, array_like=True):
    ballot: Ballot
    value: Command


# --- messages: phase 1, phase 2, learning, clients ------------------------------------------------


class Prepare(Message, frozen=True):
    ballot: Ballot


class Promise(Message, frozen=True):
    """No ballot below `ballot` gets a vote of mine; `vote` is the last that I cast."""

    ballot: Ballot
    vote: Vote | None


class Accept(Message, frozen=True):
    ballot: Ballot
    value: Command


class Accepted(Message, frozen=True):
    """My vote. The value is the one that was proposed in that ballot: there is only one."""

    ballot: Ballot


class Nack(Message, frozen=True):
    """Not in `ballot`: I have promised `promised`, which is higher."""

    ballot: Ballot
    promised: Ballot


class Ask(Message, frozen=True):
    """What was chosen? Answered by Chosen, or not at all."""


class Chosen(Message, frozen=True):
    value: Command


class Propose(Message, frozen=True):
    """A client's wish. Without a `command` it only wants to know what is chosen."""

    session: str
    seq: int
    command: Command | None


class Answer(Message, frozen=True):
    """`chosen` is None if nothing was, at some time after the question."""

    session: str
    seq: int
    chosen: Command | None


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    client: str
    wish: Propose


class Replica(Node["Paxos"]):
    """Acceptor, proposer and learner in one."""

    # Acceptor. Durable, for it must remember its promises (2.5); CORE 5 keeps answers behind them.
    promised: Ballot = durable(NEVER)
    vote: Vote | None = durable(None)
    standing: str = durable("")

    # Proposer. "Each proposer remembers (in stable storage) the highest-numbered proposal it has
    # tried to issue" (2.5); everything else about a ballot may be lost: it tries a higher one.
    tried: int = durable(0)
    heard: int = 0
    ballot: Ballot | None = None
    promises: Map[str, Vote | None] = Map()
    proposal: Command | None = None
    votes: Set[str] = Set()
    attempts: int = 0
    waiting: tuple[Waiting, ...] = ()
    covered: tuple[Waiting, ...] = ()

    # Learner.
    chosen: Command | None = durable(None)

    @on(Start)
    def start(self, event: Start) -> None:
        if event.kind == "new":
            self.standing = VOTER
        elif event.kind == "wiped" or self.standing == "":
            # A disk with nothing on it may also be one whose wiping was forgotten by a crash.
            self.standing = FORGOTTEN
        if self.chosen is not None:
            self.decide(1, self.chosen)  # the crash may have come before anybody saw it
        elif self.standing == FORGOTTEN:
            self.broadcast(self.config.members, Ask())

    def is_voter(self) -> bool:
        return self.standing == VOTER

    def to_all(self, message: Message) -> None:
        self.broadcast(self.config.members, message)

    # --- a client's wish, and phase 1 -------------------------------------------------------------

    @on(Propose)
    def take_wish(self, source: str, m: Propose) -> None:
        wish = Waiting(source, m)
        if self.chosen is not None:
            self.answer(wish)
        elif len(self.waiting) < self.params.waiting_max:  # else the client asks again, elsewhere
            if wish not in self.waiting:
                self.waiting = (*self.waiting, wish)
            if not self.is_voter():
                self.broadcast(self.config.members, Ask())
            elif self.ballot is None and self.attempts == 0:
                self.prepare()

    def prepare(self) -> None:
        """2.2 1(a). A ballot never used before: above all that it tried, or heard of in a Nack. It
        does not look at what it has promised as an acceptor: the roles may as well live apart."""
        self.tried = max(self.tried, self.heard) + 1
        self.attempts += 1
        self.ballot = (self.tried, self.id)
        self.promises, self.proposal, self.votes = Map(), None, Set()
        self.covered = self.waiting
        self.observe("ballot", self.ballot)
        self.to_all(Prepare(self.ballot))
        self.set_timer("ballot", self.jitter(self.params.ballot_s, 2 * self.params.ballot_s))

    @on(Prepare, paper="2.2 1(b)")
    def promise(self, source: str, m: Prepare) -> None:
        if not self.is_voter():
            return
        if m.ballot < self.promised:
            self.send(source, Nack(m.ballot, self.promised))
            return
        # Equal: a repetition, by its only proposer, who gets the same answer again.
        self.promised = m.ballot
        self.send(source, Promise(m.ballot, self.vote))

    @on(Promise, paper="2.2 2(a)")
    def gather_promises(self, source: str, m: Promise) -> None:
        if m.ballot != self.ballot or self.proposal is not None:
            return  # of an earlier ballot, or phase 2 has begun
        self.promises = self.promises.put(source, m.vote)
        if not self.enough_promises():
            return
        self.proposal = self.safe_value()
        if self.proposal is not None:
            self.to_all(Accept(self.ballot, self.proposal))
            return
        # Nobody voted and nobody wants to propose, so readers hear that nothing was chosen. Had
        # something been chosen before they asked, one of this majority would have voted for it
        # before it promised, and said so. That holds only for readers who asked before this ballot
        # began: since a promise was given, another ballot may have come to its choice.
        for wish in self.covered:
            self.answer(wish)
        self.waiting = self.waiting[len(self.covered) :]
        self.rest()
        if self.waiting:
            self.prepare()

    def safe_value(self) -> Command | None:
        """The value of the highest ballot that one of this majority has voted in: the only one that
        can have been chosen (2.1, P2c). If none has voted, any: of the first client who has one."""
        votes = [vote for vote in self.promises.values() if vote is not None]
        if votes:
            return max(votes, key=lambda vote: vote.ballot).value
        return next((w.wish.command for w in self.waiting if w.wish.command is not None), None)

    # --- phase 2 ----------------------------------------------------------------------------------

    @on(Accept, paper="2.2 2(b)")
    def accept(self, source: str, m: Accept) -> None:
        if not self.is_voter():
            return
        if m.ballot < self.promised:
            self.send(source, Nack(m.ballot, self.promised))
            return
        self.cast_vote(m.ballot, m.value)
        self.send(source, Accepted(m.ballot))

    def cast_vote(self, ballot: Ballot, value: Command) -> None:
        # A vote is a promise too. With the old promise left in place, a proposal of a ballot in
        # between would be accepted later, and hide this vote from the next phase 1.
        self.promised = ballot
        self.vote = Vote(ballot, value)

    @on(Accepted, paper="2.3")
    def gather_votes(self, source: str, m: Accepted) -> None:
        if m.ballot != self.ballot or self.proposal is None:
            return
        self.votes = self.votes.add(source)
        if self.enough_votes():  # a majority voted in one ballot: this is what "chosen" means
            self.to_all(Chosen(self.proposal))

    def enough_promises(self) -> bool:
        return majority(self.config.members).is_phase1(self.promises)

    def enough_votes(self) -> bool:
        return majority(self.config.members).is_phase2(self.votes)

    # --- losing a ballot: a higher one is about, or messages were lost ----------------------------

    @on(Nack)
    def give_way(self, source: str, m: Nack) -> None:
        self.heard = max(self.heard, m.promised[0])
        if m.ballot == self.ballot:
            # Two proposers that come back at once would outbid each other for ever (2.4).
            self.ballot, self.covered = None, ()
            most_s = self.params.back_off_s * (1 << min(self.attempts, DOUBLINGS_MAX))
            self.set_timer("ballot", self.jitter(most_s / 2, most_s))

    @on(Timer("ballot"))
    def try_again(self) -> None:
        if self.waiting:
            self.prepare()
        else:
            self.rest()

    def rest(self) -> None:
        """No ballot under way, and none to come until somebody wants one."""
        if self.attempts:
            self.cancel_timer("ballot")
        self.ballot, self.proposal, self.covered, self.attempts = None, None, (), 0

    # --- learning ---------------------------------------------------------------------------------

    @on(Chosen, paper="2.3")
    def learn(self, source: str, m: Chosen) -> None:
        if self.chosen != m.value:
            self.chosen = m.value
            self.decide(1, m.value)
        for wish in self.waiting:
            self.answer(wish)
        self.waiting = ()
        self.rest()

    @on(Ask)
    def tell(self, source: str, m: Ask) -> None:
        if self.chosen is not None:
            self.send(source, Chosen(self.chosen))

    def answer(self, waiting: Waiting) -> None:
        wish = waiting.wish
        self.send(waiting.client, Answer(wish.session, wish.seq, self.chosen))

    # --- what holds in every state ----------------------------------------------------------------

    @invariant
    def every_vote_is_covered_by_a_promise(self) -> bool:
        return self.vote is None or self.vote.ballot <= self.promised

    @invariant
    def a_proposer_uses_only_ballots_of_its_own_that_it_has_noted(self) -> bool:
        return self.ballot is None or self.ballot == (self.tried, self.id)

    @invariant
    def who_forgot_its_promises_neither_votes_nor_proposes(self) -> bool:
        silent = self.promised == NEVER and self.vote is None and self.ballot is None
        return silent or self.standing != FORGOTTEN

    @invariant
    def waiting_clients_stay_under_their_limit(self) -> bool:
        return len(self.waiting) <= self.params.waiting_max


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """An Invoke that is not completed; `command` is None for a read."""

    body: bytes
    command: Command | None
    until_ns: int
    asked: int


class PaxosClient(Node["Paxos"]):
    """Asks one replica, then the next, until it knows; see "What a client gets"."""

    operations: Map[int, Operation] = Map()

    @property
    def session(self) -> str:
        """No earlier life of this client used it, so late answers to that one are not ours."""
        return f"{self.id}-{self.incarnation}"

    @on(Invoke)
    def invoke(self, op: int, body: bytes) -> None:
        if len(self.operations) >= self.params.in_flight_max:
            self.complete(op, Definite(f"{len(self.operations)} commands outstanding, not sent"))
            return
        command = None if self.is_read(body) else Command(self.session, op, body)
        until = self.uptime + seconds(self.params.deadline_s)
        # Clients begin with different replicas, so that several propose at once.
        first = self.config.role("client").index(self.id) + op
        self.ask(op, Operation(body, command, until, first))

    def is_read(self, body: bytes) -> bool:
        try:
            return bool(self.machine.read_only(self.machine.decode(body)))
        except BadInput:
            return False  # if it is chosen, the machine's answer will be an error

    def ask(self, op: int, operation: Operation) -> None:
        self.operations = self.operations.put(op, operation)
        members = self.config.members
        to = members[operation.asked % len(members)]
        self.send(to, Propose(self.session, op, operation.command))
        left = max(operation.until_ns - self.uptime, 0)
        self.set_timer(("retry", op), min(seconds(self.params.retry_s), left))

    @on(Timer("retry"))
    def retry(self, op: int) -> None:
        operation = self.operations[op]
        if self.uptime >= operation.until_ns:
            self.finish(op, Indefinite("deadline passed without an answer"))
        else:
            self.ask(op, msgspec.structs.replace(operation, asked=operation.asked + 1))

    @on(Answer)
    def take_answer(self, source: str, m: Answer) -> None:
        operation = self.operations.get(m.seq)
        if operation is None or m.session != self.session:
            return
        state, result = self.machine.initial(), b""
        if m.chosen is not None:
            state, result = self.machine.run(state, m.chosen.body)
        if operation.command is None:
            self.finish(m.seq, Ok(self.machine.run(state, operation.body)[1]))
        elif m.chosen is not None and m.chosen.id == operation.command.id:
            self.finish(m.seq, Ok(result))
        elif m.chosen is not None:
            self.finish(m.seq, Definite("another command was chosen, for ever"))

    def finish(self, op: int, outcome: Outcome) -> None:
        self.operations = self.operations.remove(op)
        self.cancel_timer(("retry", op))
        self.complete(op, outcome)


class Paxos(Protocol):
    """One value, chosen once, by a majority of replicas."""

    name = "paxos"
    summary = "Single-decree Paxos, the textbook file: one decision for ever, no log."
    paper = "L. Lamport, Paxos Made Simple (2001), section 2"
    tags = Tags(log=False, recovers_wiped=False)

    ballot_s: float = parameter(
        default=0.5, above=0, doc="a proposer tries a higher ballot after once to twice this long"
    )
    back_off_s: float = parameter(
        default=0.05,
        above=0,
        doc="how long a refused proposer waits at most; doubles with each attempt",
    )
    retry_s: float = parameter(
        default=1.0, above=0, doc="a client asks another replica after this long"
    )
    deadline_s: float = parameter(
        default=10.0, above=0, doc="a client gives an indefinite answer after this long"
    )
    waiting_max: int = parameter(default=1000, at_least=1, doc="clients that wait at a replica")
    in_flight_max: int = parameter(
        default=8, at_least=1, doc="commands that a client may have outstanding"
    )

    def interchangeable(self, world: Circumstances) -> tuple[tuple[str, ...], ...]:
        """The replicas that no client asks: they never propose, and only those who propose have
        ids whose order matters, in ballots. Each client begins with another replica, by a number,
        so clients can be told apart."""
        clients, members = world.config.role("client"), world.config.members
        if any(world.rings("retry", client) for client, _ in world.asking):
            return ()
        asked = {
            members[(clients.index(client) + op) % len(members)]
            for client, commands in world.asking
            for op in range(1, commands + 1)
        }
        return (tuple(member for member in members if member not in asked),)

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", Replica, "r"),
            Role("client", PaxosClient, "c", "clients", place="client", cost="client"),
        )
