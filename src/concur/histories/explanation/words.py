"""Operations, times and states in words, for somebody who has never heard of the algorithm."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from concur.histories.explain import PHRASE_CHARS_MAX, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.models.base import name_of
from concur.histories.models.multi_register import MultiRegisterModel
from concur.histories.models.nondeterministic import States
from concur.histories.models.priority_queue import PriorityQueueModel
from concur.histories.models.set import SetModel
from concur.histories.models.stack import StackModel
from concur.histories.specification import Specification
from concur.machines.counter import Counter
from concur.machines.lock import Lock, LockState
from concur.machines.queue import Items, Queue
from concur.machines.register import Register
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


# --- values ---------------------------------------------------------------------------------------

NOTHING = "nothing"
"""What null is called: a register without a value, an empty queue's answer."""


def value(of: Any, most: int = PHRASE_CHARS_MAX) -> str:
    """A value, `most` characters long at most."""
    return _cut(_whole(of), most)


def _cut(text: str, most: int = PHRASE_CHARS_MAX) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _whole(of: Any) -> str:
    if of is None:
        return NOTHING
    if isinstance(of, tuple | list):
        return f"[{', '.join(map(_whole, of))}]"
    return repr(of)


def _holder(of: Any) -> str:
    """Who holds a lock: a process, an owner, or an owner with a token."""
    if of is None:
        return "nobody"
    if type(of) is int:
        return f"process {of}"
    if isinstance(of, tuple | list) and len(of) == 2:
        return f"{phrase(of[0])} with token {of[1]}"
    return phrase(of)


# --- operations -----------------------------------------------------------------------------------


def _cas(op: Operation) -> str:
    old, new = map(value, op.value)
    if not refused(op):
        return f"changed{_of(op)} from {old} to {new}"
    return f"wanted to change{_of(op)} from {old} to {new}, and was told that it was not {old}"


def _taken(verb: str, empty: str) -> Callable[[Operation], str]:
    def words(op: Operation) -> str:
        return f"{verb} {value(op.result)}" if op.result is not None else empty

    return words


def _acquired(op: Operation) -> str:
    if type(op.value) is not str:
        return "was refused the lock" if refused(op) else "got the lock"
    if refused(op):
        return f"was refused the lock for {phrase(op.value)}"
    return f"got the lock for {phrase(op.value)}, with token {value(op.result)}"


def _released(op: Operation) -> str:
    by = f" of {_holder(op.value)}" if isinstance(op.value, tuple | list) else ""
    return f"was not allowed to release the lock{by}" if refused(op) else f"released the lock{by}"


def _steps(op: Operation) -> str:
    """A transaction: what it read and wrote, one after the other."""
    steps = op.value if op.result is None else op.result
    return "in one instant " + listed(
        [
            f"wrote {value(of)} to {value(key)}"
            if kind == "w"
            else f"read {'?' if op.result is None else value(of)} from {value(key)}"
            for kind, key, of in steps
        ]
    )


WORDS: dict[str, Callable[[Operation], str]] = {
    "read": lambda op: f"read {value(op.result)}{_of(op, ' from')}",
    "get": lambda op: f"read {value(op.result)}{_of(op, ' from')}",
    "write": lambda op: f"wrote {value(op.value)}{_of(op, ' to')}",
    "put": lambda op: f"put {value(op.value)}{_of(op, ' into')}",
    "append": lambda op: f"appended {value(op.value)}{_of(op, ' to')}",
    "delete": lambda op: f"deleted{_of(op)}",
    "cas": _cas,
    "txn": _steps,
    "enqueue": lambda op: f"enqueued {value(op.value)}",
    "dequeue": _taken("dequeued", "found nothing to dequeue"),
    "push": lambda op: f"pushed {value(op.value)}",
    "pop": _taken("popped", "found nothing to pop"),
    "peek": _taken("saw that the next was", "saw that there was nothing"),
    "insert": lambda op: f"inserted {value(op.value)}",
    "delete-min": _taken("took the least,", "found nothing to take"),
    "find-min": _taken("saw that the least was", "saw that there was nothing"),
    "length": lambda op: f"counted {value(op.result)}",
    "add": lambda op: f"added {value(op.value)}{_told(op)}",
    "remove": lambda op: f"removed {value(op.value)}{_told(op)}",
    "contains": lambda op: f"asked for {value(op.value)}{_told(op)}",
    "fetch-add": lambda op: f"added {value(op.value)} to what was {value(op.result)}",
    "acquire": _acquired,
    "release": _released,
    "holder": lambda op: f"saw that {_holder(op.result)} held the lock",
}
"""What was done and what came of it. A `key` that these do not name is added."""
NAMES_KEY = frozenset({"read", "get", "write", "put", "append", "delete", "cas"})


