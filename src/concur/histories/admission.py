"""What the events of a history say to a model, before any checker looks at them.

Tools differ in what they record of the same thing. All that depends on it is decided here, once,
for all checkers:

* **`fail`**: the operation did not happen. Usually that says nothing more and it is dropped, as in
  Jepsen and Knossos. A compare-and-set that was refused *because the value differed* tells what was
  not there, and is kept as *evidence*. It is a `cas` with the error `mismatch`: our recorders write
  that, and the reader of Porcupine's logs of etcd does, where every failed compare-and-set is one.
  It is evidence by its nature, whatever the options. In other histories the error says nothing of
  it: a model with `failed_cas="evidence"` takes every failed compare-and-set for one. Of other
  operations that failed no error says anything.
* **Results that tools do not record** say nothing: null, or the value that was asked for, as the
  `ok` of a write, add, push ... (`Model.unrecorded`). A compare-and-set with `ok` was done, unless
  its value is false: then it found another value, which is evidence as above.
* **What a model wants in other words**, like who holds a lock, is put so by its `admit`.

Admission changes neither order, times nor the numbers of events, so explanations stay true.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from concur.histories.history import Event, History, Operation
from concur.histories.identity import identity
from concur.histories.specification import Specification

MISMATCH = "mismatch"
"""The error of a compare-and-set that found another value."""

BLIND = frozenset({"write", "put", "append", "delete", "add", "enqueue"})
"""If their result is None it says nothing; tools record null for `ok`, or the value written."""


def identical(value: Any) -> Any:
    return value


class Admitted(History):
    """A history in the words of the model that it is held against, which may be any."""

    __slots__ = ()
    held = staticmethod(identical)


def dropped(op: Event | Operation) -> bool:
    """Whether its completion says that the operation did not happen, and no more."""
    return op.type == "fail" and not (op.f == "cas" and op.error == MISMATCH)


def admitted(history: History, specification: Specification) -> History:
    """The history as `specification` understands it. Raises BadInput if it does not."""
    if isinstance(history, Admitted):
        return history
    whole: Callable[[History], Iterable[Event]] | None
    whole = getattr(specification, "admit_history", None)
    if whole is not None:
        events = iter(whole(history))
    elif not _words(specification).isdisjoint(history.operation_names()):
        events = admitted_events(history.events(), specification)
    else:
        return history
    made = Admitted(history.model)
    open_: dict[int, int] = {}
    for event in events:
        if event.type == "invoke":
            op = made.invoke(event.process, event.f, event.key, event.value, event.time)
            open_[event.process] = op
        else:
            op = open_.pop(event.process)
            made.complete(op, event.type, event.value, event.time, event.error)
    return made


def admitted_events(events: Iterable[Event], specification: Specification) -> Iterator[Event]:
    """The same, event by event. Admitting twice is as good as once."""
    words = _words(specification)
    if not words:
        yield from events
        return
    admit: Any = getattr(specification, "admit", None)
    asked: dict[int, Event] = {}
    for event in events:
        if event.f not in words:
            yield event
        elif event.type == "invoke":
            event = admit(event, event)
            asked[event.process] = event
            yield event
        else:
            yield admit(event, asked.pop(event.process))


def _words(specification: Specification) -> frozenset[str]:
    return frozenset(getattr(specification, "words", ()))


def unrecorded(specification: Specification) -> Callable[[Operation], bool]:
    """Tells of an operation that is ok whether its result says nothing."""
    ask: Callable[[str, Any, Any], bool] | None = getattr(specification, "unrecorded", None)
    if ask is None:
        return _always_says
    return lambda op: op.type == "ok" and ask(op.f, op.value, op.result)


def told_nothing(op: Operation) -> bool:
    """Whether what is recorded of an operation that returns nothing is just that it returned."""
    return op.type == "ok" and op.f in BLIND and identity(op.result) in (None, identity(op.value))


def agrees(specification: Specification, command: Any, op: Operation, result: Any) -> bool:
    """Whether an operation that has an outcome can have had it, if `command` gave `result`."""
    type_, value, error = specification.completion(command, result)
    if type_ != op.type:
        return False
    if unrecorded(specification)(op):
        return True
    if type_ == "fail":
        return error == op.error
    return identity(value) == identity(op.result) or (result is None and told_nothing(op))


def separate(
    specification: Specification, operations: Sequence[Operation], commands: Sequence[Any]
) -> bool:
    """Whether keys name machines: the specification knows none, and the history has some.

    Of operations that happened, or may have, and say something (`relevant`)."""
    if getattr(specification, "keyed", False):
        return False
    return any(op.key is not None for op in operations) and all(
        specification.key(command) is None and specification.event(command)[1] is None
        for command in commands
    )


def _always_says(op: Operation) -> bool:
    return False
