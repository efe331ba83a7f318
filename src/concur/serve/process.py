"""The process of one node: its loop, its signals, its log, and how it ends."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from concur.errors import BadInput, ConcurError
from concur.serve.config import NodeConfig
from concur.serve.server import Server

log = logging.getLogger("concur.serve")

STOPPED = 1
"""Exit status of a node that had to stop: a failed sync, a step that raised."""


def run(
    config: NodeConfig,
    *,
    initialise: bool = False,
    verbose: bool = False,
    while_stdin: bool = False,
) -> int:
    """Serve until a signal, a failure or, with `while_stdin`, the end of standard input; the exit
    status. Raises BadInput."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format=f"%(asctime)s {config.node} %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    server = Server(config)
    if initialise:
        server.make_store()
    return run_loop(lambda: serve(server, while_stdin))


def run_loop(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run `main` on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


async def serve(server: Server, while_stdin: bool = False) -> int:
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[str] = loop.create_future()

    def ask(name: str) -> None:
        if not asked.done():
            asked.set_result(name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask, number.name)
    if while_stdin:
        loop.add_reader(0, ask, "standard input ended")
    try:
        await server.start()
    except OSError as error:
        node = server.config.node
        raise BadInput(f"{node}: {error}, expected addresses and folders to use") from None
    except ConcurError as error:  # storage that is damaged, for a protocol that cannot bear it
        raise BadInput(str(error)) from None
    # What was made so far stays: there is no need to look at it in every collection.
    gc.collect()
    gc.freeze()
    try:
        either: list[asyncio.Future[Any]] = [asked, server.host.failed]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if server.host.failed.done():
            reason = server.host.failed.exception()
            what = str(reason) if isinstance(reason, ConcurError) else repr(reason)
            print(f"concur: {server.config.node} stopped: {what}", file=sys.stderr, flush=True)
            return STOPPED
        log.info("%s: stops", asked.result())
        return 0
    finally:
        await server.stop()
