"""ZooKeeper's client protocol, records of `jute` in frames, as much of it as puts and reads take.

A put is setData on a znode, which is created when it turns out to be missing. ZooKeeper reads what
the server at hand has; a linearizable read is `sync` and `getData`, sent together: a server answers
the requests of a session in order.
"""

import struct

from concur.serve.load.wire import MORE, Answer, Garbled, More, Refusal, Wire

CREATE, GET_DATA, SET_DATA, SYNC, CLOSE = 1, 4, 5, 9, -11
NO_NODE = -101
CONNECTION_LOSS, OPERATION_TIMEOUT = -4, -7
SESSION_MS = 30_000
ALL_PERMISSIONS = 31
ANY_VERSION = -1

HEADER = struct.Struct(">ii")  # xid, type
REPLY = struct.Struct(">iiqi")  # length, xid, zxid, error
INT = struct.Struct(">i")


def buffer(data: bytes) -> bytes:
    return INT.pack(len(data)) + data


def framed(body: bytes) -> bytes:
    return INT.pack(len(body)) + body


EVERYBODY = INT.pack(1) + INT.pack(ALL_PERMISSIONS) + buffer(b"world") + buffer(b"anyone")


class ZooKeeperWire(Wire):
    """A session."""

    def __init__(self) -> None:
        self.session = False
        self.xid = 0
        self._syncing = False
        self._rest = b""
        self._putting = (b"", b"")
        self._getting = False

    def greeting(self) -> bytes:
        return framed(struct.pack(">iqiq", 0, 0, SESSION_MS, 0) + buffer(bytes(16)) + b"\0")

    def farewell(self) -> bytes:
        self.xid += 1
        return framed(HEADER.pack(self.xid, CLOSE)) if self.session else b""

    def put(self, key: bytes, value: bytes) -> bytes:
        self.xid += 1
        self._putting = key, value
        self._getting = False
        path = b"/" + key
        return b"".join((
            struct.pack(">iiii", 20 + len(path) + len(value), self.xid, SET_DATA, len(path)), path,
            INT.pack(len(value)), value, INT.pack(ANY_VERSION),
        ))  # fmt: skip

    def get(self, key: bytes) -> bytes:
        self.xid += 2
        self._syncing = self._getting = True
        path = buffer(b"/" + key)
        size = len(path)
        return b"".join((
            struct.pack(">iii", 8 + size, self.xid - 1, SYNC), path,
            struct.pack(">iii", 9 + size, self.xid, GET_DATA), path, b"\0",
        ))  # fmt: skip

    def receive(self, data: bytes) -> Answer | More:
        if self._rest:
            data, self._rest = self._rest + data, b""
        while True:
            if len(data) < 4 or len(data) < 4 + (size := INT.unpack_from(data)[0]):
                self._rest = data
                return MORE
            if size < 16:
                raise Garbled(f"it answered {data[:40]!r}, expected what ZooKeeper says")
            frame, data = data[: 4 + size], data[4 + size :]
            answer = self._understand(frame)
            if answer is not MORE:
                if data:
                    raise Garbled(f"it answered {data[:40]!r}, unasked")
                return answer
            if not data:
                return MORE

    def _understand(self, frame: bytes) -> Answer | More:
        if not self.session:
            self.session = True
            if not INT.unpack_from(frame, 8)[0]:
                return Refusal("fail", "the session was refused")
            return True
        _, xid, _, error = REPLY.unpack_from(frame)
        if self._syncing and xid == self.xid - 1:
            self._syncing = False
            if error:
                raise Garbled(f"sync failed: {error}")
            return MORE
        if xid != self.xid:
            raise Garbled(f"it answered request {xid}, expected {self.xid}")
        if error == NO_NODE and not self._getting:
            self.send(self._create())
            return MORE
        if error:
            return _refusal(error)
        if not self._getting:
            return True
        (size,) = INT.unpack_from(frame, 20)
        return frame[24 : 24 + size]

    def _create(self) -> bytes:
        self.xid += 1
        key, value = self._putting
        return framed(
            HEADER.pack(self.xid, CREATE)
            + buffer(b"/" + key) + buffer(value) + EVERYBODY + INT.pack(0)
        )  # fmt: skip


def _refusal(error: int) -> Answer:
    if error == NO_NODE:
        return None
    if error in (CONNECTION_LOSS, OPERATION_TIMEOUT):
        return Refusal("info", f"error {error}")
    return Refusal("fatal", f"error {error}")
