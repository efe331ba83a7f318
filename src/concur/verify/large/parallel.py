"""All cores of a machine: one breadth-first search in several processes.

`explore_parallel` divides the states by their content (`owners`). The processes go through each
layer together, so depths are exact and a trace is a shortest one, and every state is kept whole by
the one process that looks after it, so counts are exact, too (`partition`). Each process computes
for itself what local steps do, and to start it takes half a second; what is divided is the work and
the memory for global states. So it pays for itself where those are many
(`benchmarks/verify_parallel.py`).

Walks are shared more easily: `walk_many` (`concur.verify.walks.campaign`).
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any, Literal

import msgspec
from joblib import wrap_non_picklable_objects

from concur.errors import BadInput, whole
from concur.parallel import unwinding
from concur.verify.budget import SHOW_EVERY_S, Budget, Meter, Progress, StoppedBy
from concur.verify.engine.system import System
from concur.verify.exploration import Exploration, Inconsistent, Moment, Trace
from concur.verify.explore import explore
from concur.verify.large.ferry import ferry
from concur.verify.large.fingerprints import fingerprints
from concur.verify.large.owners import choose
from concur.verify.large.partition import NOBODY, Done, Failed, Found, Halted, Hello
from concur.verify.model import Model

PROCESSES_MAX = 256
ASK_EVERY_S = 0.05
"""How often the clock is looked at while the others work."""
STOP_S = 10.0
"""How long they may take to stop before they are killed."""

Make = Callable[[], Model[Any]]
"""Makes a model; it is sent to other processes, and each of them makes its own."""


class Lost(Exception):
    """A process has ended without being asked to."""


def explore_parallel(
    make: Make,
    processes: int = -1,
    budget: Budget = Budget(),  # noqa: B008
    progress: Callable[[Progress], None] | None = None,
    *,
    symmetry: bool = True,
    deadlock: bool = False,
    model: Model[Any] | None = None,
) -> Exploration:
    """`explore`, breadth-first, in so many processes; -1 is one for each core.

    All that it answers, but for the time, is the same for any number of processes; where nothing is
    wrong it is what `explore` answers. A search that finds something wrong ends with the layer in
    which that is, so it has seen more states than `explore`; of several wrong states it takes that
    with the least fingerprint. `budget.bytes` is for each process, and `budget.states` is exceeded
    by what all find within some tenths of a second.

    The trace is one of `model`, which must be as `make` makes it; without it one is made. Canonical
    forms are used where they are a matter of content, which those of a `System` are not. Raises
    what the model raises.
    """
    whole("processes", processes if processes != -1 else 1, 1, PROCESSES_MAX)
    if processes == -1:
        processes = os.cpu_count() or 1
    model = make() if model is None else model
    if processes == 1:
        return explore(model, "breadth-first", budget, symmetry, progress, deadlock)
    search = _Search(make, model, processes, budget, progress, symmetry, deadlock)
    search.run()
    return search.answer()


class _Stop(Exception):
    """The search is over before all is seen."""


class _Search:
    def __init__(
        self,
        make: Make,
        model: Model[Any],
        processes: int,
        budget: Budget,
        progress: Callable[[Progress], None] | None,
        symmetry: bool,
        deadlock: bool,
    ) -> None:
        self.model = model
        self.budget = budget
        self.processes = processes
        self.ferry = ferry(model)
        self.symmetry = symmetry and model.symmetric and not isinstance(model, System)
        # Time and the number of all states are watched from here, memory by each process.
        theirs = Budget(bytes=budget.bytes)
        self.hello = Hello(
            make=wrap_non_picklable_objects(partial(make), keep_wrapper=False),  # it may be a class
            number=0,
            processes=processes,
            budget=theirs,
            symmetry=self.symmetry,
            deadlock=deadlock,
            fields=(),
        )
        self.meter = Meter(budget, None)
        self.progress = progress
        self.told_at = self.meter.begin
        self.interrupted = False
        self.parts = [Done(0, 0, 0)] * processes
        self.depth = 0
        self.complete = -1
        self.exhausted = False
        self.stopped_by: StoppedBy = ""
        self.wrong: tuple[Found, int] | None = None
        self.examples: dict[str, tuple[Found, int]] = {}
        self.trace: Trace = ()
        self.example_traces: dict[str, Trace] = {}

    # --- the search -------------------------------------------------------------------------------

    def run(self) -> None:
        with unwinding(), _interrupts(self.interrupt), _crew(self.processes) as crew:
            try:
                try:
                    self.greet(crew)
                    self.layers(crew)
                except _Stop:
                    pass
                else:
                    self.exhausted = True
                if self.stopped_by:
                    self.halt(crew)
                self.learn(crew)
                self.trace = self.path(crew, self.wrong)
                self.example_traces = {
                    claim: self.path(crew, found) for claim, found in self.examples.items()
                }
            except KeyboardInterrupt:  # twice
                self.stopped_by = "interrupted"
                self.exhausted = False
            except (Lost, BrokenPipeError, ConnectionResetError):
                self.stopped_by = self.stopped_by or "lost process"
                self.exhausted = False

    def interrupt(self) -> None:
        """Ctrl-C: the first time, stop where nothing is half sent; the second time, at once."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def greet(self, crew: "list[Connection]") -> None:
        replace, fields = msgspec.structs.replace, choose(self.model, self.processes)
        for number, connection in enumerate(crew):
            try:
                connection.send(replace(self.hello, number=number, fields=fields))
            except OSError:
                raise Lost from None
            except Exception as error:
                raise BadInput(
                    f"a model that other processes cannot make: {error}; expected a function "
                    "or a method that can be pickled"
                ) from None

    def layers(self, crew: "list[Connection]") -> None:
        self.command(crew, "begin")
        while any(part.queue for part in self.parts):
            self.complete = self.depth
            self.command(crew, "expand")
            self.command(crew, "settle")
            if any(part.queue for part in self.parts):
                self.depth += 1

    def command(self, crew: "list[Connection]", name: str) -> None:
        """Let all do it, and judge what they found."""
        for connection in crew:
            connection.send((name,))
        done = self.answers(crew)
        wrong = [(part.wrong, number) for number, part in enumerate(done) if part.wrong]
        met = [(found, number) for number, part in enumerate(done) for found in part.met]
        for found, number in sorted(met, key=lambda pair: pair[0].fingerprint):
            self.examples.setdefault(found.name, (found, number))
        if wrong and self.wrong is None:
            self.wrong = min(wrong, key=lambda pair: pair[0].fingerprint)
        # A dead end is known when its layer is expanded, but what follows that is looked at, too.
        if self.wrong is not None and name != "expand":
            if name == "settle" and any(part.queue for part in done):
                self.depth += 1
            raise _Stop
        self.check()

    def answers(self, crew: "list[Connection]") -> list[Done]:
        """What each answers. Meanwhile states are handed on, and the budget is watched."""
        answers: dict[int, Done] = {}
        numbers = {id(connection): number for number, connection in enumerate(crew)}
        while len(answers) < len(crew):
            for ready in wait(crew, ASK_EVERY_S):
                assert isinstance(ready, Connection)
                number = numbers[id(ready)]
                heard = _heard(ready)
                if isinstance(heard, Done):
                    answers[number] = self.parts[number] = heard
                    if heard.stopped_by:
                        self.stopped_by = heard.stopped_by
                        raise _Stop
                elif isinstance(heard, Progress):
                    queue = heard.queue
                    self.parts[number] = Done(heard.states, heard.transitions, queue)
                else:
                    crew[heard[1]].send_bytes(ready.recv_bytes())
            self.check()
        return [answers[number] for number in range(len(crew))]

    def check(self) -> None:
        seconds, budget = self.meter.seconds, self.budget
        states = sum(part.unique for part in self.parts)
        if self.interrupted:
            self.stopped_by = "interrupted"
        elif budget.seconds is not None and seconds >= budget.seconds:
            self.stopped_by = "seconds"
        elif budget.states is not None and states > budget.states:
            self.stopped_by = "states"
        if self.stopped_by:
            raise _Stop
        now = self.meter.begin + seconds
        if self.progress is not None and now - self.told_at >= SHOW_EVERY_S:
            self.told_at = now
            transitions = sum(part.transitions for part in self.parts)
            queue = sum(part.queue for part in self.parts)
            self.progress(
                Progress(states, transitions, queue, self.depth, seconds, "breadth-first")
            )

    def halt(self, crew: "list[Connection]") -> None:
        """Stop all, and hear how far they have come. Raises Lost if that takes too long."""
        until = monotonic() + STOP_S
        for connection in crew:
            connection.send(("stop",))
            connection.send(("halted",))
        left = list(crew)
        while left:
            if monotonic() > until:
                raise Lost
            for ready in wait(left, ASK_EVERY_S):
                assert isinstance(ready, Connection)
                heard = _heard(ready)
                if isinstance(heard, Halted):
                    self.parts[crew.index(ready)] = heard.done
                    left.remove(ready)
                elif not isinstance(heard, Done | Progress):
                    ready.recv_bytes()  # states for somebody who has stopped
        if self.complete >= 0 and any(part.queue for part in self.parts):
            self.depth = self.complete + 1

    # --- what was found ---------------------------------------------------------------------------

    def path(self, crew: "list[Connection]", last: "tuple[Found, int] | None") -> Trace:
        """The trace to a state, from what each process knows of what was before."""
        if last is None:
            return ()
        found, number = last
        before = found.at * self.processes + number
        path: list[int] = []
        while before != NOBODY:
            at, number = divmod(before, self.processes)
            crew[number].send(("state", at))
            fingerprint, before = _heard(crew[number])
            path.append(fingerprint)
        return follow(self.model, path[::-1], self.symmetry)

    def learn(self, crew: "list[Connection]") -> None:
        """Let `model` know all that the others have met, so that it can be asked what there is."""
        for number, connection in enumerate(crew):
            connection.send(("told",))
            self.ferry.learn(number, _heard(connection))

    def answer(self) -> Exploration:
        verdict: Literal["holds", "violated", "unknown"] = "unknown"
        name = reason = ""
        missing = [claim for claim in self.model.sometimes if claim not in self.examples]
        if self.wrong is not None and not self.stopped_by:
            verdict, name, reason = "violated", self.wrong[0].name, self.wrong[0].why
        elif self.exhausted and missing:
            verdict, name, reason = "violated", missing[0], "no reachable state is so"
        elif self.exhausted:
            verdict = "holds"
        unique = sum(part.unique for part in self.parts)
        found = f"{unique:,} states of {self.model.name}, depth {self.depth}"
        if self.symmetry:
            found += ", symmetric states counted once"
        if self.exhausted:
            covered = f"exhausted: {found}"
        else:
            why = f"stopped by {self.stopped_by}" if self.stopped_by else "stopped at a violation"
            covered = f"not exhausted ({why}): {found}"
            if self.complete >= 0:
                covered += f"; all states within {self.complete} steps were seen"
        return Exploration(
            model=self.model.name,
            strategy="breadth-first",
            symmetry=self.symmetry,
            unique_states=unique,
            transitions=sum(part.transitions for part in self.parts),
            depth=self.depth,
            exhausted=self.exhausted,
            verdict=verdict,
            property=name,
            reason=reason,
            trace=self.trace,
            examples=self.example_traces,
            seconds=self.meter.seconds,
            stopped_by=self.stopped_by,
            covered=covered,
        )


