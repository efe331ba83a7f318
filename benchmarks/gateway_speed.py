"""What a command costs in the Redis gateway, layer by layer: microseconds each, on one core.

SET and GET with values of 128 bytes over 10,000 keys, in batches of 64 and of 1; then what an idle
connection holds; then, with Debian's redis-benchmark, a whole gateway on a socket with a machine
and without a cluster. Beside each part a canary.

    python benchmarks/gateway_speed.py [--connections 10000] [--requests 200000]
"""

import argparse
import asyncio
import resource
import shutil
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import canary
import msgspec

from concur.effects import Ok
from concur.machines import Batch, redis
from concur.serve.redis import MACHINE, Gateway, RedisServer
from concur.serve.redis.connection import RespConnection
from concur.serve.redis.replies import BULK, DONE
from concur.serve.resp import Parser, RequestLimits

KEYS = 10_000
VALUE = b"x" * 128
ROUNDS = 15

encode = msgspec.msgpack.Encoder().encode


def microseconds(action: Callable[[], Any], commands: int, times: int = 30) -> float:
    """The best of some rounds: what the code costs when the neighbours are quiet."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(times):
            action()
        best = min(best, time.perf_counter() - begin)
    return best / times / commands * 1e6


def request(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


class Nowhere:
    """A transport that forgets what is written."""

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def keys(count: int) -> list[bytes]:
    return [b"key:%012d" % (number * 7919 % KEYS) for number in range(count)]


def filled() -> Any:
    state = MACHINE.initial()
    for number in range(KEYS):
        state, _ = MACHINE.inner.apply(state, redis.Set(b"key:%012d" % number, VALUE))
    return state


def layers(batch: int, name: str) -> dict[str, float]:
    state = filled()
    if name == "SET":
        requests = [request(b"SET", key, VALUE) for key in keys(batch)]
        commands: list[Any] = [redis.Set(key, VALUE) for key in keys(batch)]
        shape = DONE
    else:
        requests = [request(b"GET", key) for key in keys(batch)]
        commands = [redis.Get(key) for key in keys(batch)]
        shape = BULK
    bodies = [encode(command) for command in commands]
    joined = Batch.join(bodies)
    decoded = MACHINE.decode(joined)
    _, result = MACHINE.run(state, joined)
    _, results = MACHINE.apply(state, decoded)
    reply = shape[0]
    parser = Parser(RequestLimits())
    stream = b"".join(requests)

    def parse() -> None:
        parser.feed(stream, lambda found: None)

    def replies() -> None:
        for each in Batch.split(result):
            reply(each)

    asked: list[Any] = []
    soon: list[Callable[[], None]] = []
    gateway = Gateway(
        lambda body, done: asked.append(done),
        soon.append,
        lambda delay_s, action: None,
        info=dict,
        clock_ms=lambda: 0,
    )
    connections = [RespConnection(gateway) for _ in range(batch)]
    for connection in connections:
        connection.connection_made(Nowhere())  # type: ignore[arg-type]
    outcome = Ok(result)

    def whole() -> None:
        for connection, data in zip(connections, requests, strict=True):
            connection.data_received(data)
        while soon:
            soon.pop()()
        while asked:
            asked.pop()(outcome)

    return {
        "parse": microseconds(parse, batch),
        "encode": microseconds(lambda: [encode(command) for command in commands], batch),
        "join": microseconds(lambda: Batch.join(bodies), batch),
        "decode": microseconds(lambda: MACHINE.decode(joined), batch),
        "apply": microseconds(lambda: MACHINE.apply(state, decoded), batch),
        "encode results": microseconds(lambda: encode(results), batch),
        "split, reply": microseconds(replies, batch),
        "GATEWAY, ALL": microseconds(whole, batch),
        "REPLICA, ALL": microseconds(lambda: MACHINE.run(state, bytes(memoryview(joined))), batch),
    }


def show_layers() -> None:
    for batch in (64, 1):
        columns = {name: layers(batch, name) for name in ("SET", "GET")}
        print(f"\nmicroseconds a command, batches of {batch}:        SET     GET")
        for layer in columns["SET"]:
            figures = "".join(f"{columns[name][layer]:8.2f}" for name in columns)
            print(f"  {layer:<36}{figures}")


async def serve(use: Callable[[Gateway, int], Any]) -> None:
    loop = asyncio.get_running_loop()
    state = filled()

    def invoke(body: bytes, done: Callable[[Any], None]) -> None:
        nonlocal state
        state, result = MACHINE.run(state, body)
        loop.call_soon(done, Ok(result))

    gateway = Gateway(
        invoke,
        loop.call_soon,
        loop.call_later,
        info=dict,
        clock_ms=lambda: time.time_ns() // 1_000_000,
    )
    server = RedisServer(gateway)
    port = await server.listen("127.0.0.1", 0)
    await use(gateway, port)
    await server.close()


async def idle(gateway: Gateway, port: int, count: int) -> None:
    """What `count` connections hold in this process, which is at both ends of them."""
    count = min(count, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 2)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    ends = []
    for number in range(count):
        end = socket.socket()
        end.setblocking(False)
        end.connect_ex(("127.0.0.1", port))
        ends.append(end)
        if number % 100 == 99:
            async with asyncio.timeout(30):
                while len(gateway.connections) < len(ends):
                    await asyncio.sleep(0.001)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    print(f"{count:,} idle connections: {held / count:,.0f} bytes each (with the client's socket)")
    for end in ends:
        end.close()


async def load(port: int, requests: int) -> None:
    benchmark = shutil.which("redis-benchmark")
    if benchmark is None:
        print("redis-benchmark is not installed (Debian: redis-tools)")
        return
    for pipeline in (1, 16):
        used = resource.getrusage(resource.RUSAGE_SELF)
        process = await asyncio.create_subprocess_exec(
            benchmark, "-p", str(port), "-n", str(requests), "-c", "64", "-P", str(pipeline),
            "-d", "128", "-r", str(KEYS), "-t", "set,get", "--csv", stdout=subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await process.communicate()
        now = resource.getrusage(resource.RUSAGE_SELF)
        spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        for line in printed.decode().splitlines()[1:]:
            test, rate = line.replace('"', "").split(",")[:2]
            print(f"  {test} with 64 connections, pipelines of {pipeline}: {float(rate):,.0f}/s")
        print(f"  CPU of the gateway: {spent / (2 * requests) * 1e6:.1f} us a command")


def run(main: Any) -> None:
    try:
        import uvloop
    except ImportError:
        print("event loop: asyncio")
        asyncio.run(main)
    else:
        print("event loop: uvloop")
        uvloop.run(main)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=200_000)
    arguments = parser.parse_args()
    canary.show()
    show_layers()
    print()
    canary.show()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    asyncio.run(serve(lambda gateway, port: idle(gateway, port, arguments.connections)))
    canary.show()
    run(serve(lambda gateway, port: load(port, arguments.requests)))


if __name__ == "__main__":
    main()
