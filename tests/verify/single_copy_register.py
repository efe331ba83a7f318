"""A register of which each server keeps a copy of its own, without telling anybody.

With one server this is a correct register. With two it is not linearizable: one client writes at
the first server, is confirmed, and reads the old value at the second. The smallest example that has
a counter-example.
"""

from collections.abc import Iterable
from typing import Any

from concur.verify import Behaviour, Step, System
from tests.verify.registers import Get, GetOk, Put, PutOk, register_system


class Server(Behaviour):
    """Its state is the value."""

    def __init__(self, place: int) -> None:
        self.name = f"s{place + 1}"

    def start(self) -> Iterable[Step]:
        yield Step(None)

    def receive(self, state: str | None, source: int, message: Any) -> Iterable[Step]:
        match message:
            case Put(request, value):
                yield Step(value, ((source, PutOk(request)),))
            case Get(request):
                yield Step(state, ((source, GetOk(request, state)),))


def single_copy_register(clients: int, servers: int = 1) -> System:
    places: list[Behaviour] = [Server(place) for place in range(servers)]
    return register_system("single-copy register", places, clients)
