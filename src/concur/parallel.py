"""Work in several processes, which leave Ctrl-C to the one that asked for it."""

import signal
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    work: Callable[[T], R], items: Iterable[T], jobs: int, *, ordered: bool
) -> Generator[R, None, None]:
    """`work` of each item, in the order of the items or as they come; -1 jobs is one for each core.

    The workers start while Ctrl-C is ignored, which they inherit, so that not even their start
    prints a traceback. Closing the generator ends them.
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
        results = pool(delayed(_deaf)(work, item) for item in items)
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
    try:
        yield from results
    finally:
        results.close()


def _deaf(work: Callable[[T], R], item: T) -> R:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return work(item)
