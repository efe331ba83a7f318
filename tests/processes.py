"""Processes that tests start and interrupt."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def hear_ctrl_c() -> None:
    """For `preexec_fn`: what a shell starts in the background ignores Ctrl-C, and passes it on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def under_hash_seeds(script: str) -> list[str]:
    """What a script prints in two processes with different PYTHONHASHSEED."""
    return [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "20")
    ]  # fmt: skip
