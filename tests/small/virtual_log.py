"""A log made of logs: each loglet is a replicated log of its own, as a child of every replica.

A miniature of virtual consensus (M. Balakrishnan and others, "Virtual consensus in Delos", OSDI
2020), made to show what the core can express: whole protocols as children of a node, which outlive
a crash in their parent's journal, report to it, and vanish from the journal when they are dropped.

A loglet is primary-backup: simple and fast, and stuck when its primary is gone. It needs not more,
because it can be *sealed*: once a majority refuses to append, nothing more can be chosen, and the
longest log of that majority holds all that was. The reconfigurer (the first replica; Delos keeps
this in a store of its own) then opens the next loglet, whose primary is the next replica. `chain`
says after which slot each loglet begins.
"""

from concur.base import Protocol, Role, Tags, parameter
from concur.effects import Complete, Decide, Invoke, Observe, Ok, Start, Timer
from concur.logs import Log
from concur.messages import Command, Message, decode, encode
from concur.node import Node, durable, invariant, on, seconds
from concur.parts.client import Client, Reply, Request
from concur.parts.parameters import LogProtocol
from concur.values import Map, Set

SEAL = b""
"""What a parent invokes to seal a loglet; anything else is a command to append, encoded."""

# --- one loglet: primary-backup ----------------------------------------------------------------


class Backup(Message, frozen=True):
    after: int
    commands: tuple[Command, ...]
    committed: int


class Ack(Message, frozen=True):
    last: int


class Forward(Message, frozen=True):
    command: Command


class Seal(Message, frozen=True):
    """Append no more, and say what you hold."""


class Sealed(Message, frozen=True):
    commands: tuple[Command, ...]


class Loglet(Node["PrimaryBackup"]):
    log: Log[Command] = durable(Log())
    sealed: bool = durable(False)
    committed: int = 0
    acked: Map[str, int] = Map()
    sealing: int = 0  # the operation that asked for it
    sealed_by: Set[str] = Set()
    heard: bool = True  # something from the primary since the last beat

    @property
    def primary(self) -> str:
        members = self.config.members
        return members[int(self.id.rpartition("-")[2]) % len(members)]

    def is_majority(self, count: int) -> bool:
        return count > len(self.config.members) // 2

    @on(Start)
    def start(self, event: Start) -> None:
        self.set_timer("beat", seconds(self.params.beat_s))

    @on(Invoke)
    def invoked(self, op: int, body: bytes) -> None:
        if body == SEAL:
            self.sealing = op
            self.seal(self.id)
            self.take_sealed(self.id, Sealed(tuple(self.log)))
            self.multicast(self.config.members, Seal())
        elif self.id == self.primary:
            self.append(decode(body, Command))
        else:
            self.send(self.primary, Forward(decode(body, Command)))

    @on(Forward)
    def take_forwarded(self, source: str, m: Forward) -> None:
        self.append(m.command)

    def append(self, command: Command) -> None:
        if self.sealed or len(self.log) >= self.params.entries_max:
            return
        after = self.log.last_index
        self.log = self.log.append(command)
        self.multicast(self.config.members, Backup(after, (command,), self.committed))
        self.count_acks()

    @on(Backup)
    def back_up(self, source: str, m: Backup) -> None:
        self.heard = True
        if self.sealed:
            return  # an acknowledgement would let it be chosen behind the sealer's back
        last = self.log.last_index
        if m.after <= last:
            self.log = self.log.append(*m.commands[last - m.after :])
        self.send(source, Ack(self.log.last_index))
        self.commit(min(m.committed, self.log.last_index))

    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        if m.last > self.acked.get(source, -1):
            self.acked = self.acked.put(source, m.last)
            self.count_acks()

    def count_acks(self) -> None:
        if self.sealed:
            return
        lasts = sorted((self.log.last_index, *self.acked.values()), reverse=True)
        majority = len(self.config.members) // 2
        if len(lasts) > majority:
            self.commit(lasts[majority])

    def commit(self, upto: int) -> None:
        while self.committed < upto:
            self.committed += 1
            self.decide(self.committed, self.log[self.committed])

    @on(Timer("beat"))
    def beat(self) -> None:
        self.set_timer("beat", seconds(self.params.beat_s))
        if self.sealing:
            self.multicast(self.config.members, Seal())
        elif self.id == self.primary and not self.sealed:
            for member in self.config.members:
                if member != self.id:
                    after = self.acked.get(member, 0)
                    rest = self.log.since(after, self.params.resend_max)
                    self.send(member, Backup(after, rest, self.committed))
        elif not self.heard:
            self.observe("primary_silent")
        self.heard = False

    @on(Seal)
    def seal_and_tell(self, source: str, m: Seal) -> None:
        self.seal(source)
        self.send(source, Sealed(tuple(self.log)))

    def seal(self, source: str) -> None:
        self.sealed = True

    @on(Sealed)
    def take_sealed(self, source: str, m: Sealed) -> None:
        """What was chosen is in the log of at least one of any majority that is sealed."""
        if not self.sealing:
            return
        self.log = self.log.append(*m.commands[len(self.log) :])
        self.sealed_by = self.sealed_by.add(source)
        if self.is_majority(len(self.sealed_by)):
            op, self.sealing = self.sealing, 0
            self.complete(op, Ok(encode(self.log.last_index)))

    @invariant
    def log_stays_under_its_limit(self) -> bool:
        return len(self.log) <= self.params.entries_max


