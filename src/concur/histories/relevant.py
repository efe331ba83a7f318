"""The operations of a history that say something, and what they are to the specification.

What did not happen says nothing, nor does an observer without an outcome. All that is asked of the
others together (do their keys name machines?) is asked of these, by whoever finds an order and
whoever checks it again.
"""

from collections.abc import Sequence
from typing import Any

from concur.errors import BadInput
from concur.histories.admission import dropped, separate
from concur.histories.history import Operation
from concur.histories.specification import Specification


class Relevant:
    """`operations` with their `commands` and `numbers` in the history. `several`: every key names a
    machine of its own. Raises BadInput for an operation that is none of the machine's."""

    def __init__(self, operations: Sequence[Operation], machine: Specification) -> None:
        self.operations: list[Operation] = []
        self.commands: list[Any] = []
        self.numbers: list[int] = []
        observing: dict[Any, Any] = {}  # commands of which there are many
        for number, op in enumerate(operations):
            if op.type == "fail" and dropped(op):
                continue
            name = (op.f, op.key) if op.value is None and op.key.__class__ is str else None
            command = observing.get(name)
            if command is None:
                command = _command(machine, op)
                if name is not None:
                    observing[name] = command
            if op.type == "info" and machine.read_only(command):
                continue
            self.operations.append(op)
            self.commands.append(command)
            self.numbers.append(number)
        self.keys = [machine.key(command) for command in self.commands]
        self.several = None in self.keys and separate(machine, self.operations, self.commands)


def _command(machine: Specification, op: Operation) -> Any:
    try:
        return machine.command(op.f, op.key, op.value)
    except BadInput as error:
        raise BadInput(f"history, event {op.index}: {error}") from None
