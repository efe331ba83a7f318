"""What hosts do once faults have stopped: single steps, remembered for all runs (`aftermath`).

The state of a host is kept in two parts. Its *core* is all that does not change as time passes; the
rest are its uptimes, and its timers with the time that they still have to go. What an event comes
to depends on the core, seldom on the uptime or on jitter, and never on timers. So it is found out
once for each core, and for each time and jitter only where somebody looked.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from concur.effects import CancelTimer, Complete, Deliver, Effect, Invoke, Ok, SetTimer, Timer
from concur.verify.engine.behaviour import Step
from concur.verify.engine.interning import Numbers
from concur.verify.nodes.clients import ClientHost
from concur.verify.nodes.host import Host, HostState, TimerKey
from concur.verify.nodes.stage import Fact, Packet, Seated, Stage, Wrong

ANSWERED = "every_command_is_answered"
"""The property that is judged here."""

CHOICES = 60
"""Choices are counted modulo this, which every number of options up to 6 divides."""
NUMBERS_MAX = 1 << 24


class Silent(NamedTuple):
    """`property` does not hold, and why. From event `lasso` of the story on it goes round for
    ever; None if the story ends (or goes on) otherwise."""

    property: str
    why: str
    lasso: int | None = None


class Local(NamedTuple):
    """What a host is in. `core` is the number of its `HostState` without times, `uptimes` are those
    of its seats (0 where nobody looks), `timers` what is armed and in how many nanoseconds it is
    due, the next one first."""

    core: int
    uptimes: tuple[int, ...]
    timers: tuple[tuple["Armed", int], ...]


Armed = tuple[int, TimerKey]
"""A timer of a host: its seat and its name."""


Question = tuple[int, int, Any, int]
"""A place, the number of its core, what happens, and how many choices were made before."""


class Answer(NamedTuple):
    """What one event at one host came to. `timers` were set, or cancelled (None)."""

    core: int
    timers: tuple[tuple[Armed, int | None], ...]
    sends: tuple[int, ...]
    choices: int
    wrong: Silent | None


class Numbering:
    """Numbers for what the runs of all schedules have in common: the cores of each place, the local
    states, and envelopes."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = hosts
        self.cores = [Numbers(f"later states of {host.name}", NUMBERS_MAX) for host in hosts]
        self.mail = Numbers("later envelopes", NUMBERS_MAX)
        self.locals: list[list[Local]] = [[] for _ in hosts]
        self._known: list[dict[Local, int]] = [{} for _ in hosts]
        self._later: list[dict[tuple[int, int], int]] = [{} for _ in hosts]
        self._chores: list[dict[int, Chore | None]] = [{} for _ in hosts]
        self._begun: dict[tuple[int, int, bool], tuple[int, HostState]] = {}
        self._needs: dict[Question, tuple[bool, bool]] = {}
        self._answers: dict[tuple[Question, Any, Any], Answer] = {}

    def local(self, place: int, local: Local) -> int:
        known = self._known[place]
        number = known.get(local)
        if number is None:
            number = known[local] = len(known)
            self.locals[place].append(local)
        return number

    def state(self, place: int, number: int) -> HostState:
        """The state of a host without its times."""
        state: HostState = self.cores[place][self.locals[place][number].core]
        return state

    def begin(self, place: int, state: HostState, overdue: bool) -> int:
        """The number of a host's state when faults stop."""
        # States of a system are one object each, however many situations they are part of.
        known = self._begun.get((place, id(state), overdue))
        if known is None:
            number = self._begin(place, state, overdue)
            known = self._begun[place, id(state), overdue] = number, state
        return known[0]

    def _begin(self, place: int, state: HostState, overdue: bool) -> int:
        tells = self.hosts[place].tells_time
        uptimes, timers, seats = [], [], []
        for at, seat in enumerate(state.seats):
            last = max([seat.uptime, *(due for _, due in seat.timers)]) if overdue else seat.uptime
            uptimes.append(last if tells[at] else 0)
            for key, due in seat.timers:
                timers.append(((at, key), 0 if overdue else max(due - seat.uptime, 0)))
            seats.append(msgspec.structs.replace(seat, timers=(), uptime=0))
        core = self.cores[place].number(msgspec.structs.replace(state, seats=tuple(seats)))
        return self.local(place, Local(core, tuple(uptimes), in_order(timers)))

    def answer(self, question: Question, uptimes: tuple[int, ...], rank: tuple[int, int]) -> Answer:
        """What an event comes to at a host without its times.

        Most steps look neither at the time nor at their jitter, and come to the same always.
        """
        needs = self._needs.get(question, (False, False))
        key = question, uptimes if needs[0] else None, rank if needs[1] else None
        answer = self._answers.get(key)
        if answer is None:
            answer, reads_time, draws = self._ask(question, uptimes, rank)
            needs = needs[0] or reads_time, needs[1] or draws
            self._needs[question] = needs
            key = question, uptimes if needs[0] else None, rank if needs[1] else None
            self._answers[key] = answer
        return answer

    def _ask(
        self, question: Question, uptimes: tuple[int, ...], rank: tuple[int, int]
    ) -> tuple[Answer, bool, bool]:
        place, core, event, choices = question
        host = self.hosts[place]
        state: HostState = self.cores[place][core]
        rings = False
        if isinstance(event, int):
            packet: Packet = self.mail[event][2]
            root, _, path = packet.to.partition("/")
            heard = Deliver(packet.source, packet.message, path)
            act: Callable[[Stage], None] = _stepping(host.cast.places[root][1], heard)
        elif event[0] == RING:
            rings = True
            at, (path, name) = event[1:]
            act = _stepping(at, Timer(name, path))
        elif event[0] == ASKS:
            assert isinstance(host, ClientHost)
            state = msgspec.structs.replace(state, asked=state.asked + 1, waits=True)
            act = _stepping(0, Invoke(state.asked, host.bodies[state.asked - 1]))
        else:
            act = CHORES[event[0]](event[1])
        stage = Calmly(host, state, rank, choices, uptimes)
        act(stage)
        step = stage.outcome()
        answer = Answer(
            self.cores[place].number(step.state),
            tuple(stage.changed.items()),
            tuple([self.mail.number((place, to, packet)) for to, packet in step.sends]),
            stage.choices % CHOICES,
            what_is_wrong(host, step, rings),
        )
        return answer, stage.reads_time, stage.draws

    def later(self, place: int, number: int, after_ns: int) -> int:
        """The number of a host's state so much later, with nothing having happened."""
        known = self._later[place]
        later = known.get((number, after_ns))
        if later is None:
            core, uptimes, timers = self.locals[place][number]
            if not self.state(place, number).down:
                tells = self.hosts[place].tells_time
                uptimes = tuple(
                    [u + after_ns if t else u for u, t in zip(uptimes, tells, strict=True)]
                )
                timers = tuple([(timer, wait - after_ns) for timer, wait in timers])
            later = known[number, after_ns] = self.local(place, Local(core, uptimes, timers))
        return later

    def chore(self, place: int, number: int) -> "Chore | None":
        """What a host has to do by itself before time passes."""
        core = self.locals[place][number].core
        known = self._chores[place]
        if core not in known:
            known[core] = chore(self.hosts[place], self.cores[place][core])
        return known[core]


