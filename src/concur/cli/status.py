"""`concur status`: what the nodes of a real cluster say of themselves, one row each."""

from typing import Any

from concur.cli.doors import Addresses, Authority, Directory, Door, TokenFile, Unreachable, doors_of
from concur.cli.options import Json
from concur.errors import BadInput

EXAMPLES = """Examples:

concur status --dir ./data

concur status 127.0.0.1:8001 127.0.0.1:8002 --json

Exit status: 0 if all are ready, 1 if one is not or does not answer, 2 for bad input."""

ASKED_AT_A_TIME = 16

COLUMNS = ("node", "state", "leader", "began", "executed", "journal MB", "up", "sync ms")


def status(
    addresses: Addresses = None,
    directory: Directory = None,
    token_file: TokenFile = None,
    authority: Authority = None,
    json: Json = False,
) -> int:
    """Ask the nodes of a real cluster how they are: one row each."""
    from concurrent.futures import ThreadPoolExecutor

    from concur.cli.terminal import err, out, print_json

    doors = doors_of(addresses, directory, token_file, authority)
    with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:
        nodes = list(pool.map(ask, doors))
    ready = all(node["state"] == "ready" for node in nodes)
    if json:
        print_json({"ready": ready, "nodes": nodes})
        return 0 if ready else 1
    first = next((node for node in nodes if "cluster" in node), None)
    if first is not None:
        out().print("{cluster}: {protocol}, machine {machine}".format_map(first))
    _print_table(nodes)
    for node in nodes:
        if node["why"]:
            who = node["node"] or node["address"]
            err().print(f"concur: {who} is {node['state']}: {node['why']}", soft_wrap=True)
    return 0 if ready else 1


def ask(door: Door) -> dict[str, Any]:
    """What a node says, with its `state`: ready, not ready or down, and `why`. Raises BadInput."""
    row: dict[str, Any] = {"node": door.node, "address": door.address, "state": "down", "why": ""}
    try:
        code, said = door.ask("GET", "/status")
    except Unreachable as error:
        return row | {"why": str(error)}
    if code == 401:
        raise BadInput(f"{door.address}: wants another token, expected --token-file with its own")
    if code != 200 or "node" not in said:
        return row | {"why": f"{door.address}: {said.get('error', f'status {code}')}"}
    why = said.pop("why_not_ready", "")
    return row | said | {"state": "not ready" if why else "ready", "why": why}


def _print_table(nodes: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from concur.cli.terminal import out

    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if at < 4 else "right", no_wrap=True)
    for node in nodes:
        table.add_row(*_cells(node))
    out().print(table)


def _cells(node: dict[str, Any]) -> tuple[str, ...]:
    name = node["node"] or node["address"]
    if node["state"] == "down":
        return name, "down"
    leader = "itself" if node.get("is_leader") else node.get("leader") or "none"
    p50 = node.get("sync_ms_p50")
    return (
        name,
        node["state"],
        leader,
        str(node.get("began", "")),
        f"{node.get('executed', 0):,}",
        f"{node.get('journal_bytes', 0) / 1e6:.1f}",
        _duration(node.get("uptime_s", 0.0)),
        "-" if p50 is None else f"{p50:.2f}",
    )


def _duration(seconds: float) -> str:
    """In its two largest units: 3h 20m."""
    whole = int(seconds)
    for size, unit, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"),
                                       (60, "m", 1, "s")):  # fmt: skip
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // smaller}{below}"
    return f"{whole}s"
