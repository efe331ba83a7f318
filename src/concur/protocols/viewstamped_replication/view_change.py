"""View changes: the log of a quorum becomes the log of the next view (4.2).

Replicas that do not hear the primary leave its view for the next one, and say so. When a quorum has
left, each sends what it knows to the primary of the new view. From a quorum of these, the new
primary takes **the log of the highest `last_normal_view`; among those, the longest** (mutant V3).

**Why that log has every committed operation.** Say an operation n was committed in view v: a quorum
W had it in their logs of v. By induction on views above v: a view u > v begins with a quorum D that
left v, each member before it sent its DoViewChange for u. D shares a member y with W. y
acknowledged n before it left v, so the last view in which y was normal, l, is v or a later one,
below u; and so is that of the log which was chosen, l' >= l. If l' > v, then the view l' began with
a log that has n, by induction, and whoever was normal in it got that log, whole. If l' = v, the log
that was chosen is one of view v, as y's is, and at least as long; all logs of a view are beginnings
of its primary's log, which has n. (With members that lost their memory: recovery.py.)

Two things of this are easily broken. A replica must not be normal in a view before it has that
view's log, whole; and it must not cut its log while it waits for one (both: state_transfer.py).

**How it ends.** A replica goes from a view that has not begun to the next one only if it knows that
a quorum has left for it, or that it began. So a replica that nobody hears does not count views up
while it is cut off, and duels end: everybody moves to the highest view that was heard of, and stays
until there has been time for it to begin, longer each time that it did not.
"""

from concur.effects import Timer
from concur.node import on, seconds
from concur.protocols.viewstamped_replication.messages import (
    DoViewChange,
    PrepareOk,
    StartView,
    StartViewChange,
)
from concur.protocols.viewstamped_replication.normal import Normal
from concur.protocols.viewstamped_replication.state import NORMAL, VIEW_CHANGE
from concur.protocols.viewstamped_replication.state_transfer import UNKNOWN
from concur.values import Map, Set


