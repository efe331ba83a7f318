"""Symmetry: states that differ only in who is who are explored once.

If r2 and r3 run the same code, and that code never asks more of two ids than whether they are
equal, then exchanging the two names everywhere, in local states, messages and histories, turns runs
into runs. A *renaming* is such an exchange, together with the exchange of places that goes with it;
all of them form a group, and the states that they turn into each other an orbit. `Symmetry` has one
representative for each orbit, and only these are explored. What is judged, and whether anything can
follow, is the same throughout an orbit.

**The canonical form** is the least of a state's images: first by the numbers of local states, place
by place, then by the number of what was observed, then by the network. Every renaming is tried, and
ties are broken by what comes next, so an orbit has one representative and not several. Numbers are
given once and kept, images are computed once for each local state, envelope and history, and the
renamings that lead to the least image once for each combination of local states. What is left for
each state is a look-up, and the renaming of its network in pieces of `CHUNK` envelopes.

**Whether it is one.** The tool does not guess who is interchangeable: a protocol says it
(`Protocol.interchangeable`), the scenario must not tell these nodes apart either
(`reductions.interchangeable`), and it is checked: for a sample of transitions the image of what
follows must be what follows the image. `Asymmetric` is raised where it is not, with the field that
tells two names apart. As with purity, a sample is a sample; what breaks the rule at all breaks it
in most states that it touches.

Only what *follows* must be symmetric, not where it begins. If r1 alone is given a head start, the
states that can be reached are fewer than the images of all of them, and so there are fewer to
spare; but the images are images of what can be reached, and no more is claimed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from concur.verify.engine.packing import LOCAL_MASK
from concur.verify.engine.system import System
from concur.verify.reductions.images import Images

CHUNK = 80
"""Envelopes that are renamed together."""

KNOWN_MAX = 2_000_000
"""Combinations of local states, and pieces of networks, whose images are remembered."""

Ways = tuple[int, ...]
"""Renamings that lead to the least image."""


class Symmetry(Images):
    """The renamings that `generators` generate, of the names in `system`.

    Each generator maps names to names: at least those of behaviours, by which it is known which
    places it exchanges. The words in `ids`, and the names of behaviours, also count inside a text
    (`reductions.renaming`). `words` say to people what is interchangeable. What the system's
    `sometimes` and `done` say must not depend on names.
    """

    def __init__(
        self,
        system: System,
        generators: Sequence[Mapping[str, str]],
        words: str = "",
        ids: Collection[str] = (),
    ) -> None:
        super().__init__(system, generators, words, ids)
        packing = system.packing
        self._shift = packing.network
        self._below = (1 << packing.network) - 1
        self._piece = CHUNK * packing.width
        self._mask = (1 << self._piece) - 1
        self._pieces: list[list[dict[int, int]]] = [[] for _ in range(self.order)]
        self._known: dict[int, tuple[int, Ways] | bool] = {}
        self._remembered = 0

    def apply(self) -> None:
        """From now on `explore` finds that the system is symmetric, and uses this."""
        self.system.symmetric = True
        self.system.canonical = self.canonical  # type: ignore[method-assign]
        self.system.orbit = self.orbit  # type: ignore[method-assign]
        self.system.spread = self.spread  # type: ignore[method-assign]

    # --- the canonical form -----------------------------------------------------------------------

    def canonical(self, state: int) -> int:
        """The representative of the orbit of `state`."""
        known = self._known.get(state & self._below)
        if known is None:
            known = self._least(state & self._below)
        if known is True:
            return state
        image, ways = known  # type: ignore[misc]
        network = state >> self._shift
        if len(ways) == 1:
            return image | self._carried(ways[0], network) << self._shift
        return image | min([self._carried(way, network) for way in ways]) << self._shift

    def orbit(self, state: int) -> set[int]:
        """All images of `state`."""
        packing = self.system.packing
        found = set()
        for way in range(self.order):
            image = state & packing.budget_mask
            for place, shift in enumerate(packing.places):
                number = (state >> shift) & LOCAL_MASK
                image |= self._local(way, place, number) << packing.places[self._places[way][place]]
            number = (state >> packing.observer) & LOCAL_MASK
            image |= self._history(way, number) << packing.observer
            found.add(image | self._carried(way, state >> self._shift) << self._shift)
        return found

    def spread(self) -> None:
        """What was seen at one place goes for its images at others, where it was never asked: what
        follows a local state, and which messages have an effect there (`reductions.dead`)."""
        answers, width = self.system.answers, self.system.packing.width
        edges = [
            (place, number, after)
            for place, follows in enumerate(answers.leads_to)
            for number, afters in follows.items()
            for after in afters
        ]
        effects = [
            (place, number, messages)
            for place, known in enumerate(answers.effects)
            for number, messages in known.items()
        ]
        envelopes = range(len(answers.envelopes))
        for way in range(1, self.order):
            for place, number, after in edges:
                to = self._places[way][place]
                image = self._local(way, place, number)
                answers.leads_to[to].setdefault(image, set()).add(self._local(way, place, after))
            for envelope in envelopes:
                self._envelope(way, envelope)
            for place, number, messages in effects:
                known = answers.effects[self._places[way][place]]
                image = self._local(way, place, number)
                while messages:
                    bit = (messages & -messages).bit_length() - 1
                    messages &= messages - 1
                    effect = 1 << self._envelope(way, bit // width) * width
                    known[image] = known.get(image, 0) | effect

    def _least(self, low: int) -> tuple[int, Ways] | bool:
        """The least image of all but the network, and which renamings lead there. True: only the
        one that changes nothing."""
        packing = self.system.packing
        ways: Iterable[int] = range(self.order)
        image = low & packing.budget_mask
        for at, shift in enumerate(packing.places):
            best, leading = -1, []
            for way in ways:
                place = self._sources[way][at]
                number = (low >> packing.places[place]) & LOCAL_MASK
                known = self._locals[way][place].get(number)
                if known is None:
                    known = self._local(way, place, number)
                if known == best:
                    leading.append(way)
                elif known < best or best < 0:
                    best, leading = known, [way]
            ways = leading
            image |= best << shift
        number = (low >> packing.observer) & LOCAL_MASK
        histories = [self._history(way, number) for way in ways]
        best = min(histories)
        ways = [way for way, history in zip(ways, histories, strict=True) if history == best]
        image |= best << packing.observer
        known_now: tuple[int, Ways] | bool = (image, tuple(ways))
        if ways == [0]:
            known_now = True
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[low] = known_now
        return known_now

    def _carried(self, way: int, network: int) -> int:
        """The image of a network."""
        if not way:
            return network
        image = at = 0
        pieces, mask, size = self._pieces[way], self._mask, self._piece
        while network:
            piece = network & mask
            if piece:
                if at >= len(pieces):
                    pieces += [{} for _ in range(at + 1 - len(pieces))]
                known = pieces[at].get(piece)
                image += self._carry(way, at, piece) if known is None else known
            network >>= size
            at += 1
        return image

    def _carry(self, way: int, at: int, piece: int) -> int:
        """The image of `CHUNK` envelopes of a network, the first of which is number at * CHUNK."""
        width, envelopes = self.system.packing.width, self._envelopes[way]
        counter = (1 << width) - 1
        image, number, rest = 0, at * CHUNK, piece
        while rest:
            copies = rest & counter
            if copies:
                known = envelopes.get(number)
                if known is None:
                    known = self._envelope(way, number)
                image |= copies << known * width
            rest >>= width
            number += 1
        self._remembered += 1
        if self._remembered > KNOWN_MAX:
            self._remembered = 0
            for pieces in self._pieces:
                for known_pieces in pieces:
                    known_pieces.clear()
        self._pieces[way][at][piece] = image
        return image
