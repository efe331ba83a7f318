"""For the tests of one's own database: fail, and say why, if a history is not consistent.

    def test_a_partition_loses_nothing(cluster):
        recorder = History.record("kv")
        ...
        assert_consistent(recorder.history, "kv")

pytest shows the explanation in the place of a traceback through our code. Needs no pytest: it is an
ordinary AssertionError.
"""

from typing import Any

from concur.errors import BadInput
from concur.histories.check import check
from concur.histories.formats.base import plain
from concur.histories.history import History
from concur.histories.models import DROPPED, UNSET
from concur.histories.models import model as named
from concur.histories.specification import Specification
from concur.histories.verdict import Verdict


def assert_consistent(
    history: History,
    model: Specification | str = "",
    consistency: str = "linearizable",
    budget_s: float = 10.0,
    *,
    initial: Any = UNSET,
    failed_cas: str = DROPPED,
) -> Verdict:
    """The verdict, if the history is linearizable, or has another `consistency` by its name in
    `concur.histories.weaker`; AssertionError with the explanation if it has not, or if that could
    not be decided within `budget_s` seconds of checking.

    `model` is a specification or the name of one (`concur.histories.models`, which also says what
    `initial` and `failed_cas` are); without it, the model that the history names. Raises BadInput
    if there is none, or if an operation is not among the model's.
    """
    __tracebackhide__ = True
    if isinstance(model, str):
        found = named(model or history.model, initial=initial, failed_cas=failed_cas)
    elif initial is UNSET and failed_cas == DROPPED:
        found = model
    else:
        raise BadInput(f"model {model.name}: initial and failed_cas, expected with a name only")
    if consistency == "linearizable":
        verdict = check(history, found, budget_s=budget_s)
    else:
        from concur.histories.weaker import check_consistency

        verdict = check_consistency(history, found, consistency, budget_s)
    if verdict.valid is True:
        return verdict
    lines = verdict.details()
    if verdict.valid is False:
        from concur.histories.explanation import explain

        lines = tuple(str(explain(history, found, verdict, budget_s)).splitlines())
    known = "not" if verdict.valid is False else "not known to be"
    raise AssertionError(
        "\n".join(
            (
                f"the history of {len(history)} operations is {known} {verdict.consistency} "
                f"({found.name})",
                plain(verdict.headline),
                *map(plain, lines),
            )
        )
    )
