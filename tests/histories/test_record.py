"""A recorder around one's own client: threads, tasks, exceptions; an assertion on what it saw."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from concur.errors import BadInput
from concur.histories import History, Recorder, assert_consistent, asserting, check
from concur.machines import machine
from tests.score.made import verdict


class Refused(Exception):
    """The server said no."""


class Store:
    """A right database, as long as nobody sets `stale`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: dict[str, Any] = {}
        self.stale = False

    def put(self, key: str, value: Any) -> str:
        with self.lock:
            if not self.stale:
                self.data[key] = value
        return "OK"

    def get(self, key: str) -> Any:
        with self.lock:
            return self.data.get(key)

    def cas(self, key: str, old: Any, new: Any) -> bool:
        with self.lock:
            if self.data.get(key) != old:
                return False
            self.data[key] = new
            return True


def ticking(model: str = "kv", **settings: Any) -> Recorder:
    return Recorder(model, clock=count().__next__, **settings)


def told(history: History) -> list[tuple[Any, ...]]:
    return [
        (op.process, op.f, op.key, op.value, op.type, op.result, op.error)
        for op in history.operations()
    ]


def test_what_was_asked_and_told_is_recorded() -> None:
    recorder, store = ticking(), Store()
    with recorder.operation("put", key="x", value=[1, "a"]) as op:
        op.ok(store.put("x", 1))
    with recorder.operation("get", key="x") as op:
        op.ok(store.get("x"))
    for old, new in ((1, 2), (1, 3)):
        with recorder.operation("cas", key="x", value=(old, new)) as op:
            op.ok(store.cas("x", old, new))
    with recorder.operation("delete", key="x"):
        pass
    with recorder.operation("put", key="y", value=1) as op:
        op.fail("read only")
    with recorder.operation("get", key="y") as op:
        op.info("no answer")
    assert told(recorder.history) == [
        (0, "put", "x", (1, "a"), "ok", None, None),
        (0, "get", "x", None, "ok", 1, None),
        (0, "cas", "x", (1, 2), "ok", (1, 2), None),
        (0, "cas", "x", (1, 3), "fail", (1, 3), "mismatch"),
        (0, "delete", "x", None, "ok", None, None),
        (0, "put", "y", 1, "fail", 1, "read only"),
        (0, "get", "y", None, "info", None, "no answer"),
    ]
    assert [op.call_ns for op in recorder.history.operations()] == list(range(0, 14, 2))


def test_an_exception_leaves_the_outcome_open_unless_it_is_declared() -> None:
    recorder = ticking(fails=(Refused,))
    for raised in (TimeoutError("5 s"), Refused("full"), KeyboardInterrupt(), KeyError("k")):
        with (
            pytest.raises(type(raised)),
            recorder.operation("put", key="x", value=1, fails=(KeyError,)),
        ):
            raise raised
    assert [(op.process, op.type, op.error) for op in recorder.history.operations()] == [
        (0, "info", "TimeoutError: 5 s"),
        (1, "fail", "Refused: full"),
        (1, "info", "KeyboardInterrupt"),
        (2, "fail", "KeyError: 'k'"),
    ], "after an open outcome the thread goes on as another process"


def test_a_forgotten_outcome_is_an_error() -> None:
    recorder = ticking()
    unsaid = pytest.raises(RuntimeError, match="get: call ok, fail or info before the block ends")
    with unsaid, recorder.operation("get", key="x"):
        pass
    with recorder.operation("get", key="x") as op:
        op.ok(1)
        with pytest.raises(RuntimeError, match="recorded already"):
            op.ok(2)
    with pytest.raises(RuntimeError, match="happens once"), op:
        pass
    with pytest.raises(RuntimeError, match="begins with its"):
        recorder.operation("get").ok(1)
    assert [op.type for op in recorder.history.operations()] == ["info", "ok"]


def test_what_no_history_can_hold_is_refused_and_the_outcome_left_open() -> None:
    recorder = ticking()
    with pytest.raises(BadInput, match=r"a history cannot hold 1.5"):
        recorder.operation("put", key="x", value=1.5)
    with pytest.raises(BadInput), recorder.operation("get", key="x") as op:
        op.ok({"a": 1})
    assert [op.type for op in recorder.history.operations()] == ["info"]


def test_operations_may_overlap_within_a_thread() -> None:
    recorder = ticking()
    with recorder.operation("put", key="x", value=1), recorder.operation("put", key="y", value=1):
        pass
    with recorder.operation("put", key="z", value=1):
        pass
    assert [op.process for op in recorder.history.operations()] == [0, 1, 0]


