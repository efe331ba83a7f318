"""Objects whose changes come in a known order, at unknown moments: nothing is done before it must.

Problem: of many objects we know in which order they changed, but not when: a lock is taken and
given, a value is added to a set and removed, a counter went from each total to the next. Number
the changes 0, 1, 2 ... and say that the object is in *phase* n when n changes have happened. The
change out of phase n is made by an operation out of a known *pool*, perhaps of one, perhaps of
several that do the same. All others are observers; each fits into some phases and not into others.

Idea: sweep over calls and returns in order of time and be lazy. An operation goes into the order
only when it must: one that changes, when it returns; an observer, when it returns and no phase
since its call has suited it. What then has to happen first happens then: all changes up to the
phase that it needs, each by the operation of its pool that was called and returns first. An
operation without an outcome stays in its pool for ever, and is taken if there is no other.

Why it is right: let N(t) be the phase of the sweep at time t, N'(t) that of any order that explains
everything. Then N(t) <= N'(t) always, by induction over the moments at which the sweep does
something, at a return.

* *An observer returns, not yet placed.* Since its call, the sweep was in no phase that suits it.
  The first such phase that is not before the sweep's phase at the call is therefore still ahead,
  and the other order was in a suitable phase in that time, by induction not before this one.
* *A change `x` of a pool returns, not yet made.* Say that the sweep has made k of this pool. In the
  other order at least k + 1 have been made. That is so if all k returned before `x` does. If not,
  look at the last of them that returns after `x`, and when the sweep took it: it preferred it,
  so `x` and all that it took afterwards were called later. By induction the other order had made
  as many as the sweep by that moment, and then those called later, which had to return.

So if the sweep needs a change and its pool has nobody who was called already, every other order
would need it as well: there is none. If it never gets stuck, what it did is an order: everything
was placed between its call and its return. Such constraints are Horn clauses ("if this change was
before that call, that one was before that return"), which have a least solution; this is it.

It takes O(n log n) for n operations.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from concur.histories.timeline import NEVER, Timeline


class Stuck(NamedTuple):
    """`operation` must happen by `rank` and cannot: the object is in `phase`, forced there by
    `cause` (itself if by nothing), and either nobody called so far can change that, or
    no phase from there on suits it."""

    operation: int
    phase: int
    cause: int
    rank: int


class Swept(NamedTuple):
    """An order of positions, and for each the rank of the event at which it was placed."""

    order: list[int]
    moments: list[int]


def sweep(
    positions: Sequence[int],
    timeline: Timeline,
    pools: Mapping[int, Hashable],
    pool_of: Callable[[int], Hashable],
    ahead: Callable[[int, int], int | None],
) -> Swept | Stuck:
    """Place all operations that returned, and of the others those that are needed.

    `pools` has the pool of each position that changes the object, the rest are observers. `pool_of`
    gives the pool of the change out of a phase. `ahead(position, phase)` is the first phase, this
    one or later, that suits an observer, or of which the change is of this position's pool; None
    if there is none.
    """
    calls, returns = timeline.calls, timeline.returns
    events = [(calls[p], p) for p in positions]
    events += [(returns[p], ~p) for p in positions if returns[p] < NEVER]
    events.sort()
    phase, cause = 0, -1
    called: dict[Hashable, list[tuple[int, int]]] = {}
    waiting: dict[int, list[int]] = {}  # observers, by the phase that they need
    needs: dict[int, int] = {}  # operations that are open and not yet placed -> that phase
    order: list[int] = []
    moments: list[int] = []
    for rank, position in events:
        if position >= 0:
            if position in pools:
                heappush(called.setdefault(pools[position], []), (returns[position], position))
                needs[position] = -1
                continue
            wanted = ahead(position, phase)
            if wanted is None:
                return Stuck(position, phase, position if cause < 0 else cause, rank)
            if wanted == phase:
                order.append(position)
                moments.append(rank)
            else:
                needs[position] = wanted
                waiting.setdefault(wanted, []).append(position)
            continue
        position = ~position
        if position not in needs:
            continue
        wanted = needs[position]
        if wanted < 0:
            found = ahead(position, phase)
            if found is None:
                return Stuck(position, phase, position if cause < 0 else cause, rank)
            wanted = found + 1
        while phase < wanted:
            pool = called.get(pool_of(phase))
            if not pool:
                return Stuck(position, phase, position if cause < 0 else cause, rank)
            _, made = heappop(pool)
            phase += 1
            del needs[made]
            placed = [made, *waiting.pop(phase, ())]
            for observer in placed[1:]:
                del needs[observer]
            order += placed
            moments += [rank] * len(placed)
        cause = position
    return Swept(order, moments)
