"""Walks of nodes, phase by phase: for a while some hear each other, and nobody else hears anybody.

Most bugs of protocols are stories of a few chapters: somebody leads, alone; the others elect one of
their own; that one is cut off, and the first one comes back. Dice that are thrown afresh for each
message tell no such story, for what one chapter needs to leave undone is done soon. So a walk goes
in phases, and for each of them is drawn

* **who is there**: all, all but one, or any of the servers, and every client. What the others sent
  or would do is late;
* **what starts it**: a *stimulus*, that is, something that comes from outside: a client or operator
  asks, a timer rings, a host crashes, time passes, a message is doubled or lost. Often there is one
  at the beginning, and none later, unless nothing else is left to do;
* **how long it is**: a few steps, so that some phases end in the middle of things;
* whether only messages of this phase arrive: what is old is not always about.

A phase with nothing left to do ends at once. The next one may heal what this one cut. How likely
each of these is, is drawn for each walk: no choice was the best for all the bugs it was tried on.
"""

from collections.abc import Sized
from functools import cached_property
from typing import Any

from concur.chance import Stream
from concur.logs import Log
from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.nodes.histories import Judged
from concur.verify.nodes.host import Host, HostState

LENGTHS = (1, 2, 4, 8, 16, 32)
"""Means of the lengths of phases, in steps; a phase of mean m has 1 to 2m."""
ABSENT = (2, 3)
"""One of so many servers is not there, where each is asked for itself."""
STIMULI = (2, 3)
"""Of four phases, so many begin with a stimulus."""
DARING = 4
"""One of so many messages whose arrival may use up a bound (by a crash in that step) may do so."""
TRIES_MAX = 6
"""Phases with nothing to do in a row, before a walk gives up."""


class Phase:
    """Where a walk stands. `up` has a bit for each place that is there, `fresh` one for each
    envelope that was sent in this phase."""

    __slots__ = (
        "absent", "asks", "fresh", "left", "length", "only_fresh", "stimuli", "stimulus", "up",
        "youth",
    )  # fmt: skip

    def __init__(self, dice: Stream) -> None:
        self.length = dice.choice(LENGTHS)
        self.absent = dice.choice(ABSENT)
        self.stimuli = dice.choice(STIMULI)
        self.asks = dice.below(2) == 0  # that clients ask is no stimulus, but comes by itself
        self.youth = dice.below(4)
        self.left = self.up = self.fresh = 0
        self.only_fresh = self.stimulus = False

    def begin(self, servers: tuple[int, ...], places: int, dice: Stream) -> None:
        """The next phase, of a system with so many places."""
        self.left = 1 + dice.below(2 * self.length)
        self.up = (1 << places) - 1
        kind = dice.below(6)
        if kind == 0:
            pass
        elif kind == 1:
            self.up &= ~(1 << dice.below(places))
        else:
            for server in servers:
                if dice.below(self.absent) == 0:
                    self.up &= ~(1 << server)
        self.fresh = 0
        self.only_fresh = dice.below(4) < self.youth
        self.stimulus = dice.below(4) < self.stimuli


