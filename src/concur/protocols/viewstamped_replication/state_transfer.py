"""State transfer: how a replica gets what it lacks (5.2), and what it must not forget meanwhile.

Two things can be asked for. **What is committed** is true whoever tells it, in any view and epoch,
and is executed by whoever hears it. **The log of a view** is what a replica of that view holds.

**What is never done: cutting the log because a higher view exists.** The paper has a replica that
hears of a higher view "set its op-number to its commit-number and remove all entries after this
from its log", ask for state, and go on in that view. But what it cuts away it has acknowledged, and
others may rely on it: if the primary of the higher view crashes before the answer comes, the next
view change counts this replica, whose log may be the only one left with a committed operation.
(J. Vanlightly found it with a model of VRR: bug V1.) So:

* The log stays as it is, and with it `last_normal_view`, until the *whole* log with which the view
  began is here. It is gathered aside, in `arriving`, and then both change in one step.
* An entry of the log gives way only to one that is known to be committed in its place. Then the
  entry, and what follows it, was never committed, and never will be: if a later view committed
  another entry there, its log did not have this one, so no quorum had acknowledged it before.
"""

from concur.effects import Timer
from concur.messages import Message
from concur.node import on, seconds
from concur.protocols.viewstamped_replication.messages import (
    NO_VIEW,
    Entry,
    GetState,
    NewState,
    PrepareOk,
)
from concur.protocols.viewstamped_replication.state import (
    NORMAL,
    RECOVERING,
    VIEW_CHANGE,
    State,
)

UNKNOWN = -1
NOT_YET = -1


