"""At most once: the machine that is replicated, counting how often each command was executed.

The count is part of the machine's state, so it goes wherever that goes: into snapshots, from one
replica to another, back with a speculation that is given up, and it is gone after a crash. A
protocol sees nothing of it. So it does not matter how a command came to be executed twice: by a
session table that forgot, one that nobody asked, or a client that took another number when it
asked again.

Commands are told apart by their bytes, and may be executed as often as clients ask for them in all
their scripts; so give each command of a scenario bytes of its own. Those that only read do not
count, for they may be answered again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from concur import messages
from concur.errors import BadInput
from concur.machines import Machine
from concur.values import Map

AT_MOST_ONCE = "at_most_once"

DELEGATED = (
    "validate", "read_only", "conflicts", "key", "is_command", "encode", "decode", "recall",
    "encode_result", "decode_result", "event", "command", "completion",
)  # fmt: skip
"""What has nothing to do with states."""


class Executed(msgspec.Struct, frozen=True, array_like=True):
    """A machine's `state`, and how often each command was executed on the way there. `repeated` is
    the first that was executed too often."""

    state: Any
    times: Map[bytes, int] = Map()
    repeated: bytes = b""


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """The same in bytes."""

    state: bytes
    times: tuple[tuple[bytes, int], ...]
    repeated: bytes


class Counting(Machine[Executed, Any]):
    """`machine`, where no command may be executed more often than `asked` says, if it is there."""

    def __init__(self, machine: Machine[Any, Any], asked: Mapping[bytes, int]) -> None:
        self.machine = machine
        self.asked = dict(asked)
        # Of the instance, where other machines have them of the class: one class, many machines.
        self.name = machine.name  # type: ignore[misc]
        self.commands = machine.commands  # type: ignore[misc]
        for verb in DELEGATED:
            setattr(self, verb, getattr(machine, verb))

    def initial(self) -> Executed:
        return Executed(self.machine.initial())

    def apply(self, state: Executed, command: Any) -> tuple[Executed, Any]:
        after, result = self.machine.apply(state.state, command)
        return self._counted(state, after, self.machine.encode(command)), result

    def run(self, state: Executed, body: bytes) -> tuple[Executed, bytes]:
        after, result = self.machine.run(state.state, body)
        return self._counted(state, after, body), result

    def _counted(self, before: Executed, after: Any, body: bytes) -> Executed:
        try:
            if self.machine.read_only(self.machine.recall(body)):
                return before
        except BadInput:  # no command of this machine: its result says so, and that is all
            return before
        times = before.times.get(body, 0) + 1
        too_often = not before.repeated and times > self.asked.get(body, times)
        return Executed(
            after, before.times.put(body, times), body if too_often else before.repeated
        )

    # --- states -----------------------------------------------------------------------------------

    def snapshot(self, state: Executed) -> bytes:
        packed = Packed(
            self.machine.snapshot(state.state), tuple(state.times.items()), state.repeated
        )
        return messages.encode(packed)

    def restore(self, data: bytes) -> Executed:
        packed = messages.decode(data, Packed)
        return Executed(self.machine.restore(packed.state), Map(packed.times), packed.repeated)

    def capture(self, state: Executed) -> Executed:
        return Executed(self.machine.capture(state.state), state.times, state.repeated)

    def release(self, captured: Any) -> Executed:
        return Executed(self.machine.release(captured.state), captured.times, captured.repeated)


def repeated(state: Any) -> bytes:
    """The command that was executed too often on the way to this state of a machine, if any."""
    return state.repeated if type(state) is Executed else b""
