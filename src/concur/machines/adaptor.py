"""The adaptor: replicate an ordinary mutable object.

    class Bank:
        def __init__(self) -> None:
            self.balances: dict[str, int] = {}

        def apply(self, command):                   # returns the result; may raise
            match command:
                case ("deposit", owner, amount):
                    self.balances[owner] = self.balances.get(owner, 0) + amount
                    return self.balances[owner]
                case ("balance", owner):
                    return self.balances.get(owner, 0)

        def snapshot(self) -> bytes:                # all of the state, in a canonical order
            return json.dumps(self.balances, sort_keys=True).encode()

        def restore(self, data: bytes) -> None:     # forget everything, take this instead
            self.balances = json.loads(data)

    bank = Adaptor(Bank, {"deposit": (str, int), "balance": (str,)}, read_only=("balance",))

Commands are tuples of a name and arguments, whose types are declared by a mapping as above; or
frozen, tagged Structs (`MachineCommand` makes them so), declared by a tuple of their types and
handed to `apply` as they are. What arrives over a network is checked against the declaration
before `apply` sees it. Results are None, bool, int, str, bytes and tuples of such.

`apply` must be a function of the object and the command alone: no clock, no chance, no order of
sets (a dict's order is that of insertion and fine), no files, no network. `check_machine(bank)`
looks for these.

**Only for protocols that never roll back.** The object is changed in place, so older states are
gone. A state here is a ticket for one version of one object: a ticket that is not the newest
raises `RolledBack`, which stops the node instead of letting it diverge. Speculative protocols and
the model checker, which need old states, ask `machine.pure` and refuse; simulator and real
cluster do not mind. Write a `Machine` over `concur.values` instead to get everything.

**An apply that raises changes nothing**, although it may have got half way: the object is put
back to its last checkpoint and the commands since are applied again. A checkpoint is taken every
CHECKPOINT_COMMANDS_MAX commands and after every such repair (so that a stream of failing commands
costs one restore and one snapshot each). An `apply` that checks before it changes still pays this;
return an error value instead of raising where failures are ordinary.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

import msgspec

from concur.errors import BadInput
from concur.machines.base import Machine, RolledBack, kebab

CHECKPOINT_COMMANDS_MAX = 1000
"""Commands applied again, at most, after one that raised. Lower: cheaper failures; higher: fewer
snapshots."""


class Replicable(Protocol):
    """What the adaptor asks of a user's object."""

    def apply(self, command: Any, /) -> Any: ...

    def snapshot(self) -> bytes: ...

    def restore(self, data: bytes, /) -> None: ...


class Ticket:
    """The state of an adapted machine: version `number` of the object in `cell`."""

    __slots__ = ("cell", "number")

    def __init__(self, cell: "_Cell", number: int) -> None:
        self.cell = cell
        self.number = number

    def __repr__(self) -> str:
        stale = "" if self.cell.number == self.number else ", stale"
        return f"<{type(self.cell.target).__name__} after {self.number} commands{stale}>"


class _Cell:
    """A live object, its version, and how to get back to it."""

    __slots__ = ("checkpoint", "number", "since", "target")

    def __init__(self, target: Replicable, checkpoint: bytes | None = None) -> None:
        self.target = target
        self.number = 0
        self.since: list[Any] = []
        if checkpoint is not None:
            target.restore(checkpoint)
        self.checkpoint = target.snapshot() if checkpoint is None else checkpoint


