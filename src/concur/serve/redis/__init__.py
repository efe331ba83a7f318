"""Redis' protocol in front of a cluster: what clients that people have already can talk to.

`Gateway` is the core, `RedisServer` puts it on a port; docs/redis.md says what differs from Redis.
"""

from concur.serve.redis.gateway import MACHINE, Gateway
from concur.serve.redis.limits import Limits
from concur.serve.redis.server import RedisServer

__all__ = ["MACHINE", "Gateway", "Limits", "RedisServer"]
