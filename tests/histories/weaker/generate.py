"""Small random histories of reads and writes that are often nearly, and not always, consistent."""

import re
from typing import Any

from concur.chance import Stream
from concur.histories import History
from tests.histories.helpers import Call, history_of


def small_history(
    seed: int,
    operations: int = 5,
    keys: tuple[Any, ...] = ("x", "y"),
    repeated: bool = False,
    pending: float = 0.1,
) -> History:
    """At most so many operations of up to four processes. Reads return values of any write that
    there is, more often one that was called before, or the initial None, or (seldom) neither."""
    chance = Stream(seed, "weaker", operations, len(keys), int(repeated))
    keys = keys[: chance.between(1, len(keys))]
    processes = chance.between(1, 4)
    spread = chance.choice([0, 1, 2, 4])
    lies = chance.choice([0.1, 0.5, 1.0])
    clock = [chance.below(spread + 1) for _ in range(processes)]
    number = list(range(processes))
    fresh = processes
    drawn: list[tuple[int, str, Any, Any, int, int, str]] = []
    for i in range(chance.between(2, operations)):
        slot = chance.below(processes)
        call = clock[slot] + chance.below(spread + 1) * chance.below(2)
        end = clock[slot] = call + chance.below(spread + 1)
        f = "put" if chance.chance(0.45) else "get"
        value: Any = None
        if f == "put":
            value = chance.choice([1, 2, True, None]) if repeated else i
        type_ = "ok"
        if chance.chance(pending):
            type_ = chance.choice(["info", "open"])
        elif chance.chance(0.03):
            type_ = "fail"
        drawn.append((number[slot], f, chance.choice(keys), value, call, end, type_))
        if type_ in ("info", "open"):
            number[slot], fresh = fresh, fresh + 1
    calls = []
    for process, f, key, value, call, end, type_ in drawn:
        result = None
        if f == "get" and type_ == "ok":
            written = [d for d in drawn if d[1] == "put" and d[2] == key]
            likely = [d for d in written if d[4] <= end]
            if not chance.chance(lies):
                result = max(likely, key=lambda d: (d[4], d[5]))[3] if likely else None
            elif chance.chance(0.02):
                result = 99
            else:
                some = likely if likely and chance.chance(0.8) else written
                result = chance.choice([None, *(d[3] for d in some)])
        error = "refused" if type_ == "fail" else None
        calls.append(Call(process, f, key, value, call, end, type_, result, error))
    calls.sort(key=lambda c: (c.process, c.type in ("info", "open"), c.call, c.end))
    return history_of(calls, "kv", chance)


LINE = re.compile(r"process (\d+): (put|get) (\w+) (\w+)(?: at (\d+)(?:-(\d+))?)?( \(no answer\))?")


def written(text: str) -> History:
    """A history out of lines such as `process 1: get x nothing at 20-30`; see docs/consistency.md.

    Without times each operation stands at a time of its own, in the order of the lines.
    """
    calls = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines()))):
        found = LINE.fullmatch(line)
        assert found, line
        value = None if found[4] == "nothing" else int(found[4])
        call = int(found[5] or 10 * number)
        end = int(found[6] or call + 5)
        put = found[2] == "put"
        calls.append(
            Call(
                int(found[1]),
                found[2],
                found[3],
                value if put else None,
                call,
                end,
                "info" if found[7] else "ok",
                None if put else value,
            )
        )
    return history_of(calls, "kv")
