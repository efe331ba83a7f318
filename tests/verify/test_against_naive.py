"""The packed engine reaches exactly the states of a plain one, by exactly as many transitions."""

from typing import Any

import pytest

from concur.chance import Stream
from concur.verify import UNBOUNDED, Budget, System, explore
from tests.verify.naive import Naive, Plain, Remainder, Scripted, plain

STATES_MAX = 1_000


def small_system(seed: int) -> tuple[System, Naive]:
    """Two or three places, some bounds, one kind of network; all drawn from `seed`."""
    chance = Stream(seed, "system")
    places = 2 + chance.below(2)
    names = ["timeout", "crash", "often"][: chance.below(4)]
    bounds = {name: UNBOUNDED if name == "often" else chance.below(3) for name in names}
    kind = chance.below(4)
    options: dict[str, Any] = [
        {},
        {"network": "duplicating", "loss": chance.below(2)},
        {"loss": chance.choice([1, 2, UNBOUNDED]), "duplication": chance.below(2)},
        {"keep_ineffective": True, "duplication": chance.below(3)},
    ][kind]
    fuel = 1 + chance.below(2)
    behaviours = [Scripted(seed, place, places, fuel, names) for place in range(places)]
    return (
        System(behaviours, Remainder(), bounds, envelopes_max=15, recheck_every=4, **options),
        Naive(behaviours, Remainder(), bounds, **options),
    )


def reached_naively(naive: Naive) -> tuple[dict[Plain, int], int]:
    """All states with their distance from the beginning, or more than STATES_MAX of them."""
    generated = list(naive.initial())
    seen = dict.fromkeys(generated, 0)
    queue = list(seen)
    transitions = len(generated)
    for state in queue:
        for new in naive.successors(state):
            transitions += 1
            if new not in seen:
                seen[new] = seen[state] + 1
                queue.append(new)
        if len(seen) > STATES_MAX:
            break
    return seen, transitions


@pytest.mark.parametrize("block", range(8))
def test_packed_states_are_the_states(block: int) -> None:
    compared = 0
    for seed in range(block * 20, block * 20 + 20):
        system, naive = small_system(seed)
        expected, transitions = reached_naively(naive)
        if len(expected) > STATES_MAX:
            continue
        found = explore(system)
        assert found.exhausted, seed
        assert (found.unique_states, found.transitions) == (len(expected), transitions), seed
        assert found.depth == max(expected.values(), default=0), seed
        states = dict.fromkeys(system.initial())
        queue = list(states)
        for state in queue:
            after = system.successors(state)
            assert [new for _, new in system.steps(state)] == after, seed
            for new in after:
                if new not in states:
                    states[new] = None
                    queue.append(new)
        unpacked = {plain(system.parts(state), naive.bounds) for state in states}
        assert unpacked == set(expected), seed
        compared += 1
    assert compared >= 8, f"only {compared} of the drawn systems are small enough"


@pytest.mark.parametrize("block", range(3))
def test_strategies_agree(block: int) -> None:
    compared = 0
    for seed in range(block * 20, block * 20 + 20):
        system, _ = small_system(seed)
        broad = explore(system, budget=Budget(states=STATES_MAX))
        if not broad.exhausted:
            continue
        deep = explore(system, "depth-first")
        deeper = explore(system, "deepening")
        for other in (deep, deeper):
            assert other.exhausted, seed
            assert other.unique_states == broad.unique_states, seed
            assert other.transitions == broad.transitions, seed
        assert deep.depth >= broad.depth == deeper.depth, seed
        compared += 1
    assert compared >= 8, f"only {compared} of the drawn systems are small enough"
