"""A Raft cluster on a table, and words for what tests do with it."""

from typing import Any

from concur.effects import Invoke, Ok
from concur.logs import Log
from concur.machines.kv import Put
from concur.messages import Command
from concur.parts.membership import order_body
from concur.protocols.raft import Raft
from concur.protocols.raft.messages import AppendEntries, Configuration, Entry
from tests.protocols.harness import KV, Table


def cluster(replicas: int = 3, spares: int = 0, clients: int = 1, **params: Any) -> Table:
    """A cluster that r1 leads in term 1, and a client with a session."""
    table = Table(Raft(**params), replicas, clients, spares=spares)
    table.run(0)
    table.write("first")
    table.run(0.3)
    table.wires.clear()
    return table


def state(table: Table, node: str) -> Any:
    return table.nodes[node]


def leader(table: Table) -> str:
    """The one that leads in the highest term."""
    leading = [(n.term, i) for i, n in table.nodes.items() if getattr(n, "role", "") == "leader"]
    return max(leading, default=(0, ""))[1]


def batch(text: str) -> tuple[Command, ...]:
    return (Command("elsewhere", 1, KV.encode(Put("x", text))),)


def entries(*terms: int) -> tuple[Entry, ...]:
    return tuple(Entry(term, batch(f"{at} of {term}")) for at, term in enumerate(terms))


def give_log(table: Table, node: str, *terms: int, term: int = 0) -> None:
    """A log with entries of these terms, as if it had been written in earlier lives."""
    table.crash(node)
    table.images[node]["", "log"] = Log(entries(*terms))
    table.images[node]["", "term"] = max((term, *terms))
    table.images[node]["", "born"] = 0
    table.start(node, "restart")
    table.wires.clear()


def append(
    table: Table,
    source: str,
    to: str,
    term: int,
    after: tuple[int, int],
    *terms: int,
    commit: int = 0,
) -> None:
    """Let `to` receive AppendEntries: entries of these terms follow index and term `after`."""
    found = entries(*(0,) * after[0], *terms)[after[0] :]
    table.put(source, to, AppendEntries(term, *after, found, commit, 0))
    table.deliver(AppendEntries, source=source, to=to)


def terms_of(table: Table, node: str) -> list[int]:
    return [entry.term for entry in state(table, node).log]


def order(table: Table, *members: str, learners: tuple[str, ...] = (), lead: str = "") -> int:
    """Let the operator ask; nothing is delivered yet."""
    table.ops += 1
    table.step("o1", Invoke(table.ops, order_body(members, learners, lead)))
    return table.ops


def obeyed(table: Table, op: int) -> bool:
    return isinstance(table.answers.get(("o1", op)), Ok)


def voters(table: Table, node: str) -> tuple[str, ...]:
    found: Configuration = state(table, node).configuration
    return found.voters
