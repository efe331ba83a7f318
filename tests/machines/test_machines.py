"""Each machine does what it says; errors are results; bytes, events and snapshots come back."""

import pickle
import sys
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.chance import Stream
from concur.errors import BadInput
from concur.machines import (
    Machine,
    MachineCommand,
    MachineError,
    Refused,
    all_machines,
    counter,
    kv,
    lock,
    machine,
    queue,
    register,
)
from concur.machines.base import ERROR_LENGTH_MAX, MEMO_BYTES_MAX
from concur.machines.sampling import Sampler
from concur.values import Map
from tests.machines import bad_machines as bad

ALL = pytest.mark.parametrize("subject", all_machines(), ids=lambda subject: subject.name)


def replies(subject: Machine[Any, Any], *commands: Any) -> list[Any]:
    state = subject.initial()
    results = []
    for command in commands:
        state, result = subject.run(state, subject.encode(command))
        results.append(subject.decode_result(result))
    return results


# --- what they do --------------------------------------------------------------------------------


def test_register_reads_what_was_written_and_cas_compares() -> None:
    r = register
    assert replies(
        r.Register(), r.Read(), r.Write("a"), r.Cas("x", "b"), r.Cas("a", "c"), r.Read()
    ) == [None, None, False, True, "c"]


@pytest.mark.parametrize(("old", "given_"), [(1, True), (0, False), ("a", b"a")])
def test_cas_compares_types_too(old: Any, given_: Any) -> None:
    assert replies(register.Register(), register.Write(old), register.Cas(given_, 2))[1] is False
    assert replies(kv.KeyValue(), kv.Put("k", old), kv.Cas("k", given_, 2))[1] is False


def test_kv_does_what_a_dict_does() -> None:
    assert replies(
        kv.KeyValue(),
        kv.Get("a"),
        kv.Put("a", 1),
        kv.Get("a"),
        kv.Cas("a", 1, 2),
        kv.Cas("a", 1, 3),
        kv.Get("a"),
        kv.Delete("a"),
        kv.Delete("a"),
        kv.Get("a"),
        kv.Append("s", "x"),
        kv.Append("s", "y"),
        kv.Get("s"),
    ) == [None, None, 1, True, False, 2, None, None, None, None, None, "xy"]


def test_none_and_absent_are_one() -> None:
    store = kv.KeyValue()
    state = store.initial()
    state, _ = store.apply(state, kv.Cas("a", None, 1))
    assert state == Map({"a": 1})
    assert store.apply(state, kv.Put("a", None))[0] == store.initial()
    assert store.apply(state, kv.Cas("a", 1, None))[0] == store.initial()


def test_scan_gives_pairs_in_order_up_to_its_limit() -> None:
    puts = [kv.Put(f"k{n}", n) for n in (5, 1, 3, 2, 4)]
    assert replies(kv.KeyValue(), *puts, kv.Scan("k2", 3))[-1] == (("k2", 2), ("k3", 3), ("k4", 4))


def test_scan_sees_each_change_of_the_keys() -> None:
    results = replies(
        kv.KeyValue(),
        kv.Put("b", 1),
        kv.Scan("", 9),
        kv.Put("a", 2),
        kv.Scan("", 9),
        kv.Delete("b"),
        kv.Scan("", 9),
    )
    assert results[1::2] == [(("b", 1),), (("a", 2), ("b", 1)), (("a", 2),)]


def test_a_scan_of_large_values_ends_early_but_never_empty() -> None:
    large = "x" * kv.VALUE_LENGTH_MAX
    puts = [kv.Put(f"k{n}", large) for n in range(6)]
    assert len(replies(kv.KeyValue(), *puts, kv.Scan("", 6))[-1]) == 3


def test_counter_adds_and_fetches() -> None:
    c = counter
    commands = c.Read(), c.Add(5), c.FetchAdd(-2), c.Read()
    assert replies(c.Counter(), *commands) == [0, None, 5, 3]


def test_a_total_beyond_64_bits_is_refused_and_survives_a_snapshot() -> None:
    subject = counter.Counter()
    state = subject.restore(subject.snapshot(1 << 70))
    for command in (counter.Read(), counter.FetchAdd(1)):
        after, result = subject.run(state, subject.encode(command))
        assert after == 1 << 70
        assert subject.decode_result(result).type == "Refused"


