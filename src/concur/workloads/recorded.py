"""A user's own operations, out of a file: what was asked of another system, asked of this one.

    concur compare raft multi-paxos --workload ops.csv
    concur simulate raft --workload ops.jsonl:speed=2

One operation a row of a CSV file (with a header) or a line of JSON (an object):

| column | what it says |
| --- | --- |
| `f` | the operation, by the name that histories use: get, put, enqueue, fetch-add ... |
| `key` | the object that it is about, where the machine has several |
| `value` | what is written; text in a CSV file, unless the machine wants a number or a list |
| `value_bytes` | instead of `value`: its size. A value of that size is made up, each a new one |
| `time_s`, `time_ms`, `time_us`, `time_ns` | when it was asked; one of them, in ascending order |
| `client` or `process` | who asked |

`f` is needed, the others not. The machine is the first of Concur's that knows all operations (kv,
register, counter, lock, queue), or the one that was chosen.

* **With times**, an open loop: each operation is asked when it is due, `speed` times as fast as it
  was recorded, answers or not; the first at time 0. A client that was down asks for what it missed
  as soon as it is back. With `closed` the times are ignored.
* **Without**, a closed loop in the order of the file, with `think_s` between answer and question.
* Recorded clients are dealt out to those of the run in the order of their appearance; without a
  column `client` the operations are, in turn.
* `first` stops reading after so many operations. A run ends with its seconds, or when all is asked.

Two other shapes are understood: a **history** of Concur (its invocations, `time` in nanoseconds),
and Twitter's public **cache traces** (github.com/twitter/cache-trace: seven columns, no header).
Of those, time is in whole seconds, so the operations of one second are spread over it; a key is
padded or cut to its recorded size; get and gets are a get, set and replace a put, add a
compare-and-set of what is absent, append and prepend an append, delete a delete. incr, decr and cas
write what they have read, and what that was is not in the file: they are a put. TTLs are ignored.

A workload knows the digest of what it read, a trace of a run holds it, and whoever replays the
trace with another file is told so.
"""

import csv
import hashlib
import os
import re
import stat
from array import array
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, Any

import msgspec

from concur.errors import BadInput
from concur.machines import Machine, all_machines, machine
from concur.machines.kv import KEY_LENGTH_MAX, VALUE_LENGTH_MAX
from concur.workloads.base import ClientScript, Workload, one_line

OPERATIONS_MAX = 1_000_000
"""Of one workload: some 200 MB of memory. A longer file is read in part, with `first`."""

BYTES_MAX = 256 << 20
"""Of values in one workload that are not numbers; `value_bytes` takes no memory."""

LINE_BYTES_MAX = 8 << 20
"""No operation takes a longer line."""

SPEED_MAX = 1e9

ENDINGS = (".csv", ".jsonl", ".ndjson")

UNITS = {"time_s": 1_000_000_000, "time_ms": 1_000_000, "time_us": 1_000, "time_ns": 1}
CLIENTS = ("client", "process")
COLUMNS = ("f", "key", "value", "value_bytes", *UNITS, *CLIENTS)
HISTORY_COLUMNS = ("type", "time", "index", "error")
"""What events of a history have beside those."""

TWITTER = {
    "get": "get",
    "gets": "get",
    "set": "put",
    "replace": "put",
    "cas": "put",
    "incr": "put",
    "decr": "put",
    "add": "cas",
    "append": "append",
    "prepend": "append",
    "delete": "delete",
}
"""Operations of Twitter's traces, and what they are here."""

WRITES = ("put", "append", "write", "enqueue")
"""Operations that mean nothing without a value."""

TIME_NS_MAX = 10**18
"""From the first operation to the last: thirty years."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """An operation as it stands in the file. `size` is -1 if the value is known."""

    f: str
    key: Any
    value: Any
    size: int


class Recording:
    """All operations of a file: rows, times in nanoseconds since the first, client numbers."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.times: array[int] = array("q")
        self.clients: array[int] = array("L")
        self.timed = False
        self.named = False  # clients have names
        self.digest = ""
        self.machine = ""
        self._shares: list[array[int]] = []

    def split(self, clients: int) -> list["array[int]"]:
        """The positions of each client's operations."""
        if len(self._shares) != clients:
            shares: list[array[int]] = [array("L") for _ in range(clients)]
            for position, client in enumerate(self.clients):
                shares[(client if self.named else position) % clients].append(position)
            self._shares = shares
        return self._shares

    def command(self, position: int, asked: Machine[Any, Any]) -> Any:
        """The command of a row. Raises BadInput."""
        row = self.rows[position]
        value = row.value
        if row.size >= 0:
            # Unique, so that a checker can tell from which write a read got its value.
            value = f"{position}.".ljust(row.size, "-")
            if row.f == "cas":
                value = (None, value)
        return asked.command(row.f, row.key, value)


