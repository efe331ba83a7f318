"""The four session guarantees, as far as clients can tell that they were broken.

Source: Terry, Demers, Petersen, Spreitzer, Theimer, Welch, "Session guarantees for weakly
consistent replicated data", PDIS 1994. There each read is answered by a server, which knows some of
the writes and puts them in the one order that all servers have; a session is a process:

* **monotonic reads**: each read knows all that the earlier reads of its process knew. (There, only
  the writes that these had seen, which makes no difference here.)
* **read your writes**: each read knows the writes that its process made before, and none that it
  makes later.
* **monotonic writes**: the order has the writes of a process as it made them, and who knows one
  knows the earlier ones.
* **writes follow reads**: the order puts a write after what its process had read before, and who
  knows it knows that.

Viotti and Vukolic ("Consistency in non-transactional distributed storage systems", 2016) say the
same by visibility and arbitration. A history shows neither what servers knew nor their order. So a
guarantee is broken only if no knowledge and no order explain the reads with it. One thing is weaker
here than there: each process may have an order of its own, as in `pram`, which asks for the first
three at once. For the last two that makes no difference.

What that comes to, for reads of single registers:

* monotonic reads: no value comes back: not `a`, then `b`, then `a`; not `a`, then the initial one.
* read your writes: after a write of its own a process does not read the initial value; and of two
  writes of its own, when it has made both, it reads only one: each read says that this one is the
  later. (`put a`, `put b`, `get a` alone is explained: `b` was ordered before `a`. It is monotonic
  writes that forbids such an order, so only both together exclude it.)
* monotonic writes: nothing. Whoever reads the second write and then the first asked a server that
  did not know the second. It is monotonic reads that forbids that.
* writes follow reads: nothing either, unless knowledge runs in a circle: each of some writes was
  made by one who had read the one before.

So these are worth asking for together: `pram` is the first three, `causal-memory` all four.

The first two are local: a history has them iff each key alone has. If values repeat, some choice of
sources must do. All take one pass, O(n).
"""

from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter

from concur.histories.weaker.accesses import INITIAL, UNKNOWN, Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.sources import find_sources

Check = Callable[[Accesses, list[int], Sequence[int]], list[str]]
"""What is wrong with so many accesses of one key, for one choice of sources."""


def monotonic_reads(accesses: Accesses, budget: Budget) -> list[str]:
    return _each_session(accesses, _came_back, budget)


def read_your_writes(accesses: Accesses, budget: Budget) -> list[str]:
    return _each_session(accesses, _own_write_lost, budget)


def writes_follow_reads(accesses: Accesses, budget: Budget) -> list[str]:
    sources = accesses.fixed_sources()

    def check(accesses: Accesses, sources: list[int]) -> list[str]:
        budget.spend(len(accesses))
        return _circle(accesses, sources)

    return find_sources(accesses, sources, accesses.reads, check, budget)


def _each_session(accesses: Accesses, check: Check, budget: Budget) -> list[str]:
    """Processes one by one, and of each the keys."""
    sources = accesses.fixed_sources()
    for chain in accesses.processes:
        for positions in accesses.by_key(chain):
            budget.spend(len(positions))
            reads = [i for i in positions if not accesses.is_write[i]]

            def of_these(
                accesses: Accesses, sources: list[int], positions: Sequence[int] = positions
            ) -> list[str]:
                return check(accesses, sources, positions)

            wrong = find_sources(accesses, sources, reads, of_these, budget)
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
    own = -1  # its last write
    last = -1  # its last read of a write of its own
    for i in positions:
        if accesses.is_write[i]:
            own = i
            continue
        source, process = sources[i], accesses.operations[i].process
        if source == UNKNOWN or (source >= 0 and accesses.process[source] != accesses.process[i]):
            continue
        if source > i:
            return [
                f"Process {process} read its own write before it made it:",
                *("  " + accesses.describe(j) for j in (i, source)),
            ]
        if source == INITIAL:
            if own >= 0:
                return [
                    f"Process {process} read the initial value after a write of its own:",
                    *("  " + accesses.describe(j) for j in (own, i)),
                ]
            continue
        # What it read before that was in the place of `source` is older than `last`, or `last` is.
        if last > source and sources[last] != source:
            shown = sorted([source, sources[last], last, i])
            return [
                f"Process {process} read each of two writes of its own when it had made both, so "
                "neither can have been the later one:",
                *("  " + accesses.describe(j) for j in shown),
            ]
        last = i
    return []


def _circle(accesses: Accesses, sources: list[int]) -> list[str]:
    """Writes that were each made after the one before was read, in a circle."""
    before: dict[int, list[int]] = {}
    for chain in accesses.processes:
        last = -1  # the last read of a known write
        for i in chain:
            if not accesses.is_write[i] and sources[i] < 0:
                continue
            before[i] = [] if last < 0 else [last]
            if not accesses.is_write[i]:
                before[i].append(sources[i])
                last = i
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = error.args[1][1:]
        return [
            "Each of these writes was made after somebody saw the one before, in a circle:",
            *("  " + accesses.describe(i) for i in circle if accesses.is_write[i]),
            "as these reads show:",
            *("  " + accesses.describe(i) for i in circle if not accesses.is_write[i]),
        ]
    return []
