"""A case: everything one run follows from, as a value, and the shell line that runs it again."""

import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from concur.base import Protocol
from concur.faults.schedule import Schedule
from concur.machines import Machine
from concur.simulate.costs import Costs
from concur.simulate.networks import Network
from concur.workloads import Workload

if TYPE_CHECKING:
    from concur.simulate.simulation import Simulation


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of `Simulation` and of its `run`; see there."""

    protocol: Protocol
    replicas: int = 3
    clients: int = 10
    spares: int | None = None
    network: str | Network = "lan"
    workload: str | Workload | None = None
    machine: str | Machine[Any, Any] = "kv"
    faults: str | Schedule = "none"
    seconds: float = 10.0
    seed: int = 0
    costs: Costs = Costs()
    liveness_s: float = 15.0
    check_s_max: float = 60.0
    check_every: int = 1

    def run(self, **options: Any) -> "Simulation":
        """Run it. Options are those of `Simulation.run` that change nothing: recorder, check."""
        from concur.simulate.simulation import Simulation

        return Simulation(
            self.protocol,
            replicas=self.replicas,
            clients=self.clients,
            spares=self.spares,
            network=self.network,
            machine=self.machine,
            seed=self.seed,
            costs=self.costs,
            liveness_s=self.liveness_s,
            check_s_max=self.check_s_max,
            check_every=self.check_every,
        ).run(self.workload, faults=self.faults, seconds=self.seconds, **options)

    def replay(self, faults: str = "") -> str:
        """One shell line that runs this case again.

        `faults` names the file of a schedule which is a value. What a command line cannot say, a
        cost model of one's own for instance, stands behind a `#`.
        """
        spec = faults or (self.faults if isinstance(self.faults, str) else "SCHEDULE.json")
        words = ["concur", "simulate", _name_of(self.protocol)]
        for name in type(self.protocol).parameters:
            value = getattr(self.protocol, name)
            if value != type(self.protocol).parameters[name].default:
                words += ["--param", f"{name}={_plain(value)}"]
        words += ["--replicas", str(self.replicas), "--clients", str(self.clients)]
        if self.spares is not None:
            words += ["--spares", str(self.spares)]
        words += ["--network", _label(self.network)]
        if self.workload is not None:
            words += ["--workload", _label(self.workload)]
        words += ["--machine", _label(self.machine), "--faults", spec]
        words += ["--seconds", f"{self.seconds:.12g}", "--seed", str(self.seed)]
        return shlex.join(words) + self._unsaid()

    def _unsaid(self) -> str:
        default = Case(protocol=self.protocol)
        names = [
            name
            for name in ("costs", "liveness_s", "check_every")
            if getattr(self, name) != getattr(default, name)
        ]
        names += [
            name
            for name in ("network", "workload", "machine")
            if not isinstance(getattr(self, name), str | None)
        ]
        said = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"  # {said}" if said else ""


def failures(simulation: "Simulation") -> tuple[tuple[str, str], ...]:
    """What is wrong with a run, as (property, reason); an inconsistent history among it."""
    found = [(v.property, v.reason) for v in simulation.violations_]
    verdict = simulation.verdict_
    if verdict.valid is False:
        found.append((verdict.consistency, verdict.reason))
    return tuple(found)


def _name_of(protocol: Protocol) -> str:
    """The name on a command line: Concur's own protocols go by theirs, others by their place."""
    kind = type(protocol)
    if kind.__module__.startswith("concur.protocols.") and protocol.name:
        return protocol.name
    return f"{kind.__module__}:{kind.__qualname__}"


def _label(value: Any) -> str:
    return value if isinstance(value, str) else str(getattr(value, "name", value))


def _plain(value: Any) -> str:
    if isinstance(value, Protocol):
        return _name_of(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
