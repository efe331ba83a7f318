"""Random small systems: places whose behaviour is a table that was drawn, and an observer to whom
the order of what it hears matters."""

from typing import Any

from concur.chance import Stream
from concur.verify.engine.behaviour import Behaviour, Observer, Step
from concur.verify.engine.system import Action, System

TOLL = "toll"
WORDS_MAX = 3
"""So many of the last words that were said does the observer remember."""


class Drawn(Behaviour):
    """A place whose every answer is drawn in advance."""

    def __init__(self, name: str, dice: Stream, places: int, states: int, messages: int) -> None:
        self.name = name
        self.dice = dice
        self.places = places
        self.states = states
        self.answers = {
            (state, source, message): [
                self.step() for _ in range(dice.below(3) and 1 + dice.below(2))
            ]
            for state in range(states)
            for source in range(places)
            for message in range(messages)
        }
        self.own = {
            state: [self.step(dice.below(2) == 0) for _ in range(dice.below(2))]
            for state in range(states)
        }
        self.messages = messages

    def step(self, costly: bool = False) -> Step:
        dice = self.dice
        sends = tuple(
            (dice.below(self.places), dice.below(2)) for _ in range(max(0, dice.below(4) - 1))
        )
        events = (dice.below(3),) if dice.below(4) == 0 else ()
        costs = (TOLL,) if costly or dice.below(8) == 0 else ()
        return Step(dice.below(self.states), sends, events, "", costs)

    def start(self) -> list[Step]:
        return [Step(0, ((0, 0),))]

    def receive(self, state: int, source: int, message: int) -> list[Step]:
        return self.answers[state, source, message]

    def moves(self, state: int) -> list[tuple[str, Step]]:
        return [(f"moves {at}", step) for at, step in enumerate(self.own[state])]


class Listener(Observer):
    """Remembers the last words, and by whom; some sequences are `bad`."""

    def __init__(self, bad: tuple[Any, ...] | None) -> None:
        self.bad = bad

    def initial(self) -> tuple[Any, ...]:
        return ()

    def after(self, value: tuple[Any, ...], place: int, event: int) -> tuple[Any, ...]:
        return (*value, (place, event))[-WORDS_MAX:]

    def broken(self, value: tuple[Any, ...]) -> tuple[str, str] | None:
        return ("good", f"{value}") if self.bad is not None and value[-2:] == self.bad else None


class Trimming(System):
    """A system that loses the copies that are too many, as one of nodes does."""

    def trimmed(self, state: int) -> int:
        packing = self.packing
        over = state & packing.guard << packing.network
        return (state ^ over) | (over - (over >> packing.width - 1)) if over else state

    def successors(self, state: int) -> list[int]:
        return [self.trimmed(after) for after in super().successors(state)]

    def actions(self, state: int) -> list[tuple[Action, int]]:
        return [(action, self.trimmed(after)) for action, after in super().actions(state)]


def drawn(seed: int, faulty: bool) -> System:
    """The system of that seed; if `faulty`, there is something that the observer calls wrong."""
    dice = Stream(seed, "system")
    places = 2 + dice.below(2)
    states = 2 + dice.below(3)
    behaviours = [Drawn(f"p{at}", dice, places, states, 2) for at in range(places)]
    bad = ((dice.below(places), dice.below(3)), (dice.below(places), dice.below(3)))
    kept = {(source, message) for source in range(places) for message in range(2)}
    kept = {each for each in sorted(kept) if dice.below(3) == 0}
    duplicating = dice.below(4) == 0
    kind = System if duplicating else Trimming
    return kind(
        behaviours,
        Listener(bad if faulty else None),
        {TOLL: 1 + dice.below(3)},
        "duplicating" if duplicating else "once",
        loss=dice.below(2),
        stays=None if duplicating else lambda source, target, message: (source, message) in kept,
        envelopes_max=1,
    )
