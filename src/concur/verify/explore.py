"""Walks through all states of a model: breadth-first, depth-first, or deeper and deeper.

* "breadth-first" finds a shortest trace. It keeps, for each state, the state it was reached from.
* "depth-first" follows one path to its end before it tries another: it often meets a bug early, by
  a long trace.
* "deepening" dives depth-first to depth 1, then 2, and so on, each time from the beginning. It
  finds a shortest trace, too, and keeps less of each state; it costs the sum of all dives.

All of them keep every state they have seen, whole, so that their counts are exact and "holds" means
that no reachable state was left out. A trace is found afterwards: states on its path are known, and
the labels come from asking the model again for the steps between them. With symmetry, the path is
one of canonical states, and the trace one of real states that have these as canonical form.
"""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, get_args

from concur.errors import BadInput
from concur.verify.budget import Budget, Meter, Progress, StoppedBy
from concur.verify.exploration import Exploration, Inconsistent, Moment, Strategy, Trace
from concur.verify.large.compact import Rest, go_on
from concur.verify.large.frontier import DiskFull
from concur.verify.model import Model

S = TypeVar("S")

STRATEGIES = get_args(Strategy)


def explore(
    model: Model[S],
    strategy: Strategy = "breadth-first",
    budget: Budget = Budget(),  # noqa: B008
    symmetry: bool = True,
    progress: Callable[[Progress], None] | None = None,
    deadlock: bool = False,
    fingerprints: bool = False,
) -> Exploration:
    """Explore `model` until all is seen, something is wrong, or the budget is used up.

    `symmetry` uses the model's canonical form if it has one. With `deadlock`, a state that nothing
    follows and that is not `done` is a violation. `progress` is called a few times a second.
    Ctrl-C and a lack of memory end the exploration with a partial answer, as the budget does.

    With `fingerprints`, a breadth-first search of states that are ints goes on when it has used up
    its memory: it keeps fingerprints of the states, which go to disk (`compact`). The answer then
    says how likely it is that a state was missed.
    """
    if strategy not in STRATEGIES:
        raise BadInput(f"strategy: {strategy!r}, expected one of {', '.join(STRATEGIES)}")
    meter = Meter(budget, progress, strategy)
    search = _Search(model, symmetry and model.symmetric, deadlock, meter, fingerprints)
    search.run(strategy)
    return search.answer(strategy)


class _Stop(Exception):
    """The search is over before all is seen."""


