"""Reconfiguration: other members, by epochs (7); and another primary, as an operator orders.

A change of members is an operation of the log, the last of its epoch: nothing is proposed behind it
(7.1). When it is committed by the old members, the new epoch follows: its members begin in view 0,
each once it has executed all that precedes. Old members that are replaced stay, in status
transitioning, and hand over what they have until a quorum of the new ones says that it has begun
(EpochStarted); from then on they are spares, which tell clients where to go. Messages of an earlier
epoch are answered with StartEpoch and otherwise ignored.

**Why that is safe.** In an epoch, views and quorums are those of its members, and everything in
view_change.py and recovery.py is about one epoch. All members begin with the same log, up to the
change, which is committed; nothing of the old epoch can be committed behind it. Nobody else needs
to agree that the old epoch is over: those who do not know it yet may change views there, but every
log that such a view begins with ends with the change.

**Memories.** A replica enters an epoch as if for the first time, and it must be the first time: had
it been there before it lost its memory, what it acknowledged there would be forgotten. So a change
names, for each member, the memory that is to begin (`Configuration.born`), as the primary knows it
when it proposes the change. At that time the epoch does not exist, and no memory has been in it.
The memory that is named may enter; a later one must recover into the epoch (recovery.py), by a
quorum of those that did enter.

*Will there be such a quorum?* A replica that recovered before the change was proposed is named with
its new memory: the primary of the view answered it, or the primary of a later view heard of it (the
quorum that it recovered by shares a member with the one that began that view, as in lemma 2 there).
One that recovers after the change was proposed sees it at the end of the primary's log and waits.
So nobody has to recover a second time on account of a change, and as many members may be without
their memory at a time as the smaller of the two groups can spare.

**Newcomers** are warmed up before the change is proposed (7.5): they fetch what is committed, and
tell the number of their memory. One that does not answer for a while stops the change: the operator
is told. Without that, a group could wait for members that are not there.

**The order of members** decides who is the primary of view 0: the one that proposed the change, if
it stays, so that with most changes the same replica goes on.
"""

import msgspec

from concur.effects import Snapshot, Timer
from concur.logs import Log
from concur.node import Node, durable, on, seconds
from concur.parts.membership import ChangeMembers, Done, Refused, TransferLeadership
from concur.protocols.viewstamped_replication.messages import (
    UNBORN,
    Commit,
    Configuration,
    Entry,
    EpochStarted,
    StartEpoch,
    Warm,
    WarmUp,
)
from concur.protocols.viewstamped_replication.recovery import Recoverer
from concur.protocols.viewstamped_replication.state import (
    NOBODY,
    NORMAL,
    PASSIVE,
    RECOVERING,
    TRANSITIONING,
)
from concur.protocols.viewstamped_replication.state_transfer import UNKNOWN
from concur.values import Map, Set

SILENT_MAX = 4
"""Times that a newcomer may leave a WarmUp unanswered before the change is given up."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What an operator asked for. Newcomers are to have executed up to `goal` when it is proposed;
    `warm` are those that have, with the numbers of their memories."""

    members: tuple[str, ...]
    operator: str
    number: int
    goal: int
    warm: Map[str, int] = Map()
    silent: Map[str, int] = Map()


class Pledge(msgspec.Struct, frozen=True, array_like=True):
    """An order that is fulfilled if this replica still leads: to be told when `round` says so."""

    operator: str
    number: int
    round: int


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """An operator wants the primary of `view` to lead, and waits."""

    operator: str
    number: int
    view: int


