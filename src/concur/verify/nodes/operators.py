"""Operators in the model checker: hosts that give orders, for other members or another leader.

An operator may give its next order at any time, before the last one has ended too, as people do who
lose patience; its node then says that nobody knows what became of that one. Whom it asks, and whom
next, is its node's own affair (`concur.parts.membership`), so an operator that is to try another
replica needs its timer "ask". Orders are no operations of the machine that is replicated: no
history has them.
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from concur.base import Protocol, Role
from concur.effects import Invoke
from concur.errors import BadInput
from concur.messages import encode
from concur.node import Config
from concur.parts.membership import OPERATOR, Order, order_body
from concur.verify.engine.behaviour import Step
from concur.verify.nodes.host import Cast, Host, HostState
from concur.verify.nodes.stage import Stage


class OperatorHost(Host):
    """An operator with its orders, in order."""

    tells: ClassVar[bool] = False

    def __init__(
        self, cast: Cast, place: int, seats: tuple[tuple[str, Role], ...], orders: tuple[Order, ...]
    ) -> None:
        super().__init__(cast, place, seats)
        self.orders = orders

    def moves(self, state: HostState) -> Iterable[tuple[str, Step]]:
        if state.asked < len(self.orders):
            order = self.orders[state.asked]
            asked = msgspec.structs.replace(state, asked=state.asked + 1, waits=True)

            def act(stage: Stage) -> None:
                if state.waits:
                    stage.under_way.append(state.asked)
                stage.step(0, Invoke(asked.asked, encode(order)))

            yield from self._named(f"orders {words_of(order)}", asked, act)
        yield from super().moves(state)


def orders_of(
    given: Iterable["Order | str"], protocol: Protocol, config: Config
) -> tuple[Order, ...]:
    """Orders, which may be written as texts ("members=r1,r2,r4 learners=r5", "leader=r2").

    Raises BadInput for what makes no sense, or names who is not there.
    """
    found = tuple(_parsed(order) if isinstance(order, str) else order for order in given)
    if found and OPERATOR not in protocol.roles():
        raise BadInput(f"orders: {protocol.label} takes none, for it has no operator")
    for order in found:
        order_body(order.members, order.learners, order.leader)  # refuses what makes no sense
        for name in (*order.members, *order.learners, *filter(None, [order.leader])):
            if name not in config.universe:
                known = ", ".join(config.universe)
                raise BadInput(f"orders: {words_of(order)}: {name!r}, expected some of {known}")
    return found


def _parsed(text: str) -> Order:
    settings = {"members": "", "learners": "", "leader": ""}
    for setting in text.split():
        name, equals, value = setting.partition("=")
        if name not in settings or not equals:
            raise BadInput(f"orders: {setting!r}, expected members=, learners= or leader=")
        settings[name] = value
    members, learners = (
        tuple(name for name in settings[which].split(",") if name)
        for which in ("members", "learners")
    )
    return Order(members, learners, settings["leader"])


def words_of(order: Order) -> str:
    """An order as text, which `orders_of` reads."""
    settings = {
        "members": ",".join(order.members),
        "learners": ",".join(order.learners),
        "leader": order.leader,
    }
    return " ".join(f"{name}={value}" for name, value in settings.items() if value)
