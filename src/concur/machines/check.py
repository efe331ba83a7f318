"""`check_machine`: is a machine fit to be replicated?

Replicas apply the same commands and must end up the same. What breaks that is seldom visible in
one process: a clock, dice, the order of a set, a state changed in place. So the same sequences of
commands are applied in two fresh processes under two values of PYTHONHASHSEED (and two time zones),
each watched for hidden inputs, and what they report is compared. What is looked at:

* results, states and snapshots are equal in both processes, and when applied twice in one;
* apply calls no clock, no dice, nothing of the outside world, and leaves its input as it was;
* states hold only immutable values; results encode; commands and snapshots survive a round trip;
* a replica restored from a snapshot in the middle goes on as the others do;
* read_only commands change nothing; what conflicts() or key() declare independent commutes
  (sampled); conflicts() is symmetric; command() is the inverse of event().

Sampling finds what the commands provoke and no more: pass your own `commands` where random ones
do not get far into the machine. An adapted mutable object (`Adaptor`) is held to the rules that
make sense for it.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines.base import Machine
from concur.machines.load import load
from concur.machines.probe import Report, show
from concur.machines.sampling import Sampler

SEQUENCE_COMMANDS = 150
"""Drawn commands for each seed."""

HASH_SEEDS = ("1", "2")
TIME_ZONES = ("UTC", "Asia/Kathmandu")


class CheckFailed(AssertionError):
    """The machine is not fit to be replicated. The message says what it does and how to fix it."""


def check_machine(
    machine: Machine[Any, Any] | type[Machine[Any, Any]] | str,
    commands: Iterable[Any] | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    timeout_s: float = 60.0,
) -> None:
    """Raise CheckFailed if `machine` is not fit to be replicated.

    `machine` is a Machine, its class, or `package.module:Class`; it must be importable, since two
    other processes import it. `commands` is applied as one sequence; without it one sequence is
    drawn for each seed from the fields' types, the same ones every time. Takes about a second.
    Raises BadInput if there is nothing to check with.
    """
    subject = load(machine)
    where = f"machine {subject.name}"
    sequences = _sequences(subject, commands, seeds)
    job = _job(subject, sequences)
    reports = _run(job, where, timeout_s)
    for report in reports:
        if report.failure:
            raise CheckFailed(f"{where}: {report.failure}")
    for number, (left, right) in enumerate(zip(reports[0].traces, reports[1].traces, strict=True)):
        _compare(subject, sequences[number], left, right, where)
    for report in reports:
        if report.late:
            raise CheckFailed(f"{where}: {report.late}")


def _compare(
    machine: Machine[Any, Any], bodies: list[bytes], left: Any, right: Any, where: str
) -> None:
    cause = (
        "Usually the order of a set (sort it, or use concur.values.Set), hash() or id() of "
        "something, dice, a clock, or the environment."
    )
    for number, (one, other) in enumerate(zip(left.results, right.results, strict=True)):
        if one != other:
            raise CheckFailed(
                f"{where}: the result of command {number}, {show(machine.decode(bodies[number]))}, "
                "differs between two processes with different PYTHONHASHSEED: "
                f"{show(machine.decode_result(one))} and {show(machine.decode_result(other))}. "
                f"{cause}"
            )
    for number, (one, other) in enumerate(zip(left.snapshots, right.snapshots, strict=True)):
        if one != other:
            last = min(number * 10 + 9, len(bodies) - 1)
            raise CheckFailed(
                f"{where}: the snapshot after command {last} differs between two processes with "
                f"different PYTHONHASHSEED: {show(one)} and {show(other)}, although all results "
                f"were equal. Either the states differ, or snapshot() has no canonical order. "
                f"{cause}"
            )


def _sequences(
    machine: Machine[Any, Any], commands: Iterable[Any] | None, seeds: Iterable[int]
) -> list[list[bytes]]:
    if commands is not None:
        sequences = [[machine.encode(command) for command in commands]]
    else:
        sampler = Sampler(machine)
        sequences = []
        for seed in seeds:
            drawn = sampler.commands(Stream(seed, "check_machine", machine.name))
            sequences.append([machine.encode(c) for c in islice(drawn, SEQUENCE_COMMANDS)])
    if not any(sequences):
        raise BadInput(f"machine {machine.name}: no commands to check it with, expected some")
    return sequences


def _job(machine: Machine[Any, Any], sequences: list[list[bytes]]) -> bytes:
    main = sys.modules.get("__main__")
    main_file = getattr(main, "__file__", None)
    try:
        pickled = pickle.dumps(machine)
        pickle.loads(pickled)
    except Exception as error:
        raise BadInput(
            f"machine {machine.name}: other processes cannot import it ({error}), expected a class "
            "at the top level of a module"
        ) from None
    uses_main = b"__main__" in pickled
    if uses_main and not (main_file and os.path.exists(main_file)):
        raise BadInput(
            f"machine {machine.name}: defined in an interactive session, which other processes "
            "cannot import, expected a class in a module file"
        )
    return pickle.dumps(
        {
            "path": [os.path.abspath(entry) for entry in sys.path],
            "main": main_file if uses_main else None,
            "machine": pickled,
            "sequences": sequences,
        }
    )


def _run(job: bytes, where: str, timeout_s: float) -> list[Report]:
    """Both processes at once; neither outlives this call."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = f"import sys; sys.path.insert(0, {source!r})\n"
    start += "from concur.machines import probe; probe.main()"
    children = []
    try:
        for hash_seed, zone in zip(HASH_SEEDS, TIME_ZONES, strict=True):
            environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": zone}
            child = subprocess.Popen(
                [sys.executable, "-c", start],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
            children.append(child)
            assert child.stdin is not None
        outputs = _communicate(children, job, where, timeout_s)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    reports = []
    for child, (output, errors) in zip(children, outputs, strict=True):
        try:
            reports.append(msgspec.msgpack.decode(output, type=Report))
        except msgspec.DecodeError:
            lines = errors.decode("utf-8", "replace").strip().splitlines() or ["no message"]
            raise CheckFailed(
                f"{where}: a process that applied commands ended with status {child.returncode} "
                f"before it could report: {lines[-1]}. The machine has to be importable, and "
                "apply must not end the process."
            ) from None
    return reports


def _communicate(
    children: "list[subprocess.Popen[bytes]]", job: bytes, where: str, timeout_s: float
) -> list[tuple[bytes, bytes]]:
    # A job is larger than a pipe holds, and a child reads all of it before it does anything, so
    # write to both first: then they work at the same time.
    for child in children:
        assert child.stdin is not None
        try:
            child.stdin.write(job)
            child.stdin.close()
        except BrokenPipeError:
            pass
        child.stdin = None
    outputs = []
    for child in children:
        try:
            outputs.append(child.communicate(timeout=timeout_s))
        except subprocess.TimeoutExpired:
            raise CheckFailed(
                f"{where}: applying the commands took longer than {timeout_s} s. "
                "Look for a loop without end in apply."
            ) from None
    return outputs
