"""Eventual consistency, as far as a history can show it: convergence after the last write.

Eventual consistency (Terry et al., 1994; Vogels, "Eventually consistent", CACM 52(1), 2009) says
that if writes stop, all reads return the same value in the end. A finite history can only disprove
a version of it with a deadline. Ours, for each key:

* the *settled* reads are those that began later than the settling time after the last completed
  write of that key returned (all reads, if no write of it completed);
* all settled reads return the same value, except that a write without a known outcome may be taking
  effect just then: reads of its value are excused;
* they do not return the initial value if a write of the key completed: that write must arrive;
* and, at any time, no value comes out of thin air.

Which write wins is free: concurrent or not, the store may order them by its own clocks. Without
settled reads nothing contradicts it, and the verdict says so. O(n). Values written more than once
make no difference here: values are compared, not writes.
"""

from concur.histories.explain import phrase
from concur.histories.identity import identity
from concur.histories.weaker.accesses import INITIAL, Accesses


def eventual(accesses: Accesses, settling_ns: int) -> tuple[list[str], int]:
    """What is wrong, line by line, empty if reads converge; and how many reads had settled."""
    settled = 0
    operations = accesses.operations
    for positions in accesses.by_key(range(len(accesses))):
        last, end = -1, None
        pending = set()
        for i in positions:
            if not accesses.is_write[i]:
                continue
            returned = operations[i].return_ns
            if returned is None:
                pending.add(identity(operations[i].value))
            elif end is None or returned > end:
                last, end = i, returned
        first = -1
        for i in positions:
            if accesses.is_write[i] or (
                end is not None and operations[i].call_ns <= end + settling_ns
            ):
                continue
            settled += 1
            value = identity(operations[i].result)
            if value in pending:
                continue
            if end is not None and accesses.candidates[i] == [INITIAL]:
                return [
                    "A write was acknowledged and never arrived: after the last write had settled, "
                    "the initial value was read:",
                    *("  " + accesses.describe(j) for j in (last, i)),
                ], settled
            if first < 0:
                first = i
            elif identity(operations[first].result) != value:
                shown = [first, i] if last < 0 else [last, first, i]
                texts = [phrase(operations[j].result) for j in (first, i)]
                return [
                    f"After the last write had settled, reads disagree: {texts[0]} and {texts[1]}:",
                    *("  " + accesses.describe(j) for j in shown),
                ], settled
    return [], settled
