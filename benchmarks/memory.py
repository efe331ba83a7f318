"""Memory of long runs: does compaction keep a million commands in bounded space?

Runs MultiPaxos for more and more commands without recording a history (which grows with what it
records, by design) and prints the process's peak memory after each tenth.

    python benchmarks/memory.py [--commands 1000000]
"""

import argparse
import resource
import sys

import canary

from concur import MultiPaxos, Simulation
from concur.simulate.load import Load

UNIT = 1 if sys.platform == "darwin" else 1024


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=int, default=1_000_000)
    arguments = parser.parse_args()
    canary.show()
    tenth = arguments.commands // 10
    original = Load.completed
    seen = 0

    def counted(self: Load, id: str, op: int, outcome: object, time: int) -> None:
        nonlocal seen
        seen += 1
        if seen % tenth == 0:
            print(f"{seen:>9,} commands: peak {peak_mb():,.0f} MB", flush=True)
        if seen == arguments.commands:
            self.world.halt()
            self.until_ns = 0
        original(self, id, op, outcome, time)  # type: ignore[arg-type]

    Load.completed = counted  # type: ignore[method-assign]
    print(f"        0 commands: peak {peak_mb():,.0f} MB")
    simulation = Simulation(
        MultiPaxos(), replicas=3, clients=50, network="lan", seed=1, check_every=0, record=False
    )
    simulation.run("ycsb-a", seconds=arguments.commands / 10_000, check=False)


if __name__ == "__main__":
    main()
