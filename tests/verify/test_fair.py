"""Claims of liveness about finite models: classics, traps, and a second way to judge them."""

from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import Any

import pytest

from concur.chance import Stream
from concur.verify import Budget
from concur.verify.liveness.fair import (
    AlwaysEventually,
    Claim,
    Eventually,
    EventuallyStable,
    LeadsTo,
    Liveness,
    WeaklyFair,
    live,
    weakly_fair,
)
from tests.verify.increment_lock import FINISHED, IncrementLock
from tests.verify.liveness_models import CYCLE, JOIN, Dining, Drawn, Peterson, Reconciler
from tests.verify.two_phase_commit import TwoPhaseCommit


def labels(answer: Liveness) -> tuple[list[str], list[str]]:
    """Of the stem and of the cycle."""
    return [m.label for m in answer.stem[1:]], [m.label for m in answer.cycle]


# --- traps ----------------------------------------------------------------------------------------


def test_what_comes_true_on_one_of_two_ways_that_join_need_not_come_true() -> None:
    answer = live(JOIN, Eventually(lambda s: s == 1))
    assert (answer.verdict, labels(answer)) == ("violated", (["bad", "on"], []))
    assert answer.reason == "it never comes true: nothing can happen any more"
    assert live(JOIN, Eventually(lambda s: s in (1, 2))).verdict == "holds"
    assert live(JOIN, Eventually(lambda s: s == 3)).verdict == "holds"


def test_a_cycle_can_avoid_what_every_end_has() -> None:
    answer = live(CYCLE, Eventually(lambda s: s == 1))
    assert (answer.verdict, labels(answer)) == ("violated", ([], ["stay", "back"]))
    assert answer.cycle[-1].state == answer.stem[-1].state
    # "leave" is not possible all the time, for it is not while in 2: weak fairness does not help.
    assert live(CYCLE, Eventually(lambda s: s == 1), weakly_fair("leave")).verdict == "violated"


def test_a_state_that_nothing_follows_stays_for_ever() -> None:
    ending = Drawn({0: (("end", 1),)})
    assert live(ending, AlwaysEventually(lambda s: s == 0)).verdict == "violated"
    assert live(ending, AlwaysEventually(lambda s: s == 1)).verdict == "holds"
    assert live(ending, EventuallyStable(lambda s: True, lambda s: s == 1)).verdict == "holds"


def test_a_step_that_changes_nothing_is_fair_to_nobody() -> None:
    waits = Drawn({0: (("go", 0), ("go", 1))})
    claim = Eventually(lambda s: s == 1)
    assert labels(live(waits, claim)) == ([], ["go"])
    assert live(waits, claim, weakly_fair("go")).verdict == "holds"


def test_fairness_to_each_is_more_than_fairness_to_all() -> None:
    both = Drawn({0: (("a", 1), ("b", 2)), 1: (("a", 0), ("b", 2))})
    claim = Eventually(lambda s: s == 2)
    assert live(both, claim, weakly_fair("*")).verdict == "violated"
    assert live(both, claim, weakly_fair("a", "b")).verdict == "holds"
    assert live(both, claim, (WeaklyFair("ends", lambda step: step.after == 2),)).verdict == "holds"


# --- classics -------------------------------------------------------------------------------------

EACH = weakly_fair("process 1 [!t]*", "process 2 [!t]*")
"""Each process goes on, but need not want: to think is no duty."""
GOES_ON = weakly_fair(
    *[f"process {n} {does}" for n in (1, 2) for does in ("yields", "enters", "leaves")]
)


def waits(process: int) -> LeadsTo:
    return LeadsTo(lambda s: s.at[process] == "waits", lambda s: s.at[process] == "critical")


def test_peterson_lets_everybody_in_if_processes_go_on() -> None:
    for process in (0, 1):
        assert live(Peterson(), waits(process), GOES_ON).verdict == "holds"
        answer = live(Peterson(), waits(process))
        assert answer.verdict == "violated"
        assert all("enters" not in label for label in labels(answer)[1])
    assert live(Peterson(polite=False), waits(0), GOES_ON).verdict == "violated"
    # Nobody need ever want to enter.
    assert live(Peterson(), Eventually(lambda s: "critical" in s.at), GOES_ON).verdict == "violated"
    assert live(Peterson(), Eventually(lambda s: "critical" in s.at), EACH).verdict == "holds"


