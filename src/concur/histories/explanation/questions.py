"""Operations with and without their outcomes, and whether they contradict each other."""

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any

import msgspec

from concur.histories.admission import Admitted, admitted, dropped, separate
from concur.histories.check import check
from concur.histories.explanation.registers import OneRegister
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
    """A history, by the numbers of its operations. `within` bounds all questions, in seconds."""

    def __init__(self, history: History, machine: Specification, within: float) -> None:
        self.end = perf_counter() + within
        self.deadline = self.end - within / 4  # the rest is for what they rest on
        self.machine = machine
        self.raw = history.operations()
        self.operations = admitted(history, machine).operations()
        self.commands: dict[int, Any] = {}
        self.vague = False  # a question had no answer
        for number, op in enumerate(self.operations):
            if not (op.type == "fail" and dropped(op.type, op.error)):
                command = machine.command(op.f, op.key, op.value)
                if op.type != "info" or not machine.read_only(command):
                    self.commands[number] = command
        self.timeline: Timeline = loose(self.operations)
        self.register: OneRegister | None = None
        self.scope = list(self.commands)

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
        self.register = None
        if len({identity(self.operations[p].key) for p in scope}) == 1:
            self.register = OneRegister(self.machine, self.operations, scope, self.timeline)

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
        self, kept: Iterable[int], open_: Iterable[int], steps_max: int = ASK_STEPS_MAX
    ) -> Verdict:
        """What `check` says of these operations, with and without their outcomes."""
        return self.judge(
            [*(self.operations[p] for p in kept), *(self.forget(p) for p in open_)], steps_max
        )

    def judge(self, operations: list[Operation], steps_max: int = ASK_STEPS_MAX) -> Verdict:
        left = self.deadline - perf_counter()
        if left <= 0:
            self.vague = True
            return _undecided()
        history = Admitted.of(operations)
        verdict = check(history, self.machine, left, steps_max, certificate=True)
        self.vague = self.vague or verdict.valid == "unknown"
        return verdict

    def wrong(self, kept: Sequence[int], *, overwritten: bool = False) -> bool:
        """Whether these contradict each other, whatever became of the others; of those that were
        overwritten, it is known that they had ended, unless they are to be forgotten as well."""
        if perf_counter() > self.deadline:
            self.vague = True
            return False
        others = self.others(kept, overwritten=overwritten)
        return bool(kept) and self.ask(kept, others).valid is False

    def returned(self, number: int, last: int) -> bool:
        """Whether it had returned when `last` did."""
        return self.timeline.returns[number] <= self.timeline.returns[last]

    def cut(self, number: int, last: int) -> Operation:
        """As it was when `last` returned."""
        return self.operations[number] if self.returned(number, last) else self.forget(number)

    def forget(self, number: int) -> Operation:
        """As the checkers see it if nobody knows what came of it."""
        op = self.operations[number]
        if isinstance(self.machine, Nondeterministic):  # its commands know their results
            raw = self.raw[number]
            op = msgspec.structs.replace(op, value=self.machine.command(raw.f, raw.key, raw.value))
        return forgotten(op)

    def open_of(self, some: Iterable[int]) -> list[Operation]:
        return [self.forget(p) for p in some if self.changes(p)]


def _undecided() -> Verdict:
    return Verdict(valid="unknown", reason="", algorithm="none", operations=0, steps=0, seconds=0.0)
