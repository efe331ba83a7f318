"""What every source file has: a docstring, a bearable length, names that exist."""

import ast
import importlib
import re
import tomllib

from tests.tidy.repository import PACKAGE, ROOT, files, modules, name, refuse, text

LINES_MAX = 600  # that are not blank
LONGER = set[str]()  # file names that may be longer, each with its reason; there is none
# Spelled so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def test_every_module_says_what_it_is_for() -> None:
    refuse(
        (name(path) for path in modules().values() if not ast.get_docstring(ast.parse(text(path)))),
        "begin the file with a docstring that says what it is for and why",
    )


def test_source_files_stay_readable() -> None:
    lengths = {
        name(path): sum(1 for line in text(path).splitlines() if line.strip())
        for path in modules().values()
    }
    refuse(
        (
            f"{file} has {lines} lines"
            for file, lines in lengths.items()
            if lines > LINES_MAX and file not in LONGER
        ),
        f"split it by idea, or as the paper is; {LINES_MAX} lines that are not blank is the most",
    )


def test_exported_names_exist() -> None:
    complaints = []
    for module in modules():
        if module.endswith("__main__") or "__all__" not in text(modules()[module]):
            continue
        loaded = importlib.import_module(module)
        listed = list(getattr(loaded, "__all__", []))
        complaints += [f"{module}.{export}" for export in listed if not hasattr(loaded, export)]
        complaints += [f"{module}.{n} is listed twice" for n in set(listed) if listed.count(n) > 1]
    refuse(complaints, "define the name or take it out of __all__")


def test_nothing_is_left_for_later_in_a_comment() -> None:
    refuse(
        (
            f"{name(path)}:{number}: {line.strip()}"
            for path in files()
            for number, line in enumerate(text(path).splitlines(), 1)
            if UNFINISHED.search(line)
        ),
        "do it now, file an issue, or say in plain words what does not work and why",
    )


def test_every_data_file_is_packaged() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    patterns = project["tool"]["setuptools"]["package-data"]["concur"]
    packaged = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    refuse(
        (
            name(path)
            for path in files()
            if PACKAGE in path.parents and path.suffix != ".py" and path not in packaged
        ),
        "add its kind to [tool.setuptools.package-data] in pyproject.toml, or it is missing from "
        "what people install",
    )
