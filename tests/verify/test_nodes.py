"""Nodes as places of the model checker: every claim of its semantics, on states counted by hand."""

from typing import Any

import pytest

from concur.base import Protocol
from concur.chance import Stream
from concur.effects import (
    CancelTimer,
    Deliver,
    Event,
    Invoke,
    Persist,
    SetTimer,
    Start,
    Timer,
    TurnEnd,
    patch,
)
from concur.errors import BadInput
from concur.machines.kv import Get, Put
from concur.node import Node
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.testing.unsafe import send_before_durable
from concur.verify.nodes.host import HostState, _words
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.nodes.stage import Packet
from concur.verify.scenario import Scenario
from tests.verify.ping import (
    Batching,
    Choosing,
    OnTheWall,
    PingPong,
    Ringing,
    Saving,
    Server,
    Timed,
)

ONE = [[Get("x")]]


def system(protocol: Protocol, **bounds: Any) -> NodeSystem:
    bounds = {"replicas": 1, "clients": 1, "commands": ONE, "timeouts_max": 0, **bounds}
    return Scenario(protocol=protocol, **bounds).system()


def states(model: NodeSystem) -> tuple[set[int], int]:
    """All states, and how many transitions lead to them, initial ones included."""
    fresh = list(model.initial())
    transitions = len(fresh)
    seen = set(fresh)
    while fresh:
        after = model.successors(fresh.pop())
        transitions += len(after)
        for state in after:
            if state not in seen:
                seen.add(state)
                fresh.append(state)
    return seen, transitions


def servers(model: NodeSystem) -> list[HostState]:
    found = [model.parts(state).locals[0] for state in sorted(states(model)[0])]
    return list(dict.fromkeys(found))


def field(state: HostState, name: str, role: type[Node[Any]] = Server) -> Any:
    node = state.seats[0].node
    assert node is not None
    return node[0][role.fields_.index(name)]


# --- messages, crashes, choices -------------------------------------------------------------------


def test_a_question_and_an_answer_are_four_states() -> None:
    seen, transitions = states(system(PingPong()))
    assert (len(seen), transitions) == (4, 4)


def test_a_crash_comes_at_every_moment_and_leaves_what_is_durable() -> None:
    """Before the answer: the server is up, down or up again, the client has asked or not. After
    it: up since before or since the crash, down, or up again with a count in memory of 0."""
    model = system(PingPong(), faults="crash=1")
    assert len(states(model)[0]) == 2 * 3 + 2 * 4
    again = [s for s in servers(model) if not s.down and s.incarnation == 2]
    counts = {(field(s, "kept"), field(s, "forgotten")) for s in again}
    assert counts == {(0, 0), (1, 0), (1, 1)}


def test_a_server_that_wrote_nothing_begins_as_it_did_and_any_other_restarts() -> None:
    again = [s for s in servers(system(PingPong(), faults="crash=1")) if s.incarnation == 2]
    begun = {(field(s, "kept"), field(s, "forgotten"), field(s, "began")) for s in again}
    assert begun == {(0, 0, "new"), (1, 1, "new"), (1, 0, "restart")}


def test_a_wiped_server_has_lost_its_disk_and_knows_it() -> None:
    model = system(PingPong(), replicas=3, faults="wipe=1")
    again = [s for s in servers(model) if not s.down and s.incarnation == 2]
    assert {(field(s, "kept"), field(s, "began")) for s in again} == {(0, "wiped"), (1, "wiped")}


def test_only_a_mutant_can_say_what_a_crash_then_forgets() -> None:
    """The answer is out, and the client is content, while the server's disk has nothing of it."""

    class Hasty(PingPong):
        name = "hasty"
        server = send_before_durable(type("HastyServer", (Server,), {}))

    for protocol, possible in ((PingPong(), False), (Hasty(), True)):
        model = system(protocol, faults="crash=1")
        ends = [model.parts(state).locals for state in states(model)[0]]
        forgotten = [s for s, c in ends if s.down and not s.seats[0].image and c.asked > c.waits]
        assert bool(forgotten) is possible


def test_each_choice_is_a_branch() -> None:
    model = system(Choosing())
    assert {field(s, "kept") for s in servers(model)} == {0, 11, 12, 21, 22, 31, 32}
    assert states(model)[1] == 2 + 6
    asked = next(s for s in states(model)[0] if len(model.steps(s)) == 6)
    assert "(chose 2 of 3, chose 1 of 2)" in " ".join(label for label, _ in model.steps(asked))