def test_lock_has_one_holder_and_tokens_grow() -> None:
    steps = [
        lock.Acquire("a"),
        lock.Acquire("b"),
        lock.Acquire("a"),
        lock.Release("b", 1),
        lock.Release("a", 2),
        lock.Holder(),
        lock.Release("a", 1),
        lock.Holder(),
        lock.Acquire("b"),
    ]
    assert replies(lock.Lock(), *steps) == [1, None, None, False, False, ("a", 1), True, None, 2]


@given(
    st.lists(
        st.sampled_from(["a", "b"]).flatmap(
            lambda owner: st.one_of(
                st.just(lock.Acquire(owner)),
                st.builds(lock.Release, st.just(owner), st.integers(0, 4)),
            )
        )
    )
)
@settings(max_examples=100, deadline=None)
def test_fencing_tokens_strictly_increase_whatever_is_asked(commands: list[Any]) -> None:
    results = replies(lock.Lock(), *commands)
    tokens = [
        result
        for command, result in zip(commands, results, strict=True)
        if isinstance(command, lock.Acquire) and result is not None
    ]
    assert tokens == sorted(set(tokens))


def test_a_queue_gives_back_what_came_first() -> None:
    q = queue
    assert replies(
        q.Queue(),
        q.Dequeue("a"),
        q.Peek("a"),
        q.Length("a"),
        q.Enqueue("a", 1),
        q.Enqueue("a", "two"),
        q.Enqueue("b", 3),
        q.Peek("a"),
        q.Length("a"),
        q.Dequeue("a"),
        q.Dequeue("b"),
        q.Dequeue("a"),
        q.Dequeue("a"),
    ) == [None, None, 0, None, None, None, 1, 2, 1, 3, "two", None]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 2) | st.none()),
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_queues_do_what_lists_do(asked: list[tuple[str, int | None]]) -> None:
    subject, lists = queue.Queue(), {"a": list[int](), "b": list[int]()}
    state = subject.initial()
    for name, value in asked:
        known = lists[name]
        assert subject.apply(state, queue.Length(name))[1] == len(known)
        assert subject.apply(state, queue.Peek(name))[1] == (known[0] if known else None)
        if value is not None:
            known.append(value)
            state, _ = subject.apply(state, queue.Enqueue(name, value))
        else:
            state, found = subject.apply(state, queue.Dequeue(name))
            assert found == (known.pop(0) if known else None)
    if not any(lists.values()):
        assert state == subject.initial()  # empty is empty, whatever has been


def test_a_full_queue_refuses_and_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LENGTH_MAX", 2)
    q = queue
    results = replies(q.Queue(), *(q.Enqueue("a", n) for n in range(3)), q.Dequeue("a"))
    assert results[2:] == [MachineError("Refused", "the queue is full: 2 values"), 0]


def test_queues_of_different_names_do_not_conflict() -> None:
    subject, q = queue.Queue(), queue
    assert subject.conflicts(q.Enqueue("a", 1), q.Enqueue("a", 2))
    assert subject.conflicts(q.Dequeue("a"), q.Length("a"))
    assert not subject.conflicts(q.Dequeue("a"), q.Dequeue("b"))
    assert not subject.conflicts(q.Peek("a"), q.Length("a"))


# --- errors are results ---------------------------------------------------------------------------


class Do(MachineCommand, frozen=True):
    what: str
    depth: int = 0


class Moody(Machine[Any, Do]):
    name = "moody"
    commands = (Do,)

    def initial(self) -> int:
        return 0

    def apply(self, state: int, command: Do) -> tuple[int, Any]:
        what = command.what
        if what == "refuse":
            raise Refused("not today")
        if what == "address":
            raise ValueError(f"strange {object()}")
        if what == "long":
            raise ValueError("x" * 10_000)
        if what == "surrogate":
            raise ValueError("\ud800")
        if what == "list":
            return state + 1, object()
        if what == "memory":
            raise MemoryError
        if what == "exit":
            raise SystemExit
        if what == "nest":
            return state + nested(command.depth), "survived"
        return state + 1, "done"


def nested(depth: int) -> int:
    return 1 if depth == 0 else nested(depth - 1)


def moody(what: str, depth: int = 0) -> tuple[int, Any]:
    subject = Moody()
    state, result = subject.run(7, subject.encode(Do(what, depth)))
    return state, subject.decode_result(result)


