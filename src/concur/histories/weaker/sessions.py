"""The four session guarantees, key by key, as one process can observe them.

Source: Terry, Demers, Petersen, Spreitzer, Theimer, Welch, "Session guarantees for weakly
consistent replicated data", PDIS 1994. There they are about what *servers* have received; a history
shows only what clients saw, and nobody can tell, from one read, what else a server knew. So we say,
for one key and the reads of one process (its session), what a client would notice:

* **monotonic reads**: the process never sees a value come back. There is an order of the writes in
  which its reads only go forward: not `a`, then `b`, then `a`; not `a`, then the initial value.
* **read your writes**: there is an order of the writes and of this process's reads that respects
  each pair of its accesses of which at least one is a write, and explains its reads. So after a
  write it sees that or something newer: not the initial value, not an earlier write of its own, and
  nothing that it had read before that write.
* **monotonic writes**: of two writes of one process nobody reads the second and later the first.
* **writes follow reads**: if somebody read `a` and then wrote `b`, and so on through any number of
  hands, nobody reads `b` and later `a`; and this order does not run in a circle.

All are local: a history has them iff each key alone has. A pending write is the last of its
process, so it counts if somebody read it. If values repeat, some choice of sources must do.

Algorithm: the first three need one pass, O(n). Writes follow reads takes vector clocks: reads of a
process form a chain, a write knows what its process had read and what those writes knew, O(n k).

Traps: PRAM implies the first three, and causal memory all four. Plain causal consistency (CC of
POPL 2017) implies all but monotonic reads, since it explains every read alone.
"""

from collections import deque
from collections.abc import Callable, Sequence

from concur.histories.weaker.accesses import INITIAL, UNKNOWN, Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.sources import find_sources

Check = Callable[[Accesses, list[int], Sequence[int]], list[str]]
"""What is wrong with so many accesses of one key, for one choice of sources."""


def monotonic_reads(accesses: Accesses, budget: Budget) -> list[str]:
    return _each_session(accesses, _came_back, budget)


def read_your_writes(accesses: Accesses, budget: Budget) -> list[str]:
    return _each_session(accesses, _own_write_lost, budget)


def monotonic_writes(accesses: Accesses, budget: Budget) -> list[str]:
    return _each_session(accesses, _seen_backwards, budget)


def writes_follow_reads(accesses: Accesses, budget: Budget) -> list[str]:
    return _each_key(accesses, range(len(accesses)), _effect_before_cause, budget)


def _each_session(accesses: Accesses, check: Check, budget: Budget) -> list[str]:
    """Processes one by one, and of each the keys."""
    for chain in accesses.processes:
        wrong = _each_key(accesses, chain, check, budget)
        if wrong:
            return wrong
    return []


def _each_key(accesses: Accesses, among: Sequence[int], check: Check, budget: Budget) -> list[str]:
    for positions in accesses.by_key(among):
        reads = [i for i in positions if not accesses.is_write[i]]

        def of_these(
            accesses: Accesses, sources: list[int], positions: Sequence[int] = positions
        ) -> list[str]:
            return check(accesses, sources, positions)

        wrong = find_sources(accesses, reads, of_these, budget)
        if wrong:
            return wrong
    return []


def _came_back(accesses: Accesses, sources: list[int], positions: Sequence[int]) -> list[str]:
    first: dict[int, int] = {}  # source -> the first read of it
    last = -1  # the last read of a known source
    for read in positions:
        if accesses.is_write[read]:
            continue
        source = sources[read]
        if source == UNKNOWN:
            continue
        if last >= 0 and source != sources[last] and (source in first or source == INITIAL):
            shown = [first[source], last, read] if source in first else [last, read]
            return [
                f"Process {accesses.operations[read].process} saw {accesses.value(source)} come "
                "back after something else:",
                *("  " + accesses.describe(i) for i in shown),
            ]
        first.setdefault(source, read)
        last = read
    return []


def _own_write_lost(accesses: Accesses, sources: list[int], positions: Sequence[int]) -> list[str]:
    """What the process reads between two of its writes must come from between them."""
    own = [i for i in positions if accesses.is_write[i]]
    place = {write: number for number, write in enumerate(own, 1)}
    place[INITIAL] = 0
    known: dict[int, int] = {}  # a source that is not its own -> the first read of it
    written = 0
    for i in positions:
        if accesses.is_write[i]:
            written += 1
            continue
        source = sources[i]
        if source == UNKNOWN:
            continue
        if source not in place:
            place[source] = written
            known[source] = i
        if place[source] == written:
            continue
        process = accesses.operations[i].process
        if place[source] > written:
            return [
                f"Process {process} read its own write before it made it:",
                *("  " + accesses.describe(j) for j in (i, source)),
            ]
        older = [] if source == INITIAL else [known.get(source, source)]
        return [
            f"Process {process} read {accesses.value(source)}, which is older than its own "
            "last write:",
            *("  " + accesses.describe(j) for j in (*older, own[written - 1], i)),
        ]
    return []


