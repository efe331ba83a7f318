"""What the gateway's clients may cost."""

import msgspec

from concur.parts.sessions import IN_FLIGHT_MAX
from concur.serve.resp import RequestLimits


class Limits(msgspec.Struct, frozen=True):
    """Bounds of the gateway.

    A connection that waits for so much (`pending_...`) is not read from until some of it is
    answered. One that does not read its replies is not served once `output_low_bytes` wait for it,
    and is closed when what it asked for before makes that `output_bytes_max`. If all connections
    together hold `held_bytes_max`, in requests and in replies, the one that holds most is closed.
    `writes_max` batches of writes may be under way, and `reads_max` of reads: less than a session
    bears, for others than the gateway may ask something too. A batch has `batch_bytes_max`, and one
    command more; with `request` that stays below what a leader takes (COMMAND_BYTES_MAX).
    """

    connections_max: int = 20_000
    request: RequestLimits = RequestLimits(request_bytes_max=10 << 20)
    pending_commands_max: int = 8192
    pending_bytes_max: int = 4 << 20
    output_low_bytes: int = 256 << 10
    output_bytes_max: int = 64 << 20
    held_bytes_max: int = 512 << 20
    writes_max: int = IN_FLIGHT_MAX // 2
    reads_max: int = IN_FLIGHT_MAX // 2 - 1
    batch_commands_max: int = 4096
    batch_bytes_max: int = 4 << 20
