"""A sequencer in the network stamps requests, so that replicas agree on an order in one round trip.

A miniature of network-ordered replication (J. Li and others, "Just say NO to Paxos overhead", OSDI
2016) with one fixed leader, made to show what the core can express: a role in the network that
costs line rate, a multicast, a client that collects a quorum itself, datagram links with gaps.

A client sends its request to the sequencer, which numbers it and multicasts it. A replica that
receives number n after n-1 stores the request; one that finds a gap asks the others, and the leader
gives a slot up that nobody can fill. The client is done when the leader and one more have stored
its request in the same slot. A sequencer that restarts begins a new epoch, with stamps from 1 on;
the leader says where it begins in the log. The leader's durable log is the truth, so it must come
back after a crash; the others follow what it says, told by `Sync`.
"""

from typing import Any

import msgspec

from concur.base import Role, Tags, parameter
from concur.effects import Start, Timer
from concur.logs import Log
from concur.messages import NOOP, Command, Message
from concur.node import Node, durable, invariant, on, seconds
from concur.parts.client import Client, Operation, Reply, Request
from concur.parts.parameters import LogProtocol
from concur.values import Map, Set


class Entry(msgspec.Struct, frozen=True, array_like=True):
    epoch: int
    client: str
    command: Command


class Stamped(Message, frozen=True):
    """Sequencer -> replicas; and replica -> leader, for a slot that the leader misses."""

    stamp: int
    entry: Entry


class Stored(Message, frozen=True):
    """Replica -> client; `result` comes from the leader alone."""

    session: str
    seq: int
    slot: int
    result: bytes | None


class Missing(Message, frozen=True):
    epoch: int
    stamp: int


class Fetch(Message, frozen=True):
    after: int


class Fill(Message, frozen=True):
    after: int
    entries: tuple[Entry, ...]


class Sync(Message, frozen=True):
    """Leader -> replicas: the epoch, the slot before its first, and the log up to now."""

    epoch: int
    base: int
    last: int
    chain: bytes


class Sequencer(Node["Sequenced"]):
    stamp: int = 0

    @on(Request)
    def stamp_request(self, source: str, m: Request) -> None:
        self.stamp += 1
        entry = Entry(self.incarnation, source, m.command)  # an incarnation is never reused
        self.multicast("replica", Stamped(self.stamp, entry))


