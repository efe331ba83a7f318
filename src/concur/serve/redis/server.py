"""The gateway on a port: listens, lets time pass, and ends."""

import asyncio
import ssl

from concur.serve.redis.connection import RespConnection
from concur.serve.redis.gateway import Gateway

TICK_S = 0.1
"""How late a key may expire, apart from how long a command takes."""

BACKLOG = 4096
"""Connections that the system holds until they are accepted."""


class RedisServer:
    """Serves `gateway` at one address."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Begin to serve; -> the port, which the system chooses if it was 0."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: RespConnection(self.gateway), host, port, ssl=tls, backlog=BACKLOG
        )
        self._tick()
        return int(self._server.sockets[0].getsockname()[1])

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.gateway.tick()

    async def close(self) -> None:
        """Stop listening, and hang up on everyone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.gateway.connections.values()):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()
