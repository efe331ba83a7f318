"""Readers of history files: ours, Jepsen's, Porcupine's; and which one a file needs.

`read_history` finds the format out by looking at the first bytes, and unpacks gzip. A format
that you name is believed. All readers are alike: bounded, streaming, strict about what a process
may do (`concur.histories.formats.base`); what is malformed is a BadInput of one line with the file,
the line in it, and what was expected.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from concur.errors import BadInput
from concur.histories.formats.base import Format, Source, opened, plain
from concur.histories.formats.edn import (
    EdnWriter,
    edn_events,
    looks_like_edn,
    read_edn,
    write_edn,
)
from concur.histories.formats.json_array import json_array_events, looks_like_json_array
from concur.histories.formats.jsonl import (
    JsonlWriter,
    jsonl_events,
    looks_like_jsonl,
    read_jsonl,
    write_jsonl,
)
from concur.histories.formats.porcupine import looks_like_porcupine_log, porcupine_events
from concur.histories.formats.reading import admitted, whole
from concur.histories.formats.transactions import (
    looks_like_awdit,
    looks_like_cobra,
    looks_like_dbcop,
    looks_like_plume,
)
from concur.histories.formats.writing import HistoryWriter
from concur.histories.history import Event, History

__all__ = [
    "FORMATS",
    "EdnWriter",
    "Format",
    "JsonlWriter",
    "Source",
    "events_of",
    "format_of",
    "open_history",
    "plain",
    "read_edn",
    "read_history",
    "read_jsonl",
    "write_edn",
    "write_history",
    "write_jsonl",
    "writer",
]

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("edn", "Jepsen's and Knossos' EDN", looks_like_edn, edn_events),
        Format("json", "its JSON twin, an array", looks_like_json_array, json_array_events),
        Format("jsonl", "our own JSON lines", looks_like_jsonl, jsonl_events),
        Format("porcupine", "Porcupine's etcd log", looks_like_porcupine_log, porcupine_events),
        Format("plume", "Plume's and PolySI's text", looks_like_plume, None),
        Format("awdit", "AWDIT's text", looks_like_awdit, None),
        Format("dbcop", "dbcop's bincode", looks_like_dbcop, None),
        Format("cobra", "a folder of Cobra's logs", looks_like_cobra, None),
    )
}
"""By name, in the order in which they are tried."""

WRITERS: dict[str, type[HistoryWriter]] = {".jsonl": JsonlWriter, ".edn": EdnWriter}


def read_history(path: str, format: str = "", model: str = "") -> History:
    """The history in the file at `path`, plain or gzip; `-` is standard input.

    `format` is a name out of FORMATS; without one it is found out. Raises BadInput, in one line
    that names the file, the line in it and what was expected.
    """
    with open_history(path, format) as (source, events):
        return whole(source, events, model)


@contextmanager
def open_history(path: str, format: str = "") -> Iterator[tuple[Source, Iterator[Event]]]:
    """The events of a file while it is read, for a history longer than memory. Raises BadInput."""
    if path != "-" and os.path.isdir(path):
        if any(name.startswith("T") and name.endswith(".log") for name in os.listdir(path)):
            raise _transactions(path, FORMATS["cobra"])
        raise BadInput(plain(f"{path}: is a folder, expected a history file"))
    with opened(path) as source:
        yield source, admitted(source, events_of(source, format))


def events_of(source: Source, format: str = "") -> Iterator[Event]:
    """The events as the file has them, before anything is known about what processes do."""
    found = format_of(source, format)
    if found.events is None:
        raise _transactions(source.name, found)
    return found.events(source)


def format_of(source: Source, name: str = "") -> Format:
    """The format that is called `name`, or, without a name, that the file seems to have."""
    if name:
        if name not in FORMATS:
            raise BadInput(f"format {plain(name)!r}: unknown, expected one of {', '.join(FORMATS)}")
        return FORMATS[name]
    for found in FORMATS.values():
        if found.detects(source.head):
            return found
    source.line = 1
    raise source.bad(
        f"expected an event in one of the formats {', '.join(FORMATS)}, "
        f"found {source.head.split(bytes([10]))[0][:40]!r}; --format says which it is"
    )


def write_history(history: History, path: str) -> None:
    """Write a file as the end of its name says, .jsonl or .edn. Raises BadInput."""
    with writer(path) as out:
        out.write(history.events())


def writer(path: str) -> HistoryWriter:
    """What writes a file as the end of its name says, .jsonl or .edn. Raises BadInput."""
    for ending, kind in WRITERS.items():
        if path.endswith(ending):
            return kind(path)
    raise BadInput(plain(f"{path}: expected a name that ends in {' or '.join(WRITERS)}"))


def _transactions(name: str, found: Format) -> BadInput:
    return BadInput(
        plain(
            f"{name}: holds transactions ({found.name}: {found.summary}), which are not checked "
            "yet, expected a history of operations"
        )
    )
