"""What fingerprints save and what several processes gain in `concur.verify`.

    python benchmarks/verify_parallel.py                 some minutes
    python benchmarks/verify_parallel.py paxos-2 ...     some models: see the first column
    python benchmarks/verify_parallel.py --times 3       each measurement so often, in turn

Three ways to go through the same states breadth-first, each in a process of its own and with its
counts asserted: `exact` keeps every state whole; `fingerprints` has about half of the memory that
`exact` took, and goes on with fingerprints when it is used up; then several processes. `CPU` is
processor time of all processes, `wall` what passed, `MB` the most memory that any one process had,
`bytes` of memory for each state that it kept, without what the interpreter takes. `canary` is a
fixed loop, right before and after, and `load` how many processes wanted a core in the last minute:
with more of them than cores, `wall` says nothing about what several processes gain.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import canary

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from concur.machines.kv import Put
from concur.protocols.paxos import Paxos
from concur.verify import Budget, Model, Scenario, explore
from concur.verify.budget import memory_bytes
from concur.verify.large.parallel import explore_parallel
from tests.verify.paxos_register import paxos_register
from tests.verify.two_phase_commit import TwoPhaseCommit

UNIT = 1 if sys.platform == "darwin" else 1024
"""What `ru_maxrss` counts in, bytes."""

PUTS = ((Put("x", "a"),), (Put("x", "b"),))


class Row(NamedTuple):
    make: Callable[[], Model[Any]]
    unique: int
    transitions: int
    megabytes: int
    """About half of what `exact` takes, the interpreter not counted; 0 where that is so little that
    what is kept besides the states counts."""
    what: str


ROWS = {
    "paxos-2": Row(partial(paxos_register, 2), 16_668, 32_971, 0, "Paxos register, 2 clients"),
    "paxos-3": Row(
        partial(paxos_register, 3), 1_194_428, 2_420_477, 100, "Paxos register, 3 clients"
    ),
    "commit-7": Row(
        partial(TwoPhaseCommit, 7), 296_448, 2_744_706, 0, "two-phase commit, 7 managers"
    ),
    "paxos": Row(
        Scenario(protocol=Paxos(), commands=PUTS, timeouts_max=0).system,
        101_674,
        368_868,
        0,
        "Paxos, 2 proposers",
    ),
}
DEFAULT = ["paxos-3", "commit-7", "paxos"]


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run(name: str, way: str) -> None:
    row = ROWS[name]
    before, begin, idle = canary.loop_s(), cpu_s(), memory_bytes()
    if way == "exact":
        found = explore(row.make(), symmetry=False)
    elif way == "fingerprints":
        budget = Budget(bytes=idle + row.megabytes * 1_000_000)
        found = explore(row.make(), symmetry=False, budget=budget, fingerprints=True)
    else:
        found = explore_parallel(row.make, int(way), symmetry=False)
    cpu = cpu_s() - begin
    counts = found.unique_states, found.transitions
    ended = found.stopped_by or found.verdict
    if not found.stopped_by:
        assert (*counts, ended) == (row.unique, row.transitions, "holds"), found
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = max(usage.ru_maxrss for usage in used) * UNIT
    share = found.unique_states if way in ("exact", "fingerprints") else row.unique / int(way)
    missed = f"{found.missed_below:.0e}" if found.missed_below else "exact"
    words = way if not way.isdecimal() else f"{way} processes"
    print(
        f"{name:9} {row.what:29} {words:13} {found.unique_states:>10,} {cpu:6.2f} "
        f"{found.seconds:6.2f} {peak / 1e6:5.0f} {(peak - idle) / share:6.0f}  {missed:6} "
        f"{ended:7} {before:.3f} {canary.loop_s():.3f} {os.getloadavg()[0]:5.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", help="this way, in this process")
    arguments = parser.parse_args()
    for name in arguments.rows:
        if name not in ROWS:
            parser.error(f"row {name!r}: expected one of {', '.join(ROWS)}")
    if arguments.one:
        run(arguments.rows[0], arguments.one)
        return
    print(
        f"{'row':9} {'model':29} {'way':13} {'unique':>10} {'CPU s':>6} {'wall s':>6} {'MB':>5} "
        f"{'bytes':>6}  missed ended   canary       load"
    )
    for name in arguments.rows or DEFAULT:
        for _ in range(arguments.times):
            for way in ("exact", "fingerprints", str(arguments.processes)):
                if way == "fingerprints" and not ROWS[name].megabytes:
                    continue
                subprocess.run([sys.executable, __file__, "--one", way, name], check=True)


if __name__ == "__main__":
    main()
