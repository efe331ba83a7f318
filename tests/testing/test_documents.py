"""The guides show code that runs: every block of docs/testing.md, and the example of the other."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from concur.testing import CHECKS
from concur.testing.transcripts import replay
from tests.cli.helpers import concur

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "testing.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
PARAMETERS_MAX = 6
"""Of a parametrised test that a block defines, so many cases are run; other tests run them all."""


def blocks(kind: str) -> list[str]:
    return [text for name, text in BLOCK.findall(GUIDE.read_text("utf-8")) if name == kind]


def cases(test: Callable[..., Any]) -> Iterator[tuple[Any, ...]]:
    """The arguments that a test which a block defines is to be called with."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    if not marks:
        yield ()
    for mark in marks:
        yield from (case.values for case in mark.args[1][:PARAMETERS_MAX])


def test_every_block_of_python_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page: dict[str, Any] = {"__name__": "my_tests"}
    for number, text in enumerate(blocks("python")):
        before = set(page)
        exec(compile(text, f"{GUIDE.name}, block {number + 1} of Python", "exec"), page)
        for name in sorted(set(page) - before):
            if name.startswith("test_"):
                for arguments in cases(page[name]):
                    page[name](*arguments)
    assert list(page["report"].killed) == ["mutant-forgetful"]


@pytest.mark.parametrize("text", blocks("sh"))
def test_every_command_runs(text: str) -> None:
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "concur"
        done = concur(*arguments)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("text", blocks("text"))
def test_every_transcript_tells_what_happens(text: str) -> None:
    assert replay(text) == text


def test_no_block_is_left_out() -> None:
    kinds = {kind for kind, _ in BLOCK.findall(GUIDE.read_text("utf-8"))}
    assert kinds == {"python", "sh", "text"}


def test_the_table_names_every_check_once() -> None:
    text = GUIDE.read_text("utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith("| "))
    named = re.findall(r"`(\w+)`", table)
    assert sorted(named) == sorted(check.__name__ for check in CHECKS)


def test_the_guide_holds_exactly_the_example_that_is_checked() -> None:
    guide = (ROOT / "docs" / "add-a-protocol.md").read_text("utf-8")
    example = (ROOT / "examples" / "primary_backup.py").read_text("utf-8")
    assert f"```python\n{example}```\n" in guide, (
        "docs/add-a-protocol.md and examples/primary_backup.py differ: copy one into the other"
    )
