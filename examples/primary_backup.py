"""Primary-backup: one replica orders the commands, and waits until a majority holds each.

The first replica is the primary. It appends a command to its log and sends it to the backups; when
a majority holds it, it is committed: the primary executes it and answers the client. A primary that
crashed goes on when it is back; nobody takes its place, which is what makes this small.

A majority is more than needed for that. It is what would let a backup take over safely, and the
first thing to add to this file.
"""

from collections.abc import Iterable

from concur import Map, Role, Tags, parameter
from concur.effects import SnapshotSaved, Start, Timer
from concur.logs import Log
from concur.messages import Command, Message
from concur.node import Node, durable, invariant, on, seconds
from concur.parts.client import Client, NotLeader, Overloaded, Reply, Request
from concur.parts.parameters import LogProtocol


class Append(Message, frozen=True):
    """Primary -> backup: the commands after index `after`; up to `committed` they are decided."""

    after: int
    commands: tuple[Command, ...]
    committed: int


class Ack(Message, frozen=True):
    """Backup -> primary: my log is durable up to `last`."""

    last: int


class Replica(Node["PrimaryBackup"]):
    log: Log[Command] = durable(Log())  # survives a crash
    committed: int = 0  # the rest is forgotten, and found out again
    saved: int = 0  # a snapshot holds what came up to here
    acked: Map[str, int] = Map()
    asked: Map[tuple[str, int], str] = Map()

    @property
    def primary(self) -> str:
        return self.config.members[0]

    @on(Start)
    def start(self, event: Start) -> None:
        if event.snapshot is not None:
            self.install(event.snapshot)
            self.committed = self.saved = self.executed
        if self.id == self.primary:
            self.set_timer("repeat", seconds(self.params.repeat_s))

    @on(Request)
    def order(self, source: str, m: Request) -> None:
        if self.id != self.primary:
            self.send(source, NotLeader(*m.command.id, self.primary))
        elif len(self.log) >= self.params.log_entries_max:
            self.send(source, Overloaded(*m.command.id))
        else:
            after = self.log.last_index
            self.log = self.log.append(m.command)
            self.asked = self.asked.put(m.command.id, source)
            self.multicast("replica", Append(after, (m.command,), self.committed))
            self.count_acks()

    @on(Append)
    def back_up(self, source: str, m: Append) -> None:
        last = self.log.last_index
        if m.after <= last < m.after + len(m.commands):
            room = self.params.log_entries_max - len(self.log)
            self.log = self.log.append(*m.commands[last - m.after :][:room])
        self.send(source, Ack(self.log.last_index))  # leaves when the log is on disk, not before
        self.commit(min(m.committed, self.log.last_index))

    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        if m.last > self.acked.get(source, -1):
            self.acked = self.acked.put(source, m.last)
            self.count_acks()
            self.cut_log()

    def count_acks(self) -> None:
        others = [self.acked.get(m, 0) for m in self.config.members if m != self.id]
        held = sorted([self.log.last_index, *others], reverse=True)
        self.commit(held[len(held) // 2])  # the index that a majority has reached

    def commit(self, upto: int) -> None:
        while self.committed < upto:
            self.committed += 1
            command = self.log[self.committed]
            self.decide(self.committed, command)
            result = self.execute(command)
            client = self.asked.get(command.id)
            if client is not None:
                self.asked = self.asked.remove(command.id)
                self.send(client, Reply(*command.id, result))
            if self.committed % self.params.snapshot_every == 0:
                self.save_snapshot(self.capture((self.committed, ""), self.config.members))

    @on(Timer("repeat"))
    def repeat(self) -> None:
        """Messages get lost. Whoever has less than we have is sent the next part again."""
        self.set_timer("repeat", seconds(self.params.repeat_s))
        for backup in self.config.members[1:]:
            after = max(self.acked.get(backup, 0), self.log.base.index)  # an Ack may be an old one
            commands = self.log.since(after, self.params.repeat_max)
            self.send(backup, Append(after, commands, self.committed))

    @on(SnapshotSaved)
    def snapshot_is_saved(self, index: int) -> None:
        self.saved = index
        self.cut_log()

    def cut_log(self) -> None:
        """Forget what is in a snapshot; the primary keeps what a backup may still need."""
        index = self.saved
        if self.id == self.primary:
            index = min([index, *(self.acked.get(m, 0) for m in self.config.members[1:])])
        if index > self.log.base.index:
            self.log = self.log.compact(index, (index, ""))

    @invariant
    def log_stays_under_its_limit(self) -> bool:
        return len(self.log) <= self.params.log_entries_max


class PrimaryBackupClient(Client["PrimaryBackup"]):
    def reads_bypass_log(self) -> bool:
        return False  # a read is a command like any other


class PrimaryBackup(LogProtocol):
    """A primary that orders, backups that hold."""

    name = "primary-backup"
    summary = "The first replica orders commands and waits for a majority; nobody takes its place."
    tags = Tags(leader=True, crash_tolerant=False, recovers_wiped=False)

    repeat_s: float = parameter(
        default=0.05, above=0, doc="between two repetitions to slow backups"
    )
    repeat_max: int = parameter(default=100, at_least=1, doc="commands in one repetition")
    log_entries_max: int = parameter(
        default=10_000, at_least=1, doc="commands in a log, then Overloaded"
    )

    def problems(self, replicas: int) -> Iterable[str]:
        if self.log_entries_max < self.snapshot_every:
            yield "log_entries_max is below snapshot_every: a full log would never be cut"

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", Replica, "r"),
            Role("client", PrimaryBackupClient, "c", "clients", place="client", cost="client"),
        )
