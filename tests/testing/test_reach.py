"""What was reached is counted where it happens, by walks and by transcripts, and named in words."""

from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.protocols.multi_paxos import MultiPaxos, Replica
from concur.testing import CheckFailed, Cluster, Reach, Walk, check_protocol
from concur.testing.reach import handlers_of
from concur.testing.subject import Subject, tightened
from concur.testing.transcripts import reached_by, transcripts_in
from examples.primary_backup import PrimaryBackup
from examples.primary_backup import Replica as Backup
from tests.small.virtual_log import VirtualLog
from tests.testing.bad_protocols import Unreached

STORIES = Path(__file__).parent / "transcripts"
ONLY = ("every_handler_is_reached",)


def started(protocol: Any, reach: Reach) -> Cluster:
    cluster = Cluster(protocol, replicas=3, reach=reach)
    cluster.start()
    return cluster


def test_handlers_have_their_trigger_method_and_mark() -> None:
    found = {handler.trigger: handler for handler in handlers_of(Replica)}
    assert str(found["Accept"]) == "Replica on Accept (accept, paper 'PMS 2.2 2(b)')"
    assert found["timer election"].method == "campaign"
    assert found["FetchSnapshot"].name == "Replica on FetchSnapshot"  # of concur.parts.transfer
    assert "Start" in found


def test_a_mark_stays_when_the_method_is_overridden() -> None:
    class Louder(Replica):
        def accept(self, source: str, m: Any) -> None:
            super().accept(source, m)

    marks = {handler.trigger: handler.paper for handler in handlers_of(Louder)}
    assert marks["Accept"] == "PMS 2.2 2(b)"


def test_only_what_ran_counts() -> None:
    reach = Reach()
    cluster = started(PrimaryBackup(), reach)
    missing = {handler.name for handler in reach.missing(PrimaryBackup())}
    assert "Replica on Start" not in missing
    assert {"Replica on timer repeat", "PrimaryBackupClient on Invoke"} <= missing
    cluster.invoke("c1", 1, b"")
    assert "PrimaryBackupClient on Invoke" not in {
        handler.name for handler in reach.missing(PrimaryBackup())
    }


def test_counting_changes_nothing() -> None:
    counted, plain = (Walk(MultiPaxos(), 5, reach=reach) for reach in (Reach(), None))
    for walk in (counted, plain):
        walk.run(300)
    for id, seat in plain.cluster.seats.items():
        other = counted.cluster.seats[id].node
        assert (seat.node is None) == (other is None)
        assert seat.node is None or seat.node.state() == other.state()  # type: ignore[union-attr]
    assert counted.cluster.steps == plain.cluster.steps


def test_classes_keep_their_names_and_their_own_tables() -> None:
    counting = Reach().counting(Backup)
    assert (counting.__name__, counting.__module__) == (Backup.__name__, Backup.__module__)
    assert issubclass(counting, Backup)
    assert Reach().counting(Backup) is not counting
    assert handlers_of(counting) == handlers_of(Backup)


def test_what_happens_inside_a_node_counts_too() -> None:
    reach = Reach()
    walk = Walk(VirtualLog(), 1, reach=reach)
    walk.run(400)
    ran = {handler.name for handler, times in reach.times().items() if times}
    assert any(name.endswith("on child's Decide") for name in ran), ran
    roles = {role.node.__name__ for role in VirtualLog().roles()}
    children = {handler.role for handler in reach.handlers(VirtualLog())} - roles
    assert children, "handlers of children belong to the protocol that made them"


def test_transcripts_count_for_the_protocol_that_they_start() -> None:
    files = transcripts_in(STORIES)
    ran = {h.name for h, times in reached_by(PrimaryBackup, files).times().items() if times}
    assert {"Replica on timer repeat", "Replica on Append"} <= ran
    assert reached_by(MultiPaxos, files).times() == {}


def test_places_without_transcripts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"transcripts/\*\.txt"):
        check_protocol(PrimaryBackup, transcripts=tmp_path)


def test_a_handler_that_nothing_reaches_is_listed_with_its_mark() -> None:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(Unreached(), effort=0.1, only=ONLY, transcripts=STORIES)
    text = str(failed.value)
    assert "Replica on NeverHappens" not in text
    assert "WaitsForIt on NeverHappens (be_amazed, paper 'section 9')" in text
    assert "marks of the paper: section 9" in text
    assert 'unreachable={"WaitsForIt on' in text


def test_a_reason_excuses_it_for_as_long_as_it_is_needed() -> None:
    walks = Subject(Unreached(), 0.2)
    reasons = {handler.name: "a test of the excuse" for handler in walks.reach.missing(Unreached())}
    passed = check_protocol(
        Unreached(), effort=0.2, only=ONLY, transcripts=STORIES, unreachable=reasons
    )
    assert passed.passed == ONLY
    reasons["WaitsForIt on Append"] = "it is reached all the time"
    with pytest.raises(CheckFailed, match=r"WaitsForIt on Append: said to be unreachable"):
        check_protocol(Unreached(), effort=0.2, only=ONLY, transcripts=STORIES, unreachable=reasons)


def test_limits_are_near_on_tight_walks() -> None:
    tight = tightened(MultiPaxos(), 3)
    assert (tight.snapshot_every, tight.queue_max, tight.chunk_bytes_max) == (4, 4, 64)
    assert tight.log_entries_max == 8  # at least snapshot_every + lag_max
    assert tight.batch_delay_s > 0
    assert tight.retry_s == MultiPaxos().retry_s
    assert tightened(MultiPaxos(queue_max=2), 3).queue_max == 2
