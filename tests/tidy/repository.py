"""What the tidy tests look at: the repository's files, and who imports whom."""

import ast
import functools
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "concur"
# What a folder that is no git repository (an unpacked source archive) may hold besides our files.
GENERATED = {
    ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__",
    "build", "dist",
}  # fmt: skip


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is in the repository, or would be after `git add --all`."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        found = [ROOT / name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = []
    if not found:
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [n for n in folders if n not in GENERATED and not n.endswith(".egg-info")]
            found += [Path(folder, name) for name in names]
    return tuple(sorted(path for path in found if path.is_file()))


@functools.cache
def text(path: Path) -> str:
    """The file as text, or nothing if it is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def name(path: Path) -> str:
    """The path as a person at the top of the repository would write it."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, for every module in src."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """(module, line) for each import of `source`, at the top or inside, for typing only or not.

    `from concur.parts import sessions` is an import of `concur.parts.sessions`, because that is a
    module; `from concur.values import Map` is one of `concur.values`.
    """
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield (inner if inner in modules() else base), node.lineno


def imports_of(module: str) -> Iterator[tuple[str, int]]:
    path = modules()[module]
    return imports(text(path), module, path.name == "__init__.py")


def within(module: str, tree: str) -> bool:
    """Whether `module` is `tree` or inside it."""
    return module == tree or module.startswith(tree + ".")


def refuse(complaints: Iterable[str], advice: str) -> None:
    """Fail, naming every offence and saying what to do about them."""
    listed = sorted(set(complaints))
    assert not listed, "\n".join(["", *listed, f"-> {advice}"])
