"""A history that is checked while it streams gets the verdict that it gets as a whole."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import Event, History, check, ends
from concur.histories import stream as streaming
from concur.histories.models import model
from concur.histories.stream import check_stream
from concur.machines import machine
from tests.histories.helpers import Call, history_of, random_calls
from tests.histories.models.generate import small_history
from tests.histories.models.plain import PLAIN, valid

ASKS: dict[str, list[tuple[str, Any, Any]]] = {
    "register": [("read", None, None)] * 6
    + [("write", None, v) for v in (1, 2, 1, True, 3)]
    + [("cas", None, (1, 2)), ("cas", None, (2, 3)), ("cas", None, (None, 1))],
    "kv": [("get", k, None) for k in "xyx"]
    + [("put", k, v) for k in "xy" for v in ("a", "b")]
    + [("append", "x", "c"), ("append", "x", "d"), ("delete", "y", None)],
    "counter": [("read", None, None)] * 4 + [("add", None, 1)] * 3 + [("fetch-add", None, 2)] * 3,
    "queue": [("enqueue", "q", v) for v in (1, 2, 3, 1)] + [("dequeue", "q", None)] * 5,
}


def agree(name: str, seed: int, operations: int, spread: int) -> str:
    """Compare the two; how they decided."""
    chance = Stream(seed, f"stream {name}")
    calls = random_calls(
        chance, machine(name), ASKS[name] * 3, operations, processes=3, spread=spread, wrong=0.3
    )
    history = history_of(calls)
    events = sorted(history.events(), key=lambda event: (event.time, event.index))
    whole = check(history, machine(name))
    found = check_stream(events, machine(name), piece_min=1)
    if found.valid == "unknown" and "equal times" in found.reason:
        return "entangled"
    assert found.valid == whole.valid, (name, seed, found, whole)
    assert found.operations == whole.operations or found.valid is False
    return f"{found.algorithm} {found.valid}"


@pytest.mark.parametrize("spread", [1, 4])
@pytest.mark.parametrize("name", ASKS)
def test_it_agrees_with_the_check_of_the_whole(name: str, spread: int) -> None:
    ways = [agree(name, seed, 12, spread) for seed in range(250)]
    assert sum("frontier" in way for way in ways) > 40
    assert {way.split()[-1] for way in ways} >= {"True", "False"}


@pytest.mark.campaign
@pytest.mark.parametrize("spread", [1, 4, 9])
@pytest.mark.parametrize("name", ASKS)
def test_it_agrees_on_many(name: str, spread: int) -> None:
    for seed in range(7000):
        agree(name, 1_000_000 + seed, 14, spread)


def turns(pairs: int, keys: int = 1) -> Iterator[Event]:
    """Two processes write and read in turns, each overlapping the other's; always right."""
    time = index = 0

    def event(process: int, kind: Any, f: str, key: str, value: Any) -> Event:
        nonlocal time, index
        time, index = time + 5, index + 1
        return Event(
            process=process, type=kind, f=f, key=key, value=value, time=time, index=index - 1
        )

    for number in range(pairs):
        key = f"k{number % keys}"
        yield event(0, "invoke", "put", key, number)
        yield event(1, "invoke", "get", key, None)
        yield event(0, "ok", "put", key, number)
        yield event(1, "ok", "get", key, number)


def test_memory_holds_only_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    take = streaming._Stream.take

    def watched(self: Any, event: Event, index: int) -> None:
        nonlocal most
        take(self, event, index)
        most = max(most, self.kept)

    monkeypatch.setattr(streaming._Stream, "take", watched)
    found = check_stream(turns(20_000), machine("kv"), piece_min=100)
    assert found.valid is True
    assert found.operations == 40_000
    assert found.algorithm == "frontier"
    assert most <= 102
    monkeypatch.setattr(streaming, "KEPT_MAX", 500)
    found = check_stream(turns(5_000, keys=1_000), machine("kv"))
    assert found.valid is True
    assert most <= 1002, "objects too small for a cut are swept up when there are many"


def test_a_bad_read_is_found_behind_many_pieces_and_explained() -> None:
    events = list(turns(3_000))
    last = events[-1]
    events[-1] = Event(
        process=1, type="ok", f="get", key="k0", value=17, time=last.time, index=last.index
    )
    found = check_stream(events, machine("kv"))
    assert found.valid is False
    assert found.reason == "no order of the operations on 'k0' explains every outcome"
    assert "get('k0') -> 17" in found.anomaly[0]
    assert "before it the state can have been" in found.anomaly[-1]


