"""One of several processes that search together: it looks after its part of the states.

Content alone decides which process a state belongs to (`owners`), not numbers. Each process has its
own model, expands its own states, layer by layer, and sends the others those that
follow and are theirs. What it is told to do, it does, and answers once:

    begin    find the initial states            settle   take in what the others have sent
    expand   find what follows the last layer   state    the fingerprint of a state, what was before
    told     all definitions (`ferry`)               halted   nothing: it is over

A thread reads what comes, so nobody waits for anybody who is busy, and ends the process when the
one that started it has gone.
"""

import os
import signal
import threading
from array import array
from collections.abc import Callable, Iterable
from itertools import islice
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import msgspec
from joblib import wrap_non_picklable_objects

from concur.errors import ConcurError
from concur.verify.budget import Budget, Meter, Progress, StoppedBy
from concur.verify.large.ferry import ferry
from concur.verify.large.fingerprints import fingerprints
from concur.verify.large.owners import Fields, owner_of
from concur.verify.model import Model

BATCH = 4096
"""States that are sent together."""
NOBODY = (1 << 64) - 1
"""In place of the state before an initial one."""


class Hello(msgspec.Struct, frozen=True):
    """The first message to a process."""

    make: Any
    number: int
    processes: int
    budget: Budget
    symmetry: bool
    deadlock: bool
    fields: Fields


class Batch(msgspec.Struct, frozen=True):
    """States of the process that gets them, and what was before each."""

    source: int
    told: Any
    states: Any
    before: "array[int]"


class Found(msgspec.Struct, frozen=True):
    """A state to be told about: the least fingerprint of a layer comes first, whoever finds it."""

    fingerprint: int
    at: int
    name: str
    why: str = ""


class Done(msgspec.Struct, frozen=True):
    """The answer to a command. `unique` and `transitions` are of all that was done so far."""

    unique: int
    transitions: int
    queue: int
    stopped_by: StoppedBy = ""
    wrong: Found | None = None
    met: tuple[Found, ...] = ()


class Halted(msgspec.Struct, frozen=True):
    """The answer to `halted`, the last command before an early end."""

    done: Done


class Failed(msgspec.Struct, frozen=True):
    """The model has raised this."""

    error: Any


class _Halt(Exception):
    def __init__(self, stopped_by: StoppedBy) -> None:
        super().__init__(stopped_by)
        self.stopped_by = stopped_by


class Partition:
    """The part of process `hello.number`; what it sends goes through `send(peer, batch)`."""

    def __init__(
        self,
        hello: Hello,
        send: Callable[[int, Batch], None],
        progress: Callable[[Progress], None],
    ) -> None:
        self.model: Model[Any] = hello.make()
        self.number, self.processes = hello.number, hello.processes
        self.symmetry, self.deadlock = hello.symmetry, hello.deadlock
        self.send = send
        self.fingerprints = fingerprints(self.model)
        self.owner = owner_of(self.model, hello.fields, hello.processes)
        self.ferry = ferry(self.model)
        self.judges = type(self.model).broken is not Model.broken
        self.pending = dict(self.model.sometimes)
        self.seen: dict[Any, None] = {}
        self.before = array("Q")
        """For each of `seen`, in order: its process and its place among those seen there."""
        self.layer: list[Any] = []
        self.following: list[Any] = []
        self.inbox: list[Batch] = []
        self.transitions = 0
        self.dead_end: Found | None = None
        self.wrong: Found | None = None
        self.met: dict[str, Found] = {}
        self.stop = False
        self.meter = Meter(hello.budget, progress)
        self.steps = 0

    # --- commands ---------------------------------------------------------------------------------

    def begin(self) -> None:
        states: Iterable[Any] = self.model.initial()
        if self.symmetry:
            states = map(self.model.canonical, states)
        for state in states:
            self.transitions += self.number == 0  # all find all of them
            if self.owner(state) == self.number and state not in self.seen:
                self._add(state, NOBODY)

    def expand(self) -> None:
        self.layer, self.following = self.following, []
        first = len(self.seen) - len(self.layer)  # place of the layer's first among those seen
        seen, number, processes = self.seen, self.number, self.processes
        successors, owner_of_state = self.model.successors, self.owner
        canonical = self.model.canonical if self.symmetry else None
        broken, pending = self.model.broken if self.judges else None, self.pending
        following = self.following
        add_before = self.before.append
        sent: set[Any] = set()
        boxes: list[Box] = [([], array("Q")) for _ in range(processes)]
        for place, state in enumerate(self.layer, first):
            after = successors(state)
            if type(after) is not list:
                after = list(after)
            before = place * processes + number
            for new in after:
                if canonical is not None:
                    new = canonical(new)
                if new in seen or new in sent:
                    continue
                owner = owner_of_state(new)
                if owner == number:
                    seen[new] = None
                    add_before(before)
                    following.append(new)
                    if pending or (broken is not None and broken(new) is not None):
                        self._judge(new)
                    continue
                sent.add(new)
                states, origins = boxes[owner]
                states.append(new)
                origins.append(before)
                if len(states) == BATCH:
                    self._post(owner, boxes[owner])
                    boxes[owner] = [], array("Q")
            self.transitions += len(after)
            if not after and self.deadlock and not self.model.done(state):
                why = "nothing can happen any more, and it is not done"
                end = Found(self.fingerprints.of(state), place, "deadlock", why)
                self.dead_end = _least(self.dead_end, end)
            self.steps += 1
            if self.stop or self.steps >= self.meter.ask_at:
                self._look_up(first + len(self.layer) - place + len(following))
        self.layer = []
        for peer, box in enumerate(boxes):
            if box[0]:
                self._post(peer, box)

    def settle(self) -> None:
        seen = self.seen
        self.inbox.sort(key=lambda batch: batch.source)  # those of one process come in order
        while self.inbox:
            batch = self.inbox.pop(0)
            self.ferry.learn(batch.source, batch.told)
            states = self.ferry.land(batch.source, batch.states)
            for state, before in zip(states, batch.before, strict=True):
                if state not in seen:
                    self._add(state, before)
            self.steps += len(states)
            if self.stop or self.steps >= self.meter.ask_at:
                self._look_up(len(self.following))

    def halted(self) -> None:
        """Nothing more will be asked."""
        raise _Halt("interrupted")

    def state(self, at: int) -> tuple[int, int]:
        """The fingerprint of the state that was seen as number `at`, and what was before it."""
        return self.fingerprints.of(next(islice(self.seen, at, None))), self.before[at]

    # --- what they share --------------------------------------------------------------------------

    def _add(self, state: Any, before: int) -> None:
        self.seen[state] = None
        self.before.append(before)
        self.following.append(state)
        if self.judges or self.pending:
            self._judge(state)

    def _judge(self, state: Any) -> None:
        """Look at the state that was added last."""
        at = len(self.seen) - 1
        broken = self.model.broken(state)
        if broken is not None:
            self.wrong = _least(self.wrong, Found(self.fingerprints.of(state), at, *broken))
        for claim, holds in self.pending.items():
            if holds(state):
                found = Found(self.fingerprints.of(state), at, claim)
                self.met[claim] = _least(self.met.get(claim), found)

    def _post(self, peer: int, box: "Box") -> None:
        states, before = box
        told = self.ferry.told(peer)
        self.send(peer, Batch(self.number, told, self.ferry.carry(peer, states), before))

    def _look_up(self, queue: int) -> None:
        """From the work, to see whether it is to go on."""
        if self.stop:
            raise _Halt("interrupted")
        states = len(self.seen)
        exceeded = self.meter.exceeded(self.steps, states, self.transitions, queue, 0)
        if exceeded:
            raise _Halt(exceeded)

    def done(self, stopped_by: StoppedBy = "") -> Done:
        """How far it has come."""
        return Done(len(self.seen), self.transitions, len(self.following), stopped_by)

    def found(self, command: str) -> tuple[Found | None, tuple[Found, ...]]:
        """What is wrong, and which claims are met. New states are spoken of once all are known."""
        if command == "expand":
            return self.dead_end, ()
        met = tuple(self.met.values())
        for claim in self.met:
            del self.pending[claim]
        self.met = {}
        return self.wrong, met


