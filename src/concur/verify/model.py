"""What the explorer explores: states, what follows each, and what must be true of them.

`concur.verify.engine.system.System` is one model, made of places that exchange messages. Others are
written down directly, as a TLA+ specification is: what the variables are at first and what may
happen next.

    class Counter(Model[int]):
        name = "a counter up to 3"

        def initial(self):
            return [0]

        def steps(self, state):
            if state < 3:
                yield "increment", state + 1

        def broken(self, state):
            return ("at_most_3", f"it is {state}") if state > 3 else None
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

S = TypeVar("S")

Sometimes = Mapping[str, Callable[[Any], bool]]


class Model(ABC, Generic[S]):
    """States are hashable and compared with ==. All methods are pure."""

    name: str = ""
    symmetric: bool = False
    """Whether `canonical` is more than the identity."""
    sometimes: Sometimes = {}
    """Claims that some reachable state fulfils, by name; what is never reached is reported."""

    @abstractmethod
    def initial(self) -> Iterable[S]:
        """Where it may begin."""

    @abstractmethod
    def steps(self, state: S) -> Iterable[tuple[str, S]]:
        """What may happen next, each transition with a label for people."""

    def successors(self, state: S) -> Iterable[S]:
        """The states of `steps`, one for each transition; override it where labels cost time."""
        return [after for _, after in self.steps(state)]

    def broken(self, state: S) -> tuple[str, str] | None:
        """(property, why) if one that must always hold does not hold in `state`."""
        return None

    def done(self, state: S) -> bool:
        """Whether nothing need follow `state`: if nothing does, that is no deadlock."""
        return False

    def canonical(self, state: S) -> S:
        """One of the states that are the same as `state` but for names, the same one for all."""
        return state

    def orbit(self, state: S) -> Iterable[S]:
        """All states that are the same as `state` but for names."""
        return (state,)

    def show(self, state: S) -> str:
        """The state, for people."""
        return repr(state)