def _of(op: Operation, before: str = "") -> str:
    return "" if op.key is None else f"{before} {value(op.key)}"


def _told(op: Operation) -> str:
    return f", and was told {YES[op.result]}" if type(op.result) is bool else ""


YES = {True: "yes", False: "no"}


def refused(op: Operation) -> bool:
    """Whether it was told that it did not happen: another value, somebody else's lock."""
    if op.type == "fail":
        return True
    if op.f == "acquire" and type(op.value) is str and op.result is None:
        return op.type == "ok"
    return op.f in ("cas", "acquire", "release") and op.result is False


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
    return f"did {asked(op)} and was told {value(op.result)}"


def asked(op: Operation) -> str:
    """The call: `put('x', 4)`."""
    if op.f == "txn" and (steps := _txn(op.value, None, PHRASE_CHARS_MAX)):
        return f"txn({steps})"
    given = [op.key] if op.key is not None else []
    return f"{op.f}({', '.join(map(value, given + _values(op)))})"


def _values(op: Operation) -> list[Any]:
    """What it was called with."""
    return [op.value] if op.value is not None or op.f in WRITES_NULL else []


WRITES_NULL = frozenset({"write", "put"})


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


def _txn(asked: Any, told: Any, most: int) -> str:
    """The steps of a transaction, nothing if they are none: `'x' → 1, 'y' := 2`."""
    try:
        return ", ".join(
            f"{value(key, most)} := {value(of, most)}"
            if kind == "w"
            else f"{value(key, most)} → {'?' if told is None else value(of, most)}"
            for kind, key, of in (asked if told is None else told)
        )
    except (TypeError, ValueError):
        return ""


def label(op: Operation, *, key: bool, most: int = SHORT_CHARS_MAX) -> str:
    """What is written on a bar: `get → 4`. Values have `most` characters at most."""
    if op.f == "txn" and (steps := _txn(op.value, op.result, most)):
        return _cut(f"txn {steps}", LABEL_CHARS_MAX + 2 * (most - SHORT_CHARS_MAX))
    given = [op.key] if key and op.key is not None else []
    if op.f == "cas" and isinstance(op.value, tuple | list):
        given += op.value
    elif op.f not in NAMELESS or type(op.value) is not int:
        given += _values(op)
    said = " ".join([op.f, *(value(one, most) for one in given)])
    answer = _answer(op, most)
    if answer or op.type == "info":
        said += f" → {answer}" if answer else " ?"
    return _cut(said, LABEL_CHARS_MAX + 2 * (most - SHORT_CHARS_MAX))


def _answer(op: Operation, most: int) -> str:
    """What it was told, nothing if that says no more than that it happened."""
    if op.type == "info":
        return ""
    if refused(op):
        return "refused"
    if op.f == "cas":
        return "done"
    if op.f == "release" or (op.f == "acquire" and type(op.value) is not str):
        return "granted"
    if op.f == "holder":
        return _holder(op.result)
    if op.f in CHANGES and type(op.result) is bool:
        return YES[op.result]
    if op.f in READERS or (op.f in ANSWERED and op.result is not None):
        return value(op.result, most)
    return "" if op.value is not None or op.result is None else value(op.result, most)


