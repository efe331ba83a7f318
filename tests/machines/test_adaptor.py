"""A user's mutable object: replicated as it is, put back when it raises, never rolled back."""

import pickle
from typing import Any

import pytest

from concur.errors import BadInput
from concur.machines import Adaptor, MachineCommand, MachineError, RolledBack
from concur.machines.adaptor import CHECKPOINT_COMMANDS_MAX
from concur.machines.base import refuse_result
from tests.machines import bad_machines as bad


class Deposit(MachineCommand, frozen=True):
    owner: str
    amount: int


class StructBank(bad.Bank):
    def apply(self, command: Any) -> Any:
        return super().apply(("deposit", command.owner, command.amount))


def run(machine: Adaptor, state: Any, *commands: Any) -> tuple[Any, list[Any]]:
    results = []
    for command in commands:
        state, result = machine.run(state, machine.encode(command))
        results.append(machine.decode_result(result))
    return state, results


def test_an_object_is_replicated_with_plain_tuples() -> None:
    _, results = run(
        bad.bank,
        bad.bank.initial(),
        ("deposit", "ann", 3),
        ("deposit", "ann", 4),
        ("balance", "ann"),
    )
    assert results == [3, 7, 7]


def test_an_object_is_replicated_with_structs() -> None:
    machine = Adaptor(StructBank, (Deposit,))
    assert run(machine, machine.initial(), Deposit("ann", 3), Deposit("ann", 1))[1] == [3, 4]
    assert machine.command(*machine.event(Deposit("ann", 3))) == Deposit("ann", 3)


def test_an_apply_that_raises_half_way_is_undone() -> None:
    state, results = run(
        bad.bank,
        bad.bank.initial(),
        ("deposit", "ann", 3),
        ("deposit", "ann", -9),
        ("balance", "ann"),
    )
    assert results == [3, MachineError("ValueError", "a negative amount"), 3]
    assert state.cell.target.balances == {"ann": 3}


def test_undoing_works_across_checkpoints() -> None:
    many = [("deposit", "ann", 1)] * (CHECKPOINT_COMMANDS_MAX + 5)
    _, results = run(
        bad.bank, bad.bank.initial(), *many, ("deposit", "ann", -1), ("balance", "ann")
    )
    assert results[-1] == len(many)


def test_a_result_that_does_not_encode_is_undone_too() -> None:
    class Lists(bad.Bank):
        def apply(self, command: Any) -> Any:
            super().apply(command)
            return list(self.balances)

    machine = Adaptor(Lists, bad.COMMANDS)
    state, results = run(machine, machine.initial(), ("deposit", "ann", 3))
    assert results[0].type == "BadInput"
    assert refuse_result([1]) in results[0].message.replace("list,", "list,")
    assert state.cell.target.balances == {}


def test_a_malformed_command_never_reaches_the_object() -> None:
    for command in (("deposit", "ann"), ("deposit", 3, "ann"), ("steal", "ann", 3), "deposit"):
        state, results = run(bad.bank, bad.bank.initial(), command)
        assert results[0].type == "BadInput"
        assert state.number == 0


def test_going_back_stops_the_node_instead_of_diverging() -> None:
    first = bad.bank.initial()
    second, _ = run(bad.bank, first, ("deposit", "ann", 3))
    with pytest.raises(RolledBack, match="cannot go back, use a pure Machine"):
        run(bad.bank, first, ("balance", "ann"))
    with pytest.raises(RolledBack):
        bad.bank.capture(first)
    assert run(bad.bank, second, ("balance", "ann"))[1] == [3]
    assert bad.bank.pure is False


def test_a_captured_state_is_independent_of_the_live_object() -> None:
    state, _ = run(bad.bank, bad.bank.initial(), ("deposit", "ann", 3))
    captured = bad.bank.capture(state)
    state, _ = run(bad.bank, state, ("deposit", "ann", 1))
    one, other = bad.bank.release(captured), bad.bank.release(captured)
    assert run(bad.bank, one, ("deposit", "ann", 5))[1] == [8]
    assert run(bad.bank, other, ("balance", "ann"))[1] == [3]
    assert run(bad.bank, state, ("balance", "ann"))[1] == [4]


def test_replicas_do_not_share_an_object() -> None:
    one, other = bad.bank.initial(), bad.bank.initial()
    run(bad.bank, one, ("deposit", "ann", 3))
    assert run(bad.bank, other, ("balance", "ann"))[1] == [0]


def test_an_adaptor_pickles_by_reference() -> None:
    bad.bank.run(bad.bank.initial(), b"")
    assert pickle.loads(pickle.dumps(bad.bank)) == bad.bank


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (lambda: Adaptor(dict, {"a": ()}), "dict has no apply"),
        (lambda: Adaptor(bad.Bank, {}), "no commands"),
        (lambda: Adaptor(bad.Bank, {"deposit": str}), "expected a tuple of types"),
        (lambda: Adaptor(bad.Bank, {"deposit": (str | bytes,)}), "str"),
        (lambda: Adaptor(bad.Bank, bad.COMMANDS, read_only=("look",)), "read_only 'look'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_bad_input(declaration: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        declaration()
