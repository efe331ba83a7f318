"""A lock with fencing tokens.

A lock service alone cannot protect a resource: a holder may pause, lose the lock and wake up. So
each grant carries a token, strictly larger than every earlier one, and the resource refuses a token
smaller than the largest that it has seen.
"""

from typing import Any

import msgspec

from concur.errors import BadInput
from concur.machines.base import Machine, MachineCommand, refuse_int, refuse_length

OWNER_LENGTH_MAX = 256
"""Characters of an owner's name."""


class Acquire(MachineCommand, frozen=True):
    """-> a token, or None if anyone holds the lock, the owner itself included.

    An owner that lost the answer asks `Holder`.
    """

    owner: str


class Release(MachineCommand, frozen=True):
    """-> whether `owner` held the lock by that `token`; if so, it is free now."""

    owner: str
    token: int


class Holder(MachineCommand, frozen=True):
    """-> (owner, token), or None if the lock is free."""


LockCommand = Acquire | Release | Holder


class LockState(msgspec.Struct, frozen=True, array_like=True):
    """`owner` is None while the lock is free; `token` is the last one granted, 0 before any."""

    owner: str | None = None
    token: int = 0


class Lock(Machine[LockState, LockCommand]):
    """A lock with one owner at a time and strictly increasing fencing tokens."""

    name = "lock"
    commands = (Acquire, Release, Holder)

    def initial(self) -> LockState:
        return LockState()

    def apply(self, state: LockState, command: LockCommand) -> tuple[LockState, Any]:
        if isinstance(command, Acquire):
            if state.owner is not None:
                return state, None
            token = state.token + 1
            return LockState(command.owner, token), token
        if isinstance(command, Release):
            if state.owner != command.owner or state.token != command.token:
                return state, False
            return LockState(None, state.token), True
        return state, None if state.owner is None else (state.owner, state.token)

    def validate(self, command: LockCommand) -> None:
        if isinstance(command, Holder):
            return
        if type(command.owner) is not str:
            raise BadInput(f"lock owner: {command.owner!r}, expected a string")
        wrong = refuse_length(command.owner, OWNER_LENGTH_MAX)
        if wrong:
            raise BadInput(f"lock owner: {wrong}")
        if isinstance(command, Release):
            if type(command.token) is not int:
                raise BadInput(f"lock token: {command.token!r}, expected an integer")
            wrong = refuse_int(command.token)
            if wrong:
                raise BadInput(f"lock token: {wrong}")

    def read_only(self, command: LockCommand) -> bool:
        return type(command) is Holder

    def event(self, command: LockCommand) -> tuple[str, Any, Any]:
        if isinstance(command, Acquire):
            return "acquire", None, command.owner
        if isinstance(command, Release):
            return "release", None, (command.owner, command.token)
        return "holder", None, None

    def command(self, f: str, key: Any, value: Any) -> LockCommand:
        made: LockCommand
        if f == "holder":
            return Holder()
        if f == "acquire":
            made = Acquire(value)
        elif f == "release" and isinstance(value, tuple | list) and len(value) == 2:
            made = Release(*value)
        else:
            raise self.unknown_event(f, key, value)
        self.validate(made)
        return made
