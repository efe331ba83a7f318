"""Is a counter-example minimal, does its message help, and does the line that it prints work?"""

import os
import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from concur.faults.schedule import Schedule
from concur.simulate.case import failures
from concur.simulate.shrink import Shrunk, shrink
from concur.testing import CheckFailed, check_protocol, strategies
from tests.mutants.base import Mutant
from tests.mutants.hunt import MUTANTS
from tests.mutants.multi_paxos import P7
from tests.testing.bad_protocols import BAD

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "testing" / "transcripts"
FEW_FAULTS = {"mutant-p3": 1, "mutant-p7": 1}
"""The mutants that shrink fastest, and how many faults each of them takes."""


def mutant(name: str) -> Mutant:
    return next(one for one in MUTANTS if one.name == name)


@lru_cache
def shrunk(name: str) -> Shrunk:
    known = mutant(name)
    assert known.seed is not None
    return shrink(known.case(known.seed))


def paste(line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line that was printed, in a shell at the top of the repository."""
    scripts = Path(sys.executable).parent
    path = os.pathsep.join([str(scripts), os.environ.get("PATH", "")])
    return subprocess.run(
        line,
        shell=True,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FEW_FAULTS))
def test_a_shrunk_schedule_is_small_and_still_fails(name: str) -> None:
    small = shrunk(name)
    assert small.exhausted
    assert len(small.schedule.faults) <= FEW_FAULTS[name] < len(small.original.faults.faults)  # type: ignore[union-attr]
    assert small.case.seconds < small.original.seconds
    found = [property for property, _ in failures(small.case.run())]
    assert small.failure.property in found


@pytest.mark.parametrize("name", sorted(FEW_FAULTS))
def test_no_fault_of_it_can_be_left_out(name: str) -> None:
    small = shrunk(name)
    for fault in small.schedule.faults:
        rest = tuple(other for other in small.schedule.faults if other is not fault)
        faults = msgspec.structs.replace(small.schedule, faults=rest)
        fewer = msgspec.structs.replace(small.case, faults=faults)
        assert small.failure.property not in [name for name, _ in failures(fewer.run())]


def test_the_unbroken_protocol_passes_the_shrunk_schedule() -> None:
    small = shrunk("mutant-p3")
    assert small.case.replicas == 2
    right = msgspec.structs.replace(small.case, protocol=mutant("mutant-p3").unbroken)
    assert failures(right.run()) == ()


@pytest.mark.parametrize("name", sorted(FEW_FAULTS))
def test_it_reads_like_a_story(name: str) -> None:
    lines = str(shrunk(name)).splitlines()
    assert lines[0].startswith(f"{shrunk(name).failure.property} is broken at r")
    assert re.match(r"  \d replicas.*, \d faults? of \d+, .* s of 10; seed \d+; found in", lines[2])
    assert re.match(r" +\d+\.\d{3} s  (crash of|partition) ", lines[3])


# --- lines that show it again ---------------------------------------------------------------------


def test_the_replay_line_of_a_campaign_works_when_pasted() -> None:
    known = mutant("mutant-p7")
    assert known.seed is not None
    line = known.case(known.seed).replay()
    assert shlex.split(line)[:3] == ["concur", "simulate", "tests.mutants.multi_paxos:P7"]
    done = paste(line)
    assert done.returncode == 1, done.stderr
    assert "votes_never_exceed_the_promise" in done.stdout + done.stderr


def test_the_replay_line_of_a_shrunk_case_works_when_pasted(tmp_path: Path) -> None:
    done = paste(shrunk("mutant-p3").write(tmp_path / "my-schedule.json"))
    assert done.returncode == 1, done.stderr
    assert shrunk("mutant-p3").failure.property in done.stdout + done.stderr


def test_the_line_of_a_walk_works_when_pasted() -> None:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(P7(), effort=0.2, only=["invariants_hold_in_every_state"])
    line = next(x for x in str(failed.value).splitlines() if x.strip().startswith("from "))
    done = paste(f"python -c {shlex.quote(line.strip())}")
    assert done.returncode == 1
    assert "Violated: votes_never_exceed_the_promise" in done.stderr.splitlines()[-1]


# --- messages -------------------------------------------------------------------------------------

QUICK = [
    "parameters_declare_their_constraints",
    "roles_are_well_formed",
    "messages_are_declared_right",
    "no_step_raises",
    "fields_hold_only_values",
    "messages_survive_the_codec",
    "messages_of_other_versions_are_understood",
    "nodes_agree",
    "every_handler_is_reached",
]


@pytest.mark.parametrize("check", QUICK)
def test_a_failing_check_says_what_where_and_how_to_mend_it(check: str) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(BAD[check], effort=0.1, only=[check], transcripts=STORIES)
    heading, named, found, *rest = str(failed.value).splitlines()
    assert heading.startswith("1 of ")
    assert named == check
    assert found.strip().startswith(f"{BAD[check].name}: ")
    assert any(line.strip().startswith("-> ") for line in rest), "no advice"
    assert max(map(len, (heading, named, *rest))) < 1000


def test_an_example_of_hypothesis_is_printed_as_values() -> None:
    @given(faults=strategies.schedules(P7(), kinds=["crash"], clients=1, seconds=2.0))
    @settings(derandomize=True, deadline=None, database=None)
    def holds(faults: Schedule) -> None:
        assert not faults.faults

    with pytest.raises(AssertionError) as failed:
        holds()
    told = "\n".join(failed.value.__notes__)
    assert "faults=Schedule(faults=(Crash(host=" in told
    assert "at_s=0.0, for_s=0.001),), heal_at_s=0.001" in told
