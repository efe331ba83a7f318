"""Fingerprints are of the content, the same everywhere, and as good as the states themselves."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from concur.errors import BadInput
from concur.logs import Log
from concur.machines.kv import Put
from concur.messages import Command
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.values import Map, Set
from concur.verify import Budget, Model, Scenario, explore
from concur.verify.engine.interning import same
from concur.verify.large.compact import LOAD, Table
from concur.verify.large.fingerprints import encode, fingerprints, missed_below
from tests.verify.abd_register import abd_register
from tests.verify.increment_lock import IncrementLock
from tests.verify.paxos_register import ForgetfulServer, paxos_register
from tests.verify.test_explore import assert_replays
from tests.verify.two_phase_commit import TwoPhaseCommit

PUTS = ((Put("x", "a"),), (Put("x", "b"),))
RAFT = Raft(pre_vote=False, check_quorum=False, batch_max=1)

MODELS: dict[str, Callable[[], Model[Any]]] = {
    "Paxos register": partial(paxos_register, 2),
    "ABD register": partial(abd_register, 2, 2),
    "two-phase commit": partial(TwoPhaseCommit, 4),
    "lock": partial(IncrementLock, 3),
    "Paxos": Scenario(protocol=Paxos(), commands=1, timeouts_max=1, faults="crash=1").system,
    "Multi-Paxos": Scenario(protocol=MultiPaxos(), faults="crash,duplicate", turns=True).system,
    "Raft": Scenario(protocol=RAFT, timeouts_max="election=2", faults="crash=1,wipe=1").system,
}


def some_states(model: Model[Any], most: int) -> dict[Any, Any]:
    """States in breadth-first order, each with the one before it."""
    seen: dict[Any, Any] = dict.fromkeys(model.initial())
    queue = list(seen)
    for state in queue:
        for new in model.successors(state):
            if new not in seen:
                seen[new] = state
                queue.append(new)
        if len(seen) > most:
            break
    return seen


# --- of states ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_states_and_fingerprints_are_one_to_one_and_steps_lead_to_them(name: str) -> None:
    model = MODELS[name]()
    prints = fingerprints(model)
    seen = some_states(model, 3000)
    of = {state: prints.of(state) for state in seen}
    assert len(set(of.values())) == len(seen)
    assert all(0 <= fingerprint < 1 << 128 for fingerprint in of.values())
    for state, before in seen.items():
        if before is not None:
            assert prints.after(before, of[before], state) == of[state]
            assert prints.after(before, of[before], state) == of[state], "from memory, too"


SCRIPT = """
from tests.verify.test_fingerprints import MODELS, fingerprints, some_states
for name, make in MODELS.items():
    model = make()
    prints = fingerprints(model)
    print(name, sorted(map(prints.of, some_states(model, 400))))
