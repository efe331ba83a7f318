"""What a replica knows (figure 2 of the paper), its log, and how it is cut (5.1)."""

from typing import TYPE_CHECKING

from concur.effects import Snapshot
from concur.logs import Base, Log, Mark
from concur.messages import Command
from concur.node import invariant
from concur.parts.client import Reply
from concur.parts.reads import QuorumReads
from concur.parts.transfer import Snapshots
from concur.protocols.viewstamped_replication.messages import UNBORN, Configuration, Entry
from concur.values import Map

if TYPE_CHECKING:
    from concur.protocols.viewstamped_replication import ViewstampedReplication  # noqa: F401

NORMAL, VIEW_CHANGE, RECOVERING = "normal", "view-change", "recovering"
TRANSITIONING, PASSIVE = "transitioning", "passive"

MESSAGE_COMMANDS_MAX = 1024
"""Commands (and entries) in one message; the rest is asked for."""
MESSAGE_BYTES_MAX = 1 << 20
"""Bytes of commands in one message, if it is more than one entry."""

NOBODY = Configuration(0, 0, (), ())


class State(Snapshots["ViewstampedReplication"], QuorumReads["ViewstampedReplication"]):
    """The fields that others rely on, and those that follow from them.

    Whether the first group is on disk is the only difference between the two protocols of this
    package (`Replica` and `ReplicaOnDisk` in reconfiguration.py).
    """

    configuration: Configuration = NOBODY
    status: str = PASSIVE
    view: int = 0
    last_normal_view: int = 0
    log: Log[Entry] = Log()
    born: int = UNBORN
    reborn: Map[str, int] = Map()

    committed: int = 0  # the commit-number; what is committed is executed at once
    start: int = 0  # where the log ended with which this view began
    installed: int = 0  # entries up to it may be stale: a snapshot took their place
    waiting: Map[int, tuple[str, ...]] = Map()  # clients of a primary, by op-number

    @property
    def epoch(self) -> int:
        return self.configuration.epoch

    @property
    def op_number(self) -> int:
        return self.log.last_index

    @property
    def primary(self) -> str:
        return self.configuration.primary(self.view)

    @property
    def others(self) -> tuple[str, ...]:
        return tuple([m for m in self.configuration.members if m != self.id])

    def leads(self) -> bool:
        if self.status != NORMAL:
            return False
        members = self.configuration.members
        return members[self.view % len(members)] == self.id

    def takes_part(self) -> bool:
        """Whether it has a say in the views of its epoch."""
        return self.status == NORMAL or self.status == VIEW_CHANGE

    @property
    def awaits_disk(self) -> bool:
        """Whether a fetched snapshot runs here that is not durable yet. What the log has at its
        place may be wrong, however long it is, and a crash would bring that back: until then
        nothing is acknowledged and no view entered that rests on it."""
        return self.installed > (0 if self.saved is None else self.saved.mark[0])

    def is_quorum(self, replicas: tuple[str, ...]) -> bool:
        return self.configuration.quorums.is_phase1(replicas)

    @property
    def ending(self) -> bool:
        """Whether the log ends with a change of members: nothing may follow it in this epoch."""
        last = self.log.last_index
        return last > self.configuration.start and len(self.log) > 0 and (
            self.log[last].change is not None
        )  # fmt: skip

    # --- execution -------------------------------------------------------------------------------

    def execute_next(self) -> None:
        """Execute the entry that follows; answer its clients if this replica proposed it."""
        index = self.committed + 1
        entry = self.log[index]
        self.committed = index
        before = self.executed
        clients = self.waiting.get(index, ())
        if clients:
            self.waiting = self.waiting.remove(index)
        for at, command in enumerate(entry.commands):
            result = self.execute(command)
            self.decide(self.executed, command)
            if clients:
                self.answer(clients[at], command, result)
        if entry.change is not None:
            self.begin_epoch(entry.change)
        # At places which the log alone decides, so that replicas take the same snapshots. None
        # while a restarted replica executes what precedes its epoch: it would name the wrong one.
        every = self.params.snapshot_every
        if (
            self.executed // every != before // every or index % every == 0
        ) and index >= self.configuration.start:
            self.take_snapshot((index, ""))

    def answer(self, client: str, command: Command, result: bytes | None) -> None:
        self.send(client, Reply(command.session, command.seq, result))

    def commit(self, upto: int) -> None:
        """Execute entries of this replica's log, which are known to be committed up to `upto`."""
        while self.committed < min(upto, self.log.last_index):
            self.execute_next()

    def entries_after(self, after: int, last: int) -> tuple[Entry, ...]:
        """As many entries as fit into a message, of those after `after` and up to `last`."""
        found = self.log.since(after, min(last - after, MESSAGE_COMMANDS_MAX))
        size = commands = 0
        for at, entry in enumerate(found):
            commands += 1 + len(entry.commands)
            size += sum([len(command.body) for command in entry.commands])
            if at and (commands > MESSAGE_COMMANDS_MAX or size > MESSAGE_BYTES_MAX):
                return found[:at]
        return found

    # --- snapshots (5.1) -------------------------------------------------------------------------

    def membership(self) -> tuple[str, ...]:
        c = self.configuration
        names = [f"{m}#{born}" for m, born in zip(c.members, c.born, strict=True)]
        return (str(c.epoch), str(c.start), *names)

    def executed_mark(self) -> Mark | None:
        # Not while `configuration` is another than that of the epoch in which this was executed.
        behind = self.awaits_disk or self.committed < self.configuration.start
        return None if behind else (self.committed, "")

    def is_ahead(self, index: int, mark: Mark) -> bool:
        return mark[0] > self.committed and not self.leads()

    def take_over(self, snapshot: Snapshot) -> None:
        """A fetched snapshot runs here. The log goes on from it once it is durable."""
        self.committed = self.installed = snapshot.mark[0]
        if self.saved is snapshot:
            self.go_on_from(snapshot)

    def cut_log(self, snapshot: Snapshot) -> None:
        """`snapshot` is durable: keep some of what it covers, for those that lag a little."""
        index = snapshot.mark[0]
        if index == self.installed:
            self.go_on_from(snapshot)
        if index <= self.installed:
            return  # an older one: the one that was fetched since follows, and the log is to wait
        upto = min(index, self.committed) - self.params.lag_max
        if upto > self.log.base.index:
            self.log = self.log.compact(upto, (upto, ""))
            self.observe("log_cut", upto)

    def go_on_from(self, snapshot: Snapshot) -> None:
        """Entries that a fetched snapshot covers were perhaps never committed as they stand here;
        they go whole. Those behind it stay: what this replica acknowledged it must not forget."""
        index, log = snapshot.mark[0], self.log
        if index > log.last_index:
            self.log = Log((), Base(index, snapshot.mark))
        elif index > log.base.index:
            self.log = log.compact(index, snapshot.mark)
        self.observe("log_cut", index)
        self.begin_epoch(configuration_in(snapshot))
        self.progress()

    # --- reads (concur.parts.reads) --------------------------------------------------------------

    def read_index(self) -> int:
        """What must be executed for a read that comes at time t.

        A primary's own log is not enough: another view may have begun without it. Let w be a
        command that completed before t, in view u; this replica is the primary of view v, of the
        same epoch. If u < v, w is in the log with which v began (view_change.py), which ends with
        `start`. If u = v, this replica counted and executed it. If u > v, the quorum that began u
        had left v before t. But a quorum acknowledges a Commit sent after t, each member while it
        was in view v. The two share a member, and nobody comes back to a view that it has left, not
        even one that lost its memory (recovery.py).

        What an earlier epoch completed precedes this one. A later epoch can complete something only
        after the change that ends this epoch was committed, in view u, before t. By the same cases,
        u is not above v; if u = v, this replica has executed the change and is in the later epoch;
        if u < v, the change is in the log up to `start`, and the read waits until it is executed.
        """
        return max(self.start, self.committed)

    def executed_index(self) -> int:
        return self.committed

    def is_read_quorum(self, replicas: tuple[str, ...]) -> bool:
        return self.is_quorum(replicas)

    # Overridden further up.

    def begin_epoch(self, change: Configuration) -> None:
        raise NotImplementedError

    def progress(self) -> None:
        raise NotImplementedError

    @invariant
    def the_log_reaches_what_is_executed(self) -> bool:
        return self.committed <= self.log.last_index or self.awaits_disk

    @invariant
    def a_normal_replica_has_the_log_of_its_view(self) -> bool:
        if self.status == NORMAL:
            return self.last_normal_view == self.view
        return self.status != VIEW_CHANGE or self.last_normal_view < self.view

    @invariant
    def only_members_take_part(self) -> bool:
        return not self.takes_part() or self.id in self.configuration.members

    @invariant
    def logs_stay_under_their_limit(self) -> bool:
        most = self.params.log_entries_max + self.params.pipeline_max + MESSAGE_COMMANDS_MAX
        return len(self.log) <= most


def configuration_in(snapshot: Snapshot) -> Configuration:
    """What `State.membership` has put into it."""
    epoch, start, *names = snapshot.members
    pairs = [name.rpartition("#") for name in names]
    members = tuple(member for member, _, _ in pairs)
    return Configuration(int(epoch), int(start), members, tuple(int(b) for _, _, b in pairs))
