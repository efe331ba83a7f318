"""Commands of any machine, drawn from the declared types of their fields.

Drawn so that they meet: few names, small numbers, and now and then something odd (an empty or a
non-ASCII string, a large integer).
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines.base import Machine

WORDS = (
    "ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "ida", "jon", "kim", "leo",
    "ann", "bob", "cyd", "", "\u00e9t\u00e9", "a longer name with spaces in it",
)  # fmt: skip
INTS = (0, 1, 2, 3, 4, 5, 1, 2, 3, 1, 7, 10, -1, 100, 1 << 20, 1 << 40)

TRIES_MAX = 100
"""Draws for one command before a machine that refuses them all is reported."""

Draw = Callable[[Stream], Any]


class Sampler:
    """Draws commands of `machine`. Raises BadInput for a field type it cannot draw."""

    def __init__(self, machine: Machine[Any, Any]) -> None:
        self.machine = machine
        self._makers = [_struct(inspect.type_info(kind)) for kind in machine.commands]

    def draw(self, stream: Stream) -> Any:
        """One command that the machine accepts."""
        wrong = BadInput("")
        for _ in range(TRIES_MAX):
            try:
                made = self._makers[stream.below(len(self._makers))](stream)
                # Through bytes, so that it is what a replica would see.
                return self.machine.decode(msgspec.msgpack.encode(made))
            except BadInput as error:
                wrong = error
        raise BadInput(
            f"machine {self.machine.name}: no acceptable command in {TRIES_MAX} draws from the "
            f"field types, expected explicit commands ({wrong})"
        )

    def commands(self, stream: Stream) -> Iterator[Any]:
        while True:
            yield self.draw(stream)


def _struct(info: Any) -> Draw:
    assert isinstance(info, inspect.StructType)
    fields = [_maker(field.type, f"{info.cls.__name__}.{field.name}") for field in info.fields]
    return lambda stream: info.cls(*(field(stream) for field in fields))


def _maker(info: inspect.Type, where: str) -> Draw:
    if isinstance(info, inspect.AnyType):  # what a Scalar is to msgspec
        scalars = inspect.StrType(), inspect.IntType(), inspect.NoneType(), inspect.BoolType()
        return _one_of([_maker(kind, where) for kind in (*scalars, inspect.BytesType())])
    if isinstance(info, inspect.NoneType):
        return lambda stream: None
    if isinstance(info, inspect.BoolType):
        return lambda stream: stream.below(2) == 1
    if isinstance(info, inspect.IntType):
        return _ints(info)
    if isinstance(info, inspect.StrType):
        return _strings(info.min_length or 0, info.max_length)
    if isinstance(info, inspect.BytesType):
        string = _strings(info.min_length or 0, info.max_length)
        return lambda stream: string(stream).encode("ascii", "replace")
    if isinstance(info, inspect.LiteralType):
        literals = tuple(info.values)
        return lambda stream: stream.choice(literals)
    if isinstance(info, inspect.EnumType):
        members = tuple(info.cls)
        return lambda stream: stream.choice(members)
    if isinstance(info, inspect.UnionType):
        return _one_of([_maker(kind, where) for kind in info.types])
    if isinstance(info, inspect.TupleType):
        items = [_maker(kind, where) for kind in info.item_types]
        return lambda stream: tuple(item(stream) for item in items)
    if isinstance(info, inspect.VarTupleType):
        item = _maker(info.item_type, where)
        return lambda stream: tuple(item(stream) for _ in range(stream.below(4)))
    if isinstance(info, inspect.StructType):
        return _struct(info)
    if isinstance(info, inspect.Metadata):
        return _maker(info.type, where)
    raise BadInput(
        f"command field {where}: cannot draw a {type(info).__name__.removesuffix('Type').lower()}, "
        "expected None, bool, int, str, bytes, tuples or Structs of such, or explicit commands"
    )


def _one_of(makers: list[Draw]) -> Draw:
    return lambda stream: stream.choice(makers)(stream)


def _ints(info: inspect.IntType) -> Draw:
    low = info.ge if info.ge is not None else None if info.gt is None else info.gt + 1
    high = info.le if info.le is not None else None if info.lt is None else info.lt - 1
    step = info.multiple_of or 1

    def draw(stream: Stream) -> int:
        value = stream.choice(INTS) * step
        if low is not None and value < low:
            value = -(-low // step) * step + abs(value)
        if high is not None and value > high:
            value = high // step * step
        return value

    return draw


def _strings(length_min: int, length_max: int | None) -> Draw:
    def draw(stream: Stream) -> str:
        return stream.choice(WORDS).ljust(length_min, "x")[:length_max]

    return draw
