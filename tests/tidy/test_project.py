"""One version, pinned dependencies, and no address of a package index anywhere."""

import ast
import re
import subprocess
import tomllib
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import concur
from tests.tidy.repository import PACKAGE, ROOT, files, modules, name, refuse, text

PROJECT = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
DISTRIBUTION = PROJECT["name"]
# Spelled so that this file does not find itself.
ADDRESSES = re.compile(
    r"pypi\." r"org|python" r"hosted|/simp" r"le/|--(extra-)?index" r"-url|npm" r"js\."
    r"|(?<![\w.])/wo" r"rk/"
)  # fmt: skip


def pins() -> dict[str, str]:
    lines = text(ROOT / "constraints.txt").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pair[0]): pair[1] for pair in pairs if len(pair) == 2}


def test_no_file_names_a_package_index_or_a_place_on_our_machines() -> None:
    refuse(
        (
            f"{name(path)}:{number}: {line.strip()[:100]}"
            for path in files()
            for number, line in enumerate(text(path).splitlines(), 1)
            if ADDRESSES.search(line)
        ),
        "leave it out: pip's own configuration says where packages come from",
    )


def test_the_version_has_one_source() -> None:
    refuse(
        (
            f"{name(path)}:{node.lineno}"
            for path in modules().values()
            for node in ast.walk(ast.parse(text(path)))
            if isinstance(node, ast.Constant) and node.value == PROJECT["version"]
        ),
        "pyproject.toml alone says the version; read it with "
        f'importlib.metadata.version("{DISTRIBUTION}")',
    )
    installed = metadata.version(DISTRIBUTION)
    stale = f"{installed} is installed, pyproject.toml says otherwise -> make test installs it"
    assert installed == PROJECT["version"], stale
    assert getattr(concur, "__version__", installed) == installed


def test_the_changelog_has_news_of_this_version() -> None:
    heading = rf"^## \[?{re.escape(PROJECT['version'])}\]?"
    assert re.search(heading, text(ROOT / "CHANGELOG.md"), re.M), (
        f"CHANGELOG.md has no section `## {PROJECT['version']}`\n-> say what is new for users"
    )


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = text(ROOT / "constraints.txt").splitlines()
    refuse(
        (line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.]+|", line)),
        "one name==version a line: no addresses, hashes, options or ranges",
    )


def test_constraints_allow_what_pyproject_asks_for() -> None:
    extras = PROJECT["optional-dependencies"].values()
    asked = [Requirement(r) for group in (PROJECT["dependencies"], *extras) for r in group]
    refuse(
        (
            f"{r}: pinned {pins().get(canonicalize_name(r.name), 'nowhere')}"
            for r in asked
            if r.name != DISTRIBUTION
            and not r.specifier.contains(pins().get(canonicalize_name(r.name), "0"))
        ),
        "add the version that `pip install -e .[dev]` chooses to constraints.txt",
    )


def test_constraints_pin_whatever_comes_with_it() -> None:
    """Walks what the installed distributions themselves require, here and now."""
    to_visit, seen = [Requirement(f"{DISTRIBUTION}[dev]")], set[str]()
    while to_visit:
        requirement = to_visit.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        try:
            needs = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        for need in map(Requirement, needs):
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in (requirement.extras or {""})
            ):
                to_visit.append(need)
    names = {canonicalize_name(Requirement(requirement).name) for requirement in seen}
    refuse(
        names - set(pins()) - {DISTRIBUTION},
        "add the version that `pip install -e .[dev]` chooses to constraints.txt",
    )


def test_types_are_published() -> None:
    assert (PACKAGE / "py.typed").exists(), "py.typed tells type checkers that concur is typed"


def test_the_ci_script_is_valid_bash() -> None:
    done = subprocess.run(["bash", "-n", ROOT / ".ci/run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
