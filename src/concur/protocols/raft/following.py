"""Followers: how they make their logs agree with the leader's (5.3, 7).

A follower keeps an entry if the one before it is the leader's, and then all that precede it are
(log matching). `matched` is how far it knows that: what a message shows, and what is committed.

Links are datagrams here, and of the messages that a leader sends without waiting for answers one
often overtakes another. So a follower keeps what comes early for a moment; and its answers say up
to where it agrees, so that one answer is as good as all those before it.
"""

import msgspec

from concur.messages import size
from concur.node import invariant, on, seconds
from concur.protocols.raft.election import Elector
from concur.protocols.raft.log import EMPTY_MAX
from concur.protocols.raft.messages import Appended, AppendEntries, Entry, InstallSnapshot
from concur.values import Map

EARLY_MAX = 256
"""Messages that a follower keeps because they overtook others."""

EARLY_BYTES_MAX = 1 << 24
"""Bytes of them together: what has no room is refused, and comes again."""


class Early(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that came too early, and the bytes that it takes."""

    message: AppendEntries
    size: int


class Follower(Elector):
    """A follower's side of AppendEntries."""

    early: Map[int, Early] = Map()  # by the index that they follow
    early_bytes: int = 0
    streaming: bool = False  # entries of this leader have been appended

    # --- what mutants break ----------------------------------------------------------------------

    def commit_limit(self, m: AppendEntries) -> int:
        """What a follower may take for committed: nothing beyond what it knows to be in the
        leader's log too. The rest of its own may be about to be overwritten."""
        return min(m.committed, self.matched)

    # --- AppendEntries ---------------------------------------------------------------------------

    @on(AppendEntries, paper="5.2, 5.3")
    def append_entries(self, source: str, m: AppendEntries) -> None:
        if self.leader != source and source not in self.servers:
            return
        if m.term < self.term:
            answer = Appended(self.term, False, 0, 0, m.prev_index, 0, self.name)
            self.send(source, answer)
            return
        if m.term > self.term or self.leader != source:
            self.recognise(source, m.term)
        if not m.entries:
            if self.is_bound_by_leader():
                self.quiet_until = self.uptime + seconds(self.params.election_timeout_s[0])
            self.wait_for_leader()
        if self.installing:
            if m.round:  # a heartbeat was heard, and nothing more
                answer = Appended(self.term, True, self.matched, 0, 0, m.round, self.name)
                self.send(source, answer)
            return
        before = m.prev_index
        if before > self.matched:
            last = self.log.last_index
            if before > last and m.entries and self.streaming and self.keep_early(m):
                return
            if before > last or self.term_at(before) != m.prev_term:
                index = self.last_not_above(before, m.prev_term)
                term = self.term_at(index)
                answer = Appended(self.term, False, index, term, before, m.round, self.name)
                self.send(source, answer)
                return
        self.take(m)
        if self.early:
            self.take_early()
        self.send(source, Appended(self.term, True, self.matched, 0, 0, m.round, self.name))
        committed = self.commit_limit(m)
        if committed > self.committed:
            self.execute_to(committed)

    def take(self, m: AppendEntries) -> None:
        """Append what is new. `m.prev_index` is in both logs, so what precedes it is too (5.3)."""
        index = max(m.prev_index, self.matched)
        entries = m.entries[index - m.prev_index :]
        last = self.log.last_index
        if entries and last > index:
            # Skip what is there; the first that differs goes, with all that follow. An old message
            # finds everything there, and must not cut what came since.
            same = 0
            while same < len(entries) and index + same < last:
                if self.log[index + same + 1].term != entries[same].term:
                    self.cut_suffix(index + same)
                    break
                same += 1
            index, entries = index + same, entries[same:]
        if entries:
            self.streaming = True
            room = self.params.log_entries_max - len(self.log)
            if len(entries) > room:
                entries = self.fit(entries, room)
            self.log = self.log.append(*entries)
            self.adopt_configurations(index + 1, entries)
        self.matched = max(self.matched, index + len(entries))

    def fit(self, entries: tuple[Entry, ...], room: int) -> tuple[Entry, ...]:
        """As many as there is room for, and EMPTY_MAX of those without commands; see log.py."""
        self.observe("log_full")
        kept = next((at for at, e in enumerate(entries) if at >= room and e.commands), None)
        return entries[:kept][: max(room + EMPTY_MAX, 0)]

    def keep_early(self, m: AppendEntries) -> bool:
        """Keep it until what it overtook has come, if there is room; one for each place is enough.

        The limits are those of memory, so they count what came, not what a leader would send.
        """
        if m.prev_index in self.early:
            return True
        early = Early(m, size(m))
        held = self.early_bytes + early.size
        if len(self.early) >= EARLY_MAX or held > EARLY_BYTES_MAX:
            return False
        self.early, self.early_bytes = self.early.put(m.prev_index, early), held
        return True

    def take_early(self) -> None:
        while (early := self.early.get(self.matched)) is not None:
            self.drop_early((self.matched,))
            self.take(early.message)
        self.drop_early(tuple(index for index in self.early if index < self.matched))

    def drop_early(self, places: tuple[int, ...]) -> None:
        self.early_bytes -= sum([self.early[index].size for index in places])
        self.early = self.early.without(places)

    def forget_early(self) -> None:
        self.early, self.early_bytes, self.streaming = Map(), 0, False

    @on(InstallSnapshot, paper="7")
    def be_offered(self, source: str, m: InstallSnapshot) -> None:
        if m.term < self.term or source not in self.servers:
            return  # the next heartbeat is answered with our term
        if m.term > self.term or self.leader != source:
            self.recognise(source, m.term)
        if m.index > self.committed:
            self.fetch_snapshot(source)

    def report_match(self) -> None:
        """An installed snapshot is durable: say so, and do not wait to be asked."""
        if self.leader:
            self.send(self.leader, Appended(self.term, True, self.matched, 0, 0, 0, self.name))

    @invariant
    def what_comes_early_stays_under_its_limits(self) -> bool:
        return len(self.early) <= EARLY_MAX and 0 <= self.early_bytes <= EARLY_BYTES_MAX
