"""Shrinking: from a run that fails to the smallest one found that fails with the same property.

In turn, for as long as something helps: end the run right after the failure, leave out faults
(Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002), bring everyone
back at the end, make faults shorter, take away clients and replicas. A change is kept if the run
still breaks the same property. Every draw of chance is keyed by what it is for, so what was not
changed stays as it was, except for what follows from the change.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from concur.base import Protocol
from concur.errors import BadInput, ConcurError
from concur.faults.base import Fault
from concur.faults.catalogue import without_hosts
from concur.faults.schedule import Schedule, spares_for
from concur.simulate.case import Case, failures

RUNS_MAX = 300
TIME_S_MAX = 120.0
SHORTER = (16, 4, 2)
"""Faults are tried at these fractions of their length, the boldest first."""

_replace = msgspec.structs.replace


class Failure(msgspec.Struct, frozen=True):
    """How a run fails; `time_ns` is virtual, 0 for a history, of which no moment is wrong."""

    property: str
    reason: str
    node: str = ""
    time_ns: int = 0


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest failing case that was found, out of how many runs, and what it came from."""

    case: Case
    failure: Failure
    original: Case
    runs: int
    exhausted: bool
    """Nothing smaller fails, as far as single changes go; False if a budget ran out."""

    @property
    def schedule(self) -> Schedule:
        assert isinstance(self.case.faults, Schedule)
        return self.case.faults

    def write(self, path: str | Path) -> str:
        """Write the schedule to a `.json` file; returns the shell line that replays the case."""
        try:
            Path(path).write_text(self.schedule.to_json())
        except OSError as error:
            raise BadInput(f"schedule {path}: {error.strerror}, expected a writable file") from None
        return self.case.replay(str(path) if str(path).endswith(".json") else f"@{path}")

    def __str__(self) -> str:
        assert isinstance(self.original.faults, Schedule)
        case, before = self.case, self.original
        where = f" at {self.failure.node}" if self.failure.node else ""
        when = f" after {self.failure.time_ns / 1e9:.3f} s" if self.failure.time_ns else ""
        sizes = [
            _shrunk("replica", before.replicas, case.replicas),
            _shrunk("client", before.clients, case.clients),
            _shrunk("fault", len(before.faults.faults), len(self.schedule.faults)),  # type: ignore[union-attr]
            f"{case.seconds:g} s of {before.seconds:g}",
        ]
        rest = "" if self.exhausted else ", out of budget"
        lines = [
            f"{self.failure.property} is broken{where}{when}",
            f"  {self.failure.reason}",
            f"  {', '.join(sizes)}; seed {case.seed}; found in {self.runs} runs{rest}",
            *(self.schedule.lines() or ["  no fault is needed"]),
        ]
        return "\n".join(lines)


def shrink(
    case: Case,
    *,
    runs_max: int = RUNS_MAX,
    time_s_max: float = TIME_S_MAX,
    progress: Callable[[int, Case], None] | None = None,
) -> Shrunk:
    """The smallest failing case that `runs_max` runs and `time_s_max` seconds find.

    The same case gives the same result, unless it is the time that runs out. `progress` is called
    after each run with how many there were and the smallest case so far. Raises ConcurError if
    `case` does not fail at all.
    """
    return _Shrinker(case, runs_max, time_s_max, progress).result()


class _OutOfBudget(Exception):
    pass


