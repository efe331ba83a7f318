"""The graph of all reachable states of a model, in arrays, and its strongly connected parts.

States are numbered in order of their distance from the beginning. What follows state `n` are the
edges from `begin[n]` to `begin[n + 1]`, each with the number of its target. States whose successors
are not known, because the budget was used up, are `expanded` and above.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from concur.verify.budget import Meter, StoppedBy
from concur.verify.model import Model

S = TypeVar("S")

NOBODY = -1
"""Instead of the number of a state: there is none."""


class Transition(NamedTuple):
    """One step of a model."""

    before: Any
    label: str
    after: Any


Kind = Callable[[Transition], bool]
"""Whether a transition belongs to a class of actions."""


class Graph(Generic[S]):
    """Built as far as the meter allows; `stopped_by` is "" if it is complete.

    `kinds` are classes of actions. The class numbered k is bit k of a mask: `taken` has the mask of
    each edge, and `enabled` that of each state. A step that changes nothing is of no class.
    """

    def __init__(self, model: Model[S], kinds: Sequence[Kind], meter: Meter) -> None:
        self.model = model
        self.kinds = tuple(kinds)
        self.states: list[S] = []
        self.initial: list[int] = []
        self.targets = array("q")
        self.begin = array("q", [0])
        self.parents = array("q")
        """The state from which each was reached first, by a shortest path."""
        self.depths = array("l")
        self.taken: list[int] = []
        self.enabled: list[int] = []
        self.stopped_by: StoppedBy = ""
        self._numbers: dict[S, int] = {}
        try:
            self.stopped_by = self._build(meter)
        except KeyboardInterrupt:
            self.stopped_by = "interrupted"
        except MemoryError:
            self.stopped_by = "memory"
        # What was added for a state that is not complete is of no use.
        del self.targets[self.begin[-1] :]
        del self.taken[self.begin[-1] if self.kinds else 0 :]
        del self.enabled[self.expanded :]

    @property
    def expanded(self) -> int:
        return len(self.begin) - 1

    def edges(self, state: int) -> range:
        return range(self.begin[state], self.begin[state + 1])

    def ends(self, state: int) -> bool:
        """Whether nothing follows, which is known."""
        return state < self.expanded and self.begin[state] == self.begin[state + 1]

    def source(self, edge: int) -> int:
        """The state that an edge leaves."""
        low, high = 0, self.expanded
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.begin[middle] <= edge else (low, middle)
        while self.begin[low + 1] <= edge:  # states that nothing follows share a beginning
            low += 1
        return low

    def label(self, edge: int) -> str:
        """What the model calls an edge."""
        source = self.source(edge)
        steps = list(self.model.steps(self.states[source]))
        return steps[edge - self.begin[source]][0]

    def _build(self, meter: Meter) -> StoppedBy:
        for state in self.model.initial():
            number = self._number(state, NOBODY, 0)
            if number not in self.initial:
                self.initial.append(number)
        at = 0
        while at < len(self.states):
            if at >= meter.ask_at or len(self.states) > meter.states_max:
                queue, depth = len(self.states) - at, self.depths[at]
                stop = meter.exceeded(at, len(self.states), len(self.targets), queue, depth)
                if stop:
                    return stop
            self._expand(at)
            at += 1
        return ""

    def _expand(self, at: int) -> None:
        state, depth, enabled = self.states[at], self.depths[at] + 1, 0
        for label, after in self.model.steps(state):
            number = self._number(after, at, depth)
            self.targets.append(number)
            if self.kinds:
                mask = 0
                if number != at:
                    step = Transition(state, label, after)
                    for bit, takes in enumerate(self.kinds):
                        if takes(step):
                            mask |= 1 << bit
                self.taken.append(mask)
                enabled |= mask
        self.enabled.append(enabled)
        self.begin.append(len(self.targets))

    def _number(self, state: S, parent: int, depth: int) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = len(self.states)
            self.states.append(state)
            self.parents.append(parent)
            self.depths.append(depth)
            self._numbers[state] = number
        return number


def components(graph: Graph[Any], inside: Callable[[int], bool]) -> Iterator[list[int]]:
    """The strongly connected components among the states that are `inside` (Tarjan 1972), without
    recursion. States that are not expanded have no successors here."""
    index = array("q", [NOBODY]) * len(graph.states)
    low = array("q", [0]) * len(graph.states)
    is_open = bytearray(len(graph.states))
    opened: list[int] = []
    count = 0
    for root in range(graph.expanded):
        if index[root] != NOBODY or not inside(root):
            continue
        path: list[tuple[int, Iterator[int]]] = []
        entering = root
        while True:
            if entering != NOBODY:
                index[entering] = low[entering] = count
                count += 1
                opened.append(entering)
                is_open[entering] = True
                edges = graph.edges(entering) if entering < graph.expanded else range(0)
                path.append((entering, iter(edges)))
                entering = NOBODY
            state, left = path[-1]
            for edge in left:
                target = graph.targets[edge]
                if not inside(target):
                    continue
                if index[target] == NOBODY:
                    entering = target
                    break
                if is_open[target]:
                    low[state] = min(low[state], index[target])
            else:
                path.pop()
                if path:
                    before = path[-1][0]
                    low[before] = min(low[before], low[state])
                if low[state] == index[state]:
                    component: list[int] = []
                    while not component or component[-1] != state:
                        component.append(opened.pop())
                        is_open[component[-1]] = False
                    yield component
                if not path:
                    break
