"""The JSON twin of Jepsen's EDN: one array of objects, however it is broken into lines.

    [{"process": 3, "type": "invoke", "f": "write", "value": 1},
     {"process": 3, "type": "ok", "f": "write", "value": 1}]

The members mean what they mean in EDN (`concur.histories.formats.jepsen`), and none may be there
twice. Objects are decoded one at a time out of a buffer that is refilled in blocks, so the array
may be longer than memory. What is wrong well before the end of the buffer is wrong however it goes
on, unless it is a string that does not end.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from concur.errors import BadInput
from concur.histories.formats.base import LINE_BYTES_MAX, Source
from concur.histories.formats.jepsen import from_json_members, jepsen_events
from concur.histories.history import Event

HEAD = re.compile(rb"\s*\[\s*(?:\{\s*(?:\"|\})|\])")
BLANK = re.compile(r"[\s]*")
TORN_CHARS = 16
"""The end of the buffer may cut off a token or escape. Only strings are longer than this."""


def looks_like_json_array(head: bytes) -> bool:
    return HEAD.match(head) is not None


def json_array_events(source: Source) -> Iterator[Event]:
    """The events of a file, as they come."""
    return jepsen_events(source, _objects(source))


def _objects(source: Source) -> Iterator[dict[str, Any]]:
    text = _Text(source)
    if text.next() != "[":
        raise source.bad("expected an array of events, [")
    text.skip(1)
    if text.next() == "]":
        text.skip(1)
    else:
        while True:
            yield text.object()
            after = text.next()
            if after not in (",", "]"):
                raise source.bad(
                    "expected , or ] after an event, found "
                    + (repr(after) if after else "the end: the file is cut off")
                )
            text.skip(1)
            if after == "]":
                break
    if text.next():
        raise source.bad("expected nothing after the array of events")


class _Text:
    """What was read of the file, and where in it we are."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks = source.blocks()
        self._decoder = json.JSONDecoder(object_pairs_hook=_members)
        self._text = ""
        self._at = 0
        self._cut = b""  # the bytes after the last whole line or object
        source.line = 1

    def next(self) -> str:
        """The next character that is not blank, which stays; nothing at the end."""
        while True:
            start = self._at
            self._at = BLANK.match(self._text, start).end()  # type: ignore[union-attr]
            self._source.line += self._text.count("\n", start, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, count: int) -> None:
        self._at += count

    def object(self) -> dict[str, Any]:
        source = self._source
        if not self.next():
            raise source.bad("expected an event, found the end: the file is cut off")
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
                members = from_json_members(found)
                break
            except BadInput as error:
                raise source.bad(str(error)) from None
            except json.JSONDecodeError as error:
                if self._torn(error):
                    if len(self._text) - self._at > LINE_BYTES_MAX:
                        raise source.bad(
                            f"expected an event of at most {LINE_BYTES_MAX} characters, found more"
                        ) from None
                    if self._more():
                        continue
                source.line += self._text.count("\n", self._at, error.pos)
                raise source.bad(f"expected an event, found malformed JSON: {error.msg}") from None
            except RecursionError:
                raise source.bad("expected an event, found too deep a nesting") from None
            except ValueError as error:  # an integer that is too long
                raise source.bad(f"expected an event, found: {str(error)[:80]}") from None
        source.line += self._text.count("\n", self._at, end)
        self._at = end
        return members

    def _torn(self, error: json.JSONDecodeError) -> bool:
        """Whether there might be no error if more of the file had been read."""
        rest = self._text[error.pos :]
        return len(rest.rstrip()) < TORN_CHARS or error.msg.startswith("Unterminated string")

    def _more(self) -> bool:
        block = next(self._source.blocks(), b"")
        bytes_ = self._cut + block
        cut = bytes_.rfind(b"\n") + 1 or bytes_.rfind(b"}") + 1 if block else len(bytes_)
        if not bytes_:
            return False
        try:
            text = bytes_[:cut].decode()
        except UnicodeDecodeError as error:
            raise self._source.bad(
                f"expected UTF-8, found byte {bytes_[error.start]:#04x}"
            ) from None
        self._cut = bytes_[cut:]
        if len(self._cut) > LINE_BYTES_MAX:
            raise self._source.bad(f"expected an event of at most {LINE_BYTES_MAX} bytes")
        self._text = self._text[self._at :] + text
        self._at = 0
        return bool(text) or self._more()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadInput(f"expected one {twice[:40]!r}, found two")
    return members
