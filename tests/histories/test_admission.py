"""What a `fail` says: nothing, unless it is a compare-and-set that found another value."""

from typing import Any

import pytest

from concur.histories import History, check, model
from concur.histories.stream import check_stream
from concur.histories.weaker import check_consistency
from tests.histories.helpers import Call, history_of

SAYS_NOTHING: list[tuple[str, str, Any, Any]] = [
    ("kv", "put", "x", 1),
    ("kv", "get", "x", None),
    ("kv", "append", "x", "a"),
    ("kv", "delete", "x", None),
    ("register", "write", None, 1),
    ("register", "read", None, None),
    ("counter", "add", None, 1),
    ("fetch-add", "fetch-add", None, 1),
    ("lock", "acquire", None, None),
    ("lock", "release", None, None),
    ("set", "add", None, 1),
    ("queue", "enqueue", None, 1),
    ("queue", "dequeue", None, None),
    ("stack", "push", None, 1),
    ("priority-queue", "insert", None, 1),
    ("multi-register", "txn", None, (("w", "x", 1),)),
]


def verdicts(history: History, name: str) -> list[Any]:
    machine = model(name)
    found = [check(history, machine), check_stream(history.events(), machine, piece_min=1)]
    found += [
        check_consistency(history, machine, f) for f in ("sequential", "bounded-staleness=1ms")
    ]
    return [verdict.valid for verdict in found]


@pytest.mark.parametrize(("name", "f", "key", "value"), SAYS_NOTHING)
def test_only_of_a_compare_and_set_a_mismatch_says_anything(
    name: str, f: str, key: Any, value: Any
) -> None:
    refused = Call(0, f, key, value, 0, 10, "fail", value, "mismatch")
    assert verdicts(history_of([refused]), name) == [True] * 4


def test_a_refused_write_is_as_good_as_none() -> None:
    calls = [
        Call(0, "write", None, 1, 0, 10, "fail", 1, "mismatch"),
        Call(1, "write", None, 2, 20, 30),
        Call(1, "read", None, None, 40, 50, result=2),
    ]
    assert verdicts(history_of(calls), "register") == [True] * 4
    calls.append(Call(1, "cas", None, (2, 3), 60, 70, "fail", (2, 3), "mismatch"))
    assert False in verdicts(history_of(calls), "register"), "the value was 2"
