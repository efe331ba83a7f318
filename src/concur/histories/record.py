"""A recorder to put around the calls of one's own client: what it asked, what it was told, when.

    recorder = History.record("kv")

    with recorder.operation("put", key="x", value=1):
        client.put("x", 1)
    with recorder.operation("get", key="x") as op:
        op.ok(client.get("x"))

    assert_consistent(recorder.history, "kv")

Threads and asyncio tasks record into one history at the same time (`op.ok(await client.get("x"))`
in a task). Each is a process of its own; one that was left without an answer goes on under a new
number, as a process that crashed would. Times are those of the monotonic clock, read within a
lock: the order of events in the history is their order in time.

**What an exception means.** Nobody knows whether the operation happened: it is recorded as `info`,
and the exception goes on its way. Exceptions that say that it did not happen (the server refused;
the connection was never made) are named in `fails` and recorded as `fail`. Take care: to say `fail`
of something that did happen makes a right database look wrong. If in doubt leave it out.
"""

import asyncio
import functools
import inspect
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from concur.errors import BadInput
from concur.histories.admission import BLIND
from concur.histories.history import CompletionType, History

ERROR_CHARS_MAX = 200

P = ParamSpec("P")
R = TypeVar("R")
Failures = tuple[type[BaseException], ...]


class Recorder:
    """Records operations of many threads and tasks into `history`.

    Read `history` once they are done; an operation that is still open then counts as one without
    an answer. `fails`: exceptions by which an operation did not happen. `clock` gives nanoseconds
    that never go back.
    """

    def __init__(
        self,
        model: str = "",
        fails: Failures = (),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.history = History(model)
        self.fails = fails
        self._clock = clock
        self._lock = threading.Lock()
        self._processes = 0
        self._of_tasks: WeakKeyDictionary[asyncio.Task[Any], list[int]] = WeakKeyDictionary()
        self._of_threads: dict[int, list[int]] = {}

    def operation(
        self, f: str, key: Any = None, value: Any = None, fails: Failures = ()
    ) -> "Recording":
        """One call, for `with`: it begins as the block begins.

        Say how it ended with `ok(result)`, `fail(why)` or `info(why)`. A block that ends without
        having said it is ok if there is nothing to be told (put, write, append, delete, add,
        enqueue); otherwise RuntimeError is raised. `fails` adds to those of the recorder. Raises
        BadInput if a history cannot hold the key or the value.
        """
        return Recording(self, f, _value(key), _value(value), self.fails + fails)

    def recorded(
        self, f: str | None = None, fails: Failures = ()
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator of a function or coroutine function that is one operation.

            @recorder.recorded(fails=(ConnectionRefusedError,))
            def put(key, value): ...

        `f` is its name unless given. Its parameters called `key` and `value` are what is recorded,
        `old` and `new` together are the value of a compare-and-set, and what it returns is the
        result.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            name = f if f is not None else function.__name__.replace("_", "-")
            signature = inspect.signature(function)

            def begin(*args: P.args, **kwargs: P.kwargs) -> Recording:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                given = bound.arguments
                value = given.get("value")
                if "old" in given and "new" in given:
                    value = (given["old"], given["new"])
                return self.operation(name, given.get("key"), value, fails)

            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                    with begin(*args, **kwargs) as op:
                        result = await function(*args, **kwargs)
                        op.ok(result)
                    return result

                return cast(Callable[P, R], call_async)

            @functools.wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> R:
                with begin(*args, **kwargs) as op:
                    result = function(*args, **kwargs)
                    op.ok(result)
                return result

            return call

        return decorate

    def _begin(self, f: str, key: Any, value: Any) -> tuple[list[int], int, int]:
        """Its thread's or task's free process numbers, the one it takes, and the operation."""
        with self._lock:
            free = self._free()
            process = free.pop() if free else self._processes
            if process == self._processes:
                self._processes += 1
            return free, process, self.history.invoke(process, f, key, value, self._clock())

    def _end(
        self, free: list[int], process: int, op: int, type: CompletionType, value: Any, error: Any
    ) -> None:
        with self._lock:
            self.history.complete(op, type, value, self._clock(), error)
            if type != "info":
                free.append(process)

    def _free(self) -> list[int]:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            task = None
        if task is not None:
            return self._of_tasks.setdefault(task, [])
        return self._of_threads.setdefault(threading.get_ident(), [])


class Recording:
    """One operation while it goes on. Its outcome is said once; later ones raise RuntimeError."""

    def __init__(self, recorder: Recorder, f: str, key: Any, value: Any, fails: Failures) -> None:
        self._recorder = recorder
        self._f = f
        self._key = key
        self._value = value
        self._fails = fails
        self._begun: tuple[list[int], int, int] | None = None
        self._ended = False

    def ok(self, result: Any = None) -> None:
        """It happened, and this is what the client was told.

        What a put, write, append, delete, add or enqueue returns is nothing that a checker could
        use, and is not recorded. Of a compare-and-set, pass whether it was done: False is a `fail`
        that tells that the value differed.
        """
        if self._f == "cas" and type(result) is bool:
            self._end("ok" if result else "fail", self._value, None if result else "mismatch")
        else:
            self._end("ok", None if self._f in BLIND else _value(result), None)

    def fail(self, why: str | None = None) -> None:
        """It did not happen, for certain."""
        self._end("fail", self._value, why)

    def info(self, why: str | None = None) -> None:
        """Nobody knows."""
        self._end("info", None, why)

    def __enter__(self) -> Self:
        if self._begun is not None:
            raise RuntimeError("an operation happens once: ask the recorder for another")
        self._begun = self._recorder._begin(self._f, self._key, self._value)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended:
            return
        if error is not None:
            why = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX].removesuffix(": ")
            if isinstance(error, self._fails):
                self.fail(why)
            else:
                self.info(why)
        elif self._f in BLIND:
            self.ok()
        else:
            self.info("its outcome was not recorded")
            raise RuntimeError(f"{self._f}: call ok, fail or info before the block ends")

    def _end(self, type: CompletionType, value: Any, error: str | None) -> None:
        if self._begun is None:
            raise RuntimeError("an operation begins with its `with` block")
        if self._ended:
            raise RuntimeError(f"{self._f}: its outcome was recorded already")
        self._ended = True
        free, process, op = self._begun
        self._recorder._end(free, process, op, type, value, error)


def _value(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is int or kind is str or kind is bool or kind is bytes:
        return value
    if kind is tuple or kind is list:
        return tuple(_value(item) for item in value)
    raise BadInput(
        f"a history cannot hold {value!r}: expected None, bool, int, str, bytes or tuples of them"
    )
