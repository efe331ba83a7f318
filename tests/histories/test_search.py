"""What is open before a return is found out when it is asked for, and the same each time."""

import pytest

from concur.chance import Stream
from concur.histories import check, search
from concur.histories.models import model
from concur.histories.search import OutOfBudget, Search
from concur.histories.timeline import strict
from concur.machines.register import Register
from tests.histories.helpers import Call, history_of, random_calls

ASKS = [("write", None, i % 3) for i in range(20)] + [("read", None, None)] * 20
ASKS += [("cas", None, (i % 3, (i + 1) % 3)) for i in range(10)]


def searches(seed: int) -> Search:
    machine = Register()
    chance = Stream(seed, "windows")
    calls = random_calls(chance, machine, ASKS, 40, chance.between(2, 12), 20, 0.1, 0.3)
    operations = [op for op in history_of(calls, chance=chance).operations() if op.type != "fail"]
    commands = [machine.command(op.f, op.key, op.value) for op in operations]
    entries = [i for i, op in enumerate(operations) if op.type == "ok" or op.f != "read"]
    return Search(machine, operations, entries, commands, strict(operations), False)


def outcome(seed: int) -> tuple[object, ...]:
    found = searches(seed)
    try:
        decision = found.run(20_000, 1e18)
    except OutOfBudget as out:
        return str(out), found.steps
    return decision.anomaly, [] if decision.anomaly else decision.order(), found.steps


def test_a_search_that_remembers_nothing_open_goes_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [outcome(seed) for seed in range(60)]
    assert {bool(result[0]) for result in expected} == {True, False}
    for most in (0, 30):
        monkeypatch.setattr(search, "HELD_MAX", most)
        assert [outcome(seed) for seed in range(60)] == expected


def test_time_is_out_before_anything_is_laid_out() -> None:
    """A thousand clients at once: what is open before all returns would be millions."""
    history = history_of([])
    for process in range(1000):
        history.invoke(process, "write", None, process % 5, process)
    for number in range(1000):
        history.complete(number, "ok", None, 1000 + number)
    machine = model("register")
    operations = history.operations()
    commands = [machine.command(op.f, op.key, op.value) for op in operations]
    everything = list(range(len(operations)))
    found = Search(machine, operations, everything, commands, strict(operations), False)
    assert found._held == 0
    with pytest.raises(OutOfBudget, match="time"):
        found.run(10**9, 0.0)


def test_memory_is_a_budget_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "REMEMBERED_MAX", 5)
    calls = [Call(i, "add", None, 3**i, 0, 100) for i in range(8)]
    calls.append(Call(9, "read", None, None, 0, 100, result=2))
    verdict = check(history_of(calls), "counter")
    assert verdict.valid == "unknown"
    assert "ran out of memory (5 configurations) within its budget" in verdict.reason
