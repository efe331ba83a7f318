"""A `System` whose places are hosts of nodes: what it does otherwise."""

from collections.abc import Iterator, Mapping, Sequence

from concur.verify.engine.answers import Stays
from concur.verify.engine.behaviour import Behaviour, Observer
from concur.verify.engine.system import Action
from concur.verify.exploration import Moment
from concur.verify.nodes.clocks import TIME, OnTime
from concur.verify.nodes.prologue import play
from concur.verify.walks.phases import Phased


class NodeSystem(Phased):
    """A system of nodes. Three things are not as in `System`:

    * Of one message from one node to another, sent again and again, only `envelopes_max` copies are
      on their way at a time. The next one is lost, as any message may be.
    * A run in which more memories were lost than the protocol bears proves nothing, so nothing
      follows it.
    * It begins where the `prologue` leads, with all bounds as they were.
    """

    layout = OnTime

    def __init__(
        self,
        behaviours: Sequence[Behaviour],
        observer: Observer,
        bounds: Mapping[str, int],
        *,
        name: str,
        loss: int,
        duplication: int,
        envelopes_max: int,
        stays: Stays | None = None,
        prologue: Sequence[str] = (),
    ) -> None:
        super().__init__(
            behaviours,
            observer,
            bounds,
            loss=loss,
            duplication=duplication,
            stays=stays,
            name=name,
            envelopes_max=envelopes_max,
        )
        self.prologue = tuple(prologue)

    def initial(self) -> Iterator[int]:
        for moments in self.beginnings():
            yield moments[-1].state

    def beginnings(self) -> Iterator[list[Moment]]:
        """How it comes to each of the initial states: the moments of the prologue, from the very
        first state on."""
        for state in super().initial():
            yield play(self, state, self.prologue)

    def refilled(self, state: int) -> int:
        """The state with all bounds as at the beginning; but time has passed."""
        full, mask = self._packing.full_budget, self._packing.budget_mask
        if TIME in self._packing.fields:
            shift, rest = self._packing.fields[TIME]
            full, mask = full & ~(rest << shift), mask & ~(rest << shift)
        return state & ~mask | full

    def names(self) -> list[str]:
        """Of the places."""
        return [behaviour.name for behaviour in self.behaviours]

    def successors(self, state: int) -> list[int]:
        if self.observed(state).over:
            return []
        return self._lose_copies(super().successors(state))

    def actions(self, state: int) -> list[tuple[Action, int]]:
        if self.observed(state).over:
            return []
        found = super().actions(state)
        after = self._lose_copies([new for _, new in found])
        return [(action, new) for (action, _), new in zip(found, after, strict=True)]

    def ends(self, state: int) -> bool:
        over: bool = self.observed(state).over
        return over

    def trimmed(self, state: int) -> int:
        return self._lose_copies([state])[0]

    def _lose_copies(self, states: list[int]) -> list[int]:
        """A counter that has reached its guard bit goes back to the most that it may hold."""
        packing = self._packing
        guard = packing.guard << packing.network
        for at, state in enumerate(states):
            over = state & guard
            if over:
                states[at] = (state ^ over) | (over - (over >> packing.width - 1))
        return states

    # --- for people -------------------------------------------------------------------------------

    def local_states(self) -> dict[str, int]:
        """How many local states each host was seen in."""
        hosts = zip(self.behaviours, self._locals, strict=True)
        return {host.name: len(numbers) for host, numbers in hosts}

    def histories(self) -> int:
        """How many different values the observer had."""
        return len(self._observed)
