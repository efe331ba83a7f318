"""Imports point one way: drivers -> node -> effects, messages; protocols are pure."""

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.tidy.repository import (
    PACKAGE,
    files,
    imports,
    imports_of,
    modules,
    name,
    refuse,
    text,
    within,
)

# A protocol and a shared part are pure functions of state, event and the inputs that come in
# through the contract: whatever could read a clock, roll dice or touch a socket or disk is out.
PURE = {
    "__future__", "abc", "bisect", "collections.abc", "enum", "functools", "itertools", "msgspec",
    "operator", "types", "typing",
}  # fmt: skip
BUILDING_BLOCKS = (
    "concur.base", "concur.clocks", "concur.effects", "concur.errors", "concur.logs",
    "concur.messages", "concur.node", "concur.parts", "concur.quorums", "concur.values",
)  # fmt: skip
MACHINES_INTERFACE = {"concur.machines", "concur.machines.base"}
CATALOGUE = {"importlib", "inspect", "pkgutil"}  # what all_protocols() finds protocols with
# A machine's apply has no inputs but state and command; check_machine, which looks for others, may.
IMPURE = {"asyncio", "datetime", "random", "secrets", "socket", "time", "uuid"}
CHECKS_MACHINES = {"concur.machines.check", "concur.machines.probe"}
# Never on a wire or a disk. check_machine and check_protocol hand what they check to processes
# of their own, and check that a protocol survives it.
PICKLES = CHECKS_MACHINES | {"concur.testing.descriptions", "concur.testing.hash_seeds"}

# The simplest core modules: they know nothing of nodes and protocols.
VALUES = (
    "concur.clocks", "concur.effects", "concur.errors", "concur.logs", "concur.messages",
    "concur.quorums", "concur.values",
)  # fmt: skip
CORE = (*VALUES, "concur.base", "concur.node", "concur.parts")
ABOVE_THE_CORE = tuple(
    f"concur.{driver}"
    for driver in (
        "cli", "faults", "histories", "plot", "protocols", "score", "search", "serve", "simulate",
        "testing", "verify", "watch", "workloads",
    )
)  # fmt: skip


def offences(source: str, module: str) -> Iterator[str]:
    """What `source`, as the text of `module`, imports against the rules."""
    is_package = module in modules() and modules()[module].name == "__init__.py"
    for imported, line in imports(source, module, is_package):
        top = imported.partition(".")[0]
        here = f"{module}:{line} imports {imported}"
        if within(module, "concur.protocols") or within(module, "concur.parts"):
            own = within(module, "concur.protocols") and within(imported, "concur.protocols")
            allowed = (
                own
                or imported in MACHINES_INTERFACE
                or any(within(imported, block) for block in BUILDING_BLOCKS)
                or imported in PURE
                or top in PURE - {"collections.abc"}
                or (module == "concur.protocols" and top in CATALOGUE)
            )
            if not allowed:
                yield f"{here}: not pure, or not a building block of protocols"
        if within(module, "concur.machines") and module not in CHECKS_MACHINES and top in IMPURE:
            yield f"{here}: a machine is a pure function"
        if any(within(module, core) for core in CORE) and any(
            within(imported, above) for above in ABOVE_THE_CORE
        ):
            yield f"{here}: the core does not know its drivers"
        if any(within(module, value) for value in VALUES) and any(
            within(imported, above) for above in ("concur.base", "concur.node", "concur.parts")
        ):
            yield f"{here}: imports go from node to effects and messages, not back"
        if within(imported, "concur.testing.unsafe") and not within(module, "concur.testing"):
            yield f"{here}: what breaks the rules on purpose is for mutants in tests"
        unpickler = top in {"cloudpickle", "dill", "marshal", "pickle", "shelve"}
        if unpickler and module not in PICKLES:
            yield f"{here}: unpickling runs whatever the bytes say; use concur.messages or msgspec"


