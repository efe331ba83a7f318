"""Several registers: a `txn` reads and writes any of them, one after the other, in one instant.

    {"f": "txn", "value": [["r", "x", null], ["w", "y", 2]]} -> [["r", "x", 1], ["w", "y", 2]]

A `read` or `write` of one key is a transaction of one. All keys have the same initial value.
"""

from typing import Any

import msgspec

from concur.errors import BadInput
from concur.histories.history import Event
from concur.histories.models.base import Model, fit, frozen, name_of
from concur.machines.base import MachineCommand, same
from concur.values import Map

READ, WRITE = "r", "w"


class Txn(MachineCommand, frozen=True):
    """-> what the steps read and wrote."""

    steps: tuple[tuple[str, Any, Any], ...]


class Read(MachineCommand, frozen=True):
    """-> the value."""

    of: Any


class Write(MachineCommand, frozen=True):
    """-> None."""

    of: Any
    value: Any


class MultiRegisterModel(Model):
    """`txn` with a list of [r, key, null] and [w, key, value]; `read`, `write` with a key.
    Initially null, or any scalar, everywhere."""

    name = "multi-register"
    keyed = True
    words = ("txn",)
    commands = (Txn, Read, Write)
    blind = ("write",)

    def initial(self) -> Map[Any, Any]:
        return Map()

    def read_only(self, command: Any) -> bool:
        if isinstance(command, Txn):
            return all(kind == READ for kind, _, _ in command.steps)
        return isinstance(command, Read)

    def key(self, command: Any) -> Any:
        """One key can be checked alone; a transaction over several joins them all."""
        if not isinstance(command, Txn):
            return command.of
        if len({name_of(key) for _, key, _ in command.steps}) == 1:
            return command.steps[0][1]
        return None

    def unrecorded(self, f: str, value: Any, result: Any) -> bool:
        return (f == "txn" and result is None) or super().unrecorded(f, value, result)

    def admit(self, event: Event, asked: Event) -> Event:
        """Steps are tuples of three, and an invocation does not know yet what it reads."""
        if event.type not in ("invoke", "ok") or (event.type == "ok" and event.value is None):
            return event
        try:
            steps = _steps(event.value, event.type == "invoke")
        except BadInput as error:
            raise BadInput(f"history, event {event.index}: {error}") from None
        return msgspec.structs.replace(event, value=steps)

    def command(self, f: str, key: Any, value: Any) -> Any:
        if f == "txn":
            return Txn(_steps(value, True))
        if key is None or not fit(value):
            raise self.unknown_event(f, key, value)
        if f == "read":
            return Read(key)
        if f == "write":
            return Write(key, frozen(value))
        raise self.unknown_event(f, key, value)

    def event(self, command: Any) -> tuple[str, Any, Any]:
        if isinstance(command, Txn):
            return "txn", self.key(command), command.steps
        if isinstance(command, Read):
            return "read", command.of, None
        return "write", command.of, command.value

    def apply(self, state: Map[Any, Any], command: Any) -> tuple[Map[Any, Any], Any]:
        if isinstance(command, Read):
            return state, state.get(name_of(command.of), self.start)
        if isinstance(command, Write):
            return self._write(state, command.of, command.value), None
        done = []
        for kind, key, value in command.steps:
            if kind == READ:
                value = state.get(name_of(key), self.start)
            else:
                state = self._write(state, key, value)
            done.append((kind, key, value))
        return state, tuple(done)

    def _write(self, state: Map[Any, Any], key: Any, value: Any) -> Map[Any, Any]:
        name = name_of(key)
        return state.discard(name) if same(value, self.start) else state.put(name, value)


def _steps(value: Any, asked: bool) -> tuple[tuple[str, Any, Any], ...]:
    if not isinstance(value, tuple | list) or not value:
        raise BadInput(f"txn {value!r}, expected a list of [r, key, null] and [w, key, value]")
    steps = []
    for step in value:
        if not isinstance(step, tuple | list) or len(step) != 3 or step[0] not in (READ, WRITE):
            raise BadInput(f"txn step {step!r}, expected [r, key, null] or [w, key, value]")
        kind, key, of = frozen(step)
        if key is None:
            raise BadInput(f"txn step {step!r}, expected a key")
        steps.append((kind, key, None if asked and kind == READ else of))
    return tuple(steps)
