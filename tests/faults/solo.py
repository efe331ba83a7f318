"""A protocol for tests of faults: the first replica does all the work, the others keep copies.

`Solo` is right: it logs, then answers. `Forgetful` keeps its log in memory only, so it forgets
what it has answered when it crashes: the simplest bug that needs a fault to be seen.
"""

from concur.base import Role, Tags
from concur.effects import Start
from concur.logs import Log
from concur.messages import Command, Message
from concur.node import Node, durable, on
from concur.parts.client import Client, NotLeader, Read, Reply, Request
from concur.parts.parameters import LogProtocol
from concur.simulate.networks import Network

NEAR = Network(name="near", regions=("here",), one_way_ns=((5_000_000,),))
"""Five milliseconds from anywhere to anywhere: a hundred commands a second for each client."""


class Copy(Message, frozen=True):
    slot: int
    command: Command


class Worker(Node["Solo"]):
    log: Log[Command] = durable(Log())
    copies: int = 0

    @on(Start)
    def start(self, event: Start) -> None:
        for command in self.log:
            self.execute(command)
        self.observe("started", event.kind)

    @on(Request)
    def work(self, source: str, m: Request) -> None:
        first = self.config.members[0]
        if self.id != first:
            self.send(source, NotLeader(m.command.session, m.command.seq, first))
            return
        self.log = self.log.append(m.command)
        slot = self.log.last_index
        self.decide(slot, m.command)
        result = self.execute(m.command)
        self.multicast("replica", Copy(slot, m.command))
        self.send(source, Reply(m.command.session, m.command.seq, result))

    @on(Read)
    def read(self, source: str, m: Read) -> None:
        first = self.config.members[0]
        if self.id == first:
            self.send(source, Reply(m.session, m.seq, self.query(m.body)))
        else:
            self.send(source, NotLeader(m.session, m.seq, first))

    @on(Copy)
    def keep(self, source: str, m: Copy) -> None:
        self.copies += 1


class ForgetfulWorker(Worker):
    log: Log[Command] = Log()


class SoloClient(Client["Solo"]):
    pass


class Solo(LogProtocol):
    name = "solo"
    tags = Tags(crash_tolerant=False, recovers_wiped=False)
    worker: type[Worker] = Worker

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", type(self).worker, "r"),
            Role("client", SoloClient, "c", "clients", place="client", cost="client"),
        )


class Forgetful(Solo):
    name = "forgetful"
    worker = ForgetfulWorker


class Claims(Solo):
    """Claims what Multi-Paxos does, for tests of what may be drawn for such a protocol."""

    name = "claims"
    tags = Tags(leader=True)
