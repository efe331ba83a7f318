"""Whether a node is ready: whoever goes round and restarts nodes waits for it before the next one.

A node is ready when it has caught up and knows a leader. That it has caught up is shown once in its
life, through the log, and whatever the protocol: its client asks for a command in a session that it
opens now. Nodes execute the log in order; so when that session stands in the table of this node's
own replica, the replica has executed all that was decided before this node began.

The command is none that any machine understands: every replica refuses it, and nothing changes.

Where single values are decided there is no log to catch up with, and a question would not be none:
it would be what is decided, once and for all. Such a node has caught up when it runs.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from concur.effects import Ok, Outcome

if TYPE_CHECKING:
    from concur.serve.server import Server

NO_COMMAND = b"\xc1"
"""The one byte that MessagePack never uses."""
ANSWER_S_MAX = 1.0
"""How long a question waits for a first answer; later ones find it."""
ASK_AGAIN_S = 5.0
"""After an answer that did not arrive at the replica: its session may have expired meanwhile."""


class Readiness:
    def __init__(self, server: "Server") -> None:
        self.server = server
        self.caught_up = not server.protocol.tags.log
        self._asked: asyncio.Future[Outcome] | None = None
        self._asked_s = 0.0

    async def why_not(self) -> str:
        """In words; "" if the node is ready."""
        host = self.server.host
        if host.failed.done():
            return "it has stopped"
        if not self.caught_up:
            why = await self._catch_up()
            if why:
                return why
        place = host.places.get(self.server.config.node)
        if place is None:
            return ""  # only clients live here
        node: Any = place.node
        if getattr(node, "recovering", False) or getattr(node, "status", "") == "recovering":
            return "it recovers what its disk has lost"
        if getattr(node, "incoming", None) is not None:
            return "it fetches a snapshot"
        if self.server.protocol.tags.leader and getattr(node, "leader", "?") == "":
            return "it knows no leader"
        return ""

    async def _catch_up(self) -> str:
        host = self.server.host
        asked = self._asked
        if asked is None or (asked.done() and time.monotonic() - self._asked_s > ASK_AGAIN_S):
            asked = self._asked = self._ask()
        if not asked.done():
            await asyncio.wait([asked], timeout=ANSWER_S_MAX)
        if not asked.done():
            return f"nothing that it asked was answered within {ANSWER_S_MAX:g} s"
        outcome = asked.result()
        if type(outcome) is not Ok:
            self._asked = None
            return f"what it asked was not done: {outcome.error}"  # type: ignore[union-attr]
        session = getattr(host.places[self.server.client].node, "session", "")
        place = host.places.get(self.server.config.node)
        if session and place is not None and session not in place.node.sessions.table:
            return "it has not executed yet all that there was when it began"
        self.caught_up = True
        return ""

    def _ask(self) -> "asyncio.Future[Outcome]":
        self._asked_s = time.monotonic()
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.server.host.invoke(self.server.client, NO_COMMAND, done.set_result)
        return done
