"""Jepsen's and Knossos' histories: EDN, an event a map, one by one or in one vector or list.

    {:process 3, :type :invoke, :f :put, :key "x", :value 1, :time 1200, :index 0}
    {:process 3, :type :ok, :f :put, :key "x", :value 1, :time 5300, :index 1}

What the members mean is said in `concur.histories.formats.jepsen`. Here is the text: maps, vectors
and lists, sets, strings, integers, keywords, nil, true, false, comments, `#_`. Other things
(floats, symbols, tagged values) may stand where we do not look, such as in `:error`; as a value of
an operation they are refused. A keyword that is a value keeps its colon, so that `:x` and `"x"`
stay two values. Bytes are `#base64 "AAEC"`. A set is a tuple, in the file's order.

**Why a reader of our own.** There is one library that is kept up, edn_format 0.8.0. It took 333 us
of processor time for a line like the ones above, where this one takes 10 (100,000 events: 33 s and
1 s; Python 3.11, a 2-core machine), puts no bound on nesting, and brings two dependencies. What a
history needs of EDN is small: one regular expression finds all tokens of a piece of text at the
speed of C, and a loop over them with a stack of its own builds the events. Most tokens (keywords,
small integers) repeat, so their values are remembered. Nothing is recursive, nothing is evaluated.

The text is read in blocks, cut at the last newline, or the last `}` if a block has none: a history
printed on one line is as good as any other. A string or comment that goes on beyond the cut is
found by its missing end; then more is read before anything is believed.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from concur.errors import BadInput
from concur.histories.formats.base import (
    HALF_A_PAIR,
    INTEGER_DIGITS_MAX,
    LINE_BYTES_MAX,
    NESTING_MAX,
    Source,
    opened,
)
from concur.histories.formats.jepsen import Opaque, jepsen_events
from concur.histories.formats.reading import admitted, whole
from concur.histories.formats.writing import HistoryWriter
from concur.histories.history import Event, History

CHUNK_EVENTS = 4096
ATOMS_MAX = 50_000
"""Tokens whose values are remembered."""
ATOM_CHARS_MAX = 40

TOKENS = re.compile(
    r"""\n|:[^\s,()\[\]{}";]+|[()\[\]}]|\#?\{|"[^"\\]*(?:\\.[^"\\]*)*"|;[^\n]*|\#_|\\\S\w*|"""
    r"""[^\s,()\[\]{}";\\]+|["\\]""",
    re.DOTALL,
)
"""Whatever lies between tokens is blank. A lone quote begins a string that does not end."""
INTEGER = re.compile(r"[+-]?[0-9]+N?")
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPED = {"t": "\t", "r": "\r", "n": "\n", "b": "\b", "f": "\f", "\\": "\\", '"': '"', "/": "/"}
CLOSES = {"]": "[", ")": "(", "}": "{"}
WORDS = {"nil": None, "true": True, "false": False}

HEAD = re.compile(rb"(?:[\s,]|;[^\n]*\n)*[\[(]?(?:[\s,]|;[^\n]*\n)*(?:#[\w.\-/]+\s*)?\{\s*:")
EMPTY = re.compile(rb"(?:[\s,]|;[^\n]*(?:\n|\Z))+\Z|(?:[\s,]|;[^\n]*\n)*\([\s,]*\)\s*\Z")

_UNKNOWN: Any = object()
_DISCARD: Any = object()


class _Tag(str):
    """`#name`, which says something about the form that follows it."""

    __slots__ = ()


def looks_like_edn(head: bytes) -> bool:
    """A map with a keyword in it, perhaps within a vector or list; or nothing but comments."""
    return HEAD.match(head) is not None or (bool(head) and EMPTY.match(head) is not None)


def read_edn(path: str, model: str = "") -> History:
    """Read a history file. Raises BadInput, in one line, that names the file and the line."""
    with opened(path) as source:
        return whole(source, admitted(source, edn_events(source)), model)


def edn_events(source: Source) -> Iterator[Event]:
    """The events of a file, as they come."""
    return jepsen_events(source, _Parser(source).maps())


def parse_edn(source: Source, text: str) -> Any:
    """The one form that `text` is. Raises BadInput, about the line where `source` is."""
    parser = _Parser(source, one=True)
    found = list(parser.forms(TOKENS.findall(text)))
    if len(found) != 1 or parser.stack:
        raise source.bad(f"expected one value, found {text.strip()[:40]!r}")
    return found[0]


