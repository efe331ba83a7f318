"""Which nodes of a scenario are interchangeable: what its protocol says, less what it tells apart.

A protocol says of which nodes it never asks more than whether two ids are equal
(`Protocol.interchangeable`). A scenario tells nodes apart when it bounds a timer of one of them,
and clients when it gives them different commands. Clients whose commands differ in nothing but the
values that they write are interchangeable together with these values, if the machine does no more
with values than to keep and to compare them, as the key-value store does with put and cas.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from concur.base import Circumstances
from concur.machines import KeyValue
from concur.machines.kv import Append, Cas, Put
from concur.verify.engine.system import System
from concur.verify.nodes.histories import Judge
from concur.verify.nodes.host import Host
from concur.verify.reductions.symmetry import Symmetry
from concur.verify.scenario import Scenario

Exchange = dict[str, str]
"""Who, or which value, takes whose place."""

Scripts = dict[str, tuple[Any, ...]]
"""The commands of each client."""

ALIKE_MAX = 5
"""So many of one kind change places with each other: of n there are n! renamings."""


def symmetry_of(scenario: Scenario, system: System) -> Symmetry | None:
    """What is interchangeable in `system`, the model of `scenario`; None if nothing is."""
    hosts = {host.name: host for host in system.behaviours if isinstance(host, Host)}
    assert isinstance(system.observer, Judge)
    scripts: Scripts = system.observer.scripts
    cast = next(iter(hosts.values())).cast
    world = Circumstances(
        config=cast.config,
        asking=tuple((client, len(script)) for client, script in scripts.items() if script),
        rings=cast.rules.rings,
        orders=cast.orders,
        wipes="wipe" in cast.rules.faults,
    )
    bounded = {node for _, node in cast.rules.timers}
    opaque = isinstance(scenario.replicated, KeyValue)
    words: list[str] = []
    exchanges: list[Exchange] = []
    for group in scenario.protocol.interchangeable(world):
        alike: list[list[str]] = []  # classes; it is enough to compare with the last of each
        for id in group:
            if id not in hosts or any(seat in bounded for seat, _ in hosts[id].seats):
                continue
            for names in alike:
                exchange = _exchange(hosts[names[-1]], hosts[id], scripts, opaque)
                if exchange is not None:
                    if len(names) == ALIKE_MAX:
                        break  # fewer renamings are a symmetry, too, and soon found
                    names.append(id)
                    exchanges.append(exchange)
                    break
            else:
                alike.append([id])
        words += [_listed(names, scripts) for names in alike if len(names) > 1]
    if not exchanges:
        return None
    return Symmetry(system, exchanges, "; ".join(words), ids=tuple(cast.places))


def _exchange(one: Host, other: Host, scripts: Scripts, opaque: bool) -> Exchange | None:
    """Two hosts change places, with all that stands on them and, as clients, with their values;
    None if that is more than another name for the same."""
    if [role for _, role in one.seats] != [role for _, role in other.seats]:
        return None
    pairs = zip(one.seats, other.seats, strict=True)
    nodes = {a: b for (mine, _), (its, _) in pairs for a, b in ((mine, its), (its, mine))}
    mine, theirs = scripts.get(one.name, ()), scripts.get(other.name, ())
    if mine == theirs:
        return nodes
    if not opaque or len(mine) != len(theirs):
        return None
    values: Exchange = {}
    for a, b in zip(mine, theirs, strict=True):
        for value, its in zip(_values(a), _values(b), strict=False):
            if type(value) is str and type(its) is str and value != its:
                values[value], values[its] = its, value  # what contradicts this is found below
    commands = [command for script in scripts.values() for command in script]
    keys = {command.key for command in commands if hasattr(command, "key")}
    # A value that is a key or a name as well, or a part of another one, means more than itself.
    if keys & set(values) or any(id in value for id in nodes for value in values):
        return None
    if any(isinstance(command, Append) for command in commands):
        return None
    for id, script in scripts.items():
        if tuple(_renamed(command, values) for command in script) != scripts[nodes.get(id, id)]:
            return None
    return nodes | values


def _values(command: Any) -> tuple[Any, ...]:
    if isinstance(command, Put):
        return (command.value,)
    return (command.old, command.new) if isinstance(command, Cas) else ()


def _renamed(command: Any, values: Exchange) -> Any:
    fields: tuple[str, ...] = ()
    if isinstance(command, Put | Cas):
        fields = ("value",) if isinstance(command, Put) else ("old", "new")
    changed: Iterator[tuple[str, Any]] = ((field, getattr(command, field)) for field in fields)
    texts = {field: values.get(v, v) for field, v in changed if type(v) is str}
    return msgspec.structs.replace(command, **texts)


def _listed(names: list[str], scripts: Scripts) -> str:
    text = f"{', '.join(names[:-1])} and {names[-1]}"
    own = any(scripts.get(name) != scripts.get(names[0]) for name in names)
    return f"{text} with their values" if own else text
