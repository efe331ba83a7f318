"""Comparisons made up for tests of tables and reports: no simulation runs."""

import math

from concur.chance import Stream
from concur.histories import Verdict
from concur.properties import Violation
from concur.protocols.multi_paxos import MultiPaxos
from concur.protocols.unreplicated import Unreplicated
from concur.score.compare import Comparison, Row, _row
from concur.score.run import BINS, LATENCY_STEPS, Run
from concur.score.setting import setting
from concur.score.story import Shown


def verdict(valid: "bool | str" = True, reason: str = "every read has its write") -> Verdict:
    return Verdict(
        valid=valid,  # type: ignore[arg-type]
        reason=reason,
        algorithm="zones",
        operations=1000,
        steps=0,
        seconds=0.1,
    )


def run(
    index: int,
    seed: int,
    *,
    throughput: float = 100.0,
    p50_ms: float = 10.0,
    valid: "bool | str" = True,
    broken: str = "",
) -> Run:
    stream = Stream(seed, "made", index)
    commands = round(throughput * 10)
    violations = (Violation(broken, "because <b>it</b> did", "r1", 1, 1),) if broken else ()
    middle = int(math.log10(p50_ms * 1e6) * LATENCY_STEPS)
    latencies = {
        middle + shift: max(1, int(commands * math.exp(-((shift / 12) ** 2)) / 20))
        for shift in range(-25, 60)
    }
    return Run(
        index=index,
        seed=seed,
        metrics={
            "commands": commands,
            "throughput": throughput,
            "latency_ms_mean": p50_ms * 1.2,
            "latency_ms_p50": p50_ms,
            "latency_ms_p99": p50_ms * (3 + index % 4),
            "latency_ms_p999": p50_ms * 9,
            "messages_per_command": 4.0 + index,
            "bytes_per_command": 400.0 + 13 * index,
            "cpu_us_per_command": 8.0 + 2 * index,
            "unavailable_s": 0.3 * index,
            "unanswered": 2 * index,
        },
        verdict=verdict(valid),
        violations=violations,
        coverage={},
        timeline=tuple(
            0 if 40 < i < 44 + index else round(throughput / 5 * stream.uniform(0.9, 1.1))
            for i in range(BINS)
        ),
        latencies=latencies,
    )


def row(name: str, index: int, runs: list[Run], *, baseline: bool = False) -> Row:
    protocol = Unreplicated() if baseline else MultiPaxos()
    return _row(name, protocol, tuple(runs))


def configurations(count: int) -> list[Row]:
    """Rows of one protocol with so many values of a parameter."""
    return [
        _row(
            f"multi-paxos (batch_max={index + 1})",
            MultiPaxos(batch_max=index + 1),
            (run(index, 0, throughput=100.0 + index),),
        )
        for index in range(count)
    ]


def comparison(
    rows: list[Row], seeds: tuple[int, ...] = (0,), network: str = "wan-5", faults: int = 2
) -> Comparison:
    told = tuple(Shown(6.0 + 2 * i, 7.5 + 2.2 * i, f"crash of r{i + 1}") for i in range(faults))
    return Comparison(
        setting=setting(network=network, seconds=30.0),
        faults="leader-crash,partition",
        seeds=seeds,
        rows=tuple(rows),
        skipped={"paxos": "decides single values and runs no log of commands"},
        stories=dict.fromkeys(seeds, told),
    )


NAMES = (
    "unreplicated", "multi-paxos", "raft", "viewstamped-replication", "nopaxos", "hydra", "mrtom",
    "jit-paxos", "jit-paxos-2020", "nezha", "mu", "epaxos", "chain-replication", "pigpaxos",
    "compartmentalized-multi-paxos", "fast-paxos", "flexible-paxos", "mencius", "caesar", "atlas",
    "rabia", "zab", "virtual-consensus", "generalized-paxos",
)  # fmt: skip


def many(count: int, seeds: tuple[int, ...] = (0,), faults: int = 2) -> Comparison:
    """So many rows with figures that differ, the first of them a baseline."""
    rows = []
    for index, name in enumerate(NAMES[:count]):
        stream = Stream(index, "made")
        throughput, p50_ms = stream.uniform(80, 900), stream.uniform(20, 250)
        runs = [
            run(
                index,
                seed,
                throughput=throughput * (1 + seed / 100),
                p50_ms=p50_ms * (1 + seed / 50),
            )
            for seed in seeds
        ]
        rows.append(row(name, index, runs, baseline=index == 0))
    return comparison(rows, seeds, faults=faults)