def what_is_wrong(host: Host, step: Step, rings: bool) -> Silent | None:
    for fact in step.events:
        if isinstance(fact, Wrong):
            return Silent(fact.property, fact.why)
        if not rings or not isinstance(host, ClientHost) or not isinstance(fact, Fact):
            continue
        # Any answer that a message brings will do. To give up because of one's own timer will not,
        # whatever one says then.
        ended = fact.what
        if isinstance(ended, Complete) and type(ended.outcome) is not Ok:
            why = f"{fact.node} gives up on its command {ended.op}: {ended.outcome}"
            return Silent(ANSWERED, why)
    return None


Chore = tuple[str, int]
RING, ASKS = "rings", "asks"

CHORES: dict[str, Callable[[int], Callable[[Stage], None]]] = {
    "hears its neighbour": lambda at: Stage.hear_neighbour,
    "snapshot saved": lambda at: lambda stage: stage.snapshot_saved(at),
    "turn ends": lambda at: lambda stage: stage.end_turn(at),
}


def chore(host: Host, state: HostState) -> Chore | None:
    """What a host has to do by itself before time passes."""
    if state.down:
        return None
    if state.inbox:
        return "hears its neighbour", 0
    for at, seat in enumerate(state.seats):
        if seat.turn:
            return "turn ends", at
        if seat.saving:
            return "snapshot saved", at
    if isinstance(host, ClientHost) and not state.waits and state.asked < len(host.bodies):
        return ASKS, state.asked + 1
    return None


class Calmly(Stage):
    """A step with the jitter of its host, choices in turn, and the time when it is taken. It notes
    which timers are `changed`, and whether somebody looked at the time or drew jitter. `rank` is
    that of the host among those that draw: (0, 2) is the least of three."""

    def __init__(
        self,
        host: Host,
        state: HostState,
        rank: tuple[int, int],
        choices: int,
        uptimes: tuple[int, ...],
    ) -> None:
        super().__init__(host, state, [])
        self.rank = rank
        self.choices = choices
        self.uptimes = uptimes
        self.reads_time = self.draws = False
        self.changed: dict[Armed, int | None] = {}
        self.seats: list[Seated] = [
            SeatedCalmly(self, at, seat) for at, seat in enumerate(state.seats)
        ]


class SeatedCalmly(Seated):
    stage: Calmly

    def uptime(self) -> int:
        super().uptime()
        self.stage.reads_time = True
        return self.stage.uptimes[self.at]

    def jitter(self, low_ns: int, high_ns: int) -> int:
        self.stage.draws = True
        rank, last = self.stage.rank
        return low_ns + (high_ns - low_ns) * rank // last

    def choose(self, options: int) -> int:
        self.stage.choices += 1
        return self.stage.choices % options

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, SetTimer):
            armed = self.at, (effect.path, effect.name)
            self.stage.changed[armed] = max(effect.after_ns, 0)
        elif isinstance(effect, CancelTimer):
            self.stage.changed[self.at, (effect.path, effect.name)] = None
        else:
            super()._carry_out(effect)


def in_order(timers: Iterable[tuple[Armed, int]]) -> tuple[tuple[Armed, int], ...]:
    """The next one to ring first; of those that are due together, by name."""
    found = list(timers)
    if len(found) > 1:
        found.sort(key=lambda timer: (timer[1], timer[0][0], repr(timer[0][1])))
    return tuple(found)


def _stepping(at: int, event: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.step(at, event)
