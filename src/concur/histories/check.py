"""`check`: is a history linearizable? Chooses the cheapest algorithm that decides it.

1. What did not happen is dropped, and so are reads without an outcome. A refused compare-and-set
   did not happen either, but may tell that the value differed, and then stays (`admission`).
2. Objects are checked one by one (Herlihy and Wing: linearizability is local), small ones first.
   If an operation touches all of them, like a scan, there is only one object.
3. Reads and writes of one register whose values tell them apart go to `zones`, the rest to
   `search`.
4. If events at the same instant make 2. an approximation, both sides of it are tried, and only if
   they disagree the whole history is searched at once (`timeline` says why).
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from concur.errors import BadInput
from concur.histories.admission import admitted, dropped
from concur.histories.explain import phrase
from concur.histories.history import History, Operation
from concur.histories.identity import holds_bool, identity
from concur.histories.lookahead import LOOKAHEADS, PROSPECTS, Fact, Lookahead, Prospect
from concur.histories.models.kv import KvModel
from concur.histories.models.nondeterministic import StepFailed
from concur.histories.models.queue import QueueModel
from concur.histories.models.register import CasRegisterModel, RegisterModel
from concur.histories.search import OutOfBudget, Search
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline, loose, strict
from concur.histories.verdict import Valid, Verdict
from concur.histories.zones import zones
from concur.machines.kv import KeyValue
from concur.machines.queue import Queue
from concur.machines.register import Register

STEPS_MAX = 5_000_000
"""A step takes about a microsecond and, when it finds something new, 300 bytes of memory."""

REGISTERS: dict[type, tuple[str, str]] = {
    Register: ("read", "write"),
    RegisterModel: ("read", "write"),
    CasRegisterModel: ("read", "write"),
    KeyValue: ("get", "put"),
    KvModel: ("get", "put"),
}
"""Machines whose objects are registers as long as a history uses only these two operations."""


class Object(NamedTuple):
    """What one key names, and the positions of the operations on it."""

    key: Any
    positions: list[int]


def check(
    history: History,
    machine: Specification,
    budget_s: float = 10.0,
    steps_max: int = STEPS_MAX,
) -> Verdict:
    """Whether one order of all operations, within real time, explains every outcome.

    The machine is the sequential specification. Past `steps_max` steps (the same on every
    computer) or `budget_s` seconds of search the verdict is "unknown". Raises BadInput if an
    operation is none of the machine's.
    """
    started = perf_counter()
    try:
        operations = admitted(history, machine).operations()
        checker = _Checker(operations, machine, steps_max, started + budget_s)
        valid, reason, anomaly = checker.decide()
    except StepFailed as failed:
        raise BadInput(f"model {machine.name}: its step failed: {failed}") from failed
    return Verdict(
        valid=valid,
        reason=reason,
        algorithm="+".join(sorted(checker.algorithms, reverse=True)) or "none",
        operations=len(history),
        steps=checker.steps,
        seconds=perf_counter() - started,
        anomaly=tuple(anomaly),
    )


Answer = tuple[Valid, str, list[str]]  # valid, reason, anomaly


class _Checker:
    def __init__(
        self,
        operations: Sequence[Operation],
        machine: Specification,
        steps_max: int,
        deadline: float,
    ) -> None:
        self.machine = machine
        self.steps = 0
        self.steps_max = steps_max
        self.deadline = deadline
        self.algorithms: set[str] = set()
        self.operations: list[Operation] = []
        self.commands: list[Any] = []
        for op in operations:
            if dropped(op.type, op.error):
                continue
            command = _command(machine, op)
            if op.type == "info" and machine.read_only(command):
                continue
            self.operations.append(op)
            self.commands.append(command)
        self.objects, self.several_machines = self.split()
        self.tell_bools_apart = any(
            holds_bool(op.value) or holds_bool(op.result) for op in self.operations
        ) or holds_bool(getattr(machine, "start", None))

    def split(self) -> tuple[list[Object], bool]:
        """The objects, smallest first; and whether each has a machine of its own."""
        machine = self.machine
        keys = [machine.key(command) for command in self.commands]
        everything = list(range(len(keys)))
        own = False
        if None in keys:
            # A machine without keys, and a history with: the keys name machines.
            own = all(key is None for key in keys) and any(
                op.key is not None for op in self.operations
            )
            if not own or any(machine.event(command)[1] is not None for command in self.commands):
                return ([Object(None, everything)] if keys else []), False
            keys = [op.key for op in self.operations]
        objects: dict[Any, Object] = {}
        for position, key in enumerate(keys):
            name = identity(key)
            if name not in objects:
                objects[name] = Object(key, [])
            objects[name].positions.append(position)
        return sorted(objects.values(), key=lambda found: len(found.positions)), own

    def decide(self) -> Answer:
        if not self.operations:
            return True, "nothing in it can be wrong: no operation has an outcome", []
        timeline = strict(self.operations)
        answer = self.each(timeline)
        if answer[0] is True or not timeline.entangled:
            return answer
        timeline = loose(self.operations)
        answer = self.each(timeline)
        if answer[0] is not True:
            return answer
        if len(self.objects) == 1 and "zones" not in self.algorithms:
            return answer  # the search has respected `timeline.before`
        if self.several_machines and len(self.objects) > 1:
            return "unknown", "undecided: several processes go on at equal times", []
        return self.search(Object(None, list(range(len(self.operations)))), timeline, 1)

    def each(self, timeline: Timeline) -> Answer:
        """The objects one by one. An invalid one decides, an undecided one does not."""
        undecided: Answer | None = None
        for number, found in enumerate(self.objects):
            answer = self.zones(found, timeline)
            if answer is None:
                answer = self.search(found, timeline, len(self.objects) - number)
            if answer[0] is False:
                return answer
            if answer[0] == "unknown":
                undecided = undecided or answer
        if undecided:
            return undecided
        return True, "an order of all operations, within real time, explains every outcome", []

    def zones(self, found: Object, timeline: Timeline) -> Answer | None:
        names = REGISTERS.get(type(self.machine))
        operations = self.operations
        if names is None or any(operations[p].f not in names for p in found.positions):
            return None
        read, _ = names
        initial = getattr(self.machine, "start", None)
        anomaly = zones(operations, found.positions, timeline, read, initial)
        if anomaly is None:
            return None
        self.algorithms.add("zones")
        return self.answer(found, anomaly)

    def search(self, found: Object, timeline: Timeline, shares: int) -> Answer:
        """`shares`: how many searches, this one included, the rest of the budget is for."""
        self.algorithms.add("search")
        search = Search(
            self.machine,
            self.operations,
            found.positions,
            self.commands,
            timeline,
            self.tell_bools_apart,
            None if found.key is None else self.lookahead(),
            None if found.key is None else self.prospects(),
        )
        now = perf_counter()
        steps_max = (self.steps_max - self.steps) // shares
        try:
            anomaly = search.run(steps_max, now + (self.deadline - now) / shares)
        except OutOfBudget as out:
            self.steps += search.steps
            reason = f"undecided: the search{_of(found)} ran out of {out} within its budget"
            return "unknown", reason, []
        self.steps += search.steps
        return self.answer(found, anomaly)

    def lookahead(self) -> Lookahead | None:
        if isinstance(self.machine, KvModel):
            return self.machine.lookahead
        return LOOKAHEADS.get(type(self.machine))

    def prospects(self) -> Callable[[Sequence[Fact]], Prospect] | None:
        """What a queue holds initially was never put into it, which a prospect argues from."""
        if isinstance(self.machine, QueueModel):
            return None if self.machine.start else PROSPECTS[Queue]
        return PROSPECTS.get(type(self.machine))

    def answer(self, found: Object, anomaly: list[str]) -> Answer:
        if anomaly:
            return False, f"no order of the operations{_of(found)} explains every outcome", anomaly
        return True, "", []


def _of(found: Object) -> str:
    return "" if found.key is None else f" on {phrase(found.key)}"


def _command(machine: Specification, op: Operation) -> Any:
    try:
        return machine.command(op.f, op.key, op.value)
    except BadInput as error:
        raise BadInput(f"history, event {op.index}: {error}") from None
