"""Partial orders of accesses by vector clocks: what certainly came before what, and why.

An order is made of three kinds of edges: from an access to the next one of its process, from a
write to the reads that saw it, and *inferred* ones that a model derives. A process is a chain, so
one number per process says all that came before an access: `clocks[i][q]` is the rank of the last
access of another process q that is before `i`; of its own process that is its own rank.

Clocks are sparse, since a client that opens a session for each request leaves as many processes as
operations, of which an access knows a few. They are shared, since only what learns something needs
one of its own, and never changed, so that orders can be forked. A question costs O(1), and an
inferred edge is propagated only where it says something new.

A pipeline (PRAM) looks at the world through one process: the reads of the others are no part of it.
So it forks an order of the writes alone, and adds the reads of one process (`seen_by`).
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from copy import copy
from itertools import pairwise

from concur.histories.weaker.accesses import UNKNOWN, Accesses
from concur.histories.weaker.budget import Budget

Clock = dict[int, int]

ENTRY_STEPS = 4
"""What an entry of a clock that stays costs: 20 million steps are about 250 MB."""

COPIED_IN_A_STEP = 16
"""How much of a clock, or of the list of all clocks, is copied in the time of a step."""


class Order:
    """Program order and reads-from over all accesses, or over the writes alone.

    `cycle` says what is wrong if these two contradict each other; then there are no clocks.
    """

    def __init__(
        self,
        accesses: Accesses,
        sources: Sequence[int],
        budget: Budget,
        writes_only: bool = False,
    ) -> None:
        self.accesses = accesses
        self.sources = [UNKNOWN] * len(accesses) if writes_only else sources
        self.budget = budget
        self.previous = [-1] * len(accesses)
        self.following = [-1] * len(accesses)
        self.readers: dict[int, list[int]] = {}
        self.inferred: dict[int, list[tuple[int, str]]] = {}  # to -> (from, why)
        self._inferred_after: dict[int, list[int]] = {}
        # key -> process -> its writes of that key
        self.writes: dict[int, dict[int, list[int]]] = {}
        for i in accesses.writes:
            of_key = self.writes.setdefault(accesses.key[i], {})
            of_key.setdefault(accesses.process[i], []).append(i)
        self.clocks: list[Clock] = [{}] * len(accesses)
        budget.spend(len(accesses))
        for chain in accesses.processes:
            self._link([i for i in chain if accesses.is_write[i]] if writes_only else chain)
        self.cycle = self._build(accesses.writes if writes_only else range(len(accesses)))

    def _link(self, chain: Sequence[int]) -> None:
        """`chain` is what there is of a process."""
        for before, after in pairwise(chain):
            self.previous[after] = before
            self.following[before] = after
        for i in chain:
            source = self._source(i)
            if source >= 0:
                self.readers.setdefault(source, []).append(i)

    def _build(self, among: Sequence[int]) -> list[str]:
        """Clocks of `among`. What comes before them has its clock or is one of them."""
        clocks = self.clocks
        waiting = dict.fromkeys(among, 0)
        for i in among:
            waiting[i] = (self.previous[i] in waiting) + (self._source(i) in waiting)
        ready = deque(i for i in among if not waiting[i])
        done = 0
        while ready:
            i = ready.popleft()
            done += 1
            before, source = self.previous[i], self._source(i)
            clock = clocks[before] if before >= 0 else {}
            if source >= 0:
                news = self._news(i, clock, self._known(source))
                if news:
                    clock = {**clock, **news}
                    self.budget.spend(ENTRY_STEPS * len(clock))
            clocks[i] = clock
            for after in self.after(i):
                waiting[after] -= 1
                if not waiting[after]:
                    ready.append(after)
        if done == len(among):
            return []
        return self._cycle([i for i in among if waiting[i] > 0])

    def _known(self, i: int) -> Clock:
        """What whoever comes after `i` knows at least."""
        return {**self.clocks[i], self.accesses.process[i]: self.accesses.rank[i]}

    def _news(self, i: int, clock: Clock, told: Clock) -> Clock:
        """What of `told` is new to `i`, if it knew `clock`."""
        own = self.accesses.process[i]
        return {q: rank for q, rank in told.items() if rank > clock.get(q, 0) and q != own}

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
        process = self.accesses.process
        if process[a] == process[b]:
            return a < b
        return self.clocks[b].get(process[a], 0) >= self.accesses.rank[a]

    def last_writes(self, key: int, i: int) -> list[int]:
        """Of each process the last write to `key` that is before `i` or is `i`, if there is one."""
        writers = self.writes.get(key, {})
        clock = self.clocks[i]
        found = []
        own = self.accesses.process[i]
        if own in writers:
            at = bisect_right(writers[own], i)
            if at:
                found.append(writers[own][at - 1])
        for process in clock if len(clock) < len(writers) else writers:
            if process in clock and process in writers:
                last = self.accesses.processes[process][clock[process] - 1]
                at = bisect_right(writers[process], last)
                if at:
                    found.append(writers[process][at - 1])
        return found

    def first_write_after(self, key: int, process: int, i: int) -> int:
        """The first write of `process` to `key` that comes after `i`; -1 if none."""
        writes = self.writes[key][process]
        low, high = 0, len(writes)
        while low < high:  # what comes after a write of a chain comes after the earlier ones
            middle = (low + high) // 2
            if writes[middle] != i and self.before(i, writes[middle]):
                high = middle
            else:
                low = middle + 1
        return writes[low] if low < len(writes) else -1

    def infer(self, a: int, b: int, why: str) -> list[int]:
        """Let `a` come before `b`, which must not be before `a`; what got to know of more."""
        self.inferred.setdefault(b, []).append((a, why))
        self._inferred_after.setdefault(a, []).append(b)
        changed = []
        stack = [(b, self._known(a))]
        clocks = self.clocks
        while stack:
            i, told = stack.pop()
            old = clocks[i]
            news = self._news(i, old, told)
            if not news:
                continue
            new = {**old, **news}
            self.budget.spend(1 + len(new) // COPIED_IN_A_STEP)
            while i >= 0 and clocks[i] is old:  # what knew the same knows the same again
                clocks[i] = new
                changed.append(i)
                if i in self.readers or i in self._inferred_after:
                    stack += [(after, news) for after in self.after(i)]
                i = self.following[i]
            if i >= 0:
                stack.append((i, news))
        self.budget.spend(len(changed))
        return changed

    def fork(self) -> "Order":
        """A copy that can infer more, of an order without inferred edges."""
        assert not self.inferred
        self.budget.spend(1 + len(self.accesses) // COPIED_IN_A_STEP)
        twin = copy(self)
        twin.clocks = self.clocks.copy()
        twin.inferred, twin._inferred_after = {}, {}
        return twin

    def seen_by(self, chain: Sequence[int], sources: Sequence[int]) -> "Order":
        """A copy of an order of writes, with the reads of the process that did `chain`."""
        twin = self.fork()
        twin.sources = sources
        twin.previous, twin.following = self.previous.copy(), self.following.copy()
        twin.readers = {}
        twin._link(chain)
        twin.cycle = twin._build(chain)
        return twin

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
        looked: Clock = {}  # ranks of each process that were queued
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

    def _reasons(self, i: int, looked: Clock) -> list[int]:
        """What comes directly before `i`, and all of its process, so that explanations are short.

        Of a process, only what is later than `looked` says.
        """
        process, rank = self.accesses.process[i], self.accesses.rank[i]
        found = [] if self._source(i) < 0 else [self.sources[i]]
        found += [before for before, _ in self.inferred.get(i, ())]
        earlier = self.previous[i]
        while earlier >= 0 and self.accesses.rank[earlier] > looked.get(process, 0):
            found.append(earlier)
            earlier = self.previous[earlier]
        looked[process] = max(looked.get(process, 0), rank - 1)
        return found

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
