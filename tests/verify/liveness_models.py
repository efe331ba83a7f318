"""Small models whose liveness is known, among them those that checkers get wrong."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from concur.verify import Model

Edges = Mapping[int, tuple[tuple[str, int], ...]]


class Drawn(Model[int]):
    """A graph, as drawn: of each state, the labels and targets of its steps."""

    def __init__(self, edges: Edges, initial: tuple[int, ...] = (0,)) -> None:
        self.name = "a drawn graph"
        self.edges = edges
        self.begins = initial

    def initial(self) -> Iterable[int]:
        return self.begins

    def steps(self, state: int) -> Iterable[tuple[str, int]]:
        return self.edges.get(state, ())


JOIN = Drawn({0: (("good", 1), ("bad", 2)), 1: (("on", 3),), 2: (("on", 3),)})
"""1 is on one of two ways to 3, where they join. Whoever marks 3 as "has seen 1" when it comes by
from there first overlooks the other way."""

CYCLE = Drawn({0: (("leave", 1), ("stay", 2)), 2: (("back", 0),)})
"""1 ends it, but 0 and 2 can take turns for ever. Whoever judges only where paths end sees 1."""


class Sharing(NamedTuple):
    at: tuple[str, str] = ("idle", "idle")
    wants: tuple[bool, bool] = (False, False)
    turn: int = 0


class Peterson(Model[Sharing]):
    """Mutual exclusion of two processes (Peterson 1981). `polite` off: nobody lets the other one go
    first, so both wait when both want."""

    def __init__(self, polite: bool = True) -> None:
        self.name = "Peterson's algorithm"
        self.polite = polite

    def initial(self) -> Iterable[Sharing]:
        return [Sharing()]

    def steps(self, state: Sharing) -> Iterable[tuple[str, Sharing]]:
        at, wants, turn = state
        for me, other in ((0, 1), (1, 0)):
            name = f"process {me + 1}"
            if at[me] == "idle":
                yield f"{name} thinks", state  # it need not ever want to
                yield f"{name} wants", Sharing(put(at, me, "yields"), put(wants, me, True), turn)
            elif at[me] == "yields":
                yield f"{name} yields", Sharing(put(at, me, "waits"), wants, other)
            elif at[me] == "waits" and (not wants[other] or (self.polite and turn == me)):
                yield f"{name} enters", Sharing(put(at, me, "critical"), wants, turn)
            elif at[me] == "critical":
                yield f"{name} leaves", Sharing(put(at, me, "idle"), put(wants, me, False), turn)

    def broken(self, state: Sharing) -> tuple[str, str] | None:
        both = state.at == ("critical", "critical")
        return ("mutual_exclusion", "both are in") if both else None


T = TypeVar("T")


def put(pair: tuple[T, T], at: int, value: T) -> tuple[T, T]:
    return (value, pair[1]) if at == 0 else (pair[0], value)


class Dining(Model[tuple[int, ...]]):
    """Philosophers around a table (Dijkstra 1965): 0 thinks, 1 has its first fork, 2 both and eats.
    With `lefty` the last one begins with the other fork, so that not each of them has one."""

    def __init__(self, philosophers: int, lefty: bool) -> None:
        self.name = f"{philosophers} philosophers"
        self.seats = range(philosophers)
        self.lefty = lefty

    def forks(self, seat: int) -> tuple[int, int]:
        left, right = seat, (seat + 1) % len(self.seats)
        return (right, left) if self.lefty and seat == self.seats[-1] else (left, right)

    def initial(self) -> Iterable[tuple[int, ...]]:
        return [(0,) * len(self.seats)]

    def steps(self, state: tuple[int, ...]) -> Iterable[tuple[str, tuple[int, ...]]]:
        taken = [fork for seat, has in enumerate(state) for fork in self.forks(seat)[:has]]
        for seat, has in enumerate(state):
            after = (*state[:seat], (has + 1) % 3, *state[seat + 1 :])
            if has == 2:
                yield f"{seat} puts both down", after
            elif self.forks(seat)[has] not in taken:
                yield f"{seat} takes fork {self.forks(seat)[has]}", after


class Wish(NamedTuple):
    desired: int = 0
    actual: int = 0
    tick: bool = False


class Reconciler(Model[Wish]):
    """A user wishes for a number, a controller makes it so, and a clock ticks for ever. A `nervous`
    controller also undoes its work now and then."""

    def __init__(self, nervous: bool = False) -> None:
        self.name = "a controller"
        self.nervous = nervous

    def initial(self) -> Iterable[Wish]:
        return [Wish()]

    def steps(self, state: Wish) -> Iterable[tuple[str, Wish]]:
        yield "clock ticks", state._replace(tick=not state.tick)
        for wish in range(4):
            if wish != state.desired:
                yield f"user wishes {wish}", state._replace(desired=wish)
        if state.actual != state.desired:
            nearer = state.actual + (1 if state.actual < state.desired else -1)
            yield "controller adjusts", state._replace(actual=nearer)
        elif self.nervous:
            yield "controller starts over", state._replace(actual=(state.actual + 1) % 4)
