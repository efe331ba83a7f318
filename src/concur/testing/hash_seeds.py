"""The same runs in two processes with different PYTHONHASHSEED must agree, step by step.

What differs between two processes and never within one: the order of a plain set, `hash()` and
`id()` of things, the environment, the clock. So two fresh processes do the same walks and the same
simulated run and report a digest of every step; the first difference is then shown in full.
"""

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
from typing import Any

import msgspec

from concur.base import Protocol
from concur.effects import Effect, Event
from concur.simulate.simulation import Simulation
from concur.testing.cluster import Violated
from concur.testing.subject import Subject
from concur.testing.walk import Walk
from concur.workloads import default_workload

HASH_SEEDS = ("1", "2")
WALKS = 2
WALK_STEPS = 600
RUN_S = 1.0
TIMEOUT_S = 120.0
DIGEST_BYTES = 8


class Job(msgspec.Struct, frozen=True):
    path: list[str]
    protocol: bytes
    replicas: int
    walks: int
    show: tuple[int, int] = (-1, -1)
    """Which run, and which step of it, to report in words."""


class Report(msgspec.Struct, frozen=True):
    digests: list[bytes]
    """One for each run, all its steps' digests in a row."""
    shown: str = ""
    failure: str = ""


def runs_are_the_same_under_two_hash_seeds(subject: Subject) -> None:
    """Walks and a simulated run with faults take the same steps under PYTHONHASHSEED 1 and 2."""
    frozen = pickle.dumps(subject.protocol)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    subject.needs(
        b"__main__" not in frozen or main is None,
        "it is defined in the module that was started, which other processes cannot import; move "
        "it to a module of its own",
    )
    job = Job(
        [os.path.abspath(p) for p in sys.path], frozen, subject.replicas, subject.times(WALKS)
    )
    ours, theirs = _both(subject, job)
    for run, (one, other) in enumerate(zip(ours.digests, theirs.digests, strict=True)):
        if one == other:
            continue
        step = next(
            i
            for i in range(max(len(one), len(other)) // DIGEST_BYTES)
            if _digest(one, i) != _digest(other, i)
        )
        a, b = _both(subject, msgspec.structs.replace(job, show=(run, step)))
        subject.fail(
            f"under two values of PYTHONHASHSEED, step {step} of the same run differs:\n"
            f"  {a.shown}\n  {b.shown}",
            "do not iterate over a set or a frozenset, nor use hash() or id(): "
            "concur.values.Set and Map iterate in one order",
        )


def _digest(digests: bytes, step: int) -> bytes:
    return digests[step * DIGEST_BYTES : (step + 1) * DIGEST_BYTES]


def _both(subject: Subject, job: Job) -> list[Report]:
    data = msgspec.msgpack.encode(job)
    children = []
    try:
        for seed in HASH_SEEDS:
            child = subprocess.Popen(
                [sys.executable, "-c", "from concur.testing.hash_seeds import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": _source()},
            )
            children.append(child)
            assert child.stdin is not None
            try:
                child.stdin.write(data)
                child.stdin.close()
            except BrokenPipeError:
                pass
            child.stdin = None
        return [_report(subject, child) for child in children]
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()


def _source() -> str:
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))


def _report(subject: Subject, child: "subprocess.Popen[bytes]") -> Report:
    try:
        output, errors = child.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        subject.fail(f"its runs took longer than {TIMEOUT_S:g} s", "look for a loop without end")
    try:
        report = msgspec.msgpack.decode(output, type=Report)
    except msgspec.DecodeError:
        lines = errors.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        subject.fail(
            f"a process that was to run it ended with status {child.returncode}: {lines[-1]}",
            "it must be importable by other processes: a class at the top level of a module",
        )
    if report.failure:
        subject.fail(f"a process that was to run it failed: {report.failure}")
    return report


# --- in the child ---------------------------------------------------------------------------------


class Digests:
    """Takes down a digest of every step; a watcher of clusters and a recorder of simulations."""

    def __init__(self, show: int) -> None:
        self.data = bytearray()
        self.show = show
        self.shown = ""

    def take(self, node: str, event: Event, effects: list[Effect]) -> None:
        text = f"{node} {event!r} -> {effects!r}"
        if len(self.data) == self.show * DIGEST_BYTES:
            self.shown = text[:1000]
        self.data += hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()

    def watch(
        self, cluster: Any, seat: Any, event: Event, effects: list[Effect], before: Any
    ) -> None:
        self.take(seat.id, event, effects)

    def begin(self, *_: Any) -> None:
        pass

    def step(self, world: Any, place: Any, event: Event, effects: list[Effect]) -> None:
        self.take(place.id, event, effects)

    def end(self, *_: Any) -> None:
        pass


def main() -> None:
    """Reads a Job on stdin and writes a Report on stdout."""
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    sys.path[:] = job.path
    try:
        report = _work(job)
    except Exception as error:
        report = Report([], failure=f"{type(error).__name__}: {error}")
    sys.stdout.buffer.write(msgspec.msgpack.encode(report))


def _work(job: Job) -> Report:
    protocol: Protocol = pickle.loads(job.protocol)
    done = []
    for number in range(job.walks + protocol.tags.log):
        digests = Digests(job.show[1] if job.show[0] == number else -1)
        if number < job.walks:
            walk = Walk(protocol, number, replicas=job.replicas, watchers=(digests.watch,))
            with contextlib.suppress(Violated):  # another check says so
                walk.run(WALK_STEPS)
        else:
            simulation = Simulation(protocol, replicas=job.replicas, clients=3)
            load = msgspec.structs.replace(default_workload("kv"), think_s=0.01)
            simulation.run(load, faults="all", seconds=RUN_S, recorder=digests, check=False)  # type: ignore[arg-type]
        done.append(digests)
    shown = next((d.shown for d in done if d.shown), "nothing: this run had ended")
    return Report([bytes(d.data) for d in done], shown)
