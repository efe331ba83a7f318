"""`verify` on the protocols of the house: what holds within small bounds, and what mutants do."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from concur.base import Protocol, Tags
from concur.errors import BadInput
from concur.machines import Counter
from concur.machines.kv import Get, Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.verify.budget import Budget
from concur.verify.model import Model
from concur.verify.scenario import Scenario
from concur.verify.verify import Verification, verify
from concur.verify.walks.walk import walk
from tests.mutants.multi_paxos import P1, P3, P7, PromiseOvertakesSync, WipedVotesAtOnce
from tests.mutants.raft import (
    R3,
    AnyLog,
    PastTheLog,
    R3Term,
    SendsBeforeSync,
    StaleTail,
    WipedKeepsItsName,
)
from tests.mutants.viewstamped_replication import NoRecovery
from tests.verify.ping import Failing, PingPong

PUT = ((Put("x", "a"),),)
PUTS = (*PUT, (Put("x", "b"),))
NOTHING: tuple[tuple[Any, ...], ...] = ((),)
CALM: dict[str, Any] = {"pre_vote": False, "check_quorum": False, "batch_max": 1}
"""Raft without what prevents elections."""


def searched(protocol: Protocol, **bounds: Any) -> Verification:
    return verify(protocol, strategy="breadth-first", budget_s=None, reductions="none", **bounds)


# --- what holds -----------------------------------------------------------------------------------

SMALL: dict[str, tuple[Protocol, dict[str, Any], int, int]] = {
    "Paxos, two proposers": (
        Paxos(),
        {"commands": PUTS, "timeouts_max": 0},
        101_674,
        368_868,
    ),
    "Unreplicated, a crash": (
        Unreplicated(),
        {"commands": PUTS, "timeouts_max": 0, "faults": "crash=1"},
        258,
        493,
    ),
    "Multi-Paxos, one leader": (
        MultiPaxos(batch_max=1),
        {"clients": 1, "commands": PUT, "timeouts_max": "election=1"},
        14_655,
        52_308,
    ),
    "Raft, one term": (
        Raft(**CALM),
        {"clients": 1, "commands": NOTHING, "timeouts_max": "election=1"},
        2_389,
        6_742,
    ),
    "Viewstamped Replication, one view": (
        ViewstampedReplication(batch_max=1),
        {"clients": 1, "commands": PUT, "timeouts_max": 0},
        2_454,
        7_424,
    ),
}


@pytest.mark.parametrize("story", SMALL)
def test_protocols_hold_within_small_bounds_which_are_exhausted(story: str) -> None:
    protocol, bounds, states, transitions = SMALL[story]
    answer = searched(protocol, **bounds)
    assert (answer.verdict, answer.exhausted, answer.property) == ("holds", True, "")
    assert (answer.unique_states, answer.transitions) == (states, transitions)
    assert answer.covered.startswith("exhausted")


@pytest.mark.campaign
def test_paxos_holds_with_a_crash_at_every_moment() -> None:
    answer = searched(Paxos(), commands=PUTS, timeouts_max=0, faults="crash=1")
    assert (answer.verdict, answer.unique_states) == ("holds", 957_951)


@pytest.mark.parametrize(
    "protocol",
    [Paxos(), MultiPaxos(), Raft(), ViewstampedReplication()],
    ids=lambda protocol: protocol.label,
)
def test_what_is_not_exhausted_is_unknown(protocol: Protocol) -> None:
    answer = verify(protocol, faults="crash=1", states_max=2000, budget_s=None)
    assert (answer.verdict, answer.exhausted, answer.stopped_by) == ("unknown", False, "states")
    assert answer.unique_states >= 2000
    assert not answer.property
    assert answer.covered.startswith("not exhausted (stopped by states)")


def test_bounds_are_told_in_full() -> None:
    answer = searched(PingPong(), clients=1, commands=NOTHING, replicas=1, faults={"loss": 3})
    assert answer.bounds == {
        "replicas": 1, "clients": 1, "commands": 0, "timeouts": 2, "ticks": 0, "copies": 3,
        "crash": 0, "wipe": 0, "duplicate": 0, "loss": "any", "turns": "one event each",
        "parameters": {},
    }  # fmt: skip
    raft = verify(Raft(pre_vote=False), states_max=1, strategy="breadth-first")
    assert raft.bounds["parameters"] == {"pre_vote": False}


# --- mutants --------------------------------------------------------------------------------------

VOTES = {"commands": PUTS, "timeouts_max": "election=2"}
TWO_TERMS = {"commands": 0, "timeouts_max": "election=2"}

MUTANTS: dict[str, tuple[Protocol, dict[str, Any], int]] = {
    "P1": (P1(batch_max=1), {"commands": PUTS, "timeouts_max": "election=3"}, 2000),
    "P3": (P3(batch_max=1), {**VOTES, "replicas": 4}, 3000),
    "P7": (P7(batch_max=1), {**VOTES, "faults": "crash=1"}, 6000),
    "wiped votes": (WipedVotesAtOnce(batch_max=1), {**VOTES, "faults": "wipe=1"}, 0),
    "R3": (R3(**CALM), {**TWO_TERMS, "faults": "crash=1"}, 0),
    "R3 term": (R3Term(**CALM), {**TWO_TERMS, "faults": "crash"}, 4000),
    "wiped keeps its name": (WipedKeepsItsName(**CALM), {**TWO_TERMS, "faults": "wipe=1"}, 6000),
    "any log": (AnyLog(**CALM), VOTES, 2000),
    "stale tail": (
        StaleTail(**CALM),
        {"commands": PUTS, "timeouts_max": "election=2,heartbeat=1"},
        2000,
    ),
    "past the log": (
        PastTheLog(**CALM),
        {"commands": PUTS, "timeouts_max": "election=1,heartbeat=1"},
        6000,
    ),
    "sends before sync": (SendsBeforeSync(**CALM), {**TWO_TERMS, "faults": "crash=1"}, 0),
    "no recovery": (
        NoRecovery(batch_max=1),
        {"commands": PUTS, "timeouts_max": "view=1", "faults": "crash=1"},
        4000,
    ),
}
"""A mutant, the bounds within which it breaks, and a seed whose walks soon find out."""


@pytest.mark.parametrize("name", MUTANTS)
def test_walks_find_a_mutant_and_tell_how_it_breaks(name: str) -> None:
    protocol, bounds, seed = MUTANTS[name]
    answer = verify(
        protocol, strategy="walks", seed=seed, budget_s=None, states_max=50_000, **bounds
    )
    assert answer.verdict == "violated"
    assert answer.trace, answer.reason
    assert len(answer.trace) == len(answer.moments) - 1
    model = Scenario(protocol=protocol, **bounds).system()
    states = list(model.initial())
    for label in answer.trace:  # the story can be followed in a fresh model too
        states = [after for s in states for words, after in model.steps(s) if words == label]
    assert (answer.property, answer.reason) in [model.broken(state) for state in states]


def test_the_shortest_story_is_found_breadth_first() -> None:
    protocol, bounds, _ = MUTANTS["R3"]
    answer = verify(protocol, strategy="breadth-first", budget_s=None, **bounds)
    assert (answer.verdict, answer.property) == ("violated", "at_most_one_leader_per_ballot")
    assert len(answer.trace) == 8


@pytest.mark.parametrize("seed", range(3))
def test_walks_through_a_protocol_that_is_right_raise_no_alarm(seed: int) -> None:
    for protocol in (Paxos(), MultiPaxos(), Raft(**CALM), ViewstampedReplication()):
        answer = verify(
            protocol, strategy="walks", budget_s=None, states_max=600, seed=1000 * seed,
            timeouts_max=5, faults="crash=1,duplicate=1",
        )  # fmt: skip
        assert answer.verdict == "unknown", answer.trace


def test_a_step_that_raises_is_a_violation() -> None:
    answer = searched(Failing(), clients=1, commands=[[Get("x")]], replicas=1)
    assert (answer.verdict, answer.property) == ("violated", "no_step_raises")
    assert "RuntimeError: it cannot be" in answer.reason


# --- determinism ----------------------------------------------------------------------------------

SCRIPT = """
from tests.verify.test_verify import MUTANTS, verify
for name in ("P1", "past the log", "no recovery"):
    protocol, bounds, _ = MUTANTS[name]
    for strategy in ("walks", "breadth-first"):
        found = verify(protocol, strategy=strategy, budget_s=None, states_max=3000, **bounds)
        print(name, found.verdict, found.unique_states, found.transitions, found.local_states)
        print(*found.trace, sep="\\n")
