"""A random walk: dice decide what a cluster does next, far from what time would let happen.

A walk delivers letters in any order, loses and doubles them, lets timers ring, asks for commands,
crashes and restarts nodes, as far as the protocol's tags claim that it bears it. Where members can
be changed there are spares, and in half of the walks an operator orders other members and other
leaders. Now and then a replica is asked for a snapshot. Then the walk heals everything, lets time
pass in order, and asks for one more command of each client. It is a function of its seed.
"""

from typing import Any

from concur.base import Protocol
from concur.chance import Stream
from concur.effects import Decide, Definite, Deliver, Effect, Indefinite, Ok, Outcome
from concur.histories import History, Verdict, check
from concur.machines import Machine, machine
from concur.messages import Command
from concur.node import SECOND
from concur.parts.membership import order_body
from concur.parts.transfer import TakeSnapshot
from concur.testing.cluster import Cluster, Letter, Seat, Violated, Watcher
from concur.testing.reach import Reach
from concur.workloads import default_workload

NEAR = 12
"""A letter is drawn from the oldest so many, mostly: far reordering is rare and still happens."""
OUTSTANDING_MAX = 400
"""Letters under way; more are delivered before anything new is sent off."""
FINISH_NS = 120 * SECOND
FINISH_STEPS = 60_000
CHECK_S_MAX = 10.0
SPARES = 2
"""Replicas that are no members at first, where members can be changed."""
ORDERS_MAX = 3
SNAPSHOT_CHANCE = 1 / 200
"""Of a step, that some replica is asked for a snapshot before it, where replicas take any."""
VOTERS_MIN = 3
"""Orders leave at least so many members, unless there were fewer."""


