"""The arrows of Multi-Paxos, and what they carry."""

import msgspec

from concur.messages import Command, Message
from concur.values import Map

Ballot = tuple[int, str]
"""(round, id of the proposer): totally ordered, and never shared by two proposers."""

Value = tuple[Command, ...]
"""What a slot decides: a batch. The empty one is the no-op (PMS 3)."""

NO_BALLOT: Ballot = (0, "")


class Vote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last vote of an acceptor in a slot; or, if `chosen`, what it knows to be chosen there."""

    ballot: Ballot
    value: Value
    chosen: bool = False


class Prepare(Message, frozen=True):
    """PMS 2.2 1(a), for all slots from `slot` on. `reborn`: see `recovery.py`."""

    ballot: Ballot
    slot: int
    reborn: Map[str, int]


class Promise(Message, frozen=True):
    """PMS 2.2 1(b): the answer to the Prepare for `slot`.

    `votes` are in slots from `slot` on; `next` is where to ask for the rest, 0 if there is none.
    Slots up to `compacted` are chosen, executed and forgotten. `born`, `reborn`: `recovery.py`.
    """

    ballot: Ballot
    slot: int
    votes: tuple[tuple[int, Vote], ...]
    next: int
    compacted: int
    born: int
    reborn: Map[str, int]


class Accept(Message, frozen=True):
    """PMS 2.2 2(a). Slots up to `committed` are chosen."""

    ballot: Ballot
    slot: int
    value: Value
    committed: int


class Accepted(Message, frozen=True):
    """PMS 2.2 2(b)."""

    ballot: Ballot
    slot: int


class Nack(Message, frozen=True):
    """Refused: this acceptor has promised, or follows, `ballot`."""

    ballot: Ballot


class Heartbeat(Message, frozen=True):
    """The leader of `ballot` is alive; slots up to `committed` are chosen."""

    ballot: Ballot
    committed: int
    round: int


class HeartbeatAck(Message, frozen=True):
    """When heartbeat `round` came, this acceptor had promised nothing above `ballot`."""

    ballot: Ballot
    round: int


class LearnRequest(Message, frozen=True):
    """What was chosen from `slot` on? Answered by Learn, or by a snapshot if that is forgotten."""

    slot: int


class Learn(Message, frozen=True):
    """PMS 2.3: chosen values of consecutive slots from `slot` on; more are, up to `committed`."""

    slot: int
    values: tuple[Value, ...]
    committed: int


class Rejoin(Message, frozen=True):
    """The sender has lost its disk; its memory began anew with incarnation `born`."""

    born: int


class Welcome(Message, frozen=True):
    """The sender leads `ballot`; one who executes up to `slot` may vote from `ballot` on."""

    born: int
    ballot: Ballot
    slot: int
    reborn: Map[str, int]
