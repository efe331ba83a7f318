"""`spectrum`: where a history stands between eventual consistency and linearizability.

Models are tried from linearizable down only as far as needed: if it holds, so does all below. Else
the cheap ones are decided from the weakest up, and what a broken one implies is not computed again:
a history without monotonic reads has no PRAM. Sequential consistency, which may take exponential
time, comes last and gets what is left of the budget.
"""

from typing import Literal

import msgspec

from concur.histories.history import History
from concur.histories.specification import Specification
from concur.histories.verdict import Verdict
from concur.histories.weaker.budget import Budget, NotApplicable
from concur.histories.weaker.catalogue import CONSISTENCIES, Model, Task, implies, parse
from concur.histories.weaker.judge import NOT_APPLICABLE, STEPS_MAX, judge

Status = Literal["holds", "broken", "unknown", "not applicable"]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What one model says of the history.

    `verdict` is None if the status follows from that of another model, `follows_from`.
    """

    consistency: str
    status: Status
    reason: str
    follows_from: str = ""
    verdict: Verdict | None = None


class Spectrum(msgspec.Struct, frozen=True, kw_only=True):
    """The placements of a history, weakest model first. `print` it."""

    placements: tuple[Placement, ...]
    operations: int
    seconds: float

    def __getitem__(self, consistency: str) -> Placement:
        """By name; raises KeyError."""
        for placement in self.placements:
            if consistency in (placement.consistency, placement.consistency.partition("=")[0]):
                return placement
        raise KeyError(consistency)

    @property
    def strongest(self) -> list[str]:
        """The models that hold and that no other one that holds implies."""
        holding = [parse(p.consistency) for p in self.placements if p.status == "holds"]
        return [
            model.name
            for model in holding
            if not any(other != model and implies(other, model) for other in holding)
        ]

    @property
    def first_broken(self) -> Placement | None:
        """The weakest broken model, with its witness; None if none is broken.

        If that follows from another one, which is no stronger, it is the other, which has it."""
        broken = next((p for p in self.placements if p.status == "broken"), None)
        while broken is not None and broken.follows_from:
            broken = self[broken.follows_from]
        return broken

    def table(self) -> list[str]:
        """A line for each model, weakest first."""
        width = max(len(placement.consistency) for placement in self.placements)
        lines = []
        for placement in self.placements:
            follows = f" (follows from {placement.follows_from})" if placement.follows_from else ""
            status = placement.status.ljust(len("not applicable"))
            lines.append(
                f"{placement.consistency.ljust(width)}  {status}  {placement.reason}{follows}"
            )
        return lines

    def __str__(self) -> str:
        lines = self.table()
        broken = self.first_broken
        if broken is not None and broken.verdict is not None:
            lines += ["", f"{broken.consistency} is broken:", *broken.verdict.anomaly]
        return "\n".join(lines)


def spectrum(
    history: History,
    machine: Specification,
    budget_s: float = 10.0,
    steps_max: int = STEPS_MAX,
    consistencies: tuple[str, ...] = tuple(CONSISTENCIES),
) -> Spectrum:
    """Place `history` on the spectrum of `consistencies`, given weakest first.

    Raises BadInput for an unknown name and for operations that are none of the machine's.
    """
    whole = Budget(budget_s, steps_max)
    task = Task(history, machine)
    models = [parse(name) for name in consistencies]
    found: dict[str, Placement] = {}
    try:
        _ = task.accesses
    except NotApplicable as why:
        for model in models:
            if model.consistency.registers_only:
                found[model.name] = Placement(
                    consistency=model.name, status="not applicable", reason=str(why)
                )
    order = [*(m for m in models if m.consistency.name == "linearizable"), *models]
    for number, model in enumerate(order):
        if model.name in found:
            continue
        share = 3 if len(order) - number > 2 else 1
        budget = Budget(whole.seconds_left / share, max(1, whole.steps_left // share))
        verdict = judge(task, model, budget)
        whole.steps += budget.steps
        found[model.name] = _place(model, verdict)
        if verdict.valid != "unknown":
            _propagate(model, verdict.valid, models, found)
    return Spectrum(
        placements=tuple(found[model.name] for model in models),
        operations=len(history),
        seconds=whole.seconds_spent,
    )


def _place(model: Model, verdict: Verdict) -> Placement:
    status: Status = "unknown"
    if verdict.valid != "unknown":
        status = "holds" if verdict.valid else "broken"
    elif verdict.reason.startswith(NOT_APPLICABLE):
        status = "not applicable"
    return Placement(
        consistency=model.name,
        status=status,
        reason=verdict.reason.removeprefix(NOT_APPLICABLE),
        verdict=verdict,
    )


def _propagate(model: Model, valid: bool, models: list[Model], found: dict[str, Placement]) -> None:
    for other in models:
        known = found.get(other.name)
        if known is not None and known.status != "unknown":
            continue
        if implies(model, other) if valid else implies(other, model):
            found[other.name] = Placement(
                consistency=other.name,
                status="holds" if valid else "broken",
                reason=other.consistency.holds if valid else other.consistency.broken,
                follows_from=model.name,
            )