class Phased(System):
    """A system of hosts with what `concur.verify.walks.walk.walk` wants of a model."""

    def mood(self, dice: Stream) -> Phase:
        """What a walk begins with, and changes as it goes."""
        return Phase(dice)

    def features(self, state: int) -> tuple[int, ...]:
        """What the nodes have decided and observed, with what is left of the bounds; and for each
        server what its state comes to.

        A local state as a whole tells more, and so does what clients have seen: so much more that
        every second state is new. Whoever follows all of these gets nowhere.
        """
        packing, numbers = self._packing, self._features
        observed = (state >> packing.observer) & LOCAL_MASK
        found = []
        number = numbers.get((-1, observed))
        if number is None:
            value = self._observed[observed]
            told = (value.folds, value.forgotten) if isinstance(value, Judged) else value
            number = numbers[-1, observed] = self._gists.setdefault(told, len(self._gists))
        found.append((state & packing.budget_mask) << LOCAL_BITS | number)
        for place in self.servers:
            local = (state >> packing.places[place]) & LOCAL_MASK
            number = numbers.get((place, local))
            if number is None:
                gist = place, gist_of(self._locals[place][local])
                number = numbers[place, local] = self._gists.setdefault(gist, len(self._gists))
            found.append(~number)
        return tuple(found)

    def situation(self, state: int) -> tuple[int, ...]:
        """The numbers of all local states."""
        return tuple((state >> shift) & LOCAL_MASK for shift in self._packing.places)

    def pick(self, state: int, dice: Stream, mood: Phase) -> int | None:
        """One of the successors of `state`, without finding out about all; None if there is none
        within a few phases."""
        if self.ends(state):
            return None
        for _ in range(TRIES_MAX):
            if mood.left <= 0:
                mood.begin(self.servers, len(self.behaviours), dice)
            after = self._stimulated(state, dice, mood) if mood.stimulus else None
            mood.stimulus = False
            if after is None:
                after = self._going_on(state, dice, mood)
            if after is not None:
                after = self.trimmed(after)
                network = self._packing.network
                mood.fresh |= (after >> network) & ~(state >> network)
                mood.left -= 1
                return after
            mood.left, mood.stimulus = 0, True
        return None

    @cached_property
    def _features(self) -> dict[tuple[int, int], int]:
        """By place, -1 for the observer, and the number of what is there."""
        return {}

    @cached_property
    def _gists(self) -> dict[Any, int]:
        return {}

    @cached_property
    def servers(self) -> tuple[int, ...]:
        """The places of hosts that can crash; clients, operators and clocks are the others."""
        return tuple(
            place
            for place, behaviour in enumerate(self.behaviours)
            if isinstance(behaviour, Host) and behaviour.may_crash
        )

    def _stimulated(self, state: int, dice: Stream, mood: Phase) -> int | None:
        """Something from outside happens at somebody who is there; None if nothing can."""
        spends = self._packing.budget_mask
        servers = self.servers
        places = [place for place, _, _ in self._answers.movers if mood.up >> place & 1]
        if self.bounds["loss"] or self.bounds["duplicate"]:
            places.append(len(self.behaviours))  # the network
        while places:
            place = _drawn(places, dice)
            if place == len(self.behaviours):
                found = self.mishaps(state)
            else:
                found = [
                    after
                    for after, _ in self.outcomes(state, ~place)
                    if place not in servers or (state ^ after) & spends
                ]
            if found:
                return dice.choice(found)
        return None

    def _going_on(self, state: int, dice: Stream, mood: Phase) -> int | None:
        """A message arrives, or a server does what it does by itself, where that is possible."""
        packing, up = self._packing, mood.up
        spends = packing.budget_mask
        envelopes, width = self._answers.envelopes, packing.width
        questions: list[int] = []
        rest = self.present(state)
        if mood.only_fresh:
            rest &= mood.fresh
        while rest:
            low = rest & -rest
            rest ^= low
            bit = low.bit_length() - 1
            source, target, _ = envelopes[bit // width]
            if up >> source & 1 and up >> target & 1:
                questions.append(bit)
        for place in range(len(self.behaviours)) if mood.asks else self.servers:
            if place not in self.servers:
                questions.append(~place)
                continue
            local = self._locals[place][(state >> packing.places[place]) & LOCAL_MASK]
            if up >> place & 1 and _goes_on(local):
                questions.append(~place)
        while questions:
            question = _drawn(questions, dice)
            found = [after for after, _ in self.outcomes(state, question)]
            cheap = [after for after in found if not (state ^ after) & spends]
            if len(cheap) < len(found) and question >= 0 and dice.below(DARING) == 0:
                return dice.choice(found)
            if cheap:
                return dice.choice(cheap)
        return None


def _drawn(options: list[int], dice: Stream) -> int:
    """One of the options, which is taken out."""
    at = dice.below(len(options))
    options[at], options[-1] = options[-1], options[at]
    return options.pop()


def _goes_on(state: HostState) -> bool:
    """Whether something waits to be done on a host: else to ask for its moves would cost a step of
    each of its timers, and nothing would come of it."""
    waits = any(seat.turn or seat.saving for seat in state.seats)
    return bool(state.down or state.inbox or waits)


def gist_of(state: HostState) -> tuple[Any, ...]:
    """What the state of a host comes to: numbers, words, and how long everything else is."""
    found: list[Any] = [state.down]
    for seat in state.seats:
        for value in seat.node[0] if seat.node is not None else ():
            if isinstance(value, Log):
                found.append(value.last_index)
            elif isinstance(value, int | str):
                found.append(value)
            elif isinstance(value, Sized):
                found.append(len(value))
    return tuple(found)
