"""Models: what operations should be those of, whoever's database they were recorded from.

`model("queue")` gives one by name, `model("kv", initial="")` one that starts from another value. A
model is a `concur.histories.Specification` and goes into `check`. Where Concur has a machine for
it, the model is that machine; the others are made here. `Nondeterministic` is the base of your own
models in which an operation may lead to several states.
"""

import importlib
from typing import Any

from concur.errors import BadInput
from concur.histories.models.base import DROPPED, EVIDENCE, FAILED_CAS, UNSET, Model
from concur.histories.models.counter import CounterModel, FetchAddModel
from concur.histories.models.kv import KvModel
from concur.histories.models.lock import LockModel
from concur.histories.models.multi_register import MultiRegisterModel
from concur.histories.models.nondeterministic import UNKNOWN, Asked, Nondeterministic, StepFailed
from concur.histories.models.priority_queue import PriorityQueueModel
from concur.histories.models.queue import QueueModel
from concur.histories.models.register import CasRegisterModel, RegisterModel
from concur.histories.models.set import SetModel
from concur.histories.models.stack import StackModel
from concur.histories.specification import Specification
from concur.machines.load import load

__all__ = [
    "DROPPED",
    "EVIDENCE",
    "FAILED_CAS",
    "MODELS",
    "UNKNOWN",
    "UNSET",
    "Asked",
    "CasRegisterModel",
    "CounterModel",
    "FetchAddModel",
    "KvModel",
    "LockModel",
    "Model",
    "MultiRegisterModel",
    "Nondeterministic",
    "PriorityQueueModel",
    "QueueModel",
    "RegisterModel",
    "SetModel",
    "StackModel",
    "StepFailed",
    "model",
]

MODELS: dict[str, type[Model]] = {
    kind.name: kind
    for kind in (
        RegisterModel,
        CasRegisterModel,
        KvModel,
        CounterModel,
        FetchAddModel,
        LockModel,
        SetModel,
        QueueModel,
        StackModel,
        PriorityQueueModel,
        MultiRegisterModel,
    )
}


def model(name: str, *, initial: Any = UNSET, failed_cas: str = DROPPED) -> Specification:
    """The model of that name, or the one of your own at `package.module:Class` (or `:instance`).

    `initial` is the value before any operation. `failed_cas`: what a failed compare-and-set says,
    nothing ("dropped"; one whose error is `mismatch` says it all the same) or that the value was
    another ("evidence"). Raises BadInput for an unknown name, an initial value of the wrong type,
    and a `failed_cas` that the model does not have.
    """
    kind = MODELS.get(name)
    if kind is not None:
        return kind(initial, failed_cas)
    if ":" not in name:
        names = ", ".join(MODELS)
        raise BadInput(f"model {name!r}: unknown, expected one of {names}, or package.module:Class")
    if initial is not UNSET or failed_cas != DROPPED:
        option = "initial" if initial is not UNSET else "failed_cas"
        raise BadInput(f"model {name!r}: {option}, expected none: it is for models by name only")
    return _own(name) or load(name)


def _own(path: str) -> Specification | None:
    """A Nondeterministic or Model at that path; None lets `load` look and complain."""
    module, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    if isinstance(found, type) and issubclass(found, Nondeterministic | Model):
        try:
            found = found()
        except TypeError as error:
            raise BadInput(
                f"model {path}: {error}; expected an instance, or a class that needs no arguments"
            ) from None
    return found if isinstance(found, Nondeterministic | Model) else None
