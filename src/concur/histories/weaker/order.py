"""Partial orders of accesses by vector clocks: what certainly came before what, and why.

An order is made of three kinds of edges: from an access to the next one of its process, from a
write to the reads that saw it, and *inferred* ones that a model derives. A process is a chain, so
one number per process says all that came before an access: `clocks[i][q]` is the rank of the last
access of process q that is before `i` or is `i`. Building costs O(n k) for n accesses of k
processes, a question O(1), and an inferred edge is propagated only where it says something new.

A pipeline (PRAM) looks at the world through one process: reads of the others are left out then.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from copy import copy

from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget


class Order:
    """Program order and reads-from over the accesses in `included` (all, if None).

    `cycle` says what is wrong if these two contradict each other; then there are no clocks.
    """

    def __init__(
        self, accesses: Accesses, sources: Sequence[int], included: Sequence[bool] | None = None
    ) -> None:
        self.accesses = accesses
        self.sources = sources
        count, width = len(accesses), len(accesses.processes)
        self.included = [True] * count if included is None else list(included)
        self.previous = [-1] * count
        self.following = [-1] * count
        self.readers: dict[int, list[int]] = {}
        self.inferred: dict[int, list[tuple[int, str]]] = {}  # to -> (from, why)
        self._inferred_after: dict[int, list[int]] = {}
        for chain in accesses.processes:
            last = -1
            for i in chain:
                if self.included[i]:
                    self.previous[i] = last
                    if last >= 0:
                        self.following[last] = i
                    last = i
        for i in accesses.reads:
            if self.included[i] and sources[i] >= 0:
                self.readers.setdefault(sources[i], []).append(i)
        # The writes of a process to a key, and their ranks.
        self.writes: dict[tuple[int, int], list[int]] = {}
        for i in accesses.writes:
            self.writes.setdefault((accesses.key[i], accesses.process[i]), []).append(i)
        self.ranks = {
            where: [accesses.rank[i] for i in writes] for where, writes in self.writes.items()
        }
        self.writers: dict[int, list[int]] = {}  # key -> processes that write it
        for key, process in self.writes:
            self.writers.setdefault(key, []).append(process)
        self.clocks: list[list[int]] = [[]] * count
        self.cycle = self._build(width)

    def _build(self, width: int) -> list[str]:
        process, rank, clocks = self.accesses.process, self.accesses.rank, self.clocks
        waiting = [0] * len(self.accesses)
        ready = deque[int]()
        for i in range(len(self.accesses)):
            if not self.included[i]:
                continue
            waiting[i] = (self.previous[i] >= 0) + (self._source(i) >= 0)
            if not waiting[i]:
                ready.append(i)
        done = 0
        while ready:
            i = ready.popleft()
            done += 1
            before = self.previous[i]
            clock = clocks[before].copy() if before >= 0 else [0] * width
            source = self._source(i)
            if source >= 0:
                clock = list(map(max, clock, clocks[source]))
            clock[process[i]] = rank[i]
            clocks[i] = clock
            for after in self.after(i):
                waiting[after] -= 1
                if not waiting[after]:
                    ready.append(after)
        if done == sum(self.included):
            return []
        return self._cycle([i for i in range(len(self.accesses)) if waiting[i] > 0])

    def _source(self, i: int) -> int:
        return -1 if self.accesses.is_write[i] else self.sources[i]

    def after(self, i: int) -> list[int]:
        """What comes directly after `i`."""
        found = list(self.readers.get(i, ()))
        found += self._inferred_after.get(i, ())
        if self.following[i] >= 0:
            found.append(self.following[i])
        return found

    def before(self, a: int, b: int) -> bool:
        """Whether `a` comes before `b`. Never of an access and itself."""
        accesses = self.accesses
        return a != b and self.clocks[b][accesses.process[a]] >= accesses.rank[a]

    def last_write(self, key: int, process: int, i: int) -> int:
        """The last write of `process` to `key` that is before `i` or is `i`; -1 if none."""
        at = bisect_right(self.ranks[key, process], self.clocks[i][process])
        return self.writes[key, process][at - 1] if at else -1

    def first_write_after(self, key: int, process: int, i: int) -> int:
        """The first write of `process` to `key` that comes after `i`; -1 if none."""
        writes = self.writes[key, process]
        low, high = 0, len(writes)
        while low < high:  # what comes after a write of a chain comes after the earlier ones
            middle = (low + high) // 2
            if writes[middle] != i and self.before(i, writes[middle]):
                high = middle
            else:
                low = middle + 1
        return writes[low] if low < len(writes) else -1

    def infer(self, a: int, b: int, why: str, budget: Budget) -> list[int]:
        """Let `a` come before `b`, which must not be before `a`; what got to know of more."""
        self.inferred.setdefault(b, []).append((a, why))
        self._inferred_after.setdefault(a, []).append(b)
        changed: dict[int, None] = {}
        stack = [(b, a)]
        clocks = self.clocks
        while stack:
            i, source = stack.pop()
            clock = list(map(max, clocks[i], clocks[source]))
            if clock == clocks[i]:
                continue
            budget.spend()
            clocks[i] = clock
            changed[i] = None
            stack += [(after, i) for after in self.after(i)]
        return list(changed)

    # --- in words -------------------------------------------------------------------------------

    def _cycle(self, stuck: list[int]) -> list[str]:
        """Program order and reads-from run in a circle among `stuck`, which wait for others."""
        inside = set(stuck)
        seen: dict[int, int] = {}
        path: list[int] = []
        i = stuck[0]
        while i not in seen:
            seen[i] = len(path)
            path.append(i)
            source = self._source(i)
            i = source if source in inside else self.previous[i]
        return self.path(path[seen[i] :][::-1], closed=True)

    def chain(self, a: int, b: int) -> list[str]:
        """Why `a` comes before `b`, line by line; a shortest explanation."""
        reached = {b: -1}
        queue = deque([b])
        looked = [0] * len(self.accesses.processes)  # ranks of each process that were queued
        while queue and a not in reached:
            i = queue.popleft()
            for before in self._reasons(i, looked):
                if before not in reached:
                    reached[before] = i
                    queue.append(before)
        path = [a]
        while path[-1] != b:
            path.append(reached[path[-1]])
        return self.path(path)

    def _reasons(self, i: int, looked: list[int]) -> list[int]:
        """What comes directly before `i`, and all of its process, so that explanations are short.

        Of a process, only what is later than `looked` says.
        """
        process, rank = self.accesses.process[i], self.accesses.rank[i]
        found = [] if self._source(i) < 0 else [self.sources[i]]
        found += [before for before, _ in self.inferred.get(i, ())]
        earlier = self.accesses.processes[process][looked[process] : rank - 1]
        looked[process] = max(looked[process], rank - 1)
        return found + [j for j in reversed(earlier) if self.included[j]]

    def fork(self) -> "Order":
        """A copy that can infer more, of an order without inferred edges."""
        assert not self.inferred
        twin = copy(self)
        twin.clocks = self.clocks.copy()  # the clocks themselves are replaced, never changed
        twin.inferred, twin._inferred_after = {}, {}
        return twin

    def path(self, path: Sequence[int], closed: bool = False) -> list[str]:
        """One line for each access of `path`, and between two of them why that order."""
        lines = ["  " + self.accesses.describe(path[0])]
        steps = list(zip(path, [*path[1:], path[0]], strict=True))
        for a, b in steps if closed else steps[:-1]:
            lines.append(f"    {self._why(a, b)}")
            lines.append("  " + self.accesses.describe(b))
        return lines

    def _why(self, a: int, b: int) -> str:
        if self._source(b) == a:
            return "was seen by"
        for before, why in self.inferred.get(b, ()):
            if before == a:
                return f"came before (since {why})"
        return "then, in the same process,"
