"""Causal convergence (CCv): causal, and all processes agree on the order of concurrent writes.

Definition (Bouajjani, Enea, Guerraoui, Hamza, POPL 2017; what many systems call
causal+): there are a causal order and one total order of everything that contains it, the
arbitration, and each read returns the last write, in the arbitration, of its key in its causal
past. Replicas that received the same writes hold the same values.

Algorithm (theirs): CC's bad patterns, and CyclicCF. If `a` is in the causal past of a read that
saw `b`, then `a` was arbitrated before `b`: a *conflict* edge. Causal order and conflicts together
must not run in a circle. The last write of each process is enough here too, O(n k) edges.

Trap: CCv and causal memory do not imply each other. Here a process may see a value come back if the
arbitration says so and it learnt of a write late, but never two processes in opposite orders.
"""

from collections.abc import Sequence

from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.causal import causal_order
from concur.histories.weaker.order import Order


def convergence(accesses: Accesses, sources: Sequence[int], budget: Budget) -> list[str]:
    """What is wrong, line by line; empty if it is causally convergent."""
    return convergent_order(accesses, sources, budget)[1]


def convergent_order(
    accesses: Accesses, sources: Sequence[int], budget: Budget
) -> tuple[Order, list[str]]:
    """The causal order with all conflict edges, and what is wrong with it, if anything."""
    order, wrong = causal_order(accesses, sources, budget)
    if wrong:
        return order, wrong
    conflicts = [
        (write, sources[read], read)
        for read in accesses.reads
        if sources[read] >= 0
        for write in order.last_writes(accesses.key[read], read)
        if write != sources[read]
    ]
    for write, source, read in conflicts:  # of the causal order alone, so first all, then infer
        if order.before(write, source):
            continue
        if order.before(source, write):
            return order, [
                "Reads disagree on the order of writes (CyclicCF).",
                f"{accesses.value(source)} came before {accesses.value(write)}:",
                *order.chain(source, write),
                f"but {accesses.value(write)} before {accesses.value(source)}, since the last "
                "of these knew of both and saw the latter:",
                *order.path([source, read]),
            ]
        event = accesses.operations[read].index
        why = f"event {event} knew of both and saw {accesses.value(source)}"
        order.infer(write, source, why)
    return order, []
