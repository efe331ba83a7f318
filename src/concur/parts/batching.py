"""How a leader takes in commands: admission, batches, and a bounded pipeline of them.

Commands wait in a queue until there is a batch and room in the pipeline. With `batch_delay_s` 0 a
batch is what came in one turn, or while the pipeline was full, so batching costs no latency and
grows with the load. At `queue_max` new commands are refused.
"""

from typing import TypeVar

from concur.effects import Timer, TurnEnd
from concur.messages import Command
from concur.node import Node, invariant, on, seconds
from concur.parts.client import NotLeader, Overloaded, Reply, Request
from concur.parts.parameters import BatchedProtocol

B = TypeVar("B", bound=BatchedProtocol)


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
        size = self.params.batch_max
        while self.queue and self.has_room():
            batch, self.queue = self.queue[:size], self.queue[size:]
            self.propose(tuple([c for c, _ in batch]), tuple([command for _, command in batch]))

    def send_elsewhere(self) -> None:
        """Tell the clients of all queued commands to ask another replica."""
        for client, command in self.queue:
            self.send(client, NotLeader(command.session, command.seq, self.leader))
        self.queue = ()

    @invariant
    def queues_stay_under_their_limits(self) -> bool:
        return len(self.queue) <= self.params.queue_max
