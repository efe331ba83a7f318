"""What clients do: presets by name, files of parameters, and a default for each machine.

workload("ycsb-a", keys=100)            # a preset and overrides
workload("hot-key:conflict=0.5,rate=200")   # the same on a command line
workload("mine.toml")                   # preset = "ycsb-b", then overrides, one a line
"""

import os
import tomllib
from typing import Any

import msgspec

from concur.errors import BadInput
from concur.machines import Machine, all_machines
from concur.workloads.base import ClientScript, Workload, one_line
from concur.workloads.kv import HotKey, Mix, Mixed
from concur.workloads.others import CounterMix, Drawn, LockCycle, RegisterMix

__all__ = [
    "ClientScript",
    "CounterMix",
    "Drawn",
    "HotKey",
    "LockCycle",
    "Mix",
    "Mixed",
    "RegisterMix",
    "Workload",
    "default_workload",
    "presets",
    "workload",
]

_PRESETS: dict[str, tuple[type[Workload], dict[str, Any]]] = {
    "ycsb-a": (Mix, {"reads": 0.5, "updates": 0.5}),
    "ycsb-b": (Mix, {"reads": 0.95, "updates": 0.05}),
    "ycsb-c": (Mix, {"reads": 1.0, "updates": 0.0}),
    "ycsb-d": (Mix, {"reads": 0.95, "updates": 0.0, "inserts": 0.05, "keys_drawn": "latest"}),
    "ycsb-e": (Mix, {"reads": 0.0, "updates": 0.0, "inserts": 0.05, "scans": 0.95}),
    "ycsb-f": (Mix, {"reads": 0.5, "updates": 0.0, "modifies": 0.5}),
    "zipf": (Mix, {}),
    "uniform": (Mix, {"keys_drawn": "uniform"}),
    "hot-key": (HotKey, {}),
    "mixed": (Mixed, {}),
    "register": (RegisterMix, {}),
    "counter": (CounterMix, {}),
    "lock": (LockCycle, {}),
}

PACE_S = 0.01
"""Think time of default workloads: ten clients ask for less than 1,000 commands a second, so that a
run of ten seconds through faults costs a second at most and still completes thousands."""

_DEFAULTS = {"kv": "mixed", "register": "register", "counter": "counter", "lock": "lock"}


def presets() -> tuple[str, ...]:
    """The names that `workload` knows."""
    return tuple(_PRESETS)


def workload(name_or_path: str, **overrides: Any) -> Workload:
    """A workload by name (`name:parameter=value,...` works too) or from a TOML file.

    Raises BadInput for an unknown name, listing the presets, and for wrong parameters.
    """
    if name_or_path.endswith(".toml") or os.sep in name_or_path:
        return _from_file(name_or_path, overrides)
    name, colon, rest = name_or_path.partition(":")
    if name not in _PRESETS:
        raise BadInput(
            f"workload {name!r}: unknown, expected one of {', '.join(_PRESETS)}, or a .toml file"
        )
    given: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        parameter, equals, value = part.partition("=")
        if not equals:
            raise BadInput(f"workload {name}: {part!r}, expected parameter=value")
        given[parameter.strip()] = value.strip()
    return _make(name, {**given, **overrides})


def default_workload(machine: str | Machine[Any, Any]) -> Workload:
    """What to exercise a machine with, in a closed loop of moderate pace (`PACE_S`).

    `machine` is the name of one of ours, an import path, or any machine.
    """
    if isinstance(machine, str):
        preset = _DEFAULTS.get(machine)
    else:
        preset = _DEFAULTS.get(machine.name) if machine in all_machines() else None
    if preset is not None:
        return workload(preset, think_s=PACE_S)
    if isinstance(machine, str) and ":" not in machine:
        raise BadInput(
            f"default workload of machine {machine!r}: unknown, expected one of "
            f"{', '.join(_DEFAULTS)}, package.module:Class, or a Machine"
        )
    return Drawn(name="drawn", of=machine, think_s=PACE_S)


def _make(name: str, given: dict[str, Any]) -> Workload:
    kind, parameters = _PRESETS[name]
    known = [field for field in kind.__struct_fields__ if field != "name"]
    for parameter in given:
        if parameter not in known:
            raise BadInput(
                f"workload {name}: unknown parameter {parameter!r}, expected one of "
                f"{', '.join(known)}"
            )
    # One at a time, so that the message can name the parameter; text is from a command line.
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    clean = {}
    for parameter, value in given.items():
        try:
            clean[parameter] = msgspec.convert(
                value, types[parameter], strict=not isinstance(value, str)
            )
        except msgspec.ValidationError as error:
            raise BadInput(f"workload {name}: {parameter}={value!r}: {one_line(error)}") from None
    return kind(**{"name": name, **parameters, **clean})


def _from_file(path: str, overrides: dict[str, Any]) -> Workload:
    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise BadInput(f"workload file {path}: {error.strerror}, expected a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"workload file {path}: {one_line(error)}, expected TOML") from None
    preset = given.pop("preset", None)
    if preset not in _PRESETS:
        raise BadInput(
            f"workload file {path}: preset={preset!r}, expected one of {', '.join(_PRESETS)}"
        )
    try:
        return _make(preset, {**given, **overrides})
    except BadInput as error:
        raise BadInput(f"workload file {path}: {error}") from None
