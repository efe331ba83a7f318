"""On histories too large for the definitions, two algorithms with nothing in common agree."""

from dataclasses import replace
from typing import Any

import pytest

from concur.chance import Stream
from concur.histories import History, check
from concur.histories.timeline import strict
from concur.histories.weaker import check_consistency
from concur.histories.weaker.accesses import Accesses
from concur.histories.weaker.budget import Budget
from concur.histories.weaker.causal import causal_order
from concur.histories.weaker.k_atomic import _search
from concur.histories.weaker.sequential import sequential, sequential_registers
from concur.histories.weaker.sources import find_sources
from concur.histories.weaker.two_atomic import two_atomic
from concur.machines.kv import KeyValue
from concur.machines.queue import Queue
from concur.machines.register import Register
from tests.histories.helpers import Call, history_of, random_calls
from tests.histories.weaker.generate import small_history

LARGE = Budget(1e9, 10**12)


def replicated(seed: int, operations: int, processes: int, lag: int) -> History:
    """What clients of one replica each see, if every replica applies all writes in one order but
    up to `lag` operations late; then one read in some histories is replaced by another's value."""
    chance = Stream(seed, "replicated", lag)
    log: list[tuple[str, int]] = []
    applied = [0] * processes
    clock = [chance.below(20) for _ in range(processes)]
    calls = []
    for number in range(operations):
        p = chance.below(processes)
        call = clock[p] + chance.below(10)
        end = clock[p] = call + 1 + chance.below(10)
        key = chance.choice(["x", "y"])
        for replica in range(processes):
            behind = len(log) - applied[replica]
            if behind > lag or chance.chance(0.3):
                applied[replica] = len(log) - chance.below(min(behind, lag) + 1)
        if chance.chance(0.4):
            log.append((key, number))
            calls.append(Call(p, "put", key, number, call, end))
            if not chance.chance(0.1):
                applied[p] = len(log)
        else:
            seen = [value for k, value in log[: applied[p]] if k == key]
            calls.append(Call(p, "get", key, None, call, end, result=seen[-1] if seen else None))
    reads = [i for i, call in enumerate(calls) if call.f == "get"]
    if reads and chance.chance(0.3):
        i, j = chance.choice(reads), chance.choice(reads)
        if calls[i].key == calls[j].key:
            calls[i] = replace(calls[i], result=calls[j].result)
    calls.sort(key=lambda c: (c.process, c.call, c.end))
    return history_of(calls, "kv")


def test_saturation_and_search_agree_on_sequential_consistency() -> None:
    answers = set()
    for seed in range(600):
        history = replicated(seed, operations=14, processes=3, lag=seed % 4)
        accesses = Accesses(history, KeyValue())
        if accesses.thin_air():
            continue
        wrong = sequential_registers(accesses, LARGE)
        assert bool(wrong) is bool(sequential(history, KeyValue(), LARGE)), seed
        answers.add(bool(wrong))
    assert answers == {True, False}


def view_exists(accesses: Accesses, chosen: list[int], before: Any, process: int) -> bool:
    """Depth first: an order of `chosen` in which reads of `process` return the last write."""
    seen = set()

    def grow(done: frozenset[int], now: tuple[int, ...]) -> bool:
        if len(done) == len(chosen):
            return True
        if (done, now) in seen:
            return False
        seen.add((done, now))
        for i in chosen:
            if i in done or any(a not in done and before(a, i) for a in chosen):
                continue
            key, after = accesses.key[i], now
            if accesses.is_write[i]:
                after = (*now[:key], i, *now[key + 1 :])
            elif accesses.process[i] == process and now[key] != accesses.candidates[i][0]:
                continue
            if grow(done | {i}, after):
                return True
        return False

    return grow(frozenset(), tuple(-1 for _ in accesses.keys))


@pytest.mark.parametrize("model", ["pram", "causal-memory"])
def test_saturated_views_exist(model: str) -> None:
    answers = set()
    for seed in range(1200):
        if seed % 3:
            history = small_history(seed, 11, ("x", "y"), pending=0.0)
        else:
            history = replicated(seed, operations=11, processes=3, lag=seed % 5)
        accesses = Accesses(history, KeyValue())
        order, wrong = causal_order(accesses, accesses.fixed_sources(), LARGE)
        if accesses.thin_air() or order.cycle or (wrong and model == "causal-memory"):
            continue

        def causally(a: int, b: int, order: Any = order) -> bool:
            return bool(order.before(a, b))

        def in_process(a: int, b: int, accesses: Accesses = accesses) -> bool:
            return accesses.process[a] == accesses.process[b] and a < b

        exists = True
        for process, chain in enumerate(accesses.processes):
            if model == "pram":
                mine = [*accesses.writes, *(i for i in chain if not accesses.is_write[i])]
                exists = exists and view_exists(accesses, mine, in_process, process)
            else:
                last = chain[-1]
                past = [i for i in range(len(accesses)) if i == last or order.before(i, last)]
                exists = exists and view_exists(accesses, past, causally, process)
        assert check_consistency(history, KeyValue(), model).valid is exists, seed
        answers.add(exists)
    assert answers == {True, False}


def test_two_atomic_agrees_with_the_search() -> None:
    answers: dict[tuple[bool, bool], int] = {}
    for seed in range(1500):
        chance = Stream(seed, "two-atomic")
        processes = chance.between(2, 5)
        asks = [("write", None, i) for i in range(14)] + [("read", None, None)] * 14
        calls = random_calls(
            chance, Register(), asks, 14, processes, spread=20, pending=0.1, wrong=0.8
        )
        history = history_of(calls, chance=chance)
        accesses = Accesses(history, Register())
        timeline = strict(accesses.operations)
        if accesses.thin_air() or timeline.entangled:
            continue
        wrong = bool(two_atomic(accesses, timeline, LARGE))
        assert wrong is bool(_search(history, accesses, 2, LARGE)), seed
        one = check(history, Register(), budget_s=1e9).valid is True
        answers[one, not wrong] = answers.get((one, not wrong), 0) + 1
    assert all(answers[case] > 50 for case in ((True, True), (False, True), (False, False)))


