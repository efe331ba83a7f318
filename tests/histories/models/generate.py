"""Small random histories of a plain object: right ones, and ones in which somebody was lied to."""

from dataclasses import replace
from typing import Any

from concur.chance import Stream
from concur.histories import History
from tests.histories.helpers import Call, history_of
from tests.histories.models.plain import Impossible, Plain


def small_history(name: str, plain: Plain, seed: int) -> History:
    chance = Stream(seed, name)
    processes = chance.between(1, 4)
    spread = chance.choice([0, 1, 2, 3, 6])
    pending = chance.choice([0.0, 0.0, 0.2, 0.4])
    clock = [chance.below(spread + 1) for _ in range(processes)]
    number = list(range(processes))
    made: list[tuple[tuple[int, int], Call]] = []
    for f, key, value in chance.sample(list(plain.asks), chance.between(2, 8)):
        slot = chance.below(processes)
        start = clock[slot] + chance.below(spread + 1) * chance.below(2)
        end = start + chance.below(spread + 1)
        clock[slot] = end
        call = Call(number[slot], f, key, value, start, end)
        if chance.chance(pending):
            call = replace(call, type=chance.choice(["info", "open"]))
            number[slot] += processes
        elif chance.chance(0.05):
            call = replace(call, type="fail", error="refused")
        made.append(((chance.between(start, end), chance.below(1 << 20)), call))
    state = plain.initial
    told = []
    for _, call in sorted(made, key=lambda pair: pair[0]):
        if call.type == "fail" or (call.type != "ok" and chance.chance(0.5)):
            told.append(call)
            continue
        try:
            state, result = plain.perform(state, call.process, call.f, call.key, call.value)
        except Impossible:
            told.append(replace(call, type="fail", error="refused"))
            continue
        told.append(_tell(chance, plain, call, result) if call.type == "ok" else call)
    while chance.chance(0.5):
        _lie(chance, told)
    told.sort(key=lambda c: (c.process, c.type in ("info", "open"), c.call, c.end))
    return history_of(told, name, chance)


def _tell(chance: Stream, plain: Plain, call: Call, result: Any) -> Call:
    if call.f == "cas" and result is False:
        error = chance.choice(["mismatch", "mismatch", None, "no"])
        refused = replace(call, type="fail", result=call.value, error=error)
        return chance.choice([refused, refused, replace(call, result=False)])
    if call.f == "cas":
        return replace(call, result=chance.choice([call.value, None, True]))
    if call.f in plain.blind:
        return replace(call, result=chance.choice([result, None, call.value]))
    if call.f in ("acquire", "release"):
        if result is False:
            return chance.choice([replace(call, result=False), replace(call, type="fail")])
        return replace(call, result=chance.choice([None, True]))
    if isinstance(result, tuple) and call.f == "read":
        result = tuple(chance.shuffled(result))
    return replace(call, result=result)


def _lie(chance: Stream, told: list[Call]) -> None:
    at, other = chance.below(len(told)), told[chance.below(len(told))]
    call = told[at]
    if call.type == "ok" and call.f in ("acquire", "release"):
        told[at] = replace(call, result=call.result is False)
    elif call.f == "cas" and call.type == "ok":
        told[at] = replace(call, type="fail", error=chance.choice(["mismatch", None]))
    elif call.f == "cas" and call.type == "fail":
        told[at] = replace(call, type="ok", result=None, error=None)
    elif call.type == "ok" and isinstance(call.result, bool):
        told[at] = replace(call, result=not call.result)
    elif call.type == "ok" and other.type == "ok" and call.f == other.f and call.f != "txn":
        told[at] = replace(call, result=other.result)
    elif call.type == "ok" and call.f == "txn" and call.result:
        lied = tuple((k, of, chance.below(3) if k == "r" else v) for k, of, v in call.result)
        told[at] = replace(call, result=lied)
