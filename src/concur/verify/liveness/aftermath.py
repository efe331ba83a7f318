"""What becomes of hosts once faults have stopped and messages are quick: one run, told exactly.

After a fault-free moment a system of nodes is a clockwork. Here it is wound by a `Schedule`:

* **Messages take no time** compared with any timer, and none is lost or doubled. All that are on
  their way arrive, and those that are sent in consequence, before anything else happens: the oldest
  first, or the newest first. To a host that is down, nothing arrives. When nothing is on its way,
  the hosts do what is left to do by themselves (hear a neighbour on the same host, end a turn, save
  a snapshot), and clients with nothing under way ask for their next command.
* **All clocks run at one rate**, and timers ring when they are due. Of those that are due together,
  the ones of the first host ring first, then those of the next, and at one host by name. The first
  host is `first`, which is followed by the other servers in turn, then by clients.
* **Timers that are armed in the beginning** are due when they say, or, with `overdue`, at once: at
  all servers, for asynchrony may have lasted as long as one likes. Clients are never overdue, for
  one that has slept through its deadline has given up with good reason.
* **Jitter**: servers draw evenly spaced values, `first` the least and the last one the most, always
  the same; clients draw the least. So each server is once the quickest, and none is twice in a tie.
* **Choices** (`Node.choose`) take each option in turn.

Between two rings nothing is on its way, so the state is but the hosts' local states. It moves from
one *rest* to the next, and runs that meet in a rest go on together: each rest is left once.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from concur.node import SECOND
from concur.verify.liveness.later import (
    ANSWERED,
    ASKS,
    RING,
    Armed,
    Local,
    Numbering,
    Silent,
    in_order,
)
from concur.verify.nodes.clients import ClientHost
from concur.verify.nodes.host import HostState, TimerKey

EVENTS_MAX = 10_000
"""Between two rings. Messages that go on for longer never come to rest."""

Rest = tuple[int, ...]
"""The number of each host's local state, and how many choices were made."""


class Schedule(msgspec.Struct, frozen=True, array_like=True):
    """Which of the runs: see above. `first` is a place."""

    first: int
    overdue: bool
    newest_first: bool


class Calm(NamedTuple):
    """Every command was answered: after so many rings and nanoseconds."""

    rings: int
    span_ns: int


class Happened(NamedTuple):
    """The same at a host with its times: the number of its next local state."""

    local: int
    sends: tuple[int, ...]
    choices: int
    wrong: Silent | None


