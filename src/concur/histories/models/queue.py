"""First-in first-out queues: enqueue, dequeue (null if it is empty), peek, length.

A key names one queue of many, and is of any type. Only a queue without a key can be full initially.
"""

from typing import Any

import msgspec

from concur.errors import BadInput
from concur.histories.lookahead import found_it_empty
from concur.histories.models.base import Model, name_of, values_of
from concur.machines.base import refuse_scalar
from concur.machines.queue import VALUE_LENGTH_MAX, Items, Queue, QueueCommand, QueueState
from concur.values import Map


class QueueModel(Model, Queue):
    """`enqueue` with the value; `dequeue`, `peek`, `length`. Initially empty, or a list of values,
    oldest first."""

    name = "queue"
    starts = ()
    blind = ("enqueue",)
    observes = staticmethod(found_it_empty)

    def starting(self, initial: Any) -> tuple[Any, ...]:
        values = values_of(self, initial)
        if any(refuse_scalar(value, VALUE_LENGTH_MAX) for value in values):
            raise self.wrong_initial(initial, "a list of scalars")
        return values

    def initial(self) -> QueueState:
        if not self.start:
            return Map()
        return Map({"": Items(0, Map(enumerate(self.start)))})

    def command(self, f: str, key: Any, value: Any) -> QueueCommand:
        if key is None:
            return super().command(f, key, value)
        if self.start:
            raise BadInput(
                f"model queue: key {key!r}, expected none, of one queue that is not empty"
            )
        if type(key) is str:
            return super().command(f, key, value)
        made: Any = super().command(f, "", value)
        return msgspec.structs.replace(made, queue=name_of(key))  # type: ignore[no-any-return]
