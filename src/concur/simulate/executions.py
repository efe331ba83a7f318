"""Executing a command once for all replicas of a simulated cluster.

Replicas execute the same commands on the same states. States, session tables and commands are
immutable and machines are pure (CORE.md, 2 and 7), so for the very same objects the outcome of the
first replica is that of the others too: they take it, and their states stay one object in memory.
A replica whose state is another object, after an installed snapshot or a restart, computes its own.

Some commands are executed again all the same, to notice a machine that is not pure.
"""

from typing import Any, Self

from concur.messages import Command
from concur.parts.sessions import Sessions
from concur.values import Map

Outcome = tuple[Any, Sessions, bytes | None]

REMEMBERED_MAX = 512
"""Executions of which the outcome is kept: replicas lag behind the first by a round trip or so."""

CHECK_EVERY = 32
"""Commands whose number is divisible by this are executed by every replica, and compared."""


class Executions:
    """The latest executions of one world, by the identity of all that goes in."""

    def __init__(self, first: Any) -> None:
        """`first` is the machine's initial state, which all replicas then share."""
        self._first = first
        self._known: dict[tuple[int, int, int], tuple[Any, Outcome]] = {}

    @classmethod
    def of(cls, machine: Any) -> "Self | None":
        """For the replicas of `machine`; None if its states may change in place."""
        if machine is None or not machine.pure:
            return None
        first = machine.initial()
        try:
            hash(first)
        except TypeError:
            return None
        return cls(first)

    def begin(self, state: Any) -> Any:
        """The initial state of a node: the one object for all."""
        return self._first if same(state, self._first) else state

    def execute(self, sessions: Sessions, machine: Any, state: Any, command: Command) -> Outcome:
        """As `Sessions.execute`."""
        key = id(command), id(state), id(sessions)
        known = self._known.get(key)
        if known is not None:
            outcome = known[1]
            if command.seq % CHECK_EVERY == 0:
                refuse_difference(
                    machine, state, outcome, sessions.execute(machine, state, command)
                )
            return outcome
        outcome = sessions.execute(machine, state, command)
        if len(self._known) == REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known[key] = (command, state, sessions), outcome  # alive, so their ids stay theirs
        return outcome


def refuse_difference(machine: Any, before: Any, one: Outcome, other: Outcome) -> None:
    """Raise RuntimeError unless two executions from the state `before` came to the same."""
    states = one[0], other[0]
    if all(type(state) is Map for state in (before, *states)):
        states = Map.delta(before, one[0]), Map.delta(before, other[0])
    if not same(*states) or one[2] != other[2]:
        name = getattr(machine, "name", type(machine).__name__)
        raise RuntimeError(
            f"machine {name} is not pure: one command on one state had two outcomes, "
            f"with results {one[2]!r} and {other[2]!r}"
        )


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
