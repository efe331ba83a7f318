"""Which values are the same: 1, True and "1" are three, although Python says that 1 == True."""

from typing import Any


def identity(value: Any) -> Any:
    """A stand-in for `value`, equal to that of another only if their types agree as well."""
    kind = type(value)
    if kind is int or kind is str or value is None or kind is bytes:
        return value
    if kind is bool:
        return bool, int(value)  # no value holds a type, so nothing else looks like this
    if kind is tuple or kind is list:
        return tuple(map(identity, value))
    return kind, value


def holds_bool(value: Any) -> bool:
    """Whether `value` is or holds a bool, which Python would confuse with 0 or 1."""
    if type(value) is tuple:
        return any(map(holds_bool, value))
    return type(value) is bool
