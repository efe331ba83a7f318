"""`Simulation`: one run of one protocol in the simulated world, and what came of it.

    run = Simulation(MultiPaxos(), replicas=5, network="wan-5", seed=7).run("ycsb-a", faults="all")
    run.verdict_.valid, run.metrics_["latency_ms_p99"], run.history_.operations()

As an estimator of scikit-learn, it takes its parameters as keywords and ends the names of results
in an underscore. It can also be talked to, one command at a time, with `propose`.
"""

from typing import TYPE_CHECKING, Any, Self

from concur.base import REPLICAS_MAX, Protocol
from concur.effects import Definite, Indefinite, Ok, Outcome
from concur.errors import ConcurError, between, whole
from concur.faults.schedule import Schedule, schedule, spares_for
from concur.histories import History, Verdict, check
from concur.machines import Machine, MachineError, machine
from concur.node import SECOND, seconds
from concur.properties import STANDARD, Property, Violation
from concur.score.metrics import metric
from concur.simulate.costs import Costs
from concur.simulate.load import Load
from concur.simulate.metrics import Samples
from concur.simulate.networks import Network, network
from concur.simulate.world import World
from concur.workloads import Workload, default_workload, workload

if TYPE_CHECKING:
    from concur.simulate.trace import Recorder

REPLICAS = 3
CLIENTS = 10
SECONDS = 10.0
CLIENTS_MAX = 100_000
SECONDS_MAX = 1_000_000.0


class Failed(ConcurError):
    """A command that was proposed interactively did not complete with a result."""

    def __init__(self, outcome: Definite | Indefinite) -> None:
        certain = "did not happen" if isinstance(outcome, Definite) else "may have happened"
        super().__init__(f"{outcome.error} (the command {certain})")
        self.outcome = outcome


