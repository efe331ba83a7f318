"""What the models of `concur.histories.models` share: an initial value, and how to read tools.

A model is a machine, taken as the specification of somebody else's object. So it may start from
another value than our machines do, and `admit` puts what tools record into its words.
"""

from typing import Any, ClassVar

import msgspec

from concur.errors import BadInput
from concur.histories.admission import MISMATCH
from concur.histories.explain import phrase
from concur.histories.history import Event
from concur.histories.identity import identity
from concur.machines.base import Machine, refuse_scalar


class Unset:
    """The type of UNSET."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = Unset()
"""No initial value was named: the model's own is meant. (None is a value.)"""

DROPPED, EVIDENCE = "dropped", "evidence"
FAILED_CAS = (DROPPED, EVIDENCE)

LENGTH_MAX = 1 << 20
"""Characters of a str, bytes of a bytes, values of an initial collection."""


class Model(Machine[Any, Any]):
    """Base of the models. Put it before the machine that a model extends."""

    keyed: ClassVar[bool] = False
    """Whether keys are its own affair even in a history in which no operation has just one."""
    words: ClassVar[tuple[str, ...]] = ()
    """Operations whose events `admit` puts into other words."""
    starts: ClassVar[Any] = None
    """The initial value if none is named."""
    blind: ClassVar[tuple[str, ...]] = ()
    """Operations that return nothing. What tools record as the `ok` of such a one, be it null or
    what was asked for, says no more than that it happened."""

    def __init__(self, initial: Any = UNSET, failed_cas: str = DROPPED) -> None:
        if failed_cas not in FAILED_CAS:
            raise BadInput(
                f"model {self.name}: failed_cas {failed_cas!r}, expected one of "
                + ", ".join(FAILED_CAS)
            )
        if failed_cas == EVIDENCE and "cas" not in self.words:
            raise BadInput(
                f"model {self.name}: failed_cas {failed_cas!r}, expected none: "
                "it has no compare-and-set"
            )
        self.failed_cas = failed_cas
        self.start = self.starting(self.starts if initial is UNSET else initial)

    def starting(self, initial: Any) -> Any:
        """The state or value to start from. Raises BadInput if `initial` has the wrong type."""
        wrong = refuse_scalar(initial, LENGTH_MAX)
        if wrong:
            raise self.wrong_initial(initial, "null, a boolean, an integer, a string or bytes")
        return initial

    def wrong_initial(self, initial: Any, expected: str) -> BadInput:
        return BadInput(f"model {self.name}: initial {phrase(initial)}, expected {expected}")

    def initial(self) -> Any:
        return self.start

    def admit(self, event: Event, asked: Event) -> Event:
        """`event`, whose f is among `words`, as the model has it; `asked` is its invocation, as
        admitted. Here: of a compare-and-set, whether it was done may be recorded as a boolean."""
        if event.type == "ok" and event.value is False:
            return msgspec.structs.replace(event, type="fail", value=asked.value, error=MISMATCH)
        if event.type == "ok" and (event.value is None or event.value is True):
            return msgspec.structs.replace(event, value=asked.value)
        if event.type == "fail" and self.failed_cas == EVIDENCE:
            return msgspec.structs.replace(event, error=MISMATCH)
        return event

    def snapshot(self, state: Any) -> bytes:
        """An encoding that tells all states apart, whatever a history held."""
        return repr(state).encode("utf-8", "surrogatepass")

    def unrecorded(self, f: str, value: Any, result: Any) -> bool:
        """Whether an `ok` with this result says no more than that it happened."""
        return f in self.blind

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Model)
            and type(self) is type(other)
            and self.failed_cas == other.failed_cas
            and identity(self.start) == identity(other.start)
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<model {self.name}, initially {phrase(self.start)}>"


def values_of(model: Model, initial: Any) -> tuple[Any, ...]:
    """An initial collection, as a tuple. Raises BadInput."""
    if not isinstance(initial, tuple | list) or len(initial) > LENGTH_MAX:
        raise model.wrong_initial(initial, "a list of values")
    for value in initial:
        if value is None or not fit(value):
            raise model.wrong_initial(initial, "a list of values, none of them null")
    return tuple(map(frozen, initial))


def fit(value: Any) -> bool:
    """Whether a history may hold it."""
    if isinstance(value, tuple | list):
        return all(map(fit, value))
    return value is None or isinstance(value, bool | int | str | bytes)


def frozen(value: Any) -> Any:
    """With tuples in the place of lists."""
    return tuple(map(frozen, value)) if isinstance(value, tuple | list) else value


def rank(value: Any) -> Any:
    """To sort values of any types by: numbers, strings ... among themselves in their order."""
    if isinstance(value, tuple):
        return "tuple", tuple(map(rank, value))
    return type(value).__name__, 0 if value is None else value


def name_of(key: Any) -> str:
    """What a state is keyed by: a string that tells 1, "1" and True apart."""
    return key if type(key) is str and not key.startswith("\0") else "\0" + repr(key)
