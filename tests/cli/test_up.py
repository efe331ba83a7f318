"""`concur up` and `concur serve` as a person meets them: processes, sockets, signals."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
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

    def hear(self, words: str) -> str:
        """The next line on stderr with these words."""
        assert self.process.stderr is not None
        return next(line for line in self.process.stderr if words in line)

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


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


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


def test_a_protocol_without_a_disk_says_what_is_lost_and_that_it_is(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    with up("viewstamped-replication", "--dir", directory) as cluster:
        assert cluster.ask("SET", "greeting", "hello") == b"+OK\r\n"
        _, errors = cluster.stop()
    told = "keeps data in memory only: it is lost when a majority of the nodes stops at once"
    assert len([line for line in errors.splitlines() if told in line]) == 1
    log = (tmp_path / "data" / "r1" / "log").read_text()
    assert [line for line in log.splitlines() if "WARNING" in line and told in line]
    begun = time.monotonic()
    assert "nobody is left to recover it from" in refused(
        "up", "viewstamped-replication", "--dir", directory
    )
    assert time.monotonic() - begun < GENEROUS_S / 4, "at once, and not after waiting for it"


def test_a_node_that_cannot_begin_again_is_tried_again(tmp_path: Path) -> None:
    """While the others serve: what hinders it may be gone in a while."""
    directory = tmp_path / "data"
    with up("raft", "--dir", str(directory)) as cluster:
        told = directory / "r2" / "node.toml"
        right = told.read_text()
        told.write_text(right + "[nonsense]\n")
        [pid] = [pid for pid in pids(directory) if b"r2/node.toml" in command(pid)]
        os.kill(pid, signal.SIGKILL)
        said = cluster.hear("r2 does not start: ")
        assert "nonsense" in said
        assert said.endswith("tried again in 0.5 s\n")
        assert cluster.hear("r2 does not start: ").endswith("tried again in 1 s\n")
        assert cluster.ask("SET", "greeting", "hello") == b"+OK\r\n"
        told.write_text(right)
        port = int(re.findall(r'redis = "127.0.0.1:(\d+)"', right)[0])
        assert answer_of_one_that_begins(cluster, port) == b"$5\r\nhello\r\n"
        assert cluster.stop()[0] == 130


def answer_of_one_that_begins(cluster: Up, port: int) -> bytes:
    end = time.monotonic() + GENEROUS_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            said = cluster.ask("GET", "greeting", port=port)
            if said[:1] == b"$":
                return said
    return b""


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


def test_a_folder_is_for_one_at_a_time_and_killing_it_leaves_no_nodes(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with up("unreplicated", "--dir", str(directory)) as cluster:
        assert "another concur up runs there" in refused(
            "up", "unreplicated", "--dir", str(directory)
        )
        assert cluster.ask("SET", "a", "1") == b"+OK\r\n"
        cluster.process.kill()
        cluster.process.wait()
        deadline = time.monotonic() + GENEROUS_S
        while pids(directory) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pids(directory) == []


def test_a_secret_that_is_missing_is_said_before_anything_is_opened(tmp_path: Path) -> None:
    config = tmp_path / "r1.toml"
    config.write_text(
        'cluster = "c"\nnode = "r1"\nprotocol = "unreplicated"\ndirectory = "s"\n'
        '[nodes]\nr1 = "127.0.0.1:1"\n[listen]\npeers = "127.0.0.1:0"\nredis = "127.0.0.1:0"\n'
        '[security]\npassword_file = "none"\n'
    )
    done = subprocess.run(
        [*CONCUR, "serve", "--config", str(config), "--init"],
        capture_output=True, text=True, timeout=GENEROUS_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done
    assert "none: No such file or directory, expected a readable file" in done.stderr
    assert "Traceback" not in done.stderr
