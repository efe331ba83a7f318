"""What the model checker remembers of a run, and judges: histories of clients, and global folds.

| property | what it says | where it is checked |
| --- | --- | --- |
| `linearizability` | what clients saw has an order that the machine allows | `Judge.broken` |
| `agreement` | no two decide differently in a slot, nor one at two times | `concur.properties` |
| `at_most_one_leader_per_ballot` | or term, or view | `concur.properties` |
| `validity` | what is decided, a client has asked for by then | `Judge` |
| integrity | one decision for a slot, and of what was proposed | agreement and validity |
| `at_most_once` | no machine executes a command twice | `counting`, `stage.Seated.check` |
| `every_operation_ends_exactly_once` | and not before it began | `stage.Stage.say` |
| `no_step_raises` | assertions of the code hold | `stage.Seated.step` |
| the invariants of nodes, by their names | local properties | `stage.Seated.check` |
| others | folds over decisions and observations | `Scenario.properties` |

A history holds no times. For each client it has what its operations came to, and for each of them
how many operations of each other client had ended when it was asked for: exactly the order in real
time that linearizability refers to. So situations that no client can tell apart are equal values,
and each distinct history is checked once.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from concur.effects import Complete, Decide, Definite, Invoke, Observe, Ok
from concur.histories import History, check
from concur.machines import Machine
from concur.parts.sessions import opening
from concur.properties import Broken, LeaderUniqueness, Property
from concur.values import Set
from concur.verify.engine.behaviour import Observer
from concur.verify.nodes.host import LOST
from concur.verify.nodes.stage import Fact, Wrong

CHECK_S_MAX = 60.0
"""For one history, of a few operations; it takes microseconds."""

OPENING = opening("", 0).session
"""Sessions are opened by commands that no client asked for, in sessions named like this."""

OK, FAIL, INFO = "ok", "fail", "info"

Ends = tuple[int, ...]
"""How many operations of each client had ended."""


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """An operation that ended. `result` is encoded; `type` is "info" if nobody knows (effects)."""

    seen: Ends
    type: str
    result: bytes = b""


class Client(msgspec.Struct, frozen=True, array_like=True):
    """A client's operations: those that ended, and what the one under way had `seen`."""

    ended: tuple[Ended, ...] = ()
    asked: Ends | None = None


class Judged(msgspec.Struct, frozen=True, array_like=True):
    """The value of the observer. Once something is `wrong`, or too much is `forgotten`, no more is
    noted: nothing that follows matters."""

    clients: tuple[Client, ...]
    folds: tuple[Any, ...]
    forgotten: Set[str] = Set()
    wrong: Wrong | None = None
    over: bool = False