def test_what_was_lost_can_take_effect_many_pieces_later() -> None:
    calls = [Call(9, "write", None, 7, 0, 1, "info")]
    for number in range(1, 50):
        calls.append(Call(0, "write", None, -number, 10 * number, 10 * number + 3))
    for number, value in ((50, -49), (51, 7), (52, 7)):
        calls.append(Call(0, "read", None, None, 10 * number, 10 * number + 3, result=value))
    register = machine("register")
    assert check_stream(history_of(calls).events(), register, piece_min=1).valid is True
    back = Call(0, "read", None, None, 600, 603, result=-49)
    found = check_stream(history_of([*calls, back]).events(), register, piece_min=1)
    assert found.valid is False, "it takes effect once"


def test_lost_operations_that_are_alike_are_one_choice() -> None:
    lost = [Call(100 + n, "add", None, 1, n, n + 1, "info") for n in range(40)]
    reads = [
        Call(0, "read", None, None, 100 + 10 * n, 103 + 10 * n, result=n // 2) for n in range(80)
    ]
    found = check_stream(history_of(lost + reads).events(), machine("counter"), piece_min=1)
    assert found.valid is True
    assert found.steps < 20_000


def test_an_operation_on_all_objects_joins_them() -> None:
    calls = [
        Call(0, "put", "x", 1, 0, 1),
        Call(0, "put", "y", 1, 10, 11),
        Call(0, "scan", None, ("", 9), 20, 21, result=(("x", 1), ("y", 1))),
        Call(0, "put", "x", 2, 30, 31),
        Call(0, "scan", None, ("", 9), 40, 41, result=(("x", 2), ("y", 1))),
    ]
    kv = machine("kv")
    assert check_stream(history_of(calls).events(), kv).valid is True
    stale = [*calls[:4], Call(0, "scan", None, ("", 9), 40, 41, result=(("x", 1), ("y", 1)))]
    assert check_stream(history_of(stale).events(), kv).valid is False


def test_a_scan_after_a_cut_is_too_late() -> None:
    calls = [Call(0, "put", "x", n, 10 * n, 10 * n + 1) for n in range(5)]
    calls.append(Call(0, "scan", None, ("", 9), 90, 91, result=(("x", 4),)))
    found = check_stream(history_of(calls).events(), machine("kv"), piece_min=1)
    assert found.valid == "unknown"
    assert "touches all objects" in found.reason


def unsorted() -> list[Event]:
    """A long run of writes; then a read of one whose lines come a few lines later."""
    calls = [Call(0, "write", None, n, 10 * n, 10 * n + 5) for n in range(255)]
    calls += [
        Call(1, "write", None, 1000, 2551, 2553),
        Call(2, "read", None, None, 2552, 2558, result=1000),
        Call(2, "read", None, None, 2570, 2575, result=1000),
    ]
    events = list(history_of(calls).events())
    late = [event for event in events if event.process == 1]
    rest = [event for event in events if event.process != 1]
    return [*rest[:-1], *late, rest[-1]]


def test_events_may_come_a_little_late() -> None:
    assert check_stream(unsorted(), machine("register")).valid is True
    assert check_stream(unsorted(), machine("register"), piece_min=1).valid is True


@pytest.mark.parametrize("spoilt", [False, True])
def test_events_that_come_too_late_are_refused(
    spoilt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind what would be wrong without them."""
    monkeypatch.setattr(streaming, "LATE_MAX", 4)
    calls = [Call(0, "write", None, n, 10 * n, 10 * n + 1) for n in range(20)]
    if spoilt:
        calls[5] = Call(0, "read", None, None, 50, 51, result=7)
    events = list(history_of(calls).events())
    for index, type_ in ((40, "invoke"), (41, "ok")):
        kind: Any = type_
        events.append(Event(process=1, type=kind, f="write", value=7, time=index, index=index))
    with pytest.raises(BadInput, match="event 40: at 40, expected a time of at least 1"):
        check_stream(events, machine("register"), piece_min=1)


def lossy(name: str, asks: list[tuple[str, Any, Any]], processes: int, lost: float) -> History:
    """A run of the machine. A share of the calls timed out, and half of these took effect."""
    chance = Stream(1, "lossy")
    specification = machine(name)
    clock, number = [0] * processes, list(range(processes))
    points = []
    for ask in asks:
        slot = chance.below(processes)
        start = clock[slot] + 1 + chance.below(40)
        clock[slot] = end = start + 1 + chance.below(40)
        call = Call(number[slot], *ask, call=start, end=end)
        if chance.chance(lost):
            call = replace(call, type="info")
            number[slot] += processes
        points.append((chance.between(start, end), len(points), call))
    state, told = specification.initial(), []
    for _, _, call in sorted(points):
        if call.type == "ok" or chance.chance(0.5):
            command = specification.command(call.f, call.key, call.value)
            state, result = specification.apply(state, command)
            if call.type == "ok":
                type_, value, error = specification.completion(command, result)
                call = replace(call, type=type_, result=value, error=error)
        told.append(call)
    return history_of(sorted(told, key=lambda call: (call.call, call.process)))


def asked(operations: int, keys: int, values: int) -> list[tuple[str, Any, Any]]:
    chance = Stream(3, "asked", operations, keys, values)
    return [
        ("put", f"k{chance.below(keys)}", chance.below(values))
        if chance.chance(0.5)
        else ("get", f"k{chance.below(keys)}", None)
        for _ in range(operations)
    ]


@pytest.mark.parametrize(("keys", "values"), [(1, 1 << 40), (4, 5)])
def test_many_lost_writes_do_not_matter_if_nobody_sees_them(keys: int, values: int) -> None:
    history = lossy("kv", asked(4000, keys, values), 1 + keys, 0.05)
    found = check_stream(history.events(), machine("kv"), piece_min=64)
    assert found.valid is True
    assert "frontier" in found.algorithm
    assert found.steps < 20 * 4000


@pytest.mark.parametrize("name", PLAIN)
def test_what_it_decides_of_any_model_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of lines in the file, how often it cuts, and how soon it rounds."""
    monkeypatch.setattr(streaming, "LATE_MAX", 4)
    kind, plain = PLAIN[name]
    found = model(kind, **dict(plain.arguments))
    answers = set()
    for seed in range(7000, 7100):
        monkeypatch.setattr(ends, "LEAST_MAX", 16 if seed % 2 else 1)
        history = small_history(name, plain, seed)
        right = valid(history, plain)
        for events in (list(history.events()), sorted(history.events(), key=lambda e: e.time)):
            for piece_min in (1, 2, 8):
                streamed = check_stream(events, found, piece_min=piece_min, steps_max=20_000)
                answers.add(streamed.valid)
                assert streamed.valid in (right, "unknown"), (seed, piece_min, streamed)
    assert answers >= {True, False}


@pytest.mark.parametrize("name", ["register", "kv"])
def test_it_agrees_when_much_is_lost(name: str) -> None:
    decided = set()
    for seed in range(150):
        chance = Stream(seed, name)
        spread = chance.choice([0, 1, 3])
        calls = random_calls(
            chance, machine(name), ASKS[name] * 3, 16, 3, spread=spread, pending=0.5, wrong=0.4
        )
        history = history_of(calls, chance=chance)
        whole = check(history, machine(name))
        for piece_min in (1, 4):
            streamed = check_stream(history.events(), machine(name), piece_min=piece_min)
            assert streamed.valid in (whole.valid, "unknown"), (seed, streamed, whole)
            decided.add(streamed.valid)
    assert decided >= {True, False}


def test_what_can_be_used_in_another_s_place_is_rounded() -> None:
    """Of many lost compare-and-sets some may have been done, and nobody can tell which."""
    chance = Stream(5, "asks")
    asks: list[tuple[str, Any, Any]] = []
    for _ in range(1500):
        f = chance.choice(["read", "write", "cas"])
        value = (chance.below(4), chance.below(4)) if f == "cas" else chance.below(4)
        asks.append((f, None, None if f == "read" else value))
    history = lossy("register", asks, 2, 0.05)
    found = check_stream(history.events(), machine("register"), piece_min=64)
    assert found.valid is True
    assert "frontier" in found.algorithm


def test_objects_that_are_as_they_were_at_first_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "KEPT_MAX", 100)
    calls = []
    for n in range(1000):
        calls.append(Call(0, "put", f"k{n}", n, 40 * n, 40 * n + 1))
        calls.append(Call(0, "delete", f"k{n}", None, 40 * n + 10, 40 * n + 11))
        calls.append(Call(n + 1, "get", f"k{n}", None, 40 * n + 20, 40 * n + 21, type="info"))
    stream = streaming._Stream(machine("kv"), 10.0, 1_000_000, 256)
    for index, event in enumerate(history_of(calls).events()):
        stream.take(event, index)
    assert len(stream.objects) < 300
    assert len(stream.returned) <= 1
    assert stream.finish()[0] is True


def test_a_budget_that_runs_out_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "EASY_STEPS", 0)
    found = check_stream(turns(300), machine("kv"), steps_max=50, piece_min=10)
    assert found.valid == "unknown"
    assert found.reason == "undecided: the search on 'k0' ran out of steps within its budget"


def test_an_unknown_operation_is_bad_input() -> None:
    history = History()
    history.invoke(0, "fly", None, None, 0)
    with pytest.raises(BadInput, match="history, event 0: "):
        check_stream(history.events(), machine("register"))
