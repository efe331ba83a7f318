"""The arrows of Viewstamped Replication, and what they carry."""

from functools import lru_cache

import msgspec

from concur.messages import Command, Message
from concur.quorums import QuorumSystem, majority
from concur.values import Map

UNBORN = -1
"""`born` of a replica that has not begun yet."""

NO_VIEW = -1
"""In GetState: I take part in no view of yours; tell me what is committed."""


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """The replicas of an epoch (7), which follows op-number `start`.

    `members[v % N]` is the primary of view v. `born` says, for each member, which of its memories
    takes part from the beginning (recovery.py).
    """

    epoch: int
    start: int
    members: tuple[str, ...]
    born: tuple[int, ...]

    @property
    def quorums(self) -> QuorumSystem:
        return _majority(self.members)

    def primary(self, view: int) -> str:
        return self.members[view % len(self.members)]

    def born_of(self, replica: str) -> int:
        return self.born[self.members.index(replica)]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An operation of the log: a batch of commands, or the change of members that ends an epoch."""

    commands: tuple[Command, ...]
    change: Configuration | None = None


def weight(entry: Entry) -> int:
    """About how many bytes of memory an entry takes."""
    return 64 + sum([64 + len(command.body) for command in entry.commands])


# --- 4.1 normal operation -------------------------------------------------------------------------


class Prepare(Message, frozen=True):
    """The primary assigns `op_number`; operations up to `commit_number` are committed."""

    epoch: int
    view: int
    op_number: int
    entry: Entry
    commit_number: int


class PrepareOk(Message, frozen=True):
    """The sender's log of this view reaches to `op_number`, without a gap."""

    epoch: int
    view: int
    op_number: int


class Commit(Message, frozen=True):
    """The primary is there, with nothing new to say; its log reaches to `op_number`."""

    epoch: int
    view: int
    op_number: int
    commit_number: int
    round: int


class CommitOk(Message, frozen=True):
    """When Commit `round` came, the sender had not left this view; its log reaches `op_number`."""

    epoch: int
    view: int
    op_number: int
    round: int


# --- 4.2 view changes -----------------------------------------------------------------------------


class StartViewChange(Message, frozen=True):
    """The sender has left all views below `view`."""

    epoch: int
    view: int


class DoViewChange(Message, frozen=True):
    """What the sender knows, for the primary of `view`: a log, and in which view it was last valid.

    `entries` are those after `commit_number`, maybe not all up to `op_number` (5.3). `born`,
    `reborn`: recovery.py.
    """

    epoch: int
    view: int
    last_normal_view: int
    op_number: int
    commit_number: int
    entries: tuple[Entry, ...]
    born: int
    reborn: Map[str, int]


class StartView(Message, frozen=True):
    """`view` begins with a log that ends with `op_number`; `entries` are those after `after`."""

    epoch: int
    view: int
    after: int
    entries: tuple[Entry, ...]
    op_number: int
    commit_number: int


# --- 4.3 recovery ---------------------------------------------------------------------------------


class Recovery(Message, frozen=True):
    """The sender has lost its memory; the new one is number `born`, which serves as the nonce."""

    born: int


class RecoveryResponse(Message, frozen=True):
    """In a normal status, to memory `nonce`. `primary` says that the sender leads `view`.

    Its log reaches to `op_number`, and ends with a change of members if `ending`.
    """

    nonce: int
    configuration: Configuration
    view: int
    primary: bool
    op_number: int
    commit_number: int
    ending: bool
    born: int
    reborn: Map[str, int]


# --- 5.2 state transfer ---------------------------------------------------------------------------


class GetState(Message, frozen=True):
    """What follows op-number `after`? Of the log of `view`, or of what is committed."""

    epoch: int
    view: int
    after: int


class NewState(Message, frozen=True):
    """Entries after `after`, committed up to `commit_number`.

    With a `view` other than NO_VIEW, those that follow are from the sender's log, which reaches to
    `op_number` and was last valid in `last_normal_view`; the log with which `view` began ended with
    `start`.
    """

    epoch: int
    view: int
    last_normal_view: int
    after: int
    entries: tuple[Entry, ...]
    op_number: int
    commit_number: int
    start: int


# --- 7 reconfiguration ----------------------------------------------------------------------------


class WarmUp(Message, frozen=True):
    """You may become a member: fetch what is committed, up to `op_number`."""

    number: int
    op_number: int


class Warm(Message, frozen=True):
    """The sender has executed up to `op_number`. Answers the WarmUp of that `number`."""

    number: int
    op_number: int
    born: int


class StartEpoch(Message, frozen=True):
    """The epoch of `configuration` has begun: what precedes it is committed."""

    configuration: Configuration


class EpochStarted(Message, frozen=True):
    """The sender takes part in `epoch`, and has all that precedes it."""

    epoch: int


@lru_cache(maxsize=256)
def _majority(members: tuple[str, ...]) -> QuorumSystem:
    return majority(members)
