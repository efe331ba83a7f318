"""A writer takes the permission on a majority of memories and replicates by writing into them.

A miniature of Mu (M. Aguilera and others, OSDI 2020), made to show what the core can express:
passive memory beside a replica, permissions, stream links, reading the memory next door.

Taking the permission is the promise: a memory has one permitted writer, so of two competing
writers at most one can still write to a majority. A new writer takes a majority of permissions,
reads and raises the proposal number there, and for each slot adopts the value with the highest
proposal before it writes one of its own. A refused write, or a broken link, means that it has been
replaced, perhaps: it starts over when it has something to do. A value that every confirmed memory
holds is chosen.

The replica on a memory's host learns by looking into it: where two slots in a row hold the same
proposal, the first was chosen before the second was written.
"""

import msgspec

from concur.base import Role, Tags, parameter
from concur.effects import LinkDown, Start, Timer
from concur.messages import Command, Message, decode, encode
from concur.node import Node, invariant, on, seconds
from concur.parts.client import Client, NotLeader, Overloaded, Reply, Request
from concur.parts.memory import (
    CellValue,
    CellWritten,
    LastingMemory,
    Permit,
    Permitted,
    ReadCell,
    WriteCell,
)
from concur.parts.parameters import LogProtocol
from concur.values import Map, Set

Proposal = tuple[int, str]
NOBODY: Proposal = (0, "")


class Written(msgspec.Struct, frozen=True, array_like=True):
    proposal: Proposal
    command: Command


