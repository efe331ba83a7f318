"""RESP, the protocol that Redis and its clients speak, from the server's side.

Requests are arrays of bulk strings, or lines that a person types ("inline"). Nothing is believed
before it is bounded: a count or a length that is too large ends the conversation before anything
is kept for it, and no byte is looked at twice for more than a line.

Replies are bytes from the start: there is nothing but functions that make them.

(The specification: "Redis serialization protocol specification", RESP2 and RESP3.)
"""

from collections.abc import Callable, Sequence

import msgspec

INLINE_MAX = 64 << 10
"""Bytes of an inline command, and of the line that announces a count or a length."""


class RequestLimits(msgspec.Struct, frozen=True):
    """What one request may hold."""

    arguments_max: int = 1 << 16
    bulk_bytes_max: int = 8 << 20
    request_bytes_max: int = 16 << 20


STRANGER = RequestLimits(10, 16 << 10, 64 << 10)
"""For a client that has yet to authenticate: enough to do so."""


class ProtocolError(Exception):
    """The client does not speak RESP, or asks for too much at a time. Words are those of Redis."""


class Parser:
    """Requests out of a stream of bytes, cut anywhere. After an error it must not be fed again."""

    __slots__ = ("_begun", "_bytes", "_chunks", "_missing", "_needed", "held", "limits")

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        self.held = 0  # bytes kept for a request that is not complete
        self._chunks: list[bytes] | None = None
        self._needed = 0  # with fewer bytes than these there is no point in looking again
        self._begun: list[bytes] | None = None  # the arguments of a request that is not complete
        self._missing = 0  # and how many are to come
        self._bytes = 0  # and the length of those it has

    def feed(self, data: bytes, take: Callable[[list[bytes]], None]) -> None:
        """Call `take` with each request that `data` completes: its arguments, at least one.

        `take` may change the limits of what follows. Raises ProtocolError; what was taken by then
        came before the error.
        """
        if self._chunks is not None:
            self._chunks.append(data)
            self.held += len(data)
            if self.held - self._bytes < self._needed:
                return
            data = b"".join(self._chunks)
            self._chunks = None
        find = data.find
        length_of, count_of = _LENGTHS.get, _COUNTS.get
        size, at, needed = len(data), 0, 0
        arguments, missing, total = self._begun, self._missing, self._bytes
        self._begun, self._missing, self._bytes, self.held = None, 0, 0, 0
        while at < size:
            if arguments is None:
                if data[at] != _STAR:
                    line_end = find(b"\n", at)
                    if line_end < 0:
                        _bound_line(size - at, "too big inline request")
                        break
                    _bound_line(line_end - at, "too big inline request")
                    words = split_inline(data[at:line_end])
                    at = line_end + 1
                    if words:
                        take(words)
                    continue
                end = find(b"\r\n", at)
                if end < 0:
                    _bound_line(size - at, "too big mbulk count string")
                    break
                missing = count_of(data[at:end]) or self._count(data[at + 1 : end])
                at = end + 2
                if missing <= 0:
                    continue
                arguments, total = [], 0
            while missing:
                end = find(b"\r\n", at)
                if end < 0:
                    if at < size and data[at] != _DOLLAR:
                        raise _no_dollar(data, at)
                    _bound_line(size - at, "too big bulk count string")
                    break
                length = length_of(data[at:end], -1)
                if length < 0:
                    length = self._length(data, at, end)
                stop = end + 2 + length
                total += length
                if total > self.limits.request_bytes_max:
                    raise ProtocolError("too large request")
                if stop + 2 > size:
                    total -= length
                    needed = stop + 2 - at
                    break
                arguments.append(data[end + 2 : stop])
                if data[stop] != _CR:
                    raise ProtocolError("expected CRLF behind a bulk string")
                at = stop + 2
                missing -= 1
            else:
                take(arguments)
                arguments, total = None, 0
                continue
            break
        if at < size or arguments is not None:
            self._begun, self._missing, self._bytes, self._needed = (
                arguments,
                missing,
                total,
                needed,
            )
            self.held = total + size - at
            self._chunks = [data[at:]]

    def _count(self, digits: bytes) -> int:
        count = _integer(digits)
        if count is None or count > self.limits.arguments_max:
            raise ProtocolError("invalid multibulk length")
        return count

    def _length(self, data: bytes, at: int, end: int) -> int:
        if data[at] != _DOLLAR:
            raise _no_dollar(data, at)
        length = _integer(data[at + 1 : end])
        if length is None or not 0 <= length <= self.limits.bulk_bytes_max:
            raise ProtocolError("invalid bulk length")
        return length


