"""Numbers for values: equal values get one small int, so that states can be made of numbers.

Python says that 1 == True == 1.0 and that a NamedTuple equals the tuple of its fields. For a
checker these are different values, at any depth: a replica that stores True and one that stores 1
behave differently as soon as anybody prints, encodes or negates it. So whatever Python finds equal
is compared once more, with types. Values that share structure are cheap to compare: what is one
object on both sides needs no care, and a value that was not seen before costs one look-up.
"""

from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from concur.errors import ConcurError
from concur.values import Map, Set

SIMPLE = frozenset((int, str, bytes, bool, type(None)))
"""Two of one of these types that are == are the same."""


class TooMany(ConcurError):
    """A model has outgrown a field of its packed states."""


def same(one: Any, other: Any) -> bool:
    """Whether two values that Python calls equal also agree in their types, at every depth."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in SIMPLE:
        return True
    if kind is float:
        return bool(one.hex() == other.hex())  # 0.0 == -0.0, but 1 / 0.0 is not 1 / -0.0
    if isinstance(one, tuple):
        # Most of what two states hold is one object, and that costs no call here.
        return all(a is b or same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, msgspec.Struct):
        return same(msgspec.structs.astuple(one), msgspec.structs.astuple(other))
    if kind is Set or kind is frozenset:
        theirs = {item: item for item in other}
        return all(same(item, theirs[item]) for item in one)
    if kind is Map:
        if one._items is other._items:
            return True
        pairs = {key: (key, value) for key, value in other._items.items()}
        return all(same(pair, pairs[pair[0]]) for pair in one._items.items())
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return True  # a Log compares encodings, which tell types apart; others answer for themselves


class Numbers:
    """Numbers from 0 for values of one purpose, in order of first sight.

    Raises TooMany beyond `most`; `what` names the values in that error.
    """

    __slots__ = ("_numbers", "_twins", "most", "values", "what")

    def __init__(self, what: str, most: int) -> None:
        self.what = what
        self.most = most
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}
        self._twins: dict[int, list[int]] = {}
        """For a number, those of values that are == but of other types."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, number: int) -> Any:
        return self.values[number]

    def number(self, value: Any) -> int:
        """The number of `value`; a new one if it was never seen."""
        values = self.values
        known = self._numbers.get(value)
        if known is not None:
            if same(value, values[known]):
                return known
            for twin in self._twins.get(known, ()):
                if same(value, values[twin]):
                    return twin
        number = len(values)
        if number >= self.most:
            raise TooMany(f"more than {self.most:,} {self.what}: bound what makes them differ")
        values.append(value)  # before anybody can find its number: Ctrl-C may come at any time
        if known is None:
            self._numbers[value] = number
        else:
            self._twins.setdefault(known, []).append(number)
        return number
