"""The strategies give what they promise, and what they give breaks nothing that is right."""

from itertools import combinations

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.faults.kinds import KINDS
from concur.faults.schedule import Schedule
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.unreplicated import Unreplicated
from concur.quorums import Quorums
from concur.simulate.case import Case, failures
from concur.testing import Walk, strategies
from concur.workloads import default_workload

SECONDS = 3.0
CALM = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
QUICK = settings(CALM, phases=[Phase.generate])
LOAD = msgspec.structs.replace(default_workload("kv"), think_s=0.02)
SCHEDULES = strategies.schedules(MultiPaxos(), clients=2, seconds=SECONDS)


@given(faults=SCHEDULES)
@settings(CALM, max_examples=40)
def test_no_schedule_breaks_multi_paxos(faults: Schedule) -> None:
    case = Case(protocol=MultiPaxos(), clients=2, faults=faults, seconds=SECONDS, workload=LOAD)
    assert failures(case.run()) == ()


@given(faults=SCHEDULES)
@settings(CALM, max_examples=100)
def test_schedules_are_healed_within_the_run(faults: Schedule) -> None:
    assert len(faults.faults) <= strategies.FAULTS_MAX
    for fault in faults.faults:
        assert fault.at_s >= 0
        assert round(fault.at_s + fault.for_s, 3) <= faults.heal_at_s <= SECONDS


def test_schedules_have_every_kind_that_the_protocol_bears() -> None:
    for name in KINDS:
        if name in ("membership-change", "leadership-transfer"):
            continue  # its members cannot be changed
        only = strategies.schedules(MultiPaxos(), kinds=[name])
        assert find(only, lambda schedule: bool(schedule.faults), settings=QUICK)


def test_schedules_shrink_to_one_short_early_fault() -> None:
    found = find(SCHEDULES, lambda schedule: len(schedule.faults) >= 1, settings=CALM)
    (fault,) = found.faults
    assert (fault.at_s, fault.for_s) == (0.0, 0.001)
    assert str(fault).startswith("crash of")


@pytest.mark.parametrize(
    ("kinds", "hint"), [(["rain"], "expected some of"), (["wipe"], "cannot come back|no replica")]
)
def test_a_kind_that_cannot_be_is_refused(kinds: list[str], hint: str) -> None:
    with pytest.raises(BadInput, match=hint):
        strategies.schedules(Unreplicated(), replicas=1, kinds=kinds)


@given(system=strategies.quorum_systems(members_max=5))
@settings(CALM, max_examples=150)
def test_a_new_leader_meets_every_quorum_that_chose(system: Quorums) -> None:
    subsets = [
        frozenset(some)
        for size in range(len(system.members) + 1)
        for some in combinations(system.members, size)
    ]
    elect = [some for some in subsets if system.is_phase1(some)]
    choose = [some for some in subsets if system.is_phase2(some)]
    assert all(one & two for one in elect for two in choose)
    fast = [some for some in subsets if system.is_fast(some)]
    assert all(one & two & three for one in elect for two in fast for three in fast)


@given(data=st.data())
@settings(CALM, max_examples=50)
def test_more_votes_never_make_less_of_a_quorum(data: st.DataObject) -> None:
    system = data.draw(strategies.quorum_systems())
    some, more = data.draw(strategies.votes(system)), data.draw(strategies.votes(system))
    for enough in (system.is_phase1, system.is_phase2, system.is_fast):
        assert enough({*some, *more}) or not enough(some)


def test_quorum_systems_are_of_the_kinds_asked_for() -> None:
    assert find(
        strategies.quorum_systems(kinds=["fast"]),
        lambda s: bool(s.is_fast(s.members)),
        settings=CALM,
    ).members == ("r1",)
    with pytest.raises(BadInput, match="expected some of majority"):
        strategies.quorum_systems(kinds=["minority"])


@given(protocol=strategies.descriptions(MultiPaxos))
@settings(CALM, max_examples=30)
def test_no_parameters_break_multi_paxos(protocol: MultiPaxos) -> None:
    walk = Walk(protocol, 1)
    walk.run(150)


def test_descriptions_shrink_to_the_defaults() -> None:
    made = find(strategies.descriptions(MultiPaxos), lambda p: p.batch_max != 64, settings=CALM)
    assert made == MultiPaxos(batch_max=made.batch_max)


def test_fixed_parameters_stay() -> None:
    made = strategies.descriptions(MultiPaxos, reads="log")
    assert find(made, lambda p: p.snapshot_every != 1000, settings=CALM).reads == "log"
