"""An explanation is true, small, the same each time, and safe to print."""

import html.parser
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from concur.chance import Stream
from concur.histories import History, Operation, Specification, check
from concur.histories.admission import admitted
from concur.histories.explanation import (
    Explanation,
    explain,
    explanation,
    questions,
    reduction,
    stuck,
    words,
)
from concur.histories.explanation.questions import forgotten
from concur.histories.explanation.reduction import Reduced, Reduction
from concur.histories.identity import identity
from concur.histories.models import MODELS, Nondeterministic, model
from concur.histories.stream import check_stream
from concur.histories.weaker import check_consistency
from tests.histories.helpers import Call, history_of
from tests.histories.models.generate import small_history
from tests.histories.models.plain import PLAIN, Impossible, Plain, agrees, happened, valid

SEEDS = 150
CAMPAIGN_SEEDS = 3000
OVERWRITES = ("write", "put", "delete", "append", "cas")


def ok(process: int, f: str, value: Any, result: Any, call: int, end: int, key: Any = None) -> Call:
    return Call(process, f, key, value, call * 1_000_000, end * 1_000_000, "ok", result)


STALE = [
    ok(0, "write", 1, 1, 0, 10),
    ok(1, "write", 2, 2, 12, 20),
    ok(2, "read", None, 2, 13, 21),
    ok(3, "write", 3, 3, 14, 70),
    ok(2, "read", None, 1, 30, 40),
    ok(2, "read", None, 2, 50, 60),
]


# --- true -----------------------------------------------------------------------------------------


def spaced(history: History) -> History:
    """The same with a pause between any two operations of a process. (Two processes that go on at
    equal times are in an order that forgetting an operation would lose.)"""
    count: Counter[int] = Counter()
    operations, events = [], []
    for number, op in enumerate(history.operations()):
        pause = count[op.process]
        count[op.process] += 1
        end = None if op.return_ns is None else op.return_ns + pause
        operations.append(msgspec.structs.replace(op, call_ns=op.call_ns + pause, return_ns=end))
        events.append((op.call_ns + pause, op.index, number, "index"))
        if end is not None:
            assert op.return_index is not None
            events.append((end, op.return_index, number, "return_index"))
    for place, (_, _, number, field) in enumerate(sorted(events)):
        operations[number] = msgspec.structs.replace(operations[number], **{field: place})
    return History.of(operations, history.model)


def weakened(
    history: History, machine: Specification, found: Explanation, kept: set[int]
) -> History:
    """The whole history, in which nobody knows what became of any but the kept operations (what was
    refused did not happen). If overwritten writes are spoken of, they are kept as well."""
    known = admitted(history, machine).operations()
    shown = {one.position: one.op for one in found.shown}
    left: list[Operation] = []
    for number, op in enumerate(history.operations()):
        if number in kept:
            left.append(shown[number])
        elif known[number].type == "fail":
            continue
        elif found.alike and op.type == "ok" and op.f in OVERWRITES:
            left.append(op)
        else:
            left.append(forgotten(op))
    return History.of(left, history.model)


def explanations_hold(name: str, seeds: range) -> None:
    kind, plain = PLAIN[name]
    machine = model(kind, **dict(plain.arguments))
    seen: Counter[str] = Counter()
    for seed in seeds:
        history = spaced(small_history(name, plain, seed))
        if valid(history, plain):
            continue
        found = explain(history, machine)
        holds(seed, history, machine, plain, found)
        claim = true_claim(history, plain, found)
        assert claim != "false", seed
        seen[claim] += 1
        seen["several"] += len(found.essential) > 1
        seen["supported"] += bool(found.supporting)
        seen["complete"] += found.complete
        seen["all"] += 1
    assert seen["several"] > 2
    assert seen["true"] > seen["none"]
    assert seen["complete"] == seen["all"] > 10


