"""Reductions: what they leave out is never what a property could have seen."""

from typing import Any

import pytest

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines.kv import Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.verify.budget import Budget, Meter
from concur.verify.engine.behaviour import Behaviour, Observer, Step
from concur.verify.engine.system import System
from concur.verify.reductions.cross_check import cross_check
from concur.verify.reductions.reduced import REDUCTIONS, Reduction, Search, explore_reduced
from concur.verify.scenario import Scenario
from concur.verify.verify import verify
from tests.mutants.raft import R3
from tests.verify.random_systems import drawn
from tests.verify.test_verify import CALM

PUT = ((Put("x", "a"),),)
PUTS = (*PUT, (Put("x", "b"),))
NOTHING: tuple[tuple[Any, ...], ...] = ((),)

SMALL: dict[str, tuple[Protocol, dict[str, Any]]] = {
    "Paxos, one proposer, a crash": (
        Paxos(),
        {"commands": PUT, "clients": 1, "timeouts_max": 0, "faults": "crash=1"},
    ),
    "Paxos, two proposers": (Paxos(), {"commands": PUTS, "timeouts_max": 0}),
    "Paxos, what is sent stays": (
        Paxos(),
        {"commands": PUT, "clients": 1, "timeouts_max": 0, "faults": "duplicate=servers,crash=1"},
    ),
    "Multi-Paxos, a command": (
        MultiPaxos(batch_max=1),
        {"commands": PUT, "clients": 1, "timeouts_max": "election=1"},
    ),
    "Raft, an election": (
        Raft(**CALM),
        {"commands": NOTHING, "clients": 1, "timeouts_max": "election=1", "faults": "crash=1"},
    ),
    "VR, a command": (
        ViewstampedReplication(),
        {"commands": PUT, "clients": 1, "timeouts_max": 0, "faults": "duplicate=servers"},
    ),
    "counted loss and doubles": (
        Unreplicated(),
        {
            "commands": PUT,
            "clients": 1,
            "timeouts_max": 1,
            "late_is_lost": False,
            "faults": "loss=1,duplicate=1",
        },
    ),
}


@pytest.mark.parametrize("story", SMALL)
def test_no_reduction_loses_a_combination_of_local_states_and_history(story: str) -> None:
    protocol, bounds = SMALL[story]
    found = cross_check(Scenario(protocol=protocol, **bounds), Budget())
    assert found.agrees, str(found)
    assert found.rows[0].reductions == ()
    assert {row.verdict for row in found.rows} == {"holds"}


STATES_MAX = 3_000
"""Of a random system without reductions; larger ones are left."""

SHORTEST = {"dead messages", "symmetry"}
"""Reductions that keep a shortest path."""

SUBSETS: tuple[tuple[Reduction, ...], ...] = (
    ("dead messages",),
    ("dominated states",),
    ("sleep sets",),
    ("dead messages", "dominated states"),
    ("dominated states", "sleep sets"),
    ("dead messages", "sleep sets"),
    REDUCTIONS,
)


def compare(seed: int) -> bool:
    """Hold a random system against itself with each set of reductions. Whether it was small."""
    plain = Search(drawn(seed, False), (), Meter(Budget(states=STATES_MAX), None))
    plain.run()
    if not plain.answer().exhausted:
        return False
    reached = plain.outcomes()
    wrong = Search(drawn(seed, True), (), Meter(Budget(), None))
    wrong.run()
    expected = wrong.answer()
    for reductions in SUBSETS:
        search = Search(drawn(seed, False), reductions, Meter(Budget(), None))
        search.run()
        assert search.answer().exhausted
        assert search.outcomes() == reached, (seed, reductions)
        faulty = Search(drawn(seed, True), reductions, Meter(Budget(), None))
        faulty.run()
        answer = faulty.answer()
        assert answer.verdict == expected.verdict, (seed, reductions)
        if answer.verdict == "violated" and set(reductions) <= SHORTEST:
            assert answer.depth == expected.depth, (seed, reductions)
    return True