def test_philosophers_may_all_hold_one_fork_for_ever() -> None:
    answer = live(Dining(3, lefty=False), AlwaysEventually(lambda s: 2 in s))
    assert answer.verdict == "violated"
    assert labels(answer) == (["0 takes fork 0", "1 takes fork 1", "2 takes fork 2"], [])
    assert live(Dining(3, lefty=True), AlwaysEventually(lambda s: 2 in s)).verdict == "holds"


def test_weak_fairness_lets_a_philosopher_starve() -> None:
    table = Dining(3, lefty=True)
    each = weakly_fair("0 *", "1 *", "2 *")
    assert live(table, AlwaysEventually(lambda s: s[0] == 2), each).verdict == "violated"
    # Its second fork is there again and again, but not all the time.
    answer = live(table, LeadsTo(lambda s: s[0] == 1, lambda s: s[0] == 2), each)
    assert answer.verdict == "violated"
    assert {label[0] for label in labels(answer)[1]} == {"1"}  # 2 waits for the fork that 0 has


def test_threads_with_a_lock_come_to_an_end_without_fairness() -> None:
    done = Eventually(lambda s: all(thread.at == FINISHED for thread in s.threads))
    assert live(IncrementLock(3), done).verdict == "holds"
    assert live(IncrementLock(3), done).unique_states == 61


def test_two_phase_commit_decides_if_nobody_is_kept_waiting() -> None:
    model = TwoPhaseCommit(3)
    decided = Eventually(lambda s: s & model.committed & 0xEEE0 == 0xEEE0 & model.committed)
    managers = [f"manager {n} is told *" for n in (1, 2, 3)]
    decides = "the transaction manager *"
    assert live(model, decided, weakly_fair(*managers, decides)).verdict == "holds"
    assert live(model, decided, weakly_fair(*managers)).verdict == "violated"
    assert live(model, decided, weakly_fair(*managers[1:], decides)).verdict == "violated"


@pytest.mark.parametrize("value", range(4))
def test_what_is_desired_is_eventually_matched_for_ever(value: int) -> None:
    claim = EventuallyStable(lambda s: s.desired == value, lambda s: s.actual == value)
    works = weakly_fair("controller *")
    assert live(Reconciler(), claim, works).verdict == "holds"
    lazy = live(Reconciler(), claim)
    assert (lazy.verdict, labels(lazy)[1]) == ("violated", ["clock ticks"] * 2)
    nervous = live(Reconciler(nervous=True), claim, works)
    assert nervous.verdict == "violated"
    assert "controller starts over" in labels(nervous)[1]
    assert all(moment.state.desired == value for moment in nervous.cycle)
    # As long as wishes keep changing, nothing is promised.
    assert live(Reconciler(), AlwaysEventually(lambda s: s.actual == s.desired), works).verdict == (
        "violated"
    )


# --- budgets --------------------------------------------------------------------------------------


def counting(to: int) -> Drawn:
    return Drawn({n: (("count", n + 1),) for n in range(to)})


def test_holds_is_not_said_of_a_graph_that_is_not_complete() -> None:
    claim = Eventually(lambda s: s >= 3)
    answer = live(counting(10_000), claim, budget=Budget(states=50))
    assert (answer.verdict, answer.exhausted, answer.stopped_by) == ("unknown", False, "states")
    assert answer.covered.startswith("not exhausted (stopped by states): 5")
    assert live(counting(100), claim).verdict == "holds"


def test_the_end_of_the_budget_is_not_the_end_of_a_run() -> None:
    never = Eventually(lambda s: s == 9999)
    assert live(counting(10_000), never, budget=Budget(states=50)).verdict == "unknown"
    # But a cycle is a cycle, whatever else there may be.
    loops = Drawn({**counting(10_000).edges, 3: (("back", 0), ("count", 4))})
    answer = live(loops, never, budget=Budget(states=50))
    assert (answer.verdict, labels(answer)) == ("violated", ([], ["count"] * 3 + ["back"]))


# --- against a second way to judge ----------------------------------------------------------------


def random_graph(dice: Stream) -> Drawn:
    states = 1 + dice.below(5)
    return Drawn(
        {
            state: tuple([("abc"[dice.below(3)], dice.below(states)) for _ in range(dice.below(4))])
            for state in range(states)
        },
        tuple(range(1 + dice.below(min(2, states)))),
    )


