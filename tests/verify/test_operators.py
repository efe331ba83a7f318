"""Operators in the model checker, spares, and searches that begin where a prologue leads."""

from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines.kv import Put
from concur.parts.membership import Order
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.verify.budget import Budget
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.scenario import Scenario
from concur.verify.verify import Verification, verify_scenario
from tests.mutants.raft import R1, SingleServer

CALM: dict[str, Any] = {"pre_vote": False, "check_quorum": False, "batch_max": 1}
NOTHING: tuple[tuple[Any, ...], ...] = ((),)
ELECTED = ("r1 timer election", "quiet")


def scenario(**bounds: Any) -> Scenario:
    given = {"protocol": Raft(**CALM), "clients": 1, "commands": NOTHING}
    return Scenario(**{**given, "timeouts_max": "election=1", **bounds})


def end_of(here: Scenario) -> tuple[NodeSystem, int]:
    model = here.system()
    (state,) = model.initial()
    return model, state


def searched(here: Scenario) -> Verification:
    return verify_scenario(here, strategy="breadth-first", budget=Budget())


def held(model: NodeSystem, state: int, name: str) -> dict[str, Any]:
    """What each replica that is up has in a field."""
    found = {}
    for host, local in zip(model.behaviours, model.parts(state).locals, strict=True):
        ((id, role),) = host.seats  # type: ignore[attr-defined]
        if role.place == "replica":
            found[id] = local.seats[0].node[0][role.node.fields_.index(name)]
    return found


# --- operators ------------------------------------------------------------------------------------


def test_a_spare_becomes_a_member_when_the_operator_orders_it() -> None:
    wanted = "members=r1,r2,r3,r4"
    here = scenario(spares=1, orders=(wanted,), prologue=(*ELECTED, f"orders {wanted}", "quiet"))
    model, state = end_of(here)
    voters = {id: held[-1][1].voters for id, held in held(model, state, "configurations").items()}
    assert voters == dict.fromkeys(("r1", "r2", "r3", "r4"), ("r1", "r2", "r3", "r4"))
    assert not model.parts(state).locals[-1].waits, "the operator was told that it is so"


def test_leadership_goes_to_whom_the_operator_names() -> None:
    here = scenario(orders=("leader=r2",), prologue=(*ELECTED, "orders leader=r2", "quiet"))
    model, state = end_of(here)
    assert [id for id, role in held(model, state, "role").items() if role == "leader"] == ["r2"]


def test_the_next_order_may_come_before_the_last_has_ended() -> None:
    """Its node says that nobody knows what became of the last one: each ends exactly once."""
    orders = (Order(leader="r2"), "leader=r3", "leader=r2")
    here = scenario(orders=orders, prologue=("o1: orders leader=r2", "o1: orders leader=r3"))
    model, state = end_of(here)
    assert model.broken(state) is None
    operator = model.parts(state).locals[-1]
    assert (operator.asked, operator.waits) == (2, True)


def test_orders_are_no_operations_of_the_machine() -> None:
    here = scenario(orders=("leader=r2",), prologue=(*ELECTED, "orders leader=r2", "quiet"))
    model, state = end_of(here)
    judged = model.observed(state)
    assert len(judged.clients) == 1
    assert judged.clients[0].ended == ()
    assert judged.wrong is None


@pytest.mark.parametrize("protocol", [Raft(**CALM), ViewstampedReplication(batch_max=1)])
def test_operators_raise_no_alarm_in_walks(protocol: Any) -> None:
    here = scenario(
        protocol=protocol,
        commands=((Put("x", "a"),),),
        timeouts_max=5,
        faults="crash=1",
        spares=1,
        orders=("members=r1,r2,r4", "leader=r2")
        if protocol.name == "raft"
        else ("members=r1,r2,r4",),
    )
    found = verify_scenario(here, strategy="walks", budget=Budget(states=4000))
    assert found.verdict == "unknown", (found.reason, found.trace)


def test_nobody_is_there_without_orders() -> None:
    names = [behaviour.name for behaviour in scenario().system().behaviours]
    assert names == ["r1", "r2", "r3", "c1"]


