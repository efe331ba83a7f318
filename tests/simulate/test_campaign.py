"""Campaigns: every seed is run and checked, counted, and can be replayed from one line."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from concur.base import Tags
from concur.errors import BadInput
from concur.faults.kinds import KINDS
from concur.faults.schedule import Schedule
from concur.simulate.campaign import (
    REQUIRED_FROM,
    Campaign,
    Needed,
    campaign,
    required,
)
from concur.simulate.case import Case
from tests.faults.solo import NEAR, Claims, Forgetful, Solo
from tests.processes import hear_ctrl_c

SMALL = {"clients": 2, "network": NEAR, "seconds": 3.0}
ROOT = Path(__file__).parents[2]


def without_time(found: Campaign) -> Campaign:
    return msgspec.structs.replace(found, seconds=0.0)


def test_a_right_protocol_passes_and_things_happened() -> None:
    done = campaign(Solo(), range(6), faults="crash,client-crash,loss", **SMALL)
    assert done.violations == ()
    assert done.runs == 6
    assert done.commands > 6 * 50
    assert done.coverage["crashes"] == 6
    assert done.coverage["client crashes"] == 6
    assert done.coverage["contended operations"] > 0
    assert done.deliveries_per_second > 0
    assert done.exit_status == 0


def test_a_wrong_protocol_is_caught_with_its_seed_and_a_line_that_replays_it() -> None:
    done = campaign(Forgetful(), range(3), faults="leader-crash", **SMALL)
    assert {found.seed for found in done.violations} == {0, 1, 2}
    assert {found.property for found in done.violations} >= {"agreement"}
    assert done.exit_status == 1
    words = shlex.split(done.violations[0].replay, comments=True)
    assert words[:3] == ["concur", "simulate", "tests.faults.solo:Forgetful"]
    assert words[-2:] == ["--seed", "0"]
    assert words[words.index("--faults") + 1] == "leader-crash"
    # The same case, by itself, fails in the same way.
    case = Case(protocol=Forgetful(), faults="leader-crash", seed=0, **SMALL)  # type: ignore[arg-type]
    assert case.run().violations_[0].property == "agreement"


def test_a_replay_line_says_all_that_differs_from_the_defaults() -> None:
    case = Case(protocol=Solo(retry_s=0.5), replicas=5, network="wan-3", workload="ycsb-a", seed=9)
    assert case.replay() == (
        "concur simulate tests.faults.solo:Solo --param retry_s=0.5 --replicas 5 --clients 10 "
        "--network wan-3 --workload ycsb-a --machine kv --faults none --seconds 10 --seed 9"
    )
    assert "# check_every=7" in Case(protocol=Solo(), check_every=7).replay()
    assert "--faults mine.json" in Case(protocol=Solo(), faults=Schedule()).replay("mine.json")


def test_the_result_does_not_depend_on_the_number_of_jobs() -> None:
    one = campaign(Forgetful(), range(5), faults="all", **SMALL)
    two = campaign(Forgetful(), range(5), faults="all", jobs=2, **SMALL)
    assert without_time(one) == without_time(two)


def test_progress_is_told_of_every_run_in_order() -> None:
    seen: list[int] = []
    campaign(Solo(), [5, 3, 9], progress=lambda run: seen.append(run.seed), **SMALL)
    assert seen == [5, 3, 9]


def test_a_run_of_fewer_commands_than_asked_for_is_named() -> None:
    done = campaign(Solo(), range(2), commands_min=1_000_000, **SMALL)
    assert done.too_short == (0, 1)
    assert done.exit_status == 1


def test_ctrl_c_keeps_what_there_is() -> None:
    def stop(run: object) -> None:
        seen.append(run)
        if len(seen) == 2:
            raise KeyboardInterrupt

    seen: list[object] = []
    done = campaign(Solo(), range(50), progress=stop, **SMALL)
    assert (done.runs, done.interrupted, done.exit_status) == (2, True, 130)


INTERRUPTED = """
from concur.simulate.campaign import campaign
from tests.faults.solo import NEAR, Solo
if __name__ == "__main__":
    def progress(run):
        print("run", run.seed, flush=True)
    done = campaign(Solo(), range(100000), jobs=2, clients=2, network=NEAR, seconds=1.0,
                    progress=progress)
    print("done", done.interrupted, done.runs > 0, done.exit_status, flush=True)
