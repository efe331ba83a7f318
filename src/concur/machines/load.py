"""Find a machine that somebody named: by class, instance, or import path."""

import importlib
from typing import Any

from concur.errors import BadInput
from concur.machines.base import Machine


def load(source: Any) -> Machine[Any, Any]:
    """The machine that `source` is, makes or names as `package.module:Class`. Raises BadInput."""
    found = _import(source) if isinstance(source, str) else source
    if isinstance(found, type) and issubclass(found, Machine):
        try:
            found = found()
        except TypeError as error:
            raise BadInput(f"machine {_name(source)}: {error}, expected an instance") from None
    if not isinstance(found, Machine):
        raise BadInput(
            f"machine {_name(source)}: a {type(found).__name__}, expected a subclass or instance "
            "of concur.machines.Machine (wrap a mutable object in Adaptor)"
        )
    for needed in ("name", "commands"):
        if not getattr(found, needed, None):
            raise BadInput(f"machine {_name(source)}: no {needed}, expected a class attribute")
    found._decoder  # noqa: B018 - command types that msgspec cannot decode are reported here
    return found


def _import(path: str) -> Any:
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise BadInput(f"machine {path!r}: not an import path, expected package.module:Class")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise BadInput(f"machine {path!r}: cannot import {module}: {error}") from None
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise BadInput(f"machine {path!r}: {module} has no {attribute}") from None
    return found


def _name(source: Any) -> str:
    return repr(source) if isinstance(source, str) else getattr(source, "__name__", repr(source))
