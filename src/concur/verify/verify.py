"""`verify`: the model checker on a protocol of the house, or on yours.

    from concur.verify import verify

    answer = verify("paxos", replicas=3, clients=2, commands=2, faults="crash=1", timeouts_max=2)
    answer.verdict, answer.bounds, answer.unique_states

The answer "holds" is about the bounds that it names, and about nothing beyond.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from concur.base import Protocol
from concur.machines import Machine
from concur.properties import STANDARD, Property
from concur.protocols import protocol as protocol_named
from concur.verify.budget import Budget, Progress, StoppedBy
from concur.verify.exploration import Exploration, Moment
from concur.verify.explore import explore
from concur.verify.scenario import Scenario
from concur.verify.walks import walk

WALKS_SHARE = 0.1
"""Of the time, for random walks before the search that may prove something."""

Attack = Literal["walks first", "walks", "breadth-first", "depth-first", "deepening"]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found out, and within which bounds.

    `verdict` is "holds" only if all is exhausted. `trace` tells, step by step, how `property`
    breaks; `moments` are its states, for `system`. `local_states` counts what each host can be in,
    `histories` what clients and observers can have seen: that tells what makes a space large.
    """

    protocol: str
    verdict: Literal["holds", "violated", "unknown"]
    exhausted: bool
    unique_states: int
    transitions: int
    depth: int
    seconds: float
    bounds: dict[str, Any]
    covered: str
    strategy: str
    property: str = ""
    reason: str = ""
    trace: tuple[str, ...] = ()
    stopped_by: StoppedBy = ""
    local_states: dict[str, int] = {}
    histories: int = 0
    moments: tuple[Moment, ...] = ()

    def __str__(self) -> str:
        wrong = f": {self.property}: {self.reason}" if self.property else ""
        return f"{self.verdict}{wrong} ({self.covered}; {self.seconds:.1f} s)"


def verify(
    protocol: "Protocol | type[Protocol] | str",
    *,
    replicas: int = 3,
    clients: int = 2,
    commands: "int | Sequence[Sequence[Any]] | None" = None,
    machine: "Machine[Any, Any] | str" = "kv",
    faults: "str | Mapping[str, int]" = "",
    timeouts_max: "int | str | Mapping[str, int]" = 2,
    ticks_max: int = 0,
    turns: bool = False,
    late_is_lost: bool = True,
    properties: tuple[Property, ...] = STANDARD,
    strategy: Attack = "walks first",
    budget_s: float | None = 60.0,
    states_max: int | None = None,
    bytes_max: int | None = None,
    seed: int = 0,
    copies_max: int = 3,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Explore every order of messages, timeouts and faults of a protocol, within bounds.

    `protocol` is an instance with its parameters, a class, or a name; `replicas` to `copies_max`
    say which runs there are to explore (`Scenario`). The budget is in seconds, in different states,
    and in bytes of the whole process; None is no limit. `seed` is that of the first walk.

    Raises BadInput for what cannot be checked: wall clocks, leases, streams.
    """
    scenario = Scenario(
        protocol=_described(protocol),
        replicas=replicas,
        clients=clients,
        commands=commands,
        machine=machine,
        faults=faults,
        timeouts_max=timeouts_max,
        ticks_max=ticks_max,
        turns=turns,
        late_is_lost=late_is_lost,
        properties=properties,
        copies_max=copies_max,
    )
    return verify_scenario(
        scenario,
        strategy=strategy,
        budget=Budget(budget_s, states_max, bytes_max),
        seed=seed,
        progress=progress,
    )


def verify_scenario(
    scenario: Scenario,
    *,
    strategy: Attack = "walks first",
    budget: Budget = Budget(60.0),  # noqa: B008
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """`verify` for bounds that have a name already."""
    system, budget_s = scenario.system(), budget.seconds
    found: Exploration | None = None
    if strategy in ("walks", "walks first"):
        first = budget
        if strategy == "walks first" and budget_s is not None:
            first = msgspec.structs.replace(budget, seconds=budget_s * WALKS_SHARE)
        walks_max = None if budget_s is not None or strategy == "walks" else 1000
        found = walk(
            system,
            first,
            seed=seed,
            walks_max=walks_max,
            pick=system.pick,
            mood=system.mood,
            features=system.features,
            progress=progress,
        )
    done = found is not None and (found.verdict == "violated" or found.stopped_by == "interrupted")
    walked = found.seconds if found is not None else 0.0
    if found is None or (strategy == "walks first" and not done):
        left = None if budget_s is None else max(budget_s - walked, 0.0)
        search = "breadth-first" if strategy == "walks first" else strategy
        assert search != "walks"
        found = explore(
            system, search, msgspec.structs.replace(budget, seconds=left), progress=progress
        )
    return Verification(
        protocol=scenario.protocol.label,
        verdict=found.verdict,
        exhausted=found.exhausted,
        unique_states=found.unique_states,
        transitions=found.transitions,
        depth=found.depth,
        seconds=found.seconds + (walked if found.strategy != "walks" else 0.0),
        bounds=scenario.bounds(),
        covered=found.covered,
        strategy=found.strategy,
        property=found.property,
        reason=found.reason,
        trace=tuple(moment.label for moment in found.trace if moment.label),
        stopped_by=found.stopped_by,
        local_states=system.local_states(),
        histories=system.histories(),
        moments=found.trace,
    )


def _described(protocol: "Protocol | type[Protocol] | str") -> Protocol:
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    return protocol() if isinstance(protocol, type) else protocol
