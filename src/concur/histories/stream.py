"""Linearizability of a history while it is read: as much memory as is open, however long it is.

Where no operation on an object is open, all that the future can know of its past is the states in
which the past can have ended. So the operations on each object are kept until such a *quiescent
point*; then all its possible states are computed, and the operations are forgotten. Herlihy and
Wing's locality ("Linearizability: a correctness condition for concurrent objects", TOPLAS 12(3),
1990, theorem 1) lets us do so object by object, each at its own points.

What is computed there, and why it is not too much, is said in `concur.histories.ends`. What has no
outcome may take effect at any later time, so it stays with its object until it must have. Where
there are too many ways in which it may have, `ends` are more states than there are, and `sure` are
some of them: if nothing is left of the former the history is wrong, if something is left of the
latter in every object it is right, and else nobody knows.

**What it costs.** Linear in the history, times the configurations, which are few as long as few
operations overlap; they are bounded by a budget, after which the object is undecided. An object
that is never quiet (or not long enough for a piece to fill up) is not cut at all; nor is one
that could be in too many states, like a queue into which many put at once. So one operation that
has neither an outcome nor an `info` keeps its object whole. At the end `check` gets it, with all
its algorithms. Then memory grows with that object. Else it holds KEPT_MAX operations, those without
an outcome, and for each object that is not as it was at first its states: about a kilobyte.

**Traps.** Events at the same time are concurrent, so a piece ends only if the next call is strictly
later than every return. Events may come a little out of order: so many are held back and sorted.
What comes later than that is refused, also if the history is wrong without it: so all of it is
read. If two processes both return and call again in the same instant, locality fails
(`concur.histories.timeline`): then `ends` are those that the loose order allows, and no less; what
is wrong for them is wrong. `sure` are those that the strict order allows, which is one for all
objects; if every object has one, the history is right. And an operation that touches all objects,
like a scan, joins them, which is too late once one has been cut.
"""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from concur.errors import BadInput
from concur.histories.admission import Admitted, admitted_events, dropped
from concur.histories.check import STEPS_MAX, check
from concur.histories.ends import (
    OutOfBudget,
    States,
    TooMany,
    Walk,
    Wrong,
)
from concur.histories.explain import phrase
from concur.histories.formats.reading import history_of
from concur.histories.history import Event, History, Operation
from concur.histories.identity import identity
from concur.histories.models import model
from concur.histories.specification import Specification
from concur.histories.timeline import NEVER, Timeline, loose
from concur.histories.verdict import Valid, Verdict

PIECE_MIN = 256
"""Operations of an object that are kept at least before it is cut: a cut costs a little."""
LATE_MAX = 4096
"""An event may come so many others too late; several threads that write down what they do are never
quite in order of time. With more disorder the history is refused."""
KEPT_MAX = 1_000_000
"""Operations that are kept in all, about 500 MB; with more, every quiet object is cut."""
CONFIGS_MAX = 512
"""With more on the way or at the end of a piece, the object is not cut there."""
LONG_AGO = -(1 << 63)
"""No event is earlier."""
EASY_S = 0.0001
EASY_STEPS = 20
"""For each operation, on top of the budgets: a history in which little overlaps needs less."""


