"""The load of a run: clients that ask for what a workload says, and note what they are told."""

from collections import Counter
from typing import Any

from concur.chance import Stream
from concur.effects import Definite, Ok, Outcome
from concur.histories import History
from concur.machines import Machine
from concur.simulate.metrics import Samples
from concur.simulate.world import World
from concur.workloads import ClientScript, Workload


class _Open:
    """An operation that has not ended."""

    __slots__ = ("call_ns", "command", "key", "process", "recorded")

    def __init__(self, command: Any, key: Any, process: int, recorded: int, call_ns: int) -> None:
        self.command = command
        self.key = key
        self.process = process
        self.recorded = recorded
        self.call_ns = call_ns


class _Client:
    """One client application. In an open loop it has several operations outstanding, and each of
    those is a process of its own in the history."""

    __slots__ = ("asked_ns", "id", "idle", "life", "ops", "outstanding", "script")

    def __init__(self, id: str, script: ClientScript) -> None:
        self.id = id
        self.script = script
        self.ops = 0
        self.life = 0
        self.asked_ns = -1
        self.outstanding: dict[int, _Open] = {}
        self.idle: list[int] = []


class Load:
    """Drives all clients of a world until `until_ns`; see `Workload` for the arrivals."""

    def __init__(
        self,
        workload: Workload,
        machine: "Machine[Any, Any]",
        clients: int,
        seed: int,
        *,
        until_ns: int,
        history: History | None,
        samples: Samples,
    ) -> None:
        self.world: World
        self.workload = workload
        self.open_loop = workload.open_loop
        self.machine = machine
        self.count = clients
        self.seed = seed
        self.until_ns = until_ns
        self.history = history
        self.samples = samples
        self.processes = 0
        self.scheduled = 0
        self.late: tuple[str, str] | None = None
        self.refusals_count = False  # whether a definite error is as good an answer as a result
        self.healed_ns = 0
        self.bound_ns = 0
        self._tally: Counter[str] = Counter()
        self._busy: dict[Any, int] = {}
        self._clients: dict[str, _Client] = {}

    def start(self) -> None:
        """Let every client begin, each at a moment of its own within the first millisecond."""
        world = self.world
        world.on_client = self.changed
        world.at(self.samples.from_ns, self.samples.begin, world)
        world.at(self.until_ns, self.samples.end, world)
        for index, id in enumerate(world.config.role("client")):
            script = self.workload.client(index, self.count, self.seed)
            client = self._clients[id] = _Client(id, script)
            offset = Stream(self.seed, "client start", index).below(1_000_000)
            self._next(client, offset, None)

    def _next(self, client: _Client, now: int, result: bytes | None) -> None:
        due = client.script.next_command(now, result)
        if due is None:
            return
        at = now + due[0]
        if at >= self.until_ns:
            if client.asked_ns >= self.healed_ns:
                return
            # The load is over, but every client must be served once after the faults have healed.
            at = max(at, self.healed_ns)
        self.scheduled += 1
        self.world.at(at, self._ask, (client, due[1], client.life))

    def _ask(self, argument: tuple[_Client, Any, int]) -> None:
        client, command, life = argument
        self.scheduled -= 1
        if life != client.life:
            return
        world = self.world
        now = client.asked_ns = world.now
        machine = self.machine
        client.ops += 1
        op = client.ops
        f, key, value = machine.event(command)
        if client.idle:
            process = client.idle.pop()
        else:
            process, self.processes = self.processes, self.processes + 1
        recorded = -1
        if self.history is not None:
            recorded = self.history.invoke(process, f, key, value, now)
        others = self._busy.get(key, 0)
        if others:
            self._tally["contended operations"] += 1
        self._busy[key] = others + 1
        client.outstanding[op] = _Open(command, key, process, recorded, now)
        world.invoke(client.id, op, machine.encode(command))
        if self.open_loop:
            self._next(client, now, None)

    def completed(self, id: str, op: int, outcome: Outcome, time: int) -> None:
        """A client operation has ended (`World.completions`)."""
        client = self._clients[id]
        known = client.outstanding.pop(op, None)
        if known is None:
            self.world.violate("every_operation_ends_once", f"operation {op} ended again", id)
            return
        result: Any = None
        if type(outcome) is Ok:
            result = self.machine.decode_result(outcome.result)
            self.samples.add(known.call_ns, time)
        else:
            self.samples.add_unanswered(known.call_ns, time)
        self._close(client, known, outcome, result, time)
        answered = type(outcome) is Ok or (self.refusals_count and type(outcome) is Definite)
        if time - known.call_ns > self.bound_ns or not answered:
            self._note_late(known, outcome, time, id)
        if not self.open_loop:
            self._next(client, time, outcome.result if type(outcome) is Ok else None)

    def _close(
        self, client: _Client, known: _Open, outcome: Outcome, result: Any, time: int
    ) -> None:
        others = self._busy.pop(known.key) - 1
        if others:
            self._busy[known.key] = others
        kind, value, error = "info", None, None
        if type(outcome) is Ok:
            kind, value, error = self.machine.completion(known.command, result)
        elif type(outcome) is Definite:
            kind, error = "fail", outcome.error
        else:
            error = outcome.error  # type: ignore[union-attr]
        self._tally[f"operations: {kind}"] += 1
        if self.history is not None:
            self.history.complete(known.recorded, kind, value, time, error)  # type: ignore[arg-type]
        if kind != "info":
            client.idle.append(known.process)

    def changed(self, id: str, up: bool) -> None:
        """A client's host crashed or came back: what it had asked for, nobody will ever know."""
        client = self._clients.get(id)
        if client is None:
            return
        client.life += 1
        now = self.world.now
        if up:
            self._next(client, now, None)
            return
        for known in client.outstanding.values():
            self._close(client, known, _CRASHED, None, now)
        client.outstanding.clear()

    # --- liveness ---------------------------------------------------------------------------------

    def busy(self) -> bool:
        """Whether some operation has not ended, or is still to be asked."""
        return self.scheduled > 0 or any(c.outstanding for c in self._clients.values())

    def _note_late(self, known: _Open, outcome: Outcome, time: int, id: str) -> None:
        if self.bound_ns and self.late is None and known.call_ns >= self.healed_ns:
            took = (time - known.call_ns) / 1e9
            why = "in " + type(outcome).__name__
            self.late = (f"{known.command} asked {known.call_ns} ns ended {why} after {took} s", id)

    def not_answered(self) -> tuple[str, str] | None:
        """An operation that did not complete in time after healing: (why, client), or None."""
        if self.late is not None:
            return self.late
        for client in self._clients.values():
            for known in client.outstanding.values():
                waited = (self.world.now - known.call_ns) / 1e9
                return f"{known.command} has waited for {waited} s", client.id
        return None

    def coverage(self) -> dict[str, int]:
        return dict(self._tally)


class _Crashed:
    error = "the client crashed"


_CRASHED: Any = _Crashed()
