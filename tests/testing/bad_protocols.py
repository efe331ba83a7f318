"""Protocols that each break one rule: the example of the docs, with one thing changed.

`BAD` maps the check that must find it to the protocol.
"""

import time
from typing import Any

from concur.base import Protocol, Role, Tags, parameter
from concur.effects import Ok, Start
from concur.logs import Log
from concur.messages import Command, Message
from concur.node import Node, durable, invariant, on
from concur.parts.client import Reply, Request
from examples.primary_backup import Ack, Append, PrimaryBackup, PrimaryBackupClient, Replica

CLIENT = Role("client", PrimaryBackupClient, "c", "clients", place="client", cost="client")


class With(PrimaryBackup):
    """Base: the example with another replica."""

    replica: type[Node[Any]] = Replica  # type: ignore[misc]
    client: type[Node[Any]] = PrimaryBackupClient  # type: ignore[misc]

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("replica", self.replica, "r"),
            Role("client", self.client, "c", "clients", place="client", cost="client"),
        )


class ComputesInInit(With):
    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.half_s = self.repeat_s / 2


class ForgetsAParameter(With):
    def clone(self) -> Any:
        return type(self)()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = With.__hash__


class Unbounded(With):
    patience: int = parameter(default=3, doc="how often")


class AcceptsAnything(With):
    def validate(self, replicas: int) -> Any:
        return self


class Nameless(With):
    name = "Has A Space"


class TwoPrefixes(With):
    def roles(self) -> tuple[Role, ...]:
        return (Role("replica", Replica, "c"), CLIENT)


class Untyped(Message, frozen=True):
    anything: Any


class HandlesUntyped(Replica):
    @on(Untyped)
    def take(self, source: str, m: Untyped) -> None:
        pass


class SendsAnything(With):
    replica = HandlesUntyped


class RaisesOnOldAcks(Replica):
    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        if m.last < self.acked.get(source, 0):
            raise ValueError("an old Ack")
        super().take_ack(source, m)


class Raises(With):
    replica = RaisesOnOldAcks


class KeepsADict(Replica):
    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        self.last_ack = {source: m.last}
        super().take_ack(source, m)


class HoldsADict(With):
    replica = KeepsADict


class Notebook:
    """A mutable thing that pretends to be a value."""

    def __init__(self) -> None:
        self.pages: list[int] = []

    def _to_plain(self) -> object:
        return tuple(self.pages)


NOTEBOOK = Notebook()


class Scribbles(Replica):
    notes: Any = None

    @on(Start)
    def start(self, event: Start) -> None:
        self.notes = Notebook()
        super().start(event)

    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        self.notes.pages.append(m.last)
        super().take_ack(source, m)


class EditsInPlace(With):
    replica = Scribbles


COUNTED = [0]


class CountsElsewhere(Replica):
    total: int = 0

    @on(Ack)
    def take_ack(self, source: str, m: Ack) -> None:
        COUNTED[0] += 1
        self.total = COUNTED[0]
        super().take_ack(source, m)


class HiddenState(With):
    replica = CountsElsewhere


class IteratesASet(Replica):
    @on(Append)
    def back_up(self, source: str, m: Append) -> None:
        names = {"one", "two", "three", "four", "five", "six", "seven"}
        self.observe("first", next(iter(names)))
        super().back_up(source, m)


class HashOrder(With):
    replica = IteratesASet


class Tagged(Message, frozen=True):
    number: bool  # and an int is sent


class SendsAnInt(Replica):
    @on(Append)
    def back_up(self, source: str, m: Append) -> None:
        super().back_up(source, m)
        self.send(source, Tagged(7))  # type: ignore[arg-type]

    @on(Tagged)
    def ignore(self, source: str, m: Tagged) -> None:
        pass


class WrongType(With):
    replica = SendsAnInt


class Unasked(Message, frozen=True):
    pass


class SaysTheUnasked(Replica):
    @on(Append)
    def back_up(self, source: str, m: Append) -> None:
        super().back_up(source, m)
        self.send(source, Unasked())


class Unhandled(With):
    replica = SaysTheUnasked


class Rigid(Message, frozen=True, forbid_unknown_fields=True):
    number: int


class TakesRigid(Replica):
    @on(Rigid)
    def take_rigid(self, source: str, m: Rigid) -> None:
        pass


class CannotGrow(With):
    """Its message refuses what a later version adds."""

    replica = TakesRigid


WORDS = {0: "none", 1: "one"}


class LooksItUp(Message, frozen=True):
    number: int

    def __post_init__(self) -> None:
        if 1 < self.number < 1000:
            raise KeyError(self.number)  # neither ValueError nor TypeError


class TakesLookups(Replica):
    @on(LooksItUp)
    def take_lookup(self, source: str, m: LooksItUp) -> None:
        pass


