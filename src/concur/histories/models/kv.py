"""A key-value store: get, put, append, compare-and-set, delete, each on one key; and scan.

Keys are of any type that a history may hold. An absent key reads as the initial value, which is
null unless named: "" in the histories of Porcupine, 0 in many of Jepsen. To delete a key, or to
put that value, makes it absent. With null, this is `concur.machines.KeyValue`.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from concur.histories.lookahead import Lookahead, kv_hopeful
from concur.histories.models.base import Model, name_of
from concur.machines.base import Refused, same
from concur.machines.kv import (
    VALUE_LENGTH_MAX,
    Append,
    Cas,
    Delete,
    Get,
    KeyValue,
    KvCommand,
    KvState,
    Put,
    Scan,
)
from concur.values import Map


class KvModel(Model, KeyValue):
    """`get`; `put`, `append` with the value; `cas` with [old, new]; `delete`. All with a key."""

    name = "kv"
    words = ("cas",)
    blind = ("put", "append", "delete")

    def initial(self) -> KvState:
        return Map()

    @property
    def lookahead(self) -> Lookahead:
        absent = self.start

        def hopeful(state: Any, reading: Any, wanted: Any, available: Iterable[Any]) -> bool:
            return kv_hopeful(state, reading, wanted, available, absent)

        return hopeful

    def command(self, f: str, key: Any, value: Any) -> KvCommand:
        if f == "scan" or key is None or type(key) is str:
            return super().command(f, key, value)
        made: Any = super().command(f, "", value)
        return msgspec.structs.replace(made, key=name_of(key))  # type: ignore[no-any-return]

    def apply(self, state: KvState, command: KvCommand) -> tuple[KvState, Any]:
        absent = self.start
        if absent is None or isinstance(command, Scan):
            return super().apply(state, command)
        key = command.key
        now = state.get(key, absent)
        if isinstance(command, Get):
            return state, now
        if isinstance(command, Delete):
            return state.discard(key), None
        if isinstance(command, Put):
            return self._bind(state, key, command.value), None
        if isinstance(command, Cas):
            if not same(now, command.old):
                return state, False
            return self._bind(state, key, command.new), True
        assert isinstance(command, Append)
        if type(now) is not type(command.value):
            raise Refused(f"append of {type(command.value).__name__} to {type(now).__name__}")
        longer: Any = now
        if len(longer) + len(command.value) > VALUE_LENGTH_MAX:  # type: ignore[arg-type]
            raise Refused("append: the value would become too long")
        return self._bind(state, key, longer + command.value), None

    def _bind(self, state: KvState, key: str, value: Any) -> KvState:
        return state.discard(key) if same(value, self.start) else state.put(key, value)
