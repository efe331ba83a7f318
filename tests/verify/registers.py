"""What the register models share: clients that write and then read, and a judge of their history.

A client has one value of its own. It asks one server to store it, and when that is confirmed it
asks the next server for the value of the register. So C clients make C writes and C reads.

The judge's value is the history in a form that forgets real time but keeps what matters for
linearizability: for each operation of a client, how many operations of each other client had
returned when it was called. Two runs with the same answers and the same such numbers are judged
once.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from concur.histories import History, check
from concur.machines.register import Register
from concur.verify import Behaviour, Observer, Step, System


class Put(msgspec.Struct, frozen=True):
    request: int
    value: str


class PutOk(msgspec.Struct, frozen=True):
    request: int


class Get(msgspec.Struct, frozen=True):
    request: int


class GetOk(msgspec.Struct, frozen=True):
    request: int
    value: str | None


class Call(msgspec.Struct, frozen=True):
    """Event: a client asks for something."""

    f: str
    value: str | None = None


class Return(msgspec.Struct, frozen=True):
    """Event: a client was answered."""

    value: str | None = None


class Asking(msgspec.Struct, frozen=True):
    """A client's state: the request it waits for, if any, and how many it has made."""

    awaiting: int | None
    made: int


class Client(Behaviour):
    """Writes its value at one server, then reads at the next. Places 0 to `servers` - 1 serve."""

    def __init__(self, place: int, servers: int) -> None:
        self.place = place
        self.servers = servers
        self.value = chr(ord("A") + place - servers)
        self.name = f"c{place - servers + 1}"

    def start(self) -> Iterable[Step]:
        request = self.place  # requests of one client are multiples of its place: no two are equal
        put = (self.place % self.servers, Put(request, self.value))
        yield Step(Asking(request, 1), (put,), (Call("write", self.value),))

    def receive(self, state: Asking, source: int, message: Any) -> Iterable[Step]:
        match message:
            case PutOk(request) if request == state.awaiting:
                request = (state.made + 1) * self.place
                get = ((self.place + state.made) % self.servers, Get(request))
                events = (Return(), Call("read"))
                yield Step(Asking(request, state.made + 1), (get,), events)
            case GetOk(request, value) if request == state.awaiting:
                yield Step(Asking(None, state.made + 1), (), (Return(value),))


class Operation(msgspec.Struct, frozen=True):
    """`before`: for each client, how many of its operations had returned when this was called."""

    before: tuple[int, ...]
    f: str
    value: str | None
    returned: bool = False
    result: str | None = None


Sessions = tuple[tuple[Operation, ...], ...]
"""The operations of each client, in order; of each, only the last may not have returned."""


class Linearizable(Observer):
    """Reads and writes look as if each happened at one instant between its call and its return."""

    def __init__(self, servers: int, clients: int) -> None:
        self.servers = servers
        self.clients = clients

    def initial(self) -> Sessions:
        return ((),) * self.clients

    def after(self, value: Sessions, place: int, event: Any) -> Sessions:
        client = place - self.servers
        own = value[client]
        match event:
            case Call(f, argument):
                before = tuple(sum(o.returned for o in operations) for operations in value)
                own = (*own, Operation(before, f, argument))
            case Return(result):
                done = msgspec.structs.replace(own[-1], returned=True, result=result)
                own = (*own[:-1], done)
        return (*value[:client], own, *value[client + 1 :])

    def broken(self, value: Sessions) -> tuple[str, str] | None:
        verdict = check(history(value), Register())
        return None if verdict.valid is True else ("linearizability", verdict.reason)


def history(sessions: Sessions) -> History:
    """Some history in real time that has this form: all are alike for linearizability."""
    made = History("register")
    called = [0] * len(sessions)
    returned = [0] * len(sessions)
    numbers = [0] * len(sessions)  # of the open operation of each client, in `made`

    def may_go_on(client: int) -> bool:
        operations = sessions[client]
        if called[client] == returned[client]:
            return called[client] < len(operations) and all(
                need <= have
                for need, have in zip(operations[called[client]].before, returned, strict=True)
            )
        to_come = (o for other, theirs in enumerate(sessions) for o in theirs[called[other] :])
        return operations[returned[client]].returned and all(
            operation.before[client] > returned[client] for operation in to_come
        )

    for time in count():
        client = next(filter(may_go_on, range(len(sessions))), None)
        if client is None:
            break
        operation = sessions[client][returned[client]]
        if called[client] == returned[client]:
            numbers[client] = made.invoke(client, operation.f, None, operation.value, time)
            called[client] += 1
        else:
            value = operation.result if operation.f == "read" else operation.value
            made.complete(numbers[client], "ok", value, time)
            returned[client] += 1
    assert called == [len(operations) for operations in sessions], sessions
    return made


def register_system(name: str, servers: list[Behaviour], clients: int, **options: Any) -> System:
    """The system of these servers and so many clients, with linearizability as its property."""
    first = len(servers)
    places = [*servers, *(Client(first + number, first) for number in range(clients))]
    return System(
        places,
        Linearizable(first, clients),
        name=f"{name} with {first} servers and {clients} clients",
        envelopes_max=1,
        **options,
    )
