"""What work costs in the simulated world: CPU for each message, disk for each sync.

A node handles one message at a time, so that a hot leader saturates; without that, none of the
results that set protocols apart can appear. The defaults give an unreplicated server that handles
two messages a command about 250,000 commands a second, near the 260,000 that FrankenPaxos recorded
for its own (`benchmarks/` prints ours).
"""

import msgspec

from concur.errors import BadInput


class Cpu(msgspec.Struct, frozen=True):
    """Nanoseconds of CPU for each message received and sent, and picoseconds for each byte."""

    receive_ns: int = 2_000
    send_ns: int = 2_000
    byte_ps: int = 500


class Disk(msgspec.Struct, frozen=True):
    """A sync takes `sync_ns` and the bytes since the last one `byte_ps` each."""

    sync_ns: int = 100_000
    byte_ps: int = 2_000


class Costs(msgspec.Struct, frozen=True):
    """The cost model: CPU by cost class of a role, disks, and the bounds of queues.

    Clients are free: they stand for many machines. Switches work at line rate, and memory that is
    read and written by network cards costs those only.
    """

    server: Cpu = Cpu()
    client: Cpu = Cpu(0, 0, 0)
    switch: Cpu = Cpu(50, 50, 0)
    memory: Cpu = Cpu(300, 0, 80)
    disk: Disk = Disk()
    inbox_max: int = 100_000
    turn_events_max: int = 1_000

    def of(self, kind: str) -> Cpu:
        if kind not in ("server", "client", "switch", "memory"):
            raise BadInput(f"cost class {kind!r}: expected server, client, switch or memory")
        found: Cpu = getattr(self, kind)
        return found


FREE = Costs(Cpu(0, 0, 0), Cpu(0, 0, 0), Cpu(0, 0, 0), Cpu(0, 0, 0), Disk(0, 0))
"""No work costs anything: for tests that are about order, not speed."""
