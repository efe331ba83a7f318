"""Viewstamped Replication, broken on purpose: each mutant changes one thing that matters.

The numbers are those of the known-bug corpus that the project keeps: V1 state transfer, V2 recovery
without a disk, V3 the choice of a log.
"""

from typing import Any

from concur.protocols.viewstamped_replication import (
    ViewstampedReplication,
    ViewstampedReplicationOnDisk,
)
from concur.protocols.viewstamped_replication.messages import Configuration, DoViewChange
from concur.protocols.viewstamped_replication.reconfiguration import Replica, ReplicaOnDisk
from concur.testing.unsafe import send_before_durable
from tests.mutants.base import HASTY, SAFETY, Mutant

# --- V1: state transfer ---------------------------------------------------------------------------


class NormalTooEarly(Replica):
    # The rule that it breaks is a local property, which would tell at once.
    a_normal_replica_has_the_log_of_its_view = None  # type: ignore[assignment]

    def leave_log(self) -> None:
        self.last_normal_view = self.view


class BelievesThePaper(NormalTooEarly):
    def leave_log(self) -> None:
        self.log = self.log.truncate(min(self.committed, self.op_number))
        self.last_normal_view = self.view


class V1(ViewstampedReplication):
    """On hearing of a higher view, a replica cuts its log to its commit-number, and from then on
    counts as one that has been normal in that view (VRR 5.2, read literally)."""

    name = "mutant-v1"
    replica = BelievesThePaper


class V1View(ViewstampedReplication):
    """Half of it: its log stays, but counts as one of the higher view."""

    name = "mutant-v1-normal-too-early"
    replica = NormalTooEarly


# --- V2: recovery ---------------------------------------------------------------------------------


class TrustsTheForgetful(Replica):
    def counts(self, source: str, born: int) -> bool:
        return True


class V2(ViewstampedReplication):
    """What a memory said that was lost since is counted: no crash vectors (VRR 4.3)."""

    name = "mutant-v2"
    replica = TrustsTheForgetful


class RecoversAtOnce(Replica):
    def lose_memory(self, incarnation: int) -> None:
        self.born, self.status = 0, "normal"
        self.observe("recovered", 0)


class NoRecovery(ViewstampedReplication):
    """A replica that lost its memory goes on as a new one, in view 0 with an empty log."""

    name = "mutant-no-recovery"
    replica = RecoversAtOnce


class EntersAnyEpoch(Replica):
    def may_enter(self, change: Configuration) -> bool:
        return True


class EpochsForget(ViewstampedReplication):
    """A replica that lost its memory enters an epoch that it had been in, as if it had not."""

    name = "mutant-epochs-forget"
    replica = EntersAnyEpoch


# --- V3: the choice of a log ----------------------------------------------------------------------


class TakesTheLongest(Replica):
    def rank(self, m: DoViewChange) -> tuple[int, int]:
        return m.op_number, m.last_normal_view


class V3(ViewstampedReplication):
    """A new primary takes the longest log, of whatever view."""

    name = "mutant-v3"
    replica = TakesTheLongest


# --- what must be on disk -------------------------------------------------------------------------


@send_before_durable
class Hasty(ReplicaOnDisk):
    pass


class SendsBeforeSync(ViewstampedReplicationOnDisk):
    """Acknowledgements leave while the disk is still writing what they promise."""

    name = "mutant-vr-sends-before-sync"
    replica = Hasty


STORIES = "tests/mutants/schedules"
"""Schedules of faults that set a stage. What then comes about is drawn from the seed.

* `v1.json`: r2 does not hear r1, and begins view 1 with r3's log, while messages get lost. r3 may
  hear a Commit of view 1 and not its StartView; then r2 is cut off, and r3 and r1 go on in view 2.
* `v1_early.json`: here it is r3 that lacks what r1 and r2 have committed.
* `v2.json`: r2 does not hear r1 and leaves view 0, but loses its memory before anybody hears of it.
  Its word comes late, to r3 alone, which leaves too, says so to r2, primary of view 1, and loses
  its memory before that is heard. Both recover into view 0, where nobody else knows of view 1. r1
  and r3 go on without r2; then what r3 had said arrives. Less will not do: a DoViewChange is sent
  when a quorum has left, so that a single lost memory cannot recover into the view that it left.
* `epochs.json`: r4 takes the place of r3. It lags, and waits for view 1 of epoch 1; r2 loses its
  memory, and fetches what is committed from r1, which is slow.
* `v3.json`: r1, primary of view 0, is cut off with eight clients, whose commands nobody else has.
  r2 and r3 commit a few commands of the other two in view 1. Then r2 is cut off, and r1 comes back:
  r3 is to begin view 2 with its own log, which is shorter than r1's, and later.
"""
PATIENT: dict[str, Any] = {"election_timeout_s": (0.15, 0.2)}
EAGER: dict[str, Any] = {"retry_s": 0.05, **PATIENT}
"""Clients that find the new primary while it leads."""

WHOLE, STAGED = ViewstampedReplication(), ViewstampedReplication(**PATIENT)
DISK = ViewstampedReplicationOnDisk(**HASTY)
UNBROKEN = tuple(range(100))
"""Seeds with which the unbroken protocol lives through the same stories."""


def staged(
    protocol: ViewstampedReplication,
    seed: int,
    story: str,
    unbroken: ViewstampedReplication = STAGED,
    spares: int = 0,
) -> Mutant:
    """A mutant that is caught by one of the stories."""
    faults = f"{STORIES}/{story}.json"
    return Mutant(protocol, 3, SAFETY, seed, unbroken, faults, spares, unbroken_seeds=UNBROKEN)


VR_MUTANTS: tuple[Mutant, ...] = (
    staged(V1(**PATIENT), 69, "v1"),
    staged(V1View(**PATIENT), 7, "v1_early"),
    staged(V2(**PATIENT), 0, "v2"),
    Mutant(NoRecovery(), 3, SAFETY, 1, WHOLE),
    staged(EpochsForget(), 0, "epochs", WHOLE, 1),
    staged(V3(**EAGER), 0, "v3", ViewstampedReplication(**EAGER)),
    Mutant(SendsBeforeSync(**HASTY), 3, SAFETY, 0, DISK),
)
