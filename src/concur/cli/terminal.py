"""What verbs print, and where: results on stdout, progress and remarks on stderr."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console

Advance = Callable[[int, int, str], None]


PIPE_CLOSED = 141
"""Exit status if the reader left, as `head` does: that of SIGPIPE, which is no verdict."""


class _Output(Console):
    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(PIPE_CLOSED) from None


def out() -> Console:
    """For results. Wraps at the terminal's width, or at 80 columns into a file."""
    return _Output(highlight=False, markup=False, emoji=False)


def err() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """One JSON object on stdout, and nothing else."""
    try:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left at exit
        raise SystemExit(PIPE_CLOSED) from None


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A bar on stderr while it is a terminal; elsewhere a plain line every half a minute.

    Gives a function that takes how much is done, how much there is, and what was done last.
    """
    console = err()
    if not console.is_terminal:
        yield _Lines(what).advance
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[last]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, last="")

        def advance(done: int, total: int, last: str) -> None:
            bar.update(task, completed=done, total=total, last=last)

        yield advance


@contextmanager
def ticking(what: str) -> Iterator[Callable[[str], None]]:
    """For what has no known end: a line on stderr that is written over while it is a terminal;
    elsewhere a plain line every half a minute. Gives a function that takes the text."""
    console = err()
    if not console.is_terminal:
        yield _Lines(what).say
        return
    with console.status(what, refresh_per_second=4) as status:
        yield status.update


LINE_EVERY_S = 30.0
"""What is short stays silent; what is long can be seen to go on, in a log too."""


class _Lines:
    """Progress where no bar can be drawn."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said_s = time.monotonic()

    def advance(self, done: int, total: int, last: str) -> None:
        if done:
            self.say(f"{done:,} of {total:,}: {last}")

    def say(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s < LINE_EVERY_S:
            return
        self._said_s = now_s
        print(f"concur: {self._what}, {text}", file=sys.stderr, flush=True)