def _seen_backwards(accesses: Accesses, sources: list[int], positions: Sequence[int]) -> list[str]:
    newest: dict[int, int] = {}  # writing process -> the read of its latest write so far
    for read in positions:
        if accesses.is_write[read]:
            continue
        source = sources[read]
        if source < 0:
            continue
        writer = accesses.process[source]
        last = newest.get(writer)
        if last is None or accesses.rank[sources[last]] <= accesses.rank[source]:
            newest[writer] = read
            continue
        return [
            "Two writes of one process:",
            *("  " + accesses.describe(i) for i in (source, sources[last])),
            "were seen in the opposite order:",
            *("  " + accesses.describe(i) for i in (last, read)),
        ]
    return []


def _effect_before_cause(
    accesses: Accesses, sources: list[int], positions: Sequence[int]
) -> list[str]:
    """`context[i]`: for each process, how many of its reads are among the causes of `i`."""
    width = len(accesses.processes)
    reads = [i for i in positions if not accesses.is_write[i] and sources[i] >= 0]
    number: dict[int, int] = {}  # of a read within its process, from 1
    first_read: dict[int, dict[int, int]] = {}  # write -> process -> number of its first read
    cause: dict[int, int] = {}  # the last read of the same process before this access
    last: dict[int, int] = {}
    known = set(reads)
    for i in positions:
        process = accesses.process[i]
        if process in last:
            cause[i] = last[process]
        if i in known:
            number[i] = number[last[process]] + 1 if process in last else 1
            first_read.setdefault(sources[i], {}).setdefault(process, number[i])
            last[process] = i
    needs: dict[int, list[int]] = {}
    for i in positions:
        needs[i] = [cause[i]] if i in cause else []
        if i in known:
            needs[i].append(sources[i])
        elif not accesses.is_write[i]:
            needs[i] = []  # it is not known what this read saw
    context = _contexts(accesses, needs, number, width)
    if len(context) < len(needs):
        return _circle(accesses, needs, context)
    seen: dict[int, list[int]] = {}  # process -> causes of all that it has read
    for read in reads:
        process, source = accesses.process[read], sources[read]
        clock = seen.get(process)
        if clock is not None and any(
            first <= clock[reader] for reader, first in first_read[source].items()
        ):
            return _explain(accesses, sources, needs, read, reads)
        now = context[source]
        seen[process] = list(now) if clock is None else list(map(max, clock, now))
    return []


def _contexts(
    accesses: Accesses, needs: dict[int, list[int]], number: dict[int, int], width: int
) -> dict[int, list[int]]:
    after: dict[int, list[int]] = {}
    waiting = {}
    for i, causes in needs.items():
        waiting[i] = len(causes)
        for cause in causes:
            after.setdefault(cause, []).append(i)
    ready = deque(i for i, count in waiting.items() if not count)
    context: dict[int, list[int]] = {}
    while ready:
        i = ready.popleft()
        clock = [0] * width
        for cause in needs[i]:
            clock = list(map(max, clock, context[cause]))
        if i in number:
            clock[accesses.process[i]] = number[i]
        context[i] = clock
        for later in after.get(i, ()):
            waiting[later] -= 1
            if not waiting[later]:
                ready.append(later)
    return context


def _circle(
    accesses: Accesses, needs: dict[int, list[int]], context: dict[int, list[int]]
) -> list[str]:
    i = next(i for i in needs if i not in context)
    path: list[int] = []
    while i not in path:
        path.append(i)
        i = next(cause for cause in needs[i] if cause not in context)
    circle = path[path.index(i) :][::-1]
    return [
        "Each of these writes was made after somebody saw the one before, in a circle:",
        *("  " + accesses.describe(i) for i in circle if accesses.is_write[i]),
        "as these reads show:",
        *("  " + accesses.describe(i) for i in circle if not accesses.is_write[i]),
    ]


def _explain(
    accesses: Accesses,
    sources: list[int],
    needs: dict[int, list[int]],
    read: int,
    reads: Sequence[int],
) -> list[str]:
    """The process of `read` read an effect of the write that `read` saw, before it."""
    cause = sources[read]
    for earlier in reads:
        if accesses.process[earlier] != accesses.process[read] or earlier >= read:
            continue
        effect = sources[earlier]
        reached = {effect: -1}
        queue = deque([effect])
        while queue and cause not in reached:
            i = queue.popleft()
            for before in needs[i]:
                if before not in reached:
                    reached[before] = i
                    queue.append(before)
        if cause in reached and effect != cause:
            path = [cause]
            while path[-1] != effect:
                path.append(reached[path[-1]])
            return [
                f"{accesses.value(effect)} was written in the knowledge of "
                f"{accesses.value(cause)}:",
                *("  " + accesses.describe(i) for i in path),
                f"but {accesses.value(cause)} was seen after it:",
                *("  " + accesses.describe(i) for i in (earlier, read)),
            ]
    raise AssertionError("the clocks say that there is an effect that was read before its cause")
