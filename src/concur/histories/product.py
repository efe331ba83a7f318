"""Several machines as one: what a history is held against if their operations depend on each other.

Linearizability is local, so each machine is usually checked alone. Where two processes go on in the
same instant (`concur.histories.timeline`) it is not, and all are searched at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from concur.histories.history import Operation
from concur.histories.identity import identity
from concur.histories.specification import Specification


class Addressed(NamedTuple):
    """A command for the machine of that number."""

    machine: int
    command: Any


class Product:
    """The specification of several machines of one kind, told apart by the keys of operations. A
    state has that of each machine."""

    def __init__(self, one: Specification, operations: Sequence[Operation]) -> None:
        self.one = one
        names = dict.fromkeys(identity(op.key) for op in operations)
        self.numbers = {name: number for number, name in enumerate(names)}
        self.name = f"several of {one.name}"

    def __getattr__(self, name: str) -> Any:
        """What a specification may have besides: which outcomes say nothing."""
        if name in ("one", "observes"):
            raise AttributeError(name)
        return getattr(self.one, name)

    def initial(self) -> tuple[Any, ...]:
        return (self.one.initial(),) * len(self.numbers)

    def apply(self, state: tuple[Any, ...], to: Addressed, /) -> tuple[tuple[Any, ...], Any]:
        after, result = self.one.apply(state[to.machine], to.command)
        return (*state[: to.machine], after, *state[to.machine + 1 :]), result

    def read_only(self, to: Addressed, /) -> bool:
        return self.one.read_only(to.command)

    def key(self, to: Addressed, /) -> None:
        return None

    def command(self, f: str, key: Any, value: Any, /) -> Addressed:
        return Addressed(self.numbers[identity(key)], self.one.command(f, key, value))

    def event(self, to: Addressed, /) -> tuple[str, Any, Any]:
        return self.one.event(to.command)

    def completion(self, to: Addressed, result: Any, /) -> tuple[str, Any, str | None]:
        return self.one.completion(to.command, result)

    def snapshot(self, state: tuple[Any, ...], /) -> Any:
        return tuple(map(self.one.snapshot, state))
