"""Who may run on which CPUs.

With fewer CPUs than processes, placement alone changes figures severalfold, and no placement is
best for all: a figure is said with its placement, and systems are compared each at its best.
"""

import os

from cluster.processes import pin
from cluster.system import System

PLACEMENTS = {
    "free": "all processes may run on all CPUs",
    "leader": "the leader, or the only server, has the first CPU; all others share the rest",
    "generator": "the generator has the last CPU; all servers share the rest",
}


def place(how: str, system: System, cpus: list[int]) -> None:
    """Pin this process, which is the generator, and all servers of a system."""
    leader = system.pids[system.leader() or 0]
    first, rest, last = cpus[:1], cpus[1:] or cpus, cpus[-1:]
    for pid in [os.getpid(), *system.pids]:
        if how == "free":
            allowed = cpus
        elif how == "leader":
            allowed = first if pid == leader else rest
        else:
            allowed = last if pid == os.getpid() else cpus[:-1] or cpus
        pin(pid, allowed)
