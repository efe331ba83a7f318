"""A last-in first-out stack: push, pop (null if it is empty), peek."""

from typing import Any

from concur.histories.models.base import Model, fit, frozen, values_of
from concur.machines.base import MachineCommand


class Push(MachineCommand, frozen=True):
    """-> None."""

    value: Any


class Pop(MachineCommand, frozen=True):
    """-> the newest value, None if the stack is empty."""


class Peek(MachineCommand, frozen=True):
    """-> the newest value, which stays; None if the stack is empty."""


class StackModel(Model):
    """`push` with the value; `pop`, `peek`. Initially empty, or a list of values, oldest first."""

    name = "stack"
    commands = (Push, Pop, Peek)
    starts = ()
    blind = ("push",)

    def starting(self, initial: Any) -> tuple[Any, ...]:
        return values_of(self, initial)

    def read_only(self, command: Any) -> bool:
        return type(command) is Peek

    def command(self, f: str, key: Any, value: Any) -> Any:
        if f == "push" and value is not None and fit(value):
            return Push(frozen(value))
        if f == "pop":
            return Pop()
        if f == "peek":
            return Peek()
        raise self.unknown_event(f, key, value)

    def event(self, command: Any) -> tuple[str, Any, Any]:
        if isinstance(command, Push):
            return "push", None, command.value
        return ("pop" if isinstance(command, Pop) else "peek"), None, None

    def apply(self, state: tuple[Any, ...], command: Any) -> tuple[tuple[Any, ...], Any]:
        if isinstance(command, Push):
            return (*state, command.value), None
        if not state:
            return state, None
        return (state[:-1] if isinstance(command, Pop) else state), state[-1]
