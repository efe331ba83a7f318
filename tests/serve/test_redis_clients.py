"""Clients that people have talk to the gateway on a real socket: redis-py, and Debian's redis-cli
and redis-benchmark; and what it says is what Debian's redis-server says."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concur.effects import Ok
from concur.machines.keyspace import due
from concur.serve.redis import MACHINE, Gateway, RedisServer
from tests.serve.gateways import Rig, request, wall_ms

DEADLINE_S = 30.0


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed here (Debian: redis-tools, redis-server)")
    return path


def serving(use: Callable[[int], Awaitable[None]], **options: Any) -> None:
    """Run `use` with the port of a gateway that executes at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        state = MACHINE.initial()

        def invoke(body: bytes, done: Callable[[Any], None]) -> None:
            nonlocal state
            state, result = MACHINE.run(state, body)
            loop.call_soon(done, Ok(result))

        gateway = Gateway(
            invoke, loop.call_soon, loop.call_later,
            info=lambda: {"leader": "r1"}, clock_ms=wall_ms,
            due=lambda now_ms: due(state, now_ms), **options,
        )  # fmt: skip
        server = RedisServer(gateway)
        port = await server.listen("127.0.0.1", 0)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await use(port)
        finally:
            await server.close()

    asyncio.run(main())


async def output(*command: str, typed: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed, _ = await process.communicate(typed.encode())
    return printed.decode()


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_does_what_it_does_with_redis(protocol: int) -> None:
    async def use(port: int) -> None:
        client = redis.asyncio.Redis(
            host="127.0.0.1", port=port, protocol=protocol, password="secret",
            decode_responses=True, client_name="test",
        )  # fmt: skip
        assert await client.ping()
        assert await client.set("a", "1", ex=100)
        assert await client.set("a", "2", nx=True) is None
        assert await client.ttl("a") in (99, 100)
        assert await client.get("none") is None
        assert await client.incrby("a", 41) == 42
        assert await client.mset({"b": "x", "c": "\u00e9"})
        assert await client.mget("a", "b", "c", "d") == ["42", "x", "\u00e9", None]
        assert sorted([key async for key in client.scan_iter(match="[bc]", count=1)]) == ["b", "c"]
        assert await client.delete("b", "c", "d") == 2
        assert await client.execute_command("CAS", "a", "42", "43") == 1
        pipeline = client.pipeline(transaction=True)
        pipeline.set("n", 1).incr("n").get("n").get("none")
        assert await pipeline.execute() == [True, 2, "2", None]
        with pytest.raises(redis.ResponseError, match="unknown command 'LPUSH'"):
            await client.lpush("a", "b")
        with pytest.raises(redis.ResponseError, match="not an integer"):
            await client.set("s", "x") and await client.incr("s")
        assert (await client.info())["leader"] == "r1"
        assert await client.client_getname() == "test"
        await client.aclose()
        wrong = redis.asyncio.Redis(host="127.0.0.1", port=port, password="wrong")
        with pytest.raises(redis.AuthenticationError):
            await wrong.ping()
        await wrong.aclose()

    serving(use, password="secret")


def test_redis_py_sees_a_key_expire() -> None:
    async def use(port: int) -> None:
        client = redis.asyncio.Redis(host="127.0.0.1", port=port)
        await client.set("a", "1", px=50)
        assert await client.get("a") == b"1"
        until = time.monotonic() + DEADLINE_S
        while await client.get("a") is not None:
            assert time.monotonic() < until
        await client.aclose()

    serving(use)


def test_redis_cli_talks_to_the_gateway() -> None:
    cli = tool("redis-cli")

    async def use(port: int) -> None:
        said = await output(
            cli, "-3", "-p", str(port),
            typed='SET a "x y"\nGET a\nMGET a b\nCAS a "x y" z\nHELLO 3\nGET\n'
            "MULTI\nINCR n\nEXEC\n",
        )  # fmt: skip
        lines = said.splitlines()
        assert lines[:3] == ["OK", "x y", "x y"]
        assert "server redis" in said
        assert "wrong number of arguments for 'get' command" in said
        assert "\n".join(lines).rstrip().endswith("OK\nQUEUED\n1")
        assert sorted((await output(cli, "-p", str(port), "--scan")).split()) == ["a", "n"]

    serving(use)


def test_redis_benchmark_runs_against_the_gateway() -> None:
    benchmark = tool("redis-benchmark")

    async def use(port: int) -> None:
        said = await output(
            benchmark, "-p", str(port), "-n", "2000", "-c", "20", "-P", "4", "-r", "100", "--csv",
            "-t", "ping_inline,ping_mbulk,set,get,incr,mset",
        )  # fmt: skip
        assert "ERR" not in said
        names = [line.split(",")[0].strip('"') for line in said.splitlines() if line[:1] == '"']
        measured = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"]
        assert names[-6:] == measured

    serving(use)


def test_garbage_half_frames_and_silence_on_real_sockets_hurt_nobody() -> None:
    async def use(port: int) -> None:
        writers = []
        for data in (b"*3\r\n$3\r\nset\r\n", b"*1\r\n$2147483648\r\n", b"\x16\x03\x01\x02", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            writers.append((reader, writer))
        assert (await writers[1][0].read()) == b"-ERR Protocol error: invalid bulk length\r\n"
        client = redis.asyncio.Redis(host="127.0.0.1", port=port)
        assert await client.set("a", "1")
        await client.aclose()
        for _, writer in writers:
            writer.close()

    serving(use)


# --- differential ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[RealRedis]":
    server = tool("redis-server")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "socket"
    process = subprocess.Popen(
        [
            server,
            "--port",
            "0",
            "--unixsocket",
            str(path),
            "--save",
            "",
            "--dir",
            str(folder),
            "--databases",
            "1",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield RealRedis(path)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


class RealRedis:
    """A raw connection: what is compared are bytes."""

    def __init__(self, path: Path) -> None:
        until = time.monotonic() + DEADLINE_S
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                self.socket.close()
                assert time.monotonic() < until
        self.socket.settimeout(DEADLINE_S)

    def ask_all(self, requests: list[tuple[Any, ...]]) -> bytes:
        """Everything that is said until a last word is echoed."""
        self.socket.sendall(b"".join(request(*words) for words in requests) + request("echo", END))
        said = b""
        while not said.endswith(b"%b\r\n" % END):
            said += self.socket.recv(1 << 16)
        return said


END = b"the end of it"
FUTURE = 4_000_000_000  # seconds: a lifetime that ends at a known time, not after a known time
keys = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["", "0", "1", "-7", "9223372036854775807", "x", "01", "a b\r\n", "1.5"])
amounts = st.sampled_from(["1", "-1", "5", "x", "9223372036854775807", "-9223372036854775808"])
times = st.sampled_from([str(FUTURE), str(FUTURE + 5), "1", "0", "-1", "x", "99999999999999999"])
options = st.lists(st.sampled_from(["NX", "xx", "GET", "KEEPTTL", "EX", "zz"]), max_size=2)


def words(name: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *parts)


def many(name: str, least: int, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    each = st.tuples(*parts)
    return st.lists(each, min_size=least, max_size=3).map(
        lambda found: (name, *[word for group in found for word in group])
    )


def with_options(name: str, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.tuples(st.just(name), *parts), options).map(lambda two: (*two[0], *two[1]))


counts = st.sampled_from(["5", "0", "-1", "x"])
expiry_words = st.lists(st.sampled_from(["nx", "XX", "GT", "lt", "zz"]), max_size=2)
asked = st.one_of(
    words("get", keys), words("SET", keys, values), with_options("set", keys, values),
    words("set", keys, values, st.sampled_from(["EXAT", "exat"]), times),
    words("set", keys, values, st.just("pxat"), st.just(str(FUTURE * 1000 + 7))),
    words("setnx", keys, values), words("getset", keys, values), words("getdel", keys),
    words("append", keys, values), words("strlen", keys),
    words("incr", keys), words("decr", keys), words("incrby", keys, amounts),
    words("decrby", keys, amounts),
    many("mget", 0, keys), many("mset", 0, keys, values), many("msetnx", 1, keys, values),
    many("mset", 1, keys), many("del", 0, keys), many("unlink", 1, keys), many("exists", 1, keys),
    many("touch", 1, keys), words("type", keys), words("dbsize"),
    st.tuples(st.tuples(st.just("expireat"), keys, times), expiry_words).map(
        lambda two: (*two[0], *two[1])
    ),
    words("pexpireat", keys, times), words("expiretime", keys), words("pexpiretime", keys),
    words("persist", keys), words("ttl", st.just("none")), words("setex", keys, times, values),
    words("psetex", keys, st.sampled_from(["0", "-1", "x"]), values),
    words("expire", keys, st.sampled_from(["0", "-5", "x"])),
    words("keys", st.just("none*")), words("ping"), words("echo", values),
    words("select", st.sampled_from(["0", "1", "x"])),
    words("get"), words("incr", keys, keys), words("nothing", keys), words("scan", st.just("x")),
    words("scan", st.just("0"), st.just("match"), st.just("nothing")),
    words("scan", st.just("0"), st.just("match"), st.just("no*"), st.just("count"), counts),
    words("flushall"), words("multi"), words("exec"), words("discard"),
    words("hello", st.just("9")), words("config", st.just("get"), st.just("nothing")),
    words("client", st.just("setname"), st.sampled_from(["me", "a b"])),
    words("client", st.just("getname")),
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(asked, max_size=25), st.sampled_from([2, 3]))
def test_what_it_says_is_what_redis_says(
    real: RealRedis, requests: list[tuple[Any, ...]], protocol: int
) -> None:
    real.ask_all([("reset",), ("flushall",), ("hello", protocol)])
    expected = real.ask_all([*requests, ("discard",)])
    rig = Rig(clock_ms=wall_ms)
    client = rig.client()
    client.ask("hello", protocol)
    client.said()
    client.send(b"".join(request(*words) for words in [*requests, ("discard",)]))
    client.send(request("echo", END))
    rig.run()
    assert client.said().split(b"\r\n") == expected.split(b"\r\n")
