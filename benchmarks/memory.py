"""Memory of long runs: does compaction keep a million commands in bounded space?

Runs MultiPaxos with 3 replicas for more and more commands, each run in a process of its own and
without recording a history (which grows with what it records, by design), and prints the peak
memory of the process. What still grows is the measurement: 16 bytes a command for two samples, and
some 80 more while they are sorted at the end.

    python benchmarks/memory.py [--commands 1000000]
"""

import argparse
import resource
import subprocess
import sys

import canary

from concur import MultiPaxos, Simulation

UNIT = 1 if sys.platform == "darwin" else 1024
"""What `ru_maxrss` counts in, bytes."""

RATE = 1_000
"""Commands a second of virtual time: 50 clients at a rate of 20."""


def run(commands: int) -> None:
    simulation = Simulation(
        MultiPaxos(), replicas=3, clients=50, network="lan", seed=1, check_every=0, record=False
    ).run(f"ycsb-a:rate={RATE // 50}", seconds=commands / RATE)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6
    done = int(simulation.metrics_["commands"])
    print(f"{done:>9,} commands: peak {peak_mb:,.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--one", action="store_true", help="only this many, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        run(arguments.commands)
        return
    canary.show()
    for share in (100, 10, 1):
        commands = str(arguments.commands // share)
        subprocess.run([sys.executable, __file__, "--one", "--commands", commands], check=True)


if __name__ == "__main__":
    main()
