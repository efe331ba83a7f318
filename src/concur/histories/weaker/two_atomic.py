"""2-atomicity of registers with unique values: limited backtracking, from the last write back.

Problem: is there an order within real time in which each read returns the latest write or the one
before it? (Golab, Hurwitz, Li, "On the k-atomicity-verification problem", ICDCS 2013.)

Idea (their algorithm LBT): build the order from its end. Some write `w` comes last: one that ended
before no other write began. All reads that began after `w` ended stand behind `w`, so each saw `w`
or the one write before it; so those that saw something else must all have seen one write `u`, and
`u` is the second to last: take `w` with all its reads away, and go on with `u` as last, forced.
When nothing is forced, an *epoch* ends, and what was taken away are whole writes with all their
reads. A history without them is 2-atomic if it was with them, and conversely an order of the rest
followed by that of the epoch is an order of everything: so epochs never have to be undone. Only the
first write of an epoch is a guess, among those that may come last. O(n c) a guess for c writes at
once, n at most.

A write returns, at the latest, just before the first read of it does: its effect was there. That
is assumed throughout (and done first), else a read could end before an operation that precedes it
in the order began.
"""

from collections.abc import Sequence

from concur.histories.timeline import Timeline
from concur.histories.weaker.accesses import INITIAL, Accesses
from concur.histories.weaker.budget import Budget


def two_atomic(accesses: Accesses, timeline: Timeline, budget: Budget) -> list[str]:
    """What is wrong, line by line; empty if every key is 2-atomic. Needs unambiguous reads."""
    for positions in accesses.by_key(range(len(accesses))):
        wrong = _Register(accesses, timeline, positions, budget).decide()
        if wrong:
            return wrong
    return []


class _Register:
    """One key. Writes are known by their positions; the initial value is write INITIAL."""

    def __init__(
        self, accesses: Accesses, timeline: Timeline, positions: Sequence[int], budget: Budget
    ) -> None:
        self.accesses = accesses
        self.budget = budget
        calls, returns = timeline.calls, timeline.returns
        self.calls = {i: calls[i] for i in positions}
        self.calls[INITIAL] = -1
        self.ends = {i: float(returns[i]) for i in positions}
        self.ends[INITIAL] = -0.5
        self.source = {i: accesses.candidates[i][0] for i in positions if not accesses.is_write[i]}
        self.early = INITIAL
        self.reads_of: dict[int, list[int]] = {}
        for read, write in self.source.items():
            self.reads_of.setdefault(write, []).append(read)
            if write != INITIAL and returns[read] < calls[write]:
                self.early = read
            # ranks are whole numbers, all different: half a rank earlier is "just before"
            self.ends[write] = min(self.ends[write], returns[read] - 0.5)
        self.writes = [INITIAL, *(i for i in positions if accesses.is_write[i])]
        self.by_call = sorted(self.writes, key=self.calls.__getitem__)
        self.reads = sorted(self.source, key=self.calls.__getitem__)
        self.gone: set[int] = set()

    def decide(self) -> list[str]:
        if self.early != INITIAL:
            return [
                self.accesses.describe(self.early),
                "  but it returned before that value's only write was called:",
                self.accesses.describe(self.source[self.early]),
            ]
        while True:
            self._drop(self.by_call)
            self._drop(self.reads)
            if not self.by_call:
                return []
            failures = []
            for write in self._candidates():
                taken, why = self._epoch(write)
                if not why:
                    break
                for i in taken:
                    self.gone.discard(i)
                failures.append((len(taken), why))
            else:
                return self._explain(failures)

    def _drop(self, stack: list[int]) -> None:
        while stack and stack[-1] in self.gone:
            stack.pop()

    def _candidates(self) -> list[int]:
        """Writes that end before no other one begins, the one that ends last first."""
        found: list[int] = []
        for write in reversed(self.by_call):
            if write in self.gone:
                continue
            if found and self.calls[found[0]] > self.ends[write]:
                continue
            found.append(write)
            self.budget.spend()
        # Whoever was called before the first found ended is scanned too: a long write is rare but
        # may come last.
        return sorted(found, key=lambda write: -self.ends[write])

    def _epoch(self, write: int) -> tuple[list[int], list[str]]:
        """Take away `write` as the last, and what is forced then; or say why that is impossible."""
        taken: list[int] = []
        top_write, top_read = len(self.by_call) - 1, len(self.reads) - 1
        while True:
            latest = self._latest(top_write, write)
            if latest >= 0 and self.ends[write] < self.calls[self.by_call[latest]]:
                return taken, self._words("ended before", write, self.by_call[latest])
            while top_write >= 0 and self.by_call[top_write] in self.gone:
                top_write -= 1
            self._take(write, taken)
            forced: int | None = None
            while top_read >= 0 and self.calls[self.reads[top_read]] > self.ends[write]:
                read = self.reads[top_read]
                top_read -= 1
                if read in self.gone:
                    continue
                self.budget.spend()
                source = self.source[read]
                if source == write:
                    pass
                elif forced is None:
                    forced = source
                elif source != forced:
                    return taken, self._words("was followed by reads of both", forced, source, read)
                self._take(read, taken)
            for read in self.reads_of.get(write, ()):
                if read not in self.gone:
                    self._take(read, taken)
            if forced is None:
                return taken, []
            write = forced

    def _latest(self, top: int, write: int) -> int:
        """Where the write that was called last stands, `write` left out; -1 if there is none."""
        while top >= 0 and (self.by_call[top] in self.gone or self.by_call[top] == write):
            top -= 1
        return top

    def _take(self, i: int, taken: list[int]) -> None:
        self.budget.spend()
        self.gone.add(i)
        taken.append(i)

    def _words(self, how: str, *shown: int) -> list[str]:
        return [how, *(f"{i}" for i in shown)]

    def _explain(self, failures: list[tuple[int, list[str]]]) -> list[str]:
        accesses = self.accesses
        _, (how, *shown) = max(failures, key=lambda failure: failure[0])
        lines = []
        for text in shown:
            i = int(text)
            lines.append("  the initial value" if i == INITIAL else "  " + accesses.describe(i))
        key = accesses.operations[next(iter(self.source))].key
        where = "" if key is None else f" of {key!r}"
        if how == "ended before":
            reason = "reads force the first of these writes to come after the second, which began "
            reason += "after the first had ended"
        else:
            reason = "reads of two different writes began after a third one had ended, so both "
            reason += "would have to be the one just before it"
        return [
            f"No order of the writes{where} lets every read return one of the latest two; "
            f"whichever comes last, {reason}:",
            *lines,
        ]
