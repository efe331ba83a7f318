"""The Redis machine does what Redis does, and lets time pass as the log says."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.histories import History, check
from concur.machines import MachineError, Redis, keyspace, machine
from concur.machines.globs import Glob, glob
from concur.machines.redis import (
    KEY_LENGTH_MAX,
    LENGTH_MAX,
    MATCH_COST_MAX,
    PATTERN_LENGTH_MAX,
    WALKS_MAX,
    Append,
    Cas,
    DbSize,
    Delete,
    Exec,
    Exists,
    Expire,
    ExpireTime,
    FlushAll,
    Get,
    GetDelete,
    IncrBy,
    KeysLike,
    MGet,
    MSet,
    Scan,
    Set,
    SetWith,
    StrLen,
    Tick,
)

REDIS = Redis()


def results(*commands: Any, state: Any = None) -> list[Any]:
    state = REDIS.initial() if state is None else state
    found = []
    for command in commands:
        state, result = REDIS.run(state, REDIS.encode(command))
        found.append(REDIS.decode_result(result))
    return found


def test_strings_are_set_read_and_deleted() -> None:
    assert results(
        Get(b"a"), Set(b"a", b""), Get(b"a"), Exists((b"a", b"a", b"b")), StrLen(b"a"),
        Append(b"a", b"xy"), Append(b"b", b"z"), MGet((b"a", b"c", b"b")), GetDelete(b"a"),
        Delete((b"a", b"b")), DbSize(),
    ) == [None, None, b"", 2, 0, 2, 1, (b"xy", None, b"z"), b"xy", 1, 0]  # fmt: skip


def test_conditions_of_a_set() -> None:
    assert results(
        SetWith(b"a", b"1", "xx"), SetWith(b"a", b"1", "nx"), SetWith(b"a", b"2", "nx"),
        SetWith(b"a", b"2", "nx", get=True), SetWith(b"a", b"3", "xx", get=True), Get(b"a"),
        MSet((b"b", b"1", b"c", b"2"), absent=True), MSet((b"d", b"1", b"a", b"2"), absent=True),
        Get(b"d"),
    ) == [False, True, False, b"1", b"1", b"3", True, False, None]  # fmt: skip


def test_compare_and_set_creates_changes_and_deletes() -> None:
    assert results(
        Cas(b"a", None, b"1"), Cas(b"a", None, b"2"), Cas(b"a", b"1", b"2"), Cas(b"a", b"1", None),
        Cas(b"a", b"2", None), Get(b"a"),
    ) == [True, False, True, False, True, None]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "sum_"),
    [(b"10", 11), (b"-1", 0), (b"0", 1), (b"9223372036854775806", 9223372036854775807)],
)
def test_numbers_are_added_to(value: bytes, sum_: int) -> None:
    assert results(Set(b"n", value), IncrBy(b"n", 1), Get(b"n"))[1:] == [sum_, b"%d" % sum_]


@pytest.mark.parametrize(
    "value",
    [b"", b"01", b"+1", b" 1", b"1 ", b"-0", b"1_0", b"1.0", b"x", b"9" * 19, b"9" * 5000],
)
def test_what_redis_does_not_take_for_a_number_is_refused(value: bytes) -> None:
    refused = results(Set(b"n", value), IncrBy(b"n", 1))[1]
    assert refused == MachineError("Refused", "value is not an integer or out of range")


def test_a_sum_beyond_64_bits_is_refused_and_changes_nothing() -> None:
    _, refused, kept = results(Set(b"n", b"9223372036854775807"), IncrBy(b"n", 1), Get(b"n"))
    assert refused == MachineError("Refused", "increment or decrement would overflow")
    assert kept == b"9223372036854775807"


# --- time ----------------------------------------------------------------------------------------


def test_a_key_lives_by_the_time_of_the_log_alone() -> None:
    assert results(
        Tick(1000), SetWith(b"a", b"1", ttl_ms=500), ExpireTime(b"a"), Tick(1499), Get(b"a"),
        Tick(1500), Get(b"a"), ExpireTime(b"a"), Exists((b"a",)), SetWith(b"a", b"2", "nx"),
    ) == [None, True, 1500, None, b"1", None, None, -2, 0, True]  # fmt: skip


def test_time_never_goes_back_while_a_key_expires() -> None:
    assert results(
        SetWith(b"a", b"1", at_ms=1500), SetWith(b"b", b"1", at_ms=2100), Tick(2000), Tick(1000),
        Get(b"a"), SetWith(b"c", b"1", ttl_ms=100), Tick(2050), Get(b"c"), ExpireTime(b"c"),
    )[4:] == [None, True, None, b"1", 2100]  # fmt: skip


def test_a_clock_that_was_ahead_is_forgotten_when_no_key_expires_any_more() -> None:
    year_ms = 365 * 86_400_000
    wrong = (Tick(year_ms), SetWith(b"a", b"1", ttl_ms=100), SetWith(b"b", b"1", ttl_ms=100))
    for repair in (
        (Expire(b"a"), Delete((b"b",))),
        (FlushAll(),),
        (Set(b"a", b""), Set(b"b", b"")),
    ):
        before, *_, after = results(
            *wrong, Tick(1000), ExpireTime(b"a"), *repair, Tick(2000),
            SetWith(b"c", b"1", ttl_ms=100), ExpireTime(b"c"),
        )[4:]  # fmt: skip
        assert (before, after) == (year_ms + 100, 2100)


def test_what_keeps_and_what_ends_an_expiry() -> None:
    begin = (Tick(1000), SetWith(b"a", b"1", ttl_ms=500))
    for command, at_ms in [
        (Set(b"a", b"2"), -1),
        (SetWith(b"a", b"2"), -1),
        (SetWith(b"a", b"2", keep_ttl=True), 1500),
        (Append(b"a", b"2"), 1500),
        (IncrBy(b"a", 1), 1500),
        (Cas(b"a", b"1", b"2"), 1500),
        (Expire(b"a"), -1),
        (MSet((b"a", b"2")), -1),
        (Delete((b"a",)), -2),
        (FlushAll(), -2),
        (Expire(b"a", at_ms=900), -2),
    ]:
        assert results(*begin, command, ExpireTime(b"a"))[-1] == at_ms, command


def test_conditions_of_an_expiry() -> None:
    begin = (Tick(1000), Set(b"a", b"1"), Set(b"b", b"1"), Expire(b"b", at_ms=2000))
    for key, at_ms, only, done in [
        (b"a", 1500, "nx", True), (b"b", 1500, "nx", False),
        (b"a", 1500, "xx", False), (b"b", 1500, "xx", True),
        (b"a", 1500, "gt", False), (b"b", 1500, "gt", False), (b"b", 2500, "gt", True),
        (b"a", 1500, "lt", True), (b"b", 1500, "lt", True), (b"b", 2500, "lt", False),
        (b"a", 1500, "xx-lt", False), (b"b", 1500, "xx-lt", True),
    ]:  # fmt: skip
        assert results(*begin, Expire(key, at_ms, None, only))[-1] is done, (key, at_ms, only)
    assert results(*begin, Expire(b"c", at_ms=1500), Expire(b"a"), Expire(b"b"))[-3:] == [
        False, False, True,
    ]  # fmt: skip


def test_sweeping_is_bounded_and_does_not_show() -> None:
    many = keyspace.SWEEP_MAX + 500
    state = REDIS.apply(REDIS.initial(), Tick(1000))[0]
    for number in range(many):
        state, _ = REDIS.apply(state, SetWith(b"%d" % number, b"", ttl_ms=10))
    assert keyspace.due(state, 1200)
    state, _ = REDIS.apply(state, Tick(1200))
    assert len(state.values) == 500
    assert results(Exists(tuple(b"%d" % n for n in range(many))), state=state) == [0]
    assert keyspace.due(state, 1200), "there is more to be swept"
    state, _ = REDIS.apply(state, Tick(1200))
    assert len(state.values) == 0
    assert not keyspace.due(state, 10**9)
    assert REDIS.snapshot(state) == REDIS.snapshot(
        keyspace.Keyspace(now_ms=1200, horizon=1200 >> 6)
    )


def test_nothing_is_due_while_nothing_expires_soon() -> None:
    state = REDIS.apply(REDIS.initial(), Tick(10**12))[0]
    assert not keyspace.due(state, 10**13)
    state, _ = REDIS.apply(state, SetWith(b"a", b"", ttl_ms=30_000))
    assert not keyspace.due(state, 10**12 + 29_000)
    assert keyspace.due(state, 10**12 + 30_100)


moments = st.integers(0, 4000)
some_keys = st.sampled_from([b"a", b"b", b"c", b"dd"])
timed_commands = st.one_of(
    st.builds(Set, some_keys, st.sampled_from([b"1", b"x"])),
    st.builds(
        SetWith, some_keys, st.just(b"2"), st.sampled_from(["", "nx", "xx"]),
        st.none(), st.integers(-10, 900), st.booleans(), st.booleans(),
    ),
    st.builds(SetWith, some_keys, st.just(b"3"), st.just(""), moments),
    st.builds(Expire, some_keys, moments | st.none(), st.none(), st.sampled_from(["", "gt", "xx"])),
    st.builds(Append, some_keys, st.just(b"z")),
    st.builds(IncrBy, some_keys, st.just(1)),
    st.builds(Delete, st.tuples(some_keys)),
    st.builds(Get, some_keys),
    st.builds(ExpireTime, some_keys),
    st.builds(Tick, moments),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(timed_commands, max_size=40))
def test_indices_agree_with_values_and_expired_keys_are_as_if_absent(commands: list[Any]) -> None:
    """Against a store that forgets at once what has expired."""
    state = REDIS.initial()
    plain: dict[bytes, tuple[bytes, int | None]] = {}
    now = 0
    for command in commands:
        if type(command) is Tick:
            now = max(now, command.now_ms) if len(state.agenda) else command.now_ms
        state, _ = REDIS.run(state, REDIS.encode(command))
        if type(command) is Tick:
            plain = {k: (v, t) for k, (v, t) in plain.items() if t is None or t > now}
        fresh = REDIS.initial()
        fresh, _ = REDIS.apply(fresh, Tick(now))
        for key, (value, at_ms) in plain.items():
            fresh, _ = REDIS.apply(fresh, SetWith(key, value, at_ms=at_ms))
        if type(command) is not Tick:
            fresh, _ = REDIS.run(fresh, REDIS.encode(command))
        plain = {
            key: (value, keyspace.expiry_at(fresh, key))
            for key in fresh.values
            if (value := keyspace.value_at(fresh, key)) is not None
        }
        mine = {
            key: (value, keyspace.expiry_at(state, key))
            for key in state.values
            if (value := keyspace.value_at(state, key)) is not None
        }
        assert mine == plain
        again = REDIS.restore(REDIS.snapshot(state))
        assert again == state, "the indices follow from the values"


# --- walking -------------------------------------------------------------------------------------


@given(st.sets(st.binary(max_size=3)), st.sets(st.binary(max_size=3)), st.integers(1, 50))
def test_a_scan_gives_each_key_that_is_there_throughout(
    staying: set[bytes], changing: set[bytes], count: int
) -> None:
    state = REDIS.initial()
    for key in sorted(staying):
        state, _ = REDIS.apply(state, Set(key, b""))
    found: list[bytes] = []
    cursor = 0
    while True:
        state, (cursor, *keys) = REDIS.apply(state, Scan(cursor, b"*", count))
        found += keys
        if cursor == 0:
            break
        for key in sorted(changing - staying):
            absent = keyspace.value_at(state, key) is None
            state, _ = REDIS.apply(state, Set(key, b"") if absent else Delete((key,)))
    assert staying <= set(found)
    assert len(found) == len(set(found))
    assert set(found) <= staying | changing


def test_keys_are_listed_in_order_and_matched() -> None:
    pairs = tuple(part for key in (b"k2", b"k1", b"x") for part in (key, b""))
    assert results(MSet(pairs), KeysLike(b"*"), KeysLike(b"k?"), Scan(0, b"x", 100))[1:] == [
        (b"k1", b"k2", b"x"),
        (b"k1", b"k2"),
        (0, b"x"),
    ]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"h?llo", [b"hello", b"h\nllo"], [b"hllo", b"heello"]),
        (b"h*llo", [b"hllo", b"heeello", b"h\nxllo"], [b"hllox", b"ello"]),
        (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo"]),
        (b"h[^e]llo", [b"hallo"], [b"hello", b"hllo"]),
        (b"h[a-c]llo", [b"hbllo"], [b"hdllo"]),
        (b"h[c-a]llo", [b"hbllo"], [b"hdllo"]),
        (rb"h\*llo", [b"h*llo"], [b"hxllo"]),
        (rb"[\]]", [b"]"], [b"\\"]),
        (b"[abc", [b"a"], [b"[abc"]),
        (b"[]", [], [b"", b"]", b"[]"]),
        (b"[^]", [b"x"], [b""]),
        (b"a**b*", [b"ab", b"axbx", b"abab"], [b"ba"]),
        (b"*.*", [b"a.b", b"."], [b"ab"]),
        (b"", [b""], [b"a"]),
        (b"\\", [b"\\"], [b"a"]),
    ],
)
def test_patterns_are_those_of_redis(
    pattern: bytes, matching: list[bytes], other: list[bytes]
) -> None:
    assert [key for key in matching + other if glob(pattern).fits(key)] == matching


def naive(pattern: bytes, key: bytes) -> bool:
    """Of stars, question marks and plain characters."""
    if not pattern:
        return not key
    if pattern[:1] == b"*":
        return any(naive(pattern[1:], key[at:]) for at in range(len(key) + 1))
    same = bool(key) and pattern[:1] in (b"?", key[:1])
    return same and naive(pattern[1:], key[1:])


@settings(max_examples=500)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_a_match_is_what_trying_everything_finds(pattern: str, key: str) -> None:
    assert glob(pattern.encode()).fits(key.encode()) == naive(pattern.encode(), key.encode())


@pytest.mark.parametrize(
    "pattern",
    [
        b"*a" * 511 + b"b",
        b"*" * PATTERN_LENGTH_MAX,
        b"*?" * 512,
        b"*" + b"a" * 1022 + b"b",
        b"*" + b"a" * 1020 + b">b*",
        b"*" + b"?" * 1021 + b"b*",
        b"*" + b"[ab]" * 255 + b"c*",
        b"*a" * 511 + b"b*",
        (b"*" + b"a" * 50 + b"b") * 19,
    ],
    ids=lambda pattern: pattern[:8].decode(),
)
def test_matching_takes_as_long_as_it_costs_and_no_longer(pattern: bytes) -> None:
    """Of the worst patterns and the longest key: 1 to 3 ns for each character that is paid for,
    and the machine does not pay for more than `MATCH_COST_MAX`."""
    fit = Glob(pattern)
    key = b"a" * KEY_LENGTH_MAX
    begun = time.process_time()
    fit.fits(key)
    seconds = time.process_time() - begun
    print(f"{pattern[:8]!r}: {seconds * 1000:.2f} ms, cost {fit.cost(key):,}")
    assert seconds < 0.05 + fit.cost(key) * 100e-9


def test_comparing_too_much_is_refused_by_keys_and_done_in_steps_by_scan() -> None:
    state = REDIS.initial()
    keys = [b"%d" % number + b"a" * 50_000 for number in range(10)]
    for key in keys:
        state, _ = REDIS.apply(state, Set(key, b""))
    costly = b"*" + b"a" * 200 + b"*"
    assert MATCH_COST_MAX // (50_000 * 200) == 3, "three keys at a time"
    [refused, simple] = results(KeysLike(costly), KeysLike(b"*a"), state=state)
    assert refused.message.endswith("use SCAN or a simpler one")
    assert len(simple) == 10
    found: list[bytes] = []
    cursor = steps = 0
    while cursor or not steps:
        [(cursor, *some)] = results(Scan(cursor, costly, 1000), state=state)
        found += some
        steps += 1
    assert (sorted(found), steps) == (keys, 4)
    [refused] = results(Scan(0, b"*" + b"a" * 1000 + b"*"), state=state)
    assert isinstance(refused, MachineError)


def test_a_transaction_walks_over_the_keys_a_few_times_at_most() -> None:
    walk = REDIS.encode(KeysLike(b"*"))
    put = REDIS.encode(Set(b"a", b""))
    walked, refused, absent = results(
        Exec((walk,) * WALKS_MAX), Exec((put, *(walk,) * (WALKS_MAX + 1))), Get(b"a")
    )
    assert len(walked) == WALKS_MAX
    assert refused.message == f"more than {WALKS_MAX} KEYS or SCAN in a transaction"
    assert absent is None, "nothing of it was done"


# --- transactions --------------------------------------------------------------------------------


def test_a_transaction_gives_each_result_and_goes_on_after_errors() -> None:
    bodies = tuple(
        REDIS.encode(c) for c in (Set(b"a", b"x"), IncrBy(b"a", 1), Get(b"a"), IncrBy(b"b", 2))
    )
    inner = [REDIS.decode_result(each) for each in results(Exec((*bodies, b"\xc1")))[0]]
    assert inner[0] is None
    assert isinstance(inner[1], MachineError)
    assert inner[2:4] == [b"x", 2]
    assert isinstance(inner[4], MachineError)


def test_a_transaction_in_a_transaction_is_refused() -> None:
    inner = REDIS.encode(Exec((REDIS.encode(Set(b"a", b"")),)))
    assert results(Exec((REDIS.encode(Set(b"b", b"")), inner)), DbSize())[1] == 0


def test_a_transaction_reads_if_all_of_it_does() -> None:
    get, put = REDIS.encode(Get(b"a")), REDIS.encode(Set(b"a", b""))
    assert REDIS.read_only(Exec((get, get)))
    assert not REDIS.read_only(Exec((get, put)))


# --- bounds, bytes, histories --------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        Set(b"k", b"x" * (LENGTH_MAX + 1)),
        Get(b"k" * (KEY_LENGTH_MAX + 1)),
        MSet((b"a", b"b", b"k" * (KEY_LENGTH_MAX + 1), b"c")),
        Delete((b"a", b"k" * (KEY_LENGTH_MAX + 1))),
        KeysLike(b"*" * (PATTERN_LENGTH_MAX + 1)),
        Scan(0, b"*" * (PATTERN_LENGTH_MAX + 1)),
        Tick(1 << 61),
        IncrBy(b"k", 1 << 63),
        MSet((b"a", b"b", b"c")),
        Tick(-1),
        Scan(0, b"*", 0),
        SetWith(b"k", b"v", "perhaps"),  # type: ignore[arg-type]
    ],
)
def test_what_is_out_of_bounds_is_bad_input_before_it_is_sent(command: Any) -> None:
    with pytest.raises(BadInput):
        REDIS.encode(command)
    state, result = REDIS.run(REDIS.initial(), msgspec.msgpack.encode(command))
    assert isinstance(REDIS.decode_result(result), MachineError)
    assert state == REDIS.initial()


def test_an_append_that_would_be_too_long_is_refused() -> None:
    refused = results(Set(b"k", b"x" * LENGTH_MAX), Append(b"k", b"y"), StrLen(b"k"))
    assert isinstance(refused[1], MachineError)
    assert refused[2] == LENGTH_MAX


def test_a_reply_that_would_be_too_long_is_refused() -> None:
    refused = results(Set(b"k", b"x" * LENGTH_MAX), MGet((b"k",) * 4), MGet((b"k",) * 5))
    assert len(refused[1]) == 4
    assert refused[2].message == "the reply would be longer than 33554432 bytes"


def recorded(*commands: Any, lie: Callable[[Any, Any], Any] = lambda c, r: r) -> History:
    """What one client sees, as the gateway's clients would record it."""
    history = History("kv")
    state = REDIS.initial()
    for number, command in enumerate(commands):
        op = history.invoke(0, *REDIS.event(command), 2 * number)
        state, encoded = REDIS.run(state, REDIS.encode(command))
        result = lie(command, REDIS.decode_result(encoded))
        type_, value, why = REDIS.completion(command, result)
        history.complete(op, type_, value, 2 * number + 1, why)  # type: ignore[arg-type]
    return history


PLAIN = (
    Get(b"a"), Set(b"a", b"1"), Get(b"a"), Append(b"a", b"2"), Cas(b"a", b"1", b"3"), Get(b"a"),
    Cas(b"a", b"12", b"4"), Delete((b"a",)), Get(b"a"), Cas(b"a", None, b"5"), Get(b"a"),
)  # fmt: skip


@pytest.mark.parametrize("model", ["kv", "redis"])
def test_a_plain_history_can_be_held_against_kv(model: str) -> None:
    def lie(command: Any, result: Any) -> Any:
        return b"4" if result == b"12" else result

    held_against = machine("redis") if model == "redis" else model
    assert check(recorded(*PLAIN), held_against).valid is True  # type: ignore[arg-type]
    assert check(recorded(*PLAIN, lie=lie), held_against).valid is False  # type: ignore[arg-type]