def test_any_machine_may_be_checked_for_sequential_consistency() -> None:
    calls = [
        Call(0, "enqueue", "q", 1, 0, 10),
        Call(1, "dequeue", "q", None, 20, 30, result=None),
        Call(1, "dequeue", "q", None, 40, 50, result=1),
    ]
    history = history_of(calls)
    assert check(history, Queue()).valid is False
    assert check_consistency(history, Queue(), "sequential").valid is True
    wrong = history_of([*calls, Call(2, "dequeue", "q", None, 0, 10, result=1)])
    verdict = check_consistency(wrong, Queue(), "sequential")
    assert verdict.valid is False
    assert verdict.anomaly[0].startswith("All orders were tried; the furthest came to 3 of 4")
    assert check_consistency(wrong, Queue(), "pram").reason == (
        "not applicable: it is defined for reads and writes, and there is a enqueue"
    )


def test_a_long_history_of_a_lagging_replica_is_placed() -> None:
    for seed in range(3):
        history = replicated(seed, operations=2000, processes=5, lag=3)
        verdict = check_consistency(history, KeyValue(), "k-atomic=8")
        assert verdict.valid in (True, False)
        for model in ("causal", "causal-convergence", "causal-memory", "pram", "sequential"):
            verdict = check_consistency(history, KeyValue(), model, budget_s=20)
            assert verdict.valid != "unknown", (seed, model, verdict.reason)


def steps_of(history: History, model: str) -> int:
    verdict = check_consistency(history, KeyValue(), model, budget_s=1e9, steps_max=10**12)
    assert verdict.valid is True
    return verdict.steps


@pytest.mark.parametrize(
    "model",
    ["writes-follow-reads", "pram", "causal", "causal-memory", "causal-convergence"],
)
def test_a_session_for_each_request_costs_what_it_knows(model: str) -> None:
    """Twice the operations are twice the work, though there are twice the processes."""

    def requests(count: int) -> History:
        calls = []
        for i in range(0, count, 2):
            calls.append(Call(i, "put", "x", i, 10 * i, 10 * i + 5))
            calls.append(Call(i + 1, "get", "x", None, 10 * i + 6, 10 * i + 9, result=i))
        return history_of(calls)

    assert steps_of(requests(800), model) < 3 * steps_of(requests(400), model)


def test_clocks_are_paid_for_while_they_are_made() -> None:
    """So a history whose operations know of thousands of processes does not fill the memory."""
    count = 400
    calls = [Call(i, "put", f"{i}", i, 10 * i, 10 * i + 5) for i in range(count)]
    calls += [
        Call(count, "get", f"{i}", None, 10 * count + 10 * i, 10 * count + 10 * i + 5, result=i)
        for i in range(count)
    ]
    verdict = check_consistency(history_of(calls), KeyValue(), "causal", steps_max=count**2)
    assert verdict.reason == "undecided: ran out of steps within the budget"
    assert verdict.steps < count**2 + 10 * count


def serial(seed: int, operations: int, processes: int, few_values: bool = False) -> History:
    """One operation after the other on one register; a few reads are one write behind."""
    chance = Stream(seed, "serial", processes)
    calls = []
    latest: list[int | None] = [None, None]
    for i in range(operations):
        process = chance.below(processes)
        if chance.chance(0.4):
            latest = [latest[1], chance.below(5) if few_values else i]
            calls.append(Call(process, "put", "x", latest[1], 10 * i, 10 * i + 5))
        else:
            behind = few_values and chance.chance(0.02)
            seen = latest[0 if behind else 1]
            calls.append(Call(process, "get", "x", None, 10 * i, 10 * i + 5, result=seen))
    return history_of(calls)


def test_pram_needs_no_more_than_a_few_steps_for_an_operation_and_process() -> None:
    steps = [steps_of(serial(0, operations, 10), "pram") for operations in (1000, 4000)]
    assert steps[1] < 6 * steps[0]


def test_reads_of_many_keys_in_many_sessions_share_one_list_of_sources() -> None:
    """A list for each of them would be as long as the history."""
    shared: dict[int, None] = {}
    calls = [
        Call(i % 10, "get", f"{i % 50}", None, 10 * i, 10 * i + 5, result=None) for i in range(1000)
    ]
    accesses = Accesses(history_of(calls), KeyValue())

    def check(_: Accesses, sources: list[int]) -> list[str]:
        shared[id(sources)] = None
        return []

    sources = accesses.fixed_sources()
    for chain in accesses.processes:
        for positions in accesses.by_key(chain):
            find_sources(accesses, sources, positions, check, LARGE)
    assert list(shared) == [id(sources)]


@pytest.mark.parametrize("model", ["causal", "causal-memory", "causal-convergence"])
def test_a_sequential_history_of_few_values_has_all_models_that_this_implies(model: str) -> None:
    """Though a search for what each read saw would not end."""
    decided = 0
    for seed in range(8):
        history = serial(seed, 600, 5, few_values=True)
        kept = check_consistency(history, KeyValue(), "sequential", 1e9, steps_max=10_000)
        if kept.valid is True:
            decided += 1
            assert check_consistency(history, KeyValue(), model, 1e9, 1_000_000).valid is True
    assert decided > 2
