"""`concur admin`: have nodes of a real cluster do something."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from concur.cli.doors import (
    ACTION_S_MAX,
    NODES,
    Addresses,
    Authority,
    Directory,
    Door,
    TokenFile,
    Unreachable,
    doors_of,
)
from concur.cli.options import Json
from concur.errors import BadInput

EXAMPLES = """Examples:

concur admin leader r2 --dir ./data

concur admin snapshot 127.0.0.1:8001 --token-file r1/storage/admin-token"""

SNAPSHOT_EXAMPLES = """Examples:

concur admin snapshot --dir ./data             # every node

concur admin snapshot --dir ./data --node r2

concur admin snapshot 127.0.0.1:8001 --token-file r1/storage/admin-token

Exit status: 0 if it is done, 1 if it was refused or a node is down, 2 for bad input, 3 if nobody
knows."""

LEADER_EXAMPLES = """Examples:

concur admin leader r2 --dir ./data

concur admin leader r2 127.0.0.1:8001 --token-file r1/storage/admin-token

Exit status: 0 if it leads, 1 if that was refused or no node answers, 2 for bad input, 3 if nobody
knows."""

BAD_INPUT = (400, 401, 404, 421, 501)
UNDECIDED = 504

Node = Annotated[
    str,
    typer.Option(
        "--node", help="Only this one of those in --dir.", rich_help_panel=NODES, show_default=False
    ),
]


def snapshot(
    addresses: Addresses = None,
    directory: Directory = None,
    node: Node = "",
    token_file: TokenFile = None,
    authority: Authority = None,
    json: Json = False,
) -> int:
    """Have nodes save a snapshot now, after which their logs are cut."""
    doors = doors_of(addresses, directory, token_file, authority)
    chosen = [door for door in doors if not node or door.node == node]
    if not chosen:
        names = ", ".join(door.node for door in doors if door.node) or "no name, with an ADDRESS"
        raise BadInput(f"--node {node}: expected {names}")
    rows = [act(door, "/snapshot") for door in chosen]
    return _report(rows, json, lambda row: f"snapshot of {row['snapshot']:,} commands saved")


def leader(
    to: Annotated[str, typer.Argument(metavar="NODE", help="Who shall lead, such as r2.")],
    addresses: Addresses = None,
    directory: Directory = None,
    token_file: TokenFile = None,
    authority: Authority = None,
    json: Json = False,
) -> int:
    """Hand over leadership. Any node may be asked; it finds the leader."""
    row: dict[str, Any] = {}
    for door in doors_of(addresses, directory, token_file, authority):
        row = act(door, f"/leader?to={quote(to, safe='')}")
        if row["outcome"] != "down":
            break
    return _report([row], json, lambda row: f"{row['leader']} leads")


def act(door: Door, target: str) -> dict[str, Any]:
    """What became of it: `outcome` is ok, definite (it did not happen), indefinite or down."""
    row: dict[str, Any] = {"node": door.node, "address": door.address}
    if not door.token:
        raise BadInput(f"{door.address}: needs its token, expected --token-file FILE or --dir DIR")
    try:
        code, said = door.ask("POST", target, ACTION_S_MAX)
    except Unreachable as error:
        return row | {"outcome": "down", "error": str(error)}
    if code in BAD_INPUT:
        raise BadInput(f"{door.address}: {said.get('error', code)}")
    if code != 200 and "outcome" not in said:
        said = {"outcome": "indefinite" if code == UNDECIDED else "definite"} | said
    return row | said


def _report(rows: list[dict[str, Any]], json: bool, done: Any) -> int:
    from concur.cli.terminal import err, out, print_json

    if json:
        print_json({"done": all(row["outcome"] == "ok" for row in rows), "nodes": rows})
    else:
        for row in rows:
            name = row["node"] or row["address"]
            if row["outcome"] == "ok":
                out().print(f"{name}: {done(row)}", soft_wrap=True)
            else:
                why = row.get("error", "no reason given")
                err().print(f"concur: {name}: {row['outcome']}: {why}", soft_wrap=True)
    outcomes = {row["outcome"] for row in rows}
    if outcomes & {"definite", "down"}:
        return 1
    return 3 if "indefinite" in outcomes else 0