def test_an_apply_that_raises_is_a_result_and_changes_nothing() -> None:
    assert moody("refuse") == (7, MachineError("Refused", "not today"))
    assert moody("other") == (8, "done")


def test_an_error_message_is_bounded_and_holds_no_address() -> None:
    assert moody("address")[1].message == "strange <object object at 0x...>"
    assert len(moody("long")[1].message) == ERROR_LENGTH_MAX
    assert moody("surrogate")[1] == MachineError("ValueError", "?")


def test_a_result_that_does_not_encode_is_an_error_and_changes_nothing() -> None:
    state, result = moody("list")
    assert (state, result.type) == (7, "TypeError")


def test_deep_recursion_gives_the_same_result_however_deep_the_caller_is() -> None:
    limit = sys.getrecursionlimit()
    depths = limit // 2, limit * 2
    outcomes = [moody("nest", depth) for depth in depths]
    assert outcomes[0] == (8, "survived")
    assert outcomes[1] == (7, MachineError("RecursionError", "nested too deeply"))

    def below(frames: int) -> list[Any]:
        if frames:
            return below(frames - 1)
        return [moody("nest", depth) for depth in depths]

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(below(limit * 3 // 5)))
    thread.start()
    thread.join()
    assert found == [outcomes]


def test_what_depends_on_the_host_is_no_result_but_stops_the_node() -> None:
    with pytest.raises(MemoryError):
        moody("memory")
    with pytest.raises(SystemExit):
        moody("exit")


@ALL
@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x91\xa3foo", b"\x93\xa3get\x01\x02", b"\x90" * 2000]
)
def test_a_malformed_body_is_an_error_result(subject: Machine[Any, Any], body: bytes) -> None:
    state, result = subject.run(subject.initial(), body)
    assert state == subject.initial()
    assert subject.decode_result(result).type == "BadInput"
    with pytest.raises(BadInput, match="expected one of"):
        subject.decode(body)


@pytest.mark.parametrize(
    ("subject", "command", "message"),
    [
        (kv.KeyValue(), kv.Get("k" * 1025), "kv key: 1025 characters, expected at most 1024"),
        (kv.KeyValue(), kv.Put("k", "v" * (1 << 20) + "v"), "kv value: 1048577 characters"),
        (kv.KeyValue(), kv.Put("k", 1 << 63), "kv value: an integer of 64 bits"),
        (kv.KeyValue(), kv.Put("k", 0.5), "kv value: a float, expected"),  # type: ignore[arg-type]
        (kv.KeyValue(), kv.Put("k", "\ud800"), "surrogates"),
        (kv.KeyValue(), kv.Append("k", 3), "expected a str or bytes"),
        (kv.KeyValue(), kv.Scan("", 0), "kv scan limit: 0, expected 1 to 1000"),
        (kv.KeyValue(), kv.Scan("", 1001), "kv scan limit: 1001"),
        (register.Register(), register.Write((1,)), "a tuple"),  # type: ignore[arg-type]
        (counter.Counter(), counter.Add(1 << 40), "counter amount"),
        (counter.Counter(), counter.Add(True), "expected an integer"),
        (lock.Lock(), lock.Acquire("x" * 257), "lock owner: 257 characters"),
        (queue.Queue(), queue.Enqueue("q", None), "queue value: None, expected a value"),
        (queue.Queue(), queue.Enqueue("q", "v" * (1 << 20) + "v"), "queue value: 1048577"),
        (queue.Queue(), queue.Peek("q" * 1025), "queue name: 1025 characters"),
    ],
)
def test_a_bound_is_a_definite_error_before_anything_happens(
    subject: Machine[Any, Any], command: Any, message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        subject.encode(command)
    assert "\n" not in str(caught.value)


def test_a_bound_holds_for_a_client_that_does_not_check() -> None:
    store = kv.KeyValue()
    body = msgspec.msgpack.encode(kv.Scan("", 1_000_000))
    state, result = store.run(store.initial(), body)
    assert store.decode_result(result) == MachineError(
        "BadInput", "kv scan limit: 1000000, expected 1 to 1000"
    )
    assert state == store.initial()


def test_appends_are_refused_by_type_and_total_length() -> None:
    full = kv.Put("k", "v" * kv.VALUE_LENGTH_MAX)
    results = replies(
        kv.KeyValue(), kv.Put("n", 1), kv.Append("n", "x"), full, kv.Append("k", "x"), kv.Get("k")
    )
    assert results[1] == MachineError("Refused", "append of str to int")
    assert results[3].type == "Refused"
    assert len(results[4]) == kv.VALUE_LENGTH_MAX


# --- bytes, events, snapshots ---------------------------------------------------------------------


def draws(subject: Machine[Any, Any], count: int = 300) -> list[Any]:
    stream = Stream(11, "test")
    sampler = Sampler(subject)
    return [sampler.draw(stream) for _ in range(count)]


@ALL
def test_commands_come_back_from_bytes_and_from_events(subject: Machine[Any, Any]) -> None:
    for command in draws(subject):
        for back in (
            subject.decode(subject.encode(command)),
            subject.command(*subject.event(command)),
        ):
            assert repr(back) == repr(command)


@ALL
def test_snapshots_come_back_and_equal_states_give_equal_bytes(subject: Machine[Any, Any]) -> None:
    state = subject.initial()
    for command in draws(subject):
        state, _ = subject.run(state, subject.encode(command))
    data = subject.snapshot(state)
    assert subject.restore(data) == state
    assert subject.snapshot(subject.restore(data)) == data
    with pytest.raises(BadInput):
        subject.restore(b"\xc1")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 63) - 1)
        | st.text(st.characters(exclude_categories=["Cs"]))
        | st.binary(),
        lambda inner: st.lists(inner).map(tuple),
    )
)
@settings(deadline=None)
def test_results_come_back_with_their_types(result: Any) -> None:
    back = kv.KeyValue().decode_result(kv.KeyValue().encode_result(result))
    assert repr(back) == repr(result)


