"""Operations of which one knows that they returned, and when, but not what they were told.

That says less of an operation than its record does and more than nothing: whatever explains a
history also explains it with such operations in it, for an outcome that is not asked for cannot be
wrong. A lock needs it. Of a release that is forgotten altogether nobody knows when it acts, so it
may free a lock long after it returned, and a contradiction then needs every release there ever was.
"""

from typing import Any

import msgspec

from concur.histories.history import Operation
from concur.histories.specification import Specification


class _NotTold:
    def __repr__(self) -> str:
        return "UNTOLD"


UNTOLD: Any = _NotTold()
"""The result of an operation that is ok, whatever it was told."""


def untold(op: Operation) -> Operation:
    return msgspec.structs.replace(op, type="ok", result=UNTOLD, error=None)


class Untold:
    """A specification that takes UNTOLD for an outcome that says nothing. Of a type of its own: the
    polynomial algorithms, which know the results of their operations, do not apply."""

    def __init__(self, machine: Specification) -> None:
        self.machine = machine

    def __getattr__(self, name: str) -> Any:
        if name == "machine":
            raise AttributeError(name)
        return getattr(self.machine, name)

    def unrecorded(self, f: str, value: Any, result: Any) -> bool:
        ask = getattr(self.machine, "unrecorded", None)
        return result is UNTOLD or (ask is not None and bool(ask(f, value, result)))
