"""What `concur verify` is to explore, out of what was typed."""

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from concur.errors import BadInput, between, whole

if TYPE_CHECKING:
    from concur.base import Protocol
    from concur.machines import Machine
    from concur.verify import Budget, Scenario

BUDGET_S_MAX = 1e6
STATES_MAX = 10**12
COPIES_MAX = 1000
MEMORY_SHARE = 0.75
"""Of the memory of this machine, unless the user says otherwise: what is left keeps it alive."""

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b", re.ASCII | re.IGNORECASE)
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[;,]|[^\s;,"]+')


def scenario_of(
    protocol: "Protocol",
    *,
    clients: int | None,
    commands: str,
    machine: str,
    faults: str,
    timeouts: str,
    **bounds: Any,
) -> "Scenario":
    """The scenario that options describe; `bounds` are fields of `Scenario` as they are."""
    from concur.machines import machine as machine_named
    from concur.verify import Scenario

    state = machine_named(machine)
    scripts = _commands(commands, state)
    if isinstance(scripts, int):
        if state.name != "kv":
            raise BadInput(
                f"--commands {commands}: expected those of each client for machine {state.name}, "
                f"made of {_known(state)}"
            )
        among = 2 if clients is None else clients
    else:
        among = len(scripts)
        if clients not in (None, among):
            raise BadInput(f"--commands: of {among} clients, expected those of {clients}")
    whole("--copies", bounds["copies_max"], 1, COPIES_MAX)
    counted, late_is_lost = _faults(faults)
    _check_timeouts(timeouts, protocol)
    return Scenario(
        protocol=protocol,
        clients=among,
        commands=scripts,
        machine=state,
        faults=counted,
        timeouts_max=int(timeouts) if _is_number(timeouts) else timeouts,
        late_is_lost=late_is_lost,
        **bounds,
    )


def budget_of(
    budget_s: float, states_max: int | None, memory: str | None, processes: int = 1
) -> "Budget":
    """Seconds, states, and bytes in each process, that a search may take."""
    from concur.verify import Budget
    from concur.verify.large.parallel import PROCESSES_MAX

    between("--budget-s", budget_s, 0.0, BUDGET_S_MAX)
    if states_max is not None:
        whole("--max-states", states_max, 1, STATES_MAX)
    if processes != -1:
        whole("--processes", processes, 1, PROCESSES_MAX)
    most = _here() if memory is None else _bytes(memory)
    shares = processes if processes > 0 else os.cpu_count() or 1
    return Budget(budget_s, states_max, None if most is None else most // shares)


def strategy_of(text: str) -> Any:
    """One of the library's, whose words may be typed with a hyphen between them."""
    from typing import get_args

    from concur.verify.verify import Attack

    strategies = {name.replace(" ", "-"): name for name in get_args(Attack)}
    if text.replace(" ", "-") not in strategies:
        raise BadInput(f"--strategy {text!r}: expected one of {', '.join(strategies)}")
    return strategies[text.replace(" ", "-")]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def reductions_of(text: str | None) -> Any:
    """all, none, or some of the library's, whose words may be typed with a hyphen between them."""
    from concur.verify.reductions.reduced import REDUCTIONS

    if text in (None, "all", "none"):
        return text or "all"
    known = {name.replace(" ", "-"): name for name in REDUCTIONS}
    assert text is not None
    asked = [part.strip().replace(" ", "-") for part in text.split(",")]
    for name in asked:
        if name not in known:
            names = ", ".join(("all", "none", *known))
            raise BadInput(f"--reductions {name!r}: expected some of {names}")
    return tuple(known[name] for name in asked)


# --- commands -------------------------------------------------------------------------------------


def _commands(text: str, machine: "Machine[Any, Any]") -> int | tuple[tuple[Any, ...], ...]:
    """How many, or those of each client: `put x a, get x; get x` are of two."""
    if _is_number(text):
        return int(text)
    return tuple(tuple(_script(words, machine)) for words in _split(text, ";"))


def _script(words: list[str], machine: "Machine[Any, Any]") -> Iterator[Any]:
    from concur.messages import encode

    for command in _split(" ".join(words), ",") if words else ():
        typed = " ".join(command)
        if not command:
            raise BadInput(f"--commands: an empty command, expected {_known(machine)}")
        try:
            yield machine.decode(encode([command[0], *map(_value, command[1:])]))
        except BadInput:
            raise BadInput(
                f"--commands: {typed!r} is none of machine {machine.name}, expected a number, or "
                f"{_known(machine)}"
            ) from None


def _split(text: str, mark: str) -> list[list[str]]:
    """Words between marks; a quoted one is a single word, with its quotes."""
    if text.count('"') % 2:
        raise BadInput(f"--commands {text!r}: a quotation mark is open, expected it closed")
    parts: list[list[str]] = [[]]
    for word in WORD.findall(text):
        if word == mark:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _value(word: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(word)
    except msgspec.DecodeError:
        return word


def _known(machine: "Machine[Any, Any]") -> str:
    """The commands of a machine, as one would type them."""
    shown = [
        " ".join((str(kind.__struct_config__.tag), *map(str.upper, kind.__struct_fields__)))
        for kind in machine.commands
    ]
    return ", ".join(shown)


# --- bounds ---------------------------------------------------------------------------------------


def _faults(text: str) -> tuple[str, bool]:
    """Faults that are counted, and whether any number of messages may be late for ever."""
    counted: dict[str, str] = {}
    late_is_lost = True
    for part in (part.strip() for part in text.split(",")):
        kind, equals, count = part.partition("=")
        if part in ("", "none"):
            continue
        at_will = kind == "duplicate" and count in ("any", "servers")
        if equals and not at_will and not (count.isascii() and count.isdigit()):
            raise BadInput(f"--faults {part}: expected a whole number, as in {kind}=1")
        if kind in counted:
            raise BadInput(f"--faults: {kind} is named twice, expected each kind once")
        if kind == "partition" and equals:
            raise BadInput(f"--faults {part}: there are any partitions, expected no number")
        if kind == "loss":
            late_is_lost = not equals
        counted[kind] = count or "1"
    if late_is_lost:
        counted.pop("loss", None)
    return ",".join(f"{kind}={count}" for kind, count in counted.items()), late_is_lost


def _check_timeouts(text: str, protocol: "Protocol") -> None:
    """A timer whose name is mistyped would never ring, and much would seem to hold."""
    if _is_number(text):
        return
    known = tuple(dict.fromkeys(n for role in protocol.roles() for n in role.node._timers))
    for part in (part.strip() for part in text.split(",")):
        name, equals, count = part.partition("=")
        if part in ("", "none"):
            continue
        if equals and not (count.isascii() and count.isdigit()):
            raise BadInput(f"--timeouts {part}: expected a whole number, as in {name}=1")
        if name.partition("@")[0] not in known:
            raise BadInput(
                f"--timeouts: {protocol.label} has no timer {name.partition('@')[0]!r}, expected a "
                f"number, or some of {', '.join(known)}"
            )


def _bytes(text: str) -> int:
    size = SIZE.fullmatch(text.strip())
    if size is None:
        raise BadInput(f"--max-memory {text!r}: expected a size such as 500MB or 2GB")
    number, unit, binary = size.groups()
    power = list(UNITS).index(unit.lower())
    return round(float(number) * (1024**power if binary else UNITS[unit.lower()]))


def _here() -> int | None:
    """A share of what this machine, or the container that this runs in, has."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            limit = file.read().strip()
    except OSError:
        limit = ""
    if limit.isdigit():
        total = min(total, int(limit))
    return round(total * MEMORY_SHARE)