class Adaptor(Machine[Ticket, Any]):
    """A machine out of a factory of mutable objects. See the module's description.

    `factory` makes an object in its initial state: usually its class. To pickle the machine (for
    processes of a campaign) it must be importable. `read_only` names commands that change nothing:
    by name, or by type for Structs. Raises BadInput for a declaration that does not make sense.
    """

    pure = False

    def __init__(
        self,
        factory: Callable[[], Replicable],
        commands: Mapping[str, tuple[Any, ...]] | Iterable[type[msgspec.Struct]],
        read_only: Iterable[str | type[msgspec.Struct]] = (),
        name: str | None = None,
    ) -> None:
        self.factory = factory
        self.declared = dict(commands) if isinstance(commands, Mapping) else tuple(commands)
        label = name or kebab(getattr(factory, "__name__", type(factory).__name__))
        # Of the instance, where other machines have them of the class: one adaptor, many objects.
        self.name = label  # type: ignore[misc]
        for needed in ("apply", "snapshot", "restore"):
            if isinstance(factory, type) and not callable(getattr(factory, needed, None)):
                raise BadInput(f"machine {label}: {factory.__name__} has no {needed}() method")
        self.commands = self._kinds()  # type: ignore[misc]
        self.read_only_ = tuple(read_only)
        known = {kind.__struct_config__.tag: kind for kind in self.commands}
        self._reads = set()
        for item in self.read_only_:
            tag = item if isinstance(item, str) else item.__struct_config__.tag
            if tag not in known:
                raise BadInput(
                    f"machine {label}: read_only {item!r} is no command, expected one of "
                    f"{', '.join(map(str, known))}"
                )
            self._reads.add(tag)
        self._decoder  # noqa: B018 - reports bad types now

    def initial(self) -> Ticket:
        return Ticket(_Cell(self.factory()), 0)

    def apply(self, state: Ticket, command: Any) -> tuple[Ticket, Any]:
        cell = state.cell
        if cell.number != state.number:
            raise RolledBack(
                f"machine {self.name}: state {state.number} is gone, the object is at "
                f"{cell.number}; an adapted object cannot go back, use a pure Machine"
            )
        try:
            result = cell.target.apply(command)
            self.encode_result(result)
        except BaseException:
            self._repair(cell)
            raise
        if self.read_only(command):
            return state, result
        cell.number += 1
        cell.since.append(command)
        if len(cell.since) >= CHECKPOINT_COMMANDS_MAX:
            cell.checkpoint = cell.target.snapshot()
            cell.since.clear()
        return Ticket(cell, cell.number), result

    def is_command(self, command: object) -> bool:
        return True  # a tuple, which `decode` looks at: a wrong one is answered by an error

    def read_only(self, command: Any) -> bool:
        return self._label(command) in self._reads

    # --- tuples or Structs ----------------------------------------------------------------------

    def decode(self, body: bytes) -> Any:
        return self._given(super().decode(body))

    def event(self, command: Any) -> tuple[str, Any, Any]:
        if isinstance(command, tuple):
            return command[0], None, command[1:]
        return super().event(command)

    def command(self, f: str, key: Any, value: Any) -> Any:
        return self._given(super().command(f, key, value))

    def _given(self, command: Any) -> Any:
        """The command in the form that the user declared."""
        if isinstance(self.declared, dict) and not isinstance(command, tuple):
            return (self._label(command), *msgspec.structs.astuple(command))
        return command

    def _label(self, command: Any) -> str:
        if isinstance(command, tuple):
            return str(command[0])
        return str(type(command).__struct_config__.tag)

    def _kinds(self) -> tuple[type[msgspec.Struct], ...]:
        if not isinstance(self.declared, dict):
            return self.declared
        kinds = []
        for tag, types in self.declared.items():
            if not isinstance(types, tuple):
                raise BadInput(
                    f"machine {self.name}: command {tag!r} has arguments {types!r}, expected a "
                    "tuple of types such as (str, int)"
                )
            fields = [(f"argument_{number}", kind) for number, kind in enumerate(types, 1)]
            kinds.append(
                msgspec.defstruct(str(tag), fields, tag=str(tag), frozen=True, array_like=True)
            )
        return tuple(kinds)

    # --- states ---------------------------------------------------------------------------------

    def snapshot(self, state: Ticket) -> bytes:
        if state.cell.number != state.number:
            raise RolledBack(f"machine {self.name}: no snapshot of a state that is gone: {state!r}")
        return state.cell.target.snapshot()

    def restore(self, data: bytes) -> Ticket:
        return Ticket(_Cell(self.factory(), data), 0)

    def capture(self, state: Ticket) -> bytes:
        return self.snapshot(state)

    def release(self, captured: Any) -> Ticket:
        return self.restore(captured)

    def _repair(self, cell: _Cell) -> None:
        cell.target = self.factory()
        cell.target.restore(cell.checkpoint)
        for command in cell.since:
            cell.target.apply(command)
        cell.checkpoint = cell.target.snapshot()
        cell.since.clear()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Adaptor):
            return NotImplemented
        mine = self.name, self.factory, self.declared, self._reads
        return mine == (other.name, other.factory, other.declared, other._reads)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        declared = self.declared
        shown = declared if isinstance(declared, dict) else [kind.__name__ for kind in declared]
        return f"Adaptor({getattr(self.factory, '__name__', self.factory)}, {shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Adaptor, (self.factory, cast(Any, self.declared), self.read_only_, self.name)
