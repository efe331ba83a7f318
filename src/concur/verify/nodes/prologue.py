"""What has happened before anything is explored: searches can begin after a first election.

A prologue is part of its scenario, is told with the bounds, and what then "holds" is about runs
that begin with it. Each of its entries is one of

* an event: a transition's label (`System.label`), or a part of one that no other label has then;
* `quiet`: every message that is on its way arrives, those that were discovered first first, and all
  else that goes by itself is done (ends of turns, snapshots, neighbours) until nothing is left to
  do. Nobody asks for anything meanwhile, no timer rings and nobody crashes; of several outcomes it
  is the first;
* `quiet among r1, r2, c1`: the same for these hosts, and for messages between them.

Nothing that happens in a prologue is charged: the bounds are those of what follows. But what the
bounds rule out altogether cannot happen in a prologue either.
"""

from collections.abc import Sequence
from typing import Any
from typing import Protocol as Interface

from concur.errors import BadInput
from concur.verify.engine.system import Action
from concur.verify.exploration import Moment

QUIET, AMONG = "quiet", "quiet among "
QUIET_MAX = 10_000
"""Events until it must be quiet."""
OF_ITSELF = ("hears its neighbour", "turn ends", "snapshot saved")
"""Moves of a host that nobody has to wish for."""
WORDS_MAX = 90
"""Of a label in a complaint."""


class Playable(Interface):
    """What a prologue needs of a system."""

    def actions(self, state: int) -> list[tuple[Action, int]]: ...

    def label(self, action: Action) -> str: ...

    def refilled(self, state: int) -> int:
        """The state with all bounds as at the beginning."""
        ...

    def names(self) -> list[str]:
        """Of the places."""
        ...

    def keeps(self, source: int, target: int, message: Any) -> bool:
        """Whether a message stays on its way when it is delivered."""
        ...


def play(system: Playable, state: int, prologue: Sequence[str]) -> list[Moment]:
    """The moments from `state` to where the prologue leads. Raises BadInput if it leads nowhere."""
    moments = [Moment("", state)]
    for number, entry in enumerate(prologue, 1):
        where = f"prologue, entry {number}"
        if entry == QUIET or entry.startswith(AMONG):
            _calm(system, moments, entry.removeprefix(AMONG) if entry != QUIET else "", where)
        else:
            moments.append(_one(system, moments[-1].state, entry, where))
    return moments


def _one(system: Playable, state: int, entry: str, where: str) -> Moment:
    options = [(system.label(action), after) for action, after in system.actions(state)]
    meant = [option for option in options if option[0] == entry]
    meant = meant or [option for option in options if entry in option[0]]
    if len({system.refilled(after) for _, after in meant}) != 1:
        what = "several events are" if meant else "no event is"
        known = "; ".join(dict.fromkeys(_short(label) for label, _ in meant or options))
        raise BadInput(f"{where}: {what} {entry!r}; expected one of: {known}")
    label, after = meant[0]
    return Moment(label, system.refilled(after))


def _calm(system: Playable, moments: list[Moment], among: str, where: str) -> None:
    known = system.names()
    names = [name.strip() for name in among.split(",")] if among else known
    for name in names:
        if name not in known:
            raise BadInput(f"{where}: {name!r}, expected some of {', '.join(known)}")
    places = [known.index(name) for name in names]
    heard: set[tuple[int, int, Any]] = set()
    """What was delivered, and is still on its way: once is enough."""
    for _ in range(QUIET_MAX):
        state = moments[-1].state
        for action, after in system.actions(state):
            by_itself = action.kind == "receive" or action.name in OF_ITSELF
            here = action.place in places and action.source in places
            envelope = (action.source, action.place, action.message)
            if action.kind == "receive" and system.keeps(*envelope):
                if envelope in heard:
                    continue
                if by_itself and here and not action.step.costs:
                    heard.add(envelope)
            if by_itself and here and not action.step.costs:
                moments.append(Moment(system.label(action), system.refilled(after)))
                break
        else:
            return
    raise BadInput(f"{where}: not quiet after {QUIET_MAX:,} events")


def _short(label: str) -> str:
    return label if len(label) <= WORDS_MAX else label[: WORDS_MAX - 3] + "..."
