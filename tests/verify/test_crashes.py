"""A crash under a driver that syncs many steps at once comes to nothing that is not explored.

The driver here is written against the rule alone (CORE.md, 5): it takes steps, writes their records
in groups, and releases what they send when their group is durable. It crashes at every moment.
"""

from collections.abc import Iterator
from itertools import chain, combinations, permutations
from typing import Any

import pytest

from concur.effects import Deliver, Persist, Send, Start, patch
from concur.machines.kv import Get
from concur.node import Config, Node, durable, on
from concur.testing.unsafe import send_before_durable
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.scenario import Scenario
from tests.verify.ping import Ping, PingPong, Pong, Server

CLIENTS = 3
Sent = tuple[str, int]
"""To whom, and the number that it says."""
Outcome = tuple[tuple[tuple[str, Any], ...], frozenset[Sent]]
"""What is on disk after a crash, and which messages get through."""


class Numbering(Server):
    """Tells each client how many came before it: no two messages are equal."""

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        self.kept += 1
        self.send(source, Pong(10 + self.kept))


class Sparing(Server):
    """Writes for every other client only: those between wait for records that are not theirs."""

    seen: int = 0

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        self.seen += 1
        if self.seen % 2:
            self.kept = 100 + self.seen
        self.send(source, Pong(10 + self.seen))


class Halves(Server):
    """Writes two fields in a step: they come to the disk together, or not at all."""

    other: int = durable(0)

    @on(Ping)
    def answer(self, source: str, m: Ping) -> None:
        self.kept += 1
        self.other -= 1
        self.send(source, Pong(10 + self.kept))


class Unlike(PingPong):
    name = "unlike"


def protocol(server: type[Node[Any]]) -> PingPong:
    made: PingPong = type("Made", (Unlike,), {"server": server})()
    return made


# --- a driver that syncs in groups ----------------------------------------------------------------


def subsets(items: tuple[Sent, ...]) -> Iterator[tuple[Sent, ...]]:
    return chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))


def groups(steps: int) -> Iterator[tuple[int, ...]]:
    """All ways to sync so many steps: how many at a time."""
    if steps == 0:
        yield ()
    for first in range(1, steps + 1):
        for rest in groups(steps - first):
            yield (first, *rest)


def crashes(server: type[Node[Any]], *, hasty: bool = False) -> set[Outcome]:
    """All that a crash can leave, whatever came before and however the driver syncs."""
    found: set[Outcome] = set()
    for taken in range(CLIENTS + 1):
        for order in permutations(range(1, CLIENTS + 1), taken):
            records, sends = steps_of(server, order)
            for sizes in groups(taken + 1):
                found |= crashes_of(records, sends, sizes, hasty)
    return found


def steps_of(
    server: type[Node[Any]], order: tuple[int, ...]
) -> tuple[list[Persist | None], list[tuple[Sent, ...]]]:
    """The record of each step, the first of which is the start, and what it sends."""
    node = server("s1", PingPong(), Config(("s1",), (("server", ("s1",)),)))
    events = [Start("new", 1), *(Deliver(f"c{client}", Ping(1)) for client in order)]
    records: list[Persist | None] = []
    sends: list[tuple[Sent, ...]] = []
    for event in events:
        effects = node.step(event, None)  # type: ignore[arg-type]
        records.append(next((e for e in effects if isinstance(e, Persist)), None))
        sends.append(tuple((e.to, e.message.number) for e in effects if isinstance(e, Send)))  # type: ignore[attr-defined]
    return records, sends


def crashes_of(
    records: list[Persist | None],
    sends: list[tuple[Sent, ...]],
    sizes: tuple[int, ...],
    hasty: bool,
) -> set[Outcome]:
    found: set[Outcome] = set()
    begin = 0
    for size in sizes:
        end = begin + size
        before = tuple(chain.from_iterable(sends[:begin]))
        for durable_steps in range(begin, end + 1):  # in the sync: a prefix of the records
            out = tuple(chain.from_iterable(sends[:end])) if hasty else before
            found |= {(disk(records[:durable_steps]), frozenset(s)) for s in subsets(out)}
        released = tuple(chain.from_iterable(sends[:end]))
        found |= {(disk(records[:end]), frozenset(s)) for s in subsets(released)}
        begin = end
    return found


def disk(records: list[Persist | None]) -> tuple[tuple[str, Any], ...]:
    image: dict[tuple[str, str], Any] = {}
    for record in records:
        if record is not None:
            patch(image, record)
    return tuple(sorted((field, value) for (_, field), value in image.items()))


# --- the model checker ----------------------------------------------------------------------------


def explored(server: type[Node[Any]]) -> set[Outcome]:
    """All that a crash leaves in the model checker, with any messages late for ever."""
    model = Scenario(
        protocol=protocol(server),
        replicas=1,
        clients=CLIENTS,
        commands=[[Get("x")]] * CLIENTS,
        timeouts_max=0,
        faults="crash=1",
    ).system()
    found: set[Outcome] = set()
    for state in reachable(model):
        parts = model.parts(state)
        host = parts.locals[0]
        if host.down:
            held = host.seats[0].image.items()
            image = tuple(sorted((field, value) for (_, field), value in held))
            out = tuple(
                (packet.to, packet.message.number)
                for (source, _, packet), _ in parts.network
                if source == 0
            )
            found |= {(image, frozenset(s)) for s in subsets(out)}
    return found


def reachable(model: NodeSystem) -> list[int]:
    fresh = list(model.initial())
    seen = dict.fromkeys(fresh)
    while fresh:
        for after in model.successors(fresh.pop()):
            if after not in seen:
                seen[after] = None
                fresh.append(after)
    return list(seen)


@pytest.mark.parametrize("server", [Numbering, Sparing, Halves])
def test_what_a_driver_leaves_that_syncs_in_groups_is_what_is_explored(
    server: type[Node[Any]],
) -> None:
    assert crashes(server) == explored(server)


def test_two_fields_of_one_step_are_on_disk_together() -> None:
    assert all(dict(image).get("kept", 0) == -dict(image).get("other", 0)
               for image, _ in explored(Halves))  # fmt: skip


def test_a_driver_that_sends_before_it_has_written_leaves_more() -> None:
    """Which is explored where a mutant's driver does so: a step, and its messages without it."""
    more = crashes(Numbering, hasty=True) - crashes(Numbering)
    assert more
    hasty = explored(send_before_durable(type("Hasty", (Numbering,), {})))
    ahead = {(image, out) for image, out in more if not image and {n for _, n in out} == {11}}
    assert len(ahead) == CLIENTS
    assert ahead <= hasty
    assert not ahead & explored(Numbering)
