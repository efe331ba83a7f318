"""`Workload`: what clients do. Parameters only; `client` makes the script of one client.

A script is asked for one command at a time and depends on nothing but (workload, seed, client
index, number of clients) and the results of its own commands: adding a fault or a client leaves
what the others ask for as it was.

* **Closed loop** (`rate` None): the driver asks again when a command has completed, and the next
  is due `think_s` later. Load follows what the system can do.
* **Open loop** (`rate` commands a second of each client): commands are due at the points of a
  Poisson process, whether or not earlier ones have completed. The driver asks again as soon as a
  command was *due*, and measures latency from then on; otherwise a slow system would be asked less
  and look better than it is (coordinated omission). Commands may overlap, so a driver records
  them as processes of their own.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import msgspec

from concur.chance import WORD, Stream
from concur.errors import BadInput
from concur.machines import Machine, machine
from concur.machines.kv import VALUE_LENGTH_MAX
from concur.workloads.tables import exponential_gaps

SECOND_NS = 1_000_000_000
KEYS_MAX = 100_000
"""Keys of one workload: a Zipf table of so many takes a few seconds to compute, once."""

RATE_MAX = 1e6
DURATION_S_MAX = 1e6


class ClientScript:
    """What one client does. Not a value: it goes forward only."""

    __slots__ = ("_gap", "_think_ns")

    def __init__(self, workload: "Workload", index: int, clients: int, seed: int) -> None:
        self._think_ns = round(workload.think_s * SECOND_NS)
        self._gap: Callable[[], int] | None = None
        if workload.rate is not None:
            stream = Stream(seed, "workload", "arrivals", index)
            self._gap = exponential_gaps(stream, round(SECOND_NS / workload.rate))

    def next_command(self, now_ns: int, result: bytes | None) -> tuple[int, Any] | None:
        """The delay from `now_ns` (int nanoseconds) and the command that is due then.

        `result` is the encoded result of the client's last command if it ended with Ok, and None
        at first, after any other outcome, and in an open loop. None in return: nothing is left.
        """
        gap = self._gap
        return self._think_ns if gap is None else gap(), self.choose(result)

    def choose(self, result: bytes | None) -> Any:
        """The next command; `result` as for `next_command`."""
        raise NotImplementedError


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """Base of workloads: an immutable description that pickles. Raises BadInput if it is wrong."""

    script: ClassVar[type[ClientScript]] = ClientScript
    machine_name: ClassVar[str] = "kv"
    summary: ClassVar[str] = ""
    needs_results: ClassVar[bool] = False
    """Commands depend on results of earlier ones, which an open loop does not wait for."""

    name: str
    think_s: float = 0.0
    rate: float | None = None

    def __post_init__(self) -> None:
        self.require("think_s", 0 <= self.think_s <= DURATION_S_MAX, "0 or more seconds")
        if self.rate is not None:
            self.require(
                "rate", 0 < self.rate <= RATE_MAX, f"commands/s above 0, at most {RATE_MAX:g}"
            )
            self.require("rate", not self.needs_results, "none: its commands wait for results")
            self.require("think_s", self.think_s == 0, "0 in an open loop, which `rate` makes")
        self.check()

    def check(self) -> None:
        """Raise BadInput if a parameter of a subclass is wrong."""

    def require(self, parameter: str, condition: bool, expected: str) -> None:
        """Raise the one kind of error that workloads have, unless `condition`."""
        if not condition:
            raise BadInput(
                f"workload {self.name}: {parameter}={getattr(self, parameter)!r}, "
                f"expected {expected}"
            )

    def client(self, index: int, clients: int, seed: int) -> ClientScript:
        """The script of client `index`, from 0, of `clients`. Raises BadInput."""
        if not 0 <= index < clients:
            raise BadInput(f"workload {self.name}: client {index}, expected 0 to {clients - 1}")
        return self.script(self, index, clients, seed)

    @property
    def open_loop(self) -> bool:
        """Commands come when they are due, whether or not earlier ones have completed."""
        return self.rate is not None

    def machine(self) -> Machine[Any, Any]:
        """The machine that the commands are for."""
        return machine(self.machine_name)

    def on(self, machine: Machine[Any, Any]) -> "Workload":
        """This workload for another machine, if it can be for several; else itself, unchanged."""
        return self

    def preload(self) -> Iterator[Any]:
        """Commands that create the initial records, for a driver that wants them there first.

        Nothing needs them: without, reads of absent keys give None and the first writes create.
        """
        return iter(())

    def describe(self) -> str:
        """One line for people: what is done, and with which parameters."""
        if self.rate is None:
            loop = f"closed loop, think time {self.think_s:g} s" if self.think_s else "closed loop"
        else:
            loop = f"open loop, {self.rate:g} commands/s for each client"
        return f"{self.name}: {self.what()}; {loop}"

    def what(self) -> str:
        """What is done, for `describe`."""
        given = [
            f"{field}={getattr(self, field)}"
            for field in self.__struct_fields__
            if field not in ("name", "think_s", "rate")
        ]
        return f"{self.summary} ({', '.join(given)})" if given else self.summary


class Values:
    """Makes values that are never written twice: `client.counter`, padded to `size` characters.

    Unique values let a checker tell from which write a read got its value. They are longer than
    `size` where the number needs it: uniqueness counts more.
    """

    __slots__ = ("_count", "_prefix", "_size")

    def __init__(self, client: int | str, size: int) -> None:
        self._prefix = f"{client}."
        self._count = 0
        self._size = size

    def next(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}".ljust(self._size, "-")


class Written(Workload, frozen=True, kw_only=True):
    """Base of workloads that write values of `value_bytes`."""

    value_bytes: int = 16

    def check(self) -> None:
        self.require(
            "value_bytes", 1 <= self.value_bytes <= VALUE_LENGTH_MAX, f"1 to {VALUE_LENGTH_MAX}"
        )

    def require_share(self, *parameters: str) -> None:
        for parameter in parameters:
            self.require(parameter, 0 <= getattr(self, parameter) <= 1, "a share from 0 to 1")

    def require_keys(self, parameter: str = "keys") -> None:
        self.require(parameter, 1 <= getattr(self, parameter) <= KEYS_MAX, f"1 to {KEYS_MAX}")


def decimal_exponent(value: float) -> str:
    """An exponent as the decimal that the user typed, for exact tables."""
    return repr(value)


def threshold(share: float) -> int:
    """`draw < threshold(share)` holds for that share of 32-bit draws; for all of them at 1, which
    a sum of shares may miss by a rounding error."""
    return round(share * WORD) if share < 1 - 1e-9 else WORD


def one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
