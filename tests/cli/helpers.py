"""Running the command line in tests."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from concur.cli import app

TINY = ("--seconds", "0.3", "--clients", "3", "--replicas", "3")


def concur(*arguments: str) -> Result:
    """Run the command line here; what is printed is in `.stdout` and `.stderr`."""
    return CliRunner().invoke(app, list(arguments), prog_name="concur")


def concur_json(*arguments: str, status: int = 0) -> Any:
    """The one JSON object that a verb prints with --json."""
    done = concur(*arguments, "--json")
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def refused(*arguments: str) -> str:
    """The one line that wrong input gets; anything else is a failure."""
    done = concur(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("concur: ")
    assert "Traceback" not in done.stderr
    return lines[0].removeprefix("concur: ")
