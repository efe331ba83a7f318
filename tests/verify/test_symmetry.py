"""Symmetry of systems: one representative for each orbit, the same verdicts, no false claims."""

from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any

import pytest

from concur.base import Circumstances, Protocol
from concur.errors import BadInput
from concur.logs import Base, Log
from concur.machines.kv import Append, Cas, Get, Put
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.protocols.raft.messages import Configuration
from concur.protocols.unreplicated import Unreplicated
from concur.protocols.viewstamped_replication import ViewstampedReplication
from concur.values import Map, Set
from concur.verify import Behaviour, Budget, Scenario, Step, System, explore
from concur.verify.budget import Meter
from concur.verify.reductions.images import Asymmetric
from concur.verify.reductions.interchangeable import symmetry_of
from concur.verify.reductions.reduced import REDUCTIONS, Search, explore_reduced
from concur.verify.reductions.renaming import NotRenamed, Renaming, difference
from concur.verify.reductions.symmetry import Symmetry
from tests.mutants.raft import R3, R3Term, SendsBeforeSync, WipedKeepsItsName
from tests.verify.commit import Favourite, Manager, Prepared, commit

CALM: dict[str, Any] = {"pre_vote": False, "check_quorum": False, "batch_max": 1}
NOTHING: tuple[tuple[Any, ...], ...] = ((),)
PUT = ((Put("x", "a"),),)
PUTS = (*PUT, (Put("x", "b"),))


def reached(system: System) -> list[int]:
    states = dict.fromkeys(system.initial())
    queue = list(states)
    for state in queue:
        after = dict.fromkeys(system.successors(state))
        queue += [new for new in after if new not in states]
        states |= after
    return queue


def neighbours(managers: int) -> list[dict[str, str]]:
    """Generators of all orders of so many resource managers."""
    pairs = [(f"rm{at}", f"rm{at + 1}") for at in range(1, managers)]
    return [{one: other, other: one} for one, other in pairs]


# --- against brute force --------------------------------------------------------------------------


def plain_orbits(system: System, managers: int) -> set[frozenset[Any]]:
    """The orbits of the reachable states of two-phase commit, found without the tool: by writing
    each state down in plain values, once for each order of the resource managers."""
    found = set()
    for state in reached(system):
        parts = system.parts(state)
        manager: Manager = parts.locals[0]
        images = set()
        for order in permutations(range(1, managers + 1)):
            new = dict(zip([f"rm{at}" for at in range(1, managers + 1)], order, strict=True))
            locals_: list[Any] = [None] * (managers + 1)
            locals_[0] = manager.state, frozenset(new[name] for name in manager.prepared)
            for at, target in enumerate(order, 1):
                locals_[target] = parts.locals[at]
            network = frozenset(
                (new[m.name], 0) if isinstance(m, Prepared) else (m, order[target - 1])
                for (_, target, m), _ in parts.network
            )
            images.add((tuple(locals_), network))
        found.add(frozenset(images))
    return found


@pytest.mark.parametrize("strategy", ["breadth-first", "depth-first", "deepening"])
@pytest.mark.parametrize(("managers", "states", "orbits"), [(3, 288, 80), (4, 1_568, 166)])
def test_each_orbit_is_counted_once(managers: int, states: int, orbits: int, strategy: Any) -> None:
    system = commit(managers)
    symmetry = Symmetry(system, neighbours(managers))
    assert len(reached(system)) == states
    assert len(plain_orbits(system, managers)) == orbits
    symmetry.apply()
    found = explore(system, strategy)
    assert (found.verdict, found.symmetry, found.unique_states) == ("holds", True, orbits)


def test_orbits_are_those_of_the_reference() -> None:
    system = commit(5)
    assert explore(system).unique_states == 8_832
    Symmetry(system, neighbours(5)).apply()
    assert explore(system).unique_states == 314


def test_symmetry_can_be_switched_off() -> None:
    system = commit(3)
    Symmetry(system, neighbours(3)).apply()
    found = explore(system, symmetry=False)
    assert (found.symmetry, found.unique_states) == (False, 288)


def test_the_canonical_form_is_one_of_the_orbit_and_the_same_for_all_of_it() -> None:
    system = commit(4)
    symmetry = Symmetry(system, neighbours(4))
    assert symmetry.order == 24
    for state in reached(system)[::7]:
        orbit = symmetry.orbit(state)
        assert state in orbit
        assert 24 % len(orbit) == 0
        assert {symmetry.canonical(image) for image in orbit} == {symmetry.canonical(state)}
        assert symmetry.canonical(state) in orbit


