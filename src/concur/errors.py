"""The errors that Concur raises on purpose. Whatever else escapes is a bug of ours."""


class ConcurError(Exception):
    """Base of all errors raised on purpose."""


class BadInput(ConcurError, ValueError):
    """Something that a person typed, or a file that they named, is wrong.

    The message is one line: what is wrong, where, and what was expected. The command line prints
    it without a traceback and exits with status 2.
    """


def whole(name: str, value: int, least: int, most: int) -> None:
    """Raise BadInput unless `value` is a whole number between the bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{name}: {value!r}, expected a whole number from {least} to {most}")


def between(name: str, value: float, least: float, most: float) -> None:
    """Raise BadInput unless `value` is a number between the bounds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{name}: {value!r}, expected a number from {least:g} to {most:g}")
