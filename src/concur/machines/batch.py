"""Many commands of a machine as one command: one log entry, one execution, one reply.

Whoever has many commands at a time, as a gateway has of all its connections, joins them. Each is
applied in turn, and none of another batch comes between. A command that raises or is malformed has
an error for a result, as it would have alone, and the others are executed all the same.

The body is a MessagePack array of the commands, so that joining is no more than writing one behind
the other; the result is an array of encoded results, each as the machine alone would give it.

**A result is bounded.** Once the results fill RESULT_BYTES_MAX the rest of the batch is left out:
not executed, for certain, on any replica. So there may be fewer results than commands, but never
none. Ask again for the rest. With a write among the commands the bound is KEPT_BYTES_MAX, because
every replica keeps the results of writes, in case that somebody asks for them again.
"""

from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from concur.errors import BadInput
from concur.machines.base import Machine, RolledBack

S = TypeVar("S")
C = TypeVar("C")

COMMANDS_MAX = 1 << 16
"""Commands of one batch."""

RESULT_BYTES_MAX = 16 << 20
"""Bytes of results after which a batch ends; the last one may exceed it."""

KEPT_BYTES_MAX = 1 << 20
"""The same, if one of the commands is not read-only."""

RECALLED_MAX = 8
"""Decoded batches that are remembered: what a client has looked at, its replica executes next."""


class Malformed(msgspec.Struct, frozen=True, array_like=True, tag="malformed"):
    """Stands where a command should be that cannot be decoded."""

    words: str


class Batch(Machine[S, tuple[Any, ...]]):
    """`Batch(KeyValue())` replicates key-value stores by batches of their commands."""

    def __init__(self, inner: Machine[S, Any]) -> None:
        self.inner = inner
        self.name = f"{inner.name}-batch"  # type: ignore[misc]
        self.commands = inner.commands  # type: ignore[misc]
        self.pure = inner.pure  # type: ignore[misc]
        self._recalled: deque[tuple[bytes, tuple[Any, ...]]] = deque(maxlen=RECALLED_MAX)

    @staticmethod
    def join(bodies: Sequence[bytes]) -> bytes:
        """The batch of these encoded commands."""
        return _header(len(bodies)) + b"".join(bodies)

    @staticmethod
    def split(result: bytes) -> list[bytes]:
        """The encoded results of a batch. Raises BadInput if `result` is none of a batch."""
        try:
            return _split(result)
        except msgspec.DecodeError:
            raise BadInput(f"result of a batch: {len(result)} bytes, expected an array") from None

    def initial(self) -> S:
        return self.inner.initial()

    def apply(self, state: S, command: tuple[Any, ...]) -> tuple[S, tuple[bytes, ...]]:
        inner = self.inner
        apply = inner.apply
        results: list[bytes] = []
        size, most = 0, min(KEPT_BYTES_MAX, RESULT_BYTES_MAX)
        for each in command:
            try:
                if type(each) is Malformed:
                    raise BadInput(each.words)
                state, result = apply(state, each)
                encoded = _NONE if result is None else _encode(result)
            except (MemoryError, RolledBack):
                raise
            except RecursionError:  # the machine knows how to give the same result everywhere
                state, encoded = inner.run(state, inner.encode(each))
            except Exception as error:
                encoded = inner.encode_error(error)
            results.append(encoded)
            size += len(encoded)
            if size >= most:
                if most < RESULT_BYTES_MAX and self.read_only(command):
                    most = RESULT_BYTES_MAX
                if size >= most:
                    break
        return state, tuple(results)

    def read_only(self, command: tuple[Any, ...]) -> bool:
        read_only = self.inner.read_only
        return all(type(each) is Malformed or read_only(each) for each in command)

    def conflicts(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
        conflicts = self.inner.conflicts
        known = [each for each in b if type(each) is not Malformed]
        return any(conflicts(x, y) for x in a if type(x) is not Malformed for y in known)

    # --- bytes -----------------------------------------------------------------------------------

    def is_command(self, command: object) -> bool:
        return isinstance(command, tuple)

    def encode(self, command: tuple[Any, ...]) -> bytes:
        if not isinstance(command, tuple) or len(command) > COMMANDS_MAX:
            raise BadInput(f"command {self.name}: expected a tuple of at most {COMMANDS_MAX}")
        return self.join([self.inner.encode(each) for each in command])

    def decode(self, body: bytes) -> tuple[Any, ...]:
        """The commands, `Malformed` in the place of each that is none. Raises BadInput."""
        commands = self._at_once(body)
        if commands is None:
            commands = self._one_by_one(body)
        if len(commands) > COMMANDS_MAX:
            raise BadInput(f"command {self.name}: {len(commands)}, expected {COMMANDS_MAX} at most")
        return commands

    def recall(self, body: bytes) -> tuple[Any, ...]:
        """By identity: comparing large bodies would cost what decoding does."""
        for known, commands in self._recalled:
            if known is body:
                return commands
        commands = self.decode(body)
        self._recalled.append((body, commands))
        return commands

    def _at_once(self, body: bytes) -> tuple[Any, ...] | None:
        """None if one of them is malformed, or the machine has a way of its own to decode."""
        inner = self.inner
        if type(inner).decode is not Machine.decode:
            return None
        try:
            commands: tuple[Any, ...] = self._whole.decode(body)
            if type(inner).validate is not Machine.validate:
                for each in commands:
                    inner.validate(each)
        except (BadInput, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return commands

    def _one_by_one(self, body: bytes) -> tuple[Any, ...]:
        try:
            elements = _elements(body)
        except (msgspec.DecodeError, RecursionError):
            raise BadInput(
                f"command {self.name}: {len(body)} malformed bytes, expected an array of commands"
            ) from None
        commands: list[Any] = []
        for element in elements:
            try:
                commands.append(self.inner.decode(bytes(element)))
            except BadInput as wrong:
                commands.append(Malformed(str(wrong)))
        return tuple(commands)

    @cached_property
    def _whole(self) -> "msgspec.msgpack.Decoder[Any]":
        command: Any = self.inner._union
        return msgspec.msgpack.Decoder(tuple[command, ...])

    # --- history ---------------------------------------------------------------------------------

    def event(self, command: tuple[Any, ...]) -> tuple[str, Any, Any]:
        return "batch", None, tuple([self.inner.event(each) for each in command])

    def command(self, f: str, key: Any, value: Any) -> tuple[Any, ...]:
        if f != "batch" or not isinstance(value, tuple | list):
            raise self.unknown_event(f, key, value)
        return tuple([self.inner.command(*event) for event in value])

    # --- states ----------------------------------------------------------------------------------

    def snapshot(self, state: S) -> bytes:
        return self.inner.snapshot(state)

    def restore(self, data: bytes) -> S:
        return self.inner.restore(data)

    def capture(self, state: S) -> Any:
        return self.inner.capture(state)

    def release(self, captured: Any) -> S:
        return self.inner.release(captured)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Batch) and self.inner == other.inner

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Batch({self.inner!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Batch, (self.inner,)


def _header(count: int) -> bytes:
    """The beginning of a MessagePack array of `count` elements."""
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


_encode = msgspec.msgpack.Encoder().encode
_NONE = _encode(None)
_split = msgspec.msgpack.Decoder(list[bytes]).decode
_elements = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
