"""A lock with an owner: only who holds it can release it.

Two kinds of locks are told apart by the value of their operations:

* *Without a value* (or with an integer, which then stands for the process), the process itself
  takes the lock: `acquire` and `release` with `ok` were granted, with `ok` and false they
  were not: somebody held it (the caller too: it is not reentrant), or the caller did not.
* *With a string*, `acquire` names an owner and gives a fencing token, or null if anybody holds the
  lock; `release` has [owner, token]. That is `concur.machines.Lock`, which our own runs record.

A `fail` says nothing, as everywhere. `holder` tells who holds it, null if nobody does.
"""

from typing import Any, ClassVar

import msgspec

from concur.errors import BadInput
from concur.histories.history import Event
from concur.histories.models.base import Model
from concur.machines.base import MachineCommand
from concur.machines.lock import Acquire, Holder, Lock, LockState, Release


class Take(MachineCommand, frozen=True):
    """-> whether `process` has it now, and had not."""

    process: int


class Give(MachineCommand, frozen=True):
    """-> whether `process` had it; if so, it is free now."""

    process: int


class LockModel(Model, Lock):
    """`acquire`, `release`, `holder`. Initially null, free; or the process or owner that has it."""

    name = "lock"
    words = ("acquire", "release")
    commands: ClassVar[tuple[type[msgspec.Struct], ...]] = (  # type: ignore[assignment]
        Acquire,
        Release,
        Holder,
        Take,
        Give,
    )

    def starting(self, initial: Any) -> LockState:
        if initial is not None and type(initial) not in (int, str):
            raise self.wrong_initial(initial, "null, a process or an owner's name")
        return _held(initial, 0)

    def admit(self, event: Event, asked: Event) -> Event:
        value = asked.value
        if event.type == "invoke":
            return event if value is not None else _with(event, event.process)
        if event.type != "ok":
            return event
        if type(value) is int:
            return _with(event, event.value is not False)
        if asked.f == "acquire" and event.value is not None and type(event.value) is not int:
            raise BadInput(
                f"history, event {event.index}: acquire of {value!r} gave {event.value!r}, "
                "expected a token or null; a lock of processes has no owner as value"
            )
        if asked.f == "release" and event.value in (None, value):
            return _with(event, True)
        return event

    def command(self, f: str, key: Any, value: Any) -> Any:
        if f == "acquire" and type(value) is int:
            return Take(value)
        if f == "release" and type(value) is int:
            return Give(value)
        return super().command(f, key, value)

    def event(self, command: Any) -> tuple[str, Any, Any]:
        if isinstance(command, Take):
            return "acquire", None, command.process
        if isinstance(command, Give):
            return "release", None, command.process
        return super().event(command)

    def apply(self, state: LockState, command: Any) -> tuple[LockState, Any]:
        if isinstance(command, Take):
            if state.owner is not None:
                return state, False
            return _held(command.process, state.token), True
        if isinstance(command, Give):
            owner: Any = state.owner
            if type(owner) is not int or owner != command.process:
                return state, False
            return LockState(None, state.token), True
        after, result = super().apply(state, command)
        if type(command) is Holder and state.token == 0:
            result = state.owner  # without a token
        return after, result


def _held(by: Any, token: int) -> LockState:
    return LockState(by, token)


def _with(event: Event, value: Any) -> Event:
    return msgspec.structs.replace(event, value=value)
