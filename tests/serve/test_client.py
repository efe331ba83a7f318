"""Python clients of real nodes: results, errors, deadlines, and nothing twice."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines.counter import Add
from concur.machines.counter import Read as ReadCounter
from concur.machines.kv import Append, Get, Put
from concur.protocols import all_protocols
from concur.serve.client import (
    AsyncClient,
    Client,
    CommandRefused,
    DefiniteError,
    IndefiniteError,
    describe,
)
from concur.serve.config import runs_on_tcp
from tests.serve.memory import GENEROUS_S
from tests.serve.servers import nodes


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
