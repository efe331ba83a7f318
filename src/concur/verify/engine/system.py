"""Places that exchange messages, as a model whose states are single ints.

A global state is one int, and a transition is one addition. From the lowest bit upwards it holds

* what is left of each bound (timeouts, crashes, losses, ...), a few bits each;
* for each place the number of its local state, `LOCAL_BITS` wide;
* the number of the observer's value, as wide;
* the network: for each envelope (source, target, message) ever sent, in order of discovery, how
  many copies are on their way. It comes last because it grows without limit.

What a place does with a message depends on its local state and the message alone, so the
behaviour is asked once for each pair (and for each rest of the bounds), and the answer is kept as a
*delta*: the difference of the place's numbers, minus the envelope that is consumed, plus those that
are sent, minus what it costs. Wherever else that pair occurs, the successor is `state + delta`.
Millions of transitions come down to some thousand calls of a behaviour, and a state to some 80
bytes.

The numbers are exact: nothing is hashed away, and two states are one int only if they are the same.
No field can run into its neighbour unnoticed: `packing` says how.

**Networks.** "once" delivers in any order, each message once. "duplicating" keeps what it delivers,
for ever, so the network is a set; `stays` picks messages that are kept like that. `loss` and
`duplication` say how many messages may vanish or be doubled on top (`UNBOUNDED`: any number; a
doubled message counts against `envelopes_max`).

**No transition.** An outcome that changes nothing, sends nothing and says nothing is left out and
its message stays where it is, since to take it away would only hide that it may come later still.
`keep_ineffective` makes a transition of it that consumes the message.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, ClassVar, Literal, NamedTuple

from concur.errors import BadInput
from concur.verify.engine.answers import Answers, Envelope, Stays
from concur.verify.engine.behaviour import Behaviour, Observer, Step, Unobserved
from concur.verify.engine.interning import Numbers
from concur.verify.engine.packing import LOCAL_BITS, LOCAL_MASK, Packing
from concur.verify.model import Model

RECHECK_EVERY = 32
"""One kept answer is asked for again, and compared, for each so many new ones."""


class Action(NamedTuple):
    """One transition, for people: what happened at which place, and which outcome it had."""

    kind: Literal["receive", "move", "lose", "duplicate"]
    place: int
    name: str
    """Of a move; "" otherwise."""
    source: int
    message: Any
    step: Step


class Parts(NamedTuple):
    """A packed state taken apart."""

    locals: tuple[Any, ...]
    network: tuple[tuple[Envelope, int], ...]
    """Envelopes on their way, each with the number of its copies."""
    observed: Any
    left: dict[str, int]
    """What is left of each bound."""


class System(Model[int]):
    """The model of `behaviours` that exchange messages; a place's number is its index there.

    `bounds` says how often each thing that outcomes cost may happen; `loss` and `duplication` are
    the bounds "loss" and "duplicate". `envelopes_max` is how many copies of one message from one
    place to another may be on their way at once, rounded up to one less than a power of two; more
    raise TooMany. `stays` says of an envelope (source, target, message) whether a network that
    delivers once keeps it nevertheless, as "duplicating" does with all. `sometimes` are predicates
    of the observer's value; `done` is asked of a state that nothing follows. One kept answer is
    compared with a new one for each `recheck_every` (0: never); if they differ, Impure is raised.
    """

    layout: ClassVar[type[Packing]] = Packing

    def __init__(
        self,
        behaviours: Sequence[Behaviour],
        observer: Observer | None = None,
        bounds: Mapping[str, int] | None = None,
        network: Literal["once", "duplicating"] = "once",
        loss: int = 0,
        duplication: int = 0,
        keep_ineffective: bool = False,
        stays: Stays | None = None,
        *,
        name: str = "a system",
        envelopes_max: int = 3,
        sometimes: Mapping[str, Callable[[Any], bool]] | None = None,
        done: Callable[[Parts], bool] | None = None,
        recheck_every: int = RECHECK_EVERY,
    ) -> None:
        if network == "duplicating" and duplication:
            raise BadInput("duplication: a duplicating network doubles every message already")
        self.name = name
        self.behaviours = tuple(behaviours)
        self.observer: Observer = Unobserved() if observer is None else observer
        self.bounds = {"loss": loss, "duplicate": duplication, **(bounds or {})}
        self._is_done = done
        copies_max = None if network == "duplicating" else envelopes_max
        self._packing = self.layout(len(self.behaviours), self.bounds, copies_max)
        self._answers = Answers(
            self.behaviours, self._packing, keep_ineffective, recheck_every, stays
        )
        self.packing, self.answers = self._packing, self._answers
        self._locals = self._answers.locals
        self._envelopes = self._answers.envelopes
        self._observed = Numbers("values of the observer", 1 << LOCAL_BITS)
        self._verdicts: list[tuple[str, str] | None] = []
        self.any_broken = False
        self.folds: dict[int, int] = {}
        self.sometimes = {
            claim: self._of_observed(holds) for claim, holds in (sometimes or {}).items()
        }

    # --- the model --------------------------------------------------------------------------------

    def initial(self) -> Iterator[int]:
        packing, answers = self._packing, self._answers
        for steps in product(*(tuple(behaviour.start()) for behaviour in self.behaviours)):
            budget = packing.full_budget
            observed = self.observer.initial()
            copies: dict[int, int] = {}
            state = 0
            for place, step in enumerate(steps):
                price = answers.price(step.costs, budget, place)
                if price is None:
                    break
                budget -= price
                answers.count(place, step.sends, copies)
                for event in step.events:
                    observed = self.observer.after(observed, place, event)
                state += self._locals[place].number(step.state) << packing.places[place]
            else:
                state += budget + (self._observe(observed) << packing.observer)
                more, kept = answers.on_their_way(copies)
                yield state + more | kept

    def successors(self, state: int) -> list[int]:
        packing, answers = self._packing, self._answers
        present = network = state >> packing.network
        if network & packing.guard:
            self._answers.overflowed(network)
        for _ in range(2, packing.width):
            network >>= 1
            present |= network
        present &= packing.ones
        budget = (state & packing.budget_mask) << LOCAL_BITS
        observed = ((state >> packing.observer) & LOCAL_MASK) << LOCAL_BITS
        folds = self.folds
        doors = answers.doors
        after: list[int] = []
        add = after.append
        rest = present
        while rest:
            low = rest & -rest
            rest ^= low
            bit = low.bit_length() - 1
            shift, memory = doors[bit]
            key = (state >> shift) & LOCAL_MASK | budget
            deltas = memory.get(key)
            if deltas is None:
                deltas = memory[key] = answers.answer(bit, key)
            for delta, said, kept in deltas:
                new = state + delta
                if said:
                    fold = folds.get(observed | said)
                    new += self.fold(observed | said) if fold is None else fold
                if kept:
                    new |= kept
                add(new)
        for place, shift, memory in answers.movers:  # the same once more: a call would cost as much
            key = (state >> shift) & LOCAL_MASK | budget
            deltas = memory.get(key)
            if deltas is None:
                deltas = memory[key] = answers.answer(~place, key)
            for delta, said, kept in deltas:
                new = state + delta
                if said:
                    fold = folds.get(observed | said)
                    new += self.fold(observed | said) if fold is None else fold
                if kept:
                    new |= kept
                add(new)
        for _, sign, price in self._accidents(state):
            rest = present
            while rest:
                low = rest & -rest
                rest ^= low
                add(state + sign * (low << packing.network) - price)
        return after

    def steps(self, state: int) -> list[tuple[str, int]]:
        return [(self.label(action), after) for action, after in self.actions(state)]

    def broken(self, state: int) -> tuple[str, str] | None:
        if not self.any_broken:
            return None
        return self._verdicts[(state >> self._packing.observer) & LOCAL_MASK]

    def done(self, state: int) -> bool:
        return self._is_done is not None and self._is_done(self.parts(state))

    def show(self, state: int) -> str:
        """One line for each place and message, and for what is left of each bound."""
        parts = self.parts(state)
        lines = [
            f"{behaviour.name}: {behaviour.show(local)}"
            for behaviour, local in zip(self.behaviours, parts.locals, strict=True)
        ]
        for envelope, copies in parts.network:
            lines.append(
                self._answers.route(*envelope) + (f" ({copies} copies)" if copies > 1 else "")
            )
        lines += [f"{bound}: {rest} left" for bound, rest in parts.left.items()]
        return "\n".join(lines)

    # --- piece by piece ---------------------------------------------------------------------------

    def present(self, state: int) -> int:
        """A bit for each envelope on its way, where its counter begins."""
        packing = self._packing
        present = network = state >> packing.network
        for _ in range(2, packing.width):
            network >>= 1
            present |= network
        return present & packing.ones

    def outcomes(self, state: int, question: int) -> list[tuple[int, int]]:
        """What follows from one envelope, by its bit, or from the moves at place ~question.

        Each state with the number of what the observer is told; 0: nothing.
        """
        answers, packing = self._answers, self._packing
        shift, memory = answers.doors[question] if question >= 0 else answers.moves_of[~question]
        key = (state >> shift) & LOCAL_MASK | (state & packing.budget_mask) << LOCAL_BITS
        deltas = memory.get(key)
        if deltas is None:
            deltas = memory[key] = answers.answer(question, key)
        if not deltas:
            return []
        observed = ((state >> packing.observer) & LOCAL_MASK) << LOCAL_BITS
        return [
            ((state + delta + (self.fold(observed | said) if said else 0)) | kept, said)
            for delta, said, kept in deltas
        ]

    def mishaps(self, state: int) -> list[int]:
        """The states in which one message was lost or doubled."""
        packing = self._packing
        after = []
        for _, sign, price in self._accidents(state):
            rest = self.present(state)
            while rest:
                low = rest & -rest
                rest ^= low
                after.append(state + sign * (low << packing.network) - price)
        return after

    def trimmed(self, state: int) -> int:
        """The state, with what is too much left out; here nothing may be too much."""
        over = state >> self._packing.network & self._packing.guard
        if over:
            self._answers.overflowed(over)
        return state

    def spread(self) -> None:
        """What was seen at one place goes for all those that are the same but for names."""

    def keeps(self, source: int, target: int, message: Any) -> bool:
        """Whether a message stays on its way when it is delivered."""
        return self._answers.remains(self._envelopes.number((source, target, message)))

    def ends(self, state: int) -> bool:
        """Whether nothing is to follow `state`, whatever could."""
        return False

    # --- for people -------------------------------------------------------------------------------

    def parts(self, state: int) -> Parts:
        """A packed state taken apart."""
        packing = self._packing
        return Parts(
            tuple(
                numbers[(state >> shift) & LOCAL_MASK]
                for numbers, shift in zip(self._locals, packing.places, strict=True)
            ),
            tuple((self._envelopes[number], copies) for number, copies in self._network(state)),
            self.observed(state),
            packing.left(state),
        )

    def observed(self, state: int) -> Any:
        """The observer's value in `state`."""
        return self._observed[(state >> self._packing.observer) & LOCAL_MASK]

    def actions(self, state: int) -> list[tuple[Action, int]]:
        """The transitions of `successors`, in its order, with what they are."""
        self.successors(state)  # gives numbers to what is new, in the order in which it always does
        packing, answers = self._packing, self._answers
        network = self._network(state)
        observed = ((state >> packing.observer) & LOCAL_MASK) << LOCAL_BITS
        questions = [(number * packing.width, self._envelopes[number]) for number, _ in network]
        questions += [(~place, (place, place, None)) for place, _, _ in answers.movers]
        found: list[tuple[Action, int]] = []
        for question, (source, place, message) in questions:
            key = (state >> packing.places[place]) & LOCAL_MASK
            key |= (state & packing.budget_mask) << LOCAL_BITS
            kind: Literal["receive", "move"] = "receive" if question >= 0 else "move"
            for name, step, (delta, said, kept) in answers.ask(question, key):
                new = (state + delta + (self.fold(observed | said) if said else 0)) | kept
                found.append((Action(kind, place, name, source, message, step), new))
        for accident, sign, price in self._accidents(state):
            for number, _ in network:
                source, place, message = self._envelopes[number]
                action = Action(accident, place, "", source, message, Step(None))
                found.append((action, state + sign * packing.copy(number) - price))
        return found

    def label(self, action: Action) -> str:
        """What happened, in one line."""
        if action.kind == "move":
            text = f"{self.behaviours[action.place].name}: {action.name}"
        else:
            verb = {"receive": "", "lose": "lost: ", "duplicate": "doubled: "}[action.kind]
            text = verb + self._answers.route(action.source, action.place, action.message)
        return f"{text} ({action.step.label})" if action.step.label else text

    def _network(self, state: int) -> list[tuple[int, int]]:
        """(number, copies) of each envelope that is on its way."""
        network, width = state >> self._packing.network, self._packing.width
        counted = (
            (number, (network >> number * width) & ((1 << width) - 1))
            for number in range(len(self._envelopes))
        )
        return [(number, copies) for number, copies in counted if copies]

    # --- behind the loop --------------------------------------------------------------------------

    def _accidents(self, state: int) -> list[tuple[Literal["lose", "duplicate"], int, int]]:
        """What may happen to each message: (kind, copies more, price)."""
        possible: list[tuple[Literal["lose", "duplicate"], int, int]] = []
        if self.bounds["loss"] and (price := self._packing.price(("loss",), state)) is not None:
            possible.append(("lose", -1, price))
        if self.bounds["duplicate"]:
            price = self._packing.price(("duplicate",), state)
            if price is not None:
                possible.append(("duplicate", 1, price))
        return possible

    def fold(self, key: int) -> int:
        """What to add to a state whose observer hears something. Key: its value, what is said."""
        known = self.folds.get(key)
        if known is None:
            number = key >> LOCAL_BITS
            place, events = self._answers.said[key & LOCAL_MASK]
            value = self._observed[number]
            for event in events:
                value = self.observer.after(value, place, event)
            known = (self._observe(value) - number) << self._packing.observer
            self.folds[key] = known
        return known

    def _observe(self, value: Any) -> int:
        number = self._observed.number(value)
        for unjudged in range(len(self._verdicts), len(self._observed)):
            verdict = self.observer.broken(self._observed[unjudged])
            self.any_broken = self.any_broken or verdict is not None
            self._verdicts.append(verdict)
        return number

    def _of_observed(self, holds: Callable[[Any], bool]) -> Callable[[int], bool]:
        answers: dict[int, bool] = {}

        def asked(state: int) -> bool:
            number = (state >> self._packing.observer) & LOCAL_MASK
            answer = answers.get(number)
            if answer is None:
                answer = answers[number] = holds(self._observed[number])
            return answer

        return asked
