"""A certificate proves what it claims, and nothing else passes for one."""

from pathlib import Path
from typing import Any

import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.histories import History, check, model
from concur.histories.certificate import read_certificate, verify, write_certificate
from concur.machines.kv import KeyValue
from concur.machines.register import Register
from tests.histories.helpers import Call, history_of, precedes, random_calls

WRITE = Call(0, "write", None, 1, 0, 10)
READ = Call(1, "read", None, None, 20, 30, result=1)
LOST = Call(2, "write", None, 2, 5, 6, "info")
REFUSED = Call(3, "write", None, 3, 5, 6, "fail", error="overloaded")


def proves(history: History, machine: Any, order: tuple[int, ...]) -> bool:
    """By the definition, word for word."""
    operations = history.operations()
    if len(set(order)) < len(order):
        return False
    needed = {n for n, op in enumerate(operations) if op.type == "ok" or op.error == "mismatch"}
    lost = {n for n, op in enumerate(operations) if op.type == "info"}
    if not needed <= set(order) <= needed | lost:
        return False
    places = list(enumerate(order))
    if any(
        precedes(operations[later], operations[earlier])
        for place, earlier in places
        for other, later in places
        if place < other
    ):
        return False
    state = machine.initial()
    for number in order:
        op = operations[number]
        state, result = machine.apply(state, machine.command(op.f, op.key, op.value))
        said = machine.completion(machine.command(op.f, op.key, op.value), result)
        if op.type != "info" and (said[0] != op.type or (op.f == "read" and said[1] != op.result)):
            return False
    return True


def test_right_orders_pass_and_all_others_fail() -> None:
    machine = Register()
    asks = [("write", None, i % 3) for i in range(6)] + [("read", None, None)] * 6
    asks += [("cas", None, (0, 1)), ("cas", None, (1, 2))]
    seen = {True: 0, False: 0}
    for seed in range(1500):
        chance = Stream(seed, "orders")
        calls = random_calls(chance, machine, asks, 5, 3, spread=6, pending=0.0, wrong=0.3)
        history = history_of(calls, chance=chance)
        numbers = list(range(len(history)))
        order = tuple(
            chance.sample(numbers, chance.between(max(0, len(numbers) - 1), len(numbers)))
        )
        if chance.chance(0.7):
            order = tuple(sorted(order))
        right = proves(history, machine, order)
        assert (verify(history, machine, order) == []) is right, (seed, order)
        seen[right] += 1
    assert min(seen.values()) > 100


def test_what_is_wrong_with_an_order_is_said() -> None:
    history = history_of([WRITE, READ, LOST, REFUSED])
    machine = Register()
    write, lost, refused, read = 0, 1, 2, 3
    assert verify(history, machine, (write, read)) == []
    assert verify(history, machine, (lost, write, read)) == []
    for order, said in (
        ((write,), "it lacks process 1: read() -> 1"),
        ((write, read, read), "it has an operation twice"),
        ((write, 4), "it has numbers beyond the 4 operations"),
        ((-1,), "it has numbers beyond the 4 operations"),
        ((write, refused, read), "it has what did not happen: process 3: write(3)"),
        ((read, write), "stands before what had returned when it was called"),
        ((write, lost, read), "gives something else there, in state 2"),
    ):
        assert any(said in line for line in verify(history, machine, order)), order


def test_a_witness_that_is_right_decides_and_a_wrong_one_proves_nothing() -> None:
    history = history_of([WRITE, READ, LOST])
    told = check(history, Register(), witness=(0, 2), certificate=True)
    assert (told.valid, told.algorithm, told.certificate) == (True, "witness", (0, 2))
    for wrong in ((0,), (2, 0), (0, 1, 2)):
        found = check(history, Register(), witness=wrong)
        assert (found.valid, found.algorithm) == (True, "zones")


def test_orders_of_many_objects_become_one_in_real_time() -> None:
    machine = KeyValue()
    keys = ("x", "y", "z")
    asks = [("put", k, i) for i in range(40) for k in keys] + [("get", k, None) for k in keys] * 40
    asks += [("cas", k, (i, i + 100)) for i in range(20) for k in keys]
    valid = 0
    for seed in range(60):
        chance = Stream(seed, "many")
        calls = random_calls(
            chance, machine, asks, 120, 5, chance.choice([8, 20]), pending=0.1, wrong=0.0
        )
        history = history_of(calls, chance=chance)
        verdict = check(history, machine, certificate=True)
        if verdict.certificate is not None:
            valid += 1
            assert verify(history, machine, verdict.certificate) == []
    assert valid > 40


def test_a_file_holds_for_its_history_and_model_only(tmp_path: Path) -> None:
    history, machine = history_of([WRITE, READ]), Register()
    path = tmp_path / "certificate.json"
    write_certificate(path, history, machine, (0, 1))
    assert read_certificate(path, history, machine) == (0, 1)
    with pytest.raises(BadInput, match="of another history"):
        read_certificate(path, history_of([WRITE]), machine)
    with pytest.raises(BadInput, match="for model 'register', not 'kv'"):
        read_certificate(path, history, model("kv"))
    for text in ("", "[]", '{"order": [1]}', '{"model": "register", "order": ["x"]}', "[" * 10**5):
        path.write_text(text)
        with pytest.raises(BadInput, match=r"certificate\.json: expected a certificate"):
            read_certificate(path, history, machine)


def test_finder_and_verifier_agree_on_what_keys_mean() -> None:
    """A failed operation with a key says nothing of the others, which have none of their own."""
    wrote, asked = (("w", "x", 1), ("w", "y", 1)), (("r", "x", None), ("r", "y", None))
    calls = [
        Call(0, "txn", "g1", wrote, 0, 1, result=wrote),
        Call(0, "txn", "g2", asked, 2, 3, result=asked),
        Call(1, "read", "x", None, 4, 5, "fail", error="refused"),
    ]
    for more in ([], [Call(2, "read", "x", None, 0, 9, result=1)]):
        verdict = check(history_of(calls + more), model("multi-register"), certificate=True)
        assert verdict.valid is False, "keys are the model's own, whatever key a txn has"
