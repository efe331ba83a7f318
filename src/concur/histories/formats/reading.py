"""From events to a history."""

from collections.abc import Iterable, Iterator

from concur.histories.formats.base import Rules, Source
from concur.histories.history import Event, History


def admitted(source: Source, events: Iterable[Event]) -> Iterator[Event]:
    """The same events, once every process has been seen to keep the rules. Raises BadInput."""
    rules = Rules(source)
    for event in events:
        rules.admit(event)
        yield event


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
