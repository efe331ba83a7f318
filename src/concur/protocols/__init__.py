"""The protocols, one file each (a small package where the paper has parts).

`all_protocols()` gives the classes, Concur's own and those that other packages bring under the
entry-point group `concur.protocols`; `protocol(name)` gives one, by name or `package.module:Class`.
"""

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import TypeGuard

from concur.base import Protocol
from concur.errors import BadInput

GROUP = "concur.protocols"


def all_protocols() -> tuple[type[Protocol], ...]:
    """Every protocol class that is installed, in order of name.

    Raises BadInput if another package's entry point cannot be loaded, or takes a name that is used.
    """
    found: dict[str, type[Protocol]] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"{__name__}.{module.name}")
            for value in vars(loaded).values():
                if _is_protocol(value) and value.__module__ == loaded.__name__ and value.name:
                    found[value.name] = value
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        known = _load(entry.value, f"entry point {entry.name!r} of group {GROUP}")
        other = found.setdefault(known.name, known)
        if other is not known:
            raise BadInput(
                f"entry point {entry.name!r} of group {GROUP}: protocol {known.name!r} exists "
                f"already, in {other.__module__}; expected another name"
            )
    return tuple(found[name] for name in sorted(found))


def protocol(name: str) -> type[Protocol]:
    """The protocol class of that name, or at `package.module:Class`.

    Raises BadInput, listing the names, if there is none.
    """
    if ":" in name:
        return _load(name, f"protocol {name!r}")
    known = {each.name: each for each in all_protocols()}
    if name not in known:
        names = ", ".join(known)
        raise BadInput(
            f"protocol {name!r}: unknown, expected one of {names}, or package.module:Class"
        )
    return known[name]


def _load(path: str, where: str) -> type[Protocol]:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise BadInput(f"{where}: {path!r} is no import path, expected package.module:Class")
    try:
        found: object = importlib.import_module(module)
    except Exception as error:  # somebody else's module may raise anything while it is imported
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{where}: cannot import {module}: {type(error).__name__}: {reason}"
        ) from None
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not _is_protocol(found):
        raise BadInput(
            f"{where}: {module} has no protocol {attribute}, "
            "expected a subclass of concur.base.Protocol"
        )
    if not found.name:  # a protocol in somebody's file may do without; it needs one in reports
        found.name = found.__name__
    return found


def _is_protocol(value: object) -> TypeGuard[type[Protocol]]:
    return isinstance(value, type) and issubclass(value, Protocol) and value is not Protocol
