"""The generator of load: what it understands, how it asks, and that it finds out who is wrong."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from concur.errors import BadInput
from concur.serve.load import bench as bench_module
from concur.serve.load.bench import Bench, Plan, bench
from concur.serve.load.drive import Asker, Load, Refused, Unreachable
from concur.serve.load.figures import Answers
from concur.serve.load.resp import RespWire, command
from concur.serve.load.target import target
from concur.serve.load.wire import MORE, Answer, Garbled, Refusal, Wire
from tests.serve.fake_redis import FakeRedis, serving

QUICK: dict[str, Any] = {"seconds": 0.2, "warmup_s": 0.0, "keys": 20, "connections": 4}


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def plan(server: FakeRedis, *others: FakeRedis, **changed: Any) -> Plan:
    targets = tuple(target(f"redis://127.0.0.1:{each.port}") for each in (server, *others))
    return Plan(targets=targets, **QUICK | changed)


def benched(server: FakeRedis, *others: FakeRedis, **changed: Any) -> Bench:
    found: Bench = run(lambda: bench(plan(server, *others, **changed)))
    return found


# --- the wire -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b"+OK\r\n", True),
        (b"$5\r\nv\r\nv2\r\n", b"v\r\nv2"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b":12\r\n", 12),
        (b"-TRYAGAIN no leader\r\n", Refusal("fail", "TRYAGAIN no leader")),
        (b"-INDEFINITE who knows\r\n", Refusal("info", "INDEFINITE who knows")),
        (b"-NOAUTH Authentication required.\r\n",
         Refusal("fatal", "NOAUTH Authentication required.")),
    ],
)  # fmt: skip
def test_an_answer_is_understood_wherever_it_is_split(said: bytes, meant: Answer) -> None:
    for at in range(1, len(said)):
        wire = RespWire()
        assert wire.receive(said[:at]) is MORE
        assert wire.receive(said[at:]) == meant
        assert wire.receive(said) == meant


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 400 Bad Request\r\n", b"\x15\x03\x01", b"$x\r\n", b"$99999999999\r\n",
     b"+OK\r\n+OK\r\n", b"$1\r\nvv\r\n", b"+" + b"a" * 70_000],
)  # fmt: skip
def test_what_is_no_answer_is_refused(said: bytes) -> None:
    with pytest.raises(Garbled):
        RespWire().receive(said)


def test_figures_are_of_the_measured_time_and_add_up_gaps() -> None:
    answers = Answers()
    for end_ms in (5, 10, 20, 30, 1030, 1040, 9000):
        answers.add((end_ms - 5) * 1_000_000, end_ms * 1_000_000)
    figures = answers.figures(10_000_000, 1_040_000_000)
    assert figures["commands"] == 5
    assert figures["latency_ms_p50"] == 5.0
    assert figures["unavailable_s"] == 1.0
    assert answers.figures(2_000_000_000, 3_000_000_000)["latency_ms_p99"] is None


# --- the loop -------------------------------------------------------------------------------------


class Counting(Asker):
    """Asks so many times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.answers: list[Answer] = []
        self.losses: list[str] = []

    def ask(self, wire: Wire, now_ns: int) -> bytes | None:
        if not self.left:
            return None
        self.left -= 1
        return wire.put(b"k", b"v")

    def answered(self, answer: Answer, asked_ns: int, now_ns: int) -> None:
        assert asked_ns <= now_ns
        self.answers.append(answer)

    def lost(self, why: str, now_ns: int) -> None:
        self.losses.append(why)


async def loaded(servers: list[FakeRedis], askers: list[Counting], **options: Any) -> Load:
    """Let askers ask all that they have."""
    doors = [("127.0.0.1", server.port) for server in servers]
    load = Load(doors, RespWire, askers, **options)
    try:
        await load.connect()
        load.begin()
        await load.during(10.0)
    finally:
        await load.close()
    return load


def test_a_connection_has_one_request_outstanding_and_its_answers_are_its_own() -> None:
    askers = [Counting(50) for _ in range(3)]
    with serving(FakeRedis()) as server:
        run(lambda: loaded([server], askers))
        assert (server.ever, server.asked, server.outstanding_max) == (3, 150, 1)
    assert all(asker.answers == [True] * 50 for asker in askers)


class Hangs(FakeRedis):
    """Says nothing to the third request, or closes the connection."""

    closes = False

    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        if self.asked != 3:
            return super().answer(connection, words)
        if self.closes:
            connection.abort()
        return b""


class Closes(Hangs):
    closes = True


@pytest.mark.parametrize("kind", [Hangs, Closes])
def test_what_is_lost_is_said_and_the_connection_goes_on_at_the_next_address(
    kind: type[FakeRedis],
) -> None:
    asker = Counting(5)
    with serving(kind()) as first, serving(FakeRedis()) as second:
        load = run(lambda: loaded([first, second], [asker], reconnect=True, timeout_s=0.2))
        assert (first.asked, second.asked) == (3, 2)
    assert asker.answers == [True] * 4
    assert len(asker.losses) == load.lost == 1


@pytest.mark.parametrize("kind", [Hangs, Closes])
def test_without_reconnecting_a_loss_ends_the_load(kind: type[FakeRedis]) -> None:
    with serving(kind()) as server, pytest.raises(Unreachable):
        run(lambda: loaded([server], [Counting(5)], timeout_s=0.2))


class Busy(FakeRedis):
    """Cannot just now, twice."""

    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        if self.asked <= 2:
            return b"-TRYAGAIN the command was not executed: no leader\r\n"
        return super().answer(connection, words)


class Full(FakeRedis):
    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        return b"-OOM command not allowed\r\n"