def follow(model: Model[Any], path: Sequence[int], symmetry: bool = False) -> Trace:
    """The trace of `model` through states that have these fingerprints, one after the other."""
    of = fingerprints(model).of
    moments: list[Moment] = []
    for target in path:
        options: Iterable[tuple[str, Any]] = (
            model.steps(moments[-1].state) if moments else (("", s) for s in model.initial())
        )
        for label, state in options:
            if of(model.canonical(state) if symmetry else state) == target:
                moments.append(Moment(label, state))
                break
        else:
            where = f"after {moments[-1].label!r}" if moments else "at the beginning"
            raise Inconsistent(f"{model.name}: another process found other steps {where}")
    return tuple(moments)


# --- processes ------------------------------------------------------------------------------------


@contextmanager
def _crew(processes: int) -> "Iterator[list[Connection]]":
    """So many processes that `serve`, each at the end of a connection. None survives the block."""
    crew: list[Connection] = []
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(processes):
            ours, theirs = socket.socketpair()
            crew.append(Connection(ours.detach()))
            with theirs:
                program = (
                    f"import sys; sys.path[:] = {sys.path!r}\n"
                    "from concur.verify.large.partition import serve\n"
                    f"serve({theirs.fileno()})"
                )
                # A session of its own: Ctrl-C is for this process, which then tells the others.
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-c", program],
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )
        yield crew
    finally:
        for connection in crew:
            connection.close()
        for child in started:
            child.kill()
        for child in started:
            child.wait()


def _heard(connection: Connection) -> Any:
    try:
        heard = connection.recv()
    except (EOFError, OSError):
        raise Lost from None
    if isinstance(heard, Failed):
        raise heard.error
    return heard


@contextmanager
def _interrupts(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C call `interrupt`, if it would raise KeyboardInterrupt."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
