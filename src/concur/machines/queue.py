"""First-in first-out queues: enqueue, dequeue, peek, length.

There are as many queues as there are names. A queue that nothing was put into and one that has run
empty are the same; a dequeue from either gives None, which therefore no item can be.
"""

from typing import Any

import msgspec

from concur.errors import BadInput
from concur.machines.base import (
    Machine,
    MachineCommand,
    MachineError,
    Refused,
    Scalar,
    refuse_length,
    refuse_scalar,
)
from concur.values import Map

NAME_LENGTH_MAX = 1024
"""Characters of a queue's name."""

VALUE_LENGTH_MAX = 1 << 20
"""Characters of a str, bytes of a bytes: one message's worth, not a file's."""

LENGTH_MAX = 100_000
"""Items of one queue. A queue that is full refuses: its consumers are behind, and somebody should
notice before memory does."""


class Enqueue(MachineCommand, frozen=True):
    """Put a value, anything but None, at the end -> None. Refused if the queue is full."""

    queue: str
    value: Scalar


class Dequeue(MachineCommand, frozen=True):
    """Take the oldest value -> that value, None if the queue is empty.

    Whoever loses the answer has lost the value as well: a dequeue acknowledges itself.
    """

    queue: str


class Peek(MachineCommand, frozen=True):
    """-> the oldest value, which stays; None if the queue is empty."""

    queue: str


class Length(MachineCommand, frozen=True):
    """-> how many values there are."""

    queue: str


QueueCommand = Enqueue | Dequeue | Peek | Length


class Items(msgspec.Struct, frozen=True, array_like=True):
    """What one queue holds: values under consecutive numbers, from `first`, the oldest.

    Numbers go on until the queue runs empty, and begin at 0 again. Both ends are one change of a
    map away, however long the queue is; a tuple would be copied each time.
    """

    first: int
    values: Map[int, Scalar]


QueueState = Map[str, Items]


class Queue(Machine[QueueState, QueueCommand]):
    """Named first-in first-out queues of scalars."""

    name = "queue"
    commands = (Enqueue, Dequeue, Peek, Length)

    def initial(self) -> QueueState:
        return Map()

    def apply(self, state: QueueState, command: QueueCommand) -> tuple[QueueState, Any]:
        name = command.queue
        items = state.get(name)
        if isinstance(command, Enqueue):
            if items is None:
                return state.put(name, Items(0, Map({0: command.value}))), None
            length = len(items.values)
            if length >= LENGTH_MAX:
                raise Refused(f"the queue is full: {length} values")
            longer = items.values.put(items.first + length, command.value)
            return state.put(name, Items(items.first, longer)), None
        if isinstance(command, Length):
            return state, 0 if items is None else len(items.values)
        if items is None:
            return state, None
        oldest = items.values[items.first]
        if isinstance(command, Peek):
            return state, oldest
        if len(items.values) == 1:
            return state.remove(name), oldest
        rest = Items(items.first + 1, items.values.remove(items.first))
        return state.put(name, rest), oldest

    def validate(self, command: QueueCommand) -> None:
        wrong = refuse_length(command.queue, NAME_LENGTH_MAX)
        if wrong:
            raise BadInput(f"queue name: {wrong}")
        if isinstance(command, Enqueue):
            if command.value is None:
                raise BadInput("queue value: None, expected a value; None tells that it is empty")
            wrong = refuse_scalar(command.value, VALUE_LENGTH_MAX)
            if wrong:
                raise BadInput(f"queue value: {wrong}")

    def read_only(self, command: QueueCommand) -> bool:
        return isinstance(command, Peek | Length)

    def conflicts(self, a: QueueCommand, b: QueueCommand) -> bool:
        return a.queue == b.queue and not (self.read_only(a) and self.read_only(b))

    def key(self, command: QueueCommand) -> str:
        return command.queue

    def event(self, command: QueueCommand) -> tuple[str, Any, Any]:
        if isinstance(command, Enqueue):
            return "enqueue", command.queue, command.value
        if isinstance(command, Dequeue):
            return "dequeue", command.queue, None
        return ("peek" if isinstance(command, Peek) else "length"), command.queue, None

    def command(self, f: str, key: Any, value: Any) -> QueueCommand:
        """As `Machine.command`; a history without keys is of one queue, whose name is empty."""
        made: QueueCommand
        name = "" if key is None else key
        if type(name) is not str:
            raise self.unknown_event(f, key, value)
        if f == "enqueue":
            made = Enqueue(name, value)
        elif f == "dequeue":
            made = Dequeue(name)
        elif f == "peek":
            made = Peek(name)
        elif f == "length":
            made = Length(name)
        else:
            raise self.unknown_event(f, key, value)
        self.validate(made)
        return made

    def completion(self, command: QueueCommand, result: Any) -> tuple[str, Any, str | None]:
        """An enqueue that is ok repeats the value; the others have what was told."""
        if type(result) is MachineError:
            return "fail", self.event(command)[2], str(result)
        return "ok", (command.value if isinstance(command, Enqueue) else result), None