class _Shrinker:
    def __init__(
        self,
        case: Case,
        runs_max: int,
        time_s_max: float,
        progress: Callable[[int, Case], None] | None,
    ) -> None:
        first = case.run()
        found = _failure_of(first)
        if found is None:
            raise ConcurError(f"this run does not fail, so there is nothing to shrink: {case}")
        # The faults are drawn already, so it must be said that there are spares among their hosts.
        spares = spares_for(case.faults, case.protocol.tags) or None
        self.original = self.best = _replace(
            case, faults=first.schedule_, spares=spares if case.spares is None else case.spares
        )
        self.failure = found
        self.runs = 1
        self.runs_max = runs_max
        self.until = time.perf_counter() + time_s_max
        self.progress = progress
        self.tried: set[bytes] = set()

    def result(self) -> Shrunk:
        exhausted = True
        try:
            while True:
                before = self.best
                self._end_sooner()
                self._fewer_faults()
                self._no_core()
                self._shorter_faults()
                self._fewer_clients()
                self._fewer_replicas()
                if self.best == before:
                    break
        except _OutOfBudget:
            exhausted = False
        return Shrunk(self.best, self.failure, self.original, self.runs, exhausted)

    # --- one run ----------------------------------------------------------------------------------

    def _fails(self, case: Case) -> bool:
        """Whether `case` fails in the same way; if so it is the best from now on."""
        key = msgspec.json.encode(
            (case.replicas, case.clients, case.seconds, self._faults(case).to_json())
        )
        if key in self.tried:
            return False
        self.tried.add(key)
        if self.runs >= self.runs_max or time.perf_counter() > self.until:
            raise _OutOfBudget
        self.runs += 1
        try:
            found = _failure_of(case.run(), self.failure.property)
        except BadInput:  # a world that cannot be, with too few replicas for instance
            found = None
        if found is not None:
            self.best, self.failure = case, found
        if self.progress is not None:
            self.progress(self.runs, self.best)
        return found is not None

    def _faults(self, case: Case) -> Schedule:
        assert isinstance(case.faults, Schedule)
        return case.faults

    def _with(self, faults: Sequence[Fault]) -> Case:
        schedule = _replace(self._faults(self.best), faults=tuple(faults))
        return _replace(self.best, faults=schedule)

    # --- passes -----------------------------------------------------------------------------------

    def _end_sooner(self) -> None:
        """Stop asking when the failure happens; if it is only seen later, at half of the time."""
        end = -(-self.failure.time_ns // 1_000_000) / 1000
        if 0 < end <= self.best.seconds:
            if end < self.best.seconds:
                self._fails(_replace(self.best, seconds=end))
            return
        while self.best.seconds > 0.1:
            if not self._fails(_replace(self.best, seconds=round(self.best.seconds / 2, 3))):
                return

    def _fewer_faults(self) -> None:
        """Minimising delta debugging: no fault can be left out of the result."""
        faults = list(self._faults(self.best).faults)
        if faults and self._fails(self._with(())):
            return
        parts = 2
        while len(faults) > 1:
            size = -(-len(faults) // parts)
            chunks = [faults[i : i + size] for i in range(0, len(faults), size)]
            kept = self._first(chunks) if len(chunks) > 2 or parts == 2 else None
            if kept is not None:
                faults, parts = kept, 2
                continue
            rests = [
                [fault for j, chunk in enumerate(chunks) if j != i for fault in chunk]
                for i in range(len(chunks))
            ]
            kept = self._first(rests)
            if kept is not None:
                faults, parts = kept, max(parts - 1, 2)
            elif size == 1:
                return
            else:
                parts = min(2 * parts, len(faults))

    def _first(self, options: Iterable[list[Fault]]) -> list[Fault] | None:
        return next((faults for faults in options if self._fails(self._with(faults))), None)

    def _no_core(self) -> None:
        schedule = self._faults(self.best)
        if schedule.core:
            self._fails(_replace(self.best, faults=_replace(schedule, core=())))

    def _shorter_faults(self) -> None:
        for position in range(len(self._faults(self.best).faults)):
            for divisor in SHORTER:
                faults = list(self._faults(self.best).faults)
                lasts = round(faults[position].for_s / divisor, 3)
                if not 0.001 <= lasts < faults[position].for_s:
                    continue
                faults[position] = _replace(faults[position], for_s=lasts)
                if self._fails(self._with(faults)):
                    break

    def _fewer_clients(self) -> None:
        for count in _smaller(self.best.clients):
            gone = [f"c{i}" for i in range(count + 1, self.best.clients + 1)]
            if self._fails(_replace(self.best, clients=count, faults=self._lacking(gone))):
                return

    def _fewer_replicas(self) -> None:
        for count in range(1, self.best.replicas):
            gone = [f"r{i}" for i in range(count + 1, self.best.replicas + 1)]
            case = _replace(self.best, replicas=count, faults=self._lacking(gone))
            if _possible(case.protocol, count) and self._fails(case):
                return

    def _lacking(self, gone: Iterable[str]) -> Schedule:
        schedule = self._faults(self.best)
        missing = set(gone)
        faults = (without_hosts(fault, missing) for fault in schedule.faults)
        return _replace(
            schedule,
            faults=tuple(fault for fault in faults if fault is not None),
            core=tuple(host for host in schedule.core if host not in missing),
        )


def _failure_of(simulation: object, wanted: str = "") -> Failure | None:
    """The first failure of a run, or the first of the wanted property."""
    from concur.simulate.simulation import Simulation

    assert isinstance(simulation, Simulation)
    for violation in simulation.violations_:
        if wanted in ("", violation.property):
            return Failure(violation.property, violation.reason, violation.node, violation.time_ns)
    for name, reason in failures(simulation):
        if wanted in ("", name):
            return Failure(name, reason)
    return None


def _smaller(count: int) -> list[int]:
    """1, 2, 3, and then half of it: small numbers of clients are what people can follow."""
    return [n for n in (1, 2, 3, count // 2) if n < count and n > 0]


def _possible(protocol: Protocol, replicas: int) -> bool:
    try:
        protocol.validate(replicas)
    except BadInput:
        return False
    return True


def _shrunk(what: str, before: int, now: int) -> str:
    plural = "s" if now != 1 else ""
    return f"{now} {what}{plural}" if now == before else f"{now} {what}{plural} of {before}"