READERS = frozenset({"read", "get", "dequeue", "pop", "peek", "delete-min", "find-min"})
ANSWERED = frozenset({"fetch-add", "txn", "acquire", "scan"})
CHANGES = frozenset({"add", "remove", "contains"})
NAMELESS = frozenset({"acquire", "release"})
"""With an integer they are of the process that calls, which is the row."""


# --- states ---------------------------------------------------------------------------------------

THINGS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (Lock, "lock"),
    (Counter, "counter"),
    (SetModel, "set"),
    (StackModel, "stack"),
    (PriorityQueueModel, "priority queue"),
    (Queue, "queue"),
    (Register, "register"),
)
"""What a machine is called; its states are those of one object, or of a map of them."""
COLLECTIONS = (SetModel, StackModel, PriorityQueueModel)


def subject(machine: Specification, keys: Sequence[Any]) -> str:
    """What it is that has a state, if operations have these keys."""
    thing = next((name for kinds, name in THINGS if isinstance(machine, kinds)), "")
    named = [key for key in keys if key is not None]
    if len(keys) == 1 and named:
        return f"the {thing} {value(named[0])}" if thing else value(named[0])
    return f"the {thing or 'state'}"


def state(machine: Specification, of: Any, command: Any) -> str:
    """A state as a person would write it: of a map with one object, what that object is."""
    if isinstance(of, Map):
        key = machine.key(command)
        if key is None:
            return _cut(_everything(machine, of))
        name = name_of(key) if isinstance(machine, MultiRegisterModel) else key
        of = of.get(name, _absent(machine))
    return _cut(_one(machine, of))


def _absent(machine: Specification) -> Any:
    return () if isinstance(machine, Queue) else getattr(machine, "start", None)


def _one(machine: Specification, of: Any) -> str:
    """One object."""
    if isinstance(of, LockState):
        if of.owner is not None:
            token = f" with token {of.token}" if of.token else ""
            return f"held by {_holder(of.owner)}{token}"
        return f"free since token {of.token}" if of.token else "free"
    if isinstance(of, States):
        return " or ".join(map(value, of.members))
    if isinstance(of, Items):
        of = tuple(one for _, one in sorted(of.values.items()))
    if isinstance(machine, (*COLLECTIONS, Queue)) and of == ():
        return "empty"
    return _whole(of) if isinstance(of, HELD) else repr(of)


HELD = (type(None), bool, int, str, bytes, tuple)


def _everything(machine: Specification, of: Map[Any, Any]) -> str:
    """All objects of a map."""
    bound = [f"{_key(name)}: {_one(machine, one)}" for name, one in sorted(of.items(), key=repr)]
    absent = _absent(machine)
    if absent is not None and absent != ():
        bound.append(f"{'others' if bound else 'all'}: {_whole(absent)}")
    return f"{{{', '.join(bound)}}}" if bound else "empty"


def _key(name: Any) -> str:
    """The key that `name_of` has given that name."""
    return name[1:] if type(name) is str and name.startswith("\0") else repr(name)


# --- lists ----------------------------------------------------------------------------------------


def listed(items: Sequence[str], last: str = "and") -> str:
    """`1, 2 and 3`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def distinct(keys: Iterable[Any]) -> list[Any]:
    """Each of them once."""
    return list({identity(key): key for key in keys}.values())


def carries(op: Operation, key: Any, of: Any) -> bool:
    """Whether the operation brings that value to that key: writes it, adds it, changes to it."""
    if op.f == "txn" and isinstance(op.value, tuple):
        return any(
            isinstance(step, tuple)
            and len(step) == 3
            and step[0] == "w"
            and identity(step[1:]) == identity((key, of))
            for step in op.value
        )
    brought = op.value[-1] if op.f == "cas" and isinstance(op.value, tuple) else op.value
    return op.value is not None and identity((op.key, brought)) == identity((key, of))
