"""How fast the simulator is: message deliveries for each second of real time, on one core.

MultiPaxos with 5 replicas and 50 clients, no batching; cost model, durability, global properties
and history recording are on; no trace file. Then a campaign with one process and with two.

    python benchmarks/simulator_speed.py [--seconds 0.5] [--seeds 8]
"""

import argparse
import time

import canary

from concur import MultiPaxos, Simulation
from concur.simulate import world
from concur.simulate.campaign import campaign


def deliveries_per_second(seconds: float) -> tuple[float, int, int]:
    simulation = Simulation(
        MultiPaxos(batch_max=1), replicas=5, clients=50, network="lan", seed=1, check_every=0
    )
    begin = time.perf_counter()
    run = simulation.run("ycsb-a", seconds=seconds, check=False)
    took = time.perf_counter() - begin
    return run.world_.deliveries / took, run.world_.deliveries, len(run.history_)


def campaign_s(seeds: int, jobs: int) -> float:
    begin = time.perf_counter()
    result = campaign(MultiPaxos(), range(seeds), jobs=jobs, faults="all")
    assert not result.violations, result.violations
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="virtual seconds of the run")
    parser.add_argument("--seeds", type=int, default=24, help="seeds of the campaigns; 0 for none")
    arguments = parser.parse_args()
    print("compiled" if not world.__file__.endswith(".py") else "not compiled")
    for _ in range(3):
        canary.show()
        rate, deliveries, operations = deliveries_per_second(arguments.seconds)
        print(f"{rate:,.0f} deliveries/s ({deliveries:,} deliveries, {operations:,} operations)")
    if not arguments.seeds:
        return
    canary.show()
    campaign_s(2, 2)  # let the workers start
    one, two = campaign_s(arguments.seeds, 1), campaign_s(arguments.seeds, 2)
    print(f"campaign of {arguments.seeds} seeds: {one:.1f} s with --jobs 1, {two:.1f} s with 2")
    print(f"--jobs 2 is {one / two:.2f} times as fast")


if __name__ == "__main__":
    main()