class StateTransfer(State):
    """Asks for what it has heard of and does not have."""

    known: int = 0  # operations up to it are committed, somebody said,
    teacher: str = ""  # namely this one
    heard: int = 0  # the primary's log reaches to it
    asking: bool = False
    asked: int = 0  # how often without an answer

    begun: bool = False  # in a view change: the view has begun, and its log is needed
    best: str = ""  # in a view change: whose log this new primary needs
    goal: int = UNKNOWN  # in either case: up to where
    arriving: tuple[Entry, ...] = ()  # the log of a view from behind what is executed,
    arriving_after: int = 0  # that is, from behind this

    # --- asking ----------------------------------------------------------------------------------

    def missing(self) -> tuple[str, Message] | None:
        """Whom to ask for what, if anything is missing."""
        if self.committed < self.known:
            return self.teacher, GetState(self.epoch, NO_VIEW, self.committed)
        if self.status == NORMAL:
            if self.op_number < self.heard and not self.leads():
                return self.primary, GetState(self.epoch, self.view, self.op_number)
        elif self.status == VIEW_CHANGE:
            if self.begun and self.primary != self.id:
                return self.primary, GetState(self.epoch, self.view, self.gathered())
            if self.best:
                return self.best, GetState(self.epoch, self.view, self.gathered())
        return None

    def ask(self) -> None:
        """Ask at once, and again while no answer comes."""
        missing = self.missing()
        if missing is None:
            return
        to, message = missing
        if self.asked > 0 and not (self.status == VIEW_CHANGE and self.best):
            # Whoever was asked keeps silent, or does not have it. Others may.
            sources = self.snapshot_sources()
            to = sources[self.asked % len(sources)]
        self.send(to, message)
        self.asking = True
        self.set_timer("catch-up", seconds(self.params.resend_s))

    @on(Timer("catch-up"))
    def ask_again(self) -> None:
        self.asking = False
        self.asked += 1
        self.ask()

    def catch_up(self, source: str, known: int) -> None:
        """`source` says that operations up to `known` are committed."""
        if known > self.known:
            self.known, self.teacher, self.asked = known, source, 0
            if not self.asking:
                self.ask()

    def notice_gap(self, op_number: int) -> None:
        """The primary has more. Perhaps it is only late, on a network that reorders: wait a bit."""
        self.heard = max(self.heard, op_number)
        if not self.asking and self.op_number < self.heard:
            self.asking, self.asked = True, NOT_YET
            self.set_timer("catch-up", seconds(self.params.heartbeat_s))

    def progress(self) -> None:
        """Something has come that others waited for: go on with whatever that was."""
        self.complete_view()
        self.complete_choice()
        self.complete_recovery()
        self.asked = 0
        if self.missing() is not None:
            self.ask()
        elif self.asking:
            self.asking = False
            self.cancel_timer("catch-up")

    # --- answering -------------------------------------------------------------------------------

    @on(GetState, paper="5.2")
    def give_state(self, source: str, m: GetState) -> None:
        """Of a view's log, if this replica is in that view; else of what it knows is committed."""
        same = self.takes_part() and (m.epoch, m.view) == (self.epoch, self.view)
        last = self.op_number if same else min(self.committed, self.op_number)
        if m.after < max(self.log.base.index, self.installed):
            self.offer_snapshot(source)
            return
        entries = self.entries_after(m.after, last) if m.after < last else ()
        if same or entries:
            self.send(
                source,
                NewState(
                    self.epoch,
                    self.view if same else NO_VIEW,
                    self.last_normal_view,
                    m.after,
                    entries,
                    last,
                    min(self.committed, last),
                    self.start,
                ),
            )

    # --- receiving -------------------------------------------------------------------------------

    @on(NewState, paper="5.2")
    def take_state(self, source: str, m: NewState) -> None:
        if source not in self.config.universe or self.leads():
            return  # a primary's log is what its view is about: nobody tells it
        before = self.committed, self.gathered(), self.op_number
        self.learn(source, m)
        if m.epoch == self.epoch and m.view != NO_VIEW:
            self.take_log(source, m)
        if before != (self.committed, self.gathered(), self.op_number):
            self.progress()

    def learn(self, source: str, m: NewState) -> None:
        """Execute what is committed; see above for what becomes of the log."""
        learned = 0
        for index, entry in enumerate(m.entries, m.after + 1):
            if index != self.committed + 1 or index > m.commit_number:
                if index <= self.committed:
                    continue
                break
            log = self.log
            if self.awaits_disk:
                break
            if index > log.last_index:
                if len(log) >= self.params.log_entries_max:
                    self.observe("log_full")
                    break
                self.log = log.append(entry)
            elif log[index] != entry:
                self.log = log.truncate(index - 1).append(entry)
            self.execute_next()
            learned += 1
        if learned:
            self.observe("caught_up", learned)
        same = self.status == NORMAL and (m.epoch, m.view) == (self.epoch, self.view)
        if m.commit_number > self.known and not same:
            self.known, self.teacher = m.commit_number, source

    def take_log(self, source: str, m: NewState) -> None:
        """A part of the log of the view that this replica is in, or needs the log of."""
        normal = m.last_normal_view == m.view
        if self.status == NORMAL and m.view == self.view and normal:
            skip = self.op_number - m.after
            if 0 <= skip < len(m.entries) and not self.awaits_disk:
                room = self.params.log_entries_max - len(self.log)
                self.log = self.log.append(*m.entries[skip : skip + max(room, 0)])
                self.send(self.primary, PrepareOk(self.epoch, self.view, self.op_number))
            self.append_early()
            self.heard = max(self.heard, m.op_number)
            self.believe(source, m.commit_number)
        elif self.status == VIEW_CHANGE and m.view == self.view:
            if normal:
                self.follow(m.view)
                self.goal = m.start
                self.gather(m.after, m.entries)
                self.complete_view()
                self.believe(source, m.commit_number)
            elif source == self.best:
                self.gather(m.after, m.entries)
                self.complete_choice()
        elif self.status == RECOVERING and normal:
            self.take_recovered_log(m)

    def believe(self, source: str, commit_number: int) -> None:
        """What the primary of a view says of its own log is true of all logs of that view. Another
        replica may have learned more, from a later view, and corrected its log."""
        if self.status == NORMAL and source == self.primary:
            self.commit(commit_number)

    def gathered(self) -> int:
        """Up to where the log of the view is here: executed, or in `arriving`."""
        return max(self.committed, self.arriving_after + len(self.arriving))

    def gather(self, after: int, entries: tuple[Entry, ...]) -> None:
        done = self.committed - self.arriving_after
        self.arriving, self.arriving_after = self.arriving[done:], self.committed
        skip = self.gathered() - after
        if 0 <= skip < len(entries):
            self.arriving += entries[skip:]

    def install_log(self) -> None:
        """What was gathered takes the place of all that is not committed."""
        self.gather(self.committed, ())
        self.log = self.log.truncate(self.committed)
        if self.arriving:
            self.log = self.log.append(*self.arriving)
        self.arriving = ()

    # Overridden further up.

    def append_early(self) -> None:
        raise NotImplementedError

    def follow(self, view: int) -> None:
        raise NotImplementedError

    def complete_view(self) -> None:
        raise NotImplementedError

    def complete_choice(self) -> None:
        raise NotImplementedError

    def complete_recovery(self) -> None:
        raise NotImplementedError

    def take_recovered_log(self, m: NewState) -> None:
        raise NotImplementedError
