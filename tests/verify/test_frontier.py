"""Layers on disk: what was written is read, nothing is left, and a full disk is an answer."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from concur.verify import Budget, explore
from concur.verify.large.frontier import BLOCK, DiskFull, Layers
from tests.verify.paxos_register import paxos_register

NUMBERS = [number**7 - 5_000_000 for number in range(2 * BLOCK + 100)]


@pytest.mark.parametrize("kept_bytes_max", [0, 60_000, 1 << 30])
def test_layers_are_read_as_they_were_written(kept_bytes_max: int, tmp_path: Path) -> None:
    with Layers(str(tmp_path), kept_bytes_max) as layers:
        for number in NUMBERS:
            layers.append(number)
        layers.end_layer()
        layers.end_layer()
        for number in layers.layer(0):  # read and written at the same time
            layers.append(-number)
        layers.append(0)
        layers.end_layer()
        assert list(layers.layer(0)) == NUMBERS
        assert list(layers.layer(1)) == []
        assert list(layers.layer(2)) == [*(-number for number in NUMBERS), 0]
        assert layers.lengths == [len(NUMBERS), 0, len(NUMBERS) + 1]
        assert layers.kept_bytes <= kept_bytes_max
        assert (layers.file_bytes == 0) is (kept_bytes_max == 1 << 30)


def test_the_file_has_no_name_at_any_time(tmp_path: Path) -> None:
    with Layers(str(tmp_path), 0) as layers:
        for number in NUMBERS:
            layers.append(number)
        assert layers.file_bytes > 0
        assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from tests.verify.test_frontier import DiskFull, Layers
with Layers(sys.argv[1], 0) as layers:
    try:
        for number in range(1_000_000):
            layers.append(number)
    except DiskFull as full:
        print(full)
"""


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{tmp_path}: File too large after 1")
    assert "expected room for those that do not fit into memory" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_the_same_error(tmp_path: Path) -> None:
    with Layers(str(tmp_path / "none"), 0) as layers:
        layers.append(1)
        with pytest.raises(DiskFull, match="No such file"):
            layers.end_layer()


def test_a_search_on_a_full_disk_ends_with_a_partial_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    measured = iter([2])
    monkeypatch.setattr("concur.verify.budget.memory_bytes", lambda: next(measured, 0))
    monkeypatch.setattr("concur.verify.large.frontier.KEPT_BYTES_MAX", 0)
    monkeypatch.setattr("concur.verify.large.frontier.tempfile.TemporaryFile", full)
    found = explore(paxos_register(2), budget=Budget(bytes=1), fingerprints=True)
    assert (found.verdict, found.exhausted, found.stopped_by) == ("unknown", False, "disk")
    assert found.unique_states > 0
    assert found.covered.startswith("not exhausted (stopped by disk): ")
    assert "No space left on device after 0 bytes of states" in found.covered
