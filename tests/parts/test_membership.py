"""Operators: whom they ask, how long, and what they say about it."""

from typing import ClassVar

import pytest

from concur.base import Role, Tags
from concur.effects import Definite, Indefinite, Ok
from concur.errors import BadInput
from concur.messages import decode, encode
from concur.node import SECOND, Node, on
from concur.parts.membership import (
    OPERATOR,
    ChangeMembers,
    Done,
    Refused,
    TransferLeadership,
    order_body,
)
from concur.parts.parameters import LogProtocol
from concur.testing.cluster import Cluster


class Clerk(Node["Office"]):
    """Does what it is told if it is the last of all; else it sends operators on."""

    members: tuple[str, ...] = ()

    @on(ChangeMembers)
    def change(self, source: str, m: ChangeMembers) -> None:
        chief = self.config.universe[-1]
        if self.id != chief:
            hint = chief if self.params.hints else ""
            self.send(source, Refused(m.number, hint, "not the chief"))
        else:
            self.members = m.members
            self.send(source, Done(m.number))

    @on(TransferLeadership)
    def never(self, source: str, m: TransferLeadership) -> None:
        self.send(source, Refused(m.number, "", "nobody leads here"))


class Office(LogProtocol):
    name = "office"
    summary = "Answers operators."
    tags = Tags(membership=True)
    hints: ClassVar[bool] = True

    def roles(self) -> tuple[Role, ...]:
        return (Role("replica", Clerk, "r"), OPERATOR)


class Shy(Office):
    hints = False


def cluster(protocol: Office) -> Cluster:
    made = Cluster(protocol, replicas=3, spares=2)
    made.start()
    return made


def settle(made: Cluster, op: int = 1) -> None:
    made.run(lambda: ("o1", op) in made.outcomes, 60 * SECOND, 10_000)


def test_spares_are_replicas_but_no_members() -> None:
    made = cluster(Office())
    assert made.config.members == ("r1", "r2", "r3")
    assert made.config.universe == ("r1", "r2", "r3", "r4", "r5")
    assert made.clients == ()


@pytest.mark.parametrize("protocol", [Office(), Shy()], ids=["with hints", "without"])
def test_an_order_finds_who_can_carry_it_out(protocol: Office) -> None:
    made = cluster(protocol)
    made.invoke("o1", 1, order_body(members=("r1", "r2", "r5")))
    settle(made)
    assert made.outcomes["o1", 1] == Ok(b"")
    chief = made.seats["r5"].node
    assert isinstance(chief, Clerk)
    assert chief.members == ("r1", "r2", "r5")


def test_an_order_that_nobody_carries_out_ends_at_its_deadline_and_says_why() -> None:
    made = cluster(Office(deadline_s=3.0))
    made.invoke("o1", 1, order_body(leader="r2"))
    settle(made)
    assert made.outcomes["o1", 1] == Indefinite("deadline passed: nobody leads here")
    assert 3 * SECOND <= made.now <= 5 * SECOND


def test_a_newer_order_takes_the_place_of_an_older_one() -> None:
    made = cluster(Office())
    made.invoke("o1", 1, order_body(leader="r2"))
    made.invoke("o1", 2, order_body(members=("r1",)))
    assert made.outcomes["o1", 1] == Indefinite("a newer order took its place")
    settle(made, 2)
    assert made.outcomes["o1", 2] == Ok(b"")


@pytest.mark.parametrize("incarnation", [1, (1 << 32) - 1])  # seconds, in a real cluster
def test_numbers_of_orders_fit_into_a_message(incarnation: int) -> None:
    made = Cluster(Office(), replicas=3, spares=2)
    made.seats["o1"].incarnation = incarnation - 1
    made.start()
    made.invoke("o1", 1, order_body(members=("r1", "r2")))
    (letter,) = made.letters
    assert isinstance(letter.message, ChangeMembers)
    assert decode(encode(letter.message), ChangeMembers) == letter.message
    settle(made)
    assert made.outcomes["o1", 1] == Ok(b"")


def test_what_is_no_order_is_refused_for_good() -> None:
    made = cluster(Office())
    made.invoke("o1", 1, b"\xc1")
    assert isinstance(made.outcomes["o1", 1], Definite)


def test_orders_that_make_no_sense_are_refused_when_they_are_made() -> None:
    for wrong in (
        {},
        {"members": ("r1",), "leader": "r1"},
        {"members": ("r1", "r1")},
        {"members": ("r1",), "learners": ("r1",)},
        {"members": tuple(f"r{i}" for i in range(2000))},
    ):
        with pytest.raises(BadInput, match="order: "):
            order_body(**wrong)  # type: ignore[arg-type]
