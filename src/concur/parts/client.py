"""The client that protocols with a leader share: a node of its own, which never gives up silently.

For each `Invoke` it emits `Complete` exactly once:

* `Ok(result)` when a replica has answered.
* `Definite` only if the command was never sent: too many are outstanding, or no session could be
  opened before the deadline. Once a command has been sent, even a replica's `Overloaded` proves
  nothing: the network may have doubled the request, and the second copy may be admitted later. It
  only makes the client wait. A read has no effect, so for a read `Overloaded` is an answer.
* `Indefinite` after `deadline_s`, or when its session expired, so that nobody can tell whether the
  command was executed.

Commands run in a session (`concur.parts.sessions`), which is opened through the log when the first
one comes, so a command may be sent any number of times, to any replica. Read-only commands bypass
the log where the protocol has a read path. All state is volatile: a client that restarts is a new
client, with names that no earlier incarnation used.
"""

from functools import cached_property
from typing import TypeVar

import msgspec

from concur.base import Circumstances
from concur.effects import Definite, Indefinite, Invoke, Ok, Outcome, Timer
from concur.errors import BadInput
from concur.messages import Command, Message, decode
from concur.node import Node, invariant, on, seconds
from concur.parts.parameters import LogProtocol
from concur.parts.sessions import IN_FLIGHT_MAX, opening

C = TypeVar("C", bound=LogProtocol)

HOPS_MAX = 3
"""Redirections that are followed at once; the next one waits, so that hints cannot form a loop."""

BACK_OFF_MAX = 4
"""How many times `retry_s` a client waits between two attempts, at the most."""

ATTEMPTS_MAX = 200
"""Transmissions of one command; the deadline comes long before, unless clocks stand still."""

_OPENING = -1  # the operation by which the client itself opens a session


class Request(Message, frozen=True):
    """Execute `command`. Answered by Reply, NotLeader or Overloaded with its session and seq.

    `again` says that it may have been sent before, so that only then a leader needs to look.
    """

    command: Command
    again: bool = False


class Read(Message, frozen=True):
    """Answer the read-only `body` from a state that reflects everything completed before now."""

    session: str
    seq: int
    body: bytes


class Reply(Message, frozen=True):
    """The result; None if the session has expired, so that nobody knows."""

    session: str
    seq: int
    result: bytes | None


class NotLeader(Message, frozen=True):
    """Ask `leader` instead; "" if it is not known."""

    session: str
    seq: int
    leader: str


class Overloaded(Message, frozen=True):
    """A queue is full: ask again later."""

    session: str
    seq: int


