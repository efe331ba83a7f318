"""Messages that can do nothing any more.

A message is *dead* in a local state of its target if it has no effect there, nor in any local state
that can follow: an old term's vote, an answer that came twice. Whether it is still on its way makes
no difference to anybody, so states that differ in dead messages alone can be taken for one.

What can follow is learnt while exploring, so it may be too little, and a message be taken for dead
that is not. Therefore whoever relies on it asks again in the end, when all that was explored is
known, and begins afresh if anything that it took away has come to life (`reduced`). That is enough:
a message that was wrongly taken away is delivered for the first time, in some run, in a local state
that follows the one in which it was taken away, by steps that were all explored.
"""

from collections.abc import Callable

from concur.verify.engine.answers import Answers
from concur.verify.engine.interning import same

Masks = list[list[int]]
"""For each place, by the number of its local state: the counters of the dead, to be cleared."""


class OutOfTime(Exception):
    """There is no time to learn any more."""


class DeadMessages:
    """Which messages are dead, as far as `answers` tell.

    `learn` raises OutOfTime as soon as `out_of_time` says so.
    """

    def __init__(self, answers: Answers, out_of_time: Callable[[], bool] = lambda: False) -> None:
        self.answers = answers
        self.out_of_time = out_of_time
        self._idle: list[dict[int, int]] = [{} for _ in answers.behaviours]
        """By place and local state: the messages that were found to have no effect there."""

    def learn(self) -> Masks:
        """All that are dead by what is known now. It asks behaviours what they were never asked."""
        answers, width = self.answers, self.answers.packing.width
        addressed = [0] * len(answers.behaviours)
        for number in range(len(answers.envelopes)):
            addressed[answers.envelopes[number][1]] |= 1 << number * width
        counter = (1 << width) - 1
        return [
            [(to_place & ~alive) * counter for alive in self._alive(place, to_place)]
            for place, to_place in enumerate(addressed)
        ]

    def _alive(self, place: int, addressed: int) -> list[int]:
        """For each local state of a place, a bit for each message that may still have an effect."""
        answers = self.answers
        effects, leads_to, idle = answers.effects[place], answers.leads_to[place], self._idle[place]
        count = len(answers.locals[place])
        before: list[list[int]] = [[] for _ in range(count)]
        for number, following in leads_to.items():
            for after in following:
                before[after].append(number)
        alive = [effects.get(number, 0) for number in range(count)]
        spread(alive, before, list(range(count)))
        for number in reversed(range(count)):  # the later first: they tell about the earlier ones
            if number % 16 == 0 and self.out_of_time():
                raise OutOfTime
            for after in leads_to.get(number, ()):
                alive[number] |= alive[after]
            unknown = addressed & ~alive[number] & ~idle.get(number, 0)
            while unknown:
                low = unknown & -unknown
                unknown ^= low
                if self._has_effect(place, number, low):
                    effects[number] = effects.get(number, 0) | low
                    alive[number] |= low
                else:
                    idle[number] = idle.get(number, 0) | low
        spread(alive, before, list(range(count)))
        return alive

    def _has_effect(self, place: int, number: int, bit: int) -> bool:
        answers = self.answers
        local = answers.locals[place][number]
        envelope = (bit.bit_length() - 1) // answers.packing.width
        source, _, message = answers.envelopes[envelope]
        return any(
            step.sends or step.events or not (step.state == local and same(step.state, local))
            for step in answers.behaviours[place].receive(local, source, message)
        )


def spread(alive: list[int], before: list[list[int]], changed: list[int]) -> None:
    """What is alive somewhere is alive before that, too."""
    while changed:
        number = changed.pop()
        here = alive[number]
        for earlier in before[number]:
            if here & ~alive[earlier]:
                alive[earlier] |= here
                changed.append(earlier)
