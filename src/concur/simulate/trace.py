"""Traces: a run written down, step by step, so that it can be run again, compared and looked into.

A trace file is JSON lines. The first is the header: everything the run follows from (version,
protocol, parameters, network, load, faults, seed). Then one line a step: its number, the time, the
node, the event and the effects. The last line counts the steps and holds their digest. Running the
header again gives the same bytes; `replay` does so, line by line, and stops where they differ.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

import concur
from concur.base import Protocol
from concur.effects import (
    CancelTimer,
    Deliver,
    Effect,
    Event,
    Multicast,
    Persist,
    SaveSnapshot,
    Send,
    SetTimer,
    Start,
    Timer,
)
from concur.errors import BadInput
from concur.faults.catalogue import AnyFault
from concur.machines import Machine
from concur.protocols import protocol as find_protocol
from concur.simulate.costs import Costs
from concur.simulate.networks import Network
from concur.values import encode_collection
from concur.workloads import (
    CounterMix,
    HotKey,
    LockCycle,
    Mix,
    Mixed,
    QueueMix,
    Recorded,
    RegisterMix,
    Workload,
)

if TYPE_CHECKING:
    from concur.simulate.hosts import Place
    from concur.simulate.simulation import Simulation
    from concur.simulate.world import World

FORMAT = 1
LINE_BYTES_MAX = 64 << 20
"""No line of a trace is longer; a file with a longer one is none of ours."""

_encoder = msgspec.json.Encoder(enc_hook=encode_collection)


class Faults(msgspec.Struct, frozen=True):
    """A schedule as it stands in a trace."""

    faults: tuple[AnyFault, ...] = ()
    heal_at_s: float = 0.0
    core: tuple[str, ...] = ()


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a trace: what the run follows from."""

    concur: str
    trace: int
    protocol: str
    parameters: dict[str, Any]
    replicas: int
    clients: int
    spares: int = 0
    network: Network
    machine: str
    workload: dict[str, Any]
    schedule: Faults
    seconds: float
    warmup_s: float
    seed: int
    costs: Costs
    liveness_s: float
    check_every: int


class Footer(msgspec.Struct, frozen=True):
    """The last line: without it, the file is not whole."""

    end: int
    digest: str


class Diverged(Exception):
    """A replay differs from its trace."""


