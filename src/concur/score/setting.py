"""The setting of a comparison: where the protocols run, and what clients ask of them."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from concur.errors import BadInput, between, whole
from concur.machines import Machine, machine
from concur.simulate.networks import Network, network
from concur.workloads import Workload, default_workload, workload

REPLICAS = 5
CLIENTS = 50
WORKLOAD = "ycsb-a"
FAR_S, NEAR_S = 30.0, 5.0
FAR_NS = 1_000_000
"""A network whose mean delay reaches this needs a longer run for as many commands."""

SEEDS_MAX = 1_000_000
CLIENTS_MAX = 100_000
SECONDS_MAX = 1_000_000.0


class Setting(msgspec.Struct, frozen=True):
    """Everything that the runs of a comparison share, resolved and checked."""

    network: Network
    workload: Workload
    machine: Any
    replicas: int
    clients: int
    seconds: float
    warmup_s: float
    check_s_max: float
    spares: int | None = None
    """Replicas beside those, where members can change. None: some if they are to."""


def setting(
    *,
    network: "str | Network" = "lan",
    workload: "str | Workload | None" = None,
    machine: "str | Machine[Any, Any] | None" = None,
    replicas: int = REPLICAS,
    clients: int = CLIENTS,
    seconds: float | None = None,
    warmup_s: float | None = None,
    check_s_max: float = 60.0,
    spares: int | None = None,
) -> Setting:
    """Look everything up. Raises BadInput, in one line, for whatever cannot be.

    The default of `seconds` goes by the network: 30 where messages take a millisecond and more,
    else 5. The default of `warmup_s`, which figures leave out, is a tenth of it, at most 2.
    """
    where = find_network(network)
    load, state = load_and_machine(workload, machine)
    whole("replicas", replicas, 1, 1000)
    whole("clients", clients, 1, CLIENTS_MAX)
    if spares is not None:
        whole("spares", spares, 0, 1000)
    if seconds is None:
        seconds = default_seconds(where)
    between("seconds", seconds, 0.1, SECONDS_MAX)
    if warmup_s is None:
        warmup_s = min(2.0, seconds / 10)
    between("warmup", warmup_s, 0.0, seconds)
    if warmup_s == seconds:
        raise BadInput(f"warmup: {warmup_s:g}, expected less than the {seconds:g} s of the run")
    return Setting(where, load, state, replicas, clients, seconds, warmup_s, check_s_max, spares)


def find_network(name: "str | Network") -> Network:
    """A network by name or file. Raises BadInput."""
    return network(name)


def load_and_machine(
    load: "str | Workload | None", state: "str | Machine[Any, Any] | None"
) -> "tuple[Workload, Machine[Any, Any]]":
    """A workload and the machine it is for; each is the other's default. Raises BadInput."""
    chosen = machine(state) if isinstance(state, str) else state
    if load is None and chosen is not None and chosen.name != "kv":
        return default_workload(chosen), chosen
    if isinstance(load, str | None):
        found = workload(load or WORKLOAD, on=chosen)
    else:
        found = load if chosen is None else load.on(chosen)
    own = found.machine()
    if chosen is None:
        return found, own
    if chosen.name != own.name:
        raise BadInput(
            f"workload {found.name}: asks a {own.name} machine, but the machine is {chosen.name}; "
            f"expected a workload for it, such as {default_workload(chosen).name}"
        )
    return found, chosen


def default_seconds(where: Network) -> float:
    """How long a run lasts if nobody says."""
    delays = [delay for row in where.one_way_ns for delay in row]
    return FAR_S if sum(delays) / len(delays) >= FAR_NS else NEAR_S


def seeds_of(given: "int | Sequence[int]") -> tuple[int, ...]:
    """Seeds as a tuple. Raises BadInput for none, and for numbers below zero."""
    seeds = (given,) if isinstance(given, int) else tuple(given)
    if not seeds or len(seeds) > SEEDS_MAX or len(set(seeds)) < len(seeds):
        raise BadInput(f"seeds: {len(seeds)} given, expected 1 to {SEEDS_MAX} different ones")
    for seed in seeds:
        whole("seed", seed, 0, 2**63 - 1)
    return seeds


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
