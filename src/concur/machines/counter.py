"""A counter: read, add, fetch-and-add. Its additions commute, which some protocols exploit."""

from typing import Any

from concur.errors import BadInput
from concur.machines.base import (
    INT_MAX,
    INT_MIN,
    Machine,
    MachineCommand,
    MachineError,
    Refused,
    refuse_int,
)

AMOUNT_MAX = 1 << 31
"""Largest amount, either way, of one addition."""


class Read(MachineCommand, frozen=True):
    """-> the total, 0 at first."""


class Add(MachineCommand, frozen=True):
    """-> None."""

    amount: int


class FetchAdd(MachineCommand, frozen=True):
    """-> the total before."""

    amount: int


CounterCommand = Read | Add | FetchAdd


class Counter(Machine[int, CounterCommand]):
    """An integer that is read and added to.

    The total itself has no bounds, so that additions always commute; what is refused is to tell
    a total that does not fit 64 bits, and for a fetch-add that means that nothing is added.
    """

    name = "counter"
    commands = (Read, Add, FetchAdd)

    def initial(self) -> int:
        return 0

    def apply(self, state: int, command: CounterCommand) -> tuple[int, Any]:
        if isinstance(command, Add):
            return state + command.amount, None
        if not INT_MIN <= state <= INT_MAX:
            raise Refused("the total does not fit 64 bits")
        return (state if isinstance(command, Read) else state + command.amount), state

    def validate(self, command: CounterCommand) -> None:
        if isinstance(command, Read):
            return
        if type(command.amount) is not int:
            raise BadInput(f"counter amount: {command.amount!r}, expected an integer")
        if not -AMOUNT_MAX <= command.amount <= AMOUNT_MAX:
            wrong = refuse_int(command.amount) or str(command.amount)
            raise BadInput(f"counter amount: {wrong}, expected {AMOUNT_MAX} at most, either way")

    def read_only(self, command: CounterCommand) -> bool:
        return type(command) is Read

    def conflicts(self, a: CounterCommand, b: CounterCommand) -> bool:
        return type(a) is not type(b) or type(a) is FetchAdd

    def event(self, command: CounterCommand) -> tuple[str, Any, Any]:
        if isinstance(command, Read):
            return "read", None, None
        return ("add" if isinstance(command, Add) else "fetch-add"), None, command.amount

    def command(self, f: str, key: Any, value: Any) -> CounterCommand:
        made: CounterCommand
        if f == "read":
            return Read()
        if f == "add":
            made = Add(value)
        elif f == "fetch-add":
            made = FetchAdd(value)
        else:
            raise self.unknown_event(f, key, value)
        self.validate(made)
        return made

    def completion(self, command: CounterCommand, result: Any) -> tuple[str, Any, str | None]:
        """An add that is ok repeats its amount; a fetch-add has the total before."""
        if type(result) is MachineError:
            return "fail", self.event(command)[2], str(result)
        return "ok", (command.amount if isinstance(command, Add) else result), None

    def snapshot(self, state: int) -> bytes:
        return b"%d" % state

    def restore(self, data: bytes) -> int:
        try:
            return int(data)
        except ValueError:
            raise BadInput(f"counter snapshot: {data[:20]!r}, expected a decimal number") from None
