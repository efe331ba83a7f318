"""Frames come out of a stream as they went in, however it is cut; nonsense is refused early."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.errors import BadInput
from concur.serve.frames import (
    CONTROL_BYTES_MAX,
    VERSION,
    Announce,
    Bye,
    Control,
    Hello,
    Ping,
    Pong,
    Reader,
    Refused,
    control,
    header,
    heard,
)

LIMIT = 1 << 16
SAID = [
    Hello(VERSION, "c", ("r1", "c1"), b"p", "r2"),
    Refused("because"),
    Announce(1, 0, "r1", "r2", "loglet-1"),
    Ping(1 << 62),
    Pong(0),
    Bye(),
]


def frame(route: int, body: bytes) -> bytes:
    return header(route, len(body)) + body


def reader(*routes: int) -> Reader:
    made = Reader(LIMIT)
    for route in routes:
        made.routes[route] = (route,)
    return made


def read(made: Reader, chunks: list[bytes]) -> list[tuple[int, bytes]]:
    """Number and body of every frame."""
    return [
        (route[0] if route else 0, bytes(body))
        for chunk in chunks
        for route, body in made.feed(chunk)
    ]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


frames = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300)), max_size=20)


@given(frames, st.lists(st.integers(0, 1 << 20), max_size=40))
@settings(deadline=None)
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(
    sent: list[tuple[int, bytes]], places: list[int]
) -> None:
    made = reader(1, 2, 3)
    stream = b"".join(frame(route, body) for route, body in sent)
    assert read(made, cut(stream, places)) == sent
    assert made.partial_bytes == 0


@given(frames)
@settings(deadline=None, max_examples=30)
def test_a_stream_may_come_byte_by_byte(sent: list[tuple[int, bytes]]) -> None:
    stream = b"".join(frame(route, body) for route, body in sent)
    assert read(reader(1, 2, 3), [stream[i : i + 1] for i in range(len(stream))]) == sent


@given(frames, st.integers(0, 1 << 20))
@settings(deadline=None)
def test_a_stream_that_breaks_off_gives_a_prefix_of_whole_frames(
    sent: list[tuple[int, bytes]], place: int
) -> None:
    stream = b"".join(frame(route, body) for route, body in sent)
    got = read(reader(1, 2, 3), [stream[: place % (len(stream) + 1)]])
    assert got == sent[: len(got)]


@given(st.lists(st.binary(max_size=400), max_size=10))
@settings(deadline=None, max_examples=300)
def test_garbage_is_refused_or_waited_for_and_never_piles_up(chunks: list[bytes]) -> None:
    made = reader(1)
    with contextlib.suppress(BadInput):
        read(made, chunks)
    assert made.partial_bytes <= LIMIT + 6


@pytest.mark.parametrize("pieces", [1, 4, 5, 6, 100])
@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (b"\x80\x00\x00\x00", "a frame of 2147483646 bytes, expected at most 65536"),
        (b"GET / HTTP/1.1\r\n", "a frame of 1195725854 bytes"),
        (b"\x00\x00\x00\x01\x00\x01", "a frame of length 1, expected at least 2"),
        (header(7, 10), "a frame on route 7, which was not announced"),
        (header(0, CONTROL_BYTES_MAX + 1), f"bytes, expected at most {CONTROL_BYTES_MAX}"),
    ],
    ids=["2 GB", "http", "too short", "unknown route", "long control"],
)
def test_a_frame_that_cannot_be_is_refused_at_its_header(
    start: bytes, complaint: str, pieces: int
) -> None:
    made = reader(1)
    with pytest.raises(BadInput, match=complaint):
        read(made, [start[i : i + pieces] for i in range(0, len(start), pieces)])


def test_a_length_is_refused_before_the_route_is_there() -> None:
    with pytest.raises(BadInput, match="2147483646 bytes"):
        read(reader(1), [b"\x80\x00\x00\x00"])


def test_the_longest_frame_is_read_and_a_longer_one_refused() -> None:
    longest = bytes(LIMIT)
    assert read(reader(1), [frame(1, longest)]) == [(1, longest)]
    with pytest.raises(BadInput, match="65537 bytes"):
        read(reader(1), [frame(1, longest + b"!")])


def test_frames_before_a_wrong_one_are_delivered() -> None:
    got = []
    with pytest.raises(BadInput):  # noqa: PT012
        for _, body in reader(1).feed(frame(1, b"good") + frame(2, b"bad")):
            got.append(body)
    assert got == [b"good"]


def test_a_route_announced_in_a_chunk_serves_the_rest_of_it() -> None:
    made = reader()
    got = []
    for route, body in made.feed(control(Announce(1, 0, "r1", "r2", "")) + frame(1, b"x")):
        if route:
            got.append((route, body))
        else:
            made.routes[1] = ("announced",)
    assert got == [(("announced",), b"x")]


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_what_links_say_survives_the_wire(said: Control) -> None:
    ((_, body),) = reader().feed(control(said))  # type: ignore[arg-type]
    assert heard(body) == said
    assert type(heard(body)) is type(said)


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_what_nobody_says_is_refused(body: bytes) -> None:
    try:
        said = heard(body)
    except BadInput:
        return
    assert isinstance(said, Control)


def test_a_greeting_of_a_later_version_is_understood_as_far_as_it_matters() -> None:
    longer = control(Hello(VERSION + 1, "c", ("r1",), b"p", "r2"))[6:]
    longer = bytes([longer[0] + 1]) + longer[1:] + b"\xc0"  # one more field: an array, and a null
    said = heard(longer)
    assert isinstance(said, Hello)
    assert said.version == VERSION + 1
