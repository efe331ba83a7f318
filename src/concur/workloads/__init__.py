"""What clients do: presets by name, files of parameters or operations, and a default for a machine.

workload("ycsb-a", keys=100)            # a preset and overrides
workload("hot-key:conflict=0.5,rate=200")   # the same on a command line
workload("mine.toml")                   # preset = "ycsb-b", then overrides, one a line
workload("ops.csv:speed=2")             # one's own operations, see concur.workloads.recorded
"""

import os
import re
import tomllib
from typing import Any, get_args

import msgspec

from concur.errors import BadInput
from concur.machines import Machine, all_machines
from concur.workloads.base import ClientScript, Workload, one_line
from concur.workloads.kv import HotKey, Mix, Mixed
from concur.workloads.others import CounterMix, Drawn, LockCycle, QueueMix, RegisterMix
from concur.workloads.recorded import ENDINGS, Recorded
from concur.workloads.redis import RedisMix

__all__ = [
    "ClientScript",
    "CounterMix",
    "Drawn",
    "HotKey",
    "LockCycle",
    "Mix",
    "Mixed",
    "QueueMix",
    "Recorded",
    "RedisMix",
    "RegisterMix",
    "Workload",
    "default_workload",
    "presets",
    "workload",
]


def _twitter(zipf: float, key_bytes: int, value_bytes: int, **shares: float) -> dict[str, Any]:
    sizes = {"key_bytes": key_bytes, "value_bytes": value_bytes, "written_first": True}
    return {"reads": 0.0, "updates": 0.0, "zipf": zipf, **sizes, **shares}


_PRESETS: dict[str, tuple[type[Workload], dict[str, Any]]] = {
    "ycsb-a": (Mix, {"reads": 0.5, "updates": 0.5}),
    "ycsb-b": (Mix, {"reads": 0.95, "updates": 0.05}),
    "ycsb-c": (Mix, {"reads": 1.0, "updates": 0.0}),
    "ycsb-d": (Mix, {"reads": 0.95, "updates": 0.0, "inserts": 0.05, "keys_drawn": "latest"}),
    "ycsb-e": (Mix, {"reads": 0.0, "updates": 0.0, "inserts": 0.05, "scans": 0.95}),
    "ycsb-f": (Mix, {"reads": 0.5, "updates": 0.0, "modifies": 0.5}),
    # Clusters 2, 14, 12, 23 and 18 of Twitter's traces; what is missing from 1 are rounding errors
    # of the published shares and counts as gets.
    "twitter-read-heavy": (Mix, _twitter(1.49, 21, 68, reads=1.0)),
    "twitter-mixed": (Mix, _twitter(1.30, 96, 414, reads=0.65, updates=0.13, deletes=0.22)),
    "twitter-write-heavy": (Mix, _twitter(0.30, 44, 1030, reads=0.2, updates=0.8)),
    "twitter-counters": (
        Mix,
        _twitter(0.27, 35, 224, reads=0.37, updates=0.31, deletes=0.02, modifies=0.3),
    ),
    "twitter-hot": (Mix, _twitter(2.10, 18, 37, reads=0.98, updates=0.01, modifies=0.01)),
    "zipf": (Mix, {}),
    "uniform": (Mix, {"keys_drawn": "uniform"}),
    "hot-key": (HotKey, {}),
    "mixed": (Mixed, {}),
    "register": (RegisterMix, {}),
    "counter": (CounterMix, {}),
    "lock": (LockCycle, {}),
    "queue": (QueueMix, {}),
    "redis": (RedisMix, {}),
}

PACE_S = 0.01
"""Think time of default workloads: ten clients ask for less than 1,000 commands a second, so that a
run of ten seconds through faults costs a second at most and still completes thousands."""

_DEFAULTS = {
    "kv": "mixed",
    "register": "register",
    "counter": "counter",
    "lock": "lock",
    "queue": "queue",
    "redis": "redis",
}


def presets() -> tuple[str, ...]:
    """The names that `workload` knows."""
    return tuple(_PRESETS)


_FILE = re.compile(rf"(.*(?:{'|'.join(map(re.escape, ENDINGS))}))(?::(.*))?", re.DOTALL)


def workload(
    name_or_path: str, *, on: Machine[Any, Any] | None = None, **overrides: Any
) -> Workload:
    """A workload by name (`name:parameter=value,...` works too), from a TOML file that names one,
    or out of a .csv, .jsonl or .ndjson file of operations, which takes parameters as well and may
    be for several machines: `on` says for which.

    Raises BadInput for an unknown name, listing the presets, and for wrong parameters and files.
    """
    operations = _FILE.fullmatch(name_or_path)
    if operations:
        path, rest = operations[1], operations[2]
        given = _parameters(path, rest) | overrides
        if on is not None:
            given["of"] = on.name if on in all_machines() else on
        return Recorded(name=path, file=path, **_clean(path, Recorded, given, ("file", "digest")))
    if name_or_path.endswith(".toml") or os.sep in name_or_path:
        return _from_file(name_or_path, overrides)
    name, colon, rest = name_or_path.partition(":")
    if name not in _PRESETS:
        raise BadInput(
            f"workload {name!r}: unknown, expected one of {', '.join(_PRESETS)}, or a .toml, "
            f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file"
        )
    return _make(name, _parameters(name, rest if colon else None) | overrides)


def _parameters(name: str, text: str | None) -> dict[str, Any]:
    """Parameters as they are typed; None for none."""
    given: dict[str, Any] = {}
    for part in text.split(",") if text is not None else ():
        parameter, equals, value = part.partition("=")
        if not equals:
            raise BadInput(f"workload {name}: {part!r}, expected parameter=value")
        if parameter.strip() in given:
            raise BadInput(f"workload {name}: {parameter.strip()} is given twice, expected once")
        given[parameter.strip()] = value.strip()
    return given


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
    return kind(**{"name": name, **parameters, **_clean(name, kind, given)})


def _clean(
    name: str, kind: type[Workload], given: dict[str, Any], fixed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The parameters, converted to their types. Raises BadInput for unknown and wrong ones."""
    known = [field for field in kind.__struct_fields__ if field not in ("name", *fixed)]
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
            choices = ", ".join(map(str, get_args(types[parameter])))
            expected = _EXPECTED.get(types[parameter], f"one of {choices}" if choices else "")
            why = f", expected {expected}" if expected else f": {one_line(error)}"
            raise BadInput(f"workload {name}: {parameter}={value!r}{why}") from None
    return clean


_EXPECTED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    int | None: "a whole number",
    float: "a number",
    float | None: "a number",
    str: "text",
}
"""What types of parameters are to people."""


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
