"""Requests come back from bytes cut anywhere; what is too large is refused before it is kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concur.serve.resp import (
    INLINE_MAX,
    Parser,
    ProtocolError,
    RequestLimits,
    array,
    bulk,
    error,
    mapping,
    simple,
    split_inline,
)
from tests.serve.gateways import request

LIMITS = RequestLimits(arguments_max=100, bulk_bytes_max=5000, request_bytes_max=8000)


def parsed(*chunks: bytes, limits: RequestLimits = LIMITS) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    parser = Parser(limits)
    for chunk in chunks:
        parser.feed(chunk, found.append)
    return found


words = st.lists(
    st.binary(max_size=40) | st.just(b"\r\n*1\r\n$") | st.just(b"x" * 1500), min_size=1
)


@given(st.lists(words.filter(lambda w: sum(map(len, w)) < 8000), max_size=6), st.data())
def test_requests_come_back_wherever_the_stream_is_cut(
    requests: list[list[bytes]], data: st.DataObject
) -> None:
    stream = b"".join(request(*each) for each in requests)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parsed(*filter(None, chunks)) == requests


@given(st.lists(words, max_size=3))
def test_requests_come_back_byte_by_byte(requests: list[list[bytes]]) -> None:
    requests = [each for each in requests if sum(map(len, each)) < 200]
    stream = b"".join(request(*each) for each in requests)
    assert parsed(*(stream[i : i + 1] for i in range(len(stream)))) == requests


def test_what_is_held_of_half_a_request_is_told() -> None:
    parser = Parser(LIMITS)
    parser.feed(b"*2\r\n$3\r\nGET\r\n$4000\r\n" + b"x" * 1000, lambda found: None)
    assert 1000 <= parser.held <= 1100
    parser.feed(b"x" * 3000 + b"\r\n", lambda found: None)
    assert parser.held == 0


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"*101\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "invalid multibulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\r\n$5001\r\n", "invalid bulk length"),
        (b"*1\r\n$2147483648\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1 \r\n", "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\nGET", "expected '$', got 'G'"),
        (b"*1\r\n$3\r\nGETxx", "expected CRLF"),
        (b"*2\r\n$4500\r\n" + b"x" * 4500 + b"\r\n$4500\r\n", "too large request"),
        (b"*" + b"1" * (INLINE_MAX + 1), "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * (INLINE_MAX + 1), "too big bulk count string"),
        (b"x" * (INLINE_MAX + 1), "too big inline request"),
        (b"set 'a\r\n", "unbalanced quotes in request"),
        (b'set "a"b\r\n', "unbalanced quotes in request"),
    ],
)
def test_what_is_too_much_or_no_request_is_refused(stream: bytes, words: str) -> None:
    found: list[list[bytes]] = []
    parser = Parser(LIMITS)
    with pytest.raises(ProtocolError) as refused:
        parser.feed(request("ping") + stream, found.append)
    assert words in str(refused.value)
    assert found == [[b"ping"]], "what came before is a request all the same"


@settings(max_examples=300)
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b"*2\r\n", b"$3\r\n", b"\r\n", b"*-1\r\n"]))
)
def test_garbage_is_requests_or_a_protocol_error_and_holds_little(chunks: list[bytes]) -> None:
    parser = Parser(LIMITS)
    for chunk in chunks:
        try:
            parser.feed(chunk, lambda found: None)
        except ProtocolError:
            return
        assert parser.held <= sum(map(len, chunks))


def test_limits_that_a_request_changes_hold_for_the_next() -> None:
    parser = Parser(RequestLimits(10, 10, 100))

    def take(found: list[bytes]) -> None:
        parser.limits = LIMITS

    parser.feed(request("auth", "secret") + request("set", "k", b"x" * 1500), take)
    assert parser.held == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"set a 1", [b"set", b"a", b"1"]),
        (b"  set\ta  1 ", [b"set", b"a", b"1"]),
        (b"set \"a b\" 'c d'", [b"set", b"a b", b"c d"]),
        (rb'set "\x41\n\"\z" \'', [b"set", b'A\n"z', b"\\'"]),
        (rb"set 'it\'s' ''", [b"set", b"it's", b""]),
        (b"", []),
    ],
)
def test_inline_commands_are_split_as_a_shell_would(line: bytes, words: list[bytes]) -> None:
    if line.endswith(b"\\'"):
        with pytest.raises(ProtocolError):
            split_inline(line)
    else:
        assert split_inline(line) == words


def test_empty_lines_and_empty_arrays_ask_for_nothing() -> None:
    assert parsed(b"\r\n*0\r\n*-1\r\n\n  \r\nping\r\n") == [[b"ping"]]


def test_replies_are_what_the_specification_says() -> None:
    assert array([bulk(b"a\r\n"), bulk(b"")]) == b"*2\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
    assert mapping(0, [bulk(b"a"), bulk(b"b")]) == b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert mapping(1, [bulk(b"a"), bulk(b"b")]) == b"%1\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert error("ERR two\r\nlines") == b"-ERR two  lines\r\n"
    assert simple("PONG") == b"+PONG\r\n"
