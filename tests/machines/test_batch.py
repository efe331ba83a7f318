"""A batch does what its commands would do one after the other, and is bounded."""

import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines import (
    Adaptor,
    Batch,
    KeyValue,
    Machine,
    MachineError,
    Redis,
    all_machines,
    batch,
    check_machine,
    kv,
    machine,
    redis,
)
from concur.machines.sampling import Sampler

ALL = pytest.mark.parametrize("inner", all_machines(), ids=lambda inner: inner.name)


def drawn(inner: Machine[Any, Any], seed: int, count: int) -> list[Any]:
    stream, sampler = Stream(seed, "batches"), Sampler(inner)
    return [sampler.draw(stream) for _ in range(count)]


@ALL
def test_a_batch_is_its_commands_in_turn(inner: Machine[Any, Any]) -> None:
    batches = Batch(inner)
    one = other = inner.initial()
    for seed in range(20):
        bodies = [inner.encode(command) for command in drawn(inner, seed, 10)]
        one, result = batches.run(one, batches.join(bodies))
        expected = []
        for body in bodies:
            other, each = inner.run(other, body)
            expected.append(each)
        assert batches.split(result) == expected
        assert batches.snapshot(one) == inner.snapshot(other)


@ALL
def test_batches_of_every_machine_are_fit_to_be_replicated(inner: Machine[Any, Any]) -> None:
    commands = drawn(inner, 1, 120)
    check_machine(Batch(inner), [tuple(commands[n : n + 4]) for n in range(0, 120, 4)])


@given(st.lists(st.binary(max_size=4) | st.integers(0, 3), max_size=8))
def test_malformed_commands_are_errors_and_the_others_are_executed(parts: list[Any]) -> None:
    store = Redis()
    good = [store.encode(redis.IncrBy(b"n", part)) for part in parts if type(part) is int]
    bodies, malformed = [], []
    for part in parts:
        if type(part) is int:
            bodies.append(store.encode(redis.IncrBy(b"n", part)))
        else:
            bodies.append(msgspec.msgpack.encode(part))
        malformed.append(type(part) is not int)
    state, result = Batch(store).run(store.initial(), Batch.join(bodies))
    results = [store.decode_result(each) for each in Batch.split(result)]
    assert [isinstance(each, MachineError) for each in results] == malformed
    assert len(good) == 0 or state.values[b"n"] == b"%d" % sum(p for p in parts if type(p) is int)


@pytest.mark.parametrize("body", [b"", b"\xc0", b"\x93\x01", b"\xdd\xff\xff\xff\xff", b"\x91" * 9])
def test_what_is_no_batch_is_an_error_and_changes_nothing(body: bytes) -> None:
    batches = Batch(KeyValue())
    state, result = batches.run(batches.initial(), body)
    value = batches.decode_result(result)
    assert isinstance(value, MachineError) or body == b"\x91" * 9
    assert state == batches.initial()


def test_a_command_out_of_bounds_is_an_error_of_its_own() -> None:
    store = KeyValue()
    bodies = [store.encode(kv.Put("a", 1)), msgspec.msgpack.encode(kv.Put("k" * 5000, 1))]
    _, result = Batch(store).run(store.initial(), Batch.join(bodies))
    first, second = map(store.decode_result, Batch.split(result))
    assert first is None
    assert second.message == "kv key: 5000 characters, expected at most 1024"


def test_a_batch_ends_when_its_results_are_too_long_but_never_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "RESULT_BYTES_MAX", 100)
    store = Redis()
    commands = (redis.Get(b"a"), redis.IncrBy(b"n", 1), redis.Get(b"a"), redis.IncrBy(b"n", 1))
    state, _ = store.apply(store.initial(), redis.Set(b"a", b"x" * 60))
    for size, executed in ((60, 3), (200, 1)):
        state, _ = store.apply(
            store.apply(state, redis.FlushAll())[0], redis.Set(b"a", b"x" * size)
        )
        state, results = Batch(store).apply(state, commands)
        assert len(results) == executed
        assert store.apply(state, redis.Get(b"n"))[1] == (b"1" if executed == 3 else None)


def test_results_of_writes_which_replicas_keep_are_shorter_than_those_of_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "KEPT_BYTES_MAX", 100)
    monkeypatch.setattr(batch, "RESULT_BYTES_MAX", 1000)
    store = Redis()
    state, _ = store.apply(store.initial(), redis.Set(b"a", b"x" * 60))
    reads = (redis.Get(b"a"),) * 50
    assert len(Batch(store).apply(state, reads)[1]) == 17
    assert len(Batch(store).apply(state, (*reads, redis.IncrBy(b"n", 1)))[1]) == 2
    state, _ = store.apply(state, redis.Set(b"a", b"x" * 2000))
    assert len(Batch(store).apply(state, reads)[1]) == 1


def test_reads_only_if_all_of_it_does() -> None:
    batches = Batch(KeyValue())
    assert batches.read_only((kv.Get("a"), kv.Scan("", 1)))
    assert not batches.read_only((kv.Get("a"), kv.Put("a", 1)))
    assert batches.read_only(())


def test_batches_conflict_if_their_commands_do() -> None:
    batches = Batch(KeyValue())
    one, other = (kv.Put("a", 1), kv.Get("b")), (kv.Get("b"), kv.Put("c", 1))
    assert not batches.conflicts(one, other)
    assert batches.conflicts(one, (*other, kv.Get("a")))


class Nested:
    """An ordinary object whose apply recurses too deeply now and then."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: tuple[Any, ...]) -> int:
        if command[1] < 0:
            return self.apply(command)
        self.total += command[1]
        return self.total

    def snapshot(self) -> bytes:
        return b"%d" % self.total

    def restore(self, data: bytes) -> None:
        self.total = int(data)


def test_an_adapted_object_goes_on_after_a_command_that_fails() -> None:
    adapted = Adaptor(Nested, {"add": (int,)})
    batches = Batch(adapted)
    bodies = [adapted.encode(adapted.command("add", None, (n,))) for n in (1, -1, 2)]
    state, result = batches.run(batches.initial(), batches.join(bodies))
    first, second, third = map(adapted.decode_result, batches.split(result))
    assert (first, second.type, third) == (1, "RecursionError", 3)
    assert batches.snapshot(state) == b"3"


def test_a_decoded_batch_is_remembered_by_identity() -> None:
    batches = Batch(Redis())
    body = batches.encode((redis.Get(b"a"),))
    assert batches.recall(body) is batches.recall(body)
    copy = bytes(bytearray(body))
    assert batches.recall(copy) == batches.recall(body)


def test_a_batch_is_found_by_name_and_pickles() -> None:
    batches = machine("redis-batch")
    assert batches == Batch(Redis())
    assert batches != Batch(KeyValue())
    batches.recall(batches.encode(()))
    assert pickle.loads(pickle.dumps(batches)) == batches
    with pytest.raises(BadInput, match="unknown, expected one of"):
        machine("nothing-batch")


@pytest.mark.parametrize("count", [0, 1, 15, 16, 70_000])
def test_a_batch_of_any_length_is_an_array(count: int) -> None:
    assert msgspec.msgpack.decode(Batch.join([b"\x01"] * count)) == [1] * count
