"""Tiny protocols that read wall clocks, each with the property that it is after."""

from typing import Any, ClassVar

from concur.base import Protocol, Role, Tags
from concur.effects import Decide, Invoke, Observe, Timer
from concur.messages import Message
from concur.node import SECOND, Node, on
from concur.properties import Broken, Property
from concur.values import Set


class Stamp(Message, frozen=True):
    """Please."""


class Stamped(Message, frozen=True):
    at: int


class Asker(Node["Stamping"]):
    @on(Invoke)
    def ask(self, op: int, body: bytes) -> None:
        for server in self.config.role("server"):
            self.send(server, Stamp())


class Stamping(Protocol):
    name = "stamping"
    tags = Tags(log=False, needs=("synchronized_clock",))
    server: ClassVar[type[Node[Any]]]

    def roles(self) -> tuple[Role, ...]:
        return (
            Role("server", self.server, "s"),
            Role("client", Asker, "c", "clients", place="client", cost="client"),
        )


# --- stamps that differ ---------------------------------------------------------------------------


class NoTwoAlike(Property):
    name = "no_two_stamps_are_alike"
    watches = (Observe,)

    def initial(self) -> Set[Any]:
        return Set()

    def after(self, state: Any, node: str, effect: Decide | Observe) -> Any:
        if type(effect) is not Observe or effect.name != "stamp":
            return state
        if effect.values in state:
            raise Broken(f"{node} gave the stamp {effect.values} once more")
        return state.add(effect.values)


class Clockwise(Node["Stamping"]):
    """Trusts that no two readings are equal."""

    @on(Stamp)
    def stamp(self, source: str, m: Stamp) -> None:
        self.observe("stamp", self.now)


class Counted(Node["Stamping"]):
    """A stamp is a time, a count of those with the same time or a later one, and a name."""

    latest: int = -1
    count: int = 0

    @on(Stamp)
    def stamp(self, source: str, m: Stamp) -> None:
        now = self.now
        self.count = 0 if now > self.latest else self.count + 1
        self.latest = max(now, self.latest)
        self.observe("stamp", self.latest, self.count, self.id)


class ByTheClock(Stamping):
    name = "by-the-clock"
    server = Clockwise


class Hybrid(Stamping):
    name = "hybrid"
    server = Counted


# --- stamps that follow each other ----------------------------------------------------------------


class LaterIsGreater(Property):
    """Of what is stamped after something else was, and because of it."""

    name = "later_stamps_are_greater"
    watches = (Observe,)

    def after(self, state: Any, node: str, effect: Decide | Observe) -> Any:
        if type(effect) is not Observe or effect.name != "follows":
            return state
        cause, stamp = effect.values
        if stamp < cause:
            raise Broken(f"{node} stamped {stamp} what follows {cause}")
        return state


class Hasty(Node["Stamping"]):
    """The first server stamps what it is asked, and lets the second stamp what follows from it."""

    @on(Stamp)
    def stamp(self, source: str, m: Stamp) -> None:
        first, second = self.config.role("server")
        if self.id == first:
            self.send(second, Stamped(self.now))

    @on(Stamped)
    def follow(self, source: str, m: Stamped) -> None:
        self.observe("follows", m.at, self.now)


class Cautious(Hasty):
    """Says nothing of a stamp before its time has passed for certain (commit wait)."""

    at: int = -1

    @on(Stamp)
    def stamp(self, source: str, m: Stamp) -> None:
        if self.id == self.config.role("server")[0] and self.at < 0:
            self.at = self.interval()[1]
            self.set_timer("wait", SECOND)

    @on(Timer("wait"))
    def wait(self) -> None:
        if self.interval()[0] > self.at:
            self.send(self.config.role("server")[1], Stamped(self.at))
        else:
            self.set_timer("wait", SECOND)

    @on(Stamped)
    def follow(self, source: str, m: Stamped) -> None:
        self.observe("follows", m.at, self.interval()[1])


class Trusting(Cautious):
    """Waits for two seconds by its own clock: trusts that clocks are a second off at the most."""

    @on(Stamp)
    def stamp(self, source: str, m: Stamp) -> None:
        if self.id == self.config.role("server")[0] and self.at < 0:
            self.at = self.now
            self.set_timer("wait", SECOND)

    @on(Timer("wait"))
    def wait(self) -> None:
        if self.now >= self.at + 2 * SECOND:
            self.send(self.config.role("server")[1], Stamped(self.at))
        else:
            self.set_timer("wait", SECOND)

    @on(Stamped)
    def follow(self, source: str, m: Stamped) -> None:
        self.observe("follows", m.at, self.now)


class AtOnce(Stamping):
    name = "at-once"
    server = Hasty


class CommitWait(Stamping):
    name = "commit-wait"
    server = Cautious


class ASecondOff(Stamping):
    name = "a-second-off"
    server = Trusting


# --- one clock ------------------------------------------------------------------------------------


class Forward(Node["Stamping"]):
    """Trusts that its clock is never set back."""

    last: int = 0

    @on(Stamp)
    def stamp(self, source: str, m: Stamp) -> None:
        now = self.now
        self.observe("follows", self.last, now)
        self.last = now


class NeverBack(Stamping):
    name = "never-back"
    server = Forward
