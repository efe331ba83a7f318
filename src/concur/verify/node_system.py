"""A `System` whose places are hosts of nodes: what it does otherwise, and what walks want of it."""

from concur.chance import Stream
from concur.verify.packing import LOCAL_BITS, LOCAL_MASK
from concur.verify.system import Action, System

Cuts = frozenset[tuple[int, int]]
"""Pairs of places (source, target) between which messages are late."""


class NodeSystem(System):
    """A system of nodes. Two things are not as in `System`:

    * Of one message from one node to another, sent again and again, only `envelopes_max` copies are
      on their way at a time. The next one is lost, as any message may be.
    * A run in which more memories were lost than the protocol bears proves nothing, so nothing
      follows it.
    """

    def successors(self, state: int) -> list[int]:
        if self.observed(state).over:
            return []
        return self._lose_copies(super().successors(state))

    def actions(self, state: int) -> list[tuple[Action, int]]:
        if self.observed(state).over:
            return []
        found = super().actions(state)
        after = self._lose_copies([new for _, new in found])
        return [(action, new) for (action, _), new in zip(found, after, strict=True)]

    def _lose_copies(self, states: list[int]) -> list[int]:
        """A counter that has reached its guard bit goes back to the most that it may hold."""
        packing = self._packing
        guard = packing.guard << packing.network
        for at, state in enumerate(states):
            over = state & guard
            if over:
                states[at] = (state ^ over) | (over - (over >> packing.width - 1))
        return states

    # --- for walks --------------------------------------------------------------------------------

    def features(self, state: int) -> list[int]:
        """The local states, and what was observed: whoever finds a new one is on to something."""
        packing = self._packing
        shifts = (*packing.places, packing.observer)
        return [at << LOCAL_BITS | (state >> s) & LOCAL_MASK for at, s in enumerate(shifts)]

    def mood(self, dice: Stream) -> Cuts:
        """Between which places no message gets through on one walk: none, all of one place, or any.

        Most bugs need somebody who hears nothing of the others for a while. Dice that draw afresh
        for each message hardly ever leave one alone for long.
        """
        places = range(len(self.behaviours))
        kind = dice.below(3)
        if kind == 0:
            return frozenset()
        pairs = [(a, b) for a in places for b in places if a != b]
        alone = dice.below(len(places))
        return frozenset(
            pair for pair in pairs if (alone in pair if kind == 1 else dice.below(3) == 0)
        )

    def pick(self, state: int, dice: Stream, thrifty: bool, cuts: Cuts) -> int | None:
        """One of the successors of `state`, without finding out about all; None if there is none.

        First a message or a host is drawn, then one of its outcomes. A thrifty walk takes one that
        uses up a bound only if there is no other. Messages are neither lost nor doubled.
        """
        if self.observed(state).over:
            return None
        packing = self._packing
        questions = self._questions(state, cuts)
        costly: list[int] = []
        while questions:
            at = dice.below(len(questions))
            questions[at], questions[-1] = questions[-1], questions[at]
            free: list[int] = []
            for after in self._outcomes(state, questions.pop()):
                spends = (state ^ after) & packing.budget_mask
                (costly if spends and thrifty else free).append(after)
            if free:
                return self._lose_copies([dice.choice(free)])[0]
        return self._lose_copies([dice.choice(costly)])[0] if costly else None

    def _questions(self, state: int, cuts: Cuts) -> list[int]:
        """What there is to ask: envelopes by their bit, and hosts as ~place."""
        packing = self._packing
        network = state >> packing.network
        found = [~place for place, _, _ in self._answers.movers]
        mask, width = (1 << packing.width) - 1, packing.width
        while network:
            bit = ((network & -network).bit_length() - 1) // width * width
            if not cuts or self._answers.envelopes[bit // width][:2] not in cuts:
                found.append(bit)
            network &= ~(mask << bit)
        return found

    def _outcomes(self, state: int, question: int) -> list[int]:
        packing, answers = self._packing, self._answers
        if question < 0:
            _, shift, memory = next(mover for mover in answers.movers if mover[0] == ~question)
        else:
            shift, memory = answers.doors[question]
        budget = (state & packing.budget_mask) << LOCAL_BITS
        key = (state >> shift) & LOCAL_MASK | budget
        deltas = memory.get(key)
        if deltas is None:
            deltas = memory[key] = answers.answer(question, key)
        observed = ((state >> packing.observer) & LOCAL_MASK) << LOCAL_BITS
        return [
            (state + delta + (self._fold(observed | said) if said else 0)) | kept
            for delta, said, kept in deltas
        ]

    # --- for people -------------------------------------------------------------------------------

    def local_states(self) -> dict[str, int]:
        """How many local states each host was seen in."""
        hosts = zip(self.behaviours, self._locals, strict=True)
        return {host.name: len(numbers) for host, numbers in hosts}

    def histories(self) -> int:
        """How many different values the observer had."""
        return len(self._observed)
