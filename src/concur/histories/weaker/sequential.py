"""Sequential consistency: one order of all operations that respects the order of each process.

Definition (Lamport, "How to make a multiprocessor computer that correctly executes multiprocess
programs", IEEE Trans. Computers, 1979; Attiya and Welch, "Sequential consistency versus
linearizability", TOCS 12(2), 1994): like linearizability, without real time between processes.

Algorithm: what is linearizable is sequentially consistent, and that is found out sooner. Else, for
reads and writes of unique values, saturation decides most histories that are wrong, and a frontier
search the others. Values written twice and any other machine go to the search alone.

Traps: it is not local. Two keys may each be sequentially consistent and not both together, so the
whole history is one search. A process that never communicates may lag behind by any time.
"""

from collections.abc import Sequence

from concur.errors import BadInput
from concur.histories.admission import dropped
from concur.histories.explain import describe
from concur.histories.history import History, Operation
from concur.histories.specification import Specification
from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.frontier import Machines, Registers, advance
from concur.histories.weaker.saturation import saturate


def sequential_registers(accesses: Accesses, budget: Budget) -> list[str]:
    """Reads and writes, each value that is read written once. Lines, empty if it holds."""
    sources = accesses.fixed_sources()
    order, wrong = saturate(accesses, sources, budget)
    if wrong:
        return wrong
    rules = Registers(order)
    stuck = advance(accesses.processes, [False] * len(accesses), rules, budget)
    if stuck is None:
        return []
    return _explain(accesses.operations, accesses.processes, stuck)


def sequential(history: History, machine: Specification, budget: Budget) -> list[str]:
    """Any machine. Lines, empty if it holds."""
    operations = []
    for op in history.operations():
        if dropped(op):
            continue
        try:
            command = machine.command(op.f, op.key, op.value)
        except BadInput as error:
            raise BadInput(f"history, event {op.index}: {error}") from None
        if op.type == "info" and machine.read_only(command):
            continue
        operations.append(op)
    chains: dict[int, list[int]] = {}
    for i, op in enumerate(operations):
        chains.setdefault(op.process, []).append(i)
    optional = [op.type == "info" for op in operations]
    processes = list(chains.values())
    stuck = advance(processes, optional, Machines(operations, machine), budget)
    if stuck is None:
        return []
    return _explain(operations, processes, stuck)


def _explain(
    operations: Sequence[Operation], chains: Sequence[Sequence[int]], stuck: Sequence[int]
) -> list[str]:
    done = sum(stuck)
    total = sum(map(len, chains))
    waiting = [
        "  " + describe(operations[chain[at]])
        for chain, at in zip(chains, stuck, strict=True)
        if at < len(chain)
    ]
    return [
        f"All orders were tried; the furthest came to {done} of {total} operations. "
        "None of the next ones fits there:",
        *waiting,
    ]
