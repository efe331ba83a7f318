"""Bounded staleness: reads may be stale, but by no more than a given time.

Definition (Golab, Li, Shah, "Analyzing consistency properties for fun and profit", PODC 2011, there
delta-atomicity): the history is linearizable once every read is taken to have begun delta earlier
than it did. So a read returns what was current at some moment from delta before its call to its
return. With delta 0 it is linearizability. It is local, and makes sense for any machine.

Algorithm: move the calls of the reads, and check linearizability.

Traps: the moved read overlaps earlier operations of its own process, so every operation becomes a
process of its own, and times are refined to ranks first: within one process the order at equal
times is kept for all that was not moved. Where two processes go on in the same instant (`timeline`)
both approximations are tried, and if they disagree the whole history is searched at once (or, in
rare cases, the verdict is "unknown").
"""

from collections.abc import Sequence

from msgspec.structs import replace

from concur.errors import BadInput
from concur.histories.admission import Admitted, dropped
from concur.histories.check import check
from concur.histories.explain import describe
from concur.histories.history import History, Operation
from concur.histories.identity import holds_bool
from concur.histories.search import OutOfBudget as SearchOutOfBudget
from concur.histories.search import Search
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline, loose, strict
from concur.histories.verdict import Verdict
from concur.histories.weaker.budget import Budget, OutOfBudget, Undecided


class Moved(Admitted):
    """Operations at other times, under the event numbers that they had."""

    __slots__ = ("_moved",)

    def __init__(self, model: str, operations: list[Operation]) -> None:
        super().__init__(model)
        self._moved = operations

    def operations(self) -> list[Operation]:
        return self._moved

    def __len__(self) -> int:
        return len(self._moved)


def bounded_staleness(
    history: History, machine: Specification, delta_ns: int, budget: Budget
) -> list[str]:
    """What is wrong, line by line; empty if no read is staler than `delta_ns`."""
    operations = [op for op in history.operations() if not dropped(op)]
    reads = []
    for op in operations:
        try:
            reads.append(machine.read_only(machine.command(op.f, op.key, op.value)))
        except BadInput as error:
            raise BadInput(f"history, event {op.index}: {error}") from None
    timeline = strict(operations)
    verdict, lines = _check(operations, reads, timeline, delta_ns, machine, budget)
    if verdict.valid is False and timeline.entangled:
        timeline = loose(operations)
        verdict, lines = _check(operations, reads, timeline, delta_ns, machine, budget)
        if verdict.valid is True:
            return _whole(operations, reads, timeline, delta_ns, machine, budget)
    if verdict.valid == "unknown":
        raise Undecided(verdict.reason.removeprefix("undecided: "))
    if verdict.valid is True:
        return []
    return [f"Even if every read had begun {duration(delta_ns)} earlier:", *lines]


def _events(
    operations: Sequence[Operation], reads: Sequence[bool], timeline: Timeline, delta_ns: int
) -> list[tuple[int, int, int]]:
    """(time, 1 if it returns, operation), in order; times are finer, so that all differ."""
    scale = 2 * len(operations) + 1
    events: list[tuple[int, int, int]] = []
    for i, op in enumerate(operations):
        call = op.call_ns * scale + timeline.calls[i]
        if reads[i] and delta_ns:
            call = (op.call_ns - delta_ns) * scale  # before all that happens in that instant
        events.append((call, 0, i))
        if op.return_ns is not None:
            events.append((op.return_ns * scale + timeline.returns[i], 1, i))
    events.sort()
    return events


def _check(
    operations: Sequence[Operation],
    reads: Sequence[bool],
    timeline: Timeline,
    delta_ns: int,
    machine: Specification,
    budget: Budget,
) -> tuple[Verdict, list[str]]:
    """The verdict on the operations as moved, and its lines in terms of them as they were."""
    calls, returns = dict[int, int](), dict[int, int]()
    for time, ends, i in _events(operations, reads, timeline, delta_ns):
        (returns if ends else calls)[i] = time
    moved = {
        i: replace(operations[i], process=i, call_ns=call, return_ns=returns.get(i))
        for i, call in calls.items()
    }
    verdict = check(
        Moved(machine.name, list(moved.values())),
        machine,
        budget.seconds_left,
        max(1, budget.steps_left),
    )
    budget.steps += verdict.steps
    if not verdict.anomaly:
        return verdict, []
    told = {describe(op): describe(operations[i]) for i, op in moved.items()}
    lines = []
    for line in verdict.anomaly:
        text = line.lstrip()
        lines.append(line.removesuffix(text) + told.get(text, text))
    return verdict, lines


def _whole(
    operations: Sequence[Operation],
    reads: Sequence[bool],
    timeline: Timeline,
    delta_ns: int,
    machine: Specification,
    budget: Budget,
) -> list[str]:
    """The exact order at entangled instants, on all keys at once."""
    kept = [i for i, op in enumerate(operations) if op.type != "info" or not reads[i]]
    commands = [machine.command(op.f, op.key, op.value) for op in operations]
    if any(machine.key(commands[i]) is None and operations[i].key is not None for i in kept):
        raise Undecided("several processes go on at equal times")
    calls, returns = [0] * len(operations), [NEVER] * len(operations)
    for rank, (_, ends, i) in enumerate(_events(operations, reads, timeline, delta_ns)):
        (returns if ends else calls)[i] = rank
    before = {i: a for i, a in timeline.before.items() if not (reads[i] and delta_ns)}
    if any(a in timeline.before and a not in before for a in before.values()):
        # What comes after a moved read that came after something, all in one instant.
        raise Undecided("several processes go on at equal times")
    search = Search(
        machine,
        operations,
        kept,
        commands,
        Timeline(calls, returns, before, True),
        any(holds_bool(op.value) or holds_bool(op.result) for op in operations),
    )
    try:
        return list(search.run(max(1, budget.steps_left), budget.deadline).anomaly)
    except SearchOutOfBudget as out:
        raise OutOfBudget(str(out)) from None
    finally:
        budget.steps += search.steps


def duration(ns: int) -> str:
    """A time in the largest unit that leaves it whole, as the names of models write it."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if ns % size == 0 and ns:
            return f"{ns // size}{unit}"
    return f"{ns}ns"
