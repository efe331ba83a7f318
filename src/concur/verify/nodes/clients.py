"""Clients in the model checker: hosts that ask for one command after the other.

A client asks for the next of its commands when the last one has ended, at once or later. It does
not crash: for everybody else that is the same as one whose answers never arrive.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from concur.base import Role
from concur.effects import Invoke
from concur.errors import BadInput
from concur.machines import KeyValue, Machine
from concur.machines.kv import Get, Put
from concur.verify.engine.behaviour import Step
from concur.verify.nodes.host import Cast, Host, HostState
from concur.verify.nodes.stage import Stage

COMMANDS_MAX = 100
"""Commands of all clients: far more than can be explored."""


class ClientHost(Host):
    """A client with a script: `bodies` are its encoded commands, in order."""

    def __init__(
        self, cast: Cast, place: int, seats: tuple[tuple[str, Role], ...], bodies: tuple[bytes, ...]
    ) -> None:
        super().__init__(cast, place, seats)
        self.bodies = bodies

    def moves(self, state: HostState) -> Iterable[tuple[str, Step]]:
        if not state.waits and state.asked < len(self.bodies):
            asked = msgspec.structs.replace(state, asked=state.asked + 1, waits=True)
            invoke = Invoke(asked.asked, self.bodies[state.asked])

            def act(stage: Stage) -> None:
                stage.say(self.name, invoke)
                stage.step(0, invoke)

            yield from self._named(f"asks for its command {asked.asked}", asked, act)
        yield from super().moves(state)


def scripts(
    machine: Machine[Any, Any], clients: int, commands: "int | Sequence[Sequence[Any]] | None"
) -> tuple[tuple[Any, ...], ...]:
    """The commands of each client. None: each puts a value of its own, then gets, on one key.

    A number is how many commands there are in all, dealt out in turn: puts first, then gets.
    """
    if commands is not None and not isinstance(commands, int):
        given = tuple(tuple(script) for script in commands)
        if len(given) != clients:
            raise BadInput(f"commands: of {len(given)} clients, expected those of {clients}")
        for script in given:
            for command in script:
                machine.encode(command)
        return given
    if not isinstance(machine, KeyValue):
        raise BadInput(f"commands: expected those of each client, for machine {machine.name}")
    number = 2 * clients if commands is None else commands
    if not 0 <= number <= COMMANDS_MAX or isinstance(number, bool):
        raise BadInput(f"commands: {number}, expected a whole number from 0 to {COMMANDS_MAX}")
    if number and not clients:
        raise BadInput(f"clients: none, expected at least one to ask for {number} commands")
    dealt: list[list[Any]] = [[] for _ in range(clients)]
    for at in range(number):
        client, turn = at % clients, at // clients
        put = turn % 2 == 0
        dealt[client].append(Put("x", f"v{client + 1}.{turn + 1}") if put else Get("x"))
    return tuple(tuple(script) for script in dealt)
