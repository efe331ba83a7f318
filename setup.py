"""Builds Concur: everything is in pyproject.toml but the hot modules' optional compilation.

    CONCUR_COMPILE=1 pip wheel --no-deps --wheel-dir dist .

makes a wheel in which mypyc has translated the modules below to C; `make compiled` does it and puts
the result beside the sources, not among them. Without the variable, and in editable installs, no
compiler is needed and nothing is compiled: the same files run as they are.
"""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

HOT = ("hosts", "links", "load", "metrics", "world")
"""Modules of concur.simulate in which a run spends its time. No protocols: people step through
those with a debugger."""


class NeverInPlace(build_ext):
    """A compiled module beside its source would go on running after the source was edited."""

    def run(self) -> None:
        if self.inplace or self.editable_mode:
            sys.exit("error: CONCUR_COMPILE is for wheels, not for editable installs")
        super().run()


def compiled() -> dict[str, Any]:
    """What `setup` needs to know to compile. The first call of it only asks for `setup_requires`:
    the checker that comes with mypyc needs the types of what Concur is built on."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    checker = [r for r in project["optional-dependencies"]["dev"] if r.startswith("mypy")]
    needs = {"setup_requires": [*checker, *project["dependencies"]]}
    try:
        from mypyc.build import mypycify
    except ImportError:
        return needs
    files = [f"src/concur/simulate/{name}.py" for name in HOT]
    return needs | {
        "ext_modules": mypycify(files, opt_level="3", group_name="concur"),
        "cmdclass": {"build_ext": NeverInPlace},
    }


setup(**(compiled() if os.environ.get("CONCUR_COMPILE") == "1" else {}))
