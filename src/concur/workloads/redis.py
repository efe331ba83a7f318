"""What clients of the Redis machine do."""

from typing import Any

from concur.chance import Stream
from concur.machines import redis
from concur.workloads.base import ClientScript, Values, Written


class RedisScript(ClientScript):
    __slots__ = ("_asked", "_decode", "_keys", "_seen", "_stream", "_values")

    def __init__(self, workload: "RedisMix", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._values = Values(index, workload.value_bytes)
        self._decode = workload.machine().decode_result
        self._keys = workload.keys
        self._seen: dict[bytes, Any] = {}  # the value by which the next cas hopes to succeed
        self._asked: bytes | None = None

    def choose(self, result: bytes | None) -> Any:
        if self._asked is not None and result is not None:
            self._seen[self._asked] = self._decode(result)
        self._asked = None
        number = 1 + (next(self._stream) * self._keys >> 32)
        kind = next(self._stream) * 100 >> 32
        if kind < 20:
            return redis.IncrBy(b"counter-%d" % number, 1 + kind % 3)
        key = b"key-%d" % number
        if kind < 50:
            self._asked = key
            return redis.Get(key)
        if kind >= 90:
            self._seen[key] = None
            return redis.Delete((key,))
        value = self._values.next().encode()
        if kind < 65:
            self._seen[key] = value
            return redis.Set(key, value)
        if kind < 75:
            return redis.Append(key, value)
        return redis.Cas(key, self._seen.get(key), value)


class RedisMix(Written, frozen=True, kw_only=True):
    """30 per cent gets, 20 increments of counters, 15 sets, 10 appends, 15 compare-and-sets of the
    value last seen by the client, 10 deletes."""

    script = RedisScript
    machine_name = "redis"
    summary = "get, set, incr, append, cas and delete on few keys, all written values unique"

    keys: int = 5

    def check(self) -> None:
        super().check()
        self.require_keys()
