"""`concur up`: a real cluster of processes on this machine, in the foreground."""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concur.cli.options import Settings, with_settings
from concur.cli.terminal import err
from concur.errors import BadInput, whole

if TYPE_CHECKING:
    from concur.serve.config import NodeConfig

EXAMPLES = """Examples:

concur up raft

concur up multi-paxos --replicas 5 --port 6400 --dir ./data

redis-cli -p 6400 set greeting hello"""

CLUSTER = "The cluster"
PORT_MAX = 65_000


def up(
    protocol: Annotated[
        str,
        typer.Argument(
            metavar="PROTOCOL", help="A name as concur list prints it, or package.module:Class."
        ),
    ],
    replicas: Annotated[int, typer.Option(help="How many nodes.", rich_help_panel=CLUSTER)] = 3,
    port: Annotated[
        int,
        typer.Option(
            help="Where the first node takes Redis clients; the next ones follow. 0: free ports.",
            rich_help_panel=CLUSTER,
        ),
    ] = 0,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Where data and logs are kept; a cluster that is there goes on. Default: a "
            "temporary folder, which is removed in the end.",
            rich_help_panel=CLUSTER,
            show_default=False,
        ),
    ] = None,
    settings: Settings = None,
) -> None:
    """Run a real cluster of processes on this machine, until Ctrl-C.

    Prints one line, `ready redis://127.0.0.1:PORT`, once it serves. A node that is killed is
    started again.
    """
    from concur.protocols import protocol as protocol_named

    made = protocol_named(protocol)()
    with_settings([made], settings)
    made.validate(replicas)
    whole("--port", port, 0, PORT_MAX)
    try:
        from concur.serve import local
    except ImportError as error:
        raise BadInput(
            f"concur up: {error.name} is not installed, expected: pip install "
            "'concur-consensus[serve]'"
        ) from None

    folder = Path(tempfile.mkdtemp(prefix="concur-")) if directory is None else directory
    try:
        with local.locked(folder):
            configs = local.make(folder, made, replicas, "redis", port)
            raise typer.Exit(asyncio.run(_up(configs, folder)))
    finally:
        if directory is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _up(configs: "list[NodeConfig]", folder: Path) -> int:
    from concur.serve.local import Cluster
    from concur.serve.server import only_in_memory

    console = err()

    def say(line: str) -> None:
        console.print(f"concur: {line}", soft_wrap=True)

    protocol = configs[0].make_protocol()
    if not protocol.tags.durable:
        say(only_in_memory(protocol))
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[int] = loop.create_future()

    def ask(number: int) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask, number)
    cluster = Cluster(configs, say)
    try:
        await cluster.start()
        starting = asyncio.create_task(cluster.ready())
        first = asyncio.FIRST_COMPLETED
        either: list[asyncio.Future[Any]] = [starting, asked]
        await asyncio.wait(either, return_when=first)
        if starting.done():
            starting.result()
            for config in configs:
                doors = f"redis://{config.listen.redis}, admin http://{config.listen.admin}"
                console.print(f"concur: {config.node} at {doors}")
            console.print(f"concur: data and logs in {folder}")
            print(f"ready redis://{configs[0].listen.redis}", flush=True)
            either = [asked, cluster.failed]
            await asyncio.wait(either, return_when=first)
        starting.cancel()
        if not asked.done():
            raise BadInput(cluster.failed.result().removeprefix("concur: "))
        return 130 if asked.result() == signal.SIGINT else 128 + asked.result()
    finally:
        await cluster.stop()
