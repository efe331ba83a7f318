"""etcd's client protocol: gRPC over HTTP/2, as much of it as puts and reads take.

The library `grpcio` takes some 100 us of the generator's CPU for a call, which is more than etcd
takes, so the generator would be what is measured. One call at a time with small bodies needs little
of HTTP/2: the headers of a request are the same bytes each time, flow control never comes to bear
on what is sent, and as we announce an HPACK table of no entries, the headers that say "status 0"
come as a literal.
"""

import struct

from concur.serve.load.wire import MORE, Answer, Garbled, More, Refusal, Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 65_535

STATUS = bytes.fromhex("9acac8b21234da8f")
"""`grpc-status`, in HPACK's Huffman code."""
STATUS_OK = STATUS + b"\x01" + b"0"

FRAME = struct.Struct(">BHBBI")  # length (8 and 16 bits), type, flags, stream
PUT, RANGE = b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range"


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return FRAME.pack(len(body) >> 16, len(body) & 0xFFFF, kind, flags, stream) + body


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is not to be remembered; `name` is an index if it is one byte below 16."""
    said = name if len(name) == 1 else b"\0" + bytes((len(name),)) + name
    return said + bytes((len(value),)) + value


def headers(path: bytes) -> bytes:
    post, http = b"\x83", b"\x86"
    return b"".join((
        post, http, literal(b"\x04", path), literal(b"\x01", b"localhost"),
        literal(b"content-type", b"application/grpc"), literal(b"te", b"trailers"),
    ))  # fmt: skip


HEADERS_OF = {path: headers(path) for path in (PUT, RANGE)}


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(data)) + data


def fields(data: bytes) -> "list[tuple[int, int | bytes]]":
    """The fields of a protobuf message."""
    found: list[tuple[int, int | bytes]] = []
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint_at(data, at)
        value, at = _varint_at(data, at)
        if tag & 7 == 2:
            found.append((tag >> 3, data[at : at + value]))
            at += value
        elif tag & 7 == 0:
            found.append((tag >> 3, value))
        else:
            raise Garbled(f"it sent a field of type {tag & 7}")
    return found


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, at
        shift += 7


class EtcdWire(Wire):
    """A connection with one call at a time."""

    def __init__(self) -> None:
        self.stream = -1
        self._rest = b""
        self._body = b""
        self._reading = False
        self._received = 0

    def _begin(self) -> bytes:
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, WINDOW)
        return PREFACE + frame(SETTINGS, 0, 0, settings) + self._widen(WINDOW - DEFAULT_WINDOW)

    def _widen(self, size: int) -> bytes:
        return frame(WINDOW_UPDATE, 0, 0, size.to_bytes(4, "big"))

    def _call(self, path: bytes, message: bytes) -> bytes:
        opening = self._begin() if self.stream < 0 else b""
        self.stream += 2
        self._body = b""
        body = b"\0" + len(message).to_bytes(4, "big") + message
        return b"".join((
            opening, frame(HEADERS, END_HEADERS, self.stream, HEADERS_OF[path]),
            frame(DATA, END_STREAM, self.stream, body),
        ))  # fmt: skip

    def put(self, key: bytes, value: bytes) -> bytes:
        self._reading = False
        return self._call(PUT, field(1, key) + field(2, value))

    def get(self, key: bytes) -> bytes:
        self._reading = True
        return self._call(RANGE, field(1, key))

    def receive(self, data: bytes) -> Answer | More:
        if self._rest:
            data, self._rest = self._rest + data, b""
        answer: Answer | More = MORE
        at, end = 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = FRAME.unpack_from(data, at)
            stop = at + 9 + (high << 16 | low)
            if stop > end:
                break
            body = data[at + 9 : stop]
            at = stop
            if stream:
                if stream == self.stream:
                    answer = self._of_call(kind, flags, body, answer)
            else:
                self._of_connection(kind, flags, body)
        if at < end:
            self._rest = data[at:]
        return answer

    def _of_call(self, kind: int, flags: int, body: bytes, answer: Answer | More) -> Answer | More:
        if kind == DATA:
            self._body += body
            self._received += len(body)
            if self._received > WINDOW // 2:
                self.send(self._widen(self._received))
                self._received = 0
        elif kind == HEADERS and flags & END_STREAM:
            return self._result() if STATUS_OK in body else _refusal(body)
        elif kind == RST_STREAM:
            return Refusal("info", "it reset the stream")
        return answer

    def _of_connection(self, kind: int, flags: int, body: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, body))
        elif kind == GOAWAY:
            raise Garbled(f"it went away: {body[8:]!r}")

    def _result(self) -> Answer:
        message = self._body[5:]
        if not self._reading:
            if not message:
                raise Garbled("it answered a put with nothing")
            return True
        for number, found in fields(message):
            if number == 2 and isinstance(found, bytes):  # RangeResponse.kvs
                return next((v for n, v in fields(found) if n == 5 and isinstance(v, bytes)), b"")
        return None


def _refusal(body: bytes) -> Refusal:
    """Some other status. Which one does not matter: whether it was done is not known from it."""
    at = body.find(STATUS)
    status = body[at + len(STATUS) + 1 :][:2] if at >= 0 else body
    return Refusal("info", f"gRPC status {status!r}")
