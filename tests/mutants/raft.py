"""Raft, broken on purpose. Each mutant changes one thing that the safety argument needs.

The numbers are those of the known-bug corpus that the project keeps: R1 members, R2 figure 8, R3
durable votes, R9 the classics of teaching.
"""

from pathlib import Path
from typing import Any

import msgspec

from concur.protocols.raft import Raft
from concur.protocols.raft.messages import AppendEntries, Configuration, Name, server_of
from concur.protocols.raft.recovery import Replica
from concur.protocols.raft.replication import Progress
from concur.testing.unsafe import send_before_durable
from tests.mutants.base import HASTY, SAFETY, Mutant

# --- R1: members ----------------------------------------------------------------------------------


class OneByOne(Replica):
    """Single-server changes (dissertation 4.1), with the rule that was added when the bug of the
    first publication was found: the leader first commits an entry of its own term. That is safe,
    since two majorities of sets that differ by one server meet."""

    def next_configuration(self, wanted: Configuration) -> Configuration:
        now = self.configuration
        for name in wanted.voters:
            if name not in now.voters and self.is_new(name):
                return Configuration((*now.voters, name), (), wanted.learners)
        for name in now.voters:
            if name not in wanted.voters:
                left = tuple(other for other in now.voters if other != name)
                return Configuration(left, (), wanted.learners)
        return Configuration(now.voters, (), wanted.learners)

    def is_new(self, name: Name) -> bool:
        """One memory of a server at a time: the old one goes before the new one comes."""
        return server_of(name) not in self.configuration.members()


class OneByOneAtOnce(OneByOne):
    def may_change_members(self) -> bool:
        return self.committed >= self.configurations[-1][0]


class SingleServer(Raft):
    """Benign: what R1 is made from."""

    name = "raft-single-server"
    replica = OneByOne


class R1(Raft):
    """Single-server changes, begun before the leader has committed an entry of its own term."""

    name = "mutant-r1"
    replica = OneByOneAtOnce


class NoOverlap(Replica):
    def next_configuration(self, wanted: Configuration) -> Configuration:
        return Configuration(wanted.voters, (), wanted.learners)


class DirectChange(Raft):
    """From the old members to the new ones in one step, however many they are."""

    name = "mutant-r1-direct"
    replica = NoOverlap


# --- R2: figure 8 ---------------------------------------------------------------------------------


class CountsOldTerms(Replica):
    def may_commit(self, index: int) -> bool:
        return True


class R2(Raft):
    """Entries of older terms are committed by counting replicas."""

    name = "mutant-r2"
    replica = CountsOldTerms


# --- R3: what must be on disk ---------------------------------------------------------------------


class ForgetsItsVote(Replica):
    voted_for: Name = ""


class R3(Raft):
    """The vote is not persisted: after a restart, a server votes again in the same term."""

    name = "mutant-r3"
    replica = ForgetsItsVote


class ForgetsItsTerm(Replica):
    term: int = 0
    voted_for: Name = ""


class R3Term(Raft):
    """Neither term nor vote are persisted."""

    name = "mutant-r3-term"
    replica = ForgetsItsTerm


@send_before_durable
class Hasty(Replica):
    pass


class SendsBeforeSync(Raft):
    """Votes and acknowledgements leave while the disk is still writing what they promise."""

    name = "mutant-r3-sends-before-sync"
    replica = Hasty


class KeepsItsName(Replica):
    def lose_memory(self, incarnation: int) -> None:
        self.born = 0
        self.observe("recovered", 0)


class WipedKeepsItsName(Raft):
    """A server that lost its disk goes on as the one that it was, and votes."""

    name = "mutant-wiped-keeps-its-name"
    replica = KeepsItsName


# --- R9: the classics -----------------------------------------------------------------------------


class LeasesForEver(Replica):
    def holds_lease(self) -> bool:
        return self.committed >= self.first


class UnboundedLease(Raft):
    """A leader reads without asking anybody while it believes to lead: no clock bounds that."""

    name = "mutant-r9-unbounded-lease"
    replica = LeasesForEver


class DoublesItsLease(Replica):
    def lease_ns(self) -> int:
        return 2 * super().lease_ns()


class LongLease(Raft):
    """A lease outlasts what followers promise: as by a clock that runs at half the speed."""

    name = "mutant-r9-long-lease"
    replica = DoublesItsLease


class InvitesAndReads(Replica):
    def hand_over(self, p: Progress) -> None:
        super().hand_over(p)
        self.invited_another = False


class LeaseAndTransfer(Raft):
    """A leader that told another to campaign at once goes on reading by its lease."""

    name = "mutant-r9-lease-and-transfer"
    replica = InvitesAndReads


class VotesForAnyLog(Replica):
    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        return True


class AnyLog(Raft):
    """Votes are granted without a look at the candidate's log."""

    name = "mutant-r9-any-log"
    replica = VotesForAnyLog


class CommitsItsTail(Replica):
    def commit_limit(self, m: AppendEntries) -> int:
        return min(m.committed, self.log.last_index)


class StaleTail(Raft):
    """A follower commits up to the leader's index, whether or not its own log is the leader's."""

    name = "mutant-r9-stale-tail"
    replica = CommitsItsTail


