"""`compare`: protocols side by side, on one network, under one load and one story of faults.

    found = compare(["unreplicated", "multi-paxos"], network="wan-5", faults="leader-crash")
    found.rows[0].figures["throughput"]

A figure is the median over the seeds and its spread the range from the least to the greatest. Two
protocols are ranked only if their spreads do not overlap, and only with four seeds or more: with n
seeds each, ranges of equals lie apart with chance 2 / C(2n, n), which is 10 % for three seeds and
3 % for four.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from concur.base import Protocol
from concur.errors import BadInput, whole
from concur.faults.schedule import Schedule
from concur.machines import Machine
from concur.parallel import in_processes
from concur.score.metrics import METRICS
from concur.score.run import Run, Task, run
from concur.score.setting import CLIENTS, REPLICAS, Setting, cores, seeds_of, setting
from concur.score.story import Shown, fitted, shown, story, withheld
from concur.simulate.networks import Network
from concur.workloads import Workload

SEEDS_TO_RANK = 4
NO_LOG = "decides single values and runs no log of commands"

Progress = Callable[[int, int, str], None]
"""Called with how many runs are done, how many there are, and what was done last."""

ROW_METRICS = tuple(name for name in METRICS if name != "latency_ms_mean")


class Row(msgspec.Struct, frozen=True):
    """One protocol: its figures, or why there are none.

    `figures` is empty if a history was inconsistent or a property broke: such a protocol has no
    speed. `spread` holds the least and the greatest of several seeds. `baseline` says that the
    protocol does not go on when a replica is down, so that it cannot win anything.
    """

    protocol: str
    summary: str
    parameters: dict[str, Any]
    baseline: bool
    valid: "bool | Literal['unknown']"
    consistency: str
    reason: str
    figures: dict[str, float | None]
    spread: dict[str, tuple[float, float]]
    runs: tuple[Run, ...]

    def as_json(self) -> dict[str, Any]:
        """The row as scripts read it; a figure that does not exist is null."""
        row: dict[str, Any] = {"protocol": self.protocol}
        row |= {name: self.figures.get(name) for name in ROW_METRICS}
        row["commands"] = None if row["commands"] is None else round(row["commands"])
        row |= {"consistency": self.consistency, "valid": self.valid, "reason": self.reason}
        row |= {"operations_checked": sum(found.verdict.operations for found in self.runs)}
        row |= {"seeds": [found.seed for found in self.runs]}
        row |= {"parameters": self.parameters, "spread": self.spread}
        return row


class Comparison(msgspec.Struct, frozen=True):
    """What a comparison found. `stories` are the faults by seed; `complete` is False if it was
    stopped before all runs were done."""

    setting: Setting
    faults: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    skipped: dict[str, str]
    stories: dict[int, tuple[Shown, ...]]
    left_out: tuple[str, ...] = ()
    complete: bool = True

    def separated(self, one: Row, other: Row, name: str) -> bool:
        """Whether two figures differ by more than the seeds' spread."""
        if len(self.seeds) < SEEDS_TO_RANK or not {name} <= one.spread.keys() & other.spread.keys():
            return False
        (low, high), (least, most) = one.spread[name], other.spread[name]
        return high < least or most < low

    @property
    def valid(self) -> "bool | Literal['unknown']":
        """False if a row is inconsistent; otherwise "unknown" if one could not be decided."""
        if any(row.valid is False for row in self.rows):
            return False
        return "unknown" if any(row.valid == "unknown" for row in self.rows) else True

    def as_json(self) -> dict[str, Any]:
        """The comparison as `concur compare --json` prints it."""
        import concur
        from concur.score.words import findings

        given = self.setting
        return {
            "rows": [row.as_json() for row in self.rows],
            "findings": findings(self),
            "skipped": [{"protocol": k, "reason": v} for k, v in self.skipped.items()],
            "complete": self.complete,
            "concur": concur.__version__,
            "network": given.network.name,
            "workload": given.workload.name,
            "machine": given.machine.name,
            "faults": self.faults,
            "faults_left_out": list(self.left_out),
            "replicas": given.replicas,
            "spares": given.spares,
            "clients": given.clients,
            "seconds": given.seconds,
            "warmup_s": given.warmup_s,
            "seeds": list(self.seeds),
            "fault_stories": {
                str(seed): [msgspec.structs.asdict(fault) for fault in told]
                for seed, told in self.stories.items()
            },
        }


