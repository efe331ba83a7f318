"""What behaviours answer, asked once and kept as numbers to add to packed states.

A question is what a place does with one message, or by itself, in one local state and with what is
left of the bounds. Its answer is a tuple of deltas, one for each outcome that changes, sends or
says something and that can be afforded. Questions are ints: the bit at which the counter of an
envelope begins, or ~place for the moves of a place.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from concur.errors import BadInput, ConcurError
from concur.verify.engine.behaviour import Behaviour, Step
from concur.verify.engine.interning import Numbers, TooMany
from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK, Packing

Envelope = tuple[int, int, Any]
"""(source, target, message)"""
Delta = tuple[int, int, int]
"""(to add, number of what was said or 0, envelopes to set in a network that is a set)"""
Memory = dict[int, tuple[Delta, ...]]
"""Answers of one question, by the number of the local state and above it what is left."""
Stays = Callable[[int, int, Any], bool]
"""Whether an envelope (source, target, message) is still on its way when it has been delivered."""


class Impure(ConcurError):
    """A behaviour gave two answers to one question."""


class Answers:
    """The answers of `behaviours`, and the numbers of everything in them.

    One answer is asked for again for each `recheck_every` new ones (0: never); if it has changed,
    Impure is raised.
    """

    def __init__(
        self,
        behaviours: Sequence[Behaviour],
        packing: Packing,
        keep_ineffective: bool,
        recheck_every: int,
        stays: Stays | None = None,
    ) -> None:
        self.behaviours = behaviours
        self.packing = packing
        self.keep_ineffective = keep_ineffective
        self.stays = stays
        self.recheck_every = recheck_every
        most = 1 << LOCAL_BITS
        self.locals = [Numbers(f"local states of {b.name}", most) for b in behaviours]
        self.envelopes = Numbers("envelopes", 1 << 62)
        self.said = Numbers("kinds of visible events", most)
        self.said.number(None)  # number 0: nothing was said
        self.doors: list[tuple[int, Memory]] = []
        """For each bit of the network: where its target's number is, and what it answered."""
        self.movers: list[tuple[int, int, Memory]] = [
            (place, packing.places[place], {})
            for place, behaviour in enumerate(behaviours)
            if type(behaviour).moves is not Behaviour.moves
        ]
        """Of each place that may move: its index, where its state's number is, its answers."""
        self.moves_of = {place: (shift, memory) for place, shift, memory in self.movers}
        self.targets: list[int] = []
        """Of each envelope."""
        self.marks = [1 << place for place in range(len(behaviours))]
        """For each place, what can happen there: bit `place` for what it does by itself, and above
        the bits of all places one for each envelope to it, where its counter begins."""
        self.leads_to: list[dict[int, set[int]]] = [{} for _ in behaviours]
        """For each place, from the number of a local state to those that were seen to follow it."""
        self.effects: list[dict[int, int]] = [{} for _ in behaviours]
        """For each place, by the number of a local state: a bit for each envelope that was seen to
        have an effect there, where its counter begins."""
        self._priced: dict[tuple[int, int], list[tuple[str, Step]]] = {}
        self._asked: list[tuple[int, int]] = []

    def answer(self, question: int, key: int) -> tuple[Delta, ...]:
        """What follows, to be kept: from the envelope at bit `question`, or at place ~question.

        `key` is the number of the local state, and above it what is left of the bounds.
        """
        answer = tuple(delta for _, _, delta in self.ask(question, key))
        if self.recheck_every:
            asked = self._asked
            asked.append((question, key))
            if len(asked) % self.recheck_every == 0:
                # Any fixed choice will do that comes by everywhere.
                self._recheck(*asked[len(asked) * 2654435761 % (1 << 32) % len(asked)])
        return answer

    def _recheck(self, question: int, key: int) -> None:
        again = tuple(delta for _, _, delta in self.ask(question, key, fresh=True))
        if question < 0:
            place, what = ~question, "moves"
            memory = next(memory for mover, _, memory in self.movers if mover == place)
        else:
            source, place, message = self.envelopes[question // self.packing.width]
            what = f"receive from {self.behaviours[source].name} of {message!r}"
            memory = self.doors[question][1]
        if again != memory.get(key, again):
            state = self.locals[place][key & LOCAL_MASK]
            raise Impure(
                f"{self.behaviours[place].name}: {what} had two different outcomes in the state "
                f"{state!r}; they must depend on the arguments alone"
            )

    def ask(self, question: int, key: int, fresh: bool = False) -> list[tuple[str, Step, Delta]]:
        """The outcomes that can be afforded, each with the name of its move and as a delta."""
        packing = self.packing
        number = key & LOCAL_MASK
        consumed = 0
        if question < 0:
            place = ~question
        else:
            envelope = question // packing.width
            source, place, message = self.envelopes[envelope]
            consumed = 0 if self.remains(envelope) else packing.copy(envelope)
        steps = None if fresh else self._priced.get((question, number))
        if steps is None:
            local = self.locals[place][number]
            if question < 0:
                steps = list(self.behaviours[place].moves(local))
            else:
                received = self.behaviours[place].receive(local, source, message)
                steps = [("", step) for step in received]
            if any(step.costs for _, step in steps):
                self._priced[question, number] = steps  # other rests of the bounds will ask
        result = []
        for name, step in steps:
            price = self.price(step.costs, key >> LOCAL_BITS, place)
            if price is None:
                continue
            change = self.locals[place].number(step.state) - number
            is_effective = change or step.sends or step.events
            if not is_effective and (question < 0 or not self.keep_ineffective):
                continue
            more, kept = self.on_their_way(self.count(place, step.sends, {}))
            delta = (change << packing.places[place]) + more - consumed - price
            said = self.said.number((place, step.events)) if step.events else 0
            result.append((name, step, (delta, said, kept)))
            if change:
                self.leads_to[place].setdefault(number, set()).add(number + change)
        if result and question >= 0:
            effects = self.effects[place]
            effects[number] = effects.get(number, 0) | 1 << question
        return result

    def remains(self, envelope: int) -> bool:
        """Whether this envelope stays on its way when it is delivered."""
        if self.packing.is_set:
            return True
        return self.stays is not None and self.stays(*self.envelopes[envelope])

    def count(
        self, place: int, sends: Iterable[tuple[int, Any]], copies: dict[int, int]
    ) -> dict[int, int]:
        """Add what `place` sends to `copies` of envelopes; new ones get a place in the network."""
        for target, message in sends:
            number = self.envelopes.number((place, target, message))
            if number * self.packing.width >= len(self.doors):
                self._make_room()
            copies[number] = copies.get(number, 0) + 1
        return copies

    def _make_room(self) -> None:
        """Give each new envelope its place in the network."""
        width, doors = self.packing.width, self.doors
        for number in range(len(doors) // width, len(self.envelopes)):
            source, target, _ = self.envelopes[number]
            if not 0 <= target < len(self.behaviours):
                raise BadInput(
                    f"{self.behaviours[source].name} sends to place {target!r}: "
                    f"expected 0 to {len(self.behaviours) - 1}"
                )
            self.packing.grow(number)
            self.targets.append(target)
            self.marks[target] |= 1 << len(self.behaviours) + number * width
            memory: Memory = {}
            # Only the lowest bit of a counter is ever looked up; the others fill the list.
            doors += [(self.packing.places[target], memory)] * width

    def on_their_way(self, copies: dict[int, int]) -> tuple[int, int]:
        """What so many copies add to a state, and what they set in it: those that stay for ever."""
        packing = self.packing
        more = kept = 0
        for envelope, times in copies.items():
            if self.remains(envelope):
                kept |= packing.copy(envelope)
            elif packing.fits(times):
                more += packing.copy(envelope) * times
            else:
                self._too_many_copies(envelope)
        return more, kept

    def overflowed(self, network: int) -> None:
        over = network & self.packing.guard
        self._too_many_copies(((over & -over).bit_length() - 1) // self.packing.width)

    def _too_many_copies(self, envelope: int) -> None:
        most = self.packing.copies_max
        raise TooMany(
            f"more than {most} {'copies' if most > 1 else 'copy'} on the way at once of "
            f"{self.route(*self.envelopes[envelope])}; raise envelopes_max, or bound what makes "
            f"it be sent again"
        )

    def price(self, costs: tuple[str, ...], budget: int, place: int) -> int | None:
        try:
            return self.packing.price(costs, budget)
        except KeyError as unknown:
            raise BadInput(
                f"{self.behaviours[place].name} has a step that costs {unknown.args[0]!r}, which "
                f"has no bound; bounds: {', '.join(self.packing.bounds)}"
            ) from None

    def route(self, source: int, target: int, message: Any) -> str:
        return f"{self.behaviours[source].name} -> {self.behaviours[target].name}: {message!r}"
