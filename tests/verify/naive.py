"""A second, plain engine to compare the packed one with, and small random systems to compare on.

States are tuples: the local states, the envelopes with their copies, the observer's value, and what
is left of each bound. Nothing is numbered, packed or remembered, so what both engines agree on is
not an artefact of packing. It is written against the same rules and shares no code.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

from concur.chance import Stream
from concur.verify import Behaviour, Observer, Parts, Step


class Plain(NamedTuple):
    locals: tuple[Any, ...]
    network: frozenset[tuple[Any, int]]
    observed: Any
    left: tuple[tuple[str, int], ...]


class Naive:
    """`options` as for a System, without those that only tune it."""

    def __init__(
        self,
        behaviours: list[Behaviour],
        observer: Observer,
        bounds: dict[str, int],
        network: str = "once",
        loss: int = 0,
        duplication: int = 0,
        keep_ineffective: bool = False,
    ) -> None:
        self.behaviours = behaviours
        self.observer = observer
        self.bounds = bounds | {"loss": loss, "duplicate": duplication}
        self.is_set = network == "duplicating"
        self.keep_ineffective = keep_ineffective

    def initial(self) -> Iterable[Plain]:
        for steps in product(*(behaviour.start() for behaviour in self.behaviours)):
            state: Plain | None = Plain(
                (None,) * len(steps),
                frozenset(),
                self.observer.initial(),
                tuple(sorted(self.bounds.items())),
            )
            for place, step in enumerate(steps):
                if state is not None:
                    state = self.after(state, place, step)
            if state is not None:
                yield state

    def successors(self, state: Plain) -> Iterable[Plain]:
        for (source, place, message), _ in state.network:
            for step in self.behaviours[place].receive(state.locals[place], source, message):
                is_ineffective = self.changes_nothing(state, place, step)
                if is_ineffective and not self.keep_ineffective:
                    continue
                taken = None if self.is_set else (source, place, message)
                new = self.after(state, place, step, taken)
                if new is not None:
                    yield new
        for place, behaviour in enumerate(self.behaviours):
            for _, step in behaviour.moves(state.locals[place]):
                new = self.after(state, place, step)
                if new is not None and not self.changes_nothing(state, place, step):
                    yield new
        for bound, copies in (("loss", -1), ("duplicate", 1)):
            left = self.pay(state, (bound,))
            if left is not None:
                for envelope, _ in state.network:
                    network = Counter(dict(state.network))
                    network[envelope] += copies
                    yield state._replace(network=frozenset((+network).items()), left=left)

    def changes_nothing(self, state: Plain, place: int, step: Step) -> bool:
        return step.state == state.locals[place] and not step.sends and not step.events

    def pay(self, state: Plain, costs: tuple[str, ...]) -> tuple[tuple[str, int], ...] | None:
        left = dict(state.left)
        for bound in costs:
            if left[bound] == 0:
                return None
            if left[bound] > 0:
                left[bound] -= 1
        return tuple(sorted(left.items()))

    def after(self, state: Plain, place: int, step: Step, taken: Any = None) -> Plain | None:
        left = self.pay(state, step.costs)
        if left is None:
            return None
        network = Counter(dict(state.network))
        if taken is not None:
            network[taken] -= 1
        for target, message in step.sends:
            network[place, target, message] += 1
        network = +network
        if self.is_set:
            network = Counter(set(network))
        observed = state.observed
        for event in step.events:
            observed = self.observer.after(observed, place, event)
        locals_ = (*state.locals[:place], step.state, *state.locals[place + 1 :])
        return Plain(locals_, frozenset(network.items()), observed, left)


def plain(parts: Parts, bounds: dict[str, int]) -> Plain:
    """What the packed engine has, as the plain one writes it."""
    left = tuple(sorted((bounds | parts.left).items()))
    return Plain(parts.locals, frozenset(parts.network), parts.observed, left)


class Remainder(Observer):
    """A number below 5 to which each event and each place does something."""

    def initial(self) -> int:
        return 1

    def after(self, value: int, place: int, event: int) -> int:
        return (value * 3 + place + event) % 5

    def broken(self, value: int) -> tuple[str, str] | None:
        return None


class Scripted(Behaviour):
    """Does what a table says that is drawn from a seed.

    A local state is (fuel, number). Whoever sends burns fuel, so there are finitely many states.
    """

    def __init__(self, seed: int, place: int, places: int, fuel: int, bounds: list[str]) -> None:
        self.name = f"p{place}"
        self.chance = Stream(seed, "behaviour", place)
        self.places = places
        self.fuel = fuel
        self.bounds = bounds
        self.starts = [self.outcome() for _ in range(1 + self.chance.below(2))]
        self.received = {
            (number, source, message): self.outcomes()
            for number in range(3)
            for source in range(places)
            for message in range(2)
        }
        self.moved = {number: self.outcomes() for number in range(3)}

    def outcomes(self) -> list[tuple[Any, ...]]:
        return [self.outcome() for _ in range((0, 1, 1, 2)[self.chance.below(4)])]

    def outcome(self) -> tuple[Any, ...]:
        chance = self.chance
        sends = tuple(
            (chance.below(self.places), chance.below(2)) for _ in range(chance.choice((0, 1, 1, 2)))
        )
        events = tuple(chance.below(3) for _ in range(chance.choice((0, 0, 1, 2))))
        costs = (chance.choice(self.bounds),) if self.bounds and chance.chance(0.4) else ()
        return chance.below(3), sends, events, costs

    def step(self, fuel: int, outcome: tuple[Any, ...]) -> Step:
        number, sends, events, costs = outcome
        if fuel == 0:
            sends = ()
        return Step((fuel - bool(sends), number), sends, events, "", costs)

    def start(self) -> Iterable[Step]:
        return [self.step(self.fuel, outcome) for outcome in self.starts]

    def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
        fuel, number = state
        return [self.step(fuel, outcome) for outcome in self.received[number, source, message]]

    def moves(self, state: Any) -> Iterable[tuple[str, Step]]:
        fuel, number = state
        return [(f"from {number}", self.step(fuel, outcome)) for outcome in self.moved[number]]