class Stopped(KeyboardInterrupt):
    """Ctrl-C: `comparison` holds the runs that were done."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("stopped")
        self.comparison = comparison


class Plan(msgspec.Struct, frozen=True):
    """A comparison that was checked and has not been run."""

    protocols: tuple[Protocol, ...]
    labels: tuple[str, ...]
    skipped: dict[str, str]
    setting: Setting
    faults: str
    seeds: tuple[int, ...]
    schedules: tuple[Schedule, ...]
    left_out: tuple[str, ...]

    @property
    def runs(self) -> int:
        return len(self.protocols) * len(self.seeds)

    def tasks(self) -> Iterator[Task]:
        """Seed by seed, so that what there is when it is stopped compares all protocols."""
        given = self.setting
        for seed, told in zip(self.seeds, self.schedules, strict=True):
            for index, protocol in enumerate(self.protocols):
                mine = fitted(
                    told,
                    protocol,
                    replicas=given.replicas,
                    clients=given.clients,
                    spares=given.spares,
                )
                yield Task(index, protocol, seed, mine, given)


def compare(
    protocols: "Sequence[str | Protocol | type[Protocol]] | None" = None,
    *,
    network: "str | Network" = "lan",
    workload: "str | Workload | None" = None,
    faults: "str | Schedule" = "none",
    replicas: int = REPLICAS,
    clients: int = CLIENTS,
    seconds: float | None = None,
    warmup_s: float | None = None,
    seeds: "int | Sequence[int]" = 0,
    machine: "str | Machine[Any, Any] | None" = None,
    spares: int | None = None,
    jobs: int | None = None,
    check_s_max: float = 60.0,
    progress: Progress | None = None,
) -> Comparison:
    """Run each protocol once for each seed, check every history, and put the figures side by side.

    Protocols are names, classes or instances; None means all that run a log. `spares` are replicas
    beside those of protocols that can change their members; None: two if members are to change.
    `jobs` is how many processes run at once, by default as many as there are cores. Raises BadInput
    before anything runs, and `Stopped`, with what there is so far, on Ctrl-C.
    """
    plan = prepare(
        protocols,
        network=network,
        workload=workload,
        faults=faults,
        replicas=replicas,
        clients=clients,
        seconds=seconds,
        warmup_s=warmup_s,
        seeds=seeds,
        machine=machine,
        spares=spares,
        check_s_max=check_s_max,
    )
    return execute(plan, jobs=jobs, progress=progress)


def prepare(
    protocols: "Sequence[str | Protocol | type[Protocol]] | None" = None,
    *,
    faults: "str | Schedule" = "none",
    seeds: "int | Sequence[int]" = 0,
    **given: Any,
) -> Plan:
    """Check everything that `compare` is asked for, and run nothing. Raises BadInput."""
    where = setting(**given)
    wanted, skipped = _chosen(protocols, where.replicas)
    for protocol in wanted:
        protocol.validate(where.replicas)
    if where.spares and not any(protocol.tags.membership for protocol in wanted):
        names = ", ".join(dict.fromkeys(protocol.label for protocol in wanted))
        raise BadInput(
            f"spares: {where.spares}, but {names} never change their members, expected others or 0"
        )
    numbers = seeds_of(seeds)
    schedules = tuple(
        story(
            faults,
            wanted,
            seed=seed,
            replicas=where.replicas,
            clients=where.clients,
            seconds=where.seconds,
            spares=where.spares,
        )
        for seed in numbers
    )
    left_out = withheld(
        faults,
        wanted,
        replicas=where.replicas,
        clients=where.clients,
        spares=where.spares,
    )
    named = faults if isinstance(faults, str) else "written by hand"
    return Plan(tuple(wanted), _labels(wanted), skipped, where, named, numbers, schedules, left_out)


def execute(plan: Plan, *, jobs: int | None = None, progress: Progress | None = None) -> Comparison:
    """Run a plan. Raises `Stopped` on Ctrl-C, with the runs that were done."""
    jobs = cores() if jobs is None else jobs
    whole("jobs", jobs, 1, 1024)
    done: list[Run] = []
    stream = in_processes(run, plan.tasks(), min(jobs, plan.runs), ordered=False)
    try:
        for found in stream:
            done.append(found)
            if progress is not None:
                what = f"{plan.labels[found.index]}, seed {found.seed}"
                progress(len(done), plan.runs, what)
    except KeyboardInterrupt:
        raise Stopped(_collected(plan, done)) from None
    finally:
        stream.close()
    return _collected(plan, done)


def _collected(plan: Plan, done: list[Run]) -> Comparison:
    """Rows in the order asked for, whichever run ended first.

    Of a comparison that was stopped, only seeds that all protocols went through, if there are any.
    """
    everyone = len(plan.protocols)
    complete = len(done) == plan.runs
    by_all = {s for s in plan.seeds if sum(r.seed == s for r in done) == everyone}
    if by_all:
        done = [r for r in done if r.seed in by_all]
    rows = []
    for index, protocol in enumerate(plan.protocols):
        mine = sorted((r for r in done if r.index == index), key=lambda r: plan.seeds.index(r.seed))
        if mine:
            rows.append(_row(plan.labels[index], protocol, tuple(mine)))
    return Comparison(
        setting=plan.setting,
        faults=plan.faults,
        seeds=plan.seeds,
        rows=tuple(rows),
        skipped=plan.skipped,
        stories={
            seed: tuple(shown(told)) for seed, told in zip(plan.seeds, plan.schedules, strict=True)
        },
        left_out=plan.left_out,
        complete=complete,
    )


def _row(label: str, protocol: Protocol, runs: tuple[Run, ...]) -> Row:
    broken = next((r for r in runs if r.valid is False), None)
    undecided = next((r for r in runs if r.valid == "unknown"), None)
    told = broken or undecided
    figures, spread = ({}, {}) if broken else _figures(runs)
    kind = runs[0].verdict.consistency
    return Row(
        protocol=label,
        summary=protocol.summary,
        parameters={
            name: value
            for name, value in protocol.get_params(deep=False).items()
            if value != protocol.parameters[name].default
        },
        baseline=_is_baseline(protocol),
        valid=False if broken else "unknown" if undecided else True,
        consistency=_consistency(kind, runs),
        reason=f"seed {told.seed}: {told.reason}" if told else "",
        figures=figures,
        spread=spread,
        runs=runs,
    )


def _is_baseline(protocol: Protocol) -> bool:
    """Whether it is one server and no more: a bound for the others, not their competitor."""
    servers = [role.count for role in protocol.roles() if role.place == "replica"]
    return servers == [1] and not protocol.tags.crash_tolerant


def _consistency(kind: str, runs: tuple[Run, ...]) -> str:
    found = [r.verdict.valid for r in runs]
    if False in found:
        return f"not {kind}"
    return "undecided" if "unknown" in found else kind


def _figures(
    runs: tuple[Run, ...],
) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
    """Medians and ranges. What is divided by the commands does not exist if there were none."""
    figures: dict[str, float | None] = {}
    spread = {}
    for name in ROW_METRICS:
        needs_commands = name.startswith("latency") or name.endswith("_per_command")
        values = [r.metrics[name] for r in runs if r.metrics["commands"] or not needs_commands]
        figures[name] = statistics.median(values) if values else None
        if len(values) > 1:
            spread[name] = (min(values), max(values))
    return figures, spread


def _chosen(
    protocols: "Sequence[str | Protocol | type[Protocol]] | None", replicas: int
) -> tuple[list[Protocol], dict[str, str]]:
    """Instances of what was asked for, and what is skipped with the reason.

    What somebody has set in a protocol is checked even if it is skipped. Raises BadInput.
    """
    from concur.protocols import all_protocols
    from concur.protocols import protocol as find

    asked = list(all_protocols()) if protocols is None else list(protocols)
    found = []
    for one in asked:
        kind = find(one) if isinstance(one, str) else one
        found.append(kind() if isinstance(kind, type) else kind)
    for one in found:
        if one != type(one)():
            one.validate(replicas)
    skipped = {p.label: NO_LOG for p in found if not p.tags.log}
    wanted = [p for p in found if p.tags.log]
    if not wanted:
        why = "; ".join(f"{name} {reason}" for name, reason in skipped.items()) or "none was named"
        raise BadInput(f"nothing to compare: {why}, expected a protocol that runs a log")
    return wanted, skipped


def _labels(protocols: "list[Protocol]") -> tuple[str, ...]:
    """Names, with what differs from the defaults where one protocol is there more than once."""
    names = [p.label for p in protocols]
    labels = []
    for protocol in protocols:
        label = protocol.label
        if names.count(label) > 1:
            changed = repr(protocol).partition("(")[2].removesuffix(")")
            label += f" ({changed or 'defaults'})"
        while label in labels:
            label += " again"
        labels.append(label)
    return tuple(labels)