_STAR, _DOLLAR, _CR = b"*$\r"
_SMALL = 1024
_COUNTS = {b"*%d" % count: count for count in range(1, STRANGER.arguments_max + 1)}
_LENGTHS = {b"$%d" % length: length for length in range(_SMALL)}


def _bound_line(length: int, words: str) -> None:
    if length > INLINE_MAX:
        raise ProtocolError(words)


def _no_dollar(data: bytes, at: int) -> ProtocolError:
    return ProtocolError(f"expected '$', got {chr(data[at])!r}")


def _integer(digits: bytes) -> int | None:
    negative = digits[:1] == b"-"
    plain = digits[negative:]
    if not plain.isdigit() or len(plain) > 19:
        return None
    return -int(plain) if negative else int(plain)


# --- inline commands ------------------------------------------------------------------------------


def split_inline(line: bytes) -> list[bytes]:
    """Words, some in quotes: in double ones backslashes mean what they do in C, in single ones
    only a quote is escaped. Raises ProtocolError if they are not balanced."""
    if b'"' not in line and b"'" not in line:
        return line.split()
    words: list[bytes] = []
    at, size = 0, len(line)
    while True:
        while at < size and line[at] in _SPACES:
            at += 1
        if at >= size:
            return words
        word = bytearray()
        while at < size and line[at] not in _SPACES:
            char = line[at]
            at += 1
            if char not in b"'\"":
                word.append(char)
                continue
            at = _quoted(line, at, char, word)
            if at < size and line[at] not in _SPACES:
                raise _unbalanced()
        words.append(bytes(word))


def _quoted(line: bytes, at: int, quote: int, word: bytearray) -> int:
    """Append what is quoted, from `at` on; -> behind the closing quote."""
    while at < len(line):
        char = line[at]
        at += 1
        if char == quote:
            return at
        if char == _BACKSLASH and quote == _DOUBLE:
            if at >= len(line):
                break
            digits = line[at + 1 : at + 3]
            if line[at] == _X and len(digits) == 2 and not digits.translate(None, _HEX):
                word.append(int(digits, 16))
                at += 3
            else:
                word.append(_ESCAPES.get(line[at], line[at]))
                at += 1
        elif char == _BACKSLASH and line[at : at + 1] == b"'":
            word += b"'"
            at += 1
        else:
            word.append(char)
    raise _unbalanced()


def _unbalanced() -> ProtocolError:
    return ProtocolError("unbalanced quotes in request")


_SPACES = b" \t\r\n\v\f\0"
_DOUBLE, _BACKSLASH, _X = b'"\\x'
_HEX = b"0123456789abcdefABCDEF"
_ESCAPES = dict(zip(b"nrtba", b"\n\r\t\b\a", strict=True))


# --- replies --------------------------------------------------------------------------------------

OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
NIL = (b"$-1\r\n", b"_\r\n")
"""Absence, in RESP2 and in RESP3; so it is with the others that come in pairs."""

ERROR_LENGTH_MAX = 512


def simple(words: str) -> bytes:
    return b"+%b\r\n" % _one_line(words)


def error(words: str) -> bytes:
    """`words` begin with a code: ERR, WRONGTYPE, ..."""
    return b"-%b\r\n" % _one_line(words)


def integer(value: int) -> bytes:
    return b":%d\r\n" % value


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def text(value: str) -> bytes:
    return bulk(value.encode())


def array(replies: Sequence[bytes]) -> bytes:
    return b"*%d\r\n%b" % (len(replies), b"".join(replies))


def mapping(protocol: int, replies: Sequence[bytes]) -> bytes:
    """Of keys and values that alternate: a map in RESP3 (protocol 1), an array in RESP2 (0)."""
    return b"%%%d\r\n%b" % (len(replies) // 2, b"".join(replies)) if protocol else array(replies)


def _one_line(words: str) -> bytes:
    line = words[:ERROR_LENGTH_MAX].encode("utf-8", "replace")
    return line.replace(b"\r", b" ").replace(b"\n", b" ")
