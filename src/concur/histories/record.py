"""A recorder to put around the calls of one's own client: what it asked, what it was told, when.

    recorder = History.record("kv")

    with recorder.operation("put", key="x", value=1):
        client.put("x", 1)
    with recorder.operation("get", key="x") as op:
        op.ok(client.get("x"))

    assert_consistent(recorder.history, "kv")

Threads and asyncio tasks record into one history at the same time (`op.ok(await client.get("x"))`
in a task). Times are those of the monotonic clock, read within a lock: the order of events in the
history is their order in time.

**Who is a process.** Each thread and each task is one of its own, unless `with recorder.client():`
says that what is done in the block is done by one client, also by the tasks that it starts. One
that was left without an answer goes on under a new number, as a process that crashed would, and so
does one that has several operations open at a time. For linearizability all this does not matter;
for weaker promises, where a process is a session, it does.

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
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from concur.histories.admission import BLIND, MISMATCH
from concur.histories.history import CompletionType, History, held
from concur.histories.models import MODELS

ERROR_CHARS_MAX = 200

P = ParamSpec("P")
R = TypeVar("R")
Failures = tuple[type[BaseException], ...]


class Recorder:
    """Records operations of many threads and tasks into `history`.

    Read `history` once they are done; an operation that is still open then counts as one without
    an answer. `fails`: exceptions by which an operation did not happen. `clock` gives nanoseconds
    that never go back. `silent` operations tell nothing: a put and the like, and those of `model`.
    """

    def __init__(
        self,
        model: str = "",
        fails: Failures = (),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.history = History(model)
        self.silent = BLIND | frozenset(MODELS[model].blind if model in MODELS else ())
        self.fails = fails
        self._clock = clock
        self._lock = threading.Lock()
        self._processes = 0
        # Free process numbers, of whoever records.
        self._of_client: ContextVar[list[int] | None] = ContextVar("of_client", default=None)
        self._of_tasks: WeakKeyDictionary[asyncio.Task[Any], list[int]] = WeakKeyDictionary()
        self._of_thread = threading.local()

    def operation(
        self, f: str, key: Any = None, value: Any = None, fails: Failures = ()
    ) -> "Recording":
        """One call, for `with`: it begins as the block begins.

        Say how it ended with `ok(result)`, `fail(why)` or `info(why)`. A block that ends without
        having said it is ok if there is nothing to be told (put, write, append, delete, add,
        enqueue, and what tells nothing in the recorder's model, as push); otherwise RuntimeError is
        raised. `fails` adds to those of the recorder. Raises
        BadInput if a history cannot hold the key or the value.
        """
        return Recording(self, f, held(key), held(value), self.fails + fails)

    @contextmanager
    def client(self) -> Iterator[None]:
        """What is recorded in the block is done by one client, a process of its own.

        So it is in the tasks that the block starts, by `asyncio.wait_for` or otherwise, and in
        `asyncio.to_thread`. It is not in the threads of executors and in threads that the block
        starts itself: there, begin the block in what they run.
        """
        before = self._of_client.set([])
        try:
            yield
        finally:
            self._of_client.reset(before)

    def recorded(
        self, f: str | None = None, fails: Failures = ()
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator of a function or coroutine function that is one operation.

            @recorder.recorded(fails=(ConnectionRefusedError,))
            def put(key, value): ...

        `f` is its name unless given. Its parameters called `key` and `value` are what is recorded,
        `old` and `new` together are the value of a compare-and-set, and what it returns is the
        result. If that can be awaited, the operation ends when it has been, and the caller gets a
        coroutine. Raises TypeError for a generator function, of which nobody knows when it is done.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
                raise TypeError(f"{function!r} is a generator, expected a function that ends")
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
            def call(*args: P.args, **kwargs: P.kwargs) -> Any:
                with ExitStack() as stack:
                    op = stack.enter_context(begin(*args, **kwargs))
                    result = function(*args, **kwargs)
                    if inspect.isawaitable(result):
                        return _ended(result, op, stack.pop_all())
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
        of_client = self._of_client.get()
        if of_client is not None:
            return of_client
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            task = None
        if task is not None:
            return self._of_tasks.setdefault(task, [])
        free: list[int] = self._of_thread.__dict__.setdefault("free", [])
        return free


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
            self._end("ok" if result else "fail", self._value, None if result else MISMATCH)
        else:
            self._end("ok", None if self._f in BLIND else held(result), None)

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
        elif self._f in self._recorder.silent:
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


async def _ended(result: Awaitable[Any], op: Recording, block: ExitStack) -> Any:
    """What `result` gives when awaited; then the operation ends, and the block that it is in."""
    with block:
        answer = await result
        op.ok(answer)
    return answer