class Replica(Node["Sequenced"]):
    epoch: int = durable(0)
    base: int = durable(0)
    log: Log[Entry] = durable(Log())
    early: Map[int, Entry] = Map()  # by stamp, of this epoch
    gap: int = 0  # the stamp that the gap timer waits for

    @property
    def leader(self) -> str:
        return self.config.members[0]

    @on(Start)
    def start(self, event: Start) -> None:
        if self.id == self.leader:
            self.learn(self.log.last_index)
            self.set_timer("sync", seconds(self.params.sync_s))

    @on(Stamped)
    def receive(self, source: str, m: Stamped) -> None:
        if m.entry.epoch > self.epoch and self.id == self.leader:
            self.epoch, self.base, self.early = m.entry.epoch, self.log.last_index, Map()
            self.say_sync()
        if m.entry.epoch != self.epoch or self.base + m.stamp <= self.log.last_index:
            return
        if len(self.early) < self.params.early_max:
            self.early = self.early.put(m.stamp, m.entry)
        self.drain()

    def drain(self) -> None:
        """Store what is next in order, and ask for what is missing."""
        while True:
            slot = self.log.last_index + 1
            entry = self.early.get(slot - self.base)
            if entry is None:
                break
            self.early = self.early.remove(slot - self.base)
            self.store(slot, entry)
        stamp = self.log.last_index + 1 - self.base
        if self.early and self.gap != stamp:
            self.gap = stamp
            self.observe("gap", stamp)
            if self.id == self.leader:
                self.multicast("replica", Missing(self.epoch, stamp))
                self.set_timer("gap", seconds(self.params.gap_s))
            else:
                self.send(self.leader, Fetch(self.log.last_index))

    def store(self, slot: int, entry: Entry) -> None:
        self.log = self.log.append(entry)
        result = None
        if self.id == self.leader:
            result = self.learn(slot)
        if entry.client:
            self.send(entry.client, Stored(*entry.command.id, slot, result))

    def learn(self, upto: int) -> bytes | None:
        """Execute what is known to be in the leader's log."""
        result = None
        while self.executed < upto:
            slot = self.executed + 1
            self.decide(slot, self.log[slot].command)
            result = self.execute(self.log[slot].command)
        return result

    @on(Missing)
    def help_leader(self, source: str, m: Missing) -> None:
        if m.epoch != self.epoch:
            return
        slot = self.base + m.stamp
        found = self.log[slot] if slot in self.log else self.early.get(m.stamp)
        if found is not None and found.epoch == m.epoch and found.client:
            self.send(source, Stamped(m.stamp, found))

    @on(Timer("gap"))
    def give_up(self) -> None:
        """Nobody has it: the leader alone decides, and it has not got it."""
        slot = self.log.last_index + 1
        if self.gap == slot - self.base and self.early:
            self.store(slot, Entry(self.epoch, "", NOOP))
            self.say_sync()
            self.drain()

    @on(Timer("sync"))
    def say_sync_again(self) -> None:
        self.set_timer("sync", seconds(self.params.sync_s))
        self.say_sync()

    def say_sync(self) -> None:
        last = self.log.last_index
        self.multicast("replica", Sync(self.epoch, self.base, last, self.log.chain()))

    @on(Sync)
    def follow(self, source: str, m: Sync) -> None:
        if m.epoch < self.epoch:
            return
        if m.epoch > self.epoch:
            self.epoch, self.base, self.early, self.gap = m.epoch, m.base, Map(), 0
            self.log = self.log.truncate(max(m.base, self.executed))
        if m.last < self.executed:
            return  # an old one
        if self.log.last_index < m.last:
            self.send(source, Fetch(self.executed))
        elif self.log.truncate(m.last).chain() != m.chain:
            self.log = self.log.truncate(self.executed)  # it gave up a slot that we had
            self.send(source, Fetch(self.executed))
        else:
            self.learn(m.last)

    @on(Fetch)
    def supply(self, source: str, m: Fetch) -> None:
        if self.id == self.leader and m.after <= self.log.last_index:
            self.send(source, Fill(m.after, self.log.since(m.after, self.params.fill_max)))

    @on(Fill)
    def take(self, source: str, m: Fill) -> None:
        if m.after > self.log.last_index or m.after < self.executed:
            return
        if any(entry.epoch > self.epoch for entry in m.entries):
            return  # the next Sync says where that epoch begins
        if self.log.since(m.after, len(m.entries)) != m.entries:
            self.log = self.log.truncate(m.after).append(*m.entries)
        if m.after == self.executed:  # else what lies between has not been compared
            self.learn(m.after + len(m.entries))
        self.drain()

    @invariant
    def early_entries_stay_under_their_limit(self) -> bool:
        return len(self.early) <= self.params.early_max


class SequencedClient(Client["Sequenced"]):
    """Sends to the sequencer and counts who has stored its request, slot by slot."""

    stored: Map[tuple[str, int], Map[int, Set[str]]] = Map()
    results: Map[tuple[str, int], tuple[int, bytes | None]] = Map()

    def reads_bypass_log(self) -> bool:
        return False

    def _send(self, operation: Operation, **how: Any) -> None:  # type: ignore[override]
        how["to"] = self.config.role("sequencer")[0]
        super()._send(operation, **how)

    @on(Stored)
    def count(self, source: str, m: Stored) -> None:
        key = (m.session, m.seq)
        if self._find(*key) is None:
            return
        slots = self.stored.get(key, Map())
        votes = slots.get(m.slot, Set()).add(source)
        self.stored = self.stored.put(key, slots.put(m.slot, votes))
        if source == self.config.members[0]:
            self.results = self.results.put(key, (m.slot, m.result))
        slot, result = self.results.get(key, (0, None))
        enough = len(self.config.members) // 2 + 1
        voters = self.stored[key].get(slot, Set())
        if slot and len(voters) >= enough:
            self.stored, self.results = self.stored.discard(key), self.results.discard(key)
            self.take_answer(self.config.members[0], Reply(m.session, m.seq, result))


class Sequenced(LogProtocol):
    name = "small-sequencer"
    summary = "A sequencer stamps a multicast; one leader's log is the truth."
    tags = Tags(leader=True, crash_tolerant=False, recovers_wiped=False, needs=("sequencer",))

    gap_s: float = parameter(
        default=0.02, above=0, doc="how long the leader waits for a missing stamp"
    )
    sync_s: float = parameter(
        default=0.05, above=0, doc="between two words of the leader to the others"
    )
    early_max: int = parameter(
        default=1000, at_least=1, doc="requests kept that came before their turn"
    )
    fill_max: int = parameter(default=100, at_least=1, doc="entries in one answer")

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", Replica, "r"),
            Role("sequencer", Sequencer, "s", 1, place="network", cost="switch"),
            Role("client", SequencedClient, "c", "clients", place="client", cost="client"),
        )