"""


def test_the_answer_does_not_depend_on_the_hash_seed() -> None:
    root = Path(__file__).parents[2]
    answers = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "20")
    ]  # fmt: skip
    assert answers[0] == answers[1]
    assert "violated" in answers[0]


# --- what is refused ------------------------------------------------------------------------------


class NeedsClocks(PingPong):
    name = "needs-clocks"
    tags = Tags(log=False, needs=("synchronized_clock",))


class Streaming(PingPong):
    name = "streaming"
    links = "stream"


REFUSED: tuple[tuple[Any, dict[str, Any], str], ...] = (
    ("paxoss", {}, "unknown, expected one of"),
    (NeedsClocks, {}, "needs synchronized_clock"),
    (Streaming, {}, "needs streams"),
    (Raft(reads="lease"), {}, "reads 'lease'"),
    (PromiseOvertakesSync, {}, "release_out_of_order of role replica: not modelled"),
    ("paxos", {"faults": "crush=1"}, "'crush', expected one of crash, wipe, loss, duplicate"),
    ("paxos", {"faults": "crash=many"}, "expected a whole number from 0"),
    ("paxos", {"timeouts_max": "ballot=-1"}, "expected a whole number from 0"),
    ("paxos", {"commands": PUT}, "of 1 clients, expected those of 2"),
    ("paxos", {"commands": -1}, "expected a whole number from 0"),
    ("paxos", {"machine": Counter(), "commands": 2}, "expected those of each client"),
    ("paxos", {"replicas": 0}, "at least 1"),
)


@pytest.mark.parametrize(("protocol", "bounds", "words"), REFUSED)
def test_what_cannot_be_checked_is_refused_in_one_line(
    protocol: Any, bounds: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        verify(protocol, **bounds)
    assert "\n" not in str(refusal.value)


# --- walks over any model -------------------------------------------------------------------------


def test_walks_need_nothing_of_a_model_but_its_successors() -> None:
    class Knight(Model[tuple[int, int]]):
        name = "a knight"

        def initial(self) -> list[tuple[int, int]]:
            return [(0, 0)]

        def steps(self, state: tuple[int, int]) -> list[tuple[str, tuple[int, int]]]:
            leaps = [(x, y) for x in (-2, -1, 1, 2) for y in (-2, -1, 1, 2) if abs(x) != abs(y)]
            after = [(state[0] + x, state[1] + y) for x, y in leaps]
            return [(f"to {to}", to) for to in after if min(to) >= 0 and max(to) < 8]

        def broken(self, state: tuple[int, int]) -> tuple[str, str] | None:
            return ("never_in_the_corner", "it is there") if state == (7, 7) else None

    found = walk(Knight(), Budget(states=100), walks_max=50)
    assert (found.verdict, found.property) == ("violated", "never_in_the_corner")
    assert found.trace[0].state == (0, 0)
    assert found.trace[-1].label == "to (7, 7)"
    for here, after in pairwise(moment.state for moment in found.trace):
        assert abs((after[0] - here[0]) * (after[1] - here[1])) == 2
    assert walk(Knight(), Budget(), walks_max=1, steps_max=3).verdict == "unknown"