"""


def test_fingerprints_do_not_depend_on_the_process_or_its_hash_seed() -> None:
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


def test_fingerprints_do_not_depend_on_the_order_of_discovery() -> None:
    one, other = MODELS["Raft"](), MODELS["Raft"]()
    queue = list(other.initial())
    for _ in range(300):  # depth-first: other numbers for the same local states and envelopes
        queue += reversed(list(other.successors(queue.pop())))
    states = [list(some_states(model, 1000)) for model in (one, other)]
    found = [set(map(fingerprints(m).of, s)) for m, s in zip((one, other), states, strict=True)]
    assert found[0] == found[1]
    assert states[0] != states[1], "the same numbers: nothing was tested"


# --- of values ------------------------------------------------------------------------------------


class Point(NamedTuple):
    x: Any
    y: Any


class Pair(msgspec.Struct, frozen=True):
    x: Any
    y: Any


class Twin(msgspec.Struct, frozen=True):
    x: Any
    y: Any


@dataclass(frozen=True)
class Data:
    x: Any
    y: Any


class Colour(Enum):
    RED = 1
    GREEN = 2


LOG = Log([Command("s", 1, b"a"), Command("s", 2, b"b")])
VALUES: list[Any] = [
    None, False, True, 0, 1, -1, 10, 1 << 70, 0.0, -0.0, 1.0, 0.5, "", "1", "a", "ab", b"", b"1",
    b"a", (), (1,), (1, 2), ((1,), 2), (1, (2,)), ((1, 2),), ("a", "b"), ("ab",), ("a", ("b",)),
    (True, 2), (1.0, 2), Point(1, 2), Pair(1, 2), Twin(1, 2), Data(1, 2), Pair(True, 2),
    Pair(1, None), Set(), Set([1]), Set([1, 2]), Set([(1, 2)]), frozenset(), frozenset([1, 2]),
    Set([True, 2]), Map(), Map({1: 2}), Map({1: 2, 2: 1}), Map({1: (2,)}), Map({(1, 2): 0}),
    Map({True: 2}), Log(), LOG, LOG.truncate(1), LOG.compact(1, (1, "a")), LOG.compact(1, (2, "a")),
    Colour.RED, Colour.GREEN, Point, Pair,
]  # fmt: skip


def test_encodings_tell_apart_what_the_checker_tells_apart() -> None:
    for at, one in enumerate(VALUES):
        for other in VALUES[:at]:
            assert not (one == other and same(one, other)), (one, other)
            assert encode(one) != encode(other), (one, other)


def test_equal_values_have_one_encoding_however_they_were_made() -> None:
    assert encode(Set([3, 1, 2])) == encode(Set([1]).add(2).add(3))
    assert encode(Map({1: "a", 2: "b"})) == encode(Map({2: "b"}).put(3, "c").put(1, "a").remove(3))
    grown = LOG.truncate(1).append(Command("s", 2, b"b"))
    assert encode(grown) == encode(LOG)
    assert encode(frozenset("abcdef")) == encode(frozenset("fedcba"))


def test_what_has_no_encoding_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"holds a builtins\.object, which has no fingerprint"):
        encode((1, object()))


# --- in place of states ---------------------------------------------------------------------------


def test_the_table_is_a_set() -> None:
    table = Table()
    numbers = [number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128) for number in range(5000)]
    numbers += [0, 1, 1 << 127, (1 << 128) - 1, 1 << 64]
    for round in range(2):
        fresh = [table.add(number) for number in numbers]
        assert sum(fresh) == (5004 if round == 0 else 0)  # 0 comes twice
    assert len(table) == 5004
    assert len(table._buckets) == -(-5004 // LOAD)


def test_equal_bytes_across_the_border_of_two_entries_are_no_entry() -> None:
    table = Table()
    half = 0x0102030405060708
    assert table.add(half << 64)  # ends with what the next one begins with
    assert table.add(half)
    assert table.add(half << 64 | half)


def compact(model: Model[Any], **options: Any) -> Any:
    """An exploration whose memory is used up from the beginning, and does not matter then."""
    return explore(model, budget=Budget(bytes=1, **options), fingerprints=True)


@pytest.fixture
def _memory_is_used_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([2])
    monkeypatch.setattr("concur.verify.budget.memory_bytes", lambda: next(measured, 0))


@pytest.mark.usefixtures("_memory_is_used_up_once")
@pytest.mark.parametrize("name", ["Paxos register", "ABD register", "two-phase commit"])
def test_with_fingerprints_nothing_is_missed_and_the_answer_says_how_sure_it_is(name: str) -> None:
    exact, found = explore(MODELS[name]()), compact(MODELS[name]())
    assert found.verdict == "holds"
    assert (found.unique_states, found.transitions, found.depth) == (
        exact.unique_states,
        exact.transitions,
        exact.depth,
    )
    assert exact.missed_below == 0.0
    assert 0 < found.missed_below < 1e-25
    assert "told apart by fingerprints of 128 bits" in found.covered
    assert "probability of a missed state < 1e-" in found.covered


@pytest.mark.usefixtures("_memory_is_used_up_once")
@pytest.mark.parametrize(
    "make",
    [
        partial(paxos_register, 2, kind=ForgetfulServer),
        partial(TwoPhaseCommit, 3, hears_all=False),
    ],
)
def test_with_fingerprints_a_trace_is_still_a_shortest_one(make: Any) -> None:
    model = make()
    exact, found = explore(make()), compact(model)
    assert (found.verdict, found.property) == ("violated", exact.property)
    assert len(found.trace) == len(exact.trace)
    assert_replays(model, found)
    assert "fingerprints" in found.covered


def test_without_leave_to_use_fingerprints_memory_is_the_end() -> None:
    found = explore(paxos_register(2), budget=Budget(bytes=1))
    assert (found.verdict, found.stopped_by) == ("unknown", "memory")
    assert "fingerprints" not in found.covered


def test_with_fingerprints_memory_may_still_be_used_up() -> None:
    found = compact(paxos_register(2))
    assert (found.verdict, found.stopped_by) == ("unknown", "memory")
    assert "fingerprints" in found.covered


def test_the_bound_is_that_of_birthdays() -> None:
    assert missed_below(1) == 0.0
    assert missed_below(2) == 2.0**-128
    assert missed_below(2, copies_max=3) == 3 * 2.0**-128
    assert 1e-27 < missed_below(1_000_000) < 1e-26
    assert missed_below(1 << 70) == 1.0
