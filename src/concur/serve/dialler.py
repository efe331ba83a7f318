"""Who keeps a link to a peer: dials, sees the link through to its end, waits, and dials again."""

import asyncio
import random
import ssl
from typing import TYPE_CHECKING

from concur.serve.addresses import split_address
from concur.serve.links import Link

if TYPE_CHECKING:
    from concur.serve.transport import Transport


class Dialler:
    """Keeps one dialled link to `id`, trying again for ever."""

    def __init__(self, owner: "Transport", id: str, address: str) -> None:
        self.owner = owner
        self.id = id
        self.address = address
        self.host, self.port = split_address(address, f"address of {id}")
        self.link: Link | None = None
        self._sooner = asyncio.Event()
        self._chance = random.Random(owner.identity.process + id.encode())
        self._task = owner.loop.create_task(self._run())

    def wake(self) -> None:
        """They are there: another attempt is worth its while now."""
        self._sooner.set()

    def stop(self) -> None:
        """No more attempts. A link that is up stays, and is its owner's to close."""
        self._task.cancel()
        if self.link is not None and not self.link.up:
            self.link.abort()

    async def _run(self) -> None:
        least, most = self.owner.limits.back_off_s
        loop = self.owner.loop
        wait_s = least
        while True:
            began = loop.time()
            why = await self._attempt()
            self.owner.lost(self, why)
            if loop.time() - began > most:
                wait_s = least
            try:
                async with asyncio.timeout(wait_s * self._chance.uniform(0.5, 1.0)):
                    await self._sooner.wait()
            except TimeoutError:
                pass
            self._sooner.clear()
            wait_s = min(2 * wait_s, most)

    async def _attempt(self) -> str:
        """Dial, and see the link through to its end; why it ended."""
        owner = self.owner
        link = Link(owner, self.id)
        try:
            async with asyncio.timeout(owner.limits.handshake_s):
                await owner.loop.create_connection(
                    lambda: link, self.host, self.port, **owner.tls_arguments(owner.client_tls)
                )
        except TimeoutError:
            return f"no connection within {owner.limits.handshake_s:g} s"
        except ssl.SSLError as error:
            return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
        except OSError as error:
            return error.strerror or str(error)
        except ValueError as error:  # a host that cannot be a name
            return str(error)
        self.link = link
        try:
            await asyncio.shield(link.ended)  # it outlives this task
        finally:
            self.link = None
        return link.why