class RecordedScript(ClientScript):
    __slots__ = ("_at", "_machine", "_positions", "_recording", "_speed")

    def __init__(self, workload: "Recorded", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._recording = workload.recording()
        self._machine = workload.machine()
        self._positions = self._recording.split(clients)[index]
        self._speed = workload.speed if workload.open_loop else 0.0
        self._at = 0

    def next_command(self, now_ns: int, result: bytes | None) -> tuple[int, Any] | None:
        if self._at == len(self._positions):
            return None
        position = self._positions[self._at]
        self._at += 1
        command = self._recording.command(position, self._machine)
        if not self._speed:
            return self._think_ns, command
        due = round(self._recording.times[position] / self._speed)
        return max(0, due - now_ns), command


class Recorded(Workload, frozen=True, kw_only=True):
    """The operations of a file. See the module's description."""

    script = RecordedScript
    summary = "the operations of a file"

    file: str
    speed: float = 1.0
    closed: bool = False
    first: int | None = None
    of: Any = ""
    """A machine, or the name of one; empty for the first that knows the operations."""
    digest: str = ""
    """Of what was read. If it is given, the file must be that one."""

    def check(self) -> None:
        self.require("rate", self.rate is None, "none: a file has its own times, see `speed`")
        self.require(
            "speed", 0 < self.speed <= SPEED_MAX, f"a factor above 0, at most {SPEED_MAX:g}"
        )
        self.require(
            "first",
            self.first is None or 1 <= self.first <= OPERATIONS_MAX,
            f"1 to {OPERATIONS_MAX}",
        )
        found = self.recording()
        msgspec.structs.force_setattr(self, "digest", found.digest)
        if not self.of:
            msgspec.structs.force_setattr(self, "of", found.machine)
        self.require("think_s", not (self.think_s and self.open_loop), "0 where times are given")

    @property
    def open_loop(self) -> bool:
        return self.recording().timed and not self.closed

    def machine(self) -> Machine[Any, Any]:
        return machine(self.of) if isinstance(self.of, str) else self.of

    def on(self, machine: Machine[Any, Any]) -> "Recorded":
        if machine == self.machine():
            return self
        ours = machine in all_machines()
        return msgspec.structs.replace(self, of=machine.name if ours else machine)

    def recording(self) -> Recording:
        """What the file holds; it is read once. Raises BadInput if it cannot be, or has changed."""
        asked = (machine(self.of) if self.of else None) if isinstance(self.of, str) else self.of
        try:
            status = os.stat(self.file)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "a bad name"
            raise BadInput(
                f"workload file {self.file}: {why}, expected a file of operations"
            ) from None
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"workload file {self.file}: no ordinary file, expected one")
        version = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        found = _recording(self.file, version, self.first, asked)
        if self.digest and self.digest != found.digest:
            raise BadInput(
                f"workload file {self.file}: is not the one of the run (its digest is "
                f"{found.digest[:12]}), expected the file as it was ({self.digest[:12]})"
            )
        return found

    def describe(self) -> str:
        found = self.recording()
        span_s = found.times[-1] / self.speed / 1e9 if found.timed and found.rows else 0.0
        loop = f"open loop over {span_s:g} s" if self.open_loop else "closed loop"
        if self.think_s:
            loop += f", think time {self.think_s:g} s"
        return f"{self.name}: {len(found.rows)} operations of a {self.machine().name}; {loop}"


# --- reading --------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _recording(
    path: str, version: tuple[int, ...], first: int | None, asked: Machine[Any, Any] | None
) -> Recording:
    try:
        with open(path, "rb") as file:
            reader = _Reader(path, file, first)
            return reader.read(asked)
    except OSError as error:
        raise BadInput(
            f"workload file {path}: {error.strerror}, expected a file of operations"
        ) from None


class _Wrong(Exception):
    """What is wrong with a line; the reader knows which."""


