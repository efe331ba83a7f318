"""Operations in words, for the person who has to find out what went wrong."""

from typing import Any

from concur.histories.history import Operation

PHRASE_CHARS_MAX = 60


def phrase(value: Any) -> str:
    """`value`, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= PHRASE_CHARS_MAX else text[: PHRASE_CHARS_MAX - 3] + "..."


def describe(op: Operation) -> str:
    """One line: who did what, what came of it, when, and in which events of the history."""
    asked = ", ".join(phrase(v) for v in (op.key, op.value) if v is not None)
    if op.type == "ok":
        came = "ok" if op.result is None and op.value is not None else phrase(op.result)
    elif op.type == "fail":
        came = f"refused ({op.error})" if op.error else "refused"
    else:
        came = "unknown"
    events = f"event {op.index}"
    if op.return_index is not None:
        events = f"events {op.index}-{op.return_index}"
    span = f"from {_seconds(op.call_ns)} on"
    if op.return_ns is not None:
        span = f"{_seconds(op.call_ns)} to {_seconds(op.return_ns)}"
    return f"process {op.process}: {op.f}({asked}) -> {came}, {span} ({events})"


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
