"""Replicas of a simulated cluster share what they execute, as long as that changes nothing."""

from typing import Any

from concur import MultiPaxos, Simulation
from concur.machines.adaptor import Adaptor
from concur.machines.kv import KeyValue, KvCommand, KvState
from concur.messages import Command, decode
from concur.parts.sessions import Sessions, opening
from concur.simulate.executions import REMEMBERED_MAX, Executions
from concur.values import Map

KV = KeyValue()


class Counting(KeyValue):
    """Counts its own calls in every result, so that no two executions are alike."""

    calls = 0

    def apply(self, state: KvState, command: KvCommand) -> tuple[KvState, Any]:
        Counting.calls += 1
        return super().apply(state, command)[0], Counting.calls


class Drifting(Counting):
    """The results are fine, but the states are not."""

    def apply(self, state: KvState, command: KvCommand) -> tuple[KvState, Any]:
        after, calls = super().apply(state, command)
        return (after if after is state else after.put("calls", calls)), None


class InPlace(KeyValue):
    def initial(self) -> Any:
        return {}


class Object:
    def apply(self, command: Any) -> Any: ...
    def snapshot(self) -> bytes:
        return b""

    def restore(self, data: bytes) -> None: ...


def put(session: str, seq: int, value: int) -> Command:
    return Command(session, seq, KV.encode(KV.command("put", "k", value)))


def test_replicas_that_executed_the_same_hold_one_state() -> None:
    run = Simulation(MultiPaxos(), replicas=5, seed=1).run("ycsb-a", seconds=0.05)
    nodes = [place.node for place in run.world_.places.values() if place.role.name == "replica"]
    executed = max(node.executed for node in nodes if node is not None)
    ahead = [node for node in nodes if node is not None and node.executed == executed]
    assert executed > 100
    assert len(ahead) >= 2
    assert len({id(node.machine_state) for node in ahead}) == 1
    assert len({id(node.sessions) for node in ahead}) == 1


def test_an_outcome_is_shared_only_between_the_very_same_objects() -> None:
    shared = Executions(KV.initial())
    state, sessions, result = shared.execute(Sessions(), KV, KV.initial(), opening("c", 1))
    name = decode(result or b"", str)
    command = put(name, 1, 5)
    once = shared.execute(sessions, KV, state, command)
    assert shared.execute(sessions, KV, state, command) is once
    equal = KV.initial()
    other = shared.execute(sessions, KV, equal, command)
    assert other == once
    assert other is not once
    assert shared.execute(*((once[1], KV, once[0], command)))[2] == once[2]  # a retry


def test_only_the_latest_executions_are_remembered() -> None:
    shared = Executions(Map())
    state, sessions, result = shared.execute(Sessions(), KV, Map(), opening("c", 1))
    name = decode(result or b"", str)
    for seq in range(1, 2 * REMEMBERED_MAX):
        state, sessions, _ = shared.execute(sessions, KV, state, put(name, seq, seq))
    assert len(shared._known) == REMEMBERED_MAX


def test_a_machine_that_is_not_pure_is_noticed() -> None:
    for machine in (Counting(), Drifting()):
        run = Simulation(MultiPaxos(), replicas=3, clients=2, machine=machine, seed=1).run(
            "ycsb-a:reads=0,updates=1", seconds=0.1
        )
        assert [violation.property for violation in run.violations_] == ["no_step_raises"]
        assert "machine kv is not pure" in run.violations_[0].reason


def test_states_that_change_in_place_are_never_shared() -> None:
    assert Executions.of(InPlace()) is None
    assert Executions.of(Adaptor(Object, {"add": (int,)})) is None
    assert Executions.of(None) is None
    assert isinstance(Executions.of(KV), Executions)
