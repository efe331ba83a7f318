"""True time as a place of the model checker, which lets it pass (`concur.verify.nodes.clocks`)."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from concur.verify.engine.behaviour import Step
from concur.verify.nodes.clocks import TIME, Clocks
from concur.verify.nodes.host import Cast, Host, HostState


class TrueTime(Host):
    """A host with nobody on it, whose clock is right."""

    def __init__(self, cast: Cast, place: int, clocks: Clocks) -> None:
        super().__init__(cast, place, ())
        self.name = "true time"
        self.clocks = clocks

    def start(self) -> Iterable[Step]:
        return [Step(HostState((), incarnation=0))]

    def moves(self, state: HostState) -> Iterator[tuple[str, Step]]:
        if state.wall < self.clocks.most:
            later = msgspec.structs.replace(state, wall=state.wall + 1)
            yield f"is {later.wall}", Step(later, costs=(TIME,))

    def show(self, state: Any) -> str:
        return str(state.wall)
