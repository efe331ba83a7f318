"""Replicated state machines: what a protocol replicates, and what checkers hold histories against.

`machine("kv")` gives one by name, `all_machines()` gives all of them, `Adaptor` makes one of your
own mutable object, `check_machine` says whether one is fit to be replicated.
"""

from typing import Any

from concur.errors import BadInput
from concur.machines.adaptor import Adaptor
from concur.machines.base import (
    Machine,
    MachineCommand,
    MachineError,
    Refused,
    RolledBack,
    Scalar,
)
from concur.machines.batch import Batch
from concur.machines.check import CheckFailed, check_machine
from concur.machines.counter import Counter
from concur.machines.kv import KeyValue
from concur.machines.load import load
from concur.machines.lock import Lock
from concur.machines.queue import Queue
from concur.machines.redis import Redis
from concur.machines.register import Register

__all__ = [
    "Adaptor",
    "Batch",
    "CheckFailed",
    "Counter",
    "KeyValue",
    "Lock",
    "Machine",
    "MachineCommand",
    "MachineError",
    "Queue",
    "Redis",
    "Refused",
    "Register",
    "RolledBack",
    "Scalar",
    "all_machines",
    "check_machine",
    "machine",
]


def all_machines() -> tuple[Machine[Any, Any], ...]:
    """One of each machine that Concur brings, in order of name."""
    return Counter(), KeyValue(), Lock(), Queue(), Redis(), Register()


def machine(name: str) -> Machine[Any, Any]:
    """The machine of that name, or at `package.module:Class` (or `:instance`); `kv-batch` is
    batches of `kv`.

    Raises BadInput, listing the names, if there is none.
    """
    if name.endswith("-batch"):
        return Batch(machine(name.removesuffix("-batch")))
    for known in all_machines():
        if known.name == name:
            return known
    if ":" in name:
        return load(name)
    names = ", ".join(known.name for known in all_machines())
    raise BadInput(f"machine {name!r}: unknown, expected one of {names}, or package.module:Class")
