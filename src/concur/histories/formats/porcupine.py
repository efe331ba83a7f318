"""The logs of a Jepsen test of etcd that come with the checker Porcupine: tab-separated lines.

    INFO  jepsen.util - 3	:invoke	:cas	[1 4]
    INFO  jepsen.util - 3	:fail	:cas	[1 4]

Process, type, f, value. There are no times: an event comes after those before it. `:timed-out`
stands for a value that nobody knows. What other loggers wrote, and what is said of `:nemesis`, is
passed over. A compare-and-set that failed found another value, which is evidence: its error is
`mismatch`, as in our own files. The register is initially nil.
"""

import re
from collections.abc import Iterator
from typing import Any

from concur.histories.formats.base import Source
from concur.histories.formats.edn import parse_edn
from concur.histories.formats.jepsen import jepsen_events
from concur.histories.history import Event

LINE = re.compile(
    r"INFO\s+jepsen\.util - (:?\w+)[\t ]+(:invoke|:ok|:fail|:info)[\t ]+(:[\w-]+)[\t ]+(\S.*)"
)
OTHER = re.compile(r"[A-Z]+\s+(?!jepsen\.util )\S+ - |INFO\s+jepsen\.util - :nemesis\b")
HEAD = re.compile(rb"\s*(?:[A-Z]+\s+\S+ - [^\n]*\n)*?INFO\s+jepsen\.util - ")
INTEGER = re.compile(r"[0-9]{1,18}")


def looks_like_porcupine_log(head: bytes) -> bool:
    return HEAD.match(head) is not None


def porcupine_events(source: Source) -> Iterator[Event]:
    """The events of a file, as they come."""
    return jepsen_events(source, _maps(source))


def _maps(source: Source) -> Iterator[dict[str, Any]]:
    for line in source.lines():
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            raise source.bad("expected UTF-8") from None
        if not text or OTHER.match(text):
            continue
        found = LINE.fullmatch(text)
        if found is None or not INTEGER.fullmatch(found[1]):
            raise source.bad(
                "expected process, type, f and value, as in INFO  jepsen.util - 3 :ok :read 1, "
                f"found {text[:60]!r}"
            )
        process, kind, f, value = found.groups()
        members = {":process": int(process), ":type": kind, ":f": f}
        members[":value"] = parse_edn(source, value)
        if kind == ":fail" and f == ":cas":
            members[":error"] = "mismatch"
        yield members
