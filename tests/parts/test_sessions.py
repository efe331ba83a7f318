"""At most once: whatever is repeated and reordered inside the window takes effect once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.machines import machine
from concur.messages import NOOP, Command, decode, encode
from concur.parts import sessions as module
from concur.parts.sessions import IN_FLIGHT_MAX, Sessions, opening


class Adder:
    """A machine that counts; the result is the count and the body."""

    def run(self, state: int, body: bytes) -> tuple[int, bytes]:
        return state + 1, b"%d:" % (state + 1) + body


ADDER = Adder()


def opened(*clients: str) -> tuple[Sessions, list[str]]:
    table, names = Sessions(), []
    for client in clients:
        _, table, result = table.execute(ADDER, 0, opening(client, 1))
        names.append(decode(result or b"", str))
    return table, names


def test_a_command_executed_again_gives_the_first_result() -> None:
    table, (name,) = opened("c1")
    state, table, first = table.execute(ADDER, 0, Command(name, 1, b"x"))
    again = table.execute(ADDER, state, Command(name, 1, b"other body"))
    assert again == (1, table, first)
    assert first == b"1:x"


@given(st.lists(st.tuples(st.integers(0, IN_FLIGHT_MAX - 1), st.booleans()), max_size=60))
def test_each_command_of_a_window_takes_effect_exactly_once(choices: list[Any]) -> None:
    """A client keeps at most IN_FLIGHT_MAX numbers open; any of them may come, or come again."""
    table, (name,) = opened("c1")
    state, results = 0, dict[int, bytes | None]()
    oldest = 1
    for offset, again in choices:
        seq = oldest + offset
        state, table, result = table.execute(ADDER, state, Command(name, seq, b"%d" % seq))
        assert result == results.setdefault(seq, result) is not None
        if again:
            assert table.execute(ADDER, state, Command(name, seq, b"")) == (state, table, result)
        while oldest in results:
            oldest += 1
    assert state == len(results)


def test_a_command_older_than_the_window_is_refused_and_not_repeated() -> None:
    table, (name,) = opened("c1")
    state = 0
    for seq in range(1, IN_FLIGHT_MAX + 2):
        state, table, _ = table.execute(ADDER, state, Command(name, seq, b""))
    assert table.execute(ADDER, state, Command(name, 1, b"")) == (state, table, None)
    assert table.execute(ADDER, state, Command(name, 2, b""))[2] == b"2:"
    skipped = table.execute(ADDER, state, Command(name, 100, b""))[1]
    assert skipped.execute(ADDER, state, Command(name, 92, b""))[2] is None
    assert skipped.execute(ADDER, state, Command(name, 93, b""))[2] is not None


def test_an_unknown_session_executes_nothing() -> None:
    table, _ = opened("c1")
    assert table.execute(ADDER, 5, Command("c1.99", 1, b"x")) == (5, table, None)


def test_a_noop_executes_nothing_and_needs_no_session() -> None:
    table = Sessions()
    assert table.execute(ADDER, 5, NOOP) == (5, table, encode(None))


def test_opening_twice_gives_two_sessions() -> None:
    table, names = opened("c1", "c1", "c2", "c1")
    assert len(set(names)) == len(table.table) == 4
    for name in names:
        assert table.execute(ADDER, 0, Command(name, 1, b"x"))[2] == b"1:x"


def test_no_two_sessions_ever_share_a_name() -> None:
    table, names = opened("a", "a.1", "a.1.2", "", "a")
    state = 0
    for name in names:
        state, table, _ = table.execute(ADDER, state, Command(name, 1, b""))
    _, table, result = table.execute(ADDER, state, opening("a", 1))
    assert len({*names, decode(result or b"", str)}) == 6


def test_a_full_table_forgets_the_session_unused_for_the_most_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    table, (one, two, three) = opened("c1", "c2", "c3")
    state, table, _ = table.execute(ADDER, 0, Command(one, 1, b""))
    state, table, _ = table.execute(ADDER, state, Command(one, 1, b""))
    _, table, result = table.execute(ADDER, state, opening("c4", 1))
    four = decode(result or b"", str)
    assert set(table.table) == {one, three, four}
    assert table.execute(ADDER, state, Command(two, 1, b""))[2] is None


commands = st.lists(
    st.one_of(
        st.builds(opening, st.sampled_from(["c1", "c2"]), st.integers(1, 3)),
        st.builds(
            Command,
            st.sampled_from(["c1.1", "c1.2", "c2.1", "c2.2", "c2.3", "nobody", ""]),
            st.integers(1, 12),
            st.just(b"x"),
        ),
    ),
    max_size=40,
)


@given(commands, st.integers(0, 40))
def test_the_table_is_a_function_of_the_commands_and_travels_in_snapshots(
    log: list[Command], at: int
) -> None:
    """Expiry is by what is in the log: a replica that begins from a snapshot agrees for ever."""
    module_max, module.SESSIONS_MAX = module.SESSIONS_MAX, 2
    try:
        state, table = 0, Sessions()
        other_state, other = 0, Sessions()
        for i, command in enumerate(log):
            if i == at:
                other_state, other = state, decode(encode(table), Sessions)
            state, table, result = table.execute(ADDER, state, command)
            if i >= at:
                other_state, other, same = other.execute(ADDER, other_state, command)
                assert (other_state, other, same) == (state, table, result)
        assert len(table.table) <= 2
        if len(log) > at:
            assert hash(other) == hash(table)
    finally:
        module.SESSIONS_MAX = module_max


def test_a_real_machine_counts_once() -> None:
    counter = machine("counter")
    table, (name,) = opened("c1")
    add = counter.encode(counter.commands[1](5))
    state = counter.initial()
    for _ in range(3):
        state, table, _ = table.execute(counter, state, Command(name, 1, add))
    assert state == 5


class Echo:
    """A machine whose result is as long as the body says."""

    def run(self, state: int, body: bytes) -> tuple[int, bytes]:
        return state + 1, bytes(int(body))


@given(st.lists(st.tuples(st.integers(0, IN_FLIGHT_MAX - 1), st.integers(1, 90)), max_size=40))
def test_large_results_are_forgotten_oldest_first_and_nothing_is_executed_twice(
    choices: list[Any],
) -> None:
    table, (name,) = opened("c1")
    state, oldest, done = 0, 1, set[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESULTS_BYTES_MAX", 100)
        patch.setattr(module, "LARGE", 20)
        for offset, size in choices:
            seq = oldest + offset
            command = Command(name, seq, b"%d" % size)
            before = state
            state, table, result = table.execute(Echo(), state, command)
            assert state == before + (seq not in done)
            if seq not in done:
                assert result == bytes(size)
                assert table.execute(Echo(), state, command) == (state, table, result)
            done.add(seq)
            results = table.table[name].results
            assert sum(len(r or b"") for _, r in results) < 100 + IN_FLIGHT_MAX * 20
            assert [seq for seq, _ in results] == sorted((s for s, _ in results), reverse=True)
            while oldest in done:
                oldest += 1
    assert state == len(done)


def test_what_was_forgotten_has_expired_and_what_came_last_has_not() -> None:
    table, (name,) = opened("c1")
    state = 0
    for seq in (1, 2):
        state, table, _ = table.execute(Echo(), state, Command(name, seq, b"3000000"))
    assert table.execute(Echo(), state, Command(name, 1, b"1")) == (2, table, None)
    assert table.execute(Echo(), state, Command(name, 2, b"1"))[2] == bytes(3_000_000)
    state, table, result = table.execute(Echo(), state, Command(name, 3, b"9000000"))
    assert table.execute(Echo(), state, Command(name, 3, b"1")) == (3, table, result)
    assert [r is None for _, r in table.table[name].results] == [False, True, True]
