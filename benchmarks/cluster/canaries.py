"""How fast this machine is right now, printed beside every figure."""

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SYNCS = 15
ADDITIONS = 1_000_000


class Canary(NamedTuple):
    sync_ms: float
    """Median of an append of 4 KiB and fdatasync, where the servers keep their logs."""
    loop_ms: float
    """A million additions in Python."""


def look(folder: Path) -> Canary:
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            begin = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begin) * 1e3)
    begin = time.perf_counter()
    total = 0
    for i in range(ADDITIONS):
        total += i
    return Canary(sorted(took)[SYNCS // 2], (time.perf_counter() - begin) * 1e3)
