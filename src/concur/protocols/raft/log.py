"""The log: what is remembered, which configuration it names, executing it, cutting it (5.3, 7)."""

from functools import cached_property
from typing import TYPE_CHECKING

from concur.effects import Snapshot
from concur.logs import Base, Log, Mark
from concur.messages import Command
from concur.node import durable, invariant
from concur.parts.client import NotLeader, Reply
from concur.parts.reads import QuorumReads
from concur.parts.transfer import Snapshots
from concur.protocols.raft.messages import Configuration, Entry, Name
from concur.values import Map

if TYPE_CHECKING:
    from concur.protocols.raft import Raft  # noqa: F401 - named in quotes

FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER = "follower", "pre-candidate", "candidate", "leader"

UNBORN = -1
"""`born` of a disk on which nothing was ever written."""

EMPTY_MAX = 1024
"""Entries without commands that a full log takes all the same: without a leader's first entry
nothing is committed any more, and what is not committed cannot be cut."""


class Logged(Snapshots["Raft"], QuorumReads["Raft"]):
    """A log, and the machine that executes it."""

    # Figure 2, persistent state. A step's changes are one record, so `term` and `voted_for`, or a
    # cut and what takes its place, are never on disk one without the other.
    term: int = durable(0)
    voted_for: Name = durable("")
    log: Log[Entry] = durable(Log())
    born: int = durable(UNBORN)
    recovering: bool = durable(False)  # lost its disk, and no configuration names it yet

    # May be forgotten. `committed` is the paper's commitIndex and its lastApplied: what is known to
    # be committed is executed in the same step.
    role: str = FOLLOWER
    name: Name = ""
    committed: int = 0
    matched: int = 0  # up to here the log is that of the leader of `term`
    installing: int = 0  # the last index of a snapshot that runs here and is not durable yet
    configurations: tuple[tuple[int, Configuration], ...] = ()  # from the last committed one on
    waiting: Map[int, tuple[str, ...]] = Map()  # who asked this leader for what is at an index

    # --- looking things up -----------------------------------------------------------------------

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """Whose terms, votes and logs are believed: members and spares (CORE.md, 18)."""
        return self.config.universe

    def term_at(self, index: int) -> int:
        log = self.log
        base = log.base
        return base.mark[0] if index == base.index else log[index].term

    def last_not_above(self, index: int, term: int) -> int:
        """The last index up to `index` whose term is at most `term`; the log's base if none is.

        Terms never decrease along a log, so a binary search finds it.
        """
        low, high = self.log.base.index, min(index, self.log.last_index)
        while low < high:
            middle = (low + high + 1) // 2
            if self.log[middle].term <= term:
                low = middle
            else:
                high = middle - 1
        return low

    @property
    def configuration(self) -> Configuration:
        """Section 6: a server uses the latest configuration in its log, committed or not."""
        return self.configurations[-1][1]

    def adopt_configurations(self, first: int, entries: tuple[Entry, ...]) -> None:
        """Entries from `first` on were appended."""
        found = tuple(
            (first + at, entry.configuration)
            for at, entry in enumerate(entries)
            if entry.configuration is not None
        )
        if found:
            self.configurations = (*self.configurations, *found)

    def cut_suffix(self, last: int) -> None:
        """Forget entries after `last`, and the configurations that were among them."""
        assert last >= self.committed, f"what is committed, up to {self.committed}, was to be cut"
        self.log = self.log.truncate(last)
        self.configurations = tuple(c for c in self.configurations if c[0] <= last)

    # --- executing -------------------------------------------------------------------------------

    def execute_to(self, last: int) -> None:
        """Entries up to `last` are committed: execute them, and answer those who wait for it."""
        every = self.params.snapshot_every
        waiting = self.waiting
        while self.committed < last:
            index = self.committed = self.committed + 1
            entry = self.log[index]
            before = self.executed
            clients = waiting.get(index) if waiting else None
            for at, command in enumerate(entry.commands):
                result = self.execute(command)
                self.decide(self.executed, command)
                if clients is not None:
                    self.answer(clients[at], command, result)
            if clients is not None:
                waiting = self.waiting = waiting.remove(index)
            if entry.configuration is not None:
                self.settle(index, entry.configuration)
            # At places which the log alone decides, so that replicas take the same snapshots.
            if self.executed // every != before // every or index % every == 0:
                self.take_snapshot((index, str(entry.term)))

    def answer(self, client: str, command: Command, result: bytes | None) -> None:
        self.send(client, Reply(command.session, command.seq, result))

    def settle(self, index: int, configuration: Configuration) -> None:
        """The configuration at `index` is committed: those before it are history."""
        self.configurations = tuple(c for c in self.configurations if c[0] >= index)
        if not configuration.old:
            self.observe("members", index, configuration.members())
        self.learn_of_itself(configuration)

    def turn_away(self) -> None:
        """Nobody here will answer those who wait; what they asked for may be committed or not."""
        for index, clients in self.waiting.items():
            for client, command in zip(clients, self.log[index].commands, strict=True):
                self.send(client, NotLeader(command.session, command.seq, self.leader))
        self.waiting = Map()
        self.send_elsewhere()
        self.refuse_reads()

    # --- snapshots (section 7) -------------------------------------------------------------------

    def membership(self) -> tuple[str, ...]:
        """The configuration as of `committed`, with its index, in words."""
        at, configuration = next(c for c in reversed(self.configurations) if c[0] <= self.committed)
        kinds = ("voter", configuration.voters), ("old", configuration.old)
        pairs = (*kinds, ("learner", configuration.learners))
        return (str(at), *(f"{kind} {name}" for kind, names in pairs for name in names))

    def executed_mark(self) -> Mark | None:
        # While a fetched one is being saved, the log does not reach what is executed.
        return None if self.installing else (self.committed, str(self.term_at(self.committed)))

    def is_ahead(self, index: int, mark: Mark) -> bool:
        return self.role != LEADER and mark[0] > self.committed

    def take_over(self, snapshot: Snapshot) -> None:
        """A fetched snapshot runs here. The log goes on from it only when it is durable: until then
        nothing is appended, so nothing is acknowledged that a crash would forget."""
        index, term = place(snapshot.mark)
        if term > self.term or self.role != FOLLOWER:
            # A candidate too: what it lacks is no longer in a log that it could lead with.
            self.step_down(max(term, self.term))
        self.committed = index
        if self.holds(index, term):
            # Committed, so a later leader of this term or another has it: it is not to be cut.
            self.matched = max(self.matched, index)
        else:
            self.installing = index
        self.configurations = self.configurations_after(snapshot)
        configuration = self.configurations[0][1]
        if not configuration.old:
            self.observe("members", self.configurations[0][0], configuration.members())
        if not self.installing:
            self.learn_of_itself(configuration)

    def cut_log(self, snapshot: Snapshot) -> None:
        """The snapshot is durable: keep of what it covers only some for followers that lag."""
        index, term = place(snapshot.mark)
        log = self.log
        if self.holds(index, term):
            last = min(max(index - self.params.lag_max, log.base.index), index)
            if last > log.base.index:
                self.log = log.compact(last, (self.term_at(last), ""))
                self.observe("log_cut", last)
        elif index > log.base.index:
            # Section 7: what conflicts with the snapshot, or ends before it, goes whole.
            self.log = Log((), Base(index, (term, "")))
            self.observe("log_cut", index)
        if index <= self.log.last_index:
            self.matched = max(self.matched, index)  # what is committed is in the leader's log
        if index >= self.installing > 0:
            self.installing = 0
            self.learn_of_itself(self.configurations[0][1])
            self.report_match()

    def holds(self, index: int, term: int) -> bool:
        """Whether the log has that entry, or was cut behind it."""
        log = self.log
        if index <= log.base.index:
            return True
        return index <= log.last_index and log[index].term == term

    def configurations_after(
        self, snapshot: Snapshot | None
    ) -> tuple[tuple[int, Configuration], ...]:
        """That of the snapshot, and those in the log that follow it."""
        start, first = 0, (0, Configuration(self.config.members))
        if snapshot is not None:
            start, term = place(snapshot.mark)
            first = int(snapshot.members[0]), _configuration(snapshot.members[1:])
            if not self.holds(start, term):
                return (first,)
        following = tuple(
            (index, entry.configuration)
            for index, entry in self.log.items()
            if index > start and entry.configuration is not None
        )
        return (first, *following)

    # Overridden further up.

    def step_down(self, term: int) -> None:
        raise NotImplementedError

    def learn_of_itself(self, configuration: Configuration) -> None:
        raise NotImplementedError

    def report_match(self) -> None:
        raise NotImplementedError

    # They run after every step, so they look at the ends of the log and never along it.

    @invariant
    def nothing_is_committed_beyond_the_log(self) -> bool:
        return self.committed <= max(self.log.last_index, self.installing)

    @invariant
    def terms_never_decrease_along_the_log(self) -> bool:
        log = self.log
        last = log.last_index
        if len(log) < 2:
            return self.term_at(last) <= self.term
        return log[last - 1].term <= log[last].term <= self.term

    @invariant
    def what_equals_the_log_of_the_leader_is_in_the_log(self) -> bool:
        return self.log.base.index <= self.matched <= self.log.last_index

    @invariant
    def logs_stay_under_their_limit(self) -> bool:
        return len(self.log) <= self.params.log_entries_max + EMPTY_MAX


def place(mark: Mark) -> tuple[int, int]:
    """Index and term of the last entry in a snapshot. (Its own `index` counts commands.)"""
    return mark[0], int(mark[1])


def _configuration(words: tuple[str, ...]) -> Configuration:
    names: dict[str, list[Name]] = {"voter": [], "old": [], "learner": []}
    for word in words:
        kind, _, name = word.partition(" ")
        names[kind].append(name)
    return Configuration(*(tuple(names[kind]) for kind in ("voter", "old", "learner")))