class Aftermath:
    """The runs of hosts under one schedule; all schedules of a system share `numbering`."""

    def __init__(self, numbering: Numbering, schedule: Schedule, rings_max: int) -> None:
        self.numbering = numbering
        self.hosts = hosts = numbering.hosts
        self.schedule = schedule
        self.rings_max = rings_max
        servers = [place for place, host in enumerate(hosts) if host.may_crash]
        at = servers.index(schedule.first)
        turn = [*servers[at:], *servers[:at]]
        self.order = [*turn, *(place for place in range(len(hosts)) if place not in turn)]
        last = max(len(turn) - 1, 1)
        self.ranks = [
            (turn.index(place) if place in turn else 0, last) for place in range(len(hosts))
        ]
        self.known: dict[Rest, Calm] = {}
        self.story: list[str] | None = None
        self._happened: list[dict[tuple[int, Any, int], Happened]] = [{} for _ in hosts]

    # --- runs -------------------------------------------------------------------------------------

    def run(self, states: Sequence[HostState], story: list[str] | None = None) -> Calm | Silent:
        """What becomes of hosts in these states, with nothing on its way. A `story`, if any, is
        told event by event, all from the beginning."""
        self.story = story
        known = self.known if story is None else {}
        begin = [
            self.numbering.begin(
                place, state, self.schedule.overdue and self.hosts[place].may_crash
            )
            for place, state in enumerate(states)
        ]
        path: list[tuple[Rest, int]] = []
        visited: dict[Rest, tuple[int, int]] = {}
        span_ns = 0
        rest, wrong = self._settle([*begin, 0], deque())
        while wrong is None and rest not in known:
            if self._all_answered(rest):
                known[rest] = Calm(0, 0)
                break
            if rest in visited:
                since, told = visited[rest]
                wrong = Silent(
                    ANSWERED,
                    f"{len(path) - since} timers ring, and all is as it was before: for ever",
                    told,
                )
                break
            if len(path) >= self.rings_max:
                wrong = self._too_late(len(path), span_ns)
                break
            visited[rest] = len(path), len(story or ())
            before = rest
            rest, after_ns, wrong = self._ring(rest, span_ns)
            span_ns += after_ns
            path.append((before, after_ns))
        if wrong is not None:
            return wrong
        rings, left_ns = known[rest]
        for before, after_ns in reversed(path):
            rings, left_ns = rings + 1, left_ns + after_ns
            known[before] = Calm(rings, left_ns)
        if rings > self.rings_max:
            return self._too_late(rings, left_ns)
        return Calm(rings, left_ns)

    def _too_late(self, rings: int, span_ns: int) -> Silent:
        why = f"not within {self.rings_max} rings of timers, {words_of_time(span_ns)}"
        return Silent(ANSWERED, why)

    def _all_answered(self, rest: Rest) -> bool:
        return all(
            not state.waits and state.asked == len(host.bodies)
            for place, host in enumerate(self.hosts)
            if isinstance(host, ClientHost) and (state := self.numbering.state(place, rest[place]))
        )

    # --- from one rest to the next ----------------------------------------------------------------

    def _ring(self, rest: Rest, so_far_ns: int) -> tuple[Rest, int, Silent | None]:
        """The next timer rings, and what it sets off comes to an end."""
        numbering = self.numbering
        after_ns, ringing = -1, 0
        for place in self.order:
            timers = numbering.locals[place][rest[place]].timers
            if timers and (after_ns < 0 or timers[0][1] < after_ns):
                after_ns, ringing = timers[0][1], place
        if after_ns < 0:
            why = "no timer is armed and no message is on its way: nothing happens any more"
            return rest, 0, Silent(ANSWERED, why, len(self.story or ()))
        place = ringing
        locals = list(rest)
        if after_ns:
            for host in self.order:
                locals[host] = numbering.later(host, rest[host], after_ns)
        at, key = numbering.locals[place][locals[place]].timers[0][0]
        if self.story is not None:
            name = self.hosts[place].seats[at][0]
            when = words_of_time(so_far_ns + after_ns)
            self.story.append(f"{name}: timer {words_of_timer(key)} rings after {when}")
        mail: deque[int] = deque()
        wrong = self._happen(place, locals, mail, (RING, at, key))
        if wrong is not None:
            return rest, after_ns, wrong
        settled, wrong = self._settle(locals, mail)
        return settled, after_ns, wrong

    def _settle(self, locals: list[int], mail: deque[int]) -> tuple[Rest, Silent | None]:
        """All messages arrive, and hosts do what they have to do by themselves."""
        numbering = self.numbering
        for _ in range(EVENTS_MAX):
            if mail:
                number = mail.pop() if self.schedule.newest_first else mail.popleft()
                place = numbering.mail[number][1]
                if numbering.state(place, locals[place]).down:
                    continue
                event: Any = number
            else:
                for place in self.order:
                    event = numbering.chore(place, locals[place])
                    if event is not None:
                        break
                else:
                    return tuple(locals), None
            if self.story is not None:
                self.story.append(self._words(place, event))
            wrong = self._happen(place, locals, mail, event)
            if wrong is not None:
                return tuple(locals), wrong
        why = f"{EVENTS_MAX} messages in a row, and they go on without a timer"
        return tuple(locals), Silent(ANSWERED, why)

    def _happen(self, place: int, locals: list[int], mail: deque[int], event: Any) -> Silent | None:
        question = locals[place], event, locals[-1]
        happened = self._happened[place].get(question)
        if happened is None:
            happened = self._happened[place][question] = self._timed(place, *question)
        locals[place], locals[-1] = happened.local, happened.choices
        mail.extend(happened.sends)
        return happened.wrong

    # --- one host ---------------------------------------------------------------------------------

    def _timed(self, place: int, local: int, event: Any, choices: int) -> Happened:
        """What an event comes to at a host with its times."""
        core, uptimes, timers = self.numbering.locals[place][local]
        question = place, core, event, choices
        answer = self.numbering.answer(question, uptimes, self.ranks[place])
        armed: dict[Armed, int] = dict(timers)
        if type(event) is tuple and event[0] == RING:
            del armed[event[1:]]
        for timer, wait in answer.timers:
            if wait is None:
                armed.pop(timer, None)
            else:
                armed[timer] = wait
        after = Local(answer.core, uptimes, in_order(armed.items()))
        number = self.numbering.local(place, after)
        return Happened(number, answer.sends, answer.choices, answer.wrong)

    def _words(self, place: int, event: Any) -> str:
        host = self.hosts[place]
        if isinstance(event, int):
            source, _, packet = self.numbering.mail[event]
            return f"{self.hosts[source].name} -> {host.name}: {packet}"
        if event[0] == ASKS:
            return f"{host.name}: asks for its command {event[1]}"
        return f"{host.name}: {event[0]}"


def words_of_time(span_ns: int) -> str:
    return f"{span_ns / SECOND:.3f} s"


def words_of_timer(key: TimerKey) -> str:
    path, name = key
    words = name if isinstance(name, str) else " ".join(map(str, name))
    return f"{path}/{words}" if path else words