@pytest.mark.parametrize(("first_look", "cheap"), [(1, 0), (7, 25_000), (20, 0), (1000, 0)])
def test_reductions_agree_on_random_systems(
    first_look: int, cheap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concur.verify.reductions.reduced.FIRST_LOOK", first_look)
    monkeypatch.setattr("concur.verify.reductions.reduced.CHEAP", cheap)
    small = sum(compare(seed) for seed in range(first_look * 1000, first_look * 1000 + 150))
    assert small > 50  # else this shows less than it seems to


@pytest.mark.campaign
@pytest.mark.parametrize("first_look", [1, 7, 1000])
def test_reductions_agree_on_many_random_systems(
    first_look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concur.verify.reductions.reduced.FIRST_LOOK", first_look)
    monkeypatch.setattr("concur.verify.reductions.reduced.CHEAP", 0)
    assert sum(compare(seed) for seed in range(5_000)) > 1_500


MUTANTS: dict[str, tuple[Protocol, dict[str, Any]]] = {
    "R3": (
        R3(**CALM),
        {
            "commands": NOTHING,
            "clients": 1,
            "timeouts_max": "election=2",
            "faults": "crash=1",
            "replicas": 3,
        },
    ),
}


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "all"])
def test_a_mutant_is_found_with_each_reduction_by_a_trace_of_real_states(reduction: str) -> None:
    protocol, bounds = MUTANTS["R3"]
    chosen: tuple[Reduction, ...] = REDUCTIONS if reduction == "all" else (reduction,)  # type: ignore[assignment]
    plain = verify(protocol, strategy="breadth-first", reductions="none", **bounds)
    reduced = verify(protocol, strategy="breadth-first", reductions=chosen, **bounds)
    assert plain.verdict == reduced.verdict == "violated"
    assert reduced.property == plain.property
    assert reduced.unique_states <= plain.unique_states
    if reduction in SHORTEST:
        assert len(reduced.trace) == len(plain.trace)
    system = Scenario(protocol=protocol, **bounds).system()
    states = set(system.initial())
    for label in reduced.trace:
        states = {after for state in states for name, after in system.steps(state) if name == label}
        assert states, label
    assert any(system.broken(state) for state in states)


def test_what_is_dead_is_learnt_again_when_it_comes_to_life() -> None:
    """A message that has no effect in all local states that were known first, and one later."""

    class Sleeper(Behaviour):
        """Counts to `steps` by itself; only then it listens."""

        def __init__(self, name: str, steps: int) -> None:
            self.name = name
            self.steps = steps

        def start(self) -> list[Step]:
            return [Step(0, ((1, "late"),) if self.name == "a" else ())]

        def receive(self, state: int, source: int, message: str) -> list[Step]:
            if state == self.steps:
                return [Step(-1, events=("heard",))]
            return []

        def moves(self, state: int) -> list[tuple[str, Step]]:
            return [("counts", Step(state + 1))] if 0 <= state < self.steps else []

    class Hears(Observer):
        def initial(self) -> bool:
            return False

        def after(self, value: bool, place: int, event: str) -> bool:
            return True

        def broken(self, value: bool) -> tuple[str, str] | None:
            return ("silence", "it was heard") if value else None

    system = System([Sleeper("a", 40), Sleeper("b", 60)], Hears())
    search = Search(system, ("dead messages",), Meter(Budget(), None))
    search.look_at = 5
    search.run()
    answer = search.answer()
    assert answer.verdict == "violated"
    assert len(answer.trace) == 1 + 60 + 1


def test_reductions_are_named_in_the_answer_and_unknown_ones_refused() -> None:
    answer = verify(Paxos(), commands=PUTS, timeouts_max=0, strategy="breadth-first")
    assert answer.verdict == "holds"
    assert "dead messages" in answer.reductions
    assert "reduced by dead messages" in answer.covered
    plain = verify(
        Paxos(), commands=PUTS, timeouts_max=0, strategy="breadth-first", reductions="none"
    )
    assert plain.reductions == ()
    assert answer.unique_states < plain.unique_states
    with pytest.raises(BadInput, match="reductions: 'magic', expected some of dead messages"):
        explore_reduced(Scenario(protocol=Paxos()).system(), ("magic",))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="strategy depth-first has none"):
        verify(Paxos(), strategy="depth-first", reductions=("dead messages",))