class Walk:
    """One walk of `steps` choices, and what came of it."""

    def __init__(
        self,
        protocol: Protocol,
        seed: int,
        *,
        replicas: int = 3,
        clients: int = 2,
        machine_name: str = "register",
        watchers: tuple[Watcher, ...] = (),
        reach: Reach | None = None,
    ) -> None:
        self.machine: Machine[Any, Any] = machine(machine_name)
        self.seed = seed
        self.cluster = Cluster(
            protocol,
            replicas=replicas,
            clients=clients,
            spares=SPARES if protocol.tags.membership else 0,
            machine=self.machine,
            seed=seed,
            watchers=watchers,
            reach=reach,
        )
        self.cluster.on_effect = self._look
        self.cluster.on_complete = self._completed
        self.tags = protocol.tags
        self.dice = Stream(seed, "walk")
        self._snapshots = Stream(seed, "snapshots")  # so that they leave the other dice alone
        self.history = History(machine_name)
        self.down: dict[str, bool] = {}
        names = self.cluster.clients
        load = default_workload(machine_name)
        self._scripts = {c: load.client(i, len(names), seed) for i, c in enumerate(names)}
        self._open: dict[str, tuple[int, Any, int]] = {}
        self._answered: dict[str, bytes | None] = {}
        self._ops = 0
        self._processes: dict[str, int] = {c: i for i, c in enumerate(names)}
        self._next_process = len(names)
        self._bodies: set[bytes] = set()
        self._voters = (replicas, replicas)
        if protocol.tags.membership:
            self._voters = (min(replicas, max(VOTERS_MIN, replicas - 1)), replicas + 1)
        fewest, most = self._voters
        self._tolerance = min(map(protocol.crash_tolerance, range(fewest, most + 1)))
        self._ordering = bool(self.cluster.operators) and self.dice.chance(0.5)
        self._ordered: set[int] = set()

    # --- the walk -------------------------------------------------------------------------------

    def run(self, steps: int, *, faults: bool = True) -> None:
        """Raises Violated where a property breaks."""
        cluster, dice = self.cluster, self.dice
        cluster.start()
        for _ in range(steps):
            if self._snapshots.chance(SNAPSHOT_CHANCE):
                self._take_snapshot()
            draw = dice.below(1000)
            if len(cluster.letters) > OUTSTANDING_MAX:
                draw %= 600
            if draw < 600:
                self._deliver()
            elif draw < 720:
                self._fire()
            elif draw < 860:
                if draw < 740 and self._ordering and (not self._ordered or dice.chance(0.1)):
                    self._order()  # seldom before the last one has been answered
                else:
                    self.ask()
            elif draw < 920 and "loss" in self.tags.tolerates:
                self._drop()
            elif draw < 960 and "duplication" in self.tags.tolerates:
                self._deliver(keep=True)
            elif draw < 975 and faults:
                self._crash()
            elif draw < 1000:
                self._restart()

    def _letters(self) -> list[Letter]:
        found = []
        for letter in self.cluster.letters:
            if self.cluster.may_deliver(letter):
                found.append(letter)
                if len(found) > 3 * NEAR:
                    break
        return found

    def _pick(self) -> Letter | None:
        letters = self._letters()
        if not letters:
            return None
        if "reordering" not in self.tags.tolerates:
            seen = {(one.source, one.to): one for one in reversed(letters)}
            letters = list(seen.values())
        near = letters[:NEAR] if self.dice.chance(0.9) else letters
        return self.dice.choice(near)

    def _deliver(self, *, keep: bool = False) -> None:
        letter = self._pick()
        if letter is None:
            self._fire()
            return
        turn = self.dice.chance(0.6)  # else what comes next shares its turn
        self.cluster.deliver(letter, end_turn=turn, keep=keep and not letter.stream)

    def _drop(self) -> None:
        letter = self._pick()
        if letter is not None and not letter.stream:
            self.cluster.drop(letter)

    def _fire(self) -> None:
        """Mostly the timer that is due first; sometimes any."""
        cluster = self.cluster
        if self.dice.chance(0.7):
            timer = cluster.next_timer()
        else:
            armed = [(s, key) for s in cluster.seats.values() for key in s.timers]
            timer = self.dice.choice(armed) if armed else None
        if timer is not None:
            cluster.fire(*timer)

    def _crash(self) -> None:
        cluster, dice = self.cluster, self.dice
        host = dice.choice(cluster.servers)
        wiped = dice.chance(0.3)
        if host in self.down or not cluster.is_up(host):
            return
        member = host in cluster.config.universe
        loses = wiped or not self.tags.durable
        if loses and member:
            few = len(cluster.lost | {host}) <= self._tolerance
            if not self.tags.recovers_wiped or not few:
                if not self.tags.durable:
                    return
                wiped = False
        elif wiped and not self.tags.recovers_wiped:
            wiped = False
        self.down[host] = wiped
        cluster.crash(host, wiped=wiped)

    def _take_snapshot(self) -> None:
        """As the process of a replica does when somebody asks it to."""
        seat = self.cluster.seats[self._snapshots.choice(self.cluster.config.universe)]
        if seat.node is not None and TakeSnapshot in seat.node._messages:
            self.cluster.step(seat, Deliver(seat.id, TakeSnapshot()))

    def _restart(self) -> None:
        if self.down:
            host = self.dice.choice(sorted(self.down))
            wiped = self.down.pop(host)
            self.cluster.restart(host, kind="wiped" if wiped else "restart")

    def waiting(self) -> bool:
        """Whether some client, or an operator, waits for an answer."""
        return bool(self._open or self._ordered)

    # --- healing --------------------------------------------------------------------------------

    def finish(self, *, refusals: bool = False) -> None:
        """Heal, let time pass, and see that every client gets an answer to one more command.

        With `refusals` a definite refusal is an answer too: limits may have been reached.
        """
        while self.down:
            self._restart()
        cluster = self.cluster
        cluster.run(lambda: not self.waiting(), FINISH_NS, FINISH_STEPS)
        if self._open:
            client = min(self._open)
            raise Violated("every_operation_ends", f"{self._open[client][1]} has no answer", client)
        if self._ordered:
            raise Violated("every_operation_ends", "an order has no answer", cluster.operators[0])
        cluster.run(lambda: False, 5 * SECOND, FINISH_STEPS)  # a calm while, for recoveries
        if self._ordering:
            self._restore_members()
        last = {client: self.ask(client) for client in cluster.clients}
        cluster.run(lambda: not self._open, FINISH_NS, FINISH_STEPS)
        for client, op in last.items():
            outcome = cluster.outcomes.get((client, op))
            refusable = refusals or not self.tags.log  # most lose where single values are decided
            if type(outcome) is not Ok and not (refusable and type(outcome) is Definite):
                said = "no answer" if outcome is None else f"{type(outcome).__name__}"
                why = getattr(outcome, "error", "") or "none came"
                raise Violated(
                    "commands_complete_after_healing",
                    f"a command asked when everything had been healed got {said}: {why}",
                    client,
                )

    # --- clients --------------------------------------------------------------------------------

    def ask(self, client: str = "") -> int:
        """Let a client ask for its next command; 0 if it still waits for an answer."""
        cluster = self.cluster
        client = client or self.dice.choice(cluster.clients)
        if client in self._open:
            return 0
        due = self._scripts[client].next_command(0, self._answered.get(client))
        assert due is not None, "a default workload never ends"
        command = due[1]
        self._ops += 1
        op = self._ops
        f, key, value = self.machine.event(command)
        process = self._processes[client]
        recorded = self.history.invoke(process, f, key, value, cluster.steps)
        body = self.machine.encode(command)
        self._open[client] = (recorded, command, op)
        self._bodies.add(body)
        cluster.invoke(client, op, body)
        return op

    def _order(self) -> None:
        """Let an operator order other voters and learners, or another leader."""
        cluster, dice = self.cluster, self.dice
        everyone = dice.shuffled(cluster.config.universe)
        if dice.chance(0.3):
            body = order_body(leader=everyone[0])
        else:
            voters = dice.between(*self._voters)
            learners = everyone[voters : voters + dice.below(2)]
            body = order_body(tuple(everyone[:voters]), tuple(learners))
        self._give(dice.choice(cluster.operators), body)

    def _give(self, operator: str, body: bytes) -> int:
        self._ops += 1
        self._ordered.add(self._ops)
        self.cluster.invoke(operator, self._ops, body)
        return self._ops

    def _restore_members(self) -> None:
        """Order the members of the beginning, as an operator would who does not give up at once."""
        cluster = self.cluster
        operator = cluster.operators[0]
        for _ in range(ORDERS_MAX):
            op = self._give(operator, order_body(cluster.config.members))
            cluster.run(lambda: not self._ordered, FINISH_NS, FINISH_STEPS)
            outcome = cluster.outcomes.get((operator, op))
            if type(outcome) is Ok:
                return
        why = getattr(outcome, "error", "no answer")
        raise Violated(
            "orders_complete_after_healing",
            f"the members of the beginning were ordered {ORDERS_MAX} times when everything had "
            f"been healed, and got: {why}",
            operator,
        )

    def _completed(self, client: str, op: int, outcome: Outcome) -> None:
        if client in self.cluster.operators:
            self._ordered.discard(op)
            return
        recorded, command, _ = self._open.pop(client)
        now = self.cluster.steps
        self._answered[client] = None
        if type(outcome) is Ok:
            self._answered[client] = outcome.result
            if not self.tags.log:
                self.history.complete(recorded, "ok", None, now)
                return
            result = self.machine.decode_result(outcome.result)
            kind, value, error = self.machine.completion(command, result)
            self.history.complete(recorded, kind, value, now, error)  # type: ignore[arg-type]
        elif type(outcome) is Definite:
            self.history.complete(recorded, "fail", None, now, outcome.error)
        else:
            assert type(outcome) is Indefinite
            self.history.complete(recorded, "info", None, now, outcome.error)
            self._processes[client] = self._next_process
            self._next_process += 1

    def _look(self, seat: Seat, effect: Effect) -> None:
        """Validity: only what clients asked for is decided."""
        if type(effect) is Decide:
            command: Command = effect.command
            asked = command.body in self._bodies or not command.body
            if not asked:
                raise Violated("only_what_clients_asked_is_decided", f"{command}", seat.id)

    def judge(self) -> Verdict:
        """Whether what clients saw is linearizable; for protocols that run a log."""
        return check(self.history, self.machine, budget_s=CHECK_S_MAX)
