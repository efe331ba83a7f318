"""What an exploration answers."""

import builtins
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from concur.errors import ConcurError
from concur.verify.budget import StoppedBy

Strategy = Literal["breadth-first", "depth-first", "deepening", "walks", "priorities"]


class Moment(NamedTuple):
    """One state of a trace, and what led to it ("" for the first)."""

    label: str
    state: Any


Trace = tuple[Moment, ...]


class Inconsistent(ConcurError):
    """What a model says of one state contradicts what it says elsewhere."""


class Exploration(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `explore`, complete or partial.

    `verdict` is "holds" only if every reachable state was seen, none was wrong and every claim of
    `sometimes` was met; "violated" says that `property` does not hold, why, and by which `trace`;
    else it is "unknown". `transitions` are the generated states, initial ones and repeated ones
    with them. `depth` is the number of steps to the farthest state that was seen: on shortest paths
    with breadth-first and deepening, on the paths taken with depth-first. `covered` is one
    sentence that claims no more than was done; `reductions` are those that were used. `examples`
    has a trace to each claim that was met.
    """

    model: str
    strategy: Strategy
    symmetry: bool
    unique_states: int
    transitions: int
    depth: int
    exhausted: bool
    verdict: Literal["holds", "violated", "unknown"]
    property: str = ""
    reason: str = ""
    trace: Trace = ()
    examples: Mapping[str, Trace] = {}
    seconds: float
    stopped_by: StoppedBy = ""
    missed_below: float = 0.0
    covered: str
    reductions: tuple[str, ...] = ()

    @builtins.property
    def states_per_second(self) -> float:
        return self.unique_states / self.seconds if self.seconds else 0.0