class Operation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An `Invoke` that has not completed. `seq` is 0 while it waits for a session.

    `turn` is whom it asked last of its own accord, `to` where hints led from there. `silent` counts
    the attempts that got no answer at all, `hops` the redirections in a row.
    """

    op: int
    body: bytes
    read: bool
    until_ns: int
    session: str = ""
    seq: int = 0
    turn: str = ""
    to: str = ""
    attempts: int = 0
    silent: int = 0
    hops: int = 0


def told_apart(world: Circumstances) -> tuple[str, ...]:
    """The replicas that clients do not treat alike (`Protocol.interchangeable`): the one that they
    ask first; or all, if they may lose patience and ask each in turn."""
    if not world.asking:
        return ()
    if any(world.rings("retry", client) for client, _ in world.asking):
        return world.config.universe
    return world.config.members[:1]


class Client(Node[C]):
    """Sends commands to the replica that it believes to lead, and to the others in turn."""

    session: str = ""
    last_seq: int = 0
    last_read: int = 0
    leader: str = ""
    operations: tuple[Operation, ...] = ()

    @cached_property
    def replicas(self) -> tuple[str, ...]:
        """Whom to ask, in turn. Members may have changed since the start, so spares come last."""
        members = self.config.members
        return (*members, *(r for r in self.config.universe if r not in members))

    def reads_bypass_log(self) -> bool:
        """Whether read-only commands go as `Read`. Protocols override it."""
        return True

    # --- asked by the application ----------------------------------------------------------------

    @on(Invoke)
    def invoke(self, op: int, body: bytes) -> None:
        read = self.reads_bypass_log() and self._read_only(body)
        operations = self.operations
        if operations and self._too_many():
            self.complete(op, Definite(f"overloaded: {IN_FLIGHT_MAX} commands outstanding"))
            return
        operation = Operation(op, body, read, self.uptime + seconds(self.params.deadline_s))
        self.operations = (*operations, operation)
        if read:
            self.last_read += 1
            reader = f"{self.id}-{self.incarnation}"
            self._send(operation, session=reader, seq=self.last_read)
        elif self.session:
            self.last_seq += 1
            self._send(operation, session=self.session, seq=self.last_seq)
        else:
            self.set_timer(("retry", op), seconds(self.params.deadline_s))
            self._open_session()

    def _read_only(self, body: bytes) -> bool:
        try:
            return bool(self.machine.read_only(self.machine.recall(body)))
        except BadInput:
            return False  # the machine's own answer to it is an error, given through the log

    def _too_many(self) -> bool:
        """A session remembers IN_FLIGHT_MAX results, counted back from the newest seq. So a seq may
        be used only while every command still outstanding stays inside that window."""
        oldest = self.last_seq + 1 - IN_FLIGHT_MAX
        asked = [o for o in self.operations if o.op != _OPENING]
        return len(asked) >= IN_FLIGHT_MAX or any(
            not o.read and o.session == self.session and 0 < o.seq <= oldest for o in asked
        )

    def _open_session(self) -> None:
        if all(o.op != _OPENING for o in self.operations):
            until = self.uptime + seconds(self.params.deadline_s)
            operation = Operation(_OPENING, b"", False, until)
            self.operations = (*self.operations, operation)
            # The incarnation in the name: a late answer to an earlier life opens nothing here.
            self.last_seq += 1
            command = opening(f"{self.id}-{self.incarnation}", self.last_seq)
            self._send(operation, session=command.session, seq=command.seq)

    # --- sending ---------------------------------------------------------------------------------

    def _send(
        self,
        operation: Operation,
        session: str = "",
        seq: int = 0,
        to: str = "",
        silent: int = 0,
        hops: int = 0,
    ) -> None:
        """Transmit, and wait: longer once all replicas kept silent, never past the deadline."""
        to = to or self.leader or self.config.members[0]
        turn = operation.turn if hops else to
        attempts = operation.attempts + 1
        session, seq = session or operation.session, seq or operation.seq
        if operation.read:
            self.send(to, Read(session, seq, operation.body))
        else:
            self.send(to, Request(Command(session, seq, operation.body), attempts > 1))
        self._replace(
            Operation(
                operation.op, operation.body, operation.read, operation.until_ns, session, seq,
                turn, to, attempts, silent, hops,
            )
        )  # fmt: skip
        wait = seconds(self.params.retry_s)
        if silent:
            wait_s = self.params.retry_s * min(1 << silent // len(self.replicas), BACK_OFF_MAX)
            wait = self.jitter(wait_s * 0.75, wait_s)
        self._wait(operation, wait)

    def _wait(self, operation: Operation, wait_ns: int) -> None:
        left = max(operation.until_ns - self.uptime, 0)
        self.set_timer(("retry", operation.op), min(wait_ns, left))

    @on(Timer("retry"))
    def retry(self, op: int) -> None:
        """No answer in time: ask another replica, each in turn, until the deadline."""
        operation = next((o for o in self.operations if o.op == op), None)
        if operation is None:
            return
        late = self.uptime >= operation.until_ns
        if operation.seq == 0 and op != _OPENING:
            # Never sent, because no session could be opened: it cannot have happened.
            self._finish(operation, Definite("deadline passed before a session could be opened"))
            return
        if late or operation.attempts >= ATTEMPTS_MAX:
            if op == _OPENING:
                self._remove(operation)
                if any(o.seq == 0 for o in self.operations):
                    self._open_session()
                return
            seen = f"no answer to {operation.attempts} requests"
            self._finish(operation, Indefinite(f"deadline passed: {seen}"))
            return
        # Not the one behind `to`: an old hint would lead back to one that is gone, for ever.
        replicas = self.replicas
        asked = replicas.index(operation.turn) if operation.turn in replicas else -1
        other = replicas[(asked + 1) % len(replicas)]
        if self.leader == operation.to:
            self.leader = other
        self._send(operation, to=other, silent=operation.silent + 1)

    # --- answers ---------------------------------------------------------------------------------

    @on(Reply)
    def take_answer(self, source: str, m: Reply) -> None:
        operation = self._find(m.session, m.seq)
        if operation is None:
            return  # late or doubled
        self.leader = source
        if operation.op == _OPENING:
            self._session_opened(operation, m.result)
        elif m.result is not None:
            self._finish(operation, Ok(m.result))
        else:
            if m.session == self.session:
                self.session = ""
            self._finish(operation, Indefinite("the session expired"))

    def _session_opened(self, operation: Operation, result: bytes | None) -> None:
        try:
            name = decode(result or b"", str)
        except BadInput:
            return
        self.cancel_timer(("retry", _OPENING))
        self._remove(operation)
        self.session = name
        for waiting in self.operations:
            if waiting.seq == 0:
                self.last_seq += 1
                self._send(waiting, session=name, seq=self.last_seq)

    @on(NotLeader)
    def follow_hint(self, source: str, m: NotLeader) -> None:
        operation = self._find(m.session, m.seq)
        if operation is None or operation.to != source:
            return
        if m.leader in self.replicas and m.leader != source and operation.hops < HOPS_MAX:
            self.leader = m.leader
            self._send(operation, to=m.leader, hops=operation.hops + 1)
        else:  # an election, probably: it takes a fraction of what a lost message would cost us
            self._wait(operation, self.jitter(self.params.retry_s / 8, self.params.retry_s / 4))

    @on(Overloaded)
    def hold_back(self, source: str, m: Overloaded) -> None:
        operation = self._find(m.session, m.seq)
        if operation is None or operation.to != source:
            return
        if operation.read:
            self._finish(operation, Definite("overloaded: the replica refused the read"))
        else:
            self._wait(operation, self.jitter(self.params.retry_s / 2, self.params.retry_s))

    # --- bookkeeping -----------------------------------------------------------------------------

    def _find(self, session: str, seq: int) -> Operation | None:
        for operation in self.operations:
            if operation.seq == seq and operation.session == session:
                return operation
        return None

    def _replace(self, operation: Operation) -> None:
        operations = self.operations
        if len(operations) == 1:
            self.operations = (operation,)
        else:
            self.operations = tuple(operation if o.op == operation.op else o for o in operations)

    def _remove(self, operation: Operation) -> None:
        self.operations = tuple([o for o in self.operations if o.op != operation.op])

    def _finish(self, operation: Operation, outcome: Outcome) -> None:
        self.cancel_timer(("retry", operation.op))
        self._remove(operation)
        self.complete(operation.op, outcome)

    @invariant
    def outstanding_commands_stay_under_their_limit(self) -> bool:
        return len(self.operations) <= IN_FLIGHT_MAX + 1  # and the opening of a session
