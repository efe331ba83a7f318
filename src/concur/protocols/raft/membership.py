"""Changing the members: joint consensus, learners, and a leader that hands over (section 6;
dissertation 3.10 and 4.2).

The configuration is an entry of the log, and counts from the moment it is appended, on each
server; if the entry is overwritten, the one before it counts again. A change from C_old to C_new is
two such entries. With the first, C_old,new, elections and commitment take a majority of C_old *and*
one of C_new; when it is committed so, the second, C_new, is appended. At no time can C_old and
C_new each decide alone:

* Before C_old,new is committed, whoever is elected has a majority of C_old behind it: it uses
  C_old, or C_old,new. A majority of C_new alone decides nothing.
* When it is committed, every leader elected from then on has it in its log (leader completeness),
  so C_old alone decides nothing any more.
* C_new is appended only then. Two of its majorities meet, and it meets C_old,new in a majority of
  C_new.

**One at a time, and a first entry before.** A leader begins a change only when the configuration
that it uses is committed, and when its own first entry is. Without the second condition a leader
can begin a change beside one of an earlier leader, of which it does not know that it is committed.
With joint consensus such a change would still be safe; with the single-server changes of the
dissertation (4.1), which take one entry and no majority of both, it is not: published, implemented,
and then found (D. Ongaro, raft-dev, July 2015: bug R1, tests/mutants). We do joint consensus, for
which replacing a server that lost its disk is one change, and keep the rule all the same.

**Catching up.** A newcomer is replicated to before it is in any configuration, in rounds (4.2.1): a
round ends when it has what the leader had when the round began. Once a round took less than an
election timeout it may join, and commits are not held up by it. One that keeps silent, or is too
slow for ROUNDS_MAX rounds, is given up, and the operator told.

**Leaving.** A leader that is no member of C_new manages the cluster until C_new is committed, and
does not count itself meanwhile; then it lets the best of the others campaign and steps down.
Servers that leave are sent C_new and that it is committed, once. One that does not hear so goes on
asking for votes, and is not listened to (election.py).

**Learners** follow and are not counted. They are in the configuration so that a new leader goes on
replicating to them.
"""

import msgspec

from concur.effects import Timer
from concur.node import on, seconds
from concur.parts.membership import ChangeMembers, Done, Refused, TransferLeadership
from concur.protocols.raft.log import LEADER
from concur.protocols.raft.messages import (
    Configuration,
    Entry,
    Name,
    TimeoutNow,
    born_of,
    server_of,
)
from concur.protocols.raft.reads import Reader
from concur.protocols.raft.replication import PROBE, Progress

ROUNDS_MAX = 10
"""Rounds in which a newcomer may catch up, after the dissertation (4.2.1)."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What an operator asked for: servers, by their addresses."""

    voters: tuple[str, ...]
    learners: tuple[str, ...]
    operator: str
    number: int


class CatchUp(msgspec.Struct, frozen=True, array_like=True):
    """A newcomer in its `round`, which began at `since_ns` and ends when it has `goal`."""

    name: Name
    goal: int
    since_ns: int
    round: int
    done: bool = False


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """Leadership is to go to the server of `name`."""

    name: Name
    operator: str
    number: int


