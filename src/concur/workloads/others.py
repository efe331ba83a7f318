"""Workloads for the machines other than the key-value store, and for any machine at all."""

from typing import Any

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines import Machine, MachineError, counter, lock, queue, register
from concur.machines.load import load
from concur.machines.sampling import Sampler
from concur.workloads.base import ClientScript, Values, Workload, Written


class RegisterScript(ClientScript):
    __slots__ = ("_asked", "_decode", "_seen", "_stream", "_values")

    def __init__(self, workload: "RegisterMix", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._values = Values(index, workload.value_bytes)
        self._decode = workload.machine().decode_result
        self._seen: Any = None
        self._asked = False

    def choose(self, result: bytes | None) -> Any:
        if self._asked and result is not None:
            self._seen = self._decode(result)
        kind = next(self._stream) * 100 >> 32
        self._asked = kind < 50
        if kind < 50:
            return register.Read()
        value = self._values.next()
        if kind < 80:
            self._seen = value
            return register.Write(value)
        return register.Cas(self._seen, value)


class RegisterMix(Written, frozen=True, kw_only=True):
    """50 per cent reads, 30 writes of unique values, 20 compare-and-sets of the value last seen."""

    script = RegisterScript
    machine_name = "register"
    summary = "reads, writes and compare-and-sets of one register, all values unique"


class CounterScript(ClientScript):
    __slots__ = ("_amount", "_stream")

    def __init__(self, workload: "CounterMix", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._amount = workload.amount_max

    def choose(self, result: bytes | None) -> Any:
        kind = next(self._stream) * 100 >> 32
        if kind < 20:
            return counter.Read()
        amount = 1 + (next(self._stream) * self._amount >> 32)
        return counter.Add(amount) if kind < 60 else counter.FetchAdd(amount)


class CounterMix(Workload, frozen=True, kw_only=True):
    """20 per cent reads, 40 additions, 40 fetch-and-adds, each of 1 to `amount_max`."""

    script = CounterScript
    machine_name = "counter"
    summary = "reads, additions and fetch-and-adds"

    amount_max: int = 3

    def check(self) -> None:
        self.require("amount_max", 1 <= self.amount_max <= counter.AMOUNT_MAX, "1 or more")


class LockScript(ClientScript):
    """Acquire until granted, release what was granted; whoever got no answer asks who holds it."""

    __slots__ = ("_asked", "_decode", "_owner", "_stream")

    def __init__(self, workload: "LockCycle", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._decode = workload.machine().decode_result
        self._owner = f"client-{index}"
        self._asked = ""

    def choose(self, result: bytes | None) -> Any:
        asked, self._asked = self._asked, "acquire"
        if result is None:
            if asked:
                self._asked = "holder"
                return lock.Holder()
            return lock.Acquire(self._owner)
        answer = self._decode(result)
        if isinstance(answer, MachineError):
            answer = None
        if asked == "acquire" and answer is not None:
            self._asked = "release"
            return lock.Release(self._owner, answer)
        if asked == "holder" and answer is not None and answer[0] == self._owner:
            self._asked = "release"
            return lock.Release(self._owner, answer[1])
        if next(self._stream) * 4 >> 32 == 0:
            self._asked = "holder"
            return lock.Holder()
        return lock.Acquire(self._owner)


class LockCycle(Workload, frozen=True, kw_only=True):
    """Every client acquires and releases one lock, and now and then asks who holds it."""

    script = LockScript
    machine_name = "lock"
    summary = "acquire and release of one lock"
    needs_results = True


class QueueScript(ClientScript):
    __slots__ = ("_queues", "_stream", "_values")

    def __init__(self, workload: "QueueMix", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._values = Values(index, workload.value_bytes)
        self._queues = workload.queues

    def choose(self, result: bytes | None) -> Any:
        name = f"queue-{1 + (next(self._stream) * self._queues >> 32)}"
        kind = next(self._stream) * 100 >> 32
        if kind < 40:
            return queue.Enqueue(name, self._values.next())
        if kind < 88:
            return queue.Dequeue(name)
        return queue.Peek(name) if kind < 96 else queue.Length(name)


class QueueMix(Written, frozen=True, kw_only=True):
    """40 per cent enqueues of unique values, 48 dequeues, 8 peeks, 4 lengths, of `queues` queues.

    Consumers are a little faster than producers, so queues stay short and now and then run empty.
    """

    script = QueueScript
    machine_name = "queue"
    summary = "enqueues and dequeues of a few queues, all values unique"

    queues: int = 3

    def check(self) -> None:
        super().check()
        self.require_keys("queues")


class DrawnScript(ClientScript):
    __slots__ = ("_sampler", "_stream")

    def __init__(self, workload: "Drawn", index: int, clients: int, seed: int) -> None:
        super().__init__(workload, index, clients, seed)
        self._stream = Stream(seed, "workload", "commands", index)
        self._sampler = Sampler(workload.machine())

    def choose(self, result: bytes | None) -> Any:
        return self._sampler.draw(self._stream)


class Drawn(Workload, frozen=True, kw_only=True):
    """For a machine that has no workload of its own: commands drawn from the types of its fields.

    `of` is the machine, or `package.module:Class`. Slower than the others, and values repeat.
    """

    script = DrawnScript
    summary = "commands drawn from their field types"

    of: Machine[Any, Any] | str

    def machine(self) -> Machine[Any, Any]:
        return load(self.of)

    def check(self) -> None:
        try:
            Sampler(load(self.of)).draw(Stream(0, "trial"))
        except BadInput as error:
            raise BadInput(f"workload {self.name}: {error}") from None
