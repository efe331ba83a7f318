"""The recorder keeps what it was told and refuses what cannot be."""

import pytest

from concur.errors import BadInput
from concur.histories import History, Operation


def test_operations_pair_invocations_with_completions() -> None:
    history = History("kv")
    a = history.invoke(0, "put", "x", 1, 10)
    b = history.invoke(1, "get", "x", None, 11)
    history.complete(b, "ok", 1, 12)
    c = history.invoke(1, "cas", "x", (1, 2), 13)
    history.complete(c, "fail", (1, 2), 14, "mismatch")
    history.complete(a, "info", 1, 15, "timeout")
    d = history.invoke(2, "get", "x", None, 16)
    assert history.operations() == [
        Operation(0, "put", "x", 1, "info", 1, "timeout", 10, None, 0, 5),
        Operation(1, "get", "x", None, "ok", 1, None, 11, 12, 1, 2),
        Operation(1, "cas", "x", (1, 2), "fail", (1, 2), "mismatch", 13, 14, 3, 4),
        Operation(2, "get", "x", None, "info", None, None, 16, None, 6, None),
    ]
    assert [event.index for event in history.events()] == list(range(7))
    assert [event.type for event in history.events()][:4] == ["invoke", "invoke", "ok", "invoke"]
    assert (len(history), d) == (4, 3)


def test_process_has_one_operation_at_a_time() -> None:
    history = History()
    op = history.invoke(0, "read", None, None, 0)
    with pytest.raises(ValueError, match="process 0 already has an operation"):
        history.invoke(0, "read", None, None, 1)
    history.complete(op, "ok", 1, 2)
    with pytest.raises(ValueError, match="completed twice"):
        history.complete(op, "ok", 1, 3)


def test_process_never_returns_after_info() -> None:
    history = History()
    op = history.invoke(0, "read", None, None, 0)
    history.complete(op, "info", None, 1)
    with pytest.raises(ValueError, match="process 0 already has an operation"):
        history.invoke(0, "read", None, None, 2)
    with pytest.raises(ValueError, match="completed twice"):
        history.complete(op, "ok", 1, 3)


def test_operation_cannot_return_before_it_is_called() -> None:
    history = History()
    op = history.invoke(0, "read", None, None, 10)
    with pytest.raises(ValueError, match="returns at 9, before 10"):
        history.complete(op, "ok", None, 9)
    history.complete(op, "ok", None, 10)


def test_a_history_refuses_what_it_cannot_hold() -> None:
    history = History()
    for odd in ({}, set(), 1.5, object(), (1, [{}])):
        with pytest.raises(BadInput, match="a history cannot hold"):
            history.invoke(0, "write", None, odd, 1)
        with pytest.raises(BadInput, match="a history cannot hold"):
            history.invoke(0, "write", odd, 1, 1)
    op = history.invoke(0, "write", ["x", 1], [1, [2]], 1)
    with pytest.raises(BadInput, match="a history cannot hold"):
        history.complete(op, "ok", {1}, 2)
    history.complete(op, "ok", [3], 2)
    (only,) = history.operations()
    assert (only.key, only.value, only.result) == (("x", 1), (1, (2,)), (3,))
