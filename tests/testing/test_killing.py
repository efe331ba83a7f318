"""`check_protocol(..., mutants=...)` and its parts: who kills a mutant, and what nobody kills."""

import pytest

from concur.testing import CHECKS, CheckFailed, Mutant, check_protocol, hunt, killed_by
from concur.testing.mutants import alarms, caught_with
from examples.primary_backup import PrimaryBackup, Replica
from tests.testing.bad_protocols import BAD, With

ONLY = ("roles_are_well_formed",)


class AnswersEarly(Replica):
    def count_acks(self) -> None:
        self.commit(self.log.last_index)


class Early(With):
    """The primary commits what nobody else holds; nobody takes its place, so nobody notices."""

    name = "mutant-early"
    replica = AnswersEarly


FORGETFUL = Mutant(
    BAD["crashes_after_every_record_keep_the_properties"],
    breaks=("agreement", "linearizable", "linearizability", "no_run_raises"),
    unbroken=PrimaryBackup(),
    seconds=2.0,
)
HARMLESS = Mutant(Early(), breaks=("agreement",), unbroken=PrimaryBackup(), seconds=0.5)


def test_a_check_of_the_suite_kills_it() -> None:
    (killer,) = killed_by(FORGETFUL, effort=0.1, first=True)
    assert killer in {check.__name__ for check in CHECKS}


def test_the_report_says_what_killed_each_mutant() -> None:
    report = check_protocol(PrimaryBackup, effort=0.1, only=ONLY, mutants=[FORGETFUL])
    assert list(report.killed) == [FORGETFUL.name]


def test_what_nothing_kills_is_a_failure_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concur.testing.check.killed_by", lambda *_, **__: ())  # takes seconds
    with pytest.raises(CheckFailed, match=r"nothing kills mutant-early(.|\n)*-> hunt\(mutant\)"):
        check_protocol(PrimaryBackup, effort=0.05, only=ONLY, mutants=[HARMLESS])


def test_a_campaign_that_alarms_on_what_is_right_is_a_failure() -> None:
    swapped = Mutant(
        PrimaryBackup(), breaks=("agreement",), unbroken=FORGETFUL.protocol, unbroken_seeds=(0, 1),
        seconds=2.0,
    )  # fmt: skip
    assert alarms(swapped, swapped.unbroken_seeds)
    with pytest.raises(CheckFailed, match="raises an alarm on the unbroken protocol"):
        check_protocol(PrimaryBackup, effort=0.1, only=ONLY, mutants=[swapped])


def test_a_hunt_gives_up_after_so_many_runs() -> None:
    told: list[int] = []
    assert hunt(HARMLESS, 3, progress=told.append) is None
    assert told == [3]


def test_a_directed_campaign_runs_its_own_faults() -> None:
    directed = Mutant(FORGETFUL.protocol, faults="crash=2", seconds=2.0, unbroken=PrimaryBackup())
    assert directed.directed
    assert directed.case(3).faults == directed.unbroken_case(3).faults == "crash=2"
    assert caught_with(directed, 0) or hunt(directed, 10) is not None
    assert alarms(directed, range(2)) == ()
