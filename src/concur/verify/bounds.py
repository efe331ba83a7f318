"""Bounds as people write them ("crash=1", "election=2,retry@r1=1"), made into numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from concur.errors import BadInput, whole
from concur.verify.engine.packing import UNBOUNDED

TIMEOUT, TICK = "timeout", "tick"
BOUND_MAX = 1000
"""Of any bound: more than can be explored."""
BETWEEN_SERVERS = -2
"""As a bound of doubled messages: as often as one likes, but no client's."""
AT_WILL = {
    "any": UNBOUNDED,
    UNBOUNDED: UNBOUNDED,
    "servers": BETWEEN_SERVERS,
    BETWEEN_SERVERS: BETWEEN_SERVERS,
}


def bounds_of(
    name: str, given: "str | Mapping[str, int]", known: tuple[str, ...]
) -> dict[str, int]:
    """ "crash=1,wipe=0" as numbers; what is not named is 0. `known` are the names, () is any.

    "duplicate=any" is UNBOUNDED, "duplicate=servers" is BETWEEN_SERVERS.
    """
    found = dict.fromkeys(known, 0)
    pairs: Sequence[tuple[str, Any]]
    if isinstance(given, str):
        parts = [part.strip() for part in given.split(",") if part.strip() not in ("", "none")]
        pairs = [(part.partition("=")[0], part.partition("=")[2] or "1") for part in parts]
    else:
        pairs = list(given.items())
    for kind, text in pairs:
        if known and kind not in known:
            raise BadInput(f"{name}: {kind!r}, expected one of {', '.join(known)}")
        if kind == "duplicate" and text in AT_WILL:
            found[kind] = AT_WILL[text]
            continue
        number = int(text) if isinstance(text, str) and text.isdecimal() else text
        whole(f"{name} {kind}", number, 0, BOUND_MAX)
        found[kind] = number
    return found


def timers_of(
    given: "int | str | Mapping[str, int]", nodes: tuple[str, ...]
) -> tuple[dict[tuple[str, str], str], str, dict[str, int]]:
    """Which bound each timer of each node costs, what others cost ("": they never ring), and the
    bounds. A timer is (name, node); node "" is any."""
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if isinstance(given, int):
        whole("timeouts_max", given, 0, BOUND_MAX)
        return {}, TIMEOUT if given else "", {TIMEOUT: given}
    timers: dict[tuple[str, str], str] = {}
    bounds: dict[str, int] = {}
    for text, most in bounds_of("timeouts_max", given, ()).items():
        name, _, node = text.partition("@")
        if node and node not in nodes:
            raise BadInput(f"timeouts_max: node {node!r}, expected one of {', '.join(nodes)}")
        timers[name, node] = f"{TIMEOUT} {text}" if most else ""
        bounds[f"{TIMEOUT} {text}"] = most
    return timers, "", bounds
