"""Seeing early that a read cannot be explained any more.

A search notices a wrong order only when a later read is refused, and until then it tries all the
orders of what is open. With appends of different values nearly every order is a state of its own,
so that the memo does not help: ten open appends are ten factorial orders. But the read tells
their order. A lookahead answers, for the state a search is in, the value that the next read to
return has seen, and the commands that may still come before that read: can that be?
"""

from collections.abc import Callable, Iterable
from typing import Any

from concur.machines.base import Scalar, same
from concur.machines.kv import Append, Cas, Delete, Get, KeyValue, Put

Lookahead = Callable[[Any, Any, Any, Iterable[Any]], bool]
"""(state, reading command, what it returned, commands that may precede it) -> False if hopeless."""


def kv_hopeful(state: Any, reading: Any, wanted: Scalar, available: Iterable[Any]) -> bool:
    """For commands on one key of `KeyValue`.

    Take any way from here to the value wanted. If nothing on it sets the value outright, its first
    change is an append to what is there now, and the result is a prefix of what is wanted. Else
    the last command that sets it sets it to what is wanted or a prefix of that.
    """
    if type(reading) is not Get:
        return True
    now = state.get(reading.key)
    if same(now, wanted):
        return True
    for command in available:
        if type(command) is Append:
            start = command.value if now is None else now
            if now is not None and type(now) is type(command.value):
                start = now + command.value  # type: ignore[operator]
            if start is not now and _extends(wanted, start):
                return True
        elif type(command) is Put:
            if _extends(wanted, command.value):
                return True
        elif type(command) is Cas:
            if _extends(wanted, command.new):
                return True
        elif type(command) is not Delete or _extends(wanted, None):
            return True
    return False


def _extends(wanted: Scalar, start: Scalar) -> bool:
    """Whether appends can make `wanted` of `start`; None is absent, to which one can append."""
    if start is None:
        return wanted is None or isinstance(wanted, str | bytes)
    if isinstance(start, str):
        return isinstance(wanted, str) and wanted.startswith(start)
    if isinstance(start, bytes):
        return isinstance(wanted, bytes) and wanted.startswith(start)
    return same(start, wanted)


LOOKAHEADS: dict[type, Lookahead] = {KeyValue: kv_hopeful}
"""For the objects of these machines, one key each."""
