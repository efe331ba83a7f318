"""What a breadth-first search does when states no longer fit into memory: it keeps fingerprints.

16 bytes tell a state apart from all others, but for a probability that is known (`missed_below`)
and told with the answer. The states themselves go to disk, layer after layer, until they are
expanded, and once more if a trace has to be found: the state before another one is one of the layer
before it, from which it follows. No other record is kept of how a state was reached.
"""

from collections.abc import Callable
from math import ceil, log10
from typing import TYPE_CHECKING, Any, NamedTuple

from concur.verify.engine.system import System
from concur.verify.large.fingerprints import BITS, MASK, fingerprints, missed_below
from concur.verify.large.frontier import Layers

if TYPE_CHECKING:
    from concur.verify.explore import _Search

RECENT_MAX = 1 << 16
"""Of the states found last, kept whole: most repetitions are of these, and cost no fingerprint."""
LOAD = 14
"""Fingerprints in a bucket, on average."""
WIDTH = BITS // 8


class Table:
    """A set of fingerprints, in about 24 bytes each.

    Linear hashing: buckets are bytes in which fingerprints stand one after another. There is always
    one bucket for `LOAD` fingerprints; they are split one by one as the table grows, so it never
    stops to grow, and never has to be there twice. Buckets are small objects of Python, for which
    there is room where the states have been.
    """

    def __init__(self) -> None:
        self._buckets = [b""]
        self._round = 1  # how many buckets there were when the current round of splitting began
        self._split = 0  # the bucket that is split next
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, fingerprint: int) -> bool:
        """Whether it was not there before."""
        at = fingerprint & self._round - 1
        if at < self._split:
            at = fingerprint & 2 * self._round - 1
        entry = fingerprint.to_bytes(WIDTH, "little")
        bucket = self._buckets[at]
        found = bucket.find(entry)
        while found >= 0:
            if found % WIDTH == 0:
                return False
            found = bucket.find(entry, found + 1)
        self._buckets[at] = bucket + entry
        self._length += 1
        if self._length > LOAD * len(self._buckets):
            self._split_one()
        return True

    def _split_one(self) -> None:
        old, bit = self._buckets[self._split], self._round
        halves: tuple[list[bytes], list[bytes]] = [], []
        for at in range(0, len(old), WIDTH):
            low = int.from_bytes(old[at : at + 8], "little")
            halves[low & bit > 0].append(old[at : at + WIDTH])
        self._buckets[self._split] = b"".join(halves[0])
        self._buckets.append(b"".join(halves[1]))
        self._split += 1
        if self._split == self._round:
            self._round, self._split = 2 * self._round, 0


class Rest(NamedTuple):
    """Where an exact search stands when it has outgrown the memory.

    `seen` has all states in the order in which they were found, and `ends` says where in it each
    layer ends; the last of those is the one whose states are being expanded. `expanded` counts the
    expanded states of all layers.
    """

    seen: dict[Any, Any]
    ends: list[int]
    expanded: int


def go_on(search: "_Search[Any]", rest: Rest) -> None:
    """Go on with `search`, whose states are ints, from `rest` to its end. Empties `rest.seen`.

    Raises what strategies raise, and DiskFull.
    """
    prints = fingerprints(search.model)
    after_step = None if search.symmetry else prints.after
    of = prints.of
    successors = search.successors()
    meter = search.meter
    table, add_to = Table(), Layers()
    append = add_to.append
    transitions, expanded, depth = search.transitions, rest.expanded, len(rest.ends) - 1
    done = expanded - (rest.ends[-2] if depth else 0)  # of this layer
    recent: set[int] = set()

    with add_to as layers:

        def path(state: int) -> list[int]:
            """To a state of the layer that grows, or to one that is being expanded."""
            found = [state]
            for before in reversed(range(depth if state == expanding else depth + 1)):
                earlier = (entry >> BITS for entry in layers.layer(before))
                found.append(next(s for s in earlier if found[-1] in successors(s)))
            return found[::-1]

        expanding = 0
        try:
            _take(rest, of, table, layers)
            while True:
                search.complete = search.depth = depth
                for number, entry in enumerate(layers.layer(depth)):
                    if number < done:
                        continue
                    expanding, fingerprint = entry >> BITS, entry & MASK
                    after = list(successors(expanding))
                    transitions += len(after)
                    for new in after:
                        if new in recent:
                            continue
                        if len(recent) == RECENT_MAX:
                            recent.clear()
                        recent.add(new)
                        own = after_step(expanding, fingerprint, new) if after_step else of(new)
                        if table.add(own):
                            append(new << BITS | own)
                            search.depth = depth + 1
                            search.judge(new, path)
                    if not after:
                        search.end(expanding, path)
                    expanded += 1
                    if expanded >= meter.ask_at or len(table) > meter.states_max:
                        states = len(table)
                        queue = states - expanded
                        search.check(meter.exceeded(expanded, states, transitions, queue, depth))
                layers.end_layer()
                if not layers.lengths[-1]:
                    break
                depth += 1
                done = 0
        finally:
            search.unique = max(search.unique, len(table))
            search.transitions = transitions
            search.missed_below, search.remark = remark(search)


def _take(rest: Rest, of: Callable[[int], int], table: Table, layers: Layers) -> None:
    """Write down all that was seen; states go one by one, and give back their memory."""
    states = list(rest.seen)
    rest.seen.clear()
    states.reverse()
    ends = set(rest.ends)
    for number in range(len(states)):
        if number in ends:
            layers.end_layer()
        state = states.pop()
        fingerprint = of(state)
        table.add(fingerprint)
        layers.append(state << BITS | fingerprint)
    if len(layers.lengths) < len(rest.ends):
        layers.end_layer()


def remark(search: "_Search[Any]") -> tuple[float, str]:
    """How likely it is at the most that a state was missed, and what is to be said of it."""
    model = search.model
    copies_max = model._packing.copies_max if isinstance(model, System) else 1
    below = missed_below(search.unique, copies_max)
    words = f"1e{ceil(log10(below))}" if 0 < below < 1 else f"{below:g}"
    return (
        below,
        f"told apart by fingerprints of {BITS} bits, probability of a missed state < {words}",
    )
