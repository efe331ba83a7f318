"""What each model means, said a second time and as plainly as can be, to try all orders with.

`perform` takes a state, the process, f, key and value, and gives the state after and the result.
Nothing here is taken from the package but the histories.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concur.histories import History, Operation

Perform = Callable[[Any, int, str, Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Plain:
    """`blind`: operations whose result says nothing, unless it is a boolean of a set."""

    initial: Any
    perform: Perform
    asks: Sequence[tuple[str, Any, Any]]
    blind: tuple[str, ...] = ()
    evidence: bool = False
    arguments: tuple[tuple[str, Any], ...] = ()


class Impossible(Exception):
    """Raised by a `perform`: the object refuses that, so it did not happen."""


def same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def agrees(plain: Plain, op: Operation, result: Any) -> bool:
    if op.type == "fail":  # a compare-and-set that found another value
        return result is False
    if op.f == "cas":
        return bool(result is (op.result is not False))
    told = op.result
    if op.f in plain.blind and not (plain.perform is set_ and type(told) is bool):
        return True
    if op.f in ("acquire", "release"):
        return bool(result is (told is not False))
    if op.f == "read" and isinstance(told, tuple):  # a set, in any order
        return same(in_order(told), in_order(result))
    if op.f == "txn" and told is None:
        return True
    return same(told, result)


def in_order(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(values, key=lambda value: (type(value).__name__, value)))


def happened(plain: Plain, op: Operation) -> bool:
    if op.type != "fail":
        return True
    return op.f == "cas" and (plain.evidence or op.error == "mismatch")


def valid(history: History, plain: Plain) -> bool:
    """Try all orders of all subsets that leave out nothing that returned."""
    ops = [op for op in history.operations() if happened(plain, op)]
    before = [
        [a for a, one in enumerate(ops) if a != b and precedes(one, other)]
        for b, other in enumerate(ops)
    ]
    seen: set[Any] = set()

    def explore(done: frozenset[int], state: Any) -> bool:
        if all(i in done for i, op in enumerate(ops) if op.type != "info"):
            return True
        if (done, repr(state)) in seen:
            return False
        seen.add((done, repr(state)))
        for i, op in enumerate(ops):
            if i in done or not all(a in done for a in before[i]):
                continue
            try:
                after, result = plain.perform(state, op.process, op.f, op.key, op.value)
            except Impossible:
                continue
            if op.type != "info" and not agrees(plain, op, result):
                continue
            if explore(done | {i}, after):
                return True
        return False

    return explore(frozenset(), plain.initial)


def precedes(a: Operation, b: Operation) -> bool:
    if a.process == b.process:
        return a.index < b.index
    return a.return_ns is not None and a.return_ns < b.call_ns


# --- the objects -------------------------------------------------------------------------------


def register(state: Any, process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, state
    if f == "write":
        return value, None
    old, new = value
    return (new, True) if same(state, old) else (state, False)


def kv(initial: Any) -> Perform:
    def perform(state: Any, process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
        name = repr(key)
        bound = dict(state)
        now = bound.get(name, initial)
        result = None
        if f == "get":
            return state, now
        if f == "put":
            bound[name] = value
        elif f == "delete":
            bound[name] = initial
        elif f == "cas":
            if not same(now, value[0]):
                return state, False
            bound[name], result = value[1], True
        elif now is None and initial is None:
            bound[name] = value
        elif type(now) is not type(value):
            raise Impossible
        else:
            bound[name] = now + value
        return tuple(sorted(bound.items())), result

    return perform


def counter(state: int, process: int, f: str, key: Any, value: Any) -> tuple[int, Any]:
    return {
        "read": lambda: (state, state),
        "add": lambda: (state + value, None),
        "fetch-add": lambda: (state + value, state),
    }[f]()


def lock(state: Any, process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
    if f == "acquire":
        return (process, True) if state is None else (state, False)
    if f == "release":
        return (None, True) if state == process else (state, False)
    return state, state


def set_(state: tuple[Any, ...], process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
    if f == "read":
        return state, state
    rest = tuple(one for one in state if not same(one, value))
    there = len(rest) < len(state)
    if f == "contains":
        return state, there
    if f == "add":
        return in_order((*rest, value)), not there
    return rest, there


def queue(state: tuple[Any, ...], process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
    if f == "enqueue":
        return (*state, value), None
    if f == "length":
        return state, len(state)
    first = state[0] if state else None
    return (state[1:] if f == "dequeue" else state), first


def stack(state: tuple[Any, ...], process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
    if f == "push":
        return (*state, value), None
    last = state[-1] if state else None
    return (state[:-1] if f == "pop" else state), last


def smallest(state: tuple[Any, ...], process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
    if f == "insert":
        return tuple(sorted((*state, value))), None
    first = state[0] if state else None
    return (state[1:] if f == "delete-min" else state), first


def registers(initial: Any) -> Perform:
    def perform(state: Any, process: int, f: str, key: Any, value: Any) -> tuple[Any, Any]:
        bound = dict(state)
        if f == "read":
            return state, bound.get(key, initial)
        if f == "write":
            bound[key] = value
            return tuple(sorted(bound.items())), None
        done = []
        for kind, of, new in value:
            if kind == "w":
                bound[of] = new
            done.append((kind, of, bound.get(of, initial)))
        return tuple(sorted(bound.items())), tuple(done)

    return perform


KEYS = ("x", 1)
KV = (
    [("put", key, i % 3) for key in KEYS for i in range(4)]
    + [("put", "x", True), ("put", "x", "a"), ("delete", "x", None), ("put", "x", None)]
    + [("cas", key, (i, 1 - i)) for key in KEYS for i in (0, 1)] * 2
    + [("get", key, None) for key in KEYS] * 6
)
APPENDS = (
    [("append", "x", text) for text in ("a", "b", "ab", "a")]
    + [("put", "x", "a"), ("put", "x", ""), ("delete", "x", None), ("cas", "x", ("a", ""))]
    + [("get", "x", None)] * 5
)
CASES = [("cas", None, (i, (i + 1) % 3)) for i in range(3)] * 3
REGISTER = [("write", None, i % 3) for i in range(5)] + CASES + [("read", None, None)] * 6
SET = (
    [(f, None, value) for f in ("add", "add", "remove") for value in (1, 2, True, "a")]
    + [("contains", None, value) for value in (1, 2, True)] * 2
    + [("read", None, None)] * 4
)
TXNS = [
    ("txn", None, (("r", "x", None), ("r", "y", None))),
    ("txn", None, (("r", "x", None), ("w", "y", 1))),
    ("txn", None, (("w", "x", 2), ("w", "y", 2))),
    ("txn", None, (("w", "x", 1), ("r", "x", None), ("r", "y", None))),
    ("txn", None, (("r", "y", None),)),
    ("txn", None, (("w", "y", 0),)),
]
LOCK = [("acquire", None, None)] * 6 + [("release", None, None)] * 6

PLAIN: dict[str, tuple[str, Plain]] = {
    "register": ("register", Plain(None, register, REGISTER[:5] + REGISTER[-6:], ("write",))),
    "register, initially true": (
        "register",
        Plain(True, register, [*REGISTER, ("write", None, 1)], ("write",), False,
              (("initial", True),)),
    ),
    "cas-register": ("cas-register", Plain(None, register, REGISTER, ("write",))),
    "cas-register, evidence": (
        "cas-register",
        Plain(0, register, CASES + REGISTER, ("write",), True,
              (("initial", 0), ("failed_cas", "evidence"))),
    ),
    "kv": ("kv", Plain((), kv(None), KV, ("put", "append", "delete"))),
    "kv, initially 0, evidence": (
        "kv",
        Plain((), kv(0), KV, ("put", "append", "delete"), True,
              (("initial", 0), ("failed_cas", "evidence"))),
    ),
    "kv, appends, initially empty": (
        "kv",
        Plain((), kv(""), APPENDS, ("put", "append", "delete"), False, (("initial", ""),)),
    ),
    "kv, appends": ("kv", Plain((), kv(None), APPENDS, ("put", "append", "delete"))),
    "counter": (
        "counter",
        Plain(5, counter, [("add", None, 1), ("add", None, 2), ("fetch-add", None, 1),
                           ("read", None, None)] * 5, ("add",), False, (("initial", 5),)),
    ),
    "fetch-add": ("fetch-add", Plain(0, counter, [("fetch-add", None, i) for i in (1, 1, 2)] * 5)),
    "lock": ("lock", Plain(None, lock, [*LOCK, ("holder", None, None)])),
    "lock, held": ("lock", Plain(1, lock, LOCK, (), False, (("initial", 1),))),
    "set": ("set", Plain((), set_, SET, ("add", "remove"))),
    "set, initially of two": (
        "set", Plain(in_order((1, "b")), set_, SET, ("add", "remove"), False,
                     (("initial", ["b", 1]),)),
    ),
    "queue": (
        "queue",
        Plain((), queue, [("enqueue", None, i % 4) for i in range(7)]
              + [("dequeue", None, None)] * 6 + [("peek", None, None), ("length", None, None)],
              ("enqueue",)),
    ),
    "queue, initially of two": (
        "queue",
        Plain((1, 2), queue, [("enqueue", None, i) for i in range(4)]
              + [("dequeue", None, None)] * 6, ("enqueue",), False, (("initial", (1, 2)),)),
    ),
    "stack": (
        "stack",
        Plain((7,), stack, [("push", None, i % 4) for i in range(7)] + [("pop", None, None)] * 7
              + [("peek", None, None)], ("push",), False, (("initial", [7]),)),
    ),
    "priority-queue": (
        "priority-queue",
        Plain((), smallest, [("insert", None, (i * 3) % 5) for i in range(7)]
              + [("delete-min", None, None)] * 7 + [("find-min", None, None)], ("insert",)),
    ),
    "multi-register": (
        "multi-register",
        Plain((), registers(0), TXNS * 2 + [("read", "x", None), ("write", "x", 1)],
              ("write",), False, (("initial", 0),)),
    ),
    "multi-register, key by key": (
        "multi-register",
        Plain((), registers(None), [*TXNS[4:], ("read", "x", None), ("write", "x", 1),
                                    ("write", "y", 2), ("read", "y", None)] * 3, ("write",)),
    ),
}  # fmt: skip
