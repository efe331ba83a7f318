"""What the codec makes of other versions and of noise: the table in `concur.messages`."""

import typing
from typing import Any, Literal

import msgspec
import pytest

from concur.base import Protocol
from concur.chance import Stream
from concur.effects import Timer
from concur.errors import BadInput
from concur.logs import Log
from concur.messages import Codec, Command, Message, check_value, decode, encode
from concur.node import invariant, on
from concur.parts.client import Request
from concur.protocols import all_protocols
from concur.testing import CheckFailed, check_protocol
from concur.testing.versions import (
    ADDED,
    FromTheFuture,
    _Endless,
    _later,
    _nothing_was_added,
    _on_the_wire,
    _Patience,
    _with_one_more,
    _without_defaults,
    _without_the_last,
    made_up,
)
from concur.values import Map, Set
from examples.primary_backup import Ack, Append, Replica
from tests.testing.bad_protocols import BAD, With


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
        ("strange_messages_stop_no_node", "HandlesByForce raises KeyError: .* at a stranger"),
    ],
)
def test_a_finding_says_what_is_wrong(check: str, words: str) -> None:
    with pytest.raises(CheckFailed, match=words):
        check_protocol(BAD[check], effort=0.1, only=[check])


# --- Structs inside -------------------------------------------------------------------------------


class RigidEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    term: int


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """Its `zone` was added later, with a default that its own check refuses."""

    at: int
    zone: str = ""

    def __post_init__(self) -> None:
        if not self.zone:
            raise ValueError("a stamp needs a zone")


class Shuffled(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Fields with defaults do not come last."""

    since: int = 0
    until: int


class TakesRigidEntries(Message, frozen=True):
    entries: Map[str, tuple[RigidEntry, ...]]


class TakesStamps(Message, frozen=True):
    stamps: tuple[Stamp, ...] = (Stamp(1, "UTC"),)
    first: Stamp | None = None


class TakesSpans(Message, frozen=True):
    span: Shuffled


def handling(kind: type[Message]) -> Protocol:
    """The example of the docs, with a replica that takes one message more."""

    class Takes(Replica):
        @on(kind)
        def take(self, source: str, m: Message) -> None:
            pass

    class Taking(With):
        replica = Takes

    return Taking()


def failing(protocol: Protocol, check: str, effort: float = 0.2) -> str:
    with pytest.raises(CheckFailed) as failed:
        check_protocol(protocol, effort=effort, only=[check])
    return str(failed.value)


class NeedsItsStamp(Message, frozen=True):
    stamp: Stamp


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (TakesRigidEntries, "TakesRigidEntries: RigidEntry forbids unknown fields"),
        (NeedsItsStamp, "Stamp of at alone is refused: a stamp needs a zone"),
        (TakesSpans, "Shuffled of since alone is refused"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_versions_of_a_struct_inside_a_message_are_tried(
    kind: type[Message], words: str
) -> None:
    assert words in failing(handling(kind), "messages_of_other_versions_are_understood")


class Deep(msgspec.Struct, frozen=True, array_like=True):
    entry: Entry
    note: str = "none"


class Whole(Message, frozen=True):
    term: int
    deep: Map[str, Deep]
    entries: tuple[Entry | None, ...] = ()


WHOLE = Whole(3, Map({"a": Deep(Entry(1), "x")}), (Entry(1), None))


def test_messages_are_varied_at_every_depth() -> None:
    assert encode(_on_the_wire(WHOLE, lambda struct, fields: fields)) == encode(WHOLE)
    more = _on_the_wire(WHOLE, _with_one_more)
    assert more == ["Whole", 3, [["a", [[1, [7]], "x", [7]]]], [[1, [7]], None], [7]]
    assert Codec([Whole]).decode(encode(more)) == WHOLE
    less = _on_the_wire(WHOLE, _without_defaults)
    assert less == ["Whole", 3, [["a", [[1]]]]]
    assert Codec([Whole]).decode(encode(less)) == Whole(3, Map({"a": Deep(Entry(1))}))


def test_a_later_version_differs_at_every_depth() -> None:
    back: Any = Codec([_later(Whole, {})]).decode(encode(WHOLE))
    assert _nothing_was_added(back)
    (deep,) = back.deep.values()
    assert [getattr(one, ADDED) for one in (back, deep, deep.entry, back.entries[0])] == [()] * 4
    told: Any = Codec([_later(Whole, {})]).decode(encode(_on_the_wire(WHOLE, _with_one_more)))
    assert not _nothing_was_added(told)
    assert _on_the_wire(told, _without_the_last) == _on_the_wire(WHOLE, lambda _, fields: fields)


# --- strangers ------------------------------------------------------------------------------------


class LooksUpTheSender(Replica):
    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        self.config.members.index(source)
        super().take_ack(source, m)


class CountsUp(Replica):
    @on(Append)
    def back_up(self, source: str, m: Append) -> None:
        for _ in range(m.after):
            pass
        super().back_up(source, m)


class Believes(Replica):
    """What it hears first stays, and breaks it when a timer rings."""

    heard: int = 0

    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        self.heard = m.last
        super().take_ack(source, m)

    @on(Timer("repeat"))
    def repeat(self) -> None:
        self.log.since(self.heard, 1)
        self.log[min(max(self.heard, 1), self.heard)] if self.heard > 1000 else None
        super().repeat()


class KeepsWhatItHears(Replica):
    heard: int = 0

    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        self.heard = max(self.heard, m.last)
        super().take_ack(source, m)

    @invariant
    def nobody_has_more_than_there_is(self) -> bool:
        return self.id != self.primary or self.heard <= self.log.last_index


class ExecutesAnything(Replica):
    @on(Request)
    def order(self, source: str, m: Request) -> None:
        if m.command.body:
            self.machine.decode(m.command.body)
        super().order(source, m)


def with_replica(kind: type[Replica]) -> Protocol:
    class Broken(With):
        replica = kind

    return Broken()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (LooksUpTheSender, "raises ValueError: tuple.index(x): x not in tuple at a stranger's Ack"),
        (CountsUp, "raises _Endless: it does not end"),
        (Believes, "at a stranger's Timer(name='repeat', path='')"),
        (KeepsWhatItHears, "breaks nobody_has_more_than_there_is at a stranger's Ack"),
        (ExecutesAnything, "at a stranger's Request"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_node_that_a_stranger_can_stop_is_found(kind: type[Replica], words: str) -> None:
    text = failing(with_replica(kind), "strange_messages_stop_no_node")
    assert words in text
    assert len(text) < 1500


def count(limit: int) -> int:
    number = 0
    while number < limit:
        number += 1
    return number


def test_a_step_that_does_not_end_is_ended_without_a_clock() -> None:
    with _Patience(1000):
        assert count(100) == 100
    with pytest.raises(_Endless), _Patience(1000):
        count(1 << 40)