class Replica(Recoverer):
    """All that a replica of Viewstamped Replication is; it keeps nothing on disk."""

    change: Change | None = None
    changes: int = 0  # orders taken, so that an answer to an earlier one is told apart
    pledges: tuple[Pledge, ...] = ()
    transfer: Transfer | None = None
    started: Set[str] = Set()  # members of the epoch that follows this replica's last one

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Memory is all there is, so a snapshot is as safe at once as it will ever be."""
        self.snapshot_is_durable(snapshot.index)

    # --- what operators ask ----------------------------------------------------------------------

    @on(ChangeMembers, paper="7.1 step 1")
    def take_order(self, source: str, m: ChangeMembers) -> None:
        known = self.config.universe
        members = tuple(dict.fromkeys(m.members))
        if not self.leads():
            self.refuse(source, m.number, "it does not lead")
        elif m.learners:
            self.refuse(source, m.number, "there are no learners in Viewstamped Replication")
        elif not members or set(members) - set(known):
            self.refuse(source, m.number, f"members must be among {', '.join(known)}")
        elif self.ending:
            self.refuse(source, m.number, "another change is under way")
        elif set(members) == set(self.configuration.members):
            self.give_up_change("a newer order took its place")
            self.pledge(source, m.number)
        elif self.change is not None and set(self.change.members) == set(members):
            self.change = msgspec.structs.replace(self.change, operator=source, number=m.number)
        elif self.change is not None and self.change.operator != source:
            self.refuse(source, m.number, "another operator's change is under way")
        else:
            self.give_up_change("a newer order took its place")
            self.changes += 1
            self.change = Change(members, source, m.number, self.committed)
            self.warm_up()

    def refuse(self, operator: str, number: int, why: str) -> None:
        self.send(operator, Refused(number, self.leader, why))

    def give_up_change(self, why: str) -> None:
        change = self.change
        if change is not None:
            self.change = None
            self.cancel_timer("warm-up")
            self.refuse(change.operator, change.number, why)
            self.observe("change_given_up", why)

    def pledge(self, operator: str, number: int) -> None:
        """It is so already, as far as this replica knows: make sure that it still leads."""
        self.pledges = (*self.pledges[-1:], Pledge(operator, number, self.round + 1))

    def serve_reads(self) -> None:
        super().serve_reads()
        for pledge in self.pledges:
            if pledge.round <= self.confirmed:
                self.send(pledge.operator, Done(pledge.number))
        self.pledges = tuple(p for p in self.pledges if p.round > self.confirmed)

    # --- before the change: newcomers ------------------------------------------------------------

    @property
    def change_number(self) -> int:
        """Of the order that is being prepared; never used again, not even by a later memory."""
        return (self.incarnation << 32) + self.changes

    def newcomers(self) -> tuple[str, ...]:
        change, members = self.change, self.configuration.members
        return () if change is None else tuple(m for m in change.members if m not in members)

    @on(Timer("warm-up"), paper="7.5")
    def warm_up(self) -> None:
        """Ask those that are not warm, again and again; give up on who does not answer."""
        change = self.change
        if change is None or not self.leads() or self.ending:
            return
        silent = change.silent
        for newcomer in self.newcomers():
            if change.warm.get(newcomer, UNBORN) < self.reborn.get(newcomer, 0):
                silent = silent.put(newcomer, silent.get(newcomer, 0) + 1)
                self.send(newcomer, WarmUp(self.change_number, change.goal))
        lost = [newcomer for newcomer, times in silent.items() if times > SILENT_MAX]
        if lost:
            self.give_up_change(f"{', '.join(lost)} did not answer")
        else:
            self.change = msgspec.structs.replace(change, silent=silent)
            self.set_timer("warm-up", seconds(self.params.resend_s))
            self.propose_change()

    @on(WarmUp)
    def be_warmed_up(self, source: str, m: WarmUp) -> None:
        if source in self.config.universe:
            self.send(source, Warm(m.number, self.committed, self.born))
            self.catch_up(source, m.op_number)

    @on(Warm)
    def count_warm(self, source: str, m: Warm) -> None:
        change = self.change
        if change is None or not self.leads() or m.number != self.change_number:
            return
        if source not in self.newcomers():
            return
        self.note_rebirths(Map({source: m.born}))
        change = msgspec.structs.replace(change, silent=change.silent.discard(source))
        if m.op_number >= change.goal and m.born >= self.reborn.get(source, 0):
            change = msgspec.structs.replace(change, warm=change.warm.put(source, m.born))
        self.change = change
        self.propose_change()

    def propose_change(self) -> None:
        """Append the change, once all newcomers are warm."""
        change = self.change
        if change is None or self.ending:
            return
        born = self.reborn.update(((self.id, self.born), *change.warm.items()))
        for newcomer in self.newcomers():
            if change.warm.get(newcomer, UNBORN) < self.reborn.get(newcomer, 0):
                return
        if self.op_number - self.committed >= self.params.pipeline_max or (
            len(self.log) >= self.params.log_entries_max
        ):
            return  # the timer comes back to it
        first = (self.id,) if self.id in change.members else ()
        members = (*first, *(m for m in change.members if m != self.id))
        index = self.op_number + 1
        configuration = Configuration(
            self.epoch + 1, index, members, tuple(born.get(m, 0) for m in members)
        )
        self.cancel_timer("warm-up")
        self.prepare(Entry((), configuration))

    # --- from one epoch to the next --------------------------------------------------------------

    def begin_epoch(self, change: Configuration) -> None:
        """7.1 step 3: a change of members is executed."""
        before = self.configuration
        if change.epoch <= before.epoch:
            return
        led, took_part = self.leads(), self.takes_part()
        if led:  # the others of the old group learn that it is committed
            last = Commit(before.epoch, self.view, self.op_number, self.committed, self.round)
            self.broadcast(self.others, last)
            self.cancel_timer("heartbeat")
            self.cancel_timer("quorum")
        self.configuration = change
        self.view = self.last_normal_view = 0
        self.ready, self.candidates = Set(), Map()
        self.forget_early()
        self.begun, self.best, self.goal, self.arriving = False, "", UNKNOWN, ()
        self.start, self.failures, self.started = change.start, 0, Set()
        self.cancel_timer("view")
        self.cancel_timer("repeat")
        self.observe("members", change.epoch, change.members)
        self.leader = change.primary(0)
        if self.id in change.members:
            self.enter(change)
            gone = tuple(r for r in before.members if r not in change.members)
            if self.status == NORMAL:
                self.broadcast(gone, EpochStarted(change.epoch))
        elif self.status != RECOVERING:
            self.status = TRANSITIONING if took_part else PASSIVE
            if took_part:
                self.hand_over()
        if led and self.status == NORMAL:
            new = tuple(r for r in change.members if r not in before.members)
            self.broadcast(new, StartEpoch(change))
        if led and not self.leads():
            self.let_clients_go()
        self.settle_orders()

    def enter(self, change: Configuration) -> None:
        """7.1.1: a member of the new epoch, with all that precedes it executed."""
        if not self.may_enter(change):
            if self.status != RECOVERING:
                self.status = RECOVERING
                self.ask_to_recover()
            return
        was_lost, self.status = self.status == RECOVERING, NORMAL
        if was_lost:
            self.recovered()
        if self.leads():
            self.become_primary()
        else:
            self.heard = self.op_number
            self.wait_for_primary()

    def may_enter(self, change: Configuration) -> bool:
        """Whether this is the first time that this replica enters the epoch: see above. One that
        lost its memory meanwhile may have been there."""
        return change.born_of(self.id) == self.born

    @on(Timer("epoch"), paper="7.1.2")
    def hand_over(self) -> None:
        """Replaced, but not yet superfluous: see to it that the new members begin."""
        if self.status == TRANSITIONING:
            for member in self.configuration.members:
                if member not in self.started and member != self.id:
                    self.send(member, StartEpoch(self.configuration))
            self.set_timer("epoch", seconds(self.params.resend_s))

    @on(StartEpoch, paper="7.1.1")
    def learn_of_epoch(self, source: str, m: StartEpoch) -> None:
        if source not in self.config.universe:
            return
        epoch = m.configuration.epoch
        if epoch < self.epoch:
            self.send(source, StartEpoch(self.configuration))
        elif epoch == self.epoch:
            if self.takes_part():
                self.send(source, EpochStarted(epoch))
        else:
            if self.leads():
                self.start_view_change(self.view + 1)  # nobody needs this one any more
            if self.status == PASSIVE and self.id in m.configuration.members:
                self.status = TRANSITIONING
            self.catch_up(source, m.configuration.start)

    @on(EpochStarted, paper="7.1.2")
    def be_superfluous(self, source: str, m: EpochStarted) -> None:
        """When f' + 1 new members have begun, they need the old ones no more."""
        if self.status != TRANSITIONING or m.epoch != self.epoch:
            return
        if source in self.configuration.members:
            self.started = self.started.add(source)
        if self.is_quorum(tuple(self.started)):
            self.status = PASSIVE
            self.cancel_timer("epoch")
            self.observe("replaced", self.epoch)
            change = self.change
            if change is not None:
                self.change = None
                self.send(change.operator, Done(change.number))

    def settle_orders(self) -> None:
        """An epoch has begun: the order that was for it is fulfilled when a quorum takes part. The
        next round of this primary tells, or EpochStarted if it is none any more."""
        change = self.change
        if change is None or self.status == TRANSITIONING:
            return
        self.change = None
        if self.leads() and set(change.members) == set(self.configuration.members):
            self.pledge(change.operator, change.number)
        else:
            self.refuse(change.operator, change.number, "another epoch has begun")

    def stop_leading(self) -> None:
        super().stop_leading()
        self.give_up_change("it does not lead any more")

    def let_clients_go(self) -> None:
        super().let_clients_go()
        for pledge in self.pledges:
            self.refuse(pledge.operator, pledge.number, "it does not lead any more")
        self.pledges = ()

    # --- another primary -------------------------------------------------------------------------

    @on(TransferLeadership)
    def hand_lead_over(self, source: str, m: TransferLeadership) -> None:
        """A view change to a view of which `to` is the primary: any higher view will do (4.2)."""
        members = self.configuration.members
        if not self.leads():
            self.refuse(source, m.number, "it does not lead")
        elif m.to == self.id:
            self.pledge(source, m.number)
        elif m.to not in members:
            self.refuse(source, m.number, f"{m.to} is no member")
        elif self.change is not None or self.ending:
            self.refuse(source, m.number, "members are being changed")
        elif self.acked.get(m.to, 0) < self.quorum_mark:
            self.refuse(source, m.number, f"{m.to} does not answer")
        else:
            steps = (members.index(m.to) - self.view) % len(members)
            self.start_view_change(self.view + steps)
            self.transfer = Transfer(source, m.number, self.view)

    def take_view(self) -> None:
        """A view has begun here, with another primary."""
        transfer = self.transfer
        if transfer is not None:
            self.transfer = None
            if transfer.view == self.view:
                self.send(transfer.operator, Done(transfer.number))
            else:
                self.refuse(transfer.operator, transfer.number, "another view has begun")


class ReplicaOnDisk(Replica):
    """The same, with what others rely on kept on disk: a restart needs no recovery."""

    configuration: Configuration = durable(NOBODY)
    status: str = durable(PASSIVE)
    view: int = durable(0)
    last_normal_view: int = durable(0)
    log: Log[Entry] = durable(Log())
    born: int = durable(UNBORN)
    reborn: Map[str, int] = durable(Map())

    def save_snapshot(self, snapshot: Snapshot) -> None:
        Node.save_snapshot(self, snapshot)
