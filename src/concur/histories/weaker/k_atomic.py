"""k-atomicity: reads may be stale, but by fewer than k writes.

Definition (Aiyer, Alvisi, Bazzi, "On the availability of non-strict quorum systems", DISC 2005;
Golab, Hurwitz, Li, "On the k-atomicity-verification problem", ICDCS 2013): there is an order of all
operations within real time in which each read returns one of the k latest writes before it. The
initial value counts as a first write. 1-atomic is linearizable. It is local where times make an
interval order (`timeline`); where not, all keys are searched at once.

Algorithm:
* k = 1: `check`.
* k = 2 and every value that is read written once: `two_atomic`, polynomial.
* otherwise: what is linearizable is k-atomic; if k writes certainly came between a write and a
  read of it, it is not; else the search for linearizability, with a register that remembers k
  values, within the budget. No polynomial algorithm is known for k > 2.
"""

from typing import Any, NamedTuple

from concur.histories.check import check
from concur.histories.history import History
from concur.histories.identity import identity
from concur.histories.specification import Specification
from concur.histories.timeline import loose, strict
from concur.histories.weaker.accesses import INITIAL, READS, Accesses
from concur.histories.weaker.budget import Budget, Undecided
from concur.histories.weaker.two_atomic import two_atomic

K_MAX = 64


def k_atomic(
    history: History, machine: Specification, accesses: Accesses, k: int, budget: Budget
) -> list[str]:
    """What is wrong, line by line; empty if it is k-atomic."""
    verdict = check(history, machine, budget.seconds_left, max(1, budget.steps_left))
    budget.steps += verdict.steps
    if verdict.valid is True:
        return []
    if k == 1 and verdict.valid is False:
        return list(verdict.anomaly)
    if k == 1:
        raise Undecided(verdict.reason)
    wrong = _certainly_too_old(accesses, k)
    if wrong:
        return wrong
    if k == 2 and not accesses.ambiguous:
        timeline = strict(accesses.operations)
        wrong = two_atomic(accesses, timeline, budget)
        if not wrong or not timeline.entangled:
            return wrong
        wrong = two_atomic(accesses, loose(accesses.operations), budget)
        if wrong:
            return wrong
    return _search(history, accesses, k, budget)


def _certainly_too_old(accesses: Accesses, k: int) -> list[str]:
    """A read whose write was followed, in real time, by k others that ended before the read."""
    timeline = loose(accesses.operations)
    calls, returns = timeline.calls, timeline.returns
    for positions in accesses.by_key(range(len(accesses))):
        # Writes by return. Of the last ones that returned before a read, k must be later than its
        # write; looking at a bounded number of them misses few and costs little.
        writes = sorted((i for i in positions if accesses.is_write[i]), key=returns.__getitem__)
        ended = [returns[i] for i in writes]
        at = 0
        reads = [i for i in positions if len(accesses.candidates[i]) == 1]
        for read in sorted(reads, key=calls.__getitem__):
            while at < len(writes) and ended[at] < calls[read]:
                at += 1
            source = accesses.candidates[read][0]
            end = -1 if source == INITIAL else returns[source]
            later = [w for w in writes[max(0, at - 4 * k) : at] if calls[w] > end]
            if len(later) >= k:
                shown = [] if source == INITIAL else ["  " + accesses.describe(source)]
                return [
                    f"{accesses.value(source)} was read when at least {k} later writes had ended:",
                    *shown,
                    *("  " + accesses.describe(w) for w in later[-k:]),
                    "  " + accesses.describe(read),
                ]
    return []


def _search(history: History, accesses: Accesses, k: int, budget: Budget) -> list[str]:
    """Linearizability of a register that may answer with any of its last k values."""
    initial = None
    for read in accesses.reads:
        if INITIAL in accesses.candidates[read]:
            initial = accesses.operations[read].result
    machine = Remembering(k, initial)
    verdict = check(_asking(history), machine, budget.seconds_left, max(1, budget.steps_left))
    budget.steps += verdict.steps
    if verdict.valid == "unknown":
        raise Undecided(verdict.reason.removeprefix("undecided: "))
    return list(verdict.anomaly)


def _asking(history: History) -> History:
    """The same events, but a read asks whether its value is among the latest, and is told True."""
    results = {op.index: op.result for op in history.operations() if op.type == "ok"}
    asking = History("remembering register")
    handles: dict[int, int] = {}
    for event in history.events():
        reads = event.f in READS
        if event.type == "invoke":
            value = results.get(event.index) if reads else event.value
            f = "read" if reads else "write"
            handles[event.process] = asking.invoke(event.process, f, event.key, value, event.time)
        else:
            result = True if reads else None
            asking.complete(
                handles[event.process], event.type, result, event.time, event.error and "refused"
            )
    return asking


class Ask(NamedTuple):
    """Is `value` one of the latest?"""

    register: Any
    value: Any


class Put(NamedTuple):
    """`value` is the latest now."""

    register: Any
    value: Any


Latest = tuple[tuple[Any, tuple[Any, ...]], ...]
"""Of each register that was written, the latest values; sorted, so that equal states are equal."""


class Remembering:
    """Registers that remember their last k values, and are asked whether one is among them."""

    def __init__(self, k: int, initial: Any) -> None:
        self.k = k
        self.first = identity(initial)
        self.name = f"registers of the last {k} values"

    def initial(self) -> Latest:
        return ()

    def apply(self, state: Latest, command: Ask | Put, /) -> tuple[Latest, bool | None]:
        registers = dict(state)
        values = registers.get(command.register, (self.first,))
        if isinstance(command, Ask):
            return state, command.value in values
        registers[command.register] = (*values, command.value)[-self.k :]
        return tuple(sorted(registers.items(), key=repr)), None

    def read_only(self, command: Ask | Put, /) -> bool:
        return isinstance(command, Ask)

    def key(self, command: Ask | Put, /) -> Any:
        return (command.register,)

    def command(self, f: str, key: Any, value: Any, /) -> Ask | Put:
        made = Ask if f == "read" else Put
        return made(identity(key), identity(value))

    def event(self, command: Ask | Put, /) -> tuple[str, Any, Any]:
        return "read" if isinstance(command, Ask) else "write", command.register, command.value

    def completion(
        self, command: Ask | Put, result: bool | None, /
    ) -> tuple[str, bool | None, str | None]:
        return "ok", result, None

    def snapshot(self, state: Latest, /) -> bytes:
        return repr(state).encode()
