"""Random walks by priorities, with a guarantee: PCTCP (Ozkan, Majumdar, Niksic, Tabaei Befrouei and
Weissenbacher, "Randomized Testing of Distributed Systems with Probabilistic Guarantees", OOPSLA
2018).

A bug of *depth* d shows whenever d certain events come in the right order, whatever the others do.
Dice thrown for each step rarely keep an event waiting until all others are done; priorities do.

* Events are partially ordered by cause: a message comes after the event that sent it, a timer rings
  after the event that armed it and after it rang before. They are partitioned into **chains** as
  they appear, by the algorithm of Agarwal and Garg ("Efficient Dependency Tracking for Relevant
  Events in Concurrent Systems", 2007): if no more than w events are ever independent of each other,
  there are at most w (w + 1) / 2 chains.
* A new chain gets a **random place** in the order of priorities. The event that happens next is
  that of the highest chain that has one which can.
* d - 1 of the first n events are drawn as **change points**: at the k-th of them its chain falls to
  the k-th lowest priority.

A tuple of d events comes in its order, each as late as can be, if the chain of the first one is the
lowest of all and the others are the change points: so a walk that has C chains shows a bug of depth
d with probability 1 / (C n^(d-1)) at least, which is no less than 1 / (w^2 n^(d-1)).

**What that takes for granted:** which events there are does not depend on their order. It does, as
soon as a message is refused for coming late, and then the guarantee is about the orders in which
the same events come about. Of several outcomes of one event, dice decide. No message is lost or
doubled here: what is late for ever is as good as lost.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from concur.chance import Stream
from concur.errors import whole
from concur.verify.budget import Budget, Meter, Progress, StoppedBy
from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.exploration import Exploration
from concur.verify.walks.walk import trace

DEPTH = 4
EVENTS_MAX = 250
"""Events of one walk, those counted that never get their turn."""
DEPTH_MAX, EVENTS_LIMIT = 50, 100_000

Key = int | tuple[int, str]
"""What an event is: the arrival of an envelope, by its bit, or a move of a place, by its name."""


class Chains:
    """A partition of a growing partial order into chains.

    `groups[i]` are i + 1 chains, whose last events are independent of each other.
    """

    def __init__(self) -> None:
        self.last: list[int | None] = []
        self.groups: list[list[int]] = []

    def add(self, event: int, before: int) -> tuple[int, bool]:
        """The chain of `event`, which comes after those that have a bit in `before`; is it new?"""
        for at, group in enumerate(self.groups):
            for chain in group:
                last = self.last[chain]
                if last is None or before >> last & 1:
                    self.last[chain] = event
                    if at:
                        others = [other for other in group if other != chain]
                        self.groups[at] = [*self.groups[at - 1], chain]
                        self.groups[at - 1] = others
                    return chain, last is None
        first = len(self.last)
        self.groups.append(list(range(first, first + len(self.groups) + 1)))
        self.last += [None] * len(self.groups)
        self.last[first] = event
        return first, True

    def used(self) -> int:
        """How many chains have events."""
        return sum(last is not None for last in self.last)


class Event(NamedTuple):
    number: int
    key: Key
    before: int
    """A bit for each event that precedes it."""


def walk_by_priorities(
    system: System,
    budget: Budget,
    *,
    seed: int = 0,
    depth: int = DEPTH,
    events_max: int = EVENTS_MAX,
    walks_max: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Exploration:
    """Walks with seeds from `seed` on, until something is wrong or the budget is used up.

    `depth` is that of the bugs that are looked for, `events_max` the length of a walk in events.
    `covered` states the guarantee with the chains that were seen.
    """
    whole("depth", depth, 1, DEPTH_MAX)
    whole("events_max", events_max, depth, EVENTS_LIMIT)
    meter = Meter(budget, progress, "priorities")
    walker = _Walker(system, depth, events_max)
    walks = 0
    stopped_by: StoppedBy = ""
    try:
        while walker.starts and walker.wrong is None and not stopped_by and walks != walks_max:
            stopped_by = walker.walk(Stream(seed + walks, "priorities"), meter)
            walks += 1
    except KeyboardInterrupt:
        stopped_by = "interrupted"
    except MemoryError:
        stopped_by = "memory"
    wrong = walker.wrong
    verdict: Literal["violated", "unknown"] = "unknown" if wrong is None else "violated"
    why = "stopped at a violation" if wrong is not None else f"stopped by {stopped_by or 'number'}"
    chances = f"{walker.chains:,} x {events_max:,}^{depth - 1}"
    return Exploration(
        model=system.name,
        strategy="priorities",
        symmetry=False,
        unique_states=len(walker.seen),
        transitions=walker.steps,
        depth=walker.depth,
        exhausted=False,
        verdict=verdict,
        property=wrong[0] if wrong else "",
        reason=wrong[1] if wrong else "",
        trace=trace(system, walker.path) if wrong else (),
        seconds=meter.seconds,
        stopped_by=stopped_by,
        covered=(
            f"not exhausted ({why}): {walks:,} walks by priorities from seed {seed}, "
            f"{len(walker.seen):,} different states of {system.name}; a bug of depth {depth} among "
            f"the first {events_max:,} events shows in one walk with probability 1 / ({chances}) "
            "or more, as far as the same events come about in whatever order"
        ),
    )


class _Walker:
    """What all walks share, and the state of the one that is under way."""

    def __init__(self, system: System, depth: int, events_max: int) -> None:
        self.system = system
        self.bug_depth = depth
        self.events_max = events_max
        self.starts = list(system.initial())
        self.seen: set[int] = set()
        self.steps = self.depth = self.chains = 0
        self.wrong: tuple[str, str] | None = None
        self.path: list[int] = []
        self._names: dict[tuple[int, int], list[str]] = {}

    def walk(self, dice: Stream, meter: Meter) -> StoppedBy:
        state = dice.choice(self.starts)
        points = dice.sample(range(self.events_max), self.bug_depth - 1)
        self.path = [state]
        self.number = 0
        self.pending: dict[int, Event] = {}  # by chain; there is one at most
        self.waiting: dict[Key, list[int]] = {}  # chains of what is pending, by what it is
        self.rang: dict[Key, int] = {}  # what preceded the last time that a move was made
        self.partition = Chains()
        self.high: list[int] = []  # chains, the highest priority first
        self.falls = {point: at for at, point in enumerate(points)}
        self.low: list[int | None] = [None] * len(points)  # those that fell, the lowest first
        if self.met(state):
            return ""
        for place, _, _ in self.system.answers.movers:
            self.arrive(self.moves(state, place), 0, dice)
        self.arrive(self.messages(0, state), 0, dice)
        while self.number <= self.events_max and not self.system.ends(state):
            found = self.next(state, dice)
            if found is None:
                break
            event, after = found
            before = event.before | 1 << event.number
            if not isinstance(event.key, int):
                self.rang[event.key] = before
            place = self.place_of(event.key)
            self.arrive(self.messages(state, after), before, dice)
            self.arrive(self.moves(after, place), before, dice)
            state = after
            self.path.append(state)
            self.steps += 1
            self.depth = max(self.depth, len(self.path) - 1)
            if self.met(state):
                break
            if self.steps >= meter.ask_at or len(self.seen) > meter.states_max:
                met = len(self.seen)
                stopped_by = meter.exceeded(self.steps, met, self.steps, 0, len(self.path) - 1)
                if stopped_by:
                    return stopped_by
        self.chains = max(self.chains, self.partition.used())
        return ""

    def met(self, state: int) -> bool:
        """Whether a state is wrong."""
        self.seen.add(state)
        self.wrong = self.system.broken(state)
        return self.wrong is not None

    # --- events -----------------------------------------------------------------------------------

    def place_of(self, key: Key) -> int:
        if isinstance(key, int):
            return self.system.answers.targets[key // self.system.packing.width]
        return key[0]

    def messages(self, before: int, after: int) -> list[tuple[Key, int]]:
        """Envelopes of which there may be more copies than are waited for: (bit, copies)."""
        packing = self.system.packing
        width, mask = packing.width, (1 << packing.width) - 1
        network = after >> packing.network
        changed = network ^ before >> packing.network
        found: list[tuple[Key, int]] = []
        while changed:
            bit = ((changed & -changed).bit_length() - 1) // width * width
            changed &= ~(mask << bit)
            found.append((bit, network >> bit & mask))
        return found

    def moves(self, state: int, place: int) -> list[tuple[Key, int]]:
        """What a place may do by itself."""
        names = dict.fromkeys(name for name, _ in self.named(state, place))
        return [((place, name), 1) for name in names]

    def named(self, state: int, place: int) -> list[tuple[str, int]]:
        """The moves of a place, each with the state that it leads to."""
        system, packing = self.system, self.system.packing
        if place not in system.answers.moves_of:
            return []
        key = (state >> packing.places[place]) & LOCAL_MASK
        key |= (state & packing.budget_mask) << LOCAL_BITS
        after = [new for new, _ in system.outcomes(state, ~place)]
        names = self._names.get((place, key))
        if names is None:
            names = [name for name, _, _ in system.answers.ask(~place, key)]
            self._names[place, key] = names
        return list(zip(names, after, strict=True))

    def arrive(self, found: list[tuple[Key, int]], before: int, dice: Stream) -> None:
        """Give what is new a number, a chain and a priority."""
        for key, copies in found:
            chains = self.waiting.setdefault(key, [])
            while len(chains) < copies:
                event = Event(self.number, key, before | self.rang.get(key, 0))
                self.number += 1
                chain, is_new = self.partition.add(event.number, event.before)
                chains.append(chain)
                self.pending[chain] = event
                if is_new:
                    self.high.insert(dice.below(len(self.high) + 1), chain)
                if (at := self.falls.get(event.number)) is not None:
                    self.low = [None if low == chain else low for low in self.low]
                    self.low[at] = chain
                    self.high = [high for high in self.high if high != chain]

    def next(self, state: int, dice: Stream) -> tuple[Event, int] | None:
        """The event of the highest chain that has one which can happen, and where it leads."""
        for chain in (*self.high, *[low for low in reversed(self.low) if low is not None]):
            event = self.pending.get(chain)
            if event is None:
                continue
            key = event.key
            if isinstance(key, int):
                after = [new for new, _ in self.system.outcomes(state, key)]
            else:
                after = [new for name, new in self.named(state, key[0]) if name == key[1]]
            if after:
                del self.pending[chain]
                self.waiting[key].remove(chain)
                return event, self.system.trimmed(dice.choice(after))
        return None
