"""Seeded random walks through a model: often the fastest way to a bug, never a proof.

A walk takes one of the transitions at each step, until nothing follows or it is long enough; then
the next walk begins, with the next seed. Two things make it better than dice alone:

* **Coverage.** A state with a feature that no state before had is kept, and later walks begin there
  as well: it took luck to get so far. Several states are kept for each feature, drawn from all that
  had it, since what matters is often in what the feature does not tell; and features are preferred
  that were rarely met and seldom begun from. Half of these walks go by the first feature of a state
  alone, which is to tell the most. The idea is that of coverage-guided fuzzing.
* **Mood.** What a model draws for each walk and may change as it goes on, as who does not hear whom
  for a while (`concur.verify.walks.phases`).

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
AFRESH = 4
"""One of so many walks begins at the beginning."""
KEPT_MAX = 16
"""States with the same feature that walks begin from."""
LOOKS = 3
"""Features that are looked at, when a rare one is to be chosen."""

Pick = Callable[[Any, Stream, Any], Any]
"""(state, dice, mood) -> a successor of the state, None if there is none."""


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

    `pick` chooses a successor; without it all are as likely. `mood` is drawn for each walk, and
    handed to `pick`. `features` says what is to be covered, if anything.
    `unique_states` counts the different states that were met, `transitions` the steps taken. The
    verdict is "violated" or "unknown": walks exhaust nothing.
    """
    meter = Meter(budget, progress, "walks")
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


class _Kept:
    """Some states with one feature, each with its depth; how often walks came by the feature, and
    how many have begun from it."""

    __slots__ = ("begun", "met", "states")

    def __init__(self) -> None:
        self.begun = self.met = 0
        self.states: list[tuple[Any, int]] = []


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
        self.kept: dict[Hashable, _Kept] = {}
        self.order: list[_Kept] = []  # the same, as they came
        self.first: list[_Kept] = []  # those of first features
        self.steps = self.depth = 0
        self.wrong: tuple[str, str] | None = None
        self.state: Any = None

    def walk(self, dice: Stream, steps_max: int, meter: Meter) -> StoppedBy:
        mood = None if self.mood is None else self.mood(dice)
        if not self.first or dice.below(AFRESH) == 0:
            state, depth, left = dice.choice(self.starts), 0, steps_max
            if self.met(state, None):
                return ""
        else:
            among = self.first if dice.below(2) == 0 else self.order
            looks = [dice.choice(among) for _ in range(LOOKS)]
            kept = min(looks, key=lambda kept: kept.begun + kept.met)
            kept.begun += 1
            (state, depth), left = dice.choice(kept.states), STRAY_MAX
        last = () if self.features is None else tuple(self.features(state))
        while left > 0:
            new = self.pick(state, dice, mood)
            if new is None:
                return ""
            self.steps += 1
            depth += 1
            left -= 1
            self.depth = max(self.depth, depth)
            if new not in self.before:
                if self.met(new, state):
                    return ""
                if self.features is not None:
                    features = tuple(self.features(new))
                    if self.keep(new, features, last, depth, dice):
                        left = max(left, min(STRAY_MAX, steps_max - depth))
                    last = features
            elif self.features is not None:
                last = tuple(self.features(new))
            state = new
            if self.steps >= meter.ask_at or len(self.before) > meter.states_max:
                met = len(self.before)
                stopped_by = meter.exceeded(self.steps, met, self.steps, len(self.order), depth)
                if stopped_by:
                    return stopped_by
        return ""

    def any_successor(self, state: Any, dice: Stream, mood: Any) -> Any:
        options = list(self.model.successors(state))
        return dice.choice(options) if options else None

    def met(self, state: Any, before: Any) -> bool:
        """Whether a state is wrong."""
        if state not in self.before:
            self.before[state] = before
            self.state = state
            self.wrong = self.model.broken(state)
        return self.wrong is not None

    def keep(
        self,
        state: Any,
        features: tuple[Hashable, ...],
        last: tuple[Hashable, ...],
        depth: int,
        dice: Stream,
    ) -> bool:
        """Begin at `state` later on, maybe, if it differs from the last one in a feature. Whether
        one of its features is new."""
        is_new = False
        for at, feature in enumerate(features):
            if feature in last:
                continue
            kept = self.kept.get(feature)
            if kept is None:
                kept = self.kept[feature] = _Kept()
                self.order.append(kept)
                if at == 0:
                    self.first.append(kept)
                is_new = True
            kept.met += 1
            if len(kept.states) < KEPT_MAX:
                kept.states.append((state, depth))
            else:
                kept.states[dice.below(KEPT_MAX)] = state, depth
        return is_new

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
