"""Causal memory (CM): each process sees all writes in one order that respects causality.

Definition (Ahamad, Neiger, Burns, Kohli, Hutto, "Causal memory", Distributed Computing 9, 1995;
here in the form of Bouajjani, Enea, Guerraoui, Hamza, POPL 2017): there is a causal
order, and for each access some total order of its causal past, within the causal order, explains
all reads of its process up to it. Different processes may order concurrent writes differently.

Algorithm: CC's bad patterns, and then one saturated view for each process (`views`),
since the view of its last access contains those of the earlier ones. O(n k) a process where nothing
is inferred.

Traps: CM and causal convergence do not imply each other. If values were written more than once, the
definition lets a read be explained by one write in its own order and by another in that of a later
access. Then an assignment of sources that passes proves that CM holds, but "none passes" proves a
violation only if none passes CC either; in between the verdict is "unknown".
"""

from collections.abc import Sequence

from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.causal import causal_order
from concur.histories.weaker.views import view


def memory(accesses: Accesses, sources: Sequence[int], budget: Budget) -> list[str]:
    """What is wrong, line by line; empty if it is a causal memory."""
    order, wrong = causal_order(accesses, sources, budget)
    if wrong:
        return wrong
    for chain in accesses.processes:
        reads = [i for i in chain if not accesses.is_write[i]]
        if len(reads) > 1:  # causality explains each read alone
            wrong = view(order.fork(), reads, budget)
            if wrong:
                return wrong
    return []