def test_a_group_may_be_less_than_all_orders() -> None:
    """Turning a ring of three: 3 of the 6 orders."""
    system = commit(3)
    symmetry = Symmetry(system, [{"rm1": "rm2", "rm2": "rm3", "rm3": "rm1"}])
    assert symmetry.order == 3
    states = reached(system)
    symmetry.apply()
    orbits = {frozenset(symmetry.orbit(state)) for state in states}
    assert explore(system).unique_states == len(orbits) == 104


def test_what_is_no_exchange_is_refused() -> None:
    with pytest.raises(BadInput, match="expected one that exchanges names"):
        Symmetry(commit(3), [{"rm1": "rm2"}])
    with pytest.raises(BadInput, match="more than 5,040 renamings"):
        Symmetry(commit(8), neighbours(8))


# --- protocols: the same verdicts, and every orbit ------------------------------------------------


SCENARIOS: dict[str, tuple[Protocol, dict[str, Any], str, int, int]] = {
    "Raft, one term": (
        Raft(**CALM),
        {"clients": 1, "commands": NOTHING, "timeouts_max": "election=1"},
        "r1, r2 and r3",
        2_389,
        400,
    ),
    "Raft that tells the time": (
        Raft(check_quorum=False, batch_max=1),
        {"clients": 1, "commands": NOTHING, "timeouts_max": "election=1"},
        "r1, r2 and r3",
        17_227,
        5_824,
    ),
    "Raft, a crash": (
        Raft(**CALM),
        {"clients": 0, "timeouts_max": "election=1", "faults": "crash=1"},
        "r1, r2 and r3",
        24_385,
        4_070,
    ),
    "Paxos, one proposer": (
        Paxos(),
        {"clients": 1, "commands": PUT, "timeouts_max": "ballot=1"},
        "r1 and r3",
        22_034,
        11_023,
    ),
    "Paxos, five acceptors": (
        Paxos(),
        {"clients": 1, "commands": PUT, "timeouts_max": 0, "replicas": 5},
        "r1, r3, r4 and r5",
        36_722,
        1_841,
    ),
    "Multi-Paxos, one leader": (
        MultiPaxos(batch_max=1),
        {"clients": 1, "commands": PUT, "timeouts_max": "election@r1=1"},
        "r2 and r3",
        6_171,
        3_090,
    ),
    "Unreplicated, two clients": (
        Unreplicated(),
        {"commands": None, "timeouts_max": "retry=1", "replicas": 1},
        "c1 and c2 with their values",
        18_234,
        9_118,
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_exploring_canonical_states_finds_every_orbit_of_a_protocol(name: str) -> None:
    protocol, bounds, words, unique, orbits = SCENARIOS[name]
    scenario = Scenario(protocol=protocol, **bounds)
    system = scenario.system()
    symmetry = symmetry_of(scenario, system)
    assert symmetry is not None
    assert symmetry.words == words
    states = reached(system)
    canonical = {symmetry.canonical(state) for state in states}
    assert (len(states), len(canonical)) == (unique, orbits)
    plain = explore(system)
    symmetry.apply()
    found = explore(system)
    assert found.unique_states == orbits
    assert (found.verdict, found.depth) == (plain.verdict, plain.depth) == ("holds", plain.depth)
    assert symmetry.checked > 100


@pytest.mark.parametrize("first_look", [50, 1000])
@pytest.mark.parametrize("name", SCENARIOS)
def test_with_the_other_reductions_every_outcome_is_still_reached_but_for_names(
    name: str, first_look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concur.verify.reductions.reduced.FIRST_LOOK", first_look)
    protocol, bounds, *_ = SCENARIOS[name]
    scenario = Scenario(protocol=protocol, **bounds)
    system = scenario.system()
    symmetry = symmetry_of(scenario, system)
    assert symmetry is not None
    key, canonical = system.packing.key, symmetry.canonical
    expected = {key(canonical(state)) for state in reached(system)}
    symmetry.apply()
    search = Search(system, REDUCTIONS, Meter(Budget(), None))
    search.run()
    assert search.answer().verdict == "holds"
    assert set(search.kept) == expected


MUTANTS: dict[str, tuple[Protocol, str]] = {
    "R3": (R3(**CALM), "crash=1"),
    "R3 term": (R3Term(**CALM), "crash=1"),
    "wiped keeps its name": (WipedKeepsItsName(**CALM), "wipe=1"),
    "sends before sync": (SendsBeforeSync(**CALM), "crash=1"),
}


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_in_as_many_steps_and_its_story_is_real(name: str, reduced: bool) -> None:
    protocol, faults = MUTANTS[name]
    scenario = Scenario(
        protocol=protocol, clients=0, commands=(), timeouts_max="election=2", faults=faults
    )
    plain = explore(scenario.system())
    system = scenario.system()
    symmetry = symmetry_of(scenario, system)
    assert symmetry is not None
    symmetry.apply()
    found = explore_reduced(system) if reduced else explore(system)
    assert found.symmetry
    assert (found.verdict, found.property) == (plain.verdict, plain.property)
    assert found.verdict == "violated"
    assert len(found.trace) == len(plain.trace)
    assert found.unique_states < plain.unique_states
    fresh = scenario.system()
    states = list(fresh.initial())
    for moment in found.trace[1:]:
        states = [after for s in states for label, after in fresh.steps(s) if label == moment.label]
    assert (found.property, found.reason) in [fresh.broken(state) for state in states]


# --- what a scenario tells apart ------------------------------------------------------------------


def words(protocol: Protocol, **bounds: Any) -> str:
    scenario = Scenario(protocol=protocol, **bounds)
    symmetry = symmetry_of(scenario, scenario.system())
    return "" if symmetry is None else symmetry.words


def test_who_is_interchangeable_depends_on_what_may_happen() -> None:
    raft, nobody = Raft(**CALM), {"clients": 0, "commands": ()}
    assert words(raft, timeouts_max="election=1", **nobody) == "r1, r2 and r3"
    assert words(raft, timeouts_max="election@r1=1", **nobody) == "r2 and r3"
    assert words(raft, timeouts_max="election@r1=1,election@r2=1", **nobody) == ""
    # A client begins with r1, and asks the others in turn if it may lose patience.
    one = {"clients": 1, "commands": PUT}
    assert words(raft, timeouts_max="election=1", **one) == "r2 and r3"
    assert words(raft, timeouts_max="election=1,retry=1", **one) == ""
    paxos = MultiPaxos(batch_max=1)
    assert words(paxos, timeouts_max="election=1", **one) == ""
    assert words(Paxos(), timeouts_max=0, **one) == "r1 and r3"
    assert words(Paxos(), timeouts_max=0, commands=PUTS) == ""


def test_clients_are_interchangeable_with_their_values() -> None:
    def clients(*scripts: tuple[Any, ...]) -> str:
        bounds: dict[str, Any] = {"commands": scripts, "clients": len(scripts), "replicas": 1}
        return words(Unreplicated(), timeouts_max=0, **bounds)

    get, both = Get("x"), "c1 and c2 with their values"
    assert clients((get,), (get,)) == "c1 and c2"
    assert clients((Put("x", "a"), get), (Put("x", "b"), get)) == both
    assert clients((Put("x", "a"), get), (get, Put("x", "b"))) == ""
    assert clients((Put("x", "a"),), (Put("y", "b"),)) == ""
    assert clients((Put("x", 1),), (Put("x", 2),)) == ""
    assert clients((Put("x", "a"),), (Put("x", "b"),), (Put("x", "a"),)) == "c1 and c3"
    assert clients((Put("x", "a"),), (Put("x", "b"),), (Put("x", "c"),)).startswith("c1, c2 and c3")
    assert clients((Cas("x", None, "a"),), (Cas("x", None, "b"),)) == both
    assert clients((Append("x", "a"),), (Append("x", "b"),)) == ""
    assert clients((Put("x", "y"),), (Put("x", "x"),)) == ""  # a key as well
    assert clients((Put("x", "c1"),), (Put("x", "b"),)) == ""  # a name as well


def test_only_clients_of_viewstamped_replication_are_interchangeable() -> None:
    assert words(ViewstampedReplication(batch_max=1), commands=PUTS, timeouts_max=0) == (
        "c1 and c2 with their values"
    )


# --- false claims are found out -------------------------------------------------------------------


def test_a_place_that_looks_at_its_name_is_found_out() -> None:
    system = commit(3, Favourite)
    Symmetry(system, neighbours(3), "all resource managers").apply()
    message = (
        r"interchangeable were said to be all resource managers, but names matter when rm2 moves, "
        r"in the state 'working', if rm1 becomes rm3, .*: rm1 has an outcome that rm2 has not"
    )
    with pytest.raises(Asymmetric, match=message):
        explore(system)


class Claims(MultiPaxos):
    """Claims too much: its ballots go by ids."""

    name = "claims"

    def interchangeable(self, world: Circumstances) -> tuple[tuple[str, ...], ...]:
        return (world.config.members,)


def test_a_protocol_that_claims_too_much_is_found_out() -> None:
    scenario = Scenario(
        protocol=Claims(batch_max=1), clients=0, commands=(), timeouts_max="election=2"
    )
    system = scenario.system()
    symmetry = symmetry_of(scenario, system)
    assert symmetry is not None
    symmetry.apply()
    with pytest.raises(Asymmetric, match=r"claims, 3 replicas: .* names matter when r\d receives"):
        explore(system, budget=Budget(states=100_000))


class Kept(Behaviour):
    """Keeps names in the order in which it was told, or sorted by name, and says nothing of it."""

    name = "list"

    def start(self) -> Iterable[Step]:
        return [Step(())]

    def receive(self, state: tuple[str, ...], source: int, message: str) -> Iterable[Step]:
        yield Step(self.keep((*state, message)))

    def keep(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return names


class Sorted(Kept):
    def keep(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(names))


class Teller(Behaviour):
    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> Iterable[Step]:
        return [Step(None, ((0, self.name),))]

    def receive(self, state: None, source: int, message: Any) -> Iterable[Step]:
        return []


def test_a_tuple_that_is_sorted_by_name_must_be_declared() -> None:
    def told(kept: type[Kept]) -> System:
        system = System([kept(), Teller("a"), Teller("b")])
        Symmetry(system, [{"a": "b", "b": "a"}]).apply()
        return system

    assert explore(told(Kept)).unique_states == 3
    with pytest.raises(Asymmetric, match=r"list receives 'b', in .*: \[0\] is 'b', not 'a'"):
        explore(told(Sorted))


# --- renaming -------------------------------------------------------------------------------------

SWAP = Renaming({"r1": "r2", "r2": "r1", "v": "w", "w": "v"}, ids=("r1", "r2", "r3"))


@pytest.mark.parametrize(
    ("value", "renamed"),
    [
        ("r1", "r2"),
        ("r1#7", "r2#7"),
        ("voter r2", "voter r1"),
        ("r1/log", "r2/log"),
        ("open:r1-3.1", "open:r2-3.1"),
        ("r12", "r12"),
        ("r3", "r3"),
        ("v", "w"),
        ("v v", "v v"),
        (b"", b""),
        (b"\xa2r1", b"\xa2r2"),
        (b"\x93\xa3Put\xa1x\xa1v", b"\x93\xa3Put\xa1x\xa1w"),
        (b"r1\xff", b"r1\xff"),
        ((1, True, None, ("r1",)), (1, True, None, ("r2",))),
        (Set(["r1", "r3"]), Set(["r2", "r3"])),
        (Map([("r1", 1), ("r2", 2)]), Map([("r1", 2), ("r2", 1)])),
        (Log(["r1", "x"]), Log(["r2", "x"])),
        (Configuration(("r1", "r3")), Configuration(("r2", "r3"))),
        (Configuration(("r1", "r2"), ("r1", "r3")), Configuration(("r1", "r2"), ("r2", "r3"))),
    ],
)
def test_names_are_exchanged_and_back(value: Any, renamed: Any) -> None:
    assert SWAP.value(value) == renamed
    assert type(SWAP.value(value)) is type(value)
    assert SWAP.value(renamed) == value


def test_what_has_no_names_in_it_stays_the_same_object() -> None:
    for value in ("x", (1, "r3"), Configuration(("r3",)), Log([1])):
        assert SWAP.value(value) is value


def test_what_cannot_be_renamed_is_refused() -> None:
    with pytest.raises(NotRenamed, match="raise snapshot_every"):
        SWAP.value(Log(["r1"], Base(1, (1, ""), b"hash")))
    with pytest.raises(NotRenamed, match="a object cannot be renamed"):
        SWAP.value(object())


@pytest.mark.parametrize("make", [lambda: Raft(**CALM), lambda: MultiPaxos(batch_max=1)])
def test_local_states_are_renamed_and_back(make: Callable[[], Protocol]) -> None:
    scenario = Scenario(protocol=make(), clients=0, commands=(), timeouts_max="election@r1=1")
    system = scenario.system()
    symmetry = symmetry_of(scenario, system)
    assert symmetry is not None
    assert symmetry.words == "r2 and r3"
    for state in reached(system)[::97]:
        (other,) = symmetry.orbit(state) - {state} or {state}
        assert symmetry.orbit(other) == symmetry.orbit(state)


def test_a_difference_is_told_by_fields() -> None:
    one = Configuration(("r1",), (), ("r2",))
    assert difference(one, one) == ""
    assert difference(one, Configuration(("r1",), (), ("r3",))) == "learners[0] is 'r2', not 'r3'"
    assert difference(Map([(1, 2)]), Map([(1, 3)])) == "[0][1] is 2, not 3"
    assert difference(1, True) == "it is 1, not True"
