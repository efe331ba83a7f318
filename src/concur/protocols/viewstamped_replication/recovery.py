"""Recovery without a disk (4.3), and starting.

A replica that lost its memory has forgotten what it acknowledged, and which views it has left. It
takes no part in anything until it has been told by those who know: it sends Recovery to all, waits
for answers from a quorum of an epoch's members, the primary of the highest view among them, and for
that primary's log. Then it is a backup of that view.

**The hole in the published protocol** (V2; Michael, Ports, Sharma, Szekeres, DISC17). Replica A
leaves view 0, says so in a DoViewChange for view 1, and loses its memory while that is on its way.
The others are still in view 0; A recovers into view 0, and helps to commit an operation there. Now
its old DoViewChange arrives, is counted with that of another replica which does not have the
operation either, and view 1 begins without it.

**What closes it: crash vectors.** A memory is numbered: `born` is the incarnation in which it
began, and is never used again. `reborn` is what a replica has heard of others' newest numbers.
Recovery carries `born`; RecoveryResponse and DoViewChange carry both. Whoever collects answers from
a quorum takes over all that they know of rebirths, and counts nothing that was said by a memory
known to be lost. Such a quorum is *crash-consistent*: no member of it knows that what another one
said was forgotten.

**Why that is enough.** All replicas below are members of one epoch, quorums are majorities; R(x) is
the quorum that a memory x recovered by, D(v) that which view v began with. Neither R(x) nor an
intersection of it with another R contains the replica of x, which does not answer itself.

*Lemma 1, rebirths are not forgotten:* if x recovered, counting an answer of memory a of replica z,
then every later memory b of z that recovers knows of x. Suppose not, for some pairs (x, b). Of
these take those whose x was born last, and of them the one whose b recovered first. R(x) and R(b)
share a replica w. (i) The same memory of w answered both. If x first, then b was told of x. If b
first, then w told x of b, and x did not count a. (ii) A later memory of w answered b. It recovered
before b did and by the choice of b it knows of x, and says so. (iii) A later memory w' of w
answered x; an earlier one had answered b. If w' knows of b, it told x, which then did not count a.
If not, (b, w') is another such pair, and b was born after x, which contradicts the choice of x.

*Lemma 2, views are not forgotten:* if D(v) counts a DoViewChange of a memory of replica X that was
lost, then a memory x of X recovers into v or a later view. By induction, in the order in which
memories recover. D(v) and R(x) share a replica y, not X. (i) One memory of y did both. If it left
for v first, it answered x when it was normal again, in v or later. If it answered x first, its
DoViewChange told of x, and X's old one was not counted. (ii) A later memory of y answered x: it
recovered into v or later, by induction. (iii) An earlier one did: then the later one knew of x, by
lemma 1, and again X's old DoViewChange was not counted.

*Lemma 3, operations are not forgotten:* say X acknowledged n in view v, and a quorum did. A later
memory x of X recovers into a view u >= v: D(v) was complete before X acknowledged, so all members
of it that answered x had left for v, or have recovered since (lemma 2). If u = v, x got the log
from the primary, after X was lost, so that log had n; and no primary comes back to its own view by
recovery, as it would have to answer itself. If u > v, view u began with n (view_change.py, by
induction).

So in view_change.py, where W and D(u) share a replica, it does not matter whether it is the same
memory of it that acknowledged and that left. PrepareOk and CommitOk carry no numbers: an operation
of view v that its primary counts is in its log, which is what lemma 3 needs, and whoever recovers
does not come back to a view below one that has begun, which is what reads need.

**Which epoch?** The answers tell the configuration. A recovering replica goes by the highest epoch
that it hears of, and needs a quorum of that epoch's members. If x took part in a later epoch
before, then the change of members that ends this one was committed before x was lost, and by lemma
3 it is in the primary's log; so x waits while the log ends with a change of members (`ending`): the
epoch goes on without the change, or it ends. A replica that is no member of the epoch has nothing
to recover; it waits for the same answers, and is a spare. What keeps a replica that was wiped from
entering an epoch as if for the first time, reconfiguration.py says.

**When it works.** As long as a quorum of members does not need to recover. If more lose their
memory, what was committed is lost for ever: nobody answers any more, but nobody answers wrongly.
For a group without disks that includes a power failure. With one or two members nobody can be
spared.
"""

import msgspec

from concur.effects import Start, Timer
from concur.messages import Message
from concur.node import invariant, on, seconds
from concur.protocols.viewstamped_replication.messages import (
    UNBORN,
    Configuration,
    GetState,
    NewState,
    PrepareOk,
    Recovery,
    RecoveryResponse,
)
from concur.protocols.viewstamped_replication.state import (
    NORMAL,
    PASSIVE,
    RECOVERING,
    TRANSITIONING,
    VIEW_CHANGE,
)
from concur.protocols.viewstamped_replication.view_change import ViewChange
from concur.values import Map, Set


class Target(msgspec.Struct, frozen=True, array_like=True):
    """Where a recovering replica goes: this view, with the log of `primary` up to `op_number`."""

    epoch: int
    view: int
    primary: str
    op_number: int


