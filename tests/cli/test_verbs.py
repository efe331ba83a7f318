"""The verbs: what they print, with which status, and what they leave behind."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from concur.base import Protocol
from concur.cli import terminal
from concur.cli.compare import print_comparison
from concur.protocols.multi_paxos import MultiPaxos
from concur.simulate.simulation import Simulation
from concur.simulate.world import World
from tests.cli.helpers import TINY, concur, concur_json
from tests.score.made import many, verdict

# --- list -----------------------------------------------------------------------------------------


def test_list_names_every_protocol_with_what_it_needs_and_gives() -> None:
    found = concur_json("list")["protocols"]
    assert {"multi-paxos", "paxos", "unreplicated"} <= {p["name"] for p in found}
    for protocol in found:
        assert protocol.keys() >= {"name", "summary", "paper", "roles", "tags", "parameters"}
        assert protocol["summary"]
        assert protocol["roles"]


def test_list_is_readable_for_people() -> None:
    done = concur("list")
    assert done.exit_code == 0
    assert "multi-paxos" in done.stdout
    assert "has a leader" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


# --- compare --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    pytest.importorskip("matplotlib")
    report = tmp_path_factory.mktemp("report") / "report.html"
    done = concur("compare", *TINY, "--jobs", "1", "--html", str(report))
    return done, report


def test_compare_prints_a_table_that_fits_80_columns(compared: tuple[Any, Path]) -> None:
    done, _ = compared
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [x for x in lines if x.startswith("multi-paxos ") and x.endswith("linearizable")]
    assert row.split()[-1] == "linearizable"
    assert "skipped: paxos decides single values and runs no log of commands" in done.stdout


def test_compare_writes_a_report(compared: tuple[Any, Path]) -> None:
    done, report = compared
    assert report.read_text().endswith("</html>\n")
    assert f"wrote {report}" in " ".join(done.stderr.split()).replace(" /", "/") or str(report.name)
    assert [f.name for f in report.parent.iterdir()] == ["report.html"]


def test_a_wide_terminal_shows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = concur("compare", "unreplicated", *TINY, "--jobs", "1")
    assert "p99.9 ms" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_compare_prints_one_json_object() -> None:
    found = concur_json("compare", "unreplicated", *TINY, "--seeds", "0:2", "--jobs", "1")
    assert found["seeds"] == [0, 1]
    assert found["complete"] is True
    assert [row["protocol"] for row in found["rows"]] == ["unreplicated"]
    assert found["rows"][0]["spread"].keys() >= {"throughput", "latency_ms_p50"}


def test_a_parameter_goes_to_the_protocol_that_it_names() -> None:
    arguments = ("compare", "unreplicated", "multi-paxos", *TINY, "--jobs", "1")
    found = concur_json(*arguments, "-p", "multi-paxos.batch_max=16", "--set", "deadline_s=9.0")
    assert [row["parameters"] for row in found["rows"]] == [
        {"deadline_s": 9.0},
        {"deadline_s": 9.0, "batch_max": 16},
    ]


def test_an_inconsistent_history_gives_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulation, "_judge", lambda *_: verdict(False, "a read from nowhere"))
    found = concur_json("compare", "unreplicated", *TINY, "--jobs", "1", status=1)
    assert found["rows"][0]["valid"] is False
    assert found["rows"][0]["throughput"] is None
    done = concur("compare", "unreplicated", *TINY, "--jobs", "1")
    assert done.exit_code == 1
    assert "LINEARIZABLE" in done.stdout
    assert "a read from nowhere" in done.stdout


def test_an_undecided_history_gives_status_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulation, "_judge", lambda *_: verdict("unknown", "out of steps"))
    done = concur("compare", "unreplicated", *TINY, "--jobs", "1")
    assert done.exit_code == 3
    assert "undecided" in done.stdout


def test_ctrl_c_gives_status_130_what_there_is_and_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concur.score import compare as module

    real, runs = module.run, 0

    def interrupted(task: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 2:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(module, "run", interrupted)
    report = tmp_path / "report.html"
    done = concur(
        "compare", "unreplicated", "multi-paxos", *TINY, "--jobs", "1", "--html", str(report)
    )
    assert done.exit_code == 130
    assert "unreplicated" in done.stdout
    assert "stopped after 1 of 2 runs, no report was written" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


# --- simulate and replay --------------------------------------------------------------------------


def test_simulate_prints_one_json_object() -> None:
    found = concur_json("simulate", "multi-paxos", *TINY, "--seed", "4")
    assert found.keys() >= {
        "runs", "commands", "violations", "coverage", "deliveries_per_second",
    }  # fmt: skip
    assert found["runs"] == 1
    assert found["commands"] > 10
    assert found["violations"] == []


def test_many_seeds_are_many_runs() -> None:
    assert concur_json("simulate", "unreplicated", *TINY, "--seeds", "3:6")["runs"] == 3


def test_simulate_is_readable_for_people() -> None:
    done = concur("simulate", "unreplicated", *TINY)
    assert done.exit_code == 0
    assert "operations: ok" in done.stdout
    assert "No violation" in done.stdout


def test_what_failed_is_explained_below_the_table() -> None:
    done = concur("simulate", "multi-paxos", *TINY, "--workload", "mixed", "--seconds", "1")
    printed = " ".join(done.stdout.split())
    assert "operations: fail: certainly changed nothing, as a compare-and-set that found" in printed
    assert "operations: info:" not in printed, "there was none"


def test_an_interrupted_run_prints_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "start", stop)
    done = concur("simulate", "multi-paxos", *TINY, "--faults", "all")
    assert done.exit_code == 130
    assert done.stdout == ""
    assert done.stderr == "concur: stopped before the end of the run, nothing was checked\n"
    found = concur_json("simulate", "multi-paxos", *TINY, "--faults", "all", status=130)
    assert (found["runs"], found["interrupted"], found["coverage"]) == (0, True, {})
    done = concur("simulate", "multi-paxos", *TINY, "--seeds", "0:1000")
    assert done.exit_code == 130
    assert (done.stdout, done.stderr) == ("", "concur: stopped after 0 of 1,000 runs\n")


def test_a_long_campaign_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.0)
    done = concur("simulate", "unreplicated", *TINY, "--seeds", "3:5", "--json")
    assert done.stderr.splitlines() == [
        "concur: simulating, 1 of 2: seed 3, 0 violations",
        "concur: simulating, 2 of 2: seed 4, 0 violations",
    ]
    assert json.loads(done.stdout)["runs"] == 2
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 1e9)
    assert concur("simulate", "unreplicated", *TINY, "--seeds", "3:5").stderr == ""


def test_a_violation_prints_its_replay_line_and_gives_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Simulation, "_judge", lambda *_: verdict(False, "a read from nowhere"))
    arguments = ("simulate", "multi-paxos", *TINY, "-p", "batch_max=4", "--seed", "9")
    done = concur(*arguments)
    assert done.exit_code == 1
    (line,) = [text.strip() for text in done.stdout.splitlines() if "concur simulate" in text]
    again = concur(*line.split()[1:])
    assert again.exit_code == 1
    assert line in again.stdout, "it is the same run"
    (violation,) = concur_json(*arguments, status=1)["violations"]
    assert violation["seed"] == 9
    assert violation["replay"] == line


def test_a_shrunk_violation_leaves_a_schedule_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Simulation, "_judge", lambda *_: verdict(False, "a read from nowhere"))
    done = concur("simulate", "unreplicated", *TINY, "--faults", "crash=2", "--shrink")
    assert done.exit_code == 1
    assert [f.name for f in tmp_path.iterdir()] == ["unreplicated-0.json"]
    assert "no fault is needed" in done.stdout
    assert "--faults unreplicated-0.json" in done.stdout


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("trace") / "run.trace"
    done = concur("simulate", "multi-paxos", *TINY, "--faults", "crash", "--trace", str(file))
    assert done.exit_code == 0, done.output
    return file


def test_a_trace_replays_to_its_end(trace: Path) -> None:
    found = concur_json("replay", str(trace))
    assert found["same"] is True
    assert found["steps"] == len(trace.read_bytes().splitlines()) - 2


def test_a_replay_stops_where_it_is_told_and_shows_state(trace: Path) -> None:
    done = concur("replay", str(trace), "--stop-at", "40", "--show", "r1", "--steps", "2")
    assert done.exit_code == 0
    assert "40 steps, the same as in the trace" in done.stdout
    assert "promised = " in done.stdout
    assert '"i":40' in done.stdout
    found = concur_json("replay", str(trace), "--stop-at", "40", "--show", "r1")
    assert found["state"]["r1"]["promised"]


def test_a_replay_that_differs_gives_status_1(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MultiPaxos, "validate", _other_heartbeat)
    found = concur_json("replay", str(trace), status=1)
    assert found["same"] is False
    assert "the trace has" in found["divergence"]


def _other_heartbeat(self: Protocol, replicas: int) -> Protocol:
    return self.set_params(heartbeat_s=0.0123)


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["list", "compare", "simulate", "replay", "verify"])
def test_help_shows_an_example(verb: str) -> None:
    done = concur(verb, "--help")
    assert done.exit_code == 0
    assert f"concur {verb}" in done.stdout.partition("Example")[2]


def test_help_says_how_one_protocol_of_a_comparison_gets_a_parameter() -> None:
    for verb in ("compare", "simulate"):
        shown = re.sub(r"[\s│]+", " ", concur(verb, "--help").stdout)
        assert "PROTOCOL.NAME=VALUE, as in raft.batch_max=16, is for one" in shown


def test_help_and_version_need_no_verb() -> None:
    assert concur("--version").stdout.startswith("concur 0.")
    for arguments in ((), ("--help",), ("-h",)):
        done = concur(*arguments)
        assert done.exit_code == 0
        assert all(
            verb in done.stdout for verb in ("list", "compare", "simulate", "replay", "verify")
        )


def test_json_of_every_verb_is_one_object(trace: Path) -> None:
    for arguments in (
        ("list",),
        ("compare", "unreplicated", *TINY, "--jobs", "1"),
        ("simulate", "unreplicated", *TINY, "--seeds", "0:2"),
        ("replay", str(trace), "--stop-at", "3"),
        ("verify", "unreplicated", "--timeouts", "0", "--strategy", "breadth-first"),
    ):
        done = concur(*arguments, "--json")
        assert isinstance(json.loads(done.stdout), dict)
        assert done.stderr == ""


@pytest.mark.parametrize("width", [80, 120])
def test_two_dozen_rows_with_spreads_fit_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_comparison(many(24, (0, 1, 2, 3)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    table = "\n".join(lines)
    assert table.count("linearizable") >= 24, "no verdict is cut"
    assert "…" not in table
