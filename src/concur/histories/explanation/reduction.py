"""Which few operations of a history that is not linearizable show that it is not?

Leaving out an operation must not be what makes a history wrong: a read whose write has been
deleted is always wrong. So an operation is not deleted but *forgotten*: nothing is known of its
outcome any more, so that it may take effect at any time after its call, or never. Whatever
explains a history also explains it with some of it forgotten. So if a history is still wrong with
some operations forgotten, it was wrong whatever became of these. We look for as few others as
possible, the *essential* ones. Each step keeps "if the old one is linearizable, so is the new":

* An object alone (Herlihy and Wing, TOPLAS 12(3), 1990, theorem 1), and the history up to some
  return (linearizability is prefix-closed).
* Forgetting an operation. An operation that only observes, or was refused, then says nothing and
  is not there at all.
* Leaving out a forgotten write of a register that cannot matter (`registers`).

In an object that is not long, binary search finds the first return that cannot be, and the last few
operations before it are tried, twice as many each time. In a long one, we begin with what the
algorithm of the verdict found, or else with the last few operations before those that it names.
What is left is minimised by delta debugging (Zeller and Hildebrandt,
"Simplifying and isolating failure-inducing input", IEEE TSE 28(2), 2002): chunks are forgotten,
half as large each time, until no single operation can be. Since more outcomes never make a wrong
history right, no set of several can be either, except where registers have repeated values. Of two
that would do, one that changes something is kept rather than one that observes it.

**Known to have ended.** Some contradictions need nearly everything: if nobody knows what came of an
old release of a lock, it may still be on its way and free the lock today. Then we say less: of the
others it is not known what they were told, but still that they returned, and when (`untold`). That
is a weaker history than the recorded one as well, so if it is wrong with few operations kept, these
contradict each other, whatever the others were told.

**What essential operations rest on.** A read of 4 and a certain write of 5 may be all that is
essential; shown alone, one would think that nobody wrote 4. So a few of the forgotten operations
are shown besides, the *supporting* ones: so many that what is shown goes wrong with the *last* of
the essential ones to return and not before, and that this one could be explained if it were not for
the other essential ones. They are shown as they were recorded, if that leaves it so. Of the writes
that were left out since all who saw such a value came after an overwrite, one is shown if it is
needed for that. It counts as essential, for it matters that it had ended; of the others like it
we say how many there are.

Everything is decided by `check`, with a budget of steps for each question, so the answer is the
same on each computer; "unknown" means that an operation stays.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from concur.histories.check import STEPS_MAX
from concur.histories.explanation.questions import Questions, forgotten
from concur.histories.history import History, Operation
from concur.histories.models.nondeterministic import Nondeterministic
from concur.histories.timeline import NEVER

SHORT = 5_000
"""Operations of an object in which it does not take long to find the first contradiction."""
MANY = 16
"""With more essential operations, it is tried what is known if the others had ended."""
CHUNKS = 8
"""In so many parts operations are forgotten, to see whether many are essential."""
SUPPORTING_MAX = 300
"""With more candidates, those are taken that an order happens to use."""
FEW = 60
"""So many can be looked at once more after the budget has run out, for GRACE_S seconds at most."""
GRACE_S = 0.5
WINDOW_MAX = 1024
"""Operations before one that the verdict names, among which a contradiction is looked for."""


class Reduced(NamedTuple):
    """Numbers of operations. `shown` has the essential and the supporting ones, and whether their
    outcomes are to be shown. `last` is the essential one that returned last, up to whose return
    they have an order; None if nobody knows which one that is. `alike` counts writes
    that had been overwritten, like an essential one. `ended`: it matters that all others had ended.
    `certain`: no single essential operation could be forgotten; else nobody knows."""

    essential: tuple[int, ...]
    supporting: tuple[int, ...]
    shown: dict[int, bool]
    last: int | None
    alike: int
    ended: bool
    certain: bool


def minimise(
    items: list[int],
    test: Callable[[list[int]], bool],
    stop: Callable[[], bool] = lambda: False,
) -> list[int]:
    """The items without as many as possible, `test` being true of them all the time. The last ones
    go first. No single one can go in the end, if `test` had an answer to everything and nothing
    made it stop."""
    size = max(1, len(items) // 2)
    while items:
        gone = False
        end = len(items)
        while end > 0:
            if stop():
                return items
            start = max(0, end - size)
            rest = items[:start] + items[end:]
            if test(rest):
                items, gone = rest, True
            end = start
        if size == 1 and not gone:
            break
        size = min(max(1, size // 2), max(1, len(items)))
    return items


class Reduction(Questions):
    """The search for what is essential."""

    def run(self, core: Sequence[int], named: Sequence[int]) -> Reduced:
        """Reduce a history that is known to be wrong. `core` and `named` are what its verdict has
        found, and what it speaks of."""
        ways: list[Callable[[], list[int]]] = [
            lambda: self.from_core(core),
            lambda: self.from_named(named),
            lambda: self.from_named(named, ended=True),
        ]
        size = len(self.home(core or named) or self.scope)
        ways.insert(0 if size <= SHORT else len(ways), self.from_prefix)
        everything = list(self.commands)
        self.least: tuple[list[int], list[int], bool] | None = None
        for way in ways:
            self.enter(everything)
            kept = way()
            found = (self.few(kept) or self.explained(kept)) if kept else None
            if found is not None:
                return found
        returns = self.timeline.returns
        done = sorted(p for p in everything if returns[p] < NEVER)
        kept, scope, ended = self.least or (done, everything, False)
        self.enter(scope)
        if ended:
            self.know(ended=True)
        return self.undecided(kept)

    def undecided(self, kept: list[int]) -> Reduced:
        """Not enough budget to find out what they rest on: these if they speak for themselves, or
        else all that there was."""
        last = max(kept, key=self.timeline.returns.__getitem__)
        self.deadline = perf_counter() + GRACE_S
        fits = len(kept) <= FEW and self.fits(kept, last, {})
        if fits or (len(kept) <= FEW and not self.ended):  # which are wrong, whatever is shown
            at = last if fits else None
            return Reduced(tuple(kept), (), dict.fromkeys(kept, True), at, 0, self.ended, False)
        shown = {p: self.returned(p, last) for p in self.until(last)}
        rest = tuple(sorted(set(shown) - set(kept)))
        return Reduced(tuple(kept), rest, shown, None, 0, False, False)

    def few(self, kept: list[int]) -> Reduced | None:
        """If many of these are essential: fewer, for which it matters that all others had ended."""
        if len(kept) <= MANY or self.ended:
            return None
        returns = self.timeline.returns
        end = max(map(returns.__getitem__, kept))
        done = sorted((p for p in self.scope if returns[p] <= end), key=returns.__getitem__)
        last = sorted(done[-MANY:])
        if self.wrong(last):
            return self.explained(last)
        if not self.dense(kept):
            return None
        scope, deadline = self.scope, self.deadline
        found = self.of_ended(done)
        if found is None or 2 * len(found.essential) > len(kept):
            self.deadline = deadline
            self.enter(scope)
            return None
        return found

    def of_ended(self, done: list[int]) -> Reduced | None:
        """The last few of these that are essential if it matters that all others had ended."""
        self.know(ended=True)
        kept = self.window(done[-WINDOW_MAX:])
        return self.explained(kept) if kept else None

    def dense(self, kept: list[int]) -> bool:
        """Whether it seems that most of these are essential, or it would take long to find out."""
        size = -(-len(kept) // CHUNKS)
        chunks = range(0, len(kept), size)
        return len(kept) > SHORT or not any(
            self.wrong(kept[:at] + kept[at + size :]) for at in chunks
        )

    def explained(self, kept: list[int]) -> Reduced | None:
        """As few of these as possible, and what they rest on; None if that cannot be told."""
        last = max(kept, key=self.timeline.returns.__getitem__)
        kept = self.minimal(kept, last)
        if self.least is None or len(kept) < len(self.least[0]):
            self.least = kept, self.scope, self.ended
        last = max(kept, key=self.timeline.returns.__getitem__)
        self.deadline = self.end
        supporting = self.supporting(kept, last)
        ended = [p for p in supporting if self.returned(p, last)]
        again = self.minimal(sorted({*kept, *ended}), last)
        if again != kept and len(again) <= len(kept):
            last = max(again, key=self.timeline.returns.__getitem__)
            kept, supporting = again, self.supporting(again, last)
        minimal = self.is_minimal(kept)
        others = set(self.others(kept))
        ended = [p for p in supporting if p not in others]
        alike = set(self.others(kept, overwritten=True)) - others - set(supporting)
        if ended and not alike:
            all_ = sorted(kept + ended)
            kept = self.minimal(all_, last, lambda some: self.wrong(some, overwritten=True))
            last = max(kept, key=self.timeline.returns.__getitem__)
            left = [p for p in sorted(set(all_).difference(kept)) if self.changes(p)]
            supporting, ended = sorted({*supporting, *left} - set(kept)), []
        shown = self.as_recorded(kept, supporting, ended, last)
        if shown is None:
            return None
        rest = tuple(p for p in supporting if p not in ended)
        essential = tuple(sorted(kept + ended))
        return Reduced(essential, rest, shown, last, len(alike), self.ended, minimal)

    def is_minimal(self, kept: list[int]) -> bool:
        """Whether it is known that none of these can be forgotten."""
        self.vague = False
        for one in kept:
            if self.out_of_time() or self.wrong(_without(kept, one)):
                return False
        return not self.vague

    def minimal(
        self,
        kept: list[int],
        last: int,
        wrong: Callable[[list[int]], bool] | None = None,
    ) -> list[int]:
        """None of the kept ones can be forgotten. Those that only observe go first."""
        test = wrong or self.wrong
        changing = [last, *(p for p in kept if p != last and self.changes(p))]
        known = set(changing)
        observing = [p for p in kept if p not in known]
        late = self.out_of_time
        observing = minimise(observing, lambda some: test(sorted([*changing, *some])), late)
        return sorted(minimise([*changing, *observing], lambda some: test(sorted(some)), late))

    # --- where to begin ---------------------------------------------------------------------------

    def home(self, some: Sequence[int]) -> list[int]:
        """The object of these operations, nothing if they are none."""
        known = {number for number in some if number in self.commands}
        return next((found for found in self.objects() if known and known <= set(found)), [])

    def from_core(self, core: Sequence[int]) -> list[int]:
        """What the algorithm of the verdict has found, if it is as it says."""
        kept = [p for p in sorted(core) if p in self.commands and self.operations[p].type != "info"]
        self.enter(self.home(kept))
        return kept if kept and self.wrong(kept) else []

    def from_named(self, named: Sequence[int], *, ended: bool = False) -> list[int]:
        """A few operations before the last of those that the verdict names; perhaps only if it
        matters that all others had ended."""
        returns = self.timeline.returns
        known = [p for p in named if p in self.commands and returns[p] < NEVER]
        self.enter(self.home(known))
        if ended:
            self.know(ended=True)
        end = max((returns[p] for p in known), default=-1)
        done = sorted((p for p in self.scope if returns[p] <= end), key=returns.__getitem__)
        return self.window(done[-WINDOW_MAX:]) if done else []

    def from_prefix(self) -> list[int]:
        """The first object that is wrong, up to where it is, and of that as much as is needed."""
        objects = self.objects()
        for found in objects if len(objects) > 1 else []:
            if self.ask(found, (), STEPS_MAX).valid is False:
                self.enter(found)
                break
        returns = self.timeline.returns
        done = sorted((p for p in self.scope if returns[p] < NEVER), key=returns.__getitem__)
        low, high = 0, len(done) - 1  # the first return that cannot be is in between
        while low < high:
            middle = (low + high) // 2
            if self.out_of_time():
                return sorted(done)
            if self.judge(self.prefix(done[middle]), STEPS_MAX).valid is False:
                high = middle
            else:
                low = middle + 1
        self.enter(self.until(done[high]))
        return self.window(done[: high + 1]) or sorted(done[: high + 1])

    def window(self, done: list[int]) -> list[int]:
        """The last few of these that contradict each other, if any do."""
        # A refusal is seldom what matters, and with it, so may much else: first without.
        certain = [p for p in done[:-1] if self.operations[p].type != "fail"]
        grows = 2 if len(self.scope) <= SHORT else 8  # each question takes long
        for tried in ([*certain, done[-1]], done):
            size = 1
            while True:
                if self.wrong(sorted(tried[-size:])):
                    return sorted(tried[-size:])
                if size >= len(tried):
                    break
                size *= grows
        return []

    # --- what else to show ------------------------------------------------------------------------

    def supporting(self, kept: list[int], last: int) -> list[int]:
        """Those without which one would not understand it, as few as possible."""
        found = self.others(kept, overwritten=True)

        def recorded(some: list[int]) -> bool:
            return self.fits(kept, last, {p: self.cut(p, last) for p in some})

        def open_(some: list[int]) -> bool:
            return self.fits(kept, last, {p: self.forget(p) for p in some})

        if self.ended:
            few = self.last_few(found, recorded)
            return minimise(few, recorded, self.out_of_time)
        if len(found) <= SUPPORTING_MAX and recorded(found):
            return minimise(found, recorded, self.out_of_time)
        used: set[int] = set()
        for some in ([last], _without(kept, last)):
            rest = sorted(set(kept).difference(some))
            asked = sorted({*found, *filter(self.changes, some)})
            numbers = sorted([*rest, *asked])
            used.update(numbers[place] for place in self.ask(rest, asked).certificate or ())
        found = sorted(used - set(kept))
        return minimise(found, open_, self.out_of_time) if found and open_(found) else found

    def last_few(self, found: list[int], test: Callable[[list[int]], bool]) -> list[int]:
        """The last few of these that do, none if none do."""
        by_end = sorted(found, key=self.timeline.returns.__getitem__)
        sizes = [0, *(1 << n for n in range(SUPPORTING_MAX.bit_length()) if 1 << n < len(found))]
        tries = [sorted(by_end[len(found) - size :]) for size in (*sizes, len(found))]
        return next((some for some in tries if len(some) <= SUPPORTING_MAX and test(some)), [])

    def fits(self, kept: list[int], last: int, supporting: dict[int, Operation]) -> bool:
        """Whether with these, the kept ones are right but for the last, and the last is but for
        what is known of all others; and all of it is wrong."""
        if self.out_of_time():
            return False
        rest = _without(kept, last)
        known = [*(self.operations[p] for p in rest), *supporting.values()]
        if self.judge([*known, *self.open_of([last])]).valid is not True:
            return False
        if self.ended and self.judge([*known, self.operations[last]]).valid is not False:
            return False  # otherwise it is wrong whatever is shown besides
        alone = [*self.open_of(rest), *self.open_of(supporting), self.operations[last]]
        return len(kept) == 1 or self.judge(alone).valid is True

    def as_recorded(
        self, kept: list[int], supporting: list[int], ended: list[int], last: int
    ) -> dict[int, bool] | None:
        """All that is shown, and whether its outcome is: of the supporting ones it is, unless it
        would be wrong itself. What `ended` keeps its outcome. None if nothing fits."""
        essential = dict.fromkeys(kept, True)
        recorded = {p: self.returned(p, last) for p in supporting}
        if self.fits(kept, last, self.forms(recorded)):
            return essential | recorded
        shown = {p: recorded[p] and p in ended for p in supporting}
        for p in supporting if len(supporting) <= SUPPORTING_MAX else ():
            tried = shown | {p: recorded[p]}
            if self.fits(kept, last, self.forms(tried)):
                shown = tried
        return essential | shown if self.fits(kept, last, self.forms(shown)) else None

    def forms(self, shown: dict[int, bool]) -> dict[int, Operation]:
        return {p: self.operations[p] if told else self.forget(p) for p, told in shown.items()}

    def history(self, shown: dict[int, bool], model: str) -> History:
        """What is shown, as a history of its own. A lock knows its processes by their numbers, so
        it is in the words of the model, unless only the model can read these."""
        own = self.raw if isinstance(self.machine, Nondeterministic) else self.operations
        return History.of(
            (own[p] if told else forgotten(own[p]) for p, told in shown.items()), model
        )


def _without(numbers: Sequence[int], one: int) -> list[int]:
    return [number for number in numbers if number != one]