def check_stream(
    events: Iterable[Event],
    machine: Specification | str,
    budget_s: float = 10.0,
    steps_max: int = STEPS_MAX,
    piece_min: int = PIECE_MIN,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Whether the history is linearizable, as `check` says, from events that come one by one.

    Every process must keep to one operation at a time, as readers see to. `budget_s` and
    `steps_max` bound the search, not the time that reading takes, and grow a little with every
    operation that was read. `progress` is told, now and then, how many there were. Raises BadInput
    if an operation is none of the machine's, or events are too far from the order of their times.
    """
    started = perf_counter()
    if isinstance(machine, str):
        machine = model(machine)
    if getattr(machine, "admit_history", None) is not None:  # it needs to see the end first
        return check(history_of(events), machine, budget_s, steps_max)
    stream = _Stream(machine, budget_s, steps_max, piece_min)
    for index, event in _by_time(admitted_events(events, machine)):
        if stream.too_late:
            break
        if stream.wrong is not None:
            continue  # it is, if nothing that was earlier comes later
        stream.take(event, index)
        if progress is not None and stream.count % 4096 == 0:
            progress(stream.count)
    valid, reason, anomaly = stream.finish()
    return Verdict(
        valid=valid,
        reason=reason,
        algorithm="+".join(sorted(stream.algorithms)) or "none",
        operations=stream.count,
        steps=stream.steps,
        seconds=perf_counter() - started,
        anomaly=tuple(anomaly),
    )


def _by_time(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """All events with their numbers, in order of time. Raises BadInput if one is too late for that.

    What happens in one instant stays in the order in which it is told, and so does what a process
    does, since it does not go back in time.
    """
    held: list[tuple[int, Event]] = []
    latest = LONG_AGO
    for numbered in enumerate(events):
        held.append(numbered)
        if numbered[1].time < latest:
            raise BadInput(
                f"history, event {numbered[0]}: at {numbered[1].time}, expected a time of "
                f"at least {latest}, since what came before has been checked; sort events by time"
            )
        if len(held) == 2 * LATE_MAX:
            held.sort(key=_time)
            yield from held[:LATE_MAX]
            latest = held[LATE_MAX - 1][1].time
            del held[:LATE_MAX]
    held.sort(key=_time)
    yield from held


def _time(numbered: tuple[int, Event]) -> int:
    return numbered[1].time


class _Kept:
    """An operation of a piece. `called` and `returned`: its process went on in that instant."""

    __slots__ = ("called", "command", "op", "returned")

    def __init__(self, op: Operation, command: Any, called: bool) -> None:
        self.op = op
        self.command = command
        self.called = called
        self.returned = False


Ends = tuple[tuple[Any, frozenset[int]], ...]
"""States in which an object can be; and for each the numbers of those operations without an outcome
that were used on the way there, and may not be used again."""


class _Open(NamedTuple):
    """An operation that did not return."""

    thing: "_Object"
    event: Event
    number: int
    command: Any
    chained: bool


class _Stream:
    def __init__(
        self, machine: Specification, budget_s: float, steps_max: int, piece_min: int
    ) -> None:
        self.machine = machine
        self.own_keys = getattr(machine, "keyed", False)
        self.budget_s = budget_s
        self.steps_max = steps_max
        self.piece_min = piece_min
        self.algorithms: set[str] = set()
        self.count = 0
        self.steps = 0
        self.first: Ends = ((machine.initial(), frozenset()),)
        self.open: dict[int, _Open] = {}
        self.objects: dict[Any, _Object] = {}
        self.alone = True  # there was never more than one
        self.wrong: tuple[_Object, list[str]] | None = None
        self.joined = False  # something touches all objects: there is only one
        self.keyed = self.unkeyed = False  # commands have had keys, and have had none
        self.kept = 0
        self.sweep_at = KEPT_MAX
        self.seconds = 0.0
        self.too_late = ""  # why nothing can be said, if so
        self.instant = LONG_AGO
        self.returned: dict[int, _Kept | None] = {}  # by processes, in this instant
        self.chained: set[int] = set()  # processes that returned and called again in it
        self.entangled = False

    def take(self, event: Event, index: int) -> None:
        """Events come in order of time, and `index` is the number of this one."""
        process = event.process
        if event.time > self.instant:
            self.instant = event.time
            self.returned.clear()
            self.chained.clear()
        if event.type == "invoke":
            self.count += 1
            chained = self.chain(process)
            try:
                command = self.machine.command(event.f, event.key, event.value)
            except BadInput as error:
                raise BadInput(f"history, event {index}: {error}") from None
            thing = self.object(event, command)
            if thing.open == 0 and len(thing.piece) >= thing.full and event.time > thing.quiet:
                self.guard(thing, thing.cut)
            if self.kept >= self.sweep_at:
                self.sweep(event.time)
            thing.open += 1
            self.open[process] = _Open(thing, event, index, command, chained)
            return
        begun = self.open.pop(process)
        begun.thing.open -= 1
        if event.type == "info":
            self.pending(begun)
            return
        begun.thing.quiet = event.time
        kept = None
        if not dropped(event):
            kept = _Kept(_operation(begun, event, index), begun.command, begun.chained)
            begun.thing.piece.append(kept)
            self.kept += 1
        self.returned[process] = kept

    def chain(self, process: int) -> bool:
        """Whether the process returned in this very instant. Notice it if two do."""
        if process not in self.returned:
            return False
        kept = self.returned[process]
        if kept is not None:
            kept.returned = True
        self.chained.add(process)
        self.entangled = self.entangled or len(self.chained) > 1
        return True

    def object(self, event: Event, command: Any) -> "_Object":
        """What the operation is on. Tells machines of their own and one for all apart as `check`
        does."""
        machine = self.machine
        key = None
        if not self.joined:
            key = machine.key(command)
            if key is not None:
                self.keyed = True
            else:
                self.unkeyed = True
                key = None if self.own_keys else event.key
            mixed = self.keyed and self.unkeyed
            if mixed or (not self.keyed and machine.event(command)[1] is not None):
                self.join()
                key = None
        name = identity(key)
        thing = self.objects.get(name)
        if thing is None:
            self.alone = not self.objects and self.alone
            thing = self.objects[name] = _Object(self, key)
        return thing

    def sweep(self, now: int) -> None:
        """Cut every object that is quiet now. One that is as it was at first need not be known."""
        for name, thing in list(self.objects.items()):
            quiet = thing.open == 0 and thing.quiet < now
            if quiet and len(thing.piece) > thing.tried and self.wrong is None:
                self.guard(thing, thing.cut)
                if thing.untouched():
                    del self.objects[name]
        self.sweep_at = max(KEPT_MAX, 2 * self.kept)

    def join(self) -> None:
        self.joined = True
        things = list(self.objects.values())
        if any(thing.was_cut for thing in things):
            self.too_late = "undecided: an operation touches all objects; check the file at once"
        whole = _Object(self, None)
        for thing in things:
            whole.absorb(thing)
        self.open = {p: found._replace(thing=whole) for p, found in self.open.items()}
        self.objects = {None: whole}

    def pending(self, begun: _Open) -> None:
        """It may take effect at any later time, but does not keep others from being cut off."""
        if not self.machine.read_only(begun.command):
            op = _operation(begun, None, None)
            begun.thing.lost.append(_Kept(op, begun.command, begun.chained))

    def seconds_left(self) -> float:
        return self.budget_s + EASY_S * self.count - self.seconds

    def steps_left(self) -> int:
        return self.steps_max + EASY_STEPS * self.count - self.steps

    def spender(self, deadline: float) -> Callable[[], None]:
        """What a walk calls at each step. Raises OutOfBudget."""

        def spend() -> None:
            self.steps += 1
            if self.steps_left() < 0:
                raise OutOfBudget("steps")
            if self.steps % 128 == 0 and perf_counter() > deadline:
                raise OutOfBudget("time")

        return spend

    def guard(self, thing: "_Object", work: Callable[[], None]) -> None:
        if thing.undecided:
            thing.forget()
            return
        try:
            work()
        except Wrong as wrong:
            self.wrong = thing, wrong.lines
        except OutOfBudget as out:
            thing.undecided = (
                f"undecided: the search{_of(thing)} ran out of {out} within its budget"
            )
            thing.forget()

    def finish(self) -> tuple[Valid, str, list[str]]:
        if self.wrong is None:
            for begun in self.open.values():
                self.pending(begun)
            for thing in sorted(self.objects.values(), key=lambda found: len(found.piece)):
                self.guard(thing, thing.end)
                if self.wrong is not None:
                    break
        if self.too_late:
            return "unknown", self.too_late, []
        if self.wrong is not None:
            thing, lines = self.wrong
            return False, f"no order of the operations{_of(thing)} explains every outcome", lines
        for thing in self.objects.values():
            if thing.undecided:
                return "unknown", thing.undecided, []
        for thing in self.objects.values():
            if not (thing.sure or (thing.exact and self.alone)):
                if thing.exact:
                    return "unknown", "undecided: several processes go on at equal times", []
                many = f"{_of(thing)} that may have taken effect, and too many ways in which"
                return "unknown", f"undecided: too many operations{many}", []
        return True, "an order of all operations, within real time, explains every outcome", []


class _Object:
    """One object: the piece that is not yet forgotten, and how what came before can have ended."""

    __slots__ = (
        "ends",
        "exact",
        "full",
        "key",
        "lost",
        "open",
        "piece",
        "quiet",
        "stream",
        "sure",
        "tried",
        "undecided",
        "was_cut",
    )

    def __init__(self, stream: _Stream, key: Any) -> None:
        self.stream = stream
        self.key = key
        self.open = 0
        self.quiet = LONG_AGO  # the last time at which something returned
        self.piece: list[_Kept] = []  # those with an outcome
        self.lost: list[_Kept] = []  # those without; they stay
        self.full = stream.piece_min  # how long a piece is before the next cut is tried
        self.tried = 0  # how long it was at the last try, if that came to nothing
        self.undecided = ""
        self.was_cut = False  # and is not back in the state in which it was at first
        self.ends = self.sure = stream.first
        self.exact = True  # `ends` are no more than there are

    def untouched(self) -> bool:
        return not (self.was_cut or self.piece or self.lost or self.undecided)

    def absorb(self, other: "_Object") -> None:
        self.open += other.open
        self.quiet = max(self.quiet, other.quiet)
        self.piece += other.piece
        self.lost += other.lost

    def forget(self) -> None:
        self.stream.kept -= len(self.piece)
        self.piece = []
        self.was_cut = True
        self.full, self.tried = self.stream.piece_min + len(self.lost), 0

    def cut(self) -> None:
        """Go on from the states in which the piece can have ended, unless they are too many."""
        try:
            self.advance(CONFIGS_MAX)
        except TooMany:
            self.tried = len(self.piece)
            self.full = 2 * self.tried
            return
        spent = frozenset.intersection(*(used for _, used in self.ends + self.sure))
        if spent:  # in every order; what else has no outcome may be used later
            same = self.sure is self.ends
            self.lost = [one for one in self.lost if one.op.index not in spent]
            self.ends = tuple((state, used - spent) for state, used in self.ends)
            self.sure = self.ends if same else tuple((s, used - spent) for s, used in self.sure)
        self.forget()
        if self.ends is self.sure and not self.lost and len(self.ends) == 1:
            name = self.stream.machine.snapshot
            if name(self.ends[0][0]) == name(self.stream.first[0][0]):
                self.ends = self.sure = self.stream.first
                self.was_cut = False

    def end(self) -> None:
        """Decide what is left. An object that was never cut is as good as a history of its own."""
        if self.was_cut:
            self.advance()
            return
        kept = sorted(self.piece + self.lost, key=lambda one: one.op.index)
        operations = [one.op for one in kept]
        if self.stream.entangled and self.check(_strict_history(kept)).valid is True:
            return
        verdict = self.check(Admitted.of(operations))
        if verdict.valid is False:
            raise Wrong(list(verdict.anomaly))
        if verdict.valid == "unknown":
            self.undecided = verdict.reason
        elif self.stream.entangled:
            self.sure = ()

    def check(self, history: History) -> Verdict:
        """What `check` says, within what is left of the budgets."""
        stream = self.stream
        verdict = check(
            history,
            stream.machine,
            max(0.0, stream.seconds_left()),
            max(0, stream.steps_left()),
        )
        stream.steps += verdict.steps
        stream.seconds += verdict.seconds
        stream.algorithms.update(verdict.algorithm.split("+"))
        return verdict

    def advance(self, configs_max: int | None = None) -> None:
        """Move `ends` and `sure` from before the piece to after it, both or none of them.

        Raises Wrong, OutOfBudget, or TooMany.
        """
        stream = self.stream
        stream.algorithms.add("frontier")
        started = perf_counter()
        kept = sorted(self.piece + self.lost, key=lambda one: one.op.index)
        order = loose([one.op for one in kept])
        try:
            pairs = [(one.op, one.command) for one in kept]
            spend = stream.spender(started + stream.seconds_left())
            states = States(stream.machine)
            walk = Walk(states, pairs, order, spend, configs_max, "up")
            ends = _after(walk, self.ends)
            strict = stream.entangled and any(one.called or one.returned for one in kept)
            if walk.exact and not strict and self.sure is self.ends:
                sure = ends
            else:
                order = _strict(kept) if strict else order
                sure = _surely(Walk(states, pairs, order, spend, configs_max, "down"), self.sure)
            self.ends, self.sure, self.exact = ends, sure, self.exact and walk.exact
        finally:
            stream.seconds += perf_counter() - started


def _after(walk: Walk, ends: Ends) -> Ends:
    starts = [(walk.states.name(state), frozenset[int](), used) for state, used in ends]
    return tuple((walk.states[name], used) for name, _, used in walk.ends(starts))


def _surely(walk: Walk, ends: Ends) -> Ends:
    """What the walk leads to; nothing if it leads nowhere."""
    try:
        return _after(walk, ends) if ends else ()
    except Wrong:
        return ()


def _strict(kept: list[_Kept]) -> Timeline:
    """Ranks that are those of `concur.histories.timeline.strict` for all objects together, as far
    as this object goes: calls, then what a process does on both sides of an instant, then returns.
    """
    events: list[tuple[int, int, int, int]] = []
    for position, one in enumerate(kept):
        op = one.op
        events.append((op.call_ns, 1 if one.called else 0, op.index, 2 * position))
        if op.return_ns is not None:
            assert op.return_index is not None
            middle = 1 if one.returned else 2
            events.append((op.return_ns, middle, op.return_index, 2 * position + 1))
    calls, returns = [0] * len(kept), [NEVER] * len(kept)
    for rank, (_, _, _, code) in enumerate(sorted(events)):
        (returns if code & 1 else calls)[code >> 1] = rank
    return Timeline(calls, returns, {}, False)


def _strict_history(kept: list[_Kept]) -> History:
    """Those operations alone, with their strict ranks for times: nothing is at the same time."""
    ranks = _strict(kept)
    operations = []
    for one, call, end in zip(kept, ranks.calls, ranks.returns, strict=True):
        ends = None if end == NEVER else end
        moved = {"call_ns": call, "index": call, "return_ns": ends, "return_index": ends}
        operations.append(msgspec.structs.replace(one.op, **moved))
    return Admitted.of(operations)


def _operation(begun: _Open, event: Event | None, index: int | None) -> Operation:
    """`event` is its completion; None if it has no outcome."""
    asked = begun.event
    kind = "info" if event is None else event.type
    assert kind != "invoke"
    return Operation(
        process=asked.process,
        f=asked.f,
        key=asked.key,
        value=asked.value,
        type=kind,
        result=None if event is None else event.value,
        error=None if event is None else event.error,
        call_ns=asked.time,
        return_ns=None if event is None else event.time,
        index=begun.number,
        return_index=index,
    )


def _of(thing: _Object) -> str:
    return "" if thing.key is None else f" on {phrase(thing.key)}"