class PrimaryBackup(Protocol):
    name = "small-primary-backup"
    summary = "One primary, majority acknowledgement, no failover: made to be sealed."

    beat_s: float = parameter(default=0.05, above=0, doc="between two words of the primary")
    entries_max: int = parameter(default=200, at_least=1, doc="commands in one loglet")
    resend_max: int = parameter(default=50, at_least=1, doc="commands in one repetition")

    def roles(self) -> tuple[Role, ...]:
        return (Role("replica", Loglet, "r"),)


# --- the virtual log --------------------------------------------------------------------------


class Tell(Message, frozen=True):
    """What a replica knows: how many loglets, and the last slot."""

    loglets: int
    last: int


class Told(Message, frozen=True):
    chain: tuple[int, ...]
    after: int
    commands: tuple[Command, ...]


class Replica(Node["VirtualLog"]):
    chain: tuple[int, ...] = durable((0,))
    log: Log[Command] = durable(Log())
    asked: Map[tuple[str, int], tuple[str, Command]] = Map()
    sealing: bool = False

    @property
    def reconfigurer(self) -> str:
        return self.config.members[0]

    @property
    def active(self) -> str:
        return f"loglet-{len(self.chain)}"

    @on(Start)
    def start(self, event: Start) -> None:
        for command in self.log:
            self.carry_out(command)
        self.child(self.active, Loglet, self.params.loglet)
        self.set_timer("poll", seconds(self.params.poll_s))

    @on(Request)
    def admit(self, source: str, m: Request) -> None:
        if len(self.asked) >= self.params.asked_max:
            self.asked = self.asked.remove(next(iter(self.asked)))  # its client asks again
        self.asked = self.asked.put(m.command.id, (source, m.command))
        self.child(self.active).invoke(m.command.seq, encode(m.command))

    @on(Decide)
    def take_chosen(self, child: str, effect: Decide) -> None:
        slot = self.chain[-1] + effect.slot
        if child == self.active and slot == self.log.last_index + 1:
            self.learn(effect.command)
            if self.id == self.reconfigurer and effect.slot >= self.params.switch_after:
                self.seal()

    def learn(self, command: Command) -> None:
        self.log = self.log.append(command)
        self.carry_out(command)

    def carry_out(self, command: Command) -> None:
        self.decide(self.executed + 1, command)
        result = self.execute(command)
        asked = self.asked.get(command.id)
        if asked is not None:
            self.asked = self.asked.remove(command.id)
            self.send(asked[0], Reply(*command.id, result))

    # --- from one loglet to the next -----------------------------------------------------------

    @on(Observe)
    def notice(self, child: str, effect: Observe) -> None:
        if effect.name == "primary_silent" and self.id == self.reconfigurer:
            self.seal()

    def seal(self) -> None:
        if not self.sealing:
            self.sealing = True
            self.child(self.active).invoke(len(self.chain), SEAL)

    @on(Complete)
    def open_next(self, child: str, effect: Complete) -> None:
        """The active loglet is sealed, and its copy here holds all that was chosen in it."""
        assert isinstance(self.child(child), Loglet)
        self.sealing = False
        start = self.chain[-1]
        for command in self.child(child).log.since(self.log.last_index - start):
            self.learn(command)
        chain = (*self.chain, self.log.last_index)
        after = max(0, self.log.last_index - self.params.loglet.resend_max)
        self.multicast("replica", Told(chain, after, self.log.since(after)))
        self.switch(chain)

    def switch(self, chain: tuple[int, ...]) -> None:
        self.drop(self.active)
        self.chain = chain
        self.observe("loglet_opened", self.active)
        self.child(self.active, Loglet, self.params.loglet)
        self.ask_again()

    def ask_again(self) -> None:
        """A loglet that was sealed, or was not there yet, has dropped what it was asked."""
        for _, command in self.asked.values():
            self.child(self.active).invoke(command.seq, encode(command))

    @on(Timer("poll"))
    def poll(self) -> None:
        self.set_timer("poll", seconds(self.params.poll_s))
        if self.id != self.reconfigurer:
            self.send(self.reconfigurer, Tell(len(self.chain), self.log.last_index))
        elif self.child(self.active).sealed:
            self.seal()  # a crash interrupted it
        self.ask_again()

    @on(Tell)
    def tell(self, source: str, m: Tell) -> None:
        after = min(m.last, self.log.last_index)
        commands = self.log.since(after, self.params.loglet.resend_max)
        if commands or m.loglets < len(self.chain):
            self.send(source, Told(self.chain, after, commands))

    @on(Told)
    def follow(self, source: str, m: Told) -> None:
        if m.after <= self.log.last_index:
            for command in m.commands[self.log.last_index - m.after :]:
                self.learn(command)
        if len(m.chain) > len(self.chain) and self.log.last_index >= m.chain[-1]:
            self.switch(m.chain)

    @invariant
    def remembered_requests_stay_under_their_limit(self) -> bool:
        return len(self.asked) <= self.params.asked_max


class VirtualLogClient(Client["VirtualLog"]):
    def reads_bypass_log(self) -> bool:
        return False


class VirtualLog(LogProtocol):
    name = "small-virtual-log"
    summary = "A chain of loglets, each sealed before the next is opened."
    tags = Tags(crash_tolerant=False, recovers_wiped=False)

    poll_s: float = parameter(default=0.1, above=0, doc="between two questions to the reconfigurer")
    asked_max: int = parameter(default=1000, at_least=1, doc="requests that wait for their command")
    switch_after: int = parameter(
        default=100, at_least=1, doc="commands in a loglet, then the next opens"
    )
    loglet: PrimaryBackup = parameter(default=PrimaryBackup(), doc="what a loglet is")

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", Replica, "r", links="stream"),
            Role("client", VirtualLogClient, "c", "clients", place="client", cost="client"),
        )
