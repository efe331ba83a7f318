"""Leaders: how they bring other logs to agree with theirs, and what is committed when (5.3, 5.4.2).

**Flow control.** What a leader knows of a follower is its `Progress`, in one of three states:

* `probe`: where the logs agree is a guess. One message at a time, from the guess on.
* `replicate`: they agree up to `match`, and each new entry is sent at once, without waiting for the
  answers to those before it, while less than `window_max` entries are unacknowledged.
* `snapshot`: what it needs was cut away. It is told to fetch a snapshot, until it has one.

No message has more than MESSAGE_COMMANDS_MAX commands or, but for a single entry, MESSAGE_BYTES_MAX
bytes of them.

**Loss.** Links are datagrams here. A follower's answers say up to where it agrees, not what came. A
leader notes what it has sent when it sends a heartbeat. What was noted one heartbeat earlier, and
is not acknowledged when this one is answered, it takes for lost: it begins again behind what is
acknowledged. That takes no timer beyond the heartbeat, whatever a round trip takes, and no answer
is waited for that a crash may have swallowed.
"""

from typing import ClassVar

import msgspec

from concur.effects import Timer
from concur.messages import Command
from concur.node import invariant, on, seconds
from concur.protocols.raft.following import Follower
from concur.protocols.raft.log import LEADER
from concur.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Configuration,
    Entry,
    InstallSnapshot,
    Name,
    server_of,
)

PROBE, REPLICATE, SNAPSHOT = "probe", "replicate", "snapshot"

MESSAGE_COMMANDS_MAX = 1024
"""Commands (and entries) in one AppendEntries."""

MESSAGE_BYTES_MAX = 1 << 20
"""Bytes of commands in one AppendEntries of more than one entry."""


