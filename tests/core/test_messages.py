"""The codec: what goes in comes out, equal and of the same types; what is malformed is refused."""

import contextlib
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.logs import Log
from concur.messages import (
    NOOP,
    Codec,
    Command,
    Message,
    check_annotation,
    check_message,
    check_value,
    decode,
    encode,
    size,
)
from concur.values import Map, Set


class Vote(msgspec.Struct, frozen=True, array_like=True):
    ballot: tuple[int, str]
    command: Command


class Promise(Message, frozen=True):
    ballot: tuple[int, str]
    vote: Vote | None
    seen: Set[tuple[int, str]] = Set()
    votes: Map[int, Vote] = Map()
    log: Log[Command] = Log()
    deep: Map[str, Set[int]] = Map()
    many: tuple[Vote, ...] = ()


class Nack(Message, frozen=True):
    ballot: tuple[int, str]


CODEC = Codec((Promise, Nack))

KEYS = st.integers(-9, 9)
ballots = st.tuples(st.integers(0, 99), st.text(max_size=4))
commands = st.builds(Command, st.text(max_size=4), st.integers(0, 99), st.binary(max_size=6))
votes = st.builds(Vote, ballots, commands)
promises = st.builds(
    Promise,
    ballots,
    st.none() | votes,
    st.builds(Set, st.lists(ballots, max_size=3)),
    st.builds(Map, st.dictionaries(st.integers(0, 99), votes, max_size=3)),
    st.builds(Log, st.lists(commands, max_size=3)),
    st.builds(Map, st.dictionaries(st.text(max_size=2), st.builds(Set, st.lists(KEYS)))),
    st.lists(votes, max_size=3).map(tuple),
)


def shape(value: Any) -> Any:
    """A value with all its types spelled out, so that equal means equal in type too."""
    if isinstance(value, msgspec.Struct):
        inside: Any = [shape(getattr(value, f)) for f in value.__struct_fields__]
    elif isinstance(value, Map):
        inside = [shape(item) for item in value.items()]
    elif isinstance(value, tuple | Set | Log):
        inside = [shape(item) for item in value]
    else:
        inside = value
    return type(value), inside


@given(promises)
def test_a_message_comes_back_equal_and_of_the_same_types(message: Promise) -> None:
    data = CODEC.encode(message)
    back = CODEC.decode(data)
    assert back == message
    assert hash(back) == hash(message)
    assert shape(back) == shape(message)
    assert CODEC.encode(back) == data
    assert len(data) == size(message)
    check_value(back, "back")


@given(promises, st.data())
def test_damaged_bytes_are_a_message_or_bad_input(message: Promise, data: st.DataObject) -> None:
    damaged = bytearray(CODEC.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    with contextlib.suppress(BadInput):  # nothing else may escape
        check_value(CODEC.decode(bytes(damaged)), "damaged")


@given(st.binary(max_size=60))
def test_random_bytes_are_bad_input(data: bytes) -> None:
    with pytest.raises(BadInput):
        CODEC.decode(b"\xc1" + data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode(("Nack", (1, "r1")))[:-1],
        encode(("Nack", (1, "r1"))) + b"\x00",
        encode(("Nack", (1, 2))),
        encode(("Nack", (True, "r1"))),
        encode(("Nack",)),
        encode(("Unknown", (1, "r1"))),
        encode(None),
        b"\x92\xa4Nack\x92\x01\xa1\xff",  # not UTF-8
        b"\x91" * 5000,
    ],
)
def test_what_is_no_message_of_the_protocol_is_bad_input(data: bytes) -> None:
    with pytest.raises(BadInput, match="malformed"):
        CODEC.decode(data)


def test_a_message_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(BadInput, match="at most 8 expected"):
        Codec((Nack,), message_bytes_max=8).decode(encode(Nack((1, "replica-1"))))


def test_a_codec_of_one_kind_still_looks_at_the_name() -> None:
    codec = Codec((Nack,))
    assert codec.decode(encode(Nack((1, "r1")))) == Nack((1, "r1"))
    with pytest.raises(BadInput):
        codec.decode(encode(("Promise", (1, "r1"))))


def test_two_messages_of_one_name_are_refused() -> None:
    other = type("Nack", (Message,), {"__annotations__": {"x": int}}, frozen=True)
    with pytest.raises(TypeError, match="Nack"):
        Codec((Nack, typing.cast(type[Message], other)))


def test_a_later_version_may_add_fields_with_defaults() -> None:
    assert CODEC.decode(encode(("Nack", (1, "r1"), "new"))) == Nack((1, "r1"))
    assert CODEC.decode(encode(("Promise", (1, "r1"), None))) == Promise((1, "r1"), None)


def test_the_identity_of_a_command_is_its_session_and_number() -> None:
    assert Command("s", 3, b"x").id == ("s", 3)
    assert NOOP.id == ("", 0)
    assert decode(encode(NOOP), Command) == NOOP


def test_the_fields_of_messages_are_values() -> None:
    check_message(Promise)

    class Mutable(msgspec.Struct):
        x: int = 0

    for annotation in (list[int], dict[str, int], frozenset[int], set, Set[list[int]], Mutable):
        with pytest.raises(TypeError, match="no value"):
            check_annotation(annotation, "here")
    for annotation in (int, None, int | None, tuple[int, ...], Set[str], Map[int, Vote], "Later"):
        check_annotation(annotation, "here")


@pytest.mark.parametrize(
    "value", [[1], {1: 2}, {1}, frozenset(), float("nan"), Map({1: [2]}), (1, [2]), object()]
)
def test_what_is_no_value_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match="here holds"):
        check_value(value, "here")
