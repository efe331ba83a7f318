"""`Machine`: a replicated state machine as pure functions over values.

A machine is what a protocol replicates and, at the same time, the sequential specification that
the checkers hold a history against: one description, so the two cannot drift apart. A subclass
names its command types and writes two methods:

    class Add(MachineCommand, frozen=True):
        amount: int

    class Total(Machine[int, Add]):
        name = "total"
        commands = (Add,)

        def initial(self) -> int:
            return 0

        def apply(self, state: int, command: Add) -> tuple[int, int]:
            return state + command.amount, state + command.amount

Everything else has a safe default. `concur.machines.check_machine(Total)` says whether it is fit.

**What an error does.** An `apply` that raises changes nothing, and its result is a `MachineError`
of the exception's type name and message, which is as deterministic as the code that raised it:

* `Refused` and other exceptions with a message of one's own are the same on every replica.
* Wording of the interpreter's own errors may change between Python versions, so the replicas of a
  cluster should run one minor version. A message never decides what a machine does: after a mixed
  upgrade two replicas may word a refusal differently, but their states stay equal.
* Memory addresses in messages are blotted out; messages end after ERROR_LENGTH_MAX characters.
* RecursionError depends on how deep the caller's stack already was. So the command is applied once
  more on a fresh stack, and what happens there is what counts: the same on every replica.
* MemoryError depends on the host and never becomes a result: the node stops (CORE 1). The limits
  of a machine (`KEY_LENGTH_MAX` and the like) keep commands far away from it.
* What is not an Exception (KeyboardInterrupt, SystemExit) is nobody's result and passes through.
"""

import re
import threading
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, Union, get_type_hints

import msgspec

from concur import messages
from concur.errors import BadInput, ConcurError

S = TypeVar("S")
C = TypeVar("C")

if TYPE_CHECKING:
    Scalar: TypeAlias = bool | int | str | bytes | None
else:
    # msgspec refuses unions of str and bytes, so the type is checked by `refuse_scalar` instead.
    Scalar = Any

INT_MIN = -(1 << 63)
INT_MAX = (1 << 63) - 1
"""Bounds of the integers in commands, states and results: what every client library can hold."""

ERROR_LENGTH_MAX = 200
"""Characters of an exception's message that a result keeps: enough to understand it."""

MEMO_BODIES_MAX = 4096
MEMO_BYTES_MAX = 4096
"""Decoded commands that are remembered, each of at most so many bytes: 16 MiB in all. Every
replica of a simulated cluster decodes the same bodies within a short time."""

_ERROR_CODE = 1  # MessagePack extension type that sets errors apart from results


class Refused(ConcurError):
    """Raised by an `apply` which understands a command and will not do it. Changes nothing."""


class RolledBack(ConcurError):
    """A machine that cannot go back was asked to. Never a result: it stops the node."""


class MachineError(msgspec.Struct, frozen=True, array_like=True):
    """The result of a command whose `apply` raised: it did not happen, on any replica."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


def kebab(name: str) -> str:
    """`FetchAdd` -> `fetch-add`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


class MachineCommand(msgspec.Struct, frozen=True, array_like=True, tag=kebab):
    """Base of typed commands: immutable, and travels as `["fetch-add", field, ...]`.

    Type checkers want `frozen=True` repeated in each subclass.
    """


