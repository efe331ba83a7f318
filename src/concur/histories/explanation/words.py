"""Operations, times and states in words, for somebody who has never heard of the algorithm."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from concur.histories.explain import PHRASE_CHARS_MAX, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.specification import Specification
from concur.machines.queue import Items
from concur.values import Map

LABEL_CHARS_MAX = 28
"""Characters of a bar's label."""
SHORT_CHARS_MAX = 12
"""Characters of a value there."""
UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


class Clock:
    """Times in one unit for all, with as many digits as it takes to tell them apart."""

    def __init__(self, times: Iterable[int]) -> None:
        known = sorted(set(times))
        largest = max((abs(time) for time in known), default=0)
        self.scale, self.unit = next((u for u in UNITS if largest >= u[0]), UNITS[-1])
        gap = min((b - a for a, b in pairwise(known)), default=self.scale)
        most = len(str(self.scale)) - 1
        self.digits = next((d for d in range(most) if gap * 10**d >= self.scale), most)
        self.digits = max(min(self.digits, 6), min(3, most) if largest >= self.scale else 0)

    def __call__(self, time: int) -> str:
        text = f"{time / self.scale:.{self.digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text


# --- operations -----------------------------------------------------------------------------------


def _pair(op: Operation) -> tuple[str, str]:
    old, new = op.value
    return phrase(old), phrase(new)


def _cas(op: Operation) -> str:
    old, new = _pair(op)
    if op.type == "ok" and op.result is not False:
        return f"changed{_of(op)} from {old} to {new}"
    return f"wanted to change{_of(op)} from {old} to {new}, and was told that it was not {old}"


def _taken(verb: str, empty: str) -> Callable[[Operation], str]:
    def words(op: Operation) -> str:
        return f"{verb} {phrase(op.result)}" if op.result is not None else empty

    return words


def _granted(did: str, refused: str) -> Callable[[Operation], str]:
    return lambda op: refused if op.result is False else did


WORDS: dict[str, Callable[[Operation], str]] = {
    "read": lambda op: f"read {phrase(op.result)}{_of(op, ' from')}",
    "get": lambda op: f"read {phrase(op.result)}{_of(op, ' from')}",
    "write": lambda op: f"wrote {phrase(op.value)}{_of(op, ' to')}",
    "put": lambda op: f"put {phrase(op.value)}{_of(op, ' into')}",
    "append": lambda op: f"appended {phrase(op.value)}{_of(op, ' to')}",
    "delete": lambda op: f"deleted{_of(op)}",
    "cas": _cas,
    "enqueue": lambda op: f"enqueued {phrase(op.value)}",
    "dequeue": _taken("dequeued", "found nothing to dequeue"),
    "push": lambda op: f"pushed {phrase(op.value)}",
    "pop": _taken("popped", "found nothing to pop"),
    "peek": _taken("saw that the next was", "saw that there was nothing"),
    "insert": lambda op: f"inserted {phrase(op.value)}",
    "delete-min": _taken("took the least,", "found nothing to take"),
    "find-min": _taken("saw that the least was", "saw that there was nothing"),
    "length": lambda op: f"counted {phrase(op.result)}",
    "add": lambda op: f"added {phrase(op.value)}{_told(op)}",
    "remove": lambda op: f"removed {phrase(op.value)}{_told(op)}",
    "contains": lambda op: f"asked for {phrase(op.value)}{_told(op)}",
    "fetch-add": lambda op: f"added {phrase(op.value)} to what was {phrase(op.result)}",
    "acquire": _granted("got the lock", "was refused the lock"),
    "release": _granted("released the lock", "was not allowed to release the lock"),
}
"""What was done and what came of it. A `key` that these do not name is added."""
NAMES_KEY = frozenset({"read", "get", "write", "put", "append", "delete", "cas"})


def _of(op: Operation, before: str = "") -> str:
    return "" if op.key is None else f"{before} {phrase(op.key)}"


def _told(op: Operation) -> str:
    return {True: ", and was told yes", False: ", and was told no"}.get(op.result, "")


