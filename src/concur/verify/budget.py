"""How much an exploration may take, and what tells it in time that this is used up.

Seconds, states and bytes are looked at between states, and not at each: the `Meter` learns how many
states pass in a twentieth of a second and lets itself be asked after so many.
"""

import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Literal, NamedTuple

import msgspec

CHECK_EVERY_S = 0.05
"""How often the clock and the memory are looked at."""
SHOW_EVERY_S = 0.25
"""How often progress is told."""

StoppedBy = Literal["", "seconds", "states", "memory", "interrupted", "disk", "lost process"]


class Budget(msgspec.Struct, frozen=True):
    """Limits of one exploration; None is no limit.

    `seconds` of wall time; unique `states`, exceeded by the successors of one state at the most;
    `bytes` of memory of the whole process, exceeded by what a twentieth of a second takes, which is
    now and then the growth of the table of all states.
    """

    seconds: float | None = None
    states: int | None = None
    bytes: int | None = None


class Progress(NamedTuple):
    """How far an exploration has come; `queue` counts states whose successors are not known yet.

    `phase` is the strategy at work.
    """

    states: int
    transitions: int
    queue: int
    depth: int
    seconds: float
    phase: str = ""

    @property
    def states_per_second(self) -> float:
        return self.states / self.seconds if self.seconds else 0.0


class Meter:
    """Watches a budget. Ask `exceeded` once as many states are expanded as `ask_at` says."""

    def __init__(
        self, budget: Budget, progress: Callable[[Progress], None] | None, phase: str = ""
    ) -> None:
        self.budget = budget
        self.phase = phase
        self.begin = perf_counter()
        self.ask_at = 1
        self.states_max = sys.maxsize if budget.states is None else budget.states
        self._progress = progress
        self._checked_at = self._told_at = self.begin
        self._step = 1

    @property
    def seconds(self) -> float:
        return perf_counter() - self.begin

    @property
    def is_late(self) -> bool:
        """Whether the time is used up."""
        return self.budget.seconds is not None and self.seconds >= self.budget.seconds

    def exceeded(
        self, expanded: int, states: int, transitions: int, queue: int, depth: int
    ) -> StoppedBy:
        """What is used up, if anything; sets `ask_at`."""
        if states > self.states_max:
            return "states"
        now = perf_counter()
        took = now - self._checked_at
        if took < CHECK_EVERY_S / 2:
            self._step *= 2
        elif took > CHECK_EVERY_S:
            self._step = max(1, int(self._step * CHECK_EVERY_S / took))
        self._checked_at = now
        self.ask_at = expanded + self._step
        if self.budget.seconds is not None and now - self.begin >= self.budget.seconds:
            return "seconds"
        if self.budget.bytes is not None and memory_bytes() >= self.budget.bytes:
            return "memory"
        if self._progress is not None and now - self._told_at >= SHOW_EVERY_S:
            self._told_at = now
            seconds = now - self.begin
            self._progress(Progress(states, transitions, queue, depth, seconds, self.phase))
        return ""


def memory_bytes() -> int:
    """What this process occupies now; on systems that do not say, the most that it ever did."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
