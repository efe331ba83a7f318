"""A node whose disk is damaged begins as wiped and recovers from the others; nothing committed is
lost, and a node of a protocol that cannot bear it refuses to start."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from concur.base import Protocol
from concur.chance import Stream
from concur.machines.kv import Get, Put
from concur.protocols import all_protocols
from concur.protocols.unreplicated import Unreplicated
from concur.serve.client import AsyncClient
from concur.serve.store import Damaged
from tests.serve.memory import GENEROUS_S
from tests.serve.servers import Nodes, nodes

DURABLE = [
    kind
    for kind in all_protocols()
    if kind.tags.log and kind.tags.durable and kind.tags.recovers_wiped and not kind.tags.needs
]


def runs(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), GENEROUS_S))


def damage(cluster: Nodes, name: str, draws: Stream) -> None:
    """Flip one bit in the middle of what the node has written."""
    config = cluster.config(name)
    journal = sorted(config.path(config.directory).glob("journal-*.log"))[-1]
    data = bytearray(journal.read_bytes())
    written = len(data.rstrip(b"\0"))
    data[draws.below(written // 2) + written // 4] ^= 1 << draws.below(8)
    journal.write_bytes(data)


@pytest.mark.parametrize("kind", DURABLE, ids=lambda kind: kind.name)
def test_one_damaged_disk_after_the_other_loses_nothing(
    kind: type[Protocol], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        draws = Stream(3, "damage", kind.name)
        async with (
            nodes(tmp_path, kind()) as cluster,
            await AsyncClient.connect(tmp_path / "cluster") as c,
        ):
            for number, name in enumerate(("r1", "r2", "r3", "r1")):
                await asyncio.gather(*[c.propose(Put(f"{number}.{i}", i)) for i in range(50)])
                await cluster.crash(name)
                damage(cluster, name, draws)
                server = await cluster.start(name)
                assert server.host.places[name].node.began == "wiped"
                await c.propose(Put("newest", number))
                while (
                    await c.read(Get("newest"), consistency="local", node=name) != number
                    or server.host.counters["recovered"] == 0
                ):
                    await asyncio.sleep(0.01)
            for number in range(4):
                found = await asyncio.gather(*[c.read(Get(f"{number}.{i}")) for i in range(50)])
                assert found == [*range(50)]

    runs(main)
    assert caplog.text.count("begins as wiped, and recovers from the others") == 4


def test_where_nobody_else_knows_a_damaged_node_does_not_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            nodes(tmp_path, Unreplicated()) as cluster,
            await AsyncClient.connect(tmp_path / "cluster") as c,
        ):
            await asyncio.gather(*[c.propose(Put(f"k{i}", i)) for i in range(50)])
            await cluster.crash("r1")
            damage(cluster, "r1", Stream(3, "damage"))
            with pytest.raises(Damaged) as refused:
                await cluster.start("r1")
            assert "\n" not in str(refused.value)

    runs(main)
