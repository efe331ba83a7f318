"""What clients asked, what they were told, and when: the record that every checker judges.

A simulated run records two events per command, so the recorder keeps plain columns instead of
objects: an event costs well under a microsecond, about 100 bytes per operation, and gives the
garbage collector nothing to look at.
"""

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from concur.errors import BadInput

if TYPE_CHECKING:
    from concur.histories.record import Recorder

EventType = Literal["invoke", "ok", "fail", "info"]
CompletionType = Literal["ok", "fail", "info"]


PLAIN = frozenset({type(None), bool, int, str, bytes})
"""Types of what a history holds, besides tuples of these."""


def held(value: Any) -> Any:
    """`value` as a history holds it: tuples in the place of lists. Raises BadInput."""
    if value.__class__ in PLAIN:
        return value
    if isinstance(value, tuple | list):
        return tuple(map(held, value))
    raise BadInput(
        f"a history cannot hold {value!r}: expected None, bool, int, str, bytes or tuples of them"
    )


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One line of a history: an invocation, or what its process was told.

    `ok`: it happened. `fail`: it did not happen. `info`: nobody knows, ever. Times are
    nanoseconds on one clock; only their order matters. `index` counts the events of the history.
    """

    process: int
    type: EventType
    f: str
    key: Any = None
    value: Any = None
    time: int
    index: int
    error: str | None = None


class Operation(msgspec.Struct, frozen=True, gc=False):
    """An invocation together with its completion, if there ever was one.

    `value` is as invoked, `result` as completed. `type` is "info" and `return_ns` is None if the
    operation may take effect at any time after `call_ns`, or never. `index` is that of the
    invoke event, `return_index` that of the completion (None if the history ends before it).
    """

    process: int
    f: str
    key: Any
    value: Any
    type: CompletionType
    result: Any
    error: str | None
    call_ns: int
    return_ns: int | None
    index: int
    return_index: int | None


class History:
    """An append-only record of operations, in the order in which the events happened.

        history = History("kv")
        op = history.invoke(process=0, f="put", key="x", value=1, time=10)
        history.complete(op, "ok", 1, time=25)

    Keys and values are None, bool, int, str, bytes or tuples of these; anything else is refused by
    BadInput, but that lists become tuples. A process has at most one
    operation open, and after `info` it never returns: whoever records must then go on under a
    new process number. Breaking either rule, or completing twice, is a ValueError. `model` names
    the machine that specifies the operations; it may be empty, and a file does not hold it.
    """

    __slots__ = (
        "_calls",
        "_errors",
        "_fs",
        "_keys",
        "_open",
        "_order",
        "_processes",
        "_results",
        "_returns",
        "_types",
        "_values",
        "model",
    )

    held = staticmethod(held)

    def __init__(self, model: str = "") -> None:
        self.model = model
        self._processes: list[int] = []
        self._fs: list[str] = []
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._calls = array("q")
        self._types: list[CompletionType | None] = []
        self._results: list[Any] = []
        self._returns = array("q")
        self._errors: dict[int, str] = {}
        self._order = array("q")  # event i: op if it is the invocation, ~op if the completion
        self._open: dict[int, int] = {}  # process -> its op that did not return

    @staticmethod
    def record(model: str = "") -> "Recorder":
        """A recorder to put around the calls of one's own client, from threads and tasks."""
        from concur.histories.record import Recorder

        return Recorder(model)

    @classmethod
    def of(cls, operations: Iterable[Operation], model: str = "") -> Self:
        """Those operations alone, each event at its old place among the others.

        One without an outcome never returns. If its process goes on all the same, as it may once
        an outcome has been forgotten, that one has a process of its own.
        """
        events: list[tuple[int, int]] = []
        chosen = sorted(operations, key=lambda op: op.index)
        processes = [op.process for op in chosen]
        fresh = max(processes, default=0) + 1
        last: dict[int, int] = {}
        for number, op in enumerate(chosen):
            earlier = last.get(op.process)
            if earlier is not None and chosen[earlier].return_ns is None:
                processes[earlier] = fresh
                fresh += 1
            last[op.process] = number
            events.append((op.index, number))
            if op.return_ns is not None:
                assert op.return_index is not None
                events.append((op.return_index, ~number))
        history = cls(model)
        for _, number in sorted(events):
            op = chosen[number] if number >= 0 else chosen[~number]
            if number >= 0:
                history.invoke(processes[number], op.f, op.key, op.value, op.call_ns)
            elif op.return_ns is not None:
                history.complete(~number, op.type, op.result, op.return_ns, op.error)
        return history

    def invoke(self, process: int, f: str, key: Any, value: Any, time: int) -> int:
        """Record that `process` calls `f`. Returns the number to complete the operation with."""
        if process in self._open:
            raise ValueError(f"process {process} already has an operation that did not return")
        key = key if key.__class__ in PLAIN else self.held(key)
        value = value if value.__class__ in PLAIN else self.held(value)
        op = len(self._calls)
        self._open[process] = op
        self._order.append(op)
        self._processes.append(process)
        self._fs.append(f)
        self._keys.append(key)
        self._values.append(value)
        self._calls.append(time)
        self._types.append(None)
        self._results.append(None)
        self._returns.append(0)
        return op

    def complete(
        self, op: int, type: CompletionType, value: Any, time: int, error: str | None = None
    ) -> None:
        """Record what the process was told about operation `op`."""
        if self._types[op] is not None:
            raise ValueError(f"operation {op} is completed twice")
        if time < self._calls[op]:
            raise ValueError(f"operation {op} returns at {time}, before {self._calls[op]}")
        value = value if value.__class__ in PLAIN else self.held(value)
        self._order.append(~op)
        self._types[op] = type
        self._results[op] = value
        self._returns[op] = time
        if error is not None:
            self._errors[op] = error
        if type != "info":
            del self._open[self._processes[op]]

    def __len__(self) -> int:
        """The number of operations."""
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<History {self.model or 'of no model'}: {len(self)} operations>"

    def operation_names(self) -> set[str]:
        """Which `f` occur."""
        return set(self._fs)

    def operations(self) -> list[Operation]:
        """All operations, in the order of their invocations."""
        call_index = array("q", bytes(8 * len(self)))
        return_index: dict[int, int] = {}
        for index, op in enumerate(self._order):
            if op >= 0:
                call_index[op] = index
            else:
                return_index[~op] = index
        errors = self._errors
        columns = zip(
            self._processes,
            self._fs,
            self._keys,
            self._values,
            self._types,
            self._results,
            self._calls,
            self._returns,
            call_index,
            strict=True,
        )
        return [
            Operation(
                process,
                f,
                key,
                value,
                type or "info",
                result,
                errors.get(op),
                call,
                None if type is None or type == "info" else end,
                index,
                return_index.get(op),
            )
            for op, (process, f, key, value, type, result, call, end, index) in enumerate(columns)
        ]

    def events(self) -> Iterator[Event]:
        """All events, in recorded order."""
        for index, op in enumerate(self._order):
            if op >= 0:
                yield Event(
                    process=self._processes[op],
                    type="invoke",
                    f=self._fs[op],
                    key=self._keys[op],
                    value=self._values[op],
                    time=self._calls[op],
                    index=index,
                )
            else:
                op = ~op
                yield Event(
                    process=self._processes[op],
                    type=self._types[op] or "info",
                    f=self._fs[op],
                    key=self._keys[op],
                    value=self._results[op],
                    time=self._returns[op],
                    index=index,
                    error=self._errors.get(op),
                )

    def digest(self) -> str:
        """32 hexadecimal digits that two histories share only if their files are identical."""
        from concur.histories.formats.jsonl import encode_events

        digest = blake2b(digest_size=16)
        for chunk in encode_events(self.events()):
            digest.update(chunk)
        return digest.hexdigest()

    def write_jsonl(self, path: str) -> None:
        """Write the history file; see `concur.histories.formats.jsonl.write_jsonl`."""
        from concur.histories.formats.jsonl import write_jsonl

        write_jsonl(self, path)
