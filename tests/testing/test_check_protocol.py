"""The checks find what they are for, say so in words that help, and pass what is right."""

import warnings
from pathlib import Path

import pytest

from concur.base import Protocol, Role, Tags
from concur.errors import BadInput
from concur.parts.membership import OPERATOR
from concur.testing import CHECKS, CheckFailed, CheckSkipped, check_protocol
from concur.testing.check import Check, parametrize_with_checks
from examples.primary_backup import PrimaryBackup
from tests.testing.bad_protocols import BAD

STORIES = Path(__file__).parent / "transcripts"


@parametrize_with_checks([PrimaryBackup], effort=0.3, transcripts=STORIES)
def test_the_example_of_the_docs_keeps_the_contract(protocol: Protocol, check: Check) -> None:
    check(protocol)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(BAD))
def test_each_check_finds_the_protocol_that_breaks_it(name: str) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(BAD[name], effort=0.3, only=[name], transcripts=STORIES)
    text = str(failed.value)
    assert name in text
    assert len(text) < 3000


def test_a_clock_in_the_module_is_found() -> None:
    with pytest.raises(CheckFailed, match="imports time"):
        check_protocol(BAD["no_step_raises"], only=["imports_bring_in_no_hidden_inputs"])


def test_what_does_not_apply_is_said() -> None:
    with pytest.warns(CheckSkipped, match="wiped"):
        report = check_protocol(PrimaryBackup, only=["wiped_replicas_recover"])
    assert list(report.skipped) == ["wiped_replicas_recover"]


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(BadInput, match="no_such_check"):
        check_protocol(PrimaryBackup, only=["no_such_check"])


def test_every_check_has_a_protocol_that_breaks_it() -> None:
    only_by_module = {"imports_bring_in_no_hidden_inputs"}
    by_the_core = {  # nodes cannot break these without replacing the core's own methods
        "states_survive_snapshot_and_restore",
        "records_add_up_to_the_durable_fields",
    }
    from_outside = {  # the same code as other checks, with another world
        "duplication_is_tolerated",
        "reordering_is_tolerated",
        "every_machine_stays_linearizable",
    }
    names = {check.__name__ for check in CHECKS}
    assert names - set(BAD) == only_by_module | by_the_core | from_outside


def test_a_report_names_what_passed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check_protocol(PrimaryBackup, only=["roles_are_well_formed", "nodes_agree"])
    assert report.passed == ("roles_are_well_formed", "nodes_agree")


class ClaimsMembership(PrimaryBackup):
    tags = Tags(leader=True, crash_tolerant=False, recovers_wiped=False, membership=True)


class HasAnOperator(PrimaryBackup):
    def roles(self) -> tuple[Role, ...]:
        return (*super().roles(), OPERATOR)


class Deaf(ClaimsMembership, HasAnOperator):
    pass


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (ClaimsMembership, "nobody can ask for other members"),
        (HasAnOperator, "tags.membership is False, but it has an operator"),
        (Deaf, "Replica does not handle ChangeMembers"),
    ],
)
def test_members_that_change_need_an_operator(protocol: type[Protocol], words: str) -> None:
    with pytest.raises(CheckFailed, match=words):
        check_protocol(protocol, only=["roles_are_well_formed"])