"""


def test_ctrl_c_ends_all_jobs_quietly() -> None:
    """As on a terminal, where every process of the group gets the signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("run 0")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out.splitlines()[-1] == "done True True 130"
    assert "Traceback" not in err
    assert process.returncode == 0


def test_what_raises_in_a_run_is_a_failure_of_that_seed() -> None:
    class Odd(Solo):
        def crash_tolerance(self, replicas: int) -> int:
            raise ZeroDivisionError("odd")

    with pytest.raises(ZeroDivisionError):
        campaign(Odd(), [1], **SMALL)  # what is required is found out before the first run

    class OddMachine:
        name = "odd"

        def __getattr__(self, name: str) -> object:
            raise ZeroDivisionError("odd")

    done = campaign(Solo(), [1], machine=OddMachine(), workload="ycsb-a", **SMALL)
    assert done.violations[0].property == "no_run_raises"
    assert "ZeroDivisionError" in done.violations[0].reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": []},
        {"jobs": 0},
        {"jobs": -2},
        {"faults": "earthquake"},
        {"faults": "nowhere.json"},
        {"network": "moon"},
        {"replicas": 0},
        {"clients": 0},
    ],
    ids=str,
)
def test_bad_input_is_refused(wrong: dict[str, object]) -> None:
    arguments = {"seeds": [1], **SMALL, **wrong}
    with pytest.raises(BadInput):
        campaign(Solo(), arguments.pop("seeds"), **arguments)  # type: ignore[arg-type]


# --- coverage ---------------------------------------------------------------------------------


def keys(case: Case) -> set[str]:
    return {needed.key for needed in required(case)}


def test_what_must_happen_follows_from_tags_and_faults() -> None:
    whole = keys(Case(protocol=Claims(), faults="all"))
    orders = {"membership changes", "leadership transfers"}
    assert whole == {kind.key for kind in KINDS.values()} - orders | {
        "restarts", "dropped: host down", "lost unsynced records", "leader changes",
        "wiped replicas recovered", "snapshot transfers", "contended operations",
    }  # fmt: skip
    assert keys(Case(protocol=Claims(), clients=1)) == set()

    class Changing(Claims):
        tags = Tags(leader=True, membership=True)

    assert orders <= keys(Case(protocol=Changing(), faults="all"))
    alone = keys(Case(protocol=Solo(), faults="all"))
    assert not alone & {"leader changes", "wiped", "snapshot transfers"}
    assert keys(Case(protocol=Claims(), clients=1, faults="loss")) == {"dropped: loss"}


def test_tags_take_away_what_cannot_happen() -> None:
    class Strict(Claims):
        tags = Tags(leader=True, tolerates=(), durable=False)

    needed = keys(Case(protocol=Strict(), faults="all"))
    assert not needed & {"dropped: loss", "duplicated", "reordered", "torn writes", "slow disks"}
    assert "leader changes" in needed


def test_what_never_happened_fails_a_campaign_that_is_long_enough() -> None:
    done = campaign(Solo(), range(2), faults="loss", clients=1, network=NEAR, seconds=0.05)
    lacking = msgspec.structs.replace(done, missing=(Needed("dropped: loss", "why"),), runs=2)
    assert lacking.exit_status == 0
    assert msgspec.structs.replace(lacking, runs=REQUIRED_FROM).exit_status == 1


def test_keys_that_stayed_zero_are_printed_as_zero() -> None:
    done = campaign(Solo(), [1], faults="loss", clients=1, network=NEAR, seconds=0.01)
    assert done.coverage["dropped: loss"] == 0
    assert [needed.key for needed in done.missing] == ["dropped: loss"]
    printed = msgspec.json.decode(msgspec.json.encode(done.to_json()))
    assert set(printed) >= {
        "runs", "commands", "violations", "coverage", "deliveries_per_second",
    }  # fmt: skip