class Simulation:
    """A protocol in a simulated world.

    Parameters
    ----------
    protocol: the description to run; nothing of it is changed.
    replicas, clients: how many. Clients stand where the network puts them.
    spares: replicas beside those, which may become members. None: two if members are to change.
    network: a preset's name, a file, or a `Network`.
    machine: the replicated state machine: a name or a `Machine`.
    seed: decides everything that is left to chance.
    costs: what CPU and disk work costs.
    liveness_s: after healing, every command must complete within this many seconds.
    check_s_max: how long the history may be checked, in seconds of real time.
    check_every: local properties are evaluated after every so many steps; 0 switches them off.
    record: keep the history (False: only metrics, for runs of millions of commands).

    Results after `run`
    -------------------
    history_: what clients saw. verdict_: whether that is linearizable. violations_: properties that
    broke. metrics_: figures by name. coverage_: how often things happened, faults among them.
    schedule_: the faults that were inflicted. world_: the world as it was at the end.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        replicas: int = REPLICAS,
        clients: int = CLIENTS,
        spares: int | None = None,
        network: "str | Network" = "lan",
        machine: "str | Machine[Any, Any]" = "kv",
        seed: int = 0,
        costs: Costs = Costs(),  # noqa: B008 - frozen
        properties: tuple[Property, ...] = STANDARD,
        liveness_s: float = 15.0,
        check_s_max: float = 60.0,
        check_every: int = 1,
        record: bool = True,
    ) -> None:
        self.protocol = protocol
        self.replicas = replicas
        self.clients = clients
        self.spares = spares
        self.network = network
        self.machine = machine
        self.seed = seed
        self.costs = costs
        self.properties = properties
        self.liveness_s = liveness_s
        self.check_s_max = check_s_max
        self.check_every = check_every
        self.record = record
        self._live: World | None = None
        self._answers: dict[int, Outcome] = {}
        self._awaited = 0

    def run(
        self,
        workload: "str | Workload | None" = None,
        *,
        faults: "str | Schedule" = "none",
        seconds: float = SECONDS,
        warmup_s: float = 0.0,
        recorder: "Recorder | None" = None,
        check: bool = True,
    ) -> Self:
        """Run the load for `seconds` of virtual time, inflict the faults, and check everything.

        Clients stop asking at the end; what they asked is waited for. Figures count what was asked
        after `warmup_s`. Raises BadInput if something asked for cannot be.
        """
        where, specification = self._resolve()
        load_of = _workload(workload, specification)
        between("seconds", seconds, 0.0, SECONDS_MAX)
        between("warmup_s", warmup_s, 0.0, seconds)
        whole("clients", self.clients, 1, CLIENTS_MAX)
        self.history_ = History(specification.name)
        self.samples_ = Samples(round(warmup_s * SECOND), round(seconds * SECOND))
        load = Load(
            load_of,
            specification,
            self.clients,
            self.seed,
            until_ns=round(seconds * SECOND),
            history=self.history_ if self.record else None,
            samples=self.samples_,
        )
        spares = self.spares
        if spares is None:
            spares = spares_for(faults, self.protocol.tags)
        world = self._world(where, specification, recorder, spares)
        self.world_ = load.world = world
        world.completions = load.completed
        self.schedule_ = schedule(
            faults, seed=self.seed, world=world, seconds=seconds, tags=self.protocol.tags
        )
        if recorder is not None:
            recorder.begin(self, load_of, self.schedule_, seconds, warmup_s)
        load.healed_ns = round(self.schedule_.heal_at_s * SECOND)
        load.bound_ns = round(self.liveness_s * SECOND)
        # Where single values are decided, most commands lose, definitely.
        load.refusals_count = not self.protocol.tags.log
        world.start()
        world.apply(self.schedule_)
        load.start()
        self._drive(world, load, round(seconds * SECOND))
        self.violations_: tuple[Violation, ...] = tuple(world.violations)
        self.verdict_ = self._judge(specification, check)
        self.coverage_ = load.coverage() | dict(world.count)
        self.metrics_ = self.samples_.metrics()
        if recorder is not None:
            recorder.end(self)
        return self

    def _drive(self, world: World, load: Load, end_ns: int) -> None:
        """Until the load is over and answered; a command that takes too long is a violation."""
        world.run(end_ns)
        # Twice the bound: what was asked before healing may end late, and indefinitely; its client
        # then asks once more, and that has to be answered in time.
        deadline = max(end_ns, load.healed_ns) + 2 * load.bound_ns
        while not world.violations and load.busy() and world.now < deadline:
            world.run(min(deadline, world.now + SECOND // 10))
        if not world.violations:
            late = load.not_answered()
            if late is not None:
                world.violate("every_command_completes_after_healing", *late)

    def _judge(self, specification: "Machine[Any, Any]", wanted: bool) -> Verdict:
        if not (wanted and self.record):
            return Verdict(
                valid="unknown",
                reason="the history was not recorded" if wanted else "the check was switched off",
                algorithm="none",
                operations=len(self.history_),
                steps=0,
                seconds=0.0,
            )
        return check(self.history_, specification, budget_s=self.check_s_max)

    def score(self, name: str) -> float:
        """A figure of the run by name, as `score("latency_ms_p99")`. Raises BadInput."""
        metric(name)
        return self.metrics_[name]

    # --- one command at a time ----------------------------------------------------------------

    def propose(self, command: Any, *, timeout_s: float = 60.0) -> Any:
        """Let a client ask for `command` and time pass until it is answered.

        Returns the machine's result. Raises `Failed` if the command was refused or its fate is
        unknown, and `concur.machines.MachineError` results as ConcurError.
        """
        _, specification = self._resolve()
        world = self._live
        if world is None:
            whole("clients", self.clients, 1, CLIENTS_MAX)
            where, _ = self._resolve()
            world = self._live = self._world(where, specification, None, self.spares or 0)
            world.completions = self._answered
            world.start()
        client = world.config.role("client")[0]
        op = len(self._answers) + 1
        self._answers[op] = Indefinite("no answer")
        world.invoke(client, op, specification.encode(command))
        self._awaited = op
        end = world.now + seconds(timeout_s)
        while self._awaited and world.now < end and not world.violations:
            world.run(end)
        for violation in world.violations:
            raise ConcurError(f"{violation.property}: {violation.reason}")
        outcome = self._answers[op]
        if not isinstance(outcome, Ok):
            raise Failed(outcome)
        result = specification.decode_result(outcome.result)
        if isinstance(result, MachineError):
            raise ConcurError(str(result))
        return result

    def _answered(self, client: str, op: int, outcome: Outcome, time: int) -> None:
        if op == self._awaited and self._live is not None:
            self._awaited = 0
            self._answers[op] = outcome
            self._live.halt()

    @property
    def live(self) -> World:
        """The world that `propose` talks to: crash its hosts, block its links, look inside."""
        if self._live is None:
            raise ConcurError("nothing has been proposed yet, so there is no live world")
        return self._live

    def __repr__(self) -> str:
        text = f"Simulation({self.protocol!r}, replicas={self.replicas}, seed={self.seed})"
        if not hasattr(self, "verdict_"):
            return text
        broken = self.violations_[0].property if self.violations_ else ""
        verdict = broken or f"{self.verdict_.consistency}: {self.verdict_.valid}"
        return f"<{text}: {len(self.history_)} operations, {verdict}>"

    # --- building -----------------------------------------------------------------------------

    def _resolve(self) -> "tuple[Network, Machine[Any, Any]]":
        where = network(self.network)
        found = machine(self.machine) if isinstance(self.machine, str) else self.machine
        return where, found

    def _world(
        self,
        where: Network,
        specification: "Machine[Any, Any]",
        recorder: "Recorder | None",
        spares: int,
    ) -> World:
        whole("spares", spares, 0, REPLICAS_MAX)
        return World(
            self.protocol,
            replicas=self.replicas,
            clients=self.clients,
            spares=spares,
            network=where,
            machine=specification,
            seed=self.seed,
            costs=self.costs,
            properties=self.properties,
            check_every=self.check_every,
            recorder=recorder,
        )


def _workload(chosen: "str | Workload | None", specification: "Machine[Any, Any]") -> Workload:
    if chosen is None:
        return default_workload(specification.name)
    if isinstance(chosen, str):
        return workload(chosen, on=specification)
    return chosen.on(specification)
