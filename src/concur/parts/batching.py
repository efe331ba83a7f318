"""How a leader takes in commands: admission, batches, and a bounded pipeline of them.

Commands wait in a queue until there is a batch and room in the pipeline. With `batch_delay_s` 0 a
batch is what came in one turn, or while the pipeline was full, so batching costs no latency and
grows with the load. At `queue_max` new commands are refused.

**Bytes.** A message that is too long for the network would be repeated for ever and never arrive.
So a command has at most COMMAND_BYTES_MAX, a batch no more than BATCH_BYTES_MAX unless it is a
single command, and whoever puts several batches into one message counts bytes too.
"""

from typing import TypeVar

from concur.effects import Timer, TurnEnd
from concur.messages import Command
from concur.node import Node, invariant, on, seconds
from concur.parts.client import NotLeader, Overloaded, Reply, Request
from concur.parts.parameters import BatchedProtocol

B = TypeVar("B", bound=BatchedProtocol)

COMMAND_BYTES_MAX = 16 << 20
"""Bytes of a command. No leader takes a larger one, so whoever asks must not send it."""

BATCH_BYTES_MAX = 4 << 20
"""Bytes of a batch of more than one command."""


class Batching(Node[B]):
    """Gathers the commands of clients. A protocol overrides `leads`, `has_room` and `propose`."""

    leader: str = ""
    queue: tuple[tuple[str, Command], ...] = ()
    batch_timer: bool = False

    def leads(self) -> bool:
        """Whether this replica takes commands now. If not, clients are told `leader`."""
        raise NotImplementedError

    def has_room(self) -> bool:
        """Whether one more batch may be under way, `pipeline_max` and the like considered."""
        raise NotImplementedError

    def propose(self, clients: tuple[str, ...], batch: tuple[Command, ...]) -> None:
        """Have `batch` chosen; then execute it and reply to `clients`, one for each command."""
        raise NotImplementedError

    def is_under_way(self, command: Command) -> bool:
        """Whether `command` is proposed already, so that its client will be answered."""
        return False

    def is_waiting(self, command: Command) -> bool:
        return any(c == command for _, c in self.queue) or self.is_under_way(command)

    @on(Request)
    def admit(self, source: str, m: Request) -> None:
        command = m.command
        if not self.leads():
            self.send(source, NotLeader(command.session, command.seq, self.leader))
            return
        session = self.sessions.table.get(command.session)
        if session is not None and session.results and session.results[0][0] >= command.seq:
            for seq, result in session.results:
                if seq == command.seq:  # a retry of what has been executed: answer at once
                    self.send(source, Reply(command.session, seq, result))
                    return
        if len(command.body) > COMMAND_BYTES_MAX:
            # Nobody will ever execute it, but that is more than its client can be told: a word
            # that asks for patience would bring it back for ever.
            self.observe("too_large", len(command.body))
            self.send(source, Reply(command.session, command.seq, None))
            return
        if m.again and self.is_waiting(command):
            return  # or slow commands would breed copies of themselves, and be slower
        if len(self.queue) >= self.params.queue_max:
            self.observe("overloaded")
            self.send(source, Overloaded(command.session, command.seq))
            return
        self.queue = (*self.queue, (source, command))
        if len(self.queue) >= self.params.batch_max:
            self.flush()

    def turn_end_due(self) -> bool:
        return bool(self.queue)

    @on(TurnEnd)
    def end_turn(self) -> None:
        if not self.queue or self.batch_timer:
            return
        short = len(self.queue) < self.params.batch_max
        if short and self.params.batch_delay_s and self.leads():
            self.batch_timer = True
            self.set_timer("batch", seconds(self.params.batch_delay_s))
        else:
            self.flush()

    @on(Timer("batch"))
    def batch_waited(self) -> None:
        self.batch_timer = False
        self.flush()

    def flush(self) -> None:
        """Propose what waits, as far as there is room. Call it again when room appears."""
        while self.queue and self.has_room():
            size = self._fitting()
            batch, self.queue = self.queue[:size], self.queue[size:]
            self.propose(tuple([c for c, _ in batch]), tuple([command for _, command in batch]))

    def _fitting(self) -> int:
        """How many of those that wait go into one batch: at least one."""
        size = self.params.batch_max
        left = BATCH_BYTES_MAX
        for at, (_, command) in enumerate(self.queue[:size]):
            left -= len(command.body)
            if left < 0:
                return max(at, 1)
        return size

    def send_elsewhere(self) -> None:
        """Tell the clients of all queued commands to ask another replica."""
        for client, command in self.queue:
            self.send(client, NotLeader(command.session, command.seq, self.leader))
        self.queue = ()

    @invariant
    def queues_stay_under_their_limits(self) -> bool:
        return len(self.queue) <= self.params.queue_max
