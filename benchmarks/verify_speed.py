"""How fast `concur.verify` explores: seconds to a verdict, states a second, megabytes.

    python benchmarks/verify_speed.py                 every row; about a minute
    python benchmarks/verify_speed.py paxos-3 ...     some: see the first column

The models are those of `tests/verify`, whose counts are known; each row asserts its own. Each runs
in a process of its own, without reductions except where the row says symmetry, and with the purity
of handlers checked by sampling. `CPU` is processor time and `wall` what passed: they differ on a
busy machine. `MB` is the most memory that the process ever had, interpreter with it. `canary` is a
fixed pure-Python loop in the same process, right after.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import canary

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from concur.verify import Model, explore
from concur.verify.exploration import Strategy
from tests.verify.paxos_register import paxos_register
from tests.verify.two_phase_commit import TwoPhaseCommit

UNIT = 1 if sys.platform == "darwin" else 1024
"""What `ru_maxrss` counts in, bytes."""


class Row(NamedTuple):
    make: Callable[[], Model[Any]]
    unique: int
    transitions: int
    what: str
    target: str
    symmetry: bool = False
    strategy: Strategy = "breadth-first"


ROWS = {
    "paxos-2": Row(lambda: paxos_register(2), 16_668, 32_971, "Paxos register, 2 clients", ""),
    "paxos-3": Row(
        lambda: paxos_register(3),
        1_194_428,
        2_420_477,
        "Paxos register, 3 clients",
        "10 s and 400 MB",
    ),
    "paxos-3-depth": Row(
        lambda: paxos_register(3),
        1_194_428,
        2_420_477,
        "the same, depth-first",
        "",
        strategy="depth-first",
    ),
    "commit-7": Row(
        lambda: TwoPhaseCommit(7), 296_448, 2_744_706, "two-phase commit, 7 managers", ""
    ),
    "commit-8": Row(
        lambda: TwoPhaseCommit(8), 1_745_408, 18_507_778, "two-phase commit, 8 managers", "20 s"
    ),
    "commit-8-symmetry": Row(
        lambda: TwoPhaseCommit(8), 1_461, 15_287, "the same, symmetry", "1 s", symmetry=True
    ),
}


def run(name: str) -> None:
    row = ROWS[name]
    begin = process_time()
    found = explore(row.make(), row.strategy, symmetry=row.symmetry)
    cpu = process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6
    assert found.verdict == "holds", found
    assert (found.unique_states, found.transitions) == (row.unique, row.transitions), found
    rate = found.unique_states / cpu
    print(
        f"{name:18} {row.what:29} {found.unique_states:>10,} {found.transitions:>11,} "
        f"{cpu:6.2f} {found.seconds:6.2f} {rate:>10,.0f} {peak:5.0f}  {canary.loop_s():.3f}  "
        f"{row.target}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--one", action="store_true", help="in this process")
    arguments = parser.parse_args()
    for name in arguments.rows:
        if name not in ROWS:
            parser.error(f"row {name!r}: expected one of {', '.join(ROWS)}")
    if arguments.one:
        run(arguments.rows[0])
        return
    print(
        f"{'row':18} {'model':29} {'unique':>10} {'generated':>11} {'CPU s':>6} {'wall s':>6} "
        f"{'states/s':>10} {'MB':>5}  canary  target"
    )
    for name in arguments.rows or ROWS:
        subprocess.run([sys.executable, __file__, "--one", name], check=True)


if __name__ == "__main__":
    main()
