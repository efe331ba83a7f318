"""Campaigns: the same case under many seeds, all of them checked, and what they covered.

Each seed is one `Simulation.run`, in this process or in several. A campaign that found nothing
means something only if things happened in it, so it counts them, and names those that should have
happened, by the protocol's tags and the faults asked for, and never did.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any

import msgspec

from concur.base import Protocol
from concur.errors import BadInput
from concur.faults.kinds import KINDS, Cast
from concur.faults.schedule import Schedule, parse, read_schedule, spares_for
from concur.parallel import in_processes
from concur.simulate.case import Case, failures

SEEDS_MAX = 10_000_000
JOBS_MAX = 1024
REQUIRED_FROM = 50
"""From this many runs on, what never happened in a campaign is a failure of the campaign: a random
schedule has each kind of fault on in half of the runs, but not every fault of it hits something."""

CRASHES = ("crash", "leader-crash", "blackout", "torn-write", "wipe", "amnesia")
DEPOSING = (*CRASHES, "leader-isolation", "partition", "pause")
RENAMED = {"snapshot_installed": "snapshot transfers"}
"""What nodes observe and how coverage calls it."""


class Found(msgspec.Struct, frozen=True):
    """A property that broke under one seed, and the line that shows it again."""

    seed: int
    property: str
    reason: str
    replay: str


class Needed(msgspec.Struct, frozen=True):
    """Something that must happen at least once in a campaign, and why it must."""

    key: str
    why: str


class Run(msgspec.Struct, frozen=True):
    """What a campaign keeps of one run."""

    seed: int
    commands: int
    deliveries: int
    valid: bool | str
    failures: tuple[tuple[str, str], ...]
    coverage: dict[str, int]


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a campaign. All but `seconds` (wall time) is the same whatever `jobs` was.

    `unknown` are seeds whose history could not be decided in time, `too_short` those that completed
    fewer commands than asked for. `required` are coverage keys that should not be zero, `missing`
    those of them that are; in a campaign of fewer than `REQUIRED_FROM` runs that is only a hint.
    """

    runs: int
    commands: int
    violations: tuple[Found, ...]
    coverage: dict[str, int]
    deliveries: int
    unknown: tuple[int, ...]
    too_short: tuple[int, ...]
    required: tuple[Needed, ...]
    missing: tuple[Needed, ...]
    interrupted: bool
    seconds: float

    @property
    def deliveries_per_second(self) -> float:
        """Messages handed to handlers per second of wall time, all jobs together."""
        return self.deliveries / self.seconds if self.seconds else 0.0

    @property
    def exit_status(self) -> int:
        """As DESIGN section 5 has it: 1 violated, 3 undecided, 130 interrupted, else 0."""
        if self.violations or self.too_short:
            return 1
        if self.interrupted:
            return 130
        if self.missing and self.runs >= REQUIRED_FROM:
            return 1
        return 3 if self.unknown else 0

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "runs": self.runs,
            "commands": self.commands,
            "violations": [msgspec.to_builtins(found) for found in self.violations],
            "coverage": self.coverage,
            "deliveries_per_second": round(self.deliveries_per_second),
            "unknown": list(self.unknown),
            "too_short": list(self.too_short),
            "missing": [msgspec.to_builtins(needed) for needed in self.missing],
            "interrupted": self.interrupted,
            "seconds": round(self.seconds, 3),
        }


