"""Work in several processes, which leave Ctrl-C to the one that asked for it, and end with it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    work: Callable[[T], R], items: Iterable[T], jobs: int, *, ordered: bool
) -> Generator[R, None, None]:
    """`work` of each item, in the order of the items or as they come; -1 jobs is one for each core.

    The workers start while Ctrl-C is ignored, which they inherit, so that not even their start
    prints a traceback. Closing the generator ends them; so does SIGTERM, and whatever else ends
    this process.
    """
    if jobs == 1:
        yield from map(work, items)
        return
    from joblib import Parallel, delayed

    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        order, batch = ("generator", "auto") if ordered else ("generator_unordered", 1)
        pool = Parallel(n_jobs=jobs, return_as=order, batch_size=batch)
        results = pool(delayed(_deaf)(work, item, os.getpid()) for item in items)
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
    try:
        with unwinding():
            yield from results
    finally:
        results.close()


ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a process at once, unless it says otherwise."""


@contextmanager
def unwinding() -> Iterator[None]:
    """Let a signal that would end this process raise SystemExit, so that what is open is closed.

    Someone else's handler stays, and so does the will to ignore one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, _: Any) -> None:
    sys.exit(128 + number)  # the status that shells give to what a signal has ended


def _deaf(work: Callable[[T], R], item: T, parent: int) -> R:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() == parent:
        _end_with(parent)
    return work(item)


WATCH_S = 1.0
"""How often a worker looks whether it is still wanted."""


@cache
def _end_with(parent: int) -> None:
    """End this worker when its parent has been killed, which has no time to tell it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