def can_reach(model: Drawn, begins: Iterable[int], stays: Any) -> set[int]:
    found = {state for state in begins if stays(state)}
    while True:
        after = {to for state in found for _, to in model.steps(state) if stays(to)} | found
        if after == found:
            return found
        found = after


def endless(model: Drawn, fair: str) -> Iterable[tuple[int, ...]]:
    """Each set of states of which some fair run visits all again and again, and no others."""
    for size in range(1, len(model.edges) + 1):
        for states in combinations(model.edges, size):
            inner = [(s, label, to) for s in states for label, to in model.steps(s) if to in states]
            ends = size == 1 and not model.edges[states[0]]
            nexts = {s: [to for a, _, to in inner if a == s] for s in states}
            joined = all(
                set(states) <= can_reach(model, nexts[s], lambda to: to in states)  # noqa: B023
                for s in states
            )
            if not ends and not joined:
                continue
            if all(
                any(label == kind and s != to for s, label, to in inner)
                or any(all(k != kind or to == s for k, to in model.steps(s)) for s in states)
                for kind in fair
            ):
                yield states


def plainly(model: Drawn, claim: Claim, fair: str) -> bool:
    """Whether the claim is true: no set of states that a run may end up in breaks it."""
    reachable = can_reach(model, model.initial(), lambda s: True)
    for states in endless(model, fair):
        if isinstance(claim, EventuallyStable):
            wrong = all(map(claim.desired, states)) and not all(map(claim.matched, states))
            way = reachable
        elif isinstance(claim, LeadsTo):
            wrong = not any(map(claim.effect, states))
            begins = [s for s in reachable if claim.cause(s)]
            way = can_reach(model, begins, lambda s: not claim.effect(s))
        else:
            wrong = not any(map(claim.holds, states))
            way = reachable
            if isinstance(claim, Eventually):
                way = can_reach(model, model.initial(), lambda s: not claim.holds(s))
        if wrong and way.issuperset(states):
            return False
    return True


def check_lasso(model: Drawn, claim: Claim, fair: str, answer: Liveness) -> None:
    """That what is told is a run, that it is fair, and that it breaks the claim."""
    stem, cycle = answer.stem, answer.cycle
    assert stem[0].state in model.begins
    for before, after in pairwise((*stem, *cycle)):
        assert (after.label, after.state) in model.edges[before.state]
    assert (cycle[-1].state == stem[-1].state) if cycle else not model.edges[stem[-1].state]
    again = [moment.state for moment in cycle] or [stem[-1].state]
    for kind in fair:
        rounds = list(pairwise((stem[-1], *cycle)))
        happens = any(b.label == kind and a.state != b.state for a, b in rounds)
        possible = all(any(k == kind and to != s for k, to in model.edges[s]) for s in again)
        assert happens or not possible
    states = [moment.state for moment in stem]
    if isinstance(claim, EventuallyStable):
        assert all(map(claim.desired, again))
        assert not all(map(claim.matched, again))
    elif isinstance(claim, LeadsTo):
        last = max(at for at, s in enumerate([*states, *again]) if claim.cause(s))
        assert not any(map(claim.effect, [*states, *again][last:]))
        assert not any(map(claim.effect, again))
    else:
        assert not any(map(claim.holds, again))
        assert isinstance(claim, AlwaysEventually) or not any(map(claim.holds, states))


@pytest.mark.parametrize("seed", range(8))
def test_two_ways_to_judge_random_graphs_agree(seed: int) -> None:
    dice = Stream(seed, "graphs")
    verdicts = []
    for _ in range(60):
        model = random_graph(dice)
        one, other = ([dice.below(3) == 0 for _ in range(5)] for _ in range(2))
        claims: tuple[Claim, ...] = (
            Eventually(lambda s: one[s]),  # noqa: B023
            AlwaysEventually(lambda s: one[s]),  # noqa: B023
            LeadsTo(lambda s: one[s], lambda s: other[s]),  # noqa: B023
            EventuallyStable(lambda s: not one[s], lambda s: not other[s]),  # noqa: B023
        )
        for claim in claims:
            for fair in ("", "a", "ab", "abc"):
                answer = live(model, claim, weakly_fair(*fair))
                expected = "holds" if plainly(model, claim, fair) else "violated"
                assert answer.verdict == expected, (model.edges, model.begins, claim, fair)
                if expected == "violated":
                    check_lasso(model, claim, fair, answer)
                verdicts.append(expected)
    assert len(verdicts) // 4 < verdicts.count("holds") < len(verdicts) * 3 // 4
