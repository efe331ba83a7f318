"""One register: read, write, compare-and-set. The object of most of the theory."""

from typing import Any

from concur.errors import BadInput
from concur.machines.base import (
    Machine,
    MachineCommand,
    MachineError,
    Scalar,
    refuse_scalar,
    same,
)

VALUE_LENGTH_MAX = 1 << 20
"""Characters of a str, bytes of a bytes: one message's worth, not a file's."""


class Read(MachineCommand, frozen=True):
    """-> the value, None at first."""


class Write(MachineCommand, frozen=True):
    """-> None."""

    value: Scalar


class Cas(MachineCommand, frozen=True):
    """Set to `new` if the value is `old`, in type too -> whether it was."""

    old: Scalar
    new: Scalar


RegisterCommand = Read | Write | Cas


class Register(Machine[Scalar, RegisterCommand]):
    """One value that is read, written, and compared and set."""

    name = "register"
    commands = (Read, Write, Cas)

    def initial(self) -> Scalar:
        return None

    def apply(self, state: Scalar, command: RegisterCommand) -> tuple[Scalar, Any]:
        kind = type(command)
        if kind is Read:
            return state, state
        if kind is Write:
            return command.value, None  # type: ignore[union-attr]
        assert isinstance(command, Cas)
        if same(state, command.old):
            return command.new, True
        return state, False

    def validate(self, command: RegisterCommand) -> None:
        if isinstance(command, Read):
            return
        values = (command.value,) if isinstance(command, Write) else (command.old, command.new)
        for value in values:
            wrong = refuse_scalar(value, VALUE_LENGTH_MAX)
            if wrong:
                raise BadInput(f"register value: {wrong}")

    def read_only(self, command: RegisterCommand) -> bool:
        return type(command) is Read

    def event(self, command: RegisterCommand) -> tuple[str, Any, Any]:
        if isinstance(command, Cas):
            return "cas", None, (command.old, command.new)
        if isinstance(command, Write):
            return "write", None, command.value
        return "read", None, None

    def command(self, f: str, key: Any, value: Any) -> RegisterCommand:
        made: RegisterCommand
        if f == "read":
            return Read()
        if f == "write":
            made = Write(value)
        elif f == "cas" and isinstance(value, tuple | list) and len(value) == 2:
            made = Cas(*value)
        else:
            raise self.unknown_event(f, key, value)
        self.validate(made)
        return made

    def completion(self, command: RegisterCommand, result: Any) -> tuple[str, Any, str | None]:
        if type(result) is MachineError:
            return "fail", self.event(command)[2], str(result)
        if isinstance(command, Read):
            return "ok", result, None
        if isinstance(command, Write):
            return "ok", command.value, None
        value = (command.old, command.new)
        return ("ok", value, None) if result is True else ("fail", value, "mismatch")
