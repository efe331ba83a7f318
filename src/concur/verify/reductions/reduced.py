"""Breadth-first through a `System`, leaving out what cannot matter to any property.

Four reductions, each of which can be switched off:

* **"dead messages"**: a message that can have no effect any more is taken away (`dead`).
* **"dominated states"**: a state in which the places and the observer are as in another one, but
  fewer messages are on their way can do nothing that the other cannot, where the messages that are
  missing here are just late. So it is left out.
* **"sleep sets"** (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems",
  1996, chapter 5, with states that are stored): what happens at different places commutes. Once one
  of two orders has been explored, the other one is not; the second event *sleeps* where the first
  one has just happened. A state that is reached again with less asleep wakes what was not explored.
  Events commute unless they are at one place, both tell the observer something, or both use up a
  bound. An event is a message, or anything that its place does by itself.
* **"symmetry"**: places that are the same but for their names (`symmetry`).

All of them keep every reachable combination of local states and observed value (but for names, and
but for runs that are at their end), so they keep every verdict; they keep neither deadlocks nor
liveness. A shortest path to a violation is kept by dead messages and by symmetry; where a dominated
state gives way to one that is farther, or an event sleeps, it may be lost. A trace is always one of
real states. A message of one client and one of another commute as any two do: sleep sets, and that
a history holds no times, are what operations of clients that commute bring.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Literal, get_args

from concur.errors import BadInput
from concur.verify.budget import Budget, Meter, Progress, StoppedBy
from concur.verify.engine.interning import TooMany
from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.exploration import Exploration, Inconsistent, Moment, Trace
from concur.verify.reductions.dead import DeadMessages, Masks, OutOfTime

Reduction = Literal["dead messages", "dominated states", "sleep sets", "symmetry"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)

FIRST_LOOK = 1000
"""After so many states, and again after LOOK_FACTOR times as many, what is dead is learnt anew."""
LOOK_FACTOR = 4
CHEAP = 25_000
"""States that may be expanded again only to leave out more."""

COMPARED_MAX = 16
"""With so many states of the same local states a new one is compared, the latest ones."""


class _Stop(Exception):
    """The search is over before all is seen."""


class _Afresh(Exception):
    """Something that was taken for dead is not."""


def explore_reduced(
    system: System,
    reductions: Collection[Reduction] = REDUCTIONS,
    budget: Budget = Budget(),  # noqa: B008
    progress: Callable[[Progress], None] | None = None,
) -> Exploration:
    """Explore a system breadth-first with these reductions; see `explore` for the rest.

    "symmetry" has an effect only where the system is `symmetric`; "sleep sets" only where it is
    not, or symmetry is off.
    """
    unknown = [name for name in reductions if name not in REDUCTIONS]
    if unknown:
        raise BadInput(f"reductions: {unknown[0]!r}, expected some of {', '.join(REDUCTIONS)}")
    search = Search(system, reductions, Meter(budget, progress, "breadth-first"))
    search.run()
    return search.answer()


class Search:
    """One search; `outcomes` and `answer` tell what became of it."""

    def __init__(self, system: System, reductions: Collection[Reduction], meter: Meter) -> None:
        self.system = system
        self.meter = meter
        self.symmetry = "symmetry" in reductions and system.symmetric
        self.reductions = tuple(
            name
            for name in REDUCTIONS
            if name in reductions and (name != "symmetry" or self.symmetry)
        )
        self.dominates = "dominated states" in reductions
        self.sleeps = (
            "sleep sets" in reductions and not self.symmetry and not system.packing.is_conditional
        )
        self.dead: DeadMessages | None = None
        if "dead messages" in reductions:
            self.dead = DeadMessages(system.answers, lambda: meter.is_late)
        self.masks: Masks = [[] for _ in system.behaviours]
        self.look_at = FIRST_LOOK
        self.expanded = 0  # in all attempts
        self.afresh = 0
        self.most = (0, 0, 0)
        """States, transitions and depth of the largest attempt that was given up."""
        self.exhausted = False
        self.stopped_by: StoppedBy = ""
        self.wrong: tuple[str, str] | None = None
        self.path: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Everything afresh, but for what is known to be dead."""
        self.parents: dict[int, int | None] = {}
        """For each state that was ever kept, the one it was reached from."""
        self.kept: dict[int, list[int]] = {}
        """By local states and observed value: what to keep of such states, what was taken from them
        because it is dead, then the states."""
        self.asleep: dict[int, int] = {}
        """What sleeps in a state: a bit for each place, above them one for each envelope."""
        self.waiting: set[int] = set()
        """States that are still to be expanded."""
        self.transitions = self.depth = 0
        self.complete = -1
        self.pending = dict(self.system.sometimes)
        self.examples: dict[str, list[int]] = {}

    # --- the search -------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while True:
                try:
                    self.begin()
                    self.layers()
                    self.look()
                    break
                except _Afresh:
                    self.afresh += 1
                    seen = len(self.parents), self.transitions, self.depth
                    self.most = max(self.most, seen)
        except _Stop:
            return
        except OutOfTime:
            self.stopped_by = "seconds"
        except KeyboardInterrupt:
            self.stopped_by = "interrupted"
        except MemoryError:
            self.stopped_by = "memory"
        else:
            self.exhausted = True

    def look(self, under_way: bool = False) -> None:
        """Learn what is dead by now. Raises _Afresh if something was taken away that is not; and
        early on, where little is lost by that, if more can be taken away than before."""
        if self.dead is None:
            return
        if self.symmetry:
            self.system.spread()
        known, self.masks = self.masks, self.dead.learn()
        if under_way and self.expanded <= CHEAP and self.masks != known:
            raise _Afresh
        to_state = self.system.packing.bounds_width
        for key, group in self.kept.items():
            clear = self.to_clear(key << to_state)
            if group[1] & ~clear:
                raise _Afresh
            group[0] = ~clear

    def layers(self) -> None:
        """Layer by layer. One long loop, since a call costs as much as what it does."""
        system, meter = self.system, self.meter
        packing, answers = system.packing, system.answers
        places, width, marks = len(system.behaviours), packing.width, answers.marks
        by_itself = (1 << places) - 1
        to_key, key_mask = packing.bounds_width, packing.key_mask
        budget_mask, to_observer = packing.budget_mask, packing.observer
        folds, targets, doors = system.folds, answers.targets, answers.doors
        canonical, present_in = system.canonical, system.present
        trimmed = system.trimmed
        parents, kept, asleep, waiting = self.parents, self.kept, self.asleep, self.waiting
        symmetry, sleeps, dominates = self.symmetry, self.sleeps, self.dominates
        following: list[tuple[int, int]] = []
        """States of the next layer, each with what to wake there; 0: expand it all."""

        def wake(cover: int, sleeping: int) -> None:
            """Let `cover` do what is asleep there, and is not where it was reached again."""
            to_wake = asleep[cover] & ~sleeping
            if to_wake:
                asleep[cover] &= ~to_wake
                to_wake &= present_in(cover) << places | by_itself
                if to_wake and cover not in waiting:
                    following.append((cover, to_wake))

        counts, to_network = not packing.is_set, packing.network
        narrow = guard = 0
        """The guard bits, without what is below them and with it; they grow with the network."""

        def visit(state: int, sleeping: int, parent: int | None) -> None:
            """Keep a state that was reached, unless another one will do for it."""
            nonlocal narrow, guard
            if symmetry:
                state = canonical(state)
            key = state >> to_key & key_mask
            group = kept.get(key)
            if group is None:
                clear = self.to_clear(state)
                gone = state & clear
                state ^= gone
                kept[key] = [~clear, gone, state]
            else:
                gone = state & ~group[0]
                if gone:
                    group[1] |= gone
                    state ^= gone
                if state in asleep:
                    if sleeps:
                        wake(state, sleeping)
                    return
                if dominates:
                    if packing.guard != narrow:
                        narrow = packing.guard
                        guard = narrow << to_network
                    guarded = state | guard
                    for other in group[max(2, len(group) - COMPARED_MAX) :]:
                        if (state ^ other) & budget_mask:
                            continue
                        # As `Packing.covers` has it: no counter is less, so nothing is borrowed.
                        if not ~((other | guard) - state) & guard if counts else not state & ~other:
                            if sleeps:
                                wake(other, sleeping)
                            return
                        if not ~(guarded - other) & guard if counts else not other & ~state:
                            waiting.discard(other)
                            sleeping &= asleep.pop(other)
                            del group[group.index(other, 2)]
                group.append(state)
            asleep[state] = sleeping
            if state not in parents:
                parents[state] = parent
            waiting.add(state)
            following.append((state, 0))
            if self.pending or system.any_broken:
                self.judge(state)

        for state in system.initial():
            self.transitions += 1
            visit(state, 0, None)
        expanded = 0
        while following:
            layer, following = following, []
            for state, woken in layer:
                if state not in asleep:
                    continue  # another one dominates it by now
                if not woken:
                    waiting.discard(state)
                    expanded += 1
                    self.expanded += 1
                if system.ends(state):
                    continue
                present = present_in(state)
                sleeping = asleep[state]
                inherited = sleeping
                moving = ~sleeping
                if woken:
                    moving = woken
                elif not sleeps:
                    moving = -1
                present &= moving >> places
                budget = (state & budget_mask) << LOCAL_BITS
                observed = ((state >> to_observer) & LOCAL_MASK) << LOCAL_BITS
                visible = costly = 0  # of those before in this loop
                mover = 0
                while True:
                    if present:
                        low = present & -present
                        present ^= low
                        question = low.bit_length() - 1
                        shift, memory = doors[question]
                        mark = low << places
                    elif mover < len(answers.movers):
                        place, shift, memory = answers.movers[mover]
                        mover += 1
                        if not moving >> place & 1:
                            continue
                        question, mark = ~place, 1 << place
                    else:
                        break
                    key = (state >> shift) & LOCAL_MASK | budget
                    deltas = memory.get(key)
                    if deltas is None:
                        deltas = memory[key] = answers.answer(question, key)
                    if not deltas:
                        continue
                    self.transitions += len(deltas)
                    if not sleeps:
                        for delta, said, more in deltas:
                            new = state + delta
                            if said:
                                fold = folds.get(observed | said)
                                new += system.fold(observed | said) if fold is None else fold
                            visit(trimmed(new | more), 0, state)
                        continue
                    place = targets[question // width] if question >= 0 else ~question
                    sleepers = sleeping & ~marks[place]
                    tells = costs = crowded = False
                    for delta, said, more in deltas:
                        asleep_there = sleepers
                        new = state + delta
                        if (new ^ state) & budget_mask:
                            asleep_there &= ~(costly | inherited)
                            costs = True
                        if said:
                            fold = folds.get(observed | said)
                            new += system.fold(observed | said) if fold is None else fold
                            asleep_there &= ~(visible | inherited)
                            tells = True
                        new |= more
                        fitting = trimmed(new)
                        if fitting != new:  # a copy was lost, so the order of events matters
                            crowded, asleep_there = True, 0
                        visit(fitting, asleep_there, state)
                    if not crowded:
                        sleeping |= mark
                        visible |= mark if tells else 0
                        costly |= mark if costs else 0
                for new in system.mishaps(state):
                    self.transitions += 1
                    visit(trimmed(new), 0, state)
                if self.expanded >= meter.ask_at or len(parents) > meter.states_max:
                    queue = len(waiting)
                    stopped_by = meter.exceeded(
                        self.expanded, len(parents), self.transitions, queue, self.depth
                    )
                    if stopped_by:
                        self.stopped_by = stopped_by
                        raise _Stop
                if expanded >= self.look_at and self.dead is not None:
                    self.look_at *= LOOK_FACTOR
                    self.look(under_way=True)
            self.complete = self.depth
            if following:
                self.depth += 1

    def to_clear(self, state: int) -> int:
        """The counters of messages that are dead in a state with these local states."""
        clear = 0
        for shift, masks in zip(self.system.packing.places, self.masks, strict=True):
            number = state >> shift & LOCAL_MASK
            if number < len(masks):
                clear |= masks[number]
        return clear << self.system.packing.network

    # --- judging ----------------------------------------------------------------------------------

    def judge(self, state: int) -> None:
        wrong = self.system.broken(state)
        if wrong is not None:
            with suppress(OutOfTime):
                self.look()  # what was taken away too soon might have led here sooner
            self.wrong = wrong
            self.path = self.path_to(state)
            raise _Stop
        for claim in [claim for claim, holds in self.pending.items() if holds(state)]:
            del self.pending[claim]
            self.examples[claim] = self.path_to(state)

    def path_to(self, state: int) -> list[int]:
        path: list[int] = [state]
        while (parent := self.parents[path[-1]]) is not None:
            path.append(parent)
        return path[::-1]

    # --- the answer -------------------------------------------------------------------------------

    def outcomes(self) -> set[tuple[Any, ...]]:
        """What was reached, but where nothing is to follow: local states of all places and what was
        observed; with symmetry, in all their images."""
        system, packing = self.system, self.system.packing
        found = set()
        for key in self.kept:
            state = key << packing.bounds_width
            if system.ends(state):
                continue
            for image in system.orbit(state) if self.symmetry else (state,):
                parts = system.parts(image)
                found.add((*parts.locals, parts.observed))
        return found

    def answer(self) -> Exploration:
        seen = len(self.parents), self.transitions, self.depth
        states, transitions, depth = max(self.most, seen) if self.stopped_by else seen
        verdict: Literal["holds", "violated", "unknown"] = "unknown"
        name = reason = ""
        trace = self.trace(self.path)
        if self.wrong is not None:
            verdict = "violated"
            name, reason = self.wrong
            if self.symmetry:  # the same of real states, by the names in the trace
                name, reason = self.system.broken(trace[-1].state) or self.wrong
        elif self.exhausted and self.pending:
            verdict = "violated"
            name, reason = next(iter(self.pending)), "no reachable state is so"
        elif self.exhausted:
            verdict = "holds"
        return Exploration(
            model=self.system.name,
            strategy="breadth-first",
            symmetry=self.symmetry,
            unique_states=states,
            transitions=transitions,
            depth=depth,
            exhausted=self.exhausted,
            verdict=verdict,
            property=name,
            reason=reason,
            trace=trace,
            examples={claim: self.trace(path) for claim, path in self.examples.items()},
            seconds=self.meter.seconds,
            stopped_by=self.stopped_by,
            covered=self.covered(states, depth),
            reductions=self.reductions,
        )

    def covered(self, states: int, depth: int) -> str:
        found = f"{states:,} states of {self.system.name}, depth {depth}"
        if self.reductions:
            found += f", reduced by {', '.join(self.reductions)}"
        if self.exhausted:
            return f"exhausted: {found}"
        why = f"stopped by {self.stopped_by}" if self.stopped_by else "stopped at a violation"
        return f"not exhausted ({why}): {found}"

    def trace(self, path: list[int]) -> Trace:
        """Real states for a path of reduced ones: each covers its reduced state, but for names.

        It ends early where messages that were taken away would be more than `envelopes_max`.
        """
        system, packing = self.system, self.system.packing
        moments: list[Moment] = []
        for target in path:
            options: Iterable[tuple[str, int]]
            try:
                if moments:
                    options = system.steps(moments[-1].state)
                else:
                    options = [("", state) for state in system.initial()]
            except TooMany:
                break
            for label, state in options:
                images = system.orbit(state) if self.symmetry else (state,)
                if any(
                    packing.key(image) == packing.key(target) and packing.covers(image, target)
                    for image in images
                ):
                    moments.append(Moment(label, state))
                    break
            else:
                where = f"after {moments[-1].label!r}" if moments else "at the beginning"
                raise Inconsistent(f"{system.name}: no real path follows the reduced one {where}")
        return tuple(moments)
