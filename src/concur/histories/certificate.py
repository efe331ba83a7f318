"""The proof that a history is linearizable: an order of its operations, for anybody to re-check.

`verify` goes through such an order once: is every operation that happened in it, and none that did
not; does none stand after one that was called only when it had returned; does the machine, from
its initial state, give every outcome that was recorded? That needs none of the algorithms that
found the order, O(n log n) comparisons at most and n steps of the machine. It is how a witness is
tried, too: our protocols know in which order they executed what clients asked for.

`merged` makes one order of those of the objects. An operation of an object takes effect no earlier
than its call and the calls of all before it in that order; at the latest of these, its *point*, it
has not returned yet, or else the order would be out of real time. So take all operations by their
points. What returned before another was called has the earlier point. (This is the theorem of
Herlihy and Wing, TOPLAS 12(3), 1990, theorem 1, that linearizability is local, by construction.)

A file is one JSON object: the model, how many operations the history has, its digest, the order.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from concur.errors import BadInput
from concur.files import write_whole
from concur.histories.admission import admitted, agrees
from concur.histories.explain import describe, phrase
from concur.histories.history import History, Operation
from concur.histories.identity import identity
from concur.histories.relevant import Relevant
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline

SHOWN_MAX = 24
"""Lines about the faults of a certificate."""
FILE_BYTES_MAX = 1 << 30


def merged(orders: Sequence[Sequence[int]], timeline: Timeline) -> list[int]:
    """One order of the positions in the orders of several objects."""
    if len(orders) == 1:
        return list(orders[0])
    calls = timeline.calls
    points = [
        (point, number, place, position)
        for number, order in enumerate(orders)
        for place, (position, point) in enumerate(
            zip(order, accumulate(map(calls.__getitem__, order), max), strict=True)
        )
    ]
    return [position for *_, position in sorted(points)]


def verify(history: History, machine: Specification, order: Sequence[int]) -> list[str]:
    """What is wrong with `order`, numbers of operations, as the proof that `history` is
    linearizable; nothing if it proves it. Raises BadInput if an operation is none of the machine's.
    """
    operations = admitted(history, machine).operations()
    faults = _faults(operations, machine, order)
    return [fault for fault, _ in zip(faults, range(SHOWN_MAX), strict=False)]


def _faults(
    operations: Sequence[Operation], machine: Specification, order: Sequence[int]
) -> Iterator[str]:
    there = set(order)
    if any(not 0 <= number < len(operations) for number in there):
        yield f"it has numbers beyond the {len(operations)} operations of the history"
        return
    if len(there) < len(order):
        yield "it has an operation twice"
        return
    relevant = Relevant(operations, machine)
    for number, op in zip(relevant.numbers, relevant.operations, strict=True):
        if op.type != "info" and number not in there:
            yield f"it lacks {describe(op)}"
    for number in sorted(there.difference(relevant.numbers)):
        if operations[number].type == "fail":
            yield f"it has what did not happen: {describe(operations[number])}"
    yield from _out_of_time(operations, order)
    yield from _unexplained(operations, machine, relevant, order)


def _out_of_time(operations: Sequence[Operation], order: Sequence[int]) -> Iterator[str]:
    """Operations that stand before one that precedes them (it returned strictly earlier
    than they were called, or is an earlier one of their process)."""
    first: Operation | None = None  # to return, of those that come later in the order
    next_of: dict[int, Operation] = {}  # of each process, in the order
    for number in reversed(order):
        op = operations[number]
        if first is not None and first.return_ns is not None and first.return_ns < op.call_ns:
            yield describe(op)
            yield "  stands before what had returned when it was called:"
            yield f"  {describe(first)}"
        own = next_of.get(op.process)
        if own is not None and own.index < op.index:
            yield describe(op)
            yield "  stands before what its process did earlier:"
            yield f"  {describe(own)}"
        next_of[op.process] = op
        if op.return_ns is not None and (
            first is None or first.return_ns is None or op.return_ns < first.return_ns
        ):
            first = op


def _unexplained(
    operations: Sequence[Operation],
    machine: Specification,
    relevant: Relevant,
    order: Sequence[int],
) -> Iterator[str]:
    commands = dict(zip(relevant.numbers, relevant.commands, strict=True))
    states: dict[Any, Any] = {}
    start = machine.initial()
    for number in order:
        if number not in commands:
            continue
        op, command = operations[number], commands[number]
        name = identity(op.key) if relevant.several else None
        state = states.get(name, start)
        try:
            after, result = machine.apply(state, command)
        except Exception as error:  # by contract: refused, and the state is unchanged
            yield describe(op)
            yield f"  is refused there: {error}"
            continue
        if op.type != "info" and not agrees(machine, command, op, result):
            yield describe(op)
            yield f"  gives something else there, in state {phrase(state)}"
        states[name] = after


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds."""

    model: str
    operations: int
    digest: str
    order: tuple[int, ...]


def write_certificate(
    path: Path, history: History, machine: Specification, order: Sequence[int]
) -> None:
    """Write the proof that `history` is linearizable."""
    certificate = Certificate(
        model=machine.name,
        operations=len(history),
        digest=history.digest(),
        order=tuple(order),
    )
    write_whole("certificate", path, msgspec.json.encode(certificate).decode() + "\n")


def read_certificate(path: Path, history: History, machine: Specification) -> tuple[int, ...]:
    """The order in that file. Raises BadInput if it is malformed, or of another history."""
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}, expected a certificate") from None
    if len(text) > FILE_BYTES_MAX:
        raise BadInput(f"{path}: expected a certificate of at most {FILE_BYTES_MAX} bytes")
    try:
        found = msgspec.json.decode(text, type=Certificate)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"{path}: expected a certificate of `concur check`: {error}") from None
    if found.model != machine.name:
        raise BadInput(f"{path}: a certificate for model {found.model!r}, not {machine.name!r}")
    if found.operations != len(history) or found.digest != history.digest():
        raise BadInput(f"{path}: the certificate of another history")
    return found.order