class Recoverer(ViewChange):
    """Starts, and comes back."""

    responses: Map[str, RecoveryResponse] = Map()
    target: Target | None = None

    @on(Start)
    def begin(self, event: Start) -> None:
        self.load_saved(event.snapshot)
        first = self.config.members
        initial = Configuration(0, 0, first, (0,) * len(first))
        if event.kind == "new":
            self.born, self.configuration = 0, initial
            self.status = NORMAL if self.id in first else PASSIVE
        elif event.kind == "wiped" or self.born == UNBORN:
            # A restart that finds nothing may follow a wipe whose first record was lost. Without a
            # disk every restart does.
            self.configuration = initial
            self.lose_memory(event.incarnation)
        if event.snapshot is not None:
            self.committed = event.snapshot.mark[0]
            self.installed = self.committed
            self.go_on_from(event.snapshot)
        self.commit(self.configuration.start)  # what an epoch began with is committed
        if event.kind != "new":
            # A primary goes on in its view. What was acknowledged to it before is about rounds of
            # its earlier life, which these must not be mistaken for.
            self.round = self.confirmed = event.incarnation << 32
        self.resume()

    def lose_memory(self, incarnation: int) -> None:
        """From here on this is another memory, which vouches for nothing yet."""
        self.born, self.status = incarnation, RECOVERING

    def resume(self) -> None:
        """Go on in the status that was found on the disk, or chosen."""
        self.heard = self.op_number
        if self.status == RECOVERING:
            self.observe("recovering", self.born)
            self.ask_to_recover()
        elif self.status == VIEW_CHANGE:
            self.ready = Set((self.id,))
            self.wait_for_primary()
            self.repeat()
        elif self.status == NORMAL:
            if self.leads():
                self.become_primary()
            else:
                self.leader, self.start = self.primary, self.op_number
                self.wait_for_primary()
        else:
            self.leader = self.primary
            if self.status == TRANSITIONING:
                self.hand_over()

    # --- the replica that lost its memory --------------------------------------------------------

    @on(Timer("recovery"), paper="4.3 step 1")
    def ask_to_recover(self) -> None:
        if self.status == RECOVERING:
            self.broadcast(self.snapshot_sources(), Recovery(self.born))
            self.set_timer("recovery", seconds(self.params.resend_s))

    @on(RecoveryResponse, paper="4.3 step 3")
    def count_response(self, source: str, m: RecoveryResponse) -> None:
        if self.status != RECOVERING or m.nonce != self.born:
            return
        if source not in self.config.universe:
            return
        self.note_rebirths(m.reborn)
        self.note_rebirths(Map({source: m.born}))
        self.responses = self.responses.put(source, m)
        counted = {r: c for r, c in self.responses.items() if self.counts(r, c.born)}
        newest = max((c.configuration for c in counted.values()), key=_epoch, default=None)
        if newest is None:
            return
        here = {
            r: c
            for r, c in counted.items()
            if c.configuration.epoch == newest.epoch and r in newest.members and r != self.id
        }
        if not here or not newest.quorums.is_phase1(tuple(here)):
            return
        view = max(c.view for c in here.values())
        primary = newest.primary(view)
        answer = here.get(primary)
        if answer is None or not answer.primary or answer.view != view or answer.ending:
            return
        if self.id in newest.members:
            known = self.target
            if known is None or (known.epoch, known.view) != (newest.epoch, view):
                self.target = Target(newest.epoch, view, primary, answer.op_number)
                self.arriving = ()
                if answer.commit_number > self.known:
                    self.known, self.teacher = answer.commit_number, primary
                self.progress()
        else:
            self.leader = primary
            self.status = PASSIVE
            self.recovered()

    def missing(self) -> tuple[str, Message] | None:
        found = super().missing()
        target = self.target
        if found is None and target is not None and self.status == RECOVERING:
            ask = GetState(target.epoch, target.view, self.gathered())
            return target.primary, ask
        return found

    def take_recovered_log(self, m: NewState) -> None:
        target = self.target
        if target is not None and (m.epoch, m.view) == (target.epoch, target.view):
            self.gather(m.after, m.entries)
            self.complete_recovery()

    def complete_recovery(self) -> None:
        """4.3 step 3: normal again, with the log of that view."""
        target = self.target
        if (
            self.status != RECOVERING
            or target is None
            or target.epoch != self.epoch
            or self.gathered() < target.op_number
            or self.awaits_disk
        ):
            return
        self.install_log()
        self.view = self.last_normal_view = target.view
        self.status, self.leader, self.start = NORMAL, target.primary, target.op_number
        self.heard = self.op_number
        self.recovered()
        self.wait_for_primary()
        self.send(self.primary, PrepareOk(self.epoch, self.view, self.op_number))

    def recovered(self) -> None:
        self.responses, self.target, self.arriving = Map(), None, ()
        self.cancel_timer("recovery")
        self.observe("recovered", self.born)

    # --- everybody else --------------------------------------------------------------------------

    def note_rebirths(self, reborn: Map[str, int]) -> None:
        """What is said of replicas that do not exist is not kept."""
        for replica, born in reborn.items() if len(reborn) else ():
            if born > self.reborn.get(replica, 0) and replica in self.config.universe:
                self.reborn = self.reborn.put(replica, born)

    @on(Recovery, paper="4.3 step 2")
    def help_to_recover(self, source: str, m: Recovery) -> None:
        """Only in a normal status: in a view change nobody knows yet what will be."""
        if source not in self.config.universe:
            return
        self.note_rebirths(Map({source: m.born}))
        if self.status == NORMAL:
            self.send(
                source,
                RecoveryResponse(
                    m.born,
                    self.configuration,
                    self.view,
                    self.leads(),
                    self.op_number,
                    self.committed,
                    self.ending,
                    self.born,
                    self.reborn,
                ),
            )

    # Overridden further up.

    def hand_over(self) -> None:
        raise NotImplementedError

    @invariant
    def a_replica_that_lost_its_memory_does_not_lead(self) -> bool:
        return self.status != RECOVERING or not self.waiting


def _epoch(configuration: Configuration) -> int:
    return configuration.epoch
