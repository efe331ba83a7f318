"""Whether every command is answered once faults stop: protocols of the house, and broken ones."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from concur.base import Protocol
from concur.errors import BadInput
from concur.machines.kv import Get, Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.verify import Budget, Scenario
from concur.verify.liveness.aftermath import Aftermath
from concur.verify.liveness.later import ANSWERED, Numbering
from concur.verify.liveness.response import Responding, Response, responds, timed
from tests.verify.ping import PingPong
from tests.verify.silent import (
    Asking,
    AskingTheBroken,
    AskingTheChatty,
    AskingTheForgetful,
    ClientNeverRetries,
    FollowersNeverStand,
    LeaderNeverResends,
    OneVoteForAllTerms,
    ReplyIsNotRepeated,
)

NOTHING: tuple[tuple[Any, ...], ...] = ((),)
PUT = ((Put("x", "a"),),)
PUTS = (*PUT, (Put("x", "b"),))
CALM: dict[str, Any] = {"pre_vote": False, "check_quorum": False, "batch_max": 1}
ALL = Budget()


def answered(protocol: Protocol, *, budget: Budget = ALL, **bounds: Any) -> Response:
    return responds(Scenario(protocol=protocol, **bounds), budget=budget)


# --- what holds -----------------------------------------------------------------------------------

ONE = {"clients": 1, "commands": PUT}

SMALL: dict[str, tuple[Protocol, dict[str, Any], tuple[int, int, int]]] = {
    "Unreplicated": (Unreplicated(), {"commands": PUTS, "timeouts_max": 0}, (86, 76, 2)),
    "Unreplicated, a crash": (
        Unreplicated(),
        {**ONE, "timeouts_max": 1, "faults": "crash=1"},
        (102, 54, 1),
    ),
    "Paxos, one proposer": (Paxos(), {**ONE, "timeouts_max": 0}, (202, 98, 1)),
    "Paxos, a crash": (Paxos(), {**ONE, "timeouts_max": 0, "faults": "crash=1"}, (1_614, 694, 3)),
    "Raft, a crash": (
        Raft(**CALM),
        {**ONE, "timeouts_max": 0, "faults": "crash=1"},
        (28, 21, 20),
    ),
    "Raft, one term": (
        Raft(),
        {"clients": 1, "commands": NOTHING, "timeouts_max": "election=1"},
        (15_733, 745, 0),
    ),
    "Viewstamped Replication, one view": (
        ViewstampedReplication(batch_max=1),
        {**ONE, "timeouts_max": 0},
        (2_454, 328, 16),
    ),
    "Multi-Paxos, a crash": (
        MultiPaxos(batch_max=1),
        {**ONE, "timeouts_max": 0, "faults": "crash=1"},
        (28, 21, 24),
    ),
}


@pytest.mark.parametrize("story", SMALL)
def test_every_command_is_answered_from_every_state(story: str) -> None:
    protocol, bounds, counts = SMALL[story]
    answer = answered(protocol, **bounds)
    assert (answer.verdict, answer.exhausted, answer.reason) == ("holds", True, ""), answer
    assert (answer.states, answer.situations, answer.rounds_max) == counts
    assert answer.covered.startswith("exhausted")
    assert f"within at most {answer.rounds_max} rings" in answer.covered
    assert "messages take no time compared with timers" in answer.assumed


LARGE: dict[str, tuple[Protocol, dict[str, Any]]] = {
    "Paxos, two proposers": (Paxos(), {"commands": PUTS, "timeouts_max": 0}),
    "Paxos, a crash and a timeout": (Paxos(), {**ONE, "timeouts_max": 1, "faults": "crash=1"}),
    "Multi-Paxos, one leader": (MultiPaxos(batch_max=1), {**ONE, "timeouts_max": "election=1"}),
    "Raft, one leader and a crash": (
        Raft(**CALM),
        {"clients": 1, "commands": NOTHING, "timeouts_max": "election=1", "faults": "crash=1"},
    ),
    "Viewstamped Replication, a crash": (
        ViewstampedReplication(batch_max=1),
        {**ONE, "timeouts_max": 0, "faults": "crash=1"},
    ),
}


@pytest.mark.campaign
@pytest.mark.parametrize("story", LARGE)
def test_every_command_is_answered_from_every_state_of_larger_spaces(story: str) -> None:
    protocol, bounds = LARGE[story]
    answer = answered(protocol, **bounds)
    assert (answer.verdict, answer.exhausted, answer.reason) == ("holds", True, ""), answer


def test_of_what_is_not_exhausted_it_is_not_said_that_it_holds() -> None:
    answer = answered(Raft(), budget=Budget(states=100), timeouts_max=1)
    assert (answer.verdict, answer.exhausted, answer.stopped_by) == ("unknown", False, "states")
    assert not answer.reason
    assert answer.situations > 0


def test_without_enough_replicas_nobody_need_answer() -> None:
    # Its one server is down, or has lost its disk and is silent for ever.
    for faults in ("crash=1", "wipe=1"):
        assert answered(Unreplicated(), **ONE, timeouts_max=0, faults=faults).verdict == "holds"
    # With two of three down, only the states in which one has come up again are beginnings.
    both = {**ONE, "timeouts_max": 0, "faults": "crash=2"}
    assert answered(Raft(**CALM), **both).verdict == "holds"


def test_where_nothing_is_lost_old_messages_arrive_first() -> None:
    bounds = {**ONE, "timeouts_max": 0}
    assert answered(ClientNeverRetries(), **bounds).verdict == "violated"
    calm = answered(ClientNeverRetries(), **bounds, late_is_lost=False)
    assert (calm.verdict, calm.rounds_max) == ("holds", 0)
    lost = answered(ClientNeverRetries(), **bounds, late_is_lost=False, faults="loss=3")
    assert lost.verdict == "violated"


def test_duels_end_where_messages_are_quicker_than_timers() -> None:
    hasty = Paxos(back_off_s=1e-6, ballot_s=1e-6)
    assert answered(hasty, **ONE, timeouts_max=0).verdict == "holds"


@pytest.mark.parametrize("protocol", [Raft(**CALM), Raft(), Unreplicated()], ids=lambda p: p.label)
def test_what_runs_remember_of_each_other_changes_nothing(protocol: Protocol) -> None:
    bounds: dict[str, Any] = {**ONE, "timeouts_max": 0, "faults": "crash=1"}
    judged = Responding(Scenario(protocol=protocol, **bounds))
    waiting = list(judged.initial())
    seen = set(waiting)
    while waiting:
        state = waiting.pop()
        states = judged.system.parts(state).locals
        for shared in judged.aftermaths:
            alone = Aftermath(Numbering(judged.hosts), shared.schedule, shared.rings_max)
            assert shared.run(states) == alone.run(states)
            assert alone.run(states) == alone.run(states)
        for after in judged.system.successors(state):
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    assert len(seen) > 10


# --- what does not --------------------------------------------------------------------------------

SILENT: dict[str, tuple[Protocol, dict[str, Any], str]] = {
    "the client never retries": (
        ClientNeverRetries(),
        {**ONE, "timeouts_max": 0},
        "nothing happens any more",
    ),
    "the reply is not repeated": (
        ReplyIsNotRepeated(),
        {**ONE, "timeouts_max": 0},
        "deadline passed: no answer to 5 requests",
    ),
    "the leader never resends": (
        LeaderNeverResends(batch_max=1),
        {**ONE, "timeouts_max": "election=1"},
        "gives up on its command 1",
    ),
    "followers never stand": (
        FollowersNeverStand(batch_max=1),
        {**ONE, "timeouts_max": "election=1", "faults": "crash=1"},
        "gives up on its command 1",
    ),
    "one vote for all terms": (
        OneVoteForAllTerms(**CALM),
        {**ONE, "timeouts_max": "election=1", "faults": "crash=1"},
        "gives up on its command 1",
    ),
}


@pytest.mark.parametrize("story", SILENT)
def test_a_protocol_that_falls_silent_is_found_and_its_story_told(story: str) -> None:
    protocol, bounds, why = SILENT[story]
    answer = answered(protocol, **bounds)
    assert (answer.verdict, answer.property) == ("violated", ANSWERED), answer
    assert why in answer.reason
    assert f"({answer.schedule})" in answer.reason
    assert answer.after or "nothing happens any more" in answer.reason
    # The first part of the story can be followed in a fresh model.
    model = timed(Scenario(protocol=protocol, **bounds).system())
    states = list(model.initial())
    for label in answer.trace:
        states = [after for s in states for words, after in model.steps(s) if words == label]
    assert states


def test_walks_find_it_too() -> None:
    protocol, bounds, why = SILENT["followers never stand"]
    answer = responds(Scenario(protocol=protocol, **bounds), strategy="walks", budget=ALL)
    assert (answer.verdict, answer.property) == ("violated", ANSWERED)
    assert why in answer.reason


def test_what_comes_back_to_where_it_was_is_told_as_a_lasso() -> None:
    bounds = {"clients": 1, "commands": [[Get("x")]], "replicas": 1, "timeouts_max": 0}
    answer = answered(AskingTheForgetful(), **bounds)
    assert answer.verdict == "violated"
    assert answer.reason.startswith("1 timers ring, and all is as it was before: for ever")
    assert answer.lasso == ("c1: timer again rings after 1.000 s", answer.after[-1])
    assert "c1 -> s1: Ping(number=1)" in answer.lasso[1]
    assert answered(Asking(), **bounds).verdict == "holds"


def test_messages_that_never_come_to_rest_are_no_answer() -> None:
    bounds = {"clients": 1, "commands": [[Get("x")]], "replicas": 1, "timeouts_max": 0}
    answer = answered(AskingTheChatty(), **bounds)
    assert (answer.verdict, answer.property) == ("violated", ANSWERED)
    assert "they go on without a timer" in answer.reason


def test_a_step_that_raises_after_faults_have_stopped_is_a_violation() -> None:
    bounds = {"clients": 1, "commands": [[Get("x")]], "replicas": 1, "timeouts_max": 0}
    answer = answered(AskingTheBroken(), **bounds)
    assert (answer.verdict, answer.property) == ("violated", "no_step_raises")
    assert "RuntimeError: it cannot be" in answer.reason


def test_a_bound_on_rings_is_a_bound() -> None:
    bounds = {**ONE, "timeouts_max": 0, "faults": "crash=1"}
    assert responds(Scenario(protocol=Raft(**CALM), **bounds), rings_max=20).verdict == "holds"
    answer = responds(Scenario(protocol=Raft(**CALM), **bounds), rings_max=19)
    assert (answer.verdict, answer.property) == ("violated", ANSWERED)
    assert "not within 19 rings" in answer.reason


def test_wall_clocks_are_refused() -> None:
    with pytest.raises(BadInput, match="expected clock_max 0"):
        answered(PingPong(), clock_max=2)


def test_nothing_to_answer_is_answered() -> None:
    answer = answered(PingPong(), clients=1, commands=NOTHING, replicas=1)
    assert (answer.verdict, answer.rounds_max) == ("holds", 0)


# --- determinism ----------------------------------------------------------------------------------

SCRIPT = """
from tests.verify.test_liveness import SILENT, SMALL, answered
for name in ("the leader never resends", "followers never stand"):
    protocol, bounds, _ = SILENT[name]
    answer = answered(protocol, **bounds)
    print(answer.reason, *answer.trace, *answer.after, sep="\\n")
protocol, bounds, _ = SMALL["Raft, a crash"]
print(answered(protocol, **bounds).covered)
"""


def test_the_story_does_not_depend_on_the_hash_seed() -> None:
    root = Path(__file__).parents[2]
    told = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "20")
    ]  # fmt: skip
    assert told[0] == told[1]
    assert "exhausted" in told[0]
