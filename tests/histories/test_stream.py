"""A history that is checked while it streams gets the verdict that it gets as a whole."""

from collections.abc import Iterator
from typing import Any

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import Event, History, check
from concur.histories import stream as streaming
from concur.histories.stream import check_stream
from concur.machines import machine
from tests.histories.helpers import Call, history_of, random_calls

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

    def watched(self: Any, event: Event) -> None:
        nonlocal most
        take(self, event)
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


def test_events_that_come_too_late_are_refused() -> None:
    calls = [Call(0, "write", None, n, 10 * n, 10 * n + 1) for n in range(5)]
    events = list(history_of(calls).events())
    events.append(Event(process=1, type="invoke", f="read", time=5, index=10))
    with pytest.raises(BadInput, match="event 10: called at 5, expected a time after 31"):
        check_stream(events, machine("register"), piece_min=1)


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