def test_a_message_that_is_lost_is_one_that_is_late_for_ever() -> None:
    """Taking it away adds states and nothing that anybody does."""
    late = servers(system(PingPong(), faults="loss=1"))
    lost = servers(system(PingPong(), faults="loss=1", late_is_lost=False))
    assert late == lost


@pytest.mark.parametrize("late_is_lost", [True, False])
def test_partitions_are_late_messages_and_there_are_any(late_is_lost: bool) -> None:
    """Whatever a partition takes away: nobody does anything that is not there anyway."""
    bounds = {"clients": 2, "commands": ONE * 2, "timeouts_max": 0, "late_is_lost": late_is_lost}
    named = Scenario(protocol=PingPong(), replicas=1, faults="partition", **bounds)
    assert named.bounds()["partition"] == "any"
    plain, cut = (
        {(model.parts(state).locals, model.observed(state)) for state in states(model)[0]}
        for model in (
            named.system(),
            system(PingPong(), **{**bounds, "late_is_lost": False}, faults="loss=9"),
        )
    )
    assert plain == cut


def test_copies_of_one_message_are_bounded() -> None:
    model = system(PingPong(), faults="duplicate=2", copies_max=1)
    copies = {copies for s in states(model)[0] for _, copies in model.parts(s).network}
    assert copies == {1}
    model = system(PingPong(), faults="duplicate=2", copies_max=3)
    copies = {copies for s in states(model)[0] for _, copies in model.parts(s).network}
    assert copies == {1, 2, 3}


# --- timers, time, turns, snapshots ---------------------------------------------------------------


def test_timers_ring_as_often_as_the_bound_allows_and_those_without_effect_never() -> None:
    model = system(Ringing(), commands=[[]], timeouts_max=2)
    assert states(model)[1] == len(states(model)[0]) == 3


def test_timers_are_bounded_by_name() -> None:
    model = system(Ringing(), commands=[[]], timeouts_max="count=1")
    assert len(states(model)[0]) == 2
    armed = {key for s in servers(model) for key, _ in s.seats[0].timers}
    assert armed == {("", "count")}, "a timer that never rings is no part of the state"


class TwoRinging(Ringing):
    name = "two-ringing"
    servers = 2


@pytest.mark.parametrize(
    ("timeouts", "rung"),
    [
        ("count@s1=1", {(0, 0), (1, 0)}),
        ("count@s1=1,count@s2=0", {(0, 0), (1, 0)}),
        ("count@s1=2,count@s2=1", {(a, b) for a in range(3) for b in range(2)}),
        ("count=1,count@s2=1", {(a, b) for a in range(2) for b in range(2)}),
        ("count=1", {(0, 0), (1, 0), (0, 1)}),
        ("count=1,count@s2=0", {(0, 0), (1, 0)}),
    ],
)
def test_timers_of_one_node_have_a_bound_of_their_own(
    timeouts: str, rung: set[tuple[int, int]]
) -> None:
    """And what is said of all nodes is about the others."""
    model = system(TwoRinging(), replicas=2, commands=[[]], timeouts_max=timeouts)
    role = model.behaviours[0].seats[0][1].node  # type: ignore[attr-defined]
    found = {
        tuple(field(server, "forgotten", role) for server in model.parts(state).locals[:2])
        for state in states(model)[0]
    }
    assert found == rung


def test_a_timer_of_nobody_is_refused() -> None:
    with pytest.raises(BadInput, match="node 's9', expected one of s1, s2, c1"):
        system(TwoRinging(), replicas=2, timeouts_max="count@s9=1")


@pytest.mark.parametrize(("ticks", "seen"), [(0, {0, 7}), (1, {0, 7, 1_000_000_000})])
def test_time_passes_when_a_timer_rings_and_by_ticks(ticks: int, seen: set[int]) -> None:
    model = system(Timed(), timeouts_max="count=1", ticks_max=ticks)
    role = model.behaviours[0].seats[0][1].node  # type: ignore[attr-defined]
    found = {field(s, "seen", role) for s in servers(model)}
    assert seen <= found
    assert ticks or found == seen


def test_roles_that_never_look_at_the_time_have_none() -> None:
    model = system(Ringing(), commands=[[]], timeouts_max=2)
    assert {s.seats[0].uptime for s in servers(model)} == {0}


def test_wall_clocks_are_refused() -> None:
    with pytest.raises(BadInput, match="wall clock"):
        states(system(OnTheWall()))


@pytest.mark.parametrize(("turns", "largest"), [(False, 1), (True, 2)])
def test_batches_form_where_the_end_of_a_turn_is_an_event(turns: bool, largest: int) -> None:
    model = system(Batching(), clients=2, commands=ONE * 2, turns=turns)
    assert max(field(s, "forgotten") for s in servers(model)) == largest


