"""What an explanation of a real fault looks like: the page docs/explained.md.

    python -m tests.mutants.explained                     three mutants, explained
    python -m tests.mutants.explained NAME ...            others
    python -m tests.mutants.explained --markdown > docs/explained.md

Runs the seed on record of mutants whose histories are not linearizable and explains these.
"""

import argparse
import sys
from collections.abc import Iterable

from concur.histories.explanation import Explanation, explain
from concur.histories.models import model
from concur.testing.mutants import Mutant

SHOWN = ("mutant-r9-unbounded-lease", "mutant-r9-lease-and-transfer", "mutant-r9-no-first-entry")

PAGE = """# Histories explained

What `concur check` says of a history that is not linearizable: three real ones, of
[mutants](mutants.md), protocols of Concur with one thing broken. Each history is that of a whole
run, thousands of operations of ten clients on a few keys. It is written by
`python -m tests.mutants.explained --markdown > docs/explained.md`.

Read the picture like this: a row for each process, a bar for each operation from its call to its
answer. Time goes right, in its order but not to scale. The numbers are those of the text. Bars
drawn with `╌` are there to understand the others, and `?` is an outcome that plays no part. The
operation with `╞═ ═╡` has no place; up to the dotted line, just before its answer, the others have
an order.
"""


def explained(mutant: Mutant) -> Explanation:
    """The explanation of what the run on record of a mutant left behind."""
    assert mutant.seed is not None
    run = mutant.case(mutant.seed).run()
    return explain(run.history_, model(run.history_.model), run.verdict_, budget_s=60.0)


def section(mutant: Mutant, found: Explanation) -> str:
    """A mutant's part of the page."""
    return f"""
## {mutant.name}

{" ".join((type(mutant.protocol).__doc__ or "").split())}

`python -m tests.mutants.explained {mutant.name}` prints:

```text
{found}
```"""


def main(words: Iterable[str]) -> int:
    from tests.mutants.hunt import MUTANTS  # which looks into every file of this folder

    parser = argparse.ArgumentParser(prog="python -m tests.mutants.explained", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="MUTANT", default=SHOWN)
    parser.add_argument("--markdown", action="store_true", help="write docs/explained.md to stdout")
    given = parser.parse_args(list(words))
    known = {mutant.name: mutant for mutant in MUTANTS}
    for name in given.names:
        if name not in known or known[name].seed is None:
            parser.error(f"no mutant {name} with a seed, expected one of {', '.join(known)}")
    if given.markdown:
        print(PAGE.rstrip())
    for name in given.names:
        found = explained(known[name])
        print(section(known[name], found) if given.markdown else found, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
