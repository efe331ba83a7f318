"""Starting, and coming back with a lost disk (CORE.md, 19).

A server that was wiped has forgotten its votes, and entries that others count on it to hold. If it
went on under its name, a term could get two leaders, and a committed entry could be on too few
disks. The rule: **who votes is not a server but a memory.** A name in a configuration is the
server's address and `born`, the incarnation in which its disk was first written: `r3`, and after a
wipe in incarnation 7 `r3#7`. Votes, pre-votes and acknowledgements carry the name of whoever gives
them, and count for that name alone; `voted_for` holds one too. So:

* **The old name has crashed, for ever.** That is the fault which Raft is made for: any number of
  crashed servers costs no safety, and a minority of them no progress. Messages of the old memory
  that are still on their way are true statements of a server that has crashed since: it did vote,
  and did hold those entries. They are counted for the old name while a configuration names it, and
  then for nobody. Nothing that the new memory says is ever counted for the old one.
* **The new name is a new server**, to which nobody owes anything and which owes nothing to anybody.
  The leader learns of it (Rejoin, or an answer to AppendEntries under a name that it does not know)
  and exchanges the one for the other, by joint consensus, after the new one has caught up: exactly
  what an operator would do who replaces a broken machine (membership.py).

*When may it vote?* As any newcomer: at once. A candidate counts votes of the names in its own
configuration. If that names `r3#7`, a leader has put it there, and the vote of `r3#7` is the vote
of a server that joins. If not, nobody counts it. It campaigns only when it knows, durably, a
committed configuration with its name; not because earlier would be unsafe, but because it wins
nothing.

*A candidate's name matters too.* Say w campaigned in a term, got a vote, and was wiped. That vote,
on its way still, must not elect its successor, whose log is another: `Vote` says for which memory
it is, and `voted_for` keeps the voter from giving it to both.

*Is `born` itself safe?* It is durable before the server says anything (CORE.md, 5), in the record
that first writes its disk, and incarnations are never reused. A restart that finds nothing written
may follow a wipe whose first record was lost: it takes a new name.

*How many?* With N voters, (N-1)/2 names may be lost at a time: a majority of C_old is alive and
commits C_old,new, and so is one of C_new, which has the same survivors and more. Others may be lost
when these are exchanged (`observe("recovered")`). If a majority is lost, nothing is committed any
more: lost for good, but never wrong.

A server that no configuration counts on, a spare or one that was removed, has nothing to recover;
it asks, and a leader that has made sure that it still leads says so (NotNeeded).
"""

from concur.effects import Start, Timer
from concur.node import on, seconds
from concur.protocols.raft.log import LEADER, UNBORN, place
from concur.protocols.raft.membership import Changer
from concur.protocols.raft.messages import (
    Configuration,
    Name,
    NotNeeded,
    Rejoin,
    name_of,
    server_of,
)


class Replica(Changer):
    """Everything that a Raft server is, and how it begins."""

    asked: tuple[tuple[str, Name, int], ...] = ()  # who must hear that it is not needed, and when

    @on(Start)
    def start(self, event: Start) -> None:
        self.load_saved(event.snapshot)
        if event.kind == "new":
            self.born = 0
        elif event.kind == "wiped" or self.born == UNBORN:
            self.lose_memory(event.incarnation)
        self.name = name_of(self.id, self.born)
        self.configurations = self.configurations_after(event.snapshot)
        if event.snapshot is not None:
            self.committed = self.installing = place(event.snapshot.mark)[0]
            self.cut_log(event.snapshot)  # a crash may have come between saving it and this
        self.matched = self.committed
        if event.kind == "restart" and self.params.reads == "lease":
            # A lease may rest on a promise that was made before the crash (reads.py).
            self.quiet_until = seconds(self.params.election_timeout_s[0])
        if self.recovering:
            self.observe("recovering", self.born)
            self.ask_to_rejoin()
        elif event.kind == "new" and self.id == self.config.members[0]:
            self.set_timer("election", 0)  # somebody has to be the first
        else:
            self.wait_for_leader()

    def lose_memory(self, incarnation: int) -> None:
        """From here on this is another server at the same address (mutant: the same one)."""
        self.born = incarnation
        self.recovering = True

    # --- the wiped server ------------------------------------------------------------------------

    @on(Timer("rejoin"))
    def ask_to_rejoin(self) -> None:
        if self.recovering:
            others = tuple(r for r in self.config.universe if r != self.id)
            self.broadcast(others, Rejoin(self.name))
            self.set_timer("rejoin", seconds(self.params.election_timeout_s[1]))

    def learn_of_itself(self, configuration: Configuration) -> None:
        if self.recovering and self.name in configuration.names and not configuration.old:
            self.recover()

    @on(NotNeeded)
    def be_dismissed(self, source: str, m: NotNeeded) -> None:
        if self.recovering and m.name == self.name and source in self.servers:
            self.recover()

    def recover(self) -> None:
        self.recovering = False
        self.cancel_timer("rejoin")
        self.observe("recovered", self.born)
        self.wait_for_leader()

    # --- the leader ------------------------------------------------------------------------------

    @on(Rejoin)
    def readmit(self, source: str, m: Rejoin) -> None:
        if self.role != LEADER:
            return
        known = {server_of(p.name) for p in self.progress}
        if source in known:
            self.meet_stranger(source, m.name)
            if self.unsettled:
                self.drive_on()
        elif (
            source in self.servers
            and self.may_change_members()
            and not any(a[:2] == (source, m.name) for a in self.asked)
        ):
            # Nobody counts on it, if this leader still leads: the next heartbeat that is due tells.
            # A round at once would let whoever asks often set off as many. Asking again does not
            # put the answer off; one memory of each server waits, so it is a bounded number.
            others = tuple(a for a in self.asked if a[0] != source)
            self.asked = (*others, (source, m.name, self.round + 1))

    def serve_reads(self) -> None:
        super().serve_reads()
        if self.asked and self.asked[0][2] <= self.confirmed:
            ready = [a for a in self.asked if a[2] <= self.confirmed]
            self.asked = self.asked[len(ready) :]
            for server, name, _ in ready:
                if not self.configuration.name_at(server):
                    self.send(server, NotNeeded(name))

    def stop_leading(self) -> None:
        super().stop_leading()
        self.asked = ()
