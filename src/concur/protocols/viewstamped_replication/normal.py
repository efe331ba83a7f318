"""Normal operation: one primary orders operations, a quorum holds them (4.1)."""

from concur.effects import Timer
from concur.messages import Command
from concur.node import invariant, on, seconds
from concur.parts.client import NotLeader
from concur.protocols.viewstamped_replication.messages import (
    Commit,
    CommitOk,
    Entry,
    Prepare,
    PrepareOk,
    StartEpoch,
    weight,
)
from concur.protocols.viewstamped_replication.state import NORMAL
from concur.protocols.viewstamped_replication.state_transfer import StateTransfer
from concur.values import Map

EARLY_MAX = 1024
"""Operations that a backup keeps although some before them are missing."""

EARLY_BYTES_MAX = 1 << 24
"""Bytes of them together: what has no room comes again."""

BACK_OFF_MAX = 4
"""How many times longer than usual a replica waits after view changes that came to nothing."""


class Normal(StateTransfer):
    """A primary, or a backup, of a view."""

    acks: Map[str, int] = Map()  # up to where the logs of the backups reach, as the primary knows
    quorum_mark: int = 0  # the round at the last check whether a quorum still answers
    early: Map[int, Entry] = Map()  # what a backup got before what precedes it
    early_bytes: int = 0
    failures: int = 0  # view changes since a primary was last heard

    # --- the primary -----------------------------------------------------------------------------

    def has_room(self) -> bool:
        return (
            self.leads()
            and self.op_number - max(self.committed, self.start) < self.params.pipeline_max
            and len(self.log) < self.params.log_entries_max
            and not self.ending
        )

    def is_under_way(self, command: Command) -> bool:
        return any(command in self.log[index].commands for index in self.waiting)

    def propose(self, clients: tuple[str, ...], batch: tuple[Command, ...]) -> None:
        self.waiting = self.waiting.put(self.op_number + 1, clients)
        self.prepare(Entry(batch))

    def prepare(self, entry: Entry) -> None:
        """4.1 step 3. The primary's own log counts among those that hold the operation."""
        self.log = self.log.append(entry)
        configuration = self.configuration
        message = Prepare(
            configuration.epoch, self.view, self.log.last_index, entry, self.committed
        )
        self.broadcast(self.others, message)
        if len(configuration.members) == 1:
            self.count_acks()

    @on(PrepareOk, paper="4.1 step 5")
    def count_ack(self, source: str, m: PrepareOk) -> None:
        if m.view != self.view or m.epoch != self.epoch or not self.leads():
            self.meet(source, m.epoch, m.view)
        else:
            self.acknowledge(source, m.op_number)

    def acknowledge(self, source: str, op_number: int) -> None:
        """An operation is committed when a quorum holds it.

        Acknowledgements of a memory that was lost since are counted too, and do no harm: this
        primary's log has the operation, and whoever recovers into this view gets that log from it;
        one that recovers into a later view is covered by the argument in recovery.py.
        """
        if op_number > self.acks.get(source, 0) and source in self.configuration.members:
            self.acks = self.acks.put(source, op_number)
            if op_number > self.committed:
                self.count_acks()

    def count_acks(self) -> None:
        own = self.op_number
        others = [min(op, own) for op in self.acks.values()]
        held = sorted([own, *others], reverse=True)
        quorum = self.configuration.quorums.phase2_size
        if len(held) >= quorum and held[quorum - 1] > self.committed:
            self.commit(held[quorum - 1])
            if self.reads:
                self.serve_reads()

    @on(Timer("heartbeat"), paper="4.1 step 6")
    def beat(self) -> None:
        self.begin_round()
        self.set_timer("heartbeat", seconds(self.params.heartbeat_s))

    def send_round(self) -> None:
        self.broadcast(self.others, self.heartbeat())

    def heartbeat(self) -> Commit:
        return Commit(self.epoch, self.view, self.op_number, self.committed, self.round)

    @on(CommitOk)
    def hear_ok(self, source: str, m: CommitOk) -> None:
        if m.view != self.view or m.epoch != self.epoch or not self.leads():
            self.meet(source, m.epoch, m.view)
        elif source in self.configuration.members:
            self.acknowledge(source, m.op_number)  # a PrepareOk may have been lost
            if self.leads() and m.epoch == self.epoch:  # not if that ended the epoch
                self.hear_round(source, m.round)

    @on(Timer("quorum"))
    def check_quorum(self) -> None:
        """A primary that no quorum answers can do nothing for its clients: let them go."""
        heard = [r for r, round in self.acked.items() if round > self.quorum_mark]
        if not self.is_quorum((self.id, *heard)):
            self.start_view_change(self.view + 1)
            return
        self.quorum_mark = self.round
        self.set_timer("quorum", seconds(self.params.election_timeout_s[1]))

    def become_primary(self) -> None:
        """This replica is the primary of a view that begins now, or of its view before a crash."""
        self.leader = self.id
        self.start = self.heard = self.op_number
        self.acks, self.waiting = Map(), Map()
        self.forget_early()
        self.failures = 0
        self.cancel_timer("view")
        self.cancel_timer("repeat")
        self.observe("leader", (self.epoch, self.view))
        self.quorum_mark = self.round
        self.renew_reads()
        self.set_timer("quorum", seconds(self.params.election_timeout_s[1]))
        self.beat()
        if len(self.configuration.members) == 1:
            self.count_acks()

    def stop_leading(self) -> None:
        """What was under way may or may not be committed: clients ask again, elsewhere."""
        self.observe("stepped_down", (self.epoch, self.view))
        self.cancel_timer("heartbeat")
        self.cancel_timer("quorum")
        self.leader = ""
        for index, clients in self.waiting.items():
            for client, command in zip(clients, self.log[index].commands, strict=True):
                self.send(client, NotLeader(command.session, command.seq, ""))
        self.waiting = Map()
        self.let_clients_go()

    def let_clients_go(self) -> None:
        self.send_elsewhere()
        self.refuse_reads()

    # --- backups ---------------------------------------------------------------------------------

    @on(Prepare, paper="4.1 step 4")
    def accept(self, source: str, m: Prepare) -> None:
        """Operations enter the log in order only, so that an acknowledgement says: all up to it."""
        if not self.is_current(source, m.epoch, m.view):
            return
        op_number, last = m.op_number, self.log.last_index
        if op_number > last + 1 or self.awaits_disk:
            if last < op_number <= last + EARLY_MAX:
                self.keep_early(op_number, m.entry)
            self.notice_gap(op_number)
        else:
            if op_number == last + 1:
                if len(self.log) >= self.params.log_entries_max:
                    self.observe("log_full")
                    return
                self.log = self.log.append(m.entry)
                if self.early:
                    self.append_early()
            self.send(source, PrepareOk(m.epoch, m.view, self.log.last_index))
        if m.commit_number > self.committed:
            self.commit(m.commit_number)

    def keep_early(self, op_number: int, entry: Entry) -> None:
        held = self.early_bytes + weight(entry)
        if held <= EARLY_BYTES_MAX and op_number not in self.early:
            self.early, self.early_bytes = self.early.put(op_number, entry), held

    def forget_early(self) -> None:
        self.early, self.early_bytes = Map(), 0

    def append_early(self) -> None:
        early = self.early
        if not early or self.awaits_disk:
            return
        while (entry := early.get(self.op_number + 1)) is not None:
            if len(self.log) >= self.params.log_entries_max:
                break
            self.log = self.log.append(entry)
        over = [op for op in early if op <= self.op_number]
        self.early_bytes -= sum([weight(early[op]) for op in over])
        self.early = early.without(over)

    @on(Commit, paper="4.1 step 7")
    def hear_commit(self, source: str, m: Commit) -> None:
        if not self.is_current(source, m.epoch, m.view):
            return
        self.failures = 0
        self.wait_for_primary()
        self.send(source, CommitOk(m.epoch, m.view, self.op_number, m.round))
        self.notice_gap(m.op_number)
        if m.commit_number > self.committed:
            self.commit(m.commit_number)

    def is_current(self, source: str, epoch: int, view: int) -> bool:
        """Whether the primary of this backup's view is speaking. If a later view has begun, or a
        later epoch, see to getting there; if the sender is behind, tell it."""
        if view == self.view and epoch == self.epoch and self.status == NORMAL:
            return source == self.primary and source != self.id
        self.meet(source, epoch, view)
        return False

    def meet(self, source: str, epoch: int, view: int) -> None:
        """Somebody is, or was, in another view or epoch."""
        if source not in self.config.universe:
            return
        if epoch > self.epoch:
            # Between the two stands a change of members that was committed and executed there.
            if self.leads():
                self.start_view_change(self.view + 1)
            self.catch_up(source, self.committed + 1)
        elif epoch < self.epoch:
            self.send(source, StartEpoch(self.configuration))
        elif self.takes_part():
            if view < self.view:
                if self.leads():
                    self.send(source, self.heartbeat())
            elif source == self.configuration.primary(view) and (
                view > self.view or self.status != NORMAL
            ):
                self.follow(view)
                self.wait_for_primary()  # it lives: whoever is still fetching its log is patient
                if not self.asking:
                    self.ask()

    def wait_for_primary(self) -> None:
        """(Re)start the timer of a backup; longer after failures, so that slow views get done."""
        low_s, high_s = self.params.election_timeout_s
        patience = min(1 + self.failures, BACK_OFF_MAX)
        self.set_timer("view", self.jitter(low_s * patience, high_s * patience))

    # Overridden further up.

    def start_view_change(self, view: int) -> None:
        raise NotImplementedError

    @invariant
    def what_comes_early_stays_under_its_limits(self) -> bool:
        return len(self.early) <= EARLY_MAX and 0 <= self.early_bytes <= EARLY_BYTES_MAX
