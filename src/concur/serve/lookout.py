"""What a log must say that no node knows of: slow syncs, clocks that jump, a loop that stalled."""

import logging
import math
import time
from collections import Counter

from concur.serve.durations import Durations

SLOW_SYNC_NS = 100_000_000
"""A sync that takes longer is logged: a leader with such a disk is about to lose its place."""
SLOW_SYNCS_EVERY_S = 10.0
"""No more often than this."""
JUMP_S = 0.5
"""A wall clock that jumps further, or a loop that stands still for longer, is logged."""


class Lookout:
    """Watches the disk and the clocks of a host, and counts in its `counters`."""

    def __init__(self, log: logging.Logger, counters: "Counter[str]") -> None:
        self.sync_times = Durations()
        self._log = log
        self._counters = counters
        self._slow = 0
        self._slow_logged_s = -math.inf
        self._wall_s, self._uptime_s = time.time(), time.monotonic()

    def synced(self, took_ns: int) -> None:
        self._counters["syncs"] += 1
        self.sync_times.note(took_ns)
        if took_ns >= SLOW_SYNC_NS:
            self._slow_sync(took_ns * 1e-6, time.monotonic())

    def _slow_sync(self, took_ms: float, now_s: float) -> None:
        self._slow += 1
        self._counters["slow syncs"] += 1
        if now_s - self._slow_logged_s < SLOW_SYNCS_EVERY_S:
            return
        others = f"; so did {self._slow - 1} since the last such line" if self._slow > 1 else ""
        limit_ms = SLOW_SYNC_NS * 1e-6
        self._log.warning("a sync took %.0f ms, over %.0f%s", took_ms, limit_ms, others)
        self._slow_logged_s, self._slow = now_s, 0

    def compare_clocks(self, expected_s: float) -> None:
        """To be called after `expected_s` of a loop's time, again and again."""
        wall_s, uptime_s = time.time(), time.monotonic()
        passed_s = uptime_s - self._uptime_s
        jump_s = wall_s - self._wall_s - passed_s
        self._wall_s, self._uptime_s = wall_s, uptime_s
        if abs(jump_s) > JUMP_S:
            self._counters["clock jumps"] += 1
            self._log.warning("the wall clock jumped by %+.1f s", jump_s)
        if passed_s > expected_s + JUMP_S:
            self._counters["stalls"] += 1
            self._log.warning("nothing ran here for %.1f s", passed_s - expected_s)
