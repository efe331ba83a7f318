"""What every sequentially consistent order of a history must contain, as far as rules can tell.

A read of `b` stands between `b` and the next write of that key. So, of `b`, a read of it and
another write `a` of the same key: if `a` comes before the read, then `a` comes before `b`; if `b`
comes before `a`, then the read comes before `a`. From process order and reads-from these two rules
are applied until nothing new follows. If they run in a circle the history is not sequentially
consistent; if not, it may still not be (that is NP-complete), but the search has far fewer orders
left to try. (Zennou, Bouajjani, Enea, Erradi, "Gradual consistency checking", CAV 2019, use the
same two steps.)
"""

from collections.abc import Sequence

from concur.histories.weaker.accesses import INITIAL, UNKNOWN, Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.order import Order


def saturate(accesses: Accesses, sources: Sequence[int], budget: Budget) -> tuple[Order, list[str]]:
    """The order so far, and why there is none, line by line."""
    order = Order(accesses, sources, budget)
    if order.cycle:
        return order, ["Each of these had to come before the next:", *order.cycle]
    reads = [read for read in accesses.reads if sources[read] != UNKNOWN]
    news = True
    while news:
        news = False
        for read in reads:
            for a, b, why in _rules(order, read, budget):
                if order.before(a, b):
                    continue
                if order.before(b, a):
                    return order, [
                        "No one order of all operations explains the reads.",
                        *_one_after_the_other(accesses, b, a),
                        *order.chain(b, a),
                        "and the other way round, since " + why + ":",
                        *(order.path([a]) + order.path([b])),
                    ]
                order.infer(a, b, why)
                news = True
    return order, []


def _one_after_the_other(accesses: Accesses, first: int, second: int) -> list[str]:
    events = accesses.operations[first].index, accesses.operations[second].index
    return [f"Event {events[0]} had to come before event {events[1]}:"]


def _rules(order: Order, read: int, budget: Budget) -> list[tuple[int, int, str]]:
    """Pairs that must be in this order because of one read, and why."""
    accesses = order.accesses
    source, key = order.sources[read], accesses.key[read]
    found = []
    event, value = accesses.operations[read].index, accesses.value(source)
    writers = order.writes.get(key, {})
    budget.spend(len(writers))
    if source == INITIAL:
        why = f"event {event} saw the initial value"
        return [(read, writes[0], why) for writes in writers.values()]
    for write in order.last_writes(key, read):
        if write != source:
            found.append((write, source, f"event {event} came after and saw {value}"))
    for process in writers:
        write = order.first_write_after(key, process, source)
        if write >= 0:
            found.append((read, write, f"event {event} saw {value}, not yet what came next"))
    return found
