"""Broken variants are caught by a campaign; the unbroken protocol raises no alarm in the same.

The seeds were found by `python -m tests.mutants.hunt`; here one run of each shows that they still
catch. The hunt itself, which begins with seed 0, runs with `-m campaign`, and so do all the seeds
on which the unbroken protocol has to pass a directed campaign.
"""

import pytest

from concur.simulate.case import failures
from concur.simulate.shrink import shrink
from concur.testing import killed_by
from tests.mutants.base import RUNS_MAX, Mutant, alarms, caught_with, hunt, smallest
from tests.mutants.hunt import MUTANTS, table
from tests.mutants.raft import JOINTLY

by_name = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
with_seed = pytest.mark.parametrize(
    "mutant", [m for m in MUTANTS if m.seed is not None], ids=lambda mutant: mutant.name
)
directed = pytest.mark.parametrize(
    "mutant",
    [m for m in (*MUTANTS, JOINTLY) if m.unbroken_seeds],
    ids=lambda mutant: f"{mutant.name}-{mutant.unbroken.name}",
)


def test_every_mutant_says_what_it_breaks_and_what_it_was_made_of() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    for mutant in MUTANTS:
        assert mutant.breaks, mutant.name
        assert mutant.unbroken is not None, mutant.name
        assert mutant.protocol.get_params() == mutant.unbroken.get_params(), mutant.name


@with_seed
def test_mutant_is_caught_with_its_seed(mutant: Mutant) -> None:
    assert mutant.seed is not None
    assert caught_with(mutant, mutant.seed), f"{mutant.name}: {' '.join(mutant.breaks)} held"


@with_seed
def test_the_unbroken_protocol_raises_no_alarm_on_that_seed(mutant: Mutant) -> None:
    assert mutant.seed is not None
    assert alarms(mutant, [mutant.seed]) == ()


def test_joint_consensus_bears_the_changes_that_single_server_changes_must_take_in_turn() -> None:
    assert JOINTLY.seed is not None
    assert JOINTLY.unbroken is not None
    assert JOINTLY.unbroken.name == "raft"
    assert alarms(JOINTLY, [JOINTLY.seed]) == ()


def test_the_suite_alone_kills_some() -> None:
    mutant = next(m for m in MUTANTS if m.name == "mutant-p1")
    assert killed_by(mutant, effort=0.1, first=True) == ("invariants_hold_in_every_state",)


def test_a_hunt_counts_only_what_the_mutant_breaks() -> None:
    mutant = next(m for m in MUTANTS if m.name == "mutant-p7")
    catch = hunt(mutant, 1)
    assert catch is not None
    assert (catch.seed, catch.runs) == (0, 1)
    assert catch.property in mutant.breaks
    other = Mutant(mutant.protocol, mutant.replicas, ("something_else",), unbroken=mutant.unbroken)
    assert hunt(other, 1) is None


def test_what_shrinking_begins_with_can_be_run_again() -> None:
    """Faults of all kinds hit spares too, and a schedule that names them is not without spares."""
    mutant = next(m for m in MUTANTS if m.name == "mutant-r3-term")
    assert mutant.seed is not None
    shrunk = shrink(mutant.case(mutant.seed), runs_max=1)
    assert shrunk.failure.property in dict(failures(shrunk.original.run()))


def test_a_table_has_straight_columns() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc  d"


@pytest.mark.campaign
@by_name
def test_the_hunt_catches_it_and_shrinks_the_trace(mutant: Mutant) -> None:
    catch = hunt(mutant)
    assert catch is not None, f"{mutant.name} got away with {RUNS_MAX} runs"
    shrunk = smallest(mutant, catch)
    print(f"{mutant.name}: seed {catch.seed}, {catch.runs} runs, {catch.property}\n{shrunk}")
    assert len(shrunk.schedule.faults) <= 6
    assert shrunk.failure.property in dict(failures(shrunk.case.run()))


@pytest.mark.campaign
@directed
def test_the_unbroken_protocol_passes_the_directed_campaign(mutant: Mutant) -> None:
    assert alarms(mutant, mutant.unbroken_seeds) == ()
