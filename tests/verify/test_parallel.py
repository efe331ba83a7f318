"""Several processes find exactly what one finds, and end as honestly."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines.kv import Put
from concur.protocols.paxos import Paxos
from concur.protocols.raft import Raft
from concur.verify import Budget, Exploration, Model, Progress, Scenario, explore
from concur.verify.large.parallel import explore_parallel
from concur.verify.walks.campaign import walk_many
from tests.processes import hear_ctrl_c
from tests.verify.abd_register import abd_register
from tests.verify.increment_lock import IncrementLock
from tests.verify.paxos_register import ForgetfulServer, paxos_register
from tests.verify.test_explore import Walk, assert_replays
from tests.verify.test_verify import CALM, MUTANTS
from tests.verify.two_phase_commit import TwoPhaseCommit

ROOT = Path(__file__).parents[2]
PUTS = ((Put("x", "a"),), (Put("x", "b"),))

RIGHT: dict[str, tuple[Callable[[], Model[Any]], bool]] = {
    "Paxos register": (partial(paxos_register, 2), False),
    "ABD register": (partial(abd_register, 2, 2), False),
    "two-phase commit": (partial(TwoPhaseCommit, 5), False),
    "two-phase commit, symmetry": (partial(TwoPhaseCommit, 5), True),
    "lock, values for states": (partial(IncrementLock, 3), False),
    "Paxos, two proposers": (
        Scenario(protocol=Paxos(), commands=PUTS, timeouts_max=0).system,
        False,
    ),
    "Raft, a crash": (
        Scenario(
            protocol=Raft(**CALM), clients=1, commands=((),), timeouts_max="election=1",
            faults="crash=1",
        ).system,
        False,
    ),
}  # fmt: skip


def counts(found: Exploration) -> tuple[Any, ...]:
    return (
        found.verdict, found.exhausted, found.unique_states, found.transitions, found.depth,
        found.covered, found.symmetry, found.strategy,
    )  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_counts_and_verdict_are_those_of_one_process(name: str) -> None:
    make, symmetry = RIGHT[name]
    assert counts(explore_parallel(make, 2, symmetry=symmetry)) == counts(
        explore(make(), symmetry=symmetry)
    )


def test_the_number_of_processes_does_not_matter() -> None:
    make = partial(paxos_register, 2, kind=ForgetfulServer)
    alone = explore(make())
    model = make()
    found = [explore_parallel(make, processes, model=model) for processes in (2, 3)]
    assert counts(found[0]) == counts(found[1])
    for each in found:
        assert (each.verdict, each.property) == ("violated", "linearizability")
        assert each.reason == found[0].reason
        assert len(each.trace) == len(alone.trace)
        assert_replays(model, each)
        assert each.trace[-1].state == found[0].trace[-1].state


@pytest.mark.parametrize(
    "make",
    [
        partial(IncrementLock, 3, locks=False),
        partial(TwoPhaseCommit, 3, hears_all=False),
        Scenario(protocol=MUTANTS["R3"][0], **MUTANTS["R3"][1]).system,
    ],
)
def test_a_trace_is_a_shortest_one_of_real_states(make: Callable[[], Model[Any]]) -> None:
    alone, model = explore(make()), make()
    found = explore_parallel(make, 2, model=model)
    assert (found.verdict, found.property) == ("violated", alone.property)
    assert len(found.trace) == len(alone.trace)
    assert_replays(model, found)


class Meeting(Walk):
    """With claims, one of which is not true, and a place where it stops."""

    sometimes = {
        "far north": lambda state: state[0] == 3,
        "off the map": lambda state: state[0] > 9,
    }


def test_claims_and_dead_ends_are_as_with_one_process() -> None:
    alone, found = explore(Meeting(4)), explore_parallel(partial(Meeting, 4), 2)
    assert (found.verdict, found.property) == (alone.verdict, alone.property)
    assert found.property == "off the map"
    assert [moment.state[0] for moment in found.examples["far north"]] == [0, 1, 2, 3]

    stuck = explore_parallel(partial(Stuck, 3), 2, deadlock=True)
    assert (stuck.verdict, stuck.property) == ("violated", "deadlock")
    assert len(stuck.trace) == 1 + 6


class Stuck(Walk):
    def done(self, state: tuple[int, int]) -> bool:
        return False


def test_the_callers_model_knows_afterwards_what_the_others_have_met() -> None:
    make = RIGHT["Paxos, two proposers"][0]
    alone, system = make(), make()
    explore(alone)
    explore_parallel(make, 2, model=system)
    assert system.local_states() == alone.local_states()  # type: ignore[attr-defined]
    assert system.histories() == alone.histories()  # type: ignore[attr-defined]


# --- ends -----------------------------------------------------------------------------------------


def assert_partial(found: Exploration, stopped_by: str) -> None:
    assert (found.verdict, found.exhausted, found.stopped_by) == ("unknown", False, stopped_by)
    assert found.covered.startswith(f"not exhausted (stopped by {stopped_by}): ")
    assert found.unique_states > 0
    if "all states within" in found.covered:
        steps = int(found.covered.split("all states within ")[1].split()[0])
        assert (steps + 1) * (steps + 2) // 2 <= found.unique_states
        assert steps <= found.depth
    no_child_is_left()


STARTED: "list[subprocess.Popen[Any]]" = []


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every process that a test starts in STARTED."""

    class Kept(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            STARTED.append(self)

    STARTED.clear()
    monkeypatch.setattr(subprocess, "Popen", Kept)


def no_child_is_left() -> None:
    """Each ended, and its end was waited for."""
    assert STARTED
    assert all(child.returncode is not None for child in STARTED)


@pytest.mark.parametrize(
    ("budget", "stopped_by"),
    [
        (Budget(seconds=1.5), "seconds"),
        (Budget(states=3000), "states"),
        (Budget(bytes=1), "memory"),
    ],
)
def test_an_infinite_space_ends_with_the_budget(budget: Budget, stopped_by: str) -> None:
    told: list[Progress] = []
    found = explore_parallel(Walk, 2, budget, told.append)
    assert_partial(found, stopped_by)
    if stopped_by == "seconds":
        assert told
        assert 1.5 <= found.seconds < 30


def test_control_c_gives_a_partial_answer() -> None:
    def interrupt(progress: Progress) -> None:
        if progress.depth > 20:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        found = explore_parallel(Walk, 2, Budget(seconds=60), interrupt)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert_partial(found, "interrupted")
    assert found.depth > 20


INTERRUPTED = """
from concur.verify.large.parallel import explore_parallel
from tests.verify.test_parallel import Budget, Walk
told = []
def progress(now):
    if not told:
        told.append(now)
        print("going", flush=True)
found = explore_parallel(Walk, 2, Budget(seconds=60), progress)
print(found.stopped_by, found.unique_states > 0)
"""


def test_control_c_from_a_terminal_prints_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "going\n"
        os.killpg(child.pid, signal.SIGINT)
        out, errors = child.communicate(timeout=60)
    assert (out, errors) == ("interrupted True\n", "")


class Dying(Walk):
    """Whoever looks after (9, 9) dies of it."""

    def steps(self, state: tuple[int, int]) -> Iterable[tuple[str, tuple[int, int]]]:
        if state == (9, 9):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().steps(state)


def test_a_process_that_is_killed_ends_the_search_with_a_partial_answer() -> None:
    assert_partial(explore_parallel(Dying, 2, Budget(seconds=60)), "lost process")


ORPHANS = """
import os, sys
from concur.verify.large.parallel import explore_parallel
from tests.verify.test_parallel import Budget, Walk
def progress(now):
    found = [pid for pid in os.listdir("/proc") if pid.isdigit() and parent(pid) == os.getpid()]
    print(*found, flush=True)
    os.kill(os.getpid(), 9)
def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
explore_parallel(Walk, 2, Budget(seconds=60), progress)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_when_the_one_that_started_them_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    children = done.stdout.split()
    assert len(children) == 2
    until = time.monotonic() + 30
    while any(map(_is_alive, children)):
        assert time.monotonic() < until, children
        threading.Event().wait(0.02)


def _is_alive(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class Raising(Walk):
    def steps(self, state: tuple[int, int]) -> Iterable[tuple[str, tuple[int, int]]]:
        if state == (4, 4):
            raise BadInput("nobody may go to (4, 4)")
        return super().steps(state)


def test_what_the_model_raises_is_raised() -> None:
    with pytest.raises(BadInput, match=r"nobody may go to \(4, 4\)"):
        explore_parallel(Raising, 2)
    no_child_is_left()


def test_what_cannot_be_sent_is_refused() -> None:
    lock = threading.Lock()
    with pytest.raises(BadInput, match="a model that other processes cannot make"):
        explore_parallel(lambda: Walk(at=lambda state: lock.release()), 2)
    no_child_is_left()


def test_a_model_of_the_main_script_can_be_made_elsewhere(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "from concur.verify import Model\n"
        "from concur.verify.large.parallel import explore_parallel\n"
        "class Mine(Model):\n"
        "    name = 'mine'\n"
        "    def initial(self): return [0]\n"
        "    def steps(self, state): return [(str(n), state * 2 + n) for n in (0, 1)"
        " if state < 500]\n"
        "found = explore_parallel(Mine, 2)\n"
        "print(found.verdict, found.unique_states)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("holds 1000\n", "")


def test_the_number_of_processes_is_checked() -> None:
    with pytest.raises(BadInput, match="processes: 0, expected a whole number from 1 to"):
        explore_parallel(Walk, 0)


# --- walks ----------------------------------------------------------------------------------------


def test_walks_find_the_same_whatever_the_number_of_processes() -> None:
    protocol, bounds, _ = MUTANTS["R3"]
    make = Scenario(protocol=protocol, **bounds).system
    model = make()
    found = [
        walk_many(make, walks_max=600, walks_each=25, processes=p, model=model) for p in (1, 2)
    ]
    for each in found:
        assert each.verdict == "violated"
        assert_replays(model, each)
        assert model.broken(each.trace[-1].state) == (each.property, each.reason)
    without_time = [(e.unique_states, e.transitions, e.depth, e.covered, e.trace) for e in found]
    assert without_time[0] == without_time[1]


def test_walks_that_find_nothing_say_how_many_there_were() -> None:
    make = Scenario(protocol=Paxos(), commands=PUTS, timeouts_max=0).system
    found = walk_many(make, walks_max=50, walks_each=20, processes=2)
    assert (found.verdict, found.exhausted, found.stopped_by) == ("unknown", False, "")
    assert "3 searches of at most 20 random walks each from seed 0" in found.covered
    assert walk_many(make, Budget(seconds=0.3), processes=1).stopped_by == "seconds"
    assert walk_many(make, Budget(states=500), processes=1).stopped_by == "states"
