"""The Makefile on a bare machine: what it says when something is missing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.repository import ROOT, text

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")

TOO_OLD = "#!/bin/sh\necho 'SyntaxError: what is this' >&2\nexit 1\n"
WITHOUT_VENV = f"""#!/bin/sh
case "$2" in *ensurepip*) echo "ModuleNotFoundError: No module named 'ensurepip'" >&2; exit 1;; esac
exec {sys.executable} "$@"
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A fresh clone, as far as the installing part of the Makefile is concerned."""
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A make that runs these tests must not hand its own flags down to this one.
    outer = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "PYTHON"}
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def program(path: Path, source: str) -> str:
    path.write_text(source)
    path.chmod(0o755)
    return str(path)


def test_help_is_the_default_and_lists_every_target(bare: Path) -> None:
    phony = re.search(r"^\.PHONY: (.*)", text(ROOT / "Makefile"), re.M)
    assert phony
    done = make(bare)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^make ([a-z-]+) ", done.stdout, re.M)
    wanted = [t for t in phony[1].split() if t != "help" and not t.startswith("env-")]
    assert listed == wanted, "-> help and .PHONY name the same targets in the same order"
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize("target", ["demo", "test", "verify"])
def test_an_old_python_is_refused_in_plain_words(bare: Path, target: str) -> None:
    done = make(bare, target, f"PYTHON={program(bare / 'old-python', TOO_OLD)}")
    assert done.returncode == 2
    assert "error: Concur needs Python 3.11 or newer" in done.stderr
    assert f"make {target} PYTHON=" in done.stderr
    assert "SyntaxError" not in done.stderr
    assert not (bare / ".venv").exists()


def test_a_python_without_venv_says_what_to_install(bare: Path) -> None:
    done = make(bare, "test", f"PYTHON={program(bare / 'python', WITHOUT_VENV)}")
    assert done.returncode == 2
    major, minor = sys.version_info[:2]
    assert f"apt install python{major}.{minor}-venv" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
    assert not (bare / ".venv").exists()


FAKE_PYTHON = f"""#!/bin/sh
[ "$1 $2" = "-m pip" ] && {{ echo "pip $*" >> pip.log; touch .venv/bin/concur
  chmod +x .venv/bin/concur; [ ! -e broken-network ]; exit; }}
[ "$1 $2" = "-m venv" ] && {{ echo venv >> pip.log; rm -rf .venv; mkdir -p .venv/bin
  cp "$0" .venv/bin/python; echo "#!$PWD/.venv/bin/python" > .venv/bin/pip; exit; }}
exec {sys.executable} "$@"
"""


def test_the_virtualenv_is_made_again_only_when_it_has_to_be(bare: Path) -> None:
    python = f"PYTHON={program(bare / 'python', FAKE_PYTHON)}"

    def what_it_did(target: str = "env-plots", status: int = 0) -> list[str]:
        (bare / "pip.log").write_text("")
        done = make(bare, target, python)
        assert done.returncode == status, done.stderr
        return [line.split()[0] for line in (bare / "pip.log").read_text().splitlines()]

    assert what_it_did() == ["venv", "pip"]
    assert what_it_did() == [], "a repeat does nothing"
    assert what_it_did("env-dev") == ["pip"], "dev needs more than plots"
    assert what_it_did("env-dev") == []
    assert what_it_did("env-plots") == [], "dev includes plots"

    with (bare / "constraints.txt").open("a") as constraints:
        constraints.write("# changed\n")
    assert what_it_did() == ["pip"]

    (bare / "broken-network").touch()
    with (bare / "pyproject.toml").open("a") as pyproject:
        pyproject.write("# changed\n")
    assert what_it_did(status=2) == ["pip"], "pip's failure is make's failure"
    (bare / "broken-network").unlink()
    assert what_it_did() == ["venv", "pip"], "an unfinished install is not trusted"

    (bare / ".venv/bin/pip").unlink()
    assert what_it_did() == ["venv", "pip"], "a half-made virtualenv is not trusted"
    shutil.rmtree(bare / ".venv")
    assert what_it_did() == ["venv", "pip"], "nor is one that is gone"


def test_pip_is_not_told_where_packages_come_from() -> None:
    for file in ("Makefile", ".ci/run"):
        assert not re.search(r"--(index|extra|find|no-index|trusted)", text(ROOT / file))
