"""Workloads for the key-value store: YCSB A to F, Zipf and uniform, hot key, and the mixed one.

The YCSB mixes are those of Cooper et al., "Benchmarking Cloud Serving Systems with YCSB" (SoCC
2010), table 2, with a record being one value. Divergences: an update writes the whole value; an
insert takes a number that no other client takes, so that clients need not know of each other.

The mixes of Twitter's caches are those of J. Yang, Y. Yue and K. V. Rashmi, "A large scale analysis
of hundreds of in-memory cache clusters at Twitter" (OSDI 2020), with the figures that were
published with their traces of March 2020: operations, Zipf exponent, mean sizes of keys and values.
Divergences: every key and value has the mean size; `keys` is ours (they have millions); nothing
expires. kv has no increment, so one is a read-modify-write, two commands; so is a pair of the
caches' `gets` and `cas`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal

from concur.chance import Stream
from concur.machines.kv import (
    KEY_LENGTH_MAX,
    SCAN_LIMIT_MAX,
    Append,
    Cas,
    Delete,
    Get,
    KeyValue,
    Put,
    Scan,
)
from concur.workloads.base import ClientScript, Values, Written, decimal_exponent, threshold
from concur.workloads.tables import zipf

_decode_result = KeyValue().decode_result


KEY_BYTES_MIN = 9
"""A letter and eight digits."""


def key_name(number: int, key_bytes: int = KEY_BYTES_MIN) -> str:
    """Names sort as their numbers do, so that scans mean something."""
    return f"k{number:08d}".ljust(key_bytes, "-")


@lru_cache(maxsize=16)
def _names(keys: int, scrambled: bool, key_bytes: int = KEY_BYTES_MIN) -> tuple[str, ...]:
    """Key names by rank of popularity: shuffled, or in order. The same in every run."""
    numbers = list(range(keys))
    if scrambled:
        numbers = Stream(0, "scrambled keys", keys).shuffled(numbers)
    return tuple(key_name(number, key_bytes) for number in numbers)


class MixScript(ClientScript):
    __slots__ = (
        "_clients",
        "_index",
        "_inserted",
        "_key_bytes",
        "_keys",
        "_kinds_below",
        "_latest",
        "_modify",
        "_names",
        "_rank",
        "_scan",
        "_stream",
        "_values",
        "_written",
    )

    def __init__(self, workload: "Mix", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = stream = Stream(seed, "workload", "commands", index)
        self._values = Values(index, workload.value_bytes)
        self._index, self._clients, self._keys = index, clients, workload.keys
        self._latest = workload.keys_drawn == "latest"
        if workload.keys_drawn == "uniform":
            keys = workload.keys
            self._rank: Callable[[], int] = lambda: next(stream) * keys >> 32
        else:
            self._rank = zipf(stream, workload.keys, decimal_exponent(workload.zipf))
        self._key_bytes = workload.key_bytes
        scrambled = workload.keys_drawn == "zipf" and workload.scrambled
        self._names = _names(workload.keys, scrambled, workload.key_bytes)
        # The rank of the next record that this client is to write before anything else.
        self._written = index if workload.written_first else workload.keys
        reads, updates = workload.reads, workload.updates
        insert = reads + updates + workload.inserts
        scan = insert + workload.scans
        shares = reads, reads + updates, insert, scan, scan + workload.deletes
        self._kinds_below = tuple(map(threshold, shares))
        self._inserted = 0  # by this client
        self._modify: str | None = None
        self._scan = workload.scan_limit_max

    def choose(self, result: bytes | None) -> Any:
        if self._modify is not None:  # the second half of a read-modify-write
            key, self._modify = self._modify, None
            if result is not None:
                return Cas(key, _decode_result(result), self._values.next())
        if self._written < self._keys:
            key = self._names[self._written]
            self._written += self._clients
            return Put(key, self._values.next())
        kind = next(self._stream)
        read, update, insert, scan, delete = self._kinds_below
        if kind < read:
            return Get(self._key())
        if kind < update:
            return Put(self._key(), self._values.next())
        if kind < insert:
            number = self._keys + self._inserted * self._clients + self._index
            self._inserted += 1
            return Put(key_name(number, self._key_bytes), self._values.next())
        if kind < scan:
            return Scan(self._key(), 1 + (next(self._stream) * self._scan >> 32))
        if kind < delete:
            return Delete(self._key())
        self._modify = self._key()
        return Get(self._modify)

    def _key(self) -> str:
        if self._latest:
            # Others insert as often as this client does: that is all it knows of them.
            newest = self._keys + self._inserted * self._clients - 1
            return key_name(newest - self._rank(), self._key_bytes)
        return self._names[self._rank()]


SHARES = "reads", "updates", "inserts", "scans", "deletes", "modifies"


class Mix(Written, frozen=True, kw_only=True):
    """Shares of reads, updates, inserts, scans, deletes, read-modify-writes; they add up to 1.

    `keys` records, drawn by `keys_drawn`: `zipf` with exponent `zipf` (over all keys if
    `scrambled`, else the first are the most popular), `uniform`, or `latest`, which prefers what
    was inserted last. A read-modify-write is a get and then a cas of what was got.

    With `written_first` the clients begin with writing all records, each its share, the popular
    ones first; a mix that only reads has nothing to read otherwise.
    """

    script = MixScript
    summary = "key-value mix"

    reads: float = 0.5
    updates: float = 0.5
    inserts: float = 0.0
    scans: float = 0.0
    deletes: float = 0.0
    modifies: float = 0.0
    keys: int = 1000
    key_bytes: int = KEY_BYTES_MIN
    written_first: bool = False
    keys_drawn: Literal["zipf", "uniform", "latest"] = "zipf"
    zipf: float = 0.99
    scrambled: bool = True
    scan_limit_max: int = 100

    def check(self) -> None:
        super().check()
        self.require_share(*SHARES)
        self.require_keys()
        self.require(
            "key_bytes",
            KEY_BYTES_MIN <= self.key_bytes <= KEY_LENGTH_MAX,
            f"{KEY_BYTES_MIN} to {KEY_LENGTH_MAX}",
        )
        self.require(
            "written_first",
            not self.written_first or self.keys_drawn != "latest",
            "false where the latest records are drawn",
        )
        self.require("zipf", 0 < self.zipf <= 10, "an exponent above 0, at most 10")
        self.require(
            "scan_limit_max", 1 <= self.scan_limit_max <= SCAN_LIMIT_MAX, f"1 to {SCAN_LIMIT_MAX}"
        )
        total = sum(getattr(self, kind) for kind in SHARES)
        self.require(
            "reads",
            abs(total - 1) < 1e-9,
            f"{', '.join(SHARES[:-1])} and {SHARES[-1]} that add up to 1, not {total:g}",
        )
        self.require(
            "rate",
            self.rate is None or not self.modifies,
            "none: a read-modify-write waits for its read",
        )

    def what(self) -> str:
        shares = [
            f"{getattr(self, kind) * 100:g}% {kind}" for kind in SHARES if getattr(self, kind)
        ]
        drawn: str = self.keys_drawn
        if drawn != "uniform":
            drawn += f" {self.zipf:g}"
        keys = f"{self.keys} keys"
        if self.key_bytes != KEY_BYTES_MIN:
            keys += f" of {self.key_bytes} bytes"
        text = f"{', '.join(shares)}; {keys}, {drawn}; values of {self.value_bytes} bytes"
        return f"{text}; all written first" if self.written_first else text

    def preload(self) -> Iterator[Any]:
        values = Values("preload", self.value_bytes)
        return (Put(key_name(number, self.key_bytes), values.next()) for number in range(self.keys))


class HotKeyScript(ClientScript):
    __slots__ = ("_conflict", "_private", "_reads", "_stream", "_values")

    def __init__(self, workload: "HotKey", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._values = Values(index, workload.value_bytes)
        self._conflict = threshold(workload.conflict)
        self._reads = threshold(workload.reads)
        self._private = f"private-{index}"

    def choose(self, result: bytes | None) -> Any:
        stream = self._stream
        key = "hot" if next(stream) < self._conflict else self._private
        return Get(key) if next(stream) < self._reads else Put(key, self._values.next())


class HotKey(Written, frozen=True, kw_only=True):
    """A share `conflict` of the commands goes to one key, the others to a key of the client's own.

    What leaderless protocols are measured with (EPaxos, SOSP 2013, section 7); the papers write
    only: `reads=0`. The default reads half the time, so that there is something to check.
    """

    script = HotKeyScript
    summary = "one hot key, private keys otherwise"

    conflict: float = 0.1
    reads: float = 0.5

    def check(self) -> None:
        super().check()
        self.require_share("conflict", "reads")


class MixedScript(ClientScript):
    __slots__ = ("_asked", "_names", "_seen", "_stream", "_values")

    def __init__(self, workload: "Mixed", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._values = Values(index, workload.value_bytes)
        self._names = _names(workload.keys, False)
        self._seen: dict[str, Any] = {}  # the value by which the next cas hopes to succeed
        self._asked: str | None = None

    def choose(self, result: bytes | None) -> Any:
        if self._asked is not None:
            if result is not None:
                self._seen[self._asked] = _decode_result(result)
            self._asked = None
        stream = self._stream
        names = self._names
        key = names[next(stream) * len(names) >> 32]
        kind = next(stream) * 100 >> 32
        if kind < 35:
            self._asked = key
            return Get(key)
        if kind < 90:
            value = self._values.next()
            if kind < 60:
                self._seen[key] = value
                return Put(key, value)
            if kind < 75:
                return Append(key, value)
            return Cas(key, self._seen.get(key), value)
        self._seen[key] = None
        return Delete(key)


class Mixed(Written, frozen=True, kw_only=True):
    """For testing: get, put, append, cas and delete on few keys, every written value unique.

    35 per cent gets, 25 puts, 15 appends, 15 compare-and-sets of the value last seen by the client
    (so that some succeed), 10 deletes.
    """

    script = MixedScript
    summary = "every operation but scan, on few keys, all values unique"

    keys: int = 5

    def check(self) -> None:
        super().check()
        self.require_keys()
