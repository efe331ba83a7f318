"""Checks by simulated runs: faults over time, every machine, lost disks, and what stays bounded."""

from typing import Any

import msgspec

from concur.effects import Effect, Event
from concur.faults.base import Fault
from concur.faults.catalogue import Crash, Duplication, Loss, Reordering, Wipe
from concur.faults.schedule import Schedule
from concur.logs import Log
from concur.machines import Machine, all_machines
from concur.simulate.simulation import Simulation
from concur.testing.subject import Subject
from concur.values import Map, Set
from concur.workloads import Workload, default_workload

CLIENTS = 3
THINK_S = 0.01
RUN_S = 6.0
LATE_S = 0.05
LASTS_S = 16.0
NETWORKS: dict[str, Fault] = {
    "loss": Loss(at_s=0.0, for_s=LASTS_S, rate=0.1),
    "duplication": Duplication(at_s=0.0, for_s=LASTS_S, rate=0.3, late_s=LATE_S),
    "reordering": Reordering(at_s=0.0, for_s=LASTS_S, rate=0.3, late_s=LATE_S),
}
GROWTH_S = 4.0
GROWTH_MIN = 600
"""Items that a field may hold without being asked whether it grows."""
SINGLE = "it decides single values and runs no machine; the random walks cover it"


def loss_is_tolerated(subject: Subject) -> None:
    """Commands complete, and correctly, while one message in ten is lost."""
    _tolerates(subject, "loss", "repeat from a timer what may have been lost")


def duplication_is_tolerated(subject: Subject) -> None:
    """Commands take effect once, while three messages in ten come twice."""
    _tolerates(subject, "duplication", "count voters, not votes; execute through self.execute")


def reordering_is_tolerated(subject: Subject) -> None:
    """Commands complete, and correctly, while three messages in ten are overtaken by others."""
    _tolerates(subject, "reordering", "compare ballots, views and slots; hold back what is early")


def every_machine_stays_linearizable(subject: Subject) -> None:
    """Under random faults, what clients of each of the machines saw has an order."""
    subject.needs(subject.protocol.tags.log, SINGLE)
    for machine in all_machines():
        for seed in range(subject.times(2)):
            _run(subject, machine, seed=seed, faults="all")


def wiped_replicas_recover(subject: Subject) -> None:
    """A replica loses its disk and recovers; then another one crashes, and the work goes on."""
    tags = subject.protocol.tags
    subject.needs(tags.log, SINGLE)
    subject.needs(tags.recovers_wiped, "its tags say that a wiped replica cannot come back")
    tolerance = subject.protocol.crash_tolerance(subject.replicas)
    subject.needs(tolerance > 0, f"with {subject.replicas} replicas it tolerates no crash")
    for seed in range(subject.times(2)):
        _wipe_and_crash(subject, seed)


def _wipe_and_crash(subject: Subject, seed: int) -> None:
    members = _simulation(subject, all_machines()[0], seed)
    first = subject.protocol.roles()[0].prefix
    lost = f"{first}{subject.replicas}"
    other = f"{first}{1 + seed % max(subject.replicas - 1, 1)}"
    faults: tuple[Fault, ...] = (
        Wipe(at_s=1.0, for_s=0.5, host=lost),
        Crash(at_s=6.0, for_s=6.0, host=other),
    )
    run = members.run(_calm(all_machines()[0]), faults=Schedule(faults, 12.5), seconds=14.0)
    where = f"{lost} loses its disk at 1 s, {other} is down from 6 to 12 s, seed {seed}"
    _judge(subject, run, where)
    if not run.coverage_.get("wiped"):
        subject.fail(f"no disk was lost ({where})", "check crash_tolerance() of the protocol")
    meanwhile = [
        op
        for op in run.history_.operations()
        if op.type == "ok" and op.return_ns and 9_000_000_000 < op.return_ns < 12_000_000_000
    ]
    if not meanwhile:
        subject.fail(
            f"no command completed while {other} was down, so {lost} has not recovered ({where})",
            'handle Start(kind="wiped"): learn what was promised and chosen before voting again '
            '(CORE.md, 19), and say observe("recovered"). Or tags = Tags(recovers_wiped=False).',
        )


