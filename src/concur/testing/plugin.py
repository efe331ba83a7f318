"""A pytest plugin: every `.txt` file in a folder called `transcripts` is a test.

Concur's own conftest.py switches it on, and so can yours, in the top folder of your tests:

    pytest_plugins = ["concur.testing.plugin"]

`pytest --rewrite-transcripts` writes them anew instead of comparing; read the diff.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from concur.errors import BadInput
from concur.testing.transcripts import FOLDER, run_transcript


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("concur").addoption(
        "--rewrite-transcripts",
        action="store_true",
        help="write golden transcripts anew instead of comparing with them",
    )


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> "TranscriptFile | None":
    if file_path.suffix != ".txt" or file_path.parent.name != FOLDER:
        return None
    found: TranscriptFile = TranscriptFile.from_parent(parent, path=file_path)
    return found


class TranscriptFile(pytest.File):
    def collect(self) -> Iterator["TranscriptItem"]:
        yield TranscriptItem.from_parent(self, name=self.path.stem)


class TranscriptItem(pytest.Item):
    """The story that the file's name tells."""

    def runtest(self) -> None:
        run_transcript(self.path, rewrite=bool(self.config.getoption("--rewrite-transcripts")))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None
    ) -> str:
        if isinstance(excinfo.value, AssertionError | BadInput):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name