class Progress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a leader knows of a follower. Figure 2 calls two of these matchIndex and nextIndex."""

    name: Name
    state: str
    match: int  # the follower's log equals ours up to here: it has said so
    floor: int  # from here on it is sent entries: `match`, or a guess while probing
    next: int  # the next entry to send
    sent: int = 0  # what had been sent at a heartbeat,
    due: int = 0  # and at one before that;
    beat: int = 0  # and the round of the later one


class Replicator(Follower):
    """A leader's side of AppendEntries."""

    progress: tuple[Progress, ...] = ()
    first: int = 0  # the index of its first entry: what precedes it was inherited
    quorum_mark: int = 0  # the heartbeat round at the last look for a quorum

    unordered_: ClassVar[tuple[str, ...]] = ("progress",)

    # --- what mutants break ----------------------------------------------------------------------

    def may_commit(self, index: int) -> bool:
        """5.4.2: a leader counts replicas for entries of its own term only, and commits the others
        with them. An entry of an older term can be on a majority and yet be overwritten, by a
        leader that was elected before it got there (figure 8, mutant R2)."""
        return self.term_at(index) == self.term

    def append_first_entry(self) -> None:
        """Section 8: an entry of the leader's own term, with no command in it. When it is committed
        so is all that precedes it, which a leader cannot count for itself (5.4.2); only then does
        it know what is committed, for reads (8) and for its configuration (membership.py, R1)."""
        self.append(Entry(self.term))

    # --- leaders ---------------------------------------------------------------------------------

    def lead(self) -> None:
        self.role, self.leader, self.votes = LEADER, self.id, ()
        self.cancel_timer("election")
        self.cancel_timer("ask")
        self.observe("leader", self.term)
        last = self.log.last_index
        self.first = last + 1
        self.progress = ()
        self.meet(self.configuration)
        self.quorum_mark = self.round
        self.renew_reads()
        self.append_first_entry()
        if self.params.check_quorum:
            self.set_timer("quorum", seconds(self.params.election_timeout_s[1]))
        self.beat()

    def meet(self, configuration: Configuration) -> None:
        """Replicate to all that `configuration` names, and to whom it was done before."""
        last = self.log.last_index
        known = {server_of(p.name) for p in self.progress} | {self.id}
        servers = dict.fromkeys(map(server_of, configuration.names))
        names = [configuration.name_at(server) for server in servers if server not in known]
        probes = [Progress(name, PROBE, 0, last, last + 1) for name in names]
        self.progress = tuple(sorted((*self.progress, *probes), key=_by_name))

    def stop_leading(self) -> None:
        self.cancel_timer("heartbeat")
        self.cancel_timer("quorum")
        self.progress = ()

    @on(Timer("quorum"), paper="dissertation 6.2")
    def check_quorum(self) -> None:
        """A leader that no majority answers can do nothing for its clients: let them go."""
        heard = [name for name, round in self.acked.items() if round > self.quorum_mark]
        if not self.configuration.quorums.is_phase1((self.name, *heard)):
            self.step_down(self.term)
            return
        self.quorum_mark = self.round
        self.set_timer("quorum", seconds(self.params.election_timeout_s[1]))

    def leads(self) -> bool:
        return self.role == LEADER

    def has_room(self) -> bool:
        under_way = self.log.last_index - max(self.committed, self.first)
        return (
            self.role == LEADER
            and under_way < self.params.pipeline_max
            and len(self.log) < self.params.log_entries_max
        )

    def is_under_way(self, command: Command) -> bool:
        return any(command in self.log[index].commands for index in self.waiting)

    def propose(self, clients: tuple[str, ...], batch: tuple[Command, ...]) -> None:
        self.waiting = self.waiting.put(self.log.last_index + 1, clients)
        self.append(Entry(self.term, batch))

    def append(self, entry: Entry) -> None:
        """Leaders only ever append to their logs (5.3). Their own copy counts at once, for nothing
        leaves that rests on it before it is on disk (CORE.md, 5)."""
        before = self.log.last_index
        before_term = self.term_at(before)
        self.log = self.log.append(entry)
        index = before + 1
        if entry.configuration is not None:
            self.adopt_configurations(index, (entry,))
            self.meet(entry.configuration)
        message = AppendEntries(self.term, before, before_term, (entry,), self.committed, 0)
        window, progress = self.params.window_max, []
        for p in self.progress:
            if p.next == index and (
                index - p.match <= window if p.state == REPLICATE else p.floor == before
            ):
                self.send(server_of(p.name), message)
                p = Progress(
                    p.name, p.state, p.match, p.floor, index + 1, p.sent, p.due, p.beat
                )  # fmt: skip
            progress.append(p)
        self.progress = tuple(progress)
        if len(self.configuration.voters) == 1:
            self.commit_what_is_agreed()

    def feed(self, p: Progress) -> Progress:
        """Send what follows `p.next`, as far as its state allows."""
        log = self.log
        last = log.last_index
        while p.state != SNAPSHOT and p.next <= last:
            before = p.next - 1
            if before < log.base.index:
                return self.offer(p)
            if p.state == PROBE and before > p.floor:
                break
            if before - p.match >= self.params.window_max and p.state == REPLICATE:
                break
            entries = self.entries_after(before)
            self.send(
                server_of(p.name),
                AppendEntries(
                    self.term, before, self.term_at(before), entries, self.committed, 0
                ),
            )  # fmt: skip
            p = msgspec.structs.replace(p, next=p.next + len(entries))
        return p

    def entries_after(self, index: int) -> tuple[Entry, ...]:
        found = self.log.since(index, self.params.window_max)
        size = commands = 0
        for at, entry in enumerate(found):
            commands += 1 + len(entry.commands)
            size += sum([len(command.body) for command in entry.commands])
            if at and (commands > MESSAGE_COMMANDS_MAX or size > MESSAGE_BYTES_MAX):
                return found[:at]
        return found

    def offer(self, p: Progress) -> Progress:
        base = self.log.base.index
        self.send(server_of(p.name), InstallSnapshot(self.term, base))
        return Progress(p.name, SNAPSHOT, p.match, base, base + 1)

    # --- heartbeats ------------------------------------------------------------------------------

    @on(Timer("heartbeat"), paper="5.2")
    def beat(self) -> None:
        base = self.log.base.index
        self.progress = tuple(
            self.offer(p) if p.floor < base else p for p in self.progress
        )  # cut away meanwhile
        self.begin_round()
        acked = self.acked
        self.progress = tuple(
            msgspec.structs.replace(p, sent=p.next - 1, due=p.sent, beat=self.round)
            if acked.get(p.name, 0) >= p.beat
            else p  # a round trip takes longer than from one heartbeat to the next
            for p in self.progress
        )
        self.set_timer("heartbeat", seconds(self.params.heartbeat_s))

    def send_round(self) -> None:
        last: AppendEntries | None = None
        for p in self.progress:
            last = self.send_heartbeat(p, last)

    def send_heartbeat(self, p: Progress, last: AppendEntries | None = None) -> AppendEntries:
        """It follows an entry that the follower has, so that it need not wait for those behind.

        Most followers have the same, so what the `last` one was sent often does again.
        """
        at = max(p.floor, self.log.base.index)
        if last is None or last.prev_index != at:
            last = AppendEntries(self.term, at, self.term_at(at), (), self.committed, self.round)
        self.send(server_of(p.name), last)
        return last

    # --- answers ---------------------------------------------------------------------------------

    @on(Appended, paper="5.3")
    def take_answer(self, source: str, m: Appended) -> None:
        if source not in self.servers:
            return
        if m.term > self.term:
            self.step_down(m.term)
            return
        if m.term < self.term or self.role != LEADER:
            return  # an answer to an earlier leader proves nothing about now (R6)
        p = next((p for p in self.progress if p.name == m.name), None)
        if p is None:
            self.meet_stranger(source, m.name)
            return
        if m.round:
            self.hear_round(m.name, m.round)
        old = p
        p = self.advance(p, m.index) if m.success else self.retreat(p, m)
        if 0 < p.beat <= m.round and p.match < p.due and p.state != SNAPSHOT:
            # Lost: sent a heartbeat before the one that is answered here, and not there.
            p = Progress(p.name, PROBE, p.match, p.floor, p.floor + 1)
        if p.next <= self.log.last_index:
            p = self.feed(p)
        if p is not old:
            self.progress = tuple([p if q is old else q for q in self.progress])
            if p.match > self.committed and p.match > old.match:
                self.commit_what_is_agreed()
            self.has_answered(p)

    def advance(self, p: Progress, index: int) -> Progress:
        if index == p.match and p.state == REPLICATE:
            return p
        match = max(p.match, index)
        if index < p.floor:  # a late answer, or one from before its log ended where it does now
            return p if match == p.match else msgspec.structs.replace(p, match=match)
        following = max(p.next, match + 1)
        if p.state == SNAPSHOT:
            following = match + 1
        return Progress(p.name, REPLICATE, match, match, following, p.sent, p.due, p.beat)

    def retreat(self, p: Progress, m: Appended) -> Progress:
        """5.3: the logs disagree at `m.rejected`. Go back by whole terms: to the last entry of ours
        whose term is not above that of the follower's, and none in between can agree."""
        if p.state == SNAPSHOT:
            return self.offer(p) if m.rejected == p.floor else p
        if m.rejected <= p.match or (p.state == PROBE and m.rejected != p.floor):
            return p  # the answer to an earlier question
        if m.index < self.log.base.index:
            return self.offer(p)
        floor = min(self.last_not_above(m.index, m.index_term), m.rejected - 1)
        floor = max(floor, p.match)
        return Progress(p.name, PROBE, p.match, floor, floor + 1)

    def commit_what_is_agreed(self) -> None:
        index = self.agreed()
        if index > self.committed and self.may_commit(index):
            self.execute_to(index)
            if self.reads:
                self.serve_reads()
            self.has_committed()

    def agreed(self) -> int:
        """The last index that a quorum holds; if the members change, a quorum of both (6). A leader
        that is no member counts the others only."""
        held = [(p.match, p.name) for p in self.progress]
        held.append((self.log.last_index, self.name))
        held.sort(reverse=True)
        quorums, names = self.configuration.quorums, []
        for index, name in held:
            if index <= self.committed:
                break
            names.append(name)
            if quorums.is_phase2(names):
                return index
        return self.committed

    # Overridden further up.

    def meet_stranger(self, source: str, name: Name) -> None:
        raise NotImplementedError

    def has_answered(self, p: Progress) -> None:
        raise NotImplementedError

    def has_committed(self) -> None:
        raise NotImplementedError

    @invariant
    def a_leader_begins_with_an_entry_of_its_own(self) -> bool:
        return self.role != LEADER or 0 < self.first <= self.log.last_index


def _by_name(p: Progress) -> Name:
    return p.name