def holds(
    seed: int, history: History, machine: Specification, plain: Plain, found: Explanation
) -> None:
    assert check(found.minimal, machine).valid is False, seed
    assert not valid(found.minimal, plain), seed
    assert len(found.shown) + found.others == len(history)
    (culprit,) = (one for one in found.shown if one.culprit)
    assert culprit.position in found.essential
    if machine.name == "lock":  # processes get new numbers, by which a lock knows them
        return
    before = [forgotten(one.op) if one.culprit else one.op for one in found.shown]
    assert valid(History.of(before), plain), seed
    shown = {one.position for one in found.shown}
    essential = set(found.essential)
    assert not valid(weakened(history, machine, found, shown), plain), seed
    assert not valid(weakened(history, machine, found, essential), plain), seed
    if found.alike or any(op.type == "fail" for op in admitted(history, machine).operations()):
        return
    for one in essential:
        assert valid(weakened(history, machine, found, essential - {one}), plain), (seed, one)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_left_out_does_not_matter_and_what_is_essential_does(name: str) -> None:
    explanations_hold(name, range(SEEDS))


@pytest.mark.campaign
@pytest.mark.parametrize("name", PLAIN)
def test_the_same_of_many(name: str) -> None:
    explanations_hold(name, range(SEEDS, SEEDS + CAMPAIGN_SEEDS))


Met = tuple[str, str]  # state and outcome, in words


def all_met(
    ops: list[Operation], plain: Plain, watched: Operation | None, untold: list[Operation]
) -> set[Met | None]:
    """In all orders: what the watched one meets there and is told if nobody asks what it was told,
    nor what the untold ones were. Nothing if there is no order, None for each without a watched
    one."""
    ops = [op for op in ops if happened(plain, op)]
    asked = [op is not watched and not any(op is one for one in untold) for op in ops]
    before = [[a for a, one in enumerate(ops) if precedes(one, other)] for other in ops]
    found: set[Met | None] = set()
    seen: set[Any] = set()

    def explore(done: frozenset[int], state: Any, met: Met | None) -> None:
        if (done, repr(state), met) in seen:
            return
        seen.add((done, repr(state), met))
        if all(i in done for i, op in enumerate(ops) if op.type != "info"):
            found.add(met)
        for i, op in enumerate(ops):
            if i in done or not all(a in done for a in before[i]):
                continue
            try:
                after, result = plain.perform(state, op.process, op.f, op.key, op.value)
            except Impossible:
                if op is not watched:
                    continue
                after, result = state, Impossible
            if asked[i] and op.type != "info" and not agrees(plain, op, result):
                continue
            now = (in_words(plain, state, op), answer(op, result)) if op is watched else met
            explore(done | {i}, after, now)

    explore(frozenset(), plain.initial, None)
    return found


def precedes(a: Operation, b: Operation) -> bool:
    if a.return_ns is None:
        return False
    return a.index < b.index if a.process == b.process else a.return_ns < b.call_ns


def in_words(plain: Plain, state: Any, op: Operation) -> str:
    """A state of a plain object as an explanation should put it; "" for several registers."""
    initial = dict(plain.arguments).get("initial")
    if op.f in ("acquire", "release", "holder"):
        return "free" if state is None else f"held by process {state}"
    if op.f == "txn":
        return ""
    if op.key is not None:
        bound = dict(state)
        state = bound.get(repr(op.key), bound.get(op.key, initial))
    return "empty" if state == () else words.value(state)


def answer(op: Operation, result: Any) -> str:
    if result is Impossible:
        return "refused"
    told = msgspec.structs.replace(op, type="ok", result=result, error=None)
    return words.label(told, key=False, most=60)


def until(history: History, plain: Plain, culprit: Operation, key: Any) -> list[Operation]:
    """The history until that operation returns, perhaps of one key alone."""
    end = culprit.return_ns, culprit.return_index
    some = []
    for op in history.operations():
        if not happened(plain, op) or (key is not None and identity(op.key) != identity(key)):
            continue
        if op.return_ns is None or (op.return_ns, op.return_index) > end:
            some.append(forgotten(op))
        else:
            some.append(op)
    assert culprit.return_ns is not None
    return [op for op in some if op.call_ns <= culprit.return_ns]


