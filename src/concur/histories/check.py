"""`check`: is a history linearizable? Chooses the cheapest algorithm that decides it.

1. What did not happen is dropped, and so are reads without an outcome. A refused compare-and-set
   did not happen either, but may tell that the value differed, and then stays (`admission`).
2. An order that somebody knows (a witness) is tried first: to see that it explains everything is
   cheap (`certificate`). If it does not, nothing follows.
3. Objects are checked one by one (Herlihy and Wing: linearizability is local), small ones first.
   If an operation touches all of them, like a scan, there is only one object.
4. Each goes to the polynomial algorithms of its data type (`polynomial`), which find out whether
   they apply; if none does, to `search`.
5. If events at the same instant make 3. an approximation, both sides of it are tried, and only if
   they disagree the whole history is searched at once (`timeline` says why).
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

from concur.collector import resting
from concur.errors import BadInput
from concur.histories.admission import admitted
from concur.histories.certificate import merged, verify
from concur.histories.explain import phrase
from concur.histories.history import History, Operation
from concur.histories.identity import holds_bool, identity
from concur.histories.lookahead import LOOKAHEADS, PROSPECTS, Fact, Lookahead, Prospect
from concur.histories.models import model
from concur.histories.models.kv import KvModel
from concur.histories.models.nondeterministic import StepFailed, TooManyStates
from concur.histories.models.queue import QueueModel
from concur.histories.polynomial import DECIDERS, Decision
from concur.histories.product import Product
from concur.histories.relevant import Relevant
from concur.histories.search import OutOfBudget, Search
from concur.histories.specification import Specification
from concur.histories.timeline import loose, strict
from concur.histories.verdict import Valid, Verdict
from concur.machines.queue import Queue

STEPS_MAX = 5_000_000
"""A step takes about a microsecond and, when it finds something new, 300 bytes of memory."""


@resting()
def check(
    history: History,
    machine: Specification | str = "",
    budget_s: float = 10.0,
    steps_max: int = STEPS_MAX,
    *,
    witness: Sequence[int] = (),
    certificate: bool = False,
) -> Verdict:
    """Whether one order of all operations, within real time, explains every outcome.

    The machine is the sequential specification, or the name of a model (`concur.histories.models`);
    without it, the model that the history names. Past `steps_max` steps (the same on every
    computer), `budget_s` seconds of search, or two million configurations remembered (600 MB), the
    verdict is "unknown", and says which. `witness` is an order that
    may be right: numbers of operations, as `History.invoke` gives them. With `certificate`, a valid
    verdict holds such an order, which `concur.histories.certificate` re-checks. Raises BadInput
    if an operation is none of the machine's.
    """
    started = perf_counter()
    if isinstance(machine, str):
        machine = model(machine or history.model)
    anomaly: Sequence[str] = ()
    core: Sequence[int] = ()
    order: Sequence[int] | None = None
    try:
        known = admitted(history, machine)
        if witness and not verify(known, machine, witness):
            valid: Valid = True
            reason, algorithm, steps = EXPLAINED, "witness", 0
            order = witness
        else:
            checker = _Checker(known.operations(), machine, steps_max, started + budget_s)
            valid, reason = checker.decide()
            algorithm = "+".join(sorted(checker.algorithms, reverse=True)) or "none"
            steps = checker.steps
            if valid is False:
                anomaly = checker.wrong.anomaly
                core = [checker.numbers[position] for position in checker.wrong.core]
            elif valid is True and certificate:
                order = checker.order()
    except StepFailed as failed:
        raise BadInput(f"model {machine.name}: its step failed: {failed}") from failed
    return Verdict(
        valid=valid,
        reason=reason,
        algorithm=algorithm,
        operations=len(history),
        steps=steps,
        seconds=perf_counter() - started,
        anomaly=tuple(anomaly),
        core=tuple(core),
        certificate=None if order is None else tuple(order),
    )


EXPLAINED = "an order of all operations, within real time, explains every outcome"

Answer = tuple[Valid, str]  # valid, reason


class Object(NamedTuple):
    """What one key names, and the positions of the operations on it; or all objects in one."""

    key: Any
    positions: list[int]
    whole: bool = False


class _Checker:
    """One history. `wrong` is what decided it, if it is not linearizable."""

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
        self.wrong = Decision()
        self.orders: list[Callable[[], list[int]]] = []  # of the objects, on `timeline`
        relevant = Relevant(operations, machine)
        self.operations, self.commands = relevant.operations, relevant.commands
        self.numbers, self.several_machines = relevant.numbers, relevant.several
        self.timeline = strict(self.operations)
        self.objects = self.split(relevant.keys)

    @cached_property
    def tell_bools_apart(self) -> bool:
        return holds_bool(getattr(self.machine, "start", None)) or any(
            holds_bool(op.value) or holds_bool(op.result) for op in self.operations
        )

    def split(self, keys: list[Any]) -> list[Object]:
        """The objects, smallest first."""
        operations = self.operations
        if self.several_machines:
            keys = [op.key for op in operations]
        elif None in keys:
            return [Object(None, list(range(len(keys))), True)]
        objects: dict[Any, Object] = {}
        for position, key in enumerate(keys):
            name = identity(key)
            if name not in objects:
                objects[name] = Object(operations[position].key, [])
            objects[name].positions.append(position)
        return sorted(objects.values(), key=lambda found: len(found.positions))

    def order(self) -> list[int]:
        """Numbers of operations, in an order that explains a history that is linearizable."""
        orders = [order() for order in self.orders]
        return [self.numbers[position] for position in merged(orders, self.timeline)]

    def decide(self) -> Answer:
        if not self.operations:
            return True, "nothing in it can be wrong: no operation has an outcome"
        answer = self.each()
        if answer[0] is True or not self.timeline.entangled:
            return answer
        self.timeline = loose(self.operations)
        answer = self.each()
        if answer[0] is False:
            return answer
        if len(self.objects) == 1 and self.algorithms == {"search"}:
            return answer  # the search has respected `timeline.before`
        self.orders = []
        everything = Object(None, list(range(len(self.operations))), True)
        if self.several_machines:
            self.machine = Product(self.machine, self.operations)
            self.commands = [self.machine.command(op.f, op.key, op.value) for op in self.operations]
        return self.search(everything, 1)

    def each(self) -> Answer:
        """The objects one by one. An invalid one decides, an undecided one does not, and is tried
        again with what the others left of the budget."""
        self.orders = []
        left = self.objects
        while True:
            share = (self.steps_max - self.steps) // len(left)  # of the steps, for each of them
            undecided: list[tuple[Object, Answer]] = []
            for number, found in enumerate(left):
                answer = self.polynomial(found) or self.search(found, len(left) - number)
                if answer[0] is False:
                    return answer
                if answer[0] == "unknown":
                    undecided.append((found, answer))
            if not undecided:
                return True, EXPLAINED
            more = (self.steps_max - self.steps) // len(undecided)
            if more <= share or perf_counter() > self.deadline:
                return undecided[0][1]
            left = [found for found, _ in undecided]

    def polynomial(self, found: Object) -> Answer | None:
        for name, decide in DECIDERS.get(type(self.machine), {}).items():
            decision = decide(self.operations, found.positions, self.timeline, self.machine)
            if decision is not None:
                self.algorithms.add(name)
                return self.answer(found, decision)
        return None

    def search(self, found: Object, shares: int) -> Answer:
        """`shares`: how many searches, this one included, the rest of the budget is for."""
        self.algorithms.add("search")
        now = perf_counter()
        search = Search(
            self.machine,
            self.operations,
            found.positions,
            self.commands,
            self.timeline,
            self.tell_bools_apart,
            None if found.whole else self.lookahead(),
            None if found.whole else self.prospects(),
        )
        steps_max = (self.steps_max - self.steps) // shares
        try:
            decision = search.run(steps_max, now + (self.deadline - now) / shares)
        except (OutOfBudget, TooManyStates) as out:
            return (
                "unknown",
                f"undecided: the search{_of(found)} ran out of {out} within its budget",
            )
        finally:
            self.steps += search.steps
        return self.answer(found, decision)

    def lookahead(self) -> Lookahead | None:
        if isinstance(self.machine, KvModel):
            return self.machine.lookahead
        return LOOKAHEADS.get(type(self.machine))

    def prospects(self) -> Callable[[Sequence[Fact]], Prospect] | None:
        """What a queue holds initially was never put into it, which a prospect argues from."""
        if isinstance(self.machine, QueueModel):
            return None if self.machine.start else PROSPECTS[Queue]
        return PROSPECTS.get(type(self.machine))

    def answer(self, found: Object, decision: Decision) -> Answer:
        if decision.anomaly:
            self.wrong = decision
            return False, f"no order of the operations{_of(found)} explains every outcome"
        self.orders.append(decision.order)
        return True, EXPLAINED


def _of(found: Object) -> str:
    return "" if found.key is None else f" on {phrase(found.key)}"