class _Parser:
    """Turns tokens into forms. Between calls it may be anywhere, even within an event."""

    def __init__(self, source: Source, one: bool = False) -> None:
        self.source = source
        self.line = source.line  # of the token
        self.begun = 1  # line where the event begins
        self.outer = ""  # the bracket around all events; ")" once it is closed
        self.one = one  # any form will do, not events alone
        self.marked = False  # there was a tag or a discard within this event
        self.held = 0  # bytes of the event that is open
        self.items: list[Any] = []
        self.stack: list[tuple[str, list[Any]]] = []
        self.atoms: dict[str, Any] = dict(WORDS)

    def maps(self) -> Iterator[dict[str, Any]]:
        """The events of the whole file. `source.line` is where the event begins."""
        self.line = 1
        carry = b""
        blocks = self.source.blocks()
        while True:
            block = next(blocks, b"")
            text = carry + block
            cut = len(text)
            if block:
                cut = text.rfind(b"\n") + 1 or text.rfind(b"}") + 1
            tokens = self.tokens(text[:cut], last=not block)
            if tokens is None:
                cut, tokens = 0, []
            carry = text[cut:]
            if len(carry) > LINE_BYTES_MAX:
                raise self.bad(f"expected an event of at most {LINE_BYTES_MAX} bytes, found more")
            yield from self.forms(tokens)
            self.held = self.held + cut if self.stack else 0
            if self.held > LINE_BYTES_MAX:
                raise self.bad(f"expected an event of at most {LINE_BYTES_MAX} bytes, found more")
            if not block:
                break
        self.line = max(1, self.line)
        if self.stack:
            self.line = self.begun
            raise self.bad("expected an event, found half of one: the file is cut off")
        if self.outer in ("[", "("):
            raise self.bad(f"expected the {self.outer} around the events to be closed")

    def tokens(self, text: bytes, last: bool) -> list[str] | None:
        """None if the text ends within a string or comment."""
        try:
            tokens: list[str] = TOKENS.findall(text.decode())
        except UnicodeDecodeError as error:
            self.line += text.count(b"\n", 0, error.start)
            raise self.bad(f"expected UTF-8, found byte {text[error.start]:#04x}") from None
        if not last and ('"' in tokens or (tokens and tokens[-1][0] == ";")):
            return None
        return tokens

    def forms(self, tokens: Iterable[str]) -> Iterator[Any]:
        atoms, items, stack = self.atoms, self.items, self.stack
        for token in tokens:
            value = atoms.get(token, _UNKNOWN)
            if value is not _UNKNOWN:
                items.append(value)
            elif token == "\n":
                self.line += 1
                continue
            else:
                first = token[0]
                if first in "[({" or token == "#{":
                    if not stack:
                        if first in "[(" and not self.outer and not items and not self.one:
                            self.outer = first
                            continue
                        self.begun = self.line
                    if len(stack) > NESTING_MAX:
                        raise self.bad(f"expected at most {NESTING_MAX} levels of nesting")
                    stack.append((token, items))
                    items = []
                    continue
                if first in "])}":
                    if not stack:
                        if self.outer and CLOSES[first] == self.outer and not items:
                            self.outer = ")"
                            continue
                        raise self.bad(f"expected an event, found {first}")
                    opener, around = stack.pop()
                    if opener[-1] != CLOSES[first]:
                        raise self.bad(f"expected what closes {opener}, found {first}")
                    value = self.close(opener, items, event=not stack and not self.one)
                    items = around
                    items.append(value)
                elif first == ";":
                    continue
                elif token == "#_":
                    items.append(_DISCARD)
                    self.marked = True
                    continue
                else:
                    if first == '"' and "\n" in token:
                        self.line += token.count("\n")
                    items.append(self.atom(token))
            if not stack and type(items[-1]) is not _Tag:
                value = items.pop()
                if items and items.pop() is _DISCARD:
                    continue
                items.clear()
                if self.outer == ")" or not (self.one or type(value) is dict):
                    raise self.bad("expected an event, a map such as {:process 0, :type :invoke}")
                if not self.one:
                    self.source.line = self.begun
                yield value
                self.marked = False
        self.items = items

    def close(self, opener: str, items: list[Any], event: bool) -> Any:
        if self.marked:
            items = self.fold(items)
        if opener != "{":
            return tuple(items)
        if len(items) % 2:
            raise self.bad("expected a map of pairs, found a key without a value")
        if not event:
            return Opaque("a map")
        members = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:
                raise self.bad("expected an event, a map such as {:process 0, :type :invoke}")
            if key in members:
                raise self.bad(f"expected one {key}, found two")
            members[key] = value
        return members

    def fold(self, items: list[Any]) -> list[Any]:
        """Without what `#_` discards, and with tags applied."""
        kept: list[Any] = []
        for item in reversed(items):
            if item is not _DISCARD and type(item) is not _Tag:
                kept.append(item)
                continue
            if not kept:
                raise self.bad("expected a form after # and its name, or after #_")
            form = kept.pop()
            if item is _DISCARD:
                continue
            if item == "#base64" and type(form) is str:
                try:
                    kept.append(base64.b64decode(form, validate=True))
                except (binascii.Error, ValueError):
                    raise self.bad(f"expected base64, found {form[:40]!r}") from None
            else:
                kept.append(Opaque(f"a value with the tag {item[:40]}"))
        kept.reverse()
        return kept

    def atom(self, token: str) -> Any:
        value = self.value(token)
        if len(token) <= ATOM_CHARS_MAX and type(value) is not _Tag:
            if len(self.atoms) >= ATOMS_MAX:
                self.atoms.clear()
                self.atoms.update(WORDS)
            self.atoms[token] = value
        return value

    def value(self, token: str) -> Any:
        first = token[0]
        if first == ":":
            return token
        if first == '"':
            return self.string(token)
        if INTEGER.fullmatch(token):
            if len(token) > INTEGER_DIGITS_MAX:
                raise self.bad(f"expected an integer of at most {INTEGER_DIGITS_MAX} digits")
            return int(token.rstrip("N"))
        if first == "#" and token[1:2].isalpha():
            self.marked = True
            return _Tag(token)
        if first == "\\" and len(token) == 2:
            return token[1]
        return Opaque(token[:40])

    def string(self, token: str) -> str:
        if len(token) < 2:
            raise self.bad("expected the string to end: the file is cut off")
        text = token[1:-1]
        if "\\" not in text:
            return text
        text = ESCAPE.sub(self.unescape, text)
        if HALF_A_PAIR.search(text):
            try:
                text = text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                raise self.bad("expected Unicode text, found half of a surrogate pair") from None
        return text

    def unescape(self, match: "re.Match[str]") -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in ESCAPED:
            raise self.bad(f"expected an escape such as \\n or \\u0041, found \\{code}")
        return ESCAPED[code]

    def bad(self, what: str) -> BadInput:
        self.source.line = self.line
        return self.source.bad(what)


