"""Random walks in several processes: each range of seeds is a search of its own.

As sweeps of simulations do, this scales by seeds, over the cores of a machine, and over machines
that are given other seeds. Every search has a model and a coverage of its own, so what it finds
depends on its seeds alone; of all that find something wrong the one with the lowest seeds is the
answer, however many processes there were.
"""

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor
from itertools import count
from time import monotonic
from typing import Any

import msgspec

from concur.errors import whole
from concur.parallel import in_processes
from concur.verify.budget import Budget, Progress, StoppedBy
from concur.verify.exploration import Exploration
from concur.verify.large.fingerprints import fingerprints
from concur.verify.large.parallel import PROCESSES_MAX, Make, follow
from concur.verify.model import Model
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.walks.walk import walk

WALKS_EACH = 100
"""Walks of one search: enough for coverage to lead somewhere."""
SEEDS_MAX = 10_000_000

Walker = Callable[[Model[Any], Budget, int, int], Exploration]
"""(model, budget, first seed, how many walks) -> what they found."""


def walk_from(model: Model[Any], budget: Budget, seed: int, walks: int) -> Exploration:
    """Walks with all that the model has to offer for them."""
    if isinstance(model, NodeSystem):
        return walk(
            model, budget, seed=seed, walks_max=walks,
            pick=model.pick, mood=model.mood, features=model.features,
        )  # fmt: skip
    return walk(model, budget, seed=seed, walks_max=walks)


class _Range(msgspec.Struct, frozen=True):
    make: Make
    walker: Walker
    seed: int
    walks: int
    budget: Budget
    until: float | None


class _Walked(msgspec.Struct, frozen=True):
    seed: int
    found: Exploration
    path: list[int]
    """Fingerprints of the states of the trace."""


def walk_many(
    make: Make,
    budget: Budget = Budget(),  # noqa: B008
    *,
    seed: int = 0,
    walks_max: int | None = None,
    walks_each: int = WALKS_EACH,
    processes: int = -1,
    walker: Walker = walk_from,
    progress: Callable[[Progress], None] | None = None,
    model: Model[Any] | None = None,
) -> Exploration:
    """Walks with seeds from `seed` on, in so many processes; -1 is one for each core.

    Each `walks_each` seeds are a search of their own, with a model and a coverage of its own. They
    are heard in the order of their seeds, and the first one that finds something wrong is the last
    one: so the answer does not depend on the number of processes, unless the time is what ends it.
    `unique_states` is a sum over searches that do not know of each other. `budget.bytes` is for
    each process. The trace is one of `model`, as `make` makes it; without it one is made. `walker`
    walks: in another process, so it is a function of a module.
    """
    whole("processes", processes if processes != -1 else 1, 1, PROCESSES_MAX)
    whole("walks_each", walks_each, 1, SEEDS_MAX)
    if walks_max is not None:
        whole("walks_max", walks_max, 0, SEEDS_MAX)
    model = make() if model is None else model
    begin = monotonic()
    until = None if budget.seconds is None else begin + budget.seconds
    last = None if walks_max is None else seed + walks_max
    firsts: Iterable[int] = (
        count(seed, walks_each) if last is None else range(seed, last, walks_each)
    )
    ranges = (
        _Range(
            make,
            walker,
            first,
            walks_each if last is None else min(walks_each, last - first),
            budget,
            until,
        )
        for first in firsts
    )
    searches = states = steps = depth = 0
    stopped_by: StoppedBy = ""
    wrong: _Walked | None = None
    stream = in_processes(_walk_range, ranges, processes, ordered=True)
    try:
        for walked in stream:
            found = walked.found
            searches += 1
            states += found.unique_states
            steps += found.transitions
            depth = max(depth, found.depth)
            if progress is not None:
                progress(Progress(states, steps, 0, depth, monotonic() - begin, "walks"))
            if found.verdict == "violated":
                wrong = walked
            stopped_by = found.stopped_by
            if not stopped_by and budget.states is not None and states > budget.states:
                stopped_by = "states"
            if wrong is not None or stopped_by:
                break
    except KeyboardInterrupt:
        stopped_by = "interrupted"
    except BrokenExecutor:  # joblib's TerminatedWorkerError is one
        stopped_by = "lost process"
    finally:
        with warnings.catch_warnings():  # joblib's, of searches that are not heard any more
            warnings.simplefilter("ignore", UserWarning)
            stream.close()
    why = "stopped at a violation" if wrong else f"stopped by {stopped_by or 'number'}"
    words = f"{searches:,} searches of at most {walks_each:,} random walks each from seed {seed}"
    return Exploration(
        model=model.name,
        strategy="walks",
        symmetry=False,
        unique_states=states,
        transitions=steps,
        depth=depth,
        exhausted=False,
        verdict="unknown" if wrong is None else "violated",
        property=wrong.found.property if wrong else "",
        reason=wrong.found.reason if wrong else "",
        trace=follow(model, wrong.path) if wrong else (),
        seconds=monotonic() - begin,
        stopped_by="" if wrong else stopped_by,
        covered=f"not exhausted ({why}): {words}, {states:,} states of {model.name}",
    )


def _walk_range(item: _Range) -> _Walked:
    budget = item.budget
    if item.until is not None:
        budget = msgspec.structs.replace(budget, seconds=max(item.until - monotonic(), 0.0))
    model = item.make()
    found = item.walker(model, budget, item.seed, item.walks)
    of = fingerprints(model).of
    path = [of(moment.state) for moment in found.trace]
    return _Walked(item.seed, msgspec.structs.replace(found, trace=()), path)
