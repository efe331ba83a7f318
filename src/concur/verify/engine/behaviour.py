"""What the model checker needs to know of one place: how it begins, receives and moves.

A `System` is made of places, numbered from 0, each with a `Behaviour`, and of one network between
them. A behaviour has no state of its own: it is asked what *would* become of a local state, as
often as the checker likes and in any order, so its methods are pure functions that return every
outcome. An `Observer` folds what becomes visible into a value that is part of the global state, and
judges it.

The smallest behaviour, a place that answers every number with the next one:

    class Successor(Behaviour):
        name = "s"

        def start(self):
            return [Step("idle")]

        def receive(self, state, source, message):
            return [Step(state, ((source, message + 1),))]
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

Sends = tuple[tuple[int, Any], ...]


class Step(NamedTuple):
    """One possible outcome of something that happens at one place.

    `state` is the next local state, any hashable value; values of different types are different
    states even where Python calls them equal. `sends` are (target place, message), in order.
    `events` is what the observer hears. `label` says to a person which outcome this is ("chose 2",
    "crash in this step"). `costs` names the bounds of which this outcome uses up one each.
    """

    state: Any
    sends: Sends = ()
    events: tuple[Any, ...] = ()
    label: str = ""
    costs: tuple[str, ...] = ()


class Behaviour(Protocol):
    """What happens at one place. Pure: equal arguments, equal answers."""

    name: str
    """What people call the place: "r1"."""

    def start(self) -> Iterable[Step]:
        """The alternatives at the beginning, usually one. None at all: no system begins so."""
        ...

    def receive(self, state: Any, source: int, message: Any) -> Iterable[Step]:
        """What the message may do here, one `Step` for each outcome.

        An outcome that changes, sends and says nothing is no transition and leaves the message
        in the network; so does an empty answer.
        """
        ...

    def moves(self, state: Any) -> Iterable[tuple[str, Step]]:
        """What may happen here without a message, each with the name of the action.

        Timers, the end of a turn, an invocation, a crash, a restart. A behaviour that inherits this
        method never moves by itself, and the engine does not ask it.
        """
        return ()

    def show(self, state: Any) -> str:
        """The local state, for people."""
        return repr(state)


class Observer(Protocol):
    """Folds the events of all places into one value, and says when that value is wrong."""

    def initial(self) -> Any:
        """The value before anything happened; hashable, as all that follow."""
        ...

    def after(self, value: Any, place: int, event: Any) -> Any:
        """The value once `place` has said `event`. Pure."""
        ...

    def broken(self, value: Any) -> tuple[str, str] | None:
        """(property, why) if `value` breaks one. Asked once for each distinct value."""
        ...


class Unobserved(Observer):
    """Ignores all events: its value is None and nothing is ever wrong."""

    def initial(self) -> None:
        return None

    def after(self, value: None, place: int, event: Any) -> None:
        return None

    def broken(self, value: None) -> tuple[str, str] | None:
        return None