class EdnWriter(HistoryWriter):
    """Writes a history as EDN; otherwise like `JsonlWriter`."""

    def encode(self, events: Iterable[Event]) -> Iterator[bytes]:
        lines = (edn_line(event) for event in events)
        while chunk := list(islice(lines, CHUNK_EVENTS)):
            yield "".join(chunk).encode()


def write_edn(history: History, path: str) -> None:
    """Write `history` to `path`, atomically. Raises BadInput if the file cannot be written."""
    with EdnWriter(path) as out:
        out.write(history.events())


def edn_line(event: Event) -> str:
    """One line. `:key` is always there: without it a pair as value might be taken for a key and
    a value."""
    parts = [
        f"{{:process {event.process}, :type :{event.type}, :f {_name(event.f)}",
        f":key {to_edn(event.key)}",
        f":value {to_edn(event.value)}",
        f":time {event.time}",
        f":index {event.index}",
    ]
    if event.error is not None:
        parts.append(f":error {_quoted(event.error)}")
    return ", ".join(parts) + "}\n"


def _name(f: str) -> str:
    """A keyword if it can be one."""
    return f":{f}" if re.fullmatch(r"[A-Za-z][\w\-]*", f, re.ASCII) else _quoted(f)


def _quoted(text: str) -> str:
    """A string where a reader takes a keyword for a string, and so takes a colon away."""
    return to_edn(f":{text}" if text.startswith(":") else text)


def to_edn(value: Any) -> str:
    kind = type(value)
    if value is None:
        return "nil"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value) if -(1 << 63) <= value < 1 << 63 else f"{value}N"
    if kind is str:
        if HALF_A_PAIR.search(value):
            raise BadInput(f"a string of the history is no Unicode text: {value!a}")
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if kind is bytes:
        return f'#base64 "{base64.b64encode(value).decode()}"'
    if kind is tuple or kind is list:
        return f"[{' '.join(map(to_edn, value))}]"
    raise BadInput(
        f"a history cannot hold {value!r}: expected None, bool, int, str, bytes or tuples of them"
    )
