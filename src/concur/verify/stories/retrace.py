"""Following a story: the same events again, in a model that has seen nothing else.

An event is known by its label, which says what happens where, with every field of the message and,
of several outcomes, which one. Labels hold no numbers of the engine, so a story can be followed in
any model of its scenario, and as far as it makes sense in one of another protocol, or with lower
bounds.

`Retrace` is quick: it asks for what follows from one event, not for all that may happen, and keeps
the answers. Many stories of one scenario share nearly all of them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK
from concur.verify.engine.system import Action
from concur.verify.nodes.node_system import NodeSystem
from concur.verify.nodes.stage import Packet
from concur.verify.scenario import Scenario

ACCIDENTS = {"lose": ("loss",), "duplicate": ("duplicate",)}
"""What happens to messages, and the bound that it uses up."""


class Event(NamedTuple):
    """An event of a story, without the numbers of any model.

    `what` is the label less the outcome. Of a message `alike` says between which nodes it goes, and
    of which kind it is: there may be another one with other fields where this one never was.
    """

    kind: str
    host: str
    what: str
    outcome: str
    alike: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.what} ({self.outcome})" if self.outcome else self.what


class Ending(NamedTuple):
    """How far a story went: what happened of it, the last state, and what broke there if any.

    `costs` are the bounds that it used up, once for each time, where all was looked at.
    """

    events: tuple[Event, ...]
    state: int
    broken: tuple[str, str] | None
    costs: tuple[str, ...] = ()


class Retrace:
    """Follows stories within one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.system: NodeSystem = scenario.system()
        self.starts = tuple(self.system.initial())
        self._places = {host.name: place for place, host in enumerate(self.system.behaviours)}
        self._envelopes: dict[str, int] = {}
        self._alike: dict[tuple[str, ...], list[tuple[str, int]]] = {}
        self._answers: dict[tuple[int, int], list[tuple[str, str, tuple[int, int, int]]]] = {}
        self._free: dict[tuple[int, int], list[tuple[str, str, tuple[int, int, int]]]] = {}

    def event(self, action: Action) -> Event:
        """What this transition is in any model."""
        what = self.system.label(action._replace(step=action.step._replace(label="")))
        host = self.system.behaviours[action.place].name
        return Event(action.kind, host, what, action.step.label, _alike(action.message))

    def read(self, labels: Iterable[str], start: int = 0, strict: bool = False) -> Ending:
        """Follow labels, with all that may happen looked at in every state.

        What cannot happen at its turn is left out. If `strict`, nothing follows it.
        """
        system = self.system
        state = self.starts[start]
        events: list[Event] = []
        costs: list[str] = []
        broken = system.broken(state)
        for label in labels:
            if broken is not None:
                break
            for action, after in system.actions(state):
                if system.label(action) == label:
                    events.append(self.event(action))
                    costs += action.step.costs or ACCIDENTS.get(action.kind, ())
                    state, broken = after, system.broken(after)
                    break
            else:
                if strict:
                    break
        return Ending(tuple(events), state, broken, tuple(costs))

    def follow(self, events: Sequence[Event], start: int = 0, *, loosely: bool = False) -> Ending:
        """The same for events, quickly. `loosely`: for a message that is not there, one like it."""
        system = self.system
        state = self.starts[start]
        happened: list[Event] = []
        broken = system.broken(state)
        for event in events:
            if broken is not None:
                break
            after = self.after(state, event)
            if after is None and loosely and event.kind == "receive":
                event, after = self._one_alike(state, event)
            if after is not None and after != state:
                happened.append(event)
                state, broken = after, system.broken(after)
        return Ending(tuple(happened), state, broken)

    # --- one event --------------------------------------------------------------------------------

    def after(self, state: int, event: Event) -> int | None:
        """The state after an event, None if it cannot happen in `state`."""
        system = self.system
        if event.kind not in ("receive", "move"):
            return self._looked_up(state, event)
        place = self._places.get(event.host)
        if place is None or system.ends(state):
            return None
        name, question = "", ~place
        if event.kind == "move":
            name = event.what.partition(": ")[2]
        else:
            number = self._known().get(event.what)
            if number is None or not self._on_its_way(state, number):
                return None
            question = number * system.packing.width
        return self._outcome(state, place, question, name, event.outcome)

    def _outcome(
        self, state: int, place: int, question: int, name: str, outcome: str
    ) -> int | None:
        system, packing = self.system, self.system.packing
        local = (state >> packing.places[place]) & LOCAL_MASK
        budget = (state & packing.budget_mask) << LOCAL_BITS
        answers = self._free.get((question, local)) or self._answers.get((question, local | budget))
        if answers is None:
            asked = system.answers.ask(question, local | budget)
            answers = [(name, step.label, delta) for name, step, delta in asked]
            if question >= 0 and asked and not any(step.costs for _, step, _ in asked):
                self._free[question, local] = answers  # the same whatever is left of the bounds
            else:
                self._answers[question, local | budget] = answers
        for called, label, (delta, said, kept) in answers:
            if called == name and label == outcome:
                observed = ((state >> packing.observer) & LOCAL_MASK) << LOCAL_BITS
                new = state + delta + (system.fold(observed | said) if said else 0)
                return system.trimmed(new | kept)
        return None

    def _looked_up(self, state: int, event: Event) -> int | None:
        for action, after in self.system.actions(state):
            if action.kind == event.kind and self.event(action)[:4] == event[:4]:
                return after
        return None

    def _one_alike(self, state: int, event: Event) -> tuple[Event, int | None]:
        self._known()
        for what, number in sorted(self._alike.get(event.alike, ())):
            if self._on_its_way(state, number):
                other = event._replace(what=what)
                after = self.after(state, other)
                if after is not None:
                    return other, after
        return event, None

    def _on_its_way(self, state: int, number: int) -> bool:
        packing = self.system.packing
        copies = state >> packing.network + number * packing.width
        return bool(copies & (1 << packing.width) - 1)

    def _known(self) -> dict[str, int]:
        """The numbers of all envelopes that the model has met, by their labels."""
        known, envelopes = self._envelopes, self.system.answers.envelopes
        for number in range(len(known), len(envelopes)):
            source, target, message = envelopes[number]
            label = self.system.answers.route(source, target, message)
            known[label] = number
            self._alike.setdefault(_alike(message), []).append((label, number))
        return known


def _alike(message: object) -> tuple[str, ...]:
    if not isinstance(message, Packet):
        return ()
    return message.source, message.to, type(message.message).__name__
