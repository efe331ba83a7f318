"""Processes of servers: started, pinned, measured through /proc, and ended."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
STOP_S_MAX = 10.0


class Absent(Exception):
    """A system cannot run here; the reason is for people."""


class Broken(Exception):
    """A system that should run does not."""


class Process:
    """One server process. Its output goes to `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        """`talks`: its standard input and output are ours, line by line."""
        self.name = name
        self.command = list(command)
        self.log = log
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                stdin=pipe,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for us, who then end them
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """kill -9."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> None:
        if self.running:
            self.popen.terminate()
            try:
                self.popen.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                stream.close()

    def last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return lines[-1] if lines else "nothing"


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, all its threads together, and its children that have
    ended, such as those that write snapshots."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory now and at its highest."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(rest.split()[0]) / 1024
    return found["VmRSS"], found["VmHWM"]


def pin(pid: int, cpus: Iterable[int]) -> None:
    """Let all threads of a process run on `cpus` only; threads that it starts later inherit it."""
    wanted = set(cpus)
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), wanted)


def folder_mb(folder: Path) -> float:
    """What the files of a folder take on the disk."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:  # compacted meanwhile
            continue
    return total / 1e6


def wait_for(
    what: str, condition: Callable[[], bool], seconds: float, processes: Iterable[Process]
) -> None:
    """Poll until `condition()` is true. Raises Broken if a process ends, or time does."""
    deadline = time.monotonic() + seconds
    while not condition():
        for process in processes:
            if not process.running:
                how = process.popen.returncode
                raise Broken(f"{process.name} ended with {how}: {process.last_words()}")
        if time.monotonic() > deadline:
            raise Broken(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
