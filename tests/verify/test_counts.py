"""The published state counts, unique and generated, exactly.

Two-phase commit, voting and the specification of Paxos: as TLC counts them, with the constants of
the TLA+ examples. Registers and the increment: as Stateright counts its examples. Symmetry: the
true numbers of orbits, which a reduction without canonical forms does not reach.
"""

from collections.abc import Callable
from typing import Any

import pytest

from concur.verify import Model, explore
from tests.verify.abd_register import abd_register
from tests.verify.increment_lock import IncrementLock
from tests.verify.paxos_register import paxos_register
from tests.verify.paxos_specification import PaxosSpecification
from tests.verify.single_copy_register import single_copy_register
from tests.verify.two_phase_commit import TwoPhaseCommit
from tests.verify.voting import Voting

COUNTS: list[Any] = [
    pytest.param(make, arguments, unique, generated, id=f"{make.__name__}{arguments}", marks=marks)
    for make, arguments, unique, generated, *marks in [
        (TwoPhaseCommit, (3,), 288, 1_146),
        (TwoPhaseCommit, (5,), 8_832, 58_146),
        (TwoPhaseCommit, (7,), 296_448, 2_744_706, pytest.mark.campaign),
        (TwoPhaseCommit, (8,), 1_745_408, 18_507_778, pytest.mark.campaign),
        (paxos_register, (1,), 265, 482),
        (paxos_register, (2,), 16_668, 32_971),
        (paxos_register, (3,), 1_194_428, 2_420_477, pytest.mark.campaign),
        (abd_register, (2, 2), 544, None),
        (abd_register, (1, 3), 1_449, 3_728),
        (single_copy_register, (1,), 5, 5),
        (single_copy_register, (2,), 93, 121),
        (single_copy_register, (3,), 4_243, 6_778),
        (PaxosSpecification, (1, 1, 2), 25, None),
        (Voting, (3, 2, 3), 6_752, None),
        (IncrementLock, (2,), 17, None),
        (IncrementLock, (3,), 61, None),
        (IncrementLock, (4,), 257, None),
    ]
]


@pytest.mark.parametrize(("make", "arguments", "unique", "generated"), COUNTS)
def test_states_are_counted_exactly(
    make: Callable[..., Model[Any]], arguments: tuple[int, ...], unique: int, generated: int | None
) -> None:
    found = explore(make(*arguments), symmetry=False)
    assert found.verdict == "holds"
    assert found.unique_states == unique
    assert generated is None or found.transitions == generated


@pytest.mark.parametrize(
    ("make", "number", "unique", "generated"),
    [
        (TwoPhaseCommit, 3, 80, 318),
        (TwoPhaseCommit, 5, 314, 2_048),
        (TwoPhaseCommit, 7, 920, 8_410),
        (TwoPhaseCommit, 9, 2_232, 26_316),
        (IncrementLock, 2, 9, None),
        (IncrementLock, 3, 13, None),
        (IncrementLock, 4, 17, None),
    ],
)
@pytest.mark.parametrize("strategy", ["breadth-first", "depth-first", "deepening"])
def test_symmetric_states_are_counted_once(
    make: Callable[..., Model[Any]], number: int, unique: int, generated: int | None, strategy: Any
) -> None:
    found = explore(make(number), strategy)
    assert found.verdict == "holds"
    assert found.symmetry
    assert found.unique_states == unique
    assert generated is None or found.transitions == generated


@pytest.mark.parametrize("managers", [1, 3, 5])
def test_fast_successors_of_two_phase_commit_are_its_steps(managers: int) -> None:
    model = TwoPhaseCommit(managers)
    seen = set(model.initial())
    queue = list(seen)
    for state in queue:
        after = sorted(new for _, new in model.steps(state))
        assert sorted(model.successors(state)) == after
        queue += [new for new in dict.fromkeys(after) if new not in seen]
        seen.update(after)


@pytest.mark.parametrize(
    ("model", "unique", "orbits"),
    [
        (TwoPhaseCommit(5), 8_832, 314),
        (IncrementLock(3), 61, 13),
        (PaxosSpecification(3, 2, 1), 73, 15),
        (PaxosSpecification(2, 2, 2), 145, 56),
    ],
    ids=lambda model: getattr(model, "name", None),
)
def test_exploring_canonical_states_finds_every_orbit(
    model: Model[Any], unique: int, orbits: int
) -> None:
    """As many as there are among the canonical forms of all reachable states."""
    seen = set(model.initial())
    queue = list(seen)
    for state in queue:
        after = dict.fromkeys(model.successors(state))
        queue += [new for new in after if new not in seen]
        seen.update(after)
    canonical = {model.canonical(state) for state in seen}
    assert (len(seen), len(canonical)) == (unique, orbits)
    assert explore(model).unique_states == orbits