class ViewChange(Normal):
    """Leaves views, and begins them."""

    ready: Set[str] = Set()  # who has left the views below this one
    candidates: Map[str, DoViewChange] = Map()
    sent_after: int = 0  # what all of them have executed

    # --- what mutants break ----------------------------------------------------------------------

    def rank(self, m: DoViewChange) -> tuple[int, int]:
        """Which log is chosen: the viewstamp of its end (V3)."""
        return m.last_normal_view, m.op_number

    def counts(self, source: str, born: int) -> bool:
        """Whether what `source` said, with its memory number `born`, still holds: no memory that is
        known to be lost can be held to what it promised (V2)."""
        return born >= self.reborn.get(source, 0)

    def leave_log(self) -> None:
        """A later view has begun elsewhere. The log stays as it is (V1, state_transfer.py)."""

    # --- leaving a view --------------------------------------------------------------------------

    @on(Timer("view"), paper="4.2 step 1")
    def suspect(self) -> None:
        """Nothing was heard of the primary, or the view change came to nothing."""
        if self.status == NORMAL and not self.leads():
            self.start_view_change(self.view + 1)
        elif self.status == VIEW_CHANGE:
            if self.begun or self.is_quorum(tuple(self.ready)):
                self.start_view_change(self.view + 1)
            else:
                self.wait_for_primary()

    def start_view_change(self, view: int) -> None:
        if self.leads():
            self.stop_leading()
        self.failures += 1
        self.leave_for(view)
        self.ready = Set((self.id,))
        self.observe("campaign", (self.epoch, view))
        self.wait_for_primary()
        self.repeat()

    def leave_for(self, view: int) -> None:
        """From here on this replica says nothing more in lower views."""
        self.status, self.view, self.leader = VIEW_CHANGE, view, ""
        self.ready, self.candidates = Set(), Map()
        self.begun, self.best, self.goal = False, "", UNKNOWN
        self.arriving = ()
        self.forget_early()

    @on(Timer("repeat"))
    def repeat(self) -> None:
        """Messages get lost: say it again until the view begins."""
        if self.status != VIEW_CHANGE or self.begun:
            return
        self.broadcast(self.others, StartViewChange(self.epoch, self.view))
        if self.is_quorum(tuple(self.ready)):
            self.do_view_change()
        self.set_timer("repeat", seconds(self.params.heartbeat_s))

    @on(StartViewChange, paper="4.2 step 2")
    def leave_too(self, source: str, m: StartViewChange) -> None:
        if self.joins(source, m.epoch, m.view):
            self.count_ready(source)

    def joins(self, source: str, epoch: int, view: int) -> bool:
        """Whether this replica is changing to `view` too, now that it has heard of it."""
        if epoch != self.epoch:
            self.meet(source, epoch, view)
        if epoch != self.epoch or not self.takes_part():
            return False
        if source not in self.configuration.members:
            return False
        if view > self.view:
            self.start_view_change(view)
        elif view < self.view or self.status == NORMAL:
            if self.leads():
                self.send(source, self.heartbeat())  # the view has begun: it will ask for the log
            return False
        return True

    def count_ready(self, source: str) -> None:
        if source not in self.ready:
            before = self.is_quorum(tuple(self.ready))
            self.ready = self.ready.add(source)
            if not before and self.is_quorum(tuple(self.ready)):
                self.do_view_change()

    def do_view_change(self) -> None:
        """4.2 step 2, and 5.3: of the log, what is not known to be committed."""
        committed = min(self.committed, self.op_number)
        self.send(
            self.primary,
            DoViewChange(
                self.epoch,
                self.view,
                self.last_normal_view,
                self.op_number,
                committed,
                self.entries_after(committed, self.op_number),
                self.born,
                self.reborn,
            ),
        )

    # --- beginning a view: its primary -----------------------------------------------------------

    @on(DoViewChange, paper="4.2 step 3")
    def count_candidate(self, source: str, m: DoViewChange) -> None:
        if source not in self.config.universe:
            return
        self.note_rebirths(m.reborn)
        self.note_rebirths(Map({source: m.born}))
        if not self.joins(source, m.epoch, m.view) or self.primary != self.id or self.begun:
            return
        self.count_ready(source)
        if self.best:
            return  # chosen once, for good
        self.candidates = self.candidates.put(source, m)
        counted = [(r, c) for r, c in self.candidates.items() if self.counts(r, c.born)]
        replicas = tuple(r for r, _ in counted)
        if self.id in replicas and self.is_quorum(replicas):
            self.best, chosen = max(counted, key=lambda pair: self.rank(pair[1]))
            self.goal = chosen.op_number
            self.sent_after = min(c.commit_number for _, c in counted)
            if self.best != self.id:
                self.gather(chosen.commit_number, chosen.entries)
            self.complete_choice()
            if self.best and self.status == VIEW_CHANGE:
                self.asked = 0
                self.ask()

    def complete_choice(self) -> None:
        """Begin the view, once the log that was chosen is here.

        What others know to be committed, this primary does not execute on their word, as the paper
        has it: they may have it from a view above this one, which has another log. It will be
        acknowledged here, or else this view has nothing to say.
        """
        if self.status != VIEW_CHANGE or not self.best or self.awaits_disk:
            return
        if self.best != self.id:
            if self.gathered() < self.goal:
                return
            self.install_log()
        self.last_normal_view, self.status, self.best = self.view, NORMAL, ""
        after = max(min(self.sent_after, self.op_number), self.log.base.index, self.installed)
        entries = self.entries_after(after, self.op_number)
        self.broadcast(
            self.others,
            StartView(self.epoch, self.view, after, entries, self.op_number, self.committed),
        )
        self.become_primary()

    # --- beginning a view: backups ---------------------------------------------------------------

    @on(StartView, paper="4.2 step 5")
    def start_view(self, source: str, m: StartView) -> None:
        """Only in a view change: in a view that has begun here, newer entries would be lost."""
        here = m.epoch == self.epoch and self.takes_part()
        if not here or m.view < self.view or source != self.configuration.primary(m.view):
            self.meet(source, m.epoch, m.view)
        elif m.view == self.view and self.status == NORMAL:
            self.send(source, PrepareOk(self.epoch, self.view, self.op_number))
        else:
            self.follow(m.view)
            self.goal = m.op_number
            self.gather(m.after, m.entries)
            self.complete_view()
            self.believe(source, m.commit_number)
            if self.status != NORMAL:
                self.ask()  # it began behind what is executed here

    def follow(self, view: int) -> None:
        """`view` has begun, and this replica lacks its log: ask for it, and change nothing yet."""
        if view != self.view or self.status != VIEW_CHANGE:
            if self.leads():
                self.stop_leading()
            self.leave_for(view)
        if not self.begun:
            self.begun, self.best, self.goal = True, "", UNKNOWN
            self.leave_log()
            self.failures, self.asked = 0, 0
            self.leader = self.primary
            self.cancel_timer("repeat")
            self.wait_for_primary()

    def complete_view(self) -> None:
        """Be a backup of the view, once all of the log that it began with is here."""
        waits = self.status == VIEW_CHANGE and self.begun and self.goal != UNKNOWN
        if not waits or self.gathered() < self.goal or self.awaits_disk:
            return
        self.install_log()
        self.last_normal_view, self.status, self.begun = self.view, NORMAL, False
        self.start = self.goal
        self.heard = self.op_number
        self.wait_for_primary()
        self.send(self.primary, PrepareOk(self.epoch, self.view, self.op_number))
        self.take_view()

    # Overridden further up.

    def note_rebirths(self, reborn: Map[str, int]) -> None:
        raise NotImplementedError

    def take_view(self) -> None:
        raise NotImplementedError