class CommitsAnything(Replica):
    def commit_limit(self, m: AppendEntries) -> int:
        return m.committed


class PastTheLog(Raft):
    """A follower's commit index runs past the end of its log."""

    name = "mutant-r9-past-the-log"
    replica = CommitsAnything


class ReadsAtOnce(Replica):
    def read_index(self) -> int:
        return self.committed


class NoFirstEntry(Raft):
    """A new leader reads before an entry of its own term is committed."""

    name = "mutant-r9-no-first-entry"
    replica = ReadsAtOnce


RULES = (
    "nothing_is_committed_beyond_the_log",
    "terms_never_decrease_along_the_log",
    "what_equals_the_log_of_the_leader_is_in_the_log",
    "no_step_raises",
)
"""Local properties and assertions, evaluated in every step, in a real cluster too."""
BROKEN = SAFETY + RULES
EAGER: dict[str, Any] = {"retry_s": 0.05}
"""Clients that try again soon are there when something goes wrong for a moment."""
LEASING: dict[str, Any] = {"reads": "lease", "election_timeout_s": (0.4, 0.45), **EAGER}
SLOWLY: dict[str, Any] = {"reads": "lease", "election_timeout_s": (1.0, 1.05), **EAGER}
HERE = Path(__file__).parent
TWO_CHANGES = str(HERE / "raft_r1.json")
"""Two leaders each remove a server, and neither knows of the other's change."""
AT_ONCE = str(HERE / "raft_r1_direct.json")
"""r1 is cut off from three of four, and told to replace them by two who are with it."""
FIGURE_8 = str(HERE / "raft_r2.json")
"""r1 has a tail that nobody else has, then r3 has one of a later term. r1 replicates its own to r2
on slow links, and crashes; then r3 leads again."""
TWO_VOTES = str(HERE / "raft_r3.json")
"""r2 votes for r3, which it then cannot hear, restarts, and is asked by r1."""
OLD_LEASE = str(HERE / "raft_r9_lease.json")
"""r1 is cut off from r2 and r3, which elect another. Clients start anew, and read at r1 first."""
INVITATION = str(HERE / "raft_r9_invitation.json")
"""r1 tells r2 to take over and is cut off before it hears that r2 does; clients read at r1."""
EARLY_READS = str(HERE / "raft_r9_reads.json")
"""r3 lacks what r1 and r2 hold, r1 crashes, and clients read at r2 while it repairs r3's log."""
CALM: dict[str, Any] = {"pre_vote": False, "election_timeout_s": (0.4, 1.4)}
"""The stories need one candidate after the other."""
ONE_BY_ONE: dict[str, Any] = {"window_max": 1, "batch_max": 1, **CALM}
"""A new leader replicates what it inherited one entry at a time."""

WHOLE, QUICK = Raft(), Raft(**HASTY)
MANY = tuple(range(100))
"""Seeds with which the unbroken protocol lives through the same stories."""


def told(
    mutant: Raft, replicas: int, breaks: tuple[str, ...], seed: int, unbroken: Raft, story: str
) -> Mutant:
    """A mutant that a schedule written by hand catches, with some seeds."""
    return Mutant(mutant, replicas, breaks, seed, unbroken, story, unbroken_seeds=MANY)


RAFT_MUTANTS: tuple[Mutant, ...] = (
    told(R1(**CALM), 4, BROKEN, 0, SingleServer(**CALM), TWO_CHANGES),
    Mutant(DirectChange(), 4, SAFETY, 1, WHOLE, AT_ONCE, 2, unbroken_seeds=MANY),
    told(R2(**ONE_BY_ONE), 3, BROKEN, 15, Raft(**ONE_BY_ONE), FIGURE_8),
    told(R3(**CALM), 3, BROKEN, 4, Raft(**CALM), TWO_VOTES),
    Mutant(R3Term(**HASTY), 3, BROKEN, 0, QUICK),
    Mutant(SendsBeforeSync(**HASTY), 3, BROKEN, 0, QUICK),
    Mutant(WipedKeepsItsName(), 3, BROKEN, 4, WHOLE),
    told(UnboundedLease(**LEASING), 3, SAFETY, 0, Raft(**LEASING), OLD_LEASE),
    told(LongLease(**LEASING), 3, SAFETY, 0, Raft(**LEASING), OLD_LEASE),
    told(LeaseAndTransfer(**SLOWLY), 3, SAFETY, 0, Raft(**SLOWLY), INVITATION),
    Mutant(AnyLog(), 3, BROKEN, 1, WHOLE),
    Mutant(StaleTail(), 3, BROKEN, 1, WHOLE),
    Mutant(PastTheLog(), 3, BROKEN, 1, WHOLE),
    told(NoFirstEntry(**EAGER), 3, SAFETY, 0, Raft(**EAGER), EARLY_READS),
)

JOINTLY = msgspec.structs.replace(RAFT_MUTANTS[0], unbroken=Raft(**CALM))
"""R1 was made from single-server changes. Raft as it is here, with joint consensus, is told of the
same two changes, and lives through them too."""
