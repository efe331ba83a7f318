"""Broken variants are caught by the ordinary campaign; the unbroken protocol raises no alarm.

The seeds were found by `python -m tests.mutants.hunt`; here one run of each shows that they still
catch. The hunt itself, which begins with seed 0, runs with `-m campaign`.
"""

import pytest

from concur.simulate.case import failures
from tests.mutants.hunt import MUTANTS, RUNS_MAX, Mutant, hunt, smallest, unbroken

by_name = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
with_seed = pytest.mark.parametrize(
    "mutant", [m for m in MUTANTS if m.seed is not None], ids=lambda mutant: mutant.name
)


@with_seed
def test_mutant_is_caught_with_its_seed(mutant: Mutant) -> None:
    assert mutant.seed is not None
    found = [name for name, _ in failures(mutant.case(mutant.seed).run())]
    assert set(found) & set(mutant.breaks), f"{mutant.name}: {found or 'nothing'} was broken"


@with_seed
def test_the_unbroken_protocol_raises_no_alarm_on_that_seed(mutant: Mutant) -> None:
    assert mutant.seed is not None
    assert failures(unbroken(mutant, mutant.seed).run()) == ()


@pytest.mark.campaign
@by_name
def test_the_hunt_catches_it_and_shrinks_the_trace(mutant: Mutant) -> None:
    catch = hunt(mutant)
    assert catch is not None, f"{mutant.name} got away with {RUNS_MAX} runs"
    shrunk = smallest(mutant, catch)
    print(f"{mutant.name}: seed {catch.seed}, {catch.runs} runs, {catch.property}\n{shrunk}")
    assert len(shrunk.schedule.faults) <= 6
