"""Documents name things that exist: links, headings, files, make targets."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tidy.repository import PACKAGE, ROOT, files, name, refuse, text

LINK = re.compile(
    r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.M
)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.*-]+(/[\w.*-]+)*/?")
SUFFIXES = {".cfg", ".csv", ".md", ".py", ".toml", ".txt", ".yml"}


def documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def anchors(document: str) -> set[str]:
    """The fragments that a heading of the document can be reached by."""
    headings = re.findall(r"^#+\s+(.*?)\s*#*$", FENCE.sub("", document), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(document: str, folder: Path) -> Iterator[str]:
    for inline, reference in LINK.findall(FENCE.sub("", document)):
        target, _, fragment = (inline or reference).partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # another site: a test does not go there
        path = folder / target
        if target and not path.exists():
            yield target
        elif fragment and (path.suffix == ".md" or not target):
            other = path.read_text("utf-8") if target else document
            yield from {f"{target}#{fragment}"} if fragment not in anchors(other) else ()


def missing_files(document: str, folder: Path) -> Iterator[str]:
    """File names in backticks that are in no place where a reader would look.

    `my_...` is a file of the reader's own; a bare name without a folder may be anywhere.
    """
    tops = {path.name for place in (ROOT, PACKAGE) for path in place.iterdir() if path.is_dir()}
    for code in CODE.findall(FENCE.sub("", document)):
        if not FILE.fullmatch(code) or code.startswith("my") or code.startswith("/"):
            continue
        in_folder = "/" in code and code.split("/")[0] in tops
        if not in_folder and ("/" in code or Path(code).suffix not in SUFFIXES):
            continue
        places = (folder, ROOT, PACKAGE)
        if any(list(place.glob(code.rstrip("/"))) for place in places):
            continue
        if "/" not in code and any(path.match(code) for path in files()):
            continue
        yield code


def unknown_targets(document: str) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.M))
    lines = re.findall(r"^(?: {4}|\t).*", document, re.M)
    for block in FENCE.finditer(document):
        lines += block.group().splitlines()
    commands = [line.strip().removeprefix("$ ") for line in lines]
    for command in commands + CODE.findall(document):
        called = re.match(r"make ([a-z-]+)", command)
        if called and called[1] not in targets:
            yield called[1]


def test_links_lead_somewhere() -> None:
    refuse(
        (f"{name(d)}: {link}" for d in documents() for link in broken_links(text(d), d.parent)),
        "correct the link, or write what it should lead to",
    )


def test_files_that_documents_name_exist() -> None:
    refuse(
        (f"{name(d)}: {file}" for d in documents() for file in missing_files(text(d), d.parent)),
        "correct the name; a file that the reader would make is called `my_...` or `my-...`",
    )


def test_make_targets_that_documents_name_exist() -> None:
    refuse(
        (f"{name(d)}: make {target}" for d in documents() for target in unknown_targets(text(d))),
        "correct the name, or add the target to the Makefile",
    )


@pytest.mark.parametrize(
    ("check", "document", "found"),
    [
        (broken_links, "[a](LICENSE) [b](nowhere.md) [c](https://example.org)", ["nowhere.md"]),
        (broken_links, "# One, two\n[a](#one-two) [b](#three)", ["#three"]),
        (broken_links, "[map]: nowhere.md", ["nowhere.md"]),
        (missing_files, "`pyproject.toml` `values.py` `src/concur` `my_protocol.py`", []),
        (
            missing_files,
            "`gone.py` `src/gone.py` `tests/gone/`",
            ["gone.py", "src/gone.py", "tests/gone/"],
        ),
        (missing_files, "`a/b` means either; `concur-report.html` is written", []),
        (missing_files, "```\n`gone.py`\n```", []),
    ],
)
def test_a_wrong_name_is_found(
    check: Callable[[str, Path], Iterator[str]], document: str, found: list[str]
) -> None:
    assert list(check(document, ROOT)) == found


def test_an_unknown_make_target_is_found() -> None:
    document = "`make test`, but\nmake sure\n\n    make nonsense\n\n```\n$ make sense\n```\n"
    assert sorted(unknown_targets(document)) == ["nonsense", "sense"]


EVIDENCE = re.compile(r"`([\w/]+/(?:(test_\w+\.py)::(test_\w+)|transcripts/\w+\.txt))`")
"""What a document gives as evidence: a test, or a transcript, below tests/protocols."""


def missing_evidence(document: str) -> Iterator[str]:
    for whole, file, test in EVIDENCE.findall(document):
        path = ROOT / "tests" / "protocols" / whole.partition("::")[0]
        if not path.exists() or (file and f"def {test}(" not in path.read_text("utf-8")):
            yield whole


def test_evidence_exists() -> None:
    refuse(
        (f"{name(d)}: {found}" for d in documents() for found in missing_evidence(text(d))),
        "name the test or the transcript that shows it",
    )


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("`raft/test_paper.py::test_5_2_a_majority_elects`", []),
        ("`raft/test_paper.py::test_of_nothing`", ["raft/test_paper.py::test_of_nothing"]),
        ("`raft/transcripts/figure_8.txt`", []),
        ("`raft/transcripts/figure_9.txt`", ["raft/transcripts/figure_9.txt"]),
    ],
)
def test_missing_evidence_is_found(said: str, missing: list[str]) -> None:
    assert list(missing_evidence(said)) == missing
