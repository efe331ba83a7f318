"""Wall clocks in the model checker: what they may say is a choice, within bounds.

A clock says 0, 1, ... `most` ticks, and a tick is a second. Each reading is a branch: it may be any
number that the clock of this host has not passed, so clocks stand still (two readings tie, on one
host and on two), run, and leap ahead. A crash does not touch them. `jumps` (the fault "jump") says
that they may be set back.

* With no bound on the skew clocks know nothing of each other. That is what one may count on who
  reads `now` (CORE.md, 11): nothing at all. `interval()` then reaches over all times there are.
* With `skew` there is a true time, which passes from 0 to `most` in events of its own, and a clock
  is off by `skew` ticks at the most. `interval()` is as wide as that to both sides, so the true
  time always lies in it, and the intervals of two moments that are far enough apart do not overlap.

The true time is a bound that is used up, so that the steps of hosts, which are remembered for each
local state, need not have it in theirs: a step that looks at a clock has the true time among its
costs as a condition ("true time is 2"), and is no step at another time (`OnTime`). A place of its
own lets it pass.
"""

import msgspec

from concur.errors import BadInput, whole
from concur.node import SECOND
from concur.verify.bounds import BOUND_MAX
from concur.verify.engine.packing import Packing

TICK_NS = SECOND
TIME, JUMP = "time", "jump"
"""The bounds that are used up when true time passes, and when a clock is set back."""
AT = "true time is "
SAYS = "its clock says "
"""What the labels of steps say of readings, in order."""
NEEDS = ("synchronized_clock", "bounded_clock")
"""Tags of protocols that read clocks; those of the latter rely on the bound of `interval()`."""


class Clocks(msgspec.Struct, frozen=True):
    """What wall clocks may say. See the module's description."""

    most: int
    skew: int
    jumps: bool = False

    @classmethod
    def of(cls, clock_max: int, skew_max: int | None, jumps: int) -> "Clocks | None":
        """None: there are no wall clocks. Raises BadInput for bounds that bound nothing."""
        whole("clock_max", clock_max, 0, BOUND_MAX)
        if skew_max is not None:
            whole("skew_max", skew_max, 0, BOUND_MAX)
        if not clock_max and (jumps or skew_max is not None):
            what = "faults jump" if jumps else "skew_max"
            raise BadInput(f"{what}: there are no wall clocks; expected a clock_max of at least 1")
        if not clock_max:
            return None
        return cls(clock_max, clock_max if skew_max is None else skew_max, jumps > 0)

    @property
    def bounded(self) -> bool:
        """Whether there is a true time: else every clock is as far off as it can be."""
        return self.skew < self.most

    def times(self, last: int) -> range:
        """When it can be that a clock is read which said `last` before."""
        return range(0 if self.jumps else max(0, last - self.skew), self.most + 1)

    def readings(self, last: int, time: int) -> list[int]:
        """What a clock that said `last` before may say at a true time."""
        first = max(0, time - self.skew) if self.bounded else 0
        if not self.jumps:
            first = max(first, last)
        end = min(self.most, time + self.skew) if self.bounded else self.most
        return list(range(first, end + 1))


class OnTime(Packing):
    """A layout whose bound TIME counts down what is left of the true time."""

    @property
    def is_conditional(self) -> bool:
        return TIME in self.fields

    def price(self, costs: tuple[str, ...], state: int) -> int | None:
        if TIME in self.fields:
            time = self.bounds[TIME] - self.left(state)[TIME]
            if any(cost.startswith(AT) and cost != f"{AT}{time}" for cost in costs):
                return None
            costs = tuple(cost for cost in costs if not cost.startswith(AT))
        return super().price(costs, state)
