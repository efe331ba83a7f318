"""Operations with and without their outcomes, and whether they contradict each other."""

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any

import msgspec

from concur.histories.admission import Admitted, admitted, dropped, separate
from concur.histories.check import check
from concur.histories.explanation.registers import OneRegister
from concur.histories.explanation.untold import Untold, untold
from concur.histories.history import History, Operation
from concur.histories.identity import identity
from concur.histories.models.nondeterministic import Nondeterministic
from concur.histories.models.set import SetModel
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline, loose
from concur.histories.verdict import Verdict

ASK_STEPS_MAX = 20_000
"""Steps of the search for one question. What remains is small, so more would seldom help."""


def forgotten(op: Operation) -> Operation:
    """The operation without its outcome."""
    return msgspec.structs.replace(
        op, type="info", result=None, error=None, return_ns=None, return_index=None
    )


class Questions:
    """A history, by the numbers of its operations. `within` bounds all questions, in seconds.

    Of operations that are not kept nobody knows anything but their calls; if `ended`, also when
    those returned that did.
    """

    def __init__(self, history: History, machine: Specification, within: float) -> None:
        self.end = perf_counter() + within
        self.deadline = self.end - within / 8  # the rest is for what they rest on
        self.machine = machine
        self.raw = history.operations()
        self.operations = admitted(history, machine).operations()
        self.commands: dict[int, Any] = {}
        self.vague = False  # a question had no answer
        for number, op in enumerate(self.operations):
            if not dropped(op):
                command = machine.command(op.f, op.key, op.value)
                if op.type != "info" or not machine.read_only(command):
                    self.commands[number] = command
        self.timeline: Timeline = loose(self.operations)
        self.register: OneRegister | None = None
        self.scope = list(self.commands)
        self.ended = False
        self._forgotten: dict[int, Operation] = {}
        self._untold: dict[int, Operation] = {}
        self._wrong: dict[Any, bool] = {}  # known answers

    def out_of_time(self) -> bool:
        """Whether it is too late for another question, which then has no answer."""
        if perf_counter() < self.deadline:
            return False
        self.vague = True
        return True

    def objects(self) -> list[list[int]]:
        """Operations by object, small ones first; all in one if something touches all. In a set,
        each value is an object, if nobody reads the whole; reading it can be forgotten."""
        numbers = list(self.commands)
        if isinstance(self.machine, SetModel):
            found: dict[Any, list[int]] = {}
            for number in numbers:
                op = self.operations[number]
                if op.f != "read":
                    found.setdefault(identity((op.key, op.value)), []).append(number)
            return [*sorted(found.values(), key=len), numbers]
        keys = [self.machine.key(command) for command in self.commands.values()]
        if None in keys:
            operations = [self.operations[number] for number in numbers]
            if not separate(self.machine, operations, list(self.commands.values())):
                return [numbers]
            keys = [op.key for op in operations]
        found = {}
        for number, key in zip(numbers, keys, strict=True):
            found.setdefault(identity(key), []).append(number)
        return sorted(found.values(), key=len)

    def enter(self, scope: list[int]) -> None:
        """Look at these only from now on."""
        self.scope = scope
        self.know(ended=False)
        if len({identity(self.operations[p].key) for p in scope}) == 1:
            self.register = OneRegister(self.machine, self.operations, scope, self.timeline)

    def know(self, *, ended: bool) -> None:
        """Of the others, from now on. (What is left out of a register is so if they are open.)"""
        self.ended = ended
        self.register = None
        self._wrong.clear()

    def whole(self, last: int) -> list[Operation]:
        """All of the object until that return, as recorded. Of a set, that is more than the scope,
        which may be one value."""
        scope = self.commands if isinstance(self.machine, SetModel) else self.scope
        end = self.timeline.returns[last]
        return [self.cut(p, last) for p in scope if self.timeline.calls[p] < end]

    def alone(self, shown: dict[int, bool]) -> list[Operation]:
        """These, each with its outcome or without."""
        return [self.operations[p] if told else self.forget(p) for p, told in shown.items()]

    def until(self, last: int) -> list[int]:
        """What was called before that return."""
        end = self.timeline.returns[last]
        return [p for p in self.scope if self.timeline.calls[p] < end]

    def prefix(self, last: int) -> list[Operation]:
        return [self.cut(p, last) for p in self.until(last)]

    def changes(self, number: int) -> bool:
        """Whether the operation can matter once it is forgotten."""
        op = self.operations[number]
        return op.type != "fail" and not self.machine.read_only(self.commands[number])

    def others(self, kept: Sequence[int], *, overwritten: bool = False) -> list[int]:
        """Of the operations that are not kept, those that can matter to them although nobody knows
        what became of them."""
        end = max((self.timeline.returns[p] for p in kept), default=0)
        known = set(kept)
        needed = None
        if self.register is not None:
            needed = self.register.needed(kept, overwritten=overwritten)
        from_: Iterable[int] = self.scope if needed is None else sorted(needed)
        calls = self.timeline.calls
        return [p for p in from_ if p not in known and calls[p] < end and self.changes(p)]

    def ask(
        self, kept: Iterable[int], others: Iterable[int], steps_max: int = ASK_STEPS_MAX
    ) -> Verdict:
        """What `check` says of these operations, of the others without what nobody knows."""
        if self.out_of_time():
            return _undecided()
        less = self.untell if self.ended else self.forget
        known = [self.operations[p] for p in kept]
        machine: Any = Untold(self.machine) if self.ended else self.machine
        operations = [*known, *map(less, others)]
        if self.ended:  # nothing makes it shorter, but it is easy
            steps_max = max(steps_max, 4 * len(operations))
        return self.judge(operations, steps_max, machine)

    def judge(
        self,
        operations: list[Operation],
        steps_max: int = ASK_STEPS_MAX,
        machine: Specification | None = None,
    ) -> Verdict:
        left = self.deadline - perf_counter()
        if self.out_of_time():
            return _undecided()
        history = Admitted.of(operations)
        verdict = check(history, machine or self.machine, left, steps_max, certificate=True)
        self.vague = self.vague or verdict.valid == "unknown"
        return verdict

    def wrong(self, kept: Sequence[int], *, overwritten: bool = False) -> bool:
        """Whether these contradict each other, whatever became of the others; of those that were
        overwritten, it is known that they had ended, unless they are to be forgotten as well."""
        if not kept or self.out_of_time():
            return False
        name = overwritten, *kept
        if name not in self._wrong:
            valid = self.ask(kept, self.others(kept, overwritten=overwritten)).valid
            if valid == "unknown":
                return False
            self._wrong[name] = valid is False
        return self._wrong[name]

    def returned(self, number: int, last: int) -> bool:
        """Whether it had returned when `last` did."""
        return self.timeline.returns[number] <= self.timeline.returns[last]

    def cut(self, number: int, last: int) -> Operation:
        """As it was when `last` returned."""
        return self.operations[number] if self.returned(number, last) else self.forget(number)

    def forget(self, number: int) -> Operation:
        """As the checkers see it if nobody knows what came of it."""
        if number not in self._forgotten:
            self._forgotten[number] = forgotten(self.unanswered(number))
        return self._forgotten[number]

    def untell(self, number: int) -> Operation:
        """As they see it if nobody knows what it was told, but when it returned."""
        op = self.operations[number]
        if op.type == "info":
            return self.forget(number)
        if number not in self._untold:
            self._untold[number] = untold(self.unanswered(number))
        return self._untold[number]

    def unanswered(self, number: int) -> Operation:
        """With a command that does not know the answer, as those of some models do."""
        op = self.operations[number]
        if isinstance(self.machine, Nondeterministic):
            return msgspec.structs.replace(op, value=self.raw[number].value)
        return op

    def open_of(self, some: Iterable[int]) -> list[Operation]:
        return [self.forget(p) for p in some if self.changes(p)]


def _undecided() -> Verdict:
    return Verdict(valid="unknown", reason="", algorithm="none", operations=0, steps=0, seconds=0.0)
