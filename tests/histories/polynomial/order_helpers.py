"""Whether an order that somebody claims is one: replayed on the machine, held against real time."""

from collections.abc import Sequence

from concur.histories import Operation, Specification
from concur.histories.admission import unrecorded
from concur.histories.identity import identity
from concur.histories.search import BLIND
from concur.histories.timeline import NEVER, Timeline


def check_order(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
    order: Sequence[int],
) -> None:
    """`order` holds each of `positions` that has an outcome once, others at most once, no operation
    before one that had returned when it was called, and gives every outcome that was recorded."""
    calls, returns = timeline.calls, timeline.returns
    placed = set(order)
    assert len(placed) == len(order), "an operation is in it twice"
    assert placed <= set(positions), "an operation of another object is in it"
    missing = [p for p in positions if returns[p] < NEVER and p not in placed]
    assert not missing, f"not in it: {operations[missing[0]]}"
    says_nothing = unrecorded(specification)
    state = specification.initial()
    latest = -1
    for position in order:
        op = operations[position]
        assert latest < returns[position], f"real time forbids it here: {op}"
        latest = max(latest, calls[position])
        command = specification.command(op.f, op.key, op.value)
        state, result = specification.apply(state, command)
        type_, told, error = specification.completion(command, result)
        if op.type == "info" or says_nothing(op):
            continue
        assert type_ == op.type, f"it would have been {type_}: {op}"
        assert op.type == "ok" or error == op.error, f"it would have failed with {error}: {op}"
        if op.type == "fail" or (op.f in BLIND and op.result is None):
            continue
        assert identity(told) == identity(op.result), f"it would have told {told!r}: {op}"
