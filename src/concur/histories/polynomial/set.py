"""Linearizability of a set, value by value or by reads of the whole set.

Problem: is a history of add, remove, contains, and reads of everything linearizable? If nobody
reads the whole set, each value is an object of its own (Herlihy and Wing: linearizability is
local), either there or not. That is a register of two values, and writes of the same value
cannot be told apart. But if `add` and `remove` tell whether they changed anything, those that did
must take turns.

Idea: an `add` that tells true and a `remove` that tells true are the changes, which alternate; of
the adds it does not matter which is which, nor of the removes. `contains`, and an `add` or `remove`
that tells false, are observers of a value that is there, or is not. So the order of changes
is known but for who made them, and `sweep` decides. An operation without an outcome stays in
reserve, to make a change if nobody else can; having changed nothing it would not matter.
(Abdulla et al., "Efficient linearizability monitoring", PLDI 2025, arXiv 2509.17795, and Lee and
Mathur, OOPSLA 2025, arXiv 2410.04581, decide sets in O(n), the latter if no value is added twice.)

Here: most tools do not record what `add` and `remove` told. It was true or false, so all
combinations are tried, as long as a value has few of these: it usually has one add and at most
one remove. It takes O(n log n) for n operations. Reads of the whole set are for
`concur.histories.polynomial.set_reads`.
"""

from collections.abc import Sequence
from itertools import product

from concur.histories.admission import unrecorded
from concur.histories.explain import describe, phrase
from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.polynomial.base import Decision
from concur.histories.polynomial.set_reads import growing
from concur.histories.polynomial.sweep import Stuck, Swept, sweep
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline

UNRECORDED_MAX = 4
"""Adds and removes of one value of which it is not known what they told: 16 combinations."""

CHANGES = {"add": True, "remove": False}


def values(
    operations: Sequence[Operation],
    positions: Sequence[int],
    timeline: Timeline,
    specification: Specification,
) -> Decision | None:
    """Judge one set in O(n log n) for n positions and values read.

    Does not apply if a value has more than UNRECORDED_MAX adds and removes of which it is not
    known what they told, or if the whole set is read and not all it does is grow.
    """
    start = {identity(value): True for value in getattr(specification, "start", ())}
    says_nothing = unrecorded(specification)
    of: dict[object, _Value] = {}
    for position in positions:
        op = operations[position]
        if op.f == "read":
            return growing(operations, positions, timeline, specification)
        if op.f not in ("add", "remove", "contains"):
            return None
        name = identity(op.value)
        value = of.get(name)
        if value is None:
            value = of[name] = _Value(operations, timeline, name in start)
        value.positions.append(position)
        if op.f in CHANGES and (op.type == "info" or says_nothing(op)):
            (value.pending if op.type == "info" else value.unrecorded).append(position)
        elif type(op.result) is not bool:
            return None
    if any(len(value.unrecorded) > UNRECORDED_MAX for value in of.values()):
        return None
    order: list[int] = []
    moments: list[int] = []
    for value in of.values():
        done = value.explain()
        if isinstance(done, Stuck):
            return value.stuck(done)
        order += done.order
        moments += done.moments
    return Decision(
        order=lambda: [order[i] for i in sorted(range(len(order)), key=moments.__getitem__)]
    )


class _Value:
    """The operations of one value. It is there in every other phase."""

    def __init__(self, operations: Sequence[Operation], timeline: Timeline, there: bool) -> None:
        self.operations = operations
        self.timeline = timeline
        self.there = there  # at the beginning
        self.positions: list[int] = []
        self.pending: list[int] = []
        self.unrecorded: list[int] = []

    def explain(self) -> Swept | Stuck:
        """An order that explains them all; or where the attempt that came farthest is stuck."""
        farthest = None
        for told in product((True, False), repeat=len(self.unrecorded)):
            done = self._explain(dict(zip(self.unrecorded, told, strict=True)))
            if isinstance(done, Swept):
                return done
            if farthest is None or done.rank > farthest.rank:
                farthest = done
        assert farthest is not None
        return farthest

    def _explain(self, told: dict[int, bool]) -> Swept | Stuck:
        """With these answers of operations that told nothing."""
        told.update(dict.fromkeys(self.pending, True))
        pools: dict[int, bool] = {}  # whether it adds
        wanted: dict[int, bool] = {}  # whether it needs the value to be there
        for position in self.positions:
            op = self.operations[position]
            done = told.get(position, op.result)
            adds = CHANGES.get(op.f)
            if adds is None:
                wanted[position] = done
            else:
                wanted[position] = adds is not done
                if done:
                    pools[position] = adds
        there = self.there

        def pool_of(phase: int) -> bool:
            return there is (phase % 2 == 1)

        def ahead(position: int, phase: int) -> int:
            now = there is (phase % 2 == 0)
            return phase if now is wanted[position] else phase + 1

        return sweep(self.positions, self.timeline, pools, pool_of, ahead)

    def stuck(self, stuck: Stuck) -> Decision:
        operations, calls = self.operations, self.timeline.calls
        op = operations[stuck.operation]
        there = self.there is (stuck.phase % 2 == 0)
        lines = [describe(op)]
        if self.unrecorded:
            lines.append("  does not fit, whatever these have done:")
            lines += ["  " + describe(operations[p]) for p in self.unrecorded]
        value = phrase(op.value)
        if there:
            lines.append(f"  but {value} was there until it returned: nothing can have removed it")
        else:
            lines.append(
                f"  but {value} was not there before it returned: nothing can have added it"
            )
        if stuck.cause != stuck.operation:
            lines += ["  since", "  " + describe(operations[stuck.cause])]
        return Decision(lines, [p for p in self.positions if calls[p] <= stuck.rank])