class Judge(Observer):
    """Linearizability of what clients saw, the properties, validity, and the local properties.

    `scripts` are the commands of each client by its id, in order. `forget_max` is how many
    replicas may have lost their memory at a time; a run in which more do proves nothing, and is
    `over`.
    """

    def __init__(
        self,
        scripts: "dict[str, tuple[Any, ...]]",
        machine: Machine[Any, Any],
        properties: Sequence[Property],
        forget_max: int,
    ) -> None:
        self.scripts = scripts
        self.machine = machine
        self.properties = tuple(properties)
        self.forget_max = forget_max
        self._clients = {id: at for at, id in enumerate(scripts)}
        self._bodies = [[machine.encode(c) for c in script] for script in scripts.values()]

    def heard(self, observed: Observe) -> bool:
        """Whether anybody here wants to know: the fewer facts, the fewer different runs."""
        if observed.name in ("leader", "recovered"):
            return True
        return any(
            Observe in known.watches and type(known) is not LeaderUniqueness
            for known in self.properties
        )

    def initial(self) -> Judged:
        clients = tuple(Client() for _ in self.scripts)
        return Judged(clients, tuple(known.initial() for known in self.properties))

    def after(self, value: Judged, place: int, event: Fact | Wrong) -> Judged:
        if value.wrong is not None or value.over:
            return value
        if isinstance(event, Wrong):
            return self._wrong(value, event.property, event.why)
        what = event.what
        if isinstance(what, Invoke):
            return self._asked(value, self._clients[event.node])
        if isinstance(what, Complete):
            return self._ended(value, self._clients[event.node], what)
        if isinstance(what, Observe):
            if what == LOST:
                forgotten = value.forgotten.add(event.node)
                over = len(forgotten) > self.forget_max
                return msgspec.structs.replace(value, forgotten=forgotten, over=over)
            if what.name == "recovered":
                forgotten = value.forgotten.discard(event.node)
                value = msgspec.structs.replace(value, forgotten=forgotten)
        elif not self._valid(value, what):
            why = f"{event.node} decided {what.command}, which nobody asked for"
            return self._wrong(value, "validity", why)
        return self._folded(value, event.node, what)

    def broken(self, value: Judged) -> tuple[str, str] | None:
        if value.wrong is not None:
            return value.wrong.property, value.wrong.why
        if value.over:
            return None
        verdict = check(self.history(value.clients), self.machine, budget_s=CHECK_S_MAX)
        if verdict.valid is True:
            return None
        return "linearizability", verdict.reason

    # --- folds ------------------------------------------------------------------------------------

    def _wrong(self, value: Judged, property: str, why: str) -> Judged:
        return msgspec.structs.replace(value, wrong=Wrong(property, why))

    def _folded(self, value: Judged, node: str, what: Decide | Observe) -> Judged:
        folds = list(value.folds)
        for at, known in enumerate(self.properties):
            if type(what) in known.watches:
                try:
                    folds[at] = known.after(folds[at], node, what)
                except Broken as broken:
                    return self._wrong(value, known.name, str(broken))
        return msgspec.structs.replace(value, folds=tuple(folds))

    def _valid(self, value: Judged, what: Decide) -> bool:
        command = what.command
        if not command.session or command.session.startswith(OPENING):
            return True  # the protocol's own, which asks the machine for nothing
        return any(
            command.body in bodies[: len(client.ended) + (client.asked is not None)]
            for bodies, client in zip(self._bodies, value.clients, strict=True)
        )

    # --- the history ------------------------------------------------------------------------------

    def _asked(self, value: Judged, at: int) -> Judged:
        seen = tuple(len(client.ended) for client in value.clients)
        return self._with(value, at, Client(value.clients[at].ended, seen))

    def _ended(self, value: Judged, at: int, complete: Complete) -> Judged:
        client, outcome = value.clients[at], complete.outcome
        assert client.asked is not None
        if isinstance(outcome, Ok):
            ended = Ended(client.asked, OK, outcome.result)
        else:
            ended = Ended(client.asked, FAIL if isinstance(outcome, Definite) else INFO)
        return self._with(value, at, Client((*client.ended, ended)))

    def _with(self, value: Judged, at: int, client: Client) -> Judged:
        clients = (*value.clients[:at], client, *value.clients[at + 1 :])
        return msgspec.structs.replace(value, clients=clients)

    def history(self, clients: tuple[Client, ...]) -> History:
        """A history with the same order in real time. Processes are numbered by client; one that
        goes on after nobody knows what became of its last operation does so as another process."""
        history = History(self.machine.name)
        scripts = tuple(self.scripts.values())
        process = list(range(len(clients)))
        fresh = len(clients)
        ended = [0] * len(clients)
        open: list[int | None] = [None] * len(clients)
        time = 0
        while True:
            moved = False
            for at, client in enumerate(clients):
                begun = ended[at]
                last = client.ended[begun] if begun < len(client.ended) else None
                seen = client.asked if last is None else last.seen
                if seen is None:
                    continue
                command = scripts[at][begun]
                number = open[at]
                if number is None:
                    if any(ended[o] < s for o, s in enumerate(seen) if o != at):
                        continue
                    time += 1
                    f, key, value = self.machine.event(command)
                    open[at] = history.invoke(process[at], f, key, value, time)
                    moved = True
                elif last is not None and self._may_end(clients, open, ended, at):
                    time += 1
                    self._complete(history, number, command, last, time)
                    if last.type == INFO:
                        process[at], fresh = fresh, fresh + 1
                    ended[at], open[at] = begun + 1, None
                    moved = True
            if not moved:
                return history

    def _may_end(
        self, clients: tuple[Client, ...], open: list[int | None], ended: list[int], at: int
    ) -> bool:
        """Whether everything has been asked for that was, before this operation ended."""
        for other, client in enumerate(clients):
            following = ended[other] + (open[other] is not None)
            if following < len(client.ended):
                seen: Ends | None = client.ended[following].seen
            else:
                seen = client.asked if following == len(client.ended) else None
            if seen is not None and other != at and seen[at] <= ended[at]:
                return False
        return True

    def _complete(
        self, history: History, number: int, command: Any, last: Ended, time: int
    ) -> None:
        if last.type == OK:
            result = self.machine.decode_result(last.result)
            kind, value, error = self.machine.completion(command, result)
            history.complete(number, kind, value, time, error)  # type: ignore[arg-type]
        else:
            history.complete(number, last.type, None, time, last.type)  # type: ignore[arg-type]
