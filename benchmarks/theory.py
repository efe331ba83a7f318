"""Throughput of MultiPaxos against the cost model's closed form.

A saturated node handles one message at a time. An unreplicated server handles 2 messages a command;
a MultiPaxos leader handles 2N: the request, N-1 accepts out, N-1 answers in, the reply. With
batches of b commands it is 2 + 2(N-1)/b. So MultiPaxos should reach 1/N of Unreplicated, or
2 / (2 + 2(N-1)/b) with batching. Bytes are free here; so is waiting, for there are enough clients.

    python benchmarks/theory.py [--clients 400] [--seconds 0.2]
"""

import argparse

import canary

from concur import MultiPaxos, Simulation, Unreplicated
from concur.base import Protocol
from concur.protocols.multi_paxos.recovery import Replica
from concur.simulate.costs import Costs, Cpu, Disk

COSTS = Costs(server=Cpu(receive_ns=2_000, send_ns=2_000, byte_ps=0), disk=Disk(20_000, 0))


def throughput(protocol: Protocol, replicas: int, clients: int, seconds: float) -> Simulation:
    simulation = Simulation(
        protocol,
        replicas=replicas,
        clients=clients,
        network="lan",
        seed=1,
        costs=COSTS,
        check_every=0,
        record=False,
    )
    return simulation.run("ycsb-a:reads=0,updates=1", seconds=seconds, warmup_s=seconds / 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=0.2, help="virtual seconds of each run")
    arguments = parser.parse_args()
    canary.show()
    bound = throughput(Unreplicated(), 1, arguments.clients, arguments.seconds)
    base = bound.metrics_["throughput"]
    print(f"unreplicated: {base:,.0f}/s; closed form {1e9 / 4_000:,.0f}/s")
    print(" N  batch   commands/s  relative  closed form    error")
    for replicas in (3, 5, 7, 9):
        for batch in (1, 4, 16, 64):
            run = throughput(
                MultiPaxos(batch_max=batch), replicas, arguments.clients, arguments.seconds
            )
            rate = run.metrics_["throughput"]
            leader = run.world_.places["r1"].node
            assert isinstance(leader, Replica)
            size = leader.executed / leader.committed  # commands for each slot
            expected = 2 / (2 + 2 * (replicas - 1) / max(size, 1))
            error = rate / base / expected - 1
            print(
                f"{replicas:2} {size:6.1f} {rate:12,.0f} {rate / base:9.3f} {expected:12.3f} "
                f"{error:+8.1%}"
            )


if __name__ == "__main__":
    main()
