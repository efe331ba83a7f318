"""The command line as a process: streams, exit status, signals."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import hear_ctrl_c

CONCUR = [sys.executable, "-m", "concur.cli"]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CONCUR, *arguments],
        capture_output=True, text=True, timeout=300, **options,  # type: ignore[call-overload]
    )  # fmt: skip


def test_stdout_is_one_json_object_and_stderr_is_silent(tmp_path: Path) -> None:
    done = run("compare", "unreplicated", "multi-paxos", "--seconds", "0.3", "--clients", "3",
               "--jobs", "2", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["rows"]) == 2
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_left_is_no_verdict(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text("")
    command = [*CONCUR, "check", "h.jsonl", "--model", "kv", *options]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(writing)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr


def test_wrong_input_has_status_2_and_no_traceback() -> None:
    done = run("simulate", "multi-paxos", "--replicas", "0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "concur: replicas: 0, expected a whole number of at least 1\n"


@pytest.mark.parametrize("verb", ["compare", "verify"])
def test_help_does_not_load_what_only_runs_need(verb: str) -> None:
    heavy = ["joblib", "matplotlib", "numpy", "concur.simulate.world", "concur.protocols",
             "concur.verify"]  # fmt: skip
    program = (
        "import sys\nfrom concur.cli import app\n"
        f"app(['{verb}', '--help'], standalone_mode=False)\n"
        f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.skipif(os.name == "nt", reason="signals are different there")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_a_comparison_at_once_and_leaves_nothing(jobs: str, tmp_path: Path) -> None:
    """The whole process group gets the signal, as from a terminal."""
    process = subprocess.Popen(
        [*CONCUR, "compare", "unreplicated", "multi-paxos", "--seconds", "10000", "--seeds", "0:4",
         "--jobs", jobs, "--html", "report.html"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=5)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


BUSY = """
import pathlib
from concur.parallel import in_processes

def work(name):
    pathlib.Path(name).touch()
    while True:
        pass

list(in_processes(work, ["one", "two"], 2, ordered=True))
"""
CAMPAIGN = ("-m", "concur.cli", "simulate", "unreplicated", "--seconds", "100000", "--seeds", "0:4",
            "--jobs", "2")  # fmt: skip


@pytest.mark.skipif(os.name == "nt" or shutil.which("ps") is None, reason="no ps here")
@pytest.mark.parametrize(
    ("program", "number"),
    [(CAMPAIGN, "SIGTERM"), (("-c", BUSY), "SIGTERM"), (("-c", BUSY), "SIGKILL")],
    ids=["campaign-SIGTERM", "library-SIGTERM", "library-SIGKILL"],
)
def test_workers_end_with_whoever_started_them(
    program: tuple[str, ...], number: str, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, *program], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        if program == CAMPAIGN:
            wait_for(lambda: len(workers(process.pid)) == 2)
        else:
            wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        process.send_signal(getattr(signal, number))
        _, error = process.communicate(timeout=60)  # workers have their stderr from it
        wait_for(lambda: workers(process.pid) == [])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if number == "SIGTERM":
        assert (process.returncode, error) == (143, "")


def workers(group: int) -> list[str]:
    """The worker processes of a process group that are alive."""
    done = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pgid=", "-o", "stat=", "-o", "args="],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return [
        line[2]
        for line in lines
        if line[0] == str(group) and not line[1].startswith("Z") and "popen_loky" in line[2]
    ]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("verb", [("compare", "unreplicated", "--html"), ("simulate", "--trace")])
def test_a_link_is_not_replaced_by_a_result(verb: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "link").symlink_to("mine")
    protocol = ("multi-paxos",) if verb[0] == "simulate" else ()
    command = (verb[0], *protocol, *verb[1:], "link", "--seconds", "0.1")
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "is a link or a device" in done.stderr
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "mine").read_text() == "precious"


def test_two_traces_are_compared_to_their_first_difference(tmp_path: Path) -> None:
    for seed in ("3", "4"):
        run("simulate", "multi-paxos", "--seed", seed, "--seconds", "0.1",
            "--trace", f"{seed}.jsonl", cwd=tmp_path)  # fmt: skip
    same = run("replay", "3.jsonl", "--against", "3.jsonl", cwd=tmp_path)
    assert (same.returncode, same.stdout.strip()) == (0, "the same, step by step")
    other = run("replay", "3.jsonl", "--against", "4.jsonl", "--json", cwd=tmp_path)
    assert other.returncode == 1
    assert json.loads(other.stdout)["divergence"].startswith("step ")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_gets_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*CONCUR, "list", "--json"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "cannot write" in done.stderr
