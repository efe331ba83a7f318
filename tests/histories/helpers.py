"""Small random histories, and a checker so plain that one can see that it is right."""

from dataclasses import dataclass, replace
from typing import Any

from concur.chance import Stream
from concur.histories import History, Operation, Specification
from concur.histories.identity import identity
from concur.machines.base import Refused


@dataclass(frozen=True)
class Call:
    """One operation of a history to be: what a process asked, and what it was told."""

    process: int
    f: str
    key: Any
    value: Any
    call: int
    end: int
    type: str = "ok"  # or fail, info, open (no completion event)
    result: Any = None
    error: str | None = None


def history_of(calls: list[Call], model: str = "", chance: Stream | None = None) -> History:
    """Events by time; at equal times in an order that chance decides, except within a process."""
    events = []
    number: dict[int, int] = {}
    for call in calls:
        for completes in (False, True):
            step = 1 + chance.below(4) if chance else 1
            number[call.process] = number.get(call.process, 0) + step
            time = call.end if completes else call.call
            events.append((time, number[call.process], call.process, completes, call))
    events.sort(key=lambda event: event[:4])
    history = History(model)
    ops: dict[int, int] = {}
    for _, _, process, completes, call in events:
        if not completes:
            ops[process] = history.invoke(process, call.f, call.key, call.value, call.call)
        elif call.type != "open":
            type_: Any = call.type
            history.complete(ops[process], type_, call.result, call.end, call.error)
    return history


def precedes(a: Operation, b: Operation) -> bool:
    """DESIGN, section 5: strictly earlier in time, or earlier in the same process."""
    if a.process == b.process:
        return a.index < b.index
    return a.return_ns is not None and a.return_ns < b.call_ns


def brute_force(history: History, machine: Specification) -> bool:
    """Try all orders of all subsets that leave out pending operations only."""
    operations = [
        op
        for op in history.operations()
        if op.type != "fail" or (op.f == "cas" and op.error == "mismatch")
    ]
    commands = [machine.command(op.f, op.key, op.value) for op in operations]
    before = [
        [a for a, one in enumerate(operations) if a != b and precedes(one, other)]
        for b, other in enumerate(operations)
    ]

    def explore(done: frozenset[int], state: Any) -> bool:
        if all(i in done for i, op in enumerate(operations) if op.type != "info"):
            return True
        for i, op in enumerate(operations):
            if i in done or not all(a in done for a in before[i]):
                continue
            try:
                after, result = machine.apply(state, commands[i])
            except Exception:
                continue
            if op.type != "info":
                type_, value, error = machine.completion(commands[i], result)
                if type_ != op.type or (type_ == "fail" and error != op.error):
                    continue
                if type_ == "ok" and identity(value) != identity(op.result):
                    continue
            if explore(done | {i}, after):
                return True
        return False

    return explore(frozenset(), machine.initial())


Ask = tuple[str, Any, Any]  # f, key, value


def random_calls(
    chance: Stream,
    machine: Specification,
    asks: list[Ask],
    operations: int,
    processes: int,
    spread: int = 3,
    pending: float = 0.15,
    wrong: float = 0.5,
) -> list[Call]:
    """Run `machine` once, each command at some instant within its operation; then perhaps lie.

    `spread` bounds gaps and durations, so a small one makes many equal times. Asks are used up in
    random order (so values stay unique if they are), with probability `wrong` one outcome is
    replaced by that of another.
    """
    clock = [chance.below(spread + 1) for _ in range(processes)]
    number = list(range(processes))
    fresh = processes
    calls: list[tuple[tuple[int, int], Call]] = []
    for ask in chance.sample(asks, operations):
        slot = chance.below(processes)
        call = clock[slot] + chance.below(spread + 1) * chance.below(2)
        end = call + chance.below(spread + 1)
        clock[slot] = end
        point = chance.between(call, end), chance.below(1 << 20)
        made = Call(number[slot], *ask, call=call, end=end)
        if chance.chance(pending):
            made = replace(made, type=chance.choice(["info", "open"]))
            number[slot] = fresh
            fresh += 1
        elif chance.chance(0.05):
            made = replace(made, type="fail", error="refused")
        calls.append((point, made))
    state = machine.initial()
    told = []
    for _, call_ in sorted(calls, key=lambda pair: pair[0]):
        if call_.type == "fail" or (call_.type != "ok" and chance.chance(0.5)):
            told.append(call_)
            continue
        command = machine.command(call_.f, call_.key, call_.value)
        try:
            state, result = machine.apply(state, command)
        except Refused:
            told.append(replace(call_, type="fail", error="refused"))
            continue
        if call_.type == "ok":
            type_, value, error = machine.completion(command, result)
            call_ = replace(call_, type=type_, result=value, error=error)
        told.append(call_)
    while chance.chance(wrong):
        told = _lie(chance, told)
    told.sort(key=lambda c: (c.process, c.type in ("info", "open"), c.call, c.end))
    return told


def _lie(chance: Stream, told: list[Call]) -> list[Call]:
    a, b = chance.below(len(told)), chance.below(len(told))
    one, other = told[a], told[b]
    if one.type == "ok" and one.f in ("get", "read", "fetch-add", "dequeue", "peek", "length"):
        told[a] = replace(one, result=other.result if other.type == "ok" else other.value)
    elif one.f == "cas" and one.type == "ok":
        told[a] = replace(one, type="fail", error="mismatch")
    elif one.f == "cas" and one.type == "fail":
        told[a] = replace(one, type="ok", error=None)
    return told