def test_a_snapshot_is_durable_later_and_a_crash_may_come_before() -> None:
    model = system(Saving(), faults="crash=1")
    role = model.behaviours[0].seats[0][1].node  # type: ignore[attr-defined]
    again = [s for s in servers(model) if not s.down and s.incarnation == 2]
    ends = {(field(s, "kept", role), field(s, "loaded", role)) for s in again}
    assert ends == {(0, -1), (1, -1), (1, 1)}  # (1, -1): it saved its own after the restart


# --- the same by hand -----------------------------------------------------------------------------


class ByHand:
    """Fresh nodes that are told what a path of the checker says, and nothing else in common."""

    def __init__(self, model: NodeSystem) -> None:
        self.model = model
        self.hosts: list[Any] = list(model.behaviours)
        self.nodes: list[Node[Any] | None] = [None for _ in self.hosts]
        self.images: list[dict[tuple[str, str], Any]] = [{} for _ in self.hosts]
        self.due: list[dict[Any, int]] = [{} for _ in self.hosts]
        self.clock = [0 for _ in self.hosts]
        self.lives = [0 for _ in self.hosts]
        self.asked = [0 for _ in self.hosts]
        self.at = 0
        for at in range(len(self.hosts)):
            self.begin(at, "new")

    def begin(self, at: int, kind: str) -> None:
        self.lives[at] += 1
        self.clock[at], self.due[at] = 0, {}
        self.nodes[at] = self.hosts[at].new_node(0, dict(self.images[at]))
        self.tell(at, Start(kind, self.lives[at]))

    def tell(self, at: int, event: Event) -> None:
        node = self.nodes[at]
        assert node is not None
        self.at = at
        for effect in node.step(event, self):
            if isinstance(effect, Persist):
                patch(self.images[at], effect)
            elif isinstance(effect, SetTimer):
                self.due[at][effect.name] = self.clock[at] + effect.after_ns
            elif isinstance(effect, CancelTimer):
                self.due[at].pop(effect.name, None)
        if type(event) is not TurnEnd and node.wants_turn_end:
            self.tell(at, TurnEnd())

    def follow(self, kind: str, at: int, name: str, message: Any) -> None:
        if kind == "receive":
            assert isinstance(message, Packet)
            self.tell(at, Deliver(message.source, message.message))
        elif " timer " in name:
            words = name.partition(" timer ")[2]
            rings = next(timer for timer in self.due[at] if _words(("", timer)) == words)
            self.clock[at] = max(self.clock[at], self.due[at].pop(rings))
            self.tell(at, Timer(rings))
        elif name.startswith("asks"):
            self.asked[at] += 1
            self.tell(at, Invoke(self.asked[at], self.hosts[at].bodies[self.asked[at] - 1]))
        elif name == "crash":
            self.nodes[at] = None
        else:
            self.begin(at, name)

    def uptime(self) -> int:
        return self.clock[self.at]

    def jitter(self, low_ns: int, high_ns: int) -> int:
        return low_ns

    def choose(self, options: int) -> int:
        raise AssertionError("no choices on these paths")

    def now(self) -> int:
        raise AssertionError

    def interval(self) -> tuple[int, int]:
        raise AssertionError

    def peek(self, node: str, address: Any) -> Any:
        raise AssertionError


PROTOCOLS = (
    Paxos(),
    Unreplicated(),
    MultiPaxos(),
    Raft(),
    ViewstampedReplication(),
)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.label)
def test_fresh_nodes_that_are_told_the_same_by_hand_come_to_the_same_states(
    protocol: Protocol,
) -> None:
    put = [[Put("x", "a"), Get("x")], [Put("x", "b")]]
    every = "election=3,view=2,retry=2,ballot=2,heartbeat=3,resend=2,ask=1,quorum=1,repeat=1"
    steps = 0
    for seed in range(6):
        crashes = "crash=2" if protocol.tags.durable else "crash=1"
        model = Scenario(
            protocol=protocol, commands=put, timeouts_max=every, faults=crashes
        ).system()
        dice = Stream(seed, "path")
        by_hand = ByHand(model)
        (state,) = model.initial()
        for _ in range(150):
            options = [(a, new) for a, new in model.actions(state) if "chose" not in a.step.label]
            if not options:
                break
            action, state = dice.choice(options)
            by_hand.follow(action.kind, action.place, action.name, action.message)
            steps += 1
            parts = model.parts(state)
            for local, node in zip(parts.locals, by_hand.nodes, strict=True):
                held = None if node is None else node.snapshot()
                assert local.seats[0].node == held
    assert steps > 100
