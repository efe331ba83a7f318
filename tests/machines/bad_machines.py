"""Machines with one sin each. The test of `check_machine` must find every one."""

import json
import os
import random
import time
import uuid
from datetime import datetime
from typing import Any

import msgspec

from concur.machines import Adaptor, Machine, MachineCommand, Refused
from concur.values import Map, Set


class Add(MachineCommand, frozen=True):
    name: str
    amount: int


class Look(MachineCommand, frozen=True):
    name: str


Any_ = Add | Look
State = Map[str, int]


class Good(Machine[Any, Any_]):
    """Totals by name. The sinners below change one thing each."""

    name = "totals"
    commands = (Add, Look)

    def initial(self) -> State:
        return Map()

    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        if isinstance(command, Look):
            return state, state.get(command.name)
        if command.amount < 0:
            raise Refused("a negative amount")
        total = state.get(command.name, 0) + command.amount
        return state.put(command.name, total), total

    def read_only(self, command: Any_) -> bool:
        return isinstance(command, Look)


class ReadsTheClock(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        after, result = super().apply(state, command)
        return after, int(time.time() / 1e9) + (result or 0)


class ReadsTheDate(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], datetime.now().year


class ThrowsDice(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], random.choice((1, 2))


class MakesIdentifiers(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], uuid.uuid4().hex


class ReadsTheEnvironment(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], os.environ.get("PYTHONHASHSEED")


class ReadsAFile(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        with open(os.devnull) as file:
            return super().apply(state, command)[0], file.read()


class HashesStrings(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], hash(command.name) % 7


class OrderOfASetInTheResult(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        after, _ = super().apply(state, command)
        return after, ",".join({str(key) for key in after})


class OrderOfASetInTheState(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        after, _ = super().apply(state, command)
        first = next(iter({str(key) for key in after}), "")
        return after.put("first", len(first)), None

    def read_only(self, command: Any_) -> bool:
        return False


class ChangesTheStateInPlace(Good):
    def initial(self) -> dict[str, int]:  # type: ignore[override]
        return {}

    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        if isinstance(command, Add):
            state[command.name] = command.amount
        return state, None


class HoldsADict(Good):
    def initial(self) -> dict[str, int]:  # type: ignore[override]
        return {}

    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        if isinstance(command, Look):
            return state, None
        return {**state, command.name: 1}, None


class Loose(msgspec.Struct):
    total: int = 0


class HoldsAStructThatIsNotFrozen(Good):
    def initial(self) -> Loose:  # type: ignore[override]
        return Loose()

    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return Loose(state.total + 1), None

    def read_only(self, command: Any_) -> bool:
        return False


class CountsOnTheSide(Good):
    count = 0

    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        CountsOnTheSide.count += 1
        return super().apply(state, command)[0], CountsOnTheSide.count


class ForgetsInTheSnapshot(Good):
    def snapshot(self, state: Any) -> bytes:
        return super().snapshot(state.discard("ann"))


class SnapshotWithoutOrder(Good):
    def initial(self) -> Set[str]:  # type: ignore[override]
        return Set()

    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return (state if isinstance(command, Look) else state.add(command.name)), None

    def snapshot(self, state: Any) -> bytes:
        return "|".join(set(state)).encode()

    def restore(self, data: bytes) -> Any:
        return Set(data.decode().split("|") if data else ())


class RestoresNothing(Good):
    def restore(self, data: bytes) -> Any:
        return self.initial()


class ReturnsAList(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], list(state)


class ReturnsAFloat(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return super().apply(state, command)[0], 0.5


class ReturnsNoPair(Good):
    def apply(self, state: Any, command: Any_) -> Any:
        return None


class ReadOnlyThatWrites(Good):
    def read_only(self, command: Any_) -> bool:
        return True


class ConflictsOneWay(Good):
    def conflicts(self, a: Any_, b: Any_) -> bool:
        return isinstance(a, Add)


class CommutesByWord(Good):
    def conflicts(self, a: Any_, b: Any_) -> bool:
        return False


class KeyTooNarrow(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        after, _ = super().apply(state, command)
        return after, len(after)

    def key(self, command: Any_) -> Any:
        return command.name


class EventLosesAField(Good):
    def event(self, command: Any_) -> tuple[str, Any, Any]:
        f, key, value = super().event(command)
        return f, key, (value[0], 1) if isinstance(command, Add) else value


class CompletionInvented(Good):
    def completion(self, command: Any_, result: Any) -> tuple[str, Any, str | None]:
        return "done", result, None


class Misspelt(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        return state.putt(command.name, 1), None


class EndsTheProcess(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        raise SystemExit(3)


class KillsTheProcess(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        os._exit(3)


class NeverReturns(Good):
    def apply(self, state: Any, command: Any_) -> tuple[Any, Any]:
        while True:
            pass


# --- mutable objects ------------------------------------------------------------------------------


class Bank:
    def __init__(self) -> None:
        self.balances: dict[str, int] = {}

    def apply(self, command: Any) -> Any:
        match command:
            case ("deposit", owner, amount):
                self.balances[owner] = self.balances.get(owner, 0) + amount
                if amount < 0:
                    raise ValueError("a negative amount")  # too late, on purpose
                return self.balances[owner]
            case ("balance", owner):
                return self.balances.get(owner, 0)
        raise AssertionError(command)

    def snapshot(self) -> bytes:
        return json.dumps(self.balances, sort_keys=True).encode()

    def restore(self, data: bytes) -> None:
        self.balances = json.loads(data)


COMMANDS: dict[str, tuple[Any, ...]] = {"deposit": (str, int), "balance": (str,)}
bank = Adaptor(Bank, COMMANDS, read_only=("balance",))


class ClockBank(Bank):
    def apply(self, command: Any) -> Any:
        return super().apply(command) + int(time.time()) * 0


class SetBank(Bank):
    def apply(self, command: Any) -> Any:
        super().apply(command)
        return " ".join({*self.balances})


class ForgetfulBank(Bank):
    def __init__(self) -> None:
        super().__init__()
        self.visits = 0

    def apply(self, command: Any) -> Any:
        super().apply(command)
        self.visits += 1
        return self.visits


class InsertionOrderBank(Bank):
    """The order of a dict is that of insertion: the same everywhere, and a restore keeps it."""

    def snapshot(self) -> bytes:
        return json.dumps(self.balances).encode()


class WritingReaderBank(Bank):
    def apply(self, command: Any) -> Any:
        if command[0] == "balance":
            self.balances.setdefault(command[1], 0)
        return super().apply(command)


clock_bank = Adaptor(ClockBank, COMMANDS)
set_bank = Adaptor(SetBank, COMMANDS)
forgetful_bank = Adaptor(ForgetfulBank, COMMANDS)
insertion_order_bank = Adaptor(InsertionOrderBank, COMMANDS)
writing_reader_bank = Adaptor(WritingReaderBank, COMMANDS, read_only=("balance",))
