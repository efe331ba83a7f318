"""`concur status` and `concur admin`: what they print, and with which status."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.raft import Raft
from tests.cli.helpers import concur, concur_json, refused
from tests.serve.memory import GENEROUS_S
from tests.serve.standing import Standing

QUICK: dict[str, Any] = {"election_timeout_s": (0.05, 0.1), "heartbeat_s": 0.02, "retry_s": 0.1}


class Running:
    """Three nodes in a thread, each with a door, and the folder that `concur up` would leave."""

    def __init__(self, folder: Path, protocol: Any, **listen: str) -> None:
        self.folder = folder
        self._listen = listen
        self.addresses: list[str] = []
        self._protocol = protocol
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._started.wait(GENEROUS_S)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.standing = Standing(self._protocol, self.folder, **self._listen)
        for at in range(3):
            await self._open(at)
        self._started.set()
        await self._end.wait()
        await self.standing.close()

    async def _open(self, at: int) -> None:
        """Each node has a folder and a token of its own."""
        folder = self.folder / f"r{at + 1}"
        (folder / "storage").mkdir(parents=True)
        self.standing.config = _based(self.standing.config, folder)
        _, address = await self.standing.open(at)
        self.addresses.append(address)
        nodes = "".join(f'r{i} = "127.0.0.1:{7100 + i}"\n' for i in (1, 2, 3))
        (folder / "node.toml").write_text(
            f'cluster = "orders"\nnode = "r{at + 1}"\nprotocol = "{self._protocol.name}"\n'
            f'machine = "kv"\ndirectory = "storage"\n[nodes]\n{nodes}'
            f'[listen]\nadmin = "{address}"\n[security]\n'
            + "".join(f'{name} = "{file}"\n' for name, file in self._listen.items())
        )
        while await self.standing.doors[at].readiness.why_not():
            await asyncio.sleep(0)

    def token(self, at: int) -> Path:
        return self.folder / f"r{at + 1}" / "storage" / "admin-token"

    def close_door(self, at: int) -> None:
        door = self.standing.doors[at]
        asyncio.run_coroutine_threadsafe(door.stop(), self.loop).result(GENEROUS_S)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(GENEROUS_S)


def _based(config: Any, folder: Path) -> Any:
    from msgspec.structs import replace

    return replace(config, base=str(folder))


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("raft"), Raft(**QUICK))
    yield running
    running.stop()


@pytest.fixture
def paxos(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, MultiPaxos(**QUICK))
    yield running
    running.stop()


def _silent_port() -> int:
    """One where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- status ---------------------------------------------------------------------------------------


def test_a_row_for_each_node(raft: Running) -> None:
    done = concur("status", "--dir", str(raft.folder))
    assert done.exit_code == 0, done.output
    heading, names, *rows = done.stdout.splitlines()
    assert heading == "orders: raft, machine kv"
    assert names.split() == ["node", "state", "leader", "began", "executed", "journal", "MB", "up",
                             "sync", "ms"]  # fmt: skip
    assert [row.split()[:2] for row in rows] == [[f"r{i}", "ready"] for i in (1, 2, 3)]
    assert sum(" itself " in row for row in rows) == 1
    assert all(" new " in row and " 2.0 " in row for row in rows)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_addresses_do_without_a_folder_and_json_says_all(raft: Running) -> None:
    found = concur_json("status", raft.addresses[1], f"http://{raft.addresses[0]}/")
    assert found["ready"] is True
    assert [node["node"] for node in found["nodes"]] == ["r2", "r1"]
    assert found["nodes"][0].keys() >= {
        "state", "why", "address", "leader", "is_leader", "began", "executed", "journal_bytes",
        "uptime_s", "sync_ms_p50", "counters", "links",
    }  # fmt: skip


def test_a_node_that_is_down_has_a_row_and_gives_status_1(raft: Running) -> None:
    gone = f"127.0.0.1:{_silent_port()}"
    done = concur("status", gone, raft.addresses[0])
    assert done.exit_code == 1
    assert f"{gone}  down" in done.stdout
    assert done.stderr == f"concur: {gone} is down: {gone}: Connection refused\n"
    found = concur_json("status", gone, status=1)
    assert found == {
        "ready": False,
        "nodes": [{"node": "", "address": gone, "state": "down",
                   "why": f"{gone}: Connection refused"}],
    }  # fmt: skip