class FailsToDecode(With):
    replica = TakesLookups


class HandlesByForce(Replica):
    def _handle(self, source: str, message: Message) -> None:
        self._messages[type(message)](self, source, message)


class StoppedByStrangers(With):
    replica = HandlesByForce


class NeverHappens(Message, frozen=True):
    pass


class WaitsForIt(Replica):
    @on(NeverHappens, paper="section 9")
    def be_amazed(self, source: str, m: NeverHappens) -> None:
        pass


class Unreached(With):
    """One of its handlers answers to what nobody says."""

    replica = WaitsForIt


class DecidesAlone(Replica):
    @on(Request)
    def order(self, source: str, m: Request) -> None:
        slot = self.executed + 1
        self.decide(slot, m.command)
        self.send(source, Reply(*m.command.id, self.execute(m.command)))


class Disagrees(With):
    replica = DecidesAlone


class MakesThingsUp(Replica):
    @on(Start)
    def start(self, event: Start) -> None:
        super().start(event)
        if self.id == "r2":
            self.decide(1_000_000, Command("nobody", 1, b"invented"))


class Invents(With):
    replica = MakesThingsUp


class CompletesTwice(PrimaryBackupClient):
    @on(Reply)
    def take_answer(self, source: str, m: Reply) -> None:
        known = self._find(m.session, m.seq)
        super().take_answer(source, m)
        if known is not None and known.op > 0:
            self.complete(known.op, Ok(m.result or b""))


class EndsTwice(With):
    client = CompletesTwice


class LimitsWrongly(Replica):
    @invariant
    def log_stays_under_its_limit(self) -> bool:
        return len(self.log) <= 2


class BreaksItsInvariant(With):
    replica = LimitsWrongly


class ReadsLocally(Replica):
    @on(Request)
    def order(self, source: str, m: Request) -> None:
        command = m.command
        backup = command.body and self.id != self.primary
        if backup and self.machine.read_only(self.machine.decode(command.body)):
            self.send(source, Reply(*command.id, self.query(command.body)))
            return
        super().order(source, m)


class StaleReads(With):
    replica = ReadsLocally


class NeverRepeats(Replica):
    def repeat(self) -> None:
        pass


class LosesMessages(With):
    replica = NeverRepeats


class ForgetsItsLog(Replica):
    log: Log[Command] = Log()  # not durable
    ordered: int = durable(0)

    @on(Request)
    def order(self, source: str, m: Request) -> None:
        self.ordered += 1
        super().order(source, m)


class VolatileLog(With):
    replica = ForgetsItsLog


class CutsNothing(Replica):
    def cut_log(self) -> None:
        pass


class NeverCuts(With):
    """The log is kept whole, up to a limit that is far away."""

    replica = CutsNothing
    log_entries_max: int = parameter(default=1_000_000, at_least=1, doc="far away")


class ClaimsToRecover(With):
    tags = Tags(leader=True, crash_tolerant=True, recovers_wiped=True)


BAD: dict[str, Protocol] = {
    "parameters_are_stored_as_given": ComputesInInit(),
    "parameters_round_trip": ForgetsAParameter(),
    "parameters_declare_their_constraints": Unbounded(),
    "wrong_parameters_are_refused": AcceptsAnything(),
    "description_says_what_it_is": Nameless(),
    "roles_are_well_formed": TwoPrefixes(),
    "messages_are_declared_right": SendsAnything(),
    "no_step_raises": Raises(),
    "fields_hold_only_values": HoldsADict(),
    "values_are_never_edited_in_place": EditsInPlace(),
    "steps_depend_on_state_event_and_inputs_alone": HiddenState(),
    "runs_are_the_same_under_two_hash_seeds": HashOrder(),
    "messages_survive_the_codec": WrongType(),
    "every_message_is_handled": Unhandled(),
    "messages_of_other_versions_are_understood": CannotGrow(),
    "malformed_messages_are_refused": FailsToDecode(),
    "strange_messages_stop_no_node": StoppedByStrangers(),
    "every_handler_is_reached": Unreached(),
    "nodes_agree": Disagrees(),
    "only_what_clients_asked_is_decided": Invents(),
    "every_operation_ends_exactly_once": EndsTwice(),
    "invariants_hold_in_every_state": BreaksItsInvariant(),
    "histories_of_walks_are_linearizable": StaleReads(),
    "commands_complete_after_healing": LosesMessages(),
    "crashes_after_every_record_keep_the_properties": VolatileLog(),
    "every_order_within_small_bounds_is_safe": VolatileLog(),
    "loss_is_tolerated": LosesMessages(),
    "states_and_messages_stay_bounded": NeverCuts(),
    "wiped_replicas_recover": ClaimsToRecover(),
}


def clock() -> float:
    """This module reads a clock, which the check of imports must find."""
    return time.time()


__all__ = ["BAD"]
