"""`check_consistency`: does a history have a given consistency?"""

from concur.errors import BadInput
from concur.histories.history import History
from concur.histories.models.nondeterministic import StepFailed, TooManyStates
from concur.histories.specification import Specification
from concur.histories.verdict import Valid, Verdict
from concur.histories.weaker.budget import Budget, NotApplicable, OutOfBudget, Undecided
from concur.histories.weaker.catalogue import Model, Task, parse

STEPS_MAX = 20_000_000
"""A step of these algorithms takes between a tenth of a microsecond and some microseconds."""

NOT_APPLICABLE = "not applicable: "
"""How the reason of a verdict "unknown" begins if the model says nothing about such histories."""


def check_consistency(
    history: History,
    machine: Specification,
    consistency: str,
    budget_s: float = 10.0,
    steps_max: int = STEPS_MAX,
) -> Verdict:
    """Whether `history` has `consistency`, a name as in CONSISTENCIES, `k-atomic=3` or the like.

    The machine is the sequential specification: registers (`read` and `write`, or `get` and `put`)
    for most models, any machine for sequential, linearizable and bounded-staleness. The verdict is
    "unknown" past the budget, and if the model is not defined for such a history. Raises BadInput
    for an unknown name and for operations that are none of the machine's.
    """
    return judge(Task(history, machine), parse(consistency), Budget(budget_s, steps_max))


def judge(task: Task, model: Model, budget: Budget) -> Verdict:
    """One model, on a history that may be judged by others too."""
    valid: Valid = "unknown"
    algorithm, wrong = "none", list[str]()
    try:
        answer = model.consistency.decide(task, model.parameter, budget)
    except (OutOfBudget, TooManyStates) as out:
        reason = f"undecided: ran out of {out} within the budget"
    except StepFailed as failed:
        raise BadInput(f"model {task.machine.name}: its step failed: {failed}") from failed
    except Undecided as why:
        reason = f"undecided: {why}"
    except NotApplicable as why:
        reason = NOT_APPLICABLE + str(why)
    else:
        algorithm, wrong = answer.algorithm, answer.wrong
        valid = not wrong
        reason = model.consistency.broken if wrong else model.consistency.holds + answer.note
    return Verdict(
        valid=valid,
        reason=reason,
        algorithm=algorithm,
        operations=len(task.history),
        steps=budget.steps,
        seconds=budget.seconds_spent,
        anomaly=tuple(wrong),
        consistency=model.name,
    )
