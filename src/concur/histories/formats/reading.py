"""From events to a history, as long as there is room for it in memory."""

from collections.abc import Iterable, Iterator
from itertools import islice
from sys import getsizeof
from typing import Any

from concur.errors import BadInput
from concur.histories.formats.base import Rules, Source, plain
from concur.histories.history import Event, History


def admitted(source: Source, events: Iterable[Event]) -> Iterator[Event]:
    """The same events, once every process has been seen to keep the rules. Raises BadInput."""
    rules = Rules(source)
    for event in events:
        rules.admit(event)
        yield event


VALUES_BYTES_MAX = 2 << 30
"""That all keys, values and errors of a history may take in memory."""


def whole(source: Source, events: Iterator[Event], model: str = "") -> History:
    """The history of all `events`, which keep the rules. Raises BadInput if it is too large."""
    history = history_of(fitting(events), model)
    if next(events, None) is not None:
        raise BadInput(
            plain(f"{source.name}: more than {VALUES_BYTES_MAX} bytes of values, expected less")
        )
    return history


def fitting(events: Iterator[Event], events_max: int | None = None) -> Iterator[Event]:
    """As many events as memory has room for, and one more; the others stay in `events`."""
    room = VALUES_BYTES_MAX
    for event in islice(events, events_max):
        yield event
        room -= _bytes(event.key) + _bytes(event.value)
        if event.error is not None:
            room -= getsizeof(event.error)
        if room < 0:
            return


def _bytes(value: Any) -> int:
    own = getsizeof(value)
    return own + sum(map(_bytes, value)) if value.__class__ is tuple else own


def history_of(events: Iterable[Event], model: str = "") -> History:
    """All events in memory: about 100 bytes for each. They must keep the rules, as `admitted`
    ones do."""
    history = History(model)
    open_: dict[int, int] = {}
    for event in events:
        process = event.process
        if event.type == "invoke":
            open_[process] = history.invoke(process, event.f, event.key, event.value, event.time)
        else:
            history.complete(open_.pop(process), event.type, event.value, event.time, event.error)
    return history
