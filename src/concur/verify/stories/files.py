"""Stories in files: JSON that says everything, and decides nothing.

    {"format": "concur counterexample", "version": 1, "concur": "0.1.0",
     "protocol": "raft", "parameters": {...}, "scenario": {...},
     "property": "...", "reason": "...", "start": 0, "events": ["r1: r1 timer election", ...]}

A protocol is named as in traces of the simulator: by its name, or as `package.module:Class`, which
is imported only if whoever loads the file gives it. Commands stand as the machine encodes them,
properties by their names.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

import concur
from concur.base import Protocol
from concur.errors import BadInput
from concur.files import write_whole
from concur.machines import Machine
from concur.machines import machine as machine_named
from concur.properties import STANDARD
from concur.simulate.trace import address, parameters_of, protocol_of
from concur.verify.bounds import BOUND_MAX
from concur.verify.scenario import Scenario

if TYPE_CHECKING:
    from concur.verify.stories.counterexample import Counterexample

FORMAT = "concur counterexample"
VERSION = 1
BYTES_MAX = 16 << 20
"""Of a file; stories take some kilobytes."""
EVENTS_MAX = 10_000
HEAD_BYTES = 200
"""Within which a file says what it is."""
APART = ("protocol", "machine", "commands", "properties")
"""Fields of a scenario that JSON cannot hold as they are."""
PROPERTIES = {known.name: known for known in STANDARD}


class Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file as it is, before anything in it is believed."""

    format: str
    version: int
    concur: str
    protocol: str
    parameters: dict[str, Any]
    machine: str
    commands: list[list[Any]]
    properties: list[str]
    scenario: dict[str, Any]
    property: str
    reason: str
    start: int
    events: list[str]


def is_story(path: str | Path) -> bool:
    """Whether a file says that it is a counter-example."""
    try:
        with Path(path).open("rb") as file:
            return f'"format": "{FORMAT}"'.encode() in file.read(HEAD_BYTES)
    except OSError:
        return False


def save(story: "Counterexample", path: str | Path) -> None:
    """Write a story. Raises BadInput if a file could not say it."""
    scenario = story.scenario
    machine = scenario.replicated
    for known in scenario.properties:
        if PROPERTIES.get(known.name) != known:
            raise BadInput(
                f"counterexample {path}: property {known.name!r} cannot stand in a file, expected "
                f"some of {', '.join(PROPERTIES)}"
            )
    commands = [
        [_command(machine, command, path) for command in script] for script in scenario.asked()
    ]
    rest = {
        field: msgspec.to_builtins(getattr(scenario, field))
        for field in Scenario.__struct_fields__
        if field not in APART
    }
    saved = Saved(
        format=FORMAT,
        version=VERSION,
        concur=concur.__version__,
        protocol=address(scenario.protocol),
        parameters=parameters_of(scenario.protocol),
        machine=machine.name if type(machine).__module__.startswith("concur.machines.") else "",
        commands=commands,
        properties=[known.name for known in scenario.properties],
        scenario=rest,
        property=story.property,
        reason=story.reason,
        start=story.start,
        events=list(story.events),
    )
    if not saved.machine:
        raise BadInput(
            f"counterexample {path}: machine {type(machine).__name__} cannot stand in a file, "
            "expected one of Concur's"
        )
    text = msgspec.json.format(msgspec.json.encode(saved), indent=2)
    write_whole("counterexample", path, text.decode() + "\n")


def _command(machine: Machine[Any, Any], command: Any, path: str | Path) -> Any:
    plain = msgspec.msgpack.decode(machine.encode(command))
    try:
        data = msgspec.json.encode(plain)
        again = machine.decode(msgspec.msgpack.encode(msgspec.json.decode(data)))
    except (BadInput, TypeError, ValueError):
        again = None
    if again != command:
        raise BadInput(f"counterexample {path}: {command!r} cannot stand in JSON")
    return plain


def load(path: str | Path, protocol: Protocol | None = None) -> dict[str, Any]:
    """The fields of the story in a file. Raises BadInput if it is not one."""
    where = f"counterexample {path}"
    saved = _read(path, where)
    if len(saved.events) > EVENTS_MAX:
        raise BadInput(f"{where}: {len(saved.events):,} events, expected at most {EVENTS_MAX:,}")
    if not 0 <= saved.start <= BOUND_MAX:
        raise BadInput(f"{where}: start {saved.start}, expected a whole number up to {BOUND_MAX}")
    unknown = [name for name in saved.properties if name not in PROPERTIES]
    if unknown:
        raise BadInput(
            f"{where}: property {unknown[0]!r}, expected some of {', '.join(PROPERTIES)}"
        )
    if ":" in saved.machine:
        raise BadInput(f"{where}: machine {saved.machine!r}, expected the name of one of Concur's")
    machine = machine_named(saved.machine)
    try:
        commands = tuple(
            tuple(machine.decode(msgspec.msgpack.encode(command)) for command in script)
            for script in saved.commands
        )
    except (BadInput, TypeError, OverflowError) as error:
        raise BadInput(f"{where}: commands: {error}") from None
    scenario = Scenario(
        protocol=protocol_of(saved.protocol, saved.parameters, protocol),
        machine=saved.machine,
        commands=commands,
        properties=tuple(PROPERTIES[name] for name in saved.properties),
        **_fields(saved.scenario, where),
    )
    scenario.system()  # refuses what is out of bounds
    return {
        "scenario": scenario,
        "property": saved.property,
        "reason": saved.reason,
        "start": saved.start,
        "events": tuple(saved.events),
    }


def _read(path: str | Path, where: str) -> Saved:
    try:
        with Path(path).open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"{where}: {error.strerror}, expected a file that `save` wrote") from None
    if len(data) > BYTES_MAX:
        raise BadInput(f"{where}: more than {BYTES_MAX:,} bytes, expected a counter-example")
    try:
        head = msgspec.json.decode(data, type=dict[str, Any])
        if head.get("format") != FORMAT:
            raise BadInput(f"{where}: format {head.get('format')!r}, expected {FORMAT!r}")
        if head.get("version") != VERSION:
            raise BadInput(f"{where}: version {head.get('version')!r}, expected {VERSION}")
        return msgspec.json.decode(data, type=Saved)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: {error}, expected a counter-example as JSON") from None


def _fields(given: dict[str, Any], where: str) -> dict[str, Any]:
    """The plain fields of a scenario, each as its annotation says."""
    kinds = get_type_hints(Scenario)
    found = {}
    for field, value in given.items():
        if field not in kinds or field in APART:
            raise BadInput(f"{where}: scenario: unknown field {field!r}")
        try:
            found[field] = _frozen(msgspec.convert(value, kinds[field]))
        except msgspec.ValidationError as error:
            raise BadInput(f"{where}: scenario: {field}: {error}") from None
    return found


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