class _Search(Generic[S]):
    def __init__(
        self,
        model: Model[S],
        symmetry: bool,
        deadlock: bool,
        meter: Meter,
        fingerprints: bool = False,
    ) -> None:
        self.model = model
        self.symmetry = symmetry
        self.deadlock = deadlock
        self.meter = meter
        self.fingerprints = fingerprints
        self.missed_below = 0.0
        self.remark = ""
        self.unique = self.transitions = self.depth = self.expanded = 0
        self.complete = -1  # every state within so many steps was seen
        self.exhausted = False
        self.stopped_by: StoppedBy = ""
        self.wrong: tuple[str, str] | None = None
        self.path: list[S] = []
        self.pending = dict(model.sometimes)
        self.examples: dict[str, list[S]] = {}
        self.judges = type(model).broken is not Model.broken

    def run(self, strategy: Strategy) -> None:
        try:
            if strategy == "breadth-first":
                rest = self.breadth_first()
                if rest is not None:
                    go_on(self, rest)
            elif strategy == "depth-first":
                self.depth_first()
            else:
                self.deepening()
        except _Stop:
            return
        except KeyboardInterrupt:
            self.stopped_by = "interrupted"
        except MemoryError:
            self.stopped_by = "memory"
        except DiskFull as full:
            self.stopped_by = "disk"
            self.remark += f"; {full}"
        else:
            self.exhausted = True

    # --- the strategies ---------------------------------------------------------------------------

    def breadth_first(self) -> Rest | None:
        """What is left to do, if memory is used up and fingerprints may stand in for states."""
        seen: dict[S, S | None] = {}
        successors = self.successors()
        broken, pending = self.model.broken if self.judges else None, self.pending
        meter = self.meter
        ask_at, states_max = meter.ask_at, meter.states_max
        transitions = expanded = depth = 0
        layer: list[S] = []
        following: list[S] = []
        ends: list[int] = []  # of the layers, in `seen`

        def path(state: S | None) -> list[S]:
            found = []
            while state is not None:
                found.append(state)
                state = seen[state]
            return found[::-1]

        try:
            for state in self.initial():
                transitions += 1
                if state not in seen:
                    seen[state] = None
                    layer.append(state)
                    self.judge(state, path)
            while layer:
                self.complete = self.depth = depth
                ends.append(len(seen))
                following = []
                for state in layer:
                    after = successors(state)
                    if type(after) is not list:
                        after = list(after)
                    transitions += len(after)
                    for new in after:
                        if new not in seen:
                            seen[new] = state
                            following.append(new)
                            if pending or (broken is not None and broken(new) is not None):
                                self.depth = depth + 1
                                self.judge(new, path)
                    if not after:
                        self.end(state, path)
                    expanded += 1
                    if expanded >= ask_at or len(seen) > states_max:
                        self.transitions = transitions
                        queue = len(seen) - expanded
                        exceeded = meter.exceeded(expanded, len(seen), transitions, queue, depth)
                        if exceeded == "memory" and self.fingerprints and type(state) is int:
                            return Rest(seen, ends, expanded)
                        self.check(exceeded)
                        ask_at = meter.ask_at
                layer = following
                depth += 1
            return None
        finally:
            self.unique, self.transitions = len(seen), transitions
            if following:
                self.depth = max(self.depth, depth + 1)

    def depth_first(self) -> None:
        seen: set[S] = set()
        successors = self.successors()
        meter = self.meter
        transitions = 0
        path: list[S] = []
        stack = [iter(self.initial())]
        ends = False  # whether the last state of the path has shown no successor so far

        def here(state: S) -> list[S]:
            return [*path, state]

        try:
            while stack:
                for new in stack[-1]:
                    transitions += 1
                    ends = False
                    if new in seen:
                        continue
                    seen.add(new)
                    self.judge(new, here)
                    path.append(new)
                    self.depth = max(self.depth, len(path) - 1)
                    stack.append(iter(successors(new)))
                    ends = True
                    if len(seen) >= meter.ask_at or len(seen) > meter.states_max:
                        states, depth = len(seen), len(path) - 1
                        self.check(meter.exceeded(states, states, transitions, len(path), depth))
                    break
                else:
                    stack.pop()
                    if ends:
                        self.end(path[-1], lambda _: list(path))
                        ends = False
                    if path:
                        path.pop()
        finally:
            self.unique, self.transitions = len(seen), transitions

    def deepening(self) -> None:
        distances: dict[S, int] = {}
        while self.dive(distances, self.complete + 1):
            self.complete += 1
            self.depth = self.complete

    def dive(self, distances: dict[S, int], limit: int) -> bool:
        """Depth-first to states `limit` steps away. Whether there are any.

        Earlier dives have left the distance of each nearer state, so only shortest paths are
        followed, and a state is expanded once in each dive. The values of `distances` are twice the
        distance, and the lowest bit, which tells whether this dive or the last one was there.
        """
        dive = limit & 1
        before = len(distances)
        successors = self.successors()
        meter = self.meter
        path: list[S] = []
        stack = [iter(self.initial())]
        ends = False

        def here(state: S) -> list[S]:
            return [*path, state]

        try:
            while stack:
                depth = len(path)
                mark = depth << 1 | dive
                is_last = depth == limit
                for new in stack[-1]:
                    ends = False
                    if is_last:
                        self.transitions += 1
                        if new not in distances:
                            distances[new] = mark
                            self.depth = limit
                            self.judge(new, here)
                        continue
                    if distances[new] ^ mark != 1:  # farther than it need be, or there already
                        continue
                    distances[new] = mark
                    path.append(new)
                    stack.append(iter(successors(new)))
                    ends = True
                    self.expanded += 1
                    if self.expanded >= meter.ask_at or len(distances) > meter.states_max:
                        states = len(distances)
                        self.check(
                            meter.exceeded(
                                self.expanded, states, self.transitions, len(path), limit
                            )
                        )
                    break
                else:
                    stack.pop()
                    if ends:
                        self.end(path[-1], lambda _: list(path))
                        ends = False
                    if path:
                        path.pop()
        finally:
            self.unique = len(distances)
        return len(distances) > before

    # --- what they share --------------------------------------------------------------------------

    def initial(self) -> Iterable[S]:
        if self.symmetry:
            return map(self.model.canonical, self.model.initial())
        return self.model.initial()

    def successors(self) -> Callable[[S], Iterable[S]]:
        plain = self.model.successors
        if not self.symmetry:
            return plain
        canonical = self.model.canonical
        return lambda state: map(canonical, plain(state))

    def judge(self, state: S, path: Callable[[S], list[S]]) -> None:
        """Look at a new state. Raises _Stop if it breaks a property."""
        if self.judges:
            self.wrong = self.model.broken(state)
            if self.wrong is not None:
                self.path = path(state)
                raise _Stop
        for claim in [claim for claim, holds in self.pending.items() if holds(state)]:
            del self.pending[claim]
            self.examples[claim] = path(state)

    def end(self, state: S, path: Callable[[S], list[S]]) -> None:
        """Nothing follows `state`."""
        if self.deadlock and not self.model.done(state):
            self.wrong = "deadlock", "nothing can happen any more, and it is not done"
            self.path = path(state)
            raise _Stop

    def check(self, exceeded: StoppedBy) -> None:
        if exceeded:
            self.stopped_by = exceeded
            raise _Stop

    # --- the answer -------------------------------------------------------------------------------

    def answer(self, strategy: Strategy) -> Exploration:
        seconds = self.meter.seconds
        verdict: Any = "unknown"
        name = reason = ""
        trace = self.trace(self.path)
        if self.wrong is not None:
            verdict = "violated"
            name, reason = self.wrong
            if self.symmetry and trace:  # the same of real states, by the names in the trace
                name, reason = self.model.broken(trace[-1].state) or self.wrong
        elif self.exhausted and self.pending:
            verdict = "violated"
            name, reason = next(iter(self.pending)), "no reachable state is so"
        elif self.exhausted:
            verdict = "holds"
        return Exploration(
            model=self.model.name,
            strategy=strategy,
            symmetry=self.symmetry,
            unique_states=self.unique,
            transitions=self.transitions,
            depth=self.depth,
            exhausted=self.exhausted,
            verdict=verdict,
            property=name,
            reason=reason,
            trace=trace,
            examples={claim: self.trace(path) for claim, path in self.examples.items()},
            seconds=seconds,
            stopped_by=self.stopped_by,
            missed_below=self.missed_below,
            covered=self.covered(),
        )

    def covered(self) -> str:
        found = f"{self.unique:,} states of {self.model.name}, depth {self.depth}"
        if self.symmetry:
            found += ", symmetric states counted once"
        if self.remark:
            found += f", {self.remark}"
        if self.exhausted:
            return f"exhausted: {found}"
        why = f"stopped by {self.stopped_by}" if self.stopped_by else "stopped at a violation"
        if self.complete >= 0:
            found += f"; all states within {self.complete} steps were seen"
        return f"not exhausted ({why}): {found}"

    def trace(self, path: list[S]) -> Trace:
        """Real states and labels for a path of (canonical) states."""
        canonical: Callable[[S], S] = self.model.canonical if self.symmetry else lambda state: state
        moments: list[Moment] = []
        for target in path:
            options = (
                self.model.steps(moments[-1].state)
                if moments
                else (("", state) for state in self.model.initial())
            )
            for label, state in options:
                if canonical(state) == target:
                    moments.append(Moment(label, state))
                    break
            else:
                where = f"after {moments[-1].label!r}" if moments else "at the beginning"
                raise Inconsistent(
                    f"{self.model.name}: successors and steps (or canonical) disagree {where}"
                )
        return tuple(moments)
