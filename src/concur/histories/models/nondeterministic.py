"""A model of one's own in which an operation may lead to several states.

    class Lossy(Nondeterministic):
        '''A queue of one place, which may lose what is in it.'''

        name = "lossy"

        def starts(self):
            return (None,)

        def step(self, state, command, result):
            if command.f == "put":
                return (command.value, None)
            return (None,) if result in (state, None, UNKNOWN) else ()

**Power set.** The model is held against a history as the deterministic one whose states are the
sets of states that it can be in: an operation with the result that it had leads from a set to the
union of what `step` gives for its members, and cannot have happened there if that is empty. An
order of operations has a run of the model if and only if no set along it is empty. So `check` and
its search apply as they are, at the price of sets; they stay small for models that forget.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from concur.histories.explain import phrase
from concur.histories.history import Event, History
from concur.histories.identity import identity
from concur.machines.base import Refused

STATES_MAX = 100_000
"""States that a model may be in at once. With more the checker gives up: such a set alone has tens
of megabytes, and time is looked at only between steps."""


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()
"""The result of an operation that did not return: whatever it may have been."""


class Asked(NamedTuple):
    """What an operation was asked to do."""

    f: str
    key: Any
    value: Any


class StepFailed(BaseException):
    """A model's `step` raised, which says nothing about the history. `check` makes a BadInput of
    it. No Exception, since an Exception is what a machine refuses a command by."""


class TooManyStates(StepFailed):
    """A step leads to more than STATES_MAX states. That is a budget: `check` says "unknown"."""


class Nondeterministic:
    """Subclass it: `starts` and `step`, and perhaps `per_key`. Checkable by `check`."""

    name: str = "nondeterministic"
    per_key: ClassVar[bool] = False
    """Whether each key is an object of its own, in a state of its own."""

    def starts(self) -> Iterable[Hashable]:
        """The states that it may be in at first."""
        raise NotImplementedError

    def step(self, state: Any, command: Asked, result: Any) -> Iterable[Hashable]:
        """The states that `command` may leave if it gave `result` in `state`; none if it cannot
        have. `result` is UNKNOWN if the operation never returned. Pure, like a machine's apply."""
        raise NotImplementedError

    # --- as the checkers see it ------------------------------------------------------------------

    def initial(self) -> "States":
        try:
            states = _states(self.starts())
        except Exception as error:
            raise StepFailed(f"starts: {type(error).__name__}: {error}") from error
        if not states.members:
            raise StepFailed("starts: no states, expected one at least")
        return states

    def apply(self, state: "States", command: "_Told") -> tuple["States", Any]:
        after: list[Hashable] = []
        try:
            for one in state.members:
                after += self.step(one, command.asked, command.result)
                if len(after) > 2 * STATES_MAX:
                    after = list(_states(after).members)
            states = _states(after)
        except Exception as error:
            raise StepFailed(f"{type(error).__name__}: {error}") from error
        if not states.members:
            raise Refused("no state allows it")
        return states, command.result

    def command(self, f: str, key: Any, value: Any) -> "_Told":
        if isinstance(value, _Told):
            return value
        return _Told(Asked(f, key, value), UNKNOWN)

    def event(self, command: "_Told") -> tuple[str, Any, Any]:
        asked = command.asked
        return asked.f, (None if self.per_key else asked.key), asked.value

    def completion(self, command: "_Told", result: Any) -> tuple[str, Any, str | None]:
        return "ok", result, None

    def key(self, command: "_Told") -> Any:
        """A state is of all keys. If it is not, `event` has no key: then keys name machines."""
        return None

    def read_only(self, command: "_Told") -> bool:
        """Never claimed: what a read gave can tell which of its states the model is in."""
        return False

    def snapshot(self, state: "States") -> Any:
        """What tells sets of states apart, as bytes would."""
        return state.names

    def admit_history(self, history: History) -> Iterator[Event]:
        """Every invocation knows its result, so that the two together are a command."""
        results = {op.index: op for op in history.operations()}
        for event in history.events():
            if event.type == "fail":  # says nothing, whatever its error: `step` is of what happened
                yield msgspec.structs.replace(event, error=None)
                continue
            if event.type != "invoke":
                yield event
                continue
            found = results[event.index]
            result = found.result if found.type == "ok" else UNKNOWN
            told = _Told(Asked(event.f, event.key, event.value), result)
            yield msgspec.structs.replace(event, value=told)


class States:
    """The states that a model may be in. `names` tell them apart."""

    __slots__ = ("members", "names")

    def __init__(self, names: frozenset[Any], members: Sequence[Any]) -> None:
        self.names = names
        self.members = members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, States) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return " or ".join(sorted(map(phrase, self.members)))


def _states(states: Iterable[Hashable]) -> States:
    """Raises TooManyStates."""
    found: dict[Any, Hashable] = {}
    for state in states:
        found.setdefault(identity(state), state)
        if len(found) > STATES_MAX:
            raise TooManyStates(f"{STATES_MAX} states at once")
    return States(frozenset(found), tuple(found.values()))


class _Told:
    """What was asked and what came of it: the command of the power set's machine."""

    __slots__ = ("asked", "name", "result")

    def __init__(self, asked: Asked, result: Any) -> None:
        self.asked = asked
        self.result = result
        self.name = identity(tuple(asked)), identity(result)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return repr(self.asked.value)