def test_a_node_that_is_not_ready_says_why(raft: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from concur.serve.readiness import Readiness

    async def why_not(self: Readiness) -> str:
        return "it knows no leader"

    monkeypatch.setattr(Readiness, "why_not", why_not)
    done = concur("status", raft.addresses[0])
    assert done.exit_code == 1
    assert "not ready" in done.stdout
    assert done.stderr == "concur: r1 is not ready: it knows no leader\n"


def test_what_answers_may_be_something_else(raft: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            line.recv(1000)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            line.close()

        other = threading.Thread(target=answer)
        other.start()
        done = concur("status", f"127.0.0.1:{server.getsockname()[1]}")
        other.join(GENEROUS_S)
    assert done.exit_code == 1
    assert "no admin door of Concur answers" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected the ADDRESS of an admin door, or --dir"),
        (("127.0.0.1:1", "--dir", "."), "expected the ADDRESS of an admin door, or --dir"),
        (("nowhere",), "expected host:port"),
        (("ftp://127.0.0.1:1",), "expected host:port, or http:// or https://"),
        (("--dir", "no-such-folder"), "no node.toml there"),
        (("127.0.0.1:1", "--token-file", "none"), "token file none: No such file"),
        (("https://127.0.0.1:1", "--authority", "none"), "--authority none: cannot be read"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("status", *arguments)


def test_a_certificate_is_checked(tmp_path: Path) -> None:
    ca, other = trustme.CA(), trustme.CA()
    for name, authority in (("ca", ca), ("other", other)):
        authority.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    issued = ca.issue_cert("r1")
    issued.private_key_pem.write_to_path(tmp_path / "key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate")
    running = Running(tmp_path, Raft(**QUICK), certificate=str(tmp_path / "certificate"),
                      key=str(tmp_path / "key"))  # fmt: skip
    try:
        address = f"https://{running.addresses[0]}"
        trusted = ("--authority", str(tmp_path / "ca.pem"))
        assert concur("status", address, *trusted).exit_code == 0
        assert concur("status", "--dir", str(tmp_path), *trusted).exit_code == 0
        for wrong in ((), ("--authority", str(tmp_path / "other.pem"))):
            done = concur("status", address, *wrong)
            assert done.exit_code == 1
            assert "certificate verify failed" in done.stderr
        assert concur("status", running.addresses[0]).exit_code == 1
    finally:
        running.stop()


# --- admin ----------------------------------------------------------------------------------------


def test_leadership_is_handed_over_by_any_node(raft: Running) -> None:
    for to in ("r3", "r1"):
        done = concur("admin", "leader", to, raft.addresses[1], "--token-file", str(raft.token(1)))
        assert (done.exit_code, done.stdout) == (0, f"{raft.addresses[1]}: {to} leads\n")
        nodes = concur_json("status", "--dir", str(raft.folder))["nodes"]
        assert [node["node"] for node in nodes if node["is_leader"]] == [to]


def test_snapshots_are_taken_of_all_or_one(raft: Running) -> None:
    done = concur("admin", "snapshot", "--dir", str(raft.folder))
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3
    found = concur_json("admin", "snapshot", "--dir", str(raft.folder), "--node", "r2")
    assert [node["node"] for node in found["nodes"]] == ["r2"]
    assert found["done"] is True


def test_what_a_protocol_cannot_do_is_bad_input(paxos: Running) -> None:
    said = refused("admin", "leader", "r2", "--dir", str(paxos.folder))
    assert "multi-paxos does not hand over leadership" in said


def test_a_node_that_is_down_is_passed_over_or_told_of(paxos: Running) -> None:
    paxos.close_door(0)
    assert "multi-paxos" in refused("admin", "leader", "r2", "--dir", str(paxos.folder))
    done = concur("admin", "snapshot", "--dir", str(paxos.folder))
    assert done.exit_code == 1
    assert done.stderr.startswith("concur: r1: down: ")
    assert len(done.stdout.splitlines()) == 2


def test_a_wrong_token_is_refused(raft: Running) -> None:
    wrong = raft.folder / "wrong"
    wrong.write_text("wrong\n")
    said = refused("admin", "snapshot", raft.addresses[0], "--token-file", str(wrong))
    assert "expected the header Authorization" in said
    assert "expected --token-file FILE" in refused("admin", "snapshot", raft.addresses[0])
    assert "expected one of r1, r2, r3" in refused("admin", "leader", "x y", "--dir",
                                                   str(raft.folder))  # fmt: skip
    assert "--node r9" in refused("admin", "snapshot", "--dir", str(raft.folder), "--node", "r9")


@pytest.mark.parametrize(
    ("error", "code"), [("definite", 1), ("indefinite", 3), ("down", 1)], ids=str
)
def test_what_did_not_happen_and_what_nobody_knows_differ(
    raft: Running, monkeypatch: pytest.MonkeyPatch, error: str, code: int
) -> None:
    from concur.cli import admin

    monkeypatch.setattr(admin, "act", lambda door, target: {
        "node": "r1", "address": door.address, "outcome": error, "error": "why"})  # fmt: skip
    done = concur("admin", "leader", "r2", raft.addresses[0])
    assert (done.exit_code, done.stderr) == (code, f"concur: r1: {error}: why\n")


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["up", "serve", "status", "admin", "admin leader",
                                  "admin snapshot"])  # fmt: skip
def test_help_shows_an_example(verb: str) -> None:
    done = concur(*verb.split(), "--help")
    assert done.exit_code == 0
    assert f"concur {verb}" in done.stdout.partition("Example")[2]


def test_json_is_plain(raft: Running) -> None:
    done = concur("status", raft.addresses[0], "--json")
    assert json.loads(done.stdout)["ready"] is True
    assert done.stderr == ""
