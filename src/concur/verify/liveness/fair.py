"""What must come true in the end: claims of liveness about any finite model, under stated fairness.

    from concur.verify.liveness.fair import LeadsTo, live, weakly_fair

    claim = LeadsTo(lambda s: s.hungry, lambda s: s.eats)
    answer = live(Table(), claim, weakly_fair("anna *", "bert *"))
    answer.verdict, answer.stem, answer.cycle

**Runs** are endless. Something happens as long as anything can; where nothing follows a state, it
stays so for ever. Fairness rules out runs that a scheduler would have to be wicked to choose; none
is assumed unless it is stated. *Weak fairness* of a class of actions: if from some point on an
action of the class is possible all the time, one of the class happens again and again. A step that
changes nothing is no action of any class, neither as possible nor as happening, as in TLA+.

**How.** The whole graph of reachable states is built, and searched for a run that breaks the
claim: a lasso, which is a path to a state and a fair cycle from there. A claim about endless runs
cannot be judged along paths that visit each state once: where paths join and where cycles close is
just where it fails. "holds" is said only if the graph is complete and has no such lasso. A lasso
that is found while some states are still unexplored is a violation all the same.
"""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from concur.verify.budget import Budget, Meter, Progress, StoppedBy
from concur.verify.exploration import Moment, Trace
from concur.verify.liveness.graph import Graph, Transition
from concur.verify.liveness.lasso import Ending, Lasso, find_lasso
from concur.verify.model import Model

Predicate = Callable[[Any], bool]
"""What may be true of a state."""


class Eventually(msgspec.Struct, frozen=True):
    """In each run, `holds` is true at some time."""

    holds: Predicate
    name: str = "eventually"

    def broken(self) -> tuple[Ending, str]:
        never = _negation(self.holds)
        return Ending(_always, never, _always, at_once=True), "it never comes true"


class AlwaysEventually(msgspec.Struct, frozen=True):
    """In each run, `holds` is true again and again, without end."""

    holds: Predicate
    name: str = "always_eventually"

    def broken(self) -> tuple[Ending, str]:
        never = _negation(self.holds)
        return Ending(_always, never, _always), "from some point on it is never true"


class LeadsTo(msgspec.Struct, frozen=True):
    """In each run, whenever `cause` is true, `effect` is true then or later."""

    cause: Predicate
    effect: Predicate
    name: str = "leads_to"

    def broken(self) -> tuple[Ending, str]:
        never = _negation(self.effect)
        return Ending(self.cause, never, _always), "the cause is there, the effect never comes"


class EventuallyStable(msgspec.Struct, frozen=True):
    """In each run in which from some point on `desired` is true for ever, from some point on
    `matched` is, too. (Say: once nobody asks for changes any more, the system is as was asked.)"""

    desired: Predicate
    matched: Predicate
    name: str = "eventually_stable"

    def broken(self) -> tuple[Ending, str]:
        unmatched = _negation(self.matched)
        why = "what is desired stays, and again and again it is not matched"
        return Ending(_always, self.desired, unmatched), why


Claim = Eventually | AlwaysEventually | LeadsTo | EventuallyStable


class WeaklyFair(msgspec.Struct, frozen=True):
    """A class of actions that is treated with weak fairness, and what people call it."""

    name: str
    takes: Callable[[Transition], bool]


def weakly_fair(*patterns: str) -> tuple[WeaklyFair, ...]:
    """A class for each pattern: of all actions whose label matches it ("thread 1 *", `fnmatch`)."""
    return tuple([WeaklyFair(pattern, _labelled(pattern)) for pattern in patterns])


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `live`.

    "holds" if all reachable states were explored and no fair run breaks the claim. "violated" if
    one does: it goes along `stem`, from an initial state, and then along `cycle`, again and again;
    the last state of the cycle is the last one of the stem. An empty cycle: nothing follows. Else
    the verdict is "unknown". `fairness` are the names of the classes that are treated fairly.
    """

    model: str
    claim: str
    fairness: tuple[str, ...]
    verdict: Literal["holds", "violated", "unknown"]
    exhausted: bool
    unique_states: int
    transitions: int
    reason: str = ""
    stem: Trace = ()
    cycle: Trace = ()
    seconds: float
    stopped_by: StoppedBy = ""
    covered: str

    def __str__(self) -> str:
        wrong = f": {self.claim}: {self.reason}" if self.reason else ""
        return f"{self.verdict}{wrong} ({self.covered}; {self.seconds:.1f} s)"


def live(
    model: Model[Any],
    claim: Claim,
    fairness: Sequence[WeaklyFair] = (),
    budget: Budget = Budget(),  # noqa: B008
    progress: Callable[[Progress], None] | None = None,
) -> Liveness:
    """Whether `claim` is true of every run of `model` that is fair to each class of `fairness`.

    Symmetry is not used: fairness to each of two processes is more than fairness to one of them.
    Properties that must always hold are not looked at (`explore`). Ctrl-C and a lack of memory end
    it with a partial answer, as the budget does.
    """
    meter = Meter(budget, progress, "liveness")
    graph = Graph(model, [fair.takes for fair in fairness], meter)
    ending, why = claim.broken()
    lasso = find_lasso(graph, ending)
    exhausted = not graph.stopped_by
    stem: Trace = ()
    cycle: Trace = ()
    if lasso is not None:
        stem, cycle = _told(graph, lasso)
        if not cycle:
            why += ": nothing can happen any more"
    found = f"{len(graph.states):,} states of {model.name}, " + (
        f"weak fairness of {', '.join(fair.name for fair in fairness)}"
        if fairness
        else "no fairness assumed"
    )
    covered = f"exhausted: {found}"
    if not exhausted:
        covered = f"not exhausted (stopped by {graph.stopped_by}): {found}"
    return Liveness(
        model=model.name,
        claim=claim.name,
        fairness=tuple([fair.name for fair in fairness]),
        verdict="violated" if lasso is not None else "holds" if exhausted else "unknown",
        exhausted=exhausted,
        unique_states=len(graph.states),
        transitions=len(graph.targets),
        reason=why if lasso is not None else "",
        stem=stem,
        cycle=cycle,
        seconds=meter.seconds,
        stopped_by=graph.stopped_by,
        covered=covered,
    )


def _told(graph: Graph[Any], lasso: Lasso) -> tuple[Trace, Trace]:
    begin = graph.source(lasso.stem[0]) if lasso.stem else lasso.entry
    stem = [Moment("", graph.states[begin])]
    stem += [Moment(graph.label(edge), graph.states[graph.targets[edge]]) for edge in lasso.stem]
    cycle = [Moment(graph.label(edge), graph.states[graph.targets[edge]]) for edge in lasso.cycle]
    return tuple(stem), tuple(cycle)


def _always(state: Any) -> bool:
    return True


def _negation(holds: Predicate) -> Predicate:
    return lambda state: not holds(state)


def _labelled(pattern: str) -> Callable[[Transition], bool]:
    return lambda step: fnmatchcase(step.label, pattern)
