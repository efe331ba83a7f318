"""Whether every command is answered once faults stop: bounded response, with what it rests on.

    from concur.verify import Scenario
    from concur.verify.liveness.response import responds

    answer = responds(Scenario(protocol=Paxos(), clients=1, commands=1, faults="crash=1"))
    answer.verdict, answer.assumed, answer.span_s_max

**What is shown.** An asynchronous system need not answer at all, so a claim of liveness is about
what comes after: *faults stop, and from then on messages are quick*. It is shown in two parts.

1. All states within the bounds of a scenario are explored, as `explore` does: every order of
   messages, every ringing of timers, every crash that the bounds allow.
2. From each of them, faults stop. The hosts then are a clockwork (`liveness.aftermath`), which is
   wound in each of several ways, and runs until all commands are answered: those that were asked
   for, and those that clients still have in mind.

So "holds" means: from every state that was explored, under every schedule that `assumed` names,
every command is answered within `rings_max` rings of timers and `span_s_max` seconds of the hosts'
time, before its client gives up. It is said only if the first part was exhausted. It says nothing
about other bounds, nor about other schedules: those in which messages take as long as timers.

**What it rests on**, for the reader to accept:

* *Old messages.* When faults stop, nothing is on its way. No case is left out by that. Each message
  that was on its way has arrived, or never will. Where it arrives, and in which order, is explored
  by the first part, which goes through all states that come of it; in each of these the rest is
  lost. Where no message may be lost (`late_is_lost` off), only states are looked at in which no
  message that is on its way would have an effect.
* *Hosts that are down* stay down, if no more are down or have forgotten what they promised than the
  protocol bears (`crash_tolerance`). Where more are down, they must come up again, and the first
  part has explored the states in which they have; so such a state is no case of its own. Without a
  majority nobody is to answer.
* *Answers.* What ends an operation because a message arrived is an answer, also "no" and "nobody
  knows". A client that ends one when its own timer rings, other than with a result, has given up.
  How long it has waited before faults stopped counts: where the bounds let a client's timers ring
  so often that little is left until its deadline, the deadline is what fails.
* *Operators* give no orders any more. What they have ordered may go on.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from concur.base import Circumstances
from concur.errors import BadInput
from concur.node import SECOND
from concur.verify.budget import Budget, Progress, StoppedBy
from concur.verify.exploration import Strategy
from concur.verify.explore import explore
from concur.verify.liveness.aftermath import Aftermath, Calm, Schedule
from concur.verify.liveness.later import Numbering, Silent
from concur.verify.model import Model
from concur.verify.nodes.histories import Judge
from concur.verify.nodes.host import Host, HostState
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.nodes.stage import time_matters
from concur.verify.scenario import Scenario
from concur.verify.walks.walk import walk

RINGS_MAX = 2000
"""Rings of timers within which all must be answered. Clients give up long before."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What `responds` found out.

    `states` were explored, and `situations` are the different ones to begin with when faults stop;
    from each of them every one of the `schedules` was run. `rounds_max` rings of timers and
    `span_s_max` seconds of hosts' time are the most that any of these took until all was answered.
    `assumed` states the schedules in words.

    A violation is told by `trace`, up to the moment when faults stop, and `after`, from there on
    under `schedule`. If that comes back to where it was, `lasso` are the events that then repeat
    for ever, the last ones of `after`.
    """

    protocol: str
    verdict: Literal["holds", "violated", "unknown"]
    exhausted: bool
    property: str = ""
    reason: str = ""
    states: int
    transitions: int
    depth: int
    situations: int
    schedules: int
    rounds_max: int
    span_s_max: float
    seconds: float
    bounds: dict[str, Any]
    assumed: str
    covered: str
    stopped_by: StoppedBy = ""
    trace: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    lasso: tuple[str, ...] = ()
    schedule: str = ""

    def __str__(self) -> str:
        wrong = f": {self.property}: {self.reason}" if self.property else ""
        return f"{self.verdict}{wrong} ({self.covered}; {self.seconds:.1f} s)"


def responds(
    scenario: Scenario,
    *,
    strategy: Strategy = "breadth-first",
    seed: int = 0,
    budget: Budget = Budget(60.0),  # noqa: B008
    rings_max: int = RINGS_MAX,
    progress: Callable[[Progress], None] | None = None,
) -> Response:
    """Whether every command is answered once faults stop, from every state of `scenario`.

    The module says what that means, and `Response` what is told. `rings_max` bounds how long it may
    take. With strategy "walks", beginnings are met on random walks from `seed` on, which finds
    violations in large spaces and proves nothing. Reductions that leave out states are not for
    this: every state is a beginning.

    Raises BadInput for what cannot be checked, as `verify` does; so far also for wall clocks.
    """
    if scenario.clock_max:
        raise BadInput(
            "responds: expected clock_max 0, for once faults stop wall clocks are not modelled"
        )
    judged = Responding(scenario, rings_max)
    if strategy == "walks":
        system = judged.system
        found = walk(
            judged,
            budget,
            seed=seed,
            pick=system.pick,
            mood=system.mood,
            features=system.features,
            progress=progress,
        )
    else:
        found = explore(judged, strategy, budget, symmetry=False, progress=progress)
    after: list[str] = []
    lasso: tuple[str, ...] = ()
    schedule = ""
    if judged.failed is not None:
        states, aftermath = judged.failed
        told = aftermath.run(states, after)
        assert isinstance(told, Silent)
        schedule = judged.words(aftermath.schedule)
        if told.lasso is not None:
            lasso = tuple(after[told.lasso :])
    most = judged.most
    covered = found.covered
    if found.verdict != "violated":
        covered += (
            f"; from {len(judged.responded):,} situations under {len(judged.aftermaths)} schedules "
            f"all was answered within at most {most.rings} rings, {most.span_ns / SECOND:.3f} s"
        )
    return Response(
        protocol=scenario.protocol.label,
        verdict=found.verdict,
        exhausted=found.exhausted,
        property=found.property,
        reason=found.reason,
        states=found.unique_states,
        transitions=found.transitions,
        depth=found.depth,
        situations=len(judged.responded),
        schedules=len(judged.aftermaths),
        rounds_max=most.rings,
        span_s_max=most.span_ns / SECOND,
        seconds=found.seconds,
        bounds=scenario.bounds(),
        assumed=judged.assumed(),
        covered=covered,
        stopped_by=found.stopped_by,
        trace=tuple(moment.label for moment in found.trace if moment.label),
        after=tuple(after),
        lasso=lasso,
        schedule=schedule,
    )


class Responding(Model[int]):
    """A scenario's system, in which a state is broken if not all is answered from there on."""

    def __init__(self, scenario: Scenario, rings_max: int = RINGS_MAX) -> None:
        self.scenario = scenario
        self.system = timed(scenario.system())
        self.name = self.system.name
        judge = self.system.observer
        assert isinstance(judge, Judge)
        self.tolerance = judge.forget_max
        self.hosts = [host for host in self.system.behaviours if isinstance(host, Host)]
        numbering = Numbering(self.hosts)
        self.aftermaths = [
            Aftermath(numbering, schedule, rings_max) for schedule in schedules(self.hosts)
        ]
        self.responded: set[tuple[int, ...]] = set()
        """The local states of all hosts, from which all is answered."""
        self.most = Calm(0, 0)
        self.failed: tuple[tuple[HostState, ...], Aftermath] | None = None

    def initial(self) -> Iterable[int]:
        return self.system.initial()

    def successors(self, state: int) -> list[int]:
        return self.system.successors(state)

    def steps(self, state: int) -> Iterable[tuple[str, int]]:
        return self.system.steps(state)

    def show(self, state: int) -> str:
        return self.system.show(state)

    def broken(self, state: int) -> tuple[str, str] | None:
        wrong = self.system.broken(state)
        if wrong is not None:
            return wrong
        situation = self.system.situation(state)
        if situation in self.responded or not self._begins(state):
            return None
        states = self.system.parts(state).locals
        if not self._enough(state, states):
            return None
        rings, span_ns = self.most
        for aftermath in self.aftermaths:
            came = aftermath.run(states)
            if isinstance(came, Silent):
                self.failed = states, aftermath
                return came.property, f"{came.why} ({self.words(aftermath.schedule)})"
            rings, span_ns = max(rings, came.rings), max(span_ns, came.span_ns)
        self.most = Calm(rings, span_ns)
        self.responded.add(situation)
        return None

    def _begins(self, state: int) -> bool:
        """Whether all that is on its way may be lost, or would change nothing."""
        if self.scenario.late_is_lost:
            return True
        return all(action.kind != "receive" for action, _ in self.system.actions(state))

    def _enough(self, state: int, states: Sequence[HostState]) -> bool:
        """Whether enough hosts are up, and know what they promised."""
        observed = self.system.observed(state)
        down = {host.name for host, local in zip(self.hosts, states, strict=True) if local.down}
        return not observed.over and len(down | set(observed.forgotten)) <= self.tolerance

    # --- for people -------------------------------------------------------------------------------

    def words(self, schedule: Schedule) -> str:
        return (
            f"{self.hosts[schedule.first].name} first, "
            f"timers {'overdue' if schedule.overdue else 'as armed'}, "
            f"{'newest' if schedule.newest_first else 'oldest'} message first"
        )

    def assumed(self) -> str:
        first = ", ".join(dict.fromkeys(self.hosts[a.schedule.first].name for a in self.aftermaths))
        return (
            "faults have stopped; old messages have arrived or are lost; hosts that are down stay "
            f"down if at most {self.tolerance}; messages take no time compared with timers and "
            "arrive oldest first, or newest first; clocks run at one rate; timers ring when they "
            "are due, those armed before at their time, or those of servers at once; the quickest "
            f"to time out is each of {first}, the others in turn"
        )


def timed(system: NodeSystem) -> NodeSystem:
    """A system that nothing was asked of yet, with states that tell how long armed timers take."""
    for host in system.behaviours:
        assert isinstance(host, Host)
        rules = msgspec.structs.replace(host.cast.rules, durations=True)
        host.cast = cast = msgspec.structs.replace(host.cast, rules=rules)
        world = Circumstances(  # in the end all timers ring
            config=cast.config, orders=cast.orders, wipes="wipe" in cast.rules.faults
        )
        host.tells_time = tuple(
            time_matters(role.node) and cast.protocol.tells_time(role, world)
            for _, role in host.seats
        )
    return system


def schedules(hosts: Sequence[Host]) -> list[Schedule]:
    """Each server first; timers overdue or as armed; the oldest message first, or the newest."""
    return [
        Schedule(place, overdue, newest_first)
        for place, host in enumerate(hosts)
        if host.may_crash
        for overdue in (False, True)
        for newest_first in (False, True)
    ]
