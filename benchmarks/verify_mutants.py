"""How soon `concur.verify` finds what is wrong, and that it finds nothing else.

    python benchmarks/verify_mutants.py                      all, five seeds each; about an hour
    python benchmarks/verify_mutants.py --quick              those that take seconds
    python benchmarks/verify_mutants.py mutant-v1 ...        some
    python benchmarks/verify_mutants.py --seeds 3 --seconds 300 mutant-r1
    python benchmarks/verify_mutants.py --right              only what is right

Each mutant is a protocol with one thing broken; which, within which bounds and by which strategy,
is in `tests/verify/mutants_found.py`. A row has the seeds with which it was found within the time,
the median of wall and processor time and of different states over these, and how many events the
stories had as found (the median) and in the shortest one after each was minimised. Then the right
protocols, and benign changes of them, have the same bounds and time, and nothing may be found.
`canary` is a fixed pure-Python loop in the same process.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from time import process_time
from typing import Any

import canary

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from concur.base import Protocol
from concur.verify import Budget, Scenario, Verification, verify_scenario
from concur.verify.stories.counterexample import Counterexample
from tests.verify.mutants_found import BENIGN, DEPTH, MUTANTS, Found, Way

SEEDS, SECONDS = 5, 120.0
APART = 1_000_000
"""Between the first seeds of two hunts: no walk of one is a walk of another."""
COLUMNS = "{:4} {:32} {:10} {:>5} {:>8} {:>8} {:>10}  {}"
HEADING = ("bug", "protocol", "way", "found", "wall s", "CPU s", "states", "events")


def looked_for(
    scenario: Scenario, way: Way, seconds: float, seed: int
) -> tuple[Verification, float]:
    """What a search comes to, and its processor time."""
    begin = process_time()
    answer = verify_scenario(
        scenario, strategy=way, budget=Budget(seconds), seed=seed, bug_depth=DEPTH
    )
    return answer, process_time() - begin


def hunted(found: Found, seeds: int, seconds: float) -> bool:
    """One row. Whether every seed found it."""
    took: list[tuple[float, float, int, int]] = []
    shortest: int | None = None
    for number in range(seeds):
        scenario = found.scenario()
        answer, cpu = looked_for(scenario, found.way, seconds, number * APART)
        if answer.verdict == "violated":
            took.append((answer.seconds, cpu, answer.unique_states, len(answer.trace)))
            story = Counterexample.of(scenario, answer).minimised()
            shortest = min(len(story.events), shortest or len(story.events))
    cells = ["-", "-", "-", "-"]
    if took:
        middle = [statistics.median(column) for column in zip(*took, strict=True)]
        cells = [f"{middle[0]:.2f}", f"{middle[1]:.2f}", f"{middle[2]:,.0f}"]
        cells.append(f"{middle[3]:.0f} -> {shortest}")
    share = f"{len(took)}/{seeds}"
    print(COLUMNS.format(found.number, found.name, found.way, share, *cells), flush=True)
    return len(took) == seeds


def right(protocol: Protocol, bounds: dict[str, Any], way: Way, seconds: float) -> bool:
    """One row for a protocol in which nothing is wrong. Whether nothing was found."""
    scenario = Scenario(protocol=protocol, **bounds)
    answer, cpu = looked_for(scenario, way, seconds, 0)
    verdict = "WRONG" if answer.verdict == "violated" else "-"
    wall, states = f"{answer.seconds:.2f}", f"{answer.unique_states:,}"
    row = ("", protocol.label, way, verdict, wall, f"{cpu:.2f}", states, answer.reason)
    print(COLUMNS.format(*row).rstrip(), flush=True)
    return answer.verdict != "violated"


def main(words: Iterable[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="MUTANT")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each search")
    parser.add_argument("--quick", action="store_true", help="only what takes seconds")
    parser.add_argument("--right", action="store_true", help="only what is right")
    given = parser.parse_args(list(words))
    known = {found.name for found in MUTANTS}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no mutant {unknown[0]}, expected one of {', '.join(sorted(known))}")
    chosen = [
        found
        for found in MUTANTS
        if (not given.names or found.name in given.names) and (found.is_quick or not given.quick)
    ]
    missed = 0
    print(COLUMNS.format(*HEADING))
    if not given.right:
        for found in chosen:
            missed += not hunted(found, given.seeds, given.seconds)
    for found in chosen:
        missed += not right(found.unbroken, found.bounds, found.way, given.seconds)
    if not given.names:
        for protocol, bounds in BENIGN:
            missed += not right(protocol, bounds, "walks", given.seconds)
    print(f"canary {canary.loop_s():.2f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
