"""Causal consistency (CC): what was seen may depend on nothing that was not seen.

Definition (Bouajjani, Enea, Guerraoui, Hamza, "On verifying causal consistency", POPL 2017):
there is a strict partial order, the *causal order*, that contains the order of each process, so
that for each read some total order of what is causally before it explains that one read. Reads need
not agree with each other on anything: not even two reads of one process.

Algorithm (theirs): with unique values a read's write must be in its causal past, so the least
causal order is the closure of process order and reads-from, and CC holds iff none of four *bad
patterns* is there:

* ThinAirRead: a read of what nobody wrote;
* CyclicCO: the causal order runs in a circle;
* WriteCOInitRead: a read of the initial value, with a write of that key in its causal past;
* WriteCORead: a read of write `a`, with another write `b` of that key causally between.

Vector clocks find them: for a read it is enough to look at the last write of each process in its
causal past. O(n k) for n accesses that know of k processes, times a logarithm.

Traps: keys cannot be checked one by one; causality runs across them. Real time plays no role.
"""

from collections.abc import Sequence

from concur.histories.weaker.accesses import INITIAL, UNKNOWN, Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.order import Order


def causal(accesses: Accesses, sources: Sequence[int], budget: Budget) -> list[str]:
    """What is wrong, line by line; empty if it is causally consistent (CC)."""
    return causal_order(accesses, sources, budget)[1]


def causal_order(
    accesses: Accesses, sources: Sequence[int], budget: Budget
) -> tuple[Order, list[str]]:
    """The least causal order, and the first bad pattern in it, if any."""
    order = Order(accesses, sources, budget)
    if order.cycle:
        return order, ["Each of these had to come before the next (CyclicCO):", *order.cycle]
    for read in accesses.reads:
        source = sources[read]
        if source == UNKNOWN:
            continue
        for write in order.last_writes(accesses.key[read], read):
            budget.spend()
            if write == source:
                continue
            if source == INITIAL:
                lines = [
                    "The initial value was read, but a write came causally before "
                    "(WriteCOInitRead):",
                    *order.chain(write, read),
                ]
                return order, lines
            if order.before(source, write):
                lines = [
                    f"{accesses.value(source)} was read, but it had been overwritten, causally, by "
                    f"{accesses.value(write)} (WriteCORead).",
                    f"First {accesses.value(source)}, then {accesses.value(write)}:",
                    *order.chain(source, write),
                    "then the read:",
                    *order.chain(write, read),
                ]
                return order, lines
    return order, []
