"""Concur: every consensus and replication protocol behind one small API.

The public names live here; importing this package is light, and simulators, checkers and the
command line load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from concur.errors import BadInput, ConcurError

if TYPE_CHECKING:
    from concur.base import Protocol, Role, Tags, parameter
    from concur.histories import History, Verdict
    from concur.machines import Machine, all_machines, machine
    from concur.node import Node, durable, invariant, on
    from concur.protocols import all_protocols, protocol
    from concur.protocols.multi_paxos import MultiPaxos
    from concur.protocols.paxos import Paxos
    from concur.protocols.raft import Raft
    from concur.protocols.unreplicated import Unreplicated
    from concur.protocols.viewstamped_replication import (
        ViewstampedReplication,
        ViewstampedReplicationOnDisk,
    )
    from concur.simulate.simulation import Simulation
    from concur.values import Map, Set

_HOME = {
    "History": "concur.histories",
    "Machine": "concur.machines",
    "Map": "concur.values",
    "MultiPaxos": "concur.protocols.multi_paxos",
    "Node": "concur.node",
    "Paxos": "concur.protocols.paxos",
    "Protocol": "concur.base",
    "Raft": "concur.protocols.raft",
    "Role": "concur.base",
    "Set": "concur.values",
    "Simulation": "concur.simulate.simulation",
    "Tags": "concur.base",
    "Unreplicated": "concur.protocols.unreplicated",
    "Verdict": "concur.histories",
    "ViewstampedReplication": "concur.protocols.viewstamped_replication",
    "ViewstampedReplicationOnDisk": "concur.protocols.viewstamped_replication",
    "all_machines": "concur.machines",
    "all_protocols": "concur.protocols",
    "durable": "concur.node",
    "invariant": "concur.node",
    "machine": "concur.machines",
    "on": "concur.node",
    "parameter": "concur.base",
    "protocol": "concur.protocols",
}

__all__ = [
    "BadInput",
    "ConcurError",
    "History",
    "Machine",
    "Map",
    "MultiPaxos",
    "Node",
    "Paxos",
    "Protocol",
    "Raft",
    "Role",
    "Set",
    "Simulation",
    "Tags",
    "Unreplicated",
    "Verdict",
    "ViewstampedReplication",
    "ViewstampedReplicationOnDisk",
    "all_machines",
    "all_protocols",
    "durable",
    "invariant",
    "machine",
    "on",
    "parameter",
    "protocol",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("concur-consensus")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'concur' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """The public names: what tab completion should offer, loaded or not."""
    return sorted([*__all__, "__version__"])
