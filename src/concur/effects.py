"""What goes into a node and what comes out of it: events and effects, plain frozen values.

`effects = node.step(event, inputs)` is the one door of a node (`concur.node`). Drivers turn what
happens into events and carry out the effects; the meaning of each is CORE.md's, in brief:

* Nothing visible (Send, Multicast, Complete, and the observations) leaves a node before every
  Persist of its own and of all earlier steps is durable, first in, first out.
* A Persist is one atomic record. A crash keeps a prefix of the records.
* Timers are volatile, keyed by name; setting replaces; a cancelled or replaced one never fires.
"""

import typing
from itertools import compress, count
from operator import is_not
from typing import Any, Union

import msgspec

from concur.logs import Log, LogDelta
from concur.messages import Command, Message
from concur.values import Map, MapDelta

TimerName = str | tuple[Any, ...]


class Value(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of events and effects."""


# --- events ------------------------------------------------------------------------------------


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A machine and its sessions after the commands up to `index`; with it a log may be cut.

    `machine` is the captured state: a reference to an immutable value, free to take.
    """

    index: int
    mark: tuple[int, str]
    machine: Any
    sessions: Any
    members: tuple[str, ...]


class Start(Value, frozen=True):
    """The node begins. `kind` is new, restart (durable fields are back) or wiped (they are lost).

    `incarnation` is never reused by a node. `snapshot` is the last one saved, if any survived.
    """

    kind: str
    incarnation: int
    snapshot: Snapshot | None = None


class Deliver(Value, frozen=True):
    """A message arrived from `source` for the node at `path`, "" being the root."""

    source: str
    message: Message
    path: str = ""


class Timer(Value, frozen=True):
    """A timer fired. As a trigger, `on(Timer("retry"))` also takes timers named ("retry", ...)."""

    name: TimerName
    path: str = ""


class Invoke(Value, frozen=True):
    """A client application asks for `body` to be executed; `op` names the operation."""

    op: int
    body: bytes


class TurnEnd(Value, frozen=True):
    """The inbox has been drained; what was gathered meanwhile can be sent as one."""


class LinkDown(Value, frozen=True):
    peer: str


class LinkUp(Value, frozen=True):
    peer: str


class SnapshotSaved(Value, frozen=True):
    index: int
    path: str = ""


Event = Start | Deliver | Timer | Invoke | TurnEnd | LinkDown | LinkUp | SnapshotSaved


# --- outcomes of a client operation --------------------------------------------------------------


class Ok(Value, frozen=True):
    """Done; `result` is what the machine answered, encoded."""

    result: bytes


class Definite(Value, frozen=True):
    """It did not happen and never will."""

    error: str


class Indefinite(Value, frozen=True):
    """Nobody knows whether it happened, happens, or will happen."""

    error: str


Outcome = Ok | Definite | Indefinite


# --- effects -------------------------------------------------------------------------------------


class Send(Value, frozen=True):
    """`path` says which node below the root sends, here and in the effects that follow."""

    to: str
    message: Message
    path: str = ""


class Multicast(Value, frozen=True):
    """One message to many at one sender's cost. `group` is a role's name or a tuple of ids."""

    group: str | tuple[str, ...]
    message: Message
    path: str = ""


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A durable field of the node at `path` changed by `delta`.

    `delta` is a MapDelta or LogDelta for those types, else the whole new value. A `field` of ""
    says that the node at `path` was dropped, with everything below it.
    """

    path: str
    field: str
    delta: Any


class Persist(Value, frozen=True):
    changes: tuple[Change, ...]


class SetTimer(Value, frozen=True):
    name: TimerName
    after_ns: int
    path: str = ""


class CancelTimer(Value, frozen=True):
    name: TimerName
    path: str = ""


class SaveSnapshot(Value, frozen=True):
    """Save asynchronously; the driver answers with SnapshotSaved(index) once it is durable.

    A node's snapshots become durable in the order in which it saves them, each in the place of the
    one before.
    """

    snapshot: Snapshot
    path: str = ""


class Decide(Value, frozen=True):
    """`command` is chosen for `slot`: an observation for properties, reports and parents."""

    slot: int
    command: Command


class Observe(Value, frozen=True):
    """Something worth knowing, for properties, coverage and diagrams. Has no other effect."""

    name: str
    values: tuple[Any, ...]


class Complete(Value, frozen=True):
    """The client operation `op` has ended. Emitted exactly once for each Invoke."""

    op: int
    outcome: Outcome


Effect = Union[  # noqa: UP007 - one readable column
    Send,
    Multicast,
    Persist,
    SetTimer,
    CancelTimer,
    SaveSnapshot,
    Decide,
    Observe,
    Complete,
]


# --- what a journal holds -------------------------------------------------------------------------


def patch(image: dict[tuple[str, str], Any], persist: Persist) -> None:
    """Apply one journal record to a durable image, by (path, field), in place.

    A durable `Map` or `Log` is empty in a new node, so a field's first delta says what it is.
    """
    for path, field, delta in map(_parts, persist.changes):
        if not field:
            below = f"{path}/"
            for key in [k for k in image if k[0] == path or k[0].startswith(below)]:
                del image[key]
        elif type(delta) is MapDelta:
            image[path, field] = image.get((path, field), Map()).patch(delta)
        elif type(delta) is LogDelta:
            image[path, field] = image.get((path, field), Log()).patch(delta)
        else:
            image[path, field] = delta


def _parts(change: Change) -> tuple[str, str, Any]:
    return change.path, change.field, change.delta


def changes_of(
    path: str, fields: tuple[str, ...], before: tuple[Any, ...], after: tuple[Any, ...]
) -> list[Change]:
    """How the durable fields of the node at `path` differ from what they were."""
    changes = []
    for at in compress(count(), map(is_not, before, after)):
        field, old, new = fields[at], before[at], after[at]
        kind = type(new)
        if kind is not type(old):
            changes.append(Change(path, field, new))
        elif kind is Map:
            change = Map.delta(old, new)
            if change.put or change.removed:
                changes.append(Change(path, field, change))
        elif kind is Log:
            moved = Log.delta(old, new)
            if moved.base is not None or moved.appended or moved.keep != old.last_index:
                changes.append(Change(path, field, moved))
        elif old != new:
            changes.append(Change(path, field, new))
    return changes


class Inputs(typing.Protocol):
    """Everything that a step may read besides its state and its event. Drivers implement it."""

    def now(self) -> int:
        """Wall time, ns: skews, drifts, jumps."""

    def uptime(self) -> int:
        """Monotonic ns since this incarnation began, with bounded drift."""

    def interval(self) -> tuple[int, int]:
        """(earliest, latest) wall time, ns."""

    def jitter(self, low_ns: int, high_ns: int) -> int:
        """A random duration; one value in the model checker."""

    def choose(self, options: int) -> int:
        """A semantic choice in range(options): a seeded draw, or a branch in the checker."""

    def peek(self, node: str, address: Any) -> Any:
        """What the memory `node` on the same host holds at `address`."""
