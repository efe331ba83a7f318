"""Hunting mutants: which check of the suite, and which seed of a campaign, catches each of them.

    python -m tests.mutants.hunt                    all of them, by campaigns from seed 0 on
    python -m tests.mutants.hunt mutant-p1 ...      some
    python -m tests.mutants.hunt --shrink ...       and the smallest schedule that still shows it
    python -m tests.mutants.hunt --known ...        only the seeds that are on record: no hunt
    python -m tests.mutants.hunt --known --markdown    all of it, as docs/mutants.md

Prints a table. `suite` is the first check of the conformance suite that fails; `seed` the first of
the campaign that does, after so many runs. A mutant chooses its replicas and parameters. The faults
are those of `concur simulate PROTOCOL --faults all`, unless it names others: such a campaign is
directed, and the unbroken protocol has to pass the same.

A file of this folder registers what a tuple called `..._MUTANTS` in it holds.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from concur.simulate.shrink import Shrunk
from concur.testing import killed_by
from tests.mutants.base import RUNS_MAX, Catch, Mutant, caught_with, hunt, smallest

ROOT = Path(__file__).parents[2]
HEADING = ("mutant", "replicas", "faults", "suite", "seed", "runs", "breaks")


def registered() -> Iterator[Mutant]:
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem in ("base", "hunt") or file.stem.startswith("test_"):
            continue
        module = import_module(f"tests.mutants.{file.stem}")
        for name, value in vars(module).items():
            if name.endswith("_MUTANTS"):
                yield from value


MUTANTS: tuple[Mutant, ...] = tuple(registered())


def caught(mutant: Mutant, *, known: bool) -> Catch | None:
    """By a hunt from seed 0 on, or with the seed on record."""
    if not known:
        return hunt(mutant)
    if mutant.seed is None:
        return None
    found = caught_with(mutant, mutant.seed)
    return Catch(mutant.seed, mutant.seed + 1, *found[0], 0.0) if found else None


def row(mutant: Mutant, catch: Catch | None) -> tuple[str, ...]:
    killers = killed_by(mutant, first=True)
    found = ("-", "-", "NOT CAUGHT")
    if catch is not None:
        found = (str(catch.seed), str(catch.runs), catch.property)
    return (mutant.name, str(mutant.replicas), mutant.faults, (*killers, "-")[0], *found)


PAGE = """# Mutants

Each is a protocol of Concur with one thing broken that its safety rests on. A test suite says
little until it has been seen to fail; this page says what made it fail. It is written by
`python -m tests.mutants.hunt --known --markdown > docs/mutants.md`, from the seeds on record.

A *hunt* runs seeds from 0 on until a run breaks what the mutant should break. An *ordinary*
campaign has the faults of `concur simulate PROTOCOL --faults all`; a *directed* one has faults
written by hand, in a file of `tests/mutants`, and the unbroken protocol runs the same without an
alarm. Then the run is shrunk: what is left of the faults is shown. *Suite* is the first check of
the conformance suite that fails without any campaign, if one does.
"""


def section(mutant: Mutant, cells: tuple[str, ...], shrunk: Shrunk | None) -> str:
    """A mutant's part of the page."""
    _, replicas, faults, suite, seed, runs, breaks = cells
    campaign = "ordinary"
    if mutant.directed:
        campaign = f"directed, `{Path(faults).resolve().relative_to(ROOT)}`"
    return f"""
## {mutant.name}

{" ".join((type(mutant.protocol).__doc__ or "").split())}

* Made of `{mutant.unbroken!r}`, {replicas} replicas.
* Campaign: {campaign}. Caught with seed {seed}, in run {runs}: {breaks}.
* Suite: {suite}.

```
{shrunk or "no run showed it"}
```"""


def table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in rows
    )


def main(words: Iterable[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.hunt", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="MUTANT")
    parser.add_argument("--known", action="store_true", help="only the seeds on record")
    parser.add_argument("--shrink", action="store_true", help="show the smallest schedules too")
    parser.add_argument("--markdown", action="store_true", help="write docs/mutants.md to stdout")
    given = parser.parse_args(list(words))
    known, markdown, shrinks = given.known, given.markdown, given.markdown or given.shrink
    names = {mutant.name for mutant in MUTANTS}
    if unknown := [name for name in given.names if name not in names]:
        parser.error(f"no mutant {unknown[0]}, expected one of {', '.join(sorted(names))}")
    chosen = [mutant for mutant in MUTANTS if not given.names or mutant.name in given.names]
    rows: list[tuple[str, ...]] = [HEADING]
    missed = 0
    if markdown:
        print(PAGE.rstrip(), flush=True)
    for mutant in chosen:
        catch = caught(mutant, known=known)
        missed += catch is None
        rows.append(row(mutant, catch))
        told = f"NOT caught in {RUNS_MAX} runs"
        if catch is not None:
            told = f"seed {catch.seed}, {catch.seconds:.0f} s: {catch.reason[:200]}"
        print(f"{mutant.name}: {told}", file=sys.stderr, flush=True)
        shrunk = smallest(mutant, catch) if shrinks and catch is not None else None
        if markdown:
            print(section(mutant, rows[-1], shrunk), flush=True)
        elif shrunk:
            print(shrunk, flush=True)
    if not markdown:
        print(table(rows))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
