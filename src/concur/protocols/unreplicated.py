"""Unreplicated: one durable server, the upper bound that every comparison shows.

**Problem.** What does replication cost? Compare with a server that does the same work for its
clients, at most once for each command, with the same client, log and snapshots, and no replicas.

**Idea.** Append each command to a log, execute it, reply when the log is synced.

**When to use it.** When losing the service with its machine, and the data with its disk, is fine.

**What it costs.** Two messages and a share of a sync for each command; reads touch no disk. While
the server is down, nothing is answered; clients say so at their deadline. There is exactly one
server, whatever number of replicas a driver is asked for. A wiped server has lost commands that it
acknowledged; it stays silent for ever rather than pretend that they never were.

**Paper.** None. It is the "unreplicated" baseline of many evaluations, as of "Viewstamped
Replication Revisited", "NOPaxos" and "Scaling Replicated State Machines with Compartmentalization".
"""

from concur.base import Circumstances, Role, Tags
from concur.effects import Snapshot, Start
from concur.logs import Log, Mark
from concur.messages import Command
from concur.node import durable, invariant, on
from concur.parts.client import Client, Read, Reply, Request
from concur.parts.parameters import LogProtocol
from concur.parts.transfer import Snapshots

EMPTY, READY, LOST = "", "ready", "lost"


class Server(Snapshots["Unreplicated"]):
    """Log, execute, reply. Replies wait for the sync, as everything visible does (CORE 5)."""

    disk: str = durable(EMPTY)
    log: Log[Command] = durable(Log())

    @on(Start)
    def start(self, event: Start) -> None:
        if event.kind == "new":
            self.disk = READY
        elif event.kind == "wiped" or self.disk == EMPTY:
            # A restart that finds nothing written may follow a wipe whose first record was lost.
            self.disk = LOST
        if self.disk == LOST:
            self.observe("lost")
            return
        self.load_saved(event.snapshot)
        for index in range(self.executed + 1, self.log.last_index + 1):
            self.execute(self.log[index])
            self.decide(index, self.log[index])
        if event.kind == "new":
            self.observe("leader", (1, self.id))

    @on(Request)
    def serve(self, source: str, m: Request) -> None:
        if self.disk == LOST:
            return
        command = m.command
        self.log = self.log.append(command)
        result = self.execute(command)
        self.decide(self.executed, command)
        self.send(source, Reply(command.session, command.seq, result))
        if self.executed % self.params.snapshot_every == 0:
            self.take_snapshot((0, ""))

    @on(Read)
    def read(self, source: str, m: Read) -> None:
        """What is executed may not be synced yet; the reply waits until it is."""
        if self.disk != LOST:
            self.send(source, Reply(m.session, m.seq, self.query(m.body)))

    def executed_mark(self) -> Mark | None:
        return None if self.disk == LOST else (0, "")

    def is_ahead(self, index: int, mark: Mark) -> bool:
        return False  # there is nobody to fetch from

    def take_over(self, snapshot: Snapshot) -> None:
        raise AssertionError("nothing is fetched")

    def cut_log(self, snapshot: Snapshot) -> None:
        self.log = self.log.compact(snapshot.index, snapshot.mark)

    @invariant
    def everything_logged_is_executed(self) -> bool:
        return self.executed == self.log.last_index


class UnreplicatedClient(Client["Unreplicated"]):
    """The shared client."""


class Unreplicated(LogProtocol):
    """One durable server: the upper bound of speed, and no availability while it is down."""

    name = "unreplicated"
    summary = "One durable server: the upper bound, unavailable while its one node is down."
    paper = "none: the usual baseline"
    tags = Tags(leader=True, crash_tolerant=False, recovers_wiped=False)

    def interchangeable(self, world: Circumstances) -> tuple[tuple[str, ...], ...]:
        return (world.config.role("client"),)

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("server", Server, "r", 1),
            Role("client", UnreplicatedClient, "c", "clients", place="client", cost="client"),
        )
