"""Starting, and coming back with a lost disk (CORE.md, 19).

A replica w that was wiped has forgotten promises and votes on which others may rely, so it casts no
vote: no Promise, no Accepted, no HeartbeatAck, and it does not campaign. It executes what others
tell it is chosen. The rule by which it votes again:

 1. Its memory is numbered: `born` is the incarnation in which its disk was first written. Together
    with `recovering` it is durable before w says anything, so a crash in between changes nothing.
 2. w tells everybody `Rejoin(born)`. Whoever hears it remembers the rebirth, durably (`reborn`).
 3. The leader begins a new ballot B with its rebirths in its Prepare. Acceptors take them over
    before they promise, and send all that they know with their promises. A proposer counts no
    promise of a memory that it, or any promise that it counts, knows to be lost (after the crash
    vectors of DISC17).
 4. When R replicas, the leader among them and w not, have promised B, |R| = max(Q1, N - Q1 + 1),
    and every slot up to `top`, the last in which they had voted, is executed, w gets
    `Welcome(B, top)`.
 5. When w has executed up to `top`, durably (in its votes, or in a saved snapshot), it promises B
    and is an acceptor again.

**Why that is safe.** Below, "old" is what w said before it was wiped. B is made after that, since
the leader makes it after Rejoin.

*Votes.* Say v is, or will be, chosen in slot s of ballot b, with an old vote of w among its quorum.
(i) b < B. If b > B: the quorum that elected b promised b before w voted, so before B existed; it
shares some x, not w, with R, as |R| + Q1 - 1 > N - 1; and x would have refused B. b = B cannot be,
for w was wiped before B. (ii) The quorum shares some y, not w, with R, as |R| >= Q1 > N - Q2. y
voted in b before it promised B, for afterwards it refuses b. So R showed the vote to the leader,
s <= top, and by the usual induction the leader of B proposed v in s. (iii) So w votes again only
when it knows that v is chosen in s, and shows it to every later proposer, as a vote marked chosen
or a compacted slot. What w forgot is never missed.

*Promises.* Say a proposer c is elected in ballot p and counts an old promise of w, on its way for
however long. Then p <= B, so w, which now refuses what is below B, keeps the promise although it
forgot it. For suppose p > B. The quorum that elected c shares some x, not w, with R. x promised B
first and then p (the other way round it refuses B). So it knew of w's rebirth when it promised p
(3), its promise says so, and c does not count the old one.

*Rebirths are not forgotten* when x is wiped in its turn. R and the quorum of x's own welcome share
some y, which is neither w nor x, as 2|R| > N. If y promised x's ballot after B, it passed w's
rebirth on, and x got it with its Welcome. If before, y knew of x's rebirth when it promised B, its
promise said so, and x's old one did not count for R.

*Reads* rest on the same: an elected ballot that w promised and forgot is at most B.

*Its own old ballots.* One that was elected is below B, as in (i). One that was not: promises for it
that are still on their way are true promises, and w proposes nothing in it unless they elect it.

**When it works.** The leader needs R, and Q2 votes, without w: Q1 and Q2 at most N - 1, and Q1 at
least 2. With N = 3 both others must be up, if only for a moment; a leader that crashes meanwhile is
replaced or comes back, and w asks again. With Q1 = N, Q1 = 1 or Q2 = N (so also with N <= 2) a
wiped replica stays a learner for ever. If so many are wiped that nobody has R, nothing is chosen
any more: lost for good, but never wrong.
"""

from concur.effects import Start, Timer
from concur.node import on, seconds
from concur.protocols.multi_paxos.acceptor import LEADING, UNBORN
from concur.protocols.multi_paxos.messages import NO_BALLOT, Ballot, Rejoin, Welcome
from concur.protocols.multi_paxos.proposer import Proposer
from concur.values import Map