def campaign(
    protocol: Protocol,
    seeds: Iterable[int],
    *,
    jobs: int = 1,
    commands_min: int = 0,
    progress: Callable[[Run], None] | None = None,
    **parameters: Any,
) -> Campaign:
    """Run a protocol under many seeds; `parameters` are the other fields of `Case`.

    `jobs` processes share the work; -1 takes one for each core. `commands_min` is how many commands
    each run must complete. `progress` is called with each run, in order of seeds. Ctrl-C ends a
    campaign early: it returns what there is, with `interrupted` set. Raises BadInput.
    """
    numbers = tuple(seeds)
    if not 0 < len(numbers) <= SEEDS_MAX:
        raise BadInput(f"seeds: {len(numbers)} of them, expected from 1 to {SEEDS_MAX}")
    if jobs != -1 and not 1 <= jobs <= JOBS_MAX:
        raise BadInput(f"jobs: {jobs}, expected a whole number from 1 to {JOBS_MAX}, or -1")
    case = Case(protocol=protocol, **parameters)
    protocol.validate(case.replicas)
    needed = required(case)
    coverage: Counter[str] = Counter()
    found: list[Found] = []
    unknown, too_short = [], []
    runs = commands = deliveries = 0
    interrupted = False
    begun = time.perf_counter()
    stream = _stream(case, numbers, jobs)
    try:
        for run in stream:
            runs += 1
            commands += run.commands
            deliveries += run.deliveries
            coverage.update(run.coverage)
            if run.failures:
                replay = msgspec.structs.replace(case, seed=run.seed).replay()
                found += [Found(run.seed, name, why, replay) for name, why in run.failures]
            elif run.valid == "unknown":
                unknown.append(run.seed)
            elif run.commands < commands_min:
                too_short.append(run.seed)
            if progress is not None:
                progress(run)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        stream.close()
    for need in needed:
        coverage[need.key] += 0
    return Campaign(
        runs=runs,
        commands=commands,
        violations=tuple(found),
        coverage={key: coverage[key] for key in sorted(coverage)},
        deliveries=deliveries,
        unknown=tuple(unknown),
        too_short=tuple(too_short),
        required=needed,
        missing=tuple(need for need in needed if not coverage[need.key]),
        interrupted=interrupted,
        seconds=time.perf_counter() - begun,
    )


def required(case: Case) -> tuple[Needed, ...]:
    """What must not stay zero in a campaign of this case, by tags and kinds of fault."""
    tags = case.protocol.tags
    members = tuple(f"r{i + 1}" for i in range(case.replicas))
    spares = case.spares if case.spares is not None else spares_for(case.faults, tags)
    cast = Cast(
        members=members,
        spares=tuple(f"r{case.replicas + i + 1}" for i in range(spares)),
        others=(),
        clients=("c1",),
        tolerance=case.protocol.crash_tolerance(case.replicas),
        tags=tags,
    )
    kinds = [kind for kind in _kinds(case.faults) if not KINDS[kind].obstacle(cast)]
    why: dict[str, str] = {}
    for kind in kinds:
        why.setdefault(KINDS[kind].key, f"the faults include {kind}")
    crashes = next((kind for kind in kinds if kind in CRASHES), "")
    if crashes:
        why["restarts"] = f"the faults include {crashes}, after which hosts restart"
        why["dropped: host down"] = f"the faults include {crashes}, and others go on sending"
        if tags.durable:
            why["lost unsynced records"] = f"the faults include {crashes}, and a disk is written"
    deposing = next((kind for kind in kinds if kind in DEPOSING), "")
    if tags.leader and cast.tolerance and deposing:
        why["leader changes"] = f"the protocol has a leader, and the faults include {deposing}"
    if "wipe" in kinds:
        why["wiped replicas recovered"] = "the protocol recovers wiped replicas, and some are wiped"
        if tags.log:
            why["snapshot transfers"] = "a wiped replica needs a snapshot once logs have been cut"
    if case.clients > 1:
        why["contended operations"] = "there are several clients"
    return tuple(Needed(key, reason) for key, reason in why.items())


def _kinds(faults: "str | Schedule") -> tuple[str, ...]:
    """The kinds of fault that are asked for by name; a schedule written by hand asks for none."""
    if not isinstance(faults, str):
        return ()
    text = faults.strip()
    if text.startswith("@") or text.endswith(".json"):
        read_schedule(text.removeprefix("@"))
        return ()
    if text in ("none", "all"):
        return tuple(KINDS) if text == "all" else ()
    return tuple(parse(text))


# --- running --------------------------------------------------------------------------------------


def run_case(case: Case) -> Run:
    """Run and check one case. What raises, other than BadInput, is a failure of the run."""
    try:
        simulation = case.run()
    except BadInput:
        raise
    except Exception as error:
        wrong = (("no_run_raises", f"{type(error).__name__}: {error}"),)
        return Run(case.seed, 0, 0, "unknown", wrong, {})
    coverage = {RENAMED.get(key, key): n for key, n in simulation.coverage_.items()}
    coverage["leader changes"] = max(0, coverage.pop("leader", 0) - 1)
    return Run(
        seed=case.seed,
        commands=simulation.coverage_.get("operations: ok", 0),
        deliveries=simulation.world_.deliveries,
        valid=simulation.verdict_.valid,
        failures=failures(simulation),
        coverage=coverage,
    )


def _stream(case: Case, seeds: tuple[int, ...], jobs: int) -> Generator[Run, None, None]:
    cases = (msgspec.structs.replace(case, seed=seed) for seed in seeds)
    return in_processes(run_case, cases, 1 if len(seeds) == 1 else jobs, ordered=True)