def states_and_messages_stay_bounded(subject: Subject) -> None:
    """No field and no message grows with the number of commands."""
    subject.needs(subject.protocol.tags.log, SINGLE)
    counter = next(m for m in all_machines() if m.name == "counter")
    sizes = _Sizes(GROWTH_S / 2)
    load = msgspec.structs.replace(default_workload(counter), think_s=0.001)
    simulation = Simulation(
        subject.protocol,
        replicas=subject.replicas,
        clients=CLIENTS,
        machine=counter,
        record=False,
        check_every=0,
    )
    simulation.run(load, seconds=GROWTH_S, recorder=sizes, check=False)  # type: ignore[arg-type]
    for (role, field), (early, late) in sorted(sizes.largest.items()):
        if late > GROWTH_MIN and late > early * 1.35:
            subject.fail(
                f"{role}.{field} held up to {early} items in the first half of a run of "
                f"{simulation.metrics_.get('commands', '?')} commands and {late} in the second",
                "bound it: cut the log after a snapshot, forget what was answered, refuse what "
                "exceeds a limit named ..._max",
            )


class _Sizes:
    """A recorder that only measures: the largest size of each field, before and after a moment."""

    def __init__(self, half_s: float) -> None:
        self.half_ns = round(half_s * 1e9)
        self.largest: dict[tuple[str, str], tuple[int, int]] = {}
        self._count = 0

    def begin(self, *_: Any) -> None:
        pass

    def step(self, world: Any, place: Any, event: Event, effects: list[Effect]) -> None:
        self._count += 1
        if self._count % 97:
            return
        late = world.now > self.half_ns
        for node in (place.node, *(child for _, child in place.node._below())):
            for field in node.fields_:
                value = getattr(node, field)
                if isinstance(value, Map | Set | Log | tuple) and field != "machine_state":
                    key = (type(node).__name__, field)
                    before, after = self.largest.get(key, (0, 0))
                    size = len(value)
                    self.largest[key] = (
                        (before, max(after, size)) if late else (max(before, size), after)
                    )

    def end(self, *_: Any) -> None:
        pass


# --- below ---------------------------------------------------------------------------------------


def _calm(machine: "Machine[Any, Any]") -> Workload:
    return msgspec.structs.replace(default_workload(machine), think_s=THINK_S)


def _simulation(subject: Subject, machine: "Machine[Any, Any]", seed: int) -> Simulation:
    return Simulation(
        subject.protocol,
        replicas=subject.replicas,
        clients=CLIENTS,
        machine=machine,
        seed=seed,
        check_s_max=20.0,
    )


def _run(subject: Subject, machine: "Machine[Any, Any]", *, seed: int, faults: str) -> Simulation:
    run = _simulation(subject, machine, seed).run(_calm(machine), faults=faults, seconds=RUN_S)
    where = (
        f"Simulation(protocol, replicas={subject.replicas}, clients={CLIENTS}, "
        f'machine="{machine.name}", seed={seed}).run({default_workload(machine).name} with a '
        f'think time of {THINK_S} s, faults="{faults}", seconds={RUN_S})'
    )
    _judge(subject, run, where)
    return run


def _judge(subject: Subject, run: Simulation, where: str, fix: str = "") -> None:
    for broken in run.violations_:
        subject.fail(
            f"{broken.property} does not hold: {broken.reason} (at {broken.node}, "
            f"{broken.time_ns / 1e9:.3f} s)\n  in {where}",
            fix or "concur.simulate.trace.FileRecorder writes down every step of that run",
        )
    if run.verdict_.valid is False:
        subject.fail(
            f"what clients saw has no order: {run.verdict_.reason}\n  in {where}",
            fix or "look at run.verdict_.anomaly",
        )


def _tolerates(subject: Subject, what: str, fix: str) -> None:
    tags = subject.protocol.tags
    subject.needs(tags.log, SINGLE)
    subject.needs(what in tags.tolerates, f"its tags do not claim to tolerate {what}")
    machine = next(m for m in all_machines() if m.name == "counter")
    fault = NETWORKS[what]
    for seed in range(subject.times(1)):
        simulation = _simulation(subject, machine, seed)
        schedule = Schedule((fault,), LASTS_S)
        run = simulation.run(_calm(machine), faults=schedule, seconds=LASTS_S + 2.0)
        _judge(subject, run, f"a network with {what}: {fault}; seed {seed}", fix)
        if run.coverage_.get("operations: ok", 0) < CLIENTS * LASTS_S:
            subject.fail(f"hardly a command completes in a network with {what}, seed {seed}", fix)