class _Reader:
    """Reads one file, line by line."""

    def __init__(self, path: str, file: IO[bytes], first: int | None) -> None:
        self.path = path
        self.file = file
        self.first = first
        self.line = 0
        self.digest = hashlib.blake2b(digest_size=16)
        self.found = Recording()
        self.lines: array[int] = array("L")
        self.start_ns = 0
        self.names: dict[Any, int] = {}
        self.strings: dict[str, str] = {}
        self.bytes = 0
        self.second: tuple[int, int] = (-1, 0)  # of a Twitter trace, and where its rows begin

    def read(self, asked: Machine[Any, Any] | None) -> Recording:
        found = self.found
        try:
            for row in self._rows():
                if self.first is None and len(found.rows) == OPERATIONS_MAX:
                    raise _Wrong(
                        f"more than {OPERATIONS_MAX} operations, expected at most so many, or "
                        f"a part of them, as in {self.path}:first={OPERATIONS_MAX}"
                    )
                self._take(row)
                if len(found.rows) == self.first:
                    break
            self._spread(None)
            if not found.rows:
                raise _Wrong("no operations, expected at least one")
        except _Wrong as wrong:
            where = f", line {self.line}" if self.line else ""
            raise BadInput(f"workload file {self.path}{where}: {wrong}") from None
        self._resolve(asked)
        found.digest = self.digest.hexdigest()
        return found

    # --- lines ------------------------------------------------------------------------------------

    def _text(self) -> Iterator[str]:
        """The lines as text; a mark of the byte order is dropped."""
        while True:
            line = self.file.readline(LINE_BYTES_MAX + 1)
            if not line:
                return
            self.line += 1
            if len(line) > LINE_BYTES_MAX:
                raise _Wrong(f"longer than {LINE_BYTES_MAX} bytes, expected one operation a line")
            self.digest.update(line)
            try:
                yield line.decode("utf-8-sig" if self.line == 1 else "utf-8")
            except UnicodeDecodeError:
                raise _Wrong("not UTF-8, expected text") from None

    def _rows(self) -> Iterator[dict[str, Any]]:
        if self.path.endswith(".csv"):
            return self._csv()
        return self._jsonl()

    def _jsonl(self) -> Iterator[dict[str, Any]]:
        for text in self._text():
            if not text.strip():
                continue
            try:
                row = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError) as error:
                raise _Wrong(f"{one_line(error)}, expected a JSON object") from None
            if not isinstance(row, dict):
                raise _Wrong('no JSON object, expected one such as {"f": "get", "key": "k"}')
            known = COLUMNS + HISTORY_COLUMNS if "type" in row else COLUMNS
            for name in row:
                if name not in known:
                    raise _Wrong(_unknown(name))
            if "type" in row:
                if row["type"] != "invoke":
                    continue
                row = {
                    "time_ns" if name == "time" else name: value
                    for name, value in row.items()
                    if name not in ("type", "index", "error")
                    and not (name == "value" and value is None)
                }
            yield {name: _tuples(value) for name, value in row.items()}

    def _csv(self) -> Iterator[dict[str, Any]]:
        reader = csv.reader(self._text(), strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            if _is_twitter(header):
                yield _of_twitter(header)
                for cells in reader:
                    if cells:
                        yield _of_twitter(cells)
                return
            header = [name.strip() for name in header]
            for name in header:
                if name not in COLUMNS:
                    raise _Wrong(_unknown(name))
                if header.count(name) > 1:
                    raise _Wrong(f"column {name} comes twice, expected once")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise _Wrong(f"{len(cells)} cells, expected {len(header)} as in the header")
                yield {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
        except csv.Error as error:
            raise _Wrong(f"{one_line(error)}, expected comma-separated values") from None

    # --- operations -------------------------------------------------------------------------------

    def _take(self, row: dict[str, Any]) -> None:
        """Note one operation."""
        f = row.get("f")
        if not isinstance(f, str) or not f:
            raise _Wrong("no operation, expected a column f such as get or put")
        key = row.get("key")
        if isinstance(key, str):
            key = self.strings.setdefault(key, key)
        value = row.get("value")
        self.bytes += len(value) if isinstance(value, str | bytes) else 0
        if self.bytes > BYTES_MAX:
            raise _Wrong(f"more than {BYTES_MAX} bytes of values, expected fewer, or value_bytes")
        size = -1
        if "value_bytes" in row:
            size = _whole("value_bytes", row["value_bytes"], VALUE_LENGTH_MAX)
            if "value" in row:
                raise _Wrong("both value and value_bytes, expected one of them")
        if f == "cas" and size >= 0 and not row.get("twitter"):
            raise _Wrong("cas with value_bytes, expected value as [old, new]")
        if f in WRITES and size < 0 and "value" not in row:
            raise _Wrong(f"{f} without a value, expected value or value_bytes")
        self._client(row)
        self._time(row)
        self.found.rows.append(Row(self.strings.setdefault(f, f), key, row.get("value"), size))
        self.lines.append(self.line)

    def _client(self, row: dict[str, Any]) -> None:
        found = self.found
        names = [name for name in CLIENTS if name in row]
        if not found.rows:
            found.named = bool(names)
        if len(names) > 1:
            raise _Wrong("both client and process, expected one of them")
        if bool(names) != found.named:
            one = "a client" if names else "no client"
            raise _Wrong(f"{one}, unlike the operations before, expected it everywhere or nowhere")
        number = 0
        if names:
            name = row[names[0]]
            if not isinstance(name, str | int):
                raise _Wrong(f"{names[0]} {name!r}, expected text or a whole number")
            number = self.names.setdefault((type(name), name), len(self.names))
        found.clients.append(number)

    def _time(self, row: dict[str, Any]) -> None:
        found = self.found
        names = [name for name in UNITS if name in row]
        if not found.rows:
            found.timed = bool(names)
        if len(names) > 1:
            raise _Wrong(f"both {names[0]} and {names[1]}, expected one of them")
        if bool(names) != found.timed:
            one = "a time" if names else "no time"
            raise _Wrong(f"{one}, unlike the operations before, expected it everywhere or nowhere")
        if not names:
            return
        time_ns = _time_ns(names[0], row[names[0]])
        if not found.rows:
            self.start_ns = time_ns
        time_ns -= self.start_ns
        if time_ns > TIME_NS_MAX:
            raise _Wrong(f"{names[0]} is {time_ns} ns after the first, expected less")
        if row.get("twitter"):
            self._spread(time_ns)
        elif found.times and time_ns < found.times[-1]:
            raise _Wrong(f"{names[0]} goes back, expected ascending times")
        found.times.append(time_ns)

    def _spread(self, time_ns: int | None) -> None:
        """Spread the operations of the last second over it, now that the next one begins."""
        second, begin = self.second
        if time_ns == second:
            return
        times = self.found.times
        if second >= 0:
            if time_ns is not None and time_ns < second:
                raise _Wrong("the timestamp goes back, expected ascending ones")
            count = len(times) - begin
            for number in range(count):
                times[begin + number] = second + number * 1_000_000_000 // count
        if time_ns is not None:
            self.second = time_ns, len(times)

    def _resolve(self, asked: Machine[Any, Any] | None) -> None:
        """Settle the machine, and see that it takes every operation."""
        found = self.found
        if asked is None:
            names = tuple(dict.fromkeys(row.f for row in found.rows))
            asked = next((known for known in _preferred() if set(names) <= operations(known)), None)
            if asked is None:
                raise self._of_no_machine(names)
        found.machine = asked.name
        for position, row in enumerate(found.rows):
            try:
                asked.encode(found.command(position, asked))
                continue
            except BadInput as error:
                wrong: BadInput = error
            # A cell of a CSV file is text; not everything is.
            parsed = _parsed(row.value)
            if parsed is not None:
                found.rows[position] = msgspec.structs.replace(row, value=parsed)
                try:
                    asked.encode(found.command(position, asked))
                    continue
                except BadInput:
                    pass
            why = _wrong_with(row, asked) or str(wrong)
            raise BadInput(f"workload file {self.path}, line {self.lines[position]}: {why}")

    def _of_no_machine(self, names: tuple[str, ...]) -> BadInput:
        """The error for operations that no machine of Concur's has all of."""
        best = max(_preferred(), key=lambda known: len(operations(known) & set(names)))
        known = [name for name in names if name in operations(best)]
        odd = next(name for name in names if name not in known)
        position = next(i for i, row in enumerate(self.found.rows) if row.f == odd)
        beside = f" beside {', '.join(known)}" if known else ""
        return BadInput(
            f"workload file {self.path}, line {self.lines[position]}: operation {odd[:40]!r}"
            f"{beside}, expected operations of one machine: "
            + "; ".join(f"{m.name} has {', '.join(_tags(m))}" for m in _preferred())
            + "; or --machine package.module:Class"
        )


PAIRS = {
    "cas": "[old, new]",
    "scan": "[first key, how many]",
    "release": "[owner, token]",
}
"""Operations whose value is a pair."""


def _wrong_with(row: Row, asked: Machine[Any, Any]) -> str:
    """Why one of Concur's machines does not take a row, in words of the file; "" if unknown."""
    f, key = row.f, row.key
    if asked not in all_machines():
        return ""
    if f not in operations(asked):
        known = ", ".join(_tags(asked))
        return f"unknown operation {f[:40]!r}, expected one of the machine {asked.name}: {known}"
    if asked.name == "kv" and f != "scan" and key is None:
        return f"{f} without a key, expected one in the column key"
    if not isinstance(key, str | None):
        return f"{f} with key {key!r}, expected text"
    if row.size >= 0 and f not in WRITES and f != "cas":
        return f"{f} with value_bytes, expected a value"
    if f in PAIRS:
        parsed = _parsed(row.value) or row.value
        if not isinstance(parsed, tuple) or len(parsed) != 2:
            given = "without a value" if row.value is None else f"with value {_cut(row.value)}"
            return f"{f} {given}, expected {PAIRS[f]}, a list as JSON has them"
    elif row.value is None and f in ("add", "fetch-add", "acquire"):
        return f"{f} without a value, expected one in the column value"
    return ""


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tags(known: Machine[Any, Any]) -> list[str]:
    return [str(kind.__struct_config__.tag) for kind in known.commands]


def operations(known: Machine[Any, Any]) -> set[str]:
    """The names of a machine's operations, as histories have them."""
    return set(_tags(known))


def _preferred() -> list[Machine[Any, Any]]:
    order = ("kv", "register", "counter", "lock", "queue")
    return [machine(name) for name in order]


def _unknown(name: str) -> str:
    if name == "time":
        return f"column time: which unit? expected {', '.join(UNITS)}"
    for separator in (";", "\t"):
        if separator in name:
            return f"columns with {separator!r} between them, expected commas"
    return (
        f"unknown column {name[:40]!r}, expected a header with f and some of "
        f"{', '.join(COLUMNS[1:])}, or the seven columns of Twitter's cache traces"
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return _tuples(msgspec.json.decode(value))
    except (msgspec.DecodeError, RecursionError):
        return None


def _whole(name: str, given: Any, most: int) -> int:
    number = given
    if isinstance(given, str) and re.fullmatch(r" *[0-9]{1,18} *", given):
        number = int(given)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise _Wrong(f"{name} {given!r}, expected a whole number from 0 to {most}")
    return number


def _time_ns(name: str, given: Any) -> int:
    """Exact to the nanosecond, whatever the unit."""
    text = str(given).strip()
    match = re.fullmatch(r"([0-9]{1,20})(?:\.([0-9]{0,20}))?", text)
    if isinstance(given, float) and match is None:
        match = re.fullmatch(r"([0-9]+)\.([0-9]+)", f"{given:.9f}")
    if match is None or isinstance(given, bool):
        raise _Wrong(f"{name} {given!r}, expected a number of 0 or more, such as 1.25")
    whole, rest = match[1], match[2] or ""
    unit = UNITS[name]
    return int(whole) * unit + int(rest or "0") * unit // int("1" + "0" * len(rest))


def _is_twitter(cells: list[str]) -> bool:
    return len(cells) == 7 and cells[0].strip().isdigit() and cells[5].strip() in TWITTER


def _of_twitter(cells: list[str]) -> dict[str, Any]:
    if not _is_twitter(cells):
        raise _Wrong(
            "expected timestamp, key, key size, value size, client, operation, TTL, as in the "
            "lines before"
        )
    time, key, key_bytes, value_bytes, client, operation, _ = (cell.strip() for cell in cells)
    size = _whole("key size", key_bytes, KEY_LENGTH_MAX)
    f = TWITTER[operation]
    row = {
        "time_s": time,
        "f": f,
        "key": key.ljust(size, "-"),  # longer ones stay: cut, two keys could become one
        "client": client,
        "twitter": True,
    }
    if f not in ("get", "delete"):
        row["value_bytes"] = value_bytes
    return row
