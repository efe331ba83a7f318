"""`concur up` and `concur serve` as a person meets them: processes, sockets, signals."""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import refused
from tests.cli.test_process import CONCUR
from tests.processes import hear_ctrl_c

pytestmark = pytest.mark.xdist_group("processes")
GENEROUS_S = 60


class Up:
    """A running `concur up`, and one Redis connection to it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready redis://127.0.0.1:"), (line, process.communicate()[1])
        self.port = int(line.rpartition(":")[2])

    def ask(self, *words: str, port: int = 0) -> bytes:
        """The reply to a command, as it came; retried while the cluster finds a leader."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
        with socket.create_connection(("127.0.0.1", port or self.port), GENEROUS_S) as connection:
            connection.sendall(request.encode())
            return connection.recv(4096)

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Its status, and what it had said on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=GENEROUS_S)
        return self.process.returncode, errors


@contextmanager
def up(*words: str) -> Iterator[Up]:
    process = subprocess.Popen(
        [*CONCUR, "up", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    try:
        yield Up(process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=GENEROUS_S)


def pids(directory: Path) -> list[int]:
    """The processes of the nodes in `directory`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if b"serve" in words and any(w.startswith(bytes(directory)) for w in words):
                found.append(int(entry.parent.name))
    return found


def test_it_serves_survives_kill_9_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with up("raft", "--dir", str(directory)) as cluster:
        assert cluster.ask("SET", "greeting", "hello") == b"+OK\r\n"
        ports = [
            int(re.findall(r'redis = "127.0.0.1:(\d+)"', file.read_text())[0])
            for file in directory.glob("r*/node.toml")
        ]
        assert [cluster.ask("GET", "greeting", port=p) for p in ports] == [b"$5\r\nhello\r\n"] * 3
        before = pids(directory)
        assert len(before) == 3
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        status, errors = cluster.stop()
        assert status == 130
        assert "Traceback" not in errors
    assert pids(directory) == []
    with up("raft", "--dir", str(directory)) as cluster:
        assert cluster.ask("GET", "greeting") == b"$5\r\nhello\r\n"
        assert cluster.stop(signal.SIGTERM)[0] == 128 + signal.SIGTERM
    assert "replicas 5, but it was made with 3" in refused(
        "up", "raft", "--dir", str(directory), "--replicas", "5"
    )
    assert "protocol multi-paxos, but it was made with raft" in refused(
        "up", "multi-paxos", "--dir", str(directory)
    )


def test_a_temporary_folder_is_gone_afterwards() -> None:
    with up("unreplicated") as cluster:
        assert cluster.ask("INCR", "n") == b":1\r\n"
        _, errors = cluster.stop()
    folder = re.findall(r"data and logs in (\S+)", errors)[0]
    assert not Path(folder).exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["up", "no-such"], "protocol 'no-such': unknown"),
        (["up", "raft", "--replicas", "0"], "replicas: 0, expected a whole number of at least 1"),
        (["up", "raft", "-p", "batch_max=0"], "raft.batch_max: 0, expected"),
        (["up", "raft", "--port", "70000"], "--port: 70000, expected a whole number from 0 to"),
        (["serve"], "Missing option '--config'"),
        (["serve", "--config", "no-such.toml"], "No such file or directory, expected a readable"),
    ],
)
def test_bad_input_is_one_clear_line(words: list[str], reason: str) -> None:
    assert reason in refused(*words)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    assert "holds thesis.tex, expected a new" in refused("up", "raft", "--dir", str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done: Any = subprocess.run(
            [*CONCUR, "up", "unreplicated", "--port", str(port), "--dir", str(tmp_path / "d")],
            capture_output=True, text=True, timeout=GENEROUS_S, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
