"""Walks by priorities: the partition into chains, the guarantee, and what they find."""

from collections import Counter as Tally
from itertools import permutations

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines.kv import Put
from concur.protocols.raft import Raft
from concur.verify.budget import Budget
from concur.verify.engine.behaviour import Behaviour, Observer, Step
from concur.verify.engine.system import System
from concur.verify.scenario import Scenario
from concur.verify.verify import verify_scenario
from concur.verify.walks.priorities import Chains, walk_by_priorities
from tests.mutants.raft import R3Term

CALM = {"pre_vote": False, "check_quorum": False, "batch_max": 1}


def random_order(seed: int, events: int, chance: float) -> list[int]:
    """For each event a bit for each one that precedes it."""
    dice = Stream(seed, "order")
    before: list[int] = []
    for number in range(events):
        mask = 0
        for earlier in range(number):
            if dice.chance(chance):
                mask |= before[earlier] | 1 << earlier
        before.append(mask)
    return before


def width(before: list[int]) -> int:
    """The most events of which none precedes another: Dilworth, by matching (Fulkerson)."""
    after_of: dict[int, int] = {}

    def augment(event: int, tried: set[int]) -> bool:
        for later in range(len(before)):
            if before[later] >> event & 1 and later not in tried:
                tried.add(later)
                if later not in after_of or augment(after_of[later], tried):
                    after_of[later] = event
                    return True
        return False

    return len(before) - sum(augment(event, set()) for event in range(len(before)))


@pytest.mark.parametrize("seed", range(20))
def test_chains_are_chains_and_few(seed: int) -> None:
    before = random_order(seed, 40, 0.02 + 0.02 * (seed % 5))
    chains = Chains()
    last: dict[int, int] = {}
    for event, mask in enumerate(before):
        chain, is_new = chains.add(event, mask)
        assert is_new == (chain not in last)
        assert is_new or mask >> last[chain] & 1
        last[chain] = event
    w = width(before)
    assert w <= len(last) == chains.used() <= w * (w + 1) // 2


# --- a bug of known depth -------------------------------------------------------------------------


class Sender(Behaviour):
    name = "sender"

    def __init__(self, messages: int) -> None:
        self.messages = messages

    def start(self) -> list[Step]:
        return [Step("done", tuple((1, number) for number in range(self.messages)))]

    def receive(self, state: str, source: int, message: int) -> list[Step]:
        return []


class Receiver(Behaviour):
    """Says in which order messages come."""

    name = "receiver"

    def start(self) -> list[Step]:
        return [Step(())]

    def receive(self, state: tuple[int, ...], source: int, message: int) -> list[Step]:
        return [Step((*state, message), (), (message,))]


class InThatOrder(Observer):
    """Broken if these come in that order, each with nothing but those after it left to come."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.order = order

    def initial(self) -> tuple[int, ...]:
        return ()

    def after(self, value: tuple[int, ...], place: int, event: int) -> tuple[int, ...]:
        return (*value, event)

    def broken(self, value: tuple[int, ...]) -> tuple[str, str] | None:
        ends = not self.order or value[-len(self.order) :] == self.order
        return ("not_in_that_order", f"{value}") if len(value) == 4 and ends else None


def test_each_bug_shows_as_often_as_is_guaranteed() -> None:
    """Two of four messages come last, in an order: depth 2, 4 chains, 4 events, 12 such bugs."""
    walks = 2000
    shown: Tally[tuple[int, ...]] = Tally()
    for seed in range(walks):
        system = System([Sender(4), Receiver()], InThatOrder(()))
        found = walk_by_priorities(system, Budget(), seed=seed, depth=2, events_max=4, walks_max=1)
        order: tuple[int, ...] = system.observed(found.trace[-1].state)
        shown[order[-2:]] += 1
    guarantee = 1 / (4 * 4)
    spread = (guarantee * (1 - guarantee) / walks) ** 0.5
    for order in permutations(range(4), 2):
        assert shown[order] / walks > guarantee - 3 * spread, order


def test_the_guarantee_is_told() -> None:
    system = System([Sender(4), Receiver()], InThatOrder((9, 9)))
    found = walk_by_priorities(system, Budget(), depth=3, events_max=7, walks_max=5)
    assert (found.verdict, found.strategy, found.exhausted) == ("unknown", "priorities", False)
    assert "5 walks by priorities from seed 0" in found.covered
    assert "a bug of depth 3 among the first 7 events" in found.covered
    assert "probability 1 / (4 x 7^2) or more" in found.covered


# --- protocols ------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_walk() -> None:
    scenario = Scenario(
        protocol=R3Term(**CALM), commands=0, timeouts_max="election=2", faults="crash"
    )
    one, other = (
        verify_scenario(scenario, strategy="priorities", budget=Budget(states=50_000), seed=3)
        for _ in range(2)
    )
    assert one.verdict == "violated"
    assert one.trace == other.trace
    assert (one.unique_states, one.transitions) == (other.unique_states, other.transitions)


def test_nothing_is_found_in_a_protocol_that_is_right() -> None:
    scenario = Scenario(
        protocol=Raft(**CALM),
        clients=1,
        commands=((Put("x", "a"),),),
        timeouts_max="election=2",
        faults="crash=1",
    )
    found = verify_scenario(scenario, strategy="priorities", budget=Budget(states=2_000))
    assert (found.verdict, found.stopped_by) == ("unknown", "states")


@pytest.mark.parametrize(("depth", "events_max"), [(0, 10), (5, 4), (3, 10**9)])
def test_what_makes_no_sense_is_refused(depth: int, events_max: int) -> None:
    system = System([Sender(1), Receiver()])
    with pytest.raises(BadInput, match="expected a whole number"):
        walk_by_priorities(system, Budget(), depth=depth, events_max=events_max)