class Machine(Generic[S, C]):
    """A deterministic, stateless description. Equal by name and type; pickles by reference."""

    name: ClassVar[str]
    commands: ClassVar[tuple[type[msgspec.Struct], ...]]
    pure: ClassVar[bool] = True
    """States are immutable values: old ones may be kept, compared and gone back to. The model
    checker and protocols that speculate need this."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "commands" in cls.__dict__:
            refuse_kinds(getattr(cls, "name", cls.__name__), cls.commands)

    # --- what a machine is ---------------------------------------------------------------------

    def initial(self) -> S:
        """The state before any command. Its return annotation types the default `restore`."""
        raise NotImplementedError

    def apply(self, state: S, command: C) -> tuple[S, Any]:
        """The state after `command`, and its result: None, bool, int, str, bytes or a tuple of
        such. Pure: no clock, no chance, no order of sets, no change of `state`."""
        raise NotImplementedError

    def validate(self, command: C) -> None:
        """Raise BadInput if a field is out of bounds; `encode` and `decode` both ask."""

    def read_only(self, command: C) -> bool:
        """Whether `command` leaves every state as it is. The default claims nothing."""
        return False

    def conflicts(self, a: C, b: C) -> bool:
        """Whether the order of `a` and `b` may matter, to the state or to either result."""
        return not (self.read_only(a) and self.read_only(b))

    def key(self, command: C) -> Any:
        """The part of the state that `command` touches, or None for all of it. Commands of
        different keys never affect each other, so that a history may be checked key by key."""
        return None

    # --- bytes ---------------------------------------------------------------------------------

    def is_command(self, command: object) -> bool:
        """Whether it is made like a command of this machine; `validate` looks inside."""
        return type(command) in self.commands

    def encode(self, command: C) -> bytes:
        """Raises BadInput if it is no command, or a field is out of bounds or not encodable."""
        if not self.is_command(command):
            names = ", ".join(kind.__name__ for kind in self.commands)
            raise BadInput(f"command {self.name}: {_short(command)}, expected one of {names}")
        self.validate(command)
        try:
            return _encode(command)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BadInput(f"command {self.name}: {error}, got {_short(command)}") from None

    def decode(self, body: bytes) -> C:
        """Raises BadInput if `body` is not a command of this machine, or out of its bounds."""
        try:
            command: C = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # No words of msgspec's: they change between versions and this becomes a result.
            names = ", ".join(kind.__name__ for kind in self.commands)
            raise BadInput(
                f"command {self.name}: {len(body)} malformed bytes, expected one of {names}"
            ) from None
        self.validate(command)
        return command

    def recall(self, body: bytes) -> C:
        """`decode`, which remembers what it has decoded of late."""
        return self._remember(body) if len(body) <= MEMO_BYTES_MAX else self.decode(body)

    def run(self, state: S, body: bytes) -> tuple[S, bytes]:
        """Decode, apply, encode the result. An error is a result and leaves `state` as it was."""
        try:
            after, result = self.apply(state, self.recall(body))
            if result is None:
                return after, _NONE
            if result is True:
                return after, _TRUE
            if result is False:
                return after, _FALSE
            return after, _encode(result)
        except (MemoryError, RolledBack):
            raise
        except RecursionError:
            return self._run_on_fresh_stack(state, body)
        except Exception as error:
            return state, self.encode_error(error)

    def encode_result(self, result: Any) -> bytes:
        """Raises BadInput if `result` is not made of None, bool, int, str, bytes and tuples."""
        if isinstance(result, MachineError):
            return _encode(msgspec.msgpack.Ext(_ERROR_CODE, _encode(result)))
        wrong = refuse_result(result)
        if wrong:
            raise BadInput(f"result of {self.name}: {wrong}")
        return _encode(result)

    def decode_result(self, data: bytes) -> Any:
        """A value, or a MachineError. Raises BadInput if `data` is neither."""
        try:
            result = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(f"result of {self.name}: {error}, expected an encoded value") from None
        return _tuples(result) if type(result) is list else result

    def encode_error(self, error: BaseException) -> bytes:
        """The result that stands for a raised `error`, the same in every process."""
        try:
            words = str(error)
        except Exception:
            words = ""
        words = re.sub(r"0x[0-9a-fA-F]+", "0x...", words)[:ERROR_LENGTH_MAX]
        words = words.encode("utf-8", "replace").decode()
        return self.encode_result(MachineError(type(error).__name__, words))

    # --- history: the machine as a sequential specification ---------------------------------------

    def event(self, command: C) -> tuple[str, Any, Any]:
        """`(f, key, value)` of the invoke event of a history (DESIGN, section 5)."""
        struct: Any = command
        return _tag(type(struct)), None, msgspec.structs.astuple(struct)

    def command(self, f: str, key: Any, value: Any) -> C:
        """The inverse of `event`; tuples may come as lists. Raises BadInput."""
        try:
            made: C = msgspec.convert([f, *value], self._union)
        except (TypeError, msgspec.ValidationError) as error:
            raise self.unknown_event(f, key, value, str(error)) from None
        self.validate(made)
        return made

    def completion(self, command: C, result: Any) -> tuple[str, Any, str | None]:
        """`(type, value, error)` of the completing event: ok, or fail when it did not happen."""
        if type(result) is MachineError:
            return "fail", self.event(command)[2], str(result)
        return "ok", result, None

    def unknown_event(self, f: str, key: Any, value: Any, why: str = "") -> BadInput:
        known = ", ".join(_tag(kind) for kind in self.commands)
        return BadInput(
            f"event {_short(f)} (key {_short(key)}, value {_short(value)}): {why or 'unknown'}, "
            f"expected an operation of {self.name}: {known}"
        )

    # --- states --------------------------------------------------------------------------------

    def snapshot(self, state: S) -> bytes:
        """The canonical encoding: equal states give equal bytes."""
        return messages.encode(state)

    def restore(self, data: bytes) -> S:
        """The inverse of `snapshot`. Raises BadInput if `data` is not a snapshot."""
        state: S = messages.decode(data, self._state_type)
        return state

    def capture(self, state: S) -> Any:
        """What a protocol keeps as the machine's part of its snapshot: here the state itself."""
        return state

    def release(self, captured: Any) -> S:
        """A state to go on from, out of what `capture` returned, any number of times."""
        state: S = captured
        return state

    # --- below -----------------------------------------------------------------------------------

    @cached_property
    def _union(self) -> Any:
        refuse_kinds(self.name, self.commands)
        return Union[tuple(self.commands)]  # noqa: UP007 - of a computed tuple

    @cached_property
    def _decoder(self) -> "msgspec.msgpack.Decoder[Any]":
        try:
            return msgspec.msgpack.Decoder(self._union)
        except TypeError as error:
            raise BadInput(f"machine {self.name}: commands: {error}") from None

    @cached_property
    def _remember(self) -> Callable[[bytes], C]:
        self._decoder  # noqa: B018 - bad command types are reported here, not as a result
        return lru_cache(MEMO_BODIES_MAX)(self.decode)

    @cached_property
    def _state_type(self) -> Any:
        kind = get_type_hints(type(self).initial).get("return")
        if kind is None or isinstance(kind, TypeVar):
            raise BadInput(
                f"machine {self.name}: the type of its state is unknown, expected a return "
                "annotation of initial(), or restore() of its own"
            )
        return kind

    def _run_on_fresh_stack(self, state: S, body: bytes) -> tuple[S, bytes]:
        """Success on a deep stack implies success on a shallow one, so the shallow one decides."""
        outcome: list[tuple[S, bytes] | BaseException] = []

        def attempt() -> None:
            try:
                after, result = self.apply(state, self.decode(body))
                outcome.append((after, _encode(result)))
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        ended = outcome[0]
        if not isinstance(ended, BaseException):
            return ended
        if isinstance(ended, RecursionError):
            return state, self.encode_error(RecursionError("nested too deeply"))
        if isinstance(ended, Exception) and not isinstance(ended, MemoryError | RolledBack):
            return state, self.encode_error(ended)
        raise ended

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_union", "_decoder", "_remember", "_state_type")
        return {key: value for key, value in self.__dict__.items() if key not in derived}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Machine):
            return NotImplemented
        return type(self) is type(other) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def refuse_kinds(name: str, kinds: tuple[type[msgspec.Struct], ...]) -> None:
    """Raise BadInput unless `kinds` can be told apart in bytes and never change."""
    if not kinds:
        raise BadInput(f"machine {name}: no commands, expected at least one Struct type")
    for kind in kinds:
        config = getattr(kind, "__struct_config__", None)
        if not (config and config.frozen and config.array_like and config.tag is not None):
            raise BadInput(
                f"machine {name}: command {getattr(kind, '__name__', kind)} is no frozen Struct "
                "with a tag, expected class ...(MachineCommand, frozen=True)"
            )


