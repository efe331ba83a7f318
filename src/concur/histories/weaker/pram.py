"""PRAM, or FIFO consistency: each process sees the writes of each other process in their order.

Definition (Lipton and Sandberg, "PRAM: a scalable shared memory", 1988; Steinke and Nutt, "A
unified theory of shared memory consistency", JACM 51(5), 2004): for each process there is a total
order of all writes and its own reads that respects the order of every process and in which each
read returns the last write of its key before it.

Algorithm: one saturated view for each process (`views`) over the writes of all and the reads of
one: that is causal memory of the history from which all other reads were taken out. The order of
the writes is built once, and forked for each process. If values
repeat, sources are searched for one process at a time, which is exact: views need not agree.

Trap: keys cannot be checked one by one; process order runs across them. In Viotti and Vukolic's
survey ("Consistency in non-transactional distributed storage systems", 2016) PRAM also has one
arbitration for all processes, which is stronger than this.
"""

from collections.abc import Sequence

from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.order import Order
from concur.histories.weaker.sources import find_sources
from concur.histories.weaker.views import view


def pram(accesses: Accesses, budget: Budget) -> list[str]:
    """What is wrong, line by line; empty if every process has a view."""
    sources = accesses.fixed_sources()
    written = Order(accesses, sources, budget, writes_only=True)
    for chain in accesses.processes:
        if len(chain) == 1:
            continue  # some order explains one access
        reads = [i for i in chain if not accesses.is_write[i]]

        def check(
            accesses: Accesses,
            sources: Sequence[int],
            chain: Sequence[int] = chain,
            reads: Sequence[int] = reads,
        ) -> list[str]:
            order = written.seen_by(chain, sources)
            if order.cycle:
                return ["Each of these had to come before the next:", *order.cycle]
            return view(order, reads, budget)

        wrong = find_sources(accesses, sources, reads, check, budget) if reads else []
        if wrong:
            process = accesses.operations[chain[0]].process
            return [f"Process {process} has no view of all writes:", *wrong]
    return []
