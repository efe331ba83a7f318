"""Which write did each read see? Unique if values are, otherwise a search.

Every model here holds if *some* assignment of a write to each read makes it hold. If all values
that are read were written once there is one assignment. If not, deciding causal consistency is
NP-complete already (Bouajjani, Enea, Guerraoui, Hamza, POPL 2017), so we search: reads
get their sources one after the other, the likeliest first, and a partial assignment that is
already broken is not continued. That is sound, because every check looks for patterns that more
knowledge never removes; and it is exact, because all assignments that are left out contain a
broken part. The budget bounds it.

The likeliest source is the write that was called last before the read returned: systems are mostly
right. So a history that holds is usually decided by the first full assignment.
"""

from collections.abc import Callable, Sequence

from concur.histories.weaker.accesses import INITIAL, UNKNOWN, Accesses
from concur.histories.weaker.budget import Budget

Check = Callable[[Accesses, list[int]], list[str]]
"""(accesses, source of each read) -> what is wrong, line by line; reads of UNKNOWN are ignored."""


def find_sources(
    accesses: Accesses, sources: list[int], reads: Sequence[int], check: Check, budget: Budget
) -> list[str]:
    """Empty if some assignment of sources to `reads` passes `check`; else why none does.

    `sources` are the `fixed_sources`, of which those of `reads` are filled in. So who asks of many
    parts of a history shares one list among them, and `check` looks at the reads of its part alone.
    Raises OutOfBudget.
    """
    open_ = [i for i in reads if len(accesses.candidates[i]) > 1]
    wrong = check(accesses, sources)
    if wrong or not open_:
        return wrong
    choices = [_likeliest_first(accesses, i) for i in open_]
    for i, choice in zip(open_, choices, strict=True):
        sources[i] = choice[0]
    first = check(accesses, sources)
    if not first:
        return []
    for i in open_:
        sources[i] = UNKNOWN
    tried = [0] * len(open_)
    depth = 0
    cost = 1 + len(reads)
    while depth >= 0:
        if depth == len(open_):
            return []
        if tried[depth] == len(choices[depth]):
            tried[depth] = 0
            sources[open_[depth]] = UNKNOWN
            depth -= 1
            continue
        sources[open_[depth]] = choices[depth][tried[depth]]
        tried[depth] += 1
        budget.spend(cost)
        if not check(accesses, sources):
            depth += 1
    return [
        "Values were written more than once, so some reads may have seen one of several writes.",
        "No choice of them explains everything; the likeliest fails because of this:",
        *first,
    ]


def _likeliest_first(accesses: Accesses, read: int) -> list[int]:
    returned = accesses.operations[read].return_ns
    assert returned is not None  # a read without an outcome is no access

    def unlikeliness(source: int) -> tuple[int, int]:
        if source == INITIAL:
            return 1, 0
        called = accesses.operations[source].call_ns
        return (0, -called) if called <= returned else (2, called)

    return sorted(accesses.candidates[read], key=unlikeliness)
