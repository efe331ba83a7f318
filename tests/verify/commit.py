"""Two-phase commit once more, as places that exchange messages (compare `two_phase_commit`).

The network keeps what it delivers, as the specification's set of messages does, so this system has
exactly the states of the model. The transaction manager notes who is prepared by name.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from concur.values import Set
from concur.verify import Behaviour, Step, System

MANAGER = 0
"""The place of the transaction manager; resource managers follow."""


class Prepared(msgspec.Struct, frozen=True):
    name: str


class Manager(msgspec.Struct, frozen=True):
    """The state of the transaction manager."""

    state: str = "init"
    prepared: Set[str] = Set()


class TransactionManager(Behaviour):
    name = "tm"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def start(self) -> Iterable[Step]:
        return [Step(Manager())]

    def tell(self, what: str) -> tuple[tuple[int, str], ...]:
        return tuple((1 + place, what) for place in range(len(self.names)))

    def receive(self, state: Manager, source: int, message: Prepared) -> Iterable[Step]:
        if state.state == "init":
            yield Step(Manager("init", state.prepared.add(message.name)))

    def moves(self, state: Manager) -> Iterable[tuple[str, Step]]:
        if state.state != "init":
            return
        if len(state.prepared) == len(self.names):
            yield "commits", Step(Manager("committed", state.prepared), self.tell("commit"))
        yield "aborts", Step(Manager("aborted", state.prepared), self.tell("abort"))


class ResourceManager(Behaviour):
    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> Iterable[Step]:
        return [Step("working")]

    def receive(self, state: str, source: int, message: str) -> Iterable[Step]:
        return [Step("committed" if message == "commit" else "aborted")]

    def moves(self, state: str) -> Iterable[tuple[str, Step]]:
        if state == "working":
            yield "prepares", Step("prepared", ((MANAGER, Prepared(self.name)),))
            yield "aborts", Step("aborted")


class Favourite(ResourceManager):
    """A resource manager that looks at its name: only the first one aborts by itself."""

    def moves(self, state: str) -> Iterable[tuple[str, Step]]:
        for name, step in super().moves(state):
            if name != "aborts" or self.name == "rm1":
                yield name, step


def commit(managers: int, kind: type[ResourceManager] = ResourceManager, **options: Any) -> System:
    names = tuple(f"rm{number + 1}" for number in range(managers))
    behaviours: list[Behaviour] = [TransactionManager(names), *map(kind, names)]
    return System(behaviours, network="duplicating", name="two-phase commit", **options)
