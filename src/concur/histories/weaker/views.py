"""One process's view: an order of all writes that explains every read of that process.

Causal memory and PRAM both ask, process by process, for a total order of writes and that process's
reads, in which each read returns the last write before it. They differ in what the order must
respect: causality, or only the order in which each process wrote.

Algorithm (Bouajjani, Enea, Guerraoui, Hamza, POPL 2017, the relation HB): start from
what must be respected, and saturate: if `a` comes before a read of `b` (same key, `a` not `b`),
then `a` comes before `b`. A view exists iff this never runs in a circle (CyclicHB) and never puts a
write before a read of the initial value (WriteHBInitRead). That only one rule is needed comes from
the reads being those of one process, thus already in order.

Only reads whose clocks grew are looked at again, and each look costs the number of processes that
write the key. Every inferred edge orders two writes that were not ordered, so it ends.
"""

from collections import deque
from collections.abc import Sequence

from concur.histories.weaker.accesses import INITIAL, UNKNOWN
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.order import Order


def view(order: Order, reads: Sequence[int], budget: Budget) -> list[str]:
    """Saturate `order` for the process of `reads`; what is wrong, empty if there is a view."""
    accesses, sources = order.accesses, order.sources
    # The last first: what follows from it reaches a few, and the rest of what the earlier ones add
    # soon meets what knows it already.
    queue = deque(read for read in reversed(reads) if sources[read] != UNKNOWN)
    queued = dict.fromkeys(queue, True)
    while queue:
        read = queue.popleft()
        queued[read] = False
        source = sources[read]
        for write in order.last_writes(accesses.key[read], read):
            budget.spend()
            if write == source:
                continue
            if source == INITIAL:
                return [
                    "This process read the initial value after a write that it must have known of "
                    "(WriteHBInitRead):",
                    *order.chain(write, read),
                ]
            if order.before(write, source):
                continue
            if order.before(source, write):
                return [
                    f"This process read {accesses.value(source)} although, in any order that "
                    f"explains its reads, {accesses.value(write)} had overwritten it (CyclicHB).",
                    f"First {accesses.value(source)}, then {accesses.value(write)}:",
                    *order.chain(source, write),
                    "then the read:",
                    *order.chain(write, read),
                ]
            event = accesses.operations[read].index
            why = f"event {event} came after and saw {accesses.value(source)}"
            for changed in order.infer(write, source, why):
                if queued.get(changed) is False:
                    queued[changed] = True
                    queue.append(changed)
    return []
