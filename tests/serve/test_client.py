"""Python clients of real nodes: results, errors, deadlines, and nothing twice."""

import asyncio
import http.server
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines.counter import Add
from concur.machines.counter import Read as ReadCounter
from concur.machines.kv import Append, Get, Put
from concur.machines.redis import (
    Exec,
    ExpireTime,
    GetDelete,
    IncrBy,
    MSet,
    Set,
    SetWith,
)
from concur.messages import encode
from concur.protocols import all_protocols
from concur.protocols.raft import Raft
from concur.serve.client import (
    AsyncClient,
    Client,
    CommandRefused,
    DefiniteError,
    IndefiniteError,
    describe,
)
from concur.serve.config import runs_on_tcp
from concur.serve.tls import door_context
from tests.serve.memory import GENEROUS_S
from tests.serve.servers import nodes
from tests.serve.test_tls import Authority


def runs(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), GENEROUS_S))


@pytest.mark.parametrize(
    "name", [kind.name for kind in all_protocols() if kind.tags.log and not kind.tags.needs]
)
def test_every_log_that_runs_on_tcp_serves_clients(name: str, tmp_path: Path) -> None:
    kind = next(kind for kind in all_protocols() if kind.name == name)
    runs_on_tcp(kind())

    async def main() -> None:
        async with nodes(tmp_path, kind()), await AsyncClient.connect(tmp_path / "cluster") as c:
            await asyncio.gather(*[c.propose(Put(f"k{i}", i)) for i in range(200)])
            assert await asyncio.gather(*[c.read(Get(f"k{i}")) for i in range(200)]) == [
                *range(200)
            ]
            assert await c.read(Get("k7"), consistency="local") in (7, None)
            assert await c.propose(Get("k7")) == 7

    runs(main)


def test_what_the_machine_refuses_is_a_definite_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with nodes(tmp_path), await AsyncClient.connect(tmp_path / "cluster") as c:
            await c.propose(Put("x", 1))
            with pytest.raises(CommandRefused, match="append of str to int") as refused:
                await c.propose(Append("x", "a"))
            assert isinstance(refused.value, DefiniteError)
            with pytest.raises(BadInput, match="expected at most 1024"):
                await c.propose(Put("x" * 2000, 1))
            with pytest.raises(BadInput, match="Put: not read-only, expected propose"):
                await c.read(Put("x", 2))
            with pytest.raises(BadInput, match="consistency 'eventual': expected linearizable or"):
                await c.read(Get("x"), consistency="eventual")

    runs(main)


def test_nothing_happens_twice_though_the_leader_crashes(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            nodes(tmp_path, machine="counter") as cluster,
            await AsyncClient.connect(tmp_path / "cluster") as c,
        ):
            total = 0
            adding = [asyncio.create_task(c.propose(Add(1))) for _ in range(50)]
            for _ in range(3):
                await asyncio.sleep(0)
                leader = await cluster.leader()
                await cluster.crash(leader)
                adding += [asyncio.create_task(c.propose(Add(1))) for _ in range(50)]
                await asyncio.gather(*adding)
                await cluster.start(leader)
            total = len(adding)
            assert await c.read(ReadCounter()) == total

    runs(main)


def test_without_a_majority_a_write_is_indefinite_and_a_read_definite(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            nodes(tmp_path) as cluster,
            await AsyncClient.connect(tmp_path / "cluster") as c,
        ):
            await c.propose(Put("x", 1))
            leader = await cluster.leader()
            for name in list(cluster.servers):
                if name != leader:
                    await cluster.crash(name)
            with pytest.raises(IndefiniteError, match=r"no answer within 0\.2 s"):
                await c.propose(Put("x", 2), deadline_s=0.2)
            with pytest.raises(DefiniteError, match=r"no answer within 0\.2 s"):
                await c.read(Get("x"), deadline_s=0.2)
            assert await c.read(Get("x"), consistency="local") == 1
            for config in cluster.configs:
                if config.node != leader:
                    await cluster.start(config.node)
            assert await c.read(Get("x")) in (1, 2)

    runs(main)


