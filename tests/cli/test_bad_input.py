"""Wrong input of every kind: one clear line, status 2, nothing run and nothing written."""

from pathlib import Path

import pytest

from concur.simulate.world import World
from tests.cli.helpers import TINY, concur, refused


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And whatever is written would be written here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(World, "start", lambda self: pytest.fail("something ran"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("simulate poxas", "protocol 'poxas': unknown, expected one of "),
        ("compare poxas", "protocol 'poxas': unknown, expected one of "),
        ("simulate os.path:join", "os.path has no protocol join"),
        ("simulate no.such.module:Raft", "cannot import no.such.module"),
        ("compare unreplicated unreplicated", "named twice"),
        ("compare paxos", "nothing to compare: paxos decides single values"),
        ("simulate multi-paxos -p batch_max=0", "multi-paxos.batch_max: 0, expected "),
        ("simulate multi-paxos -p batch_max=many", "multi-paxos.batch_max: 'many', expected "),
        ("simulate multi-paxos -p speed=9", "expected NAME=VALUE with a name among"),
        ("compare -p multi-paxos.batch_max=abc", "multi-paxos.batch_max: 'abc', expected "),
        ("compare paxos raft -p paxos.retry_s=soon", "paxos.retry_s: 'soon', expected "),
        ("compare multi-paxos -p raft.batch_max=1", "no protocol 'raft' here"),
        ("compare -p no_such_parameter=1", "expected NAME=VALUE with a name among"),
        ("simulate multi-paxos -p phase1_quorum=1 -p phase2_quorum=1", "impossible quorums"),
        ("compare multi-paxos -p phase1_quorum=1 -p phase2_quorum=1", "impossible quorums"),
        ("simulate multi-paxos --replicas 0", "replicas: 0, expected "),
        ("compare --replicas 0", "replicas: 0, expected "),
        ("compare --replicas -3", "replicas: -3, expected "),
        ("simulate multi-paxos --clients 0", "clients: 0, expected "),
        ("compare --clients ten", "--clients"),
        ("compare --seconds 0", "seconds: 0.0, expected "),
        ("compare --seconds nan", "seconds: nan, expected "),
        ("simulate multi-paxos --seconds inf", "seconds: inf, expected "),
        ("compare --jobs 0", "jobs: 0, expected "),
        ("simulate multi-paxos --jobs 0", "jobs: 0, expected "),
        ("compare --network moon", "unknown network 'moon'"),
        ("simulate multi-paxos --network missing.toml", "missing.toml"),
        ("compare --workload ycsb-z", "workload 'ycsb-z': unknown"),
        ("simulate multi-paxos --workload zipf:keys=-1", "keys=-1"),
        ("simulate multi-paxos --workload counter --machine kv", "asks a counter machine"),
        ("simulate multi-paxos --machine toaster", "machine 'toaster': unknown"),
        ("compare --faults earthquake", "unknown kind 'earthquake'"),
        (
            "simulate multi-paxos --faults membership-change",
            "multi-paxos cannot have membership-change: its members never change",
        ),
        (
            "simulate raft --faults crash,membership-change --spares 0",
            "raft cannot have membership-change: there is nobody who could be exchanged, expected "
            "--spares of 1 or more",
        ),
        ("simulate unreplicated --faults crash,wipe=2", "unreplicated cannot have wipe: "),
        ("simulate raft --faults amnesia --replicas 1", "raft cannot have amnesia: no replica can"),
        (
            "simulate viewstamped-replication --faults blackout",
            "cannot have blackout: it keeps not",
        ),
        ("simulate raft --spares -1", "spares: -1, expected a whole number from 0"),
        ("simulate multi-paxos --spares 2 --trace run.trace", "multi-paxos never changes its memb"),
        ("compare --spares -1", "spares: -1, expected a whole number from 0"),
        ("compare unreplicated multi-paxos --spares 2", "unreplicated, multi-paxos never change"),
        ("simulate multi-paxos --faults crash=0", "crash=0, expected a whole number"),
        ("simulate multi-paxos --seeds 5:2", "expected A:B with A below B"),
        ("simulate multi-paxos --seeds five", "expected A:B with A below B"),
        ("simulate multi-paxos --seed 1 --seeds 0:2", "expected one of them"),
        ("simulate multi-paxos --seed -1", "seed"),
        ("simulate multi-paxos --seeds 0:2 --trace run.trace", "a trace is of one run"),
        ("simulate multi-paxos --seeds 0:2 --history h.jsonl", "a history is of one run"),
        ("simulate multi-paxos --history h.txt", "expected a name that ends in .jsonl or .edn"),
        ("simulate multi-paxos --trace nowhere/run.trace", "there is no folder nowhere"),
        ("compare --html nowhere/report.html", "there is no folder nowhere"),
        ("compare --html .", "is a folder"),
        ("replay nothing.trace", "nothing.trace"),
        ("replay", "Missing argument"),
        ("simulate", "Missing argument"),
        ("conquer", "No such command 'conquer'"),
        ("--fast", "No such option: --fast"),
        ("compare --fast", "No such option: --fast"),
        ("list everything", "everything"),
    ],
)
def test_wrong_input_gets_one_clear_line(arguments: str, complaint: str, tmp_path: Path) -> None:
    assert complaint in refused(*arguments.split())
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.parametrize(
    "text",
    ["", "regions = [", 'regions = ["a"]\nrtt_ms = [[1.0, 2.0]]', "rtt_ms = 3", "\x00\xff"],
)
def test_a_malformed_network_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "office.toml"
    file.write_text(text)
    for verb in ("compare", "simulate multi-paxos"):
        assert "office.toml" in refused(*verb.split(), "--network", "office.toml")
    assert list(tmp_path.iterdir()) == [file]


def test_a_malformed_schedule_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('{"faults": [{"fault": "Crash"}]}')
    assert "faults.json" in refused("simulate", "multi-paxos", "--faults", "faults.json")


def test_a_missing_matplotlib_is_found_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "concur-consensus[plots]" in refused("compare", "--html", "report.html")


@pytest.mark.parametrize("kept", [1, 3, -1])
def test_a_truncated_trace_is_refused(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = concur("simulate", "unreplicated", *TINY, "--trace", "run.trace")
    assert done.exit_code == 0, done.output
    file = tmp_path / "run.trace"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:kept]))
    assert "cut off" in refused("replay", "run.trace")


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello\n", b"{}\n", b"\x00" * 100 + b"\n"):
        (tmp_path / "run.trace").write_bytes(content)
        assert "run.trace" in refused("replay", "run.trace")
