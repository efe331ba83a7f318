"""A group of Viewstamped Replication on a table, and words for what tests do with it."""

from typing import Any

from concur.effects import Invoke, Ok
from concur.machines.kv import Put
from concur.messages import Command
from concur.parts.membership import order_body
from concur.protocols.viewstamped_replication import (
    ViewstampedReplication,
    ViewstampedReplicationOnDisk,
)
from concur.protocols.viewstamped_replication.messages import Entry, Warm, WarmUp
from tests.protocols.harness import KV, Table

KINDS = {"memory": ViewstampedReplication, "disk": ViewstampedReplicationOnDisk}


def group(
    replicas: int = 3, spares: int = 0, clients: int = 1, on: str = "memory", **params: Any
) -> Table:
    """A group in view 0, of which r1 is the primary, and a client with a session."""
    table = Table(KINDS[on](**params), replicas, clients, spares=spares)
    table.write("first")
    table.run(0.3)
    table.wires.clear()
    return table


def state(table: Table, node: str) -> Any:
    return table.nodes[node]


def entry(text: str) -> Entry:
    return Entry((Command("elsewhere", 1, KV.encode(Put("x", text))),))


def primary(table: Table) -> str:
    """Whoever leads the highest view of the highest epoch."""
    leading = [
        (n.epoch, n.view, i)
        for i, n in table.nodes.items()
        if i.startswith("r") and n.leads()  # type: ignore[attr-defined]
    ]
    return max(leading, default=(0, 0, ""))[2]


def order(table: Table, *members: str, learners: tuple[str, ...] = (), lead: str = "") -> int:
    """Let the operator ask; nothing is delivered yet."""
    table.ops += 1
    table.step("o1", Invoke(table.ops, order_body(members, learners, lead)))
    return table.ops


def obeyed(table: Table, op: int) -> bool:
    return isinstance(table.answers.get(("o1", op)), Ok)


def recovered(table: Table, node: str) -> bool:
    return state(table, node).status != "recovering" and bool(table.saw("recovered", node))


def propose_change(table: Table, *members: str) -> int:
    """Let an operator ask, and newcomers warm up, until r1 has proposed the change; what it sends
    then is not delivered yet."""
    op = order(table, *members)
    table.settle()
    if not state(table, "r1").ending and state(table, "r1").epoch == 0:
        table.ring("r1", "warm-up")
        table.deliver(WarmUp)
        table.deliver(Warm)
    assert state(table, "r1").ending
    return op
