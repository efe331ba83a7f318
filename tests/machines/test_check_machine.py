"""`check_machine` accepts what is fit, catches each sin, and says how to be absolved."""

from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines import CheckFailed, Machine, all_machines, check_machine, kv, lock
from tests.machines import bad_machines as bad


@pytest.mark.parametrize("machine", all_machines(), ids=lambda machine: machine.name)
def test_our_machines_are_fit(machine: Machine[Any, Any]) -> None:
    check_machine(machine)


@pytest.mark.parametrize("machine", [bad.Good, bad.bank, bad.insertion_order_bank], ids=str)
def test_a_fit_machine_raises_no_alarm(machine: Any) -> None:
    check_machine(machine)


def test_a_machine_is_found_by_import_path() -> None:
    check_machine("concur.machines.kv:KeyValue", seeds=[5])


def test_commands_of_ones_own_are_used() -> None:
    check_machine(lock.Lock(), [lock.Acquire("a"), lock.Release("a", 1), lock.Holder()])


SINS = [
    (bad.ReadsTheClock, r"calls time\.time\(\).*client put the time"),
    (bad.ReadsTheDate, r"calls datetime\.now\(\)"),
    (bad.ThrowsDice, r"calls random\.\w+\(\).*random number into the command"),
    (bad.MakesIdentifiers, r"calls os\.urandom\(\)"),
    (bad.ReadsTheEnvironment, r"differs between two processes.*environment"),
    (bad.ReadsAFile, r"calls \S*open\(\)"),
    (bad.HashesStrings, r"calls hash\(\).*value itself"),
    (bad.OrderOfASetInTheResult, r"result of command \d+.*differs.*order of a set"),
    (bad.OrderOfASetInTheState, r"differs.*order of a set"),
    (bad.ChangesTheStateInPlace, r"changed the state it was given in place.*Map\.put"),
    (bad.HoldsADict, r"holds a dict.*Use concur\.values\.Map"),
    (bad.HoldsAStructThatIsNotFrozen, r"not frozen.*frozen=True"),
    (bad.CountsOnTheSide, r"not a function of state and command.*Something hidden"),
    (bad.ForgetsInTheSnapshot, r"restore\(snapshot\(\)\).*not the same state.*all of the state"),
    (bad.SnapshotWithoutOrder, r"(snapshot|restore).*"),
    (bad.RestoresNothing, r"not the same state"),
    (bad.ReturnsAList, r"does not encode: a list.*tuple\(sorted"),
    (bad.ReturnsAFloat, r"does not encode: a float"),
    (bad.ReturnsNoPair, r"Return the pair \(state, result\)"),
    (bad.ReadOnlyThatWrites, r"read_only\(Add.*changed the state"),
    (bad.ConflictsOneWay, r"conflicts\(\) is not symmetric"),
    (bad.CommutesByWord, r"do not commute.*make conflicts\(\) True"),
    (bad.KeyTooNarrow, r"different key\(\)s.*do not commute.*give key\(\) None"),
    (bad.EventLosesAField, r"command\(\) is not the inverse of event\(\)"),
    (bad.CompletionInvented, r'completion.*Return \("ok" or "fail"'),
    (bad.Misspelt, r"every Add raised, first AttributeError.*mistake in apply"),
    (bad.EndsTheProcess, r"raised SystemExit, which stops a process"),
    (bad.KillsTheProcess, r"ended with status 3"),
    (bad.clock_bank, r"calls time\.time\(\)"),
    (bad.set_bank, r"differs.*order of a set"),
    (bad.forgetful_bank, r"restored from the snapshot.*misses something"),
    (bad.writing_reader_bank, r"read_only.*changed the state"),
]


@pytest.mark.parametrize(
    ("machine", "message"), SINS, ids=[getattr(sin, "__name__", repr(sin)) for sin, _ in SINS]
)
def test_a_sin_is_caught_and_explained(machine: Any, message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        check_machine(machine)


def test_an_endless_apply_is_reported_and_leaves_no_process() -> None:
    with pytest.raises(CheckFailed, match="loop without end"):
        check_machine(bad.NeverReturns, seeds=[0], timeout_s=1.0)


def test_a_message_is_one_that_names_machine_and_command() -> None:
    with pytest.raises(CheckFailed) as caught:
        check_machine(bad.ReadsTheClock)
    assert str(caught.value).startswith("machine totals: apply(")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_checked_is_bad_input() -> None:
    class Local(kv.KeyValue):
        pass

    with pytest.raises(BadInput, match="other processes cannot import"):
        check_machine(Local)
    with pytest.raises(BadInput, match="no commands"):
        check_machine(kv.KeyValue, [])
    with pytest.raises(BadInput, match="cannot import no_such_module"):
        check_machine("no_such_module:Machine")
    with pytest.raises(BadInput, match="expected a subclass or instance"):
        check_machine(bad.Bank)  # type: ignore[arg-type]
