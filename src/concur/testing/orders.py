"""A check by the model checker: every order of events, within bounds that grow until it is enough.

Walks and runs try some orders; `concur.verify` tries all of them, as long as few enough things
happen. So there are several bounds, each larger than the last, and so many states for each.
"""

from typing import Any

from concur.errors import BadInput
from concur.testing.subject import Inapplicable, Subject
from concur.verify import Budget, Scenario, Verification, verify_scenario
from concur.verify.engine.answers import Impure
from concur.verify.engine.interning import TooMany

STATES = 10_000
"""Of each bounds, for an effort of 1: a tenth of a second."""

BOUNDS: tuple[dict[str, Any], ...] = (
    {"clients": 1, "commands": 1, "timeouts_max": 0},
    {"clients": 1, "commands": 0, "timeouts_max": 1, "faults": "crash=1"},
    {"clients": 1, "commands": 1, "timeouts_max": 1, "faults": "crash=1"},
    {"clients": 2, "commands": 2, "timeouts_max": 0, "faults": "crash=1"},
    {"clients": 1, "commands": 0, "timeouts_max": 2, "faults": "crash=1"},
    {"clients": 2, "commands": 2, "timeouts_max": 2, "faults": "crash=1"},
)
"""What is explored: all of the first, and of the others as much as so many states are."""


def every_order_within_small_bounds_is_safe(subject: Subject) -> None:
    """Every order of messages, timeouts and crashes keeps all properties, within small bounds."""
    for at, bounds in enumerate(_bounds(subject)):
        scenario = Scenario(protocol=subject.protocol, replicas=subject.replicas, **bounds)
        try:
            found = verify_scenario(
                scenario,
                strategy="breadth-first",
                budget=Budget(states=subject.times(STATES)),
                reductions="none",  # so few states are seen sooner than reduced
            )
        except BadInput as refused:  # what the checker cannot check: clocks, streams, leases
            raise Inapplicable(str(refused)) from None
        except Impure as error:
            subject.fail(str(error), "a step may depend on state, event and inputs alone")
        except TooMany:
            continue
        if found.verdict == "violated":
            _fail(subject, scenario, bounds, found)
        if at == 0:
            subject.needs(
                found.exhausted,
                f"even {_words(bounds)} come to more than {subject.times(STATES):,} states",
            )


def _bounds(subject: Subject) -> tuple[dict[str, Any], ...]:
    """The bounds, and at last a lost disk and a doubled message where the tags say that it bears
    them."""
    tags = subject.protocol.tags
    more = ["wipe=1"] if tags.recovers_wiped else []
    more += ["duplicate=1"] if "duplication" in tags.tolerates else []
    if not more:
        return BOUNDS
    return (*BOUNDS, {"clients": 1, "commands": 1, "timeouts_max": 1, "faults": ",".join(more)})


def _fail(
    subject: Subject, scenario: Scenario, bounds: dict[str, Any], found: Verification
) -> None:
    kind = type(subject.protocol)
    given = ", ".join(f"{name}={value!r}" for name, value in bounds.items())
    line = (
        f"from {kind.__module__} import {kind.__qualname__}; from concur.verify import verify; "
        f"print(verify({subject.protocol!r}, replicas={scenario.replicas}, {given}, "
        'strategy="breadth-first", budget_s=None, reductions="none"))'
    )
    width = len(str(len(found.trace)))
    events = "".join(f"\n  {n:{width}}  {event}" for n, event in enumerate(found.trace, 1))
    subject.fail(
        f"{found.property} does not hold: {found.reason}\n  after these events, with "
        f"{scenario.replicas} replicas and {_words(bounds)}:{events}\n  this shows it again:\n  "
        f"{line}",
        "no story is shorter; find the event after which a node says or believes too much",
    )


def _words(bounds: dict[str, Any]) -> str:
    return ", ".join(f"{name.removesuffix('_max')} {value}" for name, value in bounds.items())
