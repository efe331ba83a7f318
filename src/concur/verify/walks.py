"""Seeded random walks through a model: often the fastest way to a bug, never a proof.

A walk takes one of the transitions at each step, until nothing follows or it is long enough; then
the next walk begins, with the next seed. Three things make it better than dice alone:

* **Thrift.** Transitions that use up a bound (timeouts, crashes) are held back; by how much, is
  drawn for each walk. Else a walk would have spent them all before anything happened.
* **Coverage.** A state with a feature that no state before had (say, a local state that no node was
  in) is kept, and later walks begin there as well: it took luck to get so far. The idea is that of
  coverage-guided fuzzing; the model, which is the code here, says what is new.
* **Mood.** What a model draws for each walk, as who does not hear whom. As walks begin where others
  went, moods follow each other.

The whole is a function of the model and the first seed.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, TypeVar

from concur.chance import Stream
from concur.verify.budget import Budget, Meter, Progress, StoppedBy
from concur.verify.exploration import Exploration, Moment, Trace
from concur.verify.model import Model

S = TypeVar("S")

STEPS_MAX = 150
"""Of one walk. Bugs of small systems lie within some 50 steps, and a walk strays."""
STRAY_MAX = 40
"""Steps of a walk since it last met something new, if it did not begin at the beginning."""
THRIFT_BITS = 6
"""A walk passes by what uses up a bound, if there is anything else to do, in all but one of 1, 2,
4, ... 32 steps."""
AFRESH = 4
"""One of so many walks begins at the beginning."""

Pick = Callable[[Any, Stream, bool, Any], Any]
"""(state, dice, thrifty, mood) -> a successor of the state, None if there is none."""


def walk(
    model: Model[S],
    budget: Budget,
    *,
    seed: int = 0,
    walks_max: int | None = None,
    steps_max: int = STEPS_MAX,
    pick: Pick | None = None,
    mood: Callable[[Stream], Any] | None = None,
    features: Callable[[S], Iterable[Hashable]] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Exploration:
    """Walks with seeds from `seed` on, until something is wrong or the budget is used up.

    `pick` chooses a successor, a thrifty one if asked for; without it all are as likely. `mood` is
    drawn for each walk, and handed to `pick`. `features` says what is to be covered, if anything.
    `unique_states` counts the different states that were met, `transitions` the steps taken. The
    verdict is "violated" or "unknown": walks exhaust nothing.
    """
    meter = Meter(budget, progress)
    walker = _Walker(model, features, pick, mood)
    walks = 0
    stopped_by: StoppedBy = ""
    try:
        while walker.starts and walker.wrong is None and not stopped_by and walks != walks_max:
            stopped_by = walker.walk(Stream(seed + walks, "walk"), steps_max, meter)
            walks += 1
    except KeyboardInterrupt:
        stopped_by = "interrupted"
    except MemoryError:
        stopped_by = "memory"
    wrong = walker.wrong
    verdict: Literal["violated", "unknown"] = "unknown" if wrong is None else "violated"
    why = "stopped at a violation" if wrong is not None else f"stopped by {stopped_by or 'number'}"
    found = f"{walks:,} random walks from seed {seed}, {len(walker.before):,} different states"
    return Exploration(
        model=model.name,
        strategy="walks",
        symmetry=False,
        unique_states=len(walker.before),
        transitions=walker.steps,
        depth=walker.depth,
        exhausted=False,
        verdict=verdict,
        property=wrong[0] if wrong else "",
        reason=wrong[1] if wrong else "",
        trace=trace(model, walker.path()) if wrong else (),
        seconds=meter.seconds,
        stopped_by=stopped_by,
        covered=f"not exhausted ({why}): {found} of {model.name}",
    )


class _Walker:
    """What all walks share. `before` has, for each state that was met, the one it was met from."""

    def __init__(
        self,
        model: Model[Any],
        features: Callable[[Any], Iterable[Hashable]] | None,
        pick: Pick | None,
        mood: Callable[[Stream], Any] | None,
    ) -> None:
        self.model = model
        self.features = features
        self.pick = self.any_successor if pick is None else pick
        self.mood = mood
        self.starts = list(model.initial())
        self.before: dict[Any, Any] = {}
        self.depths: dict[Any, int] = {}  # of what was kept
        self.kept: list[Any] = []
        self.known: set[Hashable] = set()
        self.steps = self.depth = 0
        self.wrong: tuple[str, str] | None = None
        self.state: Any = None

    def walk(self, dice: Stream, steps_max: int, meter: Meter) -> StoppedBy:
        thrift = 1 << dice.below(THRIFT_BITS)
        mood = None if self.mood is None else self.mood(dice)
        if not self.kept or dice.below(AFRESH) == 0:
            state, depth, left = dice.choice(self.starts), 0, steps_max
            if self.met(state, None):
                return ""
        else:
            count = len(self.kept)
            state = self.kept[max(dice.below(count), dice.below(count))]  # the later the likelier
            depth, left = self.depths[state], STRAY_MAX
        while left > 0:
            new = self.pick(state, dice, dice.below(thrift) > 0, mood)
            if new is None:
                return ""
            self.steps += 1
            depth += 1
            left -= 1
            self.depth = max(self.depth, depth)
            if new not in self.before:
                if self.met(new, state):
                    return ""
                if self.is_new(new):
                    self.kept.append(new)
                    self.depths[new] = depth
                    left = max(left, min(STRAY_MAX, steps_max - depth))
            state = new
            if self.steps >= meter.ask_at or len(self.before) > meter.states_max:
                met = len(self.before)
                stopped_by = meter.exceeded(self.steps, met, self.steps, len(self.kept), depth)
                if stopped_by:
                    return stopped_by
        return ""

    def any_successor(self, state: Any, dice: Stream, thrifty: bool, mood: Any) -> Any:
        options = list(self.model.successors(state))
        return dice.choice(options) if options else None

    def met(self, state: Any, before: Any) -> bool:
        """Whether a state is wrong."""
        if state not in self.before:
            self.before[state] = before
            self.state = state
            self.wrong = self.model.broken(state)
        return self.wrong is not None

    def is_new(self, state: Any) -> bool:
        if self.features is None:
            return False
        count = len(self.known)
        self.known.update(self.features(state))
        return len(self.known) > count

    def path(self) -> list[Any]:
        """To the state that was met last."""
        found = [self.state]
        while (before := self.before[found[-1]]) is not None:
            found.append(before)
        return found[::-1]


def trace(model: Model[Any], path: list[Any]) -> Trace:
    """The states of a path with the labels that lead from one to the next."""
    moments = [Moment("", path[0])]
    for after in path[1:]:
        options = model.steps(moments[-1].state)
        moments.append(Moment(next(label for label, state in options if state == after), after))
    return tuple(moments)