class Writer(Node["OneSided"]):
    phase: str = "idle"  # idle, permit, number, claim, adopt, rewrite, ready, write
    op: int = 0
    waiting: Set[str] = Set()
    confirmed: Set[str] = Set()
    answers: Map[str, bytes | None] = Map()
    proposal: Proposal = NOBODY
    value: Command | None = None
    queue: tuple[tuple[str, Command], ...] = ()

    @property
    def memory(self) -> str:
        """The one on this host."""
        return self.config.role("memory")[self.config.members.index(self.id)]

    @on(Start)
    def start(self, event: Start) -> None:
        self.set_timer("follow", seconds(self.params.follow_s))

    @on(Request)
    def admit(self, source: str, m: Request) -> None:
        if len(self.queue) >= self.params.queue_max:
            self.send(source, Overloaded(*m.command.id))
            return
        self.queue = (*self.queue, (source, m.command))
        if self.phase == "idle":
            self.ask("permit", self.config.role("memory"), Permit(self.op + 1, (self.id,)))
        elif self.phase == "ready":
            self.write_next()

    # --- one round: the same request to several memories ---------------------------------------

    def ask(self, phase: str, memories: tuple[str, ...], request: Message) -> None:
        self.phase, self.op = phase, self.op + 1
        self.waiting, self.answers = Set(memories), Map()
        for memory in memories:
            self.send(memory, request)
        self.set_timer("round", seconds(self.params.round_s))

    @on(Permitted)
    def permitted(self, source: str, m: Permitted) -> None:
        if m.op != self.op or self.phase != "permit":
            return
        self.waiting = self.waiting.discard(source)
        memories = self.config.role("memory")
        if len(memories) - len(self.waiting) > len(memories) // 2:
            self.confirmed = Set(memories) - self.waiting
            self.ask("number", tuple(self.confirmed), ReadCell(self.op + 1, "proposal"))

    @on(CellValue)
    def read_done(self, source: str, m: CellValue) -> None:
        if m.op != self.op or source not in self.waiting:
            return
        self.waiting = self.waiting.discard(source)
        self.answers = self.answers.put(source, m.value)
        if self.waiting:
            return
        found = [value for value in self.answers.values() if value is not None]
        if self.phase == "number":
            top = max((decode(value, Proposal)[0] for value in found), default=0)
            self.proposal = (top + 1, self.id)
            self.write("claim", "proposal", encode(self.proposal))
        elif found:
            newest = max((decode(v, Written) for v in found), key=lambda w: w.proposal)
            self.value = newest.command
            self.write_slot("rewrite")
        else:
            self.observe("leader", self.proposal)
            self.become_ready()

    @on(CellWritten)
    def write_done(self, source: str, m: CellWritten) -> None:
        if m.op != self.op or source not in self.waiting:
            return
        if not m.done:
            self.give_up("permission lost")
            return
        self.waiting = self.waiting.discard(source)
        if self.waiting:
            return
        if self.phase in ("rewrite", "write"):
            self.chosen()
        if self.phase == "write":
            self.become_ready()
        else:
            self.ask(
                "adopt", tuple(self.confirmed), ReadCell(self.op + 1, slot_cell(self.executed + 1))
            )

    def write(self, phase: str, cell: str, value: bytes) -> None:
        self.ask(phase, tuple(self.confirmed), WriteCell(self.op + 1, cell, value))

    def write_slot(self, phase: str) -> None:
        assert self.value is not None
        value = encode(Written(self.proposal, self.value))
        self.write(phase, slot_cell(self.executed + 1), value)

    def chosen(self) -> None:
        """Every confirmed memory, a majority, took the value while we held the permission: whoever
        takes the permission of a majority from us meets one of them, and reads it."""
        command = self.value
        assert command is not None
        self.learn(command)

    def learn(self, command: Command) -> None:
        self.decide(self.executed + 1, command)
        result = self.execute(command)
        for client, asked in self.queue:
            if asked == command:
                self.send(client, Reply(*asked.id, result))
        self.queue = tuple(item for item in self.queue if item[1] != command)

    # --- in charge, or not ---------------------------------------------------------------------

    def become_ready(self) -> None:
        self.phase, self.value = "ready", None
        self.cancel_timer("round")
        self.write_next()

    def write_next(self) -> None:
        if self.queue:
            self.value = self.queue[0][1]
            self.write_slot("write")

    def give_up(self, why: str) -> None:
        """Somebody else may be in charge. Our last write may have succeeded: nobody knows."""
        if self.phase == "idle":
            return
        self.observe("gave_up", why)
        self.phase, self.waiting, self.value = "idle", Set(), None
        self.cancel_timer("round")
        held = self.peek(self.memory, "proposal")
        other = "" if held is None else decode(held, Proposal)[1]
        for client, command in self.queue:
            self.send(client, NotLeader(*command.id, "" if other == self.id else other))
        self.queue = ()

    @on(Timer("round"))
    def round_timed_out(self) -> None:
        self.give_up("no answer")

    @on(LinkDown)
    def lose_link(self, peer: str) -> None:
        """What was under way to that memory is lost, or not: nobody knows."""
        if peer in self.waiting and self.phase != "permit":
            self.give_up("link down")

    @on(Timer("follow"))
    def look_next_door(self) -> None:
        self.set_timer("follow", seconds(self.params.follow_s))
        while self.phase == "idle":
            here = self.peek(self.memory, slot_cell(self.executed + 1))
            after = self.peek(self.memory, slot_cell(self.executed + 2))
            if here is None or after is None:
                break
            first = decode(here, Written)
            if first.proposal != decode(after, Written).proposal:
                break
            self.learn(first.command)

    @invariant
    def waiting_requests_stay_under_their_limit(self) -> bool:
        return len(self.queue) <= self.params.queue_max


def slot_cell(slot: int) -> str:
    return f"slot/{slot}"


class OneSidedClient(Client["OneSided"]):
    def reads_bypass_log(self) -> bool:
        return False


class OneSided(LogProtocol):
    name = "small-one-sided"
    summary = "A writer with the permission of a majority of memories writes commands into them."
    tags = Tags(leader=True, recovers_wiped=False, needs=("one_sided_memory",))

    round_s: float = parameter(
        default=0.5, above=0, doc="after which a silent memory counts as gone"
    )
    follow_s: float = parameter(
        default=0.05, above=0, doc="between two looks into the memory next door"
    )
    queue_max: int = parameter(default=1000, at_least=1, doc="requests that wait; more are refused")

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", Writer, "r", links="stream"),
            Role("memory", LastingMemory, "m", beside="replica", cost="memory", links="stream"),
            Role("client", OneSidedClient, "c", "clients", place="client", cost="client"),
        )