class Recorder:
    """Takes down every step of a run; `take` gets each line, header and footer included."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._digest = hashlib.blake2b(digest_size=16)
        self.steps = 0

    def begin(
        self,
        simulation: "Simulation",
        workload: Workload,
        schedule: Any,
        seconds: float,
        warmup_s: float,
    ) -> None:
        self._take(_encoder.encode(header(simulation, workload, schedule, seconds, warmup_s)))

    def step(self, world: "World", place: "Place", event: Event, effects: list[Effect]) -> None:
        self.steps = world.steps
        line = _encoder.encode(
            {
                "i": world.steps,
                "t": place.host.clock,
                "n": place.id,
                "e": plain(event),
                "out": [plain(effect) for effect in effects],
            }
        )
        self._digest.update(line)
        self._take(line)

    def end(self, simulation: "Simulation") -> None:
        self._take(_encoder.encode(Footer(self.steps, self._digest.hexdigest())))


class FileRecorder(Recorder):
    """Writes a trace file, which appears under its name only once it is whole."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self._file: IO[bytes] = self._scratch.open("wb")
        except OSError as error:
            raise BadInput(f"trace {path}: {error.strerror}, expected a writable file") from None
        super().__init__(self._write)

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.write(b"\n")

    def end(self, simulation: "Simulation") -> None:
        super().end(simulation)
        self._file.close()
        self._scratch.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind; does nothing once the trace is whole."""
        self._file.close()
        self._scratch.unlink(missing_ok=True)


def header(
    simulation: "Simulation", workload: Workload, schedule: Any, seconds: float, warmup_s: float
) -> Header:
    """What a run follows from. Raises BadInput if a file could not say it."""
    world = simulation.world_
    protocol = simulation.protocol
    return Header(
        concur=concur.__version__,
        trace=FORMAT,
        protocol=address(protocol),
        parameters=parameters_of(protocol),
        replicas=simulation.replicas,
        clients=simulation.clients,
        spares=len(world.config.universe) - len(world.config.members),
        network=world.network,
        machine=_machine_address(world.machine),
        workload=_workload_as_plain(workload),
        schedule=Faults(schedule.faults, schedule.heal_at_s, schedule.core),
        seconds=seconds,
        warmup_s=warmup_s,
        seed=simulation.seed,
        costs=simulation.costs,
        liveness_s=simulation.liveness_s,
        check_every=simulation.check_every,
    )


def address(protocol: Protocol) -> str:
    """How the command line names a protocol: its name, or `package.module:Class`."""
    kind = type(protocol)
    if kind.__module__.startswith("concur.protocols."):
        return kind.name
    return f"{kind.__module__}:{kind.__qualname__}"


def parameters_of(protocol: Protocol) -> dict[str, Any]:
    """Parameters as JSON takes them; a protocol among them with parameters of its own."""
    return {
        name: {"protocol": address(value), "parameters": parameters_of(value)}
        if isinstance(value, Protocol)
        else value
        for name, value in protocol.get_params(deep=False).items()
    }


def protocol_of(where: str, parameters: dict[str, Any], given: Protocol | None) -> Protocol:
    """The inverse. A file does not decide which module is imported, so what is not one of Concur's
    must be `given`, or be a parameter of what is."""
    if given is None:
        if ":" in where:
            raise BadInput(
                f"the file is of {where}, which is not one of Concur's protocols; "
                f"expected --protocol {where} to say that importing it is meant"
            )
        given = find_protocol(where)()
    values: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict) and value.keys() == {"protocol", "parameters"}:
            known = getattr(given, name, None)
            same = isinstance(known, Protocol) and address(known) == value["protocol"]
            below = str(value["protocol"]), dict(value["parameters"])
            values[name] = protocol_of(*below, known if same else None)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return given.clone().set_params(**values)


def _machine_address(machine: Any) -> str:
    kind = type(machine)
    if kind.__module__.startswith("concur.machines."):
        return str(machine.name)
    return f"{kind.__module__}:{kind.__qualname__}"


_WORKLOADS: dict[str, type[Workload]] = {
    kind.__name__: kind
    for kind in (CounterMix, HotKey, LockCycle, Mix, Mixed, QueueMix, Recorded, RegisterMix)
}


def _workload_as_plain(workload: Workload) -> dict[str, Any]:
    kind = type(workload).__name__
    if kind not in _WORKLOADS:
        raise BadInput(
            f"workload {workload.name}: a {kind} cannot stand in a trace, expected one of "
            f"{', '.join(_WORKLOADS)}"
        )
    fields = msgspec.structs.asdict(workload)
    if isinstance(fields.get("of"), Machine):
        fields["of"] = _machine_address(fields["of"])
    return {"kind": kind, **fields}


def workload_of(found: Header) -> Workload:
    """The workload that a header describes. Raises BadInput if it is none."""
    fields = dict(found.workload)
    kind = _WORKLOADS.get(str(fields.pop("kind", "")))
    if kind is None:
        raise BadInput(f"trace: unknown workload, expected one of {', '.join(_WORKLOADS)}")
    if ":" in str(fields.get("of", "")):
        raise BadInput(
            f"the trace is of a workload for the machine {fields['of']}, which is not one of "
            "Concur's; a trace does not decide which module is imported"
        )
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"trace: workload {kind.__name__}: {error}") from None


def plain(item: Any) -> Any:
    """An event or effect as JSON takes it; snapshots by their index, for they are large."""
    kind = type(item)
    if kind is Deliver:
        return ["Deliver", item.source, item.path, item.message]
    if kind is Send:
        return ["Send", item.to, item.path, item.message]
    if kind is Multicast:
        return ["Multicast", item.group, item.path, item.message]
    if kind is Timer or kind is CancelTimer:
        return [kind.__name__, item.path, item.name]
    if kind is SetTimer:
        return ["SetTimer", item.path, item.name, item.after_ns]
    if kind is Persist:
        return ["Persist", *([c.path, c.field, c.delta] for c in item.changes)]
    if kind is SaveSnapshot:
        return ["SaveSnapshot", item.path, item.snapshot.index]
    if kind is Start:
        return ["Start", item.kind, item.incarnation, item.snapshot and item.snapshot.index]
    return item


# --- reading and replaying ----------------------------------------------------------------------


def read_header(path: str | Path) -> Header:
    """The header of a trace file. Raises BadInput if it is not one."""
    with _open(path) as file:
        return _header(path, _line(path, file, 1))


def _open(path: str | Path) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BadInput(f"trace {path}: {error.strerror}, expected a trace file") from None


def _line(path: str | Path, file: IO[bytes], number: int) -> bytes:
    line = file.readline(LINE_BYTES_MAX)
    if not line.endswith(b"\n"):
        raise BadInput(
            f"trace {path}, line {number}: the file is cut off, expected steps and a closing line"
        )
    return line[:-1]


def _header(path: str | Path, line: bytes) -> Header:
    where = f"trace {path}, line 1"
    try:
        found = msgspec.json.decode(line, type=Header, dec_hook=_no_hook)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{where}: {error}, expected the header of a Concur trace") from None
    if found.trace != FORMAT:
        raise BadInput(f"{where}: format {found.trace}, expected {FORMAT}")
    return found


def _no_hook(kind: Any, value: Any) -> Any:
    raise msgspec.ValidationError(f"{kind} cannot stand in a header")


def lines(path: str | Path) -> Iterator[bytes]:
    """The step lines of a whole trace. Raises BadInput where it is cut off or damaged."""
    digest = hashlib.blake2b(digest_size=16)
    with _open(path) as file:
        _header(path, _line(path, file, 1))
        number = 1
        while True:
            number += 1
            line = _line(path, file, number)
            if line.startswith(b'{"end":'):
                break
            digest.update(line)
            yield line
        try:
            footer = msgspec.json.decode(line, type=Footer)
        except msgspec.DecodeError as error:
            raise BadInput(f"trace {path}, line {number}: {error}, expected the end") from None
        if footer.digest != digest.hexdigest():
            raise BadInput(f"trace {path}: damaged, its steps do not add up to its digest")
        if file.read(1):
            raise BadInput(f"trace {path}, line {number + 1}: more lines after the closing one")


def simulation_of(found: Header, protocol: Protocol | None = None) -> "Simulation":
    """The simulation that a header describes.

    A protocol that is not one of Concur's must be given as `protocol`: a file does not decide which
    module is imported.
    """
    from concur.simulate.simulation import Simulation

    if ":" in found.machine:
        raise BadInput(
            f"the trace is of the machine {found.machine}, which is not one of Concur's; a trace "
            "does not decide which module is imported, so it can be replayed only from Python"
        )
    return Simulation(
        protocol_of(found.protocol, found.parameters, protocol),
        replicas=found.replicas,
        clients=found.clients,
        spares=found.spares,
        network=found.network,
        machine=found.machine,
        seed=found.seed,
        costs=found.costs,
        liveness_s=found.liveness_s,
        check_every=found.check_every,
    )


class Replay(msgspec.Struct, frozen=True):
    """What came of running a trace again: how far it agreed, and the world where it stopped."""

    header: Header
    steps: int
    same: bool
    divergence: str
    simulation: Any


class _Reached(Exception):
    pass


def replay(
    path: str | Path,
    *,
    stop_at: int | None = None,
    protocol: Protocol | None = None,
    on_step: Callable[[bytes], None] | None = None,
    recorder: Callable[[Callable[[bytes], None]], Recorder] = Recorder,
) -> Replay:
    """Run a trace again and compare, line by line, up to step `stop_at` or the first difference.

    `recorder` makes the recorder of the run, which may note more than lines. The simulation's
    `world_` is left as it was after the last step, for a look at any node.
    """
    from concur.faults.schedule import Schedule

    found = read_header(path)
    simulation = simulation_of(found, protocol)
    for _ in lines(path):
        pass  # a damaged trace is refused before anything runs
    recorded = lines(path)
    steps = 0
    divergence = ""

    def compare(line: bytes) -> None:
        nonlocal steps, divergence
        if line.startswith((b'{"concur":', b'{"end":')):
            return
        expected = next(recorded, None)
        if line != expected:
            was = expected.decode() if expected is not None else "the end"
            divergence = f"after step {steps}: the trace has {was}, this run has {line.decode()}"
            if found.concur != concur.__version__:
                ours = f"this is {concur.__version__}"
                divergence += f" (the trace was written by concur {found.concur}, {ours})"
            raise _Reached
        steps += 1
        if on_step is not None:
            on_step(line)
        if steps == stop_at:
            raise _Reached

    schedule = Schedule(found.schedule.faults, found.schedule.heal_at_s, found.schedule.core)
    try:
        simulation.run(
            workload_of(found),
            faults=schedule,
            seconds=found.seconds,
            warmup_s=found.warmup_s,
            recorder=recorder(compare),
            check=False,
        )
        if not divergence and next(recorded, None) is not None:
            divergence = f"after step {steps}: the trace goes on, this run has ended"
    except _Reached:
        pass
    recorded.close()  # type: ignore[attr-defined]
    return Replay(found, steps, not divergence, divergence, simulation)


def compare_traces(first: str | Path, second: str | Path) -> str | None:
    """The first difference between two traces' steps, as text; None if there is none."""
    ours, theirs = lines(first), lines(second)
    step = 0
    while True:
        step += 1
        a, b = next(ours, None), next(theirs, None)
        if a is None and b is None:
            return None
        if a != b:
            shown = [line.decode() if line is not None else "the end" for line in (a, b)]
            return f"step {step}: {first} has {shown[0]}, {second} has {shown[1]}"
