"""`concur serve`: one node of a real cluster."""

from pathlib import Path
from typing import Annotated

import typer

from concur.cli.options import OUTPUT
from concur.errors import BadInput

EXAMPLES = """Examples:

concur serve --config r1.toml --init      # once, when the cluster is made

concur serve --config r1.toml"""


def serve(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            metavar="FILE",
            help="What this node is told: see docs/cluster.md.",
            show_default=False,
        ),
    ],
    init: Annotated[
        bool,
        typer.Option(
            "--init",
            help="The cluster is new: make this node's storage. Without it, storage that is "
            "missing was lost, and the node recovers from the others.",
        ),
    ] = False,
    while_stdin: Annotated[
        bool,
        typer.Option(
            "--while-stdin",
            help="Also stop when standard input ends, as it does when whoever started this node "
            "has gone, killed or not.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log more.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Run one node of a real cluster, until Ctrl-C or SIGTERM."""
    try:
        from concur.serve.config import read
        from concur.serve.process import run

        status = run(read(config), initialise=init, verbose=verbose, while_stdin=while_stdin)
    except ImportError as error:
        raise BadInput(
            f"concur serve: {error.name} is not installed, expected: pip install "
            "'concur-consensus[serve]'"
        ) from None
    raise typer.Exit(status)
