"""Printed beside every absolute figure: how fast this machine is right now.

Machines are noisy, and a figure without a canary says as much about the neighbours as about us.
"""

import os
import tempfile
import time


def loop_s() -> float:
    """Seconds for a fixed pure-Python loop of five million additions."""
    begin = time.perf_counter()
    total = 0
    for i in range(5_000_000):
        total += i
    return time.perf_counter() - begin


def fsync_ms(times: int = 20) -> float:
    """Median milliseconds of an fsync of 4 KiB in the current folder."""
    took = []
    with tempfile.NamedTemporaryFile(dir=".") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            begin = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - begin) * 1e3)
    return sorted(took)[times // 2]


def show() -> None:
    print(f"canary: five million additions in {loop_s():.3f} s")
