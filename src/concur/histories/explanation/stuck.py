"""What the operation that has no place could have been told instead, and what there was to see.

The operations given have an order if nobody asks what that one was told. We want to know of all
such orders which state it meets there, and what it is told. So we ask `check` for an order, look
into it, and ask for another, in which that one meets none of the states that we have seen, until
there is none. What is found is then all there is.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import msgspec

from concur.histories.admission import Admitted
from concur.histories.check import check
from concur.histories.explain import PHRASE_CHARS_MAX
from concur.histories.explanation import words
from concur.histories.explanation.untold import Untold, untold
from concur.histories.history import Operation
from concur.histories.models.nondeterministic import Nondeterministic
from concur.histories.specification import Specification
from concur.machines.base import Refused

STEPS_MAX = 100_000
"""Steps of the search for one order."""
SHOWN_MAX = 6
"""States and outcomes that are listed."""
SOUGHT = "sought "
"""Before the f of the operation that has no place."""


class Stuck(msgspec.Struct, frozen=True):
    """`states` that it could meet and `outcomes` that it could have, as labels, SHOWN_MAX at most,
    and whether there are more of them."""

    states: tuple[str, ...]
    outcomes: tuple[str, ...]
    more_states: bool
    more_outcomes: bool


def stuck(
    operations: Sequence[Operation],
    machine: Specification,
    culprit: Operation,
    recorded: Operation,
    deadline: float,
) -> Stuck | None:
    """Of the `culprit`, one of these operations of one object; all of them are admitted, `recorded`
    is not. None if they have no order even if nobody asks what it was told, or if it takes too long
    to find out."""
    sought = msgspec.structs.replace(untold(culprit), f=SOUGHT + culprit.f)
    if isinstance(machine, Nondeterministic):  # its commands know their results
        sought = msgspec.structs.replace(sought, value=recorded.value)
    asked = sorted([sought, *(op for op in operations if op is not culprit)], key=_index)
    watched = _Watched(machine, recorded)
    try:
        seen, more = _each(asked, watched, 0, deadline)
        states = sorted({state for state, _ in seen})
        if more:  # as many again may be told the same
            told, more_told = _each(asked, watched, 1, deadline)
            outcomes = sorted({outcome for _, outcome in told} - {""})
        else:  # a state tells the outcome
            more_told, outcomes = False, sorted({outcome for _, outcome in seen} - {""})
    except _Unknown:
        return None
    if not seen:
        return None
    return Stuck(
        tuple(states[:SHOWN_MAX]), tuple(outcomes[:SHOWN_MAX]), more, more_told and bool(outcomes)
    )


def _index(op: Operation) -> int:
    return op.index


class _Unknown(Exception):
    """Whether there is another order."""


def _each(
    operations: list[Operation], watched: "_Watched", part: int, deadline: float
) -> tuple[list[tuple[str, str]], bool]:
    """What was met and told in orders that differ in one of the two; whether there is more."""
    seen: list[tuple[str, str]] = []
    watched.admits = lambda met: all(one[part] != met[part] for one in seen)
    history = Admitted.of(operations)
    specification: Any = watched
    while True:
        left = deadline - perf_counter()
        if left <= 0:
            raise _Unknown
        verdict = check(history, specification, left, STEPS_MAX, certificate=True)
        if verdict.valid == "unknown":
            raise _Unknown
        if verdict.valid is False:
            return seen, False
        if len(seen) == SHOWN_MAX:
            return seen, True
        seen.append(watched.met(operations, verdict.certificate or ()))


class _Sought(msgspec.Struct, frozen=True):
    """The command of the operation that has no place."""

    command: Any


class _Watched(Untold):
    """A machine that refuses the sought command where it would meet or be told what is known."""

    def __init__(self, machine: Specification, recorded: Operation) -> None:
        super().__init__(machine)
        self.recorded = recorded
        self.admits: Callable[[tuple[str, str]], bool] = lambda met: True

    def command(self, f: str, key: Any, value: Any) -> Any:
        command = self.machine.command(f.removeprefix(SOUGHT), key, value)
        return _Sought(command) if f.startswith(SOUGHT) else command

    def key(self, command: Any) -> Any:
        return self.machine.key(_asked(command))

    def event(self, command: Any) -> tuple[str, Any, Any]:
        return self.machine.event(_asked(command))

    def read_only(self, command: Any) -> bool:
        return self.machine.read_only(_asked(command))

    def completion(self, command: Any, result: Any) -> tuple[str, Any, str | None]:
        if isinstance(command, _Sought):
            return "ok", None, None
        return self.machine.completion(command, result)

    def apply(self, state: Any, command: Any) -> tuple[Any, Any]:
        if not isinstance(command, _Sought):
            return self.machine.apply(state, command)
        after, outcome = self.told(state, command.command)
        if not self.admits((words.state(self.machine, state, command.command), outcome)):
            raise Refused("known")
        return after, None

    def told(self, state: Any, command: Any) -> tuple[Any, str]:
        """The state after it, and in words what it is told."""
        try:
            after, result = self.machine.apply(state, command)
        except Exception as refused:  # by contract an error result; the state is unchanged
            return state, f"refused ({refused})"
        if isinstance(self.machine, Nondeterministic):
            return after, ""
        type_, value, error = self.machine.completion(command, result)
        told = msgspec.structs.replace(self.recorded, type=type_, result=value, error=error)
        return after, words.label(told, key=False, most=PHRASE_CHARS_MAX)

    def met(self, operations: Sequence[Operation], order: Sequence[int]) -> tuple[str, str]:
        """What the sought command meets in that order, and what it is told."""
        state = self.machine.initial()
        for number in order:
            op = operations[number]
            command = self.command(op.f, op.key, op.value)
            if isinstance(command, _Sought):
                text = words.state(self.machine, state, command.command)
                return text, self.told(state, command.command)[1]
            state, _ = self.machine.apply(state, command)
        raise AssertionError("an order lacks an operation that returned")


def _asked(command: Any) -> Any:
    return command.command if isinstance(command, _Sought) else command