def test_bounds_name_orders_and_spares() -> None:
    here = scenario(spares=2, orders=(Order(("r1", "r4"), ("r5",)), "leader=r2"))
    assert here.bounds()["spares"] == 2
    assert here.bounds()["orders"] == ["members=r1,r4 learners=r5", "leader=r2"]


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"protocol": Paxos(), "orders": ("leader=r1",)}, "paxos takes none"),
    ({"protocol": Paxos(), "spares": 1}, "paxos never changes its members"),
    ({"spares": -1}, "spares: -1, expected a whole number"),
    ({"orders": ("members=r1,r4",)}, "'r4', expected some of r1, r2, r3"),
    ({"orders": ("boss=r1",)}, "'boss=r1', expected members="),
    ({"orders": ("members=r1 leader=r1",)}, "expected members, or a leader, and not both"),
    ({"orders": ("members=r1,r1",)}, "named twice"),
    ({"prologue": ("r1 timer retry",)}, "entry 1: no event is 'r1 timer retry'; expected one of"),
    ({"prologue": ("election",)}, "several events are 'election'; expected one of: r1: r1 timer"),
    ({"prologue": ("quiet among r1, r9",)}, "entry 1: 'r9', expected some of r1, r2, r3, c1"),
)


@pytest.mark.parametrize(("bounds", "words"), REFUSED)
def test_what_cannot_be_is_refused_in_one_line(bounds: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as refusal:
        end_of(scenario(**bounds))
    assert "\n" not in str(refusal.value)


# --- prologues ------------------------------------------------------------------------------------


def test_a_prologue_costs_nothing_and_is_told_with_the_bounds() -> None:
    model, state = end_of(scenario(prologue=ELECTED))
    assert model.parts(state).left == {"timeout election": 1}
    assert held(model, state, "role")["r1"] == "leader"
    answer = searched(scenario(prologue=ELECTED))
    assert answer.bounds["prologue"] == list(ELECTED)


def test_a_prologue_tells_what_happened_from_the_very_beginning() -> None:
    """And what it tells is a path of the model without one."""
    moments = next(scenario(prologue=ELECTED).system().beginnings())
    model = scenario(timeouts_max="election=9").system()
    states = list(model.initial())
    for moment in moments[1:]:
        states = [after for s in states for words, after in model.steps(s) if words == moment.label]
    assert states


def test_what_follows_a_prologue_is_all_that_follows_its_last_state() -> None:
    """As many states as there are from there on, with the same bounds, in the model without."""
    here = scenario(timeouts_max="election=1", prologue=("r1 timer election", "quiet among r1, r2"))
    moments = next(here.system().beginnings())
    model = here.system()
    fresh = [moments[-1].state]
    list(model.initial())
    seen = set(fresh)
    while fresh:
        for after in model.successors(fresh.pop()):
            if after not in seen:
                seen.add(after)
                fresh.append(after)
    answer = verify_scenario(here, strategy="breadth-first", budget=Budget(), reductions=())
    assert (answer.verdict, answer.unique_states) == ("holds", len(seen))


def test_some_may_be_left_out_of_the_quiet() -> None:
    model, state = end_of(scenario(prologue=("r1 timer election", "quiet among r1, r2")))
    assert held(model, state, "term") == {"r1": 1, "r2": 1, "r3": 0}
    assert held(model, state, "role")["r1"] == "leader"


def test_a_label_need_not_be_written_out_if_only_one_event_has_that_part() -> None:
    election = ("r1: r1 timer election", "r1 -> r2", "Vote(term=1, candidate='r1', granted=True")
    model, state = end_of(scenario(prologue=election))
    assert held(model, state, "role")["r1"] == "leader"


TWO_CHANGES = (
    *ELECTED, "orders members=r1,r2,r3,r4,r5", "quiet among o1, r1, r5",
    "r2 timer election", "to='r3', message=RequestVote(", "to='r4', message=RequestVote(",
    "source='r3', to='r2', message=Vote(", "source='r4', to='r2', message=Vote(",
    "o1 timer ask", "orders members=r1,r2,r3", "quiet among o1, r2, r3",
    "source='r2', to='r1', message=RequestVote(", "r1 timer election", "quiet among r1, r4, r5",
)  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "overwritten"), [(R1(**CALM), True), (SingleServer(**CALM), False)]
)
def test_the_published_story_of_two_changes_of_members_can_be_told(
    protocol: Raft, overwritten: bool
) -> None:
    """r2 removes r4 before it has committed anything in its term, with r3 alone; r1, which had
    added r5, is elected by r4 and r5, which know nothing of it (mutant R1)."""
    here = scenario(
        protocol=protocol,
        replicas=4,
        spares=1,
        orders=("members=r1,r2,r3,r4,r5", "members=r1,r2,r3"),
        timeouts_max="election=1,ask=1",
        prologue=TWO_CHANGES,
    )
    model, state = end_of(here)
    committed, logs = held(model, state, "committed"), held(model, state, "log")
    both = range(1, min(committed["r1"], committed["r2"]) + 1)
    assert any(logs["r1"][at] != logs["r2"][at] for at in both) is overwritten
