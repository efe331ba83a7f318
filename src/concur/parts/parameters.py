"""Parameters that protocols which replicate a log have in common, under the same names.

Sharing them keeps a comparison fair: the same client patience, batches and snapshots everywhere.
"""

from concur.base import Protocol, parameter


class LogProtocol(Protocol):
    """A protocol that executes a log of commands for clients, with snapshots."""

    retry_s: float = parameter(
        default=1.0,
        above=0,
        doc="a client asks another replica after this long; grows with each retry",
    )
    deadline_s: float = parameter(
        default=10.0, above=0, doc="a client gives an indefinite answer after this long"
    )
    snapshot_every: int = parameter(
        default=1000, at_least=1, doc="commands between two snapshots, after which the log is cut"
    )
    chunk_bytes_max: int = parameter(
        default=1 << 18, at_least=1, at_most=1 << 25, doc="bytes of a snapshot in one message"
    )


class BatchedProtocol(LogProtocol):
    """One in which a leader gathers commands into batches and works on several at a time."""

    batch_max: int = parameter(
        default=64, at_least=1, doc="commands in a batch; 1 turns batching off"
    )
    batch_delay_s: float = parameter(
        default=0.0,
        at_least=0,
        doc="how long a batch may wait to fill up; 0: no longer than a turn",
    )
    pipeline_max: int = parameter(default=256, at_least=1, doc="batches under way at a time")
    queue_max: int = parameter(
        default=10_000,
        at_least=1,
        doc="commands, and reads, that wait at a leader; more are refused",
    )
