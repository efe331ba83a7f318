"""What a checker may spend: seconds of wall time, and steps, which are the same everywhere."""

from time import perf_counter

CLOCK_STEPS = 256
"""The wall clock is read once in so many steps."""


class OutOfBudget(Exception):
    """Raised when steps or seconds run out; says which."""


class Undecided(Exception):
    """Raised by a checker that cannot tell; says why."""


class NotApplicable(Exception):
    """Raised by a checker for histories that its model says nothing about; says why."""


class Budget:
    """`spend` raises OutOfBudget past `steps_max` steps or `seconds` seconds."""

    __slots__ = ("_look", "deadline", "started", "steps", "steps_max")

    def __init__(self, seconds: float, steps_max: int) -> None:
        self.started = perf_counter()
        self.deadline = self.started + seconds
        self.steps = 0
        self.steps_max = steps_max
        self._look = CLOCK_STEPS

    def spend(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > self.steps_max:
            raise OutOfBudget("steps")
        if self.steps >= self._look:
            self._look = self.steps + CLOCK_STEPS
            if perf_counter() > self.deadline:
                raise OutOfBudget("seconds")

    def share(self, parts: int) -> "Budget":
        """One of so many parts of what is left; whoever asked adds the steps that it took."""
        return Budget(self.seconds_left / parts, self.steps_left // parts)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - perf_counter())

    @property
    def seconds_spent(self) -> float:
        return perf_counter() - self.started

    @property
    def steps_left(self) -> int:
        return max(0, self.steps_max - self.steps)
