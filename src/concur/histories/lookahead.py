"""Seeing early that a read cannot be explained any more.

A search notices a wrong order only when a later read is refused, and until then it tries all the
orders of what is open. With appends of different values nearly every order is a state of its own,
so that the memo does not help: ten open appends are ten factorial orders. But the read tells
their order. A lookahead answers, for the state a search is in, the value that the next read to
return has seen, and the commands that may still come before that read: can that be?

In a queue it is what takes the values out that tells in which order they went in. A `Prospect`
knows all of the history and answers, for a state alone, whether what is in it can still come out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from concur.histories.identity import identity
from concur.machines.base import Scalar, same
from concur.machines.kv import Append, Cas, Delete, Get, KeyValue, Put
from concur.machines.queue import Dequeue, Enqueue, Items, Queue, QueueCommand

Lookahead = Callable[[Any, Any, Any, Iterable[Any]], bool]
"""(state, reading command, what it returned, commands that may precede it) -> False if hopeless."""


def kv_hopeful(
    state: Any, reading: Any, wanted: Scalar, available: Iterable[Any], absent: Scalar = None
) -> bool:
    """For commands on one key of `KeyValue`; absent keys read as `absent`.

    Take any way from here to the value wanted. If nothing on it sets the value outright, its first
    change is an append to what is there now, and the result is a prefix of what is wanted. Else
    the last command that sets it sets it to what is wanted or a prefix of that.
    """
    if type(reading) is not Get:
        return True
    now = state.get(reading.key, absent)
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
        elif type(command) is not Delete or _extends(wanted, absent):
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


class Fact(NamedTuple):
    """What is known of one operation of the object: entry `entry` of the search."""

    entry: int
    command: Any
    type: str  # ok, info, or fail
    result: Any
    opened: int
    """How many operations had returned before it was called."""
    returned: int
    """The number of its own return; -1 if it never did."""


class Prospect(Protocol):
    """What the whole history says about what may be in a state."""

    due: Sequence[int]
    """For each entry: the number of the return before which the order must have it, because
    something returned then that needs it."""

    def look(self, state: Any) -> tuple[int, int]:
        """An entry that no order from this state on can explain, or -1; and: operations that are
        due earlier than this number must be in the order by now."""
        ...


class QueueProspect:
    """For one queue: values come out in the order in which they went in.

    Let `a` be before `b` in the queue. `b` is taken out only after `a` has been; so there is no
    hope if the dequeue of `b` returned before that of `a` was called, or if nothing ever takes `a`
    out and something does take `b`. And if the dequeue of `a` returned before that of `b` was
    called, then `b` must not go in while `a` has not.

    This argues about values that went in once and came out at most once, as far as anybody knows,
    so that it is clear which operation is which; the others, and those that a dequeue without an
    outcome may have taken, are passed over.
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        put = Counter(identity(f.command.value) for f in facts if type(f.command) is Enqueue)
        taken: dict[Any, list[Fact]] = {}
        self._lost = False  # a value, perhaps
        for fact in facts:
            if type(fact.command) is Dequeue:
                if fact.type == "info":
                    self._lost = True
                elif fact.type == "ok" and fact.result is not None:
                    taken.setdefault(identity(fact.result), []).append(fact)
        self._never = len(facts) + 1
        self._clear = {value for value, times in put.items() if times == 1}
        self._clear.difference_update(value for value, by in taken.items() if len(by) > 1)
        self._taken = {value: by[0] for value, by in taken.items() if value in self._clear}
        due = [self._never] * len(facts)
        for number, fact in enumerate(facts):
            if type(fact.command) is Enqueue:
                dequeue = self._taken.get(identity(fact.command.value))
                if dequeue is not None:
                    due[number] = dequeue.returned
        self.due: Sequence[int] = due

    def look(self, state: Any) -> tuple[int, int]:
        latest_call = 0  # of the dequeues of what is in the queue
        for items in state.values():
            assert isinstance(items, Items)
            behind = 0
            for number in range(items.first, items.first + len(items.values)):
                value = identity(items.values[number])
                if value not in self._clear:
                    continue
                dequeue = self._taken.get(value)
                if dequeue is not None:
                    if behind > dequeue.returned:
                        return dequeue.entry, 0
                    behind = max(behind, dequeue.opened)
                    latest_call = max(latest_call, dequeue.opened)
                elif not self._lost:
                    behind = self._never
        return -1, latest_call


PROSPECTS: dict[type, Callable[[Sequence[Fact]], Prospect]] = {Queue: QueueProspect}
"""For the objects of these machines, one key each."""


def found_it_empty(command: QueueCommand, type_: str, result: Any) -> bool:
    """A dequeue that was told that there is nothing leaves the queue as it is."""
    return type(command) is Dequeue and type_ == "ok" and result is None


OBSERVERS: dict[type, Callable[[Any, str, Any], bool]] = {Queue: found_it_empty}
"""(command, type of the outcome, result) -> it changed nothing, although the command might have."""