class Replica(Proposer):
    """Proposer, acceptor and learner in one, and how it begins."""

    welcome: Ballot = NO_BALLOT  # where a recovering replica may vote again,
    welcome_slot: int = 0  # once it has executed up to here

    @on(Start)
    def start(self, event: Start) -> None:
        self.load_saved(event.snapshot)
        if event.snapshot is not None:
            self.committed = self.compacted = self.known = event.snapshot.mark[0]
            # Nobody is shown these any more, so they must not fill a log at its limit.
            self.votes = self.votes.without([s for s in self.votes if s <= self.compacted])
        self.top_vote = self.votes.keys()[-1] if len(self.votes) else 0
        self.seen = self.promised
        if event.kind == "new":
            self.born = 0
        elif event.kind == "wiped" or self.born == UNBORN:
            # A restart that finds nothing written may follow a wipe whose first record was lost.
            self.lose_memory(event.incarnation)
        if self.recovering:
            self.observe("recovering", self.born)
            self.ask_to_rejoin()
        elif event.kind == "new" and self.id == self.config.members[0]:
            self.set_timer("election", 0)  # somebody has to be the first
        else:
            self.wait_for_leader()

    def lose_memory(self, incarnation: int) -> None:
        """From here on this is another acceptor, which must be welcomed before it votes."""
        self.born = incarnation
        self.recovering = True

    # --- the wiped replica -----------------------------------------------------------------------

    @on(Timer("rejoin"))
    def ask_to_rejoin(self) -> None:
        if self.recovering:
            self.broadcast(self.others, Rejoin(self.born))
            self.set_timer("rejoin", seconds(self.params.resend_s))

    @on(Welcome)
    def be_welcomed(self, source: str, m: Welcome) -> None:
        if self.recovering and m.born == self.born and source in self.config.members:
            self.note_rebirths(m.reborn)
            if m.ballot > self.welcome:
                self.welcome, self.welcome_slot = m.ballot, m.slot
            self.known = max(self.known, m.slot)
            self.progressed()

    def progressed(self) -> None:
        """Vote again once all that must be known is known, and durable: an installed snapshot
        counts when it is saved, since a crash would forget it and not that we recovered."""
        if (
            self.recovering
            and self.welcome > NO_BALLOT
            and self.committed >= self.welcome_slot
            and not self.saving
        ):
            self.promised = max(self.promised, self.welcome)
            self.recovering = False
            self.cancel_timer("rejoin")
            self.observe("recovered", self.born)
            self.wait_for_leader()

    # --- everybody else --------------------------------------------------------------------------

    def note_rebirths(self, reborn: Map[str, int]) -> None:
        for replica, born in reborn.items() if len(reborn) else ():
            if born > self.reborn.get(replica, 0):
                self.reborn = self.reborn.put(replica, born)

    @on(Rejoin)
    def readmit(self, source: str, m: Rejoin) -> None:
        if source not in self.config.members or self.recovering:
            return
        self.note_rebirths(Map({source: m.born}))
        if self.phase != LEADING or self.reborn.get(source, 0) != m.born:
            return
        n, quorums = len(self.config.members), self.quorums
        needed = max(quorums.phase1_size, n - quorums.phase1_size + 1)
        if not (2 <= quorums.phase1_size < n and quorums.phase2_size < n):
            self.observe("unrecoverable", source)
        elif self.vouched.get(source, 0) != m.born:
            # A new ballot costs a round trip, in which nothing is chosen. It is not worth beginning
            # one that cannot be won: a small Q2 lets a leader live on without a phase-1 quorum.
            alive = {self.id, *self.heard, *self.heard_before} - {source}
            if len(alive) >= needed:
                self.campaign()
        elif self.committed >= self.top:
            promisers = [p for p in self.promisers() if p != source]
            if len(promisers) >= needed:
                self.send(source, Welcome(m.born, self.ballot, self.top, self.reborn))
            else:
                for acceptor in self.others:
                    self.ask_promise(acceptor)
