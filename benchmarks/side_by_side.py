"""The protocols with a log side by side, on three networks: what a command costs, and a crash.

Each runs without faults for the figures of a command, and with one crash of the leader for how long
nobody is served. Figures are medians over the seeds.

    python benchmarks/side_by_side.py [--seeds 3] [--clients 50] [--jobs 2]
"""

import argparse

import canary

from concur.score.compare import Comparison, compare

PROTOCOLS = (
    "unreplicated", "multi-paxos", "raft", "viewstamped-replication",
    "viewstamped-replication-on-disk",
)  # fmt: skip
NETWORKS = {"lan": 2.0, "wan-5": 30.0, "aws-15": 30.0}
"""Virtual seconds of a run, by network."""
REPLICAS = 5
COLUMNS = (
    ("throughput", "commands/s", ",.0f"),
    ("latency_ms_p50", "p50 ms", ".2f"),
    ("latency_ms_p99", "p99 ms", ".2f"),
    ("messages_per_command", "msgs/cmd", ".2f"),
    ("bytes_per_command", "bytes/cmd", ",.0f"),
    ("cpu_us_per_command", "CPU us/cmd", ".1f"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    canary.show()
    for network, seconds in NETWORKS.items():
        runs: list[Comparison] = [
            compare(
                PROTOCOLS,
                network=network,
                replicas=REPLICAS,
                clients=arguments.clients,
                seconds=seconds,
                seeds=range(arguments.seeds),
                faults=faults,
                jobs=arguments.jobs,
            )
            for faults in ("none", "leader-crash")
        ]
        print(
            f"\n{network}: ycsb-a, {REPLICAS} replicas, {arguments.clients} clients, {seconds:g} s,"
            f" seeds 0 to {arguments.seeds - 1}"
        )
        heads = "".join(f"{title:>12}" for _, title, _ in COLUMNS)
        print(f"{'':32}{heads}{'crash, s':>12}  checked")
        for calm, crashed in zip(*(run.rows for run in runs), strict=True):
            cells = "".join(f"{calm.figures[name]:>12{style}}" for name, _, style in COLUMNS)
            assert (calm.valid, crashed.valid) == (True, True), (calm.reason, crashed.reason)
            gone = crashed.figures["unavailable_s"]
            print(f"{calm.protocol:32}{cells}{gone:>12.2f}  {calm.consistency}", flush=True)


if __name__ == "__main__":
    main()
