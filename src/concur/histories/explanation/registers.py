"""Which writes of a register cannot matter to some of its operations, whatever their outcome.

Some operations of a register are kept, with their outcomes. The others are forgotten, which means
that each may take effect at any time after its call, or never. Of those, most can be left out
altogether, and a search that need not try them is short.

**Rule.** An *observer* of a value is a kept read of it, a compare-and-set from it that is kept or
may take effect, and an append to it that may lead to a value which has an observer. A write, append
or compare-and-set W that is not kept is left out if for each observer O of what it leaves behind
there is a kept overwrite B (write, delete, done compare-and-set) that was called after W returned
and returned before O was called. In particular if nothing observes its value.

**Why it is right.** Take an order that explains a history with W in it, all its other operations as
they are here. From W to the next overwrite Z in the order there are only reads and appends. None of
the reads, nor Z if it is a compare-and-set, saw what W left behind, or that with the appends added:
going back from what it saw, append by append, each would be an observer of what was before it, and
the first of W. Then B would be between W and that observer, and so Z would be B or earlier. So take
W out: between it and Z nobody notices, behind Z nothing changes. If there is an order with W, there
is one without; if there is none without, there is none with it. (Observers only become fewer, so
the others can be taken out after it.)

That holds as long as nothing observes that a value was *not* there, so it is not used if a refused
compare-and-set is kept; and as long as no append is refused because of the type of what it meets,
so it is not used if there are appends and values of several types.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.models.kv import KvModel
from concur.histories.models.register import CasRegisterModel, RegisterModel
from concur.histories.specification import Specification
from concur.histories.timeline import Timeline
from concur.machines.kv import KeyValue
from concur.machines.register import Register

KINDS = (Register, RegisterModel, CasRegisterModel, KeyValue, KvModel)
READS = frozenset({"read", "get"})
OVERWRITES = frozenset({"write", "put", "delete", "cas"})
NEEDED_MAX = 10_000
"""Values that are followed; with more, nothing is left out."""


class OneRegister:
    """The operations of one object, of which some are kept and some forgotten. Positions."""

    def __init__(
        self,
        machine: Specification,
        operations: Sequence[Operation],
        positions: Sequence[int],
        timeline: Timeline,
    ) -> None:
        self.operations = operations
        self.calls, self.returns = timeline.calls, timeline.returns
        self.absent = identity(getattr(machine, "start", None))
        self.writers: dict[Any, list[int]] = {}  # value -> who leaves it behind
        self.appends: dict[Any, list[int]] = {}  # text -> who appends it
        self.applies = type(machine) in KINDS
        kinds = set()
        for position in positions:
            op = operations[position]
            if op.f == "append":
                self.appends.setdefault(op.value, []).append(position)
                kinds.add(type(op.value))
            elif op.f in OVERWRITES and op.type != "fail":
                left = self.left_behind(op)
                self.writers.setdefault(left, []).append(position)
                kinds.add(type(left))
            elif op.f not in READS and op.f != "cas":
                self.applies = False
        kinds.add(type(self.absent))
        if self.appends and len(kinds - {type(None)}) > 1:
            self.applies = False
        self.lengths = sorted({len(text) for text in self.appends})

    def left_behind(self, op: Operation) -> Any:
        if op.f == "delete":
            return self.absent
        return identity(op.value[1] if op.f == "cas" else op.value)

    def needed(self, kept: Sequence[int], *, overwritten: bool = False) -> set[int] | None:
        """Those of the others that may matter to the kept ones; None for all of them. With
        `overwritten`, also those that would but for an overwrite in between."""
        operations = self.operations
        if not self.applies or any(operations[position].type == "fail" for position in kept):
            return None
        return _Needs(self, kept, overwritten).follow()


class _Needs:
    """Values with observers. For each the least rank such that a write that returned earlier was
    overwritten for all its observers."""

    def __init__(self, register: OneRegister, kept: Sequence[int], overwritten: bool) -> None:
        self.register = register
        self.kept = set(kept)
        self.found: set[int] = set()
        self.since: dict[Any, int] = {}
        self.work: list[Any] = []
        operations, calls, returns = register.operations, register.calls, register.returns
        overwrites = sorted(
            (returns[p], calls[p])
            for p in self.kept
            if operations[p].f in OVERWRITES and not overwritten
        )
        self.ends = [end for end, _ in overwrites]
        self.latest = list(accumulate((call for _, call in overwrites), max))
        for position in sorted(self.kept):
            op = operations[position]
            if op.f in READS:
                self.need(identity(op.result), position)
            elif op.f == "cas":
                self.need(identity(op.value[0]), position)

    def need(self, value: Any, observer: int) -> None:
        before = bisect_left(self.ends, self.register.calls[observer])
        since = self.latest[before - 1] if before else -1
        if since < self.since.get(value, since + 1):
            self.since[value] = since
            self.work.append(value)

    def follow(self) -> set[int] | None:
        register = self.register
        operations, returns = register.operations, register.returns
        while self.work:
            if len(self.since) > NEEDED_MAX:
                return None
            value = self.work.pop()
            since = self.since[value]
            for writer in register.writers.get(value, ()):
                if writer in self.kept or writer in self.found or returns[writer] < since:
                    continue
                self.found.add(writer)
                if operations[writer].f == "cas":
                    self.need(identity(operations[writer].value[0]), writer)
            if isinstance(value, str | bytes):
                self.follow_appends(value)
        return self.found

    def follow_appends(self, value: Any) -> None:
        register = self.register
        for length in register.lengths:
            if length > len(value):
                break
            shorter = value[: len(value) - length]
            for append in register.appends.get(value[len(value) - length :], ()):
                if append not in self.kept:
                    self.found.add(append)
                self.need(shorter, append)
                if not shorter:
                    self.need(register.absent, append)
