"""What the operation that has no place could have been told instead, and what there was to see.

All that is shown but the last of the essential operations can be put into an order, so the longest
prefix that is linearizable ends just before the return of that one. We ask for all such orders with
it in them, but whatever outcome: `concur.histories.ends` goes through them, with a machine that
writes down, when it comes to that operation, which state it met and what it told it.
"""

from typing import Any

import msgspec

from concur.histories.admission import admitted, dropped
from concur.histories.ends import OutOfBudget, States, Walk, Wrong
from concur.histories.explain import PHRASE_CHARS_MAX
from concur.histories.explanation import words
from concur.histories.history import History, Operation
from concur.histories.models.nondeterministic import Nondeterministic
from concur.histories.specification import Specification
from concur.histories.timeline import strict

STEPS_MAX = 20_000
SHOWN_MAX = 6
"""States and outcomes that are listed."""


class Stuck(msgspec.Struct, frozen=True):
    """`states` that it could meet and `outcomes` that it could have, as labels; the first SHOWN_MAX
    of each, and whether there are `more`."""

    states: tuple[str, ...]
    outcomes: tuple[str, ...]
    more: bool


def stuck(history: History, machine: Specification, culprit: int) -> Stuck | None:
    """Of the operation of that number; None if it takes too long to find out."""
    operations = admitted(history, machine).operations()
    pairs: list[tuple[Operation, Any]] = []
    for number, op in enumerate(operations):
        if op.type == "fail" and dropped(op.type, op.error):
            continue
        command = machine.command(op.f, op.key, op.value)
        if number == culprit:
            pairs.append((op, _Marked(command, op)))
        elif op.type != "info" or not machine.read_only(command):
            pairs.append((op, command))
    steps = 0

    def spend() -> None:
        nonlocal steps
        steps += 1
        if steps > STEPS_MAX:
            raise OutOfBudget("steps")

    watched: Any = _Watched(machine)
    states = States(watched)
    walk = Walk(states, pairs, strict([op for op, _ in pairs]), spend, None)
    try:
        ends = walk.ends({(states.name(watched.initial()), frozenset(), frozenset())})
    except (Wrong, OutOfBudget):
        return None
    met = {name[1] for name, _, _ in ends}
    command = machine.command(*_asked(operations[culprit]))
    seen = sorted({words.state(machine, watched.met[before], command) for before, _ in met})
    told = sorted({outcome for _, outcome in met} - {""})
    more = len(seen) > SHOWN_MAX or len(told) > SHOWN_MAX
    return Stuck(tuple(seen[:SHOWN_MAX]), tuple(told[:SHOWN_MAX]), more)


def _asked(op: Operation) -> tuple[str, Any, Any]:
    return op.f, op.key, op.value


class _Marked:
    """The command of the operation that has no place."""

    def __init__(self, command: Any, op: Operation) -> None:
        self.command = command
        self.op = op


class _Watched:
    """A machine whose states remember what the marked command met and was told: a state, and
    nothing or the name of the state that it met with the outcome."""

    def __init__(self, machine: Specification) -> None:
        self.machine = machine
        self.met: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def initial(self) -> Any:
        return self.machine.initial(), None

    def snapshot(self, state: Any) -> Any:
        return self.machine.snapshot(state[0]), state[1]

    def read_only(self, command: Any) -> bool:
        return not isinstance(command, _Marked) and self.machine.read_only(command)

    def apply(self, state: Any, command: Any) -> tuple[Any, Any]:
        now, remembered = state
        if not isinstance(command, _Marked):
            after, result = self.machine.apply(now, command)
            return (after, remembered), result
        name = self.machine.snapshot(now)
        self.met[name] = now
        try:
            after, result = self.machine.apply(now, command.command)
        except Exception as refused:  # by contract an error result; the state is unchanged
            words_ = "" if isinstance(self.machine, Nondeterministic) else f"refused ({refused})"
            return (now, (name, words_)), None
        type_, value, error = self.machine.completion(command.command, result)
        told = msgspec.structs.replace(command.op, type=type_, result=value, error=error)
        label = words.label(told, key=False, most=PHRASE_CHARS_MAX)
        return (after, (name, label)), result

    def completion(self, command: Any, result: Any) -> tuple[Any, Any, str | None]:
        if isinstance(command, _Marked):
            return command.op.type, command.op.result, command.op.error
        return self.machine.completion(command, result)
