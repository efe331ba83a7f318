"""`check_protocol`: is this protocol fit to be run, compared and trusted? For anybody's protocol.

Each check is a function whose name is the sentence that it checks. It raises an AssertionError that
says what is wrong, where, and how to mend it, or skips itself where the protocol's tags say that it
does not apply. In a test suite, one test for each check:

    @parametrize_with_checks([MyProtocol(), MyProtocol(batch_max=1)])
    def test_my_protocol(protocol, check):
        check(protocol)

With `transcripts=` walks and transcripts together must run every handler, with `mutants=` each of
the protocols that are broken on purpose must be caught.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from concur.base import Protocol
from concur.errors import BadInput
from concur.testing.crashes import crashes_after_every_record_keep_the_properties
from concur.testing.descriptions import (
    description_says_what_it_is,
    imports_bring_in_no_hidden_inputs,
    messages_are_declared_right,
    parameters_are_stored_as_given,
    parameters_declare_their_constraints,
    parameters_round_trip,
    roles_are_well_formed,
    wrong_parameters_are_refused,
)
from concur.testing.hash_seeds import runs_are_the_same_under_two_hash_seeds
from concur.testing.mutants import Mutant, alarms, caught_with, hunt
from concur.testing.orders import every_order_within_small_bounds_is_safe
from concur.testing.runs import (
    duplication_is_tolerated,
    every_machine_stays_linearizable,
    loss_is_tolerated,
    reordering_is_tolerated,
    states_and_messages_stay_bounded,
    wiped_replicas_recover,
)
from concur.testing.subject import CheckFailed, Inapplicable, Places, Subject
from concur.testing.versions import (
    malformed_messages_are_refused,
    messages_of_other_versions_are_understood,
    strange_messages_stop_no_node,
)
from concur.testing.walks import (
    commands_complete_after_healing,
    every_handler_is_reached,
    every_message_is_handled,
    every_operation_ends_exactly_once,
    fields_hold_only_values,
    histories_of_walks_are_linearizable,
    invariants_hold_in_every_state,
    messages_survive_the_codec,
    no_step_raises,
    nodes_agree,
    only_what_clients_asked_is_decided,
    records_add_up_to_the_durable_fields,
    states_survive_snapshot_and_restore,
    steps_depend_on_state_event_and_inputs_alone,
    values_are_never_edited_in_place,
)

Check = Callable[[Subject], None]

OF_THE_DESCRIPTION: tuple[Check, ...] = (
    parameters_are_stored_as_given,
    parameters_round_trip,
    parameters_declare_their_constraints,
    wrong_parameters_are_refused,
    description_says_what_it_is,
    roles_are_well_formed,
    messages_are_declared_right,
    imports_bring_in_no_hidden_inputs,
)
"""What must be right before anything can run."""

OF_STEPS: tuple[Check, ...] = (
    no_step_raises,
    fields_hold_only_values,
    values_are_never_edited_in_place,
    states_survive_snapshot_and_restore,
    steps_depend_on_state_event_and_inputs_alone,
    runs_are_the_same_under_two_hash_seeds,
    records_add_up_to_the_durable_fields,
    messages_survive_the_codec,
    every_message_is_handled,
    messages_of_other_versions_are_understood,
    malformed_messages_are_refused,
    strange_messages_stop_no_node,
)

OF_BEHAVIOUR: tuple[Check, ...] = (
    nodes_agree,
    only_what_clients_asked_is_decided,
    every_operation_ends_exactly_once,
    invariants_hold_in_every_state,
    histories_of_walks_are_linearizable,
    commands_complete_after_healing,
    crashes_after_every_record_keep_the_properties,
    every_order_within_small_bounds_is_safe,
    loss_is_tolerated,
    duplication_is_tolerated,
    reordering_is_tolerated,
    every_machine_stays_linearizable,
    wiped_replicas_recover,
    states_and_messages_stay_bounded,
    every_handler_is_reached,  # last: it counts what the others ran
)

CHECKS: tuple[Check, ...] = (*OF_THE_DESCRIPTION, *OF_STEPS, *OF_BEHAVIOUR)


MUTANT_RUNS = 100
"""Seeds that `check_protocol` tries on a mutant that nothing else kills, for an effort of 1."""


class CheckSkipped(UserWarning):
    """A check does not apply to a protocol."""


class Report(msgspec.Struct, frozen=True):
    """What `check_protocol` did: names of the checks that passed, and why others were skipped.

    `unreached` are handlers that no walk and no transcript has run, `unreached_marks` the `paper=`
    marks that are among them and nowhere else: tests of your own should reach them. `killed` says
    for each mutant what killed it.
    """

    passed: tuple[str, ...]
    skipped: dict[str, str]
    unreached: tuple[str, ...]
    unreached_marks: tuple[str, ...] = ()
    killed: dict[str, str] = {}


def check_protocol(
    protocol: Protocol | type[Protocol],
    *,
    effort: float = 1.0,
    only: Iterable[str] = (),
    transcripts: Places | None = None,
    unreachable: Mapping[str, str] | None = None,
    mutants: Iterable[Mutant] = (),
) -> Report:
    """Run every check; raise CheckFailed, an AssertionError, that lists all that failed.

    `protocol` is a description or its class, which stands for its defaults. `effort` scales how
    many walks, crash points and runs are tried: with 1 Multi-Paxos takes about half a minute of one
    core, 0.2 is for trying things out. `only` names the checks to run. What does not apply, by the
    protocol's tags, is warned of and listed in the report. Raises BadInput for an unknown check.

    `transcripts` names files, or folders that hold them: then walks and transcripts together must
    run every handler, but for those that `unreachable` maps to a reason, as in {"Replica on
    Prepare": "why"}. Each of `mutants` has to be killed, by its seed, by a check of this suite or
    by a short campaign (`concur.testing.mutants`).
    """
    subject = Subject(
        _described(protocol), effort, transcripts=transcripts, unreachable=unreachable
    )
    names = set(only)
    unknown = names - {check.__name__ for check in CHECKS}
    if unknown:
        listed = ", ".join(check.__name__ for check in CHECKS)
        raise BadInput(f"check {min(unknown)!r}: unknown, expected some of {listed}")
    passed: list[str] = []
    skipped: dict[str, str] = {}
    failures: list[str] = []
    for group in (OF_THE_DESCRIPTION, (*OF_STEPS, *OF_BEHAVIOUR)):
        for check in group:
            name = check.__name__
            if names and name not in names:
                continue
            try:
                check(subject)
            except Inapplicable as why:
                skipped[name] = str(why)
                warnings.warn(f"{subject.name}: {name}: {why}", CheckSkipped, stacklevel=2)
            except AssertionError as failed:
                failures.append(f"{name}\n  {failed}")
            else:
                passed.append(name)
        if failures:
            break  # a description that is wrong fails in all sorts of ways when it runs
    if failures:
        raise CheckFailed(f"{len(failures)} of {len(CHECKS)} checks\n" + "\n".join(failures))
    reached = None if names else subject.reached()
    return Report(
        tuple(passed),
        skipped,
        tuple(map(str, reached.missing(subject.protocol))) if reached else (),
        reached.missing_marks(subject.protocol) if reached else (),
        {mutant.name: _killed(subject, mutant) for mutant in mutants},
    )


def killed_by(mutant: Mutant, *, effort: float = 1.0, first: bool = False) -> tuple[str, ...]:
    """The checks of this suite that a mutant fails, without any campaign; () if it passes all.

    With `first` the search ends with the first of them.
    """
    subject = Subject(mutant.protocol, effort, replicas=mutant.replicas)
    killers = []
    for check in (*OF_BEHAVIOUR, *OF_STEPS):
        try:
            check(subject)
        except Inapplicable:
            continue
        except AssertionError:
            killers.append(check.__name__)
            if first:
                break
    return tuple(killers)


def _killed(subject: Subject, mutant: Mutant) -> str:
    """What killed a mutant of this protocol: its seed, a check, or a short campaign."""
    seeds = (mutant.seed,) if mutant.seed is not None else ()
    for seed, property, reason in alarms(mutant, (*seeds, *mutant.unbroken_seeds)):
        subject.fail(
            f"the campaign of {mutant.name} raises an alarm on the unbroken protocol: {property}: "
            f"{reason}\n  with {mutant.unbroken_case(seed).replay()}",
            "the protocol is broken as it is, or it is not what the mutant was made of",
        )
    if mutant.seed is not None and caught_with(mutant, mutant.seed):
        return f"seed {mutant.seed}"
    killers = killed_by(mutant, effort=subject.effort, first=True)
    if killers:
        return killers[0]
    runs = subject.times(MUTANT_RUNS)
    catch = hunt(mutant, runs)
    if catch is None:
        broken = f"that breaks {' or '.join(mutant.breaks)}" if mutant.breaks else "that is caught"
        subject.fail(
            f"nothing kills {mutant.name}: no check, and no run {broken} with the faults "
            f"{mutant.faults!r} and seeds 0 to {runs - 1}",
            "hunt(mutant) tries more seeds; name `faults` that hit what is broken; or see whether "
            "what it changes matters at all",
        )
    return f"seed {catch.seed}"


def parametrize_with_checks(
    protocols: Iterable[Protocol | type[Protocol]],
    *,
    effort: float = 1.0,
    transcripts: Places | None = None,
    unreachable: Mapping[str, Mapping[str, str]] | None = None,
) -> Any:
    """A pytest decorator: the test gets each `protocol` with each `check(protocol)`.

    Ids are the protocol's repr and the check's name. A check that does not apply skips its test.
    `transcripts` and `unreachable` are as for `check_protocol`, the latter by the protocol's name.
    """
    import pytest

    places = _places(transcripts)
    pairs = []
    for given in protocols:
        protocol = _described(given)
        excused = tuple((unreachable or {}).get(protocol.label, {}).items())
        for check in CHECKS:
            name = f"{protocol!r}-{check.__name__}"
            pairs.append(pytest.param(protocol, _applied(check, effort, places, excused), id=name))
    return pytest.mark.parametrize(("protocol", "check"), pairs)


def _places(transcripts: Places | None) -> tuple[str, ...] | None:
    if transcripts is None:
        return None
    return tuple(map(str, [transcripts] if isinstance(transcripts, str | Path) else transcripts))


def _applied(
    check: Check,
    effort: float,
    places: tuple[str, ...] | None,
    excused: tuple[tuple[str, str], ...],
) -> Callable[[Protocol], None]:
    def apply(protocol: Protocol) -> None:
        check(_subject(protocol, effort, places, excused))

    apply.__name__ = apply.__qualname__ = check.__name__
    apply.__doc__ = check.__doc__
    return apply


@lru_cache(maxsize=4)
def _subject(
    protocol: Protocol,
    effort: float,
    places: tuple[str, ...] | None,
    excused: tuple[tuple[str, str], ...],
) -> Subject:
    """One for each protocol, so that its walks are done once for all checks."""
    return Subject(protocol, effort, transcripts=places, unreachable=dict(excused))


def _described(protocol: Protocol | type[Protocol]) -> Protocol:
    if isinstance(protocol, type) and issubclass(protocol, Protocol):
        return protocol()
    if isinstance(protocol, Protocol):
        return protocol
    raise BadInput(f"protocol: {protocol!r}, expected a Protocol or a subclass of it")
