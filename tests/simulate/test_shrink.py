"""Shrinking: the counter-example that a person gets is small, still fails, and can be replayed."""

import shlex
from pathlib import Path

import msgspec
import pytest

from concur.errors import ConcurError
from concur.faults.catalogue import Crash, Loss, Partition
from concur.faults.schedule import Schedule, read_schedule
from concur.simulate.case import Case
from concur.simulate.shrink import Shrunk, shrink
from tests.faults.solo import NEAR, Forgetful, Solo

NOISE = tuple(
    fault
    for i in range(4)
    for fault in (
        Loss(at_s=0.3 + i / 10, for_s=0.5, rate=0.01),
        Crash(at_s=0.4 + i / 10, for_s=0.3, host="r2"),
        Partition(at_s=0.5 + i / 10, for_s=0.1, groups=(("r1",), ("r3", "c1"))),
    )
)
CULPRIT = Crash(at_s=0.75, for_s=0.4, host="r1")


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(
        protocol=Forgetful(),
        clients=4,
        network=NEAR,
        faults=Schedule((*NOISE[:7], CULPRIT, *NOISE[7:]), heal_at_s=3.0),
        seconds=4.0,
        seed=5,
    )


@pytest.fixture(scope="module")
def shrunk(case: Case) -> Shrunk:
    return shrink(case)


def test_only_the_fault_that_matters_is_left(shrunk: Shrunk) -> None:
    assert [type(fault) for fault in shrunk.schedule.faults] == [Crash]
    (crash,) = shrunk.schedule.faults
    assert crash.host == "r1"  # type: ignore[attr-defined]
    assert crash.at_s == CULPRIT.at_s
    assert crash.for_s < CULPRIT.for_s
    assert shrunk.exhausted


def test_everything_else_is_small_too(case: Case, shrunk: Shrunk) -> None:
    assert shrunk.case.clients == 1
    assert shrunk.case.replicas == 1
    assert shrunk.case.seconds < 1.5
    assert shrunk.original == case
    assert shrunk.runs < 100


def test_what_was_found_fails_with_the_same_property(shrunk: Shrunk) -> None:
    again = shrunk.case.run()
    assert again.violations_[0].property == "agreement" == shrunk.failure.property
    assert again.violations_[0].reason == shrunk.failure.reason
    assert again.violations_[0].time_ns == shrunk.failure.time_ns


def test_shrinking_twice_finds_the_same(case: Case, shrunk: Shrunk) -> None:
    assert shrink(case) == shrunk


def test_a_person_reads_what_broke_when_and_how(shrunk: Shrunk) -> None:
    first, reason, sizes, *schedule = str(shrunk).splitlines()
    assert first.startswith("agreement is broken at r1 after ")
    assert "was decided" in reason
    assert "1 replica of 3, 1 client of 4, 1 fault of 13" in sizes
    assert f"found in {shrunk.runs} runs" in sizes
    assert "crash of r1" in schedule[0]


def test_a_schedule_file_and_a_line_replay_it(shrunk: Shrunk, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    line = shrunk.write(path)
    words = shlex.split(line, comments=True)
    assert words[words.index("--faults") + 1] == str(path)
    assert words[words.index("--replicas") + 1] == "1"
    assert read_schedule(path) == shrunk.schedule
    replayed = msgspec.structs.replace(shrunk.case, faults=str(path)).run()
    assert replayed.violations_[0].time_ns == shrunk.failure.time_ns


def test_a_random_schedule_is_shrunk_as_well() -> None:
    for seed in range(20):
        case = Case(
            protocol=Forgetful(), clients=2, network=NEAR, faults="all", seconds=3.0, seed=seed
        )
        if case.run().violations_:
            break
    found = shrink(case)
    assert 1 <= len(found.schedule.faults) <= 2
    assert found.schedule.core == ()


def test_a_budget_of_runs_is_kept(case: Case) -> None:
    seen: list[int] = []
    found = shrink(case, runs_max=5, progress=lambda runs, best: seen.append(runs))
    assert found.runs == 5
    assert not found.exhausted
    assert seen == [2, 3, 4, 5]
    assert found.case.run().violations_
    assert "out of budget" in str(found)


def test_a_budget_of_time_is_kept(case: Case) -> None:
    found = shrink(case, time_s_max=0.0)
    assert found.runs == 1
    assert found.case == case


def test_a_run_that_does_not_fail_is_refused() -> None:
    right = Case(protocol=Solo(), clients=1, network=NEAR, seconds=0.5)
    with pytest.raises(ConcurError, match="does not fail"):
        shrink(right)