def same(a: Any, b: Any) -> bool:
    """Equality that tells `1` from `True`."""
    return bool(a == b) and type(a) is type(b)


def refuse_scalar(value: Any, length_max: int) -> str | None:
    """Why `value` is no scalar of at most `length_max` characters or bytes; None if it is one."""
    kind = type(value)
    if kind is str or kind is bytes:
        return refuse_length(value, length_max)
    if kind is int:
        return refuse_int(value)
    if value is None or kind is bool:
        return None
    return f"a {kind.__name__}, expected None, bool, int, str or bytes"


def refuse_length(value: str | bytes, length_max: int) -> str | None:
    if len(value) <= length_max:
        return None
    unit = "characters" if type(value) is str else "bytes"
    return f"{len(value)} {unit}, expected at most {length_max}"


def refuse_int(value: int) -> str | None:
    if INT_MIN <= value <= INT_MAX:
        return None
    return f"an integer of {value.bit_length()} bits, expected 64 bits with sign"


def refuse_result(result: Any) -> str | None:
    """Why `result` is not a result: something that does not come back equal from its bytes."""
    if type(result) is tuple:
        return next(filter(None, map(refuse_result, result)), None)
    if type(result) is int:
        return refuse_int(result)
    if result is None or type(result) in (bool, str, bytes):
        return None
    return f"a {type(result).__name__}, expected None, bool, int, str, bytes or tuples of such"


_encode = msgspec.msgpack.Encoder().encode
_NONE, _TRUE, _FALSE = _encode(None), _encode(True), _encode(False)


def _error_hook(code: int, data: memoryview) -> Any:
    if code != _ERROR_CODE:
        raise msgspec.DecodeError(f"extension type {code}")
    return _decode_error(bytes(data))


_decode_error = msgspec.msgpack.Decoder(MachineError).decode
_decode = msgspec.msgpack.Decoder(ext_hook=_error_hook).decode


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if type(value) is list else value


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 80 else words[:77] + "..."
