"""A register that many write, without consensus: Attiya, Bar-Noy and Dolev's (ABD), 1995.

Every server holds a value with a timestamp (number, server). A server that is asked to read or
write runs two phases, each of which needs answers from a majority, itself among them. First it
queries for the latest timestamp. Then it records a value at a majority: its client's, under a
larger timestamp, or, to read, the latest that it found. A read must write too: otherwise a second
read could be told an older value than the first, of which only a minority knows.

The multi-writer form (Lynch and Shvartsman 1997), encoded as Stateright does: a server runs one
operation at a time and leaves further requests in the network, where nothing is lost or doubled.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from concur.verify import Behaviour, Step, System
from tests.verify.registers import Get, GetOk, Put, PutOk, register_system

Stamp = tuple[int, int]
"""(number, server)"""
Stamped = tuple[Stamp, str | None]


class Query(msgspec.Struct, frozen=True):
    request: int


class AckQuery(msgspec.Struct, frozen=True):
    request: int
    stamped: Stamped


class Record(msgspec.Struct, frozen=True):
    request: int
    stamped: Stamped


class AckRecord(msgspec.Struct, frozen=True):
    request: int


class Querying(msgspec.Struct, frozen=True):
    """First phase: which value is the latest?"""

    request: int
    client: int
    write: str | None
    """What to write; None: this is a read."""
    responses: tuple[tuple[int, Stamped], ...]


class Recording(msgspec.Struct, frozen=True):
    """Second phase: a majority shall know the value."""

    request: int
    client: int
    reads: bool
    acks: tuple[int, ...]


class Copy(msgspec.Struct, frozen=True):
    """The state of a server."""

    stamped: Stamped
    phase: Querying | Recording | None = None
    read: str | None = None
    """What the read in its second phase will return."""


class Server(Behaviour):
    """Places 0 to `servers` - 1."""

    def __init__(self, place: int, servers: int) -> None:
        self.place = place
        self.name = f"s{place + 1}"
        self.others = tuple(other for other in range(servers) if other != place)
        self.majority = servers // 2 + 1

    def start(self) -> Iterable[Step]:
        yield Step(Copy(((0, self.place), None)))

    def receive(self, state: Copy, source: int, message: Any) -> Iterable[Step]:
        replace = msgspec.structs.replace
        phase = state.phase
        match message:
            case Put(request, value) if phase is None:
                yield self.query(state, request, source, value)
            case Get(request) if phase is None:
                yield self.query(state, request, source, None)
            case Query(request):
                yield Step(state, ((source, AckQuery(request, state.stamped)),))
            case AckQuery(request, stamped) if (
                isinstance(phase, Querying) and phase.request == request
            ):
                responses = tuple(sorted({**dict(phase.responses), source: stamped}.items()))
                if len(responses) == self.majority:
                    yield self.record(state, phase, responses)
                else:
                    yield Step(replace(state, phase=replace(phase, responses=responses)))
            case Record(request, stamped):
                acknowledgement = (source, AckRecord(request))
                latest = max(state.stamped, stamped, key=stamp)
                yield Step(replace(state, stamped=latest), (acknowledgement,))
            case AckRecord(request) if (
                isinstance(phase, Recording)
                and phase.request == request
                and source not in phase.acks
            ):
                acks = tuple(sorted((*phase.acks, source)))
                if len(acks) == self.majority:
                    answer = GetOk(request, state.read) if phase.reads else PutOk(request)
                    yield Step(Copy(state.stamped), ((phase.client, answer),))
                else:
                    yield Step(replace(state, phase=replace(phase, acks=acks)))

    def query(self, state: Copy, request: int, client: int, write: str | None) -> Step:
        phase = Querying(request, client, write, ((self.place, state.stamped),))
        return Step(msgspec.structs.replace(state, phase=phase), self.all_others(Query(request)))

    def record(
        self, state: Copy, phase: Querying, responses: tuple[tuple[int, Stamped], ...]
    ) -> Step:
        latest = max((stamped for _, stamped in responses), key=stamp)
        reads = phase.write is None
        written = latest if reads else ((latest[0][0] + 1, self.place), phase.write)
        after = Copy(
            max(state.stamped, written, key=stamp),
            Recording(phase.request, phase.client, reads, (self.place,)),
            latest[1] if reads else None,
        )
        return Step(after, self.all_others(Record(phase.request, written)))

    def all_others(self, message: Any) -> tuple[tuple[int, Any], ...]:
        return tuple((other, message) for other in self.others)


def stamp(stamped: Stamped) -> Stamp:
    return stamped[0]


def abd_register(clients: int, servers: int) -> System:
    places: list[Behaviour] = [Server(place, servers) for place in range(servers)]
    return register_system("ABD register", places, clients)
