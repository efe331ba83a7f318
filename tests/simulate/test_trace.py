"""Traces: the same bytes for the same seed, and any state looked at again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from concur import BadInput, MultiPaxos, Simulation
from concur.simulate.trace import FileRecorder, compare_traces, lines, read_header, replay
from tests.small.virtual_log import PrimaryBackup, VirtualLog

RECORD = """
import sys
from concur import MultiPaxos, Simulation
from concur.simulate.trace import FileRecorder
simulation = Simulation(MultiPaxos(snapshot_every=20), replicas=3, clients=4, seed=int(sys.argv[2]))
simulation.run(faults="all", seconds=2.0, check=False, recorder=FileRecorder(sys.argv[1]))
"""


def record(path: Path, seed: int, hash_seed: str) -> Path:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", RECORD, str(path), str(seed)]
    subprocess.run(command, env=environment, check=True)
    return path


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("traces") / "run.jsonl", 5, "1")


def test_the_same_seed_gives_the_same_bytes_under_another_hash_seed(
    trace: Path, tmp_path: Path
) -> None:
    again = record(tmp_path / "again.jsonl", 5, "4242")
    assert trace.read_bytes() == again.read_bytes()
    assert compare_traces(trace, again) is None


def test_another_seed_differs_and_the_first_difference_is_named(
    trace: Path, tmp_path: Path
) -> None:
    other = record(tmp_path / "other.jsonl", 6, "1")
    difference = compare_traces(trace, other)
    assert difference is not None
    assert difference.startswith("step ")


def test_a_replay_agrees_with_its_trace_to_the_end(trace: Path) -> None:
    again = replay(trace)
    assert again.same
    assert again.steps == sum(1 for _ in lines(trace)) > 1000


def test_a_replay_stops_at_a_step_with_every_node_as_it_was_then(trace: Path) -> None:
    step = 700
    line = json.loads(list(lines(trace))[step - 1])
    again = replay(trace, stop_at=step)
    assert again.steps == step
    assert again.simulation.world_.steps == line["i"]
    later = replay(trace, stop_at=step + 400)
    name = line["n"]
    node, then = (r.simulation.world_.places[name].node for r in (again, later))
    assert node is not None
    assert then is None or node.snapshot() != then.snapshot()


def test_a_changed_line_is_found_as_damage(trace: Path, tmp_path: Path) -> None:
    text = trace.read_bytes().replace(b'"Heartbeat"', b'"Heartbeet"', 1)
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(text)
    with pytest.raises(BadInput, match="damaged"):
        list(lines(damaged))


@pytest.mark.parametrize("keep", [0, 1, 50, 5000, -1])
def test_a_trace_that_is_cut_off_is_refused_in_one_line(
    trace: Path, tmp_path: Path, keep: int
) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(trace.read_bytes()[:keep])
    with pytest.raises(BadInput) as refused:
        list(lines(cut))
    assert "\n" not in str(refused.value)
    assert str(cut) in str(refused.value)


@pytest.mark.parametrize("text", [b"{}\n", b"[1,2]\n", b"\xff\n", b'{"concur":1}\n', b"[" * 9999])
def test_what_is_no_trace_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "none.jsonl"
    path.write_bytes(text)
    with pytest.raises(BadInput):
        read_header(path)


def test_a_trace_names_no_module_that_a_replay_would_import_unasked(
    trace: Path, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(trace.read_bytes().replace(b'"multi-paxos"', b'"os:path"', 1))
    with pytest.raises(BadInput, match="not one of Concur's"):
        replay(path)


def test_a_trace_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path / "run.jsonl")
    assert not (tmp_path / "run.jsonl").exists()
    recorder.discard()
    assert list(tmp_path.iterdir()) == []


def test_recording_changes_nothing() -> None:
    def run(recorder: object) -> tuple[int, str]:
        simulation = Simulation(MultiPaxos(), clients=4, seed=9)
        done = simulation.run(faults="all", seconds=1.0, check=False, recorder=recorder)  # type: ignore[arg-type]
        return done.world_.steps, done.history_.digest()

    class Silent:
        def begin(self, *_: object) -> None: ...
        def step(self, *_: object) -> None: ...
        def end(self, *_: object) -> None: ...

    assert run(None) == run(Silent())


def test_a_protocol_inside_a_protocol_is_traced_with_its_parameters(tmp_path: Path) -> None:
    path = tmp_path / "composed.jsonl"
    made = VirtualLog(switch_after=7, loglet=PrimaryBackup(beat_s=0.07))
    Simulation(made, seed=3).run(seconds=0.3, check=False, recorder=FileRecorder(path))
    assert replay(path, protocol=VirtualLog()).same
    with pytest.raises(BadInput, match=r"expected --protocol tests\.small\."):
        replay(path)
