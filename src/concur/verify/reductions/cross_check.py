"""Do the reductions leave out too much? The same bounds with each of them, and with none.

Whatever is left out, the verdict must stay, and every combination of local states and observed
value must still be reached: that is all a property can speak of.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Literal

import msgspec

from concur.verify.budget import Budget, Meter, Progress
from concur.verify.reductions.interchangeable import symmetry_of
from concur.verify.reductions.reduced import REDUCTIONS, Search
from concur.verify.scenario import Scenario


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One exploration. `combinations` counts what was reached, `lost` what was reached without
    reductions and is missing here, `added` what is here and was not reached there. With symmetry,
    images of what was reached count as reached, and `added` is 0."""

    reductions: tuple[str, ...]
    verdict: Literal["holds", "violated", "unknown"]
    property: str
    unique_states: int
    transitions: int
    seconds: float
    combinations: int
    lost: int
    added: int


class CrossCheck(msgspec.Struct, frozen=True, kw_only=True):
    """`agrees` is None where the first exploration, without reductions, did not come to an end."""

    agrees: bool | None
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        lines = [f"{'reductions':42} {'states':>10} {'transitions':>12} {'seconds':>8}  verdict"]
        for row in self.rows:
            names = ", ".join(row.reductions) or "none"
            lost = f", {row.lost:,} combinations lost" if row.lost else ""
            added = f", {row.added:,} added" if row.added else ""
            lines.append(
                f"{names:42} {row.unique_states:>10,} {row.transitions:>12,} {row.seconds:>8.2f}  "
                f"{row.verdict}{lost}{added}"
            )
        words = {
            True: "they agree",
            False: "THEY DISAGREE",
            None: "undecided: the budget is used up",
        }
        return "\n".join([*lines, words[self.agrees]])


def cross_check(
    scenario: Scenario,
    budget: Budget = Budget(60.0),  # noqa: B008
    progress: Callable[[Progress], None] | None = None,
) -> CrossCheck:
    """Explore a scenario without reductions, with each one alone, and with all of them.

    The budget is that of each exploration. Where something breaks a property, all must say so;
    what was reached is compared only where all was explored.
    """
    rows: list[Row] = []
    plain: set[tuple[object, ...]] | None = None
    for reductions in ((), *((name,) for name in REDUCTIONS), REDUCTIONS):
        system = scenario.system()
        if "symmetry" in reductions and (symmetry := symmetry_of(scenario, system)) is not None:
            symmetry.apply()
        begin = perf_counter()
        search = Search(system, reductions, Meter(budget, progress))
        search.run()
        answer = search.answer()
        if reductions and not answer.reductions:
            continue  # there is no symmetry
        reached = search.outcomes() if answer.exhausted else set()
        if plain is None:
            plain = reached
        compared = answer.exhausted and rows and rows[0].verdict == "holds"
        rows.append(
            Row(
                reductions=answer.reductions,
                verdict=answer.verdict,
                property=answer.property,
                unique_states=answer.unique_states,
                transitions=answer.transitions,
                seconds=perf_counter() - begin,
                combinations=len(reached),
                lost=len(plain - reached) if compared else 0,
                added=len(reached - plain) if compared and not search.symmetry else 0,
            )
        )
    first = rows[0]
    agrees: bool | None = all(
        row.verdict == first.verdict and not row.lost and not row.added for row in rows
    )
    if first.verdict == "unknown" or any(row.verdict == "unknown" for row in rows):
        agrees = None
    return CrossCheck(agrees=agrees, rows=tuple(rows))
