"""No command is executed twice, however that comes about, and whether or not anybody could tell."""

from collections import Counter as Tally
from typing import Any

import msgspec
import pytest

from concur.base import Role
from concur.effects import Timer
from concur.errors import BadInput
from concur.machines import Adaptor, KeyValue, Machine
from concur.machines.kv import Get, Put
from concur.node import on
from concur.parts.client import Reply, Request
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Server, Unreplicated, UnreplicatedClient
from concur.verify.nodes.counting import AT_MOST_ONCE, Counting, repeated
from concur.verify.scenario import Scenario
from concur.verify.verify import Verification, verify

PUT = ((Put("x", "a"),),)


class NoTable(Server):
    """Hands commands to the machine past the session table."""

    @on(Request)
    def serve(self, source: str, m: Request) -> None:
        if not m.command.body:
            super().serve(source, m)
            return
        self.log = self.log.append(m.command)
        self.machine_state, result = self.machine.run(self.machine_state, m.command.body)
        self.executed += 1
        self.decide(self.executed, m.command)
        self.send(source, Reply(m.command.session, m.command.seq, result))


class AnotherNumber(UnreplicatedClient):
    """Asks again under a new number, as if it were another command."""

    @on(Timer("retry"))
    def retry(self, op: int) -> None:
        operation = next((o for o in self.operations if o.op == op), None)
        if operation is not None and op > 0 and not operation.read and operation.session:
            self.last_seq += 1
            self._replace(msgspec.structs.replace(operation, seq=self.last_seq))
        super().retry(op)


class Repeating(Unreplicated):
    name = "repeating"
    server = NoTable
    client = UnreplicatedClient

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("server", self.server, "r", 1),
            Role("client", self.client, "c", "clients", place="client", cost="client"),
        )


class Renumbering(Repeating):
    name = "renumbering"
    server = Server
    client = AnotherNumber


def searched(protocol: Unreplicated, **bounds: Any) -> Verification:
    given: dict[str, Any] = {"clients": 1, "commands": PUT, "timeouts_max": "retry=1"}
    return verify(
        protocol, replicas=1, strategy="breadth-first", budget_s=None, **{**given, **bounds}
    )


@pytest.mark.parametrize("protocol", [Repeating(), Renumbering()], ids=lambda p: p.label)
def test_a_put_that_is_executed_twice_is_found_though_no_client_can_tell(
    protocol: Unreplicated,
) -> None:
    answer = searched(protocol)
    assert (answer.verdict, answer.property) == ("violated", AT_MOST_ONCE)
    assert answer.reason == "r1 executed Put(key='x', value='a') once more"


def test_the_session_table_keeps_retries_from_being_executed() -> None:
    answer = searched(Unreplicated())
    assert (answer.verdict, answer.property) == ("holds", "")


def test_what_clients_ask_for_several_times_may_be_executed_as_often() -> None:
    equal = ((Put("x", "a"), Put("x", "a")),)
    assert searched(Unreplicated(), commands=equal, timeouts_max=0).verdict == "holds"
    answer = searched(Repeating(), commands=equal)
    assert answer.property == AT_MOST_ONCE


# --- the machine that counts ----------------------------------------------------------------------

MACHINE = KeyValue()
BODIES = [MACHINE.encode(Put("x", "a")), MACHINE.encode(Put("x", "b"))]


def counting(machine: Machine[Any, Any] = MACHINE) -> Counting:
    return Counting(machine, Tally(BODIES))


def test_it_answers_as_the_machine_does() -> None:
    here = counting()
    state, plain = here.initial(), MACHINE.initial()
    for body in (*BODIES, MACHINE.encode(Get("x")), b"no command"):
        (state, result), (plain, expected) = here.run(state, body), MACHINE.run(plain, body)
        assert result == expected
        assert state.state == plain
    assert dict(state.times.items()) == dict.fromkeys(BODIES, 1)


def test_the_count_goes_with_the_state() -> None:
    """Back with it, into snapshots, and through bytes."""
    here = counting()
    before = here.initial()
    once, _ = here.run(before, BODIES[0])
    for state in (once, here.release(here.capture(once)), here.restore(here.snapshot(once))):
        assert state == once
        assert not repeated(state)
        assert repeated(here.run(state, BODIES[0])[0]) == BODIES[0]
    assert not repeated(here.run(before, BODIES[0])[0])


def test_reading_does_not_count() -> None:
    here = counting()
    state = here.initial()
    assert here.run(state, MACHINE.encode(Get("x")))[0] == state


def test_a_command_of_which_clients_know_nothing_may_be_executed() -> None:
    """That somebody asked for it is another property: validity."""
    here = counting()
    unknown = MACHINE.encode(Put("y", 1))
    state, _ = here.run(here.run(here.initial(), unknown)[0], unknown)
    assert not repeated(state)


def test_a_machine_that_changes_an_object_in_place_is_refused() -> None:
    class Cell:
        def apply(self, command: Any) -> None: ...

        def snapshot(self) -> bytes:
            return b""

        def restore(self, data: bytes) -> None: ...

    machine = Adaptor(Cell, {"touch": ()})
    with pytest.raises(BadInput, match="machine cell: changes an object in place"):
        Scenario(protocol=Raft(), machine=machine, clients=0, commands=()).system()
