"""The check that hands a protocol to the model checker: what it finds, tells, and leaves alone."""

import re
from typing import Any

import pytest

from concur.base import Protocol, Role, Tags
from concur.protocols import all_protocols
from concur.protocols.multi_paxos import MultiPaxos
from concur.testing import CheckFailed, CheckSkipped, check_protocol
from concur.testing.orders import every_order_within_small_bounds_is_safe
from concur.testing.subject import Subject
from concur.verify import Scenario
from concur.verify.nodes.node_system import NodeSystem
from examples.primary_backup import PrimaryBackup
from tests.mutants.multi_paxos import P1, P7
from tests.mutants.raft import R3Term

NAME = every_order_within_small_bounds_is_safe.__name__


@pytest.mark.parametrize("kind", all_protocols(), ids=lambda kind: kind.name)
def test_it_applies_to_every_protocol_of_the_house(kind: type[Protocol]) -> None:
    report = check_protocol(kind, effort=0.3, only=[NAME])
    assert report.passed == (NAME,)


@pytest.mark.parametrize(
    ("mutant", "property"),
    [
        (P1(), "votes_never_exceed_the_promise"),
        (P7(), "votes_never_exceed_the_promise"),
        (R3Term(), "terms_never_decrease_along_the_log"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_mutant_fails_it_with_a_trace(mutant: Protocol, property: str) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(mutant, only=[NAME])
    lines = str(failed.value).splitlines()
    assert any(line.startswith(f"  {mutant.label}: {property} does not hold: ") for line in lines)
    assert "  after these events, with 3 replicas and " in str(failed.value)
    events = [line for line in lines if re.match(r" +\d+  ", line)]
    assert "timer election" in events[0]
    assert 5 <= len(events) <= 20


def test_the_line_that_it_prints_shows_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(R3Term, only=[NAME])
    (line,) = [text for text in str(failed.value).splitlines() if "from tests.mutants" in text]
    exec(line.strip(), {})
    assert capsys.readouterr().out.startswith("violated: terms_never_decrease_along_the_log")


class NeedsClocks(PrimaryBackup):
    tags = Tags(leader=True, crash_tolerant=False, needs=("tea_leaves",))


class Streaming(PrimaryBackup):
    def roles(self) -> tuple[Role, ...]:
        replica, *rest = super().roles()
        return (type(replica)(replica.name, replica.node, replica.prefix, links="stream"), *rest)


@pytest.mark.parametrize(
    ("kind", "why"), [(NeedsClocks, "needs tea_leaves"), (Streaming, "needs streams")]
)
def test_what_the_checker_refuses_is_skipped_with_its_reason(
    kind: type[Protocol], why: str
) -> None:
    with pytest.warns(CheckSkipped, match=why):
        report = check_protocol(kind, only=[NAME])
    assert why in report.skipped[NAME]


def test_bounds_that_cannot_be_exhausted_prove_nothing() -> None:
    with pytest.warns(CheckSkipped, match="come to more than 2 states"):
        check_protocol(PrimaryBackup, effort=0.0002, only=[NAME])


class BearsLittle(PrimaryBackup):
    tags = Tags(leader=True, crash_tolerant=False, recovers_wiped=False, tolerates=())


@pytest.mark.parametrize(
    ("protocol", "faults"),
    [
        (BearsLittle(), {"", "crash=1"}),
        (PrimaryBackup(), {"", "crash=1", "duplicate=1"}),
        (MultiPaxos(), {"", "crash=1", "wipe=1,duplicate=1"}),
    ],
    ids=["BearsLittle", "PrimaryBackup", "MultiPaxos"],
)
def test_disks_are_lost_and_messages_doubled_where_the_tags_say_that_it_bears_that(
    protocol: Protocol, faults: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    real = Scenario.system

    def noted(self: Scenario) -> NodeSystem:
        tried.append(self.faults)
        return real(self)

    monkeypatch.setattr(Scenario, "system", noted)
    every_order_within_small_bounds_is_safe(Subject(protocol, 0.1))
    assert set(tried) == faults