def true_claim(history: History, plain: Plain, found: Explanation) -> str:
    """Whether what is said of states and outcomes is so: true, false, or nothing is said."""
    (culprit,) = (one for one in found.shown if one.culprit)
    ops = [one.op for one in found.shown]
    if found.whole or len(found.essential) == 1 or found.ended:
        of_one = any("all operations on " in line for line in found.lines)
        ops = until(history, plain, culprit.recorded, culprit.op.key if of_one else None)
    watched = next(op for op in ops if op.index == culprit.recorded.index)
    met = [one for one in all_met(ops, plain, watched, []) if one is not None]
    if not found.states:
        return "false" if met else "none"
    outcomes = {outcome for _, outcome in met}
    claimed = {"refused" if one.startswith("refused (") else one for one in found.outcomes}
    states = {state for state, _ in met}
    if any(op.f == "txn" for op in history.operations()):
        states = set(found.states)  # of several keys: not said a second time here
    for said, true in ((claimed, outcomes), (set(found.states), states)):
        if said != true and not (said <= true and len(said) == stuck.SHOWN_MAX):
            return "false"
    return "true"


@pytest.mark.parametrize("name", PLAIN)
def test_what_only_matters_for_having_ended_may_have_been_told_anything(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when too many operations are essential otherwise, but of all histories."""

    def few(self: Reduction, kept: list[int]) -> Reduced | None:
        returns, scope = self.timeline.returns, self.scope
        if self.ended:
            return None
        end = max(returns[p] for p in kept)
        done = sorted((p for p in scope if returns[p] <= end), key=returns.__getitem__)
        found = self.of_ended(done)
        if found is None:
            self.enter(scope)
        return found

    monkeypatch.setattr(Reduction, "few", few)
    kind, plain = PLAIN[name]
    machine = model(kind, **dict(plain.arguments))
    seen = 0
    for seed in range(SEEDS // 2):
        history = spaced(small_history(name, plain, seed))
        if valid(history, plain):
            continue
        found = explain(history, machine)
        if not found.ended:
            continue
        seen += 1
        essential = set(found.essential)
        assert not ended(history, machine, plain, essential), seed
        for one in essential:
            assert ended(history, machine, plain, essential - {one}), (seed, one)
        if machine.name != "lock":
            assert not valid(found.minimal, plain), seed
        assert any(line.endswith("told:") for line in found.lines) == (found.others > 0), seed
        assert true_claim(history, plain, found) != "false", seed
    assert seen > 5


def ended(history: History, machine: Specification, plain: Plain, kept: set[int]) -> bool:
    """Whether there is an order, if nobody knows what any but the kept operations were told."""
    left, untold = [], []
    refused = [op.type == "fail" for op in admitted(history, machine).operations()]
    for number, op in enumerate(history.operations()):
        if number in kept or not refused[number]:
            left.append(op)
        if number not in kept:
            untold.append(op)
    return bool(all_met(left, plain, None, untold))


def test_every_model_is_explained() -> None:
    assert {kind for kind, _ in PLAIN.values()} == set(MODELS)


class Lossy(Nondeterministic):
    """A register that may lose a write."""

    name = "lossy"

    def starts(self) -> list[Any]:
        return [None]

    def step(self, state: Any, command: Any, result: Any) -> list[Any]:
        if command.f == "write":
            return [state, command.value]
        return [state] if result == state else []


def test_a_nondeterministic_model_is_explained() -> None:
    calls = [*STALE[:2], ok(2, "read", None, 2, 30, 40), ok(2, "read", None, 1, 50, 60)]
    found = explain(history_of(calls), Lossy())
    assert check(found.minimal, Lossy()).valid is False
    assert found.essential == (0, 2, 3)


def test_an_explanation_is_the_same_each_time() -> None:
    history = small_history("kv, appends", PLAIN["kv, appends"][1], 6)
    first, second = (explain(history, model("kv")) for _ in range(2))
    assert first.lines == second.lines
    assert first.minimal.digest() == second.minimal.digest()
    assert first.html() == second.html()


def test_nothing_is_explained_that_is_not_wrong() -> None:
    history = history_of(STALE[:2])
    with pytest.raises(ValueError, match="nothing to explain"):
        explain(history, model("register"))


# --- small ----------------------------------------------------------------------------------------


def long_history(f: str, operations: int, keys: int, chance: Stream) -> list[Call]:
    """Reads and writes one after the other, two processes a little ahead of each other."""
    state: dict[int, Any] = {}
    calls: list[Call] = []
    for number in range(operations):
        key = chance.below(keys)
        if chance.chance(0.5):
            state[key] = f"v{number}"
            asked = ok(number % 4, "put", state[key], state[key], 2 * number, 2 * number + 3, key)
        else:
            asked = ok(number % 4, "get", None, state.get(key), 2 * number, 2 * number + 1, key)
        if number and calls[-1].key == key:  # these two would overlap
            asked = ok(
                number % 4, asked.f, asked.value, asked.result, 2 * number + 2, 2 * number + 3, key
            )
        calls.append(asked)
    return calls


@pytest.mark.parametrize("keys", [1, 20])
def test_one_stale_read_among_many_operations_is_found(keys: int) -> None:
    chance = Stream(keys, "long")
    machine = model("kv")
    calls = long_history("kv", 12_000, keys, chance)
    reads = [i for i, call in enumerate(calls) if call.f == "get" and i > 8_000]
    planted = reads[0]
    key = calls[planted].key
    old = [call.value for call in calls[4_000:6_000] if call.f == "put" and call.key == key]
    calls[planted] = ok(9, "get", None, old[0], 2 * planted, 2 * planted + 1, key)
    history = history_of(calls)
    verdict = check(history, machine)
    assert verdict.valid is False
    found = explain(history, machine, verdict)
    assert found.complete
    assert len(found.essential) == 3
    assert any(f"read {old[0]!r}" in line for line in found.lines)
    assert found.others == 12_000 - len(found.shown)


def test_repeated_values_do_not_make_an_explanation_long() -> None:
    calls = [ok(0, "write", i % 3, i % 3, 2 * i, 2 * i + 1) for i in range(200)]
    calls += [ok(0, "write", 7, 7, 500, 510), ok(1, "read", None, 1, 520, 530)]
    found = explain(history_of(calls), model("register"))
    assert len(found.essential) == 3
    assert found.alike == 66
    assert "66 more operations that could explain it had been overwritten in the same way." in (
        found.lines
    )


def test_a_verdict_of_the_stream_is_explained() -> None:
    history = history_of(STALE)
    verdict = check_stream(history.events(), model("register"))
    assert verdict.valid is False
    assert explain(history, model("register"), verdict).essential == (0, 1, 4)


def holds_of(pairs: int, processes: int) -> list[Call]:
    """A lock goes round, and in the end two processes have it."""
    calls: list[Call] = []
    for i in range(pairs):
        calls.append(ok(i % processes, "acquire", None, True, 4 * i, 4 * i + 1))
        calls.append(ok(i % processes, "release", None, True, 4 * i + 2, 4 * i + 3))
    calls.append(ok(0, "acquire", None, True, 4 * pairs, 4 * pairs + 1))
    calls.append(ok(1, "acquire", None, True, 4 * pairs + 2, 4 * pairs + 3))
    return calls


@pytest.mark.parametrize("pairs", [5, 500])
def test_two_holders_of_a_lock_are_found_however_often_it_was_released_before(pairs: int) -> None:
    found = explain(history_of(holds_of(pairs, 10)), model("lock"))
    assert found.complete
    if pairs == 500:
        assert found.ended
        assert [one.position for one in found.shown] == [1000, 1001]
        assert found.lines[0] == (
            "This operation cannot be explained, whatever the other 1,000 were told:"
        )
    assert found.states == ("held by process 0",)
    assert found.outcomes == ("acquire → refused",)


def lifo_broken(values: int) -> list[Call]:
    """A stack whose values come out as from a queue."""
    calls: list[Call] = []
    for i in range(values):
        calls.append(ok(0, "push", i, None, 10 * i, 10 * i + 1))
        if i >= 3:
            calls.append(ok(0, "pop", None, i - 3, 10 * i + 2, 10 * i + 3))
    return calls


class Clock:
    """Time that passes by asking for it, by forgetting an operation, and by checking some."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forgets(op: Operation) -> Operation:
            self.now += 1e-5
            return forgotten(op)

        def checks(history: History, *rest: Any, **options: Any) -> Any:
            self.now += 1e-4 * len(history)
            return check(history, rest[0], 60.0, *rest[2:], **options)

        monkeypatch.setattr(questions, "forgotten", forgets)
        for module in (questions, stuck):
            monkeypatch.setattr(module, "check", checks)
        for module in (questions, reduction, stuck, explanation):
            monkeypatch.setattr(module, "perf_counter", self)


@pytest.mark.parametrize("budget_s", [0.0, 0.1, 0.5, 30.0])
@pytest.mark.parametrize("name", ["lock", "stack"])
def test_a_budget_bounds_what_is_done(
    name: str, budget_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = holds_of(1000, 10) if name == "lock" else lifo_broken(1000)
    history = history_of(calls)
    verdict = check(history, model(name))
    clock = Clock()
    clock.install(monkeypatch)
    found = explain(history, model(name), verdict, budget_s)
    assert clock.now > min(budget_s, 0.1) / 2
    question = 1.2e-4 * len(history)
    assert clock.now < budget_s + question
    assert check(found.minimal, model(name)).valid is False
    assert found.complete or budget_s < 30.0
    assert not found.complete or budget_s > 0.0


def test_a_verdict_of_many_lines_is_not_repeated() -> None:
    calls = [*holds_of(50, 1)[:-1], ok(0, "acquire", None, True, 300, 301)]
    history = history_of(calls)
    verdict = check(history, model("lock"))
    long = msgspec.structs.replace(verdict, anomaly=tuple(f"line {i}" for i in range(103)))
    found = explain(history, model("lock"), long, budget_s=0.0)
    assert found.lines[1:] == (*long.anomaly[:20], "and 83 more lines")
    weaker = msgspec.structs.replace(long, consistency="sequential")
    found = explain(history, model("lock"), weaker)
    assert found.lines[1:] == (*long.anomaly[:20], "and 83 more lines")


def test_without_a_budget_it_says_that_it_may_not_be_minimal() -> None:
    found = explain(history_of(STALE), model("register"), check(history_of(STALE),
                    model("register")), budget_s=0.0)  # fmt: skip
    assert not found.complete
    assert check(found.minimal, model("register")).valid is False
    assert any("may be a smaller contradiction" in line for line in found.lines)


PICTURE = """
process 0  ├─ 1: write 1 ─┤                                ┊
process 1                  ├─ 2: write 2 ─┤                ┊
process 2                                  ╞═ 3: read → 1 ═┊╡
                                                           ┊
                                 up to here these alone have an order;
                                 3 would meet the register as 2 and has no place
"""


def test_if_nothing_small_is_found_the_operations_that_the_checker_names_are_shown() -> None:
    calls = [ok(i % 3, "add", 1, None, 3 * i, 3 * i + 5) for i in range(400)]
    calls.append(ok(7, "read", None, 2, 2000, 2001))
    history = history_of(calls)
    verdict = check(history, model("counter"))
    found = explain(history, model("counter"), verdict, budget_s=0.0)
    assert check(found.minimal, model("counter")).valid is False
    assert "No contradiction of fewer than 401 operations was found" in found.lines[0]
    assert found.lines[1:] == verdict.anomaly
    assert 0 < len(found.timeline().splitlines()) < 80


# --- in words and pictures ------------------------------------------------------------------------


def test_a_stale_read_in_words_and_as_a_picture() -> None:
    found = explain(history_of(STALE), model("register"))
    assert f"\n{found.timeline(80)}\n" == PICTURE
    assert found.lines == (
        "These 3 operations contradict each other, whatever became of the other 3:",
        "  1. process 0 wrote 1, 0 to 10 ms (events 0 and 1)",
        "  2. process 1 wrote 2, 12 to 20 ms (events 2 and 5)",
        "  3. process 2 read 1, 30 to 40 ms (events 7 and 8)",
        "1 ended before 2 began; 2 ended before 3 began.",
        "Up to the answer of 3 these alone have an order, and in any such order the register is 2 "
        "when 3 takes place.",
        "Among these 3 could only be `read → 2`, but it was `read → 1`.",
        "Each of the 3 is needed: if nobody knew what came of it, nor of the others, there could "
        "be an order.",
    )


def test_a_picture_keeps_to_its_width() -> None:
    history = history_of([ok(i % 3, "write", i, i, 2 * i, 2 * i + 9) for i in range(0, 60, 5)]
                         + [ok(5, "read", None, 5, 200, 201)])  # fmt: skip
    for width in (40, 60, 80, 200):
        for line in explain(history, model("register")).timeline(width).splitlines():
            assert len(line) <= width


def test_an_overlapping_write_is_shown_to_understand_the_reads() -> None:
    calls = [
        ok(0, "write", 3, 3, 0, 10),
        ok(1, "write", 4, 4, 20, 100),
        ok(2, "read", None, 4, 30, 40),
        ok(3, "read", None, 3, 50, 60),
    ]
    found = explain(history_of(calls), model("register"))
    assert found.essential == (0, 2, 3)
    assert found.supporting == (1,)
    assert "  2. process 1 called write(4) at 20 ms (event 2); it returned later" in found.lines
    assert found.states == ("4",)
    assert found.outcomes == ("read → 4",)


@pytest.mark.parametrize(
    ("name", "first", "second", "said"),
    [
        (
            "register",
            ok(0, "write", 1, 1, 0, 1),
            ok(1, "read", None, None, 2, 3),
            "the register is 1: `read → 1`, but it was `read → nothing`",
        ),
        (
            "counter",
            ok(0, "add", 1, 1, 0, 1),
            ok(1, "read", None, 5, 2, 3),
            "the counter is 1: `read → 1`, but it was `read → 5`",
        ),
        (
            "queue",
            ok(0, "enqueue", 1, 1, 0, 1),
            ok(1, "dequeue", None, None, 2, 3),
            "the queue is [1]: `dequeue → 1`, but it was `dequeue → nothing`",
        ),
        (
            "stack",
            ok(0, "pop", None, None, 0, 1),
            ok(1, "pop", None, 5, 2, 3),
            "the stack is empty: `pop → nothing`, but it was `pop → 5`",
        ),
        (
            "set",
            ok(0, "add", 1, 1, 0, 1),
            ok(1, "contains", 1, False, 2, 3),
            "the set is [1]: `contains 1 → yes`, but it was `contains 1 → no`",
        ),
        (
            "kv",
            ok(0, "delete", None, None, 0, 1, "x"),
            ok(1, "get", None, 3, 2, 3, "x"),
            "'x' is nothing: `get → nothing`, but it was `get → 3`",
        ),
        (
            "kv",
            ok(0, "put", 3, 3, 0, 1, True),
            ok(1, "cas", (3, 4), False, 2, 3, True),
            "True is 3: `cas 3 4 → done`, but it was `cas 3 4 → refused`",
        ),
        (
            "lock",
            ok(0, "acquire", "A", 1, 0, 1),
            ok(1, "acquire", "B", 2, 2, 3),
            "the lock is held by 'A' with token 1: `acquire 'B' → refused`, but it was "
            "`acquire 'B' → 2`",
        ),
        (
            "lock",
            ok(0, "acquire", None, True, 0, 1),
            ok(1, "holder", None, None, 2, 3),
            "the lock is held by process 0: `holder → process 0`, but it was `holder → nobody`",
        ),
        (
            "lock",
            ok(0, "holder", None, None, 0, 1),
            ok(1, "acquire", "A", None, 2, 3),
            "the lock is free: `acquire 'A' → 1`, but it was `acquire 'A' → refused`",
        ),
        (
            "multi-register",
            ok(0, "write", 1, 1, 0, 1, "x"),
            ok(1, "txn", (("r", "x", None), ("w", 1, 4), ("r", 1, None)),
               (("r", "x", 2), ("w", 1, 4), ("r", 1, 4)), 2, 3),
            "the state is {'x': 1}: `txn 'x' → 1, 1 := 4, 1 → 4`, but it was "
            "`txn 'x' → 2, 1 := 4, 1 → 4`",
        ),
    ],
)  # fmt: skip
def test_states_and_outcomes_are_in_the_words_of_the_reader(
    name: str, first: Call, second: Call, said: str
) -> None:
    found = explain(history_of([first, second]), model(name))
    (culprit,) = (one for one in found.shown if one.culprit)
    assert len(found.states) == len(found.outcomes) == 1
    was = words.label(culprit.op, key=False, most=60)
    assert said == (
        f"{found.subject} is {found.states[0]}: `{found.outcomes[0]}`, but it was `{was}`"
    )


def test_keys_that_python_takes_for_equal_are_two() -> None:
    assert words.distinct([1, True, (1,), [1], 1]) == [1, True, [1]]
    calls = [
        ok(0, "write", 1, 1, 0, 10, 1),
        ok(0, "write", 1, 1, 11, 12, True),
        ok(1, "read", None, 1, 20, 30, True),
        ok(1, "read", None, None, 40, 50, 1),
    ]
    found = explain(history_of(calls), model("multi-register"))
    assert found.title == "Why it is not linearizable: 1"


@pytest.mark.parametrize("key", [("a", 1), True, None, "x"])
def test_any_key_is_explained(key: Any) -> None:
    calls = [replace(call, key=key) for call in STALE]
    found = explain(history_of(calls), model("register"))
    assert len(found.essential) == 3
    assert found.subject == ("the register" if key is None else f"the register {words.value(key)}")
    assert found.timeline()
    ElementTree.fromstring(found.svg())


class Tags(html.parser.HTMLParser):
    """Counts what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1


NASTY = "<script>alert('x')</script>\x1b[31m\x00\u202e&\"'"


def test_text_of_a_history_reaches_neither_page_nor_terminal_as_it_is() -> None:
    calls = [
        Call(0, "put", NASTY, NASTY, 0, 10, "ok", NASTY),
        Call(1, "put", NASTY, "b", 12, 20, "ok", "b"),
        Call(2, "get", NASTY, None, 30, 40, "ok", NASTY),
    ]
    found = explain(history_of(calls), model("kv"))
    assert len(found.essential) == 3
    tags = Tags()
    tags.feed(found.html())
    assert tags.tags["script"] == 0
    assert tags.tags["svg"] == 1
    for text in (found.html(), found.svg()):
        ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    assert "http" not in found.html().replace("http://www.w3.org/2000/svg", "")
    assert all(line.isprintable() for line in str(found).splitlines())


def test_a_weaker_promise_is_explained_by_what_its_checker_names() -> None:
    calls = [ok(0, "write", 1, 1, 0, 10), ok(1, "read", None, 1, 20, 30),
             ok(1, "read", None, None, 40, 50)]  # fmt: skip
    history = history_of(calls)
    verdict = check_consistency(history, model("register"), "monotonic-reads", 10.0)
    assert verdict.valid is False
    found = explain(history, model("register"), verdict)
    assert found.lines[0] == verdict.reason
    assert len(found.shown) >= 2
    assert "process 1" in found.timeline(80)
    ElementTree.fromstring(found.svg())
