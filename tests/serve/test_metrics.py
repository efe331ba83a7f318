"""Metrics are those of the node, and are read when somebody asks."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.raft import Raft
from concur.protocols.unreplicated import Unreplicated
from concur.serve import lookout
from concur.serve.durations import Durations
from concur.serve.lookout import Lookout
from tests.serve.standing import Standing, ask

QUICK: dict[str, Any] = {"election_timeout_s": (0.05, 0.1), "heartbeat_s": 0.02, "retry_s": 0.1}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scraped(address: str) -> Samples:
    status, body = await ask(address, "GET /metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"concur_{name}", tuple(sorted(labels.items()))]


@pytest.mark.parametrize("protocol", [Raft(**QUICK), MultiPaxos(**QUICK), Unreplicated()],
                         ids=lambda p: p.name)  # fmt: skip
def test_metrics_say_what_a_node_did(tmp_path: Path, protocol: Any) -> None:
    async def main() -> None:
        standing = Standing(protocol, tmp_path)
        doors = [(await standing.open(at))[1] for at in range(len(standing.cluster.hosts))]
        await standing.put("x", 1)
        nodes = [await scraped(address) for address in doors]
        assert sum(value(n, "is_leader") for n in nodes) == 1
        leader = max(nodes, key=lambda n: value(n, "is_leader"))
        assert value(leader, "executed_commands") >= 1
        for name in ("turns_total", "steps_total", "syncs_total"):
            assert value(leader, name) >= 1
        assert (value(leader, "messages_sent_total") >= 1) == (len(nodes) > 1)
        assert value(leader, "sync_seconds_count") == value(leader, "syncs_total")
        assert value(leader, "sync_seconds_bucket", le="+Inf") == value(leader, "syncs_total")
        assert value(leader, "sync_seconds_sum") > 0
        assert value(leader, "inbox_length") >= 0
        assert value(leader, "journal_bytes") == 2_000_000
        assert value(leader, "journal_segments") == 2
        assert value(leader, "messages_dropped_total", reason="queue_full") == 3
        if len(nodes) > 1:
            assert value(leader, "link_up", peer="r2") == 1
            assert value(leader, "link_up", peer="r3") == 0
        assert ("concur_link_up", (("peer", "c9"),)) not in leader
        assert value(leader, "failed") == 0
        assert any(name.startswith("python_gc_") for name, _ in leader)
        assert value(leader, "node_info", cluster="orders", machine="kv", node=_who(leader),
                     protocol=protocol.name) == 1  # fmt: skip
        await standing.close()

    asyncio.run(main())


def _who(samples: Samples) -> str:
    return next(dict(labels)["node"] for name, labels in samples if name == "concur_node_info")


def test_a_scrape_sees_what_happened_since_the_last_one(tmp_path: Path) -> None:
    async def main() -> None:
        standing = Standing(Unreplicated(), tmp_path)
        _, address = await standing.open()
        seen = []
        for number in range(3):
            await standing.put("x", number)
            seen.append(value(await scraped(address), "executed_commands"))
        assert seen == [2, 3, 4]  # a session was opened first
        await standing.close()

    asyncio.run(main())


def test_another_leader_is_counted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "concur.serve.host")

    async def main() -> None:
        standing = Standing(Raft(**QUICK), tmp_path)
        _, address = await standing.open()
        await standing.put("x", 1)
        node: Any = standing.cluster.hosts[0].places["r1"].node
        while not node.leader:
            await asyncio.sleep(0)
        await standing.put("x", 2)
        assert value(await scraped(address), "leader_changes_total") >= 1
        await standing.close()

    asyncio.run(main())
    assert any(f"{id}: leads" in line for line in caplog.messages for id in ("r1", "r2", "r3"))
    assert any(": follows r" in line for line in caplog.messages)


# --- durations ------------------------------------------------------------------------------------


def test_durations_are_counted_in_buckets_that_double() -> None:
    times = Durations()
    for duration_ns in (0, 999, 1000, 3_000_000, 10**12):
        times.note(duration_ns)
    assert times.count == 5
    assert times.total_ns == 10**12 + 3_001_999
    bounds = dict(times.buckets())
    assert bounds[1e-6] == 2
    assert bounds[2e-6] == 3
    assert bounds[4096e-6] == 4
    assert bounds[float("inf")] == 5


def test_quantiles_are_right_to_within_their_bucket() -> None:
    times = Durations()
    assert times.quantile_s(0.5) is None
    for ms in range(1, 101):
        times.note(ms * 1_000_000)
    for share in (0.1, 0.5, 0.9, 0.99):
        found = times.quantile_s(share)
        assert found is not None
        assert share * 0.1 / 2 <= found <= share * 0.1 * 2


# --- lookout --------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.wall_s = 1e9
        self.uptime_s = 5.0

    def time(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.uptime_s

    def passes(self, seconds: float, jump_s: float = 0.0) -> None:
        self.uptime_s += seconds
        self.wall_s += seconds + jump_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lookout, "time", made)
    return made


def test_slow_syncs_are_logged_now_and_then(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    counters: Counter[str] = Counter()
    watch = Lookout(logging.getLogger("concur.serve.host"), counters)
    for _ in range(100):
        watch.synced(150_000_000)
        watch.synced(1_000_000)
        clock.passes(0.15)
    assert counters == {"syncs": 200, "slow syncs": 100}
    assert caplog.messages == [
        "a sync took 150 ms, over 100",
        "a sync took 150 ms, over 100; so did 66 since the last such line",
    ]


def test_clocks_that_jump_and_a_loop_that_stalls_are_logged(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    counters: Counter[str] = Counter()
    watch = Lookout(logging.getLogger("concur.serve.host"), counters)
    for passed_s, jump_s in ((1.0, 0.0), (1.1, 0.1), (1.0, -30.0), (20.0, 0.0), (1.0, 0.0)):
        clock.passes(passed_s, jump_s)
        watch.compare_clocks(1.0)
    assert counters == {"clock jumps": 1, "stalls": 1}
    assert caplog.messages == ["the wall clock jumped by -30.0 s", "nothing ran here for 19.0 s"]