@pytest.mark.parametrize("result", [0.5, [1], {1: 2}, {1}, object(), 1 << 63, (1, [2])])
def test_other_results_are_refused(result: Any) -> None:
    with pytest.raises(BadInput, match="result of kv"):
        kv.KeyValue().encode_result(result)


@pytest.mark.parametrize(
    ("command", "result", "completion"),
    [
        (kv.Get("k"), "v", ("ok", "v", None)),
        (kv.Put("k", "v"), None, ("ok", "v", None)),
        (kv.Append("k", "v"), None, ("ok", "v", None)),
        (kv.Append("k", "v"), MachineError("Refused", "no"), ("fail", "v", "Refused: no")),
        (kv.Cas("k", 1, 2), True, ("ok", (1, 2), None)),
        (kv.Cas("k", 1, 2), False, ("fail", (1, 2), "mismatch")),
        (kv.Delete("k"), None, ("ok", None, None)),
    ],
)
def test_completions_tell_what_happened(command: Any, result: Any, completion: Any) -> None:
    assert kv.KeyValue().completion(command, result) == completion


@ALL
def test_an_unknown_event_is_bad_input(subject: Machine[Any, Any]) -> None:
    with pytest.raises(BadInput, match=f"expected an operation of {subject.name}"):
        subject.command("no-such-operation", "k", None)


def test_large_bodies_are_not_remembered() -> None:
    store = kv.KeyValue()
    store.run(store.initial(), store.encode(kv.Put("k", "v" * MEMO_BYTES_MAX)))
    store.run(store.initial(), store.encode(kv.Put("k", "v")))
    assert store._remember.cache_info().currsize == 1  # type: ignore[attr-defined]


# --- names ----------------------------------------------------------------------------------------


@ALL
def test_a_machine_is_found_by_name_and_pickles_after_use(subject: Machine[Any, Any]) -> None:
    subject.run(subject.initial(), b"")
    assert machine(subject.name) == subject
    assert pickle.loads(pickle.dumps(subject)) == subject
    assert hash(machine(subject.name)) == hash(subject)


def test_a_machine_is_found_by_import_path() -> None:
    assert machine("tests.machines.bad_machines:Good") == bad.Good()
    assert machine("tests.machines.bad_machines:bank") is bad.bank


def test_an_unknown_machine_lists_the_names() -> None:
    with pytest.raises(BadInput, match="expected one of counter, kv, lock, queue, redis, "):
        machine("memcached")


def test_commands_that_cannot_be_told_apart_are_bad_input() -> None:
    class Plain(msgspec.Struct):
        value: int

    with pytest.raises(BadInput, match="careless: command Plain is no frozen Struct with a tag"):

        class Careless(Machine[int, Any]):
            name = "careless"
            commands = (Plain,)
