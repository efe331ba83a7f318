"""Durable before visible (CORE 5): what the simulated disk and the release queue promise."""

from typing import Any

import pytest

from concur import Map, Node, Protocol, Role, durable, on
from concur.effects import Invoke, Ok, Start
from concur.messages import Message
from concur.properties import Property
from concur.simulate.costs import Costs, Cpu, Disk
from concur.simulate.networks import network
from concur.simulate.world import World
from concur.testing.unsafe import persist_separately, release_out_of_order, send_before_durable

SYNC_NS = 10_000_000
COSTS = Costs(Cpu(0, 0, 0), Cpu(0, 0, 0), Cpu(0, 0, 0), Cpu(0, 0, 0), Disk(SYNC_NS, 0))


class Write(Message, frozen=True):
    op: int


class Ask(Message, frozen=True):
    op: int


class Done(Message, frozen=True):
    op: int


class Store(Node["Stored"]):
    written: Map[int, int] = durable(Map())
    count: int = durable(0)

    @on(Write)
    def write(self, source: str, m: Write) -> None:
        self.written = self.written.put(m.op, m.op)
        self.count += 1
        self.send(source, Done(m.op))

    @on(Ask)
    def ask(self, source: str, m: Ask) -> None:
        self.send(source, Done(m.op))


class Asker(Node["Stored"]):
    @on(Invoke)
    def invoke(self, op: int, body: bytes) -> None:
        self.send("s1", Write(op) if body == b"write" else Ask(op))

    @on(Done)
    def done(self, source: str, m: Done) -> None:
        self.complete(m.op, Ok(b""))


class Stored(Protocol):
    name = "stored"
    store: type[Node[Any]] = Store

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("store", self.store, "s", 1),
            Role("client", Asker, "c", "clients", place="client", cost="client"),
        )


def world(store: type[Node[Any]] = Store, seed: int = 1) -> tuple[World, list[tuple[int, int]]]:
    protocol = type("Kind", (Stored,), {"store": store, "__annotations__": {}})()
    done: list[tuple[int, int]] = []
    made = World(
        protocol,
        replicas=1,
        clients=1,
        network=network("lan"),
        machine=None,
        seed=seed,
        costs=COSTS,
        on_complete=lambda client, op, outcome, time: done.append((op, time)),
    )
    made.start()
    return made, done


def test_a_reply_waits_for_the_sync_of_its_own_step() -> None:
    made, done = world()
    made.invoke("c1", 1, b"write")
    made.run(SYNC_NS)
    assert done == []
    made.run(3 * SYNC_NS)
    assert [op for op, _ in done] == [1]
    assert done[0][1] > SYNC_NS


def test_a_reply_that_persists_nothing_waits_for_earlier_steps() -> None:
    made, done = world()
    made.invoke("c1", 1, b"write")
    made.run(1_000_000)
    made.invoke("c1", 2, b"ask")
    made.run(SYNC_NS)
    assert done == []
    made.run(3 * SYNC_NS)
    assert {op for op, _ in done} == {1, 2}


@pytest.mark.parametrize("broken", [send_before_durable, release_out_of_order])
def test_the_unsafe_variants_answer_too_early(broken: Any) -> None:
    made, done = world(broken(type("Broken", (Store,), {})))
    made.invoke("c1", 1, b"write")
    made.run(1_000_000)
    made.invoke("c1", 2, b"ask")
    made.run(SYNC_NS)
    expected = {1, 2} if broken is send_before_durable else {2}
    assert {op for op, _ in done} == expected


def test_a_crash_keeps_a_prefix_of_the_records_and_says_nothing_of_the_rest() -> None:
    kept = set()
    for at in range(1, 12):
        made, done = world(seed=at)
        for op in range(1, 4):
            made.invoke("c1", op, b"write")
            made.run(made.now + 1_000_000)
        made.run(made.now + at * SYNC_NS // 4)
        answered = {op for op, _ in done}
        made.crash("s1")
        made.restart("s1")
        made.run(made.now + 1)
        node = made.places["s1"].node
        assert isinstance(node, Store)
        assert not made.violations
        assert node.count == len(node.written)  # one step, one record, all or nothing
        assert list(node.written) == list(range(1, node.count + 1))  # a prefix
        assert answered <= set(node.written)
        kept.add(node.count)
    assert len(kept) > 1


def test_fields_persisted_separately_can_be_torn_apart() -> None:
    torn = False
    for seed in range(40):
        made, _ = world(persist_separately(type("Broken", (Store,), {})), seed)
        made.invoke("c1", 1, b"write")
        made.run(1_000_000)
        made.crash("s1")
        made.restart("s1")
        made.run(made.now + 1)
        node = made.places["s1"].node
        assert isinstance(node, Store)
        torn = torn or node.count != len(node.written)
    assert torn


def test_a_wiped_host_starts_as_wiped_and_a_restarted_one_as_restarted() -> None:
    begun: list[str] = []

    class Telling(Store):
        @on(Start)
        def start(self, event: Start) -> None:
            begun.append(event.kind)

    made, _ = world(Telling)
    made.invoke("c1", 1, b"write")
    made.run(3 * SYNC_NS)
    for wiped in (False, True, False):
        made.crash("s1")
        made.restart("s1", wiped=wiped)
        made.run(made.now + 1)
    # The last one: nothing had been written since the wipe, so it is still a wiped node.
    assert begun == ["new", "restart", "wiped", "wiped"]


def test_nothing_is_decided_before_it_is_durable() -> None:
    seen: list[int] = []

    class Watch(Property):
        name = "watch"

        def after(self, state: Any, node: str, effect: Any) -> Any:
            seen.append(effect.values[0])
            return state

    class Deciding(Store):
        @on(Write)
        def write(self, source: str, m: Write) -> None:
            self.count += 1
            self.observe("counted", self.count)

    protocol = type("Kind", (Stored,), {"store": Deciding, "__annotations__": {}})()
    made = World(
        protocol,
        replicas=1,
        clients=1,
        network=network("lan"),
        machine=None,
        seed=1,
        costs=COSTS,
        properties=(Watch(),),
    )
    made.start()
    made.invoke("c1", 1, b"write")
    made.run(SYNC_NS)
    assert seen == []
    made.run(3 * SYNC_NS)
    assert seen == [1]
