"""Hunting mutants: which check of the suite, and which seed of a campaign, catches each of them.

    python -m tests.mutants.hunt                    all of them, by campaigns from seed 0 on
    python -m tests.mutants.hunt mutant-p1 ...      some
    python -m tests.mutants.hunt --shrink ...       and the smallest schedule that still shows it
    python -m tests.mutants.hunt --known ...        only the seeds that are on record: no hunt

Prints a table. `suite` is the first check of the conformance suite that fails; `seed` the first of
the campaign that does, after so many runs. A mutant chooses its replicas and parameters. The faults
are those of `concur simulate PROTOCOL --faults all`, unless it names others: such a campaign is
directed, and the unbroken protocol has to pass the same.

A file of this folder registers what a tuple called `..._MUTANTS` in it holds.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from concur.testing import killed_by
from tests.mutants.base import RUNS_MAX, Catch, Mutant, caught_with, hunt, smallest

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


def table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in rows
    )


def main(words: Iterable[str]) -> int:
    words = list(words)
    known, shrinks = "--known" in words, "--shrink" in words
    names = [word for word in words if not word.startswith("--")]
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    rows, missed = [HEADING], 0
    for mutant in chosen:
        catch = caught(mutant, known=known)
        missed += catch is None
        rows.append(row(mutant, catch))
        told = f"NOT caught in {RUNS_MAX} runs"
        if catch is not None:
            told = f"seed {catch.seed}, {catch.seconds:.0f} s: {catch.reason[:200]}"
        print(f"{mutant.name}: {told}", file=sys.stderr, flush=True)
        if shrinks and catch is not None:
            print(smallest(mutant, catch), flush=True)
    print(table(rows))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
