"""What the codec makes of other versions and of noise: the table in `concur.messages`."""

import typing
from typing import Any, Literal

import msgspec
import pytest

from concur.chance import Stream
from concur.errors import BadInput
from concur.logs import Log
from concur.messages import Codec, Command, Message, check_value, decode, encode
from concur.protocols import all_protocols
from concur.testing import CheckFailed, check_protocol
from concur.testing.versions import FromTheFuture, made_up
from concur.values import Map, Set
from tests.testing.bad_protocols import BAD


class Entry(msgspec.Struct, frozen=True, array_like=True):
    term: int


class Told(Message, frozen=True):
    term: int
    entries: tuple[Entry, ...] = ()


LATER_ENTRY = msgspec.defstruct(
    "Entry", [("term", int), ("note", str, "none")], frozen=True, array_like=True
)
LATER: Any = msgspec.defstruct(
    "Told",
    [("term", int), ("entries", tuple[LATER_ENTRY, ...], ()), ("lease_s", int, 5)],  # type: ignore[valid-type]
    bases=(Message,),
    frozen=True,
)
"""The next version of both, with a field more at the end of each."""


def test_an_older_peer_ignores_what_was_added() -> None:
    sent = LATER(3, (LATER_ENTRY(1, "new"), LATER_ENTRY(2, "new")), 9)
    assert Codec([Told]).decode(encode(sent)) == Told(3, (Entry(1), Entry(2)))


def test_a_newer_peer_fills_in_what_is_lacking() -> None:
    back = Codec([LATER]).decode(encode(Told(3, (Entry(1),))))
    assert back == LATER(3, (LATER_ENTRY(1, "none"),), 5)


def test_a_kind_that_nobody_knows_is_refused_by_its_name() -> None:
    with pytest.raises(BadInput, match=r"kind 'FromTheFuture', expected one of Told"):
        Codec([Told]).decode(encode(FromTheFuture(1)))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x91\xc0", b"\x92\xa4Told\xc0"])
def test_noise_is_refused_and_named_after_its_size(data: bytes) -> None:
    with pytest.raises(BadInput, match=f"in {len(data)} bytes"):
        Codec([Told]).decode(data)


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(BadInput) as refused:
        Codec([Told]).decode(encode(["x" * 100_000]))
    assert len(str(refused.value)) < 200


def test_made_up_messages_are_valid_and_survive_the_wire() -> None:
    kinds = {kind for protocol in all_protocols() for kind in protocol().messages()}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        for seed in range(20):
            message = made_up(kind, Stream(seed, kind.__name__))
            check_value(message, kind.__name__)
            assert Codec([kind]).decode(encode(message)) == message


@pytest.mark.parametrize(
    "annotation",
    [
        int, None, tuple[int, str], tuple[bytes, ...], Map[int, Set[str]], Log[Command],
        int | None, Literal["a", "b"], typing.Annotated[str, "a name"],
        tuple[tuple[int, ...] | None, ...],
    ],
)  # fmt: skip
def test_values_are_made_up_for_every_kind_of_annotation(annotation: Any) -> None:
    for seed in range(20):
        value = made_up(annotation, Stream(seed, "any"))
        assert decode(encode(value), annotation) == value


def test_what_is_no_value_is_not_made_up() -> None:
    with pytest.raises(TypeError, match="is no value"):
        made_up(dict[str, int], Stream(0))


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("messages_of_other_versions_are_understood", "Rigid: Rigid forbids unknown fields"),
        ("malformed_messages_are_refused", "decoding raises KeyError"),
        ("strange_messages_stop_no_node", "HandlesByForce fails at a message"),
    ],
)
def test_a_finding_says_what_is_wrong(check: str, words: str) -> None:
    with pytest.raises(CheckFailed, match=words):
        check_protocol(BAD[check], effort=0.1, only=[check])