def told(op: Operation) -> str:
    """What the process did and was told: `read 4 from 'x'`."""
    if op.type == "info":
        return f"called {asked(op)}"
    words = WORDS.get(op.f)
    if words is not None and (op.type == "ok" or op.f == "cas"):
        try:
            said = words(op)
        except (TypeError, ValueError):  # the value is not what such an operation takes
            pass
        else:
            return said if op.f in NAMES_KEY else f"{said}{_of(op, ' of')}"
    if op.type == "fail":
        return f"was refused {asked(op)}" + (f" ({op.error})" if op.error else "")
    return f"did {asked(op)} and was told {phrase(op.result)}"


def asked(op: Operation) -> str:
    """The call: `put('x', 4)`."""
    return f"{op.f}({', '.join(phrase(v) for v in (op.key, op.value) if v is not None)})"


def sentence(op: Operation, recorded: Operation, clock: Clock, end: int | None = None) -> str:
    """One line. `op` may be `recorded` without its outcome; `end` is when all that is told of has
    returned."""
    start = f"process {recorded.process} {told(op)}"
    if op.return_ns is None:
        why = "nobody knows what came of it"
        if recorded.return_ns is not None:
            later = end is not None and recorded.return_ns >= end
            why = "it returned later" if later else "what came of it does not matter"
        return f"{start} at {clock(op.call_ns)} {clock.unit} (event {op.index}); {why}"
    span = f"{clock(op.call_ns)} to {clock(op.return_ns)} {clock.unit}"
    return f"{start}, {span} (events {op.index} and {op.return_index})"


def label(op: Operation, *, key: bool, most: int = SHORT_CHARS_MAX) -> str:
    """What is written on a bar: `get → 4`. Values have `most` characters at most."""

    def short(value: Any) -> str:
        text = repr(value)
        return text if len(text) <= most else text[: most - 1] + "…"

    values = [op.key] if key and op.key is not None else []
    if op.value is not None:
        values += op.value if op.f == "cas" and isinstance(op.value, tuple) else [op.value]
    said = " ".join([op.f, *map(short, values)])
    if op.type == "fail" or (op.f == "cas" and op.result is False):
        said += " ✗"
    elif op.type == "info":
        said += " ?"
    elif op.f in READERS or (op.result is not None and (op.value is None or op.f in ANSWERED)):
        said += f" → {short(op.result)}"
    longest = LABEL_CHARS_MAX + 2 * (most - SHORT_CHARS_MAX)
    return said if len(said) <= longest else said[: longest - 1] + "…"


READERS = frozenset({"read", "get", "dequeue", "pop", "peek", "delete-min", "find-min", "holder"})
ANSWERED = frozenset(
    {"fetch-add", "txn", "add", "remove", "contains", "acquire", "release", "scan"}
)


# --- states ---------------------------------------------------------------------------------------


def state(machine: Specification, value: Any, command: Any) -> str:
    """A state as a person would write it: of a map with one object, what that object is."""
    if isinstance(value, Map):
        key = machine.key(command)
        if key is not None:
            value = value.get(key, getattr(machine, "start", None) or None)
    text = _plainly(value)
    return text if len(text) <= PHRASE_CHARS_MAX else text[: PHRASE_CHARS_MAX - 3] + "..."


def _plainly(value: Any) -> str:
    if isinstance(value, Items):
        return "[" + ", ".join(phrase(one) for _, one in sorted(value.values.items())) + "]"
    if isinstance(value, Map):
        return "{" + ", ".join(f"{k!r}: {_plainly(v)}" for k, v in value.items()) + "}"
    return repr(value)


# --- lists ----------------------------------------------------------------------------------------


def listed(items: Sequence[str], last: str = "and") -> str:
    """`1, 2 and 3`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def carries(op: Operation, value: Any) -> bool:
    """Whether the operation brings that value: writes it, adds it, changes something to it."""
    wanted = identity(value)
    brought = op.value[-1] if op.f == "cas" and isinstance(op.value, tuple) else op.value
    return op.value is not None and identity(brought) == wanted
