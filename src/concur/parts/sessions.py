"""The session table: each command of a client takes effect at most once.

A command's identity is `(session, seq)`. Sessions are opened through the log, by a command whose
result is the new session's name, and expire by log content alone: when the table is full, the one
unused for the most commands goes. The table remembers the results of a window of commands, not
not only of the last, because a client's commands may be chosen out of order. Every replica and
every snapshot holds them, so large ones are remembered only as far as RESULTS_BYTES_MAX goes.

(Ongaro's dissertation, section 6.3, describes the problem and this solution.)
"""

from typing import Any

import msgspec

from concur.messages import Command, encode
from concur.values import Map

IN_FLIGHT_MAX = 8
"""Commands that a client may have outstanding; results remembered for each session."""

RESULTS_BYTES_MAX = 4 << 20
"""Bytes of results that a session remembers; of a larger one, and of small ones, a little more."""

LARGE = 64 << 10
"""Bytes of a result from which on room is made for it; smaller ones need not be counted."""

SESSIONS_MAX = 4096
"""Sessions in a table; one more evicts the least recently used."""

_OPENING = "open:"
_NOTHING = encode(None)


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`results` of the last commands as (seq, result), and when, by count, it was last used.

    The result is None if there was no room for it: executed, and no more is known.
    """

    used: int
    results: tuple[tuple[int, bytes | None], ...] = ()


class Sessions(msgspec.Struct, frozen=True, array_like=True):
    """The table, and the number of commands that have passed through it."""

    table: Map[str, Session] = Map()
    passed: int = 0

    def execute(
        self, machine: Any, state: Any, command: Command
    ) -> "tuple[Any, Sessions, bytes | None]":
        """Apply `command` to `state` unless it was applied before.

        Returns the new state, the new table and the encoded result: of now or of the first time;
        None if the session is unknown or the result is forgotten.
        """
        name, seq = command.session, command.seq
        session = self.table.get(name)
        if session is None:
            if name.startswith(_OPENING):
                return self._open(state, command)
            return state, self, _NOTHING if not name else None
        results = session.results
        passed = self.passed + 1
        if not results or seq > results[0][0]:  # in order, as most are
            state, result = machine.run(state, command.body)
            results = ((seq, result), *results[: IN_FLIGHT_MAX - 1])
        else:
            for past, result in results:
                if past == seq:
                    return state, self, result
            if seq <= results[0][0] - IN_FLIGHT_MAX:
                return state, self, None
            state, result = machine.run(state, command.body)
            newest = sorted((*results, (seq, result)), reverse=True)
            results = tuple(newest[:IN_FLIGHT_MAX])
        if len(result) >= LARGE:
            results = _made_room(results, seq)
        table = self.table.put(name, Session(passed, results))
        return state, Sessions(table, passed), result

    def _open(self, state: Any, command: Command) -> "tuple[Any, Sessions, bytes]":
        passed = self.passed + 1
        name = f"{command.session.removeprefix(_OPENING)}.{passed}"
        table = self.table
        if len(table) >= SESSIONS_MAX:
            table = table.remove(min(table.items(), key=lambda item: (item[1].used, item[0]))[0])
        return state, Sessions(table.put(name, Session(passed)), passed), encode(name)


def _made_room(
    results: tuple[tuple[int, bytes | None], ...], executed: int
) -> tuple[tuple[int, bytes | None], ...]:
    """Without the oldest, if there is no room for all. What was just `executed` stays: its client
    may yet ask again, and has only this to learn it from."""
    left = RESULTS_BYTES_MAX - sum([len(r) for seq, r in results if r and seq == executed])
    kept: list[tuple[int, bytes | None]] = []
    for seq, result in results:
        if seq != executed and result is not None:
            left -= len(result)
            if left < 0:
                result = None
        kept.append((seq, result))
    return tuple(kept)


def opening(client: str, seq: int) -> Command:
    """The command that opens a session for `client`. Opened twice, one of the two expires."""
    return Command(_OPENING + client, seq, b"")
