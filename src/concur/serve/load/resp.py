"""What a client of Redis says and hears, as much of it as a load needs."""

from concur.serve.load.wire import MORE, Answer, Garbled, More, Refusal, Wire

OK = b"+OK\r\n"
DEFINITE = frozenset(
    ("TRYAGAIN", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "BUSY", "READONLY", "NOREPLICAS")
)
"""First words of errors that say: not done, ask again."""
INDEFINITE = frozenset(("INDEFINITE", "UNBLOCKED"))
SHOWN_BYTES_MAX = 40
LINE_BYTES_MAX = 64 << 10
VALUE_BYTES_MAX = 512 << 20


class RespWire(Wire):
    """RESP2, one request at a time."""

    def __init__(self, password: str = "", user: str = "") -> None:
        self.user, self.password = user, password
        self._rest = b""

    def greeting(self) -> bytes:
        if not self.password:
            return b""
        words = ("AUTH", self.user, self.password) if self.user else ("AUTH", self.password)
        return command(*(word.encode("utf-8", "surrogateescape") for word in words))

    def put(self, key: bytes, value: bytes) -> bytes:
        return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)

    def get(self, key: bytes) -> bytes:
        return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key)

    def receive(self, data: bytes) -> Answer | More:
        if data == OK and not self._rest:
            return True
        if self._rest:
            data = self._rest + data
        end = data.find(b"\r\n")
        if end < 0:
            if len(data) > LINE_BYTES_MAX or data[:1] not in b"+-:$":
                raise _garbled(data)
            self._rest = data
            return MORE
        kind, line, end = data[:1], data[1:end], end + 2
        if kind == b"$":
            size = _number(line, data)
            if size > VALUE_BYTES_MAX:
                raise _garbled(data)
            if size >= 0:
                if len(data) < end + size + 2:
                    self._rest = data
                    return MORE
                self._end(data, end + size + 2)
                return data[end : end + size]
            self._end(data, end)
            return None
        self._end(data, end)
        if kind == b"+":
            return True if line == b"OK" else line
        if kind == b":":
            return _number(line, data)
        if kind == b"-":
            return refusal(line.decode("utf-8", "replace"))
        raise _garbled(data)

    def _end(self, data: bytes, end: int) -> None:
        """The answer ends at `end`, and nothing may follow that was not asked for."""
        if len(data) != end or (data[:1] == b"$" and data[-2:] != b"\r\n"):
            raise _garbled(data[end:] or data)
        self._rest = b""


def command(*words: bytes) -> bytes:
    """A request of any command."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def refusal(text: str) -> Refusal:
    """What an error means, by its first word."""
    word = text.partition(" ")[0]
    if word in DEFINITE:
        return Refusal("fail", text)
    return Refusal("info" if word in INDEFINITE else "fatal", text)


def _number(text: bytes, data: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise _garbled(data) from None


def _garbled(data: bytes) -> Garbled:
    return Garbled(f"it answered {data[:SHOWN_BYTES_MAX]!r}, expected what a Redis server says")