def test_with_nobody_there_what_was_never_sent_is_definite(tmp_path: Path) -> None:
    async def main() -> None:
        async with nodes(tmp_path):
            pass
        async with await AsyncClient.connect(tmp_path / "cluster") as c:
            with pytest.raises(DefiniteError, match="no node answered in time"):
                await c.read(Get("x"), consistency="local", deadline_s=0.1)
            with pytest.raises((IndefiniteError, DefiniteError)):
                await c.propose(Put("x", 1), deadline_s=0.1)
            waiting = asyncio.create_task(c.propose(Put("x", 2)))
            await asyncio.sleep(0)
        with pytest.raises((IndefiniteError, DefiniteError), match="closed"):
            await waiting
        with pytest.raises(DefiniteError, match="the client is closed"):
            await c.propose(Put("x", 3))

    runs(main)


def test_threads_share_a_client_that_has_its_own_loop(tmp_path: Path) -> None:
    async def main() -> None:
        async with nodes(tmp_path):

            def work() -> list[Any]:
                with Client(tmp_path / "cluster") as c:
                    found = [c.propose(Put("x", 1)), c.read(Get("x"))]
                with pytest.raises(DefiniteError, match="closed"):
                    c.read(Get("x"))
                c.close()  # once more does no harm
                return found

            assert await asyncio.to_thread(work) == [None, 1]

    runs(main)


def test_what_no_leader_would_take_is_not_sent_and_what_is_large_travels(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            nodes(tmp_path, Raft(deadline_s=GENEROUS_S), machine="redis"),
            await AsyncClient.connect(tmp_path / "cluster") as c,
        ):
            value = bytes(4 << 20)
            pairs = (b"a", value, b"b", value, b"c", value, b"d", value)
            with pytest.raises(BadInput, match=r"MSet: 16,777,2.. bytes, expected at most 16,777"):
                await c.propose(MSet(pairs))
            await asyncio.gather(*[c.propose(MSet(pairs[:6])) for _ in range(2)])
            asked = [c.propose(Set(b"k%d" % i, bytes(1 << 18))) for i in range(20)]
            asked += [c.propose(GetDelete(b"k%d" % i)) for i in range(20)]
            results = await asyncio.gather(*asked)
            assert [len(r or b"") for r in results] == [0] * 20 + [1 << 18] * 20

    runs(main)


def test_lifetimes_count_from_when_they_are_asked_for(tmp_path: Path) -> None:
    """No gateway tells this cluster the time."""

    async def main() -> None:
        async with (
            nodes(tmp_path, machine="redis"),
            await AsyncClient.connect(tmp_path / "cluster") as c,
        ):
            before = time.time_ns() // 1_000_000
            exec_ = Exec((c.machine.encode(SetWith(b"c", b"1", ttl_ms=5000)),))
            results = await asyncio.gather(
                c.propose(Set(b"a", b"1")),
                c.propose(SetWith(b"b", b"1", ttl_ms=5000)),
                c.propose(IncrBy(b"n", 7)),
            )
            assert results == [None, True, 7]
            assert await c.propose(exec_) == (encode(True),)
            for key in (b"b", b"c"):
                at_ms = await c.read(ExpireTime(key))
                assert before + 5000 <= at_ms <= time.time_ns() // 1_000_000 + 5000

    runs(main)


class Door(http.server.BaseHTTPRequestHandler):
    """The admin address of a node, as far as `describe` asks."""

    status = b'{"cluster": "c", "protocol": "raft", "machine": "kv", "nodes": {"r1": "h:1"}}'

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer secret"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(self.status if known else b"")

    def log_message(self, *_: Any) -> None:
        pass


def test_a_guarded_address_is_asked_with_its_token_and_authority(tmp_path: Path) -> None:
    files = Authority(tmp_path / "ours").certify("r1")
    others = Authority(tmp_path / "theirs").certify("r1")
    with http.server.HTTPServer(("127.0.0.1", 0), Door) as door:
        door.socket = door_context(*files).wrap_socket(door.socket, server_side=True)
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            where = f"https://127.0.0.1:{door.server_address[1]}"
            assert describe(where, files, "secret\n").nodes == {"r1": "h:1"}
            with pytest.raises(BadInput, match="Unauthorized"):
                describe(where, files)
            for tls in (None, others):
                with pytest.raises(BadInput, match="CERTIFICATE_VERIFY_FAILED"):
                    describe(where, tls, "secret")
            with pytest.raises(BadInput, match="expected the admin address"):
                describe(where, files, "two\nlines")
        finally:
            door.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("http://127.0.0.1:1", "Connection refused, expected the admin address of a node"),
        ("nowhere.toml", "No such file or directory, expected a readable TOML file"),
    ],
)
def test_who_cannot_be_described_is_refused_in_one_line(where: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        describe(where)
    assert "\n" not in str(refused.value)
