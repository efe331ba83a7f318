"""How states get from one process to another, where numbers mean something else.

A packed state is made of numbers that a process gave in order of discovery. So what is new to a
process is told to each other one once, by content: local states, values of the observer, envelopes.
From then on states travel as ints, and who receives them replaces each number by its own.
"""

from typing import Any, NamedTuple

from joblib import wrap_non_picklable_objects

from concur.verify.engine.packing import LOCAL_BITS
from concur.verify.engine.system import System
from concur.verify.model import Model

CHUNK_BITS = 60
"""Of a state, translated at once."""
CHUNKS_MAX = 1 << 18
"""Translations of chunks that are remembered."""


class Definitions(NamedTuple):
    """What numbers of the sender stand for, from the first on that the receiver does not know."""

    locals: list[list[Any]]
    observed: list[Any]
    envelopes: list[Any]

    def __len__(self) -> int:
        return sum(map(len, self.locals)) + len(self.observed) + len(self.envelopes)


class Ferry:
    """Carries states of any model between processes: as they are."""

    def told(self, peer: int) -> Any:
        """What must be sent to `peer` along with states, so that it understands them."""
        return None

    def learn(self, peer: int, told: Any) -> None:
        """Hear what `peer` has told."""

    def carry(self, peer: int, states: list[Any]) -> Any:
        """`states` as they are sent."""
        return wrap_non_picklable_objects(states, keep_wrapper=False)

    def land(self, peer: int, states: Any) -> list[Any]:
        """States that `peer` has sent, as they are here."""
        return list(states)


class Chunk:
    """Some neighbouring fields of the states of one peer, and what they come to here.

    `fields` has for each of them its width, and what each of the peer's numbers adds to a state
    here; a counter of copies has one entry, for one copy.
    """

    __slots__ = ("bits", "counts", "fields", "known", "mask")

    def __init__(self, counts: bool) -> None:
        self.counts = counts
        self.fields: list[tuple[int, list[int]]] = []
        self.known: dict[int, int] = {}
        self.bits = self.mask = 0

    def grow(self, width: int, adds: list[int]) -> None:
        self.fields.append((width, adds))
        self.bits += width
        self.mask = (1 << self.bits) - 1

    def learn(self, chunk: int) -> int:
        added, rest = 0, chunk
        for width, adds in self.fields:
            number = rest & (1 << width) - 1
            if not self.counts:
                added += adds[number]
            elif number:
                added += adds[0] * number
            rest >>= width
        if len(self.known) >= CHUNKS_MAX:
            self.known.clear()
        self.known[chunk] = added
        return added


class SystemFerry(Ferry):
    """Carries packed states."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._counts: dict[int, list[int]] = {}
        self._tables: dict[int, list[list[int]]] = {}
        """For each peer, place and observer: what each of the peer's numbers adds to a state."""
        self._chunks: dict[int, list[Chunk]] = {}

    def told(self, peer: int) -> Any:
        system = self._system
        every = [*system._locals, system._observed, system._envelopes]
        counts = self._counts.setdefault(peer, [0] * len(every))
        new = [numbers.values[at:] for numbers, at in zip(every, counts, strict=True)]
        if not any(new):
            return None
        self._counts[peer] = [at + len(values) for at, values in zip(counts, new, strict=True)]
        return wrap_non_picklable_objects(Definitions(new[:-2], new[-2], new[-1]), False)

    def learn(self, peer: int, told: Any) -> None:
        if told is None:
            return
        system, packing = self._system, self._system._packing
        if peer not in self._tables:
            self._tables[peer] = [[] for _ in range(len(packing.places) + 1)]
            self._chunks[peer] = []
            for table in self._tables[peer]:
                self._field(peer, LOCAL_BITS, table, counts=False)
        tables = self._tables[peer]
        for table, numbers, values, shift in zip(
            tables, system._locals, told.locals, packing.places, strict=False
        ):
            table += [numbers.number(value) << shift for value in values]
        tables[-1] += [system._observe(value) << packing.observer for value in told.observed]
        for source, target, message in told.envelopes:
            (number,) = system._answers.count(source, ((target, message),), {})
            self._field(peer, packing.width, [packing.copy(number)], counts=True)

    def _field(self, peer: int, width: int, adds: list[int], *, counts: bool) -> None:
        chunks = self._chunks[peer]
        full = chunks and chunks[-1].bits + width > CHUNK_BITS
        if not chunks or full or chunks[-1].counts is not counts:
            chunks.append(Chunk(counts))
        chunks[-1].grow(width, adds)

    def carry(self, peer: int, states: list[Any]) -> Any:
        return states

    def land(self, peer: int, states: Any) -> list[Any]:
        bits = self._system._packing.budget_mask.bit_length()
        mask = (1 << bits) - 1
        chunks = [(c.bits, c.mask, c.known.get, c.learn) for c in self._chunks[peer]]
        landed = []
        for state in states:
            here = state & mask
            state >>= bits
            for width, ones, known, learn in chunks:
                chunk = state & ones
                added = known(chunk)
                here += learn(chunk) if added is None else added
                state >>= width
                if not state:
                    break
            landed.append(here)
        return landed


def ferry(model: Model[Any]) -> Ferry:
    """What carries the states of `model`."""
    return SystemFerry(model) if isinstance(model, System) else Ferry()
