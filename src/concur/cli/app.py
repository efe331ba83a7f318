"""The application: its verbs, and what becomes of errors."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from concur.cli import (
    admin,
    bench,
    check,
    compare,
    list,
    replay,
    serve,
    simulate,
    status,
    up,
    verify,
)
from concur.errors import BadInput
from concur.parallel import unwinding

UsageError: type[Exception] = next(
    kind
    for kind in typer.BadParameter.__mro__
    if kind.__name__ == "UsageError" and issubclass(kind, Exception)
)
"""Typer brings click in its own package or as a dependency; this is the class in both."""

INTERRUPTED = 130


class Verbs(TyperGroup):
    """Turns every error that a person can make into one line on stderr and a status."""

    def list_commands(self, ctx: Any) -> "Any":
        return self.commands.keys()  # in the order of this file

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort):
            print("concur: stopped", file=sys.stderr)
            return INTERRUPTED

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            status = super().main(*args, **extra | {"standalone_mode": False})
        except UsageError as error:
            status = _refuse(_usage(error))
        except BadInput as error:
            status = _refuse(" ".join(str(error).split()))
        if extra.get("standalone_mode", True):
            sys.exit(status or 0)
        return status


app = typer.Typer(
    cls=Verbs,
    name="concur",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="concur compare --network wan-5 --faults leader-crash --html report.html",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"concur {version('concur-consensus')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def concur(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Consensus protocols behind one small API: simulate, compare, verify, check, run."""
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command("list", epilog=list.EXAMPLES)(list.list_protocols)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("simulate", epilog=simulate.EXAMPLES)(simulate.simulate)
app.command("replay", epilog=replay.EXAMPLES)(replay.replay)
app.command("verify", epilog=verify.EXAMPLES)(verify.verify)
app.command("check", epilog=check.EXAMPLES)(check.check)
app.command("up", epilog=up.EXAMPLES)(up.up)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.command("status", epilog=status.EXAMPLES)(status.status)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)

admins = typer.Typer(
    help="Have nodes of a real cluster do something.",
    epilog=admin.EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
admins.command("leader", epilog=admin.LEADER_EXAMPLES)(admin.leader)
admins.command("snapshot", epilog=admin.SNAPSHOT_EXAMPLES)(admin.snapshot)
app.add_typer(admins, name="admin")


def main() -> None:
    """Run the command line, and exit with its status. What ends it by a signal lets it clean up.

    The current folder is searched for `package.module:Class`, as `python -m` would.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        with unwinding():
            app(prog_name="concur")
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        sys.stdout = None  # what is left in its buffer would fail again at exit
        sys.exit(_refuse(f"cannot write: {error.strerror}, expected room for the output"))
    finally:
        _flush()


def _flush() -> None:
    """A reader that left, as `head` does, is no reason for a traceback at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None


def _refuse(line: str) -> int:
    print(f"concur: {line}", file=sys.stderr)
    return 2


def _usage(error: Any) -> str:
    text = " ".join(error.format_message().split())
    path = error.ctx.command_path if error.ctx is not None else "concur"
    return f"{text.rstrip('.')}, expected what {path} --help lists"
