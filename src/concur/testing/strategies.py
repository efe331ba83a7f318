"""Strategies for Hypothesis: schedules of faults, quorum systems, and parameters of protocols.

    from hypothesis import given, settings
    from concur.simulate.case import Case, failures
    from concur.testing import strategies

    @given(faults=strategies.schedules(MyProtocol(), replicas=3, seconds=4.0))
    @settings(derandomize=True, deadline=None, max_examples=20)
    def test_no_schedule_breaks_it(faults):
        case = Case(protocol=MyProtocol(), clients=3, faults=faults, seconds=4.0)
        assert failures(case.run()) == ()

Examples shrink towards what people can follow: no faults, few, early, short ones, of the kinds that
come first in the catalogue; few members; parameters at their defaults. Needs the extra `testing`.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from concur.base import Parameter, Protocol
from concur.chance import Stream
from concur.errors import BadInput
from concur.faults.kinds import KINDS, Cast, Window
from concur.faults.schedule import Schedule, cast_of
from concur.quorums import Quorums, fast, flexible, grid, joint, majority, weighted
from concur.testing.cluster import Cluster

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError:  # pragma: no cover - the tests have it
    raise ImportError(
        "concur.testing.strategies needs Hypothesis: pip install 'concur-consensus[testing]'"
    ) from None

FAULTS_MAX = 6
BEGIN, LAST = 0.5, 0.75
"""Faults begin in the first half of a run and are over after three quarters of it."""
FACTORS = (1.0, 0.5, 2.0, 0.1, 10.0)
"""Numbers are tried at these multiples of their defaults."""
CHANGED_MAX = 4
"""Parameters that differ from their defaults at a time."""
WEIGHTS_MAX = 5


# --- faults ---------------------------------------------------------------------------------------


def schedules(
    protocol: Protocol,
    *,
    replicas: int = 3,
    clients: int = 3,
    spares: int = 0,
    seconds: float = 5.0,
    kinds: Collection[str] = (),
    faults_max: int = FAULTS_MAX,
) -> SearchStrategy[Schedule]:
    """Schedules of up to `faults_max` faults for a run of so many seconds, all of them healed.

    `kinds` are names from the catalogue (`concur.faults.kinds`), by default every kind that the
    protocol's tags say it bears. Raises BadInput for a kind that does not exist, or that this
    protocol cannot have.
    """
    cast = _cast(protocol, replicas, clients, spares)
    for name in kinds:
        if name not in KINDS:
            raise BadInput(f"fault kind {name!r}: unknown, expected some of {', '.join(KINDS)}")
        if KINDS[name].obstacle(cast):
            raise BadInput(f"fault kind {name!r}: {KINDS[name].obstacle(cast)}")
    possible = [name for name in KINDS if not KINDS[name].obstacle(cast)]
    chosen = [name for name in possible if name in kinds or not kinds]
    faults = st.lists(st.tuples(
        st.sampled_from(chosen),
        st.integers(0, round(BEGIN * seconds * 1000)),
        st.integers(1, round(LAST * seconds * 1000)),
        st.integers(0, 999),
    ), max_size=faults_max)  # fmt: skip
    return _schedules(faults, cast, round(LAST * seconds * 1000))


@st.composite  # so that an example is printed as the value that it is
def _schedules(
    draw: st.DrawFn, faults: SearchStrategy[list[tuple[str, int, int, int]]], cast: Cast, end: int
) -> Schedule:
    """Times are in milliseconds; whom a fault hits, and how hard, follows from a seed.

    All is healed as soon as the last fault is over.
    """
    made = []
    for name, at, lasts, seed in sorted(draw(faults), key=lambda fault: fault[1]):
        window = Window(at / 1000, min(lasts, end - at) / 1000)
        made.append(KINDS[name].draw(Stream(seed, "strategy", name), cast, window))
    heal = max((round(fault.at_s + fault.for_s, 3) for fault in made), default=0.0)
    return Schedule(tuple(made), heal)


class _Scene:
    """Who would be there in a simulated world."""

    def __init__(self, cluster: Cluster) -> None:
        self.protocol = cluster.protocol
        self.config = cluster.config
        self.replica_hosts = cluster.servers
        self._clients = cluster.clients

    def all_hosts(self) -> tuple[str, ...]:
        return (*self.replica_hosts, *self._clients)


def _cast(protocol: Protocol, replicas: int, clients: int, spares: int) -> Cast:
    cluster = Cluster(protocol, replicas=replicas, clients=clients, spares=spares)
    cast = cast_of(_Scene(cluster), protocol.tags)
    if spares:
        fewest = protocol.crash_tolerance(cast.voters_min)
        cast = msgspec.structs.replace(cast, tolerance=min(cast.tolerance, fewest))
    return cast


# --- quorums --------------------------------------------------------------------------------------


def quorum_systems(*, members_max: int = 7, kinds: Collection[str] = ()) -> SearchStrategy[Quorums]:
    """Quorum systems of r1, r2 ..., of every kind or of those named.

    Kinds are majority, flexible, fast, grid, weighted, and joint, which is made of two of the
    others. Raises BadInput for another kind.
    """
    known = {
        "majority": _sizes(members_max).map(lambda n: majority(_members(n))),
        "flexible": _sizes(members_max).flatmap(_flexible),
        "fast": _sizes(members_max).flatmap(_fast),
        "grid": _grids(members_max),
        "weighted": st.lists(st.integers(0, WEIGHTS_MAX), min_size=1, max_size=members_max)
        .filter(any)
        .flatmap(_weighted),
    }
    for name in kinds:
        if name not in (*known, "joint"):
            raise BadInput(f"quorums {name!r}: expected some of {', '.join(known)}, joint")
    chosen: list[SearchStrategy[Any]] = [
        one for name, one in known.items() if name in kinds or not kinds
    ]
    if "joint" in kinds or not kinds:
        single = st.one_of(*known.values())
        chosen.append(st.builds(joint, single, single))
    return st.one_of(chosen)


def votes(system: Quorums) -> SearchStrategy[tuple[str, ...]]:
    """Any votes of its members, some of outsiders among them, each once."""
    voters = (*system.members, "x1", "x2")
    return st.lists(st.sampled_from(voters), unique=True).map(tuple)


def _members(n: int) -> tuple[str, ...]:
    return tuple(f"r{i + 1}" for i in range(n))


def _sizes(most: int) -> SearchStrategy[int]:
    return st.integers(1, most)


def _flexible(n: int) -> SearchStrategy[Quorums]:
    def sized(phase1: int) -> SearchStrategy[Quorums]:
        second = st.integers(n - phase1 + 1, n)
        return second.map(lambda phase2: flexible(_members(n), phase1, phase2))

    return st.integers(1, n).flatmap(sized)


def _fast(n: int) -> SearchStrategy[Quorums]:
    def sized(classic: int) -> SearchStrategy[Quorums]:
        least = (2 * n - classic) // 2 + 1
        return st.integers(least, n).map(lambda size: fast(_members(n), classic, size))

    return st.integers(n // 2 + 1, n).flatmap(sized)


def _grids(most: int) -> SearchStrategy[Quorums]:
    shapes = [(r, c) for r in range(1, most + 1) for c in range(1, most // r + 1)]
    return st.sampled_from(shapes).map(lambda shape: grid(_members(shape[0] * shape[1]), *shape))


def _weighted(weights: list[int]) -> SearchStrategy[Quorums]:
    named = tuple(zip(_members(len(weights)), weights, strict=True))
    total = sum(weights)

    def heavy(phase1: int) -> SearchStrategy[Quorums]:
        second = st.integers(total - phase1 + 1, total)
        return second.map(lambda phase2: weighted(named, phase1, phase2))

    return st.integers(1, total).flatmap(heavy)


# --- parameters -----------------------------------------------------------------------------------


def descriptions(
    kind: type[Protocol], *, replicas: int = 3, **fixed: Any
) -> SearchStrategy[Protocol]:
    """Descriptions of a protocol that so many replicas can run, a few parameters off their default.

    Values follow from the declared constraints. `fixed` parameters stay as given.
    """
    free = {name: p for name, p in kind.parameters.items() if name not in fixed}
    options = {name: _values(declared, replicas) for name, declared in free.items()}
    varied = sorted(name for name, values in options.items() if values)
    changes = st.lists(st.sampled_from(varied), max_size=CHANGED_MAX, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({n: st.sampled_from(options[n]) for n in names})
    )
    return changes.map(lambda params: kind(**fixed, **params)).filter(
        lambda made: _is_valid(made, replicas)
    )


def _values(declared: Parameter, replicas: int) -> list[Any]:
    """Values to try, the default first; none if the constraint says too little."""
    default = declared.default
    if declared.one_of:
        tried = [default, *declared.one_of]
    elif isinstance(default, bool):
        tried = [default, not default]
    elif isinstance(default, int | float | tuple):
        tried = [_scaled(default, factor) for factor in FACTORS]
        tried += [bound for bound in (declared.at_least, declared.at_most) if bound is not None]
        tried = [int(v) if type(default) is int else v for v in tried]
    else:
        tried = [default, *range(1, replicas + 1)]
    accepted = [value for value in tried if declared.accepts(value)]
    return list(dict.fromkeys(accepted))


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_scaled(item, factor) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return round(value * factor) if isinstance(value, int) else round(value * factor, 6)


def _is_valid(protocol: Protocol, replicas: int) -> bool:
    try:
        protocol.validate(replicas)
    except BadInput:
        return False
    return True


__all__ = ["descriptions", "quorum_systems", "schedules", "votes"]
