"""Events, effects and values as a person would write them down; commands decoded by the machine."""

import re
from typing import Any

import msgspec

from concur.effects import (
    Complete,
    Decide,
    Definite,
    Deliver,
    Effect,
    Event,
    Indefinite,
    Invoke,
    LinkDown,
    LinkUp,
    Multicast,
    Observe,
    Ok,
    Persist,
    SaveSnapshot,
    Send,
    SnapshotSaved,
    Start,
    Timer,
)
from concur.errors import BadInput
from concur.logs import Log, LogDelta
from concur.machines import Machine, MachineError
from concur.messages import NOOP, Command
from concur.parts.sessions import opening
from concur.values import Map, MapDelta, Set

_PLAIN = re.compile(r"[A-Za-z][\w./:-]*")
_OPENING = opening("", 0).session


class Renderer:
    """Renders for one machine, whose commands and results are in messages as bytes."""

    def __init__(self, machine: "Machine[Any, Any]") -> None:
        self.machine = machine

    # --- values -----------------------------------------------------------------------------------

    def value(self, value: Any) -> str:
        if isinstance(value, Command):
            return self.command(value)
        if isinstance(value, MachineError):
            return f"error({value})"
        if isinstance(value, msgspec.Struct):
            fields = (
                f"{field}={self.value(getattr(value, field))}"
                for field in value.__struct_fields__
                if getattr(value, field) not in (Map(), Set())
            )
            return f"{type(value).__name__}({', '.join(fields)})"
        if isinstance(value, bytes):
            return self.body(value)
        if isinstance(value, str):
            return value if _PLAIN.fullmatch(value) else repr(value)
        if isinstance(value, tuple):
            return f"({', '.join(map(self.value, value))})"
        if isinstance(value, Map):
            pairs = (f"{self.value(k)}: {self.value(v)}" for k, v in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, Set):
            return f"{{{', '.join(map(self.value, value))}}}"
        if isinstance(value, Log):
            entries = "; ".join(f"{i}: {self.value(entry)}" for i, entry in value.items())
            return f"[{entries}]" if not value.base.index else f"[..{value.base.index}; {entries}]"
        return repr(value)

    def command(self, command: Command) -> str:
        if command == NOOP:
            return "no-op"
        if command.session.startswith(_OPENING):
            return f"open session for {command.session.removeprefix(_OPENING)}"
        return f"{self.body(command.body)} #{command.seq} of {command.session or 'nobody'}"

    def body(self, data: bytes) -> str:
        """A command of the machine, a result, or plain bytes: whichever it can be read as."""
        try:
            command = self.machine.decode(data)
        except BadInput:
            pass
        else:
            name, *arguments = msgspec.msgpack.decode(data)
            assert command is not None
            return " ".join([name, *(self._argument(a) for a in arguments)])
        try:
            return self.value(self.machine.decode_result(data))
        except BadInput:
            return data.hex() or "nothing"

    def _argument(self, value: Any) -> str:
        return value if isinstance(value, str) and _PLAIN.fullmatch(value) else repr(value)

    # --- events -----------------------------------------------------------------------------------

    def event(self, node: str, event: Event) -> str:
        kind = type(event)
        if kind is Deliver:
            at = f"{node}/{event.path}" if event.path else node  # type: ignore[union-attr]
            return f"{at} receives {self.value(event.message)} from {event.source}"  # type: ignore[union-attr]
        if kind is Start:
            return f"{node} starts ({event.kind})"  # type: ignore[union-attr]
        if kind is Timer:
            return f"{node}: timer {self.timer(event.path, event.name)}"  # type: ignore[union-attr]
        if kind is Invoke:
            return f"{node} is asked to {self.body(event.body)}"  # type: ignore[union-attr]
        if kind is SnapshotSaved:
            return f"{node}: snapshot {event.index} is saved"  # type: ignore[union-attr]
        if kind in (LinkDown, LinkUp):
            how = "down" if kind is LinkDown else "up"
            return f"{node}: link to {event.peer} is {how}"  # type: ignore[union-attr]
        return f"{node}: end of turn"

    def timer(self, path: str, name: Any) -> str:
        words = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        return f"{path}: {words}" if path else words

    # --- effects ----------------------------------------------------------------------------------

    def effect(self, effect: Effect) -> list[str]:
        """Lines for one effect; none for timers, which `timers` lists on demand."""
        kind = type(effect)
        if kind is Send:
            return [f"-> {effect.to} {self.value(effect.message)}"]  # type: ignore[union-attr]
        if kind is Multicast:
            group = effect.group  # type: ignore[union-attr]
            to = group if isinstance(group, str) else " ".join(group)
            return [f"-> {to} {self.value(effect.message)}"] if to else []  # type: ignore[union-attr]
        if kind is Persist:
            return [f"persists {self.change(change)}" for change in effect.changes]  # type: ignore[union-attr]
        if kind is Decide:
            return [f"decides slot {effect.slot}: {self.command(effect.command)}"]  # type: ignore[union-attr]
        if kind is Observe:
            words = ["observes", str(effect.name), *map(self.value, effect.values)]  # type: ignore[union-attr]
            return [" ".join(words)]
        if kind is SaveSnapshot:
            return [f"saves snapshot {effect.snapshot.index}"]  # type: ignore[union-attr]
        if kind is Complete:
            return [f"completes {effect.op}: {self.outcome(effect.outcome)}"]  # type: ignore[union-attr]
        return []

    def outcome(self, outcome: Any) -> str:
        if isinstance(outcome, Ok):
            return f"ok {self.body(outcome.result)}"
        assert isinstance(outcome, Definite | Indefinite)
        certain = "did not happen" if isinstance(outcome, Definite) else "may have happened"
        return f"{outcome.error} ({certain})"

    def change(self, change: Any) -> str:
        field = f"{change.path}.{change.field}" if change.path else change.field
        if not change.field:
            return f"that {change.path} is dropped"
        delta = change.delta
        if isinstance(delta, MapDelta):
            put = [f"{field}[{self.value(k)}] = {self.value(v)}" for k, v in delta.put]
            gone = [f"{field} without {', '.join(map(self.value, delta.removed))}"]
            return "; ".join(put + (gone if delta.removed else []))
        if isinstance(delta, LogDelta):
            base = f" from {delta.base.index}" if delta.base is not None else ""
            added = "; ".join(map(self.value, delta.appended))
            return f"{field}{base} up to {delta.keep}" + (f", then {added}" if added else "")
        return f"{field} = {self.value(delta)}"