def test_after_a_definite_refusal_it_asks_on_and_a_fatal_one_ends_the_load() -> None:
    asker = Counting(4)
    with serving(Busy()) as server:
        run(lambda: loaded([server], [asker]))
    assert [type(answer) for answer in asker.answers] == [Refusal, Refusal, bool, bool]
    with serving(Full()) as server, pytest.raises(Refused, match="OOM command not allowed"):
        run(lambda: loaded([server], [Counting(1)]))


class Locked(FakeRedis):
    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        if words[0] == b"AUTH":
            return b"+OK\r\n" if words[1:] == [b"alice", b"open sesame"] else b"-WRONGPASS no\r\n"
        return super().answer(connection, words)


def test_the_password_is_said_first_and_a_wrong_one_is_reported() -> None:
    with serving(Locked()) as server:
        url = f"redis://alice:open%20sesame@127.0.0.1:{server.port}"
        found = run(lambda: bench(Plan(targets=(target(url),), **QUICK)))
        assert found.figures["commands"] > 0
        wrong = target(f"redis://:no@127.0.0.1:{server.port}")
        with pytest.raises(BadInput, match="WRONGPASS"):
            run(lambda: bench(Plan(targets=(wrong,), **QUICK)))


# --- bench ----------------------------------------------------------------------------------------


def test_a_right_server_is_found_linearizable_and_left_as_it_was() -> None:
    with serving(FakeRedis()) as server:
        server.held[b"mine"] = b"1"
        found = benched(server)
        assert server.held == {b"mine": b"1"}
    assert (found.protocol, found.complete, found.lost) == ("fake", True, 0)
    assert found.figures["commands"] > 20
    assert found.figures["throughput"] == pytest.approx(found.figures["commands"] / 0.2, rel=0.2)
    verdict = found.verdict(10.0)
    assert verdict.valid is True
    assert verdict.operations == len(found.history) >= found.figures["commands"] + 20


class Forgetful(FakeRedis):
    """Acknowledges every write of a key but the first, and drops it."""

    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        if words[0] == b"SET" and words[1] in self.held:
            return b"+OK\r\n"
        return super().answer(connection, words)


def test_a_lost_write_is_found_also_when_nothing_is_read_but_in_the_end() -> None:
    for reads in (0.5, 0.0):
        with serving(Forgetful()) as server:
            found = benched(server, reads=reads, connections=1)
        assert found.verdict(10.0).valid is False


class Mangles(FakeRedis):
    def answer(self, connection: asyncio.Transport, words: list[bytes]) -> bytes:
        said = super().answer(connection, words)
        return said.replace(b"v\r\n", b"w\r\n") if words[0] == b"GET" else said


def test_a_value_that_nobody_wrote_is_found() -> None:
    with serving(Mangles()) as server:
        found = benched(server, connections=1)
    assert "never written" in found.verdict(10.0).reason
    assert found.verdict(10.0).valid is False


def test_an_operation_without_an_answer_may_or_may_not_have_happened() -> None:
    with serving(Closes()) as server:
        found = benched(server, connections=1)
        assert server.ever > 2
    (lost,) = [op for op in found.history.operations() if op.type == "info"]
    assert lost.error
    assert (found.lost, found.figures["unanswered"]) == (1, 1)
    assert found.verdict(10.0).valid is True


def test_a_target_that_is_down_is_passed_over_and_none_at_all_is_reported() -> None:
    with serving(FakeRedis()) as server:
        down = FakeRedis()
        with serving(down):
            pass
        assert benched(down, server).verdict(10.0).valid is True
        with pytest.raises(BadInput, match=f"127.0.0.1:{down.port}: .*refused"):
            benched(down)


def test_when_cancelled_it_gives_what_there_is_so_far() -> None:
    async def main(server: FakeRedis) -> Bench:
        begun = asyncio.Event()

        def progress(seconds: float, operations: int) -> None:
            if operations:
                begun.set()

        task = asyncio.create_task(bench(plan(server, seconds=600.0), progress))
        await begun.wait()
        task.cancel()
        return await task

    with serving(FakeRedis()) as server:
        found = run(lambda: main(server))
        assert not server.held
    assert not found.complete
    assert found.figures["commands"] > 0
    assert found.verdict(10.0).valid is True


def test_a_history_that_grows_too_long_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "OPERATIONS_MAX", 100)
    with serving(FakeRedis()) as server:
        found = benched(server, seconds=600.0)
    assert found.complete
    assert found.figures["measured_s"] < 60


@pytest.mark.parametrize(
    ("url", "address", "tls", "user", "password"),
    [
        ("redis://localhost", ("localhost", 6379), False, "", ""),
        ("redis://127.0.0.1:7001/0", ("127.0.0.1", 7001), False, "", ""),
        ("rediss://[::1]:7001", ("::1", 7001), True, "", ""),
        ("redis://:se%40cret@host:1", ("host", 1), False, "", "se@cret"),
        ("redis://me:secret@host:1", ("host", 1), False, "me", "secret"),
    ],
)
def test_a_target_is_written_as_for_other_clients(
    url: str, address: tuple[str, int], tls: bool, user: str, password: str
) -> None:
    found = target(url)
    assert (found.address, found.tls) == (address, tls)
    assert (found.user, found.password) == (user, password)
    assert "cret" not in found.url


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:6379", "http://host", "redis://", "redis://host:x", "redis://host/3"]
)
def test_what_is_no_target_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="expected redis://"):
        target(url)


def test_a_request_of_any_command() -> None:
    assert command(b"DEL", b"a", b"bc") == b"*3\r\n$3\r\nDEL\r\n$1\r\na\r\n$2\r\nbc\r\n"
