"""The arrows of Raft, and what they carry."""

from typing import ClassVar

import msgspec

from concur.messages import Command, Message
from concur.quorums import Quorums, joint, majority

Name = str
"""Who votes: `r3`, or `r3#7` if the memory of r3 began anew in incarnation 7 (membership.py)."""


def name_of(server: str, born: int) -> Name:
    return f"{server}#{born}" if born else server


def server_of(name: Name) -> str:
    """The address at which the bearer of `name` lives, or lived."""
    return name.partition("#")[0]


def born_of(name: Name) -> int:
    """The incarnation in which the memory of `name` began; 0 for one who began as new."""
    return int(name.partition("#")[2] or 0)


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """Who votes and who only follows. While `old` is not empty, it is the C_old,new of section 6:
    everything takes a majority of `old` and a majority of `voters`."""

    voters: tuple[Name, ...]
    old: tuple[Name, ...] = ()
    learners: tuple[Name, ...] = ()

    unordered_: ClassVar[tuple[str, ...]] = ("voters", "old", "learners")

    @property
    def quorums(self) -> Quorums:
        new = majority(self.voters)
        return joint(majority(self.old), new) if self.old else new

    @property
    def names(self) -> tuple[Name, ...]:
        return tuple(dict.fromkeys((*self.voters, *self.old, *self.learners)))

    def votes(self, name: Name) -> bool:
        return name in self.voters or name in self.old

    def name_at(self, server: str) -> Name:
        """Under which name `server` belongs to it, "" if it does not; the newest of two."""
        found = [name for name in self.names if server_of(name) == server]
        return max(found, key=born_of, default="")

    def members(self) -> tuple[str, ...]:
        return tuple(server_of(name) for name in self.voters)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A batch of commands; or a configuration; or neither, with which a leader begins its term."""

    term: int
    commands: tuple[Command, ...] = ()
    configuration: Configuration | None = None


# --- elections (section 5.2; the dissertation's 9.6 for Pre-Vote) ---------------------------------


class RequestPreVote(Message, frozen=True):
    """Would you vote for me in `term`? Changes nothing at either end."""

    term: int
    name: Name
    last_index: int
    last_term: int


class PreVote(Message, frozen=True):
    """The answer to a RequestPreVote for `asked`, from one who is in `term`."""

    term: int
    asked: int
    granted: bool
    name: Name


class RequestVote(Message, frozen=True):
    """Vote for me in `term`. With `transfer`, the leader has asked for this election."""

    term: int
    name: Name
    last_index: int
    last_term: int
    transfer: bool


class Vote(Message, frozen=True):
    """The result of RequestVote: `name` votes in `term` for `candidate`, or not."""

    term: int
    candidate: Name
    granted: bool
    name: Name


class TimeoutNow(Message, frozen=True):
    """Dissertation, 3.10: campaign at once; the leader of `term` wants you to lead."""

    term: int


# --- replication (section 5.3) --------------------------------------------------------------------


class AppendEntries(Message, frozen=True):
    """Entries that follow `prev_index`; what is up to `committed` is committed. Without entries it
    is a heartbeat, and `round` numbers it."""

    term: int
    prev_index: int
    prev_term: int
    entries: tuple[Entry, ...]
    committed: int
    round: int


class Appended(Message, frozen=True):
    """The result of AppendEntries. With `success`, `name`'s log equals the leader's up to `index`.

    Else what was to precede, at `rejected`, is not there; `index` is the last one at which the logs
    may agree, and `index_term` is the term there. `round`: of the heartbeat that this answers.
    """

    term: int
    success: bool
    index: int
    index_term: int
    rejected: int
    round: int
    name: Name


class InstallSnapshot(Message, frozen=True):
    """What you need is in a snapshot, of `index` or later: fetch it (`concur.parts.transfer`)."""

    term: int
    index: int


# --- a lost disk (membership.py) ------------------------------------------------------------------


class Rejoin(Message, frozen=True):
    """The sender lost its disk, and is `name` now."""

    name: Name


class NotNeeded(Message, frozen=True):
    """No configuration counts on the server of `name`, under whatever name."""

    name: Name
