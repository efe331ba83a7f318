"""Endless runs of a finite graph that are fair: a stem from the beginning, then a cycle.

A finite model has a run that breaks a claim of liveness if and only if it has one of this shape.
So the search is for a strongly connected component in which a run can stay for ever, and fulfil all
that fairness asks for: it then visits all of the component again and again.
"""

from array import array
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from concur.verify.liveness.graph import NOBODY, Graph, components

COMPONENTS_MAX = 20
"""Components, the nearest first, in each of which a cycle is made, to tell the shortest."""
ENTRIES_MAX = 50
"""States of one component, the nearest first, from which cycles are tried."""


class Ending(NamedTuple):
    """How a run that breaks a claim goes on: from some state for which `begins` holds it stays
    where `stays` holds, and comes by where `visits` holds again and again. `at_once`: from the very
    first state on."""

    begins: Callable[[Any], bool]
    stays: Callable[[Any], bool]
    visits: Callable[[Any], bool]
    at_once: bool = False


class Lasso(NamedTuple):
    """A path from an initial state to `entry`, and a cycle from there back to it, as edges. An
    empty cycle: nothing follows `entry`, and so it stays for ever."""

    stem: list[int]
    cycle: list[int]
    entry: int


def find_lasso(graph: Graph[Any], ending: Ending) -> Lasso | None:
    """A lasso in which every class of the graph's actions is treated with weak fairness; a short
    one, though not always the shortest. None if there is none among the expanded states."""
    search = _Search(graph, ending)
    candidates = sorted(search.candidates(), key=lambda c: (search.distance[c[0]], c[0]))
    found: Lasso | None = None
    for component in candidates[:COMPONENTS_MAX]:
        members = set(component)
        for entry in component[:ENTRIES_MAX]:
            near = search.distance[entry]
            if found is not None and near >= len(found.stem) + len(found.cycle):
                break
            cycle = search.cycle(entry, members)
            if found is None or near + len(cycle) < len(found.stem) + len(found.cycle):
                found = Lasso(search.stem(entry), cycle, entry)
    return found


class _Search:
    """`distance` and `came_by` tell the shortest way to each state that a run can be in after it
    has begun to break the claim."""

    def __init__(self, graph: Graph[Any], ending: Ending) -> None:
        self.graph = graph
        self.all_kinds = (1 << len(graph.kinds)) - 1
        self.stays = bytearray(map(ending.stays, graph.states[: graph.expanded]))
        self.visits = ending.visits
        self.distance = array("q", [NOBODY]) * len(graph.states)
        self.came_by = array("q", [NOBODY]) * len(graph.states)
        begins = ending.begins
        numbers: Iterable[int] = graph.initial if ending.at_once else range(graph.expanded)
        self._reach([n for n in numbers if self._inside(n) and begins(graph.states[n])])

    def _inside(self, state: int) -> bool:
        return state < len(self.stays) and bool(self.stays[state])

    def _reach(self, beginnings: list[int]) -> None:
        """Breadth-first from all beginnings at once, each as far away as it is."""
        graph = self.graph
        waiting = sorted(beginnings, key=lambda state: graph.depths[state])[::-1]
        layer: list[int] = []
        depth = 0
        while layer or waiting:
            if not layer:
                depth = graph.depths[waiting[-1]]
            while waiting and graph.depths[waiting[-1]] <= depth:
                state = waiting.pop()
                if self.distance[state] == NOBODY:
                    self.distance[state] = depth
                    layer.append(state)
            following = []
            for state in layer:
                for edge in graph.edges(state):
                    target = graph.targets[edge]
                    if self._inside(target) and self.distance[target] == NOBODY:
                        self.distance[target] = depth + 1
                        self.came_by[target] = edge
                        following.append(target)
            layer = following
            depth += 1

    def candidates(self) -> list[list[int]]:
        """Components in which a run can stay as it should, the nearest states of each first."""
        found = []
        for component in components(self.graph, lambda state: self.distance[state] != NOBODY):
            if self._is_endless(component) and self._is_right(component):
                component.sort(key=lambda state: (self.distance[state], state))
                found.append(component)
        return found

    def _is_endless(self, component: list[int]) -> bool:
        graph, state = self.graph, component[0]
        if len(component) > 1 or graph.ends(state):
            return True
        return any(graph.targets[edge] == state for edge in graph.edges(state))

    def _is_right(self, component: list[int]) -> bool:
        """Whether a run that visits all of it again and again is fair, and breaks the claim."""
        graph = self.graph
        if not any(self.visits(graph.states[state]) for state in component):
            return False
        if not self.all_kinds:
            return True
        members = set(component)
        fair = 0
        for state in component:
            fair |= ~graph.enabled[state]
            for edge in graph.edges(state):
                if graph.targets[edge] in members:
                    fair |= graph.taken[edge]
        return fair & self.all_kinds == self.all_kinds

    # --- the way --------------------------------------------------------------------------------

    def stem(self, entry: int) -> list[int]:
        graph, edges = self.graph, []
        state = entry
        while (edge := self.came_by[state]) != NOBODY:
            edges.append(edge)
            state = graph.source(edge)
        while (parent := graph.parents[state]) != NOBODY:
            edges.append(next(e for e in graph.edges(parent) if graph.targets[e] == state))
            state = parent
        return edges[::-1]

    def cycle(self, entry: int, members: set[int]) -> list[int]:
        """From `entry` always to what is nearest of all that is missing, then back."""
        graph = self.graph
        if graph.ends(entry):
            return []
        path: list[int] = []
        visited = self.visits(graph.states[entry])
        unfair = self.all_kinds & (graph.enabled[entry] if self.all_kinds else 0)

        def met(edge: int) -> tuple[bool, int]:
            """Whether the claim is broken, and who is treated fairly, by taking this edge."""
            target = graph.targets[edge]
            fair = graph.taken[edge] | ~graph.enabled[target] if self.all_kinds else 0
            return self.visits(graph.states[target]), fair

        state = entry
        while not visited or unfair:

            def helps(edge: int) -> bool:
                visits, fair = met(edge)
                return (visits and not visited) or bool(fair & unfair)  # noqa: B023

            way = self._shortest(state, members, helps)
            for edge in way:
                visits, fair = met(edge)
                visited, unfair = visited or visits, unfair & ~fair
            path += way
            state = graph.targets[path[-1]]
        if state != entry or not path:
            path += self._shortest(state, members, lambda edge: graph.targets[edge] == entry)
        return path

    def _shortest(self, start: int, members: set[int], goal: Callable[[int], bool]) -> list[int]:
        """The shortest path from `start` that ends with an edge as it should be."""
        graph = self.graph
        came_by: dict[int, int] = {}
        layer = [start]
        while layer:
            following = []
            for state in layer:
                for edge in graph.edges(state):
                    target = graph.targets[edge]
                    if target not in members:
                        continue
                    if goal(edge):
                        path = [edge]
                        while state != start:
                            path.append(came_by[state])
                            state = graph.source(path[-1])
                        return path[::-1]
                    if target != start and target not in came_by:
                        came_by[target] = edge
                        following.append(target)
            layer = following
        raise AssertionError("a component is not strongly connected")
