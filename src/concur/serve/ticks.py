"""Who asks for a lifetime tells the time first.

The Redis machine has no clock: lifetimes count from the last `Tick` of the log, and nobody may have
asked for one in hours. So whoever sends it a command that may set an expiry, be it a gateway or a
Python client, puts a tick in front, in the same batch.
"""

from typing import Any

import msgspec

from concur.machines import Redis
from concur.machines.redis import Exec, Expire, SetWith, Tick

TIMED = (SetWith, Expire)
"""Commands that may count from now."""

_encode = msgspec.msgpack.Encoder().encode
_WORDS = tuple([_encode(str(kind.__struct_config__.tag)) for kind in TIMED])


def is_timed(machine: Any, command: Any) -> bool:
    """Whether `command` of `machine` may count from now. Of a transaction: one of its commands."""
    if type(machine) is not Redis:
        return False
    if type(command) is Exec:
        return any(body[1:].startswith(_WORDS) for body in command.bodies)
    return type(command) in TIMED


def tick(now_ms: int) -> bytes:
    """The encoded command that tells the time."""
    return _encode(Tick(max(now_ms, 0)))