class Changer(Reader):
    """A leader that changes members, and its place."""

    change: Change | None = None
    catching_up: tuple[CatchUp, ...] = ()
    unsettled: bool = False  # there is, or may be, a change to drive on
    transfer: Transfer | None = None

    # --- what mutants break ----------------------------------------------------------------------

    def may_change_members(self) -> bool:
        """One change at a time, and none before this term's first entry is committed (R1)."""
        return self.committed >= max(self.first, self.configurations[-1][0])

    def next_configuration(self, wanted: Configuration) -> Configuration:
        """The step after the one that is used now: never from old voters to new ones at once."""
        now = self.configuration
        if now.old:
            return Configuration(now.voters, (), now.learners)
        if set(now.voters) == set(wanted.voters):
            return Configuration(now.voters, (), wanted.learners)
        return Configuration(wanted.voters, now.voters, wanted.learners)

    # --- what operators ask ----------------------------------------------------------------------

    @on(ChangeMembers, paper="6")
    def be_told_members(self, source: str, m: ChangeMembers) -> None:
        known = self.config.universe
        if self.role != LEADER:
            self.refuse(source, m.number, "it does not lead")
        elif not m.members or {*m.members, *m.learners} - set(known):
            self.refuse(source, m.number, f"members must be among {', '.join(known)}")
        elif self.change is not None and source != self.change.operator:
            self.refuse(source, m.number, "another operator's change is under way")
        elif self.transfer is not None:
            self.refuse(source, m.number, "leadership is being handed over")
        else:
            learners = tuple(sorted(set(m.learners) - set(m.members)))
            members = tuple(dict.fromkeys(m.members))
            before, change = self.change, Change(members, learners, source, m.number)
            self.change = change
            self.enlist()
            self.drive_on()
            repeated = before is not None and before.number == change.number
            if self.change is not None and not repeated:
                self.set_timer("change", seconds(self.params.election_timeout_s[1]))

    def refuse(self, operator: str, number: int, why: str) -> None:
        hint = self.leader if self.leader != self.id or self.role == LEADER else ""
        self.send(operator, Refused(number, hint, why))

    def enlist(self) -> None:
        """Begin to replicate to newcomers, under the names that their servers are known by."""
        change = self.change
        assert change is not None
        known = {server_of(p.name) for p in self.progress} | {self.id}
        last = self.log.last_index
        new = [
            Progress(server, PROBE, 0, last, last + 1)
            for server in (*change.voters, *change.learners)
            if server not in known
        ]
        if new:
            self.progress = tuple(sorted((*self.progress, *new), key=lambda p: p.name))
            for p in new:
                self.send_heartbeat(p)

    @on(Timer("change"), paper="dissertation 4.2.1")
    def look_after_newcomers(self) -> None:
        """Nothing else waits longer for newcomers that do not answer, or never catch up."""
        if self.role != LEADER or self.change is None:
            return
        for c in self.catching_up:
            p = self.progress_of(c.name)
            heard = self.acked.get(c.name, 0)
            silent = p is None or heard + self.rounds_in_a_timeout() < self.round
            if not c.done and (silent or c.round > ROUNDS_MAX):
                why = "does not answer" if silent else "does not keep up"
                self.give_up_change(f"{server_of(c.name)} {why}")
                return
        self.set_timer("change", seconds(self.params.election_timeout_s[1]))

    def rounds_in_a_timeout(self) -> int:
        return 1 + int(self.params.election_timeout_s[1] / self.params.heartbeat_s)

    def give_up_change(self, why: str) -> None:
        change = self.change
        assert change is not None
        self.change = None
        self.refuse(change.operator, change.number, why)
        self.observe("change_given_up", why)
        self.drive_on()

    # --- a leader drives the change --------------------------------------------------------------

    def wanted(self) -> Configuration:
        """What the members shall be. A server goes by the newest name that it is known by: one that
        lost its disk is exchanged for its successor under the same address (recovery.py)."""
        now, change = self.configuration, self.change
        named = {server_of(p.name): p.name for p in self.progress} | {self.id: self.name}
        if change is None:
            voters, learners = now.members(), tuple(server_of(n) for n in now.learners)
        else:
            voters, learners = change.voters, change.learners
        return Configuration(
            tuple(named.get(server, server) for server in voters),
            (),
            tuple(named.get(server, server) for server in learners),
        )

    def drive_on(self) -> None:
        """Whatever a change waits for may have come: take its next step if so."""
        if self.role != LEADER or not self.may_change_members():
            self.unsettled = True
            return
        now, wanted = self.configuration, self.wanted()
        if not now.old:
            newcomers = [name for name in wanted.voters if name not in now.voters]
            self.follow_up(newcomers)
            same_learners = set(wanted.learners) == set(now.learners)
            if not newcomers and same_learners and set(wanted.voters) == set(now.voters):
                self.finish_change()
                return
            self.unsettled = True
            if any(not c.done for c in self.catching_up):
                return
        self.unsettled = True
        self.append(Entry(self.term, (), self.next_configuration(wanted)))

    def follow_up(self, newcomers: list[Name]) -> None:
        """4.2.1: rounds of replication, until one is short."""
        shortest = seconds(self.params.election_timeout_s[0])
        last, known = self.log.last_index, {c.name: c for c in self.catching_up}
        found = []
        for name in newcomers:
            c = known.get(name) or CatchUp(name, last, self.uptime, 1)
            p = self.progress_of(name)
            if p is not None and p.match >= c.goal and not c.done:
                if self.uptime - c.since_ns < shortest:
                    c = msgspec.structs.replace(c, done=True)
                else:
                    c = CatchUp(name, last, self.uptime, c.round + 1)
            found.append(c)
        self.catching_up = tuple(found)

    def progress_of(self, name: Name) -> Progress | None:
        return next((p for p in self.progress if p.name == name), None)

    def finish_change(self) -> None:
        """The configuration that is used is the one that is wanted, and it is committed."""
        now, change = self.configuration, self.change
        self.unsettled, self.catching_up = False, ()
        if change is not None:
            self.change = None
            self.cancel_timer("change")
            self.send(change.operator, Done(change.number))
        for p in self.progress:
            if p.name not in now.names:
                self.send_heartbeat(p)  # it says that C_new is committed, if C_new got there
        self.progress = tuple(p for p in self.progress if p.name in now.names)
        if not now.votes(self.name):
            best = max(self.progress, key=lambda p: (now.votes(p.name), p.match))
            self.send(server_of(best.name), TimeoutNow(self.term))
            self.step_down(self.term)

    def has_committed(self) -> None:
        if self.unsettled:
            self.drive_on()

    def has_answered(self, p: Progress) -> None:
        if self.unsettled and self.role == LEADER:
            self.drive_on()
        if self.transfer is not None and self.transfer.name == p.name:
            self.hand_over(p)

    def meet_stranger(self, source: str, name: Name) -> None:
        """A server that is replicated to has another name than it was known by: its memory is new,
        so whatever the old name had acknowledged, this one has not."""
        for p in self.progress:
            if server_of(p.name) == source and born_of(name) > born_of(p.name):
                last = self.log.last_index
                fresh = Progress(name, PROBE, 0, last, last + 1)
                self.progress = tuple(fresh if q is p else q for q in self.progress)
                self.send_heartbeat(fresh)
                self.unsettled = True
                return

    def lead(self) -> None:
        self.change, self.catching_up, self.transfer = None, (), None
        self.unsettled = True
        super().lead()

    def stop_leading(self) -> None:
        super().stop_leading()
        self.unsettled = False
        self.cancel_timer("change")
        self.cancel_timer("transfer-leadership")
        change, transfer = self.change, self.transfer
        if change is not None:
            self.send(change.operator, Refused(change.number, "", "it does not lead any more"))
        if transfer is not None:
            hint = server_of(transfer.name)
            self.send(
                transfer.operator, Refused(transfer.number, hint, "it does not lead any more")
            )
        self.change, self.catching_up, self.transfer = None, (), None

    # --- leadership transfer ---------------------------------------------------------------------

    @on(TransferLeadership, paper="dissertation 3.10")
    def be_told_leader(self, source: str, m: TransferLeadership) -> None:
        """Bring `to` up to date, taking no more commands meanwhile, then let it campaign at once.
        If it does not lead within an election timeout, go on."""
        now = self.configuration
        name = now.name_at(m.to)
        if self.role != LEADER:
            self.refuse(source, m.number, "it does not lead")
        elif m.to == self.id:
            if self.committed >= self.first:
                self.send(source, Done(m.number))
            else:
                self.refuse(source, m.number, "it leads, but has committed nothing yet")
        elif name not in now.voters or self.progress_of(name) is None:
            self.refuse(source, m.number, f"{m.to} has no vote")
        elif self.change is not None or now.old or not self.may_change_members():
            # (A server that was wiped and is silent since does not keep the lead here.)
            self.refuse(source, m.number, "members are changing")
        elif self.transfer is not None:
            self.refuse(source, m.number, "other things are under way")
        else:
            self.transfer = Transfer(name, source, m.number)
            self.set_timer("transfer-leadership", seconds(self.params.election_timeout_s[1]))
            p = self.progress_of(name)
            assert p is not None
            self.hand_over(p)

    def hand_over(self, p: Progress) -> None:
        if p.match == self.log.last_index:
            self.invited_another = True
            self.send(server_of(p.name), TimeoutNow(self.term))

    def beat(self) -> None:
        super().beat()
        p = self.progress_of(self.transfer.name) if self.transfer is not None else None
        if p is not None:
            self.hand_over(p)  # again: TimeoutNow gets lost as other messages do

    @on(Timer("transfer-leadership"), paper="dissertation 3.10")
    def keep_the_lead(self) -> None:
        transfer = self.transfer
        if transfer is not None:
            self.transfer = None
            self.refuse(transfer.operator, transfer.number, f"{transfer.name} did not take over")
            self.flush()

    def has_room(self) -> bool:
        return self.transfer is None and super().has_room()
