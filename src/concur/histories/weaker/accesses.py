"""A history as reads and writes of registers, and which write each read may have seen.

The models below linearizability speak of reads and writes, not of arbitrary operations. So a
history is first turned into accesses:

* a *write* is a `write` or `put`, a *read* a `read` or `get`; keys name independent registers;
* a failed operation did not happen and is left out; so is a read without an outcome;
* a write without an outcome may have happened, at any time after its call. If nobody can have
  read its value it is left out, which is exact: it is the last operation of its process, so
  nothing is ever required to come after it;
* the initial value is read "from nobody". It is what the machine reads in its initial state.

Any other operation (compare-and-set, append, scan, delete) makes the models that are defined for
registers not applicable, and `Accesses` says so by NotApplicable.

A read's *candidates* are the writes of its key with the value that it returned (and INITIAL if that
is the initial value). With unique values there is exactly one. If there is none, the value came
out of thin air, and every model here is broken.
"""

from collections.abc import Sequence
from typing import Any

from concur.errors import BadInput
from concur.histories.admission import dropped
from concur.histories.explain import describe, phrase
from concur.histories.history import History, Operation
from concur.histories.identity import identity
from concur.histories.specification import Specification
from concur.histories.weaker.budget import NotApplicable

READS = ("read", "get")
WRITES = ("write", "put")

INITIAL = -1
"""Stands for the write of the initial value."""

UNKNOWN = -2
"""Stands for the source of a read that is not decided (yet): the read says nothing."""


class Accesses:
    """The accesses of a history, numbered in the order of their calls.

    Processes and keys are numbered densely, in order of appearance. `rank` counts the accesses of
    one process from 1. `evidence` tells whether something refused says what was not there, which
    is left out here. Raises BadInput for an operation that is none of the machine's and
    NotApplicable for one that is neither read nor write.
    """

    def __init__(self, history: History, machine: Specification) -> None:
        happened = [op for op in history.operations() if op.type != "fail"]
        self._refused = [op for op in history.operations() if op.type == "fail"]
        self.evidence = any(not dropped(op) for op in self._refused)
        initial = _initial_values(happened, machine)
        written: dict[tuple[Any, Any], list[int]] = {}
        wanted = {
            (identity(op.key), identity(op.result))
            for op in happened
            if op.f in READS and op.type == "ok"
        }
        self.operations: list[Operation] = []
        self.is_write: list[bool] = []
        for op in happened:
            if op.type == "info" and (
                op.f in READS or (identity(op.key), identity(op.value)) not in wanted
            ):
                continue
            self.operations.append(op)
            self.is_write.append(op.f in WRITES)
        count = len(self.operations)
        self.process: list[int] = []
        self.key: list[int] = []
        self.keys: list[Any] = []
        self.rank: list[int] = []
        self.processes: list[list[int]] = []  # accesses of each process, in its order
        process_number: dict[int, int] = {}
        key_number: dict[Any, int] = {}
        for i, op in enumerate(self.operations):
            process = process_number.setdefault(op.process, len(process_number))
            if process == len(self.processes):
                self.processes.append([])
            key = key_number.setdefault(identity(op.key), len(key_number))
            if key == len(self.keys):
                self.keys.append(op.key)
            self.processes[process].append(i)
            self.process.append(process)
            self.key.append(key)
            self.rank.append(len(self.processes[process]))
            if self.is_write[i]:
                written.setdefault((key, identity(op.value)), []).append(i)
        self.candidates: list[list[int]] = [[] for _ in range(count)]
        self.reads = [i for i in range(count) if not self.is_write[i]]
        self.writes = [i for i in range(count) if self.is_write[i]]
        for i in self.reads:
            op = self.operations[i]
            value = identity(op.result)
            found = written.get((self.key[i], value), [])
            self.candidates[i] = [INITIAL, *found] if value == initial[identity(op.key)] else found

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def ambiguous(self) -> list[int]:
        """The reads of which nobody can say, by the value alone, which write they saw."""
        return [i for i in self.reads if len(self.candidates[i]) > 1]

    def fixed_sources(self) -> list[int]:
        """For each access the write that it certainly read; UNKNOWN for writes and other reads."""
        return [c[0] if len(c) == 1 else UNKNOWN for c in self.candidates]

    def thin_air(self) -> list[str]:
        """Lines about the first read of a value that nobody wrote; empty if there is none."""
        for i in self.reads:
            if not self.candidates[i]:
                op = self.operations[i]
                lines = [self.describe(i), f"  but nothing ever wrote {phrase(op.result)}"]
                for refused in self._refused:
                    if (
                        refused.f in WRITES
                        and identity(refused.key) == identity(op.key)
                        and identity(refused.value) == identity(op.result)
                    ):
                        lines[-1] += ", except for a write that was refused:"
                        return [*lines, describe(refused)]
                return lines
        return []

    def describe(self, i: int) -> str:
        return describe(self.operations[i])

    def value(self, source: int) -> str:
        """What was read from `source`, for people."""
        return "the initial value" if source == INITIAL else phrase(self.operations[source].value)

    def by_key(self, positions: Sequence[int]) -> list[list[int]]:
        """`positions`, key by key."""
        parts: dict[int, list[int]] = {}
        for i in positions:
            parts.setdefault(self.key[i], []).append(i)
        return list(parts.values())


def _initial_values(operations: Sequence[Operation], machine: Specification) -> dict[Any, Any]:
    """What each key reads as before any write; checks that the machine is made of registers."""
    initial: dict[Any, Any] = {}
    state = machine.initial()
    probed = False
    for op in operations:
        if op.f not in READS and op.f not in WRITES:
            raise NotApplicable(f"it is defined for reads and writes, and there is a {op.f}")
        key = identity(op.key)
        try:
            command = machine.command(op.f, op.key, op.value)
            if key in initial and (probed or op.f in READS):
                continue
            read = command
            if op.f in WRITES:
                read = machine.command(_read_of(op.f), op.key, None)
                if not probed:
                    _probe(machine, command, read, op)
                    probed = True
            if not machine.read_only(read):
                raise NotApplicable(f"a {op.f} of {machine.name} is no access to a register")
        except BadInput as error:
            raise BadInput(f"history, event {op.index}: {error}") from None
        initial[key] = identity(machine.completion(read, machine.apply(state, read)[1])[1])
    return initial


def _probe(machine: Specification, write: Any, read: Any, op: Operation) -> None:
    state, _ = machine.apply(machine.initial(), write)
    _, value, _ = machine.completion(read, machine.apply(state, read)[1])
    if identity(value) != identity(op.value):
        raise NotApplicable(f"a {op.f} of {machine.name} is no write to a register")


def _read_of(f: str) -> str:
    return READS[WRITES.index(f)]
