"""The consistency models below linearizability: what each is called, promises and implies.

Weakest first; a model stands after those that it implies. `implies` lists the next weaker ones; the
whole relation is their closure, and for models with a parameter what `implies` below adds. "A
implies B" means: every history that has A has B. A test holds that against independently computed
verdicts.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from concur.errors import BadInput
from concur.histories.admission import admitted
from concur.histories.check import check
from concur.histories.history import History
from concur.histories.specification import Specification
from concur.histories.weaker import sessions
from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget, NotApplicable, OutOfBudget, Undecided
from concur.histories.weaker.causal import causal
from concur.histories.weaker.convergence import convergence
from concur.histories.weaker.eventual import eventual
from concur.histories.weaker.k_atomic import K_MAX, k_atomic
from concur.histories.weaker.memory import memory
from concur.histories.weaker.pram import pram
from concur.histories.weaker.sequential import sequential, sequential_registers
from concur.histories.weaker.sources import find_sources
from concur.histories.weaker.staleness import bounded_staleness, duration

QUICK_SHARE = 16
"""A search for what reads saw first gets one part in so many of the budget."""


class Task:
    """One history to be judged by several models: what they share is computed once."""

    def __init__(self, history: History, machine: Specification) -> None:
        self.history = admitted(history, machine)
        self.machine = machine
        self._accesses: Accesses | NotApplicable | None = None
        self._sequential: bool | None = None

    @property
    def accesses(self) -> Accesses:
        """Raises NotApplicable unless the history is reads and writes of registers."""
        if self._accesses is None:
            try:
                self._accesses = Accesses(self.history, self.machine)
            except NotApplicable as reason:
                self._accesses = reason
        if isinstance(self._accesses, NotApplicable):
            raise self._accesses
        return self._accesses

    def is_sequential(self, budget: Budget) -> bool:
        """Whether it is known to be sequentially consistent; a third of the budget may be spent to
        find out, the first time that somebody asks."""
        if self._sequential is None:
            share = budget.share(3)
            try:
                self._sequential = not _sequential(self, 0, share).wrong
            except (OutOfBudget, Undecided):
                self._sequential = False
            budget.steps += share.steps
        return self._sequential


class Answer(NamedTuple):
    """`wrong`: line by line, empty if the model holds. `note` is added to the reason."""

    wrong: list[str]
    algorithm: str
    note: str = ""


Decide = Callable[[Task, int, Budget], Answer]


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """A model. `holds` and `broken` are the reasons of verdicts.

    `parameter` is "", "count" or "duration" (in ns); `default` is what it is if not given.
    """

    name: str
    holds: str
    broken: str
    implies: tuple[str, ...]
    decide: Decide
    parameter: str = ""
    default: int = 0
    registers_only: bool = True


def _linearizable(task: Task, _: int, budget: Budget) -> Answer:
    verdict = check(task.history, task.machine, budget.seconds_left, max(1, budget.steps_left))
    budget.steps += verdict.steps
    if verdict.valid == "unknown":
        raise Undecided(verdict.reason.removeprefix("undecided: "))
    return Answer(list(verdict.anomaly), verdict.algorithm)


def _sequential(task: Task, _: int, budget: Budget) -> Answer:
    verdict = check(task.history, task.machine, budget.seconds_left / 3, budget.steps_left // 3)
    budget.steps += verdict.steps
    if verdict.valid is True:
        return Answer([], verdict.algorithm)
    try:
        accesses = task.accesses
    except NotApplicable:
        return Answer(sequential(task.history, task.machine, budget), "frontier")
    wrong = accesses.thin_air()
    if wrong:
        return Answer(wrong, "values")
    if accesses.ambiguous or accesses.evidence:
        return Answer(sequential(task.history, task.machine, budget), "frontier")
    return Answer(sequential_registers(accesses, budget), "saturation+frontier")


def _searched(
    decide: Callable[[Accesses, Budget], list[str]], algorithm: str
) -> Callable[[Task, int, Budget], Answer]:
    """Decided by `decide`, once it is known which write each read saw.

    If values repeat, that is a search. A sequentially consistent history has all models that ask,
    and to find it so may be much cheaper, so that is tried before most of the budget is spent.
    """

    def decided(task: Task, _: int, budget: Budget) -> Answer:
        accesses = task.accesses
        wrong = accesses.thin_air()
        if wrong:
            return Answer(wrong, "values")
        if not accesses.ambiguous:
            return Answer(decide(accesses, budget), algorithm)
        quick = budget.share(QUICK_SHARE)
        try:
            return Answer(decide(accesses, quick), algorithm + "+sources")
        except OutOfBudget:
            pass
        finally:
            budget.steps += quick.steps
        if task.is_sequential(budget):
            return Answer([], "sequential")
        return Answer(decide(accesses, budget), algorithm + "+sources")

    return decided


def _each_choice(
    decide: Callable[[Accesses, list[int], Budget], list[str]],
) -> Callable[[Accesses, Budget], list[str]]:
    """`decide` for every choice of the writes that reads saw, until one has nothing wrong."""

    def decided(accesses: Accesses, budget: Budget) -> list[str]:
        def check(accesses: Accesses, sources: list[int]) -> list[str]:
            return decide(accesses, sources, budget)

        sources = accesses.fixed_sources()
        return find_sources(accesses, sources, accesses.reads, check, budget)

    return decided


def _memory(accesses: Accesses, budget: Budget) -> list[str]:
    wrong = _each_choice(memory)(accesses, budget)
    if wrong and accesses.ambiguous:
        wrong = _each_choice(causal)(accesses, budget)
        if not wrong:
            raise Undecided(
                "values were written more than once, and a read may be explained by one write in "
                "one order and by another write in another"
            )
    return wrong


def _k_atomic(task: Task, k: int, budget: Budget) -> Answer:
    accesses = task.accesses
    wrong = accesses.thin_air()
    if wrong:
        return Answer(wrong, "values")
    return Answer(
        k_atomic(task.history, task.machine, accesses, k, budget),
        "two-atomic" if k == 2 and not accesses.ambiguous else "search",
    )


def _bounded_staleness(task: Task, delta_ns: int, budget: Budget) -> Answer:
    wrong = bounded_staleness(task.history, task.machine, delta_ns, budget)
    return Answer(wrong, "moved reads")


def _eventual(task: Task, settling_ns: int, budget: Budget) -> Answer:
    accesses = task.accesses
    wrong = accesses.thin_air()
    if wrong:
        return Answer(wrong, "values")
    wrong, settled = eventual(accesses, settling_ns)
    note = "" if settled else " (no read began after the last write had settled)"
    return Answer(wrong, "convergence", note)


def _monotonic_writes(task: Task, _: int, budget: Budget) -> Answer:
    return Answer(task.accesses.thin_air(), "values")


_WEAKEST_FIRST = (
    Consistency(
        name="monotonic-writes",
        holds="as far as reads of single values show, which alone cannot break it (pram has it, "
        "with monotonic reads and read-your-writes)",
        broken="a value was read that nobody wrote",
        implies=(),
        decide=_monotonic_writes,
    ),
    Consistency(
        name="eventual",
        holds="after the last write of a key had settled, all its reads agree",
        broken="reads do not converge",
        implies=("monotonic-writes",),
        decide=_eventual,
        parameter="duration",
    ),
    Consistency(
        name="monotonic-reads",
        holds="no process sees a value come back",
        broken="a process sees a value come back",
        implies=("monotonic-writes",),
        decide=_searched(sessions.monotonic_reads, "sessions"),
    ),
    Consistency(
        name="read-your-writes",
        holds="every process sees its own writes, or what can have been ordered after them",
        broken="a process does not see its own write",
        implies=("monotonic-writes",),
        decide=_searched(sessions.read_your_writes, "sessions"),
    ),
    Consistency(
        name="writes-follow-reads",
        holds="every write can be ordered after what its writer had read (causal-memory has it, "
        "with monotonic reads)",
        broken="writes were each made by one who had read the one before, in a circle",
        implies=("monotonic-writes",),
        decide=_searched(sessions.writes_follow_reads, "sessions"),
    ),
    Consistency(
        name="pram",
        holds="each process has an order of all writes, each process's in its order, that explains "
        "its reads",
        broken="a process's reads fit no order of the writes that keeps each process's order",
        implies=("monotonic-reads", "read-your-writes"),
        decide=_searched(pram, "views"),
    ),
    Consistency(
        name="causal",
        holds="each read is explained by an order of what came causally before it",
        broken="a read contradicts what came causally before it",
        implies=("read-your-writes", "writes-follow-reads"),
        decide=_searched(_each_choice(causal), "bad patterns"),
    ),
    Consistency(
        name="causal-memory",
        holds="each process has an order of what came causally before it, within causality, that "
        "explains its reads",
        broken="a process's reads fit no order of what came causally before it",
        implies=("causal", "pram"),
        decide=_searched(_memory, "bad patterns"),
    ),
    Consistency(
        name="causal-convergence",
        holds="one order of all writes, within causality, explains each read by what it knew",
        broken="reads fit no one order of the writes that keeps causality",
        implies=("causal", "monotonic-reads"),
        decide=_searched(_each_choice(convergence), "bad patterns"),
    ),
    Consistency(
        name="k-atomic",
        holds="an order within real time lets every read return one of the k latest writes",
        broken="no order within real time lets every read return one of the k latest writes",
        implies=("writes-follow-reads",),
        decide=_k_atomic,
        parameter="count",
        default=2,
    ),
    Consistency(
        name="bounded-staleness",
        holds="every read returns what was current at its time or at most so much earlier",
        broken="a read returns what was no longer current so much earlier",
        implies=("writes-follow-reads",),
        decide=_bounded_staleness,
        parameter="duration",
        default=100_000_000,
        registers_only=False,
    ),
    Consistency(
        name="sequential",
        holds="an order of all operations, each process's in its order, explains every outcome",
        broken="no order of all operations that keeps each process's order explains every outcome",
        implies=("causal-memory", "causal-convergence"),
        decide=_sequential,
        registers_only=False,
    ),
    Consistency(
        name="linearizable",
        holds="an order of all operations, within real time, explains every outcome",
        broken="no order of all operations, within real time, explains every outcome",
        implies=("sequential", "k-atomic", "bounded-staleness", "eventual"),
        decide=_linearizable,
        registers_only=False,
    ),
)

CONSISTENCIES: dict[str, Consistency] = {model.name: model for model in _WEAKEST_FIRST}
"""By name, weakest to strongest: a model stands after all that it implies."""

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s)")
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class Model(NamedTuple):
    """A model with its parameter, if it has one."""

    consistency: Consistency
    parameter: int

    @property
    def name(self) -> str:
        """As it is written on a command line: `pram`, `k-atomic=2`, `bounded-staleness=100ms`."""
        kind = self.consistency.parameter
        if not kind or (self.consistency.name == "eventual" and not self.parameter):
            return self.consistency.name
        value = str(self.parameter) if kind == "count" else duration(self.parameter)
        return f"{self.consistency.name}={value}"


def parse(text: str) -> Model:
    """`name` or `name=parameter`. Raises BadInput."""
    name, given, value = text.partition("=")
    consistency = CONSISTENCIES.get(name)
    if consistency is None:
        raise BadInput(f"consistency {text!r}: unknown, expected one of {', '.join(CONSISTENCIES)}")
    if not given:
        return Model(consistency, consistency.default)
    if consistency.parameter == "count":
        if not re.fullmatch("[1-9][0-9]?", value) or int(value) > K_MAX:
            raise BadInput(f"consistency {text!r}: expected a whole number from 1 to {K_MAX}")
        return Model(consistency, int(value))
    if consistency.parameter == "duration":
        found = DURATION.fullmatch(value)
        if not found or len(value) > 20:
            raise BadInput(f"consistency {text!r}: expected a time such as 100ms, 1.5s or 0ns")
        return Model(consistency, round(float(found[1]) * UNITS[found[2]]))
    raise BadInput(f"consistency {text!r}: {name} takes no parameter")


def implies(a: Model, b: Model) -> bool:
    """Whether every history that has `a` has `b` (applicable to it or not)."""
    strong, weak = _plain(a), _plain(b)
    if strong == "linearizable":
        return True
    if strong == weak:
        return a.parameter <= b.parameter
    if weak == "eventual":
        return strong == "bounded-staleness" and a.parameter <= b.parameter
    return weak in _weaker(strong)


def _plain(model: Model) -> str:
    """1-atomic, or stale by nothing, is linearizable."""
    name = model.consistency.name
    if (name, model.parameter) in (("k-atomic", 1), ("bounded-staleness", 0)):
        return "linearizable"
    return name


def _weaker(name: str) -> set[str]:
    found: set[str] = set()
    for weaker in CONSISTENCIES[name].implies:
        found |= {weaker} | _weaker(weaker)
    return found