Box = tuple[list[Any], "array[int]"]
"""States for one other process, and what was before each."""


def _least(one: Found | None, other: Found) -> Found:
    return other if one is None or other.fingerprint < one.fingerprint else one


class _Channel:
    """What one process hears and says."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.commands: SimpleQueue[Any] = SimpleQueue()
        self.partition: Partition | None = None

    def serve(self) -> None:
        hello: Hello = self.connection.recv()
        partition = self.partition = Partition(hello, self.post, self.connection.send)
        threading.Thread(target=self.read, args=(partition,), daemon=True).start()
        while True:
            command, *arguments = self.commands.get()
            if command == "error":
                raise arguments[0]
            if command == "state":
                self.connection.send(partition.state(*arguments))
            elif command == "told":
                self.connection.send(partition.ferry.told(-1))
            else:
                self.obey(partition, command)

    def obey(self, partition: Partition, command: str) -> None:
        stopped_by: StoppedBy = ""
        try:
            getattr(partition, command)()
        except _Halt as halt:
            stopped_by = halt.stopped_by
        except MemoryError:
            stopped_by = "memory"
        done = partition.done(stopped_by)
        if command == "halted":
            self.connection.send(Halted(done))
            return
        if not stopped_by:
            wrong, met = partition.found(command)
            done = msgspec.structs.replace(done, wrong=wrong, met=met)
        self.connection.send(done)

    def read(self, partition: Partition) -> None:
        while True:
            try:
                heard = self.connection.recv()
            except (EOFError, OSError):
                os._exit(1)  # whoever wanted the answer has gone
            except Exception as error:
                heard = "error", error
            if isinstance(heard, Batch):
                partition.inbox.append(heard)
            elif heard == ("stop",):
                partition.stop = True
            else:
                self.commands.put(heard)

    def post(self, peer: int, batch: Batch) -> None:
        self.connection.send(("to", peer))
        self.connection.send(batch)


def serve(descriptor: int) -> None:
    """The whole life of such a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started it
    connection = Connection(descriptor)
    try:
        _Channel(connection).serve()
    except (EOFError, OSError):
        pass
    except Exception as error:
        try:
            connection.send(Failed(wrap_non_picklable_objects(error, keep_wrapper=False)))
        except Exception:  # an error that cannot be sent
            connection.send(Failed(ConcurError(f"{type(error).__name__}: {error}")))
        connection.poll(None)  # until nobody is there any more: what was sent must arrive
    os._exit(1)
