"""One order of all writes, guessed: if it explains every read, every causal model holds at once.

Most stores apply writes in one order, and it is close to the order of their calls. So before any
process is looked at closely, guess an order W of all writes that respects causality, and let each
process walk through W: a write of its own takes it there, and a read takes it just far enough to
see the read's source, which must not be overwritten by then. If all processes get to their end, W
with the reads put where they were made is an order of all operations that keeps each process's
order: the history is sequentially consistent, hence also causal memory and causally convergent. If
not, the guess says nothing. O(n log n) a guess. (PRAM follows too, but there it saved no time.)

Guesses: writes by their call, by their return, and by their call after what convergence infers.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from concur.histories.timeline import NEVER
from concur.histories.weaker.accesses import INITIAL, Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.causal import causal_order
from concur.histories.weaker.convergence import convergent_order
from concur.histories.weaker.order import Order


def one_order_explains(accesses: Accesses, sources: Sequence[int], budget: Budget) -> bool:
    """True only if the history is sequentially consistent; False says nothing.

    Every read must have a source.
    """
    order, wrong = causal_order(accesses, sources)
    if wrong:
        return False
    calls = [op.call_ns for op in accesses.operations]
    returns = [NEVER if op.return_ns is None else op.return_ns for op in accesses.operations]
    for times in (calls, returns):
        budget.spend(len(accesses))
        if _walk(order, _writes_in_order(order, times)):
            return True
    order, wrong = convergent_order(accesses, sources, budget)
    return not wrong and _walk(order, _writes_in_order(order, calls))


def _writes_in_order(order: Order, times: Sequence[int]) -> list[int]:
    """All writes, within `order`, early ones first."""
    accesses = order.accesses
    waiting = [0] * len(accesses)
    for i in range(len(accesses)):
        for after in order.after(i):
            waiting[after] += 1
    ready = [(times[i], i) for i, count in enumerate(waiting) if not count]
    heapify(ready)
    found = []
    while ready:
        _, i = heappop(ready)
        if accesses.is_write[i]:
            found.append(i)
        for after in order.after(i):
            waiting[after] -= 1
            if not waiting[after]:
                heappush(ready, (times[after], after))
    return found


def _walk(order: Order, writes: Sequence[int]) -> bool:
    accesses = order.accesses
    place = {write: number for number, write in enumerate(writes)}
    place[INITIAL] = -1
    overwritten: dict[
        int, int
    ] = {}  # write, or -1 - key for the initial value -> place of the next
    last: dict[int, int] = {}
    for number, write in enumerate(writes):
        key = accesses.key[write]
        overwritten[last.get(key, -1 - key)] = number
        last[key] = write
    for chain in accesses.processes:
        at = -1
        for i in chain:
            if accesses.is_write[i]:
                if place[i] < at:
                    return False
                at = place[i]
                continue
            source = order.sources[i]
            at = max(at, place[source])
            name = source if source != INITIAL else -1 - accesses.key[i]
            if overwritten.get(name, NEVER) <= at:
                return False
    return True