def test_threads_are_processes() -> None:
    recorder, store = Recorder("kv"), Store()
    barrier = threading.Barrier(4)

    def client(number: int) -> None:
        barrier.wait()
        for turn in range(200):
            with recorder.operation("put", key="x", value=1000 * number + turn):
                store.put("x", 1000 * number + turn)
            with recorder.operation("get", key="x") as op:
                op.ok(store.get("x"))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    operations = recorder.history.operations()
    assert len(operations) == 1600
    assert {op.process for op in operations} == {0, 1, 2, 3}
    for process in range(4):
        numbers = {op.value // 1000 for op in operations if op.process == process and op.value}
        assert len(numbers) == 1, "one thread, one process"
    times = [event.time for event in recorder.history.events()]
    assert times == sorted(times)
    assert_consistent(recorder.history)


def test_tasks_are_processes() -> None:
    recorder, store = ticking(), Store()

    async def client(number: int) -> None:
        for turn in range(3):
            with recorder.operation("put", key="x", value=10 * number + turn):
                await asyncio.sleep(0)
                store.put("x", 10 * number + turn)
            with recorder.operation("get", key="x") as op:
                op.ok(store.get("x"))

    async def main() -> None:
        await asyncio.gather(*(client(number) for number in range(3)))
        cancelled = asyncio.create_task(client(9))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)

    asyncio.run(main())
    operations = recorder.history.operations()
    owners = {(op.value // 10, op.process) for op in operations if op.f == "put"}
    assert owners == {(0, 0), (1, 1), (2, 2), (9, 3)}
    assert (operations[-1].type, operations[-1].error) == ("info", "CancelledError")
    assert_consistent(recorder.history)


def test_a_function_may_be_recorded_whole() -> None:
    recorder, store = ticking(), Store()

    @recorder.recorded()
    def put(key: str, value: Any = 7) -> str:
        """Says OK."""
        return store.put(key, value)

    @recorder.recorded("get", fails=(Refused,))
    async def read(key: str) -> Any:
        if key == "z":
            raise Refused
        return store.get(key)

    class Client:
        @recorder.recorded()
        def cas(self, key: str, old: Any, new: Any) -> bool:
            return store.cas(key, old, new)

    assert put("x") == "OK"
    assert put.__doc__ == "Says OK."
    assert asyncio.run(read(key="x")) == 7  # type: ignore[arg-type]
    with pytest.raises(Refused):
        asyncio.run(read("z"))  # type: ignore[arg-type]
    assert Client().cas("x", 7, 8) is True
    assert [entry[1:] for entry in told(recorder.history)] == [
        ("put", "x", 7, "ok", None, None),
        ("get", "x", None, "ok", 7, None),
        ("get", "z", None, "fail", None, "Refused"),
        ("cas", "x", (7, 8), "ok", (7, 8), None),
    ]


def test_what_is_awaited_later_ends_when_it_has_been() -> None:
    recorder, store = ticking(), Store()

    async def answer(change: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        return change()

    @recorder.recorded()
    def put(key: str, value: Any) -> Awaitable[Any]:
        return answer(lambda: store.put(key, value))

    class Get:
        async def __call__(self, key: str) -> Any:
            if key == "z":
                raise TimeoutError
            return store.get(key)

    get = recorder.recorded("get")(Get())

    async def main() -> None:
        putting = put("x", 1)
        assert [op.return_ns for op in recorder.history.operations()] == [None]
        assert await get("x") is None
        assert await putting == "OK"
        assert await get("x") == 1
        with pytest.raises(TimeoutError):
            await get("z")

    asyncio.run(main())
    assert [(op.f, op.type, op.result, op.error) for op in recorder.history.operations()] == [
        ("put", "ok", None, None),
        ("get", "ok", None, None),
        ("get", "ok", 1, None),
        ("get", "info", None, "TimeoutError"),
    ]
    assert_consistent(recorder.history)


def test_a_generator_is_no_operation() -> None:
    def put(key: str, value: Any) -> Iterator[int]:
        yield 1

    async def put_async(key: str, value: Any) -> AsyncIterator[int]:
        yield 1

    for function in (put, put_async):
        with pytest.raises(TypeError, match="is a generator, expected a function that ends"):
            ticking().recorded("put")(function)


def test_a_thread_that_is_gone_is_nobody_elses_process() -> None:
    recorder = ticking()

    def client() -> None:
        for value in (1, 2):
            with recorder.operation("put", key="x", value=value):
                pass

    for _ in range(3):
        thread = threading.Thread(target=client)
        thread.start()
        thread.join()
    assert [op.process for op in recorder.history.operations()] == [0, 0, 1, 1, 2, 2]


def test_a_client_is_one_process_in_all_that_it_starts() -> None:
    recorder, other = ticking(), ticking()

    @recorder.recorded()
    async def put(key: str, value: Any) -> None:
        pass

    @recorder.recorded()
    def get(key: str) -> None:
        pass

    async def client() -> None:
        with recorder.client(), other.client():
            await asyncio.create_task(put("x", 1))
            await asyncio.wait_for(asyncio.create_task(put("x", 2)), 60)
            await asyncio.to_thread(get, "x")

    async def main() -> None:
        await client()
        await client()
        await put("x", 3)

    asyncio.run(main())
    assert [op.process for op in recorder.history.operations()] == [0, 0, 0, 1, 1, 1, 2]
    assert len(other.history) == 0


def test_in_a_pool_of_threads_a_client_is_said_in_what_they_run() -> None:
    recorder = ticking()

    def session(value: int) -> None:
        with recorder.client():
            for f in ("put", "delete"):
                with recorder.operation(f, key="x", value=value):
                    pass

    with ThreadPoolExecutor(1) as pool:
        list(pool.map(session, (1, 2)))
    assert [op.process for op in recorder.history.operations()] == [0, 0, 1, 1]


def test_a_history_makes_its_recorder() -> None:
    recorder = History.record("register")
    with recorder.operation("write", value=1):
        pass
    assert recorder.history.model == "register"
    assert check(recorder.history, machine("register")).valid is True


# --- the assertion --------------------------------------------------------------------------------


def stale() -> Recorder:
    recorder, store = ticking(), Store()
    for value in (1, 2):
        store.stale = value == 2
        with recorder.operation("put", key="x", value=value):
            store.put("x", value)
    with recorder.operation("get", key="x") as op:
        op.ok(store.get("x"))
    return recorder


def test_the_assertion_says_what_is_wrong() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_consistent(stale().history)
    first, *rest = str(caught.value).splitlines()
    assert first == "the history of 3 operations is not linearizable (kv)"
    assert "no order of the operations on 'x' explains every outcome" in rest[0]
    assert any("read 1 from 'x'" in line for line in rest)


def test_a_weaker_consistency_may_be_asserted() -> None:
    recorder, history = stale(), stale().history
    assert recorder.history.digest() == history.digest()
    assert assert_consistent(history, consistency="eventual").consistency == "eventual"
    with pytest.raises(AssertionError, match="is not pram"):
        assert_consistent(history, consistency="pram")


def test_pytest_shows_the_explanation_and_not_our_code(pytester: Any) -> None:
    pytester.makepyfile(
        """
        from concur.histories import History, assert_consistent

        def test_my_database():
            recorder = History.record("register")
            with recorder.operation("read") as op:
                op.ok("from nowhere")
            assert_consistent(recorder.history)
        """
    )
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    shown = done.stdout.str()
    assert "process 0 read 'from nowhere'" in shown
    assert "raise AssertionError" not in shown


def test_undecided_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ticking()
    monkeypatch.setattr(asserting, "check", lambda *_, **__: verdict("unknown", "out of time"))
    with pytest.raises(AssertionError, match=r"not known to be linearizable .*\nunknown: out of"):
        assert_consistent(recorder.history)


@pytest.mark.parametrize(
    "call",
    [
        lambda: assert_consistent(History()),
        lambda: assert_consistent(History(), "toaster"),
        lambda: assert_consistent(stale().history, "register"),
    ],
)
def test_a_model_that_does_not_fit_is_bad_input(call: Callable[[], object]) -> None:
    with pytest.raises(BadInput):
        call()


def test_names_control_no_terminal() -> None:
    recorder = ticking("register")
    with recorder.operation("read") as op:
        op.ok("\x1b[2J")
    with pytest.raises(AssertionError) as caught:
        assert_consistent(recorder.history)
    assert all(line.isprintable() for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("model", "f"), [("stack", "push"), ("priority-queue", "insert"), ("set", "remove")]
)
def test_what_tells_nothing_in_its_model_needs_no_word(model: str, f: str) -> None:
    recorder = History.record(model)
    with recorder.operation(f, value=3):
        pass
    (only,) = recorder.history.operations()
    assert (only.type, only.result) == ("ok", None)
    said = pytest.raises(RuntimeError, match=f"{f}: call ok, fail or info")
    with said, History.record().operation(f, value=3):
        pass