def test_imports_point_one_way() -> None:
    refuse(
        (offence for module, path in modules().items() for offence in offences(text(path), module)),
        "take it as an input through the contract (a verb, an event, a parameter), or move the "
        "code to the layer that may do this; the rules are at the top of this file",
    )


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("concur.protocols.raft", "import time"),
        ("concur.protocols.raft", "import socket, typing"),
        ("concur.protocols.raft", "from collections import deque"),
        ("concur.protocols.raft", "from concur.simulate import Simulation"),
        ("concur.protocols.raft", "from concur.chance import Stream"),
        ("concur.protocols.raft", "from importlib import import_module"),
        ("concur.protocols", "import time"),
        ("concur.protocols.raft.election", "from ...simulate import Simulation"),
        ("concur.protocols.raft", "def late():\n    import random"),
        ("concur.parts.leases", "from concur.protocols import raft"),
        ("concur.parts.leases", "from datetime import datetime"),
        ("concur.machines.kv", "import random"),
        ("concur.effects", "from concur.node import Node"),
        ("concur.node", "from concur.histories import History"),
        ("concur.simulate.world", "from concur.testing.unsafe import send_before_durable"),
        ("concur.serve.wire", "import pickle"),
    ],
)
def test_a_forbidden_import_is_found(module: str, line: str) -> None:
    assert list(offences(line, module))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("concur.protocols.raft", "from collections.abc import Iterable\nfrom enum import Enum"),
        ("concur.protocols.raft", "import collections.abc"),
        ("concur.protocols", "import pkgutil\nfrom importlib.metadata import entry_points"),
        ("concur.protocols.raft", "from concur.node import Node, on, durable"),
        ("concur.protocols.raft", "from concur.machines import Machine"),
        ("concur.protocols.raft.election", "from .messages import RequestVote"),
        ("concur.protocols.ring", "from concur.protocols.paxos import Paxos"),
        ("concur.parts.leases", "import msgspec\nfrom concur.values import Map"),
        ("concur.simulate.world", "import time, heapq"),
        ("concur.testing.mutants", "from concur.testing import unsafe"),
    ],
)
def test_an_ordinary_import_is_not_complained_about(module: str, line: str) -> None:
    assert list(offences(line, module)) == []


def test_nothing_runs_text_as_code() -> None:
    forbidden = {"eval", "exec", "compile", "__import__"}
    refuse(
        (
            f"{name(path)}:{node.lineno} calls {node.func.id}()"
            for path in modules().values()
            for node in ast.walk(ast.parse(text(path)))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in forbidden
        ),
        "parse what you expect (msgspec, tomllib, importlib for `package.module:Class`)",
    )


def test_import_concur_is_light() -> None:
    heavy = ["asyncio", "joblib", "matplotlib", "numpy", "rich", "typer"]
    program = f"import sys, concur; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", (
        f"`import concur` also imports {done.stdout.strip()}\n"
        "-> import it inside the function that needs it"
    )


def test_tab_completion_offers_the_public_names_and_nothing_else() -> None:
    program = (
        "import concur, concur.simulate.world\n"
        "assert dir(concur) == sorted([*concur.__all__, '__version__']), dir(concur)\n"
        "assert all(hasattr(concur, name) for name in dir(concur))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_module_is_dead() -> None:
    """Each module is imported, run or documented; a package that lists itself uses all its own."""
    used = {"concur", "concur.cli", "concur.testing"}
    for module, path in modules().items():
        if module.endswith("__main__"):
            used.add(module)
        for imported, _ in imports_of(module):
            if imported != module:
                used.add(imported)
        for node in ast.walk(ast.parse(text(path))):  # lazy exports: {"Raft": ".protocols.raft"}
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = {node.value, f"{module}.{node.value.lstrip('.')}"}
                used.update(named & (set(modules()) - {module}))
        if any(imported == "pkgutil" for imported, _ in imports_of(module)):
            used.update(other for other in modules() if within(other, module))
    used.update(_used_outside())
    for module in list(used):  # importing a.b.c runs a and a.b too
        while "." in module:
            module = module.rpartition(".")[0]
            used.add(module)
    refuse(
        (name(path) for module, path in modules().items() if module not in used),
        "import it where it is needed, say in the docs what it is for (`concur.its_name`), or "
        "delete it",
    )


def _used_outside() -> Iterator[str]:
    """Modules that tests, benchmarks and examples import, or that a document names."""
    for path in files():
        if path.suffix == ".py" and PACKAGE not in path.parents:
            for imported, _ in imports(text(path), "outside"):
                yield imported
        elif path.suffix == ".md":
            yield from (module for module in modules() if module in text(path))
