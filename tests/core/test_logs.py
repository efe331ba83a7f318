"""A Log is a list that begins somewhere: model tests, deltas, sharing, equality by content."""

import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.logs import Base, Log, LogDelta
from concur.messages import Command, decode, encode

CHANGES = st.lists(
    st.tuples(st.sampled_from(["append", "append", "truncate", "compact"]), st.integers(0, 9)),
    max_size=40,
)


def change(log: Log[int], model: list[int], start: int, kind: str, n: int) -> Any:
    """Apply a change to the log and to its model, a list of the entries after index `start`."""
    if kind == "append":
        return log.append(*range(n)), [*model, *range(n)], start
    index = start + n % (len(model) + 1)
    if kind == "truncate":
        return log.truncate(index), model[: index - start], start
    return log.compact(index, (n, "r1")), model[index - start :], index


@given(CHANGES, st.data())
def test_a_log_does_what_a_list_does_and_older_versions_stay(
    changes: list[Any], data: st.DataObject
) -> None:
    versions: list[tuple[Log[int], list[int], int]] = [(Log(), [], 0)]
    for kind, n in changes:
        base = versions[-1 - data.draw(st.sampled_from([0, 0, 0, 1, 5])) % len(versions)]
        versions.append(change(*base, kind, n))
    for log, model, start in versions:
        assert list(log) == model
        assert list(log.items()) == list(enumerate(model, start + 1))
        assert (log.first_index, log.last_index) == (start + 1, start + len(model))
        assert log.base.index == start
        assert log.since(start) == tuple(model)
        assert log.since(start, 2) == tuple(model[:2])
        assert [i in log for i in (start, start + 1)] == [False, bool(model)]
        if model:
            assert log[log.last_index] == model[-1]
    for _ in range(5):
        (old, _, _), (new, model, _) = (data.draw(st.sampled_from(versions)) for _ in "ab")
        patched = old.patch(Log.delta(old, new))
        assert patched == new
        assert hash(patched) == hash(new)
        assert patched.base == new.base
        assert list(patched) == model
        assert old.patch(decode(encode(Log.delta(old, new)), LogDelta[int])) == new


@given(CHANGES)
def test_equality_is_of_the_content_not_of_the_history(changes: list[Any]) -> None:
    log, model, start = Log[int](), list[int](), 0
    for kind, n in changes:
        log, model, start = change(log, model, start, kind, n)
    rebuilt = Log(model, log.base)
    assert rebuilt == log
    assert hash(rebuilt) == hash(log)
    assert rebuilt.chain() == log.chain()
    assert rebuilt.append(99) != log
    assert pickle.loads(pickle.dumps(log)) == log
    assert decode(encode(log), Log[int]) == log


def test_logs_that_differ_only_in_what_was_compacted_are_not_equal() -> None:
    one = Log((1, 2, 3)).compact(2, (1, "r1"))
    other = Log((1, 7, 3)).compact(2, (1, "r1"))
    assert list(one) == list(other)
    assert one != other
    assert one != Log((1, 2, 3)).compact(2, (2, "r1"))
    assert Log((1,)) != Log((True,))


def test_versions_share_entries_until_they_part() -> None:
    trunk = Log((1, 2))
    left = trunk.append(3)
    right = trunk.append(4)
    assert left._buffer is trunk._buffer
    assert right._buffer is not trunk._buffer
    assert (list(trunk), list(left), list(right)) == ([1, 2], [1, 2, 3], [1, 2, 4])
    assert left != right
    assert Log.delta(trunk, left) == LogDelta(None, 2, (3,))
    assert Log.delta(left, right) == LogDelta(None, 2, (4,))


def test_a_fork_keeps_the_hashes_that_are_known() -> None:
    trunk = Log(range(100))
    trunk.chain()
    fork = trunk.truncate(60).append(1)
    assert len(fork._buffer.chains) == 61


def test_a_delta_costs_what_was_appended() -> None:
    log = Log(range(1000))
    assert Log.delta(log, log.append(7, 8)) == LogDelta(None, 1000, (7, 8))
    assert Log.delta(log, log.truncate(990)) == LogDelta(None, 990, ())
    compacted = log.compact(900, (3, ""))
    assert Log.delta(log, compacted) == LogDelta(compacted.base, 1000, ())


def test_indices_out_of_range_are_errors() -> None:
    log = Log((1, 2, 3)).compact(2, (0, ""))
    for index in (0, 1, 2, 4):
        with pytest.raises(IndexError):
            log[index]
    with pytest.raises(IndexError, match="compacted"):
        log.since(1)
    with pytest.raises(IndexError, match="compacted"):
        log.truncate(1)
    with pytest.raises(IndexError):
        log.compact(1, (0, ""))
    with pytest.raises(IndexError):
        log.compact(4, (0, ""))
    assert log.compact(2, (9, "")) is log
    assert log.truncate(9) is log
    assert log.since(9) == ()


class Saved(msgspec.Struct, frozen=True):
    log: Log[Command]


def test_a_log_in_a_struct_comes_back_with_base_and_types() -> None:
    log = Log([Command("s", i, b"x") for i in range(5)]).compact(2, (4, "r3"))
    back = decode(encode(Saved(log)), Saved)
    assert back.log == log
    assert type(back.log[3]) is Command
    assert back.log.base == Base(2, (4, "r3"), log.base.chain)


@pytest.mark.parametrize("data", [7, [], [1], [[0, [0, ""], b""]], [[0, [0, ""], b""], [7]]])
def test_what_is_no_log_is_bad_input(data: Any) -> None:
    with pytest.raises(BadInput, match="malformed"):
        decode(encode(data), Log[Command])
